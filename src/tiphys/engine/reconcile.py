"""The spine: every stage called in order. Read this first.

    source -> Snapshot -> render -> Rendered -> target -> TargetState
           -> (with live) diff -> Drift, health -> Comparison -> sync.plan -> SyncPlan -> sync.step, sync.apply -> results

What a stage needs from outside (a fetch, a worker process, the live view) is given to it here as an argument. A stage that
cannot give its value raises StageError; whoever called the spine turns that into a condition, in one place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.diff.compare import Difference, compare, with_last_applied
from tiphys.engine.diff.ignored import NOTHING, Ignored
from tiphys.engine.diff.serverside import compare_applied
from tiphys.engine.health.aggregate import Part, aggregate
from tiphys.engine.health.assess import Override, assess
from tiphys.engine.live.index import LiveIndex, is_newer
from tiphys.engine.states import (
    Comparison,
    Drift,
    DriftKind,
    Health,
    Live,
    Rendered,
    ResourceVerdict,
    Snapshot,
    SyncStatus,
    Target,
    TargetState,
)
from tiphys.engine.target.build import Permit, Placement, Scope, build_target
from tiphys.model.annotations import (
    LAST_APPLIED,
    annotations_of,
    compare_options,
    effective_option,
    ignores_healthcheck,
    is_hook,
    sync_options,
    sync_wave,
)
from tiphys.model.source import ApplicationSource
from tiphys.model.statuses import ConditionType

Fetch = Callable[[ApplicationSource], Awaitable[Snapshot]]
Render = Callable[[Snapshot, ApplicationSource], Awaitable[Rendered]]
IgnoredOf = Callable[[ResourceKey], Ignored]  # what does not count for one resource


async def desired(
    sources: Sequence[ApplicationSource],
    *,
    fetch: Fetch,
    render: Render,
    placement: Placement,
    scope: Scope,
    permit: Permit,
    excluded: Callable[[GroupKind], bool],
    previous: TargetState | None,
) -> TargetState:
    """Git to TargetState. Raises StageError; an empty result means that Git declares nothing."""
    rendered: list[Rendered] = []
    for source in sources:
        snapshot = await fetch(source)
        rendered.append(await render(snapshot, source))
    return build_target(rendered, placement, scope=scope, permit=permit, excluded=excluded, previous=previous)


class Remembered(NamedTuple):
    """A verdict with what it was made from: the target's digest, empty where Git declares nothing, and the live version."""

    digest: str
    resource_version: str
    verdict: ResourceVerdict
    part: Part


@dataclass(slots=True)
class Memory:
    """What one Application's comparisons remember, so that a change costs what changed.

    A verdict stands while neither the target's digest nor the live resourceVersion moved, nor the `rules` it was made with.
    `noise` holds the (target digest, uid, resourceVersion) for which the API server itself said that an apply changes
    nothing, `covered` those whose difference is, or is not, one that the rules do not count. `settled` holds the (target
    digest, uid) of objects that were seen to be just what Git declares: the server keeps those as they are, so the next
    difference is somebody's change and no default, and need not be asked about. `translated` holds live objects in the
    version that Git writes, when another one is watched.
    """

    verdicts: dict[ResourceKey, Remembered] = field(default_factory=dict)
    noise: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    covered: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    settled: dict[ResourceKey, tuple[str, str]] = field(default_factory=dict)
    translated: dict[ResourceKey, Live] = field(default_factory=dict)
    rules: object = None


@dataclass(frozen=True, slots=True)
class Undecided:
    """A difference only the API server can judge.

    With a `difference` it may be the server's own defaulting: a dry-run of the apply decides. Without one the live object
    is known in another version than the target's: it is to be read in that version into `Memory.translated`. With
    `ask_rules` the question is first whether the difference is one that `ignored` does not count, for `Memory.covered`.
    """

    target: Target
    live: Live
    difference: Difference | None
    ignored: Ignored = NOTHING
    ask_rules: bool = False


def compare_with_live(
    target: TargetState,
    index: LiveIndex,
    instance: str,
    *,
    memory: Memory,
    unknown: Mapping[GroupKind, str],
    permit: Permit,
    ignored: IgnoredOf = lambda _key: NOTHING,
    override: Override | None = None,
    exempt: frozenset[ResourceKey] = frozenset(),
    options: Sequence[str] = (),
    rules: object = None,
    owner: str = "",
) -> tuple[Comparison, list[Undecided]]:
    """Git against cluster. `unknown` are the kinds that could not be listed, with the reason; `exempt` is never pruned.

    `options` are the Application's sync options. `rules` stands for everything besides objects that verdicts depend on,
    those and the ignored differences: when it changes, none that is remembered counts. `owner` is the Application's
    qualified name, for messages.
    """
    if memory.rules != rules:
        memory.verdicts, memory.settled, memory.rules = {}, {}, rules
        memory.noise, memory.covered = {}, {}
    conditions = list(target.conditions)
    itself = ResourceKey("argoproj.io", "Application", *(owner.split("/", 1) if "/" in owner else ("", "")))
    found = _Verdicts(memory.verdicts, itself)
    judge = _Judge(memory, ignored, override, options)
    any_doubtful = bool(target.denied or unknown)
    for key, wanted in target.resources.items():
        live = index.get(key)
        if live is not None and live.instance not in ("", instance):
            text = f"{key.kind}/{key.name} is part of applications {owner or instance} and {live.instance}"
            conditions.append((ConditionType.SHARED_RESOURCE_WARNING, text))
        version = live.resource_version if live is not None else ""
        if any_doubtful and (reason := target.denied.get(key) or unknown.get(key.group_kind)) is not None:
            found.add(key, ResourceVerdict(Drift(key, DriftKind.UNKNOWN, wanted, live, reason, wanted.wave), None))
        elif not found.stands(key, wanted.digest, version):
            verdict, doubt = judge.declared(wanted, live)
            found.add(key, verdict, doubt if doubt is not None else (wanted.digest, version))
    hooks = {hook.key for hook in target.hooks}
    for row in index.of_instance(instance):
        if row.key in found.verdicts or row.key in exempt or row.key in hooks:
            continue
        if permit(row.key.group_kind, bool(row.key.namespace), row.key.namespace, row.key.name) is not None:
            continue  # a kind the project does not permit is never pruned
        if not found.stands(row.key, "", row.resource_version):
            extra = judge.undeclared(row)
            if extra is not None:
                found.add(row.key, extra, ("", row.resource_version))
    memory.verdicts = found.remembered
    if len(memory.settled) > len(target.resources):
        memory.settled = {key: value for key, value in memory.settled.items() if key in target.resources}
    status = _sync_status(found.verdicts)
    return Comparison(target, found.verdicts, aggregate(found.parts), status, tuple(conditions)), found.undecided


class _Verdicts:
    """The verdicts of one comparison: those that stand from the last one, and those that are made."""

    def __init__(self, before: Mapping[ResourceKey, Remembered], itself: ResourceKey) -> None:
        self._before = before
        self._itself = itself
        self.verdicts: dict[ResourceKey, ResourceVerdict] = {}
        self.parts: list[Part] = []
        self.undecided: list[Undecided] = []
        self.remembered: dict[ResourceKey, Remembered] = {}

    def stands(self, key: ResourceKey, digest: str, version: str) -> bool:
        """Take the last verdict if it was made from the same; whether there is one."""
        known = self._before.get(key)
        if known is None or known.digest != digest or known.resource_version != version:
            return False
        self.remembered[key] = known
        self.verdicts[key] = known.verdict
        self.parts.append(known.part)
        return True

    def add(
        self, key: ResourceKey, verdict: ResourceVerdict, source: tuple[str, str] | Undecided | None = None
    ) -> None:
        """Take a new verdict. `source` is the digest and version it was made from, unless it may not be kept."""
        live = verdict.drift.live
        part = Part(
            key, live is not None, verdict.health, verdict.hook, key == self._itself or _health_ignored(verdict)
        )
        self.verdicts[key] = verdict
        self.parts.append(part)
        if isinstance(source, Undecided):
            self.undecided.append(source)
        elif source is not None:
            self.remembered[key] = Remembered(*source, verdict, part)


@dataclass(frozen=True, slots=True)
class _Judge:
    """What the verdicts of one comparison are made with."""

    memory: Memory
    ignored: IgnoredOf
    override: Override | None
    options: Sequence[str]

    def declared(self, wanted: Target, live: Live | None) -> tuple[ResourceVerdict, Undecided | None]:
        """The verdict on what Git declares, and the question to the API server that it leaves."""
        key = wanted.key
        if live is None:
            asks = _needs_confirmation(wanted.options, self.options)
            drift = Drift(key, DriftKind.MISSING, wanted, None, "", wanted.wave, needs_confirmation=asks)
            return ResourceVerdict(drift, None), None
        health = assess(live.manifest, self.override)
        kind, applied, doubt = self._compared(wanted, live)
        asks = _needs_confirmation(wanted.options, self.options) or _live_needs_confirmation(live)
        drift = Drift(key, kind, wanted, live, "", wanted.wave, needs_confirmation=asks, applied=applied)
        return ResourceVerdict(drift, health), doubt

    def _compared(self, wanted: Target, live: Live) -> tuple[DriftKind, bool, Undecided | None]:
        """Whether it differs, whether an apply would send nothing, and what has to be asked first."""
        manifest = live.manifest
        if live.version != wanted.version:
            read = self.memory.translated.get(wanted.key)
            if (
                read is None
                or (read.version, read.uid) != (wanted.version, live.uid)
                or is_newer(live.resource_version, read.resource_version)
            ):
                return DriftKind.MODIFIED, False, Undecided(wanted, live, None)
            manifest = read.manifest
        rule = self.ignored(wanted.key)
        if _is_server_side(wanted, live, self.options):
            difference = compare_applied(wanted.manifest, manifest, live.applied, ignored=rule)
        else:
            difference = compare(wanted.manifest, manifest, ignored=rule)
        at = (wanted.digest, live.uid, live.resource_version)
        if difference.modified and rule.must_ask:
            covered = self.memory.covered.get(at)
            if covered is None:
                return DriftKind.MODIFIED, False, Undecided(wanted, live, difference, rule, ask_rules=True)
            if covered:
                difference = replace(difference, modified=False)
        if difference.modified:
            kind, doubt = self._modified(wanted, live, difference, rule)
        else:
            self.memory.settled[wanted.key] = (wanted.digest, live.uid)
            kind, doubt = DriftKind.SAME, None
        applied = not difference.server_side and live.version == wanted.version and rule == NOTHING
        applied = applied and (difference.patch is None or (not difference.modified and difference.recorded))
        return kind, applied, doubt

    def _modified(
        self, wanted: Target, live: Live, difference: Difference, rule: Ignored
    ) -> tuple[DriftKind, Undecided | None]:
        """Of an object that differs: is it somebody's change, or the server's own defaulting?"""
        # What was seen settled is believed once: should an apply not bring it back, the server is asked.
        settled = self.memory.settled.pop(wanted.key, None) == (wanted.digest, live.uid)
        if not difference.declared or settled:
            return DriftKind.MODIFIED, None
        noise = self.memory.noise.get((wanted.digest, live.uid, live.resource_version))
        if noise is None:
            return DriftKind.MODIFIED, Undecided(wanted, live, difference, rule)
        return (DriftKind.SAME if noise else DriftKind.MODIFIED), None

    def undeclared(self, row: Live) -> ResourceVerdict | None:
        """A tracked live object that Git does not declare; hook objects are not held against the Application.

        What the live object says wins over the Application's options.
        """
        manifest = row.manifest
        annotations = annotations_of(manifest)
        if is_hook(annotations):
            return None
        own = sync_options(annotations)
        prune = effective_option(own, self.options, "Prune")
        drift = Drift(
            row.key,
            DriftKind.EXTRA,
            None,
            row,
            "",
            sync_wave(annotations),
            prune_disabled=prune == "false",
            prune_confirm=prune == "confirm",
            needs_confirmation=_needs_confirmation(own, self.options),
            ignore_extraneous="IgnoreExtraneous" in compare_options(annotations),
            prune_last="PruneLast=true" in own,
        )
        return ResourceVerdict(drift, assess(manifest, self.override))


def _is_server_side(wanted: Target, live: Live, options: Sequence[str]) -> bool:
    """A server-side apply is what would be done, and what was done last.

    An object that was only applied client-side so far is compared as such: what Git has dropped since is to be removed,
    and only its last-applied annotation knows that.
    """
    if effective_option(wanted.options, options, "ServerSideApply") != "true":
        return False
    return bool(live.applied) or LAST_APPLIED.encode() not in live.json


def _needs_confirmation(own: Collection[str], app_options: Sequence[str]) -> bool:
    """Deleting the resource with its Application takes somebody's approval. Source: compat 1.12."""
    return any(effective_option(own, app_options, option) == "confirm" for option in ("Delete", "Prune"))


def _live_needs_confirmation(live: Live) -> bool:
    # Rare, and the parse is not free: look for the bytes first.
    return b"=confirm" in live.json and _needs_confirmation(sync_options(annotations_of(live.manifest)), ())


def _health_ignored(verdict: ResourceVerdict) -> bool:
    live = verdict.drift.live
    # The annotation is rare and the parse is not free: look for its bytes first.
    return (
        live is not None and b"ignore-healthcheck" in live.json and ignores_healthcheck(annotations_of(live.manifest))
    )


def _sync_status(verdicts: Mapping[ResourceKey, ResourceVerdict]) -> SyncStatus:
    status = SyncStatus.SYNCED
    for verdict in verdicts.values():
        drift = verdict.drift
        if drift.kind is DriftKind.UNKNOWN:
            return SyncStatus.UNKNOWN
        if drift.out_of_sync and not (drift.requires_prune and drift.ignore_extraneous):
            status = SyncStatus.OUT_OF_SYNC
    return status


class ThreeWayPatcher:
    """Gives the applier the patches the comparison thinks in."""

    def to_create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The manifest with its last-applied annotation."""
        return with_last_applied(manifest)

    def to_patch(self, target: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[dict[str, Any], bool] | None:
        """The three-way patch and whether it is a strategic one, None when the object would stay as it is."""
        difference = compare(target, live)
        if difference.patch is None or (not difference.modified and difference.recorded):
            return None
        return difference.patch, difference.strategic


def health_of(row: Live, override: Override | None = None) -> Health | None:
    """Health of one live object, as the resource tree shows it."""
    return assess(row.manifest, override)
