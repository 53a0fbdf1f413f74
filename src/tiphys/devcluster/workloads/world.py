"""What controllers share: caches, writes that the caches see at once, time, ids, Events; and their common base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import ApiError, Conflict, Forbidden, NotFound
from tiphys.apimachinery.selector import parse_label_selector
from tiphys.devcluster.access import ClusterAccess, Propagation
from tiphys.devcluster.workloads.events import EventRecorder, Said
from tiphys.devcluster.workloads.fields import Json, Key, Obj, controller_reference, merge_patch, status_of
from tiphys.devcluster.workloads.informer import Informer
from tiphys.runtime.backoff import Backoff
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.ids import Ids
from tiphys.runtime.log import Logger
from tiphys.runtime.workqueue import Done, Result, Retry, WorkQueue

PODS = "v1/pods"
NODES = "v1/nodes"
SERVICES = "v1/services"
DEPLOYMENTS = "apps/v1/deployments"
REPLICASETS = "apps/v1/replicasets"
STATEFULSETS = "apps/v1/statefulsets"
DAEMONSETS = "apps/v1/daemonsets"
REVISIONS = "apps/v1/controllerrevisions"
JOBS = "batch/v1/jobs"
CRONJOBS = "batch/v1/cronjobs"
ENDPOINTS = "v1/endpoints"
SLICES = "discovery.k8s.io/v1/endpointslices"
INGRESSES = "networking.k8s.io/v1/ingresses"
INGRESS_CLASSES = "networking.k8s.io/v1/ingressclasses"
CLAIMS = "v1/persistentvolumeclaims"
VOLUMES = "v1/persistentvolumes"
STORAGE_CLASSES = "storage.k8s.io/v1/storageclasses"
AUTOSCALERS = "autoscaling/v2/horizontalpodautoscalers"
BUDGETS = "policy/v1/poddisruptionbudgets"
LEASES = "coordination.k8s.io/v1/leases"

KINDS: Mapping[str, str] = {
    PODS: "Pod",
    NODES: "Node",
    SERVICES: "Service",
    DEPLOYMENTS: "Deployment",
    REPLICASETS: "ReplicaSet",
    STATEFULSETS: "StatefulSet",
    DAEMONSETS: "DaemonSet",
    REVISIONS: "ControllerRevision",
    JOBS: "Job",
    CRONJOBS: "CronJob",
    ENDPOINTS: "Endpoints",
    SLICES: "EndpointSlice",
    INGRESSES: "Ingress",
    INGRESS_CLASSES: "IngressClass",
    CLAIMS: "PersistentVolumeClaim",
    VOLUMES: "PersistentVolume",
    STORAGE_CLASSES: "StorageClass",
    AUTOSCALERS: "HorizontalPodAutoscaler",
    BUDGETS: "PodDisruptionBudget",
    LEASES: "Lease",
    "v1/events": "Event",
}

CONTROLLER_MANAGER = "kube-controller-manager"
RETRY = Backoff(initial_s=0.05, factor=2.0, max_s=15.0, jitter=0.1)


def namespace_ends(error: ApiError) -> bool:
    """Whether nothing may be created any more because the namespace is being deleted."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.details.get("causes") or ())


def is_refusal(error: ApiError) -> bool:
    """Whether the cluster does not want what was asked for (a quota, a limit), rather than that the world has moved on."""
    return not isinstance(error, Conflict | NotFound) and not namespace_ends(error)


class World:
    """One cluster as the controllers see and change it. Objects it gives out are shared and never changed in place."""

    def __init__(self, access: ClusterAccess, *, clock: Clock, ids: Ids, log: Logger, events: bool = True) -> None:
        self.access = access
        self.clock = clock
        self.ids = ids
        self.log = log
        self.informers: dict[str, Informer] = {}
        self.events = EventRecorder(access, clock=clock, enabled=events)

    def informer(self, resource: str) -> Informer:
        """The cache of a resource, made when it is first asked for."""
        found = self.informers.get(resource)
        if found is None:
            found = self.informers[resource] = Informer(resource, self.access, clock=self.clock, log=self.log)
        return found

    def now(self) -> str:
        """Time as metav1.Time."""
        return format_time(self.clock.now())

    def tell(self, resource: str, obj: Obj, kind: str, reason: str, message: str, *, field: str = "") -> None:
        """Put an Event about an object on its way; `kind` is Normal or Warning."""
        self.events.tell(resource.rpartition("/")[0], KINDS[resource], obj, Said(kind, reason, message, field))

    # ---- writes ----

    async def create(self, resource: str, namespace: str, obj: Json) -> Obj:
        """Create an object; apiVersion and kind follow from the resource. The object as stored."""
        body = {"apiVersion": resource.rpartition("/")[0], "kind": KINDS[resource], **obj}
        created: Obj = await self.access.create(resource, namespace, body)
        if (informer := self.informers.get(resource)) is not None:
            informer.wrote(created)
        return created

    async def patch(
        self, resource: str, obj: Obj, body: Json, *, subresource: str = "", manager: str = CONTROLLER_MANAGER
    ) -> Obj:
        """Merge a patch into this very object: one of the same name with another uid is left alone (409)."""
        given = body.get("metadata")
        metadata = {**given, "uid": meta.uid(obj)} if isinstance(given, Mapping) else {"uid": meta.uid(obj)}
        try:
            new: Obj = await self.access.patch(
                resource,
                meta.namespace(obj),
                meta.name(obj),
                {**body, "metadata": metadata},
                subresource=subresource,
                field_manager=manager,
            )
        except NotFound:
            if (informer := self.informers.get(resource)) is not None:
                informer.gone(obj)
            raise
        if (informer := self.informers.get(resource)) is not None:
            informer.wrote(new)
        return new

    async def set_status(
        self,
        resource: str,
        obj: Obj,
        status: Obj,
        *,
        annotations: Obj | None = None,
        manager: str = CONTROLLER_MANAGER,
    ) -> Obj:
        """Make `status` the object's status, and set annotations with it; nothing is written when nothing changes."""
        body: Json = {}
        if change := merge_patch(status_of(obj), status):
            body["status"] = change
        held = meta.annotations(obj)
        if fresh := {name: value for name, value in (annotations or {}).items() if held.get(name) != value}:
            body["metadata"] = {"annotations": fresh}
        if not body:
            return obj
        return await self.patch(resource, obj, body, subresource="status", manager=manager)

    async def delete(
        self, resource: str, obj: Obj, *, propagation: Propagation | None = None, grace_period_s: int | None = None
    ) -> None:
        """Delete this very object; one that is gone already is fine."""
        informer = self.informers.get(resource)
        try:
            await self.access.delete(
                resource,
                meta.namespace(obj),
                meta.name(obj),
                uid=meta.uid(obj),
                propagation=propagation,
                grace_period_s=grace_period_s,
            )
        except (NotFound, Conflict):  # Conflict: another object has the name by now
            if informer is not None:
                informer.gone(obj)
            return
        if informer is not None:
            informer.asked_to_delete(obj)


class Controller:
    """Works on keys of one kind of thing. `attach` names what it watches; `reconcile` brings one key in order."""

    name: ClassVar[str] = ""
    workers: ClassVar[int] = 2

    def __init__(self, world: World) -> None:
        self.world = world
        self.queue: WorkQueue[Key] = WorkQueue(clock=world.clock, backoff=RETRY, fraction=world.ids.fraction)

    def attach(self) -> None:
        """Subscribe to the caches this controller follows."""
        raise NotImplementedError

    async def start(self) -> None:
        """What has to be done once when the caches are filled, before the first key."""

    async def reconcile(self, key: Key) -> Result:
        """Bring what belongs to a key in order."""
        raise NotImplementedError

    async def run(self) -> None:
        """Work on keys until cancelled."""
        failures = 0
        while True:
            try:
                await self.start()
                break
            except ApiError as error:
                failures += 1
                self._failed(("", "start"), error)
                await self.world.clock.sleep(RETRY.delay_s(failures))
        await self.queue.run(self._guarded, workers=self.workers, on_error=self._failed)

    async def _guarded(self, key: Key) -> Result:
        try:
            return await self.reconcile(key)
        except (Conflict, NotFound):
            return Retry()  # the world has moved on: look again
        except Forbidden as error:
            if namespace_ends(error):
                return Done()
            raise

    def _failed(self, key: Key, error: Exception) -> None:
        if isinstance(error, ApiError):
            self.world.log.warning(
                "the cluster refused a step", controller=self.name, key="/".join(key), error=error.message
            )
        else:
            self.world.log.exception("a controller failed", error, controller=self.name, key="/".join(key))

    async def adopt(self, resource: str, owner: Obj, owner_resource: str) -> None:
        """Take objects of a resource that nobody owns and the owner's selector matches."""
        orphans = self.world.informer(resource).orphans(meta.namespace(owner))
        if not orphans or meta.is_deleting(owner):
            return
        selector = parse_label_selector(owner["spec"].get("selector"))
        if selector.everything:
            return
        reference = controller_reference(owner, owner_resource.rpartition("/")[0], KINDS[owner_resource])
        for obj in orphans:
            if meta.is_deleting(obj) or not selector.matches(meta.labels(obj)):
                continue
            references = [*meta.owner_references(obj), reference]
            body: Json = {"metadata": {"ownerReferences": references, "resourceVersion": meta.resource_version(obj)}}
            await self.world.patch(resource, obj, body)

    # ---- ways to follow ----

    def follow(self, resource: str) -> Informer:
        """Work on the key of every object of a resource that changes."""
        informer = self.world.informer(resource)

        def changed(old: Obj | None, new: Obj | None) -> None:
            obj: Any = new if new is not None else old
            self.queue.add((meta.namespace(obj), meta.name(obj)))

        informer.subscribe(changed)
        return informer

    def follow_owned(self, resource: str, owner_kind: str) -> Informer:
        """Work on the key of the controller of every object of a resource that changes."""
        informer = self.world.informer(resource)

        def changed(old: Obj | None, new: Obj | None) -> None:
            for obj in (old, new):
                owner = meta.controller_of(obj) if obj is not None else None
                if obj is not None and owner is not None and owner.get("kind") == owner_kind:
                    self.queue.add((meta.namespace(obj), str(owner.get("name") or "")))

        informer.subscribe(changed)
        return informer
