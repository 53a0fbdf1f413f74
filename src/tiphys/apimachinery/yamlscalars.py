"""What plain YAML scalars mean to Kubernetes, and how Go writes floats.

Source: go.yaml.in/yaml/v2 resolve.go; Go's strconv.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any, Final

SPECIAL: Final[dict[str, Any]] = {  # scalars that are no number in digits and no text
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
# What begins with one of these is text, whatever follows.
NEVER_SPECIAL: Final = frozenset("abcdeghijklmpqrsuvwxzABCDEGHIJKLMPQRSUVWXZ/_(=$*")
_INTEGER: Final = re.compile(
    r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]+)|([1-9][0-9]{0,19}|0))", re.ASCII
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_DOT_FLOAT: Final = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)?", re.ASCII)


def resolve_plain(text: str) -> Any:
    """What an unquoted scalar means: None, bool, int, float (also infinite ones) or the text itself."""
    if text in SPECIAL:
        return SPECIAL[text]
    first = text[0]
    if first == ".":
        return float(text) if _DOT_FLOAT.fullmatch(text) else text
    if not ("0" <= first <= "9" or first in "+-"):
        return text
    plain = text.replace("_", "") if "_" in text else text
    match = _INTEGER.fullmatch(plain)
    if match:
        sign, hexadecimal, binary, octal, old_octal, decimal = match.groups()
        if decimal:
            value = int(decimal)
        elif hexadecimal:
            value = int(hexadecimal, 16)
        elif binary:
            value = int(binary, 2)
        else:
            value = int(octal or old_octal, 8)
        value = -value if sign == "-" else value
        # Go's integers have 64 bits; what is beyond them is a float when decimal and text otherwise.
        if -(2**63) <= value < 2**63 or (not sign and value < 2**64):
            return value
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        return text if math.isinf(number) else number
    return text


def whole_number(value: float) -> int | float:
    """`value` as an integer when it has no fraction and fits 64 bits: Go writes 1e3 as 1000 into JSON."""
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


def go_float(value: float, *, single: bool = False) -> str:
    """`value` as Go's FormatFloat(value, 'g', -1, 64) writes it; `single` for 32 bits."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    text = repr(value)
    if single:
        try:
            narrow = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            return ".inf" if value > 0 else "-.inf"
        text = next(
            t for p in range(1, 10) if struct.unpack("f", struct.pack("f", float(t := f"{narrow:.{p}g}")))[0] == narrow
        )
    sign, digits, exponent = _decimal_parts(text)
    if exponent < -4 or exponent >= 6:  # Go decides with precision 6 when it writes the shortest digits
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if len(digits) <= exponent + 1:
        return sign + digits + "0" * (exponent + 1 - len(digits))
    return f"{sign}{digits[: exponent + 1]}.{digits[exponent + 1 :]}"


def _decimal_parts(text: str) -> tuple[str, str, int]:
    """Sign, significant digits and the power of ten of the first digit."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    power = int(exponent or 0) + len(whole) - 1
    digits = whole + fraction
    stripped = digits.lstrip("0")
    power -= len(digits) - len(stripped)
    return sign, stripped.rstrip("0") or "0", power if stripped else 0
