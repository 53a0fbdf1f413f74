"""Login, logout, failed-login throttle.

Source: compat 6.4.
Differs: no random delay after a check, because checks of unknown users hash as long as those of known ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from tiphys.identity.passwords import DUMMY_HASH, check_password
from tiphys.identity.tokens import Principal, check_token, issue_token
from tiphys.runtime.clock import Clock
from tiphys.runtime.ids import Ids
from tiphys.runtime.secret import Secret
from tiphys.settings.values import CAPABILITY_LOGIN, ApiToken, Settings

T = TypeVar("T")

MAX_USERNAME_BYTES = 32
INVALID_LOGIN = "Invalid username or password"

_MAX_FAILURES = 5
_FAILURE_WINDOW_S = 300.0
_MAX_TRACKED = 1000
_MAX_WAITING_CHECKS = 64  # half a minute of hashing; a flood beyond it is refused rather than queued
_CONCURRENT_CHECKS = 2  # hashing is CPU: more at once would only starve everything else


class LoginError(Exception):
    """A login that is refused; the message is for the user and the same whether the account exists or not."""


class TooManyLoginsError(Exception):
    """So many logins are being checked that another would only wait."""


class UsernameTooLongError(LoginError):
    """The user name cannot belong to an account."""


@dataclass(slots=True)
class _Failures:
    count: int
    last_s: float


class LoginThrottle:
    """Counts failed logins by user name: five within five minutes close the door, even to the right password."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def is_closed(self, username: str, now_s: float) -> bool:
        """Whether logins of this name are refused for now; `now_s` is monotonic."""
        failures = self._failures.get(username)
        if failures is None:
            return False
        if now_s - failures.last_s > _FAILURE_WINDOW_S:
            del self._failures[username]
            return False
        return failures.count >= _MAX_FAILURES

    def failed(self, username: str, now_s: float) -> None:
        """Count a failure. Names beyond the most recent thousand are forgotten, closed doors last."""
        failures = self._failures.pop(username, None)
        if failures is None or now_s - failures.last_s > _FAILURE_WINDOW_S:
            failures = _Failures(0, now_s)
        failures.count += 1
        failures.last_s = now_s
        self._failures[username] = failures
        if len(self._failures) > _MAX_TRACKED:
            open_names = (name for name, found in self._failures.items() if found.count < _MAX_FAILURES)
            self._failures.pop(next(open_names, next(iter(self._failures))))

    def succeeded(self, username: str) -> None:
        """Forget the failures of a name."""
        self._failures.pop(username, None)


class Sessions:
    """Logs accounts in and out and tells who a token speaks for. `settings` gives the settings in force."""

    def __init__(self, *, settings: Callable[[], Settings], clock: Clock, ids: Ids) -> None:
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._throttle = LoginThrottle()
        self._revoked: dict[str, datetime] = {}  # token id -> when it expires anyway
        self._checks = asyncio.Semaphore(_CONCURRENT_CHECKS)
        self._waiting = 0

    async def login(self, username: str, password: Secret) -> str:
        """A session token. Raises LoginError, TooManyLoginsError."""
        if not password:
            raise LoginError("Blank passwords are not allowed")
        if len(username.encode()) > MAX_USERNAME_BYTES:
            raise UsernameTooLongError(f"Username is too long ({MAX_USERNAME_BYTES} bytes max)")
        if self._throttle.is_closed(username, self._clock.monotonic()):
            raise LoginError(INVALID_LOGIN)
        account = self._settings().accounts.get(username)
        password_hash = account.password_hash if account is not None and account.password_hash else DUMMY_HASH
        right = await self._hashing(lambda: check_password(password, password_hash))
        if account is None or not right or password_hash is DUMMY_HASH:
            self._throttle.failed(username, self._clock.monotonic())
            raise LoginError(INVALID_LOGIN)
        if not account.enabled:
            raise LoginError(f"Account {username} is disabled")
        if not account.can(CAPABILITY_LOGIN):
            raise LoginError(f"Account {username} does not have {CAPABILITY_LOGIN} capability")
        self._throttle.succeeded(username)
        return self.issue(username)

    async def verify_password(self, username: str, password: Secret) -> bool:
        """Whether this is the account's password; wrong ones count as failed logins."""
        if self._throttle.is_closed(username, self._clock.monotonic()):
            return False
        account = self._settings().accounts.get(username)
        password_hash = account.password_hash if account is not None else DUMMY_HASH
        right = await self._hashing(lambda: check_password(password, password_hash))
        if not right:
            self._throttle.failed(username, self._clock.monotonic())
        return right and account is not None

    async def hash(self, password: Secret, hasher: Callable[[Secret], str]) -> str:
        """The hash of a new password, made beside the event loop."""
        return await self._hashing(lambda: hasher(password))

    def issue(self, username: str) -> str:
        """A session token for an account that has proved itself."""
        settings = self._settings()
        return issue_token(
            f"{username}:{CAPABILITY_LOGIN}",
            key=settings.signing_key,
            now=self._clock.now(),
            token_id=self._ids.uuid(),
            lifetime=settings.session_duration,
        )

    def issue_key(self, subject: str, token_id: str, lifetime: timedelta | None) -> tuple[str, ApiToken]:
        """A token that is not a login, and what is to be kept of it; without `token_id` it gets one, without `lifetime` it
        lasts."""
        token_id = token_id or self._ids.uuid()
        now = self._clock.now()
        token = issue_token(subject, key=self._settings().signing_key, now=now, token_id=token_id, lifetime=lifetime)
        issued = int(now.timestamp())
        return token, ApiToken(id=token_id, iat=issued, exp=issued + int(lifetime.total_seconds()) if lifetime else 0)

    def check(self, token: str) -> Principal:
        """Who a token speaks for. Raises TokenError."""
        return check_token(token, self._settings(), now=self._clock.now(), revoked=self._revoked)

    def is_ending(self, principal: Principal) -> bool:
        """Whether a session has less than five minutes left and should be renewed."""
        return (
            principal.capability == CAPABILITY_LOGIN
            and principal.expires_at is not None
            and principal.expires_at - self._clock.now() < timedelta(minutes=5)
        )

    def logout(self, principal: Principal) -> None:
        """Revoke a session for as long as it would have lasted."""
        now = self._clock.now()
        for token_id in [token_id for token_id, expires in self._revoked.items() if expires <= now]:
            del self._revoked[token_id]
        if principal.token_id and principal.expires_at is not None and principal.capability == CAPABILITY_LOGIN:
            self._revoked[principal.token_id] = principal.expires_at

    async def _hashing(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MAX_WAITING_CHECKS:
            raise TooManyLoginsError("too many logins are being checked: try again in a moment")
        self._waiting += 1
        try:
            async with self._checks:
                return await asyncio.get_running_loop().run_in_executor(None, work)
        finally:
            self._waiting -= 1
