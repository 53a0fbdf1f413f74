"""One engine and several destination clusters, all in this process."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.unit.controllers.conftest import AUTOMATED, NAMESPACES, Bench, cluster, config_map

from tiphys.apimachinery.apierrors import NotFound
from tiphys.controllers.clusteradmin import ClusterAdmin
from tiphys.controllers.controlplane import APPLICATIONS, CONFIG_MAPS, PROJECTS, SECRETS
from tiphys.kube.client import MERGE, KubeClient
from tiphys.model.cluster import Cluster, secret_name
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.secret import Secret
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

    def secret(self, called: str = "other", *, token: str = "", **data: str) -> dict[str, Any]:
        """The cluster Secret that makes the engine know this cluster."""
        ca = self.client.transport.config.tls.ca or b""
        config = {
            "bearerToken": token or self.token,
            "tlsClientConfig": {"insecure": False, "caData": base64.b64encode(ca).decode()},
        }
        values = {"name": called, "server": self.server, "config": json.dumps(config), **data}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"cluster-{called}",
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


def condition(app: dict[str, Any], kind: str = "ComparisonError") -> str:
    """The message of the Application's condition; empty when it has none."""
    found = [c["message"] for c in app["status"].get("conditions") or [] if c["type"] == kind]
    return found[0] if found else ""


async def test_a_cluster_that_goes_makes_its_applications_unknown_and_they_say_why(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    await deploy(bench, {"server": far.server})
    await bench.until_status(sync="Synced")
    await far.stop()
    app = await bench.until_status(sync="Unknown", health="Unknown")
    assert condition(app).startswith(f"cluster {far.server} is not reachable: ")
    assert app["status"]["resources"], "what is known of its resources is kept"


async def test_a_wrong_token_is_told_and_a_right_one_helps_without_a_restart(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far, token="wrong")
    await deploy(bench, {"server": far.server})
    app = await bench.until_status(sync="Unknown")
    assert condition(app) == f"cluster {far.server} answered: Unauthorized"
    body = {"data": far.secret(f"{bench.name}-far")["data"]}
    await bench.client.patch(
        SECRETS, f"cluster-{bench.name}-far", body, "argocd", content_type=MERGE, field_manager="test"
    )
    app = await bench.until_status(sync="Synced")
    assert condition(app) == ""
    assert await far.config_map("cm", "far") == {"a": "1"}


async def test_a_cluster_whose_secret_goes_is_unknown_to_its_applications(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    await deploy(bench, {"server": far.server})
    await bench.until_status(sync="Synced")
    await bench.client.delete(SECRETS, f"cluster-{bench.name}-far", "argocd")
    app = await bench.until_status(sync="Unknown", condition=["InvalidSpecError"])
    assert condition(app, "InvalidSpecError") == f'cluster "{far.server}" not found'
    assert await far.config_map("cm", "far") == {"a": "1"}
    sessions = engine.clusters
    assert far.server not in [session.server for session in sessions.open_sessions()]


async def test_an_application_of_an_unknown_cluster_is_let_go_and_nothing_is_deleted(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    await deploy(bench, {"server": far.server})
    await bench.until_status(sync="Synced")
    await bench.client.delete(SECRETS, f"cluster-{bench.name}-far", "argocd")
    await bench.until_status(condition=["InvalidSpecError"])
    await bench.patch({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}})
    await bench.client.delete(APPLICATIONS, bench.name, "argocd")
    await bench.until(lambda: gone(bench), "the Application is gone")
    assert await far.config_map("cm", "far") == {"a": "1"}


async def test_a_deletion_waits_for_a_cluster_that_is_away_and_says_so(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    await deploy(bench, {"server": far.server})
    await bench.patch({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}})
    await bench.until_status(sync="Synced")
    await far.stop()
    await bench.until_status(sync="Unknown")
    await bench.client.delete(APPLICATIONS, bench.name, "argocd")

    async def said() -> bool:
        return condition(await bench.app(), "DeletionError").startswith(f"cluster {far.server} is not reachable")

    await bench.until(said, "the Application says what its deletion waits for")


async def test_names_that_no_or_several_clusters_have_are_refused(bench: Bench, far: Elsewhere, engine: Engine) -> None:
    await deploy(bench, {"name": "nobody"})
    app = await bench.until_status(sync="Unknown", condition=["InvalidSpecError"])
    assert condition(app, "InvalidSpecError") == "there are no clusters with this name: nobody"
    await known(bench, far, name="twice")
    other = far.secret(f"{bench.name}-b", name="twice", server="https://127.0.0.1:1")
    await bench.client.create(SECRETS, other, "argocd", field_manager="test")
    await bench.patch({"spec": {"destination": {"name": "twice"}}})

    async def said() -> bool:
        text = condition(await bench.app(), "InvalidSpecError")
        return text.startswith("there are 2 clusters with the same name: [https://127.0.0.1:")

    await bench.until(said, "the name is refused")


async def test_a_session_that_nobody_uses_ends_and_holds_nothing(
    alone: Bench, far: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiphys.controllers.sessions.IDLE_S", 0.1)
    async with alone.engine() as engine:
        sessions = engine.clusters
        await known(alone, far)
        await deploy(alone, {"server": far.server})
        await alone.until_status(sync="Synced")
        session = await sessions(far.server)
        assert len(session.index) > 0
        home = {"server": "https://kubernetes.default.svc", "namespace": alone.namespace}
        await alone.patch({"spec": {"destination": home}})
        await alone.until_status(sync="Synced")
        await alone.until(lambda: session.ended.is_set() and len(session.index) == 0, "the session ends")
        assert session not in sessions.open_sessions()


async def test_a_dead_cluster_does_not_keep_the_others_waiting_at_a_start(alone: Bench, tmp_path: Path) -> None:
    """A port where connections are accepted and nothing is ever answered, and twenty Applications that want it."""
    silent = await asyncio.start_server(lambda _r, _w: asyncio.sleep(600), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        alone.repo.commit({"apps/cm.yaml": config_map("cm")})
        async with alone.engine():
            pass  # makes the namespace and its definitions
        dead = {"name": "dead", "server": f"https://127.0.0.1:{port}", "config": '{"bearerToken": "t"}'}
        await alone.client.create(
            SECRETS,
            {
                "metadata": {
                    "name": "dead",
                    "namespace": "argocd",
                    "labels": {"argocd.argoproj.io/secret-type": "cluster"},
                },
                "data": {key: base64.b64encode(value.encode()).decode() for key, value in dead.items()},
            },
            "argocd",
            field_manager="test",
        )
        for number in range(20):
            alone.name = f"a-dead-{number}"
            await alone.create(destination={"name": "dead", "namespace": "default"}, syncPolicy=AUTOMATED)
        alone.name = "alive"
        await alone.create(syncPolicy=AUTOMATED)
        started = asyncio.get_running_loop().time()
        async with alone.engine():
            await alone.until_status(sync="Synced", health="Healthy")
            assert asyncio.get_running_loop().time() - started < 8


async def gone(bench: Bench) -> bool:
    return not await bench.app()


async def test_only_the_named_namespaces_of_a_cluster_are_watched_and_managed(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far, namespaces="far, near")
    await deploy(bench, {"server": far.server})
    await bench.until_status(sync="Synced", health="Healthy")
    session = await engine.clusters(far.server)
    assert {key.namespace for key in session.index._rows} == {"far"}
    bench.repo.commit({"apps/cm.yaml": config_map("cm").replace("  name: cm", "  name: cm\n  namespace: default")})
    app = await bench.until_status(sync="Unknown")
    assert condition(app) == 'Namespace "default" for ConfigMap "cm" is not managed'
    bench.repo.commit({"apps/cm.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: new\n"})
    await bench.until(
        lambda: said(bench, 'Cluster level Namespace "new" can not be managed when in namespaced mode'),
        "the refusal of what is cluster-scoped",
    )
    # the view follows the Secret
    body = {"data": {**far.secret(f"{bench.name}-far")["data"], "namespaces": None}}
    await bench.client.patch(
        SECRETS, f"cluster-{bench.name}-far", body, "argocd", content_type=MERGE, field_manager="test"
    )
    await bench.until_status(sync="Synced")


async def said(bench: Bench, text: str) -> bool:
    return condition(await bench.app()) == text


async def test_a_project_may_have_its_own_clusters(bench: Bench, far: Elsewhere, engine: Engine) -> None:
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": bench.name},
        "spec": {"sourceRepos": ["*"], "permitOnlyProjectScopedClusters": True},
    }
    await bench.client.create(PROJECTS, project, "argocd", field_manager="test")
    await known(bench, far)
    await deploy(bench, {"server": far.server})
    await bench.patch({"spec": {"project": bench.name}})
    app = await bench.until_status(condition=["InvalidSpecError"])
    assert "do not match any of the allowed destinations in project" in condition(app, "InvalidSpecError")
    body = {"data": far.secret(f"{bench.name}-far", project=bench.name)["data"]}
    await bench.client.patch(
        SECRETS, f"cluster-{bench.name}-far", body, "argocd", content_type=MERGE, field_manager="test"
    )
    await bench.until_status(sync="Synced", condition=[])


async def test_kinds_are_excluded_for_the_clusters_a_setting_names(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    exclusions = f'- kinds: ["ConfigMap"]\n  clusters: ["{far.server}"]\n'
    data = {"data": {"resource.exclusions": exclusions}}
    await bench.client.patch(CONFIG_MAPS, "argocd-cm", data, "argocd", content_type=MERGE, field_manager="test")
    try:
        await deploy(bench, {"server": far.server})
        app = await bench.until_status(sync="Synced")
        assert not app["status"].get("resources")
        assert await far.config_map("cm", "far") is None
        await bench.patch(
            {"spec": {"destination": {"server": "https://kubernetes.default.svc", "namespace": bench.name}}}
        )

        async def at_home() -> bool:
            return await bench.config_map("cm") is not None

        await bench.until(at_home, "it is deployed where the setting does not hold")
    finally:
        gone_again = {"data": {"resource.exclusions": None}}
        await bench.client.patch(
            CONFIG_MAPS, "argocd-cm", gone_again, "argocd", content_type=MERGE, field_manager="test"
        )


def admin(engine: Engine) -> ClusterAdmin:
    async def probe(cluster: Cluster) -> str:
        return "1.33"

    return ClusterAdmin(plane=engine.plane, sessions=engine.clusters, probe=probe, clock=SystemClock())


async def test_a_secret_somebody_else_made_is_left_when_its_cluster_is_forgotten(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    await known(bench, far)
    name, book = f"{bench.name}-far", admin(engine)

    def there() -> Cluster | None:
        return next((one for one in book.clusters() if one.name == name), None)

    found: Cluster = await bench.until(there, "the cluster is known")
    await book.update(replace(found, labels={"a": "b"}, name=name))
    await book.delete(replace(found, labels={"a": "b"}))
    assert there() is None
    left = await bench.client.get(SECRETS, f"cluster-{name}", "argocd")
    assert left["metadata"]["labels"] == {"a": "b"}
    assert "managed-by" not in (left["metadata"].get("annotations") or {})


async def test_a_cluster_made_by_the_api_is_deleted_with_its_secret(
    bench: Bench, far: Elsewhere, engine: Engine
) -> None:
    book = admin(engine)
    await book.create(Cluster(server=far.server, name="made", config=Secret("{}")))
    found = next(one for one in book.clusters() if one.name == "made")
    assert book.information(far.server)["connectionState"]["message"] == (
        "Cluster has no applications and is not being monitored."
    )
    await book.delete(found)
    with pytest.raises(NotFound):
        await bench.client.get(SECRETS, secret_name(far.server), "argocd")


async def test_the_engines_own_cluster_may_have_a_secret_with_another_name(bench: Bench, engine: Engine) -> None:
    book = admin(engine)
    home = next(one for one in book.clusters() if one.is_home)
    await book.update(replace(home, name=f"{bench.name}-home", labels={"env": "here"}))
    bench.repo.commit({"apps/cm.yaml": config_map("cm")})
    await bench.create(destination={"name": f"{bench.name}-home", "namespace": bench.namespace}, syncPolicy=AUTOMATED)
    await bench.until_status(sync="Synced")
    assert await bench.config_map("cm") == {"a": "1"}
    assert await engine.clusters("https://kubernetes.default.svc") is engine.clusters.home
    await book.delete(next(one for one in book.clusters() if one.is_home))
    app = await bench.until_status(condition=["InvalidSpecError"])
    assert "there are no clusters with this name" in condition(app, "InvalidSpecError")
    assert next(one for one in book.clusters() if one.is_home).name == "in-cluster"
