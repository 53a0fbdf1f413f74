"""Create, update, patch, delete: what the server answers and what it stores, compared with a recorded real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.support.incluster import Client, incluster, quiet
from tests.unit.devcluster.test_crds import definition

from tiphys.apimachinery.yamljson import load_one

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY = "application/apply-patch+yaml"


def deployment(name: str = "im", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "n"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template, **spec},
    }


async def test_errors_are_those_of_the_real_server() -> None:
    bad = {
        "metadata": {"name": "a"},
        "spec": {
            "replicas": -1,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": []}},
        },
    }
    raw = b'{"metadata":{"name":"a"},"data":{"a":"b","a":"c"},"foo":1}'
    cases: list[tuple[str, str, object, str, int, str, str]] = [
        ("GET", f"{MAPS}/nope", None, "", 404, "NotFound", 'configmaps "nope" not found'),
        (
            "GET",
            "/api/v1/namespaces/default/nope",
            None,
            "",
            404,
            "NotFound",
            "the server could not find the requested",
        ),
        ("POST", "/version", {}, "", 405, "MethodNotAllowed", "the server does not allow this method on the requested"),
        ("PATCH", MAPS, {}, "", 405, "MethodNotAllowed", "the server does not allow this method on the requested"),
        (
            "POST",
            "/api/v1/namespaces/nope/configmaps",
            {"metadata": {"name": "a"}},
            "",
            404,
            "NotFound",
            'namespaces "nope" not found',
        ),
        (
            "POST",
            MAPS,
            {"metadata": {"name": "Bad_Name"}},
            "",
            422,
            "Invalid",
            'ConfigMap "Bad_Name" is invalid: metadata',
        ),
        (
            "POST",
            DEPLOYMENTS,
            bad,
            "",
            422,
            "Invalid",
            'Deployment.apps "a" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0,'
            ' spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`,'
            " spec.template.spec.containers: Required value]",
        ),
        (
            "POST",
            DEPLOYMENTS,
            {"metadata": {"name": "a"}, "spec": {"replicas": "x"}},
            "",
            400,
            "BadRequest",
            'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct'
            " field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "POST",
            f"{MAPS}?fieldValidation=Strict",
            raw,
            "",
            400,
            "BadRequest",
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error:'
            ' duplicate field "data.a", unknown field "foo"',
        ),
        (
            "POST",
            MAPS,
            b"{bad",
            "",
            400,
            "BadRequest",
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error:"
            " invalid character 'b' looking for beginning of object key string ({bad)",
        ),
        (
            "POST",
            MAPS,
            b"x",
            "text/foo",
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json,"
            " application/yaml, application/vnd.kubernetes.protobuf",
        ),
        ("PUT", f"{MAPS}/w2", {"metadata": {"name": "w2"}}, "", 404, "NotFound", 'configmaps "w2" not found'),
        (
            "GET",
            f"{MAPS}?fieldSelector=data.a=b",
            None,
            "",
            400,
            "BadRequest",
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (
            "GET",
            f"{MAPS}?labelSelector=a===b",
            None,
            "",
            400,
            "BadRequest",
            "unable to parse requirement: found '=', expected: identifier",
        ),
        (
            "GET",
            "/api/v1/namespaces?watch=1&sendInitialEvents=true",
            None,
            "",
            422,
            "Invalid",
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting'
            " resourceVersionMatch to NotOlderThan",
        ),
    ]
    async with incluster() as client:
        for method, path, body, kind, code, reason, message in cases:
            reply = await client.request(method, path, body, kind=kind or "application/json")
            status = reply.json
            assert (reply.code, status["code"], status["reason"]) == (code, code, reason), (path, status)
            assert status["message"].startswith(message), (path, status["message"])
        assert (await client.request("GET", "/api/v1/namespaces/default/nope")).json["details"] == {}


async def test_a_created_object_is_as_recorded() -> None:
    async with incluster() as client:
        made = await client.create(MAPS, {"metadata": {"name": "w1"}, "data": {"a": "b"}})
        again = await client.request("POST", MAPS, {"metadata": {"name": "w1"}})
        generated = await client.create(MAPS, {"metadata": {"generateName": "g-"}})

    assert list(made) == ["kind", "apiVersion", "metadata", "data"]
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "curl",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:a": {}}},
        }
    ]
    assert made["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert (again.code, again.json["message"]) == (409, 'configmaps "w1" already exists')
    assert generated["metadata"]["name"].startswith("g-")
    assert len(generated["metadata"]["name"]) == 7


async def test_a_stale_update_is_a_conflict_and_a_no_op_keeps_the_version() -> None:
    async with incluster() as client:
        made = await client.create(MAPS, {"metadata": {"name": "w1"}, "data": {"a": "b"}})
        version = made["metadata"]["resourceVersion"]
        stale = await client.request(
            "PUT", f"{MAPS}/w1", {"metadata": {"name": "w1", "resourceVersion": "1"}, "data": {"a": "b"}}
        )
        same = await client.patch(f"{MAPS}/w1", {"data": {"a": "b"}})
        put = await client.request("PUT", f"{MAPS}/w1", {"metadata": {"name": "w1"}, "data": {"a": "c"}})

    assert stale.json["message"] == (
        'Operation cannot be fulfilled on configmaps "w1": the object has been modified; please apply your changes to the'
        " latest version and try again"
    )
    assert same.json["metadata"]["resourceVersion"] == version
    assert int(put.json["metadata"]["resourceVersion"]) > int(version)


async def test_apply_merges_reports_conflicts_and_can_be_forced() -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "c"}}
    async with incluster() as client:
        await client.create(MAPS, {"metadata": {"name": "w1"}, "data": {"a": "b"}})
        unnamed = await client.patch(f"{MAPS}/w1", body, APPLY)
        refused = await client.patch(f"{MAPS}/w1?fieldManager=m", body, APPLY)
        forced = await client.patch(f"{MAPS}/w1?fieldManager=m&force=true", body, APPLY)
        nameless = await client.patch(f"{MAPS}/w9?fieldManager=m", body, APPLY)
        named = {**body, "metadata": {"name": "w9"}}
        created = await client.patch(f"{MAPS}/w9?fieldManager=m", named, APPLY)
        emptied = await client.patch(f"{MAPS}/w9?fieldManager=m", {"apiVersion": "v1", "kind": "ConfigMap"}, APPLY)

    assert unnamed.json["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    assert (refused.code, refused.json["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "curl" using v1: .data.a',
    )
    owners = {one["manager"]: one["fieldsV1"] for one in forced.json["metadata"]["managedFields"]}
    assert owners == {"m": {"f:data": {"f:a": {}}}, "curl": {"f:data": {}}}
    assert (nameless.code, nameless.json["message"]) == (
        400,
        "the name of the object (w9 based on URL) was undeterminable: name must be provided",
    )
    assert (created.code, created.json["data"]) == (201, {"a": "c"})
    assert "data" not in emptied.json


async def test_finalizers_hold_an_object_until_the_last_is_gone() -> None:
    async with incluster() as client:
        await client.create(MAPS, {"metadata": {"name": "w1", "finalizers": ["x.io/f"]}})
        uid = await client.patch(f"{MAPS}/w1", {"metadata": {"uid": "zzz"}})
        deleted = await client.request("DELETE", f"{MAPS}/w1")
        added = await client.patch(f"{MAPS}/w1", {"metadata": {"finalizers": ["x.io/f", "x.io/g"]}})
        last = await client.patch(f"{MAPS}/w1", {"metadata": {"finalizers": None}})
        gone = await client.request("GET", f"{MAPS}/w1")

    assert uid.json["message"] == 'ConfigMap "w1" is invalid: metadata.uid: Invalid value: "zzz": field is immutable'
    assert len(uid.json["details"]["causes"]) == 2
    assert deleted.json["metadata"]["deletionGracePeriodSeconds"] == 0
    assert added.json["message"] == (
        'ConfigMap "w1" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being'
        ' deleted, found new finalizers []string{"x.io/g"}'
    )
    assert last.code == 200
    assert "finalizers" not in last.json["metadata"]
    assert gone.code == 404


async def test_a_plain_delete_answers_with_a_status_that_has_the_uid() -> None:
    async with incluster() as client:
        made = await client.create(MAPS, {"metadata": {"name": "w1"}})
        wrong = await client.request("DELETE", f"{MAPS}/w1", {"preconditions": {"uid": "nope"}})
        deleted = await client.request("DELETE", f"{MAPS}/w1")

    assert wrong.json["message"] == (
        'Operation cannot be fulfilled on ConfigMap "w1": the UID in the precondition (nope) does not match the UID in'
        f" record ({made['metadata']['uid']}). The object might have been deleted and then recreated"
    )
    assert deleted.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "w1", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }


async def test_generation_counts_changes_of_the_spec_and_status_has_its_own_path() -> None:
    async with incluster() as client:
        made = await client.create(DEPLOYMENTS, {**deployment(), "status": {"replicas": 7}})
        labelled = await client.patch(
            f"{DEPLOYMENTS}/im", {"metadata": {"labels": {"x": "y"}}, "status": {"replicas": 3}}
        )
        scaled = await client.patch(f"{DEPLOYMENTS}/im", {"spec": {"replicas": 1}})
        status = await client.patch(f"{DEPLOYMENTS}/im/status", {"spec": {"replicas": 9}, "status": {"replicas": 1}})
        frozen = await client.patch(
            f"{DEPLOYMENTS}/im",
            {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "c"}}}}},
        )

    assert (made["metadata"]["generation"], made["status"]) == (1, {})
    assert (labelled.json["metadata"]["generation"], labelled.json["status"]) == (1, {})
    assert scaled.json["metadata"]["generation"] == 2
    assert (status.json["spec"]["replicas"], status.json["status"]) == (1, {"replicas": 1})
    assert status.json["metadata"]["generation"] == 2
    managers = {(one["manager"], one.get("subresource", "")) for one in status.json["metadata"]["managedFields"]}
    assert managers == {("curl", ""), ("curl", "status")}
    assert frozen.json["message"] == (
        'Deployment.apps "im" is invalid: spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable'
    )


async def test_scale_reads_and_writes_replicas() -> None:
    async with incluster() as client:
        await client.create(DEPLOYMENTS, deployment())
        before = await client.get(f"{DEPLOYMENTS}/im/scale")
        after = (await client.patch(f"{DEPLOYMENTS}/im/scale", {"spec": {"replicas": 2}})).json
        live = await client.get(f"{DEPLOYMENTS}/im")

    assert (before["spec"], before["status"]) == ({}, {"replicas": 0, "selector": "a=b"})
    assert after["spec"] == {"replicas": 2}
    assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (2, 2)
    assert {
        "manager": "curl",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
        "subresource": "scale",
    } in live["metadata"]["managedFields"]


async def test_a_failed_json_patch_says_nothing_of_itself() -> None:
    async with incluster() as client:
        await client.create(MAPS, {"metadata": {"name": "w1"}, "data": {"a": "b"}})
        body = [{"op": "test", "path": "/data/a", "value": "zz"}]
        reply = await client.patch(f"{MAPS}/w1", body, "application/json-patch+json")

    assert reply.code == 422
    assert reply.json["message"] == "the server rejected our request due to an error in our request"
    assert reply.json["details"] == {}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_dry_run_answers_and_changes_nothing(method: str) -> None:
    async with incluster() as client:
        await client.create(MAPS, {"metadata": {"name": "w1"}, "data": {"a": "b"}})
        before = await client.get(MAPS)
        name, kind = ("w2", "application/json") if method == "POST" else ("w1", "application/merge-patch+json")
        path = MAPS if method == "POST" else f"{MAPS}/w1"
        body = {"metadata": {"name": name}, "data": {"a": "c"}} if method != "DELETE" else None
        kind = kind if method == "PATCH" else "application/json"
        reply = await client.request(method, f"{path}?dryRun=All", body, kind=kind)
        after = await client.get(MAPS)

    assert reply.code in (200, 201)
    assert before["items"] == after["items"]


async def test_unknown_fields_are_warned_of_when_validation_is_not_strict() -> None:
    async with incluster() as client:
        reply = await client.request("POST", MAPS, {"metadata": {"name": "a"}, "foo": 1})

    assert reply.code == 201
    assert reply.header("warning") == ['299 - "unknown field \\"foo\\""']


async def test_pages_read_one_moment_even_when_objects_change_in_between() -> None:
    async with incluster() as client:
        for name in ("a", "b", "c"):
            await client.create(MAPS, {"metadata": {"name": name}})
        first = await client.get(f"{MAPS}?limit=2")
        await client.request("DELETE", f"{MAPS}/c")
        await client.create(MAPS, {"metadata": {"name": "bb"}})
        token = first["metadata"]["continue"]
        second = await client.get(f"{MAPS}?limit=10&continue={token}")
        broken = await client.request("GET", f"{MAPS}?continue=zzz")

    assert [one["metadata"]["name"] for one in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 2
    assert [one["metadata"]["name"] for one in second["items"]] == ["c", "kube-root-ca.crt"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert broken.json["message"].startswith("invalid continue token: continue key is not valid:")


async def test_list_items_of_built_in_kinds_carry_no_kind() -> None:
    async with incluster() as client:
        found = await client.get("/api/v1/namespaces")

    assert found["kind"] == "NamespaceList"
    assert next(iter(found["items"][0])) == "metadata"


async def test_a_collection_is_deleted_by_selector() -> None:
    async with incluster() as client:
        await client.create(MAPS, {"metadata": {"name": "a", "labels": {"x": "1"}}})
        await client.create(MAPS, {"metadata": {"name": "b"}})
        reply = await client.request("DELETE", f"{MAPS}?labelSelector=x=1")
        left = [one["metadata"]["name"] for one in (await client.get(MAPS))["items"]]

    assert [one["metadata"]["name"] for one in reply.json["items"]] == ["a"]
    assert left == ["b", "kube-root-ca.crt"]


async def test_yaml_bodies_and_answers() -> None:
    async with incluster() as client:
        body = b"kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: yam\ndata:\n  a: 'on'\n"
        made = await client.request("POST", MAPS, body, kind="application/yaml")
        shown = await client.request("GET", f"{MAPS}/yam", accept="application/yaml")

    assert made.json["data"] == {"a": "on"}
    assert load_one(shown.body)["data"] == {"a": "on"}


async def test_nobody_is_served_without_a_token() -> None:
    async with incluster() as client:
        client.token = "wrong"
        refused = await client.request("GET", "/api/v1/namespaces")
        healthy = await client.request("GET", "/readyz")

    assert (refused.code, refused.json["reason"]) == (401, "Unauthorized")
    assert healthy.body == b"ok"


# ---- what the server does by itself ----


def owned(name: str, owner: dict[str, Any], *, blocking: bool = False) -> dict[str, Any]:
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocking,
    }
    return {"metadata": {"name": name, "ownerReferences": [reference]}}


async def names(client: Client, path: str = MAPS) -> list[str]:
    await quiet(client.core)
    return [
        one["metadata"]["name"]
        for one in (await client.get(path))["items"]
        if one["metadata"]["name"] != "kube-root-ca.crt"
    ]


async def test_dependents_follow_their_owner_in_the_background() -> None:
    async with incluster() as client:
        owner = await client.create(MAPS, {"metadata": {"name": "owner"}})
        child = await client.create(MAPS, owned("child", owner))
        await client.create(MAPS, owned("grandchild", child))
        await client.request("DELETE", f"{MAPS}/owner")

        assert await names(client) == []


async def test_a_foreground_delete_waits_for_blocking_dependents() -> None:
    async with incluster() as client:
        owner = await client.create(MAPS, {"metadata": {"name": "owner"}})
        held = owned("child", owner, blocking=True)
        held["metadata"]["finalizers"] = ["x.io/f"]
        await client.create(MAPS, held)
        reply = await client.request("DELETE", f"{MAPS}/owner?propagationPolicy=Foreground")
        during = await names(client)
        await client.patch(f"{MAPS}/child", {"metadata": {"finalizers": None}})
        after = await names(client)

    assert reply.json["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert (during, after) == (["child", "owner"], [])


async def test_orphans_stay_without_their_reference() -> None:
    async with incluster() as client:
        owner = await client.create(MAPS, {"metadata": {"name": "owner"}})
        await client.create(MAPS, owned("child", owner))
        await client.request("DELETE", f"{MAPS}/owner?propagationPolicy=Orphan")
        left = await names(client)
        child = await client.get(f"{MAPS}/child")

    assert left == ["child"]
    assert "ownerReferences" not in child["metadata"]


async def test_an_object_whose_owner_never_was_is_removed() -> None:
    async with incluster() as client:
        await client.create(MAPS, owned("child", {"metadata": {"name": "x", "uid": "00000000-0000-4000-8000-9999"}}))

        assert await names(client) == []


async def test_a_namespace_ends_when_its_content_has() -> None:
    async with incluster() as client:
        made = await client.create("/api/v1/namespaces", {"metadata": {"name": "x"}})
        await client.create("/api/v1/namespaces/x/configmaps", {"metadata": {"name": "held", "finalizers": ["x.io/f"]}})
        deleted = await client.request("DELETE", "/api/v1/namespaces/x")
        await quiet(client.core)
        during = await client.get("/api/v1/namespaces/x")
        refused = await client.request("POST", "/api/v1/namespaces/x/configmaps", {"metadata": {"name": "new"}})
        await client.patch("/api/v1/namespaces/x/configmaps/held", {"metadata": {"finalizers": None}})
        await quiet(client.core)
        gone = await client.request("GET", "/api/v1/namespaces/x")

    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert (made["spec"], made["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    assert deleted.json["status"]["phase"] == "Terminating"
    conditions = {one["type"]: one["status"] for one in during["status"]["conditions"]}
    assert conditions["NamespaceContentRemaining"] == "True"
    assert conditions["NamespaceFinalizersRemaining"] == "True"
    assert (refused.code, refused.json["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    assert refused.json["message"] == (
        'configmaps "new" is forbidden: unable to create new content in namespace x because it is being terminated'
    )
    assert gone.code == 404


async def test_every_namespace_has_an_account_and_the_authority() -> None:
    async with incluster() as client:
        await client.create("/api/v1/namespaces", {"metadata": {"name": "x"}})
        await quiet(client.core)
        account = await client.get("/api/v1/namespaces/x/serviceaccounts/default")
        ca = await client.get("/api/v1/namespaces/x/configmaps/kube-root-ca.crt")
        await client.request("DELETE", "/api/v1/namespaces/x/serviceaccounts/default")
        await quiet(client.core)
        again = await client.get("/api/v1/namespaces/x/serviceaccounts/default")

    assert "BEGIN CERTIFICATE" in ca["data"]["ca.crt"]
    assert again["metadata"]["uid"] != account["metadata"]["uid"]


async def test_services_get_addresses_and_give_them_back() -> None:
    services = "/api/v1/namespaces/default/services"
    async with incluster() as client:
        one = await client.create(services, {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}})
        address = one["spec"]["clusterIP"]
        wanted = {"metadata": {"name": "b"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}}
        taken = await client.request("POST", services, wanted)
        await client.request("DELETE", f"{services}/a")
        free = await client.request("POST", services, wanted)

    assert address.startswith("10.96.")
    assert taken.code == 422
    assert free.code == 201


async def test_pods_on_a_node_get_their_grace_and_others_do_not() -> None:
    pods = "/api/v1/namespaces/default/pods"
    async with incluster() as client:
        await asyncio.sleep(0)
        for name in ("a", "b"):
            await client.create(
                pods, {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "n"}]}}
            )
        binding = {"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n1"}}
        bound = await client.request("POST", f"{pods}/b/binding", binding)
        await client.request("DELETE", f"{pods}/a")
        held = await client.request("DELETE", f"{pods}/b")
        left = await names(client, pods)
        await client.request("DELETE", f"{pods}/b", {"gracePeriodSeconds": 0})
        after = await names(client, pods)

    assert bound.code == 201
    assert held.json["metadata"]["deletionGracePeriodSeconds"] == 30
    assert held.json["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
    assert (left, after) == (["b"], [])


async def test_reviews_judge_the_caller_and_tokens() -> None:
    review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    async with incluster() as client:
        allowed = await client.create(path, review)
        empty = await client.request("POST", path, {"spec": {}})
        me = await client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        token = await client.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "nonsense"}})

    assert allowed["status"] == {"allowed": True}  # by its group, so there is no role to name
    assert empty.code == 422
    assert me["status"]["userInfo"]["groups"] == ["system:masters", "system:authenticated"]
    assert token["status"] == {"user": {}, "error": "invalid bearer token"}


async def test_autoscalers_are_one_object_in_two_versions() -> None:
    path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "maxReplicas": 3,
        "targetCPUUtilizationPercentage": 50,
    }
    async with incluster() as client:
        await client.create(path.format("v1"), {"metadata": {"name": "h"}, "spec": spec})
        new = await client.get(path.format("v2") + "/h")
        old = await client.get(path.format("v1") + "/h")

    target = {"type": "Utilization", "averageUtilization": 50}
    assert new["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
    assert json.dumps(old).count("autoscaling/v1") >= 1


async def test_an_aggregated_api_is_said_to_be_unavailable() -> None:
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"name": "metrics", "namespace": "kube-system"},
    }
    async with incluster() as client:
        await client.create(path, {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec})
        live = await client.get(f"{path}/v1beta1.metrics.k8s.io")

    condition = live["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Available", "False", "EmbeddedCluster")


async def test_conversion_by_webhook_is_refused() -> None:
    wrong = definition()
    wrong["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x.example/"}},
    }
    async with incluster() as client:
        reply = await client.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", wrong)

    assert reply.code == 422
    assert "spec.conversion" in reply.json["message"]


async def test_an_eviction_asks_the_disruption_budgets() -> None:
    pods = "/api/v1/namespaces/default/pods"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    async with incluster() as client:
        pod = {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "n"}]}}
        await client.create(pods, pod)
        await client.patch(f"{pods}/p/status", {"status": {"phase": "Running"}})
        await client.create("/apis/policy/v1/namespaces/default/poddisruptionbudgets", budget)
        refused = await client.request("POST", f"{pods}/p/eviction", eviction)
        await client.request("DELETE", "/apis/policy/v1/namespaces/default/poddisruptionbudgets/b")
        done = await client.request("POST", f"{pods}/p/eviction", eviction)

    assert refused.code == 429
    assert refused.json["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert (done.code, done.json["status"]) == (201, "Success")


async def test_an_object_whose_owner_is_of_a_kind_that_is_not_served_stays() -> None:
    async with incluster() as client:
        obj = owned("kept", {"metadata": {"name": "o", "uid": "11111111-1111-1111-1111-111111111111"}})
        obj["metadata"]["ownerReferences"][0].update(apiVersion="none.io/v1", kind="Owner")
        await client.create(MAPS, obj)
        await quiet(client.core)
        assert (await client.get(f"{MAPS}/kept"))["metadata"]["name"] == "kept"
