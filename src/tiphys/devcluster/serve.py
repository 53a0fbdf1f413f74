"""Serve: the embedded cluster as a running server, on a socket, over TLS.

    async def main() -> None:
        stop = asyncio.Event()
        await serve(ServeOptions(home=None, port=0), on_ready=lambda running: print(running.url), stop=stop)

`serve` returns when `stop` is set and everything is closed. Signals are the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiphys.devcluster.app import App
from tiphys.devcluster.compression import Compressed
from tiphys.devcluster.core import Core
from tiphys.devcluster.disk import Disk, StoreError
from tiphys.devcluster.kubeconfig import build_kubeconfig
from tiphys.devcluster.local import LocalAccess
from tiphys.devcluster.pki import Pki, ensure_pki, write_private
from tiphys.devcluster.rbac_gate import Mode
from tiphys.devcluster.store import Store
from tiphys.devcluster.workloads import Simulation
from tiphys.runtime.clock import Clock, SystemClock
from tiphys.runtime.httpserver import HttpServer, Tls, open_listener
from tiphys.runtime.ids import Ids, SystemIds

DEFAULT_PORT = 16443
SIMULATION_START_S = 30.0
SIMULATION_MANAGER = "kube-controller-manager"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What to serve, and where.

    `home` holds `store.db`, `store.lock` and `pki/`; None (with `in_memory`) keeps keys in a temporary folder and objects in
    memory only. Port 0 takes any free one. `kubeconfig_out` is written (0600) before `on_ready` is called.
    """

    home: Path | None = None
    name: str = "tiphys"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    in_memory: bool = False
    simulate: bool = True  # run the simulated controllers and the simulated node
    kubeconfig_out: Path | None = None
    authorization: Mode = "rbac"  # or `allow-all`: who is known may do everything


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `core` is for code in the same process, such as the simulated controllers."""

    url: str
    port: int
    kubeconfig: str
    kubeconfig_path: Path | None
    ca_path: Path
    core: Core


class ServeError(Exception):
    """The server could not start or had to end; the message says what to do."""


async def serve(
    options: ServeOptions,
    *,
    on_ready: Callable[[Running], None],
    stop: asyncio.Event,
    clock: Clock | None = None,
    ids: Ids | None = None,
) -> None:
    """Run the server until `stop` is set. Raises ServeError when it cannot start or its store fails."""
    clock = clock or SystemClock()
    ids = ids or SystemIds()
    with contextlib.ExitStack() as stack:
        home = options.home
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tiphys-devcluster-")))
        store = _open_store(None if options.in_memory or options.home is None else home)
        stack.callback(store.close)
        pki = ensure_pki(home / "pki", now=clock.now(), new_token=ids.token())
        sock = stack.enter_context(contextlib.closing(_listen(options.host, options.port)))
        port: int = sock.getsockname()[1]
        core = Core(
            store=store,
            clock=clock,
            ids=ids,
            ca_pem=pki.ca_pem,
            admin_token=pki.admin_token,
            signing_key=pki.signing_key_pem,
            ca_key=pki.ca_key_pem,
            authorization=options.authorization,
        )
        core.start(address=options.host, port=port)
        stack.callback(core.stop)
        running = _describe(options, home, pki, port, core)
        simulation = None
        if options.simulate:
            access = LocalAccess(core, manager=SIMULATION_MANAGER)
            simulation = Simulation(access, clock=clock, ids=ids)
        await _run(running, pki, sock, stop, on_ready, simulation)
        if store.failure is not None:
            raise ServeError(f"the store failed and the server stopped: {store.failure}")


def _open_store(home: Path | None) -> Store:
    store = Store(Disk(home) if home is not None else None)
    try:
        store.open()
    except StoreError as exc:
        raise ServeError(str(exc)) from exc
    return store


def _listen(host: str, port: int) -> socket.socket:
    try:
        return open_listener(host, port)
    except OSError as exc:
        raise ServeError(f"cannot listen on {host} port {port}: {exc.strerror}. Choose another with --port") from exc


def _describe(options: ServeOptions, home: Path, pki: Pki, port: int, core: Core) -> Running:
    shown = f"[{options.host}]" if ":" in options.host else options.host
    url = f"https://{shown}:{port}"
    kubeconfig = build_kubeconfig(name=options.name, url=url, ca_pem=pki.ca_pem, token=pki.admin_token)
    path = options.kubeconfig_out
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, kubeconfig.encode())
    return Running(url, port, kubeconfig, path, home / "pki" / "ca.crt", core)


async def _run(
    running: Running,
    pki: Pki,
    sock: socket.socket,
    stop: asyncio.Event,
    on_ready: Callable[[Running], None],
    simulation: Simulation | None,
) -> None:
    app = App(running.core, address=running.url.removeprefix("https://"))
    tls = Tls(pki.cert_path, pki.key_path, client_authority=running.ca_path)
    server = HttpServer(Compressed(app), tls=tls, dated=False)
    running.core.store.on_failure = lambda exc: stop.set()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sock))
        stopping = group.create_task(stop.wait())
        answering = group.create_task(server.until_answering())
        await asyncio.wait((answering, stopping), return_when=asyncio.FIRST_COMPLETED)
        answers = answering.done() and answering.result()
        simulating = None
        if simulation is not None and answers:
            simulating = group.create_task(simulation.run())
            await _until_simulated(simulation, stopping)
        if answers and not stop.is_set():
            on_ready(running)
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        if simulating is not None:
            simulating.cancel()
        app.stop()
        server.stop()
        stopping.cancel()


async def _until_simulated(simulation: Simulation, stopping: asyncio.Task[bool]) -> None:
    """Wait until the node is ready, or the server is told to stop. Raises ServeError when neither happens."""
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(one.wait()) for one in (simulation.ready, simulation.registered)]
        both = asyncio.gather(*waits)
        done, _ = await asyncio.wait((both, stopping), timeout=SIMULATION_START_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        await asyncio.wait((both,))
    if not done:
        raise ServeError(f"the simulated node was not ready after {SIMULATION_START_S:g} s")
