"""Nodes, budgets, sets, quotas and the rest of what people do with a cluster day by day, with unmodified kubectl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.embedded import KUBECTL, Embedded, embedded

pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed beside this Python")

STATEFUL_SET = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432, name: pg}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: c, image: "pg:1", volumeMounts: [{name: data, mountPath: /d}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
DAEMON_SET = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: "a:1"}]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("cluster"), "--in-memory") as running:
        yield running


@pytest.fixture
def ns(cluster: Embedded, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:50].strip("-").lower()
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


def get(cluster: Embedded, ns: str, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("-n", ns, "get", *args, "-o", "json"))
    return found


def deploy(cluster: Embedded, ns: str, replicas: int) -> None:
    cluster.kubectl("-n", ns, "create", "deploy", "web", "--image=nginx", f"--replicas={replicas}")
    cluster.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=20s")


def test_a_cordoned_node_takes_no_pods_until_it_is_uncordoned(cluster: Embedded, ns: str) -> None:
    deploy(cluster, ns, 1)
    cluster.kubectl("cordon", "embedded")
    try:
        cluster.kubectl("-n", ns, "scale", "deploy", "web", "--replicas=2")
        waiting = "jsonpath={.items[*].status.conditions[?(@.reason=='Unschedulable')].message}"
        cluster.kubectl(
            "-n", ns, "wait", f"--for={waiting.replace('.items[*]', '')}", "pods", "--all", "--timeout=3s", check=False
        )
        messages = cluster.kubectl("-n", ns, "get", "pods", "-o", waiting)
        taints = get(cluster, ns, "node", "embedded")["spec"]["taints"]
        events = cluster.kubectl("-n", ns, "events")
    finally:
        cluster.kubectl("uncordon", "embedded")
    cluster.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=20s")

    assert messages == (
        "0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate,"
        " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    assert [(one["key"], one["effect"]) for one in taints] == [("node.kubernetes.io/unschedulable", "NoSchedule")]
    assert "FailedScheduling" in events
    assert "taints" not in get(cluster, ns, "node", "embedded")["spec"]


def test_a_drain_respects_budgets_and_leaves_what_ignores_the_node(cluster: Embedded, ns: str) -> None:
    deploy(cluster, ns, 2)
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DAEMON_SET)
    cluster.kubectl("-n", ns, "create", "pdb", "web", "--selector=app=web", "--min-available=2")
    cluster.kubectl("-n", ns, "wait", "--for=jsonpath={.status.currentHealthy}=2", "pdb/web", "--timeout=5s")
    agents = "--pod-selector=app in (web,agent)"
    try:
        bare = cluster.kubectl("drain", "embedded", agents, check=False)
        held = cluster.kubectl("drain", "embedded", agents, "--ignore-daemonsets", "--timeout=2s", check=False)
        cluster.kubectl("-n", ns, "patch", "pdb", "web", "--type=merge", "-p", '{"spec":{"minAvailable":0}}')
        cluster.kubectl("-n", ns, "wait", "--for=jsonpath={.status.disruptionsAllowed}=2", "pdb/web", "--timeout=5s")
        done = cluster.kubectl("drain", "embedded", agents, "--ignore-daemonsets", "--timeout=20s")
        pods = {pod["metadata"]["labels"]["app"]: pod["status"]["phase"] for pod in get(cluster, ns, "pods")["items"]}
    finally:
        cluster.kubectl("uncordon", "embedded")

    assert f"cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): {ns}/agent-" in bare
    assert "Cannot evict pod as it would violate the pod's disruption budget." in held
    assert "node/embedded drained" in done
    assert pods == {"agent": "Running", "web": "Pending"}


def test_evictions_are_answered_as_their_budgets_say(cluster: Embedded, ns: str) -> None:
    def evict(pod: str) -> str:
        body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}})
        path = f"/api/v1/namespaces/{ns}/pods/{pod}/eviction"
        return cluster.kubectl("create", "--raw", path, "-f", "-", stdin=body, check=False)

    for pod in ("two", "free", "sick"):
        never = ("--annotations=embedded.tiphys.dev/never-ready=true",) if pod == "sick" else ()
        cluster.kubectl("-n", ns, "run", pod, "--image=x", f"--labels=app={pod}", *never)
        cluster.kubectl("-n", ns, "wait", "--for=jsonpath={.status.phase}=Running", f"pod/{pod}", "--timeout=10s")
    for name, pod, least in (("a", "two", 1), ("b", "two", 0), ("c", "sick", 1)):
        cluster.kubectl("-n", ns, "create", "pdb", name, f"--selector=app={pod}", f"--min-available={least}")
        cluster.kubectl(
            "-n", ns, "wait", "--for=jsonpath={.status.observedGeneration}=1", f"pdb/{name}", "--timeout=5s"
        )

    assert "This pod has more than one PodDisruptionBudget, which the eviction subresource does not" in evict("two")
    assert '"status":"Success"' in evict("free")
    assert 'pods "gone" not found' in evict("gone")
    assert "(TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget." in evict("sick")
    always = '{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}'
    cluster.kubectl("-n", ns, "patch", "pdb", "c", "--type=merge", "-p", always)
    assert '"status":"Success"' in evict("sick")


def test_a_taint_that_is_not_borne_drives_pods_off(cluster: Embedded, ns: str) -> None:
    deploy(cluster, ns, 1)
    before = get(cluster, ns, "pods")["items"][0]["metadata"]["name"]
    cluster.kubectl("taint", "node", "embedded", "broken=yes:NoExecute")
    try:
        cluster.kubectl("-n", ns, "wait", "--for=delete", f"pod/{before}", "--timeout=10s")
        events = cluster.kubectl("-n", ns, "events", "--for", f"pod/{before}")
    finally:
        cluster.kubectl("taint", "node", "embedded", "broken-")
    cluster.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=20s")

    assert f"Marking for deletion Pod {ns}/{before}" in events


def test_a_node_is_described_whole(cluster: Embedded) -> None:
    described = cluster.kubectl("describe", "node", "embedded")

    assert "HolderIdentity:  embedded" in described
    assert "Ready            True" in described
    assert "Failed to get lease" not in described


def test_a_stateful_set_is_made_in_order_keeps_its_history_and_takes_its_claims_with_it(
    cluster: Embedded, ns: str
) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=STATEFUL_SET)
    cluster.kubectl("-n", ns, "rollout", "status", "sts/db", "--timeout=20s")
    created = [one["metadata"]["creationTimestamp"] for one in get(cluster, ns, "pods")["items"]]
    claims = {one["metadata"]["name"]: one["status"]["phase"] for one in get(cluster, ns, "pvc")["items"]}
    cluster.kubectl("-n", ns, "scale", "sts", "db", "--replicas=1")
    cluster.kubectl("-n", ns, "wait", "--for=delete", "pvc/data-db-1", "pvc/data-db-2", "--timeout=20s")
    cluster.kubectl("-n", ns, "set", "image", "sts/db", "c=pg:2")
    cluster.kubectl("-n", ns, "rollout", "status", "sts/db", "--timeout=20s")
    cluster.kubectl("-n", ns, "rollout", "undo", "sts/db")
    cluster.kubectl("-n", ns, "rollout", "status", "sts/db", "--timeout=20s")
    history = cluster.kubectl("-n", ns, "rollout", "history", "sts/db")
    image = get(cluster, ns, "pod", "db-0")["spec"]["containers"][0]["image"]
    cluster.kubectl("-n", ns, "delete", "sts", "db", "--timeout=20s")
    cluster.kubectl("-n", ns, "wait", "--for=delete", "pvc/data-db-0", "--timeout=20s")

    assert created == sorted(created)
    assert claims == {"data-db-0": "Bound", "data-db-1": "Bound", "data-db-2": "Bound"}
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]
    assert image == "pg:1"


def test_a_daemon_set_is_rolled_back_and_restarted(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DAEMON_SET)
    cluster.kubectl("-n", ns, "rollout", "status", "ds/agent", "--timeout=20s")
    cluster.kubectl("-n", ns, "set", "image", "ds/agent", "c=a:2")
    cluster.kubectl("-n", ns, "rollout", "status", "ds/agent", "--timeout=20s")
    cluster.kubectl("-n", ns, "rollout", "undo", "ds/agent")
    cluster.kubectl("-n", ns, "rollout", "status", "ds/agent", "--timeout=20s")

    assert get(cluster, ns, "ds", "agent")["spec"]["template"]["spec"]["containers"][0]["image"] == "a:1"
    assert "daemonset.apps/agent restarted" in cluster.kubectl("-n", ns, "rollout", "restart", "ds/agent")
    assert "successfully rolled out" in cluster.kubectl("-n", ns, "rollout", "status", "ds/agent", "--timeout=20s")


def test_a_cron_job_is_run_by_hand(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "create", "cronjob", "c", "--image=busybox", "--schedule=0 0 1 1 *")
    cluster.kubectl("-n", ns, "create", "job", "now", "--from=cronjob/c")

    assert "condition met" in cluster.kubectl("-n", ns, "wait", "--for=condition=Complete", "job/now", "--timeout=20s")
    assert cluster.kubectl("-n", ns, "get", "jobs").splitlines()[1].split()[:3] == ["now", "Complete", "1/1"]


def test_an_autoscaler_says_that_its_metrics_are_simulated(cluster: Embedded, ns: str) -> None:
    deploy(cluster, ns, 3)
    cluster.kubectl("-n", ns, "autoscale", "deploy", "web", "--min=2", "--max=5", "--cpu=80%")
    cluster.kubectl("-n", ns, "wait", "--for=condition=ScalingActive", "hpa/web", "--timeout=10s")

    assert cluster.kubectl("-n", ns, "get", "hpa").splitlines()[1].split()[1:7] == [
        "Deployment/web",
        "cpu:",
        "80%/80%",
        "2",
        "5",
        "3",
    ]
    assert "from simulated metrics" in cluster.kubectl("-n", ns, "describe", "hpa", "web")


def test_events_are_described_in_the_order_in_which_they_happened(cluster: Embedded, ns: str) -> None:
    deploy(cluster, ns, 1)
    pod = get(cluster, ns, "pods")["items"][0]["metadata"]["name"]

    def seen() -> list[str]:
        described = cluster.kubectl("-n", ns, "describe", "pod", pod).partition("Events:")[2]
        return [line.split()[1] for line in described.splitlines()[3:] if line]

    wanted = ["Scheduled", "Pulled", "Created", "Started"]
    for _ in range(20):
        if len(seen()) == len(wanted):
            break
    assert seen() == wanted


def test_the_default_storage_class_is_marked(cluster: Embedded) -> None:
    assert cluster.kubectl("get", "sc").splitlines()[1].split()[:3] == [
        "standard",
        "(default)",
        "embedded.tiphys.dev/simulated",
    ]


def test_a_scale_is_shown_as_a_table(cluster: Embedded, ns: str) -> None:
    deploy(cluster, ns, 2)
    lines = cluster.kubectl("-n", ns, "get", "deploy", "web", "--subresource=scale").splitlines()

    assert lines[0].split() == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert lines[1].split()[:3] == ["web", "2", "2"]


def test_a_quota_is_kept_to_and_said_in_the_words_of_a_real_server(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "create", "quota", "q", "--hard=pods=1,requests.cpu=1,count/deployments.apps=1")
    cluster.kubectl("-n", ns, "wait", "--for=jsonpath={.status.used.pods}=0", "quota/q", "--timeout=5s")
    silent = cluster.kubectl("-n", ns, "run", "p", "--image=nginx", check=False)
    cluster.kubectl("-n", ns, "create", "deploy", "web", "--image=nginx", "--replicas=0")
    second = cluster.kubectl("-n", ns, "create", "deploy", "more", "--image=nginx", check=False)
    cluster.kubectl("-n", ns, "set", "resources", "deploy", "web", "--requests=cpu=100m")
    cluster.kubectl("-n", ns, "scale", "deploy", "web", "--replicas=2")
    cluster.kubectl("-n", ns, "wait", "--for=condition=ReplicaFailure", "deploy/web", "--timeout=10s")
    cluster.kubectl("-n", ns, "wait", "--for=jsonpath={.status.used.pods}=1", "quota/q", "--timeout=5s")

    assert 'pods "p" is forbidden: failed quota: q: must specify requests.cpu for: p' in silent
    exceeded = "exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: "
    assert f'deployments.apps "more" is forbidden: {exceeded}' in second
    assert "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1" in cluster.kubectl("-n", ns, "events")
    described = [line.split() for line in cluster.kubectl("-n", ns, "describe", "quota", "q").splitlines()]
    assert described[-3:] == [["count/deployments.apps", "1", "1"], ["pods", "1", "1"], ["requests.cpu", "100m", "1"]]


def test_a_list_in_chunks_is_of_one_moment(cluster: Embedded, ns: str) -> None:
    maps = "".join(f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\n" for index in range(5))
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=maps)
    path = f"/api/v1/namespaces/{ns}/configmaps?limit=3"
    first = json.loads(cluster.kubectl("get", "--raw", path))
    cluster.kubectl("-n", ns, "delete", "cm", "m3")
    cluster.kubectl("-n", ns, "create", "cm", "m9")
    token = first["metadata"]["continue"]
    second = json.loads(cluster.kubectl("get", "--raw", f"{path}&continue={token}"))

    assert first["metadata"]["remainingItemCount"] == 3
    assert [one["metadata"]["name"] for one in second["items"]] == ["m2", "m3", "m4"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert cluster.kubectl("-n", ns, "get", "cm", "--chunk-size=2", "-o", "name").split()[1:] == [
        "configmap/m0",
        "configmap/m1",
        "configmap/m2",
        "configmap/m4",
        "configmap/m9",
    ]
