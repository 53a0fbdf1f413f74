"""Which roles, bindings and extensions of the API are legal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery.apierrors import FieldCause, duplicate, invalid_value, not_supported, required
from tiphys.apimachinery.schemastructural import structural_errors
from tiphys.devcluster.validation_names import (
    Causes,
    check,
    check_choice,
    check_same,
    dns_label,
    dns_subdomain,
    invalid_struct,
    path_segment,
)

Json = Mapping[str, Any]

_APPROVED: Final = "api-approved.kubernetes.io"
_LABEL_1035: Final = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end"
    " with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
RBAC: Final = "rbac.authorization.k8s.io"


# ---- access ----


def check_role(causes: Causes, obj: Json, old: Json | None) -> None:
    """A Role."""
    _check_rules(causes, obj, namespaced=True)


def check_cluster_role(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ClusterRole."""
    rule = obj.get("aggregationRule")
    if rule is not None and not rule.get("clusterRoleSelectors"):
        detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        causes.append(required("aggregationRule.clusterRoleSelectors", detail))
    _check_rules(causes, obj, namespaced=False)


def _check_rules(causes: Causes, obj: Json, *, namespaced: bool) -> None:
    for index, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            causes.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                causes.append(invalid_value(f"{path}.nonResourceURLs", urls, detail))
            elif rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                causes.append(invalid_value(f"{path}.nonResourceURLs", urls, detail))
            continue
        if not rule.get("apiGroups"):
            detail = "resource rules must supply at least one api group"
            causes.append(required(f"{path}.apiGroups", detail))
        if not rule.get("resources"):
            detail = "resource rules must supply at least one resource"
            causes.append(required(f"{path}.resources", detail))


def check_role_binding(causes: Causes, obj: Json, old: Json | None) -> None:
    """A RoleBinding, whose role may not change."""
    _check_binding(causes, obj, old, ("Role", "ClusterRole"), namespaced=True)


def check_cluster_role_binding(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ClusterRoleBinding, whose role may not change."""
    _check_binding(causes, obj, old, ("ClusterRole",), namespaced=False)


def _check_binding(causes: Causes, obj: Json, old: Json | None, kinds: tuple[str, ...], *, namespaced: bool) -> None:
    role = obj["roleRef"]
    if role.get("apiGroup") != RBAC:
        causes.append(not_supported("roleRef.apiGroup", role.get("apiGroup", ""), (RBAC,)))
    if role.get("kind") not in kinds:
        causes.append(not_supported("roleRef.kind", role.get("kind", ""), kinds))
    if not role.get("name"):
        causes.append(required("roleRef.name"))
    else:
        check(causes, "roleRef.name", role["name"], path_segment(role["name"]))
    for index, subject in enumerate(obj.get("subjects") or ()):
        _check_subject(causes, subject, f"subjects[{index}]", namespaced)
    if old is not None and role != old["roleRef"]:
        shown = {"APIGroup": role.get("apiGroup", ""), "Kind": role.get("kind", ""), "Name": role.get("name", "")}
        causes.append(invalid_struct("roleRef", shown, "cannot change roleRef"))


def _check_subject(causes: Causes, subject: Json, field: str, namespaced: bool) -> None:
    name, kind, group = subject.get("name", ""), subject.get("kind", ""), subject.get("apiGroup", "")
    if not name:
        causes.append(required(f"{field}.name"))
    if kind == "ServiceAccount":
        if name:
            check(causes, f"{field}.name", name, dns_subdomain(name))
        if group:
            causes.append(not_supported(f"{field}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            causes.append(required(f"{field}.namespace"))
    elif kind in ("User", "Group"):
        if group != RBAC:
            causes.append(not_supported(f"{field}.apiGroup", group, (RBAC,)))
    else:
        causes.append(not_supported(f"{field}.kind", kind, ("ServiceAccount", "User", "Group")))


# ---- extension of the API ----


def check_definition(causes: Causes, obj: Json, old: Json | None) -> None:
    """A CustomResourceDefinition, its schemas included."""
    spec = obj["spec"]
    names, group = spec["names"], spec.get("group", "")
    name = obj["metadata"].get("name", "")
    if old is None and name != f"{names.get('plural', '')}.{group}":
        causes.append(invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    annotations = obj["metadata"].get("annotations") or {}
    if group.endswith((".k8s.io", ".kubernetes.io")) and old is None and not annotations.get(_APPROVED):
        detail = (
            f'protected groups must have approval annotation "{_APPROVED}",'
            " see https://github.com/kubernetes/enhancements/pull/1111"
        )
        causes.append(required(f"metadata.annotations[{_APPROVED}]", detail))
    if not group:
        causes.append(required("spec.group"))
    else:
        check(causes, "spec.group", group, dns_subdomain(group))
        if "." not in group:
            causes.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    if not spec.get("scope"):
        causes.append(required("spec.scope"))
    else:
        check_choice(causes, "spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    versions = spec.get("versions") or []
    if sum(bool(one.get("storage")) for one in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        causes.append(invalid_value("spec.versions", spec.get("versions"), detail))
    if old is not None:
        _check_stored_versions(causes, obj, {one.get("name") for one in versions})
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        called = version.get("name", "")
        check(causes, f"{path}.name", called, dns_label(called))
        if called in seen:
            detail = "must contain unique version names"
            causes.append(invalid_value("spec.versions", spec.get("versions"), detail))
        seen.add(called)
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            causes.append(required(f"{path}.schema.openAPIV3Schema"))
    causes.extend(_schema_faults(versions))
    for part in ("plural", "singular", "kind", "listKind"):
        if not names.get(part):
            causes.append(required(f"spec.names.{part}"))
    if not obj.get("status", {}).get("storedVersions"):
        stored = obj.get("status", {}).get("storedVersions")
        causes.append(invalid_value("status.storedVersions", stored, "must have at least one stored version"))
    if old is not None:
        before = old["spec"]
        check_same(causes, "spec.group", group, before.get("group"))
        check_same(causes, "spec.names.plural", names.get("plural"), before["names"].get("plural"))
        check_same(causes, "spec.scope", spec.get("scope"), before.get("scope"))
        if _established(old):
            check_same(causes, "spec.names.kind", names.get("kind"), before["names"].get("kind"))


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


def _check_stored_versions(causes: Causes, definition: Json, names: set[Any]) -> None:
    """A version in which objects may be kept does not go."""
    for index, name in enumerate(definition.get("status", {}).get("storedVersions") or ()):
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


def check_webhooks(causes: Causes, obj: Json, old: Json | None) -> None:
    """Webhook configurations of both kinds."""
    names: set[str] = set()
    for index, webhook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        name = webhook.get("name", "")
        check(causes, f"{path}.name", name, dns_subdomain(name))
        if name.count(".") < 2:
            detail = "should be a domain with at least three segments separated by dots"
            causes.append(invalid_value(f"{path}.name", name, detail))
        if name in names:
            causes.append(duplicate(f"{path}.name", name))
        names.add(name)
        if webhook.get("sideEffects") is None:
            causes.append(required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun"))
        else:
            check_choice(causes, f"{path}.sideEffects", webhook["sideEffects"], ("None", "NoneOnDryRun"))
        client = webhook["clientConfig"]
        if (client.get("url") is None) == (client.get("service") is None):
            causes.append(required(f"{path}.clientConfig", "exactly one of url or service is required"))
        if not webhook.get("admissionReviewVersions"):
            detail = "must specify one of v1, v1beta1"
            causes.append(required(f"{path}.admissionReviewVersions", detail))


def check_api_service(causes: Causes, obj: Json, old: Json | None) -> None:
    """An APIService."""
    spec = obj.get("spec") or {}
    name, wanted = obj["metadata"].get("name", ""), f"{spec.get('version', '')}.{spec.get('group', '')}"
    if name != wanted:
        causes.append(invalid_value("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    group, version = spec.get("group", ""), spec.get("version", "")
    if not group and version != "v1":
        causes.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    if not _LABEL_1035.fullmatch(version):
        causes.append(invalid_value("spec.version", version, _LABEL_1035_RULE))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        if not 0 < spec.get(field, 0) <= most:
            causes.append(invalid_value(f"spec.{field}", spec.get(field, 0), f"must be positive and less than {most}"))
