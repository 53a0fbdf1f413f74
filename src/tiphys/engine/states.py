"""The values that flow: Snapshot, Rendered, TargetState, LiveState, Drift, SyncPlan, Comparison, StageError.

Every stage takes some of these and gives one back, or raises `StageError`. "Nothing" and "could not tell" are different
types: an empty `Rendered` prunes on purpose, a `StageError` cannot reach the planner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tiphys.apimachinery.names import GroupVersionKind, ResourceKey

Manifest = Mapping[str, object]  # one object as rendered or as live: the parsed JSON object, never changed in place


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
    """One object the Application wants, ready to compare and apply: namespaced, tracked, permitted."""

    key: ResourceKey
    version: str
    digest: str  # of the rendered manifest and what was put into it
    manifest: Manifest
    wave: int = 0
    hook: bool = False


@dataclass(frozen=True, slots=True)
class TargetState:
    """Everything one Application wants, hooks apart."""

    revision: str
    source_type: str
    resources: Mapping[ResourceKey, Target]
    hooks: tuple[Target, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()  # (type, message) warnings found on the way
    denied: Mapping[ResourceKey, str] = field(default_factory=dict)  # not permitted by the project -> reason


@dataclass(frozen=True, slots=True)
class Live:
    """One live object."""

    key: ResourceKey
    version: str
    uid: str
    resource_version: str
    manifest: Manifest
