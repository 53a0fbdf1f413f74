"""Keeps two engines from acting on one namespace: one holds the Lease and acts, the others follow and write nothing.

Beside an Argo CD application controller nobody acts: it knows nothing of our Lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tiphys.apimachinery.apierrors import ApiError
from tiphys.kube.client import ApiResource, KubeClient
from tiphys.kube.lease import LeaseLock, LeaseLostError
from tiphys.runtime.log import SILENT, Logger

LEASE = "tiphys"
ARGOCD_CONTROLLER = "argocd-application-controller"
NAME_LABEL = "app.kubernetes.io/name"
_WORKLOADS = (
    ApiResource("apps", "v1", "StatefulSet", "statefulsets", True),
    ApiResource("apps", "v1", "Deployment", "deployments", True),
)


class BesideArgoCDError(Exception):
    """An Argo CD application controller is responsible for the namespace."""


class Leadership:
    """Competes for the Lease; acts while it is held."""

    def __init__(
        self,
        make_lock: Callable[[Callable[[str], None]], LeaseLock],
        *,
        namespace: str,
        prepare: Callable[[], Awaitable[None]],
        act: Callable[[], None],
        halt: Callable[[], None],
        log: Logger = SILENT,
    ) -> None:
        """`make_lock` takes the callback that is told of the Lease's loss; `prepare` is awaited each time the Lease was
        won, before `act`; `halt` must stop all acting before it returns."""
        self._make_lock = make_lock
        self._namespace = namespace
        self._prepare = prepare
        self._act = act
        self._halt = halt
        self._log = log

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Awaitable[None]]) -> None:
        """Compete until told to stop. Ready as soon as it is known who acts, be it somebody else."""
        lock = self._make_lock(self._lost)
        try:
            async with asyncio.TaskGroup() as group:
                leading = group.create_task(self._lead(lock, ready))
                await until_stopped()
                leading.cancel()
        finally:
            self._halt()
            await lock.release()

    def _lost(self, why: str) -> None:
        self._halt()
        self._log.error("the lease is lost; this engine acts no more", namespace=self._namespace, problem=why)

    async def _lead(self, lock: LeaseLock, ready: Callable[[], None]) -> None:
        if not await lock.try_acquire():
            self._log.warning(
                "another Tiphys acts on this namespace; this one waits until it ends",
                namespace=self._namespace,
                holder=lock.holder,
            )
            ready()
            await lock.acquire()
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(lock.keep())
                    await self._prepare()
                    self._log.info("this engine acts on the namespace", namespace=self._namespace)
                    self._act()
                    ready()
            except* LeaseLostError:
                pass  # said in `_lost`
            await lock.acquire()


async def refuse_beside_argocd(client: KubeClient, *, namespace: str, take_over: bool) -> None:
    """Raise BesideArgoCDError unless no Argo CD application controller is installed in the namespace, or the one that is
    has been scaled to zero and `take_over` says that we are meant to act in its place."""
    for resource in _WORKLOADS:
        try:
            found = [obj async for page in client.list_pages(resource, namespace) for obj in page.items]
        except ApiError as error:
            if take_over:
                continue
            raise BesideArgoCDError(
                f"whether an Argo CD application controller runs in namespace {namespace} cannot be told: "
                f"{resource.plural} cannot be listed ({error.message}). Allow it, or start with --take-over if none does"
            ) from error
        for obj in found:
            if not _is_application_controller(obj):
                continue
            what = f"{resource.kind} {namespace}/{obj['metadata']['name']}"
            if _replicas(obj):
                raise BesideArgoCDError(
                    f"{what} is an active Argo CD application controller, and two would undo each other's work. "
                    f"Scale it to zero (kubectl scale --replicas=0 -n {namespace} "
                    f"{resource.plural}/{obj['metadata']['name']}) and start with --take-over"
                )
            if not take_over:
                raise BesideArgoCDError(
                    f"{what} is an Argo CD application controller, scaled to zero. "
                    "Start with --take-over to act in its place"
                )


def _is_application_controller(obj: Mapping[str, Any]) -> bool:
    metadata = obj.get("metadata") or {}
    return metadata.get("name") == ARGOCD_CONTROLLER or (metadata.get("labels") or {}).get(NAME_LABEL) == (
        ARGOCD_CONTROLLER
    )


def _replicas(obj: Mapping[str, Any]) -> int:
    """Pods it has or is to have."""
    wanted = (obj.get("spec") or {}).get("replicas")
    there = (obj.get("status") or {}).get("replicas") or 0
    return max(1 if wanted is None else int(wanted), int(there))
