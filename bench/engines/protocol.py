"""What the harness needs to know of an engine: how it starts, how it is told of applications and pushes, what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.api import Api, Key, Object
from bench.repository import Push
from bench.site import Site
from bench.workload import App


class NotMeasuredError(Exception):
    """This engine cannot be measured here, or cannot do what a benchmark asks; the message says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an engine says of one application, at the revision it speaks of."""

    ready: bool  # in sync, healthy, and nothing going on
    in_sync: bool
    revision: str
    answered: str  # the last refresh it has done; where an engine only says that one is open, what is open
    ended: str = ""  # names the last sync that has ended well


class Engine(Protocol):
    """One engine. An instance is started once."""

    @property
    def name(self) -> str:
        """What it is called in results."""

    @property
    def user(self) -> str:
        """Its user name in the audit log."""

    @property
    def verdicts(self) -> str:
        """API path of the collection whose objects carry its verdicts."""

    def missing(self) -> str:
        """Why it cannot be measured here; empty when it can."""

    async def start(self, site: Site, api: Api) -> None:
        """Start its processes and return when it can work."""

    async def restart(self) -> None:
        """Start again after `halt`, with what it had stored. Returns at once."""

    def halt(self) -> None:
        """End its processes, keep its data."""

    def forget(self) -> None:
        """Remove what it has stored on this machine; it is halted."""

    async def wave_delay(self, api: Api, seconds: int) -> None:
        """Set the pause between waves, and restart. Raises NotMeasuredError where there is none to set."""

    def web(self) -> str:
        """URL of its own API, which lists and streams Applications. Raises NotMeasuredError where there is none."""

    async def login(self, api: Api) -> Mapping[str, str]:
        """Headers with which its API can be used."""

    async def submit(self, api: Api, apps: Sequence[App], urls: Mapping[str, str]) -> None:
        """Create the applications in one burst. `urls` are those of the repositories by name."""

    def key(self, app: str) -> Key:
        """Namespace and name of the object that carries an application's verdict."""

    def verdict(self, obj: Object) -> Verdict:
        """What such an object says."""

    async def pushed(self, api: Api, push: Push) -> None:
        """Tell it of a push, as a forge's webhook does."""

    async def refresh(self, api: Api, app: str, mark: str) -> None:
        """Ask for a new verdict; `Verdict.answered` says when it is there."""

    async def sync(self, api: Api, app: str) -> None:
        """Ask for a sync with what it knows of Git."""

    def answered(self, verdict: Verdict, mark: str) -> bool:
        """Whether a refresh asked for with this mark was done."""

    def processes(self) -> Mapping[str, int]:
        """Its processes by name; children of them are found by the harness."""

    def stop(self) -> None:
        """End everything it started."""


def settled(verdict: Verdict, revision: str = "") -> bool:
    """Ready, and at a revision if one is given."""
    return verdict.ready and (not revision or verdict.revision == revision)


def conditions(obj: Object) -> dict[str, Any]:
    """Conditions of an object by type."""
    return {entry["type"]: entry for entry in (obj.get("status") or {}).get("conditions") or []}
