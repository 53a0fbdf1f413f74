"""validate: everything wrong with a custom object, at once, in the words of the API server.

Source: dev-cluster 2; kube-openapi pkg/validation/validate; apiextensions-apiserver pkg/apiserver/validation and
pkg/apiserver/schema/{listtype,objectmeta}.
Differs: where the API server goes through fields in random order, the order of the schema is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import FieldCause, go_json, go_quote
from tiphys.apimachinery.re2 import Pattern, PatternCostError
from tiphys.apimachinery.schema import Schema
from tiphys.apimachinery.structuredmerge import same

_NONE: Final[Any] = object()
_INT_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_NUMBER_FORMATS: Final = {"integer": "int64", "number": "float64"}
_FLOAT_MAX: Final = 3.4028234663852886e38
_KIND: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class _Result(NamedTuple):
    """Problems of a value, and how many checks it passed: of several alternatives the best fitting one is reported."""

    errors: list[FieldCause]
    passed: int


def validate(
    obj: Mapping[str, Any], schema: Schema | None, *, old: Mapping[str, Any] | None = None
) -> list[FieldCause]:
    """Problems of a custom object after pruning and defaulting; empty when it is valid.

    With `old`, the object as stored, problems of values that did not change are forgiven, so that a schema made stricter
    does not lock the objects that were there before.
    """
    if schema is None:
        return []
    errors = list(_validate(dict(obj), schema, "", _NONE if old is None else dict(old)).errors)
    errors += _embedded(obj, schema, "")
    if old is None or not _lists(old, schema, ""):
        errors += _lists(obj, schema, "")
    return errors


def validate_value(value: Any, schema: Schema) -> list[FieldCause]:
    """Problems of one value, such as a default, by paths that begin at it."""
    return list(_validate(value, schema, "").errors)


# ---- one value against its schema ----


def _validate(value: Any, schema: Schema, path: str, old: Any = _NONE) -> _Result:
    errors: list[FieldCause] = []
    passed = 0
    of_type = _type_error(value, schema, path)
    if of_type is not None:
        errors.append(of_type)
    elif schema.types or schema.format:
        passed += 1
    if value is None:
        errors += _enum_errors(value, schema, path)
        return _Result(errors, passed)
    results = [_alternatives(value, schema, path)]
    if isinstance(value, str):
        results.append(_Result(_string_errors(value, schema, path), 0))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        results.append(_Result(_number_errors(value, schema, path), 1))
    elif isinstance(value, list):
        results.append(_validate_list(value, schema, path, old))
    results.append(_Result(_enum_errors(value, schema, path), 0))
    if isinstance(value, dict):
        results.append(_validate_object(value, schema, path, old))
    for result in results:
        errors += result.errors
        passed += result.passed + 1
    if old is not _NONE and errors and same(old, value):
        errors = []
    return _Result(list(dict.fromkeys(errors)), passed + 1)


def _shown_path(path: str) -> str:
    return path.removeprefix(".")


def _invalid(path: str, value: object, text: str) -> FieldCause:
    return apierrors.invalid_value(_shown_path(path), value, f"{_shown_path(path)} in body {text}")


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"


def _type_error(value: object, schema: Schema, path: str) -> FieldCause | None:
    if not schema.types:
        return None
    found = _type_name(value)
    if value is None and schema.nullable:
        return None
    if found in schema.types or (found == "integer" and "number" in schema.types):
        return None
    if isinstance(value, float) and value.is_integer() and "integer" in schema.types:
        return None
    wanted = ",".join(schema.types)
    shown = _shown_path(path)
    if schema.format and value is not None:
        # With a format the formats are compared first, and a list passes for a string that has one.
        if isinstance(value, list) and not {"number", "integer"} & set(schema.types):
            return None
        if not isinstance(value, str | list):
            wanted, found = schema.format, _NUMBER_FORMATS.get(found, "")
    return apierrors.type_invalid(shown, found, f"{shown} in body must be of type {wanted}: {go_quote(found)}")


def _enum_errors(value: object, schema: Schema, path: str) -> list[FieldCause]:
    if not schema.enum or any(same(value, one) for one in schema.enum):
        return []
    if value is None and None in schema.enum:
        return []
    allowed = [one if isinstance(one, str) else go_json(one) for one in schema.enum]
    return [apierrors.not_supported(_shown_path(path), value, allowed)]


def _string_errors(value: str, schema: Schema, path: str) -> list[FieldCause]:
    errors: list[FieldCause] = []
    shown = _shown_path(path)
    if schema.max_length is not None and len(value) > schema.max_length:
        errors.append(apierrors.too_long(shown, schema.max_length))
    elif schema.min_length is not None and len(value) < schema.min_length:
        errors.append(_invalid(path, value, f"should be at least {schema.min_length} chars long"))
    elif schema.pattern is not None:
        errors += _pattern_errors(value, schema.pattern, path)
    if schema.format_check is not None and not schema.format_check(value):
        text = f"{shown} in body must be of type {schema.format}: {go_quote(value)}"
        errors.append(apierrors.type_invalid(shown, value, text))
    return errors


def _pattern_errors(value: str, pattern: Pattern, path: str) -> list[FieldCause]:
    try:
        return [] if pattern.search(value) else [_invalid(path, value, f"should match '{pattern.text}'")]
    except PatternCostError:
        return [_invalid(path, value[:100], f"is too long to be compared with '{pattern.text}'")]


def _go_number(value: float) -> str:
    """A bound as Go's %v prints it: whole numbers without a point."""
    return str(int(value)) if isinstance(value, int) or (value.is_integer() and abs(value) < 1e21) else repr(value)


def _number_errors(value: float, schema: Schema, path: str) -> list[FieldCause]:
    errors: list[FieldCause] = []
    if schema.types == ("integer",):
        low, high = _INT_RANGES[schema.format or "int64"]
        if not low <= value <= high or not (isinstance(value, int) or value.is_integer()):
            kind = f"integer with format {schema.format}" if schema.format else "integer (default format)"
            errors.append(_unplaced(f"Checked value must be of type {kind} in {_shown_path(path)}"))
    elif schema.format == "float" and abs(value) > _FLOAT_MAX:
        errors.append(_unplaced(f"Checked value must be of type number with format float in {_shown_path(path)}"))
    factor, low_bound, high_bound = schema.multiple_of, schema.minimum, schema.maximum
    if isinstance(value, int):
        # Bounds of whole numbers are cut to whole numbers, whatever that makes of them.
        factor, low_bound, high_bound = (None if one is None else int(one) for one in (factor, low_bound, high_bound))
    if factor is not None and factor <= 0:
        text = f"factor MultipleOf declared for {_shown_path(path)} must be positive: {_go_number(factor)}"
        errors.append(apierrors.invalid_value(_shown_path(path), factor, text))
    elif factor is not None and not (value % factor == 0 if isinstance(value, int) else (value / factor).is_integer()):
        errors.append(_invalid(path, value, f"should be a multiple of {_go_number(factor)}"))
    if low_bound is not None and (value <= low_bound if schema.exclusive_minimum else value < low_bound):
        than = "greater than" if schema.exclusive_minimum else "greater than or equal to"
        errors.append(_invalid(path, value, f"should be {than} {_go_number(low_bound)}"))
    if high_bound is not None and (value >= high_bound if schema.exclusive_maximum else value > high_bound):
        than = "less than" if schema.exclusive_maximum else "less than or equal to"
        errors.append(_invalid(path, value, f"should be {than} {_go_number(high_bound)}"))
    return errors


def _unplaced(text: str) -> FieldCause:
    """A problem the API server reports without a field."""
    return apierrors.invalid_value("<nil>", "", text)


def _validate_list(value: list[Any], schema: Schema, path: str, old: Any) -> _Result:
    errors: list[FieldCause] = []
    passed = 1
    if schema.items is not None:
        before = _correlated_items(value, schema, old)
        for at, item in enumerate(value):
            result = _validate(item, schema.items, f"{path}[{at}]", before[at])
            errors += result.errors
            passed += result.passed
    size = len(value)
    if schema.min_items is not None and size < schema.min_items:
        errors.append(_invalid(path, size, f"should have at least {schema.min_items} items"))
    if schema.max_items is not None and size > schema.max_items:
        errors.append(apierrors.too_many(_shown_path(path), size, schema.max_items))
    if schema.unique_items and any(same(one, other) for at, one in enumerate(value) for other in value[:at]):
        errors.append(
            apierrors.invalid_value(_shown_path(path), "", f"{_shown_path(path)} in body shouldn't contain duplicates")
        )
    return _Result(errors, passed)


def _correlated_items(value: list[Any], schema: Schema, old: Any) -> list[Any]:
    """For each item the stored item with the same keys; only items of keyed lists can be told apart."""
    if schema.list_type != "map" or not isinstance(old, list):
        return [_NONE] * len(value)
    stored = {go_json(_keys_of(item, schema)): item for item in old}
    return [stored.get(go_json(_keys_of(item, schema)), _NONE) for item in value]


def _keys_of(item: Any, schema: Schema) -> dict[str, Any]:
    return {key: item[key] for key in schema.map_keys if key in item} if isinstance(item, dict) else {}


def _validate_object(value: dict[str, Any], schema: Schema, path: str, old: Any) -> _Result:
    errors: list[FieldCause] = []
    passed = 0
    size = len(value)
    if schema.min_properties is not None and size < schema.min_properties:
        errors.append(_invalid(path, size, f"should have at least {schema.min_properties} properties"))
    if schema.max_properties is not None and size > schema.max_properties:
        errors.append(apierrors.too_many(_shown_path(path), size, schema.max_properties))
    stored = old if isinstance(old, dict) else {}
    if schema.additional is False:
        for name in value:
            if name not in schema.properties:
                text = f"{_shown_path(path)}.{name} in body is a forbidden property"
                errors.append(apierrors.invalid_value(_shown_path(path), name, text))
    elif isinstance(schema.additional, Schema):
        for name, child in value.items():
            if name not in schema.properties:
                result = _validate(child, schema.additional, f"{path}.{name}", stored.get(name, _NONE))
                errors += result.errors
                passed += result.passed
    for name, declared in schema.properties.items():
        if name in value:
            result = _validate(value[name], declared, f"{path}.{name}", stored.get(name, _NONE))
            errors += result.errors
            passed += result.passed
    errors += [apierrors.required(_shown_path(f"{path}.{name}")) for name in schema.required if name not in value]
    return _Result(errors, passed)


def _alternatives(value: Any, schema: Schema, path: str) -> _Result:
    """allOf, anyOf, oneOf and not. The problems of the alternative that came closest are reported with the verdict."""
    errors: list[FieldCause] = []
    passed = 1
    shown = go_quote(_shown_path(path))
    if schema.any_of:
        best: _Result | None = None
        for one in schema.any_of:
            result = _validate(value, one, path)
            if not result.errors:
                best = result
                break
            if best is None or result.passed > best.passed:
                best = result
        if best is not None:
            if best.errors:
                errors.append(_unplaced(f"{shown} must validate at least one schema (anyOf)"))
            errors += best.errors
            passed += best.passed
    if schema.one_of:
        results = [_validate(value, one, path) for one in schema.one_of]
        valid = [result for result in results if not result.errors]
        if len(valid) == 1:
            passed += valid[0].passed
        else:
            found = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
            errors.append(_unplaced(f"{shown} must validate one and only one schema (oneOf). {found}"))
            if not valid:
                closest = max(results, key=lambda result: result.passed)
                errors += closest.errors
                passed += closest.passed
    if schema.all_of:
        results = [_validate(value, one, path) for one in schema.all_of]
        for result in results:
            errors += result.errors
            passed += result.passed
        broken = sum(1 for result in results if result.errors)
        if broken:
            none = ". None validated" if broken == len(results) else ""
            errors.append(_unplaced(f"{shown} must validate all the schemas (allOf){none}"))
    if schema.never is not None and not _validate(value, schema.never, path).errors:
        errors.append(_unplaced(f"{shown} must not validate the schema (not)"))
    return _Result(errors, passed)


# ---- lists whose items must differ ----


def _lists(value: Any, schema: Schema, path: str) -> list[FieldCause]:
    errors: list[FieldCause] = []
    if isinstance(value, list):
        if schema.list_type == "set":
            errors += [apierrors.duplicate(f"{path}[{at}]", value[at]) for at in _repeated(value)]
        elif schema.list_type == "map":
            errors += _keyed_list_errors(value, schema, path)
        if schema.items is not None:
            for at, item in enumerate(value):
                errors += _lists(item, schema.items, f"{path}[{at}]")
    elif isinstance(value, Mapping):
        for name, child in value.items():
            if name in schema.properties:
                errors += _lists(child, schema.properties[name], f"{path}.{name}" if path else name)
            elif isinstance(schema.additional, Schema):
                errors += _lists(child, schema.additional, f"{path}[{name}]")
    return errors


def _keyed_list_errors(value: list[Any], schema: Schema, path: str) -> list[FieldCause]:
    for at, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            return [apierrors.invalid_value(f"{path}[{at}]", item, text)]
    keys = [_keys_of(item, schema) for item in value]
    return [apierrors.duplicate(f"{path}[{at}]", keys[at]) for at in _repeated(keys)]


def _repeated(items: Sequence[Any]) -> list[int]:
    """Positions where an item is there for the second time; further repetitions are not counted."""
    seen: dict[str, int] = {}
    out: list[int] = []
    for at, item in enumerate(items):
        text = go_json(item)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            out.append(at)
    return out


# ---- embedded resources ----


def _embedded(value: Any, schema: Schema, path: str) -> list[FieldCause]:
    errors: list[FieldCause] = []
    if isinstance(value, Mapping):
        if schema.embedded:
            errors += _resource_errors(value, path)
        for name, child in value.items():
            if name in schema.properties:
                errors += _embedded(child, schema.properties[name], f"{path}.{name}" if path else name)
            elif isinstance(schema.additional, Schema):
                errors += _embedded(child, schema.additional, f"{path}[{name}]")
    elif isinstance(value, list) and schema.items is not None:
        for at, item in enumerate(value):
            errors += _embedded(item, schema.items, f"{path}[{at}]")
    return errors


def _resource_errors(value: Mapping[str, Any], path: str) -> list[FieldCause]:
    errors = [apierrors.required(f"{path}.{name}") for name in ("apiVersion", "kind") if name not in value]
    for name in ("apiVersion", "kind"):
        if name not in value:
            continue
        said = value[name]
        if not isinstance(said, str):
            errors.append(apierrors.invalid_value(f"{path}.{name}", said, "must be a string"))
        elif not said:
            errors.append(apierrors.invalid_value(f"{path}.{name}", said, "must not be empty"))
        elif name == "apiVersion" and said.count("/") > 1:
            errors.append(apierrors.invalid_value(f"{path}.{name}", said, f"unexpected GroupVersion string: {said}"))
        elif name == "kind" and (len(said) > 63 or not _KIND.fullmatch(said.lower())):
            text = (
                "may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric"
                " characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',"
                "  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
            )
            errors.append(apierrors.invalid_value(f"{path}.{name}", said, text))
    return errors
