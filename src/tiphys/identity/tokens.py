"""Issue and check JWTs: login sessions, API keys of accounts, tokens of project roles.

All are signed with HS256 and the installation's key. Source: compat 6.3, 6.4; api-ui 2.3.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from tiphys.model.appproject import AppProject
from tiphys.policy.rbac import Subject, is_project_subject
from tiphys.runtime.secret import Secret
from tiphys.settings.values import CAPABILITY_API_KEY, CAPABILITY_LOGIN, Account, Settings

ISSUER = "argocd"
_ALGORITHM = "HS256"
_LEEWAY = timedelta(seconds=5)  # clocks of two replicas may differ a little


class TokenError(Exception):
    """A token that is not accepted. The message says why and holds nothing of the token."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a checked token speaks for."""

    name: str  # account name, or `proj:<project>:<role>`
    capability: str = CAPABILITY_LOGIN
    token_id: str = ""
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    groups: tuple[str, ...] = ()
    issuer: str = ISSUER

    @property
    def subject(self) -> Subject:
        """The principal as RBAC asks for it."""
        return Subject(self.name, self.groups)

    @property
    def is_project_token(self) -> bool:
        """A project role's token; its project must still list it (`is_project_token_listed`)."""
        return is_project_subject(self.name)


def issue_token(subject: str, *, key: Secret, now: datetime, token_id: str, lifetime: timedelta | None = None) -> str:
    """A signed token. `subject` is `<account>:login`, `<account>:apiKey` or `proj:<project>:<role>`."""
    if not key:
        raise TokenError("server.secretkey is missing in argocd-secret: no token can be signed")
    issued = int(now.timestamp())
    claims: dict[str, Any] = {"iss": ISSUER, "sub": subject, "iat": issued, "nbf": issued, "jti": token_id}
    if lifetime is not None:
        claims["exp"] = issued + int(lifetime.total_seconds())
    return jwt.encode(claims, key.reveal(), algorithm=_ALGORITHM)


def check_token(token: str, settings: Settings, *, now: datetime, revoked: Collection[str] = ()) -> Principal:
    """Who a token speaks for. Raises TokenError: bad signature, expired, revoked, account gone, password changed since."""
    if not settings.signing_key:
        raise TokenError("server.secretkey is missing in argocd-secret: no token can be checked")
    try:
        claims = jwt.decode(
            token,
            settings.signing_key.reveal(),
            algorithms=[_ALGORITHM],
            issuer=ISSUER,
            options={
                "require": ["sub", "iat", "iss"],
                "verify_aud": False,
                # Times are checked below against the clock we are given.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        issued, expires, not_before = (_time(claims, name) for name in ("iat", "exp", "nbf"))
    except jwt.InvalidSignatureError:
        raise TokenError("signature is invalid") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError):
        raise TokenError("token is malformed") from None
    if expires is not None and now >= expires:
        raise TokenError("token has invalid claims: token is expired")
    if (not_before is not None and now + _LEEWAY < not_before) or (issued is not None and now + _LEEWAY < issued):
        raise TokenError("token has invalid claims: token is not valid yet")
    token_id = str(claims.get("jti") or "")
    if token_id and token_id in revoked:
        raise TokenError("token is revoked, please re-login")
    subject = str(claims["sub"])
    if is_project_subject(subject):
        return Principal(subject, CAPABILITY_API_KEY, token_id, issued, expires)
    name, _, capability = subject.partition(":")
    principal = Principal(name, capability or CAPABILITY_LOGIN, token_id, issued, expires)
    _check_account(principal, settings.accounts.get(name))
    return principal


def is_project_token_listed(principal: Principal, project: AppProject) -> bool:
    """Whether the project still lists this token: same role, issue time and id; no id in the list falls back to the time.

    Source: compat 6.3 "Token check".
    """
    _, project_name, role_name = principal.name.split(":")
    if project.name != project_name or principal.issued_at is None:
        return False
    issued = int(principal.issued_at.timestamp())
    listed = (
        list(project.status.jwt_tokens_by_role[role_name].items)
        if role_name in project.status.jwt_tokens_by_role
        else []
    )
    for role in project.spec.roles:
        if role.name == role_name:
            listed += role.jwt_tokens
            break
    else:
        return False
    if principal.token_id:
        return any((token.id or str(token.iat)) == principal.token_id for token in listed)
    return any(token.iat == issued for token in listed)


def _check_account(principal: Principal, account: Account | None) -> None:
    if account is None:
        raise TokenError(f"account {principal.name} does not exist")
    if not account.enabled:
        raise TokenError(f"account {principal.name} is disabled")
    if not account.can(principal.capability):
        raise TokenError(f"account {principal.name} does not have '{principal.capability}' capability")
    if principal.capability == CAPABILITY_API_KEY:
        if not any(token.id == principal.token_id for token in account.tokens):
            raise TokenError(f"account {principal.name} does not have token with id {principal.token_id}")
        return
    mtime = account.password_mtime
    if mtime is not None and principal.issued_at is not None and principal.issued_at < mtime:
        raise TokenError("account password has changed since token issued")


def _time(claims: dict[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(name)
    return datetime.fromtimestamp(int(value), UTC)
