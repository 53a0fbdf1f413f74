"""What an embedded cluster cannot do: what unmodified kubectl prints then names the alternative."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.embedded import KUBECTL, Embedded, embedded

pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed beside this Python")

NO_CONTAINERS = "the embedded cluster runs no containers"
STAND_IN = """
apiVersion: v1
kind: Service
metadata:
  name: program
  annotations: {embedded.tiphys.dev/reach: "The program runs beside the cluster: open http://127.0.0.1:1"}
spec: {selector: {app: program}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: program
  labels: {app: program}
  annotations:
    embedded.tiphys.dev/reach: "The program runs beside the cluster: open http://127.0.0.1:1"
    embedded.tiphys.dev/log: "The program runs beside the cluster: its log is in /var/log/x"
spec: {containers: [{name: c, image: none, ports: [{containerPort: 80}]}]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A cluster with the Pod `p`, which is ready, and a Service in front of it."""
    with embedded(tmp_path_factory.mktemp("cluster"), "--in-memory") as running:
        running.kubectl("run", "p", "--image=nginx", "--port=80", "--expose")
        running.kubectl("apply", "-f", "-", stdin=STAND_IN)
        running.kubectl("wait", "--for=condition=Ready", "pod/p", "pod/program", "--timeout=20s")
        yield running


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exec p -- ls", "so nothing can be executed in one; use a real cluster for that"),
        ("exec -i p -- sh", "so nothing can be executed in one; use a real cluster for that"),
        ("cp default/p:/etc/passwd /dev/null", "so nothing can be executed in one; use a real cluster for that"),
        ("attach p", "so there is nothing to attach to; use a real cluster for that"),
        ("debug p -i --image=busybox", "so there is nothing to attach to; use a real cluster for that"),
        ("port-forward p :80", "open the URL that `tiphys status` shows"),
        ("port-forward svc/p :80", "so no port can be forwarded; use a real cluster for that"),
        ("get --raw /api/v1/namespaces/default/pods/p:80/proxy/", "open the URL that `tiphys status` shows"),
        ("get --raw /api/v1/namespaces/default/services/http:p:80/proxy/x", "so nothing can be proxied"),
        ("get --raw /api/v1/nodes/embedded/proxy/metrics", "so nothing can be proxied; use a real cluster for that"),
        ("get --raw /api/v1/namespaces/default/pods/p/portforward", "so no port can be forwarded"),
    ],
)
def test_what_needs_a_container_says_that_there_is_none(cluster: Embedded, command: str, said: str) -> None:
    printed = cluster.kubectl(*command.split(), check=False)

    assert NO_CONTAINERS in printed
    assert said in printed


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "proxy"])
def test_of_a_pod_that_is_not_there_that_is_said(cluster: Embedded, subresource: str) -> None:
    printed = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/default/pods/none/{subresource}", check=False)

    assert 'pods "none" not found' in printed


def test_logs_are_a_sentence_and_an_error_where_a_real_cluster_has_one(cluster: Embedded) -> None:
    sentence = "This Pod is simulated: the embedded cluster runs no containers, so there is no output."

    assert sentence in cluster.kubectl("logs", "p")
    assert sentence in cluster.kubectl("logs", "-f", "--timestamps", "p")
    assert sentence in cluster.kubectl("run", "once", "-i", "--rm", "--image=busybox", "--restart=Never", "--", "ls")
    assert 'pods "none" not found' in cluster.kubectl("logs", "none", check=False)
    assert "container nope is not valid for pod p" in cluster.kubectl("logs", "p", "-c", "nope", check=False)


def test_what_stands_for_a_program_outside_says_where_that_is(cluster: Embedded) -> None:
    where = "The program runs beside the cluster: open http://127.0.0.1:1"

    for command in (
        "port-forward svc/program :80",
        "port-forward pod/program :80",
        "get --raw /api/v1/namespaces/default/services/program:80/proxy/",
        "exec program -- ls",
    ):
        assert where in cluster.kubectl(*command.split(), check=False), command
    assert cluster.kubectl("logs", "program") == "The program runs beside the cluster: its log is in /var/log/x\n"


def test_a_debug_container_is_shown_and_said_to_be_empty(cluster: Embedded) -> None:
    cluster.kubectl("run", "looked-at", "--image=nginx")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/looked-at", "--timeout=20s")

    printed = cluster.kubectl("debug", "looked-at", "--image=busybox", "--container=look")

    assert "Warning: the embedded cluster runs no containers: a debug container is shown as running" in printed
    state = "jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}"
    cluster.kubectl("wait", f"--for={state}", "pod/looked-at", "--timeout=10s")
    assert "Ephemeral Containers:" in cluster.kubectl("describe", "pod", "looked-at")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/metrics", "keeps no metrics of itself"),
        ("/openapi/v2", "describes its API at /openapi/v3 only"),
        ("/debug/pprof/", "no Go program"),
        ("/openid/v1/jwks", "a TokenReview judges its tokens"),
    ],
)
def test_documents_of_a_real_server_that_are_not_here_say_so(cluster: Embedded, path: str, said: str) -> None:
    assert said in cluster.kubectl("get", "--raw", path, check=False)


def test_a_running_pod_is_not_resized(cluster: Embedded) -> None:
    """As on a real cluster whose node cannot do it."""
    wanted = '{"spec":{"containers":[{"name":"p","resources":{"requests":{"cpu":"1"}}}]}}'
    printed = cluster.kubectl("patch", "pod", "p", "--subresource=resize", "-p", wanted, check=False)

    assert '* spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing' in printed
    assert "* spec: Forbidden: Pod running on node without support for resize" in printed


def test_usage_is_not_measured(cluster: Embedded) -> None:
    """As on any cluster without a metrics server: kubectl asks for nothing more."""
    assert "Metrics API not available" in cluster.kubectl("top", "pods", check=False)
    assert "Metrics API not available" in cluster.kubectl("top", "nodes", check=False)


def test_an_aggregated_api_is_said_to_be_unavailable(cluster: Embedded) -> None:
    service = """
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {name: metrics-server, namespace: kube-system}
"""
    cluster.kubectl("apply", "-f", "-", stdin=service)
    try:
        cluster.kubectl("wait", "--for=condition=Available=False", "apiservice/v1beta1.metrics.k8s.io", "--timeout=5s")
        described = cluster.kubectl("describe", "apiservice", "v1beta1.metrics.k8s.io")
    finally:
        cluster.kubectl("delete", "apiservice", "v1beta1.metrics.k8s.io")

    assert "the embedded cluster does not forward requests to other API servers" in described


@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"])
def test_admission_webhooks_are_taken_with_a_warning(cluster: Embedded, kind: str) -> None:
    hook = f"""
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}
metadata: {{name: never}}
webhooks:
- name: a.b.io
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {{url: "https://x.example/"}}
"""
    assert "Warning: the embedded cluster stores this object but never calls it" in cluster.kubectl(
        "apply", "-f", "-", stdin=hook
    )


def test_admission_policies_are_taken_with_a_warning(cluster: Embedded) -> None:
    policy = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: small}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]
  validations: [{expression: "object.spec.replicas <= 5"}]
"""
    assert "requests are neither changed nor refused by it" in cluster.kubectl("apply", "-f", "-", stdin=policy)
