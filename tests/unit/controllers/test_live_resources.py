"""Which live objects belong to an Application, for whoever asks about one of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tiphys.apimachinery.names import ResourceKey
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.controlplane import ControlPlane
from tiphys.controllers.liveresources import LiveResources
from tiphys.controllers.masking import mask_secrets
from tiphys.engine.live.index import LiveIndex
from tiphys.runtime.clock import SystemClock

APP = ("argocd", "web")
DEPLOYMENT = ResourceKey("apps", "Deployment", "shop", "front")
REPLICA_SET = ResourceKey("apps", "ReplicaSet", "shop", "front-1")
POD = ResourceKey("", "Pod", "shop", "front-1-a")
OTHER_POD = ResourceKey("", "Pod", "shop", "back-1-a")
DENIED = ResourceKey("", "ConfigMap", "shop", "theirs")
HOOK = ResourceKey("batch", "Job", "shop", "migrate")


def live(key: ResourceKey, owner: ResourceKey | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": key.name, "namespace": key.namespace, "uid": f"uid-{key.name}"}
    if owner is not None:
        metadata["ownerReferences"] = [{"uid": f"uid-{owner.name}", "name": owner.name, "kind": owner.kind}]
    version = f"{key.group}/v1" if key.group else "v1"
    return {"apiVersion": version, "kind": key.kind, "metadata": {**metadata, "resourceVersion": "1"}}


def resources() -> LiveResources:
    index = LiveIndex(changed=lambda _key, _before, _after: None)
    for obj in (
        live(DEPLOYMENT),
        live(REPLICA_SET, DEPLOYMENT),
        live(POD, REPLICA_SET),
        live(OTHER_POD),
        live(DENIED),
        live(HOOK),
    ):
        index.upsert(obj)
    target = SimpleNamespace(hooks=[SimpleNamespace(key=HOOK)], denied={DENIED: "not permitted"})
    comparison = SimpleNamespace(verdicts={DEPLOYMENT: None, DENIED: None}, target=target)
    found = (comparison, SimpleNamespace(index=index))
    controller = SimpleNamespace(comparison=lambda key: found if key == APP else None)
    return LiveResources(cast(ApplicationController, controller), cast(ControlPlane, None), clock=SystemClock())


def test_what_is_managed_and_what_it_owns_belongs() -> None:
    for key in (DEPLOYMENT, REPLICA_SET, POD, HOOK):
        found = resources().find(APP, key)
        assert found is not None
        assert found.key == key


def test_what_others_own_what_is_forbidden_and_what_is_not_there_does_not() -> None:
    for key in (OTHER_POD, DENIED, ResourceKey("", "Pod", "shop", "gone")):
        assert resources().find(APP, key) is None
    assert resources().find(("argocd", "other"), DEPLOYMENT) is None


def test_pods_are_found_by_themselves_and_by_what_owns_them() -> None:
    pod = [("shop", "front-1-a")]
    assert resources().pods(APP) == pod
    assert resources().pods(APP, kind="Pod", name="front-1-a") == pod
    assert resources().pods(APP, group="apps", kind="Deployment", name="front") == pod
    assert resources().pods(APP, kind="Pod", name="back-1-a") == []
    assert resources().pods(APP, namespace="elsewhere") == []


def test_masks_hide_values_and_keep_differences() -> None:
    applied = '{"kind":"Secret","data":{"a":"b25l"}}'
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": applied, "token": "t", "team": "a"}
    one = {"kind": "Secret", "metadata": {"annotations": annotations}, "data": {"a": "b25l", "b": "dHdv"}}
    two = {"kind": "Secret", "data": {"a": "b25l", "b": "dGhyZWU="}}
    first, second = mask_secrets(one, two, annotations=("token",))
    assert first is not None
    assert second is not None
    assert first["data"]["a"] == second["data"]["a"]
    assert first["data"]["b"] != second["data"]["b"]
    assert set(first["metadata"]["annotations"].values()) & {"t", applied} == set()
    assert first["metadata"]["annotations"]["team"] == "a"
    for secret in ("b25l", "dHdv", "dGhyZWU="):
        assert secret not in str((first, second))
