"""`up`, `down`, `status`: the embedded cluster and the engine beside it, started detached and waited for."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiphys import __version__
from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, NotFound
from tiphys.devenv import daemons
from tiphys.devenv.daemons import Alive, DaemonError
from tiphys.devenv.example import APPLICATION, ExampleError, application, ensure_repository
from tiphys.devenv.frontdoor import stand_in
from tiphys.devenv.home import Home, HomeError, Ports, is_free
from tiphys.devenv.login import log_in
from tiphys.kube.client import ApiResource, KubeClient
from tiphys.kube.config import ClusterConfigError, read_kubeconfig
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.files import FileLock, LockHeldError, read_lock_holder, remove_tree

CLUSTER, ENGINE = "cluster", "engine"
DAEMONS = (CLUSTER, ENGINE)
READY_WITHIN_S = 90.0
HEALTHY_WITHIN_S = 120.0
OTHER_UP_WITHIN_S = 180.0
_POLL_S = 0.05
_LITTLE_BYTES = 8 * 1024 * 1024  # below this a failure is most likely the disk's
_APPLICATIONS = ApiResource("argoproj.io", "v1alpha1", "Application", "applications", True)

Say = Callable[[str], None]


class UpError(Exception):
    """`up` could not finish; the message says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What runs in a home, and where."""

    home: Home
    ports: Ports | None
    running: Mapping[str, Alive]
    url: str = ""
    initial_password: bool = False  # as `up` found it: the Secret with admin's first password is still there

    @property
    def complete(self) -> bool:
        """Both daemons run."""
        return all(name in self.running for name in DAEMONS)


def standing(home: Home) -> Standing:
    """What runs now."""
    running = {name: found for name in DAEMONS if (found := daemons.alive(home, name)) is not None}
    try:
        url = home.address.read_text().strip() if ENGINE in running else ""
    except FileNotFoundError:
        url = ""
    return Standing(home, home.ports(), running, url)


def up(home: Home, env: Mapping[str, str], say: Say) -> Standing:
    """Start what does not run, make the example, wait until it is Synced and Healthy. Raises UpError.

    A second `up` at the same time waits for the first and then finds everything running.
    """
    try:
        home.make()
        with _only_one(home, say):
            return asyncio.run(_up(home, env, say))
    except (HomeError, DaemonError, ExampleError, ClusterConfigError, UpError) as error:
        raise UpError(f"{error}{_disk_is_full(home)}") from error
    except OSError as error:
        raise UpError(f"{error.strerror or error}: {error.filename or home.root}{_disk_is_full(home)}") from error


def down(home: Home, say: Say) -> bool:
    """Stop both daemons, the engine first; True when anything ran."""
    any_ran = False
    for name in reversed(DAEMONS):
        if daemons.stop(home, name):
            say(f"{name} stopped")
            any_ran = True
    home.address.unlink(missing_ok=True)
    return any_ran


def purge(home: Home) -> None:
    """Remove everything `up` made. Only what is ours: a folder without our ports and locks is left alone."""
    if not home.root.exists():
        return
    if not (home.root / "run").is_dir():
        raise UpError(f"{home.root} does not look like a Tiphys home; remove it yourself if you mean it")
    remove_tree(home.root)


def _only_one(home: Home, say: Say) -> FileLock:
    lock = FileLock(home.root / "run" / "up.lock")
    deadline = time.monotonic() + OTHER_UP_WITHIN_S
    told = False
    while True:
        try:
            lock.acquire(f"pid {os.getpid()}")
        except LockHeldError:
            holder = read_lock_holder(lock.path) or "unknown"
            if not told:
                say(f"another `tiphys up` is at work here ({holder}); waiting for it")
                told = True
            if time.monotonic() > deadline:
                raise UpError(
                    f"another `tiphys up` ({holder}) has not ended within {OTHER_UP_WITHIN_S:.0f} s"
                ) from None
            time.sleep(0.1)
        else:
            return lock


async def _up(home: Home, env: Mapping[str, str], say: Say) -> Standing:
    ports = home.choose_ports()
    before = standing(home)
    daemon_env = {
        k: v for k, v in env.items() if k in ("PATH", "HOME", "LANG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
    }
    # First what can be known to fail: nothing need be started then.
    if CLUSTER not in before.running:
        _need_port(ports.api, "the embedded API server", home)
    if ENGINE not in before.running:
        _need_port(ports.server, "Tiphys", home)
    ensure_repository(home.repository, env)
    if CLUSTER not in before.running:
        await _start_cluster(home, ports, daemon_env, say)
    async with _client(home) as client:
        await _until_ready(home, client, say)
        if ENGINE not in before.running:
            await _start_engine(home, ports, daemon_env, say)
        else:
            await _until_address(home, say)
        await _say_where(home, client, say)
        initial_password = await log_in(home, client, say)
        if not home.example_made.exists():
            await _create_example(home, client, say)
        await _until_healthy(home, client, say)
    return replace(standing(home), initial_password=initial_password)


def _client(home: Home) -> KubeClient:
    return KubeClient(read_kubeconfig(home.kubeconfig), user_agent=f"tiphys-up/{__version__}")


async def _start_cluster(home: Home, ports: Ports, env: Mapping[str, str], say: Say) -> None:
    home.kubeconfig.unlink(missing_ok=True)
    say(f"starting the embedded cluster on port {ports.api}")
    argv = [
        *daemons.program(),
        "devcluster",
        "--home",
        str(home.root / "cluster"),
        "--port",
        str(ports.api),
        "--kubeconfig-out",
        str(home.kubeconfig),
    ]
    daemons.start(home, CLUSTER, argv, env)
    await _until(lambda: home.kubeconfig.exists(), home, CLUSTER, "to write its kubeconfig")


async def _start_engine(home: Home, ports: Ports, env: Mapping[str, str], say: Say) -> None:
    home.address.unlink(missing_ok=True)
    say(f"starting Tiphys on port {ports.server}")
    argv = [
        *daemons.program(),
        "run",
        "--kubeconfig",
        str(home.kubeconfig),
        "--home",
        str(home.root / "engine"),
        "--port",
        str(ports.server),
        "--address-out",
        str(home.address),
        "--allow-file-repositories",
    ]
    daemons.start(home, ENGINE, argv, env)
    await _until_address(home, say)


async def _until_address(home: Home, _say: Say) -> None:
    await _until(lambda: home.address.exists(), home, ENGINE, "to be ready")


def _need_port(port: int, what: str, home: Home) -> None:
    if not is_free(port):
        raise UpError(
            f"port {port} on 127.0.0.1 is taken by another program, and {what} of {home.root} has had it since its first "
            f"start. Free the port, or remove {home.root / 'run' / 'ports.json'} to choose others."
        )


async def _until(condition: Callable[[], bool], home: Home, name: str, what: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not condition():
        if daemons.alive(home, name) is None:
            raise _with_last_words(home, name, f"{name} ended while it was waited for {what}")
        if time.monotonic() > deadline:
            text = f"{name} was waited for {what} for {READY_WITHIN_S:.0f} s"
            raise _with_last_words(home, name, text)
        await asyncio.sleep(_POLL_S)


def _with_last_words(home: Home, name: str, text: str) -> UpError:
    return UpError(f"{text}. Its last words, from {home.log(name)}:\n{daemons.last_words(home, name)}")


def _disk_is_full(home: Home) -> str:
    try:
        free = shutil.disk_usage(home.root).free
    except OSError:
        return ""
    return f"\nThe disk of {home.root} is full: {free // 1024} kB are left." if free < _LITTLE_BYTES else ""


async def _until_ready(home: Home, client: KubeClient, _say: Say) -> None:
    seen: object = "nothing"
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            answer = await client.request("GET", "/readyz", timeout_s=5.0)
        except ClusterUnreachable as error:
            seen = error
        else:
            if answer.status == 200:
                return
            seen = f"{answer.status} {answer.body[:200].decode(errors='replace')}"
        if daemons.alive(home, CLUSTER) is None:
            break
        await asyncio.sleep(_POLL_S)
    raise _with_last_words(home, CLUSTER, f"the embedded cluster is not ready: {seen}")


async def _say_where(home: Home, client: KubeClient, say: Say) -> None:
    """Have a port-forward to the engine's Service answered with where the engine is; nothing else needs that Service."""
    url = home.address.read_text().strip()
    if not url.startswith("http"):
        return
    try:
        await stand_in(client, url, home.log(ENGINE))
    except (ApiError, ClusterUnreachable) as error:
        say(f"the Service argocd-server cannot be made: {error}")


async def _create_example(home: Home, client: KubeClient, say: Say) -> None:
    say(f"deploying the example application {APPLICATION}")
    try:
        await client.create(_APPLICATIONS, application(home.repository.as_uri()), "argocd", field_manager="tiphys-up")
    except AlreadyExists:
        pass
    except ApiError as error:
        raise UpError(f"the example Application was refused: {error.message}") from error
    except ClusterUnreachable as error:
        raise _with_last_words(home, CLUSTER, f"the example Application cannot be made: {error}") from error
    home.example_made.touch(mode=0o600)


async def _until_healthy(home: Home, client: KubeClient, say: Say) -> None:
    """Until the example is Synced and Healthy; a user who deleted or changed it has what they want."""
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    told = ""
    while True:
        try:
            app = await client.get(_APPLICATIONS, APPLICATION, "argocd")
        except NotFound:
            say(f"the example {APPLICATION} was deleted and stays so; remove {home.example_made} to have it made again")
            return
        except (ApiError, ClusterUnreachable) as error:
            text = f"the example Application cannot be read: {error}"
            if daemons.alive(home, CLUSTER) is None:
                raise _with_last_words(home, CLUSTER, text) from error
            raise UpError(text) from error
        status = app.get("status") or {}
        sync = (status.get("sync") or {}).get("status") or "not compared yet"
        health = (status.get("health") or {}).get("status") or "health unknown"
        if (sync, health) == ("Synced", "Healthy"):
            say(f"{APPLICATION} is Synced and Healthy")
            return
        if not _is_example(app, home):
            return
        text = f"{APPLICATION}: {sync}, {health}"
        if text != told:
            say(text)
            told = text
        if daemons.alive(home, ENGINE) is None:
            raise _with_last_words(home, ENGINE, f"engine ended while {APPLICATION} was waited for")
        if time.monotonic() > deadline:
            raise UpError(
                f"{APPLICATION} is still {sync} and {health} after {HEALTHY_WITHIN_S:.0f} s{_reason(status)}. "
                f"Look at `tiphys app get {APPLICATION}` and {home.log(ENGINE)}"
            )
        await asyncio.sleep(0.1)


def _reason(status: Mapping[str, Any]) -> str:
    told = [str(item.get("message") or "") for item in status.get("conditions") or ()]
    told.append(str((status.get("operationState") or {}).get("message") or ""))
    first = next((text for text in told if text), "")
    return f": {first.splitlines()[0]}" if first else ""


def _is_example(app: Mapping[str, Any], home: Home) -> bool:
    source = (app.get("spec") or {}).get("source") or {}
    return bool(source.get("repoURL") == home.repository.as_uri())


def environment(home: Home, bin_folder: Path) -> dict[str, str]:
    """What a shell needs to talk to what runs here: kubectl and the CLI find it by themselves then."""
    return {
        "TIPHYS_HOME": str(home.root),
        "KUBECONFIG": str(home.kubeconfig),
        "ARGOCD_CONFIG_DIR": str(home.cli_config.parent),
        "PATH": f"{bin_folder}{os.pathsep}$PATH",
    }
