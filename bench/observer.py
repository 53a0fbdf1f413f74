"""The judge: a client of its own with its own watches. A state counts from the moment its watch event arrived here.

The engine's logs and its API are never asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tiphys.kube.client import ApiResource, KubeClient
from tiphys.kube.config import read_kubeconfig
from tiphys.kube.watch import Reflector
from tiphys.runtime.clock import SystemClock

APPLICATIONS = ApiResource("argoproj.io", "v1alpha1", "Application", "applications", True)
CONFIG_MAPS = ApiResource("", "v1", "ConfigMap", "configmaps", True)
DEPLOYMENTS = ApiResource("apps", "v1", "Deployment", "deployments", True)
NAMESPACES = ApiResource("", "v1", "Namespace", "namespaces", False)

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name


class Observer:
    """Follows some kinds; `until` gives the monotonic time at which what is awaited was seen."""

    def __init__(self, client: KubeClient) -> None:
        self.client = client
        self._objects: dict[str, dict[Key, Object]] = {}
        self._waiting: list[tuple[str, Callable[[dict[Key, Object]], bool], asyncio.Future[float]]] = []

    def objects(self, res: ApiResource) -> dict[Key, Object]:
        """Objects of a followed kind as last seen."""
        return self._objects[res.plural]

    async def until(
        self, res: ApiResource, seen: Callable[[dict[Key, Object]], bool], *, within_s: float, what: str
    ) -> float:
        """Monotonic time at which the kind's objects satisfied `seen`. Raises TimeoutError with what was awaited."""
        if seen(self._objects[res.plural]):
            return time.monotonic()
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((res.plural, seen, future))
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            raise TimeoutError(f"{what} was not seen within {within_s:g} s") from None
        finally:
            self._waiting = [entry for entry in self._waiting if entry[2] is not future]

    def follow(self, res: ApiResource) -> Reflector:
        """A reflector that tells this observer."""
        known: dict[Key, Object] = self._objects.setdefault(res.plural, {})

        def replace(objects: list[Any], _version: str) -> None:
            known.clear()
            known.update((_key(obj), obj) for obj in objects)
            self._look(res.plural)

        def event(word: str, obj: Object) -> None:
            if word == "DELETED":
                known.pop(_key(obj), None)
            else:
                known[_key(obj)] = obj
            self._look(res.plural)

        return Reflector(self.client, res, clock=SystemClock(), on_replace=replace, on_event=event)

    def _look(self, plural: str) -> None:
        now = time.monotonic()
        for kind, seen, future in self._waiting:
            if kind == plural and not future.done() and seen(self._objects[plural]):
                future.set_result(now)


def _key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return (metadata.get("namespace", ""), metadata["name"])


@asynccontextmanager
async def observing(kubeconfig: Path, *kinds: ApiResource) -> AsyncIterator[Observer]:
    """An observer that has listed these kinds."""
    async with KubeClient(read_kubeconfig(kubeconfig), user_agent="bench-observer") as client:
        observer = Observer(client)
        async with asyncio.TaskGroup() as group:
            reflectors = [observer.follow(res) for res in kinds]
            tasks = [group.create_task(reflector.run()) for reflector in reflectors]
            for reflector in reflectors:
                await reflector.wait_synced()
            try:
                yield observer
            finally:
                for task in tasks:
                    task.cancel()


def done(app: Object) -> bool:
    """Synced, Healthy, and no operation running."""
    status = app.get("status") or {}
    return (
        (status.get("sync") or {}).get("status") == "Synced"
        and (status.get("health") or {}).get("status") == "Healthy"
        and (status.get("operationState") or {}).get("phase") == "Succeeded"
    )
