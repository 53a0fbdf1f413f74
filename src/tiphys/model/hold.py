"""Hold: why automation leaves an Application where a rollback put it, and until when. Kept in an annotation.

The annotation is JSON: `{"id": 3, "revision": "<what was rolled back to>", "insteadOf": "<what Git declared then>",
"desired": "<fingerprint of that>", "owner": "admin", "reason": "...", "since": "<RFC 3339>", "until": "<RFC 3339>"}`.
Everything in it may be absent: `{}` written by hand stops automation until the next commit that changes the Application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from tiphys.model.time import format_time, parse_time

HOLD = "tiphys.dev/hold"
_SHOWN_REVISION = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One hold. Empty fields are not known; `until` is None when only a commit or a person ends it.

    `problem` says why the annotation could not be read in full: it holds all the same, until it is taken away.
    """

    history_id: int | None = None
    revision: str = ""
    instead_of: str = ""
    desired: str = ""
    owner: str = ""
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None
    problem: str = ""


def parse_hold(annotations: Mapping[str, str]) -> Hold | None:
    """The hold of an Application, None when it has none."""
    text = annotations.get(HOLD)
    if text is None:
        return None
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        return Hold(problem=f"annotation {HOLD} is not a JSON object")
    problems: list[str] = []
    history_id = given.get("id")
    if isinstance(history_id, bool) or not isinstance(history_id, int | None):
        problems.append("id is not an integer")
        history_id = None
    texts = {name: _text(given, name, problems) for name in ("revision", "insteadOf", "desired", "owner", "reason")}
    return Hold(
        history_id=history_id,
        revision=texts["revision"],
        instead_of=texts["insteadOf"],
        desired=texts["desired"],
        owner=texts["owner"],
        reason=texts["reason"],
        since=_time(given, "since", problems),
        until=_time(given, "until", problems),
        problem=f"annotation {HOLD}: {'; '.join(problems)}" if problems else "",
    )


def format_hold(hold: Hold) -> str:
    """The text of the annotation; what is not known is left out."""
    fields: dict[str, Any] = {
        "id": hold.history_id,
        "revision": hold.revision,
        "insteadOf": hold.instead_of,
        "desired": hold.desired,
        "owner": hold.owner,
        "reason": hold.reason,
        "since": format_time(hold.since) if hold.since is not None else None,
        "until": format_time(hold.until) if hold.until is not None else None,
    }
    return orjson.dumps({name: value for name, value in fields.items() if value not in (None, "")}).decode()


def describe_hold(hold: Hold, application: str) -> str:
    """A sentence or two for people: what is held, by whom, why, and what ends it."""
    if hold.problem:
        return f"Held: {hold.problem}. Automated sync resumes when it is taken away, as by `app resume {application}`."
    at = f" at {hold.revision[:_SHOWN_REVISION]}" if hold.revision else ""
    over = f" instead of {hold.instead_of[:_SHOWN_REVISION]}" if hold.instead_of else ""
    by = f" by {hold.owner}" if hold.owner else ""
    since = f" since {format_time(hold.since)}" if hold.since is not None else ""
    why = f": {hold.reason}" if hold.reason else ""
    until = f", at {format_time(hold.until)}" if hold.until is not None else ""
    ends = f"Automated sync resumes with the next commit that changes it, with `app resume {application}`{until}"
    return f"Held{at}{over}{by}{since}{why}. {ends}."


def _text(given: Mapping[str, Any], name: str, problems: list[str]) -> str:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    problems.append(f"{name} is not a string")
    return ""


def _time(given: Mapping[str, Any], name: str, problems: list[str]) -> datetime | None:
    text = _text(given, name, problems)
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return None
