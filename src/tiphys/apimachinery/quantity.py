"""Resource quantities: parse, compare, canonical form.

A quantity is a decimal number with a suffix: binary (`Ki` to `Ei`), decimal (`n` to `E`) or a power of ten (`e3`). The
API server rewrites what it is given to a canonical text, so `1024Mi` comes back as `1Gi`; two texts are the same
quantity when their canonical texts are equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final


class QuantityError(ValueError):
    """A text that is no quantity; the message is Kubernetes'."""


class QuantityFormat(StrEnum):
    """Which family of suffixes a quantity was written in, and is written back in."""

    DECIMAL_EXPONENT = "DecimalExponent"
    BINARY_SI = "BinarySI"
    DECIMAL_SI = "DecimalSI"


_NANO: Final = 10**9
_MAX_INT64: Final = 2**63 - 1
_MAX_EXPONENT: Final = 9999  # of `1e...`; more would only cost memory
_MAX_LENGTH: Final = 500  # characters

_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = {exponent: suffix for suffix, exponent in _BINARY.items()} | {0: ""}

_PATTERN: Final = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_FORMAT_WRONG: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_SUFFIX_WRONG: Final = "unable to parse quantity's suffix"


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A parsed quantity. Compares by value, with quantities, ints and Fractions; `str` is the canonical text."""

    nano: int  # the value in units of 1e-9, which is as fine as quantities get
    format: QuantityFormat
    text: str

    @property
    def value(self) -> Fraction:
        """The exact value."""
        return Fraction(self.nano, _NANO)

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Quantity):
            return self.nano == other.nano
        return self.value == other if isinstance(other, int | Fraction) else NotImplemented

    def __lt__(self, other: Quantity | int | Fraction) -> bool:
        return self.nano < _nanos(other)

    def __le__(self, other: Quantity | int | Fraction) -> bool:
        return self.nano <= _nanos(other)

    def __gt__(self, other: Quantity | int | Fraction) -> bool:
        return self.nano > _nanos(other)

    def __ge__(self, other: Quantity | int | Fraction) -> bool:
        return self.nano >= _nanos(other)

    def __add__(self, other: Quantity) -> Quantity:
        """The sum, in the format of the first unless that is zero."""
        return _of(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        """The difference, in the format of the first unless that is zero."""
        return _of(self.nano - other.nano, self.format if self.nano else other.format)


def _nanos(other: Quantity | int | Fraction) -> int | Fraction:
    return other.nano if isinstance(other, Quantity) else other * _NANO


def canonical(text: str | int | float) -> str:
    """The text the API server stores for `text`: `0.5` -> `500m`, `1024Mi` -> `1Gi`. Raises QuantityError."""
    return parse(text).text


def parse(text: str | int | float) -> Quantity:
    """The quantity `text` says; JSON numbers are quantities too. Raises QuantityError.

    What is finer than a nano is rounded away from zero; binary quantities are capped at 2^63-1.

    Source: apimachinery pkg/api/resource/quantity.go ParseQuantity, CanonicalizeBytes.
    Differs: exponents of more than four digits and texts of more than 500 characters are refused, because they only
    cost memory; 1000E and more keep their
    suffix, because upstream writes `1000E` as `1`.
    """
    if not isinstance(text, str):
        if isinstance(text, bool):
            raise QuantityError(_FORMAT_WRONG)
        text = str(text)
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None or not text:
        raise QuantityError(_FORMAT_WRONG)
    sign, whole, fraction, suffix = match.groups()
    whole, fraction = whole or "0", fraction or ""
    base, exponent, form = _interpret(suffix)
    digits = whole + fraction
    number = int(digits)
    if _keeps_its_text(number, digits, fraction, exponent, form):
        scaled = (
            number * (2**exponent if base == 2 else 1) * 10 ** (9 - len(fraction) + (exponent if base == 10 else 0))
        )
        return Quantity(-scaled if sign == "-" else scaled, form, text)
    if base == 2:
        nano = _ceil(number << exponent, 9 - len(fraction))
        nano = min(nano, _MAX_INT64 * _NANO)
        if 0 < nano < _NANO:
            form = QuantityFormat.DECIMAL_SI
    else:
        nano = _ceil(number, 9 - len(fraction) + exponent)
    return _of(-nano if sign == "-" else nano, form)


def _interpret(suffix: str) -> tuple[int, int, QuantityFormat]:
    """Base, exponent and format of a suffix."""
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], QuantityFormat.DECIMAL_SI
    if suffix in _BINARY:
        return 2, _BINARY[suffix], QuantityFormat.BINARY_SI
    if suffix[0] in "eE" and re.fullmatch(r"[-+]?[0-9]+", suffix[1:], re.ASCII):
        exponent = int(suffix[1:])
        if abs(exponent) > _MAX_EXPONENT:
            raise QuantityError(_SUFFIX_WRONG)
        return 10, exponent, QuantityFormat.DECIMAL_EXPONENT
    raise QuantityError(_SUFFIX_WRONG)


def _keeps_its_text(number: int, digits: str, fraction: str, exponent: int, form: QuantityFormat) -> bool:
    """Whether the server stores the text as written: short numbers that look canonical, such as `1.500` or `05`."""
    if form is QuantityFormat.BINARY_SI:
        # 15 digits fit, less about three for each power of 1024.
        short = not fraction and 14 - len(digits) - exponent * 3 // 10 >= 0
        return short and number & 7 != 0 and number << exponent <= _MAX_INT64
    scale = exponent - len(fraction)
    return (
        len(digits) <= 18
        and scale >= -9
        and scale % 3 == 0
        and not digits.endswith("000")
        and not digits.startswith("0")
    )


def _ceil(number: int, power: int) -> int:
    """number * 10^power, rounded up to an integer."""
    scale: int = 10 ** abs(power)
    return number * scale if power >= 0 else -(-number // scale)


def _of(nano: int, form: QuantityFormat) -> Quantity:
    """A quantity with its canonical text."""
    if nano == 0:
        return Quantity(0, form, "0")
    if form is QuantityFormat.BINARY_SI and abs(nano) >= 1024 * _NANO and nano % _NANO == 0:
        mantissa, exponent = nano // _NANO, 0
        while mantissa % 1024 == 0:
            mantissa //= 1024
            exponent += 10
        return Quantity(nano, form, f"{mantissa}{_BINARY_SUFFIX.get(exponent, '')}")
    mantissa, exponent = nano, -9
    while mantissa % 1000 == 0:
        mantissa //= 1000
        exponent += 3
    if form is QuantityFormat.DECIMAL_EXPONENT:
        return Quantity(nano, form, f"{mantissa}e{exponent}" if exponent else str(mantissa))
    if exponent > 18:
        # There is no larger suffix; what is left is written out.
        mantissa, exponent = mantissa * 10 ** (exponent - 18), 18
    return Quantity(nano, form, f"{mantissa}{_DECIMAL_SUFFIX[exponent]}")
