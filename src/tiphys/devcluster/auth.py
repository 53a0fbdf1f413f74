"""Who is asking: the administrator's token and service account tokens. Everyone known may do everything."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.secret import Secret

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


ADMIN = User("admin", "admin-uid", ("system:masters", "system:authenticated"))


class Authenticator:
    """Bearer tokens to users; signs service account tokens.

    `lookup` gives the uid of an object by (resource, namespace, name), None when it is gone: a token dies with what it is
    bound to.
    """

    def __init__(
        self, *, admin_token: Secret, signing_key: Secret, lookup: Callable[[str, str, str], str | None], clock: Clock
    ) -> None:
        self._admin = admin_token.reveal().encode()
        key = serialization.load_pem_private_key(signing_key.reveal().encode(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._lookup = lookup
        self._clock = clock
        self._known: dict[bytes, tuple[float, User, tuple[tuple[str, str, str, str], ...]]] = {}

    def user_of(self, header: bytes) -> User | None:
        """The caller behind an Authorization header, None when the token is not valid."""
        scheme, _, token = header.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token:
            return None
        if hmac.compare_digest(token, self._admin):
            return ADMIN
        return self.service_account_of(token)

    def service_account_of(self, token: bytes, audiences: Sequence[str] = ()) -> User | None:
        """The service account of a signed token, None when it is forged, expired or its account is gone."""
        now = self._clock.now().timestamp()
        cached = self._known.get(token) if not audiences else None
        if cached is None:
            found = self._verify(token, audiences or (ISSUER,))
            if found is None:
                return None
            cached = found
            if not audiences:
                if len(self._known) > 1024:
                    self._known.clear()
                self._known[token] = cached
        expires, user, bound = cached
        if expires <= now or any(self._lookup(kind, ns, name) != uid for kind, ns, name, uid in bound):
            self._known.pop(token, None)
            return None
        return user

    def _verify(
        self, token: bytes, audiences: Sequence[str]
    ) -> tuple[float, User, tuple[tuple[str, str, str, str], ...]] | None:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["ES256"],
                audience=list(audiences),
                issuer=ISSUER,
                # The clock is ours: time is judged by the caller.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        private = claims.get("kubernetes.io") or {}
        namespace, account = private.get("namespace", ""), private.get("serviceaccount") or {}
        bound = [("serviceaccounts", namespace, account.get("name", ""), account.get("uid", ""))]
        for kind, plural in (("pod", "pods"), ("secret", "secrets")):
            if one := private.get(kind):
                bound.append((plural, namespace, one.get("name", ""), one.get("uid", "")))
        user = service_account_user(namespace, account.get("name", ""), account.get("uid", ""))
        return float(claims.get("exp", 0)), user, tuple(bound)

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


def service_account_user(namespace: str, name: str, uid: str) -> User:
    """The user a service account is."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        uid,
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
    )
