"""Who is asking: the administrator's token, service account tokens, client certificates, or nobody in particular."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.secret import Secret

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
CREDENTIAL = "authentication.kubernetes.io/credential-id"
LEGACY_ISSUER = "kubernetes/serviceaccount"
_LEGACY = "kubernetes.io/serviceaccount/"
ISSUER = "https://kubernetes.default.svc.cluster.local"
MAX_TOKEN_LIFE_S = 2**32
MIN_TOKEN_LIFE_S = 600
DEFAULT_TOKEN_LIFE_S = 3600


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As authentication.k8s.io UserInfo."""
        info: dict[str, Any] = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra}
        return info


ADMIN = User("admin", "admin-uid", (MASTERS, AUTHENTICATED))
ANONYMOUS = User("system:anonymous", "", (UNAUTHENTICATED,))

_CACHED = 1024
_NEVER = float("inf")  # when tokens of Secrets expire; they are not cached, but compared with the Secret each time
_Bound = tuple[tuple[str, str, str, str], ...]  # (resource, namespace, name, uid) a token lives as long as


class Authenticator:
    """Bearer tokens and client certificates to users; signs service account tokens.

    `lookup` gives the uid of an object by (resource, namespace, name), None when it is gone: a token dies with what it is
    bound to. `secret_token` gives the base64 token a Secret holds: tokens of Secrets are good while they are in there.
    """

    def __init__(
        self,
        *,
        admin_token: Secret,
        signing_key: Secret,
        lookup: Callable[[str, str, str], str | None],
        clock: Clock,
        secret_token: Callable[[str, str], str | None] = lambda _namespace, _name: None,
    ) -> None:
        self._admin = admin_token.reveal().encode()
        key = serialization.load_pem_private_key(signing_key.reveal().encode(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._lookup = lookup
        self._secret_token = secret_token
        self._clock = clock
        self._known: dict[bytes, tuple[float, User, _Bound]] = {}
        self._certificates: dict[bytes, User | None] = {}

    def user_of(self, header: bytes, certificate: bytes | None = None) -> User | None:
        """The caller behind an Authorization header and a verified client certificate (DER), None when a token is not valid.

        Without credentials, or with such as nobody here reads, it is the anonymous user.
        """
        if certificate is not None:
            known = self.user_of_certificate(certificate)
            if known is not None:
                return known
        scheme, _, token = header.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token:
            return ANONYMOUS
        if hmac.compare_digest(token, self._admin):
            return ADMIN
        return self.service_account_of(token)

    def user_of_certificate(self, certificate: bytes) -> User | None:
        """The user a client certificate names: CN is the name, each O a group. None without a CN."""
        if certificate not in self._certificates:
            if len(self._certificates) > _CACHED:
                self._certificates.clear()
            self._certificates[certificate] = _certified(certificate)
        return self._certificates[certificate]

    def service_account_of(self, token: bytes, audiences: Sequence[str] = ()) -> User | None:
        """The service account of a signed token, None when it is forged, expired or its account is gone."""
        now = self._clock.now().timestamp()
        cached = self._known.get(token) if not audiences else None
        if cached is None:
            found = self._verify(token, audiences or (ISSUER,))
            if found is None:
                return None
            cached = found
            if not audiences and found[0] != _NEVER:
                if len(self._known) > _CACHED:
                    self._known.clear()
                self._known[token] = cached
        expires, user, bound = cached
        if expires <= now or any(self._lookup(kind, ns, name) != uid for kind, ns, name, uid in bound):
            self._known.pop(token, None)
            return None
        return user

    def _verify(self, token: bytes, audiences: Sequence[str]) -> tuple[float, User, _Bound] | None:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["ES256"],
                # The clock is ours: time is judged by the caller; issuer and audience differ between the two sorts of token.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.InvalidTokenError:
            return None
        if claims.get("iss") == LEGACY_ISSUER:
            return self._verify_secret(token, claims)
        meant = claims.get("aud") or ()
        if claims.get("iss") != ISSUER or not set((meant,) if isinstance(meant, str) else meant) & set(audiences):
            return None
        private = claims.get("kubernetes.io") or {}
        namespace, account = private.get("namespace", ""), private.get("serviceaccount") or {}
        bound = [("serviceaccounts", namespace, account.get("name", ""), account.get("uid", ""))]
        extra = [(CREDENTIAL, (f"JTI={claims['jti']}",))] if claims.get("jti") else []
        for kind, plural in (("pod", "pods"), ("secret", "secrets")):
            if one := private.get(kind):
                bound.append((plural, namespace, one.get("name", ""), one.get("uid", "")))
        for kind in ("node", "pod"):
            if one := private.get(kind):
                for key in ("name", "uid"):
                    extra.append((f"authentication.kubernetes.io/{kind}-{key}", (str(one.get(key, "")),)))
        user = service_account_user(namespace, account.get("name", ""), account.get("uid", ""), extra)
        return float(claims.get("exp", 0)), user, tuple(bound)

    def _verify_secret(self, token: bytes, claims: Mapping[str, Any]) -> tuple[float, User, _Bound] | None:
        """A token without end that was put into a Secret."""
        namespace, name = str(claims.get(_LEGACY + "namespace")), str(claims.get(_LEGACY + "service-account.name"))
        uid, secret = str(claims.get(_LEGACY + "service-account.uid")), str(claims.get(_LEGACY + "secret.name"))
        try:
            held = base64.b64decode(self._secret_token(namespace, secret) or "")
        except binascii.Error:
            held = b""
        if not hmac.compare_digest(held, token):
            return None
        bound = ("serviceaccounts", namespace, name, uid)
        return _NEVER, service_account_user(namespace, name, uid), (bound,)

    def issue(
        self,
        namespace: str,
        name: str,
        uid: str,
        *,
        audiences: Sequence[str],
        life_s: int,
        bound: Mapping[str, Mapping[str, str]],
        token_id: str,
    ) -> tuple[str, str]:
        """(token, expiry as RFC 3339) for a service account; `bound` holds `pod` or `secret` with name and uid."""
        now: datetime = self._clock.now()
        expires = now + timedelta(seconds=life_s)
        claims = {
            "aud": list(audiences),
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "iss": ISSUER,
            "jti": token_id,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}, **bound},
        }
        return jwt.encode(claims, self._key, algorithm="ES256"), format_time(expires)

    def issue_for_secret(self, namespace: str, name: str, uid: str, secret: str) -> str:
        """The token of a service account that lives as long as the Secret it is put into."""
        claims = {
            "iss": LEGACY_ISSUER,
            _LEGACY + "namespace": namespace,
            _LEGACY + "secret.name": secret,
            _LEGACY + "service-account.name": name,
            _LEGACY + "service-account.uid": uid,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return jwt.encode(claims, self._key, algorithm="ES256")


def service_account_user(
    namespace: str, name: str, uid: str, extra: Sequence[tuple[str, tuple[str, ...]]] = ()
) -> User:
    """The user a service account is."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        uid,
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED),
        tuple(extra),
    )


def _certified(certificate: bytes) -> User | None:
    subject = x509.load_der_x509_certificate(certificate).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        return None
    groups = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    digest = hashlib.sha256(certificate).hexdigest()
    return User(str(names[0].value), "", (*groups, AUTHENTICATED), ((CREDENTIAL, (f"X509SHA256={digest}",)),))
