"""Takes credentials out of URLs, headers and text before they are logged or stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

STARS = "******"

# `scheme://user:password@` and `scheme://token@`. What stands before the @ may be the token itself, so all of it goes.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<user>[^\s/@'\"?#]+)@")
_AUTHORIZATION = re.compile(
    r"(?P<head>\b(?:(?:proxy-)?authorization|private-token|x-auth-token|cookie|set-cookie)[\"']?\s*[:=]\s*[\"']?)"
    r"(?P<scheme>(?:bearer|basic|token|digest|negotiate)\s+)?[^\s\"',]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/\-]{8,}=*", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?P<name>[?&;](?:[a-z_\-]*(?:token|password|passwd|secret|signature|apikey|api_key|api-key|sig|credential))=)[^&\s#\"']+",
    re.IGNORECASE,
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{4,}\.[A-Za-z0-9_\-]*")
_PREFIXED = re.compile(
    r"\b(?:gh[oprsu]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_\-]{16,}|k8s-aws-v1\.[A-Za-z0-9_\-]{16,}"
    r"|xox[abeprs]-[A-Za-z0-9\-]{10,}|ya29\.[A-Za-z0-9_\-]{16,})"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)

# A text without any of these cannot hold one of the forms above; the test is much cheaper than the expressions.
_HINTS = (
    "://",
    "eyj",
    "bearer",
    "basic",
    "authorization",
    "token",
    "cookie",
    "=",
    "_",
    "-----begin",
    "glpat",
    "xox",
    "k8s-aws",
)


def redact_url(url: str) -> str:
    """The URL with its user part and secret-looking parameters starred; `ssh://git@host` keeps its user name."""
    return _PARAMETER.sub(lambda m: f"{m['name']}{STARS}", _USERINFO.sub(_star_user, url))


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with URL credentials, authorization headers, tokens, private keys and the given `secrets` starred."""
    for secret in secrets:
        if len(secret) >= 4:  # a shorter one would star half of the words
            text = text.replace(secret, STARS)
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    if "-----begin" in lowered:
        text = _PRIVATE_KEY.sub(lambda m: f"-----BEGIN {m[1]}-----{STARS}", text)
    if "://" in text or "=" in text:
        text = redact_url(text)
    text = _AUTHORIZATION.sub(lambda m: f"{m['head']}{m['scheme'] or ''}{STARS}", text)
    text = _BEARER.sub(lambda m: f"{m[1]} {STARS}", text)
    if "eyj" in lowered:
        text = _JWT.sub(STARS, text)
    return _PREFIXED.sub(STARS, text)


def _star_user(match: re.Match[str]) -> str:
    scheme, user = match["scheme"], match["user"]
    if scheme.lower() in ("ssh", "git+ssh") and ":" not in user:
        return match[0]  # a login name, not a credential
    return f"{scheme}://{STARS}@"
