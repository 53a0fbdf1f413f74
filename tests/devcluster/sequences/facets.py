"""Recorded states as comparable facts: what differs from run to run taken out, what a user or a health check sees kept.

A facet is one thing that is compared, such as `phase` or `conditions/Available` or `last/spec.replicas`. Its value is a
list with one entry for each object of a group, sorted: Pods of one ReplicaSet have no names of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tests.devcluster.sequences.recorder import Obj, Recorder, namespace_of

Facets = dict[str, dict[str, Any]]
"""Facets by group of objects; a group is written `Kind name`."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ADDRESS: Final = re.compile(r"\b10\.(244|96)\.\d+\.\d+\b")
_TOKEN_VOLUME: Final = re.compile(r"kube-api-access-[a-z0-9]{5}")
_CONTAINER: Final = re.compile(r"simulated://[0-9a-f]{64}")
_MEANINGLESS: Final = frozenset(
    ("uid", "resourceVersion", "managedFields", "creationTimestamp", "selfLink", "nodePort")
)
# The simulated kubelet lets Pods go at once: whether one is counted while it goes is chance.
_HASHES: Final = ("pod-template-hash", "controller-revision-hash", "controller.kubernetes.io/hash")
_UNCOUNTED: Final = frozenset(("observedGeneration", "terminatingReplicas", "terminating"))
_BORN_WITH: Final = frozenset(("ConfigMap kube-root-ca.crt",))


def facets_of(recorder: Recorder, namespace: str, events: Iterable[Obj], answers: Iterable[str]) -> Facets:
    """Everything that was recorded of one namespace."""
    names = _Names(recorder, namespace)
    groups: dict[str, list[tuple[list[Obj], bool]]] = {}
    for (kind, uid), states in recorder.states.items():
        if namespace_of(kind, states[-1]) != namespace:
            continue
        group = f"{kind} {names.shown[uid]}"
        if group not in _BORN_WITH:
            groups.setdefault(group, []).append((states, uid in recorder.gone))
    found: Facets = {}
    for group, members in groups.items():
        rows = [names.plain(_facets(group, *member)) for member in members]
        paths = {path for row in rows for path in row}
        found[group] = {path: _sorted(row.get(path) for row in rows) for path in sorted(paths)}
        found[group]["how many"] = len(members)
    for event in events:
        involved = event["involvedObject"]
        shown = names.shown.get(str(involved.get("uid")), involved.get("name"))
        text = f"{event['type']} {event['reason']}: {names.plain(event['message'])}"
        said = found.setdefault(f"{involved['kind']} {shown}", {}).setdefault("events", [])
        if text not in said:
            said.append(text)
            said.sort()
    if said := [names.plain(text) for text in answers]:
        found["user"] = {"answers": said}
    return found


class _Names:
    """Generated names and uids by what stands for them."""

    def __init__(self, recorder: Recorder, namespace: str) -> None:
        self.shown: dict[str, str] = {}
        self._texts: dict[str, str] = {namespace: "<namespace>"}
        mine = {
            uid: (kind, states[0])
            for (kind, uid), states in recorder.states.items()
            if namespace_of(kind, states[-1]) == namespace
        }
        counted: dict[str, int] = {}
        for uid, (kind, obj) in sorted(mine.items(), key=lambda one: _age(*one[1])):
            self._name(uid, kind, obj, counted)
        for uid, (kind, _) in mine.items():
            self._texts[uid] = f"<uid of {kind} {self.shown[uid]}>"
        self._pattern = re.compile("|".join(re.escape(text) for text in sorted(self._texts, key=len, reverse=True)))

    def _name(self, uid: str, kind: str, obj: Obj, counted: dict[str, int]) -> None:
        metadata = obj["metadata"]
        name = str(metadata["name"])
        owners = [one for one in metadata.get("ownerReferences") or () if one.get("controller")]
        labels = metadata.get("labels") or {}
        shown = name
        owner_uid = owners[0]["uid"] if owners else ""
        owner = self.shown.get(owner_uid, str(owners[0]["name"]) if owners else "")
        if kind in ("ReplicaSet", "ControllerRevision"):
            digest = next((labels[one] for one in _HASHES if one in labels), "")
            if digest and name.endswith(digest):
                base = name[: -len(digest) - 1]
                counted[base] = counted.get(base, 0) + 1
                shown = f"{base}-#{counted[base]}"
                self._texts.setdefault(digest, f"#{counted[base]}")
        elif owners and owners[0]["kind"] == "CronJob":
            shown = re.sub(r"-\d{8}$", "-<minute>", name)
        elif metadata.get("generateName") and not (owners and owners[0]["kind"] == "StatefulSet"):
            stem = str(metadata["generateName"])
            shown = f"{self._texts.get(stem[:-1], stem[:-1])}-*"
            if owners and owners[0]["kind"] == "Job" and stem.startswith(f"{owners[0]['name']}-"):
                shown = f"{owner}{stem[len(str(owners[0]['name'])) :]}*"
        elif kind == "PersistentVolume":
            shown = _UUID.sub("*", name)
        elif kind == "Namespace":
            shown = "<namespace>"
        self.shown[uid] = shown
        if shown != name:
            self._texts[name] = shown

    def plain(self, value: Any) -> Any:
        """A value without what differs from run to run."""
        if isinstance(value, str):
            text = self._pattern.sub(lambda match: self._texts[match.group()], value)
            text = _TOKEN_VOLUME.sub("kube-api-access-*", _CONTAINER.sub("<container>", text))
            return _UUID.sub("<uid>", _ADDRESS.sub("<address>", _TIME.sub("<time>", text)))
        if isinstance(value, Mapping):
            return {self.plain(name): self.plain(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        return value


def _age(kind: str, first: Obj) -> tuple[int, int]:
    """Owners before what is named after them, each in the order in which they were made."""
    rank = {"ReplicaSet": 0, "ControllerRevision": 0, "Job": 1}.get(kind, 2)
    return rank, int(first["metadata"]["resourceVersion"])


def _facets(group: str, states: list[Obj], gone: bool) -> dict[str, Any]:
    """Facets of one object."""
    found: dict[str, Any] = {"gone": gone}
    kind = group.partition(" ")[0]
    conditions: dict[str, list[Any]] = {}
    counts: dict[str, list[Any]] = {}
    phases: list[Any] = []
    holding: list[Any] = []
    owned: list[Any] = []
    for state in states:
        status = state.get("status") or {}
        here = {
            one["type"]: f"{one['status']} {one.get('reason', '')}".strip() for one in status.get("conditions") or ()
        }
        for name in here.keys() | conditions.keys():
            conditions.setdefault(name, []).append(here.get(name, "absent"))
        _count(counts, {**dict.fromkeys(counts, 0), **_counts(kind, state)})
        phases.append(status.get("phase"))
        metadata = state["metadata"]
        owners = metadata.get("ownerReferences") or ()
        owned.append([f"{one['kind']}{' controller' if one.get('controller') else ''}" for one in owners])
        holding.append([bool(metadata.get("deletionTimestamp")), *sorted(metadata.get("finalizers") or ())])
    for name, values in conditions.items():
        found[f"conditions/{name}"] = _collapsed(values)
    for name, values in counts.items():
        found[f"counts/{name}"] = _bounds(values, gone)
    if any(phases):
        found["phase"] = _collapsed(phases)
    held = [["deleting" if deleting else "kept by", *names] for deleting, *names in _collapsed(holding)]
    if len(held) > 1 or held[0][1:]:
        found["held"] = held
    if any(owned):
        found["owners"] = _collapsed(owned)
    if not gone:
        found |= {f"last/{path}": value for path, value in _flat(_without_noise(states[-1]))}
    return found


def _counts(kind: str, state: Obj) -> dict[str, int]:
    status = state.get("status") or {}
    found = {
        name: value
        for name, value in status.items()
        if isinstance(value, int) and not isinstance(value, bool) and name not in _UNCOUNTED
    }
    if kind == "EndpointSlice":
        rows = state.get("endpoints") or ()
        found["ready"] = sum((one.get("conditions") or {}).get("ready") is True for one in rows)
        found["all"] = len(rows)
    elif kind == "Endpoints":
        subsets = state.get("subsets") or ()
        found["ready"] = sum(len(one.get("addresses") or ()) for one in subsets)
        found["unready"] = sum(len(one.get("notReadyAddresses") or ()) for one in subsets)
    elif kind in ("ReplicaSet", "Deployment", "StatefulSet"):
        found["wanted"] = (state.get("spec") or {}).get("replicas") or 0
    return found


def _count(counts: dict[str, list[Any]], here: Mapping[str, int]) -> None:
    for name, value in here.items():
        counts.setdefault(name, []).append(value)


def _collapsed(values: list[Any]) -> list[Any]:
    return [value for at, value in enumerate(values) if at == 0 or value != values[at - 1]]


def _bounds(values: list[int], gone: bool) -> dict[str, int]:
    """The most and, for what is still there, the last; steps in between depend on who looked when."""
    return {"most": max(values)} if gone else {"most": max(values), "last": values[-1]}


def _without_noise(obj: Obj) -> Obj:
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _MEANINGLESS}
    if "endpoints" in obj:
        metadata.pop("generation", None)  # how often it was written
    return {**obj, "metadata": metadata}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by path; rows of lists by what names them, as far as something does."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            if name in ("uid", "resourceVersion") or name.endswith(("Time", "Timestamp")) or name == "nodePort":
                continue
            yield from _flat(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for at, item in enumerate(value):
            named = item.get("name") or item.get("type") or item.get("key") if isinstance(item, Mapping) else None
            yield from _flat(item, f"{path}[{_TOKEN_VOLUME.sub('kube-api-access-*', str(named or at))}]")
        order = [item.get("type") for item in value if isinstance(item, Mapping) and "type" in item]
        if path == "status.conditions":
            yield f"{path} order", order
    else:
        yield path, value


def _sorted(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))
