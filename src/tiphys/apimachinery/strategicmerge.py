"""Strategic merge patch: merge keys, directives, and the two-way and three-way patches of `kubectl apply`.

A strategic merge patch is a JSON merge patch that can also change lists: items are found by a merge key that the schema
names (`patchmeta`), and directives in the patch delete (`$patch: delete`, `$deleteFromPrimitiveList/x`), replace
(`$patch: replace`), clear (`$retainKeys`) and order (`$setElementOrder/x`). Both ends must agree on every detail, down to
the order of list items, so the rules here are upstream's, oddities included; comments mark those.

Nothing passed in is changed. Results share with their inputs what did not change.

Source: apimachinery pkg/util/strategicpatch/patch.go.
Differs: a field the schema does not know is merged or replaced as if it had no strategy, where upstream refuses the
patch, because a manifest may use fields newer than the table. Without `overwrite`, plain lists of scalars keep their
order in the patch and are compared whole, because upstream's conflict check sorts the patch and skips repetitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tiphys.apimachinery.patchmeta import FieldMeta, PatchSchema

Json = dict[str, Any]
Items = list[Any]

_DIRECTIVE: Final = "$patch"
_RETAIN_KEYS: Final = "$retainKeys"
_DELETE_ITEMS: Final = "$deleteFromPrimitiveList"
_ORDER: Final = "$setElementOrder"
_MISSING: Final = object()


class StrategicMergeError(ValueError):
    """A patch, or objects to make one from, that break the rules; `code` is the HTTP status upstream answers."""

    def __init__(self, message: str, code: int = 500) -> None:
        super().__init__(message)
        self.code = code


class PatchConflictError(StrategicMergeError):
    """Without `overwrite`: the patch changes what somebody else changed differently."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 409)


def apply(original: Mapping[str, Any] | None, patch: Mapping[str, Any], schema: PatchSchema) -> Json:
    """`original` after the strategic merge patch. Raises StrategicMergeError.

    `$retainKeys` and nulls inside a value that was absent before may stay in the result, as upstream leaves them; a
    server drops them when it decodes the object.
    """
    return _merge_maps(dict(original or {}), patch, schema, applying=True)


def create_two_way(original: Mapping[str, Any] | None, modified: Mapping[str, Any], schema: PatchSchema) -> Json:
    """The patch that turns `original` into `modified`; empty when they are equal. Raises StrategicMergeError."""
    return _diff_maps(original or {}, modified, schema, _Diff())


def create_three_way(
    original: Mapping[str, Any] | None,
    modified: Mapping[str, Any],
    current: Mapping[str, Any],
    schema: PatchSchema,
    *,
    overwrite: bool = True,
) -> Json:
    """The patch for `current` that sets what `modified` says and removes what only `original` had.

    `original` is the manifest applied last (None before the first time). Fields of `current` that neither names stay.
    The patch is empty when there is nothing to do, but for a list that is a set (finalizers) and not sorted: then it
    only repeats that order, and applying it changes nothing.

    Without `overwrite`, raises PatchConflictError where `current` was changed since `original` in another way than the
    patch would; else raises StrategicMergeError only.

    Source: strategicpatch CreateThreeWayMergePatch, as kubectl and client-go call it.
    """
    before = original or {}
    changes = _diff_maps(current, modified, schema, _Diff(deletions=False))
    deletions = _diff_maps(before, modified, schema, _Diff(changes=False))
    patch = _merge_maps(deletions, changes, schema, applying=False)
    if not overwrite:
        theirs = _diff_maps(before, current, schema, _Diff(order=False))
        if _maps_conflict(patch, theirs, schema):
            raise PatchConflictError("patch conflicts with changes made from original to current")
    return patch


# ---- values ----


def _ident(value: Any) -> tuple[type, Any]:
    """`value` as a dictionary key that keeps 1, 1.0 and true apart, as Go does."""
    if isinstance(value, dict | list):
        raise StrategicMergeError(f"a {'map' if isinstance(value, dict) else 'list'} cannot identify a list item")
    return value.__class__, value


def _equal(left: Any, right: Any) -> bool:
    if left.__class__ is not right.__class__:
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(_equal(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def _text(value: Any) -> str:
    """`value` as Go's %v prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_text(item) for item in value) + "]"
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


def _expect(kind: type, value: Any) -> Any:
    if value.__class__ is not kind:
        actual = _TYPE_NAMES.get(value.__class__, value.__class__.__name__)
        raise StrategicMergeError(f"expected a {_TYPE_NAMES[kind]}, but received a {actual}")
    return value


def _merge_value(item: Any, merge_key: str) -> Any:
    """The value an item of a keyed list is known by."""
    value = _expect(dict, item).get(merge_key, _MISSING)
    if value is _MISSING:
        raise StrategicMergeError(f"map: {_text(item)} does not contain declared merge key: {merge_key}")
    return value


def _item_kind(*lists: Sequence[Any]) -> type:
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
                    f"list element types are not identical: {_text([list(one) for one in lists])}"
                )
    if kind is None:
        raise StrategicMergeError("no elements in any of the given slices")
    return kind


def _list_name(key: str, prefix: str) -> str:
    """`ports` of `$setElementOrder/ports`."""
    head, slash, name = key.partition("/")
    if not slash or head != prefix:
        what = "primitive list" if prefix == _DELETE_ITEMS else "setElementOrder list"
        raise StrategicMergeError(f"invalid patch format of {what}", 400)
    return name


# ---- apply ----


def _merge_maps(original: Mapping[str, Any], patch: Mapping[str, Any], schema: PatchSchema, *, applying: bool) -> Json:
    """`patch` merged into `original`; when not `applying`, both are patches and stay a patch: directives and nulls are
    kept."""
    if _DIRECTIVE in patch:
        return _follow_directive(patch)
    result = dict(original)
    rest = dict(patch)
    if _RETAIN_KEYS in rest:
        _retain_keys(result, rest, applying)
    for key in patch:
        if key.startswith(_ORDER):
            _merge_in_order(key, result, rest, schema, applying)
    for key, value in rest.items():
        deleting = key.startswith(_DELETE_ITEMS)
        if deleting:
            if not applying:
                result[key] = value
                continue
            key = _list_name(key, _DELETE_ITEMS)
        if value is None:
            result.pop(key, None)
            if applying:
                continue
        current = result.get(key, _MISSING)
        if current.__class__ is not value.__class__:
            if not deleting:
                _put(result, key, value, applying)
        elif isinstance(value, dict):
            field = schema.field(key)
            result[key] = value if field.replace else _merge_maps(current, value, field.schema, applying=applying)
        elif isinstance(value, list):
            result[key], _ = _merge_lists(current, value, schema.field(key), applying, deleting=deleting)
        else:
            result[key] = value
    return result


def _follow_directive(patch: Mapping[str, Any]) -> Json:
    directive = patch[_DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    raise StrategicMergeError(f"unknown patch type: {_text(directive)} in map: {_text(patch)}")


def _put(result: Json, key: str, value: Any, applying: bool) -> None:
    kept = _without_directives(value, applying)
    if kept is _MISSING:
        result.pop(key, None)
    else:
        result[key] = kept


def _without_directives(value: Any, drop_nulls: bool) -> Any:
    """`value` without objects that are directives, and without null members; `_MISSING` when it is one itself."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return _MISSING
        cleaned = {
            key: _without_directives(item, drop_nulls)
            for key, item in value.items()
            if not (drop_nulls and item is None)
        }
        return {key: item for key, item in cleaned.items() if item is not _MISSING}
    if isinstance(value, list):
        return [kept for item in value if (kept := _without_directives(item, drop_nulls)) is not _MISSING]
    return value


def _retain_keys(result: Json, rest: Json, applying: bool) -> None:
    """Drop the members `$retainKeys` does not name, and take the directive out of `rest`."""
    named = rest.pop(_RETAIN_KEYS)
    if not applying:
        if not _equal(result.setdefault(_RETAIN_KEYS, named), named):
            raise StrategicMergeError(
                f"{_text(result[_RETAIN_KEYS])} and {_text(named)} are not deep equal: "
                "this may happen when calculating the 3-way diff patch"
            )
        return
    wrong = StrategicMergeError("invalid patch format of retainKeys", 400)
    if not isinstance(named, list):
        raise wrong
    names = {_ident(one)[1] for one in named}
    for key, value in rest.items():
        if value is not None and not key.startswith((_DELETE_ITEMS, _ORDER)) and key not in names:
            raise wrong
    for key in [one for one in result if one not in names]:
        del result[key]


def _merge_in_order(key: str, result: Json, rest: Json, schema: PatchSchema, applying: bool) -> None:
    """Merge the list one `$setElementOrder` directive is about, in its order; both leave `rest`."""
    order = rest.pop(key)
    if not applying and not _equal(result.setdefault(key, order), order):
        raise StrategicMergeError("invalid patch format of setElementOrder list", 400)
    _expect(list, order)
    name = _list_name(key, _ORDER)
    live, wanted = result.get(name, _MISSING), rest.get(name, _MISSING)
    for found in (live, wanted):
        if found is not _MISSING:
            _expect(list, found)
    field = schema.field(name)
    if wanted is not _MISSING:
        _check_order(wanted, order, field.merge_key)
    seen: Items = []
    if wanted is _MISSING:
        if live is _MISSING:
            return
        merged = seen = live
    elif live is _MISSING:
        merged = _without_directives(wanted, False)
    else:
        merged, seen = _merge_lists(live, wanted, field, applying, deleting=False)
    ours, theirs = _partition(merged, order, field.merge_key)
    kind = _item_kind(seen, wanted if wanted is not _MISSING else ())
    result[name] = _ordered(ours, theirs, order, seen, field.merge_key, kind)
    rest.pop(name, None)


def _check_order(wanted: Items, order: Items, merge_key: str) -> None:
    """Raise unless the items of the patch stand in the order the directive gives, all of them named by it."""
    if not order or not wanted:
        return
    items = wanted
    if merge_key:
        items = [item for item in wanted if _expect(dict, item).get(_DIRECTIVE) != "delete"]
    at = 0
    for named in order:
        while at < len(items) and isinstance(items[at], dict) and _DIRECTIVE in items[at]:
            at += 1
        if at == len(items):
            return
        left, right = items[at], named
        if merge_key:
            left, right = _merge_value(left, merge_key), _merge_value(right, merge_key)
        if _ident(left) == _ident(right):
            at += 1
    if at < len(items):
        raise StrategicMergeError(
            f"The order in patch list:\n{_text(wanted)}\n doesn't match {_ORDER} list:\n{_text(order)}\n"
        )


def _merge_lists(
    original: Items, patch: Items, field: FieldMeta, applying: bool, *, deleting: bool
) -> tuple[Items, Items]:
    """The merged list, and the original as upstream's caller sees it afterwards: see `_merge_items`."""
    if not (field.merge or deleting):
        return patch, original
    if not original and not patch:
        return original, original
    kind = _item_kind(original, patch)
    merge_key = field.merge_key
    if kind is dict:
        if not merge_key:
            raise StrategicMergeError(f"cannot merge lists without merge key for {field.schema.name}")
        merged, base, seen, patch = _merge_items(original, patch, field, applying)
    else:
        if applying and deleting:
            gone = {_ident(item) for item in patch}
            return [item for item in original if _ident(item) not in gone], original
        merged, base, seen = _unique([*original, *patch]), original, original
    ours, theirs = _partition(merged, patch, merge_key)
    return _ordered(ours, theirs, patch, base, merge_key, kind), seen


def _merge_items(original: Items, patch: Items, field: FieldMeta, applying: bool) -> tuple[Items, Items, Items, Items]:
    """Merged items; the originals left after deletions; the caller's view of the original; the patch's plain items.

    Upstream deletes from a Go slice in place and then appends to it. Whoever still holds the longer slice sees the rest
    moved up and the appended items in the places that became free, and takes its order from that.
    """
    merge_key = field.merge_key
    seen = list(original)
    length = len(seen)
    plain: Items = []
    replacing = False
    for item in patch:
        directive = item.get(_DIRECTIVE, _MISSING)
        if directive is _MISSING:
            plain.append(item)
        elif directive == "delete":
            length = _delete_matching(seen, length, merge_key, _ident(_merge_value(item, merge_key)))
        elif directive == "replace":
            replacing = True
        elif directive == "merge":
            raise StrategicMergeError("merging lists cannot yet be specified in the patch")
        else:
            raise StrategicMergeError(f"unknown patch type: {_text(directive)} in map: {_text(item)}")
    if replacing:
        return plain, plain, seen, []
    base = seen[:length]
    merged = list(base)
    places: dict[Any, int] = {}
    for index, item in enumerate(merged):
        if merge_key in item:
            places.setdefault(_ident(item[merge_key]), index)
    for item in plain:
        value = _ident(_merge_value(item, merge_key))
        index = places.setdefault(value, len(merged))
        if index < len(merged):
            merged[index] = _merge_maps(merged[index], item, field.schema, applying=applying)
        else:
            merged.append(item)
            if index < len(seen):
                seen[index] = item
    return merged, base, seen, plain


def _delete_matching(items: Items, length: int, merge_key: str, value: tuple[type, Any]) -> int:
    """Remove matches from the first `length` items by moving the rest up; the new length."""
    at = 0
    while at < length:
        found = items[at].get(merge_key, _MISSING)
        if found is not _MISSING and _ident(found) == value:
            items[at : length - 1] = items[at + 1 : length]
            length -= 1
        else:
            at += 1
    return length


def _unique(items: Items) -> Items:
    """Each scalar once; as upstream does it, the last item fills the place of a repetition."""
    last = len(items) - 1
    at = 0
    while at < last:
        other = at + 1
        while other <= last:
            if _ident(items[at]) == _ident(items[other]):
                items[other] = items[last]
                last -= 1
            else:
                other += 1
        at += 1
    return items[: last + 1]


# ---- order ----


def _partition(items: Items, by: Items, merge_key: str) -> tuple[Items, Items]:
    """Items `by` names, and the others."""
    if merge_key:
        names = {_ident(_expect(dict, one)[merge_key]) for one in by if merge_key in _expect(dict, one)}
        named = [_ident(_merge_value(item, merge_key)) in names for item in items]
    else:
        names = {_ident(one) for one in by}
        named = [_ident(item) in names for item in items]
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
        return _ident(item.get(merge_key) if isinstance(item, dict) else None)
    return _ident(item)


def _ordered(ours: Items, theirs: Items, order: Items, live: Items, merge_key: str, kind: type) -> Items:
    """Both groups in one list: ours in `order`, theirs in the order of `live`, interleaved as `live` had them."""
    right = _sorted_by(ours, order, merge_key, kind)
    left = _sorted_by(theirs, live, merge_key, kind)
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


def _sorted_by(items: Items, order: Items, merge_key: str, kind: type) -> Items:
    """`items` in the order of `order`; items that are delete directives come last."""
    deleted: Items = []
    if kind is dict:
        for one in (*items, *order):
            _merge_value(one, merge_key)
        deleted = [item for item in items if item.get(_DIRECTIVE) == "delete"]
        items = [item for item in items if item.get(_DIRECTIVE) != "delete"]
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


# ---- create ----


@dataclass(frozen=True, slots=True)
class _Diff:
    """What a diff reports: changes with additions, deletions, the order of lists, and the members kept."""

    changes: bool = True
    deletions: bool = True
    order: bool = True
    retain_keys: bool = False


def _diff_maps(original: Mapping[str, Any], modified: Mapping[str, Any], schema: PatchSchema, diff: _Diff) -> Json:
    patch: Json = {}
    for key, value in modified.items():
        before = original.get(key, _MISSING)
        if key == _DIRECTIVE and before is not _MISSING:
            if not isinstance(before, str) or not isinstance(value, str):
                raise StrategicMergeError(f"invalid value for special key: {_DIRECTIVE}")
            if before != value:
                patch[key] = value
        elif before.__class__ is not value.__class__:
            if diff.changes:
                patch[key] = value
        elif isinstance(value, dict):
            _diff_map_field(key, before, value, patch, schema.field(key), diff)
        elif isinstance(value, list):
            _diff_list_field(key, before, value, patch, schema.field(key), diff)
        elif diff.changes and before != value:
            patch[key] = value
    gone = [key for key in original if key not in modified]
    if diff.deletions:
        patch.update(dict.fromkeys(gone))
    if diff.retain_keys:
        retained = sorted(key for key, value in modified.items() if value is not None)
        if retained and (patch or any(original[key] is not None for key in gone)):
            patch[_RETAIN_KEYS] = retained
    return patch


def _diff_map_field(key: str, before: Json, value: Json, patch: Json, field: FieldMeta, diff: _Diff) -> None:
    if field.replace:
        if diff.changes:
            patch[key] = value
        return
    inner = _diff_maps(before, value, field.schema, _retaining(diff, field))
    if inner:
        patch[key] = inner


def _retaining(diff: _Diff, field: FieldMeta) -> _Diff:
    return diff if diff.retain_keys is field.retain_keys else replace(diff, retain_keys=field.retain_keys)


def _diff_list_field(key: str, before: Items, value: Items, patch: Json, field: FieldMeta, diff: _Diff) -> None:
    if not field.merge:
        if diff.changes and not _equal(before, value):
            patch[key] = value
        return
    if not before:
        if value and diff.changes:
            patch[key] = value
        return
    kind = _item_kind(before, value)
    if kind is dict:
        items, deleted, order = _diff_items(before, value, field, _retaining(diff, field))
        items = items + deleted
        deleted = []
    else:
        items, deleted, order = _diff_scalars(before, value, diff)
    if items:
        patch[key] = items
    if deleted:
        patch[f"{_DELETE_ITEMS}/{key}"] = deleted
    if order and diff.order:
        patch[f"{_ORDER}/{key}"] = order


def _diff_items(before: Items, value: Items, field: FieldMeta, diff: _Diff) -> tuple[Items, Items, Items]:
    """Changed and added items, delete directives, and the order directive of a keyed list."""
    merge_key = field.merge_key
    old, new = _by_merge_key(before, merge_key), _by_merge_key(value, merge_key)
    items: Items = []
    deleted: Items = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i][0] == new[j][0]:
            inner = _diff_maps(old[i][1], new[j][1], field.schema, diff)
            if inner:
                items.append(inner | {merge_key: new[j][1][merge_key]})
            i, j = i + 1, j + 1
        elif i == len(old) or (j < len(new) and old[i][0] > new[j][0]):
            if diff.changes:
                items.append(new[j][1])
            j += 1
        else:
            if diff.deletions:
                deleted.append({merge_key: old[i][1][merge_key], _DIRECTIVE: "delete"})
            i += 1
    items = _sorted_by(items, value, merge_key, dict)
    touched = bool(items or deleted)
    moved = diff.changes and not _same_order(before, value, merge_key)
    order = [{merge_key: item[merge_key]} for item in value] if touched or moved else []
    return items, deleted, order


def _by_merge_key(items: Items, merge_key: str) -> list[tuple[str, Json]]:
    """Items with their key's text, sorted by it; of equal keys the later comes first, as in upstream's sort."""
    keyed = [(_text(_merge_value(item, merge_key)), item) for item in reversed(items)]
    keyed.sort(key=lambda pair: pair[0])
    return keyed


def _same_order(before: Items, value: Items, merge_key: str) -> bool:
    return len(before) == len(value) and all(
        _ident(_merge_value(a, merge_key)) == _ident(_merge_value(b, merge_key))
        for a, b in zip(before, value, strict=True)
    )


def _diff_scalars(before: Items, value: Items, diff: _Diff) -> tuple[Items, Items, Items]:
    """Added and deleted scalars, and the order directive of a list that is a set."""
    old, new = sorted(before, key=_text), sorted(value, key=_text)
    added: Items = []
    deleted: Items = []
    i = j = 0
    while i < len(old) or j < len(new):
        left = _text(old[i]) if i < len(old) else None
        right = _text(new[j]) if j < len(new) else None
        if left == right:
            i, j = i + 1, j + 1
        elif left is None or (right is not None and left > right):
            added.append(new[j])
            j += 1
        else:
            deleted.append(old[i])
            i += 1
    added = _sorted_by(added, value, "", str) if diff.changes else []
    deleted = _unique(deleted) if diff.deletions else []
    # Upstream has sorted the old list by now, so an unchanged list that is not in that order counts as moved.
    order = value if deleted or (diff.changes and not _equal(old, value)) else []
    return added, deleted, order


# ---- conflicts ----


def _maps_conflict(left: Json, right: Json, schema: PatchSchema) -> bool:
    if (_DIRECTIVE in left or _DIRECTIVE in right) and left.get(_DIRECTIVE) != right.get(_DIRECTIVE):
        return True
    return any(
        _values_conflict(value, right[key], schema.field(key))
        for key, value in left.items()
        if key in right and key not in (_DIRECTIVE, _RETAIN_KEYS)
    )


def _values_conflict(left: Any, right: Any, field: FieldMeta) -> bool:
    if left.__class__ is not right.__class__:
        return True
    if isinstance(left, dict):
        if field.replace and left.get(_DIRECTIVE) == right.get(_DIRECTIVE):
            return False
        return _maps_conflict(left, right, field.schema)
    if not isinstance(left, list):
        return bool(left != right)
    kind = _item_kind(left, right)
    if field.merge:
        if kind is not dict:
            return False
        theirs = {_text(_merge_value(item, field.merge_key)): item for item in right}
        mine = {_text(_merge_value(item, field.merge_key)): item for item in left}
        return any(_maps_conflict(item, theirs[key], field.schema) for key, item in mine.items() if key in theirs)
    if len(left) != len(right):
        return True
    if kind is not dict:
        return sorted(map(_text, left)) != sorted(map(_text, right))
    return any(_maps_conflict(a, b, field.schema) for a, b in zip(left, right, strict=True))
