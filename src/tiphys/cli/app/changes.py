"""What differs between Git and the cluster, one `Change` an object, from the API's managed resources. Pure.

Source: api-ui 5.1 "Diff"; compat 3.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.engine.diff.compare import compare
from tiphys.engine.diff.ignored import Ignored
from tiphys.model.annotations import LAST_APPLIED

Object = dict[str, Any]

_SERVER_FIELDS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
CREATE, UPDATE, PRUNE = "create", "update", "prune"


@dataclass(frozen=True, slots=True)
class Change:
    """One object that a sync would change. `live` or `target` is None when there is none; both are as after an apply."""

    group: str
    kind: str
    namespace: str
    name: str
    live: Object | None
    target: Object | None

    @property
    def verb(self) -> str:
        """What a sync does: `create`, `update` or `prune`."""
        if self.live is None:
            return CREATE
        return PRUNE if self.target is None else UPDATE

    @property
    def title(self) -> str:
        """`group/Kind namespace/name`, as Argo CD writes it."""
        return f"{self.group}/{self.kind} {self.namespace}/{self.name}"


def changes(items: Iterable[Mapping[str, Any]]) -> list[Change]:
    """Objects that differ. Secrets and hooks are left out."""
    found = []
    for item in items:
        if item.get("hook") or _is_secret(item):
            continue
        live, target = _object(item, "liveState"), _object(item, "targetState")
        if live is None and target is None:
            continue
        if live is not None and target is not None:
            if not item.get("modified"):
                continue
            live, target = _sides(item, live, target)
            if live == target:
                continue
        found.append(_change(item, live, target))
    return found


def changes_to(
    items: Iterable[Mapping[str, Any]],
    targets: Sequence[Object],
    *,
    namespace: str,
    ignored: Sequence[Mapping[str, Any]] = (),
) -> list[Change]:
    """What a sync to these targets would change. `namespace` is of objects that name none; `ignored` is the
    Application's ignoreDifferences, of which JSON pointers count.
    """
    found = []
    wanted = {_key_of(obj): obj for obj in targets}
    lives = {_key(item): item for item in items}
    for key, target in wanted.items():
        item = lives.pop(key, None)
        if item is None and not key[2]:  # the manifest leaves its namespace to the Application
            item = lives.pop((*key[:2], namespace, key[3]), None)
        live = _object(item, "liveState") if item is not None else None
        reference = {"group": key[0], "kind": key[1], "namespace": key[2] or namespace, "name": key[3]}
        if _is_secret(reference) or _is_hook(target):
            continue
        if live is None:
            found.append(_change(reference, None, target))
            continue
        difference = compare(_placed(target, live), live, ignored=_ignored(ignored, reference))
        if difference.modified and difference.seen != difference.predicted:
            found.append(_change(reference, difference.seen, difference.predicted))
    for item in lives.values():
        live = _object(item, "liveState")
        if live is not None and not item.get("hook") and not _is_secret(item):
            found.append(_change(item, live, None))
    return found


def _sides(item: Mapping[str, Any], live: Object, target: Object) -> tuple[Object, Object]:
    """Both sides as the server normalised them; where it did not say what an apply gives, that is worked out here."""
    normal = _object(item, "normalizedLiveState") or live
    after = _object(item, "predictedLiveState")
    if after is None or after == target:
        difference = compare(_placed(target, normal), normal)
        if difference.seen is None or difference.predicted is None:
            return _cleaned(normal), _cleaned(normal)
        return _cleaned(difference.seen), _cleaned(difference.predicted)
    return _cleaned(normal), _cleaned(after)


def _placed(target: Object, live: Object) -> Object:
    namespace = (live.get("metadata") or {}).get("namespace")
    metadata = target.get("metadata") or {}
    if not namespace or metadata.get("namespace"):
        return target
    return {**target, "metadata": {**metadata, "namespace": namespace}}


def _change(item: Mapping[str, Any], live: Object | None, target: Object | None) -> Change:
    return Change(
        str(item.get("group") or ""),
        str(item.get("kind") or ""),
        str(item.get("namespace") or ""),
        str(item.get("name") or ""),
        _cleaned(live) if live is not None else None,
        _cleaned(target) if target is not None else None,
    )


def _cleaned(obj: Object) -> Object:
    """Without what the server writes and without the copy of the last apply."""
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in _SERVER_FIELDS}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**{key: value for key, value in obj.items() if key not in ("metadata", "status")}, "metadata": metadata}


def _object(item: Mapping[str, Any], field: str) -> Object | None:
    text = item.get(field)
    found = json.loads(text) if isinstance(text, str) and text else None
    return found if isinstance(found, dict) else None


def _is_secret(item: Mapping[str, Any]) -> bool:
    return item.get("kind") == "Secret" and not item.get("group")


def _is_hook(obj: Object) -> bool:
    from tiphys.model.annotations import annotations_of, is_hook, is_skipped

    annotations = annotations_of(obj)
    return is_hook(annotations) or is_skipped(annotations)


def _ignored(rules: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]) -> Ignored:
    pointers = [pointer for rule in rules if _is_for(rule, reference) for pointer in rule.get("jsonPointers") or ()]
    return Ignored(pointers=tuple(str(pointer) for pointer in pointers))


def _is_for(rule: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
    import fnmatch

    for field in ("group", "kind"):
        if not fnmatch.fnmatchcase(str(reference[field]), str(rule.get(field) or "")):
            return False
    return all(not rule.get(field) or rule[field] == reference[field] for field in ("name", "namespace"))


def _key(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return tuple(str(item.get(field) or "") for field in ("group", "kind", "namespace", "name"))  # type: ignore[return-value]


def _key_of(obj: Object) -> tuple[str, str, str, str]:
    metadata = obj.get("metadata") or {}
    group, slash, _ = str(obj.get("apiVersion") or "").partition("/")
    return (
        group if slash else "",
        str(obj.get("kind") or ""),
        str(metadata.get("namespace") or ""),
        str(metadata.get("name") or ""),
    )
