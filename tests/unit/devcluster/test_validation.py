"""Validation and updates against what a 1.36 server answered (tests/devcluster/recorded)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.apierrors import FieldCause
from tiphys.apimachinery.names import GroupVersionKind, gvk_of
from tiphys.devcluster.addresses import AddressPool
from tiphys.devcluster.admission import Admission, prepare_create, prepare_update
from tiphys.devcluster.defaults import default_in_place
from tiphys.devcluster.validation import validate_create, validate_update
from tiphys.devcluster.validation_workloads import schedule_problem

RECORDED = Path(__file__).parents[2] / "devcluster" / "recorded"
INVALID: list[dict[str, Any]] = json.loads((RECORDED / "invalid-1.36.json").read_text(encoding="utf-8"))
UPDATES: list[dict[str, Any]] = json.loads((RECORDED / "updates-1.36.json").read_text(encoding="utf-8"))
CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "IngressClass",
        "Namespace",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "ValidatingWebhookConfiguration",
    }
)


class Cluster:
    """A cluster with the service account `default` and nothing else."""

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return {"metadata": {"name": name}} if (resource, name) == ("v1/serviceaccounts", "default") else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Mapping[str, Any]]:
        return ()


def admission(pool: AddressPool) -> Admission:
    return Admission(lookup=Cluster(), addresses=pool, suffix=lambda: "xxxxx", now="2030-01-01T00:00:00Z", uid="u")


def as_json(causes: Iterable[FieldCause]) -> list[dict[str, str]]:
    return by_field(cause.to_json() for cause in causes)


def by_field(causes: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Causes in an order of their own: Go visits maps in no order."""
    return sorted(causes, key=lambda cause: (cause["field"], cause["message"]))


def label(case: dict[str, Any]) -> str:
    first = case["causes"][0] if case.get("causes") else {"field": "accepted"}
    return f"{(case.get('manifest') or case['new'])['kind']}-{first['field']}"


def create(manifest: Mapping[str, Any]) -> list[FieldCause]:
    gvk = gvk_of(manifest)
    obj = goshapes.decode(manifest, gvk).obj
    obj["metadata"]["uid"] = "u"
    namespaced = gvk.kind not in CLUSTER_SCOPED
    if namespaced:
        obj["metadata"]["namespace"] = "default"
    default_in_place(obj, gvk)
    prepare_create(obj, gvk, admission(AddressPool()))
    return validate_create(obj, gvk, namespaced=namespaced)


@pytest.mark.parametrize("case", INVALID, ids=label)
def test_what_a_real_server_refuses_is_refused_with_the_same_causes(case: dict[str, Any]) -> None:
    assert as_json(create(case["manifest"])) == by_field(case["causes"])


@pytest.mark.parametrize("case", UPDATES, ids=label)
def test_an_update_ends_as_on_a_real_server(case: dict[str, Any]) -> None:
    old, sent = case["old"], case["new"]
    gvk = gvk_of(sent)
    new = goshapes.decode(sent, gvk).obj
    default_in_place(new, gvk)
    pool = AddressPool()
    if gvk.kind == "Service":
        pool.adopt(old)
    before = copy.deepcopy(old)
    prepare_update(old, new, gvk, "", admission(pool))
    causes = as_json(validate_update(new, old, gvk, namespaced=gvk.kind not in CLUSTER_SCOPED))
    assert causes == by_field(case.get("causes", []))
    assert old == before
    if case["status"] == 200:
        written = case["out"]
        ports = new["spec"].get("ports", ()) if gvk.kind == "Service" else ()
        for ours, theirs in zip(ports, written["spec"]["ports"] if ports else (), strict=True):
            if "nodePort" in theirs:
                assert 30000 <= ours["nodePort"] <= 32767
                ours["nodePort"] = theirs["nodePort"]
        assert new == written


def test_through_the_status_path_only_status_changes() -> None:
    gvk = GroupVersionKind("apps", "v1", "Deployment")
    old = next(one["old"] for one in UPDATES if one["old"]["kind"] == "Deployment")
    new = copy.deepcopy(old)
    new["spec"]["replicas"] = 99
    new["metadata"]["labels"] = {"x": "y"}
    new["status"] = {"replicas": 3}
    prepare_update(old, new, gvk, "status", admission(AddressPool()))
    assert new["spec"] == old["spec"]
    assert new["metadata"].get("labels") == old["metadata"].get("labels")
    assert new["metadata"]["generation"] == old["metadata"]["generation"]
    assert new["status"] == {"replicas": 3}


def test_through_the_main_path_status_stays() -> None:
    gvk = GroupVersionKind("apps", "v1", "Deployment")
    old = next(one["old"] for one in UPDATES if one["old"]["kind"] == "Deployment")
    new = copy.deepcopy(old)
    new["status"] = {"replicas": 3}
    prepare_update(old, new, gvk, "", admission(AddressPool()))
    assert new == old


def test_generation_counts_spec_and_a_deployments_annotations() -> None:
    gvk = GroupVersionKind("apps", "v1", "Deployment")
    old = next(one["old"] for one in UPDATES if one["old"]["kind"] == "Deployment")
    for change in ("spec", "annotations", "labels"):
        new = copy.deepcopy(old)
        if change == "spec":
            new["spec"]["paused"] = True
        else:
            new["metadata"][change] = {"x": "y"}
        prepare_update(old, new, gvk, "", admission(AddressPool()))
        counted = new["metadata"]["generation"] - old["metadata"]["generation"]
        assert counted == (0 if change == "labels" else 1)


def test_custom_resources_count_everything_but_metadata_and_status() -> None:
    gvk = GroupVersionKind("x.io", "v1", "Foo")
    old: dict[str, Any] = {"metadata": {"name": "a", "generation": 4, "uid": "u"}, "spec": {"a": 1}, "status": {"b": 1}}
    new = copy.deepcopy(old)
    new["status"] = {"b": 2}
    prepare_update(old, new, gvk, "", admission(AddressPool()), has_status=True)
    assert new == old
    new = copy.deepcopy(old)
    new["spec"] = {"a": 2}
    prepare_update(old, new, gvk, "", admission(AddressPool()), has_status=True)
    assert new["metadata"]["generation"] == 5
    new = copy.deepcopy(old)
    new["status"] = {"b": 2}
    prepare_update(old, new, gvk, "", admission(AddressPool()), has_status=False)
    assert new["metadata"]["generation"] == 5


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("*/5 0-6,12 1 jan-mar mon", ""),
        ("@hourly", ""),
        ("@every 1h30m", ""),
        ("? * * * ?", ""),
        ("@never", "unrecognized descriptor: @never"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("* 5-2 * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
    ],
)
def test_schedules_are_judged_as_cron_judges_them(schedule: str, problem: str) -> None:
    assert schedule_problem(schedule) == problem


def test_containers_of_a_stateful_set_may_mount_its_claims() -> None:
    """A mount that is neither a volume nor a claim is still refused."""
    manifest: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "store", "namespace": "default"},
        "spec": {
            "serviceName": "store",
            "selector": {"matchLabels": {"app": "store"}},
            "template": {
                "metadata": {"labels": {"app": "store"}},
                "spec": {
                    "containers": [
                        {"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                    ]
                },
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ],
        },
    }
    assert create(manifest) == []

    manifest["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] = "other"
    assert [(c.field, c.message) for c in create(manifest)] == [
        ("spec.template.spec.containers[0].volumeMounts[0].name", 'Not found: "data"')
    ]


def test_a_schema_that_is_not_structural_is_refused_with_every_fault() -> None:
    """As the real server does, under the name the schema had when all versions shared one."""
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "properties": {"spec": {"description": "no type"}}}
                    },
                }
            ],
        },
        "status": {"storedVersions": ["v1"]},
    }

    gvk = GroupVersionKind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    causes = validate_create(definition, gvk, namespaced=False)

    assert [(c.field, c.reason) for c in causes] == [
        ("spec.validation.openAPIV3Schema.properties[spec].type", "FieldValueRequired")
    ]
