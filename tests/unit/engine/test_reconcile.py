"""The spine's comparison: drift, what is remembered, what only the API server can say. Source: compat 2.3, 3, 4.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.plans import manifest, target

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.diff.compare import with_last_applied
from tiphys.engine.diff.ignored import Ignored
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.reconcile import Memory, ThreeWayPatcher, Undecided, compare_with_live
from tiphys.engine.states import Comparison, DriftKind, Health, HealthStatus, SyncStatus, TargetState

TRACKING = "argocd.argoproj.io/tracking-id"
Json = dict[str, Any]


def tracked(kind: str = "ConfigMap", name: str = "a", *, app: str = "app", **fields: Any) -> Json:
    """A manifest with its mark."""
    obj = manifest(kind, name, **fields)
    group = str(obj["apiVersion"]).rpartition("/")[0]
    namespace = obj["metadata"].get("namespace", "dest")
    annotations = {**obj["metadata"].get("annotations", {}), TRACKING: f"{app}:{group}/{kind}:{namespace}/{name}"}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def wants(*manifests: Json, **fields: Any) -> TargetState:
    """These resources."""
    made = [target(m) for m in manifests]
    return TargetState("r", "Directory", "", {t.key: t for t in made}, **fields)


class World:
    """A live view and what an Application remembers."""

    def __init__(self) -> None:
        self.index = LiveIndex(changed=lambda *_change: None)
        self.memory = Memory()
        self.version = 0

    def put(self, obj: Json, *, applied: bool = True, **metadata: Any) -> None:
        """The object as live, as a client-side apply of it left it."""
        self.version += 1
        found = with_last_applied(obj) if applied else obj
        name = str(found["metadata"]["name"])
        self.index.upsert(
            {**found, "metadata": {**found["metadata"], "uid": name, "resourceVersion": str(self.version), **metadata}}
        )

    def compare(self, state: TargetState, **fields: Any) -> tuple[Comparison, list[Undecided]]:
        """As the Application `app`."""
        fields.setdefault("unknown", {})
        fields.setdefault("permit", lambda *_object: None)
        return compare_with_live(state, self.index, "app", memory=self.memory, **fields)


def kinds(comparison: Comparison) -> Mapping[str, DriftKind]:
    """Drift by name."""
    return {key.name: verdict.drift.kind for key, verdict in comparison.verdicts.items()}


def test_every_kind_of_drift() -> None:
    """Same, changed in Git, missing, no longer in Git; other Applications' and nobody's objects are not seen."""
    world = World()
    world.put(tracked(name="same"))
    world.put(tracked(name="changed", data={"a": "1"}))
    world.put(tracked(name="extra"))
    world.put(tracked(name="others", app="other"))
    world.put(manifest(name="nobodys"))

    found, undecided = world.compare(
        wants(tracked(name="same"), tracked(name="changed", data={"a": "2"}), tracked(name="missing"))
    )

    assert kinds(found) == {
        "same": DriftKind.SAME,
        "changed": DriftKind.MODIFIED,
        "missing": DriftKind.MISSING,
        "extra": DriftKind.EXTRA,
    }
    assert (found.sync, undecided) == (SyncStatus.OUT_OF_SYNC, [])


def test_what_an_apply_would_leave_alone_is_known() -> None:
    """Not what Git changed, what somebody changed, or what was never recorded as applied."""
    world = World()
    world.put(tracked(name="same", data={"a": "1"}))
    world.put(tracked(name="changed", data={"a": "1"}))
    world.put(tracked(name="unrecorded", data={"a": "1"}), applied=False)

    found, _undecided = world.compare(
        wants(
            tracked(name="same", data={"a": "1"}),
            tracked(name="changed", data={"a": "2"}),
            tracked(name="unrecorded", data={"a": "1"}),
        )
    )

    applied = {key.name for key, verdict in found.verdicts.items() if verdict.drift.applied}
    assert applied == {"same"}
    assert kinds(found)["unrecorded"] is DriftKind.SAME


def test_what_others_changed_is_for_the_api_server_to_judge_once() -> None:
    """Until its answer is known it is OutOfSync; the answer holds for that version of the object only."""
    world = World()
    wanted = tracked(data={"a": "1"})
    world.put(wanted)
    live = with_last_applied(wanted)
    world.put({**live, "data": {"a": "hand"}}, applied=False)

    first, undecided = world.compare(wants(wanted))
    assert (kinds(first), len(undecided)) == ({"a": DriftKind.MODIFIED}, 1)
    doubt = undecided[0]
    assert doubt.difference is not None
    world.memory.noise[doubt.target.digest, doubt.live.uid, doubt.live.resource_version] = True
    assert kinds(world.compare(wants(wanted))[0]) == {"a": DriftKind.SAME}

    world.put({**live, "data": {"a": "again"}}, applied=False)
    assert len(world.compare(wants(wanted))[1]) == 1


def test_what_was_seen_to_be_right_is_believed_to_be_changed_by_somebody() -> None:
    """No question to the API server, once: if it does not become right again, the server is asked."""
    world = World()
    wanted = tracked(data={"a": "1"})
    live = with_last_applied(wanted)
    world.put(wanted)
    assert kinds(world.compare(wants(wanted))[0]) == {"a": DriftKind.SAME}

    world.put({**live, "data": {"a": "hand"}}, applied=False)
    found, undecided = world.compare(wants(wanted))
    assert (kinds(found), undecided) == ({"a": DriftKind.MODIFIED}, [])

    world.put({**live, "data": {"a": "still"}}, applied=False)
    assert len(world.compare(wants(wanted))[1]) == 1

    world.put(wanted)
    world.compare(wants(wanted))
    world.put({**live, "data": {"a": "new rules"}}, applied=False)
    assert len(world.compare(wants(wanted), rules="others")[1]) == 1


def test_an_object_watched_in_another_version_is_read_in_the_one_git_writes() -> None:
    """An autoscaling/v1 manifest is not held against autoscaling/v2 fields; a newer live object is read again."""
    world = World()
    v1 = tracked("HorizontalPodAutoscaler", apiVersion="autoscaling/v1", spec={"targetCPUUtilizationPercentage": 50})
    v2 = {**with_last_applied(v1), "apiVersion": "autoscaling/v2", "spec": {"metrics": [{"type": "Resource"}]}}
    world.put(v2, applied=False)

    found, undecided = world.compare(wants(v1))
    assert (kinds(found), [d.difference for d in undecided]) == ({"a": DriftKind.MODIFIED}, [None])

    answer = with_last_applied(v1)
    answer["metadata"] = {**answer["metadata"], "uid": "a", "resourceVersion": "1"}
    world.memory.translated[undecided[0].target.key] = world.index.row(answer)
    found, undecided = world.compare(wants(v1))
    assert (kinds(found), undecided) == ({"a": DriftKind.SAME}, [])

    world.put(v2, applied=False)
    assert [d.difference for d in world.compare(wants(v1))[1]] == [None]


def test_a_verdict_is_not_made_again_while_nothing_moved() -> None:
    """The very same value; a new live version or another manifest makes a new one."""
    world = World()
    state = wants(tracked(name="a"), tracked(name="b"))
    world.put(tracked(name="a"))
    world.put(tracked(name="b"))
    world.put(tracked(name="extra"))
    first, _ = world.compare(state)
    world.put(tracked(name="b"))

    second, _ = world.compare(state)

    same = {key.name: second.verdicts[key] is first.verdicts[key] for key in first.verdicts}
    assert same == {"a": True, "b": False, "extra": True}


def test_verdicts_are_forgotten_when_the_rules_change() -> None:
    """Ignored differences count at once, and end at once."""
    world = World()
    wanted = tracked(data={"a": "1"})
    world.put({**wanted, "data": {"a": "2"}})
    state = wants(wanted)

    def ignore(_key: ResourceKey) -> Ignored:
        return Ignored(("/data/a",))

    assert kinds(world.compare(state, rules=0)[0]) == {"a": DriftKind.MODIFIED}
    assert kinds(world.compare(state, rules=1, ignored=ignore)[0]) == {"a": DriftKind.SAME}
    assert kinds(world.compare(state, rules=2)[0]) == {"a": DriftKind.MODIFIED}


def test_what_the_project_forbids_is_unknown_even_when_it_was_compared_before() -> None:
    """And comes back when it is allowed again."""
    world = World()
    world.put(tracked())
    allowed = wants(tracked())
    key = next(iter(allowed.resources))
    forbidden = replace(allowed, denied={key: "not permitted"})

    assert world.compare(allowed)[0].sync is SyncStatus.SYNCED
    found, _ = world.compare(forbidden)
    assert (found.sync, found.verdicts[key].drift.message) == (SyncStatus.UNKNOWN, "not permitted")
    assert world.compare(allowed)[0].sync is SyncStatus.SYNCED


def test_a_kind_that_cannot_be_listed_makes_its_own_resources_unknown() -> None:
    """Nothing of it counts as missing, also what was compared before; the others are compared."""
    world = World()
    state = wants(tracked(), tracked("Secret", "s"))
    world.put(tracked())
    world.put(tracked("Secret", "s"))
    world.compare(state)

    found, _ = world.compare(state, unknown={GroupKind("", "Secret"): "secrets cannot be listed"})

    assert kinds(found) == {"a": DriftKind.SAME, "s": DriftKind.UNKNOWN}
    assert found.sync is SyncStatus.UNKNOWN


def test_a_kind_the_project_forbids_is_never_pruned() -> None:
    """It is not even shown; the destination namespace and owned objects are not pruned either."""
    world = World()
    world.put(tracked("Secret", "forbidden"))
    world.put(tracked("Namespace", "dest", namespace=""))
    world.put(tracked(name="owned"), ownerReferences=[{"uid": "x"}])

    found, _ = world.compare(
        wants(),
        permit=lambda kind, *_rest: "no" if kind.kind == "Secret" else None,
        exempt=frozenset({ResourceKey("", "Namespace", "", "dest")}),
    )

    assert kinds(found) == {}
    assert found.sync is SyncStatus.SYNCED


@pytest.mark.parametrize(
    ("own", "app", "disabled"),
    [
        ("", (), False),
        ("Prune=false", (), True),
        ("", ("Prune=false",), True),
        ("Prune=true", ("Prune=false",), False),
        ("Prune=false", ("Prune=true",), True),
        ("Prune=confirm", (), False),
    ],
)
def test_the_live_objects_own_option_decides_whether_it_may_be_pruned(
    own: str, app: tuple[str, ...], disabled: bool
) -> None:
    """Its target is gone; without a word of its own the Application's options count."""
    world = World()
    world.put(tracked(annotations={"argocd.argoproj.io/sync-options": own} if own else {}))

    found, _ = world.compare(wants(), options=app)

    assert [v.drift.prune_disabled for v in found.verdicts.values()] == [disabled]
    assert found.sync is SyncStatus.OUT_OF_SYNC


@pytest.mark.parametrize(
    ("own", "app", "prune", "deletion"),
    [
        ("", (), False, False),
        ("Prune=confirm", (), True, True),
        ("", ("Prune=confirm",), True, True),
        ("Prune=true", ("Prune=confirm",), False, False),
        ("Delete=confirm", (), False, True),
        ("Delete=false", ("Delete=confirm",), False, False),
    ],
)
def test_what_is_deleted_only_with_approval_says_so(
    own: str, app: tuple[str, ...], prune: bool, deletion: bool
) -> None:
    """Pruning asks for one of them, deleting the Application for either."""
    world = World()
    world.put(tracked(annotations={"argocd.argoproj.io/sync-options": own} if own else {}))

    found, _ = world.compare(wants(), options=app)

    (verdict,) = found.verdicts.values()
    assert (verdict.drift.prune_confirm, verdict.drift.needs_confirmation) == (prune, deletion)


def test_an_object_that_was_only_applied_client_side_is_compared_so() -> None:
    """What Git dropped since is known by its last-applied annotation alone; later by what our apply owns."""
    world = World()
    before = tracked(data={"a": "1", "b": "2"})
    options = ("ServerSideApply=true",)
    world.put(before)
    found, _ = world.compare(wants(tracked(data={"a": "1"})), options=options)
    assert kinds(found) == {"a": DriftKind.MODIFIED}

    fields: dict[str, Any] = {"f:data": {"f:a": {}, "f:b": {}}}
    ours = {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields}
    world.put(before, applied=False, managedFields=[ours])
    found, undecided = world.compare(wants(tracked(data={"a": "1"})), options=options)
    assert kinds(found) == {"a": DriftKind.MODIFIED}
    assert [d.difference is not None and d.difference.server_side for d in undecided] == [True]
    found, undecided = world.compare(wants(before), options=options)
    assert (kinds(found), undecided) == ({"a": DriftKind.SAME}, [])


def test_an_extraneous_object_that_says_so_leaves_the_application_synced() -> None:
    """IgnoreExtraneous: the resource shows OutOfSync, the Application does not."""
    world = World()
    world.put(tracked(annotations={"argocd.argoproj.io/compare-options": "IgnoreExtraneous"}))

    found, _ = world.compare(wants())

    assert (kinds(found), found.sync) == ({"a": DriftKind.EXTRA}, SyncStatus.SYNCED)


def test_live_hooks_are_no_drift() -> None:
    """Neither those of this commit nor those of earlier ones."""
    world = World()
    world.put(tracked("Job", "old", annotations={"argocd.argoproj.io/hook": "PreSync"}))
    world.put(tracked("Job", "now"))

    found, _ = world.compare(wants(hooks=(target(tracked("Job", "now")),)))

    assert kinds(found) == {}


def test_an_object_of_another_application_is_said_to_be_shared() -> None:
    """It is still OutOfSync: the mark differs."""
    world = World()
    world.put(tracked(app="team_other"))

    found, _ = world.compare(wants(tracked()), owner="argocd/app")

    assert found.conditions == (
        ("SharedResourceWarning", "ConfigMap/a is part of applications argocd/app and team_other"),
    )
    assert found.sync is SyncStatus.OUT_OF_SYNC


def test_health_that_is_to_be_ignored_does_not_go_up() -> None:
    """ignore-healthcheck, exactly "true"."""
    waits: Json = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}}
    annotation = "argocd.argoproj.io/ignore-healthcheck"
    for value, expected in (("true", HealthStatus.HEALTHY), ("yes", HealthStatus.PROGRESSING)):
        world = World()
        service = tracked("Service", "s", annotations={annotation: value}, **waits)
        world.put(service)
        assert world.compare(wants(service))[0].health.status is expected


def test_an_application_that_manages_itself_does_not_make_itself_ill() -> None:
    """With a script for Applications it would otherwise never recover from its own word."""
    world = World()
    itself = tracked("Application", "app", apiVersion="argoproj.io/v1alpha1")
    world.put(itself)

    def ill(_obj: object) -> Health:
        return Health(HealthStatus.DEGRADED)

    found, _doubts = world.compare(wants(itself), override=ill, owner="ns/app")
    assert found.health.status is HealthStatus.HEALTHY
    found, _doubts = world.compare(wants(itself), override=ill, owner="ns/other", rules=1)
    assert found.health.status is HealthStatus.DEGRADED


def test_patches_are_sent_only_when_they_change_something() -> None:
    """Another spelling of what was applied is none; an object not applied by us gets its annotation."""
    patcher = ThreeWayPatcher()
    wanted = manifest("Pod", spec={"containers": [{"name": "c", "resources": {"limits": {"cpu": "1000m"}}}]})
    live = with_last_applied(wanted)
    live = {**live, "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}}

    assert patcher.to_patch(wanted, live) is None
    adopted = patcher.to_patch(wanted, {**live, "metadata": {"name": "a", "namespace": "ns"}})
    assert adopted is not None
    assert "kubectl.kubernetes.io/last-applied-configuration" in adopted[0]["metadata"]["annotations"]
