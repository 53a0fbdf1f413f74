"""What an Application shows, when it is written, and what is left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.controllers.conftest import AUTOMATED, Bench, config_map

from tiphys.controllers.bootstrap import CRDS
from tiphys.controllers.controlplane import APPLICATIONS, CONFIG_MAPS
from tiphys.kube import discovery
from tiphys.kube.client import MERGE, KubeClient
from tiphys.wiring import Engine

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_application_that_did_not_change_is_not_written(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy=AUTOMATED)
    await bench.until_status(sync="Synced", phase="Succeeded")
    await bench.quiet(engine)
    before = await bench.app()
    for _ in range(3):
        engine.controller.repository_moved(("argocd", bench.name))
        await bench.quiet(engine)
    assert (await bench.app())["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_an_application_that_cannot_be_compared_is_written_once(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(source={"path": "nowhere"})
    first = await bench.until_status(condition=["ComparisonError"], sync="Unknown")
    for _ in range(3):
        engine.controller.repository_moved(("argocd", bench.name))
        await bench.quiet(engine)
    assert (await bench.app())["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    await bench.patch({"spec": {"source": {"path": "apps"}}})
    await bench.until_status(condition=[], sync="OutOfSync")


async def test_a_condition_keeps_its_time_while_its_message_stays(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(source={"path": "nowhere"})
    app = await bench.until_status(condition=["ComparisonError"])
    old = "2020-01-01T00:00:00Z"
    condition = {**app["status"]["conditions"][0], "lastTransitionTime": old}
    stale = {"type": "SyncError", "message": "of another time", "lastTransitionTime": old}
    await bench.patch({"status": {"conditions": [condition, stale]}})
    app = await bench.until_status(condition=["ComparisonError"])
    assert app["status"]["conditions"] == [condition]


async def test_a_refresh_is_answered_by_taking_the_annotation_away(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy=AUTOMATED)
    await bench.until_status(sync="Synced", phase="Succeeded")
    for how in ("normal", "hard"):
        await bench.patch({"metadata": {"annotations": {"argocd.argoproj.io/refresh": how}}})

        async def answered() -> bool:
            return "argocd.argoproj.io/refresh" not in ((await bench.app())["metadata"].get("annotations") or {})

        await bench.until(answered, "the refresh is answered")


async def test_an_application_that_is_to_be_skipped_is_left_alone_entirely(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    annotations = {"argocd.argoproj.io/skip-reconcile": "true"}
    await bench.create(
        syncPolicy=AUTOMATED,
        metadata={"annotations": annotations, "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
    )
    await bench.patch({"operation": {"sync": {}}})
    await bench.quiet(engine)
    app = await bench.app()
    assert app.get("status") in (None, {})
    assert app["operation"] == {"sync": {}}
    await bench.client.delete(APPLICATIONS, bench.name, "argocd")
    await bench.quiet(engine)
    assert (await bench.app())["metadata"]["finalizers"]
    await bench.patch({"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": None}}})

    async def gone() -> bool:
        return not await bench.app()

    await bench.until(gone, "the Application is gone")


async def test_an_empty_project_is_written_down_as_default(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(project="")
    app = await bench.until_status(sync="OutOfSync")
    assert app["spec"]["project"] == "default"


async def test_a_changed_setting_takes_effect_at_once(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")

    async def setting(value: Any) -> None:
        body = {"data": {"resource.exclusions": value}}
        await bench.client.patch(CONFIG_MAPS, "argocd-cm", body, "argocd", content_type=MERGE, field_manager="test")

    await setting("- kinds: [ConfigMap]\n")
    try:
        await bench.until_status(sync="Synced", condition=["ExcludedResourceWarning"])
    finally:
        await setting(None)
    await bench.until_status(sync="OutOfSync", condition=[])


async def test_ignored_differences_take_effect_at_once(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy={"automated": {}})
    await bench.until_status(sync="Synced", phase="Succeeded")
    await bench.client.patch(
        CONFIG_MAPS, "a", {"data": {"a": "drifted"}}, bench.namespace, content_type=MERGE, field_manager="test"
    )
    await bench.until_status(sync="OutOfSync")
    await bench.patch({"spec": {"ignoreDifferences": [{"kind": "ConfigMap", "jsonPointers": ["/data/a"]}]}})
    await bench.until_status(sync="Synced")
    await bench.patch({"spec": {"ignoreDifferences": None}})
    await bench.until_status(sync="OutOfSync")


async def test_a_local_repository_that_vanishes_and_comes_back_is_said_and_noticed(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy=AUTOMATED)
    await bench.until_status(sync="Synced", phase="Succeeded")
    other = replace(bench, name=f"{bench.name}-other")  # the one that asks; everybody is told what it finds
    await other.create(source={"path": "apps"})
    await other.until_status(health="Healthy")
    away = bench.repo.bare.with_name("away")
    bench.repo.bare.rename(away)
    await other.patch({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})
    await other.until_status(sync="Unknown", condition=["ComparisonError"])
    app = await bench.until_status(sync="Unknown", condition=["ComparisonError"])
    assert "was last fetched" in app["status"]["conditions"][0]["message"]
    away.rename(bench.repo.bare)
    await bench.until_status(sync="Synced", condition=[])
    bench.repo.commit({"apps/a.yaml": config_map("a", data="2")})

    async def new() -> bool:
        return await bench.config_map("a") == {"a": "2"}

    await bench.until(new, "the commit after its return")


async def test_a_kind_that_is_served_some_time_after_its_definition_is_not_waited_for_in_vain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API server tells of the new CRD first and of its kind in discovery later, with no event in between."""
    group = f"{bench.name}.example.org"
    bench.repo.commit({"apps/one.yaml": f"apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: one}}\n"})
    await bench.create(syncPolicy={**AUTOMATED, "retry": {"limit": 0}})
    await bench.until_status(phase="Failed")
    fetch, loop = discovery.fetch_catalogue, asyncio.get_running_loop()
    defined_at = loop.time()

    async def late(client: KubeClient) -> discovery.Catalogue:
        found = await fetch(client)
        if loop.time() - defined_at > 2.0:
            return found
        kept = {pair: rows for pair, rows in found.resources.items() if pair[0] != group}
        return discovery.Catalogue(
            versions={name: versions for name, versions in found.versions.items() if name != group}, resources=kept
        )

    monkeypatch.setattr(discovery, "fetch_catalogue", late)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = {
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget", "listKind": "GadgetList"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    await bench.client.create(CRDS, crd, field_manager="test")
    await bench.until_status(sync="Synced", phase="Succeeded")


async def test_what_is_kept_of_an_application_is_without_its_managed_fields_and_its_spec_is_the_one_that_was_read(
    bench: Bench, engine: Engine
) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy=AUTOMATED)
    await bench.until_status(sync="Synced", phase="Succeeded")
    await bench.quiet(engine)
    key = ("argocd", bench.name)
    assert "managedFields" not in engine.plane.objects[key]["metadata"]
    assert "managedFields" in (await bench.app())["metadata"]
    before = engine.plane.applications[key]
    await bench.patch({"metadata": {"labels": {"team": "a"}}})

    def seen() -> bool:
        labels: object = engine.plane.objects[key]["metadata"].get("labels")
        return labels == {"team": "a"}

    await bench.until(seen, "the label is seen")
    assert engine.plane.applications[key].spec is before.spec  # type: ignore[union-attr]
    await bench.patch({"spec": {"source": {"path": "elsewhere"}}})

    def elsewhere() -> bool:
        source = engine.plane.applications[key].spec.source  # type: ignore[union-attr]
        return source is not None and source.path == "elsewhere"

    await bench.until(elsewhere, "the new spec is seen")
