"""PersistentVolumeClaims: a default StorageClass whose volumes exist at once, and hold nothing.

With a real control plane only the volumes are made; its own controller binds them.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import AlreadyExists
from tiphys.apimachinery.quantity import QuantityError, parse
from tiphys.devcluster.workloads.fields import Json, Key, Obj, spec_of, status_of
from tiphys.devcluster.workloads.world import CLAIMS, PODS, STORAGE_CLASSES, VOLUMES, Controller, World
from tiphys.runtime.workqueue import Done, Result

PROVISIONER: Final = "embedded.tiphys.dev/simulated"
CLASS: Final = "standard"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
CLAIM_FINALIZER: Final = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER: Final = "kubernetes.io/pv-protection"
MANAGER: Final = "persistentvolume-controller"
_PROVISIONER_NOTES: Final = (
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
)


class Volumes(Controller):
    """Makes volumes for claims of our StorageClass; with `bind` also binds, and lets go what nobody uses any more."""

    name = "volumes"

    def __init__(self, world: World, *, bind: bool) -> None:
        super().__init__(world)
        self._bind = bind

    def attach(self) -> None:
        self._classes = self.world.informer(STORAGE_CLASSES)
        self._claims = self.follow(CLAIMS)
        self._volumes = self.world.informer(VOLUMES)
        self._pods = self.world.informer(PODS)
        self._classes.subscribe(self._class_changed)
        self._volumes.subscribe(self._volume_changed)
        if self._bind:
            self._pods.subscribe(self._pod_changed)

    async def start(self) -> None:
        if any(meta.annotations(one).get(DEFAULT_CLASS) == "true" for one in self._classes.all()):
            return
        body: Json = {
            "metadata": {"name": CLASS, "annotations": {DEFAULT_CLASS: "true"}},
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        }
        try:
            await self.world.create(STORAGE_CLASSES, "", body)
        except AlreadyExists:
            return

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        for claim in self._claims.all():
            if not spec_of(claim).get("volumeName"):
                self.queue.add((meta.namespace(claim), meta.name(claim)))

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        volume = new if new is not None else old
        assert volume is not None
        self.queue.add(("", meta.name(volume)))
        reference = spec_of(volume).get("claimRef") or {}
        if reference.get("name"):
            self.queue.add((str(reference.get("namespace")), str(reference["name"])))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A Pod that is gone may have been the last to use a claim that is being deleted."""
        if old is None or new is not None:
            return
        for name in _claims_of(old):
            self.queue.add((meta.namespace(old), name))

    async def reconcile(self, key: Key) -> Result:
        if key[0]:
            await self._reconcile_claim(key)
        else:
            await self._reconcile_volume(key)
        return Done()

    # ---- claims ----

    async def _reconcile_claim(self, key: Key) -> None:
        claim = self._claims.get(key)
        if claim is None:
            for one in self._volumes.all():
                reference = spec_of(one).get("claimRef") or {}
                if (reference.get("namespace"), reference.get("name")) == key:
                    self.queue.add(("", meta.name(one)))
            return
        if meta.is_deleting(claim):
            if self._bind and CLAIM_FINALIZER in meta.finalizers(claim) and not self._is_used(claim):
                await self._take_off(CLAIMS, claim, CLAIM_FINALIZER)
            return
        if status_of(claim).get("phase") == "Bound" or (not self._bind and spec_of(claim).get("volumeName")):
            return
        volume = self._volume_for(claim)
        if volume is None:
            if not self._provisions(claim):
                self._tell_why_not(claim)
                return
            if self._bind:
                claim = await self._announce(claim)
            elif meta.annotations(claim).get(_PROVISIONER_NOTES[0]) != PROVISIONER:
                return  # the real controller is yet to say who makes its volume; it may bind one that is there
            volume = await self._provision(claim)
        if self._bind and volume is not None:
            await self._bind_claim(claim, volume)

    def _tell_why_not(self, claim: Obj) -> None:
        name = spec_of(claim).get("storageClassName")
        if not self._bind:
            return  # the real controller tells
        if name and self._classes.get(("", str(name))) is None:
            message = f'storageclass.storage.k8s.io "{name}" not found'
            self.world.tell(CLAIMS, claim, "Warning", "ProvisioningFailed", message)
        elif not name:
            message = "no persistent volumes available for this claim and no storage class is set"
            self.world.tell(CLAIMS, claim, "Normal", "FailedBinding", message)

    async def _announce(self, claim: Obj) -> Obj:
        """Note on a claim who is to make its volume, as the binding controller does for a provisioner outside of it."""
        if _PROVISIONER_NOTES[0] in meta.annotations(claim):
            return claim
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{PROVISIONER}' or manually by the"
            " system administrator. If volume creation is delayed, please verify that the provisioner is running and"
            " correctly registered."
        )
        self.world.tell(CLAIMS, claim, "Normal", "ExternalProvisioning", message)
        noted = dict.fromkeys(_PROVISIONER_NOTES, PROVISIONER)
        return await self.world.patch(CLAIMS, claim, {"metadata": {"annotations": noted}}, manager=MANAGER)

    def _provisions(self, claim: Obj) -> bool:
        name = spec_of(claim).get("storageClassName")
        if name is None:
            return any(
                meta.annotations(one).get(DEFAULT_CLASS) == "true" and one.get("provisioner") == PROVISIONER
                for one in self._classes.all()
            )
        found = self._classes.get(("", str(name)))
        return found is not None and found.get("provisioner") == PROVISIONER

    def _volume_for(self, claim: Obj) -> Obj | None:
        """A volume that is the claim's already, or that is free and large enough."""
        wanted = spec_of(claim)
        named = wanted.get("volumeName")
        for volume in self._volumes.all():
            spec = spec_of(volume)
            reference = spec.get("claimRef") or {}
            ours = (reference.get("namespace"), reference.get("name")) == (meta.namespace(claim), meta.name(claim))
            if ours and reference.get("uid") in (None, meta.uid(claim)):
                return volume
            if reference or meta.is_deleting(volume) or (named and named != meta.name(volume)):
                continue
            same_class = (spec.get("storageClassName") or "") == (wanted.get("storageClassName") or "")
            modes = set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
            if same_class and modes and _size(spec.get("capacity")) >= _size(_requests(claim)):
                return volume
        return None

    async def _provision(self, claim: Obj) -> Obj | None:
        name = f"pvc-{meta.uid(claim)}"
        class_name = spec_of(claim).get("storageClassName") or CLASS
        found = self._classes.get(("", str(class_name))) or {}
        body: Json = {
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
            "spec": {
                "capacity": {"storage": _requests(claim).get("storage", "1Gi")},
                "accessModes": spec_of(claim).get("accessModes") or ["ReadWriteOnce"],
                "volumeMode": spec_of(claim).get("volumeMode", "Filesystem"),
                "persistentVolumeReclaimPolicy": found.get("reclaimPolicy", "Delete"),
                "storageClassName": class_name,
                "hostPath": {"path": f"/simulated/{name}", "type": ""},
                "claimRef": _reference(claim),
            },
        }
        try:
            volume = await self.world.create(VOLUMES, "", body)
        except AlreadyExists:
            return None
        message = f"Successfully provisioned volume {name}"
        self.world.tell(CLAIMS, claim, "Normal", "ProvisioningSucceeded", message)
        return volume

    async def _bind_claim(self, claim: Obj, volume: Obj) -> None:
        if (spec_of(volume).get("claimRef") or {}).get("uid") != meta.uid(claim):
            volume = await self.world.patch(VOLUMES, volume, {"spec": {"claimRef": _reference(claim)}}, manager=MANAGER)
        await self.world.set_status(VOLUMES, volume, {**status_of(volume), "phase": "Bound"}, manager=MANAGER)
        noted = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        body: Json = {"metadata": {"annotations": noted}, "spec": {"volumeName": meta.name(volume)}}
        claim = await self.world.patch(CLAIMS, claim, body, manager=MANAGER)
        status: Json = {
            "phase": "Bound",
            "accessModes": spec_of(volume).get("accessModes"),
            "capacity": spec_of(volume).get("capacity"),
        }
        await self.world.set_status(CLAIMS, claim, {**status_of(claim), **status}, manager=MANAGER)

    def _is_used(self, claim: Obj) -> bool:
        return any(meta.name(claim) in _claims_of(pod) for pod in self._pods.in_namespace(meta.namespace(claim)))

    # ---- volumes ----

    async def _reconcile_volume(self, key: Key) -> None:
        volume = self._volumes.get(key)
        if volume is None:
            return
        reference = spec_of(volume).get("claimRef") or {}
        claim = self._claims.get((str(reference.get("namespace")), str(reference.get("name"))))
        alive = claim is not None and reference.get("uid") in (None, meta.uid(claim))
        if meta.is_deleting(volume):
            if self._bind and not alive and VOLUME_FINALIZER in meta.finalizers(volume):
                await self._take_off(VOLUMES, volume, VOLUME_FINALIZER)
            return
        if alive:
            return
        if not reference.get("uid"):
            if self._bind and status_of(volume).get("phase") != "Available":
                status = {**status_of(volume), "phase": "Available"}
                await self.world.set_status(VOLUMES, volume, status, manager=MANAGER)
            return
        if self._bind and status_of(volume).get("phase") != "Released":
            status = {**status_of(volume), "phase": "Released"}
            volume = await self.world.set_status(VOLUMES, volume, status, manager=MANAGER)
        ours = meta.annotations(volume).get("pv.kubernetes.io/provisioned-by") == PROVISIONER
        if ours and spec_of(volume).get("persistentVolumeReclaimPolicy") == "Delete":
            await self.world.delete(VOLUMES, volume)

    async def _take_off(self, resource: str, obj: Obj, finalizer: str) -> None:
        rest = [name for name in meta.finalizers(obj) if name != finalizer]
        await self.world.patch(resource, obj, {"metadata": {"finalizers": rest}}, manager=MANAGER)


def _reference(claim: Obj) -> Json:
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": meta.namespace(claim),
        "name": meta.name(claim),
        "uid": meta.uid(claim),
        "resourceVersion": meta.resource_version(claim),
    }


def _claims_of(pod: Obj) -> set[str]:
    volumes = spec_of(pod).get("volumes") or ()
    return {
        str(volume["persistentVolumeClaim"]["claimName"]) for volume in volumes if "persistentVolumeClaim" in volume
    }


def _requests(claim: Obj) -> Obj:
    found: Obj = (spec_of(claim).get("resources") or {}).get("requests") or {}
    return found


def _size(capacity: Obj | None) -> float:
    try:
        return float(parse((capacity or {}).get("storage", "0")).value)
    except QuantityError:
        return 0.0
