"""The cluster's keys: its certificate authority, the serving certificate, the key service account tokens are signed with.

Keys are ECDSA P-256. The authority is made once and kept, the serving certificate is made at every start.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tiphys.runtime.secret import Secret

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
BACKDATED = timedelta(hours=1)  # clocks of clients may be behind

HOSTS = ("localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Pki:
    """Paths and texts of one cluster's keys."""

    ca_pem: str
    ca_key_pem: Secret  # what certificates people log in with are signed with
    cert_path: Path
    key_path: Path
    signing_key_pem: Secret  # private key of service account tokens
    admin_token: Secret


def ensure_pki(folder: Path, *, now: datetime, new_token: str, extra_hosts: Sequence[str] = ()) -> Pki:
    """Keys in `folder` (0700, files 0600): what is missing is made, the serving certificate always. `new_token` is used once."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_key = _key(folder / "ca.key")
    ca_path = folder / "ca.crt"
    if ca_path.exists():
        ca = x509.load_pem_x509_certificate(ca_path.read_bytes())
    else:
        ca = _authority(ca_key, now)
        write_private(ca_path, ca.public_bytes(serialization.Encoding.PEM))
    leaf_key_path, leaf_path = folder / "server.key", folder / "server.crt"
    leaf_key = _key(leaf_key_path)
    leaf = _leaf(leaf_key, ca_key, ca, now, (*HOSTS, *extra_hosts))
    write_private(leaf_path, leaf.public_bytes(serialization.Encoding.PEM))
    _key(folder / "service-account.key")
    token_path = folder / "admin.token"
    if not token_path.exists():
        write_private(token_path, new_token.encode())
    return Pki(
        ca_pem=ca_path.read_text(),
        ca_key_pem=Secret((folder / "ca.key").read_text()),
        cert_path=leaf_path,
        key_path=leaf_key_path,
        signing_key_pem=Secret((folder / "service-account.key").read_text()),
        admin_token=Secret(token_path.read_text().strip()),
    )


def write_private(path: Path, data: bytes) -> None:
    """Write a file only its owner can read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
    temporary.replace(path)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    if path.exists():
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(found, ec.EllipticCurvePrivateKey):
            return found
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, pem)
    return key


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # Python 3.13 verifies strictly: critical basic constraints and key usage, and both key identifiers, are needed.
    public = key.public_key()
    return (
        _builder("tiphys-embedded-cluster-ca", _name("tiphys-embedded-cluster-ca"), public, now)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    now: datetime,
    hosts: Sequence[str],
) -> x509.Certificate:
    return (
        _builder("kube-apiserver", ca.subject, key.public_key(), now)
        .not_valid_after(min(now + LEAF_LIFE, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in dict.fromkeys(hosts)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
