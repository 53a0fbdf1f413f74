"""Settings of `argocd-cm` that decide how sources are rendered, in force at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.controllers.conftest import AUTOMATED, Bench, config_map

from tiphys.apimachinery.apierrors import NotFound
from tiphys.controllers.controlplane import CONFIG_MAPS
from tiphys.kube.client import MERGE

pytestmark = pytest.mark.asyncio(loop_scope="session")

KUSTOMIZATION = "resources: [a.yaml]\nnamePrefix: pre-\n"


async def settings(bench: Bench, **data: Any) -> None:
    body = {"data": {name.replace("_", "."): value for name, value in data.items()}}
    await bench.client.patch(CONFIG_MAPS, "argocd-cm", body, "argocd", content_type=MERGE, field_manager="test")


async def there(bench: Bench, name: str) -> bool:
    try:
        await bench.client.get(CONFIG_MAPS, name, bench.namespace)
    except NotFound:
        return False
    return True


async def test_a_folder_is_read_as_it_is_where_its_tool_is_switched_off(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a"), "apps/kustomization.yaml": KUSTOMIZATION})
    await bench.create(syncPolicy=AUTOMATED, source={"directory": None})
    await bench.until(lambda: there(bench, "pre-a"), "the kustomization is built")
    try:
        await settings(bench, kustomize_enable="false")
        # What is no object is passed over, as in any folder.
        await bench.until(lambda: there(bench, "a"), "the file is applied as it stands")
    finally:
        await settings(bench, kustomize_enable=None)
    await bench.until(lambda: there(bench, "pre-a"), "the kustomization is built again")


async def test_build_options_that_are_refused_are_named(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a"), "apps/kustomization.yaml": KUSTOMIZATION})
    await bench.create(syncPolicy=AUTOMATED)
    await bench.until(lambda: there(bench, "pre-a"), "the kustomization is built")
    try:
        await settings(bench, kustomize_buildOptions="--enable-exec")
        app = await bench.until_status(sync="Unknown", condition=["ComparisonError"])
        assert "--enable-exec" in app["status"]["conditions"][0]["message"]
    finally:
        await settings(bench, kustomize_buildOptions=None)
    await bench.until_status(sync="Synced", condition=[])
