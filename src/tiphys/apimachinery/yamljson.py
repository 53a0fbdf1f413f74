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
from dataclasses import dataclass
from typing import Any, Final

import orjson
import yaml
from yaml._yaml import CParser

from tiphys.apimachinery.yamlscalars import NEVER_SPECIAL, go_float, resolve_plain, whole_number
from tiphys.apimachinery.yamlwrite import dump_yaml

__all__ = [
    "DEFAULT_LIMITS",
    "YamlError",
    "YamlLimits",
    "canonical_json",
    "digest",
    "dump_yaml",
    "load_all",
    "load_first",
    "load_one",
]


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

    depth: int = 200  # well below Python's own limit, at three calls a level
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
        found = _load_json(text, limits.depth)
        if found is not None:
            return [found]
    return _load_yaml(text, strict, limits)


def load_one(text: bytes | str, *, strict: bool = False, limits: YamlLimits = DEFAULT_LIMITS) -> Any:
    """The only document of `text`, None when there is none. Raises YamlError, also for a second document."""
    documents = load_all(text, strict=strict, limits=limits)
    if len(documents) > 1:
        raise YamlError("a second document where one was expected", document=1)
    return documents[0] if documents else None


def load_first(text: bytes | str, *, strict: bool = False, limits: YamlLimits = DEFAULT_LIMITS) -> Any:
    """The first document of `text`, None when it is empty; what follows it is not looked at. Raises YamlError.

    Source: sigs.k8s.io/yaml yaml.go, which reads one document.
    """
    if len(text) > limits.size_bytes:
        raise YamlError(f"text of {len(text)} bytes is larger than the limit of {limits.size_bytes}")
    if not strict and text[:1] in ("{", b"{", "[", b"["):
        found = _load_json(text, limits.depth)
        if found is not None:
            return found
    documents = _load_yaml(text, strict, limits, only_first=True)
    return documents[0] if documents else None


# ---- JSON ----

_INTEGRAL_FLOAT: Final = re.compile(rb"[0-9](?:\.0|[eE])")


def _load_json(text: bytes | str, deepest: int) -> Any:
    """`text` as one JSON value, None when it is no plain JSON or too deep, and YAML's parser has to judge."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    level = [value]
    for _ in range(deepest):
        level = [
            item
            for outer in level
            for item in (outer.values() if outer.__class__ is dict else outer)
            if item.__class__ is dict or item.__class__ is list
        ]
        if not level:
            break
    else:
        return None
    raw = text.encode() if isinstance(text, str) else text
    if _INTEGRAL_FLOAT.search(raw) or re.search(rb"[0-9]{19}", raw):
        value = json.loads(raw, parse_float=lambda text: whole_number(float(text)), parse_int=_integer)
    return value


def _integer(text: str) -> int | float:
    # As in Go, what has more than 64 bits is a float.
    if len(text) > 20:
        return float(text)
    number = int(text)
    return number if -(2**63) <= number < 2**64 else float(number)


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


def _load_yaml(text: bytes | str, strict: bool, limits: YamlLimits, *, only_first: bool = False) -> list[Any]:
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
            if only_first:
                break
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
                return value if value and value[0] in NEVER_SPECIAL else _plain_value(value, node)
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
                if not key or key[0] not in NEVER_SPECIAL:
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
        return go_float(value, single=True)
    raise _BuildError("unsupported map key: null", node)


def _plain_value(text: str, node: Any) -> Any:
    """`resolve_plain` as JSON carries it: no fraction, no float; and no infinity at all."""
    value = resolve_plain(text)
    if value.__class__ is not float:
        return value
    if not math.isfinite(value):
        raise _BuildError(f"{text} cannot be written in JSON", node)
    return whole_number(value)


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


def tight(data: bytes) -> bytes:
    """The same bytes in no more memory than they need. orjson's answers keep the buffer they were written in, which is four
    times as large for objects of 2 KB: what is to be kept is copied."""
    return bytes(memoryview(data))


def digest(data: bytes) -> str:
    """sha256 of `data` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
