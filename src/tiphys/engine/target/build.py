"""Rendered -> TargetState: namespaces, duplicates, order; hooks apart from resources. Pure.

Source: compat 1.2 "Namespace defaulting", "Multi-source merge"; 2.2; 3.1; 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.apimachinery.yamljson import canonical_json, digest, tight
from tiphys.engine.states import Rendered, RenderedObject, Target, TargetState
from tiphys.engine.target.tracking import CRD_KIND, Mark, mark
from tiphys.model.annotations import annotations_of, is_hook, is_ignored, is_skipped, sync_options, sync_wave
from tiphys.model.statuses import ConditionType

# Whether a kind in a version is namespaced; None when the cluster does not serve it.
Scope = Callable[[GroupKind, str], bool | None]
# Why an object must not be applied, None when it may: (kind, namespaced, namespace, name).
Permit = Callable[[GroupKind, bool, str, str], str | None]


@dataclass(frozen=True, slots=True)
class Placement:
    """What goes into every manifest of one Application."""

    instance: str
    namespace: str  # destination namespace
    mark: Mark

    @property
    def fingerprint(self) -> str:
        """Equal fingerprint and equal rendered digest give an equal Target."""
        how = self.mark
        return "\n".join((self.instance, self.namespace, how.method, how.label, how.installation_id))


def build_target(
    rendered: Sequence[Rendered],
    placement: Placement,
    *,
    scope: Scope,
    permit: Permit,
    excluded: Callable[[GroupKind], bool] = lambda _kind: False,
    previous: TargetState | None = None,
) -> TargetState:
    """Everything the Application wants, ready to compare.

    Objects whose rendered manifest was in `previous` are taken over as they are. Of two sources that render the same object
    the last wins and a warning says so.
    """
    context = placement.fingerprint
    scope = _with_own_kinds(rendered, scope)
    known = previous.source_digests if previous is not None and previous.context == context else {}
    resources: dict[ResourceKey, Target] = {}
    hooks: list[Target] = []
    by_digest: dict[str, Target] = {}
    denied: dict[ResourceKey, str] = {}
    seen: Counter[ResourceKey] = Counter()
    conditions: list[tuple[str, str]] = []
    for source in rendered:
        for item in source.objects:
            if excluded(item.gvk.group_kind):
                conditions.append((ConditionType.EXCLUDED_RESOURCE_WARNING, _excluded(item)))
                continue
            namespaced = scope(item.gvk.group_kind, item.gvk.version)
            target = known.get(item.digest)
            if target is None or target.key.namespace != _namespace(item, placement, namespaced):
                made = _build(item, placement, namespaced)
                if made is None:
                    continue
                target = made
            by_digest[item.digest] = target
            reason = permit(target.key.group_kind, bool(target.key.namespace), target.key.namespace, target.key.name)
            if reason is not None:
                denied[target.key] = reason
            if target.hook:
                hooks.append(target)
                continue
            seen[target.key] += 1
            resources[target.key] = target
    for key, count in seen.items():
        if count > 1:
            text = f"Resource {key} appeared {count} times among application resources."
            conditions.append((ConditionType.REPEATED_RESOURCE_WARNING, text))
    return TargetState(
        revision=rendered[0].revision if rendered else "",
        source_type=rendered[0].source_type if rendered else "",
        context=context,
        resources=resources,
        hooks=tuple(hooks),
        conditions=tuple(conditions),
        denied=denied,
        source_digests=by_digest,
    )


def _with_own_kinds(rendered: Sequence[Rendered], served: Scope) -> Scope:
    """The cluster's answer, else that of the CRDs among the rendered objects: an object of such a kind must neither get a
    namespace that it cannot have nor pass the project's rules as what it is not."""
    own: dict[GroupKind, bool] = {}
    for source in rendered:
        for item in source.objects:
            if item.gvk.group_kind == CRD_KIND:
                spec = orjson.loads(item.json).get("spec") or {}
                kind = (spec.get("names") or {}).get("kind")
                if kind and spec.get("scope") in ("Namespaced", "Cluster"):
                    own[GroupKind(str(spec.get("group") or ""), str(kind))] = spec["scope"] == "Namespaced"
    if not own:
        return served

    def scope(kind: GroupKind, version: str) -> bool | None:
        found = served(kind, version)
        return own.get(kind) if found is None else found

    return scope


def _namespace(item: RenderedObject, placement: Placement, namespaced: bool | None) -> str:
    """A kind nobody serves yet keeps the namespace it was written with: its CRD will decide."""
    if namespaced is None:
        return item.namespace or placement.namespace
    return (item.namespace or placement.namespace) if namespaced else ""


def _build(item: RenderedObject, placement: Placement, namespaced: bool | None) -> Target | None:
    manifest = orjson.loads(item.json)
    annotations = annotations_of(manifest)
    if is_skipped(annotations) or is_ignored(annotations):
        return None
    namespace = _namespace(item, placement, namespaced)
    key = ResourceKey(item.gvk.group, item.gvk.kind, namespace, item.name)
    metadata = manifest.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    manifest["metadata"] = metadata
    mark(
        manifest,
        instance=placement.instance,
        key=key,
        namespace=namespace or placement.namespace,
        how=placement.mark,
    )
    json = tight(canonical_json(manifest))
    return Target(
        key=key,
        version=item.gvk.version,
        digest=digest(json),
        json=json,
        wave=sync_wave(annotations),
        hook=is_hook(annotations),
        options=frozenset(sync_options(annotations)),
    )


def _excluded(item: RenderedObject) -> str:
    key = ResourceKey(item.gvk.group, item.gvk.kind, item.namespace, item.name)
    return f"Resource {key.group}/{key.kind} {key.name} is excluded in the settings"
