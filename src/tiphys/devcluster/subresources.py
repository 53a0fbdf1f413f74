"""Subresources that are not the object itself: scale, eviction, binding, tokens; and those an embedded cluster refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery import apierrors, jsonpatch, mergepatch
from tiphys.apimachinery.apierrors import ApiError, BadRequest
from tiphys.devcluster import deletion, disruptions
from tiphys.devcluster.auth import DEFAULT_TOKEN_LIFE_S, ISSUER, MAX_TOKEN_LIFE_S, MIN_TOKEN_LIFE_S, Authenticator
from tiphys.devcluster.deletion import Deleted, DeleteOptions
from tiphys.devcluster.objectmeta import Object
from tiphys.devcluster.patches import PatchRequest
from tiphys.devcluster.printers import format_selector
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.store import Record
from tiphys.devcluster.writes import Outcome, WriteOptions, Writer
from tiphys.runtime.clock import format_time

SIMULATED_LOG = (
    "This Pod is simulated: the embedded cluster runs no containers, so there is no output."
    " Use a real cluster to see logs.\n"
)

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
EVICTION_MANAGER = "kube-apiserver"

REFUSED = {
    "exec": "the embedded cluster runs no containers, so nothing can be executed in one; use a real cluster for that",
    "attach": "the embedded cluster runs no containers, so there is nothing to attach to; use a real cluster for that",
    "portforward": (
        "the embedded cluster runs no containers, so no port can be forwarded; use a real cluster for that."
        " Tiphys itself needs no port-forward: open the URL that `tiphys status` shows"
    ),
    "proxy": (
        "the embedded cluster runs no containers, so nothing can be proxied; use a real cluster for that."
        " For Tiphys itself, open the URL that `tiphys status` shows"
    ),
}


REACH = "embedded.tiphys.dev/reach"
"""Annotation of what stands for a program outside of the cluster: how that is reached instead, as one sentence."""

LOG = "embedded.tiphys.dev/log"
"""Annotation of a Pod that stands for a program outside of the cluster: where its log is, as one sentence."""


def refusal(subresource: str, record: Record) -> ApiError:
    """Why one of REFUSED does not exist here. The object may say by its annotation REACH what to do instead."""
    why = REFUSED[subresource]
    if reach := _told(record, REACH):
        why = f"{why.partition(';')[0]}. {reach}"
    return ApiError(why, code=501, reason="NotImplemented")


def _told(record: Record, annotation: str) -> str:
    return str((record.obj["metadata"].get("annotations") or {}).get(annotation) or "")


# ---- scale ----


def _paths(resource: Resource) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Where replicas, observed replicas and the selector are."""
    if resource.custom is not None and resource.custom.scale is not None:
        scale = resource.custom.scale
        return scale.spec_path, scale.status_path, scale.selector_path
    return ("spec", "replicas"), ("status", "replicas"), ("spec", "selector")


def _get(obj: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = obj
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if path else None


def read_scale(resource: Resource, obj: Object) -> Object:
    """The autoscaling/v1 Scale of an object."""
    spec_path, status_path, selector_path = _paths(resource)
    metadata = obj["metadata"]
    shown = {
        k: metadata[k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if k in metadata
    }
    selector = _get(obj, selector_path)
    status: Object = {"replicas": _get(obj, status_path) or 0}
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    elif isinstance(selector, Mapping) and selector:
        is_plain = resource.bucket == "replicationcontrollers"
        status["selector"] = format_selector({"matchLabels": selector} if is_plain else selector)
    replicas = _get(obj, spec_path) or 0
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def write_scale(
    writer: Writer,
    resource: Resource,
    record: Record,
    scale: Object,
    options: WriteOptions,
    *,
    applied: bool = False,
) -> Outcome:
    """Set the replicas an autoscaling/v1 Scale asks for; the outcome's object is the new Scale. Raises Conflict, Invalid.

    `applied`: the Scale is an applied configuration, so whoever else owns the replicas is in its way.
    """
    metadata = scale.get("metadata") or {}
    wanted = (scale.get("spec") or {}).get("replicas") or 0
    name = record.name
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise BadRequest(
            'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field'
            " ScaleSpec.spec.replicas of type int32"
        )
    if wanted < 0 and resource.custom is None:  # a custom object's own rules say it
        cause = apierrors.invalid_value("spec.replicas", wanted, "must be greater than or equal to 0")
        raise apierrors.invalid("Scale", "autoscaling", name, [cause])
    if metadata.get("name") not in (None, "", name):
        raise BadRequest(f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})")
    version = metadata.get("resourceVersion")

    def make(live: Object) -> Object:
        if applied:
            return _applied_scale(writer, resource, live, wanted, options)
        if (_get(live, _paths(resource)[0]) or 0) == wanted:
            return live
        new = writer.rules.decode(resource, live).obj
        _put(new, _paths(resource)[0], wanted)
        if version:
            new["metadata"]["resourceVersion"] = version
        return writer.ownership.track_scale(resource, live, new, manager=options.manager)

    if version and version != str(record.rv):
        raise apierrors.conflict(resource.plural, resource.group, name)
    outcome = writer.update(resource, record, make, options, subresource="scale", tracked=True)
    outcome.obj = read_scale(resource, outcome.obj)
    return outcome


def _applied_scale(writer: Writer, resource: Resource, live: Object, wanted: int, options: WriteOptions) -> Object:
    config: Object = {"kind": resource.kind, "apiVersion": resource.api_version}
    _put(config, _paths(resource)[0], wanted)
    new = writer.ownership.apply(
        resource, live, config, manager=options.manager, force=options.force, subresource="scale", now=""
    )
    if new is live:
        return live
    found = writer.rules.decode(resource, new).obj
    for entry in found["metadata"].get("managedFields") or ():
        if entry.get("subresource") == "scale":
            entry.pop("time", None)  # none is kept for what was set through a Scale
    return found


def _put(obj: Object, path: tuple[str, ...], value: int) -> None:
    for part in path[:-1]:
        inner = dict(obj.get(part) or {})  # a custom object shares its parts with the live one
        obj[part] = inner
        obj = inner
    obj[path[-1]] = value


# ---- Pods ----


def bind(writer: Writer, resource: Resource, record: Record, binding: Object, options: WriteOptions) -> Outcome:
    """Put a Pod on the node a Binding names. Raises Conflict when it is on one already."""
    node = (binding.get("target") or {}).get("name") or ""
    if not node:
        cause = apierrors.required("target.name")
        raise apierrors.invalid("Binding", "", record.name, [cause])

    def make(live: Object) -> Object:
        current = (live.get("spec") or {}).get("nodeName")
        if current:
            raise apierrors.conflict(
                "pods/binding", "", record.name, f'pod {record.name} is already assigned to node "{current}"'
            )
        new = writer.rules.decode(resource, live).obj
        new["spec"]["nodeName"] = node
        conditions = new["status"].setdefault("conditions", [])
        conditions[:] = [one for one in conditions if one.get("type") != "PodScheduled"]
        now = format_time(writer.clock.now())
        conditions.append({"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now})
        return new

    return writer.update(resource, record, make, options, subresource="binding", tracked=True)


def evict(writer: Writer, resource: Resource, record: Record, eviction: Object, *, dry_run: bool) -> Deleted:
    """Delete a Pod unless a disruption budget forbids it. Raises TooManyRequests, ApiError."""
    budgets = writer.store.scan("poddisruptionbudgets.policy", record.namespace)
    granting = disruptions.granting(record, budgets)
    now = format_time(writer.clock.now())
    options = eviction.get("deleteOptions") or {}
    chosen = DeleteOptions(
        grace_period_s=options.get("gracePeriodSeconds"),
        propagation=options.get("propagationPolicy") or "",
        uid=(options.get("preconditions") or {}).get("uid") or "",
        dry_run=dry_run or bool(options.get("dryRun")),
    )
    if chosen.dry_run:
        return deletion.delete(writer.store, resource, record, chosen, writer.clock)
    if granting is not None:
        # Counted at once: the next eviction may be asked for before any controller has looked.
        status = granting.obj["status"]
        spent = {"disruptionsAllowed": status["disruptionsAllowed"] - 1}
        noted = {"disruptedPods": {**(status.get("disruptedPods") or {}), record.name: now}}
        kind = writer.registry.stored("poddisruptionbudgets.policy")
        assert kind is not None
        writer.change_status(kind, granting, {**status, **spent, **noted}, manager=EVICTION_MANAGER)
    status = record.obj.get("status") or {}
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    conditions = [one for one in status.get("conditions") or () if one.get("type") != told["type"]]
    changed = {**status, "conditions": [*conditions, told]}
    record = writer.change_status(resource, record, changed, manager=EVICTION_MANAGER)
    return deletion.delete(writer.store, resource, record, chosen, writer.clock)


# ---- service account tokens ----


def _owned(value: Mapping[str, Any]) -> Object:
    return {f"f:{key}": _owned(one) if isinstance(one, dict) else {} for key, one in value.items() if one is not None}


def request_token(writer: Writer, account: Record, request: Object, auth: Authenticator, *, manager: str) -> Object:
    """The TokenRequest with its token. Raises Invalid, NotFound, Conflict."""
    spec = request.get("spec") or {}
    life = spec.get("expirationSeconds")
    life = DEFAULT_TOKEN_LIFE_S if life is None else life
    if not MIN_TOKEN_LIFE_S <= life <= MAX_TOKEN_LIFE_S:
        limit = "may not specify a duration less than 10 minutes" if life < MIN_TOKEN_LIFE_S else "is too long"
        cause = apierrors.invalid_value("spec.expirationSeconds", life, limit)
        raise apierrors.invalid("TokenRequest", "authentication.k8s.io", "", [cause])
    audiences = [str(one) for one in spec.get("audiences") or ()] or [ISSUER]
    bound: dict[str, dict[str, str]] = {}
    reference = spec.get("boundObjectRef")
    if reference:
        kind = str(reference.get("kind") or "").lower()
        found = writer.store.get(f"{kind}s", f"{account.namespace}/{reference.get('name')}")
        if kind not in ("pod", "secret") or found is None:
            raise apierrors.not_found(f"{kind}s", "", str(reference.get("name")))
        if reference.get("uid") and reference["uid"] != found.uid:
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
            raise apierrors.conflict(f"{kind}s", "", found.name, why)
        bound[kind] = {"name": found.name, "uid": found.uid}
    token, expires = auth.issue(
        account.namespace,
        account.name,
        account.uid,
        audiences=audiences,
        life_s=life,
        bound=bound,
        token_id=writer.ids.uuid(),
    )
    shown = {**spec, "audiences": audiences, "expirationSeconds": life, "boundObjectRef": reference}
    now = format_time(writer.clock.now())
    given = {**spec, "expirationSeconds": life}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": account.name,
            "namespace": account.namespace,
            "uid": writer.ids.uuid(),
            "creationTimestamp": now,
            "managedFields": [
                {
                    "manager": manager,
                    "operation": "Update",
                    "apiVersion": "authentication.k8s.io/v1",
                    "time": now,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": _owned(given)},
                    "subresource": "token",
                }
            ],
        },
        "spec": shown,
        "status": {"token": token, "expirationTimestamp": expires},
    }


def read_log(pod: Record, container: str) -> str:
    """What `kubectl logs` gets: a plain sentence. Raises BadRequest for a container the Pod does not have."""
    spec = pod.obj.get("spec") or {}
    names = [one.get("name") for kind in _CONTAINERS for one in spec.get(kind) or ()]
    if container and container not in names:
        raise BadRequest(f"container {container} is not valid for pod {pod.name}")
    told = _told(pod, LOG)
    return f"{told}\n" if told else SIMULATED_LOG


def patch_scale(current: Object, request: PatchRequest) -> Object:
    """The Scale a JSON or merge patch makes of the current one."""
    if request.kind == "json":
        try:
            result: Object = jsonpatch.apply(current, request.body)
        except jsonpatch.JsonPatchError:
            raise jsonpatch.refusal() from None
        return result
    return mergepatch.apply(current, request.body)  # type: ignore[no-any-return]
