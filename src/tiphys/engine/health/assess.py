"""Health of one live object: pending deletion first, then an override, then the built-in check, then none.

Source: compat 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Literal

from tiphys.apimachinery.names import GroupKind, gvk_of
from tiphys.engine.health.builtin import CHECKS, KNOWS_GENERATION
from tiphys.engine.states import Health, HealthStatus
from tiphys.model.annotations import HOOK_FINALIZER


class _Word(Enum):
    NO_HEALTH = 1


# An override looked at the object and says that it has no health, as a ConfigMap has none.
NoHealth = Literal[_Word.NO_HEALTH]
NO_HEALTH: Final = _Word.NO_HEALTH
# An override (a script from `argocd-cm`) as a function: object -> Health, None where there is none for its kind.
Override = Callable[[Mapping[str, Any]], Health | NoHealth | None]


def assess(obj: Mapping[str, Any], override: Override | None = None) -> Health | None:
    """Health of `obj`, None for kinds that have none (a ConfigMap is neither well nor ill)."""
    metadata = obj.get("metadata") or {}
    if metadata.get("deletionTimestamp") and HOOK_FINALIZER not in (metadata.get("finalizers") or ()):
        return Health(HealthStatus.PROGRESSING, "Pending deletion")
    if override is not None:
        found = override(obj)
        if found is not None:
            return None if found is NO_HEALTH else found
    check = CHECKS.get(gvk_of(obj).group_kind)
    return check(obj) if check is not None else None


def has_health(kind: GroupKind) -> bool:
    """There is a built-in check for this kind."""
    return kind in CHECKS


def needs_settling(kind: GroupKind) -> bool:
    """The kind has health, but its status does not say which generation it speaks of.

    Right after an apply such a status may still describe the object before it, so a wave waits a moment before it trusts it.
    """
    return kind in CHECKS and kind not in KNOWS_GENERATION
