"""`ClusterAccess` over HTTP: simulated controllers and the simulated node as clients of any API server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar, cast

from tiphys.apimachinery.apierrors import ApiError, ServiceUnavailable
from tiphys.devcluster.access import Manifest, PatchKind, Propagation
from tiphys.kube.client import APPLY, JSON, MERGE, STRATEGIC, ApiResource, KubeClient
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.backoff import Backoff
from tiphys.runtime.clock import Clock

T = TypeVar("T")

_TYPES: Final[Mapping[PatchKind, str]] = {"merge": MERGE, "json": JSON, "strategic": STRATEGIC, "apply": APPLY}
# A server that ends watches at once must not be asked without a pause.
_PAUSE: Final = Backoff(initial_s=0.05, factor=2.0, max_s=5.0)
_SHORT_WATCH_S: Final = 1.0


class KubeAccess:
    """One API server through one client. An unreachable server is `ServiceUnavailable`, as if it had said so."""

    def __init__(self, client: KubeClient, *, manager: str, kinds: Mapping[str, str], clock: Clock) -> None:
        """`kinds` gives the kind of a resource, for lists, whose items do not say it; `manager` owns fields by default."""
        self._client = client
        self._manager = manager
        self._kinds = kinds
        self._clock = clock
        self._resources: dict[str, ApiResource] = {}

    def _resource(self, name: str) -> ApiResource:
        found = self._resources.get(name)
        if found is None:
            api_version, _, plural = name.rpartition("/")
            group, _, version = api_version.rpartition("/")
            found = ApiResource(group, version, self._kinds.get(name, ""), plural, namespaced=True)
            self._resources[name] = found
        return found

    async def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = ""
    ) -> tuple[list[Manifest], str]:
        """See ClusterAccess."""
        items: list[Manifest] = []
        version = ""
        try:
            pages = self._client.list_pages(self._resource(resource), namespace or "", label_selector=label_selector)
            async for page in pages:
                items += page.items
                version = page.resource_version
        except ClusterUnreachable as error:
            raise _unavailable(error) from None
        return items, version

    async def watch(self, resource: str, resource_version: str) -> AsyncIterator[tuple[str, Manifest]]:
        """See ClusterAccess."""
        version = resource_version
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                batches = self._client.watch_batches(self._resource(resource), resource_version=version)
                async with aclosing(cast(Any, batches)) as stream:
                    async for batch in stream:
                        for kind, obj in batch:
                            failures = 0
                            version = obj["metadata"].get("resourceVersion") or version
                            yield kind, obj
            except ClusterUnreachable as error:
                raise _unavailable(error) from None
            if self._clock.monotonic() - started < _SHORT_WATCH_S:
                failures += 1
                await self._clock.sleep(_PAUSE.delay_s(failures))

    async def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """See ClusterAccess."""
        try:
            return await self._client.get(self._resource(resource), name, namespace)
        except ClusterUnreachable as error:
            raise _unavailable(error) from None

    async def create(self, resource: str, namespace: str, obj: Manifest) -> Manifest:
        """See ClusterAccess."""
        try:
            return await self._client.create(self._resource(resource), obj, namespace, field_manager=self._manager)
        except ClusterUnreachable as error:
            raise _unavailable(error) from None

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        body: object,
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Manifest:
        """See ClusterAccess. The subresource `binding` takes a patch with `spec.nodeName`, which is sent as a Binding."""
        if subresource == "binding":
            return await self._bind(resource, namespace, name, cast("Mapping[str, Any]", body))
        try:
            return await self._client.patch(
                self._resource(resource),
                name,
                cast("dict[str, Any]", body),
                namespace,
                content_type=_TYPES[kind],
                field_manager=field_manager or self._manager,
                force=force,
                subresource=subresource,
            )
        except ClusterUnreachable as error:
            raise _unavailable(error) from None

    async def _bind(self, resource: str, namespace: str, name: str, body: Mapping[str, Any]) -> Manifest:
        node = body["spec"]["nodeName"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": body["metadata"]["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        pods = self._resource(resource)
        try:
            await self._client.create(
                pods, binding, namespace, field_manager=self._manager, name=name, subresource="binding"
            )
        except ClusterUnreachable as error:
            raise _unavailable(error) from None
        return await self.get(resource, namespace, name)

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        propagation: Propagation | None = None,
        grace_period_s: int | None = None,
    ) -> None:
        """See ClusterAccess."""
        try:
            await self._client.delete(
                self._resource(resource),
                name,
                namespace,
                propagation=propagation,
                grace_period_s=grace_period_s,
                uid=uid,
            )
        except ClusterUnreachable as error:
            raise _unavailable(error) from None


def _unavailable(error: ClusterUnreachable) -> ApiError:
    return ServiceUnavailable(str(error))
