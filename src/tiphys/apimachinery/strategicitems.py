"""Lists in strategic merge patches: what an item is known by, which order items get, what breaks the rules.

Source: apimachinery pkg/util/strategicpatch/patch.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

Json = dict[str, Any]
Items = list[Any]

DIRECTIVE: Final = "$patch"
RETAIN_KEYS: Final = "$retainKeys"
DELETE_ITEMS: Final = "$deleteFromPrimitiveList"
ORDER: Final = "$setElementOrder"
MISSING: Final = object()


class StrategicMergeError(ValueError):
    """A patch, or objects to make one from, that break the rules; `code` is the HTTP status upstream answers."""

    def __init__(self, message: str, code: int = 500) -> None:
        super().__init__(message)
        self.code = code


class PatchConflictError(StrategicMergeError):
    """Without `overwrite`: the patch changes what somebody else changed differently."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 409)


def ident(value: Any) -> tuple[type, Any]:
    """`value` as a dictionary key that keeps 1, 1.0 and true apart, as Go does."""
    if isinstance(value, dict | list):
        raise StrategicMergeError(f"a {'map' if isinstance(value, dict) else 'list'} cannot identify a list item")
    return value.__class__, value


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same, types included."""
    if left.__class__ is not right.__class__:
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def go_text(value: Any) -> str:
    """`value` as Go's %v prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_text(item) for item in value) + "]"
    return str(value)


_TYPE_NAMES: Final = {
    dict: "map[string]interface {}",
    list: "[]interface {}",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
    type(None): "%!s(<nil>)",
}


def expect(kind: type, value: Any) -> Any:
    """`value` if it is of `kind`; else raises."""
    if value.__class__ is not kind:
        actual = _TYPE_NAMES.get(value.__class__, value.__class__.__name__)
        raise StrategicMergeError(f"expected a {_TYPE_NAMES[kind]}, but received a {actual}")
    return value


def merge_value(item: Any, merge_key: str) -> Any:
    """The value an item of a keyed list is known by."""
    value = expect(dict, item).get(merge_key, MISSING)
    if value is MISSING:
        raise StrategicMergeError(f"map: {go_text(item)} does not contain declared merge key: {merge_key}")
    return value


def item_kind(*lists: Sequence[Any]) -> type:
    """The one type all items of all lists have."""
    kind: type | None = None
    for items in lists:
        for item in items:
            if kind is None:
                kind = item.__class__
                if kind is list:
                    raise StrategicMergeError("lists of lists are not supported", 422)
            elif item.__class__ is not kind:
                raise StrategicMergeError(
                    f"list element types are not identical: {go_text([list(one) for one in lists])}"
                )
    if kind is None:
        raise StrategicMergeError("no elements in any of the given slices")
    return kind


def unique(items: Items) -> Items:
    """Each scalar once; as upstream does it, the last item fills the place of a repetition."""
    last = len(items) - 1
    at = 0
    while at < last:
        other = at + 1
        while other <= last:
            if ident(items[at]) == ident(items[other]):
                items[other] = items[last]
                last -= 1
            else:
                other += 1
        at += 1
    return items[: last + 1]


# ---- order ----


def partition(items: Items, by: Items, merge_key: str) -> tuple[Items, Items]:
    """Items `by` names, and the others."""
    if merge_key:
        names = {ident(expect(dict, one)[merge_key]) for one in by if merge_key in expect(dict, one)}
        named = [ident(merge_value(item, merge_key)) in names for item in items]
    else:
        names = {ident(one) for one in by}
        named = [ident(item) in names for item in items]
    ours = [item for item, inside in zip(items, named, strict=True) if inside]
    theirs = [item for item, inside in zip(items, named, strict=True) if not inside]
    return ours, theirs


def _positions(order: Iterable[Any], merge_key: str, kind: type) -> dict[Any, int]:
    """Where in `order` each item stands first."""
    places: dict[Any, int] = {}
    for index, item in enumerate(order):
        places.setdefault(_place_key(item, merge_key, kind), index)
    return places


def _place_key(item: Any, merge_key: str, kind: type) -> tuple[type, Any]:
    if kind is dict:
        return ident(item.get(merge_key) if isinstance(item, dict) else None)
    return ident(item)


def ordered(ours: Items, theirs: Items, order: Items, live: Items, merge_key: str, kind: type) -> Items:
    """Both groups in one list: ours in `order`, theirs in the order of `live`, interleaved as `live` had them."""
    right = sorted_by(ours, order, merge_key, kind)
    left = sorted_by(theirs, live, merge_key, kind)
    if not left or not right:
        return left or right
    places = _positions(live, merge_key, kind)
    result: Items = []
    at = 0
    for item in right:
        here = places.get(_place_key(item, merge_key, kind))
        while here is not None and at < len(left):
            there = places.get(_place_key(left[at], merge_key, kind))
            if there is None or there >= here:
                break
            result.append(left[at])
            at += 1
        result.append(item)
    return result + left[at:]


def sorted_by(items: Items, order: Items, merge_key: str, kind: type) -> Items:
    """`items` in the order of `order`; items that are delete directives come last."""
    deleted: Items = []
    if kind is dict:
        for one in (*items, *order):
            merge_value(one, merge_key)
        deleted = [item for item in items if item.get(DIRECTIVE) == "delete"]
        items = [item for item in items if item.get(DIRECTIVE) != "delete"]
    places = _positions(order, merge_key, kind)
    at = [places.get(_place_key(item, merge_key, kind), -1) for item in items]
    if -1 in at:
        return _insertion_sorted(items, at) + deleted
    return [items[index] for index in sorted(range(len(items)), key=at.__getitem__)] + deleted


def _insertion_sorted(items: Items, at: list[int]) -> Items:
    """Upstream calls an item without place less than any other; what its insertion sort makes of that."""
    pairs = list(zip(at, items, strict=True))
    for end in range(1, len(pairs)):
        here = end
        while here > 0 and (pairs[here][0] < 0 or pairs[here - 1][0] < 0 or pairs[here][0] < pairs[here - 1][0]):
            pairs[here - 1], pairs[here] = pairs[here], pairs[here - 1]
            here -= 1
    return [item for _, item in pairs]
