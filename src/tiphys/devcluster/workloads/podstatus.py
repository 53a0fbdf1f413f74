"""The status of a simulated Pod at a moment, from its spec, its knobs and when it began. Pure.

Nothing is remembered between two looks, so a simulator that starts anew goes on where the last one was.

Source: kubernetes pkg/kubelet (conditions, container states and their messages); recorded timeline 1.36.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads import faults
from tiphys.devcluster.workloads.fields import Json, Obj, condition, number, spec_of, status_of
from tiphys.devcluster.workloads.references import Missing
from tiphys.runtime.clock import format_time

FIRST_BACKOFF_S: Final = 10.0
MAX_BACKOFF_S: Final = 300.0
LOOK_AGAIN_S: Final = 2.0  # for what a Pod refers to; nobody tells when it appears
NOTHING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Pod runs and when it began there."""

    began: datetime
    host_ip: str
    pod_ip: str


@dataclass(slots=True)
class Step:
    """The status a Pod should have now, and in how many seconds to look again (None: when it changes)."""

    status: Json
    next_s: float | None = None


@dataclass(slots=True)
class _Look:
    pod: Obj
    now: datetime
    place: Place
    knobs: faults.Knobs
    rows: dict[str, Obj] = field(default_factory=dict)

    @property
    def age_s(self) -> float:
        return (self.now - self.place.began).total_seconds()

    def at(self, seconds: float) -> str:
        return format_time(self.place.began + timedelta(seconds=seconds))


def status_at(pod: Obj, now: datetime, place: Place, missing: Missing = NOTHING) -> Step:
    """The status of a Pod on our node at a moment. `missing` is what it refers to and is not there."""
    held = status_of(pod)
    look = _Look(pod, now, place, faults.knobs_of(pod))
    for name in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        look.rows |= {row["name"]: row for row in held.get(name) or ()}
    spec = spec_of(pod)
    inits, mains = list(spec.get("initContainers") or ()), list(spec.get("containers") or ())
    left = look.knobs.start_delay_s - look.age_s
    if missing.volumes:
        left = max(left, LOOK_AGAIN_S)
    if left > 0:
        word = "PodInitializing" if inits else "ContainerCreating"
        init_rows = [_waiting(one, word) for one in inits]
        main_rows = [_waiting(one, word) for one in mains]
        return _pending(look, init_rows, main_rows, initialized=not inits, next_s=left)
    stuck = {one["name"]: _pull_row(one) for one in (*inits, *mains) if _cannot_pull(one, look.knobs)}
    for one in (*inits, *mains):
        if one["name"] in missing.containers:
            row = _bare_row(one, "CreateContainerConfigError", missing.containers[one["name"]])
            stuck.setdefault(one["name"], row)
    again = LOOK_AGAIN_S if missing else None
    init_rows = _init_rows(inits, look, stuck)
    if any(one["name"] in stuck for one in inits):
        main_rows = [_waiting(one, "PodInitializing") for one in mains]
        return _pending(look, init_rows, main_rows, initialized=False, next_s=again)
    if stuck:
        main_rows = [stuck.get(one["name"]) or _running(one, look) for one in mains]
        return _pending(look, init_rows, main_rows, initialized=True, next_s=again)
    if spec.get("restartPolicy", "Always") != "Always":
        return _ending(look, init_rows, mains)
    codes = {one["name"]: 1 for one in mains} if look.knobs.crash_loop else {}
    return _running_step(look, init_rows, mains, codes)


def killed(pod: Obj, now: datetime) -> Json:
    """The status of a Pod whose containers were stopped because it is being deleted."""
    held = status_of(pod)
    rows = []
    for row in held.get("containerStatuses") or ():
        ended = _terminated(137, "Error", format_time(now), format_time(now))
        rows.append({**row, "ready": False, "started": False, "state": row["state"] if _ended(row) else ended})
    conditions = [
        {**one, "status": "False", "reason": "PodFailed", "lastTransitionTime": format_time(now)}
        if one.get("type") in ("Ready", "ContainersReady")
        else one
        for one in held.get("conditions") or ()
    ]
    return {**held, "phase": "Failed", "containerStatuses": rows, "conditions": conditions}


def _ended(row: Obj) -> bool:
    return "terminated" in (row.get("state") or {})


# ---- the shapes of a Pod ----


def _pending(
    look: _Look, init_rows: list[Json], main_rows: list[Json], *, initialized: bool, next_s: float | None = None
) -> Step:
    return Step(_status(look, "Pending", init_rows, main_rows, initialized=initialized), next_s)


def _running_step(look: _Look, init_rows: list[Json], mains: list[Obj], codes: dict[str, int]) -> Step:
    """Running for ever, but for the containers in `codes`, which end with these codes again and again."""
    begun = look.age_s - look.knobs.start_delay_s
    restarts, wait_s, next_s = _crashes(begun)
    rows = [
        _crashed(one, look, codes[one["name"]], restarts, wait_s) if one["name"] in codes else _running(one, look)
        for one in mains
    ]
    return Step(_status(look, "Running", init_rows, rows), next_s if codes else None)


def _ending(look: _Look, init_rows: list[Json], mains: list[Obj]) -> Step:
    """A Pod that runs to its end."""
    takes = faults.run_s(look.pod, look.knobs)
    start = look.knobs.start_delay_s
    left = start + takes - look.age_s
    if left > 0:
        return Step(_status(look, "Running", init_rows, [_running(one, look) for one in mains]), left)
    codes = {one["name"]: faults.exit_code(one, look.knobs) for one in mains}
    failing = {name: code for name, code in codes.items() if code}
    if failing and spec_of(look.pod).get("restartPolicy") == "OnFailure":
        return _running_step(look, init_rows, mains, failing)
    rows = []
    for one in mains:
        code = codes[one["name"]]
        state = _terminated(code, "Error" if code else "Completed", look.at(start), look.at(start + takes))
        kept = _kept(look.rows.get(one["name"]), "terminated")
        rows.append(_row(one, kept or state, ready=False, started=False, pod=look.pod))
    return Step(_status(look, "Failed" if failing else "Succeeded", init_rows, rows))


def _status(look: _Look, phase: str, init_rows: list[Json], main_rows: list[Json], *, initialized: bool = True) -> Json:
    held = status_of(look.pod)
    status: Json = {**held, "phase": phase, "startTime": held.get("startTime") or format_time(look.place.began)}
    status["conditions"] = _conditions(look, phase, main_rows, initialized=initialized)
    status["hostIP"] = look.place.host_ip
    status["hostIPs"] = [{"ip": look.place.host_ip}]
    if phase != "Pending" or not initialized or any("running" in row["state"] for row in main_rows):
        status["podIP"] = look.place.pod_ip
        status["podIPs"] = [{"ip": look.place.pod_ip}]
    if init_rows:
        status["initContainerStatuses"] = init_rows
    status["containerStatuses"] = main_rows
    if guests := spec_of(look.pod).get("ephemeralContainers"):
        status["ephemeralContainerStatuses"] = [_guest(one, look, phase) for one in guests]
    status.setdefault("qosClass", "BestEffort")
    return status


def _guest(container: Obj, look: _Look, phase: str) -> Json:
    """A container that `kubectl debug` put into the Pod: it runs as long as the Pod does, and is never ready."""
    if phase != "Running":
        return _waiting(container, "PodInitializing")
    held = _kept(look.rows.get(container["name"]), "running")
    state = held or {"running": {"startedAt": format_time(look.now)}}
    return _row(container, state, ready=False, started=True, pod=look.pod)


def _conditions(look: _Look, phase: str, rows: list[Json], *, initialized: bool) -> list[Json]:
    held = status_of(look.pod).get("conditions") or ()
    unready = [str(row["name"]) for row in rows if not row["ready"]]
    reason = message = ""
    if phase == "Succeeded":
        reason = "PodCompleted"
    elif phase == "Failed":
        reason = "PodFailed"
    elif unready:
        reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    gates = [str(gate.get("conditionType")) for gate in spec_of(look.pod).get("readinessGates") or ()]
    open_gates = [gate for gate in gates if (condition(held, gate) or {}).get("status") != "True"]
    ready_reason, ready_message = reason, message
    if not reason and open_gates:
        ready_reason = "ReadinessGatesNotReady"
        shown = ", ".join(f'the status of pod readiness gate "{gate}" is not "True"' for gate in open_gates)
        ready_message = shown
    uninitialized = [str(one["name"]) for one in spec_of(look.pod).get("initContainers") or ()]
    init = ("", "") if initialized else ("ContainersNotInitialized", _incomplete(uninitialized))
    creating = any((row["state"].get("waiting") or {}).get("reason") == "ContainerCreating" for row in rows)
    sandbox = phase == "Running" or (phase == "Pending" and not creating and look.knobs.start_delay_s <= look.age_s)
    made = [
        _condition("PodReadyToStartContainers", sandbox, "", ""),
        _condition("Initialized", initialized, "PodCompleted" if phase == "Succeeded" else init[0], init[1]),
        _condition("Ready", not ready_reason, ready_reason, ready_message),
        _condition("ContainersReady", not reason, reason, message),
        _condition("PodScheduled", True, "", ""),
    ]
    now = format_time(look.now)
    names = {one["type"] for one in made}
    for one in made:
        before = condition(held, str(one["type"]))
        unchanged = before is not None and before.get("status") == one["status"]
        one["lastTransitionTime"] = before.get("lastTransitionTime") if before is not None and unchanged else now
        if before is not None and "observedGeneration" in before:
            one["observedGeneration"] = before["observedGeneration"]
    return [*made, *[dict(one) for one in held if one.get("type") not in names]]


def _incomplete(names: list[str]) -> str:
    return f"containers with incomplete status: [{' '.join(names)}]"


def _condition(kind: str, value: bool, reason: str, message: str) -> Json:
    made: Json = {"type": kind, "status": "True" if value else "False", "lastProbeTime": None}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


# ---- containers ----


def _cannot_pull(container: Obj, knobs: faults.Knobs) -> bool:
    return knobs.pull_failure or faults.is_bad_image(str(container.get("image") or ""))


def _init_rows(inits: list[Obj], look: _Look, stuck: dict[str, Json]) -> list[Json]:
    """Init containers: those before the first that is stuck have ended, those after it wait; sidecars run on."""
    rows = []
    blocked = False
    start = look.at(look.knobs.start_delay_s)
    for one in inits:
        if blocked:
            rows.append(_waiting(one, "PodInitializing"))
        elif one["name"] in stuck:
            blocked = True
            rows.append(stuck[one["name"]])
        elif one.get("restartPolicy") == "Always":
            rows.append(_running(one, look))
        else:
            kept = _kept(look.rows.get(one["name"]), "terminated")
            state = kept or _terminated(0, "Completed", start, start)
            rows.append(_row(one, state, ready=True, started=False, pod=look.pod))
    return rows


def _row(
    container: Obj, state: Json, *, ready: bool, started: bool, pod: Obj, restarts: int = 0, last: Json | None = None
) -> Json:
    image = str(container.get("image") or "")
    seed = f"{meta.uid(pod)}/{container['name']}/{restarts}".encode()
    identity = f"simulated://{hashlib.sha256(seed).hexdigest()}"
    if "terminated" in state:
        state = {"terminated": {**state["terminated"], "containerID": identity}}
    return {
        "name": container["name"],
        "state": state,
        "lastState": last or {},
        "ready": ready,
        "restartCount": restarts,
        "image": image,
        "imageID": f"simulated://{image}",
        "containerID": identity,
        "started": started,
    }


def _bare_row(container: Obj, reason: str, message: str) -> Json:
    waiting: Json = {"reason": reason}
    if message:
        waiting["message"] = message
    return {
        "name": container["name"],
        "state": {"waiting": waiting},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": str(container.get("image") or ""),
        "imageID": "",
        "started": False,
    }


def _waiting(container: Obj, reason: str) -> Json:
    return _bare_row(container, reason, "")


def pull_error(image: str) -> str:
    """What the container runtime would say of an image that does not exist."""
    return (
        f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        " (simulated)"
    )


def _pull_row(container: Obj) -> Json:
    image = str(container.get("image") or "")
    message = f'Back-off pulling image "{image}": ErrImagePull: {pull_error(image)}'
    return _bare_row(container, "ImagePullBackOff", message)


def _running(container: Obj, look: _Look) -> Json:
    kept = _kept(look.rows.get(container["name"]), "running")
    state = kept or {"running": {"startedAt": format_time(look.now)}}
    ready = not look.knobs.never_ready
    held = look.rows.get(container["name"]) or {}
    restarts = number(held, "restartCount")
    last = held.get("lastState") or {}
    return _row(container, state, ready=ready, started=True, pod=look.pod, restarts=restarts, last=dict(last))


def _kept(row: Obj | None, kind: str) -> Json | None:
    state = (row or {}).get("state") or {}
    return {kind: state[kind]} if kind in state else None


def _terminated(code: int, reason: str, started: str, finished: str) -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": finished}}


def _crashed(container: Obj, look: _Look, code: int, restarts: int, wait_s: float) -> Json:
    """A container that ended with an error and waits to be started again."""
    pod = look.pod
    who = f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"
    message = f"back-off {go_duration(wait_s)} restarting failed container={container['name']} pod={who}"
    state: Json = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    held = look.rows.get(container["name"]) or {}
    last: Any = held.get("lastState") or {}
    if number(held, "restartCount") != restarts or "terminated" not in last:
        moment = format_time(look.now)
        last = _row(
            container,
            _terminated(code, "Error", moment, moment),
            ready=False,
            started=False,
            pod=pod,
            restarts=restarts - 1,
        )["state"]
    return _row(container, state, ready=False, started=False, pod=pod, restarts=restarts, last=dict(last))


def _crashes(seconds: float) -> tuple[int, float, float]:
    """Restarts after `seconds` of crashing, the back-off that runs now, and the seconds until it ends."""
    restarts, wait, ends = 1, FIRST_BACKOFF_S, FIRST_BACKOFF_S
    while seconds >= ends:
        restarts += 1
        wait = min(wait * 2, MAX_BACKOFF_S)
        ends += wait
    return restarts, wait, ends - seconds


def go_duration(seconds: float) -> str:
    """Whole seconds as Go prints them: `10s`, `2m40s`, `5m0s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
