"""Target and live -> would an apply change anything? Pure.

The question is answered with the very patch an apply would send: it is put on the live object, and what comes out is read as
the API server would read it (quantities in canonical form, zero values dropped). Only when that differs from the live object
is there drift. So `cpu: 1000m` against `1` is none, and `hostNetwork: false` against `true` is some.

Source: compat 3.2.
Differs: the prediction is compared after the patch, not before it, because a field that Git writes with its zero value and
somebody set on the cluster is drift to everybody but the comparison of two trimmed trees.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.apimachinery import goshapes, mergepatch, strategicmerge
from tiphys.apimachinery.names import GroupKind, GroupVersionKind, gvk_of
from tiphys.apimachinery.patchmeta import builtin
from tiphys.engine.diff.ignored import NOTHING, Ignored, without_pointers
from tiphys.engine.diff.knowntypes import with_known_types
from tiphys.model.annotations import CLEANUP_SUFFIX, LAST_APPLIED, POST_DELETE_FINALIZER, PRE_DELETE_FINALIZER

Object = Mapping[str, Any]

# Set by the server or by other writers; never part of what Git declares.
_SERVER_FIELDS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_SECRET = GroupVersionKind("", "v1", "Secret")
_APPLICATION = GroupKind("argoproj.io", "Application")
_DELETION_HOOKS = frozenset(
    name + suffix for name in (PRE_DELETE_FINALIZER, POST_DELETE_FINALIZER) for suffix in ("", CLEANUP_SUFFIX)
)
_CLUSTER_ROLE = GroupVersionKind("rbac.authorization.k8s.io", "v1", "ClusterRole")


@dataclass(frozen=True, slots=True)
class Difference:
    """`patch` is what a client-side apply sends, None when nothing. `modified` is False when it would not change the object."""

    modified: bool
    patch: dict[str, Any] | None
    strategic: bool  # the patch is a strategic merge patch; otherwise a JSON merge patch
    predicted: dict[str, Any] | None = None  # after the apply; what does not count is left out
    seen: dict[str, Any] | None = None  # as it is, in the same form
    declared: bool = False  # nothing else was applied since: live itself was changed, or the server defaults
    recorded: bool = False  # the live object says that exactly this manifest was applied last
    abandoned: bool = False  # a server-side apply would take away fields that the manifest does not name any more
    server_side: bool = False  # it is about a server-side apply, which sends the manifest and no patch


def last_applied_text(manifest: Object) -> str:
    """The last-applied annotation kubectl would write: sorted keys, no spaces, HTML escaped, a newline at the end."""
    metadata = dict(manifest.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    metadata["annotations"] = annotations
    text = orjson.dumps({**manifest, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode()
    for char, escape in (
        ("&", "\\u0026"),
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(char, escape)
    return text + "\n"


def with_last_applied(manifest: Object) -> dict[str, Any]:
    """The manifest carrying its own last-applied annotation: what a client-side apply creates or patches towards."""
    metadata = dict(manifest.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    annotations[LAST_APPLIED] = last_applied_text(manifest)
    metadata["annotations"] = annotations
    return {**manifest, "metadata": metadata}


def compare(target: Object, live: Object, *, ignored: Ignored = NOTHING) -> Difference:
    """How `live` differs from `target`; what is ignored does not count, as far as it can be told without asking."""
    gvk = gvk_of(target)
    schema = builtin().schema(gvk)
    annotated = with_last_applied(target)
    modified = declared_content(annotated, gvk)
    if gvk.group_kind == _APPLICATION:
        modified = _with_deletion_hooks(modified, live)
    original = declared_content(_last_applied(live), gvk)
    if schema is not None:
        patch = strategicmerge.create_three_way(original, modified, live, schema)
    else:
        patch = mergepatch.create_three_way(original, modified, live)
    if not patch:
        return Difference(False, None, schema is not None, declared=True, recorded=True)
    before = _annotation(live)
    recorded = before == _annotation(annotated)
    if schema is not None:
        predicted = strategicmerge.apply(live, patch, schema)
    else:
        predicted = mergepatch.apply(live, patch)
    left, right = counted(predicted, gvk, ignored), counted(live, gvk, ignored)
    return Difference(
        left != right,
        patch,
        schema is not None,
        predicted=left,
        seen=right,
        declared=recorded or not before,
        recorded=recorded,
    )


def counted(obj: Object, gvk: GroupVersionKind, ignored: Ignored) -> dict[str, Any]:
    """The part of an object whose difference counts, as far as that can be told without asking."""
    found = canonical(obj, gvk, ignored)
    if ignored.aggregated_roles and gvk == _CLUSTER_ROLE and obj.get("aggregationRule") is not None:
        found.pop("rules", None)
    return without_pointers(found, ignored.pointers)


def _with_deletion_hooks(application: Object, live: Object) -> dict[str, Any]:
    """The Application with the finalizers that its own delete hooks put on the live one.

    A list of finalizers in Git would take them off, an app of apps and its child would not agree for ever.
    """
    metadata = application.get("metadata") or {}
    declared, there = metadata.get("finalizers"), (live.get("metadata") or {}).get("finalizers")
    if not isinstance(declared, list) or not isinstance(there, list):
        return dict(application)
    added = [name for name in there if name in _DELETION_HOOKS and name not in declared]
    # In the order of the live list, where they are the same otherwise.
    both = there if sorted(map(str, [*declared, *added])) == sorted(map(str, there)) else [*declared, *added]
    return {**application, "metadata": {**metadata, "finalizers": both}} if added else dict(application)


def declared_content(manifest: Object, gvk: GroupVersionKind) -> dict[str, Any]:
    """What a manifest declares, where its kind has two ways to say it or says nothing.

    A Secret's stringData becomes data, so that a key that Git no longer has is taken out of data. Empty rules of an
    aggregated ClusterRole are left out: the control plane fills them.

    Source: compat 3.2 step 4.
    Differs: empty rules of an aggregated ClusterRole are no drift without `ignoreAggregatedRoles` too, because an apply
    of them never lasts.
    """
    if gvk == _SECRET:
        return _without_string_data(manifest)
    if gvk == _CLUSTER_ROLE and manifest.get("aggregationRule") and not manifest.get("rules"):
        return {k: v for k, v in manifest.items() if k != "rules"}
    return dict(manifest)


def _without_string_data(secret: Object) -> dict[str, Any]:
    found = dict(secret)
    plain, data = found.pop("stringData", None), found.get("data")
    if isinstance(data, Mapping) and None in data.values():
        data = found["data"] = {k: "" if v is None else v for k, v in data.items()}
    if not isinstance(plain, Mapping) or not all(isinstance(v, str) for v in plain.values()):
        # Nothing to fold, or something the API server will refuse in its own words.
        return found if not plain else dict(secret)
    if plain:
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in plain.items()}
        found["data"] = {**(data if isinstance(data, Mapping) else {}), **encoded}
    return found


def same_content(left: Object, right: Object, ignored: Ignored = NOTHING) -> bool:
    """Two answers of the server describe the same object, apart from what every write changes and what is ignored."""
    gvk = gvk_of(left)
    return counted(left, gvk, ignored) == counted(right, gvk, ignored)


def _last_applied(live: Object) -> dict[str, Any]:
    text = _annotation(live)
    if not text:
        return {}
    try:
        original = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return original if isinstance(original, dict) else {}


def _annotation(obj: Object) -> str:
    metadata = obj.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    text = annotations.get(LAST_APPLIED) if isinstance(annotations, Mapping) else None
    return text if isinstance(text, str) else ""


def canonical(obj: Object, gvk: GroupVersionKind, ignored: Ignored = NOTHING) -> dict[str, Any]:
    """The object as the server would write it, without the fields it alone sets and the last-applied annotation.

    The status is left out too, unless the instance wants it compared.
    """
    if goshapes.known(gvk):
        try:
            found = dict(goshapes.decode(obj, gvk).obj)
        except goshapes.DecodeError:
            found = dict(obj)  # the apply will be refused with the server's own words
    else:
        found = with_known_types(dict(obj), ignored.known_types)
    if ignored.status:
        found.pop("status", None)
    metadata = {
        k: v for k, v in (found.get("metadata") or {}).items() if k not in _SERVER_FIELDS and v not in (None, {}, [])
    }
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    found["metadata"] = metadata
    return found
