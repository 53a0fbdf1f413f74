"""Records what clients ask of a real server.

    python -m tests.devcluster.clients.record --cluster DIR --tools DIR --python PYTHON [CLIENT ...]

--cluster is the directory of a running tests/realcluster, with `tiphys nodesim` beside it. --tools holds the programs
kubectl-1.33, kubectl-1.37, helm-3 and helm-4; --python is an interpreter with kubernetes_asyncio, kr8s and kopf. Writes one
file for each client to `requests/`.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shlex
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from tests.devcluster.clients import work
from tests.devcluster.clients.names import drawn, replaced
from tests.devcluster.clients.proxy import Exchange, Upstream, kubeconfig, proxy, to_json
from tests.devcluster.clients.replay import REQUESTS, namespace_of
from tests.realcluster.cluster import Cluster

WITHIN_S = 120.0
OPERATOR_S = 4.0


class Bench:
    """One client with the programs it may use, behind a proxy of its own."""

    def __init__(self, client: str, url: str, folder: Path, tools: Path, python: str) -> None:
        self.folder, self.tools, self.python = folder, tools, python
        self.namespace = namespace_of(client)
        self.config = folder / "config"
        self.config.write_text(kubeconfig(url, self.namespace))

    def environment(self) -> dict[str, str]:
        """Nothing of the developer's own."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.config),
            "EDITOR": "sed -i s/five/six/",
        }

    def run(self, argv: list[str], text: str = "") -> None:
        """Run to the end; a failure is part of the work."""
        done = subprocess.run(
            argv, input=text, env=self.environment(), capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        said = (done.stderr or done.stdout).strip().splitlines()
        print(f"  {done.returncode} {' '.join(argv)[:90]}  {said[-1][:150] if said and done.returncode else ''}")

    def kubectl(self, version: str, commands: Any = work.KUBECTL) -> None:
        """The commands, one after the other."""
        for command, text in commands:
            argv = [str(self.tools / f"kubectl-{version}"), "--cache-dir", str(self.folder / "cache")]
            words = command.split(" ") if "{" in command else shlex.split(command)
            self.run([*argv, *words], text)

    def helm(self, version: str) -> None:
        """A chart's life."""
        chart = self.folder / "small"
        for name, text in work.CHART.items():
            (chart / name).parent.mkdir(parents=True, exist_ok=True)
            (chart / name).write_text(text.replace("CLIENT", f"helm{version}"))
        for command in work.HELM:
            argv = [str(chart) if one == "CHART" else one for one in command.split()]
            self.run([str(self.tools / f"helm-{version}"), *argv])

    def script(self, text: str) -> None:
        """A Python program."""
        (self.folder / "script.py").write_text(text)
        self.run([self.python, str(self.folder / "script.py"), self.namespace, str(self.config)])

    def kopf(self) -> None:
        """An operator, and what happens to its objects."""
        self.kubectl("1.37", work.OPERATED[:1])
        time.sleep(4)
        (self.folder / "operator.py").write_text(work.OPERATOR)
        argv = [self.python, "-m", "kopf", "run", "-n", self.namespace, str(self.folder / "operator.py")]
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(argv, env=self.environment(), stdout=log, stderr=log)
            try:
                time.sleep(OPERATOR_S)
                for one in work.OPERATED[1:]:
                    self.kubectl("1.37", [one])
                    time.sleep(2)
            finally:
                process.terminate()
                process.wait(20)
        print((self.folder / "log").read_text()[-1500:])


def jobs(bench: Bench) -> dict[str, Any]:
    """What each client does."""
    return {
        "kubectl-1.33": lambda: bench.kubectl("1.33"),
        "kubectl-1.37": lambda: bench.kubectl("1.37"),
        "helm-3": lambda: bench.helm("3"),
        "helm-4": lambda: bench.helm("4"),
        "kubernetes-asyncio": lambda: bench.script(work.ASYNCIO),
        "kr8s": lambda: bench.script(work.KR8S),
        "kopf": bench.kopf,
    }


CLIENTS = ("kubectl-1.33", "kubectl-1.37", "helm-3", "helm-4", "kubernetes-asyncio", "kr8s", "kopf")


def kept(exchanges: list[Exchange]) -> list[dict[str, Any]]:
    """The requests, with names for what the server drew."""
    known: dict[str, str] = {}
    last = "0"
    found = []
    for number, one in enumerate(exchanges):
        body = one.body
        if body and b"\0" not in body:
            body = replaced(body.decode(errors="surrogateescape"), known, last).encode(errors="surrogateescape")
        found.append(to_json(one, replaced(one.path, known, last), body))
        for value, place in drawn(number, one.answer, watch="watch=" in one.path):
            known[value] = place
            if value.isdigit():
                last = place
    return found


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cluster", type=Path, required=True)
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("clients", nargs="*", default=CLIENTS)
    options = parser.parse_args()
    cluster = Cluster.attach(options.cluster)
    token = yaml.safe_load(cluster.engine_credentials().read_text())["users"][0]["user"]["token"]
    context = ssl.create_default_context(cafile=str(cluster.certificate_authority))
    REQUESTS.mkdir(exist_ok=True)
    for client in options.clients:
        upstream = Upstream(cluster.url.removeprefix("https://"), context, token)
        with tempfile.TemporaryDirectory() as folder, proxy(upstream) as url:
            bench = Bench(client, url, Path(folder), options.tools, options.python)
            admin = [str(options.tools / "kubectl-1.37"), "--kubeconfig", str(cluster.kubeconfig)]
            subprocess.run([*admin, "delete", "namespace", bench.namespace, "--ignore-not-found"], check=True)
            subprocess.run([*admin, "create", "namespace", bench.namespace], check=True)
            time.sleep(1)
            jobs(bench)[client]()
        requests = kept(upstream.exchanges)
        lines = "\n".join(json.dumps(one) for one in requests).encode()
        (REQUESTS / f"{client}.jsonl.xz").write_bytes(lzma.compress(lines, preset=9))
        print(f"{client}: {len(requests)} requests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
