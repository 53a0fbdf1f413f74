"""Installs, changes and removes charts (with a real helm) and kustomizations (with kubectl), and reads what is left.

    python -m tests.devcluster.charts.run --kubeconfig FILE [--record]

With --record what the cluster holds after each step is written to `recorded/charts-1.36.json.gz`.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.conformance.helm.casefile import Case, read_cases
from tests.conformance.helm.oracle import helm_program
from tests.devcluster.sequences.facets import Facets, facets_of
from tests.devcluster.sequences.recorder import Recorder
from tests.support.kubectl import Kubectl
from tests.support.processes import clean_env

HERE: Final = Path(__file__).resolve().parent
RECORDED: Final = HERE.parent / "recorded" / "charts-1.36.json.gz"
KINDS: Final = (
    "configmaps,secrets,services,serviceaccounts,deployments,statefulsets,daemonsets,jobs,cronjobs,persistentvolumeclaims,"
    "ingresses,networkpolicies,horizontalpodautoscalers,poddisruptionbudgets,roles,rolebindings,limitranges,pods"
)
CLUSTER_KINDS: Final = (
    "clusterroles,clusterrolebindings,priorityclasses,validatingwebhookconfigurations,customresourcedefinitions"
)
SETTLED_S: Final = 40.0
_PULSE_S: Final = 0.4
_RELEASE: Final = "helm.sh/release.v1"
# What a step of its own in `sequences` compares, or what differs from call to call.
_LEFT_OUT: Final = (
    "last/status.",
    "counts/",
    "conditions/",
    "phase",
    "held",
    "how many",
    "last/metadata.labels.modifiedAt",
)

Steps = dict[str, Facets]
"""What is there after each step, by step."""


class _Held(Recorder):
    """Objects that were read at one moment, as a recorder has them."""

    def __init__(self, objects: Sequence[Any]) -> None:
        self.states = {(one["kind"], one["metadata"]["uid"]): [one] for one in objects}
        self.gone = set()


class Bench:
    """One cluster to install things on."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._kubeconfig = kubeconfig
        self._folder = folder
        self.kubectl = Kubectl(kubeconfig, folder / "cache")
        self._taken = f"{int(time.time()) % 100000}"

    def chart(self, case: Case) -> Steps:
        """Install, upgrade, roll back and uninstall a chart; what is there after each step."""
        place = self._write(case, {"Chart.yaml": f"apiVersion: v2\nname: {case.name}\nversion: 1.2.3\n"})
        namespace = f"c{self._taken}-{case.name}"
        waiting = ("-n", namespace, "--wait", "--timeout", "90s")
        return self._steps(
            namespace,
            {
                "install": lambda: self._helm("install", case.name, str(place), "--create-namespace", *waiting),
                "upgrade": lambda: self._helm(
                    "upgrade", case.name, str(place), "-f", str(place / "upgrade.yaml"), *waiting
                ),
                "rollback": lambda: self._helm("rollback", case.name, "1", *waiting),
                "uninstall": lambda: self._helm("uninstall", case.name, *waiting),
            },
        )

    def kustomization(self, case: Case) -> Steps:
        """Apply a kustomization, apply its second form over it, and delete that."""
        place = self._write(case, {})
        namespace = f"k{self._taken}-{case.name}"
        self.kubectl("create", "namespace", namespace)
        return self._steps(
            namespace,
            {
                "apply": lambda: self.kubectl("apply", "-n", namespace, "-k", str(place / "one")),
                "again": lambda: self.kubectl("apply", "-n", namespace, "-k", str(place / "two")),
                "server-side": lambda: self.kubectl(
                    "apply", "-n", namespace, "-k", str(place / "two"), "--server-side", "--force-conflicts"
                ),
                "delete": lambda: self.kubectl("delete", "-n", namespace, "-k", str(place / "two")),
            },
        )

    def _steps(self, namespace: str, steps: dict[str, Callable[[], str]]) -> Steps:
        found: Steps = {}
        for name, step in steps.items():
            step()
            found[name] = self._settled(namespace)
        return found

    def _write(self, case: Case, default: dict[str, str]) -> Path:
        place = self._folder / case.name
        for path, content in {**default, **case.files}.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(content)
        return place

    def _helm(self, *arguments: str) -> str:
        argv = [str(helm_program()), "--kubeconfig", str(self._kubeconfig), *arguments]
        env = clean_env(HELM_CACHE_HOME=str(self._folder / "h"), HELM_CONFIG_HOME=str(self._folder / "h"))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=env, check=False)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def _settled(self, namespace: str) -> Facets:
        """What is there once two looks in a row see the same and no Pod is on its way."""
        deadline = time.monotonic() + SETTLED_S
        before: Facets | None = None
        while True:
            objects = self._objects(namespace)
            pods = [one for one in objects if one["kind"] == "Pod"]
            moving = [
                one for one in pods if one["metadata"].get("deletionTimestamp") or one["status"]["phase"] == "Pending"
            ]
            here = _shown(namespace, [one for one in objects if one["kind"] != "Pod"])
            here["Pods"] = {"how many": len(pods)}
            if here == before and not moving:
                return here
            assert time.monotonic() < deadline, f"{namespace} does not come to rest: {moving}"
            before = here
            time.sleep(_PULSE_S)

    def _objects(self, namespace: str) -> list[Any]:
        found = list(self.kubectl.json("get", KINDS, "-n", namespace)["items"])
        for one in self.kubectl.json("get", CLUSTER_KINDS)["items"]:
            if str(one["metadata"]["name"]).startswith("charts-") or ".charts.example.com" in one["metadata"]["name"]:
                one["metadata"]["namespace"] = namespace
                found.append(one)
        gadgets = self.kubectl.run("get", "gadgets.charts.example.com", "-n", namespace, "-o", "json")
        return found + (json.loads(gadgets.stdout)["items"] if gadgets.returncode == 0 else [])


def _shown(namespace: str, objects: Sequence[Any]) -> Facets:
    plain = []
    for one in objects:
        one = copy.deepcopy(one)
        if one.get("type") == _RELEASE:
            one.pop("data")  # packed, with times in it
        plain.append(one)
    facets = facets_of(_Held(plain), namespace, (), ())
    kept = {
        group: {facet: value for facet, value in rows.items() if not facet.startswith(_LEFT_OUT)}
        for group, rows in facets.items()
    }
    text = re.sub(r"c\d+-|k\d+-", "", json.dumps(kept))
    found: Facets = json.loads(text)
    return found


def cases(name: str) -> list[Case]:
    """The cases of one of the text files here."""
    return [case for case in read_cases(HERE) if ("Chart" in name) is ("upgrade.yaml" in case.files)]


def everything(kubeconfig: Path) -> dict[str, Steps]:
    """Every case on one cluster."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(kubeconfig, Path(folder))
        found = {f"chart {case.name}": bench.chart(case) for case in cases("Chart")}
        return found | {f"kustomization {case.name}": bench.kustomization(case) for case in cases("kustomization")}


def compared(there: Steps, here: Steps) -> list[str]:
    """What differs, a line for each facet."""
    lines = []
    for step in there:
        groups = sorted({*there[step], *here.get(step, {})})
        for group in groups:
            one, other = there[step].get(group, {}), here.get(step, {}).get(group, {})
            for facet in sorted({*one, *other}):
                if one.get(facet) != other.get(facet):
                    lines.append(f"{step}: {group} {facet}: here {other.get(facet)}, there {one.get(facet)}")
    return lines


def read_recording() -> dict[str, Steps]:
    """What the real control plane held."""
    found: dict[str, Steps] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 when something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)
    found = everything(options.kubeconfig)
    if options.record:
        text = json.dumps(found, sort_keys=True, separators=(",", ":"))
        RECORDED.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        return 0
    lines = [f"{name}: {line}" for name, steps in read_recording().items() for line in compared(steps, found[name])]
    print("\n".join(lines))
    print(f"{len(lines)} differences in {len(found)} cases", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
