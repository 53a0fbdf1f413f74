"""Certificate authorities, certificates and kubeconfig files of the test control plane.

All keys are on the curve P-256. Certificates carry the extensions that OpenSSL's strict mode asks for (basic constraints,
key usage, subject and authority key identifiers), because Python verifies strictly from 3.13 on.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = timedelta(days=365)
BACKDATE = timedelta(hours=1)
"""Certificates are valid from before their issue, for containers whose clocks differ a little."""


class Authority:
    """A self-signed certificate authority kept in a directory as `<name>.crt` and `<name>.key`."""

    def __init__(self, directory: Path, name: str) -> None:
        """Load the authority, or make it when the directory does not hold it."""
        self.directory = directory
        self.certificate_file = directory / f"{name}.crt"
        self.key_file = directory / f"{name}.key"
        if self.key_file.exists():
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{self.key_file} holds no elliptic-curve key")
            self._key = key
            self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"realcluster-{name}")])
        public = self._key.public_key()
        self._certificate = (
            _builder(subject, subject, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        write_private_key(self.key_file, self._key)

    def issue(
        self, name: str, *, user: str, groups: Sequence[str] = (), dns: Sequence[str] = (), ips: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """Issue `<name>.crt` and `<name>.key`, valid for clients and, when it has alternative names, for servers.

        Kubernetes takes the common name for the user and the organisations for the groups.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
            + [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        )
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if dns or ips:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names: list[x509.GeneralName] = [x509.DNSName(entry) for entry in dns]
            names += [x509.IPAddress(ipaddress.ip_address(entry)) for entry in ips]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate_file = self.directory / f"{name}.crt"
        key_file = self.directory / f"{name}.key"
        certificate = builder.sign(self._key, hashes.SHA256())
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_private_key(key_file, key)
        return certificate_file, key_file


def service_account_keys(directory: Path) -> tuple[Path, Path]:
    """Make `sa.pub` and `sa.key`, with which service-account tokens are verified and signed (ES256)."""
    key = ec.generate_private_key(ec.SECP256R1())
    public_file, key_file = directory / "sa.pub", directory / "sa.key"
    public_file.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    write_private_key(key_file, key)
    return public_file, key_file


def write_private_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key as PEM that only its owner may read. The `EC PRIVATE KEY` form is the one kube-controller-manager
    accepts for signing service-account tokens as well as for certificates."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    write_private(path, pem)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, at no moment readable by others."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def write_kubeconfig(
    path: Path,
    *,
    server: str,
    authority: Path,
    user: str,
    certificate: tuple[Path, Path] | None = None,
    token: str | None = None,
) -> Path:
    """Write a self-contained kubeconfig file for one user, who has a client certificate (and key) or a bearer token."""
    if certificate is not None:
        credentials = [
            f"    client-certificate-data: {_base64(certificate[0])}",
            f"    client-key-data: {_base64(certificate[1])}",
        ]
    else:
        credentials = [f"    token: {token}"]
    lines = [
        "apiVersion: v1",
        "kind: Config",
        "clusters:",
        "- name: realcluster",
        "  cluster:",
        f"    server: {server}",
        f"    certificate-authority-data: {_base64(authority)}",
        "users:",
        f"- name: {json.dumps(user)}",
        "  user:",
        *credentials,
        "contexts:",
        "- name: realcluster",
        "  context:",
        "    cluster: realcluster",
        f"    user: {json.dumps(user)}",
        "current-context: realcluster",
    ]
    write_private(path, ("\n".join(lines) + "\n").encode())
    return path


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
