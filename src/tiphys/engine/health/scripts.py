"""Health by the Lua scripts of `argocd-cm`: which script is for which kind, and what it said of which version of an object.

A script is run elsewhere, many objects at a time; here its answers are remembered by script, uid and resourceVersion, so
that an object that did not change is never asked about again. A `HealthLookup` answers from memory and notes what it could
not answer; `settle` asks for that, and then the same look gives the same questions their answers.

Source: compat 4.1, 4.3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.apimachinery.names import GroupKind, ResourceKey, gvk_of
from tiphys.apimachinery.yamljson import digest
from tiphys.engine.health.assess import NO_HEALTH, NoHealth
from tiphys.engine.states import Health, HealthStatus, Live
from tiphys.policy.glob import glob_match
from tiphys.scripting.protocol import HealthAnswer, HealthQuestion
from tiphys.scripting.service import ScriptsUnavailable
from tiphys.settings.values import ResourceOverride

Evaluate = Callable[[Sequence[HealthQuestion]], Awaitable[Sequence[HealthAnswer]]]

INVALID = "Lua returned an invalid health status"
_WAITING = Health(HealthStatus.PROGRESSING, "waiting for the answer of the health check script")
_REMEMBERED = 100_000
_WORDS = frozenset(HealthStatus)


@dataclass(frozen=True, slots=True)
class _Script:
    text: str
    open_libs: bool
    digest: str


@dataclass(frozen=True, slots=True)
class _Said:
    resource_version: str
    health: Health | NoHealth
    problem: str = ""


class HealthScripts:
    """The scripts in force and the memory of what they said."""

    def __init__(self, evaluate: Evaluate) -> None:
        """`evaluate` runs scripts and raises ScriptsUnavailable when none can be run now."""
        self._evaluate = evaluate
        self._of: Mapping[str, ResourceOverride] | None = None
        self._scripts: dict[str, _Script] = {}
        self._by_kind: dict[GroupKind, _Script | None] = {}
        self._said: dict[tuple[str, str], _Said] = {}  # (digest of the script, uid of the object)

    def lookup(self, overrides: Mapping[str, ResourceOverride]) -> HealthLookup | None:
        """Health by the scripts among these settings, None when there is none."""
        if overrides is not self._of:
            self._of = overrides
            self._scripts = {
                name: _Script(o.health_lua, o.use_open_libs, digest(f"{o.use_open_libs}\n{o.health_lua}".encode()))
                for name, o in sorted(overrides.items())
                if o.health_lua
            }
            self._by_kind = {}
        return HealthLookup(self) if self._scripts else None

    def script_for(self, kind: GroupKind) -> _Script | None:
        """The script of this very kind, else of the first pattern that matches it."""
        if kind not in self._by_kind:
            name = f"{kind.group}/{kind.kind}" if kind.group else kind.kind
            found = self._scripts.get(name)
            if found is None:
                found = next((script for at, script in self._scripts.items() if glob_match(at, name)), None)
            self._by_kind[kind] = found
        return self._by_kind[kind]

    def said(self, script: _Script, uid: str) -> _Said | None:
        """What the script last said of an object, of whichever version."""
        return self._said.get((script.digest, uid))

    async def ask(self, missing: Mapping[ResourceKey, tuple[_Script, str, str, bytes]]) -> None:
        """Have these answered. Raises ScriptsUnavailable."""
        items = list(missing.values())
        questions = [HealthQuestion(script.text, script.open_libs, json) for script, _uid, _version, json in items]
        answers = await self._evaluate(questions)
        for (script, uid, version, _json), answer in zip(items, answers, strict=True):
            if len(self._said) >= _REMEMBERED:
                del self._said[next(iter(self._said))]
            self._said.pop((script.digest, uid), None)
            self._said[script.digest, uid] = _Said(version, health_of_answer(answer), answer.problem)


class HealthLookup:
    """Health by script for one look at a cluster; an `Override` of `assess`."""

    def __init__(self, scripts: HealthScripts) -> None:
        self._scripts = scripts
        self._missing: dict[ResourceKey, tuple[_Script, str, str, bytes]] = {}
        self._unavailable = ""

    def __call__(self, obj: Mapping[str, Any]) -> Health | NoHealth | None:
        """What the script for its kind says; of an object it was not asked about, what it said of an earlier version."""
        kind = gvk_of(obj).group_kind
        script = self._scripts.script_for(kind)
        if script is None:
            return None
        metadata = obj.get("metadata") or {}
        uid, version = str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")
        said = self._scripts.said(script, uid)
        if said is not None and said.resource_version == version:
            return said.health
        if self._unavailable:
            return Health(HealthStatus.UNKNOWN, self._unavailable)
        key = ResourceKey(kind.group, kind.kind, str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        self._missing[key] = (script, uid, version, orjson.dumps(obj))
        return said.health if said is not None else _WAITING

    def covers(self, kind: GroupKind) -> bool:
        """There is a script for this kind; nobody knows whether it looks at observedGeneration."""
        return self._scripts.script_for(kind) is not None

    async def settle(self) -> frozenset[ResourceKey]:
        """Ask for what could not be answered since the last time, and say of which objects that was.

        When no script can be run now, these are Unknown for this lookup, and only for this one.
        """
        if not self._missing:
            return frozenset()
        missing, self._missing = self._missing, {}
        try:
            await self._scripts.ask(missing)
        except ScriptsUnavailable as error:
            self._unavailable = str(error)
        return frozenset(missing)

    def require(self) -> None:
        """Raises ScriptsUnavailable when answers are missing because no script can be run now."""
        if self._unavailable:
            raise ScriptsUnavailable(self._unavailable)

    def problem(self, row: Live) -> str:
        """Why the script gave no health for a live object, empty when it did or there is none."""
        script = self._scripts.script_for(row.key.group_kind)
        said = self._scripts.said(script, row.uid) if script is not None else None
        return said.problem if said is not None and said.resource_version == row.resource_version else ""


def health_of_answer(answer: HealthAnswer) -> Health | NoHealth:
    """A script's answer as health; one that says nothing counts as a kind without health."""
    if answer.problem:
        return Health(HealthStatus.UNKNOWN, answer.problem)
    if not answer.status:
        return NO_HEALTH
    if answer.status not in _WORDS:
        return Health(HealthStatus.UNKNOWN, INVALID)
    return Health(HealthStatus(answer.status), answer.message)


def script_failures(failures: Sequence[tuple[ResourceKey, str]]) -> str:
    """What a condition says of the resources whose health could not be found out; empty when there is none."""
    if not failures:
        return ""
    key, problem = failures[0]
    text = f'failed to get resource health for "{key.kind}" with name "{key.name}" in namespace "{key.namespace}": {problem}'
    if len(failures) > 1:
        text = f"see application-controller logs for {len(failures) - 1} other errors; most recent error was: {text}"
    return f"error setting app health: {text}"
