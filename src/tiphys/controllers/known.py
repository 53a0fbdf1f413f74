"""What is kept of each Application in memory. Losing it costs one full comparison, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.controllers.clusters import ClusterSession
from tiphys.controllers.comparison import Compared
from tiphys.controllers.controlplane import Key
from tiphys.controllers.operation import OperationRun
from tiphys.engine.states import Snapshot, StageError, TargetState
from tiphys.engine.status.summary import ResourceRows
from tiphys.model.application import Application, ApplicationSpec
from tiphys.model.hold import Hold


class Reads(Protocol):
    """What the render of an Application's one source has read."""

    def unchanged(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot surely renders to the same; compares ids and reads nothing."""

    def paths(self, snapshot: Snapshot) -> tuple[frozenset[str], object] | None:
        """Where it does: the paths that decide that, and what the render was told of the cluster. None: not known."""


@dataclass(slots=True)
class Held:
    """A hold that stands, and what the cluster is compared with meanwhile."""

    hold: Hold
    target: TargetState | None = None
    compared: Compared = field(default_factory=Compared)


@dataclass(slots=True)
class Known:
    """One Application: what it was compared with, what runs for it, and what is not written yet."""

    uid: str
    instance: str
    app: Application | None = None  # as it was last reconciled
    compared: Compared = field(default_factory=Compared)
    rows: ResourceRows = field(default_factory=ResourceRows)  # as they stand in the status
    hashed: tuple[ApplicationSpec, str] | None = None  # the last spec that was hashed, and its hash
    trouble: StageError | None = None  # why the last comparison gave nothing; None when it gave `compared`
    run: OperationRun | None = None
    moved: bool = True  # the repository, the project or the settings may say something new
    asked: str = ""  # kind of the refresh that was asked for and done, until it is written
    attempted: tuple[str, ...] = ()  # render keys of what the last operation applied
    lacking: frozenset[GroupKind] = frozenset()  # kinds the cluster did not serve when the last operation began
    last_start: datetime | None = None  # of the last operation this process began
    fresh: tuple[str, datetime] | None = None  # revision and time of a comparison that is not worth a write yet
    reads: Reads | None = None  # tells whether `compared` is what Git declares elsewhere too, made when needed
    wants: frozenset[ResourceKey] = frozenset()
    session: ClusterSession | None = None
    held: Held | None = None


class Interests:
    """Which Applications want an object, whether or not it is there and theirs."""

    def __init__(self) -> None:
        self._wanting: dict[ResourceKey, set[Key]] = {}

    def of(self, resource: ResourceKey) -> Iterable[Key]:
        """The Applications whose target holds the object."""
        return self._wanting.get(resource, ())

    def change(self, key: Key, known: Known, wants: frozenset[ResourceKey]) -> None:
        """The Application wants these objects from now on, and no others."""
        for resource in known.wants - wants:
            waiting = self._wanting.get(resource)
            if waiting is not None:
                waiting.discard(key)
                if not waiting:
                    del self._wanting[resource]
        for resource in wants - known.wants:
            self._wanting.setdefault(resource, set()).add(key)
        known.wants = wants


def name_of(key: Key) -> str:
    """`namespace/name`, as logs show it."""
    return f"{key[0]}/{key[1]}"
