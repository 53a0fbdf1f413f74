"""Normal: an answer without what no two servers have in common, and how two of them differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"20[23]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ADDRESS = re.compile(r"\b10\.96\.\d+\.\d+\b")
_GENERATED = re.compile(r"\b((?:kopf-event|gen|g|kube-api-access|UPPER)-|x{58})[bcdfghjklmnpqrstvwxz2456789]{5}\b")
_VERSION_IN_TEXT = re.compile(r"(\"resourceVersion\\?\":\s?\\?\"|resourceVersion: |record \(|version: )\d+")
_TOO_OLD = re.compile(r"(too old resource version: |The provided resource version is too old: )\d+ \(\d+\)")
_TOO_LARGE = re.compile(r"(Too large resource version: \d+, current: )\d+")
_SCHEME = re.compile(r"in scheme \\?\"[^\"]*\"")  # a line of the source the server was built from
_AGE = re.compile(r"\d{1,2}s|\d{3,}d")  # of what is new, or bears a date of its own
_HASH = re.compile(r"\?hash=[0-9A-F]+")
_SECRET_FIELDS = {
    "token": "TOKEN",
    "storageVersionHash": "HASH",
    "continue": "CONTINUE",
    "serverAddress": "ADDRESS",
    "ca.crt": "CA",
}
_OF_THE_CALLER = ("username", "uid", "groups", "extra")  # the two servers know the caller by different names
_CALLERS = ("admin", "system:serviceaccount:argocd:argocd-application-controller")
_PORT_FIELDS = ("nodePort", "healthCheckNodePort")
_OWN_HEADERS = {"etag": "HASH", "audit-id": "ID", "x-kubernetes-pf-flowschema-uid": "UID"}


@dataclass(frozen=True)
class Difference:
    """Where two answers to one request differ: a path into the answer, and the two values there."""

    case: str
    where: str
    real: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.case}\n    at {self.where}\n      real {_shown(self.real)}\n      ours {_shown(self.ours)}"


def _shown(value: Any) -> str:
    return "absent" if value is ABSENT else json.dumps(value, sort_keys=True)[:1500]


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()


def plain(value: Any, key: str = "") -> Any:
    """The value with names for uids, times, versions, hashes, tokens, drawn names and addresses."""
    if isinstance(value, dict):
        found = {_UID.sub("UID", name): plain(one, name) for name, one in value.items()}
        if "signerName" in found and "username" in found:
            found = {name: one for name, one in found.items() if name not in _OF_THE_CALLER}
        entries = found.get("managedFields")
        if isinstance(entries, list):
            found["managedFields"] = sorted(entries, key=_text)
        causes = (found.get("details") or {}).get("causes") if isinstance(found.get("details"), dict) else None
        if isinstance(causes, list) and len(causes) > 1:  # often in the order of a map, in the message too
            found["details"]["causes"] = sorted(causes, key=_text)
            found["message"] = str(found.get("message")).partition(": ")[0]
        if isinstance(found.get("warning"), list):
            found["warning"] = sorted(found["warning"])
        return found
    if isinstance(value, list):
        return [plain(one, key) for one in value]
    if key in _PORT_FIELDS and value:
        return "PORT"
    if isinstance(value, str):
        return _plain_text(value, key)
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@lru_cache(maxsize=1 << 16)
def _plain_text(value: str, key: str) -> str:
    if key == "resourceVersion" and value.isdigit() and value != "0":
        return "VERSION"
    if key in _SECRET_FIELDS and value:
        return _SECRET_FIELDS[key]
    if key in _OWN_HEADERS:
        return _OWN_HEADERS[key]
    value = _UID.sub("UID", value)
    value = _TIME.sub("TIME", value)
    value = _ADDRESS.sub("ADDRESS", value)
    value = _GENERATED.sub(r"\1NAME", value)
    value = _TOO_OLD.sub(r"\1N (N)", value)
    value = _TOO_LARGE.sub(r"\1N", value)
    value = "CALLER" if value in _CALLERS else value
    value = _SCHEME.sub("in scheme SOURCE", value)
    value = _HASH.sub("?hash=HASH", value)
    if key == "cells" and _AGE.fullmatch(value):
        return "AGE"
    head, found, listed = value.partition("errors:\n")
    if found:  # what is wrong with an applied object, in the order of a map
        value = head + found + "\n".join(sorted(listed.splitlines()))
    return _VERSION_IN_TEXT.sub(r"\1N", value)


def differences(case: str, real: Any, ours: Any) -> list[Difference]:
    """All places where two plain answers differ; where their codes do, that alone says it."""
    if isinstance(real, dict) and isinstance(ours, dict) and real.get("code") != ours.get("code"):
        return [Difference(case, "/code", _short(real), _short(ours))]
    return list(_walk(case, "", real, ours))


def _short(answer: dict[str, Any]) -> Any:
    body = answer.get("body")
    return [answer["code"], body.get("message", "") if isinstance(body, dict) else body]


def _walk(case: str, where: str, real: Any, ours: Any) -> Iterator[Difference]:
    if real == ours and type(real) is type(ours):
        return
    if isinstance(real, dict) and isinstance(ours, dict):
        for name in sorted(real.keys() | ours.keys()):
            yield from _walk(case, f"{where}/{name}", real.get(name, ABSENT), ours.get(name, ABSENT))
    elif isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        for index, (one, other) in enumerate(zip(real, ours, strict=True)):
            yield from _walk(case, f"{where}/{index}", one, other)
    else:
        yield Difference(case, where, real, ours)
