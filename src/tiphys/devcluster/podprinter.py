"""Cells of a Pod's Table row: its status is a summary of its containers.

Source: kubernetes pkg/printers/internalversion printPod.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tiphys.devcluster.durations import human_duration, since
from tiphys.runtime.clock import parse_time

Object = Mapping[str, Any]

NONE = "<none>"


class _Summary:
    """What is gathered while the containers are walked."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.restarts = 0
        self.ready = 0
        self.last_restart: datetime | None = None

    def note_restart(self, status: Object) -> None:
        finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        if finished:
            moment = parse_time(finished)
            if self.last_restart is None or moment > self.last_restart:
                self.last_restart = moment


def pod_cells(obj: Object, now: datetime) -> list[Any]:
    """Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates."""
    spec, status, metadata = obj.get("spec") or {}, obj.get("status") or {}, obj.get("metadata") or {}
    containers = spec.get("containers") or []
    summary = _Summary(status.get("reason") or status.get("phase") or "")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            summary.reason = "SchedulingGated"
    total = len(containers) + sum(1 for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always")
    initializing = _walk_init(spec, status, summary)
    if not initializing or _is_initialized(status):
        _walk_containers(status, summary)
    if metadata.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            summary.reason = "Terminating"
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart is not None:
        restarts += f" ({human_duration((now - summary.last_restart).total_seconds())} ago)"
    ips = status.get("podIPs") or []
    return [
        f"{summary.ready}/{total}",
        summary.reason,
        restarts,
        since(metadata.get("creationTimestamp"), now),
        (ips[0].get("ip") if ips else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


def _is_initialized(status: Object) -> bool:
    return any(
        one.get("type") == "Initialized" and one.get("status") == "True" for one in status.get("conditions") or ()
    )


def _walk_init(spec: Object, status: Object, summary: _Summary) -> bool:
    """Count init containers; True when one of them is what the Pod waits for."""
    declared: Sequence[Object] = spec.get("initContainers") or []
    sidecars = {one.get("name") for one in declared if one.get("restartPolicy") == "Always"}
    for index, one in enumerate(status.get("initContainerStatuses") or ()):
        state = one.get("state") or {}
        summary.note_restart(one)
        is_sidecar = one.get("name") in sidecars
        if is_sidecar or not one.get("ready"):
            summary.restarts += int(one.get("restartCount") or 0)
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated and terminated.get("exitCode") == 0:
            continue
        if is_sidecar and one.get("started"):
            if one.get("ready"):
                summary.ready += 1
            continue
        if terminated:
            if terminated.get("reason"):
                summary.reason = f"Init:{terminated['reason']}"
            elif terminated.get("signal"):
                summary.reason = f"Init:Signal:{terminated['signal']}"
            else:
                summary.reason = f"Init:ExitCode:{terminated.get('exitCode')}"
        elif waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{index}/{len(declared)}"
        return True
    return False


def _walk_containers(status: Object, summary: _Summary) -> None:
    has_running = False
    for one in reversed(status.get("containerStatuses") or []):
        state = one.get("state") or {}
        summary.restarts += int(one.get("restartCount") or 0)
        summary.note_restart(one)
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated and terminated.get("reason"):
            summary.reason = terminated["reason"]
        elif terminated:
            signal = terminated.get("signal")
            summary.reason = f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode')}"
        elif one.get("ready") and state.get("running") is not None:
            has_running = True
            summary.ready += 1
    if summary.reason == "Completed" and has_running:
        ready = any(
            one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ()
        )
        summary.reason = "Running" if ready else "NotReady"


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates") or []
    if not gates:
        return NONE
    true = {one.get("type") for one in status.get("conditions") or () if one.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"
