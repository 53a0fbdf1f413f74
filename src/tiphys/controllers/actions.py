"""Resource actions: what can be done to a live object beside editing it, and what an action makes of the object. Pure.

Source: compat 4.4, 17.3.
Differs: the built-in ones are functions here, not scripts; those for kinds of other projects are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.apimachinery.names import GroupKind, gvk_of
from tiphys.model.time import format_time

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_INSTANTIATE = "cronjob.kubernetes.io/instantiate"

Object = dict[str, Any]


class ActionError(ValueError):
    """An action that does not exist for the object, or cannot be run as it was asked for."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done to an object. `disabled`: it makes no sense for the object as it is now."""

    name: str
    display_name: str = ""
    icon: str = ""
    disabled: bool = False
    params: tuple[Mapping[str, str], ...] = ()

    def shown(self) -> dict[str, Any]:
        """Argo CD's ResourceAction."""
        out: dict[str, Any] = {"name": self.name}
        if self.params:
            out["params"] = [dict(param) for param in self.params]
        if self.disabled:
            out["disabled"] = True
        if self.icon:
            out["iconClass"] = self.icon
        if self.display_name:
            out["displayName"] = self.display_name
        return out


@dataclass(frozen=True, slots=True)
class Run:
    """What an action may use: parameters by name, and the time."""

    params: Mapping[str, str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Impact:
    """What an action asks for: an object to create, or the live one as it is to become."""

    object: Object
    creates: bool = False


Discover = Callable[[Mapping[str, Any]], Sequence[Action]]
Perform = Callable[[Object, Run], "Impact | None"]  # None: the object, changed in place, is what it is to become


def available(obj: Mapping[str, Any]) -> tuple[Action, ...]:
    """Actions of a live object, sorted by name; none for kinds that have none."""
    found = _KINDS.get(gvk_of(obj).group_kind)
    return () if found is None else tuple(sorted(found[0](obj), key=lambda action: action.name))


def perform(obj: Mapping[str, Any], name: str, params: Mapping[str, str], now: datetime) -> Impact:
    """What running an action on a live object asks for. Raises ActionError."""
    kind = gvk_of(obj).group_kind
    run = (_KINDS[kind][1] if kind in _KINDS else {}).get(name)
    if run is None:
        raise ActionError(f"there is no action {name!r} for {kind}")
    if next((action for action in available(obj) if action.name == name and action.disabled), None) is not None:
        raise ActionError(f"action {name!r} is disabled for {kind} {(obj.get('metadata') or {}).get('name')}")
    changed = copy.deepcopy(dict(obj))
    impact = run(changed, Run(params, now))
    return impact if impact is not None else Impact(changed)


# ---- what several kinds share ----


def _restart(obj: Object, run: Run) -> None:
    template = obj.setdefault("spec", {}).setdefault("template", {})
    metadata = template["metadata"] = template.get("metadata") or {}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), RESTARTED_AT: format_time(run.now)}


def _scale(obj: Object, run: Run) -> None:
    text = run.params.get("replicas", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ActionError(f"invalid number: {text}")
    obj.setdefault("spec", {})["replicas"] = int(text)


def _set(field: str, value: object) -> Perform:
    def run(obj: Object, _run: Run) -> None:
        spec = obj.setdefault("spec", {})
        if value is None:
            spec.pop(field, None)
        else:
            spec[field] = value

    return run


def _restartable(_obj: Mapping[str, Any]) -> list[Action]:
    return [Action("restart", icon="fa fa-fw fa-redo")]


def _scalable(obj: Mapping[str, Any]) -> Action:
    replicas = str((obj.get("spec") or {}).get("replicas", 1))
    return Action("scale", icon="fa fa-fw fa-arrows-alt-v", params=({"name": "replicas", "default": replicas},))


# ---- apps ----


def _deployment(obj: Mapping[str, Any]) -> list[Action]:
    paused = bool((obj.get("spec") or {}).get("paused"))
    return [
        *_restartable(obj),
        Action("pause", icon="fa fa-fw fa-pause-circle", disabled=paused),
        Action("resume", icon="fa fa-fw fa-play-circle", disabled=not paused),
        _scalable(obj),
    ]


def _stateful_set(obj: Mapping[str, Any]) -> list[Action]:
    return [*_restartable(obj), _scalable(obj)]


# ---- batch ----


def _cron_job(obj: Mapping[str, Any]) -> list[Action]:
    create = Action("create-job", "Create Job", "fa fa-fw fa-plus")
    if (obj.get("spec") or {}).get("suspend"):
        return [create, Action("resume", icon="fa fa-fw fa-play")]
    return [create, Action("suspend", icon="fa fa-fw fa-pause")]


def _create_job(obj: Object, run: Run) -> Impact:
    """A Job of now, as `kubectl create job --from` makes it, named after the minute."""
    metadata = obj.get("metadata") or {}
    template = (obj.get("spec") or {}).get("jobTemplate") or {}
    own = dict(template.get("metadata") or {})
    own["name"] = f"{metadata.get('name')}-{run.now:%Y%m%d%H%M}"
    own["namespace"] = metadata.get("namespace")
    own["annotations"] = {**(own.get("annotations") or {}), _INSTANTIATE: "manual"}
    own["ownerReferences"] = [
        {
            "apiVersion": obj.get("apiVersion"),
            "kind": obj.get("kind"),
            "name": metadata.get("name"),
            "uid": metadata.get("uid"),
        }
    ]
    return Impact(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": own, "spec": template.get("spec") or {}}, creates=True
    )


_ENDED = ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")


def _job(obj: Mapping[str, Any]) -> list[Action]:
    status = obj.get("status")
    conditions = (status or {}).get("conditions") or ()
    if any(item.get("type") in _ENDED and item.get("status") == "True" for item in conditions):
        return []
    suspended = (obj.get("spec") or {}).get("suspend")
    toggle = Action("resume", icon="fa fa-fw fa-play") if suspended else Action("suspend", icon="fa fa-fw fa-pause")
    return [toggle, Action("terminate", icon="fa fa-fw fa-stop")] if status is not None else [toggle]


def _terminate_job(obj: Object, run: Run) -> None:
    status = obj.setdefault("status", {})
    status["conditions"] = [
        *(status.get("conditions") or ()),
        {
            "lastTransitionTime": format_time(run.now),
            "message": "Job was terminated explicitly through Argo CD",
            "reason": "ManuallyTerminated",
            "status": "True",
            "type": "FailureTarget",
        },
    ]


# ---- argoproj.io ----


def _rollout(obj: Mapping[str, Any]) -> list[Action]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    paused = bool(spec.get("paused") or status.get("pauseConditions"))
    promoted = not status.get("currentPodHash") or status.get("currentPodHash") == status.get("stableRS")
    aborted = bool(status.get("abort"))
    steps = ((spec.get("strategy") or {}).get("canary") or {}).get("steps") or ()
    at_end = int(status.get("currentStepIndex") or 0) >= len(steps)
    return [
        *_restartable(obj),
        Action("pause", icon="fa fa-fw fa-pause-circle", disabled=paused),
        Action("resume", icon="fa fa-fw fa-play-circle", disabled=not paused),
        Action("abort", icon="fa fa-fw fa-times-circle", disabled=promoted or aborted),
        Action("retry", icon="fa fa-fw fa-history", disabled=promoted or not aborted),
        Action("promote-full", icon="fa fa-fw fa-fast-forward", disabled=promoted or aborted),
        Action("skip-current-step", icon="fa fa-fw fa-step-forward", disabled=promoted or at_end),
    ]


def _rollout_restart(obj: Object, run: Run) -> None:
    obj.setdefault("spec", {})["restartAt"] = format_time(run.now)


def _rollout_resume(obj: Object, _run: Run) -> None:
    (obj.get("status") or {}).pop("pauseConditions", None)
    if (obj.get("spec") or {}).get("paused"):
        obj["spec"]["paused"] = False


def _rollout_status(field: str, value: object) -> Perform:
    def run(obj: Object, _run: Run) -> None:
        status = obj["status"] = obj.get("status") or {}
        if value is None:
            status.pop(field, None)
        else:
            status[field] = value

    return run


def _skip_step(obj: Object, _run: Run) -> None:
    status = obj["status"] = obj.get("status") or {}
    status.pop("pauseConditions", None)
    status["currentStepIndex"] = int(status.get("currentStepIndex") or 0) + 1


def _application(_obj: Mapping[str, Any]) -> list[Action]:
    return [Action("toggle-auto-sync", "Toggle Auto Sync", "fa fa-fw fa-sync-alt")]


def _toggle_auto_sync(obj: Object, _run: Run) -> None:
    spec = obj.setdefault("spec", {})
    policy = spec["syncPolicy"] = spec.get("syncPolicy") or {}
    automated = policy.get("automated")
    if automated is None:
        policy["automated"] = {}
    else:
        automated["enabled"] = automated.get("enabled") is False


_KINDS: Mapping[GroupKind, tuple[Discover, Mapping[str, Perform]]] = {
    GroupKind("apps", "Deployment"): (
        _deployment,
        {"restart": _restart, "pause": _set("paused", True), "resume": _set("paused", None), "scale": _scale},
    ),
    GroupKind("apps", "StatefulSet"): (_stateful_set, {"restart": _restart, "scale": _scale}),
    GroupKind("apps", "DaemonSet"): (_restartable, {"restart": _restart}),
    GroupKind("batch", "CronJob"): (
        _cron_job,
        {"create-job": _create_job, "suspend": _set("suspend", True), "resume": _set("suspend", False)},
    ),
    GroupKind("batch", "Job"): (
        _job,
        {"suspend": _set("suspend", True), "resume": _set("suspend", False), "terminate": _terminate_job},
    ),
    GroupKind("argoproj.io", "Rollout"): (
        _rollout,
        {
            "restart": _rollout_restart,
            "pause": _set("paused", True),
            "resume": _rollout_resume,
            "abort": _rollout_status("abort", True),
            "retry": _rollout_status("abort", None),
            "promote-full": _rollout_status("promoteFull", True),
            "skip-current-step": _skip_step,
        },
    ),
    GroupKind("argoproj.io", "Application"): (_application, {"toggle-auto-sync": _toggle_auto_sync}),
}
