"""`tiphys run` with default settings, as a process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.processes import TIPHYS, Program, clean_env, wait_for

from bench.api import Api
from bench.engines.applications import NAMESPACE, SERVICE_ACCOUNT, ApplicationEngine
from bench.engines.protocol import NotMeasuredError
from bench.repository import Push
from bench.site import Site


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

    async def start(self, site: Site, api: Api, settings: Mapping[str, str]) -> None:
        """Write the settings, start, wait for its API."""
        parameters = {"tiphys.status.eager": "true"} if self._eager else {}
        for name, value in settings.items():
            if name != "wave_delay_s":
                raise NotMeasuredError(f"{self.name} has no setting {name}")
            parameters["controller.sync.wave.delay.seconds"] = value
        self._site = site
        self._kubeconfig = site.identity(NAMESPACE, SERVICE_ACCOUNT)
        if parameters:
            await api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
            metadata = {"name": "argocd-cmd-params-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}}
            await api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": metadata, "data": parameters})
        await self.restart()
        assert self._program is not None
        await asyncio.to_thread(wait_for, self._address_file, self._program)

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

    def stop(self) -> None:
        """End it, and keep its log if that was asked for."""
        self.halt()
        if self._site is not None and self.keep_log is not None and self.log.exists():
            self.keep_log.write_bytes(self.log.read_bytes())
