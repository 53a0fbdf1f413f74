"""Certificates asked for by CertificateSigningRequests: what may be asked for, and the certificate itself.

Source: kubernetes pkg/controller/certificates/signer/signer.go, authority/policies.go;
plugin/pkg/admission/certificates/subjectrestriction; pkg/apis/certificates/validation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tiphys.apimachinery.apierrors import FieldCause, forbidden_value, invalid_value
from tiphys.runtime.secret import Secret

Json = Mapping[str, Any]

CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
"""The one signer there is: certificates people log in with."""

LIFE: Final = timedelta(days=365)
BACKDATED: Final = timedelta(minutes=5)
_MASTERS: Final = "system:masters"
_OPTIONAL: Final = ("digital signature", "key encipherment")
_CLIENT: Final = "client auth"


class RequestError(Exception):
    """A request that is not signed; the message is for its Failed condition."""


def organizations(spec: Json) -> list[str]:
    """The organizations in the subject of the request in `spec`, which are groups of a login; empty when it is unreadable."""
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
        return [str(one.value) for one in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    except (ValueError, binascii.Error):
        return []


def asks_for_mastery(spec: Json) -> bool:
    """Whether a client certificate of the group that may do everything is asked for, which is never given."""
    return spec.get("signerName") == CLIENT_SIGNER and _MASTERS in organizations(spec)


def check_usages(usages: Sequence[str]) -> None:
    """Raises RequestError when a client certificate may not have these usages."""
    for one in usages:
        if one != _CLIENT and one not in _OPTIONAL:
            raise RequestError(f"invalid usage for client certificate: {one}")
    if _CLIENT not in usages:
        raise RequestError(f"missing required usage for client certificate: {_CLIENT}")


def sign(spec: Json, *, ca_pem: str, ca_key: Secret, now: datetime) -> bytes:
    """The certificate, in PEM, that the spec of a CertificateSigningRequest asks for. Raises RequestError."""
    usages = [str(one) for one in spec.get("usages") or ()]
    check_usages(usages)
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
        valid = request.is_signature_valid
        public = request.public_key()
    except (ValueError, binascii.Error, UnsupportedAlgorithm, InvalidSignature) as exc:
        raise RequestError(f"unable to parse csr: {exc}") from None
    if not valid:
        raise RequestError("unable to verify certificate request signature")
    key = serialization.load_pem_private_key(ca_key.reveal().encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate(ca_pem.encode())
    asked_s = spec.get("expirationSeconds")
    life = timedelta(seconds=asked_s) if asked_s else LIFE
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + life, authority.not_valid_after_utc))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if any(one in _OPTIONAL for one in usages):  # one without any bit would be refused by who verifies it
        builder = builder.add_extension(_key_usage(usages), critical=True)
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        pass
    else:
        builder = builder.add_extension(names.value, critical=names.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital signature" in usages,
        content_commitment=False,
        key_encipherment="key encipherment" in usages,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


# ---- who may say what in a status ----


def status_problems(old: Json, new: Json, *, approving: bool) -> list[FieldCause]:
    """What the status path (or with `approving` the approval path) may not do to conditions and certificate."""
    before, after = old.get("status") or {}, new.get("status") or {}
    causes: list[FieldCause] = []
    path = "status.conditions"
    if _has(after, "Approved") and _has(after, "Denied") and not (_has(before, "Approved") and _has(before, "Denied")):
        shown = after.get("conditions")
        causes.append(invalid_value(path, shown, "Approved and Denied conditions are mutually exclusive"))
    for kind in ("Approved", "Denied", "Failed"):
        if len(_of(after, kind)) < len(_of(before, kind)):
            causes.append(forbidden_value(path, f'updates may not remove a condition of type "{kind}"'))
    for kind in ("Approved", "Denied") if not approving else ():
        if len(_of(after, kind)) > len(_of(before, kind)):
            causes.append(forbidden_value(path, f'updates may not add a condition of type "{kind}"'))
        elif len(_of(after, kind)) == len(_of(before, kind)) and _of(after, kind) != _of(before, kind):
            causes.append(forbidden_value(path, f'updates may not modify a condition of type "{kind}"'))
    if before.get("certificate") and after.get("certificate") != before["certificate"]:
        causes.append(forbidden_value("status.certificate", "updates may not modify existing certificate content"))
    return causes


def stamp(old: Json, new: Json, now: str) -> None:
    """Give conditions without times theirs; `new` is the status and changed in place."""
    for row in new.get("conditions") or ():
        row["lastUpdateTime"] = row.get("lastUpdateTime") or now
        if not row.get("lastTransitionTime"):
            same = [one for one in _of(old, row.get("type") or "") if one.get("status") == row.get("status")]
            row["lastTransitionTime"] = same[0].get("lastTransitionTime") if same else now


def _of(status: Json, kind: str) -> list[Any]:
    return [one for one in status.get("conditions") or () if one.get("type") == kind]


def _has(status: Json, kind: str) -> bool:
    return bool(_of(status, kind))
