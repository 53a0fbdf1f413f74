"""Every argocd.argoproj.io annotation and label, with its parser: hooks, waves, sync options, tracking.

Parsers take the annotations of one object (`annotations_of(manifest)`), are total, and read as Argo CD reads: a value it
would ignore is ignored here.

Source: compat 1.11, 2.1, 2.2, 2.5, 3.1, 3.6.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from tiphys.model.codec import EMPTY
from tiphys.model.time import parse_time

# On Applications
REFRESH = "argocd.argoproj.io/refresh"
REFRESH_NORMAL = "normal"
REFRESH_HARD = "hard"
HYDRATE = "argocd.argoproj.io/hydrate"
SKIP_RECONCILE = "argocd.argoproj.io/skip-reconcile"
MANAGED_BY_URL = "argocd.argoproj.io/managed-by-url"
MANIFEST_GENERATE_PATHS = "argocd.argoproj.io/manifest-generate-paths"
DELETION_APPROVED = "argocd.argoproj.io/deletion-approved"
CSA_MIGRATION_MANAGER = "argocd.argoproj.io/client-side-apply-migration-manager"
DEFAULT_VIEW = "pref.argocd.argoproj.io/default-view"
DEFAULT_POD_SORT = "pref.argocd.argoproj.io/default-pod-sort"
# On resources and Applications
COMPARE_OPTIONS = "argocd.argoproj.io/compare-options"
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
# On resources
SYNC_WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"
HOOK_DELETE_POLICY = "argocd.argoproj.io/hook-delete-policy"
TRACKING_ID = "argocd.argoproj.io/tracking-id"
INSTALLATION_ID = "argocd.argoproj.io/installation-id"
IGNORE_HEALTHCHECK = "argocd.argoproj.io/ignore-healthcheck"
IGNORE_RESTART_POLICY = "argocd.argoproj.io/ignore-restart-policy"
IGNORE_RESOURCE_UPDATES = "argocd.argoproj.io/ignore-resource-updates"
IGNORE_DEFAULT_LINKS = "argocd.argoproj.io/ignore-default-links"
LINK_PREFIX = "link.argocd.argoproj.io/"
HELM_HOOK = "helm.sh/hook"
HELM_HOOK_WEIGHT = "helm.sh/hook-weight"
HELM_HOOK_DELETE_POLICY = "helm.sh/hook-delete-policy"
HELM_RESOURCE_POLICY = "helm.sh/resource-policy"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# On ApplicationSets
APPLICATION_SET_REFRESH = "argocd.argoproj.io/application-set-refresh"
# On Secrets and clusters
MANAGED_BY = "managed-by"
MANAGED_BY_ARGOCD = "argocd.argoproj.io"
SECRET_TYPE_LABEL = "argocd.argoproj.io/secret-type"  # noqa: S105 - a label key
AUTO_LABEL_CLUSTER_INFO = "argocd.argoproj.io/auto-label-cluster-info"
KUBERNETES_VERSION_LABEL = "argocd.argoproj.io/kubernetes-version"
# Labels
INSTANCE_LABEL = "app.kubernetes.io/instance"
LEGACY_INSTANCE_LABEL = "applications.argoproj.io/app-name"
PART_OF_LABEL = "app.kubernetes.io/part-of"
# Finalizers
RESOURCES_FINALIZER = "resources-finalizer.argocd.argoproj.io"
FOREGROUND_FINALIZER = f"{RESOURCES_FINALIZER}/foreground"
BACKGROUND_FINALIZER = f"{RESOURCES_FINALIZER}/background"
PRE_DELETE_FINALIZER = "pre-delete-finalizer.argocd.argoproj.io"
POST_DELETE_FINALIZER = "post-delete-finalizer.argocd.argoproj.io"
HOOK_FINALIZER = "argocd.argoproj.io/hook-finalizer"
CLEANUP_SUFFIX = "/cleanup"

_GO_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

Annotations = Mapping[str, str]


def annotations_of(manifest: Mapping[str, Any]) -> Annotations:
    """metadata.annotations of an object, empty when there are none."""
    metadata = manifest.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return annotations if isinstance(annotations, Mapping) else EMPTY


def labels_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """metadata.labels of an object, empty when there are none."""
    metadata = manifest.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return labels if isinstance(labels, Mapping) else EMPTY


def parse_csv(text: str) -> tuple[str, ...]:
    """Items between commas, trimmed, empty ones dropped, each once."""
    return tuple(dict.fromkeys(item for item in (part.strip() for part in text.split(",")) if item))


def parse_go_int(text: str) -> int | None:
    """What Go's strconv.Atoi reads, None when it refuses: ASCII digits with a sign, 64 bits, no spaces, no underscores."""
    if not _GO_INTEGER.fullmatch(text):
        return None
    value = int(text) if len(text) <= 40 else _huge(text)
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _huge(text: str) -> int | None:
    """A number written with very many digits, which may be leading zeros."""
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    digits = digits.lstrip("0") or "0"
    return int(sign + digits) if len(digits) <= 20 else None


def parse_go_bool(text: str) -> bool | None:
    """What Go's strconv.ParseBool reads, None when it refuses."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def sync_wave(annotations: Annotations) -> int:
    """The wave of a resource or hook; an unreadable one falls back to helm's hook weight, then to 0."""
    for key in (SYNC_WAVE, HELM_HOOK_WEIGHT):
        text = annotations.get(key)
        if text is not None:
            wave = parse_go_int(str(text))
            if wave is not None:
                return wave
    return 0


class HookType(StrEnum):
    """When a hook runs."""

    PRE_SYNC = "PreSync"
    SYNC = "Sync"
    POST_SYNC = "PostSync"
    SYNC_FAIL = "SyncFail"
    SKIP = "Skip"
    PRE_DELETE = "PreDelete"
    POST_DELETE = "PostDelete"


_HOOK_TYPES = {hook.value: hook for hook in HookType}
_HELM_HOOK_TYPES = {
    "pre-install": HookType.PRE_SYNC,
    "pre-upgrade": HookType.PRE_SYNC,
    "post-install": HookType.POST_SYNC,
    "post-upgrade": HookType.POST_SYNC,
    "pre-delete": HookType.PRE_DELETE,
    "post-delete": HookType.POST_DELETE,
}
_HELM_CRD_INSTALL = "crd-install"


class HookDeletePolicy(StrEnum):
    """When a hook's object is deleted."""

    HOOK_SUCCEEDED = "HookSucceeded"
    HOOK_FAILED = "HookFailed"
    BEFORE_HOOK_CREATION = "BeforeHookCreation"


_DELETE_POLICIES = {policy.value: policy for policy in HookDeletePolicy}
_HELM_DELETE_POLICIES = {
    "hook-succeeded": HookDeletePolicy.HOOK_SUCCEEDED,
    "hook-failed": HookDeletePolicy.HOOK_FAILED,
    "before-hook-creation": HookDeletePolicy.BEFORE_HOOK_CREATION,
}


def hook_types(annotations: Annotations) -> tuple[HookType, ...]:
    """The hook types an object has, each once; helm's only when Argo CD's annotation gives none."""
    types = tuple(_HOOK_TYPES[item] for item in _csv(annotations, HOOK) if item in _HOOK_TYPES)
    if types:
        return types
    helm = (_HELM_HOOK_TYPES[item] for item in _csv(annotations, HELM_HOOK) if item in _HELM_HOOK_TYPES)
    return tuple(dict.fromkeys(helm))


def is_skipped(annotations: Annotations) -> bool:
    """`Skip` is the only hook type: the object is neither applied nor compared."""
    return hook_types(annotations) == (HookType.SKIP,)


def is_hook(annotations: Annotations) -> bool:
    """Whether an object is a hook rather than a resource; one with unknown types only is also `is_ignored`."""
    if HOOK in annotations:
        return not is_skipped(annotations)
    return HELM_HOOK in annotations and annotations[HELM_HOOK] != _HELM_CRD_INSTALL


def is_ignored(annotations: Annotations) -> bool:
    """A hook of no known type: neither hook nor resource, left out of the sync. Source: compat 2.2 "Declare"."""
    return is_hook(annotations) and not hook_types(annotations)


def hook_delete_policies(annotations: Annotations) -> frozenset[HookDeletePolicy]:
    """Argo CD's and helm's delete policies together; BeforeHookCreation when there are none."""
    found = {_DELETE_POLICIES[item] for item in _csv(annotations, HOOK_DELETE_POLICY) if item in _DELETE_POLICIES}
    for item in _csv(annotations, HELM_HOOK_DELETE_POLICY):
        if item in _HELM_DELETE_POLICIES:
            found.add(_HELM_DELETE_POLICIES[item])
    return frozenset(found or (HookDeletePolicy.BEFORE_HOOK_CREATION,))


def sync_options(annotations: Annotations) -> tuple[str, ...]:
    """Sync options of a resource, `Key=value` each."""
    return _csv(annotations, SYNC_OPTIONS)


def compare_options(annotations: Annotations) -> tuple[str, ...]:
    """Compare options of a resource or Application."""
    return _csv(annotations, COMPARE_OPTIONS)


def option_value(options: Collection[str], key: str) -> str | None:
    """Value of the first `key=value` among options, None when there is none. Compared to the letter."""
    prefix = f"{key}="
    return next((option[len(prefix) :] for option in options if option.startswith(prefix)), None)


def effective_option(resource: Collection[str], application: Collection[str], key: str) -> str | None:
    """Value of an option where the resource's own wins over the Application's. Source: compat 2.5."""
    value = option_value(resource, key)
    return value if value is not None else option_value(application, key)


def has_option(options: Iterable[str], option: str) -> bool:
    """Whether `Key=value` is among options, to the letter."""
    return option in options


class Tracking(NamedTuple):
    """What a tracking id says: which Application instance an object belongs to, and which object it was put on."""

    instance: str
    group: str
    kind: str
    namespace: str
    name: str


def build_tracking_id(tracking: Tracking) -> str:
    """`<instance>:<group>/<kind>:<namespace>/<name>`."""
    instance, group, kind, namespace, name = tracking
    return f"{instance}:{group}/{kind}:{namespace}/{name}"


def parse_tracking_id(text: str) -> Tracking | None:
    """The parts of a tracking id, None when it is none. A name may contain colons, not slashes."""
    parts = text.split(":", 2)
    if len(parts) != 3:
        return None
    group_kind, object_name = parts[1].split("/"), parts[2].split("/")
    if len(group_kind) != 2 or len(object_name) != 2:
        return None
    return Tracking(parts[0], group_kind[0], group_kind[1], object_name[0], object_name[1])


def tracking_of(annotations: Annotations) -> Tracking | None:
    """The tracking id an object carries, None without a readable one."""
    text = annotations.get(TRACKING_ID)
    return parse_tracking_id(text) if isinstance(text, str) else None


def refresh_type(annotations: Annotations) -> str | None:
    """`normal` or `hard` when a refresh is asked for; any other value counts as normal."""
    value = annotations.get(REFRESH)
    if value is None:
        return None
    return REFRESH_HARD if value == REFRESH_HARD else REFRESH_NORMAL


def skips_reconcile(annotations: Annotations) -> bool:
    """Whether the Application is to be left alone entirely."""
    return parse_go_bool(str(annotations.get(SKIP_RECONCILE) or "")) is True


def deletion_approved_at(annotations: Annotations) -> datetime | None:
    """When deletion or pruning was approved, None without a readable time."""
    try:
        return parse_time(str(annotations[DELETION_APPROVED]))
    except (KeyError, ValueError):
        return None


def manifest_generate_paths(annotations: Annotations) -> tuple[str, ...]:
    """Paths whose change concerns the Application, as written; empty items dropped."""
    return tuple(
        item.strip() for item in str(annotations.get(MANIFEST_GENERATE_PATHS) or "").split(";") if item.strip()
    )


def cascade_policy(finalizers: Collection[str]) -> str | None:
    """`foreground`, `background` or None (not cascading) from an Application's finalizers."""
    if BACKGROUND_FINALIZER in finalizers:
        return "background"
    return "foreground" if RESOURCES_FINALIZER in finalizers or FOREGROUND_FINALIZER in finalizers else None


def is_kept_by_helm(annotations: Annotations) -> bool:
    """`helm.sh/resource-policy: keep`: never deleted in a cascade."""
    return "keep" in _csv(annotations, HELM_RESOURCE_POLICY)


def ignores_healthcheck(annotations: Annotations) -> bool:
    """Health of the resource does not count; the value must be exactly "true"."""
    return annotations.get(IGNORE_HEALTHCHECK) == "true"


def _csv(annotations: Annotations, key: str) -> tuple[str, ...]:
    text = annotations.get(key)
    return parse_csv(text) if isinstance(text, str) else ()
