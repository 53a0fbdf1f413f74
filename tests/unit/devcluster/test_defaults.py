"""Defaulting and admission against what a 1.36 server wrote (tests/devcluster/recorded)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.names import GroupVersionKind, gvk_of
from tiphys.devcluster.addresses import AddressPool
from tiphys.devcluster.admission import Admission, prepare_create
from tiphys.devcluster.defaults import apply_defaults, default_in_place
from tiphys.devcluster.defaults_pods import pull_policy

RECORDED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "devcluster" / "recorded" / "defaulting-1.36.json").read_text(encoding="utf-8")
)
DEPLOYMENT = GroupVersionKind("apps", "v1", "Deployment")


class Cluster:
    """A cluster with the service account `default` and nothing else."""

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return {"metadata": {"name": name}} if (resource, name) == ("v1/serviceaccounts", "default") else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Mapping[str, Any]]:
        return ()


def as_plain_server(written: dict[str, Any]) -> dict[str, Any]:
    """The recording without the projection that the recorded server's fork adds to pods."""
    written = copy.deepcopy(written)
    for volume in written.get("spec", {}).get("volumes", ()):
        projected = volume.get("projected")
        if projected:
            projected["sources"] = [one for one in projected["sources"] if "openshift" not in json.dumps(one)]
    return written


@pytest.mark.parametrize("case", sorted(RECORDED))
def test_a_created_object_is_what_the_recorded_server_wrote(case: str) -> None:
    given, written = RECORDED[case]["in"], as_plain_server(RECORDED[case]["out"])
    gvk = gvk_of(given)
    obj = goshapes.decode(given, gvk).obj
    default_in_place(obj, gvk)
    metadata = written["metadata"]
    for field in ("namespace", "uid", "creationTimestamp"):
        if field in metadata:
            obj["metadata"][field] = metadata[field]
    addresses = AddressPool(ports=(30000, 32769))  # a dry run of the real server answers with a port outside its range
    if "clusterIP" in written.get("spec", {}) and written["spec"]["clusterIP"] != "None":
        obj["spec"]["clusterIP"] = written["spec"]["clusterIP"]
        for ours, theirs in zip(obj["spec"]["ports"], written["spec"]["ports"], strict=True):
            if "nodePort" in theirs:
                ours["nodePort"] = theirs["nodePort"]
    context = Admission(
        lookup=Cluster(),
        addresses=addresses,
        suffix=lambda: "xz5gw",
        now=metadata["creationTimestamp"],
        uid=metadata["uid"],
    )
    prepare_create(obj, gvk, context)
    assert obj == written


@pytest.mark.parametrize("case", sorted(RECORDED))
def test_defaulting_twice_changes_nothing(case: str) -> None:
    given = RECORDED[case]["in"]
    gvk = gvk_of(given)
    once = apply_defaults(goshapes.decode(given, gvk).obj, gvk)
    assert apply_defaults(once, gvk) == once
    assert goshapes.decode(once, gvk).obj == once


def test_apply_defaults_leaves_its_input_alone() -> None:
    obj = goshapes.decode(RECORDED["apps/v1/Deployment/"]["in"], DEPLOYMENT).obj
    before = copy.deepcopy(obj)
    filled = apply_defaults(obj, DEPLOYMENT)
    assert obj == before
    assert filled["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("repo:5000/nginx", "Always"),
        ("repo:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "IfNotPresent"),
    ],
)
def test_only_the_tag_latest_is_always_pulled(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_kinds_without_defaults_stay_as_they_are() -> None:
    obj = {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "a"}}
    assert apply_defaults(obj, GroupVersionKind("x.io", "v1", "Foo")) == obj


def test_amounts_finer_than_a_thousandth_are_rounded_up() -> None:
    gvk = GroupVersionKind("", "v1", "ResourceQuota")
    obj = goshapes.decode({"spec": {"hard": {"cpu": "100u", "memory": "1500100u"}}}, gvk).obj
    default_in_place(obj, gvk)
    assert obj["spec"]["hard"] == {"cpu": "1m", "memory": "1501m"}
