"""Target and live -> would a server-side apply change anything? Pure.

The configuration is merged into the live object as an API server merges it, and what comes out is read as the server would
read it. What our apply owns and the configuration does not name any more would be removed, so that counts too. Both tests
are cheap and may say "differs" where the server would not (it defaults, or somebody else owns the field as well): then a
dry-run of the apply decides.

Source: compat 2.4 "Server-side apply", 3.2 step 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from tiphys.apimachinery import fieldset, structuredmerge
from tiphys.apimachinery.mergeschema import Atom, MergeSchemas
from tiphys.apimachinery.names import GroupVersionKind, gvk_of
from tiphys.apimachinery.structuredmerge import MergeError
from tiphys.engine.diff.compare import Difference, Object, counted, declared_content
from tiphys.engine.diff.ignored import NOTHING, Ignored

# They name the object; an apply states them without owning them.
_IDENTITY: dict[str, Any] = {"f:apiVersion": {}, "f:kind": {}, "f:metadata": {"f:name": {}, "f:namespace": {}}}


def compare_applied(target: Object, live: Object, applied: bytes, *, ignored: Ignored = NOTHING) -> Difference:
    """How `live` differs from what a server-side apply of `target` would make of it.

    `applied` are the fields our last apply owns (FieldsV1 as JSON), empty when it never was applied. What is `ignored` does
    not count, as far as it can be told without asking.
    """
    gvk = gvk_of(target)
    atom = _atom(gvk)
    config = declared_content(target, gvk)
    config.pop("status", None)  # never applied: it is a subresource
    seen = {k: v for k, v in live.items() if k != "status"}
    try:
        predicted = structuredmerge.merge(seen, config, atom)
        abandoned = _abandoned(applied, target, config, atom)
    except (MergeError, fieldset.FieldSetError):
        return Difference(True, None, False, declared=True, server_side=True)  # the server will say what is wrong
    left, right = counted(predicted, gvk, ignored), counted(seen, gvk, ignored)
    return Difference(
        left != right or abandoned,
        None,
        False,
        predicted=left,
        seen=right,
        declared=True,
        recorded=True,
        server_side=True,
        abandoned=abandoned,
    )


def _abandoned(applied: bytes, target: Object, config: Object, atom: Atom) -> bool:
    """Our apply owns a field that the configuration does not name any more."""
    if not applied:
        return False
    owned = fieldset.decode(orjson.loads(applied))
    named = fieldset.union(structuredmerge.to_set(config, atom), _IDENTITY)
    rest = fieldset.difference(owned, named)
    if rest and config != target:  # stringData of a Secret is owned under either name
        rest = fieldset.difference(rest, structuredmerge.to_set(dict(target), atom))
    return bool(rest) and not _is_status(rest)


def _is_status(rest: Mapping[str, Any]) -> bool:
    return set(rest) <= {"f:status"}


@lru_cache(maxsize=1)
def _schemas() -> MergeSchemas:
    return MergeSchemas.builtin()


@lru_cache(maxsize=512)
def _atom(gvk: GroupVersionKind) -> Atom:
    """How values of a kind merge; of a custom kind, whose schema only its cluster knows, lists count as one value."""
    found = _schemas().for_kind(gvk)
    return (found or _schemas().deduced()).atom
