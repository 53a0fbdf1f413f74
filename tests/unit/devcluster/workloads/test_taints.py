"""Taints and cordons of the node, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.simulated import NAMESPACE, Simulated, simulated

from tiphys.devcluster.workloads.taints import obstacle, untolerated
from tiphys.devcluster.workloads.world import DAEMONSETS, NODES, PODS

POD = {"containers": [{"name": "c", "image": "i"}]}
BROKEN = {"key": "broken", "value": "yes", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "bears"),
    [
        ({"key": "broken", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "broken", "value": "yes"}, True),
        ({"key": "broken", "value": "no"}, False),
        ({"key": "broken", "value": "yes", "effect": "NoSchedule"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_toleration_matches_by_key_value_and_effect(toleration: dict[str, Any], bears: bool) -> None:
    node = {"spec": {"taints": [BROKEN]}}

    assert (untolerated(node, {"tolerations": [toleration]}, ("NoExecute",)) == []) is bears
    assert (obstacle(node, {"tolerations": [toleration]}) == "") is bears


async def mark(cluster: Simulated, **spec: Any) -> None:
    await cluster.access.patch(NODES, "", "embedded", {"spec": spec})
    await cluster.quiet()


async def read(cluster: Simulated, resource: str, namespace: str, name: str) -> Any:
    return await cluster.access.get(resource, namespace, name)


async def pods(cluster: Simulated) -> dict[str, str]:
    await cluster.quiet()
    listed: Any = await cluster.access.list(PODS, namespace=NAMESPACE)
    return {one["metadata"]["name"]: one["status"].get("phase", "Pending") for one in listed[0]}


async def test_a_cordoned_node_is_tainted_and_takes_what_waited_when_it_is_not_any_more() -> None:
    async with simulated() as cluster:
        await mark(cluster, unschedulable=True)
        tainted = await read(cluster, NODES, "", "embedded")
        await cluster.create(PODS, "p", POD)
        waiting = await read(cluster, PODS, NAMESPACE, "p")
        await mark(cluster, unschedulable=None)
        freed = await read(cluster, NODES, "", "embedded")
        placed = await read(cluster, PODS, NAMESPACE, "p")

    assert [one["key"] for one in tainted["spec"]["taints"]] == ["node.kubernetes.io/unschedulable"]
    assert waiting["status"]["conditions"][0]["message"].startswith("0/1 nodes are available: 1 node(s) were unschedul")
    assert not freed["spec"].get("taints")
    assert placed["spec"]["nodeName"] == "embedded"


async def test_pods_leave_a_node_they_cannot_bear_at_once_or_when_their_patience_ends() -> None:
    patient = {**POD, "tolerations": [{"key": "broken", "operator": "Exists", "tolerationSeconds": 60}]}
    firm = {**POD, "tolerations": [{"key": "broken", "operator": "Exists"}]}
    async with simulated() as cluster:
        await cluster.create(PODS, "weak", POD)
        await cluster.create(PODS, "patient", patient)
        await cluster.create(PODS, "firm", firm)
        await mark(cluster, taints=[BROKEN])
        at_once = await pods(cluster)
        await cluster.pass_time(30)
        meanwhile = await pods(cluster)
        await cluster.pass_time(40)
        later = await pods(cluster)

    assert sorted(at_once) == sorted(meanwhile) == ["firm", "patient"]
    assert sorted(later) == ["firm"]


async def test_a_daemon_set_stays_on_a_cordoned_node_and_leaves_one_it_does_not_bear() -> None:
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
    }
    async with simulated() as cluster:
        await cluster.create(DAEMONSETS, "d", spec)
        await mark(cluster, unschedulable=True)
        cordoned = await pods(cluster)
        await mark(cluster, unschedulable=None, taints=[BROKEN])
        tainted = await pods(cluster)
        status = (await read(cluster, DAEMONSETS, NAMESPACE, "d"))["status"]

    assert list(cordoned.values()) == ["Running"]
    assert tainted == {}
    assert status["desiredNumberScheduled"] == 0
