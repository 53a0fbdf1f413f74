"""Differences of two objects as strategic merge patches, and whether two such patches conflict.

Source: apimachinery pkg/util/strategicpatch/patch.go diffMaps, MergingMapsHaveConflicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tiphys.apimachinery.patchmeta import FieldMeta, PatchSchema
from tiphys.apimachinery.strategicitems import (
    DELETE_ITEMS,
    DIRECTIVE,
    MISSING,
    ORDER,
    RETAIN_KEYS,
    Items,
    Json,
    StrategicMergeError,
    equal,
    go_text,
    ident,
    item_kind,
    merge_value,
    sorted_by,
    unique,
)


@dataclass(frozen=True, slots=True)
class Diff:
    """What a diff reports: changes with additions, deletions, the order of lists, and the members kept."""

    changes: bool = True
    deletions: bool = True
    order: bool = True
    retain_keys: bool = False


def diff_maps(original: Mapping[str, Any], modified: Mapping[str, Any], schema: PatchSchema, diff: Diff) -> Json:
    """The patch from `original` to `modified`, with what `diff` asks for; it shares values with `modified`."""
    patch: Json = {}
    for key, value in modified.items():
        before = original.get(key, MISSING)
        if key == DIRECTIVE and before is not MISSING:
            if not isinstance(before, str) or not isinstance(value, str):
                raise StrategicMergeError(f"invalid value for special key: {DIRECTIVE}")
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
            patch[RETAIN_KEYS] = retained
    return patch


def _diff_map_field(key: str, before: Json, value: Json, patch: Json, field: FieldMeta, diff: Diff) -> None:
    if field.replace:
        if diff.changes:
            patch[key] = value
        return
    inner = diff_maps(before, value, field.schema, _retaining(diff, field))
    if inner:
        patch[key] = inner


def _retaining(diff: Diff, field: FieldMeta) -> Diff:
    return diff if diff.retain_keys is field.retain_keys else replace(diff, retain_keys=field.retain_keys)


def _diff_list_field(key: str, before: Items, value: Items, patch: Json, field: FieldMeta, diff: Diff) -> None:
    if not field.merge:
        if diff.changes and not equal(before, value):
            patch[key] = value
        return
    if not before:
        if value and diff.changes:
            patch[key] = value
        return
    kind = item_kind(before, value)
    if kind is dict:
        items, deleted, order = _diff_items(before, value, field, _retaining(diff, field))
        items = items + deleted
        deleted = []
    else:
        items, deleted, order = _diff_scalars(before, value, diff)
    if items:
        patch[key] = items
    if deleted:
        patch[f"{DELETE_ITEMS}/{key}"] = deleted
    if order and diff.order:
        patch[f"{ORDER}/{key}"] = order


def _diff_items(before: Items, value: Items, field: FieldMeta, diff: Diff) -> tuple[Items, Items, Items]:
    """Changed and added items, delete directives, and the order directive of a keyed list."""
    merge_key = field.merge_key
    old, new = _by_merge_key(before, merge_key), _by_merge_key(value, merge_key)
    items: Items = []
    deleted: Items = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i][0] == new[j][0]:
            inner = diff_maps(old[i][1], new[j][1], field.schema, diff)
            if inner:
                items.append(inner | {merge_key: new[j][1][merge_key]})
            i, j = i + 1, j + 1
        elif i == len(old) or (j < len(new) and old[i][0] > new[j][0]):
            if diff.changes:
                items.append(new[j][1])
            j += 1
        else:
            if diff.deletions:
                deleted.append({merge_key: old[i][1][merge_key], DIRECTIVE: "delete"})
            i += 1
    items = sorted_by(items, value, merge_key, dict)
    touched = bool(items or deleted)
    moved = diff.changes and not _same_order(before, value, merge_key)
    order = [{merge_key: item[merge_key]} for item in value] if touched or moved else []
    return items, deleted, order


def _by_merge_key(items: Items, merge_key: str) -> list[tuple[str, Json]]:
    """Items with their key's text, sorted by it; of equal keys the later comes first, as in upstream's sort."""
    keyed = [(go_text(merge_value(item, merge_key)), item) for item in reversed(items)]
    keyed.sort(key=lambda pair: pair[0])
    return keyed


def _same_order(before: Items, value: Items, merge_key: str) -> bool:
    return len(before) == len(value) and all(
        ident(merge_value(a, merge_key)) == ident(merge_value(b, merge_key)) for a, b in zip(before, value, strict=True)
    )


def _diff_scalars(before: Items, value: Items, diff: Diff) -> tuple[Items, Items, Items]:
    """Added and deleted scalars, and the order directive of a list that is a set."""
    old, new = sorted(before, key=go_text), sorted(value, key=go_text)
    added: Items = []
    deleted: Items = []
    i = j = 0
    while i < len(old) or j < len(new):
        left = go_text(old[i]) if i < len(old) else None
        right = go_text(new[j]) if j < len(new) else None
        if left == right:
            i, j = i + 1, j + 1
        elif left is None or (right is not None and left > right):
            added.append(new[j])
            j += 1
        else:
            deleted.append(old[i])
            i += 1
    added = sorted_by(added, value, "", str) if diff.changes else []
    deleted = unique(deleted) if diff.deletions else []
    # Upstream has sorted the old list by now, so an unchanged list that is not in that order counts as moved.
    order = value if deleted or (diff.changes and not equal(old, value)) else []
    return added, deleted, order


# ---- conflicts ----


def maps_conflict(left: Json, right: Json, schema: PatchSchema) -> bool:
    """Whether two patches of one type change something in different ways."""
    if (DIRECTIVE in left or DIRECTIVE in right) and left.get(DIRECTIVE) != right.get(DIRECTIVE):
        return True
    return any(
        _values_conflict(value, right[key], schema.field(key))
        for key, value in left.items()
        if key in right and key not in (DIRECTIVE, RETAIN_KEYS)
    )


def _values_conflict(left: Any, right: Any, field: FieldMeta) -> bool:
    if left.__class__ is not right.__class__:
        return True
    if isinstance(left, dict):
        if field.replace and left.get(DIRECTIVE) == right.get(DIRECTIVE):
            return False
        return maps_conflict(left, right, field.schema)
    if not isinstance(left, list):
        return bool(left != right)
    kind = item_kind(left, right)
    if field.merge:
        if kind is not dict:
            return False
        theirs = {go_text(merge_value(item, field.merge_key)): item for item in right}
        mine = {go_text(merge_value(item, field.merge_key)): item for item in left}
        return any(maps_conflict(item, theirs[key], field.schema) for key, item in mine.items() if key in theirs)
    if len(left) != len(right):
        return True
    if kind is not dict:
        return sorted(map(go_text, left)) != sorted(map(go_text, right))
    return any(maps_conflict(a, b, field.schema) for a, b in zip(left, right, strict=True))
