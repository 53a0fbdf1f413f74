"""Strategic merges as kyaml does them, of values without nulls and directives.

Source: kyaml yaml/merge2, yaml/walk; openapi.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.engine.render.kustomize.direct.texts import UnclearError, copy
from tiphys.engine.render.kustomize.schema import Definitions, Schema

_STRATEGY = "x-kubernetes-patch-strategy"
_KEY = "x-kubernetes-patch-merge-key"
_KEYS = "x-kubernetes-list-map-keys"


class Merge:
    """Merges patches into objects, by the definitions of their kinds."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def patched(self, obj: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
        """`obj`, which is changed, after a patch of the same kind. Raises UnclearError."""
        schema = self._definitions.of_kind(str(obj["apiVersion"]), str(obj["kind"]))
        merged = self._merge(obj, patch, schema)
        if not isinstance(merged, dict):
            raise UnclearError("object")
        return merged

    def _merge(self, dest: Any, patch: Any, schema: Schema | None) -> Any:
        if dest is None or patch is None:
            raise UnclearError("null")
        if isinstance(dest, dict) and isinstance(patch, dict):
            for key in dest.keys() - patch.keys():
                self._check(dest[key], self._field(schema, key, dest[key]))
            for key, value in patch.items():
                if key.startswith("$"):
                    raise UnclearError("directive")
                field = self._field(schema, key, value, dest.get(key))
                dest[key] = self._merge(dest[key], value, field) if key in dest else self._fresh(value, field)
            return dest
        if isinstance(dest, list) and isinstance(patch, list):
            keys = _merge_keys(schema)
            if keys is None:
                if _has_null(patch):
                    raise UnclearError("null")
                return copy(patch)
            return self._merge_lists(dest, patch, keys, self._definitions.items(schema))
        if isinstance(dest, dict | list) or isinstance(patch, dict | list):
            raise UnclearError("types")
        # The new scalar is written in the style of the old one, and would be a text where that is quoted.
        if isinstance(dest, str) and not isinstance(patch, str):
            raise UnclearError("style")
        return patch

    def _merge_lists(self, dest: list[Any], patch: list[Any], keys: list[str], items: Schema | None) -> list[Any]:
        if not keys:
            _check_values(dest)
            _check_values(patch)
            return [*patch, *(one for one in dest if one not in patch)]
        used = [key for key in keys if any(isinstance(one, dict) and key in one for one in (*dest, *patch))]
        if len(used) > 1:
            raise UnclearError("several keys")  # the order in which such elements come hangs on what each of them has
        present = _by_keys(dest, used)
        merged = []
        for key, element in _by_keys(patch, used).items():
            there = present.pop(key, None)
            merged.append(self._fresh(element, items) if there is None else self._merge(there, element, items))
        for element in present.values():
            self._check(element, items)
            merged.append(element)
        return merged

    def _fresh(self, value: Any, schema: Schema | None) -> Any:
        """What a patch brings to where nothing was."""
        self._check(value, schema)
        if _has_null(value):
            raise UnclearError("null")
        return copy(value)

    def _check(self, value: Any, schema: Schema | None) -> None:
        """A value that no patch touches is walked too, and stays the same only when its lists are in order."""
        if isinstance(value, dict):
            for key, item in value.items():
                if key.startswith("$"):
                    raise UnclearError("directive")
                self._check(item, self._field(schema, key, item))
        elif isinstance(value, list):
            keys = _merge_keys(schema)
            if keys is None:
                return
            if not keys:
                _check_values(value)
                return
            items = self._definitions.items(schema)
            used = [key for key in keys if any(isinstance(one, dict) and key in one for one in value)]
            for element in _by_keys(value, used).values():
                self._check(element, items)

    def _field(self, schema: Schema | None, name: str, *values: Any) -> Schema | None:
        field = self._definitions.field(schema, name) if schema is not None else None
        if field is None and any(isinstance(value, dict) and "kind" in value for value in values):
            raise UnclearError("an object inside")  # may have definitions of its own
        return field


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list) else value is None


def _merge_keys(schema: Schema | None) -> list[str] | None:
    """Keys by which the elements of a list are merged; empty for a set of values, None when the list is replaced."""
    if schema is None or "merge" not in str(schema.get(_STRATEGY, "")).split(","):
        return None
    if _KEYS in schema:
        return [str(key) for key in schema[_KEYS]]
    return [str(schema[_KEY])] if _KEY in schema else []


def _by_keys(elements: list[Any], keys: list[str]) -> dict[tuple[str, ...], Any]:
    """Elements by the values of their keys, which each must have, and no two the same."""
    found: dict[tuple[str, ...], Any] = {}
    if elements and not keys:
        raise UnclearError("no key")
    for element in elements:
        if not isinstance(element, dict):
            raise UnclearError("element")
        values = [element.get(key) for key in keys]
        if not all((isinstance(value, str) and value) or value.__class__ is int for value in values):
            raise UnclearError("key")
        at = tuple(str(value) for value in values)
        if at in found:
            raise UnclearError("repeated key")
        found[at] = element
    return found


def _check_values(elements: list[Any]) -> None:
    if not all(isinstance(one, str) and one for one in elements) or len(set(elements)) != len(elements):
        raise UnclearError("set of values")
