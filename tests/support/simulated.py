"""Simulated controllers over the in-memory cluster, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.support.clock import VirtualClock, settle
from tests.support.fakeaccess import FakeAccess
from tests.support.ids import CountedIds

from tiphys.devcluster.workloads.simulation import ALL, MakeController, Simulation
from tiphys.devcluster.workloads.world import DEPLOYMENTS, JOBS, PODS, REPLICASETS

NAMESPACE = "team"


class Simulated:
    """A cluster with running controllers. `quiet` lets everything happen that can happen without time passing."""

    def __init__(self, access: FakeAccess, clock: VirtualClock, simulation: Simulation) -> None:
        self.access = access
        self.clock = clock
        self.simulation = simulation

    async def quiet(self) -> None:
        """Until nothing changes any more."""
        still, version = 0, -1
        for _ in range(2000):
            await settle(25)
            still = still + 1 if self.access.version == version else 0
            version = self.access.version
            if still == 3:
                return
        raise AssertionError(f"the cluster does not come to rest; last writes: {self.access.writes[-12:]}")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and everything happen that comes with it."""
        await self.quiet()
        await self.clock.advance(seconds, turns=300)
        await self.quiet()

    async def create(self, resource: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
        """Create an object and let everything happen that follows from it."""
        body = {"metadata": {"name": name, "namespace": NAMESPACE, **metadata}, "spec": spec}
        created = await self.access.create(resource, NAMESPACE, body)
        await self.quiet()
        return dict(created)

    async def change(self, resource: str, name: str, body: Mapping[str, Any]) -> None:
        """Merge a patch into an object, as a user does."""
        await self.access.patch(resource, NAMESPACE, name, body)
        await self.quiet()

    async def delete(self, resource: str, name: str) -> None:
        """Delete an object, as a user does."""
        await self.access.delete(resource, NAMESPACE, name)
        await self.quiet()

    def get(self, resource: str, name: str) -> dict[str, Any]:
        """One object as it stands."""
        for obj in self.access.objects(resource):
            if obj["metadata"]["name"] == name:
                return obj
        raise AssertionError(f"no {resource} {name}")

    def status(self, resource: str, name: str) -> dict[str, Any]:
        """The status of one object."""
        found: dict[str, Any] = self.get(resource, name).get("status") or {}
        return found

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """Pods with these labels."""
        return [p for p in self.access.objects(PODS) if labels.items() <= (p["metadata"].get("labels") or {}).items()]

    def events(self, reason: str) -> list[str]:
        """Messages of the Events with this reason."""
        return [one["message"] for one in self.access.objects("v1/events") if one["reason"] == reason]


@asynccontextmanager
async def simulated(controllers: Sequence[MakeController] = ALL, *, events: bool = True) -> AsyncIterator[Simulated]:
    """A cluster with controllers, for a while."""
    clock = VirtualClock()
    ids = CountedIds()
    access = FakeAccess(clock=clock, ids=ids)
    simulation = Simulation(access, clock=clock, controllers=controllers, ids=ids, events=events)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(simulation.run())
        world = Simulated(access, clock, simulation)
        await world.quiet()
        yield world
        running.cancel()


def template(*, image: str = "web:1", annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Pod template with one container `c`."""
    container = {"name": "c", "image": image, **spec.pop("container", {})}
    metadata: dict[str, Any] = {"labels": {"app": "web"}}
    if annotations:
        metadata["annotations"] = {f"embedded.tiphys.dev/{name}": value for name, value in annotations.items()}
    return {"metadata": metadata, "spec": {"restartPolicy": "Always", **spec, "containers": [container]}}


def deployment_spec(*, replicas: int = 2, strategy: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Spec of a Deployment; what `template` takes may be given, too."""
    known = {name: more.pop(name) for name in ("image", "annotations", "container") if name in more}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    return {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": strategy or rolling,
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10,
        "template": template(**known),
        **more,
    }


def job_spec(**more: Any) -> dict[str, Any]:
    """Spec of a Job with restartPolicy Never."""
    known = {name: more.pop(name) for name in ("image", "annotations", "container", "restartPolicy") if name in more}
    known.setdefault("restartPolicy", "Never")
    return {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template(**known), **more}


__all__ = [
    "DEPLOYMENTS",
    "JOBS",
    "NAMESPACE",
    "PODS",
    "REPLICASETS",
    "Simulated",
    "deployment_spec",
    "job_spec",
    "simulated",
]
