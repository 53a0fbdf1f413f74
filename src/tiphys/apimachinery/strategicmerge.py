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

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.patchmeta import FieldMeta, PatchSchema
from tiphys.apimachinery.strategicdiff import Diff, diff_maps, maps_conflict
from tiphys.apimachinery.strategicitems import (
    DELETE_ITEMS,
    DIRECTIVE,
    MISSING,
    ORDER,
    RETAIN_KEYS,
    Items,
    Json,
    PatchConflictError,
    StrategicMergeError,
    equal,
    expect,
    go_text,
    ident,
    item_kind,
    merge_value,
    ordered,
    partition,
    unique,
)

__all__ = ["PatchConflictError", "StrategicMergeError", "apply", "create_three_way", "create_two_way"]


def apply(original: Mapping[str, Any] | None, patch: Mapping[str, Any], schema: PatchSchema) -> Json:
    """`original` after the strategic merge patch. Raises StrategicMergeError.

    `$retainKeys` and nulls inside a value that was absent before may stay in the result, as upstream leaves them; a
    server drops them when it decodes the object.
    """
    return _merge_maps(dict(original or {}), patch, schema, applying=True)


def create_two_way(original: Mapping[str, Any] | None, modified: Mapping[str, Any], schema: PatchSchema) -> Json:
    """The patch that turns `original` into `modified`; empty when they are equal. Raises StrategicMergeError."""
    return diff_maps(original or {}, modified, schema, Diff())


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
    changes = diff_maps(current, modified, schema, Diff(deletions=False))
    deletions = diff_maps(before, modified, schema, Diff(changes=False))
    patch = _merge_maps(deletions, changes, schema, applying=False)
    if not overwrite:
        theirs = diff_maps(before, current, schema, Diff(order=False))
        if maps_conflict(patch, theirs, schema):
            raise PatchConflictError("patch conflicts with changes made from original to current")
    return patch


# ---- apply ----


def _merge_maps(original: Mapping[str, Any], patch: Mapping[str, Any], schema: PatchSchema, *, applying: bool) -> Json:
    """`patch` merged into `original`; when not `applying`, both are patches and stay a patch: directives and nulls are
    kept."""
    if DIRECTIVE in patch:
        return _follow_directive(patch)
    result = dict(original)
    rest = dict(patch)
    if RETAIN_KEYS in rest:
        _retain_keys(result, rest, applying)
    for key in patch:
        if key.startswith(ORDER):
            _merge_in_order(key, result, rest, schema, applying)
    for key, value in rest.items():
        deleting = key.startswith(DELETE_ITEMS)
        if deleting:
            if not applying:
                result[key] = value
                continue
            key = _list_name(key, DELETE_ITEMS)
        if value is None:
            result.pop(key, None)
            if applying:
                continue
        current = result.get(key, MISSING)
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
    directive = patch[DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == "delete":
        return {}
    raise StrategicMergeError(f"unknown patch type: {go_text(directive)} in map: {go_text(patch)}")


def _put(result: Json, key: str, value: Any, applying: bool) -> None:
    kept = _without_directives(value, applying)
    if kept is MISSING:
        result.pop(key, None)
    else:
        result[key] = kept


def _without_directives(value: Any, drop_nulls: bool) -> Any:
    """`value` without objects that are directives, and without null members; `MISSING` when it is one itself."""
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return MISSING
        cleaned = {
            key: _without_directives(item, drop_nulls)
            for key, item in value.items()
            if not (drop_nulls and item is None)
        }
        return {key: item for key, item in cleaned.items() if item is not MISSING}
    if isinstance(value, list):
        return [kept for item in value if (kept := _without_directives(item, drop_nulls)) is not MISSING]
    return value


def _retain_keys(result: Json, rest: Json, applying: bool) -> None:
    """Drop the members `$retainKeys` does not name, and take the directive out of `rest`."""
    named = rest.pop(RETAIN_KEYS)
    if not applying:
        if not equal(result.setdefault(RETAIN_KEYS, named), named):
            raise StrategicMergeError(
                f"{go_text(result[RETAIN_KEYS])} and {go_text(named)} are not deep equal: "
                "this may happen when calculating the 3-way diff patch"
            )
        return
    wrong = StrategicMergeError("invalid patch format of retainKeys", 400)
    if not isinstance(named, list):
        raise wrong
    names = {ident(one)[1] for one in named}
    for key, value in rest.items():
        if value is not None and not key.startswith((DELETE_ITEMS, ORDER)) and key not in names:
            raise wrong
    for key in [one for one in result if one not in names]:
        del result[key]


def _merge_in_order(key: str, result: Json, rest: Json, schema: PatchSchema, applying: bool) -> None:
    """Merge the list one `$setElementOrder` directive is about, in its order; both leave `rest`."""
    order = rest.pop(key)
    if not applying and not equal(result.setdefault(key, order), order):
        raise StrategicMergeError("invalid patch format of setElementOrder list", 400)
    expect(list, order)
    name = _list_name(key, ORDER)
    live, wanted = result.get(name, MISSING), rest.get(name, MISSING)
    for found in (live, wanted):
        if found is not MISSING:
            expect(list, found)
    field = schema.field(name)
    if wanted is not MISSING:
        _check_order(wanted, order, field.merge_key)
    seen: Items = []
    if wanted is MISSING:
        if live is MISSING:
            return
        merged = seen = live
    elif live is MISSING:
        merged = _without_directives(wanted, False)
    else:
        merged, seen = _merge_lists(live, wanted, field, applying, deleting=False)
    ours, theirs = partition(merged, order, field.merge_key)
    kind = item_kind(seen, wanted if wanted is not MISSING else ())
    result[name] = ordered(ours, theirs, order, seen, field.merge_key, kind)
    rest.pop(name, None)


def _check_order(wanted: Items, order: Items, merge_key: str) -> None:
    """Raise unless the items of the patch stand in the order the directive gives, all of them named by it."""
    if not order or not wanted:
        return
    items = wanted
    if merge_key:
        items = [item for item in wanted if expect(dict, item).get(DIRECTIVE) != "delete"]
    at = 0
    for named in order:
        while at < len(items) and isinstance(items[at], dict) and DIRECTIVE in items[at]:
            at += 1
        if at == len(items):
            return
        left, right = items[at], named
        if merge_key:
            left, right = merge_value(left, merge_key), merge_value(right, merge_key)
        if ident(left) == ident(right):
            at += 1
    if at < len(items):
        raise StrategicMergeError(
            f"The order in patch list:\n{go_text(wanted)}\n doesn't match {ORDER} list:\n{go_text(order)}\n"
        )


def _merge_lists(
    original: Items, patch: Items, field: FieldMeta, applying: bool, *, deleting: bool
) -> tuple[Items, Items]:
    """The merged list, and the original as upstream's caller sees it afterwards: see `_merge_items`."""
    if not (field.merge or deleting):
        return patch, original
    if not original and not patch:
        return original, original
    kind = item_kind(original, patch)
    merge_key = field.merge_key
    if kind is dict:
        if not merge_key:
            raise StrategicMergeError(f"cannot merge lists without merge key for {field.schema.name}")
        merged, base, seen, patch = _merge_items(original, patch, field, applying)
    else:
        if applying and deleting:
            gone = {ident(item) for item in patch}
            return [item for item in original if ident(item) not in gone], original
        merged, base, seen = unique([*original, *patch]), original, original
    ours, theirs = partition(merged, patch, merge_key)
    return ordered(ours, theirs, patch, base, merge_key, kind), seen


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
        directive = item.get(DIRECTIVE, MISSING)
        if directive is MISSING:
            plain.append(item)
        elif directive == "delete":
            length = _delete_matching(seen, length, merge_key, ident(merge_value(item, merge_key)))
        elif directive == "replace":
            replacing = True
        elif directive == "merge":
            raise StrategicMergeError("merging lists cannot yet be specified in the patch")
        else:
            raise StrategicMergeError(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")
    if replacing:
        return plain, plain, seen, []
    base = seen[:length]
    merged = list(base)
    places: dict[Any, int] = {}
    for index, item in enumerate(merged):
        if merge_key in item:
            places.setdefault(ident(item[merge_key]), index)
    for item in plain:
        value = ident(merge_value(item, merge_key))
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
        found = items[at].get(merge_key, MISSING)
        if found is not MISSING and ident(found) == value:
            items[at : length - 1] = items[at + 1 : length]
            length -= 1
        else:
            at += 1
    return length


def _list_name(key: str, prefix: str) -> str:
    """`ports` of `$setElementOrder/ports`."""
    head, slash, name = key.partition("/")
    if not slash or head != prefix:
        what = "primitive list" if prefix == DELETE_ITEMS else "setElementOrder list"
        raise StrategicMergeError(f"invalid patch format of {what}", 400)
    return name
