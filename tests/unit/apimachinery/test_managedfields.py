"""managedFields after updates and applies, as recorded from a real server and by its rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiphys.apimachinery import fieldset, managedfields
from tiphys.apimachinery.apierrors import ApiError, BadRequest, Conflict
from tiphys.apimachinery.managedfields import apply, reset_fields_of, settle_times, update, update_scale
from tiphys.apimachinery.mergeschema import MergeSchema, MergeSchemas
from tiphys.apimachinery.names import GroupVersionKind

T1, T2, T3 = "2030-01-01T00:00:00Z", "2030-01-01T00:00:01Z", "2030-01-01T00:00:02Z"
DEPLOYMENT_ZERO: dict[str, Any] = {
    "metadata": {},
    "spec": {"selector": None, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": None}}},
    "status": {},
}


@pytest.fixture(scope="module")
def schemas() -> MergeSchemas:
    return MergeSchemas.builtin()


@pytest.fixture(scope="module")
def config_map(schemas: MergeSchemas) -> MergeSchema:
    found = schemas.for_kind(GroupVersionKind("", "v1", "ConfigMap"))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def deployment(schemas: MergeSchemas) -> MergeSchema:
    found = schemas.for_kind(GroupVersionKind("apps", "v1", "Deployment"))
    assert found is not None
    return found


def cm(data: Any = None, uid: str = "u", **metadata: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w1", "uid": uid} | metadata}
    return out if data is None else out | {"data": data}


def config(data: Any = None, **metadata: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w1"} | metadata}
    return out if data is None else out | {"data": data}


def created(schema: MergeSchema, data: Any, manager: str = "curl", **metadata: Any) -> dict[str, Any]:
    obj = cm(data, **metadata)
    return managedfields.with_managed_fields(
        obj, update(None, obj, manager=manager, api_version="v1", schema=schema, now=T1)
    )


def ssa(live: Any, conf: Any, schema: MergeSchema, *, manager: str = "m", now: str = T2, force: bool = False) -> Any:
    return apply(live, conf, manager=manager, api_version="v1", schema=schema, force=force, now=now)


def owners(obj: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    entries = obj["metadata"].get("managedFields") or []
    return {(e["manager"], e["operation"]): fieldset.to_strings(e["fieldsV1"]) for e in entries}


def test_a_created_object_belongs_to_its_creator(config_map: MergeSchema) -> None:
    entries = update(None, cm({"a": "b"}), manager="curl", api_version="v1", schema=config_map, now=T1)
    wanted = {
        "manager": "curl",
        "operation": "Update",
        "apiVersion": "v1",
        "time": T1,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:a": {}}},
    }
    assert json.dumps(entries) == json.dumps([wanted])


def test_fields_a_kind_always_has_are_owned_through_what_they_hold(deployment: MergeSchema) -> None:
    spec = {
        "progressDeadlineSeconds": 600,
        "selector": {"matchLabels": {"a": "b"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "n", "resources": {}}], "securityContext": {}},
        },
    }
    new = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "im"}, "spec": spec, "status": {}}
    (entry,) = update(None, new, manager="curl", api_version="apps/v1", schema=deployment, now=T1, zero=DEPLOYMENT_ZERO)
    item: dict[str, Any] = {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}
    rolling: dict[str, Any] = {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}
    wanted = {
        "f:spec": {
            "f:progressDeadlineSeconds": {},
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": rolling, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {"f:containers": {'k:{"name":"c"}': item}, "f:securityContext": {}},
            },
        }
    }
    assert json.dumps(entry["fieldsV1"]) == json.dumps(wanted)


def test_a_conflict_names_the_field_and_its_owner(config_map: MergeSchema) -> None:
    with pytest.raises(Conflict) as caught:
        ssa(created(config_map, {"a": "b"}), config({"a": "c"}), config_map)
    assert caught.value.to_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "curl" using v1: .data.a',
        "reason": "Conflict",
        "details": {
            "causes": [
                {"reason": "FieldManagerConflict", "message": 'conflict with "curl" using v1', "field": ".data.a"}
            ]
        },
        "code": 409,
    }


def test_conflicts_are_grouped_by_owner(config_map: MergeSchema) -> None:
    live = created(config_map, {"a": "1", "b": "1"})
    live = ssa(live, config({"c": "1"}), config_map, manager="z")
    with pytest.raises(Conflict) as caught:
        ssa(live, config({"a": "2", "b": "2", "c": "2"}), config_map)
    assert caught.value.message == (
        "Apply failed with 3 conflicts: "
        'conflicts with "curl" using v1:\n- .data.a\n- .data.b\nconflicts with "z":\n- .data.c'
    )


def test_force_takes_the_field_and_leaves_the_rest(config_map: MergeSchema) -> None:
    new = ssa(created(config_map, {"a": "b"}), config({"a": "c"}), config_map, force=True)
    assert new["data"] == {"a": "c"}
    assert [entry["fieldsV1"] for entry in new["metadata"]["managedFields"]] == [
        {"f:data": {"f:a": {}}},
        {"f:data": {}},
    ]
    assert [entry["manager"] for entry in new["metadata"]["managedFields"]] == ["m", "curl"]


def test_equal_values_are_owned_together_without_a_time_of_their_own(config_map: MergeSchema) -> None:
    new = ssa(created(config_map, {"a": "b"}), config({"a": "b"}), config_map)
    assert owners(new) == {("m", "Apply"): [".data.a"], ("curl", "Update"): [".data", ".data.a"]}
    assert "time" not in new["metadata"]["managedFields"][0]


def test_applying_the_same_again_changes_nothing(config_map: MergeSchema) -> None:
    once = ssa(None, config({"a": "b"}), config_map)
    assert ssa(once, config({"a": "b"}), config_map, now=T3) == once


def test_what_is_no_longer_applied_goes_away_unless_others_own_it(config_map: MergeSchema) -> None:
    live = ssa(None, config({"a": "1", "b": "1"}), config_map)
    live = ssa(live, config({"b": "1"}), config_map, manager="other")
    new = ssa(live, config({}), config_map, now=T3)
    assert new["data"] == {"b": "1"}
    assert owners(new) == {("m", "Apply"): [".data"], ("other", "Apply"): [".data.b"]}


def test_objects_from_before_tracking_get_their_first_owner_at_the_first_apply(config_map: MergeSchema) -> None:
    assert update(cm({"a": "1"}), cm({"a": "2"}), manager="c", api_version="v1", schema=config_map, now=T1) == []
    new = ssa(cm({"a": "1"}), config({"b": "1"}), config_map)
    assert owners(new) == {("m", "Apply"): [".data.b"], ("before-first-apply", "Update"): [".data", ".data.a"]}


def test_an_update_takes_what_it_changes_and_joins_its_earlier_entry(config_map: MergeSchema) -> None:
    live = ssa(created(config_map, {"a": "1", "b": "1"}), config({"c": "1"}), config_map)
    new = live | {"data": {"a": "2", "b": "1", "c": "2"}}
    entries = update(live, new, manager="curl", api_version="v1", schema=config_map, now=T3)
    assert [(e["manager"], e["time"], fieldset.to_strings(e["fieldsV1"])) for e in entries] == [
        ("curl", T3, [".data", ".data.a", ".data.b", ".data.c"])
    ]


def test_an_update_that_changes_nothing_keeps_every_entry(config_map: MergeSchema) -> None:
    live = created(config_map, {"a": "1"})
    entries = update(live, live, manager="other", api_version="v1", schema=config_map, now=T3)
    assert entries == live["metadata"]["managedFields"]


@pytest.mark.parametrize("reset", [[], [{}]])
def test_clients_can_end_the_tracking(config_map: MergeSchema, reset: list[Any]) -> None:
    live = created(config_map, {"a": "1"})
    new = managedfields.with_managed_fields(live, [])
    new["metadata"] = new["metadata"] | {"managedFields": reset}
    assert update(live, new, manager="c", api_version="v1", schema=config_map, now=T2) == []
    assert update(live, new, manager="c", api_version="v1", schema=config_map, now=T2, subresource="status") != []


def test_entries_of_clients_count_when_they_can_be_read(config_map: MergeSchema) -> None:
    live = created(config_map, {"a": "1"})
    mine = [live["metadata"]["managedFields"][0] | {"manager": "renamed"}]
    new = managedfields.with_managed_fields(live, mine)
    assert [e["manager"] for e in update(live, new, manager="c", api_version="v1", schema=config_map, now=T2)] == [
        "renamed"
    ]
    broken = managedfields.with_managed_fields(live, [{"manager": "x", "operation": "Odd"}])
    assert [e["manager"] for e in update(live, broken, manager="c", api_version="v1", schema=config_map, now=T2)] == [
        "curl"
    ]


def test_more_than_ten_updaters_are_folded_into_the_oldest(config_map: MergeSchema) -> None:
    live = created(config_map, {"k0": "0"}, manager="m00")
    for at in range(1, 13):
        new = live | {"data": live["data"] | {f"k{at}": "0"}}
        now = f"2030-01-01T00:01:{at:02}Z"
        entries = update(live, new, manager=f"m{at:02}", api_version="v1", schema=config_map, now=now)
        live = managedfields.with_managed_fields(new, entries)
    found = owners(live)
    assert len(found) == 10
    assert found["ancient-changes", "Update"] == [".data", ".data.k0", ".data.k1", ".data.k2", ".data.k3"]
    assert live["metadata"]["managedFields"][0]["time"] == "2030-01-01T00:01:03Z"


def test_endpoints_own_nothing_they_ignore(deployment: MergeSchema) -> None:
    live = {"metadata": {"uid": "u", "managedFields": []}, "spec": {"replicas": 1}, "status": {}}
    live = managedfields.with_managed_fields(
        live, update(None, live, manager="a", api_version="apps/v1", schema=deployment, now=T1, zero=DEPLOYMENT_ZERO)
    )
    new = live | {"spec": {"replicas": 2}, "status": {"replicas": 1}}

    def after(subresource: str) -> dict[tuple[str, str], list[str]]:
        reset = reset_fields_of("apps", "Deployment", subresource, has_status=True)
        entries = update(
            live,
            new,
            manager="kcm",
            api_version="apps/v1",
            schema=deployment,
            now=T2,
            subresource=subresource,
            reset_fields=reset,
        )
        return owners({"metadata": {"managedFields": entries}})

    assert after("status")["kcm", "Update"] == [".status.replicas"]
    assert ".spec.replicas" in after("status")["a", "Update"]
    assert after("")["kcm", "Update"] == [".spec.replicas"]


def test_status_endpoints_ignore_what_upstream_ignores() -> None:
    def ignored(group: str, kind: str, subresource: str) -> list[str]:
        return fieldset.to_strings(reset_fields_of(group, kind, subresource, has_status=True))

    assert ignored("apps", "Deployment", "status") == [".spec", ".metadata.labels"]
    assert ignored("", "Pod", "status") == [".spec", ".metadata.deletionTimestamp", ".metadata.ownerReferences"]
    assert ignored("x.io", "Thing", "status") == [".metadata", ".spec"]
    assert ignored("networking.k8s.io", "Ingress", "status") == [".spec"]
    assert ignored("x.io", "Thing", "") == [".status"]
    assert fieldset.to_strings(reset_fields_of("", "ConfigMap", "", has_status=False)) == []


def test_scaling_takes_the_replicas_and_bears_no_time(deployment: MergeSchema) -> None:
    entry = {
        "manager": "a",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": T1,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:paused": {}, "f:replicas": {}}},
    }
    entries = update_scale({"metadata": {"managedFields": [entry]}}, manager="curl", api_version="apps/v1")
    assert entries[0] == {
        "manager": "curl",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
        "subresource": "scale",
    }
    assert entries[1]["fieldsV1"] == {"f:spec": {"f:paused": {}}}
    unowned = [entry | {"fieldsV1": {"f:spec": {"f:paused": {}}}}]
    assert update_scale({"metadata": {"managedFields": unowned}}, manager="curl", api_version="apps/v1") == unowned


def test_a_conflict_with_a_subresource_says_so(config_map: MergeSchema) -> None:
    live = created(config_map, {"a": "1"})
    entries = [live["metadata"]["managedFields"][0] | {"subresource": "status"}]
    with pytest.raises(Conflict, match=r'conflict with "curl" with subresource "status" using v1: \.data\.a'):
        ssa(managedfields.with_managed_fields(live, entries), config({"a": "2"}), config_map)


def test_entries_of_versions_that_are_gone_are_dropped(config_map: MergeSchema) -> None:
    live = created(config_map, {"a": "1"})
    old = [live["metadata"]["managedFields"][0] | {"apiVersion": "v0"}]
    live = managedfields.with_managed_fields(live, old)
    new = live | {"data": {"a": "2"}}
    assert [e["apiVersion"] for e in update(live, new, manager="c", api_version="v1", schema=config_map, now=T2)] == [
        "v1"
    ]
    kept = update(live, new, manager="c", api_version="v1", schema=config_map, now=T2, versions=frozenset({"v0"}))
    assert [e["apiVersion"] for e in kept] == ["v0", "v1"]


def test_what_cannot_be_applied_is_refused(config_map: MergeSchema) -> None:
    with pytest.raises(BadRequest, match=r"metadata\.managedFields must be nil"):
        ssa(None, config({"a": "b"}, managedFields=[]), config_map)
    with pytest.raises(BadRequest, match="invalid object type: /v2, Kind=ConfigMap"):
        ssa(None, config({"a": "b"}) | {"apiVersion": "v2"}, config_map)
    with pytest.raises(ApiError) as caught:
        ssa(None, config({"a": "b"}, namespace="d") | {"foo": 1}, config_map)
    assert caught.value.code == 500
    assert caught.value.message == (
        "failed to create typed patch object (d/w1; /v1, Kind=ConfigMap): .foo: field not declared in schema"
    )


def test_kubectl_may_take_over_what_it_applied_client_side(config_map: MergeSchema) -> None:
    record = json.dumps(config({"a": "1"}))
    annotations = {managedfields.LAST_APPLIED: record}
    live = created(config_map, {"a": "1"}, manager="kubectl-client-side-apply", annotations=annotations)
    new = ssa(live, config({"a": "2"}), config_map, manager="kubectl")
    assert new["data"] == {"a": "2"}
    assert json.loads(new["metadata"]["annotations"][managedfields.LAST_APPLIED]) == config({"a": "2"})
    with pytest.raises(Conflict):
        ssa(live, config({"a": "2"}), config_map, manager="helm")
    drifted = live | {"data": {"a": "9"}}
    with pytest.raises(Conflict):
        ssa(drifted, config({"a": "2"}), config_map, manager="kubectl")


def test_a_time_that_changed_for_nothing_is_taken_back(config_map: MergeSchema) -> None:
    live = created(config_map, {"a": "1"})
    later = [live["metadata"]["managedFields"][0] | {"time": T3}]
    assert settle_times(live, managedfields.with_managed_fields(live, later)) == live
    changed = managedfields.with_managed_fields(live | {"data": {"a": "2"}}, later)
    assert settle_times(live, changed) is changed


def test_arguments_are_not_changed(config_map: MergeSchema) -> None:
    live, conf = created(config_map, {"a": "1"}), config({"a": "2"})
    before = json.dumps([live, conf])
    ssa(live, conf, config_map, force=True)
    update(live, live | {"data": {}}, manager="x", api_version="v1", schema=config_map, now=T2)
    assert json.dumps([live, conf]) == before
