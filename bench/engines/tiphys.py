"""`tiphys run` with default settings, as a process."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.processes import TIPHYS, Program, clean_env, wait_for

from bench.api import MERGE, Api
from bench.engines.applications import NAMESPACE, SERVICE_ACCOUNT, ApplicationEngine
from bench.repository import Push
from bench.site import Site

PARAMETERS = "argocd-cmd-params-cm"


class Tiphys(ApplicationEngine):
    """The engine of this repository. `eager` writes the revision of every commit into every Application at once."""

    def __init__(self, *, eager: bool = False, wrap: Sequence[str] = (), keep_log: Path | None = None) -> None:
        """`wrap` is put before its command line, such as a profiler; `keep_log` gets its log in the end."""
        self.name = "tiphys-eager" if eager else "tiphys"
        self.wrap, self.keep_log = tuple(wrap), keep_log
        self._eager = eager
        self._program: Program | None = None
        self._site: Site | None = None
        self._kubeconfig = Path()

    def missing(self) -> str:
        """It is installed where the harness is."""
        return ""

    async def start(self, site: Site, api: Api) -> None:
        """Write the settings, start, wait for its API."""
        self._site = site
        self._kubeconfig = site.identity(NAMESPACE, SERVICE_ACCOUNT)
        if self._eager:
            await self._set(api, {"tiphys.status.eager": "true"})
        await self.restart()
        await self._answering()

    async def _set(self, api: Api, parameters: Mapping[str, str]) -> None:
        await api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        metadata = {"name": PARAMETERS, "labels": {"app.kubernetes.io/part-of": "argocd"}}
        maps = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
        await api.create(maps, {"metadata": metadata})
        await api.call("PATCH", f"{maps}/{PARAMETERS}", {"data": dict(parameters)}, MERGE)

    async def _answering(self) -> None:
        assert self._program is not None
        await asyncio.to_thread(wait_for, self._address_file, self._program)

    async def wave_delay(self, api: Api, seconds: int) -> None:
        """The setting of the same meaning as Argo CD's environment variable."""
        await self._set(api, {"controller.sync.wave.delay.seconds": str(seconds)})
        self.halt()
        await self.restart()
        await self._answering()

    def web(self) -> str:
        """Where it listens."""
        return self.address

    async def login(self, api: Api) -> Mapping[str, str]:
        """As admin with the password of the first start."""
        secret = await api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/argocd-initial-admin-secret")
        body = {"username": "admin", "password": base64.b64decode(secret["data"]["password"]).decode()}
        async with api.plain.post(f"{self.address}/api/v1/session", json=body) as answer:
            answer.raise_for_status()
            return {"Authorization": f"Bearer {(await answer.json())['token']}"}

    async def restart(self) -> None:
        """Start with what `home` holds."""
        assert self._site is not None
        self._address_file.unlink(missing_ok=True)
        command = [
            *self.wrap,
            TIPHYS,
            "run",
            f"--kubeconfig={self._kubeconfig}",
            f"--home={self._site.root / 'engine'}",
            "--port=0",
            f"--address-out={self._address_file}",
            "--allow-file-repositories",
            "--insecure",
        ]
        self._program = Program(command, log=self._site.root / "engine.log", env=clean_env())

    @property
    def log(self) -> Path:
        """What it prints."""
        assert self._site is not None
        return self._site.root / "engine.log"

    @property
    def address(self) -> str:
        """URL of its API."""
        return self._address_file.read_text().strip()

    @property
    def _address_file(self) -> Path:
        assert self._site is not None
        return self._site.root / "engine.address"

    async def pushed(self, api: Api, push: Push) -> None:
        """The webhook; a repository on the disk tells of pushes itself."""
        if push.url.startswith("http"):
            await self.notify(api, self.address, push)

    def processes(self) -> Mapping[str, int]:
        """One process; render workers and git are its children."""
        return {"engine": self._program.pid} if self._program is not None else {}

    def halt(self) -> None:
        """SIGTERM."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def forget(self) -> None:
        """Its folder: store, mirrors, rendered manifests."""
        assert self._site is not None
        shutil.rmtree(self._site.root / "engine")

    def stop(self) -> None:
        """End it, and keep its log if that was asked for."""
        self.halt()
        if self._site is not None and self.keep_log is not None and self.log.exists():
            self.keep_log.write_bytes(self.log.read_bytes())
