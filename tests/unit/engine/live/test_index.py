"""The live view under events that come late, twice or out of order. Source: compat 3.1, 3.7."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.live.index import LiveIndex, instance_by_annotation, is_newer
from tiphys.engine.live.tree import descend, resource_node, with_children
from tiphys.engine.states import Health, HealthStatus, Live

TRACKING = "argocd.argoproj.io/tracking-id"
CONFIG_MAP = GroupKind("", "ConfigMap")
Change = tuple[str | None, ...]  # name, version before, version after


def obj(
    name: str = "a",
    version: int | str = 1,
    *,
    kind: str = "ConfigMap",
    api: str = "v1",
    uid: str = "",
    app: str = "",
    owner: str = "",
    **metadata: Any,
) -> dict[str, Any]:
    """A live object of namespace ns; tracked by `app`, owned by the uid `owner`."""
    group = api.rpartition("/")[0]
    meta: dict[str, Any] = {
        "name": name,
        "namespace": "ns",
        "uid": uid or name,
        "resourceVersion": str(version),
        **metadata,
    }
    if app:
        meta["annotations"] = {TRACKING: f"{app}:{group}/{kind}:ns/{name}"}
    if owner:
        meta["ownerReferences"] = [{"uid": owner}]
    return {"apiVersion": api, "kind": kind, "metadata": meta}


def key(name: str = "a", kind: str = "ConfigMap", group: str = "") -> ResourceKey:
    """Its key."""
    return ResourceKey(group, kind, "ns", name)


def index() -> tuple[LiveIndex, list[Change]]:
    """An empty view and the changes it tells: name, version before, version after."""
    changes: list[Change] = []

    def changed(at: ResourceKey, before: Live | None, after: Live | None) -> None:
        versions = (row.resource_version if row is not None else None for row in (before, after))
        changes.append((at.name, *versions))

    return LiveIndex(changed=changed), changes


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    """The answer to our own write may be ahead of the watch."""
    live, changes = index()

    live.upsert(obj(version=5))
    live.upsert(obj(version=4))
    live.upsert(obj(version=5))
    live.upsert(obj(version=10))

    assert changes == [("a", None, "5"), ("a", "5", "10")]


def test_versions_are_numbers_where_they_are() -> None:
    """9 is older than 10; opaque ones count as later when they differ."""
    assert is_newer("10", "9")
    assert not is_newer("9", "10")
    assert not is_newer("9", "9")
    assert is_newer("b", "a")
    assert is_newer("a", "b")


def test_an_object_made_anew_replaces_the_old_one_whatever_the_versions() -> None:
    """Another uid is another object."""
    live, changes = index()

    live.upsert(obj(version=9, uid="old"))
    live.upsert(obj(version=3, uid="new"))

    found = live.get(key())
    assert found is not None
    assert (found.uid, changes[-1]) == ("new", ("a", "9", "3"))


def test_the_deletion_of_an_earlier_object_does_not_remove_the_one_made_since() -> None:
    """A create's answer may come before the deletion event of the object it replaces."""
    live, _changes = index()
    live.upsert(obj(version=3, uid="old"))
    live.upsert(obj(version=9, uid="new"))

    live.remove(key(), "5")

    assert live.get(key()) is not None


def test_a_late_answer_does_not_bring_a_deleted_object_back() -> None:
    """The deletion event came first; the answer to our delete shows the object as it was before."""
    live, changes = index()
    live.upsert(obj(version=3))
    live.remove(key(), "8")

    live.upsert(obj(version=7, deletionTimestamp="2026-01-01T00:00:00Z"))

    assert live.get(key()) is None
    assert changes[-1] == ("a", "3", None)
    live.upsert(obj(version=9, uid="new"))
    assert live.get(key()) is not None


def test_a_list_is_believed_even_about_objects_that_were_removed() -> None:
    """Their deletion would be told again by the watch that starts there."""
    live, _changes = index()
    live.upsert(obj(version=3))
    live.remove(key())

    live.replace(CONFIG_MAP, [live.row(obj(version=3))], "4")

    assert live.get(key()) is not None


def test_deletions_are_remembered_for_a_while_only() -> None:
    """Memory is bounded."""
    live, _changes = index()
    for number in range(5000):
        live.upsert(obj(f"n{number}"))
        live.remove(key(f"n{number}"))

    assert len(live._gone) == 4096
    assert len(live) == 0
    assert live.kinds() == {}


def test_removing_what_is_not_there_says_nothing() -> None:
    """Twice is as once."""
    live, changes = index()
    live.upsert(obj())
    live.remove(key())
    live.remove(key())

    assert changes == [("a", None, "1"), ("a", "1", None)]


def test_a_new_list_removes_what_it_does_not_hold_unless_it_was_made_later() -> None:
    """Only of its own kind."""
    live, changes = index()
    live.upsert(obj("gone", 2))
    live.upsert(obj("later", 30))
    live.upsert(obj("same", 3))
    live.upsert(obj("changed", 4))
    live.upsert(obj("other", 1, kind="Secret"))
    changes.clear()

    live.replace(CONFIG_MAP, [live.row(o) for o in (obj("same", 3), obj("changed", 12), obj("new", 11))], "20")

    assert sorted(changes) == [("changed", "4", "12"), ("gone", "2", None), ("new", None, "11")]
    assert live.kinds() == {CONFIG_MAP: 4, GroupKind("", "Secret"): 1}


def test_managed_fields_are_not_kept() -> None:
    """They are the larger half of many objects."""
    live, _changes = index()
    given = obj(managedFields=[{"manager": "kubectl"}])

    live.upsert(given)

    found = live.get(key())
    assert found is not None
    assert "managedFields" not in found.manifest["metadata"]
    assert "managedFields" in given["metadata"]


@pytest.mark.parametrize(
    ("tracking", "instance"),
    [
        ("app:/ConfigMap:ns/a", "app"),
        ("team_app:/ConfigMap:ns/a", "team_app"),
        ("app:/ConfigMap:ns/b", ""),  # copied from another object
        ("app:/ConfigMap:elsewhere/a", ""),
        ("app:/Secret:ns/a", ""),
        ("app:apps/ConfigMap:ns/a", ""),
        ("app", ""),
        ("", ""),
    ],
)
def test_only_a_mark_that_names_the_object_itself_counts(tracking: str, instance: str) -> None:
    """A replicated Secret is nobody's."""
    assert instance_by_annotation(obj(annotations={TRACKING: tracking})) == instance


def test_a_cluster_scoped_object_carries_the_destinations_namespace() -> None:
    """Its own is empty, so that part passes."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": "system:a",
            "annotations": {TRACKING: "app:rbac.authorization.k8s.io/ClusterRole:dest/system:a"},
        },
    }

    assert instance_by_annotation(role) == "app"


def test_objects_of_an_instance_are_those_nobody_owns() -> None:
    """Owned ones are their owners' to delete."""
    live, _changes = index()
    live.upsert(obj("mine", app="app"))
    live.upsert(obj("owned", app="app", owner="mine"))
    live.upsert(obj("others", app="other"))
    live.upsert(obj("untracked"))

    assert {row.key.name for row in live.of_instance("app")} == {"mine"}
    assert list(live.of_instance("nobody")) == []

    live.upsert(obj("mine", 2, app="other"))
    assert list(live.of_instance("app")) == []
    assert {row.key.name for row in live.of_instance("other")} == {"mine", "others"}


def test_roots_are_found_through_every_level_and_without_owners_that_are_unknown() -> None:
    """A Pod belongs to its Deployment; an owner that is not watched ends the way."""
    live, _changes = index()
    deployment = obj("web", kind="Deployment", api="apps/v1", app="app")
    replica_set = obj("web-1", kind="ReplicaSet", api="apps/v1", owner="web")
    pod = obj("web-1-x", kind="Pod", owner="web-1")
    stray = obj("stray", kind="Pod", owner="unknown")
    for one in (pod, replica_set, deployment, stray):
        live.upsert(one)

    def roots(name: str) -> list[str]:
        row = live.get(key(name, "Pod"))
        assert row is not None
        return [r.key.name for r in live.roots(row)]

    assert roots("web-1-x") == ["web"]
    assert roots("stray") == ["stray"]

    root = live.get(key("web", "Deployment", "apps"))
    assert root is not None
    tree = [(row.key.name, parent and parent.key.name) for row, parent in descend(live, [root])]
    assert tree == [("web", None), ("web-1", "web"), ("web-1-x", "web-1")]


def test_owners_in_a_circle_do_not_hang() -> None:
    """Nothing forbids them."""
    live, _changes = index()
    live.upsert(obj("a", owner="b"))
    live.upsert(obj("b", owner="a"))

    row = live.get(key("a"))
    assert row is not None
    assert list(live.roots(row)) == []
    assert [r.key.name for r, _parent in descend(live, [row])] == ["a", "b"]


def test_a_node_of_the_resource_tree_says_what_the_api_says() -> None:
    """Parent, images, health, version."""
    live, _changes = index()
    pod = {
        **obj("p", kind="Pod", owner="r", creationTimestamp="2026-01-01T00:00:00Z"),
        "spec": {"containers": [{"image": "i"}]},
    }
    parent = live.row(obj("r", kind="ReplicaSet", api="apps/v1"))

    node = resource_node(live.row(pod), parent, lambda _row: Health(HealthStatus.DEGRADED, "m"))

    assert node == {
        "version": "v1",
        "kind": "Pod",
        "namespace": "ns",
        "name": "p",
        "uid": "p",
        "resourceVersion": "1",
        "createdAt": "2026-01-01T00:00:00Z",
        "parentRefs": [{"group": "apps", "kind": "ReplicaSet", "namespace": "ns", "name": "r", "uid": "r"}],
        "images": ["i"],
        "health": {"status": "Degraded", "message": "m"},
    }


def test_the_kinds_below_workloads_are_watched_with_them() -> None:
    """A Deployment's health needs none of them, its tree does."""
    found = with_children([GroupKind("apps", "Deployment"), CONFIG_MAP])

    assert found == {GroupKind("apps", "Deployment"), GroupKind("apps", "ReplicaSet"), GroupKind("", "Pod"), CONFIG_MAP}


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_a_history_ends_in_the_same_view(seed: int) -> None:
    """Events of one object delivered late or twice: the last version wins, a deleted object stays gone."""
    chance = random.Random(seed)
    events: list[tuple[str, int, str]] = [("put", 1, "u1"), ("put", 2, "u1"), ("put", 4, "u1"), ("gone", 5, "u1")]
    late = [("put", v, "u1") for v in (2, 4)]
    live, _changes = index()
    for word, version, uid in events:
        if word == "put":
            live.upsert(obj(version=version, uid=uid))
        else:
            live.remove(key(), str(version))
        if chance.random() < 0.7:
            _word, stale, of = chance.choice(late)
            if stale <= version:
                live.upsert(obj(version=stale, uid=of))

    assert live.get(key()) is None
    assert list(live.of_instance("app")) == []
