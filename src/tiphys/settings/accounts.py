"""Local accounts from argocd-cm and argocd-secret.

Source: compat 6.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime

from tiphys.model.annotations import parse_csv, parse_go_bool
from tiphys.model.codec import InvalidObject, decode
from tiphys.model.time import parse_time
from tiphys.runtime.secret import Secret
from tiphys.settings.keys import CM, SECRET
from tiphys.settings.problems import Problems
from tiphys.settings.values import ADMIN, CAPABILITY_API_KEY, CAPABILITY_LOGIN, Account, ApiToken

_ACCOUNT_KEY = re.compile(r"accounts\.([^.]+)(?:\.(.+))?")
_CAPABILITIES = frozenset((CAPABILITY_LOGIN, CAPABILITY_API_KEY))


def load_accounts(config: Mapping[str, str], secret: Mapping[str, str], problems: Problems) -> dict[str, Account]:
    """All accounts by name; `admin` is always there and can log in."""
    capabilities: dict[str, frozenset[str]] = {ADMIN: frozenset((CAPABILITY_LOGIN,))}
    enabled: dict[str, bool] = {}
    admin_enabled = parse_go_bool(config.get("admin.enabled", "true").strip())
    if admin_enabled is not None:
        enabled[ADMIN] = admin_enabled
    for key in sorted(config):
        match = _ACCOUNT_KEY.fullmatch(key)
        if match is None:
            continue
        name, attribute = match[1], match[2]
        if attribute is None:
            words = parse_csv(config[key])
            for word in words:
                if word not in _CAPABILITIES:
                    problems.add(CM, key, "has a capability that is neither apiKey nor login")
            capabilities[name] = capabilities.get(name, frozenset()) | (frozenset(words) & _CAPABILITIES)
        elif attribute == "enabled":
            value = parse_go_bool(config[key].strip())
            if value is None:
                problems.add(CM, key, "is not a boolean (true or false)")
            else:
                enabled[name] = value
        else:
            problems.add(CM, key, "is not a known key of an account")
    return {
        name: _account(name, words, enabled.get(name, True), secret, problems) for name, words in capabilities.items()
    }


def account_key(name: str, attribute: str) -> str:
    """Key of argocd-secret for an account's password, passwordMtime or tokens."""
    return f"admin.{attribute}" if name == ADMIN else f"accounts.{name}.{attribute}"


def _account(
    name: str, capabilities: frozenset[str], enabled: bool, secret: Mapping[str, str], problems: Problems
) -> Account:
    return Account(
        name=name,
        capabilities=capabilities,
        enabled=enabled,
        password_hash=Secret(secret.get(account_key(name, "password"), "")),
        password_mtime=_mtime(secret, account_key(name, "passwordMtime"), problems),
        tokens=_tokens(secret, account_key(name, "tokens"), problems),
    )


def _mtime(secret: Mapping[str, str], key: str, problems: Problems) -> datetime | None:
    text = secret.get(key, "").strip()
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError:
        problems.add(SECRET, key, "is not an RFC 3339 time")
        return None


def _tokens(secret: Mapping[str, str], key: str, problems: Problems) -> tuple[ApiToken, ...]:
    text = secret.get(key, "").strip()
    if not text:
        return ()
    try:
        items = json.loads(text)
        if not isinstance(items, list):
            raise TypeError
        return tuple(decode(ApiToken, item) for item in items)
    except (ValueError, TypeError, InvalidObject):
        problems.add(SECRET, key, "is not a JSON list of {id, iat, exp}")
        return ()
