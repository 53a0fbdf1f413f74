"""Which CustomResourceDefinitions are legal.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation, as answered by kube-apiserver 1.36.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from tiphys.apimachinery.apierrors import FieldCause, duplicate, forbidden_value, invalid_value, not_supported, required
from tiphys.apimachinery.schema import Schema, has_cel
from tiphys.apimachinery.schemastructural import structural_errors
from tiphys.devcluster.validation_names import (
    Causes,
    check,
    check_choice,
    check_same,
    dns_1035_label,
    dns_subdomain,
    invalid_struct,
)

Json = Mapping[str, Any]

NO_WEBHOOKS: Final = (
    "the embedded cluster calls no conversion webhooks; None is served, which changes nothing but apiVersion"
)
_APPROVED: Final = "api-approved.kubernetes.io"
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SELECTABLE: Final = ("string", "boolean", "integer")
_STRING_FORMATS: Final = frozenset(
    (
        *("bsonobjectid", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "uuid3", "uuid4", "uuid5"),
        *("isbn", "isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor", "byte", "password"),
        *("date", "duration", "datetime", "k8sshortname", "k8slongname"),
    )
)


def check_definition(causes: Causes, obj: Json, old: Json | None) -> None:
    """A CustomResourceDefinition, its schemas included."""
    spec = obj["spec"]
    names, group = spec["names"], spec.get("group", "")
    name = obj["metadata"].get("name", "")
    if old is None and name != f"{names.get('plural', '')}.{group}":
        causes.append(invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if old is None:
        _check_approval(causes, obj, group)
    if not group:
        causes.append(required("spec.group"))
    elif problems := dns_subdomain(group):
        check(causes, "spec.group", group, problems)
    elif "." not in group:
        causes.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    if not spec.get("scope"):
        causes.append(required("spec.scope"))
    else:
        check_choice(causes, "spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields") and not (old or {}).get("spec", {}).get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        causes.append(invalid_value("spec.preserveUnknownFields", True, detail))
    _check_versions(causes, spec)
    _check_names(causes, names)
    _check_conversion(causes, spec.get("conversion") or {})
    _check_stored_versions(causes, obj, old)
    if old is not None:
        before = old["spec"]
        check_same(causes, "spec.group", group, before.get("group"))
        check_same(causes, "spec.names.plural", names.get("plural"), before["names"].get("plural"))
        check_same(causes, "spec.scope", spec.get("scope"), before.get("scope"))
        if _established(old):
            check_same(causes, "spec.names.kind", names.get("kind"), before["names"].get("kind"))


def has_rules(definition: Json) -> bool:
    """Whether a version has x-kubernetes-validations, which are not evaluated here."""
    schemas = [(one.get("schema") or {}).get("openAPIV3Schema") for one in definition["spec"].get("versions") or ()]
    return any(has_cel(Schema(one)) for one in schemas if one)


def unrecognized_formats(definition: Json) -> list[str]:
    """Formats of texts that nobody checks: the server warns of them."""
    found: list[str] = []
    for version in definition["spec"].get("versions") or ():
        _collect_formats((version.get("schema") or {}).get("openAPIV3Schema"), found)
    return [f'unrecognized format "{one}"' for one in dict.fromkeys(found)]


def _collect_formats(schema: Any, found: list[str]) -> None:
    if not isinstance(schema, Mapping):
        return
    name = schema.get("format")
    if name and schema.get("type") == "string" and name.replace("-", "") not in _STRING_FORMATS:
        found.append(name)
    for below in (schema.get("properties") or {}).values():
        _collect_formats(below, found)
    for part in ("items", "additionalProperties"):
        _collect_formats(schema.get(part), found)


def _check_approval(causes: Causes, obj: Json, group: str) -> None:
    if not group.endswith((".k8s.io", ".kubernetes.io")):
        return
    given = (obj["metadata"].get("annotations") or {}).get(_APPROVED)
    field, link = f"metadata.annotations[{_APPROVED}]", "see https://github.com/kubernetes/enhancements/pull/1111"
    if not given:
        causes.append(required(field, f'protected groups must have approval annotation "{_APPROVED}", {link}'))
        return
    place = urlsplit(given)
    if not given.startswith("unapproved") and not (place.scheme and place.netloc):
        detail = (
            f'protected groups must have approval annotation "{_APPROVED}" with either a URL or a reason starting with'
            f' "unapproved", {link}'
        )
        causes.append(invalid_value(field, given, detail))


# ---- versions ----


def _check_versions(causes: Causes, spec: Json) -> None:
    versions = spec.get("versions") or []
    if sum(bool(one.get("storage")) for one in versions) != 1:
        shown = [_shown_version(one) for one in versions] if versions else spec.get("versions")
        detail = "must have exactly one version marked as storage version"
        causes.append(invalid_struct("spec.versions", shown, detail))
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        called = version.get("name", "")
        check(causes, f"{path}.name", called, dns_1035_label(called))
        if called in seen:
            shown = [_shown_version(one) for one in versions]
            causes.append(invalid_struct("spec.versions", shown, "must contain unique version names"))
        seen.add(called)
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            causes.append(required(f"{path}.schema.openAPIV3Schema"))
    if versions:
        check(causes, "spec.version", versions[0].get("name", ""), dns_1035_label(versions[0].get("name", "")))
    causes.extend(_schema_faults(versions))
    for part, judge in (
        ("subresources", _check_subresources),
        ("additionalPrinterColumns", _check_columns),
        ("selectableFields", _check_selectable),
    ):
        for version, path in _places(versions, part):
            judge(causes, version, f"{path}.{part}")


def _shown_version(version: Json) -> dict[str, Any]:
    """A version as the server's own struct; what all versions share has been taken out of it."""
    return {
        "Name": version.get("name", ""),
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": None,
        "Subresources": None,
        "AdditionalPrinterColumns": None,
        "SelectableFields": None,
    }


def _places(versions: Sequence[Json], part: str) -> list[tuple[Json, str]]:
    """(version, path of what holds its part): a part that all versions share is judged once, as one of the spec."""
    if versions and all(one.get(part) == versions[0].get(part) for one in versions):
        return [(versions[0], "spec")] if versions[0].get(part) else []
    return [(one, f"spec.versions[{index}]") for index, one in enumerate(versions) if one.get(part)]


def _check_simple_path(causes: Causes, path: str, field: str, *, roots: tuple[str, ...] = ()) -> None:
    if not path.startswith("."):
        causes.append(invalid_value(field, path, "must be a simple json path starting with ."))
    elif roots and not any(path == root or path.startswith(f"{root}.") for root in roots):
        under = f"under {roots[0]}" if len(roots) == 1 else f"under either {' or '.join(roots)}"
        causes.append(invalid_value(field, path, f"should be a json path {under}"))


def _check_subresources(causes: Causes, version: Json, field: str) -> None:
    scale = version["subresources"].get("scale")
    if scale is None:
        return
    for part, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        if not scale.get(part):
            causes.append(required(f"{field}.scale.{part}"))
        else:
            _check_simple_path(causes, scale[part], f"{field}.scale.{part}", roots=(root,))
    if scale.get("labelSelectorPath"):
        _check_simple_path(
            causes, scale["labelSelectorPath"], f"{field}.scale.labelSelectorPath", roots=(".spec", ".status")
        )


def _check_columns(causes: Causes, version: Json, field: str) -> None:
    for index, column in enumerate(version["additionalPrinterColumns"]):
        at = f"{field}[{index}]"
        kind, shape, path = column.get("type", ""), column.get("format", ""), column.get("jsonPath", "")
        if not column.get("name"):
            causes.append(required(f"{at}.name"))
        if not kind:
            causes.append(required(f"{at}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
        elif kind not in _COLUMN_TYPES:
            causes.append(invalid_value(f"{at}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}"))
        if shape and shape not in _COLUMN_FORMATS:
            causes.append(invalid_value(f"{at}.format", shape, f"must be one of {','.join(_COLUMN_FORMATS)}"))
        if not path:
            causes.append(required(f"{at}.JSONPath"))
        else:
            _check_simple_path(causes, path, f"{at}.JSONPath")


def _check_selectable(causes: Causes, version: Json, field: str) -> None:
    root = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    seen: set[str] = set()
    for index, one in enumerate(version["selectableFields"]):
        at, path = f"{field}[{index}].jsonPath", one.get("jsonPath", "")
        if not path:
            causes.append(required(at))
            continue
        if path[0] not in ".[":
            causes.append(invalid_value(at, path, f"is an invalid path: expected [ or . but got: {path}"))
            continue
        found: Any = root
        for part in path.strip(".").split("."):
            found = (found.get("properties") or {}).get(part) if isinstance(found, Mapping) else None
        if found is None:
            causes.append(invalid_value(at, path, "is an invalid path: does not refer to a valid field"))
        elif found.get("type") not in _SELECTABLE:
            detail = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are"
                " allowed."
            )
            causes.append(invalid_value(at, path, detail))
        if path in seen:
            causes.append(duplicate(at, path))
        seen.add(path)


def _schema_faults(versions: Sequence[Json]) -> list[FieldCause]:
    """What keeps the schemas from being structural. One schema that all versions share is judged once, under its old name.

    Source: apiextensions pkg/apis/apiextensions/validation, as recorded from a real server.
    """
    schemas = [
        (index, version, (version.get("schema") or {}).get("openAPIV3Schema")) for index, version in enumerate(versions)
    ]
    given = [(index, version, schema) for index, version, schema in schemas if schema]
    if not given:
        return []
    shared = all(schema == given[0][2] for _index, _version, schema in given) and len(given) == len(versions)
    faults: list[FieldCause] = []
    for index, version, schema in given[:1] if shared else given:
        path = "spec.validation.openAPIV3Schema" if shared else f"spec.versions[{index}].schema.openAPIV3Schema"
        has_status = (version.get("subresources") or {}).get("status") is not None
        faults.extend(structural_errors(schema, path, has_status=has_status))
    return faults


# ---- names, conversion, stored versions ----


def _check_names(causes: Causes, names: Json) -> None:
    for part in ("plural", "singular", "kind", "listKind"):
        given = names.get(part) or ""
        if not given:
            causes.append(required(f"spec.names.{part}"))
        elif part in ("plural", "singular"):
            check(causes, f"spec.names.{part}", given, dns_1035_label(given))
        else:
            problems = dns_1035_label(given.lower())
            shown = [f"may have mixed case, but should otherwise match: {one}" for one in problems]
            check(causes, f"spec.names.{part}", given, shown)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        causes.append(invalid_value("spec.names.listKind", names["listKind"], "kind and listKind may not be the same"))
    for part in ("shortNames", "categories"):
        for index, given in enumerate(names.get(part) or ()):
            check(causes, f"spec.names.{part}[{index}]", given, dns_1035_label(given))


def _check_conversion(causes: Causes, conversion: Json) -> None:
    """Conversion by webhook is not done: versions would silently be mixed up."""
    strategy, field = conversion.get("strategy"), "spec.conversion"
    if strategy == "Webhook":
        webhook = conversion.get("webhook") or {}
        if webhook.get("clientConfig") is None:
            detail = "required when strategy is set to Webhook"
            causes.append(required(f"{field}.webhookClientConfig", detail))
        if not webhook.get("conversionReviewVersions"):
            causes.append(required(f"{field}.conversionReviewVersions"))
        if webhook.get("clientConfig") is not None:
            causes.append(forbidden_value(f"{field}.strategy", NO_WEBHOOKS))
    elif strategy not in (None, "None"):
        causes.append(not_supported(f"{field}.strategy", strategy, ("None", "Webhook")))


def _check_stored_versions(causes: Causes, definition: Json, old: Json | None) -> None:
    """A version in which objects may be kept does not go."""
    versions = definition["spec"].get("versions") or ()
    stored = definition.get("status", {}).get("storedVersions")
    if not stored:
        causes.append(invalid_value("status.storedVersions", stored, "must have at least one stored version"))
        return
    kept = [one.get("name") for one in versions if one.get("storage")]
    if old is None and kept and kept[-1] not in stored:
        causes.append(invalid_value("status.storedVersions", stored, f"must have the storage version {kept[-1]}"))
    if old is None:
        return
    names = {one.get("name") for one in versions}
    for index, name in enumerate(stored):
        if name not in names:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions"
                f" until a storage migration ensures no data remains persisted in {name} and removes {name} from"
                " status.storedVersions"
            )
            causes.append(invalid_value(f"status.storedVersions[{index}]", name, detail))


def _established(definition: Json) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)
