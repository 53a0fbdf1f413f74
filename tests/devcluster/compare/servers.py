"""Servers: the embedded one and the real one, prepared alike: each scenario's namespace and the kind Thing exist."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import ssl
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.devcluster.compare.step import Scenario
from tests.devcluster.compare.wire import Server
from tests.realcluster import build
from tests.realcluster.cluster import running
from tests.support.embedded import embedded

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
READY_S = 60.0


def thing_definition() -> dict[str, Any]:
    """The definition of the custom kind that is treated as the built-in ones are."""
    spec = {
        "type": "object",
        "properties": {"replicas": {"type": "integer"}, "word": {"type": "string", "maxLength": 9}},
    }
    status = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    return {
        "metadata": {"name": "things.things.compared.io"},
        "spec": {
            "group": "things.compared.io",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                }
            ],
        },
    }


def absent_reason() -> str:
    """Why the real server cannot be used; empty when it can."""
    try:
        built = build.cache_directory() / build._key(build._find_go("go")[1]) / "realcluster"
    except build.WrongGoError as problem:
        return f"the real API server is not built: {problem}"
    return "" if built.is_file() else "the real API server is not built: run `python tests/realcluster/build.py`"


@contextlib.contextmanager
def embedded_server(home: Path, scenarios: Iterable[Scenario]) -> Iterator[Server]:
    """The embedded cluster without its simulation."""
    with embedded(home, "--in-memory", "--no-simulation") as running_here:
        context = ssl.create_default_context(cafile=str(home / "pki" / "ca.crt"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        token = (home / "pki" / "admin.token").read_text().strip()
        server = Server(running_here.url.removeprefix("https://"), context, token)
        prepare(server, scenarios)
        yield server
        server.close()


@contextlib.contextmanager
def real_server(directory: Path, scenarios: Iterable[Scenario]) -> Iterator[tuple[Server, Controllers]]:
    """The real one; its controllers are stopped, since their writes would come between a request and the next one."""
    with running(directory) as cluster:
        context = ssl.create_default_context(cafile=str(cluster.certificate_authority))
        user = yaml.safe_load(cluster.kubeconfig.read_text())["users"][0]["user"]
        pair = directory / "admin.pem"
        pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
        context.load_cert_chain(pair)
        server = Server(cluster.url.removeprefix("https://"), context, "")
        prepare(server, scenarios)
        controllers = Controllers([cluster.pid(name) for name in ("kube-controller-manager", "kube-scheduler")])
        controllers.stop()
        try:
            yield server, controllers
        finally:
            server.close()
            controllers.go_on()


class Controllers:
    """The controllers of the real server, which can be held."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids

    def stop(self) -> None:
        """Hold them."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them work again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def prepare(server: Server, scenarios: Iterable[Scenario]) -> None:
    """Make the scenarios' namespaces with what every namespace has, and the kind Thing."""
    namespaces = [one.namespace for one in scenarios]
    _must(server, "POST", DEFINITIONS, thing_definition())
    for name in namespaces:
        _must(server, "POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    paths = [f"/api/v1/namespaces/{name}/{one}" for name in namespaces for one in _MADE]
    paths.append("/apis/things.compared.io/v1/things")
    deadline = time.monotonic() + READY_S
    for path in paths:
        while (code := server.send("GET", path)[0]) != 200:
            assert time.monotonic() < deadline, f"{path} answers {code}"
            time.sleep(0.05)


_MADE = ("serviceaccounts/default", "configmaps/kube-root-ca.crt")


def _must(server: Server, method: str, path: str, body: object) -> None:
    code, _, text = server.send(method, path, json.dumps(body).encode())
    assert code in (200, 201), f"{method} {path}: {code} {text!r}"
