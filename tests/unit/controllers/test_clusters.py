"""One engine and several destination clusters, all in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.unit.controllers.conftest import AUTOMATED, NAMESPACES, Bench, cluster, config_map

from tiphys.apimachinery.apierrors import NotFound
from tiphys.controllers.controlplane import CONFIG_MAPS, SECRETS
from tiphys.kube.client import MERGE, KubeClient
from tiphys.wiring import Engine

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass
class Elsewhere:
    """A destination cluster that is not the engine's own."""

    client: KubeClient
    stack: AsyncExitStack

    @property
    def server(self) -> str:
        return self.client.server

    @property
    def token(self) -> str:
        token = self.client.transport.config.bearer_token
        assert token is not None
        return token.reveal()

    async def stop(self) -> None:
        await self.stack.aclose()

    async def config_map(self, name: str, namespace: str) -> dict[str, Any] | None:
        try:
            found = (await self.client.get(CONFIG_MAPS, name, namespace)).get("data") or {}
        except NotFound:
            return None
        return dict(found)

    def secret(self, name: str = "other", *, token: str = "", **data: str) -> dict[str, Any]:
        """The cluster Secret that makes the engine know this cluster."""
        ca = self.client.transport.config.tls.ca or b""
        config = {
            "bearerToken": token or self.token,
            "tlsClientConfig": {"insecure": False, "caData": base64.b64encode(ca).decode()},
        }
        values = {"name": name, "server": self.server, "config": json.dumps(config), **data}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"cluster-{name}",
                "namespace": "argocd",
                "labels": {"argocd.argoproj.io/secret-type": "cluster"},
            },
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }


@asynccontextmanager
async def elsewhere(root: Path, **options: Any) -> AsyncIterator[Elsewhere]:
    """Another cluster for a while."""
    root.mkdir()
    stack = AsyncExitStack()
    try:
        _kubeconfig, client = await stack.enter_async_context(cluster(root, **options))
        await client.create(NAMESPACES, {"metadata": {"name": "far"}}, field_manager="test")
        yield Elsewhere(client, stack)
    finally:
        await stack.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def far(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    """A second cluster."""
    async with elsewhere(tmp_path / "far") as found:
        yield found


async def known(bench: Bench, far: Elsewhere, **data: Any) -> None:
    """Make the second cluster known."""
    await bench.client.create(SECRETS, far.secret(f"{bench.name}-far", **data), "argocd", field_manager="test")


async def deploy(bench: Bench, destination: dict[str, str], data: str = "1") -> None:
    """An automated Application with one ConfigMap."""
    bench.repo.commit({"apps/cm.yaml": config_map("cm", data=data)})
    await bench.create(destination={"namespace": "far", **destination}, syncPolicy=AUTOMATED)


async def test_an_application_is_deployed_to_the_cluster_its_server_names(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    await deploy(bench, {"server": far.server + "/"})
    await bench.until_status(sync="Synced", health="Healthy")
    assert await far.config_map("cm", "far") == {"a": "1"}
    assert await bench.config_map("cm") is None


async def test_an_application_is_deployed_to_the_cluster_that_has_its_name(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    await deploy(bench, {"name": f"{bench.name}-far"})
    await bench.until_status(sync="Synced", health="Healthy")
    assert await far.config_map("cm", "far") == {"a": "1"}
    # drift there is seen and reverted
    await far.client.patch(CONFIG_MAPS, "cm", {"data": {"a": "x"}}, "far", content_type=MERGE, field_manager="test")

    async def reverted() -> bool:
        return await far.config_map("cm", "far") == {"a": "1"}

    await bench.until(reverted, "the drift is reverted")
