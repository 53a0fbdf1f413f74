"""StatefulSet controller: Pods with ordinals, in order, each with its own claims.

Source: kubernetes pkg/controller/statefulset; recorded timeline 1.36.
Differs: no maxUnavailable of rolling updates; one Pod is replaced at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import AlreadyExists, ApiError
from tiphys.devcluster.workloads import pods as podlib
from tiphys.devcluster.workloads import revisions
from tiphys.devcluster.workloads.fields import Json, Key, Obj, controller_reference, number, spec_of, status_of
from tiphys.devcluster.workloads.world import CLAIMS, PODS, REVISIONS, STATEFULSETS, Controller, is_refusal
from tiphys.runtime.workqueue import After, Done, Result, Retry


@dataclass(slots=True)
class _Plan:
    """A StatefulSet with what is there of it. `start` is the first ordinal."""

    found: Obj
    current: Obj
    update: Obj
    pods: dict[int, Obj]
    start: int
    replicas: int
    partition: int
    parallel: bool
    on_delete: bool
    min_ready: int

    def revision_for(self, ordinal: int) -> Obj:
        """The revision a Pod of this ordinal is made of."""
        return self.current if ordinal - self.start < self.partition else self.update

    def ordinals(self) -> range:
        """Ordinals that should be there."""
        return range(self.start, self.start + self.replicas)


class StatefulSets(Controller):
    """Runs StatefulSets."""

    name = "statefulset"

    def attach(self) -> None:
        self._sets = self.follow(STATEFULSETS)
        self._pods = self.follow_owned(PODS, "StatefulSet")
        self._revisions = self.follow_owned(REVISIONS, "StatefulSet")
        self._claims = self.world.informer(CLAIMS)

    async def reconcile(self, key: Key) -> Result:
        found = self._sets.get(key)
        if found is None:
            return Done()
        await self.adopt(PODS, found, STATEFULSETS)
        plan = await self._plan(found)
        refused = False
        if not meta.is_deleting(found):
            try:
                await self._step(plan)
            except ApiError as error:
                if not is_refusal(error):
                    raise
                refused = True
            plan.pods = self._pods_of(found)
        wait = await self._report(plan)
        used = {meta.name(plan.current), meta.name(plan.update)}
        used |= {meta.labels(pod).get(revisions.HASH_LABEL, "") for pod in plan.pods.values()}
        await revisions.clean_up(self.world, found, self._revisions.owned_by(found), used)
        if refused:
            return Retry()
        return After(wait) if wait else Done()

    async def _plan(self, found: Obj) -> _Plan:
        spec = spec_of(found)
        held = self._revisions.owned_by(found)
        update = await revisions.newest(self.world, STATEFULSETS, found, held)
        named = {meta.name(one): one for one in held}
        current = named.get(str(status_of(found).get("currentRevision") or ""), update)
        strategy = spec.get("updateStrategy") or {}
        return _Plan(
            found=found,
            current=current,
            update=update,
            pods=self._pods_of(found),
            start=number(spec.get("ordinals") or {}, "start"),
            replicas=number(spec, "replicas", 1),
            partition=number(strategy.get("rollingUpdate") or {}, "partition"),
            parallel=spec.get("podManagementPolicy") == "Parallel",
            on_delete=strategy.get("type") == "OnDelete",
            min_ready=number(spec, "minReadySeconds"),
        )

    def _pods_of(self, found: Obj) -> dict[int, Obj]:
        prefix = f"{meta.name(found)}-"
        pods: dict[int, Obj] = {}
        for pod in self._pods.owned_by(found):
            ordinal = meta.name(pod).removeprefix(prefix)
            if ordinal.isdigit():
                pods[int(ordinal)] = pod
        return pods

    # ---- steps ----

    async def _step(self, plan: _Plan) -> None:
        """What may be done now: grow, replace what ended, shrink, update; one Pod at a time unless parallel."""
        for ordinal in plan.ordinals():
            pod = plan.pods.get(ordinal)
            if pod is not None and podlib.is_finished(pod) and not meta.is_deleting(pod):
                await self._delete(plan, pod)
                pod = self._pods.get((meta.namespace(pod), meta.name(pod)))
            if pod is None:
                await self._create(plan, ordinal)
                if not plan.parallel:
                    return
                continue
            if not plan.parallel and (meta.is_deleting(pod) or not self._is_available(plan, pod)):
                return
        await self._bequeath(plan)
        surplus = sorted((ordinal for ordinal in plan.pods if ordinal not in plan.ordinals()), reverse=True)
        for ordinal in surplus:
            pod = plan.pods[ordinal]
            if not meta.is_deleting(pod):
                await self._delete(plan, pod)
            if not plan.parallel:
                return
        if plan.on_delete:
            return
        for ordinal in reversed(plan.ordinals()):
            if ordinal - plan.start < plan.partition:
                return
            pod = plan.pods.get(ordinal)
            if pod is None or meta.is_deleting(pod):
                return
            if _revision_of(pod) != meta.name(plan.update):
                await self._delete(plan, pod)
                return
            if not self._is_available(plan, pod):
                return

    def _is_available(self, plan: _Plan, pod: Obj) -> bool:
        return podlib.available_after_s(pod, plan.min_ready, self.world.clock.now()) == 0.0

    async def _create(self, plan: _Plan, ordinal: int) -> None:
        found, revision = plan.found, plan.revision_for(ordinal)
        name = f"{meta.name(found)}-{ordinal}"
        claims = await self._claim(plan, ordinal, name)
        body = podlib.from_template(
            revisions.template_of(revision),
            controller_reference(found, "apps/v1", "StatefulSet"),
            generate_name=f"{meta.name(found)}-",
            name=name,
        )
        metadata, spec = body["metadata"], {**body["spec"]}
        metadata["labels"] = {
            **metadata.get("labels", {}),
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
            revisions.HASH_LABEL: meta.name(revision),
        }
        spec["hostname"] = name
        if spec_of(found).get("serviceName"):
            spec["subdomain"] = spec_of(found)["serviceName"]
        others = [volume for volume in spec.get("volumes") or () if volume.get("name") not in claims]
        volumes = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claims.items()]
        if volumes or others:
            spec["volumes"] = [*volumes, *others]
        body["spec"] = spec
        try:
            await self.world.create(PODS, meta.namespace(found), body)
        except AlreadyExists:
            return  # the one before it is still there; its end is told by an event
        except ApiError as error:
            self._tell_refused(found, f"Create Pod {name} in StatefulSet {meta.name(found)}", error)
            raise
        message = f"Create Pod {name} in StatefulSet {meta.name(found)} successful"
        self.world.tell(STATEFULSETS, found, "Normal", "SuccessfulCreate", message)

    async def _claim(self, plan: _Plan, ordinal: int, pod: str) -> Mapping[str, str]:
        """Claims of a Pod by volume name, made where they are missing; they outlive the Pod."""
        found = plan.found
        made: dict[str, str] = {}
        for template in spec_of(found).get("volumeClaimTemplates") or ():
            volume = meta.name(template)
            name = f"{volume}-{meta.name(found)}-{ordinal}"
            made[volume] = name
            if self._claims.get((meta.namespace(found), name)) is not None:
                continue
            labels = {**meta.labels(template), **((spec_of(found).get("selector") or {}).get("matchLabels") or {})}
            metadata: Json = {"name": name, "namespace": meta.namespace(found), "labels": labels}
            if meta.annotations(template):
                metadata["annotations"] = dict(meta.annotations(template))
            if (heir := self._heir(plan, ordinal, None)) is not None:
                metadata["ownerReferences"] = [heir]
            try:
                await self.world.create(
                    CLAIMS, meta.namespace(found), {"metadata": metadata, "spec": template.get("spec") or {}}
                )
            except AlreadyExists:
                continue
            except ApiError as error:
                self._tell_refused(found, f"Create Claim {name} for Pod {pod} in StatefulSet {meta.name(found)}", error)
                raise
            message = f"Create Claim {name} Pod {pod} in StatefulSet {meta.name(found)} success"
            self.world.tell(STATEFULSETS, found, "Normal", "SuccessfulCreate", message)
        return made

    def _tell_refused(self, found: Obj, what: str, error: ApiError) -> None:
        if is_refusal(error):
            self.world.tell(STATEFULSETS, found, "Warning", "FailedCreate", f"{what} failed error: {error.message}")

    def _heir(self, plan: _Plan, ordinal: int, pod: Obj | None) -> Json | None:
        """Who takes the claims of an ordinal along at its end, by `persistentVolumeClaimRetentionPolicy`."""
        policy = spec_of(plan.found).get("persistentVolumeClaimRetentionPolicy") or {}
        if policy.get("whenScaled") == "Delete" and pod is not None and ordinal not in plan.ordinals():
            return controller_reference(pod, "v1", "Pod")
        if policy.get("whenDeleted") == "Delete":
            return controller_reference(plan.found, "apps/v1", "StatefulSet")
        return None

    async def _bequeath(self, plan: _Plan) -> None:
        """Bring the owners of all claims in use in line with the retention policy, before any Pod is given up."""
        found = plan.found
        for ordinal, pod in plan.pods.items():
            heir = self._heir(plan, ordinal, pod)
            for template in spec_of(found).get("volumeClaimTemplates") or ():
                key = (meta.namespace(found), f"{meta.name(template)}-{meta.name(found)}-{ordinal}")
                claim = self._claims.get(key)
                if claim is None or meta.is_deleting(claim):
                    continue
                held = meta.owner_references(claim)
                others = [one for one in held if one.get("uid") not in (meta.uid(found), meta.uid(pod))]
                wanted = [*others, heir] if heir is not None else others
                if [one.get("uid") for one in held] != [one.get("uid") for one in wanted]:
                    await self.world.patch(CLAIMS, claim, {"metadata": {"ownerReferences": wanted}})

    async def _delete(self, plan: _Plan, pod: Obj) -> None:
        await self.world.delete(PODS, pod)
        message = f"Delete Pod {meta.name(pod)} in StatefulSet {meta.name(plan.found)} successful"
        self.world.tell(STATEFULSETS, plan.found, "Normal", "SuccessfulDelete", message)

    # ---- status ----

    async def _report(self, plan: _Plan) -> float:
        found = plan.found
        now = self.world.clock.now()
        pods = list(plan.pods.values())
        alive = [pod for pod in pods if not meta.is_deleting(pod)]
        waits = [podlib.available_after_s(pod, plan.min_ready, now) for pod in alive]
        counts = {
            "replicas": len(pods),
            "readyReplicas": sum(wait is not None for wait in waits),
            "currentReplicas": sum(_revision_of(pod) == meta.name(plan.current) for pod in alive),
            "updatedReplicas": sum(_revision_of(pod) == meta.name(plan.update) for pod in alive),
            "availableReplicas": sum(wait == 0.0 for wait in waits),
        }
        current = plan.current
        complete = counts["updatedReplicas"] == counts["replicas"] == counts["readyReplicas"] == plan.replicas
        if complete and not plan.on_delete:
            current = plan.update
            counts["currentReplicas"] = counts["updatedReplicas"]
        kept = ("replicas", "availableReplicas")
        status: Json = {name: value for name, value in counts.items() if value or name in kept}
        status |= {
            "observedGeneration": meta.generation(found),
            "currentRevision": meta.name(current),
            "updateRevision": meta.name(plan.update),
            "collisionCount": 0,
        }
        await self.world.set_status(STATEFULSETS, found, status)
        return min((wait for wait in waits if wait), default=0.0)


def _revision_of(pod: Obj) -> str:
    return meta.labels(pod).get(revisions.HASH_LABEL, "")
