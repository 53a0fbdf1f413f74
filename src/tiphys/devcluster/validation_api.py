"""Which roles, bindings and extensions of the API are legal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import duplicate, invalid_value, not_supported, required
from tiphys.devcluster.validation_definitions import check_definition as check_definition
from tiphys.devcluster.validation_names import (
    Causes,
    check,
    check_choice,
    dns_1035_label,
    dns_subdomain,
    invalid_struct,
    path_segment,
)

Json = Mapping[str, Any]

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
        url = client.get("url")
        if url and not url.startswith("https://"):
            scheme = url.partition("://")[0] if "://" in url else ""
            detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            causes.append(invalid_value(f"{path}.clientConfig.url", scheme, detail))
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
    if problems := dns_1035_label(version):
        causes.append(invalid_value("spec.version", version, problems[0]))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        if not 0 < spec.get(field, 0) <= most:
            causes.append(invalid_value(f"spec.{field}", spec.get(field, 0), f"must be positive and less than {most}"))
