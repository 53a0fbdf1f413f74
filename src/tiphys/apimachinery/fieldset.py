"""FieldSet: which paths of an object somebody owns, in the shape of managedFields' FieldsV1.

A set is the FieldsV1 tree itself, a dict from path element to node, so reading one from a parsed object costs nothing:

* path elements are strings: `f:name` for a field, `k:{"name":"c"}` for an item of a keyed list (keys sorted), `v:"x"` for
  an item of a set, `i:0` for a position;
* a node `{}` is a member without members below it; a node with `"."` is a member with members below it; any other node is
  only on the way to its members. The root is no member of itself, the empty root is the empty set.

Sets are never changed in place; results share nodes with their operands and are the first operand itself when nothing
changed, which lets callers find out by `is`. The order of the keys is not kept; `encode` restores the order of the API.

Source: dev-cluster 6; structured-merge-diff v6 fieldpath (element order, JSON form).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import go_quote

FieldSet = Mapping[str, Any]  # path element -> node, the same shape all the way down
Path = tuple[str, ...]

MEMBER: Final[dict[str, Any]] = {}
"""The node of a member without members below; shared, never changed."""

EMPTY: Final[dict[str, Any]] = {}
"""The set without members."""

_SELF: Final = "."


class FieldSetError(ValueError):
    """A FieldsV1 document that cannot be read."""


# ---- path elements ----


def field_element(name: str) -> str:
    """`f:name`."""
    return f"f:{name}"


def key_element(keys: Mapping[str, object]) -> str:
    """`k:{"containerPort":80,"protocol":"TCP"}`, with the keys in order."""
    # Joined by hand: the encoder is only fast for strings, and every list item of every write comes through here.
    return "k:{" + ",".join([f"{_encode_json(name)}:{_canonical(keys[name])}" for name in sorted(keys)]) + "}"


def value_element(value: object) -> str:
    """`v:"x"`."""
    return "v:" + _canonical(value)


_encode_json: Final[Callable[[object], str]] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _canonical(value: object) -> str:
    """JSON as Go writes it: no spaces, `<`, `>`, `&` and the two line separators escaped, whole floats without a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = _encode_json(value)
    if "<" in text or ">" in text or "&" in text:
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    if "\u2028" in text or "\u2029" in text:
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text


def shown(element: str) -> str:
    """The element as messages print it: `.name`, `[name="c"]`, `[="v"]`, `[0]`."""
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        keys = json.loads(rest)
        return "[" + ",".join(f"{name}={_shown_value(keys[name])}" for name in sorted(keys)) + "]"
    if kind == "v:":
        return f"[={_shown_value(json.loads(rest))}]"
    return f"[{rest}]"


def _shown_value(value: object) -> str:
    if isinstance(value, str):
        return go_quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _canonical(value)


def _order(element: str) -> tuple[Any, ...]:
    """Sort key: fields by name, then keyed items, then values, then positions; numbers by size."""
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return (0, rest)
    if kind == "k:":
        return (1, [(name, _value_order(value)) for name, value in sorted(json.loads(rest).items())])
    if kind == "v:":
        return (2, _value_order(json.loads(rest)))
    return (3, int(rest))


def _value_order(value: object) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    return (3, _canonical(value))


def _sorted_elements(node: Mapping[str, Any]) -> list[str]:
    """Elements of one level in the API's order, without the member mark."""
    keys = sorted(node)
    if keys and keys[0] == _SELF:
        del keys[0]
    # Plain string order is right for fields alone; positions, values and keys need their numbers compared.
    if not keys or (keys[0][0] == "f" and keys[-1][0] == "f"):
        return keys
    return sorted(keys, key=_order)


# ---- FieldsV1 ----


def encode(fields: FieldSet) -> dict[str, Any]:
    """FieldsV1 with every level in the order an API server writes it."""
    out: dict[str, Any] = {_SELF: MEMBER} if _SELF in fields else {}
    for element in _sorted_elements(fields):
        node = fields[element]
        out[element] = encode(node) if node else MEMBER
    return out


def decode(document: object) -> dict[str, Any]:
    """The set a FieldsV1 document from outside stands for, its elements brought to the form used here.

    Elements of unknown kind are left out, as upstream does. Raises FieldSetError for a document of the wrong shape. What
    an API server wrote needs no decoding.
    """
    if not isinstance(document, Mapping):
        raise FieldSetError("fieldsV1 must be an object")
    node = _decode(document)
    node.pop(_SELF, None)
    return node


def _decode(document: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, below in document.items():
        if key == _SELF:
            out[_SELF] = MEMBER
            continue
        element = _normal(key)
        if element is None:
            continue
        if not isinstance(below, Mapping):
            raise FieldSetError(f"{key}: expected an object")
        node = _decode(below) if below else MEMBER
        out[element] = _mend(node)
    return out


def _normal(key: str) -> str | None:
    if len(key) < 2:
        raise FieldSetError("key must be 2 characters long:")
    if key[1] != ":":
        raise FieldSetError(f"missing colon: {key}")
    kind, rest = key[0], key[2:]
    try:
        if kind == "k":
            parsed = json.loads(rest)
            if not isinstance(parsed, dict):
                raise FieldSetError(f"{key}: expected an object")
            return key_element(parsed)
        if kind == "v":
            return value_element(json.loads(rest))
        if kind == "i":
            return f"i:{int(rest)}"
    except ValueError as exc:
        raise FieldSetError(f"{key}: {exc}") from exc
    return key if kind == "f" else None


def _mend(node: dict[str, Any]) -> dict[str, Any]:
    """A node whose only entry is the member mark is a plain member."""
    return MEMBER if len(node) == 1 and _SELF in node else node


# ---- building and asking ----


def from_paths(paths: Iterable[Path]) -> dict[str, Any]:
    """The set with exactly these paths; ancestors are no members unless they are given."""
    root: dict[str, Any] = {}
    for path in paths:
        node = root
        for element in path[:-1]:
            below = node.get(element)
            if below is None:
                below = node[element] = {}
            elif not below:
                below = node[element] = {_SELF: MEMBER}
            node = below
        if path:
            last = path[-1]
            if node.get(last):
                node[last][_SELF] = MEMBER
            else:
                node[last] = {}
    return root


def has(fields: FieldSet, path: Path) -> bool:
    """Whether this very path is a member."""
    node: Any = fields
    for element in path:
        node = node.get(element)
        if node is None:
            return False
    return bool(path) and (not node or _SELF in node)


def paths(fields: FieldSet) -> Iterator[Path]:
    """Members in the order conflicts are listed: those of one level, then those below."""
    return _paths(fields, ())


def _paths(node: Mapping[str, Any], prefix: Path) -> Iterator[Path]:
    elements = _sorted_elements(node)
    for element in elements:
        if not node[element] or _SELF in node[element]:
            yield (*prefix, element)
    for element in elements:
        if node[element]:
            yield from _paths(node[element], (*prefix, element))


def path_string(path: Path) -> str:
    """`.spec.template.spec.containers[name="c"].image`."""
    return "".join(shown(element) for element in path)


def to_strings(fields: FieldSet) -> list[str]:
    """Members as conflict messages print them."""
    return [path_string(path) for path in paths(fields)]


# ---- set operations ----


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of either."""
    if not b or a is b:
        return a
    return union_nodes(a, b) if a else b


def union_nodes(a: Mapping[str, Any], b: Mapping[str, Any]) -> Mapping[str, Any]:
    """Union of two nodes below the root, where the empty one is a plain member."""
    if a is b:
        return a
    if not b:
        return a if not a or _SELF in a else {_SELF: MEMBER, **a}
    if not a:
        return b if _SELF in b else {_SELF: MEMBER, **b}
    out: dict[str, Any] | None = None
    for element, theirs in b.items():
        mine = a.get(element)
        if mine is None:
            result = theirs
        else:
            result = union_nodes(mine, theirs)
            if result is mine:
                continue
        if out is None:
            out = dict(a)
        out[element] = result
    return a if out is None else out


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of both."""
    if not a or not b:
        return EMPTY
    if a is b:
        return a
    return _both(a, b)


def _both(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    if len(b) < len(a):
        a, b = b, a
    out: dict[str, Any] = {}
    for element, mine in a.items():
        theirs = b.get(element)
        if theirs is None:
            continue
        if element == _SELF:
            out[_SELF] = MEMBER
        elif not mine:
            if not theirs or _SELF in theirs:
                out[element] = MEMBER
        elif not theirs:
            if _SELF in mine:
                out[element] = MEMBER
        elif below := _both(mine, theirs):
            out[element] = _mend(below)
    return out


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of `a` that are not members of `b`; what is below a member of `b` stays."""
    if not a or not b:
        return a
    return _minus(a, b)


def _minus(a: Mapping[str, Any], b: Mapping[str, Any]) -> Mapping[str, Any]:
    """`a` without the members of `b`; an empty result means nothing is left."""
    out: dict[str, Any] | None = None
    for element, theirs in b.items():
        mine = a.get(element)
        if mine is None:
            continue
        keep: Mapping[str, Any] | None
        if element == _SELF or (not mine and (not theirs or _SELF in theirs)):
            keep = None
        elif not mine:
            continue
        elif not theirs:
            if _SELF not in mine:
                continue
            keep = {k: v for k, v in mine.items() if k != _SELF}
        else:
            left = _minus(mine, theirs)
            if left is mine:
                continue
            keep = (MEMBER if len(left) == 1 and _SELF in left else left) if left else None
        if out is None:
            out = dict(a)
        if keep is None:
            del out[element]
        else:
            out[element] = keep
    return a if out is None else out


def without_trees(a: FieldSet, b: FieldSet) -> FieldSet:
    """`a` without the members of `b` and everything below them."""
    if not a or not b:
        return a
    out: dict[str, Any] | None = None
    for element, theirs in b.items():
        mine = a.get(element)
        if mine is None or element == _SELF:
            continue
        keep: Mapping[str, Any] | None
        if not theirs or _SELF in theirs:
            keep = None
        else:
            if not mine:
                continue
            left = without_trees(mine, theirs)
            if left is mine:
                continue
            keep = (MEMBER if len(left) == 1 and _SELF in left else left) if left else None
        if out is None:
            out = dict(a)
        if keep is None:
            del out[element]
        else:
            out[element] = keep
    return a if out is None else out


def leaves(fields: FieldSet) -> dict[str, Any]:
    """Members that have no members below them."""
    return {element: leaves(node) if node else MEMBER for element, node in fields.items() if element != _SELF}
