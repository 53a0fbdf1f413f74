"""Looks at every manifest of an operation before the first object is touched. Pure.

A manifest that its kind cannot hold (a field of the wrong type, a field the kind does not have) is found without the
cluster, so that the operation changes nothing instead of half of it. Kinds whose schema only the cluster knows are judged
by the cluster when they are applied.

Source: compat 2.1 "Dry-run", 2.5 "Validate".
Differs: Argo CD makes the destination's namespace before its dry-run; this one needs no namespace, so nothing is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.engine.states import DriftKind, Task, TaskId
from tiphys.model.annotations import effective_option

SHOWN_PROBLEMS = 10


def faults(tasks: Sequence[Task], sync_options: Sequence[str]) -> Iterator[tuple[TaskId, str | None]]:
    """Each task that would write something new, with what is wrong with its manifest in the API server's words.

    None where nothing is. One at a time, so that a caller on the event loop can let others run in between.
    """
    for task in tasks:
        if task.target is None or (task.drift is not None and task.drift.kind is DriftKind.SAME):
            continue
        validate = effective_option(task.target.options, sync_options, "Validate") != "false"
        key = task.id.key
        gvk = GroupVersionKind(key.group, task.target.version, key.kind)
        if goshapes.known(gvk):
            yield task.id, fault(gvk, task.target.manifest, validate=validate)


def fault(gvk: GroupVersionKind, manifest: dict[str, object], *, validate: bool = True) -> str | None:
    """What is wrong with a manifest of a built-in kind, None when it can be read."""
    try:
        unknown = goshapes.decode(manifest, gvk).unknown
    except goshapes.DecodeError as error:
        return _refused(gvk, str(error))
    if unknown and validate:
        shown = ", ".join(f'unknown field "{path}"' for path in unknown[:SHOWN_PROBLEMS])
        return _refused(gvk, f"strict decoding error: {shown}")
    return None


def _refused(gvk: GroupVersionKind, why: str) -> str:
    return f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: {why}'
