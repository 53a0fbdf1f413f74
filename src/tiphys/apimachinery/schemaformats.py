"""Formats of OpenAPI strings, as Go's validators read them.

Source: kube-openapi pkg/validation/strfmt; apiextensions-apiserver pkg/apiserver/validation/formats.go.
Differs: `isbn`, `isbn10`, `isbn13`, `creditcard` and `bsonobjectid` are accepted unread, because nobody's CRD has them.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final
from urllib.parse import urlsplit

_UUID: Final = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?%s-?%s-?[0-9a-fA-F]{12}"
_DURATION: Final = re.compile(
    r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)(?:(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*"
)
_LONG_DURATION: Final = re.compile(r"\d+\s*([A-Za-zµ]+)")
_UNITS: Final = frozenset(
    (
        "ns",
        "nano",
        "us",
        "µs",
        "micro",
        "ms",
        "milli",
        "s",
        "sec",
        "m",
        "min",
        "h",
        "hr",
        "hour",
        "d",
        "day",
        "w",
        "wk",
        "week",
    )
)
_LONG_UNITS: Final = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_CLOCK: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))", re.ASCII)
_HOST: Final = re.compile(
    r"([a-zA-Z0-9\u00a1-\uffff]|[a-zA-Z0-9\u00a1-\uffff][a-zA-Z0-9\-\u00a1-\uffff]*[a-zA-Z0-9\u00a1-\uffff])"
    r"(\.([a-zA-Z0-9\u00a1-\uffff]|[a-zA-Z0-9\u00a1-\uffff][a-zA-Z0-9\-\u00a1-\uffff]*[a-zA-Z0-9\u00a1-\uffff]))*"
)
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def _full(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _parses(reader: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            reader(text)
        except ValueError:
            return False
        return True

    return check


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme or text.startswith("/")) and not any(char <= " " for char in text)


def _is_hostname(text: str) -> bool:
    return bool(_HOST.fullmatch(text)) and len(text) <= 255 and all(len(one) <= 63 for one in text.split("."))


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def _is_date(text: str) -> bool:
    return len(text) == 10 and _parses(date.fromisoformat)(text)


def _is_datetime(text: str) -> bool:
    day, t, clock = text.lower().partition("t")
    found = _CLOCK.fullmatch(clock.partition("t")[0])
    return (
        bool(t) and _is_date(day) and found is not None and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"
    )


def _is_duration(text: str) -> bool:
    if text in ("0", "+0", "-0") or _DURATION.fullmatch(text):
        return True
    units = [found[1].lower() for found in _LONG_DURATION.finditer(text)]
    return any(unit in _UNITS or unit.startswith(_LONG_UNITS) for unit in units)


def _is_cidr(text: str) -> bool:
    _, slash, bits = text.partition("/")
    return bool(slash) and bits.isdecimal() and _parses(lambda one: ipaddress.ip_network(one, strict=False))(text)


def _any(_text: str) -> bool:
    return True


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "bsonobjectid": _any,
    "byte": _is_base64,
    "cidr": _is_cidr,
    "creditcard": _any,
    "date": _is_date,
    "datetime": _is_datetime,
    "duration": _is_duration,
    "email": _full(r"([^<>@\s]+@[^<>@\s]+|[^<>@]*<[^<>@\s]+@[^<>@\s]+>)"),
    "hexcolor": _full(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _is_hostname,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "isbn": _any,
    "isbn10": _any,
    "isbn13": _any,
    "k8slongname": lambda text: len(text) <= 253 and bool(re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", text)),
    "k8sshortname": lambda text: len(text) <= 63 and bool(re.fullmatch(_LABEL, text)),
    "mac": _full(r"([0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(\2[0-9a-fA-F]{2}){4,6}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2,3})"),
    "password": _any,
    "rgbcolor": _full(r"rgb\(\s*(\d{1,3}%?)\s*,\s*(\d{1,3}%?)\s*,\s*(\d{1,3}%?)\s*\)"),
    "ssn": _full(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "uri": _is_uri,
    "uuid": _full(_UUID % ("[0-9a-fA-F]{4}", "[0-9a-fA-F]{4}")),
    "uuid3": _full(_UUID % ("3[0-9a-fA-F]{3}", "[0-9a-fA-F]{4}")),
    "uuid4": _full(_UUID % ("4[0-9a-fA-F]{3}", "[89abAB][0-9a-fA-F]{3}")),
    "uuid5": _full(_UUID % ("5[0-9a-fA-F]{3}", "[89abAB][0-9a-fA-F]{3}")),
}
"""Checks by the name of the format without dashes; formats that are not here say nothing."""


def string_format(name: str) -> Callable[[str], bool] | None:
    """The check of a string format, None when the format is not enforced."""
    return FORMATS.get(name.replace("-", ""))
