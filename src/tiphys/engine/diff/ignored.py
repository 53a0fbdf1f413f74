"""What does not count when a resource is compared: rules of its Application and of `argocd-cm`. Pure.

JSON pointers are taken out of both sides at once. jq expressions and fields of other managers need somebody to be asked
(a script worker, the API server); who asked gives a `Removal` for each side.

Source: compat 3.3, 3.4, 2.5 note c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.apimachinery import fieldset, mergepatch, strategicmerge
from tiphys.apimachinery.names import GroupKind, ResourceKey, gvk_of
from tiphys.apimachinery.patchmeta import builtin
from tiphys.model.destination import ResourceIgnoreDifferences
from tiphys.policy.glob import glob_match
from tiphys.scripting.paths import deleted
from tiphys.scripting.protocol import Path
from tiphys.settings.values import KnownTypeField, ResourceOverride

Json = dict[str, Any]

_CRD = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
_ROLLOUT = GroupKind("argoproj.io", "Rollout")
_STATUS_OF_ALL, _STATUS_OF_CRDS = "all", "crd"


@dataclass(frozen=True, slots=True)
class Ignored:
    """What does not count for one resource."""

    pointers: tuple[str, ...] = ()  # RFC 6901
    expressions: tuple[str, ...] = ()  # jq
    managers: tuple[str, ...] = ()  # whose fields do not count
    status: bool = True  # neither does the status
    aggregated_roles: bool = False  # nor the rules of a ClusterRole that others aggregate into
    known_types: tuple[KnownTypeField, ...] = ()  # fields of a custom resource that are read as built-in types are

    @property
    def must_ask(self) -> bool:
        """Whether something does not count that cannot be told from the two objects alone."""
        return bool(self.expressions or self.managers)

    @property
    def any_rule(self) -> bool:
        """Whether there is a rule of an Application or of `argocd-cm` for the resource."""
        return bool(self.pointers or self.must_ask)


NOTHING = Ignored()


@dataclass(frozen=True, slots=True)
class Removal:
    """What to take out of one object: paths, found one step after the other, and fields in the form of managedFields."""

    steps: tuple[tuple[Path, ...], ...] = ()
    fields: Mapping[str, Any] | None = None


class IgnoreRules:
    """The rules of one Application together with those of the instance; they cannot be taken back by an Application."""

    def __init__(
        self,
        rules: Sequence[ResourceIgnoreDifferences],
        overrides: Mapping[str, ResourceOverride],
        *,
        status_field: str = _STATUS_OF_ALL,
        aggregated_roles: bool = False,
    ) -> None:
        self._rules = rules
        self._overrides = [
            (*_group_and_kind(name), o)
            for name, o in sorted(overrides.items())
            if o.ignore_differences != _NO_FIELDS or o.known_type_fields
        ]
        self._status_field = status_field
        self._aggregated_roles = aggregated_roles
        self._by_kind: dict[GroupKind, Ignored] = {}

    def of(self, key: ResourceKey) -> Ignored:
        """What does not count for a resource."""
        kind = key.group_kind
        found = self._by_kind.get(kind)
        if found is None:
            found = self._by_kind[kind] = self._of_kind(kind)
        pointers, expressions, managers = list(found.pointers), list(found.expressions), list(found.managers)
        for rule in self._rules:
            if (
                rule.name in ("", key.name)
                and rule.namespace in ("", key.namespace)
                and glob_match(rule.group, kind.group)
                and glob_match(rule.kind, kind.kind)
            ):
                pointers += rule.json_pointers
                expressions += rule.jq_path_expressions
                managers += rule.managed_fields_managers
        if len(pointers) + len(expressions) + len(managers) == sum(
            map(len, (found.pointers, found.expressions, found.managers))
        ):
            return found
        return Ignored(
            tuple(pointers),
            tuple(expressions),
            tuple(managers),
            found.status,
            found.aggregated_roles,
            found.known_types,
        )

    def expressions(self) -> list[str]:
        """Every jq expression of the rules, whether it is about a resource of the Application or not."""
        found = dict.fromkeys(e for rule in self._rules for e in rule.jq_path_expressions)
        for _group, _kind, override in self._overrides:
            found.update(dict.fromkeys(override.ignore_differences.jq_path_expressions))
        return list(found)

    def _of_kind(self, kind: GroupKind) -> Ignored:
        matching = [
            override
            for group_pattern, kind_pattern, override in self._overrides
            if glob_match(group_pattern, kind.group) and glob_match(kind_pattern, kind.kind)
        ]
        fields = [override.ignore_differences for override in matching]
        status = self._status_field == _STATUS_OF_ALL or (self._status_field == _STATUS_OF_CRDS and kind == _CRD)
        types = tuple(known for override in matching for known in override.known_type_fields)
        if kind == _ROLLOUT:
            types = (KnownTypeField(field="spec.template.spec", type="core/v1/PodSpec"), *types)
        return Ignored(
            tuple(pointer for f in fields for pointer in f.json_pointers),
            tuple(expression for f in fields for expression in f.jq_path_expressions),
            tuple(manager for f in fields for manager in f.managed_fields_managers),
            status,
            self._aggregated_roles,
            types,
        )


_NO_FIELDS = ResourceOverride().ignore_differences


def _group_and_kind(name: str) -> tuple[str, str]:
    group, slash, kind = name.rpartition("/")
    return (group, kind) if slash else ("", name)


def without_pointer(obj: Json, pointer: str) -> Json:
    """A copy of `obj` without the value at an RFC 6901 pointer; `obj` itself when there is none."""
    parts = [p.replace("~1", "/").replace("~0", "~") for p in pointer.split("/")[1:]]
    found: Json = _without(obj, parts) if parts else obj
    return found


def _without(value: Any, parts: Sequence[str]) -> Any:
    head, rest = parts[0], parts[1:]
    if isinstance(value, dict) and head in value:
        copy = dict(value)
        if rest:
            copy[head] = _without(value[head], rest)
        else:
            del copy[head]
        return copy
    if isinstance(value, list) and head.isdigit() and int(head) < len(value):
        items = list(value)
        if rest:
            items[int(head)] = _without(items[int(head)], rest)
        else:
            del items[int(head)]
        return items
    return value


def without_pointers(obj: Json, pointers: Iterable[str]) -> Json:
    """A copy of `obj` without what is at these pointers."""
    for pointer in pointers:
        obj = without_pointer(obj, pointer)
    return obj


def without(obj: Json, removal: Removal) -> Json:
    """A copy of `obj` without what the removal names; `obj` itself when there is nothing."""
    found: Any = obj
    for step in removal.steps:
        found = deleted(found, step)
    if removal.fields:
        found = _without_fields(found, removal.fields)
    return found if isinstance(found, dict) else {}  # an expression may name the whole object


def equal_without(left: Json, left_removal: Removal, right: Json, right_removal: Removal) -> bool:
    """The two objects are the same apart from what does not count; containers that became empty do not count either."""
    same: bool = without_empty(without(left, left_removal)) == without_empty(without(right, right_removal))
    return same


def without_empty(value: Any) -> Any:
    """The value without empty objects and lists in it, to any depth. Source: argo-cd util/argo/normalizers."""
    if isinstance(value, dict):
        cleaned = ((key, without_empty(item)) for key, item in value.items())
        return {key: item for key, item in cleaned if item != {} and item != []}
    if isinstance(value, list):
        return [item for item in (without_empty(item) for item in value) if item != {}]
    return value


def owned_by(managed_fields: Iterable[Mapping[str, Any]], managers: Iterable[str]) -> dict[str, Any]:
    """The fields that one of these managers owns, from an object's `managedFields`."""
    trusted = frozenset(managers)
    found: Mapping[str, Any] = {}
    for entry in managed_fields:
        if entry.get("manager") not in trusted:
            continue
        try:
            found = fieldset.union(found, fieldset.decode(entry.get("fieldsV1") or {}))
        except fieldset.FieldSetError:
            continue  # of a form this server does not write
    return dict(found)


def _without_fields(value: Any, fields: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        copy = dict(value)
        for element, below in fields.items():
            name = element[2:]
            if not element.startswith("f:") or name not in copy:
                continue
            if not below:
                del copy[name]
            else:
                copy[name] = _without_fields(copy[name], below)
        return copy
    if isinstance(value, list):
        return _items_without_fields(value, fields)
    return value


def _items_without_fields(items: list[Any], fields: Mapping[str, Any]) -> list[Any]:
    kept: list[Any] = []
    for position, item in enumerate(items):
        keep = True
        for element, below in fields.items():
            if not _is_item(element, item, position):
                continue
            if below:
                item = _without_fields(item, below)
            else:
                keep = False
        if keep:
            kept.append(item)
    return kept


def _is_item(element: str, item: Any, position: int) -> bool:
    form, text = element[:2], element[2:]
    if form == "i:":
        return text == str(position)
    if form == "v:":
        return element == fieldset.value_element(item)
    if form == "k:" and isinstance(item, dict):
        keys: dict[str, Any] = orjson.loads(text)
        return all(item.get(name) == value for name, value in keys.items())
    return False


def respect_ignored(target: Json, live: Json, target_removal: Removal, live_removal: Removal) -> Json:
    """The target with the live object's values where differences do not count, so that an apply leaves them alone.

    Lists without merge keys are taken as a whole, and the status never is. Both removals hold pointers as well.
    """
    seen = {k: v for k, v in live.items() if k != "status"}
    bare = without(seen, live_removal)
    found = without(target, target_removal)
    if bare == seen and found == target:
        return target
    schema = builtin().schema(gvk_of(target))
    if schema is not None:
        return strategicmerge.apply(found, strategicmerge.create_two_way(bare, seen, schema), schema)
    merged: Json = mergepatch.apply(found, mergepatch.create(bare, seen))
    return merged


def pointer_paths(obj: Any, pointers: Iterable[str]) -> tuple[tuple[Path, ...], ...]:
    """JSON pointers as steps of a Removal from this object; those that name nothing are left out."""
    steps: list[tuple[Path, ...]] = []
    for pointer in pointers:
        path: list[str | int] = []
        value = obj
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and part in value:
                path.append(part)
                value = value[part]
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                path.append(int(part))
                value = value[int(part)]
            else:
                break
        else:
            if path:
                steps.append((tuple(path),))
    return tuple(steps)
