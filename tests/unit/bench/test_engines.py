"""Adapters of other engines: command lines and the objects they are given. Their binaries are not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from bench.engines import ENGINES, argocd, flux
from bench.engines.applications import REFRESH, application
from bench.engines.argocd import ArgoCD
from bench.engines.flux import Flux
from bench.engines.protocol import NotMeasuredError, settled
from bench.engines.tiphys import Tiphys
from bench.site import Site
from bench.workload import App

APP = App(name="app-0001", namespace="bench-000", repo="fleet", path="apps/app-0001")
PORTS = {"redis": 1, "repo-server": 2, "server": 3, "repo-metrics": 4, "controller-metrics": 5, "server-metrics": 6}


def test_engines_are_called_what_the_command_line_calls_them() -> None:
    assert {name: make().name for name, make in ENGINES.items()} == {name: name for name in ENGINES}


def test_argo_cd_is_four_processes_in_the_order_in_which_they_need_each_other() -> None:
    found = argocd.commands({"BENCH_ARGOCD": "/bin/argocd"}, PORTS)

    assert list(found) == ["redis", "repo-server", "controller", "server"]
    assert found["controller"] == [
        "/bin/argocd",
        "--redis=127.0.0.1:1",
        "--repo-server=127.0.0.1:2",
        "--metrics-port=5",
        "--status-processors=50",
        "--operation-processors=25",
        "--kubectl-parallelism-limit=50",
    ]
    assert "--disable-auth" in found["server"]


def test_one_binary_is_told_by_its_environment_which_program_it_is() -> None:
    engine = ArgoCD(env={"PATH": "/bin"})

    names = {name: engine.environment(name)["ARGOCD_BINARY_NAME"] for name in argocd.PROGRAMS}

    assert names == argocd.COMMANDS


@pytest.mark.parametrize(("flavour", "paths"), [("plain", "."), ("helm", ".;/apps/app-0001"), ("kustomize", ".;/base")])
def test_generate_paths_name_what_a_flavour_is_made_of(flavour: str, paths: str) -> None:
    app = App(name="app-0001", namespace="x", repo="fleet", path="p", flavour=flavour)

    assert ArgoCD(paths=True, env={}).annotations(app) == {argocd.PATHS: paths}
    assert ArgoCD(env={}).annotations(app) == {}


def test_validation_is_off_for_every_application_of_its_row() -> None:
    engine = ENGINES["argocd-novalidate"]()

    assert isinstance(engine, ArgoCD)
    assert engine.options(APP) == ("Validate=false",)


def test_an_application_is_automated_unless_it_is_only_compared() -> None:
    automated = application(APP, "http://git/fleet.git")
    compared = application(App(name="a", namespace="b", repo="c", path="d", automated=False), "u")

    assert automated["spec"]["syncPolicy"] == {"automated": {"prune": True, "selfHeal": True}}
    assert automated["spec"]["source"] == {
        "repoURL": "http://git/fleet.git",
        "path": "apps/app-0001",
        "targetRevision": "main",
    }
    assert compared["spec"]["syncPolicy"] == {}


def obj(status: Any, annotations: Any = None) -> Any:
    return {"metadata": {"name": "a", "generation": 2, "annotations": annotations or {}}, "status": status}


DONE = {
    "sync": {"status": "Synced", "revision": "abc"},
    "health": {"status": "Healthy"},
    "operationState": {"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:00Z"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"sync": {"status": "OutOfSync", "revision": "abc"}},
        {"health": {"status": "Progressing"}},
        {"operationState": {"phase": "Running"}},
    ],
)
def test_an_application_is_ready_when_it_is_synced_healthy_and_done(change: Any) -> None:
    engine = Tiphys()

    assert settled(engine.verdict(obj(DONE)), "abc")
    assert not settled(engine.verdict(obj(DONE)), "def")
    assert not engine.verdict(obj({**DONE, **change})).ready


def test_a_refresh_is_answered_when_its_annotation_is_gone() -> None:
    engine = Tiphys()

    assert engine.answered(engine.verdict(obj(DONE)), "mark")
    assert not engine.answered(engine.verdict(obj(DONE, {REFRESH: "normal"})), "mark")


def test_a_kustomization_is_ready_for_the_generation_that_is_there() -> None:
    status = {
        "observedGeneration": 2,
        "conditions": [{"type": "Ready", "status": "True"}],
        "lastAppliedRevision": "main@sha1:abc",
        "lastHandledReconcileAt": "mark",
    }
    engine = Flux(env={})
    verdict = engine.verdict(obj(status))

    assert (verdict.ready, verdict.revision) == (True, "abc")
    assert engine.answered(verdict, "mark")
    assert not engine.answered(verdict, "other")
    assert not engine.verdict(obj({**status, "observedGeneration": 1})).ready


def test_a_chain_of_kustomizations_depends_on_each_other() -> None:
    found = flux.kustomization(App(name="b", namespace="n", repo="r", path="p", after="a"))

    assert found["spec"]["dependsOn"] == [{"name": "a"}]
    assert found["spec"]["path"] == "./p"


def test_flux_is_two_processes() -> None:
    env = {"BENCH_FLUX_SOURCE": "/bin/s", "BENCH_FLUX_KUSTOMIZE": "/bin/k"}
    found = flux.commands(env, Path("/storage"), [1, 2, 3, 4, 5])

    assert [command[0] for command in found.values()] == ["/bin/s", "/bin/k"]
    assert "--storage-adv-addr=127.0.0.1:1" in found["source-controller"]
    assert found["kustomize-controller"][-1] == "--concurrent=20"


@pytest.mark.parametrize("make", [lambda: ArgoCD(env={}), lambda: Flux(env={})])
async def test_an_engine_without_its_binaries_is_not_measured(make: Any, tmp_path: Path) -> None:
    site = Site("real", tmp_path, tmp_path / "admin", {}, None, None)

    with pytest.raises(NotMeasuredError, match="BENCH_"):
        await make().start(site, None)


async def test_flux_measures_no_charts() -> None:
    chart = App(name="a", namespace="b", repo="c", path="d", flavour="helm")

    with pytest.raises(NotMeasuredError, match="charts"):
        await Flux(env={}).submit(None, [chart], {})  # type: ignore[arg-type]


def test_a_kubeconfig_gets_the_namespace_its_program_takes_for_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.kubeconfig"
    path.write_text(yaml.safe_dump({"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}))

    copy = argocd.kubeconfig_in(path, "argocd")

    assert yaml.safe_load(copy.read_text())["contexts"][0]["context"]["namespace"] == "argocd"
    assert copy.stat().st_mode & 0o077 == 0


def test_ports_differ() -> None:
    assert len(set(argocd.free_ports(6))) == 6
