"""Unmodified kubectl against the embedded cluster: a real process, real TLS, real requests."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.embedded import KUBECTL, Embedded, embedded, start_embedded

pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed beside this Python")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "nginx:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
"""

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.x.io}
spec:
  group: x.io
  scope: Namespaced
  names: {plural: foos, kind: Foo, shortNames: [fo]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: R, type: integer, jsonPath: .spec.replicas}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [title]
            properties:
              replicas: {type: integer, default: 3, minimum: 1}
              title: {type: string, description: What it is called}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("cluster"), "--in-memory") as running:
        yield running


@pytest.fixture
def ns(cluster: Embedded, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:50].strip("-").lower()
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


def get(cluster: Embedded, ns: str, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("-n", ns, "get", *args, "-o", "json"))
    return found


def test_the_version_is_one_charts_accept(cluster: Embedded) -> None:
    assert "Server Version: v1.36.3+embedded" in cluster.kubectl("version")


def test_client_side_apply_creates_changes_and_leaves_alone(cluster: Embedded, ns: str) -> None:
    first = cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT)
    again = cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT)
    changed = cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT.replace("nginx:1", "nginx:2"))

    assert first == "deployment.apps/web created\nconfigmap/settings created\n"
    assert again == "deployment.apps/web unchanged\nconfigmap/settings unchanged\n"
    assert changed == "deployment.apps/web configured\nconfigmap/settings unchanged\n"
    live = get(cluster, ns, "deployment", "web")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert live["metadata"]["generation"] == 2


def test_server_side_apply_owns_what_it_says_and_reports_conflicts(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    cluster.kubectl("-n", ns, "patch", "cm", "settings", "-p", '{"data":{"a":"other"}}')

    refused = cluster.kubectl("-n", ns, "apply", "--server-side", "-f", "-", stdin=DEPLOYMENT, check=False)
    forced = cluster.kubectl("-n", ns, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=DEPLOYMENT)

    assert 'Apply failed with 1 conflict: conflict with "kubectl-patch" using v1: .data.a' in refused
    assert "configmap/settings serverside-applied" in forced
    assert get(cluster, ns, "cm", "settings")["data"] == {"a": "b"}


def test_a_misspelt_field_is_refused_by_name(cluster: Embedded, ns: str) -> None:
    bad = DEPLOYMENT.replace("replicas: 0", "replikas: 0")

    assert 'unknown field "spec.replikas"' in cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=bad, check=False)


def test_diff_shows_what_apply_would_change_and_changes_nothing(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT)
    before = get(cluster, ns, "deployment", "web")["metadata"]["resourceVersion"]

    shown = cluster.kubectl("-n", ns, "diff", "-f", "-", stdin=DEPLOYMENT.replace("nginx:1", "nginx:2"), check=False)

    assert "-      - image: nginx:1" in shown
    assert "+      - image: nginx:2" in shown
    assert get(cluster, ns, "deployment", "web")["metadata"]["resourceVersion"] == before


def test_get_watch_prints_what_happens(cluster: Embedded, ns: str) -> None:
    watching = subprocess.Popen(
        [str(KUBECTL), "--kubeconfig", str(cluster.kubeconfig), "-n", ns, "get", "cm", "-w", "--output-watch-events"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        assert "kube-root-ca.crt" in watching.stdout.readline() + watching.stdout.readline()
        cluster.kubectl("-n", ns, "create", "cm", "seen", "--from-literal=a=b")
        cluster.kubectl("-n", ns, "label", "cm", "seen", "x=y")
        cluster.kubectl("-n", ns, "delete", "cm", "seen")
        lines = [watching.stdout.readline().split() for _ in range(3)]
    finally:
        watching.terminate()
        watching.wait()
        if watching.stdout is not None:
            watching.stdout.close()

    assert [(line[0], line[1]) for line in lines] == [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")]


@pytest.mark.parametrize(
    "command",
    [
        "create configmap a --from-literal=x=y",
        "create secret generic a --from-literal=x=y",
        "create secret docker-registry a --docker-server=r --docker-username=u --docker-password=p",
        "create serviceaccount a",
        "create role a --verb=get --resource=pods",
        "create rolebinding a --role=a --serviceaccount=x:bot",
        "create clusterrole a-{ns} --verb=get --resource=pods",
        "create clusterrolebinding a-{ns} --clusterrole=view --user=u",
        "create deployment a --image=nginx --replicas=0",
        "create job a --image=busybox",
        "create cronjob a --image=busybox --schedule=0/5~*~*~*~*",
        "create service clusterip a --tcp=80:80",
        "create service nodeport a --tcp=80:80",
        "create service externalname a --external-name=x.example",
        "create ingress a --rule=a.example/x=svc:80",
        "create quota a --hard=pods=3",
        "create poddisruptionbudget a --selector=a=b --min-available=1",
        "create priorityclass a-{ns} --value=10",
        "run a --image=nginx --restart=Never",
    ],
)
def test_kubectl_create_works_for_every_kind_it_knows(cluster: Embedded, ns: str, command: str) -> None:
    args = [word.replace("{ns}", ns[-20:].strip("-")).replace("~", " ") for word in command.split()]

    assert "created" in cluster.kubectl("-n", ns, *args)


def test_the_three_kinds_of_patch_change_what_they_say(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT)
    strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"1"}]}]}}}}'

    cluster.kubectl("-n", ns, "patch", "deploy", "web", "-p", strategic)
    cluster.kubectl("-n", ns, "patch", "deploy", "web", "--type=merge", "-p", '{"metadata":{"labels":{"m":"1"}}}')
    cluster.kubectl(
        "-n",
        ns,
        "patch",
        "deploy",
        "web",
        "--type=json",
        "-p",
        '[{"op":"add","path":"/metadata/labels/j","value":"1"}]',
    )

    live = get(cluster, ns, "deploy", "web")
    container = live["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("nginx:1", [{"name": "A", "value": "1"}])
    assert live["metadata"]["labels"] == {"app": "web", "m": "1", "j": "1"}


def test_scale_label_annotate_and_set_image(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT)

    cluster.kubectl("-n", ns, "scale", "deploy", "web", "--current-replicas=0", "--replicas=2")
    cluster.kubectl("-n", ns, "label", "deploy", "web", "tier=front")
    cluster.kubectl("-n", ns, "annotate", "deploy", "web", "note=x")
    cluster.kubectl("-n", ns, "set", "image", "deploy/web", "c=nginx:9")

    live = get(cluster, ns, "deploy", "web")
    assert live["spec"]["replicas"] == 2
    assert live["metadata"]["labels"]["tier"] == "front"
    assert live["metadata"]["annotations"]["note"] == "x"
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:9"


def test_a_rollout_is_followed_to_its_end_and_undone(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT.replace("replicas: 0", "replicas: 2"))
    first = cluster.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=20s")
    cluster.kubectl("-n", ns, "set", "image", "deploy/web", "c=nginx:2")
    cluster.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=20s")
    history = cluster.kubectl("-n", ns, "rollout", "history", "deploy/web")
    cluster.kubectl("-n", ns, "rollout", "undo", "deploy/web")
    cluster.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=20s")

    assert "successfully rolled out" in first
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["1", "2"]
    assert get(cluster, ns, "deploy", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"
    assert "condition met" in cluster.kubectl(
        "-n", ns, "wait", "--for=condition=Available", "deploy/web", "--timeout=10s"
    )


def test_a_foreground_delete_takes_the_pods_with_it(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT.replace("replicas: 0", "replicas: 2"))
    cluster.kubectl("-n", ns, "rollout", "status", "deploy/web", "--timeout=20s")

    cluster.kubectl("-n", ns, "delete", "deploy", "web", "--cascade=foreground", "--timeout=20s")

    assert get(cluster, ns, "pods,replicasets")["items"] == []


def test_a_job_completes(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "create", "job", "j", "--image=busybox")

    assert "condition met" in cluster.kubectl("-n", ns, "wait", "--for=condition=Complete", "job/j", "--timeout=20s")


def test_wait_sees_conditions_fields_and_deletion(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "create", "cm", "a", "--from-literal=x=y")

    assert "condition met" in cluster.kubectl("-n", ns, "wait", "--for=jsonpath={.data.x}=y", "cm/a", "--timeout=5s")
    cluster.kubectl("-n", ns, "delete", "cm", "a")
    cluster.kubectl("-n", ns, "wait", "--for=delete", "cm/a", "--timeout=5s")


def test_describe_and_explain(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=DEPLOYMENT)

    assert "StrategyType:           RollingUpdate" in cluster.kubectl("-n", ns, "describe", "deploy", "web")
    assert "progressDeadlineSeconds" in cluster.kubectl("explain", "deployment.spec")


def test_auth_says_who_may_do_what(cluster: Embedded, ns: str) -> None:
    bob = ("--as", f"bob-{ns}", "-n", ns)
    assert cluster.kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "system:masters" in cluster.kubectl("auth", "whoami")
    assert cluster.kubectl("auth", "can-i", "list", "pods", *bob, check=False) == "no\n"
    refused = f'User "bob-{ns}" cannot list resource "pods" in API group "" in the namespace "{ns}"'
    assert f"pods is forbidden: {refused}" in cluster.kubectl("get", "pods", *bob, check=False)

    cluster.kubectl("-n", ns, "create", "rolebinding", "bob", "--clusterrole=view", f"--user=bob-{ns}")

    assert cluster.kubectl("auth", "can-i", "list", "pods", *bob) == "yes\n"
    assert cluster.kubectl("auth", "can-i", "get", "secrets", *bob, check=False) == "no\n"
    assert cluster.kubectl("get", "pods", *bob) == f"No resources found in {ns} namespace.\n"
    assert "deployments.apps" in cluster.kubectl("auth", "can-i", "--list", *bob)
    granted = cluster.kubectl("create", "rolebinding", "more", "--clusterrole=edit", "--user=eve", *bob, check=False)
    assert "rolebindings.rbac.authorization.k8s.io is forbidden" in granted


def test_a_service_account_token_is_a_login(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "create", "sa", "bot")
    token = cluster.kubectl("-n", ns, "create", "token", "bot").strip()
    args = ("--token", token, "--server", cluster.url, "--insecure-skip-tls-verify", "--kubeconfig", "/dev/null")

    assert f"system:serviceaccount:{ns}:bot" in cluster.kubectl("auth", "whoami", *args)
    cluster.kubectl("-n", ns, "delete", "sa", "bot")
    assert "Unauthorized" in cluster.kubectl("auth", "whoami", *args, check=False)


def test_custom_resources_are_served_as_soon_as_they_are_defined(cluster: Embedded, ns: str) -> None:
    foo = "apiVersion: x.io/v1\nkind: Foo\nmetadata: {name: one}\nspec: {title: t}\n"
    cluster.kubectl("apply", "-f", "-", stdin=DEFINITION)
    try:
        assert "created" in cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=foo)
        assert "What it is called" in cluster.kubectl("explain", "foo.spec.title")
        assert "configured" in cluster.kubectl("-n", ns, "apply", "-f", "-", stdin=foo.replace("title: t", "title: u"))
        status = '{"status":{"replicas":1,"conditions":[{"type":"Ready","status":"True"}]}}'
        cluster.kubectl("-n", ns, "patch", "foo", "one", "--subresource=status", "--type=merge", "-p", status)
        cluster.kubectl("-n", ns, "scale", "foo", "one", "--replicas=5")
        table = cluster.kubectl("-n", ns, "get", "fo")
        invalid = cluster.kubectl(
            "-n", ns, "patch", "foo", "one", "--type=merge", "-p", '{"spec":{"replicas":0}}', check=False
        )
    finally:
        cluster.kubectl("delete", "crd", "foos.x.io")

    assert [line.split() for line in table.splitlines()] == [["NAME", "R", "READY"], ["one", "5", "True"]]
    assert "spec.replicas in body should be greater than or equal to 1" in invalid
    assert "the server could not find the requested resource" in cluster.kubectl("get", "foos", check=False)


def test_a_namespace_is_emptied_and_then_gone(cluster: Embedded) -> None:
    cluster.kubectl("create", "ns", "ending")
    cluster.kubectl("-n", "ending", "create", "cm", "a")

    cluster.kubectl("delete", "ns", "ending", "--timeout=10s")

    assert 'namespaces "ending" not found' in cluster.kubectl("get", "ns", "ending", check=False)
    cluster.kubectl("create", "ns", "ending")
    assert [one["metadata"]["name"] for one in get(cluster, "ending", "cm")["items"]] == ["kube-root-ca.crt"]
    cluster.kubectl("delete", "ns", "ending", "--timeout=10s")


def test_what_cannot_be_done_says_what_to_do_instead(cluster: Embedded, ns: str) -> None:
    cluster.kubectl("-n", ns, "run", "p", "--image=nginx")

    assert "This Pod is simulated" in cluster.kubectl("-n", ns, "logs", "p", check=False)
    assert "use a real cluster" in cluster.kubectl("-n", ns, "exec", "p", "--", "ls", check=False)
    forwarded = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{ns}/pods/p/portforward", check=False)
    assert "open the URL that `tiphys status` shows" in forwarded
    assert "Metrics API not available" in cluster.kubectl("top", "pods", check=False)


def test_webhook_configurations_are_stored_with_a_warning(cluster: Embedded) -> None:
    hook = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: never}
webhooks:
- name: a.b.io
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {url: "https://x.example/"}
"""
    assert "never calls it" in cluster.kubectl("apply", "-f", "-", stdin=hook)


def test_objects_and_versions_survive_a_kill(tmp_path: Path) -> None:
    with embedded(tmp_path) as running:
        running.kubectl("create", "cm", "kept", "--from-literal=a=b")
        before = int(get(running, "default", "cm", "kept")["metadata"]["resourceVersion"])
        running.process.kill()
        running.process.wait()
    with embedded(tmp_path) as running:
        assert get(running, "default", "cm", "kept")["data"] == {"a": "b"}
        running.kubectl("label", "cm", "kept", "x=y")
        assert int(get(running, "default", "cm", "kept")["metadata"]["resourceVersion"]) > before
        with pytest.raises(AssertionError, match=f"in use by process {running.process.pid}"):
            start_embedded(tmp_path)


def test_open_watches_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with embedded(tmp_path, "--in-memory") as running:
        watching = subprocess.Popen(
            [str(KUBECTL), "--kubeconfig", str(running.kubeconfig), "get", "ns", "-w"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert watching.stdout is not None
        watching.stdout.readline()
        start = time.monotonic()
        took = running.stop()
        watching.terminate()
        watching.wait()
        watching.stdout.close()

    assert took < 3, f"{took:.1f} s, {time.monotonic() - start:.1f} s in all"
    assert (running.kubeconfig.stat().st_mode & 0o777) == 0o600
