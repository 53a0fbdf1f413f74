"""When what the Endpoints of a Service follow changed: the annotation by which it is measured how late they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Key, Obj, condition, status_of

ANNOTATION: Final = "endpoints.kubernetes.io/last-change-trigger-time"


@dataclass
class _Seen:
    service: str = ""
    pods: dict[str, str] = field(default_factory=dict)


class TriggerTimes:
    """The times at which each Service was made and its Pods changed readiness, as of the last look.

    Source: kubernetes staging/src/k8s.io/endpointslice/trigger_time_tracker.go. Times are RFC 3339 in UTC with whole seconds,
    so that their order is that of their texts.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}

    def changed(self, key: Key, service: Obj, pods: Sequence[Obj]) -> str:
        """The earliest time that is news since the last call, empty when none is."""
        before = self._seen.get(key, _Seen())
        now = _Seen(_created(service), {meta.name(pod): _transition(pod) for pod in pods})
        self._seen[key] = now
        news = [time for name, time in now.pods.items() if time > before.pods.get(name, "")]
        if now.service > before.service:
            news.append(now.service)
        return min(news, default="")

    def forget(self, key: Key) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)


def _transition(pod: Obj) -> str:
    ready = condition(status_of(pod).get("conditions"), "Ready")
    return str((ready or {}).get("lastTransitionTime") or "")


def _created(service: Obj) -> str:
    return str(service["metadata"].get("creationTimestamp") or "")
