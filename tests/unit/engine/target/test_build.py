"""From rendered manifests to what an Application wants. Source: compat 1.2, 2.2, 3.1, 5."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.names import GroupKind, ResourceKey, gvk_of
from tiphys.apimachinery.yamljson import canonical_json, digest
from tiphys.engine.states import Rendered, RenderedObject, TargetState
from tiphys.engine.target.build import Placement, build_target
from tiphys.engine.target.tracking import Mark, TrackingMethod
from tiphys.model.annotations import INSTALLATION_ID, INSTANCE_LABEL, TRACKING_ID

CLUSTER_SCOPED = {"Namespace", "ClusterRole", "CustomResourceDefinition", "Planet"}


def obj(
    kind: str = "ConfigMap", name: str = "a", *, api: str = "v1", namespace: str = "", **fields: Any
) -> dict[str, Any]:
    """A manifest as Git has it; `annotations` and `labels` go to its metadata."""
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    for part in ("annotations", "labels"):
        if part in fields:
            metadata[part] = fields.pop(part)
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def rendered(*manifests: dict[str, Any], revision: str = "r1") -> Rendered:
    """The manifests as a renderer gives them."""
    objects = []
    for manifest in manifests:
        json = canonical_json(manifest)
        metadata = manifest["metadata"]
        item = RenderedObject(
            gvk_of(manifest), metadata.get("namespace", ""), metadata.get("name", ""), digest(json), json
        )
        objects.append(item)
    return Rendered(revision, "Directory", "key", tuple(objects))


def scope(kind: GroupKind, _version: str) -> bool | None:
    """What a cluster would say; kinds of example.com are not served."""
    if kind.group.endswith("example.com"):
        return None
    return kind.kind not in CLUSTER_SCOPED


def build(*sources: Rendered, mark: Mark | None = None, namespace: str = "dest", **options: Any) -> TargetState:
    """Of the Application `app`."""
    placement = Placement("app", namespace, mark or Mark())
    options.setdefault("permit", lambda *_object: None)
    options.setdefault("scope", scope)
    return build_target(sources, placement, **options)


def only(state: TargetState) -> dict[str, Any]:
    """The manifest of the one resource."""
    (target,) = state.resources.values()
    return target.manifest


@pytest.mark.parametrize(
    ("manifest", "key"),
    [
        (obj(), ResourceKey("", "ConfigMap", "dest", "a")),
        (obj(namespace="own"), ResourceKey("", "ConfigMap", "own", "a")),
        (obj("Namespace"), ResourceKey("", "Namespace", "", "a")),
        (
            obj("ClusterRole", api="rbac.authorization.k8s.io/v1", namespace="wrong"),
            ResourceKey("rbac.authorization.k8s.io", "ClusterRole", "", "a"),
        ),
        (obj("Thing", api="example.com/v1"), ResourceKey("example.com", "Thing", "dest", "a")),
    ],
)
def test_objects_get_the_namespace_they_belong_to(manifest: dict[str, Any], key: ResourceKey) -> None:
    """Their own, else the destination's; cluster-scoped kinds lose one they were given."""
    state = build(rendered(manifest))

    assert list(state.resources) == [key]
    assert only(state)["metadata"].get("namespace", "") == key.namespace


def test_a_custom_kind_of_the_same_commit_has_the_scope_its_definition_says() -> None:
    """So that the project's rules for cluster-scoped kinds hold for it, before the cluster serves it."""
    crd = obj(
        "CustomResourceDefinition",
        "planets.example.com",
        api="apiextensions.k8s.io/v1",
        spec={"group": "example.com", "scope": "Cluster", "names": {"kind": "Planet"}},
    )
    asked: list[tuple[str, bool]] = []

    def permit(kind: GroupKind, namespaced: bool, _namespace: str, _name: str) -> str | None:
        asked.append((kind.kind, namespaced))
        return None

    state = build(rendered(obj("Planet", "earth", api="example.com/v1"), crd), permit=permit)

    assert ResourceKey("example.com", "Planet", "", "earth") in state.resources
    assert ("Planet", False) in asked


def test_the_tracking_id_names_the_object_and_the_destination_for_cluster_scoped_ones() -> None:
    """Other annotations stay."""
    state = build(
        rendered(
            obj("Deployment", api="apps/v1", annotations={"a": "b"}),
            obj("ClusterRole", "system:x", api="rbac.authorization.k8s.io/v1"),
        )
    )

    ids = {t.key.kind: t.manifest["metadata"]["annotations"] for t in state.resources.values()}
    assert ids["Deployment"] == {"a": "b", TRACKING_ID: "app:apps/Deployment:dest/a"}
    assert ids["ClusterRole"] == {TRACKING_ID: "app:rbac.authorization.k8s.io/ClusterRole:dest/system:x"}


def test_custom_resource_definitions_are_not_marked() -> None:
    """They outlive the Application."""
    crd = obj("CustomResourceDefinition", api="apiextensions.k8s.io/v1", spec={})

    assert only(build(rendered(crd))) == crd


def test_marks_by_label() -> None:
    """label: in full, no annotation. annotation+label: both, the label cut to what a label holds."""
    name = "x" * 62 + ".yz"
    placement = Placement(name, "dest", Mark(TrackingMethod.LABEL))
    both = Placement(name, "dest", Mark(TrackingMethod.ANNOTATION_AND_LABEL, installation_id="i1"))
    source = rendered(obj(labels={"team": "blue"}))

    by_label = build_target([source], placement, scope=scope, permit=lambda *_o: None)
    by_both = build_target([source], both, scope=scope, permit=lambda *_o: None)

    assert only(by_label)["metadata"]["labels"] == {"team": "blue", INSTANCE_LABEL: name}
    assert "annotations" not in only(by_label)["metadata"]
    assert only(by_both)["metadata"]["labels"][INSTANCE_LABEL] == "x" * 62
    assert only(by_both)["metadata"]["annotations"] == {TRACKING_ID: f"{name}:/ConfigMap:dest/a", INSTALLATION_ID: "i1"}


def test_the_pod_template_is_not_marked() -> None:
    """A new Application name would restart every Pod."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {}}
    manifest = obj("Deployment", api="apps/v1", spec={"template": template})

    assert (
        only(build(rendered(manifest), mark=Mark(TrackingMethod.ANNOTATION_AND_LABEL)))["spec"]["template"] == template
    )


def test_of_an_object_rendered_twice_the_last_wins_with_a_warning() -> None:
    """Also when only the namespace default makes them the same, and across sources."""
    first, second = rendered(obj(data={"a": "1"})), rendered(obj(namespace="dest", data={"a": "2"}), revision="r2")

    state = build(first, second)

    assert only(state)["data"] == {"a": "2"}
    assert state.conditions == (
        ("RepeatedResourceWarning", "Resource /ConfigMap/dest/a appeared 2 times among application resources."),
    )
    assert state.revision == "r1"


def test_the_same_name_in_two_namespaces_is_no_repetition() -> None:
    """Nor in two kinds."""
    state = build(rendered(obj(), obj(namespace="own"), obj("Secret")))

    assert len(state.resources) == 3
    assert state.conditions == ()


def test_hooks_stand_apart_and_ignored_objects_nowhere() -> None:
    """Skip and unknown hook types are neither hooks nor resources; helm's test hooks are left out."""
    hook = "argocd.argoproj.io/hook"
    state = build(
        rendered(
            obj("Job", "pre", api="batch/v1", annotations={hook: "PreSync", "argocd.argoproj.io/sync-wave": "-2"}),
            obj("Job", "helm", api="batch/v1", annotations={"helm.sh/hook": "post-install"}),
            obj("Job", "skipped", api="batch/v1", annotations={hook: "Skip"}),
            obj("Job", "misspelt", api="batch/v1", annotations={hook: "presync"}),
            obj("Pod", "helm-test", annotations={"helm.sh/hook": "test"}),
            obj(
                name="plain",
                annotations={
                    "argocd.argoproj.io/sync-wave": "3",
                    "argocd.argoproj.io/sync-options": "Prune=false, Replace=true",
                },
            ),
        )
    )

    assert [(h.key.name, h.wave, h.hook) for h in state.hooks] == [("pre", -2, True), ("helm", 0, True)]
    (plain,) = state.resources.values()
    assert (plain.key.name, plain.wave, plain.hook) == ("plain", 3, False)
    assert "Prune=false" in plain.options


def test_what_the_project_forbids_is_kept_with_the_reason() -> None:
    """Resources and hooks: the plan fails by it, the comparison says Unknown."""
    hook = obj("Job", "h", api="batch/v1", annotations={"argocd.argoproj.io/hook": "Sync"})

    def permit(kind: GroupKind, namespaced: bool, namespace: str, name: str) -> str | None:
        return f"no {kind.kind} {name} in {namespace}" if namespaced else None

    state = build(rendered(obj(), hook, obj("Namespace", "n")), permit=permit)

    assert {key.kind: reason for key, reason in state.denied.items()} == {
        "ConfigMap": "no ConfigMap a in dest",
        "Job": "no Job h in dest",
    }
    assert len(state.resources) == 2


def test_excluded_kinds_are_left_out_with_a_warning() -> None:
    """As settings say."""
    state = build(rendered(obj("Event"), obj()), excluded=lambda kind: kind.kind == "Event")

    assert [key.kind for key in state.resources] == ["ConfigMap"]
    assert [kind for kind, _text in state.conditions] == ["ExcludedResourceWarning"]


def test_manifests_that_did_not_change_are_taken_over_as_they_are() -> None:
    """The same value, not only an equal one; a changed one is built."""
    same, before, after = obj(name="same"), obj(name="b", data={"a": "1"}), obj(name="b", data={"a": "2"})
    first = build(rendered(same, before))
    second = build(rendered(same, after), previous=first)

    kept = ResourceKey("", "ConfigMap", "dest", "same")
    assert second.resources[kept] is first.resources[kept]
    assert second.resources[kept._replace(name="b")].manifest["data"] == {"a": "2"}


@pytest.mark.parametrize(
    "other", [{"namespace": "elsewhere"}, {"mark": Mark(installation_id="i")}, {"mark": Mark(TrackingMethod.LABEL)}]
)
def test_another_destination_or_mark_builds_everything_anew(other: dict[str, Any]) -> None:
    """The context is part of what was built."""
    first = build(rendered(obj()))

    second = build(rendered(obj()), previous=first, **other)

    assert not set(second.resources.values()) & set(first.resources.values())
    assert second.context != first.context


def test_a_kind_that_turns_out_to_be_cluster_scoped_is_built_again() -> None:
    """Its CRD came since."""
    planet = obj("Planet", "earth", api="example.com/v1")
    first = build(rendered(planet))

    second = build(rendered(planet), previous=first, scope=lambda _kind, _version: False)

    assert list(first.resources) == [ResourceKey("example.com", "Planet", "dest", "earth")]
    assert list(second.resources) == [ResourceKey("example.com", "Planet", "", "earth")]
    assert "namespace" not in only(second)["metadata"]


def test_what_is_denied_is_asked_again_for_objects_taken_over() -> None:
    """The project may have changed."""
    first = build(rendered(obj()))

    second = build(rendered(obj()), previous=first, permit=lambda *_object: "not any more")

    assert list(second.denied.values()) == ["not any more"]


def test_git_that_declares_nothing_is_a_target_state() -> None:
    """And no error: it prunes."""
    state = build(rendered())

    assert (state.resources, state.hooks, state.revision) == ({}, (), "r1")
