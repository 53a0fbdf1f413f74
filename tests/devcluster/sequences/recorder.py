"""Follows every object of the kinds that controllers touch, and a user who changes them.

One `Recorder` serves all stories of a run; a story has a namespace of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, NotFound
from tiphys.devcluster.workloads.world import KINDS as WORKLOADS
from tiphys.devenv.kubeaccess import KubeAccess
from tiphys.kube.client import ApiResource, KubeClient
from tiphys.kube.config import read_kubeconfig
from tiphys.runtime.clock import SystemClock

KINDS: Final[Mapping[str, str]] = {
    **{name: kind for name, kind in WORKLOADS.items() if kind not in ("Node", "Lease", "StorageClass", "IngressClass")},
    "v1/namespaces": "Namespace",
    "v1/configmaps": "ConfigMap",
    "v1/replicationcontrollers": "ReplicationController",
}
RESOURCES: Final = {kind: resource for resource, kind in KINDS.items()}
UNFOLLOWED: Final = frozenset(("Event",))
QUIET_S: Final = 1.2
"""A story is over when nothing has happened in its namespace for so long."""

Obj = dict[str, Any]


class Recorder:
    """Every state of every object, by kind and uid, in the order they were told."""

    def __init__(self, access: KubeAccess) -> None:
        self._access = access
        self.states: dict[tuple[str, str], list[Obj]] = {}
        self.gone: set[str] = set()
        self._changed = asyncio.Condition()
        self._last: dict[str, float] = {}

    async def run(self, ready: asyncio.Event) -> None:
        """Follow until cancelled."""
        versions: dict[str, str] = {}
        for resource, kind in KINDS.items():
            if kind not in UNFOLLOWED:
                _, versions[resource] = await self._access.list(resource)
        async with asyncio.TaskGroup() as group:
            for resource, version in versions.items():
                group.create_task(self._follow(resource, version))
            ready.set()

    async def _follow(self, resource: str, version: str) -> None:
        kind = KINDS[resource]
        async for event, found in self._access.watch(resource, version):
            if event == "BOOKMARK":
                continue
            obj: Any = found
            uid = obj["metadata"]["uid"]
            if event == "DELETED":
                self.gone.add(uid)
            self.states.setdefault((kind, uid), []).append(obj)
            self._last[namespace_of(kind, obj)] = time.monotonic()
            async with self._changed:
                self._changed.notify_all()

    def now(self, namespace: str, kind: str, name: str) -> Obj | None:
        """The last state of an object, None when there is none."""
        for (one, uid), states in reversed(self.states.items()):
            metadata = states[-1]["metadata"]
            here = kind == "Namespace" or metadata.get("namespace") == namespace
            if one == kind and uid not in self.gone and metadata["name"] == name and here:
                return states[-1]
        return None

    def alive(self, namespace: str, kind: str) -> list[Obj]:
        """The objects of a kind that are there, as last told."""
        return [
            states[-1]
            for (one, uid), states in self.states.items()
            if one == kind and uid not in self.gone and states[-1]["metadata"].get("namespace") == namespace
        ]

    async def until(self, met: Callable[[], bool], *, what: str, within_s: float) -> None:
        """Wait until something holds of what was told."""
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(met)
        except TimeoutError:
            raise AssertionError(f"{what}: not so after {within_s} s") from None

    async def quiet(self, namespace: str, seconds: float = QUIET_S) -> None:
        """Wait until nothing has happened in a namespace for some time."""
        asked = time.monotonic()  # what was asked for just now may not have been told yet
        deadline = asked + 60
        while (left := seconds - (time.monotonic() - max(asked, self._last.get(namespace, 0.0)))) > 0:
            assert time.monotonic() < deadline, f"{namespace} does not come to rest"
            await asyncio.sleep(left)


def namespace_of(kind: str, obj: Obj) -> str:
    """The namespace whose story an object belongs to; a volume belongs to its claim's."""
    if kind == "Namespace":
        return str(obj["metadata"]["name"])
    if kind == "PersistentVolume":
        return str(((obj.get("spec") or {}).get("claimRef") or {}).get("namespace") or "")
    return str(obj["metadata"].get("namespace") or "")


class User:
    """Who acts in one story."""

    def __init__(self, recorder: Recorder, access: KubeAccess, client: KubeClient, namespace: str) -> None:
        self.recorder = recorder
        self._access = access
        self._client = client
        self.namespace = namespace
        self.answers: list[str] = []
        self._written: dict[tuple[str, str], int] = {}

    async def begin(self) -> None:
        """Make the namespace and wait until Pods may be made in it."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        try:
            await self._access.create("v1/namespaces", "", body)
        except AlreadyExists:
            raise AssertionError(
                f"namespace {self.namespace} is there already; the cluster has to be a new one"
            ) from None
        deadline = time.monotonic() + 30
        while True:
            try:
                await self._access.get("v1/serviceaccounts", self.namespace, "default")
                await self._access.get("v1/configmaps", self.namespace, "kube-root-ca.crt")
                return
            except NotFound:
                assert time.monotonic() < deadline, "the namespace is never equipped"
                await asyncio.sleep(0.02)

    async def create(self, kind: str, name: str, **parts: Any) -> Obj:
        """Create an object; `parts` are its other top-level fields, `metadata` is added to."""
        resource = RESOURCES[kind]
        metadata = {**parts.pop("metadata", {}), "name": name}
        namespace = "" if kind == "PersistentVolume" else self.namespace
        body = {"apiVersion": resource.rpartition("/")[0], "kind": kind, "metadata": metadata, **parts}
        created: Any = await self._access.create(resource, namespace, body)
        return dict(created)

    async def patch(self, kind: str, name: str, body: Any, *, subresource: str = "") -> None:
        """Merge a patch."""
        namespace = "" if kind == "Namespace" else self.namespace
        changed: Any = await self._access.patch(RESOURCES[kind], namespace, name, body, subresource=subresource)
        self._written[kind, name] = int(changed["metadata"]["resourceVersion"])

    async def delete(self, kind: str, name: str, propagation: Any = None) -> None:
        """Delete an object."""
        namespace = "" if kind == "Namespace" else self.namespace
        await self._access.delete(RESOURCES[kind], namespace, name, propagation=propagation)

    async def evict(self, pod: str) -> None:
        """Ask for an eviction; the answer is kept in `answers`."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        pods = ApiResource("", "v1", "Pod", "pods", namespaced=True)
        try:
            await self._client.create(
                pods, body, self.namespace, field_manager="tests", name=pod, subresource="eviction"
            )
        except ApiError as error:
            causes = "; ".join(str(cause.get("message")) for cause in error.details.get("causes") or ())
            self.answers.append(f"{error.code} {error.reason}: {error.message} {causes}".strip())
        else:
            self.answers.append("evicted")

    def get(self, kind: str, name: str) -> Obj | None:
        """An object as last told."""
        return self.recorder.now(self.namespace, kind, name)

    def all(self, kind: str) -> list[Obj]:
        """Objects of a kind as last told."""
        return self.recorder.alive(self.namespace, kind)

    async def until(self, kind: str, name: str, met: Callable[[Obj], bool], *, within_s: float = 60.0) -> None:
        """Wait until an object is as wanted, in a state that is not older than what was last written here."""
        seen: list[Obj | None] = [None]
        written = self._written.get((kind, name), 0)

        def look() -> bool:
            found = seen[0] = self.get(kind, name)
            return found is not None and int(found["metadata"]["resourceVersion"]) >= written and met(found)

        try:
            await self.recorder.until(look, what=f"{kind} {name}", within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; last: {seen[0]}") from None

    async def until_gone(self, kind: str, name: str, *, within_s: float = 60.0) -> None:
        """Wait until an object is gone."""
        await self.recorder.until(lambda: self.get(kind, name) is None, what=f"{kind} {name} gone", within_s=within_s)

    async def until_count(self, kind: str, count: int, met: Callable[[Obj], bool] = lambda obj: True) -> None:
        """Wait until there are so many objects of a kind that are as wanted."""
        await self.recorder.until(
            lambda: sum(map(met, self.all(kind))) == count, what=f"{count} of {kind}", within_s=60.0
        )

    async def rest(self, seconds: float = QUIET_S) -> None:
        """Wait until nothing happens any more."""
        await self.recorder.quiet(self.namespace, seconds)

    async def events(self) -> list[Obj]:
        """The Events of the namespace."""
        found, _ = await self._access.list("v1/events", namespace=self.namespace)
        return [dict(one) for one in found]


@asynccontextmanager
async def recording(kubeconfig: Path) -> AsyncIterator[Callable[[str], User]]:
    """A recorder that runs; what is given makes the user of a namespace."""
    clock = SystemClock()
    async with KubeClient(read_kubeconfig(kubeconfig), user_agent="tests", clock=clock) as client:
        access = KubeAccess(client, manager="tests", kinds=KINDS, clock=clock)
        recorder = Recorder(access)
        ready = asyncio.Event()
        following = asyncio.create_task(recorder.run(ready))
        try:
            async with asyncio.timeout(30):
                await ready.wait()
            yield lambda namespace: User(recorder, access, client, namespace)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
