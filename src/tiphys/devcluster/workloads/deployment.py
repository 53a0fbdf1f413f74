"""Deployment controller: ReplicaSets for each template, rolling from one to the next, and the conditions that tell.

Source: kubernetes pkg/controller/deployment; recorded timeline 1.36.
Differs: what the real controller writes in two steps of one reconciliation (the condition NewReplicaSetCreated, then the
counts) is one write, because nothing can be decided from the state in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import AlreadyExists, ApiError
from tiphys.devcluster.workloads import progress
from tiphys.devcluster.workloads import rollout as steps
from tiphys.devcluster.workloads.fields import Json, Key, Obj, controller_reference, number, same, spec_of, status_of
from tiphys.devcluster.workloads.pods import is_active, template_hash
from tiphys.devcluster.workloads.progress import Conditions
from tiphys.devcluster.workloads.world import DEPLOYMENTS, PODS, REPLICASETS, Controller
from tiphys.runtime.workqueue import After, Done, Result

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
HASH_LABEL = "pod-template-hash"
_NOT_COPIED = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        REVISION_HISTORY,
        steps.DESIRED,
        steps.MAX_REPLICAS,
    )
)


@dataclass(slots=True)
class _Sets:
    """ReplicaSets of a Deployment. `old` has all but the newest, in order of age."""

    new: Obj | None
    old: list[Obj]

    @property
    def all(self) -> list[Obj]:
        """All of them."""
        return [*self.old, *([self.new] if self.new is not None else [])]


class Deployments(Controller):
    """Rolls Deployments out."""

    name = "deployment"
    workers = 4

    def attach(self) -> None:
        self._deployments = self.follow(DEPLOYMENTS)
        self._sets = self.follow_owned(REPLICASETS, "Deployment")
        self._pods = self.world.informer(PODS)
        # Only Recreate waits for Pods to be gone; all else is told by the ReplicaSets' status.
        self._pods.subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None or old is None:
            return
        owner = meta.controller_of(old)
        if owner is None or owner.get("kind") != "ReplicaSet":
            return
        found = self._sets.get((meta.namespace(old), str(owner.get("name") or "")))
        above = meta.controller_of(found) if found is not None else None
        if above is None:
            return
        key = (meta.namespace(old), str(above.get("name") or ""))
        deployment = self._deployments.get(key)
        if deployment is not None and not steps.limits_of(deployment).rolling:
            self.queue.add(key)

    async def reconcile(self, key: Key) -> Result:
        found = self._deployments.get(key)
        if found is None:
            return Done()
        if not (spec_of(found).get("selector") or {}):
            return Done()
        await self.adopt(REPLICASETS, found, DEPLOYMENTS)
        owned = sorted(self._sets.owned_by(found), key=steps.age_rank)
        conditions = Conditions(found, self.world.now())
        sets = _find(found, owned)
        if meta.is_deleting(found):
            return await self._report(found, sets, conditions, counts_only=True)
        conditions.pause()
        if spec_of(found).get("paused"):
            sets = await self._scale(found, sets)
            await self._clean_up(found, sets)
            return await self._report(found, sets, conditions, counts_only=True)
        if _is_scaling(found, owned):
            sets = await self._scale(found, sets)
            return await self._report(found, sets, conditions, counts_only=True)
        annotations: Json = {}
        recreate = not steps.limits_of(found).rolling
        if recreate and await self._stop_old(found, sets):
            return await self._report(found, sets, conditions)
        newest = await self._newest(found, sets, conditions, annotations)
        if newest is None:
            return await self._collided(found)
        sets = newest
        await self._step(found, sets)
        if progress.is_complete(found, status_of(found)):
            await self._clean_up(found, sets)
        return await self._report(found, sets, conditions, annotations=annotations)

    # ---- the newest ReplicaSet ----

    async def _newest(self, found: Obj, sets: _Sets, conditions: Conditions, annotations: Json) -> _Sets | None:
        """Make the ReplicaSet of the current template or bring its annotations up to date; None on a name collision."""
        revision = max((_revision(one) for one in sets.old), default=0) + 1
        limits = steps.limits_of(found)
        if sets.new is not None:
            wanted = _annotations(found, sets.new, revision, limits)
            body: Json = {}
            held = meta.annotations(sets.new)
            if change := {name: value for name, value in wanted.items() if held.get(name) != value}:
                body["metadata"] = {"annotations": change}
            min_ready = number(spec_of(found), "minReadySeconds")
            if number(spec_of(sets.new), "minReadySeconds") != min_ready:
                body["spec"] = {"minReadySeconds": min_ready}
            if body:
                sets = _Sets(await self.world.patch(REPLICASETS, sets.new, body), sets.old)
            annotations[REVISION] = _revision_text(sets.new)
            conditions.found(meta.name(sets.new or {}))
            return sets
        template = spec_of(found).get("template") or {}
        digest = template_hash(template, number(status_of(found), "collisionCount"))
        probe: Json = {"metadata": {"name": f"{meta.name(found)}-{digest}"}, "spec": {"replicas": 0}}
        replicas = steps.new_replicas(limits, probe, [*sets.old, probe])
        body = _new_set(found, template, digest, replicas)
        body["metadata"]["annotations"] = _annotations(found, None, revision, limits)
        try:
            new = await self.world.create(REPLICASETS, meta.namespace(found), body)
        except AlreadyExists:
            held_set = self._sets.get((meta.namespace(found), str(body["metadata"]["name"])))
            owner = meta.controller_of(held_set) if held_set is not None else None
            if held_set is None or owner is None or owner.get("uid") != meta.uid(found):
                return None
            return _Sets(held_set, sets.old)
        except ApiError as error:
            message = f'Failed to create new replica set "{body["metadata"]["name"]}": {error.message}'
            self.world.tell(DEPLOYMENTS, found, "Warning", "ReplicaSetCreateError", message)
            raise
        if replicas:
            self._tell_scaled(found, new, 0, replicas)
        annotations[REVISION] = str(revision)
        conditions.created(meta.name(new))
        return _Sets(new, sets.old)

    async def _collided(self, found: Obj) -> Result:
        status = {**status_of(found), "collisionCount": number(status_of(found), "collisionCount") + 1}
        await self.world.set_status(DEPLOYMENTS, found, status)
        return Done()

    # ---- steps ----

    async def _step(self, found: Obj, sets: _Sets) -> None:
        """One step of the rollout: first up, and if there is nothing to go up, down."""
        limits = steps.limits_of(found)
        assert sets.new is not None
        wanted = steps.new_replicas(limits, sets.new, sets.all)
        if wanted != steps.replicas_of(sets.new):
            sets.new = await self._resize(found, sets.new, wanted)
        elif limits.rolling:
            await self._apply(found, sets, steps.old_replicas(limits, sets.new, sets.old))

    async def _stop_old(self, found: Obj, sets: _Sets) -> bool:
        """Recreate: give up all old Pods; true while any of them is left."""
        await self._apply(found, sets, {meta.name(one): 0 for one in sets.old if steps.replicas_of(one)})
        for one in sets.old:
            for pod in self._pods.owned_by(one):
                if is_active(pod) or meta.is_deleting(pod):
                    return True
        return False

    async def _scale(self, found: Obj, sets: _Sets) -> _Sets:
        limits = steps.limits_of(found)
        sizes = steps.scaled_replicas(limits, sets.new, sets.old, number(status_of(found), "replicas"))
        await self._apply(found, sets, sizes)
        for one in sets.all:  # those that keep their size must learn what it was for, too
            if steps.replicas_of(one) and meta.annotations(one).get(steps.DESIRED) != str(limits.replicas):
                self._put(sets, await self._resize(found, one, steps.replicas_of(one)))
        return sets

    async def _apply(self, found: Obj, sets: _Sets, sizes: dict[str, int]) -> None:
        for one in sets.all:
            if meta.name(one) in sizes:
                self._put(sets, await self._resize(found, one, sizes[meta.name(one)]))

    @staticmethod
    def _put(sets: _Sets, changed: Obj) -> None:
        if sets.new is not None and meta.uid(sets.new) == meta.uid(changed):
            sets.new = changed
        sets.old = [changed if meta.uid(one) == meta.uid(changed) else one for one in sets.old]

    async def _resize(self, found: Obj, one: Obj, replicas: int) -> Obj:
        before = steps.replicas_of(one)
        limits = steps.limits_of(found)
        noted = {steps.DESIRED: str(limits.replicas), steps.MAX_REPLICAS: str(limits.max_replicas)}
        body: Json = {"metadata": {"annotations": noted, "resourceVersion": meta.resource_version(one)}}
        if before != replicas:
            body["spec"] = {"replicas": replicas}
        changed = await self.world.patch(REPLICASETS, one, body)
        if before != replicas:
            self._tell_scaled(found, one, before, replicas)
        return changed

    def _tell_scaled(self, found: Obj, one: Obj, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        message = f"Scaled {way} replica set {meta.name(one)} from {before} to {after}"
        self.world.tell(DEPLOYMENTS, found, "Normal", "ScalingReplicaSet", message)

    async def _clean_up(self, found: Obj, sets: _Sets) -> None:
        """Delete old ReplicaSets beyond the history limit, oldest revision first."""
        limit = spec_of(found).get("revisionHistoryLimit", 10)
        idle = [one for one in sets.old if not meta.is_deleting(one)]
        surplus = len(idle) - int(limit if limit is not None else len(idle))
        for one in sorted(idle, key=_revision)[: max(0, surplus)]:
            counted = number(status_of(one), "replicas")
            behind = meta.generation(one) > number(status_of(one), "observedGeneration")
            if counted or steps.replicas_of(one) or behind:
                continue
            await self.world.delete(REPLICASETS, one)

    # ---- status ----

    async def _report(
        self,
        found: Obj,
        sets: _Sets,
        conditions: Conditions,
        *,
        counts_only: bool = False,
        annotations: Json | None = None,
    ) -> Result:
        """Write the status; `counts_only` leaves the condition Progressing as it is."""
        limits = steps.limits_of(found)
        status = progress.counts(found, sets.new, sets.all)
        conditions.available(number(status, "availableReplicas") >= limits.min_available)
        now = self.world.clock.now()
        if not counts_only:
            conditions.progress(status, sets.new, now)
        failures = [
            c for one in sets.all for c in status_of(one).get("conditions") or () if c["type"] == "ReplicaFailure"
        ]
        conditions.replica_failure(failures[0] if failures else None)
        if conditions.rows:
            status["conditions"] = conditions.rows
        updated = await self.world.set_status(DEPLOYMENTS, found, status, annotations=annotations)
        wake = progress.deadline_in_s(updated, now)
        return Done() if wake is None else After(wake)


def _find(found: Obj, owned: Sequence[Obj]) -> _Sets:
    template = spec_of(found).get("template") or {}
    for one in owned:
        if same(_without_hash(spec_of(one).get("template") or {}), _without_hash(template)):
            return _Sets(one, [other for other in owned if other is not one])
    return _Sets(None, list(owned))


def _without_hash(template: Obj) -> Json:
    metadata = {**(template.get("metadata") or {})}
    metadata.pop("creationTimestamp", None)
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != HASH_LABEL}
    metadata["labels"] = labels or None
    return {**template, "metadata": metadata}


def _new_set(found: Obj, template: Obj, digest: str, replicas: int) -> Json:
    given = template.get("metadata") or {}
    labels = {**(given.get("labels") or {}), HASH_LABEL: digest}
    selector = {**(spec_of(found).get("selector") or {})}
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    spec: Json = {
        "replicas": replicas,
        "selector": selector,
        "template": {**template, "metadata": {**given, "labels": labels}},
    }
    if min_ready := number(spec_of(found), "minReadySeconds"):
        spec["minReadySeconds"] = min_ready
    metadata = {
        "name": f"{meta.name(found)}-{digest}",
        "namespace": meta.namespace(found),
        "labels": labels,
        "ownerReferences": [controller_reference(found, "apps/v1", "Deployment")],
    }
    return {"metadata": metadata, "spec": spec}


def _annotations(found: Obj, new: Obj | None, revision: int, limits: steps.Limits) -> Json:
    """Annotations of the newest ReplicaSet: the Deployment's, its revision, and what it was sized for."""
    wanted: Json = {name: value for name, value in meta.annotations(found).items() if name not in _NOT_COPIED}
    held = _revision_text(new)
    wanted[REVISION] = held or str(revision)
    if held.isdigit() and int(held) < revision:
        wanted[REVISION] = str(revision)
        history = meta.annotations(new or {}).get(REVISION_HISTORY, "")
        earlier = [*(history.split(",") if history else []), held]
        wanted[REVISION_HISTORY] = ",".join(dict.fromkeys(earlier))
    if new is None:
        wanted[steps.DESIRED] = str(limits.replicas)
        wanted[steps.MAX_REPLICAS] = str(limits.max_replicas)
    return wanted


def _revision_text(one: Obj | None) -> str:
    return meta.annotations(one).get(REVISION, "") if one is not None else ""


def _revision(one: Obj) -> int:
    text = _revision_text(one)
    return int(text) if text.isdigit() else 0


def _is_scaling(found: Obj, owned: Sequence[Obj]) -> bool:
    """Whether an active ReplicaSet was sized for another number of replicas than is wanted now."""
    wanted = str(number(spec_of(found), "replicas", 1))
    for one in owned:
        noted = meta.annotations(one).get(steps.DESIRED)
        if steps.replicas_of(one) > 0 and noted is not None and noted != wanted:
            return True
    return False
