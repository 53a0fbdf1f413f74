"""Read YAML as Kubernetes does; write canonical YAML and JSON.

Kubernetes' programs read YAML 1.1 through Go's sigs.k8s.io/yaml and see only what JSON can say. The reader here makes
the same choices: `yes`, `y` and `on` are booleans, `0777` is octal, timestamps stay text, keys become text, a float
without a fraction is an integer, and of two equal keys the later wins unless `strict`. The parser is libyaml's; only
resolving and building are ours, so that hostile input meets limits before it costs memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Final

import orjson
import yaml
from yaml._yaml import CParser


class YamlError(ValueError):
    """Text that is not the YAML (or JSON) Kubernetes accepts.

    `line` and `column` count from 1 and are None where the parser does not say; `document` counts from 0.
    """

    def __init__(self, problem: str, *, document: int = 0, line: int | None = None, column: int | None = None) -> None:
        where = f"line {line}, column {column}: " if line is not None else ""
        super().__init__(f"document {document + 1}: {where}{problem}")
        self.problem = problem
        self.document = document
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class YamlLimits:
    """How much one text may hold: nesting, documents, bytes, and values that exist only because of aliases."""

    depth: int = 400
    documents: int = 50_000
    size_bytes: int = 256 * 1024 * 1024
    aliased_values: int = 1_000_000


DEFAULT_LIMITS: Final = YamlLimits()


def load_all(text: bytes | str, *, strict: bool = False, limits: YamlLimits = DEFAULT_LIMITS) -> list[Any]:
    """The documents of `text` as JSON values; documents that are empty or null are left out.

    With `strict` a repeated key is an error. Raises YamlError.

    Source: dependencies 7; go.yaml.in/yaml/v2 resolve.go, sigs.k8s.io/yaml yaml.go.
    """
    if len(text) > limits.size_bytes:
        raise YamlError(f"text of {len(text)} bytes is larger than the limit of {limits.size_bytes}")
    if not strict and text[:1] in ("{", b"{", "[", b"["):
        found = _load_json(text)
        if found is not None:
            return [found]
    return _load_yaml(text, strict, limits)


def load_one(text: bytes | str, *, strict: bool = False, limits: YamlLimits = DEFAULT_LIMITS) -> Any:
    """The only document of `text`, None when there is none. Raises YamlError, also for a second document."""
    documents = load_all(text, strict=strict, limits=limits)
    if len(documents) > 1:
        raise YamlError("a second document where one was expected", document=1)
    return documents[0] if documents else None


# ---- JSON ----

_INTEGRAL_FLOAT: Final = re.compile(rb"[0-9](?:\.0|[eE])")


def _load_json(text: bytes | str) -> Any:
    """`text` as one JSON value, None when it is no plain JSON and YAML's parser has to judge."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    raw = text.encode() if isinstance(text, str) else text
    if _INTEGRAL_FLOAT.search(raw) or re.search(rb"[0-9]{19}", raw):
        value = json.loads(raw, parse_float=_number)
    return value


def _number(text: str) -> int | float:
    return _whole(float(text))


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


# ---- YAML ----

_PLAIN: Final = "plain"  # a scalar without quotes and tag: resolved when it is built
_TEXT: Final = "tag:yaml.org,2002:str"
_SEQUENCE: Final = "tag:yaml.org,2002:seq"
_MAPPING: Final = "tag:yaml.org,2002:map"


class _Composer(CParser):
    """libyaml's composer with our rules: tags are decided late, and nesting is limited while it is parsed."""

    def __init__(self, text: bytes | str, limits: YamlLimits) -> None:
        super().__init__(text)
        self._depth = 0
        self._deepest = limits.depth

    def resolve(self, kind: Any, _value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return _SEQUENCE if kind is yaml.SequenceNode else _MAPPING

    def descend_resolver(self, node: Any, _index: Any) -> None:
        self._depth += 1
        if self._depth > self._deepest:
            mark = node.start_mark if node is not None else None
            raise yaml.MarkedYAMLError(problem=f"nested more than {self._deepest} deep", problem_mark=mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1


def _load_yaml(text: bytes | str, strict: bool, limits: YamlLimits) -> list[Any]:
    found: list[Any] = []
    index = 0
    composer = None
    try:
        composer = _Composer(text, limits)
        # Without an anchor nothing can repeat, and the bookkeeping is saved.
        anchored = "&" in text if isinstance(text, str) else b"&" in text or b"\0" in text
        while composer.check_node():
            if index >= limits.documents:
                raise YamlError(f"more than {limits.documents} documents", document=index)
            builder = _Builder(strict, limits, anchored)
            value = builder.build(composer.get_node())
            if value is not None:
                found.append(value)
            index += 1
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not valid YAML"
        raise YamlError(
            problem,
            document=index,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split()), document=index) from None
    except UnicodeError as error:
        raise YamlError(
            f"not valid text: {error.reason if hasattr(error, 'reason') else error}", document=index
        ) from None
    except _BuildError as error:
        mark = error.node.start_mark
        raise YamlError(error.problem, document=index, line=mark.line + 1, column=mark.column + 1) from None
    finally:
        if composer is not None:
            composer.dispose()
    return found


class _BuildError(Exception):
    def __init__(self, problem: str, node: Any) -> None:
        super().__init__(problem)
        self.problem = problem
        self.node = node


class _Builder:
    """Values out of one document's nodes; an aliased node is built anew each time, so nothing is shared."""

    def __init__(self, strict: bool, limits: YamlLimits, anchored: bool) -> None:
        self._strict = strict
        self._limits = limits
        self._anchored = anchored
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._again = 0  # how deep inside repeated nodes
        self._repeated = 0

    def build(self, node: Any) -> Any:
        if node.__class__ is yaml.ScalarNode:
            if self._again:
                self._count(node)
            tag = node.tag
            if tag == _PLAIN:
                value = node.value
                # Most plain scalars begin with a letter that begins no number, boolean or null.
                return value if value and value[0] in _NEVER_SPECIAL else _plain_value(value, node)
            return node.value if tag == _TEXT else _tagged(node)
        if not self._anchored:
            return self._sequence(node) if node.__class__ is yaml.SequenceNode else self._mapping(node, {})
        return self._container(node, {})

    def _container(self, node: Any, into: dict[str, Any]) -> Any:
        key = id(node)
        if key in self._open:
            raise _BuildError("anchor value contains itself", node)
        repeated = key in self._seen
        self._seen.add(key)
        self._open.add(key)
        self._again += repeated
        if self._again:
            self._count(node)
        try:
            return self._sequence(node) if node.__class__ is yaml.SequenceNode else self._mapping(node, into)
        finally:
            self._again -= repeated
            self._open.discard(key)

    def _count(self, node: Any) -> None:
        self._repeated += 1
        if self._repeated > self._limits.aliased_values:
            raise _BuildError("document contains excessive aliasing", node)

    def _sequence(self, node: Any) -> list[Any]:
        build = self.build
        return [build(item) for item in node.value]

    def _mapping(self, node: Any, into: dict[str, Any]) -> dict[str, Any]:
        build = self.build
        strict = self._strict
        for key_node, value_node in node.value:
            if key_node.__class__ is not yaml.ScalarNode:
                raise _BuildError("invalid map key: a map or list", key_node)
            if key_node.tag == _PLAIN:
                key = key_node.value
                if not key or key[0] not in _NEVER_SPECIAL:
                    if key == "<<":
                        self._merge(value_node, into)
                        continue
                    key = _key(resolve_plain(key), key_node)
            elif key_node.tag == _TEXT:
                key = key_node.value
            elif key_node.tag == "tag:yaml.org,2002:merge":
                self._merge(value_node, into)
                continue
            else:
                key = _key(_tagged(key_node), key_node)
            if strict and key in into:
                raise _BuildError(f'key "{key}" already set in map', key_node)
            into[key] = build(value_node)
        return into

    def _merge(self, node: Any, into: dict[str, Any]) -> None:
        # As in Go, a merge is written where it stands: it overrides keys before it and yields to keys after it.
        nodes = reversed(node.value) if node.__class__ is yaml.SequenceNode else (node,)
        for one in nodes:
            if one.__class__ is not yaml.MappingNode:
                raise _BuildError("map merge requires map or sequence of maps as the value", one)
            if self._anchored:
                self._container(one, into)
            else:
                self._mapping(one, into)


def _key(value: object, node: Any) -> str:
    if value.__class__ is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _go_float(value, single=True)
    raise _BuildError("unsupported map key: null", node)


# ---- plain scalars ----

_SPECIAL: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_NEVER_SPECIAL: Final = frozenset("abcdeghijklmpqrsuvwxzABCDEGHIJKLMPQRSUVWXZ/_(=$*")
_INTEGER: Final = re.compile(
    r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]+)|([1-9][0-9]*|0))", re.ASCII
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_DOT_FLOAT: Final = re.compile(r"\.[0-9]+(?:_?[0-9])*(?:[eE][-+]?[0-9]+)?", re.ASCII)


def resolve_plain(text: str) -> Any:
    """What an unquoted scalar means: None, bool, int, float or the text itself.

    Source: go.yaml.in/yaml/v2 resolve.go.
    """
    if text in _SPECIAL:
        return _SPECIAL[text]
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


def _plain_value(text: str, node: Any) -> Any:
    """`resolve_plain` as JSON carries it: no fraction, no float; and no infinity at all."""
    value = resolve_plain(text)
    if value.__class__ is not float:
        return value
    if not math.isfinite(value):
        raise _BuildError(f"{text} cannot be written in JSON", node)
    return _whole(value)


_TAGGED_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "null": (type(None),),
    "timestamp": (str,),
}


def _tagged(node: Any) -> Any:
    """A scalar with an explicit tag; one of a tag YAML does not define stays text."""
    text = node.value
    wanted = node.tag.removeprefix("tag:yaml.org,2002:")
    if wanted == "binary":
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "replace")
        except binascii.Error:
            raise _BuildError("!!binary value contains invalid base64 data", node) from None
    if wanted not in _TAGGED_KINDS:
        return text
    value = resolve_plain(text)
    if not isinstance(value, _TAGGED_KINDS[wanted]) or (isinstance(value, bool) and wanted != "bool"):
        raise _BuildError(f"cannot decode `{text}` as a !!{wanted}", node)
    return _plain_value(text, node)


# ---- JSON out ----


def canonical_json(obj: object) -> bytes:
    """`obj` as JSON with sorted keys and no spaces: equal values, equal bytes.

    Integers beyond 64 bits are written in full. Raises ValueError for what JSON cannot hold.
    """
    try:
        return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        try:
            text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        except TypeError as error:
            raise ValueError(str(error)) from None
        return text.encode()


def digest(data: bytes) -> str:
    """sha256 of `data` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


# ---- YAML out ----


def dump_yaml(obj: object) -> str:
    """`obj` as block YAML the way kubectl prints it: keys in Go's natural order, lists not indented below their key.

    Source: go.yaml.in/yaml/v2 encode.go, emitterc.go, sorter.go.
    """
    out: list[str] = []
    _emit(obj, 0, out)
    return "".join(out)


def _emit(value: object, indent: int, out: list[str]) -> None:
    """Append `value` and a line end; the first line continues what is there, later ones start at `indent`."""
    if isinstance(value, dict) and value:
        pad = "\n" + " " * indent
        first = True
        for key in sorted(value, key=_NaturalKey):
            if not first:
                out.append(pad[1:])
            first = False
            _emit_entry(str(key), value[key], indent, out)
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            out.append((" " * indent if index else "") + "- ")
            _emit(item, indent + 2, out)
    else:
        out.append(_scalar(value, indent or 2) + "\n")


def _emit_entry(key: str, value: object, indent: int, out: list[str]) -> None:
    if len(key.encode()) <= 128 and not any(char in _BREAKS for char in key):
        out.append(f"{_string(key, indent, key=True)}:")
    else:
        out.append(f"? {_string(key, indent + 2, key=True)}\n{' ' * indent}:")
    if isinstance(value, dict) and value:
        out.append("\n" + " " * (indent + 2))
        _emit(value, indent + 2, out)
    elif isinstance(value, list | tuple) and value:
        out.append("\n" + " " * indent)
        _emit(value, indent, out)
    else:
        out.append(f" {_scalar(value, indent + 2)}\n")


def _scalar(value: object, indent: int) -> str:
    if isinstance(value, str):
        return _string(value, indent)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        whole = _whole(value)
        return str(whole) if isinstance(whole, int) else _go_float(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    raise ValueError(f"{type(value).__name__} cannot be written as YAML")


_BASE60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,][0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,][0-9]+)?)?",
    re.ASCII,
)
_SAFE: Final = re.compile(r"[A-Za-z/_][A-Za-z0-9/_.-]*", re.ASCII)


def _string(text: str, indent: int, *, key: bool = False) -> str:
    if text not in _SPECIAL and _SAFE.fullmatch(text):
        return text
    shape = _Shape.of(text)
    if any(char in text for char in _BREAKS if char != "\n"):
        return _double(text)  # Go writes these breaks raw, and readers disagree about them
    if "\n" in text:
        return _literal(text, indent) if shape.block else _double(text)
    if (key and text == "<<") or not _reads_as_text(text):
        return _double(text)
    if shape.plain:
        return text
    return "'" + text.replace("'", "''") + "'" if shape.single else _double(text)


def _reads_as_text(text: str) -> bool:
    if text in _SPECIAL or _BASE60.fullmatch(text) or _TIMESTAMP.fullmatch(text):
        return False
    return isinstance(resolve_plain(text), str)


def _printable(char: str) -> bool:
    return (
        " " <= char <= "~"
        or char == "\n"
        or "\xa0" <= char <= "\ud7ff"
        or ("\ue000" <= char <= "\ufffd" and char != "\ufeff")
    )


_BREAKS: Final = "\r\n\x85\u2028\u2029"


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which styles can carry a text."""

    plain: bool
    single: bool
    block: bool

    @classmethod
    def of(cls, text: str) -> _Shape:
        indicator = text.startswith(("---", "...")) or text[:1] in tuple("#,[]{}&*!|>'\"%@`")
        if text[:1] in ("?", ":", "-") and (len(text) == 1 or text[1] in " \t" + _BREAKS):
            indicator = True
        if not indicator:
            indicator = bool(re.search(r":(?:[ \t\r\n\x85\u2028\u2029]|$)|[ \t\r\n\x85\u2028\u2029]#", text))
        special = any(not _printable(char) for char in text)
        breaks = any(char in _BREAKS for char in text)
        edge = text[:1] in tuple(" " + _BREAKS) or text[-1:] in tuple(" " + _BREAKS)
        break_space = bool(re.search(r"[\r\n\x85\u2028\u2029] ", text))
        space_break = bool(re.search(r" [\r\n\x85\u2028\u2029]", text))
        awkward = special or space_break
        return cls(
            plain=not (indicator or edge or breaks or break_space or awkward),
            single=not (break_space or awkward),
            block=not (awkward or text.endswith(" ")),
        )


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " " + _BREAKS else ""
    if text[-1] not in _BREAKS:
        hint += "-"
    elif len(text) == 1 or text[-2] in _BREAKS:
        hint += "+"
    pad = " " * indent
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return f"|{hint}\n" + "\n".join(pad + line if line else "" for line in lines)


_ESCAPES: Final = {
    "\0": "\\0",
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
    "\x1b": "\\e",
    '"': '\\"',
    "\\": "\\\\",
    "\x85": "\\N",
    "\xa0": "\\_",
    "\u2028": "\\L",
    "\u2029": "\\P",
}


def _double(text: str) -> str:
    out = []
    for char in text:
        if char in _ESCAPES and char != "\xa0":
            out.append(_ESCAPES[char])
        elif _printable(char):
            out.append(char)
        elif (point := ord(char)) <= 0xFF:
            out.append(f"\\x{point:02X}")
        else:
            out.append(f"\\u{point:04X}" if point <= 0xFFFF else f"\\U{point:08X}")
    return '"' + "".join(out) + '"'


def _go_float(value: float, *, single: bool = False) -> str:
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


class _NaturalKey(str):
    """Orders keys as Go's YAML writer does: letters after other characters, digit runs by their value."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        left, right = str(self), str(other)
        for at, (a, b) in enumerate(zip(left, right, strict=False)):
            if a != b:
                return _differs_below(left, right, at)
        return len(left) < len(right)


def _differs_below(left: str, right: str, at: int) -> bool:
    a, b = left[at], right[at]
    if a.isalpha() and b.isalpha():
        return a < b
    if a.isalpha() or b.isalpha():
        return b.isalpha()
    lead = ""
    if "0" in (a, b):
        back = at - 1
        while back >= 0 and left[back].isdecimal():
            if left[back] != "0":
                lead = "1"
                break
            back -= 1
    end_a, end_b = _digits_end(left, at), _digits_end(right, at)
    number_a, number_b = int(lead + left[at:end_a] or "0"), int(lead + right[at:end_b] or "0")
    if number_a != number_b:
        return number_a < number_b
    if end_a != end_b:
        return end_a < end_b
    return a < b


def _digits_end(text: str, at: int) -> int:
    while at < len(text) and text[at].isdecimal():
        at += 1
    return at
