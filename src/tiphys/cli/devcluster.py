"""`tiphys devcluster`: the embedded Kubernetes API server, in the foreground."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import sys
from pathlib import Path
from typing import Literal

import click


@click.command("devcluster")
@click.option("--name", default="tiphys", show_default=True, help="Name of the cluster and of its kubeconfig context.")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the store and the keys. [default: $XDG_STATE_HOME/tiphys/devcluster/NAME]",
)
@click.option("--port", default=16443, show_default=True, help="Port on the loopback address; 0 takes any free one.")
@click.option("--in-memory", is_flag=True, help="Keep objects in memory only; nothing survives the process.")
@click.option(
    "--kubeconfig-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the kubeconfig. [default: HOME/kubeconfig]",
)
@click.option("--no-simulation", is_flag=True, help="Only the API server: no simulated controllers, no node.")
@click.option(
    "--authorization",
    type=click.Choice(("rbac", "allow-all")),
    default="rbac",
    show_default=True,
    help="Who may do what: as roles and bindings say, or everyone with a token everything.",
)
@click.option("--log-level", default="warning", show_default=True, help="debug, info, warning or error; to stderr.")
def devcluster(
    name: str,
    home: Path | None,
    port: int,
    in_memory: bool,
    kubeconfig_out: Path | None,
    no_simulation: bool,
    authorization: Literal["rbac", "allow-all"],
    log_level: str,
) -> None:
    """Run the embedded Kubernetes API server until it is told to stop.

    Prints one line when it answers. Pods are simulated: no container runs.

    \b
    Examples:
      tiphys devcluster
      tiphys devcluster --name b --port 0 --in-memory --kubeconfig-out ./b.kubeconfig
    """
    from tiphys.devcluster.serve import ServeError, ServeOptions

    faulthandler.enable()  # a crash in native code leaves a trace in the log
    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    folder = home or _default_home(name)
    options = ServeOptions(
        home=folder,
        name=name,
        port=port,
        in_memory=in_memory,
        simulate=not no_simulation,
        authorization=authorization,
        kubeconfig_out=kubeconfig_out or folder / "kubeconfig",
    )
    try:
        _run(options)
    except* ServeError as group:
        raise click.ClickException(str(group.exceptions[0])) from None
    except* OSError as group:  # the folder: read-only, not ours, or full
        raise click.ClickException(f"{folder} cannot be used: {group.exceptions[0]}") from None


def _default_home(name: str) -> Path:
    import os

    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "tiphys" / "devcluster" / name


def _run(options: object) -> None:
    from tiphys.devcluster.serve import Running, ServeOptions, serve

    assert isinstance(options, ServeOptions)

    def ready(running: Running) -> None:
        click.echo(f"embedded cluster {options.name!r} answers at {running.url}, kubeconfig {running.kubeconfig_path}")

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(options, on_ready=ready, stop=stop)

    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
