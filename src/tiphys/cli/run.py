"""`tiphys run`: the engine in the foreground."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
from pathlib import Path
from typing import Literal

import click


@click.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig of the cluster Tiphys lives in.")
@click.option("--context", help="Context of the kubeconfig.")
@click.option("--namespace", default="argocd", show_default=True, help="Namespace of Applications and settings.")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path("/var/lib/tiphys"),
    show_default=True,
    help="Folder for the store and the Git mirrors.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address the API listens on.")
@click.option("--port", default=8080, show_default=True, help="Port of the API; 0 takes a free one.")
@click.option("--insecure", is_flag=True, help="Serve plain HTTP: TLS ends at the ingress.")
@click.option("--allow-file-repositories", is_flag=True, help="Read file:// repositories of this machine.")
@click.option("--address-out", type=click.Path(path_type=Path), help="Write the API's URL to this file when ready.")
@click.option("--store", "store_url", default="", help="SQLAlchemy URL of the store; SQLite in --home by default.")
@click.option("--take-over", is_flag=True, help="Act in place of an Argo CD application controller scaled to zero.")
@click.option("--loglevel", default="info", show_default=True, help="debug, info, warn or error.")
@click.option(
    "--logformat",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="Form of log lines.",
)
def run(
    kubeconfig: Path | None,
    context: str | None,
    namespace: str,
    home: Path,
    host: str,
    port: int,
    insecure: bool,
    allow_file_repositories: bool,
    address_out: Path | None,
    store_url: str,
    take_over: bool,
    loglevel: str,
    logformat: Literal["auto", "text", "json"],
) -> int:
    """Run the engine: it keeps clusters equal to what Git declares.

    Example: tiphys run --kubeconfig ~/.kube/config --home ./tiphys-data
    """
    from tiphys.runtime.garbage import collect_seldom, keep_for_good
    from tiphys.runtime.log import LibraryHandler, LogSink, parse_level
    from tiphys.runtime.supervisor import ServiceError
    from tiphys.wiring import EngineOptions, build_engine

    faulthandler.enable()  # a crash in native code leaves a trace in the log
    sink = LogSink(sys.stderr, form=logformat, level=parse_level(loglevel))
    logging.getLogger().addHandler(LibraryHandler(sink))
    options = EngineOptions(
        home=home,
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        host=host,
        port=port,
        insecure=insecure,
        allow_file_repositories=allow_file_repositories,
        address_out=address_out,
        store_url=store_url,
        take_over=take_over,
    )

    async def main() -> None:
        collect_seldom()
        engine = build_engine(options, sink=sink, env=os.environ)
        keep_for_good()  # mostly code
        await engine.supervisor.run()

    try:
        if sys.platform != "win32":
            import uvloop

            uvloop.run(main())
        else:
            asyncio.run(main())
    except ServiceError as error:
        click.echo(f"tiphys run: {error}", err=True)
        return 1
    except OSError as error:  # the folder: read-only, not ours, or full
        click.echo(f"tiphys run: {home} cannot be used: {error}", err=True)
        return 1
    return 0
