"""Runs simulated controllers and the simulated node against one cluster until cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tiphys.apimachinery import meta
from tiphys.devcluster.access import ClusterAccess
from tiphys.devcluster.workloads.addresses import Ingresses, LoadBalancers
from tiphys.devcluster.workloads.autoscaling import Autoscalers
from tiphys.devcluster.workloads.cronjob import CronJobs
from tiphys.devcluster.workloads.daemonset import DaemonSets
from tiphys.devcluster.workloads.deployment import Deployments
from tiphys.devcluster.workloads.disruption import Budgets
from tiphys.devcluster.workloads.endpoints import Endpoints
from tiphys.devcluster.workloads.fields import Obj, is_true
from tiphys.devcluster.workloads.job import Jobs
from tiphys.devcluster.workloads.kubelet import NODE, Kubelet
from tiphys.devcluster.workloads.node import Node, Scheduler
from tiphys.devcluster.workloads.replicaset import ReplicaSets
from tiphys.devcluster.workloads.statefulset import StatefulSets
from tiphys.devcluster.workloads.taints import Taints
from tiphys.devcluster.workloads.volumes import Volumes
from tiphys.devcluster.workloads.world import NODES, Controller, World
from tiphys.runtime.clock import Clock
from tiphys.runtime.ids import Ids, SystemIds
from tiphys.runtime.log import SILENT, Logger

MakeController = Callable[[World], Controller]


def _live_node(world: World) -> Controller:
    return Node(world, renew=True)


def _quiet_node(world: World) -> Controller:
    return Node(world, renew=False)


def _provisioned_volumes(world: World) -> Controller:
    return Volumes(world, bind=False)


def _binding_volumes(world: World) -> Controller:
    return Volumes(world, bind=True)


NODE_ONLY: Sequence[MakeController] = (_live_node, Kubelet, LoadBalancers, Ingresses, _provisioned_volumes)
"""What a real control plane lacks: a node that is alive, its kubelet, and what a cloud would give."""

ALL: Sequence[MakeController] = (
    _quiet_node,
    Kubelet,
    Scheduler,
    Taints,
    LoadBalancers,
    Ingresses,
    Deployments,
    ReplicaSets,
    StatefulSets,
    DaemonSets,
    Jobs,
    CronJobs,
    Endpoints,
    _binding_volumes,
    Autoscalers,
    Budgets,
)
"""Everything an API server without controllers lacks, but what the embedded server does itself."""


class Simulation:
    """Controllers over one cluster. `ready`: the caches are filled and the controllers run; `registered`: the node is there."""

    def __init__(
        self,
        access: ClusterAccess,
        *,
        clock: Clock,
        controllers: Sequence[MakeController] = ALL,
        ids: Ids | None = None,
        log: Logger = SILENT,
        events: bool = True,
    ) -> None:
        self.world = World(access, clock=clock, ids=ids or SystemIds(), log=log, events=events)
        self.controllers = [make(self.world) for make in controllers]
        self.ready = asyncio.Event()
        self.registered = asyncio.Event()

    async def run(self) -> None:
        """Follow the cluster and act until cancelled."""
        for controller in self.controllers:
            controller.attach()
        self.world.informer(NODES).subscribe(self._node_changed)
        async with asyncio.TaskGroup() as group:
            for resource, informer in self.world.informers.items():
                group.create_task(informer.run(), name=f"informer {resource}")
            group.create_task(self.world.events.run(), name="events")
            for informer in self.world.informers.values():
                await informer.synced.wait()
            for controller in self.controllers:
                group.create_task(controller.run(), name=controller.name)
            self.ready.set()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and meta.name(new) == NODE and is_true(new, "Ready"):
            self.registered.set()


async def run_simulation(
    access: ClusterAccess, *, clock: Clock, node_only: bool = False, log: Logger = SILENT, events: bool = True
) -> None:
    """Run all controllers (or with `node_only` those a real control plane lacks) until cancelled."""
    controllers = NODE_ONLY if node_only else ALL
    await Simulation(access, clock=clock, controllers=controllers, log=log, events=events).run()
