"""Hook names, types, finalizers and delete policies. Pure.

Source: compat 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiphys.engine.states import Phase
from tiphys.model.annotations import (
    HOOK_FINALIZER,
    TRACKING_ID,
    HookDeletePolicy,
    HookType,
    annotations_of,
    build_tracking_id,
    tracking_of,
)

HOOK_SUCCEEDED = HookDeletePolicy.HOOK_SUCCEEDED.value
HOOK_FAILED = HookDeletePolicy.HOOK_FAILED.value
BEFORE_HOOK_CREATION = HookDeletePolicy.BEFORE_HOOK_CREATION.value

SYNC_PHASES: Mapping[str, Phase] = {phase.value: phase for phase in Phase}

# Which operation made a hook object. An operation that was interrupted finds its own hooks again by it and does not run
# them twice; the object of an older one is told apart even when its name is the same.
OPERATION_MARK = "tiphys.dev/operation"


def hook_name(manifest: Mapping[str, Any], revision: str, phase: Phase | HookType, started_at: datetime) -> str:
    """Name of the hook object: its own, or one made from generateName that a retry finds again."""
    metadata = manifest.get("metadata") or {}
    name = str(metadata.get("name") or "")
    if name:
        return name
    short = revision[:7] if len(revision) >= 8 else revision
    suffix = f"{short}-{phase.value}-{int(started_at.timestamp())}".lower()
    return f"{metadata.get('generateName') or ''}{suffix}"


def with_name(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The manifest with its final name.

    The tracking id gets a generated name too: without it the object would count as a copy that is nobody's.
    """
    metadata = dict(manifest.get("metadata") or {})
    metadata.pop("generateName", None)
    tracking = tracking_of(annotations_of(manifest))
    if tracking is not None and tracking.name != name:
        metadata["annotations"] = {
            **metadata["annotations"],
            TRACKING_ID: build_tracking_id(tracking._replace(name=name)),
        }
    metadata["name"] = name
    return {**manifest, "metadata": metadata}


def with_hook_identity(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The manifest with its final name and the finalizer that keeps its result readable until the operation saw it."""
    named = with_name(manifest, name)
    finalizers = list(named["metadata"].get("finalizers") or ())
    if HOOK_FINALIZER not in finalizers:
        finalizers.append(HOOK_FINALIZER)
    named["metadata"]["finalizers"] = finalizers
    return named
