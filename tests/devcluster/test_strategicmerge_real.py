"""Strategic merge patches through `apimachinery.strategicmerge` and through a real API server and a real kubectl.

A random patch is sent as a dry run, and what we make of the same object and patch is sent as a dry-run replacement: both
answers have passed the server's decoding, defaults and validation and must be equal. Then random manifests are applied
one after the other by kubectl, and the patches it sends must be ours. The seed and the number of patches can be set:
`TIPHYS_PATCH_SEED`, `TIPHYS_PATCHES`.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.realcluster import build
from tests.realcluster.cluster import Cluster, running
from tests.support import patchcases

from tiphys.apimachinery import strategicmerge
from tiphys.apimachinery.apierrors import go_json
from tiphys.apimachinery.meta import strip_managed_fields
from tiphys.apimachinery.names import gvk_of
from tiphys.apimachinery.patchmeta import PatchSchema, builtin
from tiphys.apimachinery.yamljson import load_one

SEED = int(os.environ.get("TIPHYS_PATCH_SEED", "1"))
PATCHES = int(os.environ.get("TIPHYS_PATCHES", "300"))
APPLIES = 30
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "Service": "/api/v1/namespaces/default/services",
}


@dataclass
class Server:
    """A connection to the API server as an administrator."""

    connection: http.client.HTTPSConnection
    token: str

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": "application/json"}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = subprocess.run(
        [sys.executable, build.__file__, "--print-path"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        pytest.skip(f"the real API server is not built: {found.stderr.strip()}")
    if not Path(found.stdout.strip()).is_file():
        pytest.skip("the real API server is not built: run `python tests/realcluster/build.py`")
    with running(tmp_path_factory.mktemp("realcluster")) as started:
        # Controllers would write between a read and the patch that is compared with it.
        pid = started.pid("kube-controller-manager")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield started
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Server]:
    kubeconfig = load_one(cluster.engine_credentials().read_bytes())
    context = ssl.create_default_context(cafile=str(cluster.certificate_authority))
    connection = http.client.HTTPSConnection(cluster.url.removeprefix("https://"), context=context, timeout=30)
    yield Server(connection, kubeconfig["users"][0]["user"]["token"])
    connection.close()


def schema_of(obj: dict[str, Any]) -> PatchSchema:
    found = builtin().schema(gvk_of(obj))
    assert found is not None
    return found


def create(server: Server, random: Random, kind: str, name: str) -> dict[str, Any]:
    """A new random object on the server, as it answered."""
    for _ in range(50):
        status, answer = server.send("POST", PATHS[kind], patchcases.build(random, kind, name))
        if status == 201:
            return dict(strip_managed_fields(answer))
    pytest.fail(f"no valid random {kind} in 50 tries; the last answer was {answer}")


def comparable(obj: dict[str, Any]) -> dict[str, Any]:
    """Without what says which request it was: the fields of managers, and the count of changes."""
    left = {key: value for key, value in obj["metadata"].items() if key not in ("managedFields", "generation")}
    return {**obj, "metadata": left}


@pytest.mark.slow
def test_random_patches_give_what_the_server_makes_of_them(server: Server) -> None:
    random = Random(SEED)
    seen: Counter[str] = Counter()
    current: dict[str, Any] = {}
    number = 0
    while seen["equal"] < PATCHES:  # with an effect
        assert number < PATCHES * 10, f"too few patches can be applied: {seen}"
        if number % 10 == 0:
            kind = random.choice(patchcases.KINDS)
            current = create(server, random, kind, f"p{number}")
        number += 1
        patch = patchcases.patch(random, kind, current)
        path = f"{PATHS[kind]}/{current['metadata']['name']}?dryRun=All"
        status, theirs = server.send("PATCH", path, patch, "application/strategic-merge-patch+json")
        said = json.dumps({"patch": patch, "current": current})
        try:
            ours = strategicmerge.apply(current, patch, schema_of(current))
        except strategicmerge.StrategicMergeError as error:
            seen["refused by both"] += 1
            if status < 400:
                pytest.fail(f"refused only by us: {error}: {said}")
            continue
        replaced, answer = server.send("PUT", path, ours)
        if status >= 400 or replaced >= 400:
            assert status >= 400, f"{theirs} but {answer}: {said}"
            assert replaced >= 400, f"{theirs} but {answer}: {said}"
            seen["invalid for both"] += 1
            continue
        assert comparable(answer) == comparable(theirs), said
        seen["equal" if comparable(theirs) != comparable(current) else "equal, without effect"] += 1
    print(dict(seen))


def applied_patch(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any] | str:
    """The patch `kubectl apply` sends for a manifest of an object that exists, or its words when it cannot make one.

    Empty when it sends none. The server may refuse it: two ports of one number cannot be put in order.
    """
    kubectl = str(Path(sys.executable).parent / "kubectl")
    argv = [kubectl, "--kubeconfig", str(cluster.kubeconfig), "apply", "-v=10", "-f", "-"]
    done = subprocess.run(argv, input=json.dumps(manifest), capture_output=True, text=True, check=False, timeout=60)
    bodies = re.findall(r'"Request Body" body=("(?:[^"\\]|\\.)+")', done.stderr)
    if not bodies and done.returncode != 0:
        return done.stderr[-2000:]
    assert len(bodies) < 2, f"kubectl sent more than one body: {bodies}"
    found: dict[str, Any] = json.loads(json.loads(bodies[0])) if bodies else {}
    return found


@pytest.mark.slow
def test_kubectl_apply_sends_the_patch_we_would(server: Server, cluster: Cluster) -> None:
    random = Random(SEED)
    sent = 0
    for number in range(APPLIES):
        kind = patchcases.KINDS[number % 2]
        path = f"{PATHS[kind]}/k{number % 4}"
        status, current = server.send("GET", path)
        manifest = patchcases.build(random, kind, f"k{number % 4}")
        # An invalid owner or a port of two protocols would only test validation.
        manifest["metadata"].pop("ownerReferences", None)
        manifest["metadata"].setdefault("annotations", {})
        annotation = go_json(manifest) + "\n"
        if status == 404:
            server.send(
                "POST",
                PATHS[kind],
                {**manifest, "metadata": {**manifest["metadata"], "annotations": {LAST_APPLIED: annotation}}},
            )
            continue
        assert status == 200, current
        status, _ = server.send("PUT", f"{path}?dryRun=All", {**manifest, "status": {}})
        if status >= 400:
            continue
        annotations = manifest["metadata"]["annotations"] | {LAST_APPLIED: annotation}
        modified = {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
        original = json.loads(current["metadata"]["annotations"][LAST_APPLIED])
        theirs = applied_patch(cluster, manifest)
        try:
            ours = strategicmerge.create_three_way(original, modified, current, schema_of(manifest))
        except strategicmerge.StrategicMergeError as error:
            # Two ports of one number: neither can put them in order.
            if str(error).splitlines()[0] not in str(theirs):
                pytest.fail(f"refused only by us: {error}: {theirs}")
            continue
        assert ours == theirs, json.dumps({"original": original, "modified": modified, "current": current})
        sent += bool(theirs)
    assert sent >= APPLIES // 3
    print(f"{sent} patches of kubectl are ours")
