"""Read objects as controllers do: spec, status, keys, owners, conditions; and the difference of two statuses.

All functions are pure and take objects as parsed from JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.apimachinery import meta

Obj = Mapping[str, Any]
Json = dict[str, Any]
Key = tuple[str, str]  # namespace (empty for cluster-scoped kinds) and name

_EMPTY: Obj = {}


def key_of(obj: Obj) -> Key:
    """Namespace and name."""
    return meta.namespace(obj), meta.name(obj)


def spec_of(obj: Obj) -> Obj:
    """`spec`, empty when there is none."""
    found = obj.get("spec")
    if type(found) is dict:  # nearly always; the test for any Mapping costs ten times as much
        return found
    return found if isinstance(found, Mapping) else _EMPTY


def status_of(obj: Obj) -> Obj:
    """`status`, empty when there is none."""
    found = obj.get("status")
    if type(found) is dict:  # nearly always; the test for any Mapping costs ten times as much
        return found
    return found if isinstance(found, Mapping) else _EMPTY


def number(found: Obj, name: str, default: int = 0) -> int:
    """A whole number, `default` when it is absent."""
    value = found.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def owner_key(obj: Obj, kind: str) -> Key | None:
    """Key of the controller of an object when it is of this kind."""
    owner = meta.controller_of(obj)
    if owner is None or owner.get("kind") != kind:
        return None
    return meta.namespace(obj), str(owner.get("name") or "")


def controller_reference(owner: Obj, api_version: str, kind: str) -> Json:
    """The owner reference a controller puts on what it makes."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": meta.name(owner),
        "uid": meta.uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(conditions: Iterable[Obj] | None, kind: str) -> Obj | None:
    """The condition of this type."""
    for one in conditions or ():
        if one.get("type") == kind:
            return one
    return None


def is_true(obj: Obj, kind: str) -> bool:
    """Whether the object's condition of this type is True."""
    found = condition(status_of(obj).get("conditions"), kind)
    return found is not None and found.get("status") == "True"


def version_number(obj: Obj) -> int:
    """The resourceVersion as a number; 0 when it is none.

    Since Kubernetes 1.35 clients may compare versions of one resource by size.
    """
    text = meta.resource_version(obj)
    return int(text) if text.isascii() and text.isdigit() else 0


def merge_patch(old: Obj, new: Obj) -> Json:
    """The JSON merge patch from one mapping to another; empty when they are the same. Null counts as absent."""
    patch: Json = {}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[name] = inner
        elif not same(before, value):
            patch[name] = value
    for name, before in old.items():
        if name not in new and before is not None:
            patch[name] = None
    return patch


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, null and absent being one."""
    if one == other:  # the usual case, without a walk; 1, 1.0 and true in the same place do not occur
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = one.keys() | other.keys()
        return all(same(one.get(name), other.get(name)) for name in names)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return False
