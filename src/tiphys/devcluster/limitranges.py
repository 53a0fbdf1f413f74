"""Limits of a namespace: which minima, maxima and ratios of its LimitRanges a Pod or a claim breaks. Pure.

Source: kubernetes plugin/pkg/admission/limitranger; messages tried on kube-apiserver 1.36.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from tiphys.apimachinery.quantity import Quantity, parse
from tiphys.devcluster.quota import CLAIMS, ZERO, pod_amounts

Json = Mapping[str, Any]

BUCKETS: Final = frozenset(("pods", CLAIMS))


class _Asked(NamedTuple):
    """What something requests and is limited to."""

    requests: Mapping[str, Quantity]
    limits: Mapping[str, Quantity]


def why_not(limit_range: Json, bucket: str, obj: Json) -> str:
    """Why a LimitRange does not admit an object, empty when it does."""
    found: list[str] = []
    spec = obj.get("spec") or {}
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        kind = str(item.get("type"))
        if bucket == CLAIMS and kind == "PersistentVolumeClaim":
            asked = _Asked(_parsed((spec.get("resources") or {}).get("requests")), {})
            found += _minima(item, kind, asked)
            found += _maximal_requests(item, kind, asked)
        elif bucket == "pods" and kind == "Container":
            for one in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                resources = one.get("resources") or {}
                found += _broken(
                    item, kind, _Asked(_parsed(resources.get("requests")), _parsed(resources.get("limits")))
                )
        elif bucket == "pods" and kind == "Pod":
            amounts = pod_amounts(spec)
            found += _broken(item, kind, _Asked(_part(amounts, "requests."), _part(amounts, "limits.")))
    found = list(dict.fromkeys(found))
    return f"[{', '.join(found)}]" if len(found) > 1 else "".join(found)


def _parsed(amounts: Mapping[str, str] | None) -> dict[str, Quantity]:
    return {name: parse(amount) for name, amount in (amounts or {}).items()}


def _part(amounts: Mapping[str, Quantity], prefix: str) -> dict[str, Quantity]:
    return {name.removeprefix(prefix): amount for name, amount in amounts.items() if name.startswith(prefix)}


def _broken(item: Json, kind: str, asked: _Asked) -> Iterator[str]:
    yield from _minima(item, kind, asked)
    yield from _maxima(item, kind, asked)
    yield from _ratios(item, kind, asked)


def _minima(item: Json, kind: str, asked: _Asked) -> Iterator[str]:
    for name, least in sorted(_parsed(item.get("min")).items()):
        rule = f"minimum {name} usage per {kind} is {least}"
        if name not in asked.requests:
            yield f"{rule}.  No request is specified"
        elif asked.requests[name] < least:
            yield f"{rule}, but request is {asked.requests[name]}"
        elif asked.limits.get(name, least) < least:
            yield f"{rule}, but limit is {asked.limits[name]}"


def _maxima(item: Json, kind: str, asked: _Asked) -> Iterator[str]:
    for name, most in sorted(_parsed(item.get("max")).items()):
        rule = f"maximum {name} usage per {kind} is {most}"
        if name not in asked.limits:
            yield f"{rule}.  No limit is specified"
        elif asked.limits[name] > most:
            yield f"{rule}, but limit is {asked.limits[name]}"
        elif asked.requests.get(name, most) > most:
            yield f"{rule}, but request is {asked.requests[name]}"


def _maximal_requests(item: Json, kind: str, asked: _Asked) -> Iterator[str]:
    for name, most in sorted(_parsed(item.get("max")).items()):
        rule = f"maximum {name} usage per {kind} is {most}"
        if name not in asked.requests:
            yield f"{rule}.  No request is specified"
        elif asked.requests[name] > most:
            yield f"{rule}, but request is {asked.requests[name]}"


def _ratios(item: Json, kind: str, asked: _Asked) -> Iterator[str]:
    for name, most in sorted(_parsed(item.get("maxLimitRequestRatio")).items()):
        rule = f"{name} max limit to request ratio per {kind} is {most}"
        request, limit = asked.requests.get(name, ZERO), asked.limits.get(name, ZERO)
        if request == ZERO:
            yield f"{rule}, but no request is specified or request is 0"
        elif limit == ZERO:
            yield f"{rule}, but no limit is specified or limit is 0"
        elif limit.value > most.value * request.value:
            yield f"{rule}, but provided ratio is {float(limit.value / request.value):f}"
