"""An engine beside an API server, both in this process: the embedded one, without controllers, so that tests decide."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.gitrepo import GitRepository

from tiphys.apimachinery.apierrors import NotFound
from tiphys.controllers.controlplane import APPLICATIONS, CONFIG_MAPS
from tiphys.devcluster.serve import Running, ServeOptions, serve
from tiphys.kube.client import MERGE, ApiResource, KubeClient
from tiphys.kube.config import read_kubeconfig
from tiphys.runtime.log import LogSink
from tiphys.wiring import Engine, EngineOptions, build_engine

_numbers = itertools.count(1)
JOBS = ApiResource("batch", "v1", "Job", "jobs", True)
NAMESPACES = ApiResource("", "v1", "Namespace", "namespaces", False)
DEADLINE_S = 20.0


@dataclass
class Bench:
    """A cluster, a repository, an Application and a namespace of one test, and as many engines as it starts."""

    root: Path
    kubeconfig: Path
    client: KubeClient
    repo: GitRepository
    name: str = "app"
    namespace: str = "default"
    logs: dict[str, io.StringIO] = field(default_factory=dict)

    @asynccontextmanager
    async def engine(self, home: str = "engine", *, take_over: bool = False) -> AsyncIterator[Engine]:
        """An engine for a while; stopped in order."""
        log = self.logs.setdefault(home, io.StringIO())
        options = EngineOptions(
            home=self.root / home,
            kubeconfig=self.kubeconfig,
            port=0,
            insecure=True,
            allow_file_repositories=True,
            address_out=self.root / f"{home}.address",
            take_over=take_over,
        )
        (self.root / f"{home}.address").unlink(missing_ok=True)
        engine = build_engine(options, sink=LogSink(log, form="text"), env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
        running = asyncio.ensure_future(engine.supervisor.run(handle_signals=False))
        try:
            await self.until(lambda: (self.root / f"{home}.address").exists() or running.done(), "the engine is ready")
            if running.done():
                await running
            yield engine
        finally:
            engine.supervisor.stop()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()

    async def until(self, condition: Any, what: str) -> Any:
        """Until the condition, which may be a coroutine function, is true; its value."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    found = condition()
                    if asyncio.iscoroutine(found):
                        found = await found
                    if found:
                        return found
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logs = "\n".join(log.getvalue()[-3000:] for log in self.logs.values())
            raise AssertionError(f"not within {DEADLINE_S:g} s: {what}\n{logs}") from None

    async def app(self) -> dict[str, Any]:
        """The Application as it stands; empty when there is none."""
        try:
            return await self.client.get(APPLICATIONS, self.name, "argocd")
        except NotFound:
            return {}

    async def create(self, **spec: Any) -> None:
        """An Application of the folder `apps`, manual unless `syncPolicy` says otherwise."""
        metadata = {"name": self.name, "namespace": "argocd", **spec.pop("metadata", {})}
        source = {"repoURL": self.repo.url, "path": "apps", "targetRevision": "main", **spec.pop("source", {})}
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": metadata,
            "spec": {
                "project": "default",
                "source": source,
                "destination": {"server": "https://kubernetes.default.svc", "namespace": self.namespace},
                **spec,
            },
        }
        await self.client.create(APPLICATIONS, body, "argocd", field_manager="test")

    async def patch(self, body: Mapping[str, Any]) -> None:
        """Merge a patch into the Application, as kubectl does."""
        await self.client.patch(APPLICATIONS, self.name, body, "argocd", content_type=MERGE, field_manager="test")

    async def until_status(self, **words: Any) -> dict[str, Any]:
        """Until the Application shows these words: sync, health, phase, message, condition, operation (present?)."""
        seen: dict[str, Any] = {}

        async def shown() -> Any:
            app = await self.app()
            status = app.get("status") or {}
            state = status.get("operationState") or {}
            seen.update(
                sync=(status.get("sync") or {}).get("status"),
                revision=(status.get("sync") or {}).get("revision"),
                health=(status.get("health") or {}).get("status"),
                phase=state.get("phase"),
                message=state.get("message"),
                synced=(state.get("syncResult") or {}).get("revision"),
                condition=[c["type"] for c in status.get("conditions") or []],
                operation="operation" in app,
            )
            return app if all(seen[k] == v for k, v in words.items()) else None

        try:
            found: dict[str, Any] = await self.until(shown, f"{self.name} {words}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast seen: {seen}") from None
        return found

    async def config_map(self, name: str) -> dict[str, Any] | None:
        """Data of a ConfigMap in the namespace, None when there is none."""
        try:
            return (await self.client.get(CONFIG_MAPS, name, self.namespace)).get("data") or {}
        except NotFound:
            return None

    async def job(self, name: str) -> dict[str, Any] | None:
        """A Job in the namespace, None when there is none."""
        try:
            return await self.client.get(JOBS, name, self.namespace)
        except NotFound:
            return None

    async def finish_job(self, name: str, *, kind: str = "Complete") -> dict[str, Any]:
        """Wait for the Job and let it end."""
        job: dict[str, Any] = await self.until(lambda: self.job(name), f"job {name}")
        now = job["metadata"]["creationTimestamp"]
        criteria = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        conditions = [
            {"type": t, "status": "True", "lastTransitionTime": now, "lastProbeTime": now} for t in (criteria, kind)
        ]
        status: dict[str, Any] = {"conditions": conditions, "startTime": now}
        if kind == "Complete":
            status |= {"completionTime": now, "succeeded": 1}
        body = {"status": status}
        await self.client.patch(
            JOBS, name, body, self.namespace, content_type=MERGE, field_manager="test", subresource="status"
        )
        return job

    async def patch_job(self, name: str, body: Mapping[str, Any]) -> None:
        """Merge a patch into a Job."""
        await self.client.patch(JOBS, name, body, self.namespace, content_type=MERGE, field_manager="test")

    async def quiet(self, engine: Engine) -> None:
        """Reconcile the Application once more, until nothing is left to do."""
        engine.controller.queue.add(("argocd", self.name))
        await engine.controller.queue.wait_idle()

    async def rows(self, engine: Engine) -> list[tuple[str, bool]]:
        """Phase and openness of the Application's rows in the ledger, newest first."""
        await self.quiet(engine)
        found = await engine.ledger.list_for_app("argocd", self.name)
        return [(row.phase, row.is_open) for row in found]


@dataclass
class Shared:
    """A cluster and an engine that many tests use."""

    root: Path
    kubeconfig: Path
    client: KubeClient
    engine: Engine
    logs: dict[str, io.StringIO]


@asynccontextmanager
async def cluster(root: Path) -> AsyncIterator[tuple[Path, KubeClient]]:
    """An API server in memory: its kubeconfig and a client."""
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    kubeconfig = root / "kubeconfig"

    def ready(running: Running) -> None:
        started.set_result(running)

    options = ServeOptions(home=None, port=0, in_memory=True, simulate=False, kubeconfig_out=kubeconfig)
    serving = asyncio.ensure_future(serve(options, on_ready=ready, stop=stop))
    await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
    assert started.done(), serving.exception()
    try:
        async with KubeClient(read_kubeconfig(kubeconfig), user_agent="test") as client:
            yield kubeconfig, client
    finally:
        stop.set()
        await serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    """One cluster with one engine for all tests that need no other."""
    root = tmp_path_factory.mktemp("controllers")
    async with cluster(root) as (kubeconfig, client):
        maker = Bench(root, kubeconfig, client, GitRepository(root))
        async with maker.engine() as engine:
            yield Shared(root, kubeconfig, client, engine, maker.logs)


@pytest_asyncio.fixture(loop_scope="session")
async def bench(shared: Shared, tmp_path: Path) -> Bench:
    """The shared cluster, with an Application and a namespace of the test's own."""
    name = f"app-{next(_numbers)}"
    await shared.client.create(NAMESPACES, {"metadata": {"name": name}}, field_manager="test")
    return Bench(tmp_path, shared.kubeconfig, shared.client, GitRepository(tmp_path), name, name, shared.logs)


@pytest.fixture
def engine(shared: Shared) -> Engine:
    """The shared engine."""
    return shared.engine


@pytest_asyncio.fixture(loop_scope="session")
async def alone(tmp_path: Path) -> AsyncIterator[Bench]:
    """A cluster of the test's own, without an engine."""
    async with cluster(tmp_path) as (kubeconfig, client):
        yield Bench(tmp_path, kubeconfig, client, GitRepository(tmp_path))


def config_map(name: str, **annotations: str) -> str:
    """A ConfigMap; `data` becomes its only entry, `wave` its sync wave."""
    data, wave = annotations.pop("data", "1"), annotations.pop("wave", "")
    head = f'  annotations:\n    argocd.argoproj.io/sync-wave: "{wave}"\n' if wave else ""
    return f'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{head}data:\n  a: "{data}"\n'


def hook(name: str, kind: str = "PreSync", policy: str = "BeforeHookCreation") -> str:
    """A Job that is a hook."""
    return (
        f"apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n"
        f"    argocd.argoproj.io/hook: {kind}\n    argocd.argoproj.io/hook-delete-policy: {policy}\n"
        "spec:\n  template:\n    spec:\n      restartPolicy: Never\n"
        "      containers:\n        - name: main\n          image: busybox\n"
    )


AUTOMATED = {"automated": {"prune": True, "selfHeal": True}}
