"""What admission puts into objects, beyond what the recorded pairs show."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.apierrors import Forbidden, Invalid
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster.addresses import AddressPool, AllocationError
from tiphys.devcluster.admission import Admission, prepare_create, prepare_update
from tiphys.devcluster.admission_services import update_service
from tiphys.devcluster.defaults import default_in_place

POD = GroupVersionKind("", "v1", "Pod")
SERVICE = GroupVersionKind("", "v1", "Service")
CLAIM = GroupVersionKind("", "v1", "PersistentVolumeClaim")
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Cluster:
    """Objects by resource, then by `namespace/name`."""

    def __init__(self, **objects: dict[str, dict[str, Any]]) -> None:
        self._objects = {"serviceaccounts": {"default/default": {"metadata": {"name": "default"}}}, **objects}

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self._objects.get(resource.rsplit("/", 1)[1], {}).get(f"{namespace}/{name}")

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Mapping[str, Any]]:
        return self._objects.get(resource.rsplit("/", 1)[1], {}).values()


def create(
    body: dict[str, Any], gvk: GroupVersionKind, cluster: Cluster | None = None, pool: AddressPool | None = None
) -> dict[str, Any]:
    obj = goshapes.decode(body, gvk).obj
    obj["metadata"]["namespace"] = "default"
    default_in_place(obj, gvk)
    context = Admission(cluster or Cluster(), pool or AddressPool(), lambda: "abcde", "2030-01-01T00:00:00Z", "uid")
    prepare_create(obj, gvk, context)
    return obj


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "spec": spec}


def test_a_pod_of_an_unknown_service_account_is_forbidden() -> None:
    with pytest.raises(Forbidden) as failed:
        create(pod(serviceAccountName="sa"), POD)
    assert failed.value.message == (
        'pods "p" is forbidden: error looking up service account default/sa: serviceaccount "sa" not found'
    )


def test_a_pod_that_is_refused_before_its_name_is_generated_is_called_what_that_begins_with() -> None:
    refused = pod(serviceAccountName="sa")
    refused["metadata"] = {"name": "web-4x2zk", "generateName": "web-"}
    with pytest.raises(Forbidden, match='pods "web-" is forbidden'):
        create(refused, POD)
    refused["metadata"] = {"name": "mine", "generateName": "web-"}
    with pytest.raises(Forbidden, match='pods "mine" is forbidden'):
        create(refused, POD)


def test_a_pod_of_an_unknown_priority_class_is_forbidden() -> None:
    with pytest.raises(Forbidden) as failed:
        create(pod(priorityClassName="high"), POD)
    assert failed.value.message == 'pods "p" is forbidden: no PriorityClass with name high was found'


def test_priority_comes_from_the_class_named_or_the_global_default() -> None:
    classes = {
        "/high": {"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"},
        "/usual": {"metadata": {"name": "usual"}, "value": 3, "globalDefault": True},
    }
    named = create(pod(priorityClassName="high"), POD, Cluster(priorityclasses=classes))["spec"]
    assert (named["priority"], named["preemptionPolicy"]) == (7, "Never")
    other = create(pod(), POD, Cluster(priorityclasses=classes))["spec"]
    assert (other["priorityClassName"], other["priority"]) == ("usual", 3)


def test_a_service_account_may_refuse_its_token_and_give_pull_secrets() -> None:
    account = {
        "metadata": {"name": "default"},
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": "x"}],
    }
    spec = create(pod(), POD, Cluster(serviceaccounts={"default/default": account}))["spec"]
    assert "volumes" not in spec
    assert spec["imagePullSecrets"] == [{"name": "x"}]


def test_limits_of_the_namespace_fill_in_amounts_and_say_so() -> None:
    limits = {
        "default/l": {
            "metadata": {"name": "l"},
            "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}]},
        }
    }
    obj = create(pod(), POD, Cluster(limitranges=limits))
    assert obj["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}
    assert obj["status"]["qosClass"] == "Burstable"
    assert obj["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    }


def test_a_claim_without_a_class_gets_the_newest_default() -> None:
    classes = {
        f"/{name}": {"metadata": {"name": name, "creationTimestamp": f"2020-01-0{day}T00:00:00Z", "annotations": marks}}
        for name, day, marks in (
            ("old", 1, {DEFAULT_CLASS: "true"}),
            ("new", 2, {DEFAULT_CLASS: "true"}),
            ("other", 3, {}),
        )
    }
    body: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    assert create(body, CLAIM, Cluster(storageclasses=classes))["spec"]["storageClassName"] == "new"
    body["spec"]["storageClassName"] = ""
    assert create(body, CLAIM, Cluster(storageclasses=classes))["spec"]["storageClassName"] == ""


def test_services_get_addresses_of_their_own() -> None:
    pool = AddressPool()
    first = create(service(ports=[{"port": 80}]), SERVICE, pool=pool)["spec"]
    second = create(service(ports=[{"port": 80}]), SERVICE, pool=pool)["spec"]
    assert first["clusterIP"] != second["clusterIP"]
    assert first["clusterIPs"] == [first["clusterIP"]]


def test_an_address_or_port_that_is_taken_is_refused() -> None:
    pool = AddressPool()
    taken = create(service(type="NodePort", ports=[{"port": 80}]), SERVICE, pool=pool)["spec"]
    with pytest.raises(Invalid) as address:
        create(service(clusterIP=taken["clusterIP"], ports=[{"port": 80}]), SERVICE, pool=pool)
    assert address.value.causes[0].field == "spec.clusterIPs"
    assert address.value.causes[0].message.endswith("provided IP is already allocated")
    same = taken["ports"][0]["nodePort"]
    with pytest.raises(Invalid) as port:
        create(service(type="NodePort", ports=[{"port": 80, "nodePort": same}]), SERVICE, pool=pool)
    assert port.value.causes[0].message == f"Invalid value: {same}: provided port is already allocated"


def test_tcp_and_udp_of_one_port_share_a_node_port() -> None:
    ports = [{"name": "a", "port": 53, "protocol": "TCP"}, {"name": "b", "port": 53, "protocol": "UDP"}]
    got = create(service(type="NodePort", ports=ports), SERVICE)["spec"]["ports"]
    assert got[0]["nodePort"] == got[1]["nodePort"]


def test_node_ports_go_with_the_type_that_had_them_also_where_ports_were_added_or_taken_away() -> None:
    pool = AddressPool()
    two = [{"name": "a", "port": 80, "protocol": "TCP"}, {"name": "b", "port": 81, "protocol": "TCP"}]
    before = create(service(type="NodePort", ports=two), SERVICE, pool=pool)
    for kept in (before["spec"]["ports"][:1], [*before["spec"]["ports"], {"name": "c", "port": 82, "protocol": "TCP"}]):
        after = copy.deepcopy({**before, "spec": {**before["spec"], "type": "ClusterIP", "ports": kept}})
        update_service(before, after, pool)
        assert [port.get("nodePort") for port in after["spec"]["ports"]] == [None] * len(kept)
    own = copy.deepcopy({**before, "spec": {**before["spec"], "type": "ClusterIP"}})
    own["spec"]["ports"][0]["nodePort"] = 32001  # one it did not have is left for validation to refuse
    update_service(before, own, pool)
    assert own["spec"]["ports"][0]["nodePort"] == 32001


def test_a_released_address_can_be_had_again_and_a_fork_keeps_its_changes() -> None:
    pool = AddressPool("10.0.0.0/29")
    made = create(service(clusterIP="10.0.0.3", ports=[{"port": 80}]), SERVICE, pool=pool)
    fork = pool.fork()
    fork.release(made)
    with pytest.raises(AllocationError):
        pool.cluster_ip("10.0.0.3")
    assert fork.cluster_ip("10.0.0.3") == "10.0.0.3"
    pool.release(made)
    assert pool.cluster_ip("10.0.0.3") == "10.0.0.3"


def test_a_full_range_is_an_error() -> None:
    pool = AddressPool("10.0.0.0/30", ports=(30000, 30000))
    pool.cluster_ip()
    pool.cluster_ip()
    pool.node_port()
    with pytest.raises(AllocationError, match="range is full"):
        pool.cluster_ip()
    with pytest.raises(AllocationError, match="range is full"):
        pool.node_port()


def test_a_service_that_becomes_external_loses_its_addresses_and_one_that_stops_gets_them() -> None:
    pool = AddressPool()
    context = Admission(Cluster(), pool, lambda: "abcde", "", "")
    old = create(service(type="NodePort", ports=[{"port": 80}]), SERVICE, pool=pool)
    body = service(type="ExternalName", externalName="a.b")
    new = goshapes.decode({**body, "metadata": old["metadata"]}, SERVICE).obj
    default_in_place(new, SERVICE)
    prepare_update(old, new, SERVICE, "", context)
    assert new["spec"] == {"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"}
    back = goshapes.decode({**service(ports=[{"port": 80}]), "metadata": old["metadata"]}, SERVICE).obj
    default_in_place(back, SERVICE)
    prepare_update(new, back, SERVICE, "", context)
    assert back["spec"]["clusterIPs"] == [back["spec"]["clusterIP"]]
    assert back["spec"]["ipFamilies"] == ["IPv4"]


def test_custom_resources_start_at_generation_one_without_status() -> None:
    gvk = GroupVersionKind("x.io", "v1", "Foo")
    obj: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {}, "status": {"a": 1}}
    context = Admission(Cluster(), AddressPool(), lambda: "abcde", "", "")
    prepare_create(obj, gvk, context, has_status=True)
    assert obj == {"metadata": {"name": "a", "generation": 1}, "spec": {}}
