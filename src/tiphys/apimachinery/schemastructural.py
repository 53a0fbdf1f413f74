"""structural_errors: what is wrong with the schema of a CustomResourceDefinition.

Source: apiextensions-apiserver pkg/apiserver/schema (validation, completeness) and pkg/apis/apiextensions/validation.
Differs: CEL rules are not compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery import apierrors, schemavalidation
from tiphys.apimachinery.apierrors import FieldCause
from tiphys.apimachinery.re2 import PatternError, compile_pattern
from tiphys.apimachinery.schema import Schema

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_LEVELS: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_NOT_SUPPORTED: Final = ("$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "$schema", "id")
_FORBIDDEN_NESTED: Final = (
    ("type", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)

_ALLOWED: Final = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems"
    " MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations"
)
_VENDOR: Final = {
    "XPreserveUnknownFields": "x-kubernetes-preserve-unknown-fields",
    "XValidations": "x-kubernetes-validations",
}
_AT_ROOT_WITH_STATUS: Final = {_VENDOR.get(name, name[0].lower() + name[1:]): name for name in _ALLOWED.split()}
"""Keywords a root schema may have beside a status subresource, and the names the message has for them."""

_Raw = Mapping[str, Any]


def structural_errors(schema: _Raw, path: str, *, has_status: bool = False) -> list[FieldCause]:
    """Faults of an `openAPIV3Schema`, in order of their text.

    `path` is where it stands in the CustomResourceDefinition: `spec.validation.openAPIV3Schema` where all versions share
    one schema (as a single version does), else `spec.versions[0].schema.openAPIV3Schema`.
    """
    errors: list[FieldCause] = []
    if has_status and not _AT_ROOT_WITH_STATUS.keys() >= {name for name, value in schema.items() if value}:
        names = " ".join(_AT_ROOT_WITH_STATUS.values())
        text = f"only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
        errors.append(apierrors.invalid_value(path, dict(schema), text))
    _keywords(schema, path, errors)
    _invariants(schema, path, "root", errors)
    _completeness(schema, schema, path, path, errors)
    if not errors:
        _defaults(schema, path, errors)
    return sorted(dict.fromkeys(errors), key=str)


def _defaults(schema: _Raw, path: str, errors: list[FieldCause]) -> None:
    """A default is a value of its own schema."""
    if (default := schema.get("default")) is not None:
        at = f"{path}.default"
        for one in schemavalidation.validate_value(default, Schema(schema)):
            errors.append(FieldCause(one.reason, one.message, f"{at}.{one.field}" if one.field else at))
    for below, at in _children(schema, path):
        _defaults(below, at, errors)


# ---- keywords and their values ----


def _keywords(schema: _Raw, path: str, errors: list[FieldCause]) -> None:
    if schema.get("uniqueItems") is True:
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(apierrors.forbidden_value(f"{path}.uniqueItems", text))
    if schema.get("additionalProperties") not in (None, True) and schema.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        errors.append(apierrors.forbidden_value(f"{path}.additionalProperties", text))
    for name in _NOT_SUPPORTED:
        if schema.get(name):
            errors.append(apierrors.forbidden_value(f"{path}.{name}", f"{name} is not supported"))
    kind = schema.get("type") or ""
    if kind and kind not in _TYPES:
        errors.append(apierrors.not_supported(f"{path}.type", kind, _TYPES))
    if isinstance(schema.get("items"), list):
        errors.append(apierrors.forbidden_value(f"{path}.items", "items must be a schema object and not an array"))
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        errors.append(
            apierrors.invalid_value(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
        )
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        if not rule.get("rule"):
            at = f"{path}.x-kubernetes-validations[{index}].rule"
            errors.append(apierrors.required(at, "rule is not specified"))
    _lists_and_maps(schema, path, kind, errors)
    for below, at in _children(schema, path):
        _keywords(below, at, errors)
    for name in ("allOf", "anyOf", "oneOf"):
        for at_index, below in enumerate(schema.get(name) or ()):
            _keywords(below, f"{path}.{name}[{at_index}]", errors)
    if isinstance(schema.get("not"), Mapping):
        _keywords(schema["not"], f"{path}.not", errors)


def _children(schema: _Raw, path: str) -> list[tuple[_Raw, str]]:
    out = [(below, f"{path}.properties[{name}]") for name, below in (schema.get("properties") or {}).items()]
    out += [
        (schema[name], f"{path}.{name}")
        for name in ("items", "additionalProperties")
        if isinstance(schema.get(name), Mapping)
    ]
    return out


def _lists_and_maps(schema: _Raw, path: str, kind: str, errors: list[FieldCause]) -> None:
    map_type, list_type = schema.get("x-kubernetes-map-type"), schema.get("x-kubernetes-list-type")
    for found, name, wanted, known in (
        (map_type, "x-kubernetes-map-type", "object", ("atomic", "granular")),
        (list_type, "x-kubernetes-list-type", "array", ("atomic", "set", "map")),
    ):
        if found is None:
            continue
        if kind != wanted:
            text = f"must be {wanted} if {name} is specified"
            at = f"{path}.type"
            errors.append(apierrors.invalid_value(at, kind, text) if kind else apierrors.required(at, text))
        if found not in known:
            errors.append(apierrors.not_supported(f"{path}.{name}", found, known))
    keys = schema.get("x-kubernetes-list-map-keys") or []
    at = f"{path}.x-kubernetes-list-type"
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        errors.append(apierrors.invalid_value(at, list_type, text) if list_type else apierrors.required(at, text))
    if list_type == "map":
        _keyed_list(schema, path, keys, errors)


def _keyed_list(schema: _Raw, path: str, keys: list[Any], errors: list[FieldCause]) -> None:
    at = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        errors.append(apierrors.required(at, "must not be empty if x-kubernetes-list-type is map"))
    items = schema.get("items")
    if items is None:
        errors.append(apierrors.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map"))
        return
    if not isinstance(items, Mapping):
        return
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        errors.append(apierrors.invalid_value(f"{path}.items.type", items.get("type") or "", text))
        return
    properties = items.get("properties") or {}
    for key in keys:
        if key not in properties:
            errors.append(apierrors.invalid_value(at, keys, "entries must all be names of item properties"))
        elif properties[key].get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.append(apierrors.invalid_value(f"{path}.items.properties[{key}].type", "object", text))
        elif key not in (items.get("required") or ()) and properties[key].get("default") is None:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.append(apierrors.required(f"{path}.items.properties[{key}].default", text))
    if len(set(keys)) != len(keys):
        errors.append(apierrors.invalid_value(at, keys, "must not contain duplicate entries"))


# ---- invariants of structural schemas ----


def _invariants(schema: _Raw, path: str, level: str, errors: list[FieldCause]) -> None:
    kind = schema.get("type") or ""
    int_or_string = schema.get("x-kubernetes-int-or-string") is True
    preserve = schema.get("x-kubernetes-preserve-unknown-fields") is True
    embedded = schema.get("x-kubernetes-embedded-resource") is True
    if kind == "array" and schema.get("items") is None:
        errors.append(apierrors.required(f"{path}.items", "must be specified"))
    if isinstance(schema.get("items"), Mapping):
        _invariants(schema["items"], f"{path}.items", "item", errors)
    for name, below in (schema.get("properties") or {}).items():
        _invariants(below, f"{path}.properties[{name}]", "field", errors)
    additional = schema.get("additionalProperties")
    if additional is not None:
        if level == "root":
            errors.append(apierrors.forbidden_value(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(additional, Mapping):
            _invariants(additional, f"{path}.additionalProperties", "field", errors)
        if embedded:
            text = "must not be used if x-kubernetes-embedded-resource is set"
            errors.append(apierrors.forbidden_value(f"{path}.additionalProperties", text))
    for clash, name in (
        (preserve, "x-kubernetes-preserve-unknown-fields"),
        (embedded, "x-kubernetes-embedded-resource"),
    ):
        if int_or_string and clash:
            text = "must be false if x-kubernetes-int-or-string is true"
            errors.append(apierrors.invalid_value(f"{path}.{name}", True, text))
    _values(schema, path, errors)
    at = f"{path}.type"
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        errors.append(apierrors.invalid_value(at, kind, text) if kind else apierrors.required(at, text))
    elif not kind and not int_or_string and not preserve and not schema.get("$ref"):
        errors.append(apierrors.required(at, _LEVELS[level]))
    if level == "root" and kind and kind != "object":
        errors.append(apierrors.invalid_value(at, kind, "must be object at the root"))
    if embedded and not preserve and not schema.get("properties"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        errors.append(apierrors.required(f"{path}.properties", text))
    _resource_fields(schema, path, level, embedded, errors)


def _resource_fields(schema: _Raw, path: str, level: str, embedded: bool, errors: list[FieldCause]) -> None:
    properties = schema.get("properties") or {}
    checked = level == "root" or embedded
    for name in ("kind", "apiVersion"):
        if checked and name in properties and properties[name].get("type") != "string":
            found = properties[name].get("type") or ""
            errors.append(apierrors.invalid_value(f"{path}.properties[{name}].type", found, "must be string"))
    metadata = properties.get("metadata")
    if metadata is None:
        return
    if checked and metadata.get("type") != "object":
        errors.append(
            apierrors.invalid_value(f"{path}.properties[metadata].type", metadata.get("type") or "", "must be object")
        )
    if level == "root":
        allowed = set(metadata.get("properties") or {}) <= {"name", "generateName"}
        others = {key for key, value in metadata.items() if value} - {"type", "properties", "description", "default"}
        if not allowed or others or metadata.get("description"):
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(apierrors.forbidden_value(f"{path}.properties[metadata]", text))


def _values(schema: _Raw, path: str, errors: list[FieldCause]) -> None:
    int_or_string = schema.get("x-kubernetes-int-or-string") is True
    for name in ("anyOf", "allOf", "oneOf"):
        for at, below in enumerate(schema.get(name) or ()):
            allowed = int_or_string and name == "anyOf" and schema["anyOf"] == _INT_OR_STRING
            first = int_or_string and name == "allOf" and at == 0 and below.get("anyOf") == _INT_OR_STRING
            if not allowed:
                _nested(below, f"{path}.{name}[{at}]", errors, skip_any_of=first)
    if isinstance(schema.get("not"), Mapping):
        _nested(schema["not"], f"{path}.not", errors, skip_any_of=False)
    pattern = schema.get("pattern")
    if pattern:
        try:
            compile_pattern(pattern)
        except PatternError as exc:
            text = f"must be a valid regular expression, but isn't: {exc}"
            errors.append(apierrors.invalid_value(f"{path}.pattern", pattern, text))


def _nested(schema: _Raw, path: str, errors: list[FieldCause], *, skip_any_of: bool) -> None:
    """A schema under allOf, anyOf, oneOf or not may only restrict values."""
    _values({key: value for key, value in schema.items() if key != "anyOf"} if skip_any_of else schema, path, errors)
    if isinstance(schema.get("items"), Mapping):
        _nested(schema["items"], f"{path}.items", errors, skip_any_of=False)
    for name, below in (schema.get("properties") or {}).items():
        _nested(below, f"{path}.properties[{name}]", errors, skip_any_of=False)
    for name, text in _FORBIDDEN_NESTED:
        if schema.get(name):
            errors.append(apierrors.forbidden_value(f"{path}.{name}", text))
    if schema.get("additionalProperties") is not None:
        errors.append(apierrors.forbidden_value(f"{path}.additionalProperties", "must be undefined to be structural"))
    if "metadata" in (schema.get("properties") or {}):
        errors.append(
            apierrors.forbidden_value(f"{path}.properties[metadata]", "must not be specified in a nested context")
        )


def _completeness(value: _Raw, schema: _Raw, s_path: str, v_path: str, errors: list[FieldCause]) -> None:
    """What a nested schema restricts has to be declared by the schema around it."""
    nested = [(value["not"], f"{v_path}.not")] if isinstance(value.get("not"), Mapping) else []
    for name in ("allOf", "anyOf", "oneOf"):
        nested += [(below, f"{v_path}.{name}[{at}]") for at, below in enumerate(value.get(name) or ())]
    for below, at_value in nested:
        _declared(below, schema, s_path, at_value, errors)


def _declared(value: _Raw, schema: Any, s_path: str, v_path: str, errors: list[FieldCause]) -> None:
    if not isinstance(schema, Mapping):
        errors.append(apierrors.required(s_path, f"because it is defined in {v_path}"))
        return
    _completeness(value, schema, s_path, v_path, errors)
    if isinstance(value.get("items"), Mapping):
        _declared(value["items"], schema.get("items"), f"{s_path}.items", f"{v_path}.items", errors)
    for name, below in (value.get("properties") or {}).items():
        declared = (schema.get("properties") or {}).get(name)
        _declared(below, declared, f"{s_path}.properties[{name}]", f"{v_path}.properties[{name}]", errors)
