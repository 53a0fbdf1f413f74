"""Operation, SyncOperation, OperationState, ResourceResult: what was asked for and how it goes.

Source: compat 2.7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tiphys.model.codec import ALWAYS, Wire, wire
from tiphys.model.source import ApplicationSource
from tiphys.model.syncpolicy import ManagedNamespaceMetadata, RetryStrategy


class OperationPhase(StrEnum):
    """Argo CD's words for where an operation is. Fields hold plain strings, so that unknown words survive."""

    RUNNING = "Running"
    TERMINATING = "Terminating"
    FAILED = "Failed"
    ERROR = "Error"
    SUCCEEDED = "Succeeded"

    @property
    def completed(self) -> bool:
        """Nothing more happens, unless it is retried."""
        return self in (OperationPhase.FAILED, OperationPhase.ERROR, OperationPhase.SUCCEEDED)


class ResultCode(StrEnum):
    """What became of one resource in a sync. Source: compat 2.3."""

    SYNCED = "Synced"
    SYNC_FAILED = "SyncFailed"
    PRUNED = "Pruned"
    PRUNE_SKIPPED = "PruneSkipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Info(Wire):
    """A name and value that says more about an operation or Application."""

    name: str = wire(default="", always=True)
    value: str = wire(default="", always=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStrategyApply(Wire):
    """Apply without hooks."""

    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStrategyHook(Wire):
    """Apply with hooks."""

    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStrategy(Wire):
    """Apply or hook; neither set means hook."""

    apply: SyncStrategyApply | None = None
    hook: SyncStrategyHook | None = None

    @property
    def force(self) -> bool:
        """Delete and recreate what cannot be patched."""
        if self.apply is not None:
            return self.apply.force
        return self.hook is not None and self.hook.force


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOperationResource(Wire):
    """One resource of a partial sync; an empty namespace stands for any."""

    group: str = ""
    kind: str = wire(default="", always=True)
    name: str = wire(default="", always=True)
    namespace: str = ""
    exclude: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOperation(Wire):
    """A requested sync."""

    revision: str = ""
    prune: bool = False
    dry_run: bool = False
    sync_strategy: SyncStrategy | None = None
    resources: tuple[SyncOperationResource, ...] = ()
    source: ApplicationSource | None = None
    manifests: tuple[str, ...] = ()
    sync_options: tuple[str, ...] = ()
    sources: tuple[ApplicationSource, ...] = ()
    revisions: tuple[str, ...] = ()
    auto_heal_attempts_count: int = 0

    @property
    def is_apply_strategy(self) -> bool:
        """Hooks are left out."""
        return self.sync_strategy is not None and self.sync_strategy.apply is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationInitiator(Wire):
    """Who asked: a user, or automation."""

    username: str = ""
    automated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Wire):
    """What was asked for; the top-level `operation` of an Application, gone when it is done."""

    sync: SyncOperation | None = None
    initiated_by: OperationInitiator = field(default=OperationInitiator())
    info: tuple[Info, ...] = ()
    retry: RetryStrategy = field(default=RetryStrategy())


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceResult(Wire):
    """How one resource fared in a sync."""

    group: str = wire(default="", always=True)
    version: str = wire(default="", always=True)
    kind: str = wire(default="", always=True)
    namespace: str = wire(default="", always=True)
    name: str = wire(default="", always=True)
    status: str = ""  # ResultCode
    message: str = ""
    hook_type: str = ""
    hook_phase: str = ""  # OperationPhase
    sync_phase: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOperationResult(Wire):
    """What a sync did so far."""

    resources: tuple[ResourceResult, ...] = ()
    revision: str = wire(default="", always=True)
    source: ApplicationSource | None = None
    sources: tuple[ApplicationSource, ...] = ()
    revisions: tuple[str, ...] = ()
    managed_namespace_metadata: ManagedNamespaceMetadata | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationState(Wire):
    """An operation that runs or has run. While waiting for a retry phase is Running and finishedAt is set."""

    operation: Operation = field(default=Operation(), metadata=ALWAYS)
    phase: str = wire(default="", always=True)
    message: str = ""
    sync_result: SyncOperationResult | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry_count: int = 0

    @property
    def completed(self) -> bool:
        """Failed, Error or Succeeded; an unknown word is taken as still running."""
        return self.phase in (OperationPhase.FAILED, OperationPhase.ERROR, OperationPhase.SUCCEEDED)
