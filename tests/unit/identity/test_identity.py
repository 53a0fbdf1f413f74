"""Logins, tokens and first start hold the rules of compat 6.4."""

from __future__ import annotations

import asyncio
import base64
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tiphys.identity.accounts import INITIAL_ADMIN_SECRET, password_patch, plan_first_start
from tiphys.identity.passwords import DUMMY_HASH, check_password, generate_password, hash_password, is_acceptable
from tiphys.identity.sessions import (
    INVALID_LOGIN,
    LoginError,
    LoginThrottle,
    Sessions,
    TooManyLoginsError,
    UsernameTooLongError,
)
from tiphys.identity.tokens import Principal, TokenError, check_token, is_project_token_listed, issue_token
from tiphys.model.appproject import parse_appproject
from tiphys.runtime.ids import SystemIds
from tiphys.runtime.secret import Secret
from tiphys.settings.load import load_settings
from tiphys.settings.values import Account, ApiToken, Settings

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
KEY = Secret("k" * 64)
PASSWORD = Secret("correct horse")
HASH = Secret(hash_password(PASSWORD, rounds=4))


class Clock:
    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.elapsed += seconds


def settings(**changes: Any) -> Settings:
    accounts = {
        "admin": Account(name="admin", capabilities=frozenset(("login",)), password_hash=HASH),
        "ci": Account(
            name="ci", capabilities=frozenset(("apiKey",)), tokens=(ApiToken(id="t1", iat=1),), password_hash=HASH
        ),
        "off": Account(name="off", capabilities=frozenset(("login",)), enabled=False, password_hash=HASH),
        "empty": Account(name="empty", capabilities=frozenset(("login",))),
    }
    return replace(Settings(signing_key=KEY, accounts=accounts), **changes)


def sessions(clock: Clock | None = None) -> Sessions:
    held = settings()
    return Sessions(settings=lambda: held, clock=clock or Clock(), ids=SystemIds())


async def test_a_login_gives_a_token_in_argo_cds_form() -> None:
    token = await sessions().login("admin", PASSWORD)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.decode(token, options={"verify_signature": False})
    issued = int(NOW.timestamp())
    assert claims.pop("jti")
    assert claims == {"iss": "argocd", "sub": "admin:login", "iat": issued, "nbf": issued, "exp": issued + 86400}


@pytest.mark.parametrize(
    ("username", "password", "message"),
    [
        ("admin", "wrong", INVALID_LOGIN),
        ("nobody", "correct horse", INVALID_LOGIN),
        ("empty", "correct horse", INVALID_LOGIN),
        ("off", "correct horse", "Account off is disabled"),
        ("ci", "correct horse", "Account ci does not have login capability"),
        ("admin", "", "Blank passwords are not allowed"),
        ("x" * 33, "p", "Username is too long (32 bytes max)"),
    ],
)
async def test_refused_logins(username: str, password: str, message: str) -> None:
    with pytest.raises(LoginError) as caught:
        await sessions().login(username, Secret(password))
    assert str(caught.value) == message


async def test_five_failures_close_the_door_for_five_minutes_even_to_the_right_password() -> None:
    clock = Clock()
    door = sessions(clock)
    for _ in range(5):
        with pytest.raises(LoginError):
            await door.login("admin", Secret("wrong"))
    with pytest.raises(LoginError, match=INVALID_LOGIN):
        await door.login("admin", PASSWORD)
    clock.elapsed = 301
    assert await door.login("admin", PASSWORD)


async def test_a_flood_of_logins_is_refused_rather_than_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tiphys.identity.sessions.DUMMY_HASH", Secret(HASH.reveal())
    )  # cheap rounds: the flood is what is tested
    door = sessions()
    results = await asyncio.gather(*(door.login(f"user{n}", PASSWORD) for n in range(80)), return_exceptions=True)
    assert {type(result) for result in results} == {LoginError, TooManyLoginsError}
    assert await door.login("admin", PASSWORD)


def test_a_flood_of_names_neither_grows_memory_nor_opens_a_closed_door() -> None:
    throttle = LoginThrottle()
    for _ in range(5):
        throttle.failed("admin", 0)
    for n in range(5000):
        throttle.failed(f"user{n}", 1)
    assert throttle.is_closed("admin", 2)
    assert len(throttle._failures) <= 1000


def token(subject: str = "admin:login", *, key: Secret = KEY, token_id: str = "j", lifetime: int | None = 60) -> str:
    return issue_token(
        subject, key=key, now=NOW, token_id=token_id, lifetime=timedelta(seconds=lifetime) if lifetime else None
    )


def test_a_good_token_names_its_account() -> None:
    principal = check_token(token(), settings(), now=NOW)
    assert (principal.name, principal.capability, principal.token_id) == ("admin", "login", "j")
    assert check_token(token("ci:apiKey", token_id="t1", lifetime=None), settings(), now=NOW).name == "ci"


@pytest.mark.parametrize(
    ("made", "at", "why"),
    [
        (token(key=Secret("o" * 32)), NOW, "signature is invalid"),
        (token(), NOW + timedelta(seconds=60), "token has invalid claims: token is expired"),
        (token(), NOW - timedelta(minutes=1), "token has invalid claims: token is not valid yet"),
        (token("nobody:login"), NOW, "account nobody does not exist"),
        (token("off:login"), NOW, "account off is disabled"),
        (token("ci:login"), NOW, "account ci does not have 'login' capability"),
        (token("ci:apiKey", token_id="gone"), NOW, "account ci does not have token with id gone"),
        ("nonsense", NOW, "token is malformed"),
        ("a.b.c", NOW, "token is malformed"),
        (
            jwt.encode({"iss": "argocd", "sub": "admin:login", "iat": 1}, "", algorithm="none"),
            NOW,
            "token is malformed",
        ),
        (jwt.encode({"iss": "evil", "sub": "admin:login", "iat": 1}, KEY.reveal()), NOW, "token is malformed"),
        (jwt.encode({"iss": "argocd", "iat": 1}, KEY.reveal()), NOW, "token is malformed"),
        (jwt.encode({"iss": "argocd", "sub": "admin:login", "iat": "x"}, KEY.reveal()), NOW, "token is malformed"),
        (
            jwt.encode({"iss": "argocd", "sub": "admin:login", "iat": 1}, KEY.reveal(), algorithm="HS512"),
            NOW,
            "malformed",
        ),
    ],
)
def test_bad_tokens_are_refused_and_say_why(made: str, at: datetime, why: str) -> None:
    with pytest.raises(TokenError, match=why):
        check_token(made, settings(), now=at)


def test_without_a_signing_key_nothing_is_accepted() -> None:
    with pytest.raises(TokenError):
        check_token(jwt.encode({"iss": "argocd", "sub": "admin:login", "iat": 1}, "x" * 32), Settings(), now=NOW)


def test_a_changed_password_ends_the_sessions_before_it() -> None:
    admin = replace(settings().admin, password_mtime=NOW + timedelta(seconds=1))
    with pytest.raises(TokenError, match="account password has changed since token issued"):
        check_token(token(), settings(accounts={"admin": admin}), now=NOW + timedelta(seconds=2))


async def test_logout_revokes_and_endings_are_seen() -> None:
    clock = Clock()
    held = sessions(clock)
    made = await held.login("admin", PASSWORD)
    principal = held.check(made)
    assert not held.is_ending(principal)
    clock.elapsed = 86400 - 200
    assert held.is_ending(principal)
    held.logout(principal)
    with pytest.raises(TokenError, match="revoked"):
        held.check(made)


def test_a_project_token_counts_while_its_project_lists_it() -> None:
    def listed(tokens: list[dict[str, Any]], principal: Principal) -> bool:
        project = parse_appproject(
            {"metadata": {"name": "team"}, "spec": {"roles": [{"name": "ci", "jwtTokens": tokens}]}}
        )
        return is_project_token_listed(principal, project)

    issued = int(NOW.timestamp())
    with_id = Principal("proj:team:ci", token_id="a", issued_at=NOW)
    without = Principal("proj:team:ci", issued_at=NOW)
    assert listed([{"iat": issued, "id": "a"}], with_id)
    assert not listed([{"iat": issued, "id": "b"}], with_id)
    assert listed([{"iat": issued}], without)
    assert not listed([], without)
    assert not listed([{"iat": issued}], Principal("proj:team:other", issued_at=NOW))


def plan(existing: dict[str, Any]) -> Any:
    counter = itertools.count()

    class CountedIds(SystemIds):
        def token(self, size_bytes: int = 32) -> str:
            return f"token-{next(counter)}" + "x" * 40

    return plan_first_start(
        "argocd", existing, ids=CountedIds(), now=NOW, hash_password=lambda password: f"hash:{password.reveal()}"
    )


def test_first_start_creates_what_is_missing_and_the_password_works() -> None:
    planned = plan({})
    assert [obj["metadata"]["name"] for obj in planned.create] == [
        "argocd-cm",
        "argocd-cmd-params-cm",
        "argocd-rbac-cm",
        "argocd-secret",
        INITIAL_ADMIN_SECRET,
    ]
    by_name = {obj["metadata"]["name"]: obj for obj in planned.create}
    loaded = load_settings(by_name)
    assert loaded.problems == ()
    initial = base64.b64decode(by_name[INITIAL_ADMIN_SECRET]["data"]["password"]).decode()
    assert loaded.settings.admin.password_hash.reveal() == f"hash:{initial}"
    assert loaded.settings.admin.password_mtime == NOW
    assert loaded.settings.signing_key


def test_a_complete_installation_is_left_alone_and_an_incomplete_secret_is_patched() -> None:
    data = {"server.secretkey": "aw==", "admin.password": "aA=="}
    complete: dict[str, Any] = {name: {"data": {}} for name in ("argocd-cm", "argocd-cmd-params-cm", "argocd-rbac-cm")}
    planned = plan({**complete, "argocd-secret": {"data": data}})
    assert (planned.create, planned.patch_secret, planned.admin_password) == ((), None, None)
    planned = plan({**complete, "argocd-secret": {"data": {"admin.password": "aA=="}}})
    assert planned.create == ()
    assert list(planned.patch_secret["data"]) == ["server.secretkey"]


def test_passwords() -> None:
    assert check_password(PASSWORD, HASH)
    assert not check_password(Secret("x"), HASH)
    assert not check_password(Secret("x" * 100), HASH)
    assert not check_password(PASSWORD, Secret("not a hash"))
    assert not check_password(PASSWORD, DUMMY_HASH)
    with pytest.raises(ValueError, match="72 bytes"):
        hash_password(Secret("x" * 73))
    assert is_acceptable(generate_password(SystemIds()), Settings().password_pattern)
    assert not is_acceptable(Secret("short"), Settings().password_pattern)
    assert set(password_patch("bob", "h", NOW)["data"]) == {"accounts.bob.password", "accounts.bob.passwordMtime"}


def test_an_overlong_name_is_its_own_error() -> None:
    assert issubclass(UsernameTooLongError, LoginError)
