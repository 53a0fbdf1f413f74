"""Schema: the structural schema of a custom kind; prune and fill bring an object into its form.

The order on the way in is prune, fill, validate (`schemavalidation.validate`). Objects are never changed in place; what a
schema does not touch is shared with the argument.

Source: dev-cluster 2; apiextensions-apiserver pkg/apiserver/schema (pruning, defaulting).
Differs: rules in `x-kubernetes-validations` (CEL) are not evaluated; `has_cel` tells whether there are any, so that the
server can say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import go_quote
from tiphys.apimachinery.re2 import Pattern, PatternError, compile_pattern
from tiphys.apimachinery.schemaformats import string_format

RESOURCE_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})
"""Fields of every resource, which no schema has to declare."""

META_FIELDS: Final = frozenset(
    (
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    )
)
"""Fields of ObjectMeta."""


class Schema:
    """One node of an OpenAPI v3 schema, read once. Absent keywords are None, empty or false."""

    __slots__ = (
        "additional",
        "all_of",
        "any_of",
        "default",
        "embedded",
        "enum",
        "exclusive_maximum",
        "exclusive_minimum",
        "format",
        "format_check",
        "has_default",
        "int_or_string",
        "items",
        "list_type",
        "map_keys",
        "max_items",
        "max_length",
        "max_properties",
        "maximum",
        "min_items",
        "min_length",
        "min_properties",
        "minimum",
        "multiple_of",
        "never",
        "nullable",
        "one_of",
        "pattern",
        "pattern_text",
        "preserve",
        "properties",
        "raw",
        "required",
        "types",
        "unique_items",
    )

    def __init__(self, raw: Mapping[str, Any]) -> None:
        """Read a schema; keywords it does not know are left alone. Never fails: see `schemastructural` for its faults."""
        self.raw = raw
        self.int_or_string: bool = raw.get("x-kubernetes-int-or-string") is True
        kind = raw.get("type") or ""
        self.types: tuple[str, ...] = ("integer", "string") if self.int_or_string else (kind,) if kind else ()
        self.nullable: bool = raw.get("nullable") is True
        self.preserve: bool = raw.get("x-kubernetes-preserve-unknown-fields") is True
        self.embedded: bool = raw.get("x-kubernetes-embedded-resource") is True
        self.default: Any = raw.get("default")
        self.has_default: bool = self.default is not None
        self.list_type: str = raw.get("x-kubernetes-list-type") or ""
        self.map_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.properties: dict[str, Schema] = {name: Schema(one) for name, one in (raw.get("properties") or {}).items()}
        additional = raw.get("additionalProperties")
        self.additional: Schema | bool | None = Schema(additional) if isinstance(additional, Mapping) else additional
        self.items: Schema | None = Schema(raw["items"]) if isinstance(raw.get("items"), Mapping) else None
        self.all_of = [Schema(one) for one in raw.get("allOf") or ()]
        self.any_of = [Schema(one) for one in raw.get("anyOf") or ()]
        self.one_of = [Schema(one) for one in raw.get("oneOf") or ()]
        self.never: Schema | None = Schema(raw["not"]) if isinstance(raw.get("not"), Mapping) else None
        self._read_values(raw)

    def _read_values(self, raw: Mapping[str, Any]) -> None:
        self.enum: list[Any] | None = raw.get("enum")
        self.required: tuple[str, ...] = tuple(raw.get("required") or ())
        self.minimum: float | None = raw.get("minimum")
        self.maximum: float | None = raw.get("maximum")
        self.exclusive_minimum: bool = raw.get("exclusiveMinimum") is True
        self.exclusive_maximum: bool = raw.get("exclusiveMaximum") is True
        self.multiple_of: float | None = raw.get("multipleOf")
        self.min_length: int | None = raw.get("minLength")
        self.max_length: int | None = raw.get("maxLength")
        self.min_items: int | None = raw.get("minItems")
        self.max_items: int | None = raw.get("maxItems")
        self.min_properties: int | None = raw.get("minProperties")
        self.max_properties: int | None = raw.get("maxProperties")
        self.unique_items: bool = raw.get("uniqueItems") is True
        self.pattern_text: str = raw.get("pattern") or ""
        self.pattern: Pattern | None = None
        if self.pattern_text:
            try:
                self.pattern = compile_pattern(self.pattern_text)
            except PatternError:
                pass  # of a definition that was stored before patterns were checked as Go does
        self.format: str = raw.get("format") or ""
        self.format_check: Callable[[str], bool] | None = None
        if self.types in ((), ("string",)):
            self.format_check = string_format(self.format)
            if self.format_check is None:
                self.format = ""
        elif self.format not in {"integer": ("int32", "int64"), "number": ("float", "double")}.get(self.types[0], ()):
            self.format = ""

    def below(self, name: str) -> Schema | None:
        """The schema of an entry of an object."""
        found = self.properties.get(name)
        if found is None and isinstance(self.additional, Schema):
            return self.additional
        return found

    def walk(self) -> Iterator[Schema]:
        """This node and every node below, outside of allOf, anyOf, oneOf and not."""
        yield self
        for one in self.properties.values():
            yield from one.walk()
        for other in (self.items, self.additional):
            if isinstance(other, Schema):
                yield from other.walk()


def has_cel(schema: Schema) -> bool:
    """Whether any rule in the CEL language is attached."""
    return any(node.raw.get("x-kubernetes-validations") for node in schema.walk())


# ---- pruning ----


def prune(obj: Mapping[str, Any], schema: Schema | None) -> tuple[dict[str, Any], list[str]]:
    """A resource without the fields its schema does not declare, and the paths of those fields in order.

    `metadata` is left alone; it has its own type. Without a schema every field but the resource's own goes.
    """
    unknown: list[str] = []
    if schema is None:
        unknown = sorted(name for name in obj if name not in RESOURCE_FIELDS)
        return {name: value for name, value in obj.items() if name in RESOURCE_FIELDS}, unknown
    out: dict[str, Any] = {}
    for name, value in obj.items():
        if name in RESOURCE_FIELDS:
            out[name] = value
            continue
        _prune_entry(out, name, value, schema, name, unknown)
    return out, sorted(unknown)


def unknown_field_errors(paths: list[str]) -> list[str]:
    """`unknown field "spec.foo"` for each path, as strict and warning field validation say it."""
    return [f"unknown field {go_quote(path)}" for path in paths]


def _prune_entry(
    out: dict[str, Any], name: str, value: Any, schema: Schema, path: str, unknown: list[str], *, keep: bool = False
) -> None:
    declared = schema.below(name)
    if declared is not None:
        out[name] = _prune(value, declared, path, unknown)
    elif schema.preserve or keep:
        out[name] = value
    elif schema.additional is not None:
        out[name] = _prune_undeclared(value, path, unknown)
    else:
        unknown.append(path)


def _prune(value: Any, schema: Schema, path: str, unknown: list[str], *, keep: bool = False) -> Any:
    """`value` without what `schema` does not declare. `keep`: the list around it keeps unknown fields."""
    keep = keep or schema.preserve
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for name, child in value.items():
            if schema.embedded and name in RESOURCE_FIELDS:
                out[name] = _embedded_metadata(child, path, unknown) if name == "metadata" else child
            else:
                _prune_entry(out, name, child, schema, f"{path}.{name}", unknown, keep=keep)
        return value if _same_parts(out, value) else out
    if isinstance(value, list):
        of_items = schema.items
        if of_items is not None:
            items = [_prune(v, of_items, f"{path}[{at}]", unknown, keep=keep) for at, v in enumerate(value)]
        elif keep:
            return value
        else:
            items = [_prune_undeclared(v, f"{path}[{at}]", unknown) for at, v in enumerate(value)]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def _same_parts(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return len(a) == len(b) and all(a[name] is b[name] for name in a)


def _prune_undeclared(value: Any, path: str, unknown: list[str]) -> Any:
    """A value whose schema says nothing loses the fields of every object in it."""
    if isinstance(value, dict):
        unknown.extend(f"{path}.{name}" for name in value)
        return {}
    if isinstance(value, list):
        return [_prune_undeclared(child, f"{path}[{at}]", unknown) for at, child in enumerate(value)]
    return value


def _embedded_metadata(metadata: Any, path: str, unknown: list[str]) -> Any:
    if not isinstance(metadata, dict) or metadata.keys() <= META_FIELDS:
        return metadata
    unknown.extend(f"{path}.metadata.{name}" for name in metadata if name not in META_FIELDS)
    return {name: value for name, value in metadata.items() if name in META_FIELDS}


# ---- nulls and defaults ----


def fill(value: Any, schema: Schema | None) -> Any:
    """`value` as decoded from a request: without the nulls its schema forbids and with the defaults it gives."""
    return apply_defaults(drop_nulls(value, schema), schema)


def _forbidden_null(value: Any, schema: Schema | bool | None) -> bool:
    return value is None and isinstance(schema, Schema) and not schema.nullable


def drop_nulls(value: Any, schema: Schema | None) -> Any:
    """`value` without nulls that are neither allowed nor have a default to take their place."""
    if schema is None:
        return value
    return _drop_nulls(value, schema)


def _drop_nulls(value: Any, schema: Schema | None) -> Any:
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for name, child in value.items():
            declared = None if schema is None else schema.below(name)
            if _forbidden_null(child, declared) and declared is not None and not declared.has_default:
                continue
            out[name] = _drop_nulls(child, declared) if isinstance(child, dict | list) else child
        return value if _same_parts(out, value) and len(out) == len(value) else out
    if isinstance(value, list):
        of_items = None if schema is None else schema.items
        items = [_drop_nulls(child, of_items) if isinstance(child, dict | list) else child for child in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def apply_defaults(value: Any, schema: Schema | None) -> Any:
    """`value` with the defaults its schema gives, for fields that are not there or null where that is not allowed.

    Alone, without `drop_nulls`, it is what follows a server-side apply.
    """
    return value if schema is None else _default(value, schema)


def _default(value: Any, schema: Schema) -> Any:
    if isinstance(value, dict):
        out = dict(value)
        for name, declared in schema.properties.items():
            if declared.has_default and (name not in out or _forbidden_null(out[name], declared)):
                out[name] = declared.default
        for name, child in out.items():
            below = schema.below(name)
            if below is None:
                continue
            if child is None and name not in schema.properties and _forbidden_null(child, below):
                out[name] = child = below.default
            if isinstance(child, dict | list):
                out[name] = _default(child, below)
        return value if _same_parts(out, value) else out
    if isinstance(value, list) and schema.items is not None:
        of_items = schema.items
        items = [of_items.default if _forbidden_null(child, of_items) else child for child in value]
        items = [_default(child, of_items) if isinstance(child, dict | list) else child for child in items]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value
