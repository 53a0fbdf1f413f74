"""The values that flow: Snapshot, Rendered, TargetState, LiveState, Drift, SyncPlan, Comparison, StageError.

Every stage takes some of these and gives one back, or raises `StageError`. "Nothing" and "could not tell" are different
types: an empty `Rendered` prunes on purpose, a `StageError` cannot reach the planner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import orjson

from tiphys.apimachinery.names import GroupVersionKind, ResourceKey
from tiphys.model.operation import OperationPhase as OperationPhase
from tiphys.model.operation import ResultCode as ResultCode

FIELD_MANAGER = "argocd-controller"  # the name under which we write workloads

Manifest = Mapping[str, Any]  # one object as rendered or as live: the parsed JSON object, never changed in place


class StageError(Exception):
    """A stage could not produce its value; becomes a condition on the Application.

    `reason` is an Argo CD condition type (`ComparisonError`, `InvalidSpecError`); `retry_after_s` says when trying again
    may help, None when only a change can.
    """

    def __init__(self, stage: str, reason: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.stage = stage
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


class FileKind(StrEnum):
    """What a tree entry is."""

    FILE = "file"
    EXECUTABLE = "executable"
    LINK = "link"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a source tree. `path` is relative to the repository root; `oid` is the hex id of its content."""

    path: str
    kind: FileKind
    oid: str
    size_bytes: int


class SourceTree(Protocol):
    """Files of one Revision, read by object id; safe to call from worker threads. Paths are relative to the root.

    Links inside the root are followed; absolute links and links that leave the root raise StageError.
    """

    def tree_id(self, path: str) -> str | None:
        """Hex id of the directory (or file) at `path`, None when there is none. Equal ids mean equal content."""

    def entry(self, path: str) -> FileEntry | None:
        """The file or directory at `path` with links followed, None when there is none; costs no listing of its folder."""

    def linked(self, path: str) -> bool:
        """Is a link followed on the way to `path`, or at it?"""

    def entries(self, path: str, *, recurse: bool) -> Sequence[FileEntry]:
        """Files below directory `path` in lexical order of their paths. Raises StageError when `path` is no directory."""

    def read(self, oid: str) -> bytes:
        """Content of the file with this id."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One source at one Revision."""

    repo_url: str
    revision: str  # full commit SHA, chart version or digest
    tree: SourceTree


@dataclass(frozen=True, slots=True)
class RenderedObject:
    """One manifest as the renderer gave it; the engine's loop never parses tenant YAML, only this JSON when it must."""

    gvk: GroupVersionKind
    namespace: str  # as written, empty when absent
    name: str  # empty when only generateName is set
    digest: str  # sha256 hex of `json`
    json: bytes  # canonical JSON: keys sorted, no spaces


@dataclass(frozen=True, slots=True)
class Rendered:
    """All manifests of one source. `key` names the inputs that were read: equal key, equal output."""

    revision: str
    source_type: str  # Directory, Helm, Kustomize, Plugin
    key: str
    objects: tuple[RenderedObject, ...]
    cached: bool = False  # nothing was rendered: the inputs read are those of an earlier render
    warnings: tuple[str, ...] = ()


class HealthStatus(StrEnum):
    """Argo CD's health words."""

    HEALTHY = "Healthy"
    SUSPENDED = "Suspended"
    PROGRESSING = "Progressing"
    MISSING = "Missing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """Health of one object or Application, with the sentence that explains it."""

    status: HealthStatus
    message: str = ""


class SyncStatus(StrEnum):
    """Argo CD's sync words."""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Target:
    """One object the Application wants, ready to compare and apply: namespaced, tracked, permitted.

    Kept as canonical JSON; `manifest` parses it, for the few objects that are compared or applied.
    """

    key: ResourceKey
    version: str
    digest: str  # sha256 hex of `json`
    json: bytes
    wave: int = 0
    hook: bool = False
    options: frozenset[str] = frozenset()  # argocd.argoproj.io/sync-options of the resource

    @property
    def manifest(self) -> dict[str, Any]:
        """The object; a new dictionary each time."""
        found: dict[str, Any] = orjson.loads(self.json)
        return found


@dataclass(frozen=True, slots=True)
class TargetState:
    """Everything one Application wants, hooks apart."""

    revision: str
    source_type: str
    context: str  # fingerprint of what was put into the manifests; equal context and digest give an equal Target
    resources: Mapping[ResourceKey, Target]
    hooks: tuple[Target, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()  # (type, message) warnings found on the way
    denied: Mapping[ResourceKey, str] = field(default_factory=dict)  # not permitted by the project -> reason
    source_digests: Mapping[str, Target] = field(default_factory=dict)  # digest of the rendered manifest -> its Target


@dataclass(frozen=True, slots=True)
class Live:
    """One live object, kept as JSON without managedFields."""

    key: ResourceKey
    version: str
    uid: str
    resource_version: str
    json: bytes
    instance: str = ""  # Application instance that its tracking mark names; empty when untracked
    owners: tuple[str, ...] = ()  # uids of its owners
    deleting: bool = False
    applied: bytes = b""  # JSON of the fields our server-side apply owns (FieldsV1); empty when it never was

    @property
    def manifest(self) -> dict[str, Any]:
        """The object; a new dictionary each time."""
        found: dict[str, Any] = orjson.loads(self.json)
        return found


class DriftKind(StrEnum):
    """How a live object relates to what Git declares."""

    SAME = "same"
    MODIFIED = "modified"
    MISSING = "missing"  # wanted, not there
    EXTRA = "extra"  # there and ours, no longer wanted: requires prune
    UNKNOWN = "unknown"  # its kind could not be listed, or the project does not permit it


@dataclass(frozen=True, slots=True)
class Drift:
    """One resource: what is wanted, what is there, and how they differ."""

    key: ResourceKey
    kind: DriftKind
    target: Target | None
    live: Live | None = None
    message: str = ""  # why UNKNOWN
    wave: int = 0
    prune_disabled: bool = False  # live says Prune=false
    ignore_extraneous: bool = False  # live says compare-options: IgnoreExtraneous
    prune_last: bool = False
    prune_confirm: bool = False  # live says Prune=confirm
    needs_confirmation: bool = False  # it is deleted with the Application only after somebody said so
    applied: bool = False  # the live object is what a client-side apply of the target leaves: it would send nothing

    @property
    def out_of_sync(self) -> bool:
        """Live differs from Git."""
        return self.kind in (DriftKind.MODIFIED, DriftKind.MISSING, DriftKind.EXTRA)

    @property
    def requires_prune(self) -> bool:
        """Live is ours and Git no longer declares it."""
        return self.kind is DriftKind.EXTRA


class Phase(StrEnum):
    """Sync phases in the order they run."""

    PRE_SYNC = "PreSync"
    SYNC = "Sync"
    POST_SYNC = "PostSync"
    SYNC_FAIL = "SyncFail"


class Action(StrEnum):
    """What a task does to the cluster."""

    APPLY = "apply"
    PRUNE = "prune"
    HOOK = "hook"
    CREATE_NAMESPACE = "create-namespace"


class TaskId(NamedTuple):
    """Identity of a task and of its result: the same object may be a hook in two phases."""

    key: ResourceKey
    phase: Phase


@dataclass(frozen=True, slots=True)
class Task:
    """One action of a SyncPlan."""

    id: TaskId
    action: Action
    wave: int
    target: Target | None = None
    drift: Drift | None = None
    skip_reason: str = ""  # pruning that is not done: the result says why
    confirm: bool = False  # pruning that somebody must approve first
    delete_policies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """Every task of one operation in the order of phase, wave, kind and name. A value to show before it is an act."""

    tasks: tuple[Task, ...]
    problems: tuple[tuple[TaskId, str], ...] = ()  # tasks that cannot be run, with the reason

    @property
    def steps(self) -> tuple[tuple[Phase, int], ...]:
        """The distinct (phase, wave) pairs in order, without SyncFail."""
        seen = dict.fromkeys((t.id.phase, t.wave) for t in self.tasks if t.id.phase is not Phase.SYNC_FAIL)
        return tuple(seen)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of one task. `status` is None while it was not tried; `phase` is None until it started."""

    id: TaskId
    version: str
    status: ResultCode | None = None
    phase: OperationPhase | None = None
    message: str = ""
    hook: bool = False
    resource_version: str = ""  # of the object our apply returned; health counts only from there on
    uid: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceVerdict:
    """What the comparison says of one resource."""

    drift: Drift
    health: Health | None
    hook: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Git against cluster for one Application at one Revision."""

    target: TargetState
    verdicts: Mapping[ResourceKey, ResourceVerdict]
    health: Health
    sync: SyncStatus
    conditions: tuple[tuple[str, str], ...] = ()
