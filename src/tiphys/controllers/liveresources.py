"""Single live objects of an Application, as the API reads, patches, deletes and acts on them; their Events and logs.

An object is only found here when the Application manages it, or something it manages owns it. What is given out has the
values of Secrets masked.

Source: compat 4.4, 13.1.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery import mergepatch
from tiphys.apimachinery.apierrors import ApiError, NotFound, forbidden
from tiphys.apimachinery.names import GroupKind, ResourceKey, key_of
from tiphys.controllers.actions import ActionError, available, perform
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.clusters import ClusterSession
from tiphys.controllers.comparison import Permissions
from tiphys.controllers.controlplane import ControlPlane, Key
from tiphys.controllers.masking import SECRET, mask_secrets
from tiphys.engine.live.tree import descend
from tiphys.engine.states import Comparison, Live
from tiphys.kube.client import MERGE, ApiResource, KubeClient, error_of
from tiphys.kube.transport import Response
from tiphys.runtime.clock import Clock

FIELD_MANAGER = "argocd-server"
EVENTS = ApiResource("", "v1", "Event", "events", True)
PODS = ApiResource("", "v1", "Pod", "pods", True)
POD = GroupKind("", "Pod")
MAX_LINE_BYTES = 256 * 1024  # a longer line of a log is given in parts


class LiveResources:
    """Finds live objects of Applications."""

    def __init__(self, controller: ApplicationController, plane: ControlPlane, *, clock: Clock) -> None:
        self._controller = controller
        self._plane = plane
        self._clock = clock

    def find(self, app: Key, key: ResourceKey, version: str = "") -> LiveResource | None:
        """A live object of an Application, in a version of its kind if one is given; None when it has no such object."""
        found = self._controller.comparison(app)
        if found is None:
            return None
        comparison, session = found
        row = session.index.get(key)
        if row is None:
            return None
        managed = {root.key for root in _roots(comparison, session)}
        if not any(root.key in managed for root in session.index.roots(row)):
            return None
        return LiveResource(self, app, session, row, version or row.version, self._clock)

    def pods(
        self, app: Key, *, group: str = "", kind: str = "", namespace: str = "", name: str = ""
    ) -> Sequence[tuple[str, str]]:
        """(namespace, name) of the Application's Pods that match, or that something that matches owns; empty matches all."""
        found = self._controller.comparison(app)
        if found is None:
            return ()
        comparison, session = found
        asked = (("group", group), ("kind", kind), ("namespace", namespace), ("name", name))
        wanted: set[str] = set()
        pods = []
        for row, parent in descend(session.index, _roots(comparison, session)):
            if (parent is not None and parent.uid in wanted) or all(
                not value or getattr(row.key, field) == value for field, value in asked
            ):
                wanted.add(row.uid)
                if row.key.group_kind == POD:
                    pods.append((row.key.namespace, row.key.name))
        return sorted(pods)

    def log(self, app: Key, pod: tuple[str, str], query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Lines of a Pod's log, asked for with the query parameters of the Kubernetes API.

        Raises ApiError, ClusterUnreachable.
        """
        found = self._controller.comparison(app)
        if found is None:
            raise NotFound(f'pods "{pod[1]}" not found')
        return _log_lines(found[1].client, pod, query)

    async def events(self, app: Key, uid: str, about: tuple[str, str] | None) -> Sequence[Mapping[str, Any]] | None:
        """Events of the Application itself, or of an object (namespace, name) that belongs to it; None when it has none such.

        Raises ApiError, ClusterUnreachable.
        """
        if about is None:
            return await _events(self._plane.client, app[0], app[1], uid)
        found = self._controller.comparison(app)
        if found is None:
            return None
        for row, _parent in descend(found[1].index, _roots(*found)):
            if row.uid == uid and (row.key.namespace, row.key.name) == about:
                return await _events(found[1].client, *about, uid)
        return None

    async def own_events(self, name: str, uid: str) -> Sequence[Mapping[str, Any]]:
        """Events of another object of the control plane's namespace. Raises ApiError, ClusterUnreachable."""
        return await _events(self._plane.client, self._plane.namespace, name, uid)

    async def refusal(self, app: Key) -> Callable[[ResourceKey], str | None]:
        """What the project says of objects of the Application: why one must not be touched. Raises StageError."""
        context = await self._controller.context(app)
        permit = Permissions(context.project, context.destination)
        return lambda key: permit(key.group_kind, bool(key.namespace), key.namespace, key.name)


class LiveResource:
    """One live object. All methods raise ApiError and ClusterUnreachable."""

    def __init__(
        self, resources: LiveResources, app: Key, session: ClusterSession, row: Live, version: str, clock: Clock
    ) -> None:
        self.key = row.key
        self.uid = row.uid
        self._resources = resources
        self._app = app
        self._session = session
        self._version = version
        self._clock = clock

    async def read(self) -> dict[str, Any]:
        """The object as the cluster has it now, Secret values masked."""
        return _masked(await self._read())

    async def patch(self, patch: bytes, content_type: str) -> dict[str, Any]:
        """Change it by a patch of a media type; the object afterwards, Secret values masked."""
        try:
            answer = await self._session.client.patch(
                await self._resource(),
                self.key.name,
                patch,
                self.key.namespace,
                content_type=content_type,
                field_manager=FIELD_MANAGER,
            )
        except ApiError as error:
            if self.key.group_kind != SECRET:
                raise
            # What the server says of a patch may quote it.
            message = f"failed to patch Secret {self.key.namespace}/{self.key.name}"
            raise type(error)(message, code=error.code, reason=error.reason) from None
        self._session.index.upsert(answer)
        return _masked(answer)

    async def delete(self, *, propagation: str, grace_period_s: int | None) -> None:
        """Delete it."""
        await self._session.client.delete(
            await self._resource(),
            self.key.name,
            self.key.namespace,
            propagation=propagation,
            grace_period_s=grace_period_s,
            uid=self.uid,
        )

    async def actions(self) -> Sequence[Mapping[str, Any]]:
        """What can be done to it, as Argo CD's ResourceActions."""
        return [action.shown() for action in available(await self._read())]

    async def run_action(self, name: str, params: Mapping[str, str]) -> str:
        """Run an action on it; why that cannot be done, empty when it was. Raises StageError too."""
        live = await self._read()
        try:
            impact = perform(live, name, params, self._clock.now())
        except ActionError as error:
            return str(error)
        refused = (await self._resources.refusal(self._app))(key_of(impact.object))
        if refused is not None:
            raise forbidden(self.key.kind, self.key.group, self.key.name, refused)
        if impact.creates:
            await self._create(impact.object)
        else:
            await self._change(live, impact.object)
        return ""

    async def _create(self, obj: Mapping[str, Any]) -> None:
        key = key_of(obj)
        resource = await self._session.discovery.lookup(key.group_kind)
        if resource is None:
            raise NotFound(f"the cluster serves no {key.group_kind}")
        await self._session.client.create(resource, obj, key.namespace, field_manager=FIELD_MANAGER)

    async def _change(self, live: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        patch = mergepatch.create(live, wanted)
        status = patch.pop("status", None)
        if status is not None:
            await self._send({"status": status}, "status")
        if patch:
            await self._send(patch, "")

    async def _send(self, patch: Mapping[str, Any], subresource: str) -> None:
        resource, client = await self._resource(), self._session.client
        try:
            answer = await client.patch(
                resource,
                self.key.name,
                patch,
                self.key.namespace,
                content_type=MERGE,
                field_manager=FIELD_MANAGER,
                subresource=subresource,
            )
        except NotFound:
            if not subresource:
                raise
            await self._send(patch, "")  # a kind without the subresource keeps its status with the rest
            return
        self._session.index.upsert(answer)

    async def _read(self) -> dict[str, Any]:
        return await self._session.client.get(await self._resource(), self.key.name, self.key.namespace)

    async def _resource(self) -> ApiResource:
        found = await self._session.discovery.lookup(self.key.group_kind, self._version)
        if found is None:
            raise NotFound(f"the cluster serves no {self.key.group_kind} in version {self._version}")
        return found


def _roots(comparison: Comparison, session: ClusterSession) -> list[Live]:
    """What the Application manages and is there, hooks too; not what it declares and its project forbids."""
    denied = comparison.target.denied
    keys = (*comparison.verdicts, *(hook.key for hook in comparison.target.hooks))
    return [row for key in keys if key not in denied and (row := session.index.get(key)) is not None]


def _masked(obj: Mapping[str, Any]) -> dict[str, Any]:
    if key_of(obj).group_kind != SECRET:
        return dict(obj)
    masked = mask_secrets(obj)[0]
    assert masked is not None
    return masked


async def _events(client: KubeClient, namespace: str, name: str, uid: str) -> list[Mapping[str, Any]]:
    terms = {"involvedObject.name": name, "involvedObject.namespace": namespace, "involvedObject.uid": uid}
    selector = ",".join(f"{field}={value}" for field, value in terms.items() if value)
    found: list[Mapping[str, Any]] = []
    # Events of cluster-scoped objects are in the default namespace, wherever the object is not.
    async for page in client.list_pages(EVENTS, namespace or "default", field_selector=selector):
        found += page.items
    return found


async def _log_lines(client: KubeClient, pod: tuple[str, str], query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    path = PODS.path(*pod, "log")
    async with client.transport.stream(path, query=query) as response:
        try:
            if response.status != 200:
                raise error_of(Response(response.status, response.headers, await response.content.read(65536)))
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
                while len(rest) > MAX_LINE_BYTES:
                    yield rest[:MAX_LINE_BYTES]
                    rest = rest[MAX_LINE_BYTES:]
            if rest:
                yield rest
        except (ApiError, GeneratorExit):
            raise
        except Exception as error:
            raise client.transport.unreachable(error) from None
