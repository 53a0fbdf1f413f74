"""`tiphys nodesim`: a simulated node for an API server that has none."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from pathlib import Path

import click


@click.command("nodesim")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Kubeconfig of an identity that may do everything kubelets and load balancers do.",
)
@click.option("--context", help="Context of the kubeconfig. [default: its current one]")
@click.option("--events/--no-events", default=True, show_default=True, help="Write Events about simulated Pods.")
@click.option(
    "--controllers",
    is_flag=True,
    help="Simulate the controllers and the scheduler too: for an API server that stands alone.",
)
@click.option("--log-level", default="info", show_default=True, help="debug, info, warn or error; to stderr.")
def nodesim(kubeconfig: Path, context: str | None, events: bool, controllers: bool, log_level: str) -> None:
    """Stand in for a node: Pods become ready, Jobs end, load balancers get addresses, and no container runs.

    Prints one line when the node is registered, and runs until it is told to stop. Annotations in a Pod template make
    trouble on purpose: embedded.tiphys.dev/never-ready, crash-loop, image-pull-failure, start-delay, exit-code, run-seconds.

    \b
    Example:
      tiphys nodesim --kubeconfig ./admin.kubeconfig
    """
    from tiphys.kube.config import ClusterConfigError, read_kubeconfig

    faulthandler.enable()  # a crash in native code leaves a trace in the log
    try:
        config = read_kubeconfig(kubeconfig, context=context)
    except ClusterConfigError as error:
        raise click.ClickException(str(error)) from None
    try:
        import uvloop
    except ImportError:
        asyncio.run(_run(config, events=events, controllers=controllers, log_level=log_level))
    else:
        uvloop.run(_run(config, events=events, controllers=controllers, log_level=log_level))


async def _run(config: object, *, events: bool, controllers: bool, log_level: str) -> None:
    from tiphys.devcluster.workloads import ALL, NODE_ONLY, Simulation
    from tiphys.devcluster.workloads.kubelet import NODE
    from tiphys.devcluster.workloads.world import KINDS
    from tiphys.devenv.kubeaccess import KubeAccess
    from tiphys.kube.client import KubeClient
    from tiphys.kube.config import ClusterConfig
    from tiphys.runtime.clock import SystemClock
    from tiphys.runtime.log import Logger, LogSink, parse_level

    assert isinstance(config, ClusterConfig)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    log = Logger(LogSink(sys.stderr, level=parse_level(log_level), clock=clock))
    async with KubeClient(config, user_agent="tiphys-nodesim", clock=clock, env=dict(os.environ)) as client:
        access = KubeAccess(client, manager="embedded-cluster", kinds=KINDS, clock=clock)
        chosen = ALL if controllers else NODE_ONLY
        simulation = Simulation(access, clock=clock, controllers=chosen, log=log, events=events)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(simulation.run())
            started = group.create_task(simulation.registered.wait())
            stopping = group.create_task(stop.wait())
            await asyncio.wait((running, started, stopping), return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                click.echo(f"node {NODE!r} is registered at {client.server}; Pods are simulated, no container runs")
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            for task in (running, started, stopping):
                task.cancel()
