"""How one object gets into the cluster: apply on the client's or the server's side, replace, delete and make anew.

Source: compat 2.4, 2.5.
Differs: `Force=true` makes an object anew with a server-side apply too, where kubectl refuses the two together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.states import FIELD_MANAGER, Live, StageError, Target
from tiphys.engine.sync.fieldowners import KUBECTL, migration
from tiphys.kube.client import APPLY, JSON, MERGE, STRATEGIC, ApiResource, KubeClient
from tiphys.kube.discovery import Discovery
from tiphys.model.annotations import LAST_APPLIED, annotations_of, effective_option, option_value, sync_options

DELETE_DEADLINE_S = 60.0  # an object that must go before it is made anew, because it cannot be patched
ATTEMPTS = 3
CRD = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
NAMESPACE = GroupKind("", "Namespace")
BINDINGS = frozenset(
    {
        GroupKind("rbac.authorization.k8s.io", "RoleBinding"),
        GroupKind("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    }
)


class Patcher(Protocol):
    """How the comparison stage makes objects to create and patches to send."""

    def to_create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The object to POST: the manifest with its last-applied annotation."""

    def to_patch(self, target: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[dict[str, Any], bool] | None:
        """The patch to send and whether it is a strategic one; None when there is nothing to send."""


class View(Protocol):
    """The live view: what the applier reads before it writes, and what it tells about its own writes."""

    def get(self, key: ResourceKey) -> Live | None:
        """The live object as last seen."""

    def upsert(self, obj: Mapping[str, Any]) -> None:
        """An object the API server answered a write with."""

    def remove(self, key: ResourceKey, resource_version: str = "") -> None:
        """An object the API server says is gone."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one operation that decide how its tasks are performed."""

    operation: str  # mark that tells this operation's hook objects from older ones
    sync_options: tuple[str, ...] = ()
    force: bool = False
    dry_run: bool = False
    propagation: str = "foreground"
    namespace_labels: Mapping[str, str] | None = None
    namespace_annotations: Mapping[str, str] | None = None
    migration_manager: str = KUBECTL

    @property
    def migrates(self) -> bool:
        """Fields of client-side managers move to ours before a server-side apply."""
        return "ClientSideApplyMigration=false" not in self.sync_options


class Strategy(StrEnum):
    """How an object is written."""

    CLIENT_SIDE = "client-side apply"
    SERVER_SIDE = "server-side apply"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Way:
    """How one object is written, and whether it may be deleted and made anew when it cannot be changed."""

    strategy: Strategy
    force: bool = False
    validate: bool = True


def way_of(target: Target, live: Live | None, options: Options) -> Way:
    """The way for one object: its own annotation, on the target or live, wins over the Application's options.

    Replace beats a server-side apply, and a dry-run has none: a client-side one says the same.
    """
    theirs = sync_options(annotations_of(live.manifest)) if live is not None and b"sync-options" in live.json else ()
    own = (*target.options, *theirs)
    given = options.sync_options
    force = options.force or "Force=true" in own
    validate = effective_option(target.options, given, "Validate") != "false"
    if effective_option(own, given, "Replace") == "true":
        return Way(Strategy.REPLACE, force, validate)
    if effective_option(target.options, given, "ServerSideApply") == "true" and not options.dry_run:
        return Way(Strategy.SERVER_SIDE, force, validate)
    return Way(Strategy.CLIENT_SIDE, force, validate)


@dataclass(frozen=True, slots=True)
class Written:
    """The object as the API server answered, and what was done in kubectl's word."""

    answer: Mapping[str, Any]
    verb: str


def not_served(key: ResourceKey) -> str:
    """What Argo CD says of a kind the cluster does not know."""
    group = key.group or "v1"
    return (
        f"The Kubernetes API could not find {group}/{key.kind} for requested resource {key.namespace}/{key.name}. "
        f'Make sure the "{key.kind}" CRD is installed on the destination cluster.'
    )


class ObjectWriter:
    """Writes and deletes objects of one cluster, one at a time."""

    def __init__(
        self,
        *,
        client: KubeClient,
        discovery: Discovery,
        view: View,
        patcher: Patcher,
        until: Callable[[Callable[[], bool], float], Awaitable[None]],
    ) -> None:
        """`until(condition, seconds)` is awaited until the view satisfies the condition; it raises TimeoutError."""
        self._client = client
        self._discovery = discovery
        self._view = view
        self._patcher = patcher
        self._until = until

    async def resource(self, key: ResourceKey, version: str) -> ApiResource:
        """How the kind of an object is served. Raises StageError when it is not."""
        found = await self._discovery.lookup(key.group_kind, version)
        if found is None:
            raise StageError("sync", "SyncError", not_served(key))
        return found

    async def write(self, target: Target, manifest: dict[str, Any], options: Options) -> Written:
        """Make the live object what the manifest says.

        Raises ApiError, ClusterUnreachable, DiscoveryError; StageError for a kind that is not served or an object that
        changes as fast as it is written; TimeoutError when one that must be made anew does not go.
        """
        resource = await self.resource(target.key, target.version)
        if not resource.namespaced and "namespace" in manifest["metadata"]:
            # The kind was not served when the target was built, so its scope was not known.
            manifest = {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k != "namespace"}}
        live = self._view.get(target.key)
        way = way_of(target, live, options)
        one = _One(target, manifest, resource, way, options)
        match way.strategy:
            case Strategy.SERVER_SIDE:
                return await self._apply_server_side(one, live)
            case Strategy.REPLACE:
                return await self._replace(one, live)
            case Strategy.CLIENT_SIDE:
                return await self._apply(one, await self._in_version(one, live))

    async def delete(self, key: ResourceKey, version: str, *, uid: str, propagation: str) -> bool:
        """Delete one object if it still is the one with this uid. True when it is gone at once.

        `propagation` is foreground, background or orphan, as sync options and finalizers write it.
        """
        resource = await self.resource(key, version)
        policy = propagation.capitalize()
        try:
            answer = await self._client.delete(resource, key.name, key.namespace, propagation=policy, uid=uid)
        except NotFound:
            self._view.remove(key)
            return True
        except ApiError as error:
            if error.reason == "Conflict":  # another object has the name by now: ours is gone
                return True
            raise
        if answer.get("kind") == "Status":
            self._view.remove(key)
            return True
        self._view.upsert(answer)
        return False

    # Ways

    async def _in_version(self, one: _One, live: Live | None) -> Mapping[str, Any] | None:
        if live is None:
            return None
        if live.version == one.target.version:
            return live.manifest
        # Watched in another version than Git writes: a patch made from that would speak of other fields.
        return await self._read(one)

    async def _apply(self, one: _One, seen: Mapping[str, Any] | None) -> Written:
        for _attempt in range(ATTEMPTS):
            if seen is None:
                try:
                    return Written(await self._create(one, self._patcher.to_create(one.manifest)), "created")
                except AlreadyExists:
                    seen = await self._read(one)
                    continue
            if one.target.key.group_kind in BINDINGS and seen.get("roleRef") != one.manifest.get("roleRef"):
                # The role of a binding cannot be changed; `kubectl auth reconcile` makes the binding anew.
                if one.options.dry_run:
                    return Written(seen, "configured")
                await self._delete_and_wait(one, seen)
                seen = None
                continue
            patch = self._patcher.to_patch(one.manifest, seen)
            if patch is None:
                return Written(seen, "unchanged")
            body, strategic = patch
            try:
                answer = await self._client.patch(
                    one.resource,
                    one.target.key.name,
                    body,
                    one.target.key.namespace,
                    content_type=STRATEGIC if strategic else MERGE,
                    **one.common,
                )
            except NotFound:
                seen = None
                continue
            except ApiError as error:
                if not one.may_be_made_anew(error):
                    raise
                await self._delete_and_wait(one, seen)
                seen = None
                continue
            return Written(answer, "unchanged" if declared(seen) == declared(answer) else "configured")
        raise _changes_too_fast(one)

    async def _apply_server_side(self, one: _One, live: Live | None) -> Written:
        if live is not None and one.options.migrates:
            await self._migrate(one, live)
        for _attempt in range(ATTEMPTS):
            try:
                answer = await self._client.patch(
                    one.resource,
                    one.target.key.name,
                    one.manifest,
                    one.target.key.namespace,
                    content_type=APPLY,
                    force=True,
                    **one.common,
                )
            except ApiError as error:
                seen = await self._read(one) if one.may_be_made_anew(error) else None
                if seen is None:
                    raise
                await self._delete_and_wait(one, seen)
                continue
            return Written(answer, "serverside-applied")
        raise _changes_too_fast(one)

    async def _migrate(self, one: _One, live: Live) -> None:
        """Take over what was applied client-side. It is looked for where it can be: before our first server-side apply,
        and where somebody has applied client-side since."""
        named = one.options.migration_manager != KUBECTL
        if live.applied and not named and LAST_APPLIED.encode() not in live.json:
            return
        for attempt in range(ATTEMPTS):
            seen = await self._read(one)
            patch = migration(seen, {one.options.migration_manager, FIELD_MANAGER}) if seen is not None else None
            if patch is None:
                return
            try:
                await self._client.patch(
                    one.resource,
                    one.target.key.name,
                    patch,
                    one.target.key.namespace,
                    content_type=JSON,
                    field_manager=FIELD_MANAGER,
                )
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
            except NotFound:
                return
            else:
                return

    async def _replace(self, one: _One, live: Live | None) -> Written:
        """Put the manifest in the object's place. Namespaces and CRDs are never deleted for that: all in them would go."""
        keep = one.target.key.group_kind in (NAMESPACE, CRD)
        metadata = live.manifest["metadata"] if live is not None else None
        for _attempt in range(ATTEMPTS):
            if metadata is None:
                try:
                    return Written(await self._create(one, one.manifest), "created")
                except AlreadyExists:
                    seen = await self._read(one)
                    metadata = seen["metadata"] if seen is not None else None
                    continue
            if one.way.force and not keep and not one.options.dry_run:
                await self._delete_and_wait(one, {"metadata": metadata})
                try:
                    return Written(await self._create(one, one.manifest), "replaced")
                except AlreadyExists:
                    seen = await self._read(one)
                    metadata = seen["metadata"] if seen is not None else None
                    continue
            body = {
                **one.manifest,
                "metadata": {**one.manifest["metadata"], "resourceVersion": metadata["resourceVersion"]},
            }
            try:
                answer = await self._client.replace(one.resource, body, one.target.key.namespace, **one.common)
            except NotFound:
                metadata = None
                continue
            except Conflict:
                seen = await self._read(one)
                metadata = seen["metadata"] if seen is not None else None
                continue
            return Written(answer, "updated" if keep else "replaced")
        raise _changes_too_fast(one)

    # Steps

    async def _create(self, one: _One, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self._client.create(one.resource, body, one.target.key.namespace, **one.common)
        except NotFound:
            namespace = one.target.key.namespace
            if (
                one.options.dry_run
                and namespace
                and self._view.get(ResourceKey("", "Namespace", "", namespace)) is None
            ):
                return body  # its namespace would have been made before it
            raise

    async def _read(self, one: _One) -> Mapping[str, Any] | None:
        try:
            return await self._client.get(one.resource, one.target.key.name, one.target.key.namespace)
        except NotFound:
            return None

    async def _delete_and_wait(self, one: _One, seen: Mapping[str, Any]) -> None:
        """Delete an object that cannot be changed, and wait until it is gone."""
        key = one.target.key
        uid = str((seen.get("metadata") or {}).get("uid") or "")
        await self.delete(key, one.target.version, uid=uid, propagation="background")
        await self._until(lambda: (row := self._view.get(key)) is None or row.uid != uid, DELETE_DEADLINE_S)


@dataclass(frozen=True, slots=True)
class _One:
    """One object on its way into the cluster."""

    target: Target
    manifest: dict[str, Any]
    resource: ApiResource
    way: Way
    options: Options

    @property
    def common(self) -> dict[str, Any]:
        return {
            "field_manager": FIELD_MANAGER,
            "field_validation": "Strict" if self.way.validate else "Ignore",
            "dry_run": self.options.dry_run,
        }

    def may_be_made_anew(self, error: ApiError) -> bool:
        return self.way.force and error.reason in ("Invalid", "Conflict") and not self.options.dry_run


def declared(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What a patch of ours could have changed; a controller may move version and status at any time."""
    metadata = obj.get("metadata") or {}
    kept = {name: metadata.get(name) or None for name in ("labels", "annotations", "finalizers", "ownerReferences")}
    return {"metadata": kept, **{k: v for k, v in obj.items() if k not in ("metadata", "status")}}


def propagation_of(options: tuple[str, ...]) -> str:
    """How pruned objects take their children along: foreground unless an option says otherwise."""
    value = option_value(options, "PrunePropagationPolicy")
    return value if value in ("foreground", "background", "orphan") else "foreground"


def _changes_too_fast(one: _One) -> StageError:
    return StageError("sync", "SyncError", f"{one.target.key} changes as fast as it is applied; try again")
