"""ControllerRevisions: the history of the Pod templates of StatefulSets and DaemonSets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import AlreadyExists
from tiphys.devcluster.workloads.fields import Json, Obj, controller_reference, number, same, spec_of
from tiphys.devcluster.workloads.pods import template_hash
from tiphys.devcluster.workloads.world import DAEMONSETS, KINDS, REVISIONS, STATEFULSETS, World

HASH_LABEL = "controller-revision-hash"
_OWN_HASH_LABELS: Final = {STATEFULSETS: "controller.kubernetes.io/hash", DAEMONSETS: HASH_LABEL}


def ordered(revisions: Sequence[Obj]) -> list[Obj]:
    """Oldest first."""
    return sorted(revisions, key=lambda one: (number(one, "revision"), meta.name(one)))


def template_of(revision: Obj) -> Obj:
    """The Pod template a revision keeps."""
    found = dict(((revision.get("data") or {}).get("spec") or {}).get("template") or {})
    found.pop("$patch", None)
    return found


async def newest(world: World, resource: str, owner: Obj, held: Sequence[Obj]) -> Obj:
    """The revision of the owner's template now: found, brought to the front, or made."""
    template = spec_of(owner).get("template") or {}
    history = ordered(held)
    top = number(history[-1], "revision") if history else 0
    for one in reversed(history):
        if same(template_of(one), template):
            if number(one, "revision") == top:
                return one
            return await world.patch(REVISIONS, one, {"revision": top + 1})
    digest = template_hash(template)
    body: Json = {
        "metadata": {
            "name": f"{meta.name(owner)}-{digest}",
            "namespace": meta.namespace(owner),
            "labels": {**(template.get("metadata") or {}).get("labels", {}), _OWN_HASH_LABELS[resource]: digest},
            **({"annotations": dict(notes)} if (notes := meta.annotations(owner)) else {}),
            "ownerReferences": [controller_reference(owner, resource.rpartition("/")[0], KINDS[resource])],
        },
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        "revision": top + 1,
    }
    try:
        return await world.create(REVISIONS, meta.namespace(owner), body)
    except AlreadyExists:
        found: Obj = await world.access.get(REVISIONS, meta.namespace(owner), body["metadata"]["name"])
        return found


async def clean_up(world: World, owner: Obj, held: Sequence[Obj], used: Collection[str]) -> None:
    """Delete the oldest revisions nobody uses beyond the history limit."""
    limit = number(spec_of(owner), "revisionHistoryLimit", 10)
    idle = [one for one in ordered(held) if meta.name(one) not in used and meta.labels(one).get(HASH_LABEL) not in used]
    for one in idle[: max(0, len(idle) - limit)]:
        await world.delete(REVISIONS, one)
