"""ApplicationStatus and its parts: sync, health, resources, conditions, history, summary.

Status words are plain strings so that unknown ones survive. Source: compat 1.10, 12.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from tiphys.model.codec import ALWAYS, Wire, wire
from tiphys.model.destination import ApplicationDestination, ResourceIgnoreDifferences
from tiphys.model.operation import OperationInitiator, OperationState
from tiphys.model.source import ApplicationSource

DEFAULT_HISTORY_LIMIT = 10


class ConditionType(StrEnum):
    """Types of Application conditions."""

    DELETION_ERROR = "DeletionError"
    INVALID_SPEC_ERROR = "InvalidSpecError"
    COMPARISON_ERROR = "ComparisonError"
    SYNC_ERROR = "SyncError"
    UNKNOWN_ERROR = "UnknownError"
    SHARED_RESOURCE_WARNING = "SharedResourceWarning"
    REPEATED_RESOURCE_WARNING = "RepeatedResourceWarning"
    EXCLUDED_RESOURCE_WARNING = "ExcludedResourceWarning"
    ORPHANED_RESOURCE_WARNING = "OrphanedResourceWarning"
    HELD_WARNING = "HeldWarning"  # ours: automation is held after a rollback


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthState(Wire):
    """Health word, the sentence that explains it, and when the word last changed."""

    status: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTo(Wire):
    """The part of the spec that a comparison was made with."""

    source: ApplicationSource | None = None
    destination: ApplicationDestination = field(default=ApplicationDestination(), metadata=ALWAYS)
    sources: tuple[ApplicationSource, ...] = ()
    ignore_differences: tuple[ResourceIgnoreDifferences, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncState(Wire):
    """Sync word of an Application and what was compared."""

    status: str = wire(default="", always=True)
    compared_to: ComparedTo | None = None
    revision: str = ""
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStatus(Wire):
    """One managed resource. `status` is empty for hooks."""

    group: str = ""
    version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    health: HealthState | None = None
    hook: bool = False
    requires_pruning: bool = False
    sync_wave: int = 0
    requires_deletion_confirmation: bool = False

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        """status.resources is kept in this order."""
        return (self.group, self.kind, self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationCondition(Wire):
    """Something to know about the Application: a type and a message."""

    type: str = wire(default="", always=True)
    message: str = wire(default="", always=True)
    last_transition_time: datetime | None = None

    @property
    def is_error(self) -> bool:
        """Types ending in Error."""
        return self.type.endswith("Error")


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionHistory(Wire):
    """One successful deployment. `deployed_at` is when it finished."""

    revision: str = ""
    deployed_at: datetime | None = field(default=None, metadata=ALWAYS)
    id: int = wire(default=0, always=True)
    source: ApplicationSource | None = None
    deploy_started_at: datetime | None = None
    sources: tuple[ApplicationSource, ...] = ()
    revisions: tuple[str, ...] = ()
    initiated_by: OperationInitiator = field(default=OperationInitiator())


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSummary(Wire):
    """Links and images of everything the Application runs; images are sorted and unique."""

    external_urls: tuple[str, ...] = wire("externalURLs", default=())
    images: tuple[str, ...] = ()
    is_app_of_apps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationStatus(Wire):
    """What Tiphys has observed and done."""

    resources: tuple[ResourceStatus, ...] = ()
    sync: SyncState | None = None
    health: HealthState | None = None
    history: tuple[RevisionHistory, ...] = ()
    conditions: tuple[ApplicationCondition, ...] = ()
    reconciled_at: datetime | None = None
    operation_state: OperationState | None = None
    observed_at: datetime | None = None  # deprecated, still decoded
    source_type: str = ""
    summary: ApplicationSummary = field(default=ApplicationSummary())
    resource_health_source: str = ""
    source_types: tuple[str, ...] = ()
    controller_namespace: str = ""
    source_hydrator: object = None

    @property
    def sync_status(self) -> str:
        """Synced, OutOfSync, Unknown, or empty before the first comparison."""
        return self.sync.status if self.sync is not None else ""

    @property
    def health_status(self) -> str:
        """The health word, or empty before the first assessment."""
        return self.health.status if self.health is not None else ""


def merge_conditions(
    current: Sequence[ApplicationCondition],
    evaluated: Sequence[ApplicationCondition],
    owned: Collection[str],
    now: datetime,
) -> tuple[ApplicationCondition, ...]:
    """`current` with the types in `owned` replaced by `evaluated`, sorted by type.

    A condition keeps its lastTransitionTime while its message stays the same; a new or changed one gets `now`.
    Source: compat 1.10 "conditions".
    """
    kept = [condition for condition in current if condition.type not in owned]
    before = {(condition.type, condition.message): condition for condition in current}
    for condition in evaluated:
        old = before.get((condition.type, condition.message))
        if old is not None and old.last_transition_time is not None:
            kept.append(old)
        else:
            kept.append(replace(condition, last_transition_time=condition.last_transition_time or now))
    return tuple(sorted(kept, key=lambda condition: condition.type))


def append_history(
    history: Sequence[RevisionHistory], entry: RevisionHistory, limit: int | None
) -> tuple[RevisionHistory, ...]:
    """`history` with `entry` under the next id, the oldest dropped beyond `limit` (None: 10; 0 keeps nothing).

    Ids are never reused: the next one follows the last entry. Source: compat 12.
    """
    numbered = replace(entry, id=history[-1].id + 1 if history else 0)
    keep = DEFAULT_HISTORY_LIMIT if limit is None else max(limit, 0)
    return (*history, numbered)[-keep:] if keep else ()
