"""Keys and tokens: what strict verification asks for, and what tokens are bound to."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from tests.support.clock import VirtualClock

from tiphys.devcluster.auth import ADMIN, ANONYMOUS, Authenticator
from tiphys.devcluster.pki import ensure_pki

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_authority_stays_and_the_serving_certificate_is_renewed(tmp_path: Path) -> None:
    first = ensure_pki(tmp_path, now=NOW, new_token="one")
    old = first.cert_path.read_bytes()
    second = ensure_pki(tmp_path, now=NOW + timedelta(days=1), new_token="two")

    assert second.ca_pem == first.ca_pem
    assert second.cert_path.read_bytes() != old
    assert second.admin_token.reveal() == "one"
    assert "one" not in repr(second)


def test_only_the_owner_can_read_the_keys(tmp_path: Path) -> None:
    ensure_pki(tmp_path / "pki", now=NOW, new_token="x")

    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()} == {0o600}


def test_certificates_carry_what_strict_verification_needs(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, now=NOW, new_token="x")
    ca = x509.load_pem_x509_certificate(pki.ca_pem.encode())
    leaf = x509.load_pem_x509_certificate(pki.cert_path.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert ca.extensions.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS).critical
    assert ca.extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).critical
    assert leaf.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    assert set(names.get_values_for_type(x509.DNSName)) >= {"localhost", "kubernetes.default.svc"}
    assert {str(one) for one in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}
    context = ssl.create_default_context(cadata=pki.ca_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert context.cert_store_stats()["x509_ca"] == 1


def test_tokens_end_with_their_time_and_with_their_account(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, now=NOW, new_token="admin")
    clock = VirtualClock()
    accounts = {("serviceaccounts", "ns", "bot"): "uid-1"}
    auth = Authenticator(
        admin_token=pki.admin_token,
        signing_key=pki.signing_key_pem,
        lookup=lambda kind, ns, name: accounts.get((kind, ns, name)),
        clock=clock,
    )
    token, expires = auth.issue("ns", "bot", "uid-1", audiences=[AUDIENCE], life_s=600, bound={}, token_id="t")
    header = b"Bearer " + token.encode()

    user = auth.user_of(header)
    assert user is not None
    assert (user.name, expires) == ("system:serviceaccount:ns:bot", "2026-01-01T00:10:00Z")
    assert auth.user_of(b"Bearer admin") is ADMIN
    assert auth.user_of(b"Bearer " + token[:-4].encode() + b"AAAA") is None
    assert auth.user_of(b"Basic eDp5") is ANONYMOUS
    accounts[("serviceaccounts", "ns", "bot")] = "uid-2"
    assert auth.user_of(header) is None
    accounts[("serviceaccounts", "ns", "bot")] = "uid-1"
    assert auth.user_of(header) is not None
    clock._elapsed = 601
    assert auth.user_of(header) is None
    assert jwt.decode(token, options={"verify_signature": False})["sub"] == "system:serviceaccount:ns:bot"


AUDIENCE = "https://kubernetes.default.svc.cluster.local"
