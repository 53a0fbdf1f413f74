"""An Application as text: the summary, its conditions, operation and resources, and what it is waiting for.

Labels, order and columns are Argo CD's, to the letter; the line `Waiting For:` is ours. Source: api-ui 5.1 "Tables".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tiphys.cli.app.naming import includes, qualified_name
from tiphys.cli.output import go_duration, go_time, seconds_between, table
from tiphys.model.hold import HOLD

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{7,12}", re.IGNORECASE)
RESOURCE_COLUMNS = ("GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "HEALTH", "HOOK", "MESSAGE")
_UNHEALTHY_FIRST = ("Degraded", "Missing", "Progressing", "Suspended", "Unknown")

Object = Mapping[str, Any]


@dataclass(slots=True)
class ResourceState:
    """One line of the resources table."""

    group: str
    kind: str
    namespace: str
    name: str
    status: str = ""
    health: str = ""
    hook: str = ""
    message: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the resource."""
        return (self.group, self.kind, self.namespace, self.name)

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells."""
        return (*self.key, self.status, self.health, self.hook, self.message)

    def merge(self, newer: ResourceState) -> bool:
        """Take over what the newer one says and is not empty; True when anything changed."""
        changed = False
        for field in ("status", "health", "hook", "message"):
            value = getattr(newer, field)
            if value and value != getattr(self, field):
                setattr(self, field, value)
                changed = True
        return changed


def field(app: Object, *names: str) -> Any:
    """A nested field, None when any part of the way is absent."""
    found: Any = app
    for name in names:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def text(app: Object, *names: str) -> str:
    """A nested field as text, empty when absent."""
    return str(field(app, *names) or "")


def sources(app: Object) -> list[Object]:
    """The sources in force."""
    several = field(app, "spec", "sources")
    if several:
        return [item for item in several if isinstance(item, Mapping)]
    one = field(app, "spec", "source")
    return [one] if isinstance(one, Mapping) else []


def first_source(app: Object) -> Object:
    """The source that stands for the Application in tables."""
    found = sources(app)
    return found[0] if found else {}


def destination(app: Object) -> str:
    """The cluster: its server, else its name."""
    return text(app, "spec", "destination", "server") or text(app, "spec", "destination", "name")


def is_automated(app: Object) -> bool:
    """Whether automated sync is on."""
    automated = field(app, "spec", "syncPolicy", "automated")
    return isinstance(automated, Mapping) and automated.get("enabled") is not False


def summary(app: Object, url: str, windows: Object | None = None) -> str:
    """The aligned block at the top; `windows` is what the API says of the Application's sync windows."""
    lines = [
        _pair("Name:", qualified_name(app)),
        _pair("Project:", text(app, "spec", "project") or "default"),
        _pair("Server:", destination(app)),
        _pair("Namespace:", text(app, "spec", "destination", "namespace")),
        _pair("URL:", url),
        "Sources:" if field(app, "spec", "sources") else "Source:",
    ]
    for source in sources(app):
        lines += _source(source)
    policy = "Manual"
    if is_automated(app):
        policy = "Automated (Prune)" if field(app, "spec", "syncPolicy", "automated", "prune") else "Automated"
    lines += [
        *_windows(windows or {}),
        _pair("Sync Policy:", policy),
        _pair("Sync Status:", _sync_status(app)),
        _pair("Health Status:", _health_status(app)),
    ]
    waiting = waiting_for(app)
    if waiting:
        lines.append(_pair("Waiting For:", waiting))
    return "\n".join(lines) + "\n"


def conditions(app: Object) -> str:
    """The table of conditions."""
    rows: list[Sequence[str]] = [("CONDITION", "MESSAGE", "LAST TRANSITION")]
    for item in field(app, "status", "conditions") or ():
        rows.append((item.get("type", ""), item.get("message", ""), go_time(item.get("lastTransitionTime"))))
    return table(rows)


def operation(state: Object | None, now: datetime | None = None) -> str:
    """The block about the last operation, empty when there was none."""
    if not state:
        return ""
    lines = []
    result = state.get("syncResult")
    if isinstance(result, Mapping):
        lines.append(_pair("Operation:", "Sync"))
        several = result.get("sources") and result.get("revisions")
        revision = ", ".join(result["revisions"]) if several else str(result.get("revision") or "")
        lines.append(_pair("Sync Revision:", revision))
    began, ended = state.get("startedAt"), state.get("finishedAt")
    lines += [
        _pair("Phase:", str(state.get("phase") or "")),
        _pair("Start:", go_time(began)),
        _pair("Finished:", go_time(ended)),
        _pair("Duration:", go_duration(seconds_between(began, ended, now or datetime.now(UTC)))),
    ]
    if state.get("message"):
        lines.append(_pair("Message:", str(state["message"])))
    return "\n".join(lines) + "\n"


def resource_states(app: Object, selected: Sequence[Object] = ()) -> list[ResourceState]:
    """Resources with what the last operation said about them: its results first, in their order, then the rest."""
    known = {_key(item): item for item in field(app, "status", "resources") or ()}
    states = []
    for result in field(app, "status", "operationState", "syncResult", "resources") or ():
        state = ResourceState(*_key(result), hook=result.get("hookType") or "", message=result.get("message") or "")
        resource = known.pop(state.key, None)
        if resource is not None and not state.hook:
            state.status, state.health = resource.get("status") or "", text(resource, "health", "status")
        else:
            state.status, state.health = result.get("hookPhase") or "", result.get("status") or ""
        states.append(state)
    for key in sorted(known, key="/".join):
        resource = known[key]
        states.append(ResourceState(*key, resource.get("status") or "", text(resource, "health", "status")))
    if selected:
        return [state for state in states if includes(selected, _named(state))]
    return states


def resources(app: Object) -> str:
    """The table of resources."""
    return table([RESOURCE_COLUMNS, *(state.cells for state in resource_states(app))])


def waiting_for(app: Object) -> str:
    """In one line what keeps the Application from being synced and healthy; empty when nothing does."""
    if text(app, "metadata", "deletionTimestamp"):
        left = len(field(app, "status", "resources") or ())
        return f"its deletion: {left} resource{'' if left == 1 else 's'} to remove" if left else "its deletion"
    failed = _failure(app)
    if failed:
        return failed
    state = field(app, "status", "operationState")
    if app.get("operation") and not (state and state.get("phase") == "Running"):
        return "the operation to start"
    if isinstance(state, Mapping) and state.get("phase") in ("Running", "Terminating"):
        return f"the operation: {state.get('message') or state['phase']}"
    return _unhealthy(app) or _unsynced(app, state)


_APART = ("OutOfSync", "Unknown")  # what is missing in one of these was never applied


def _failure(app: Object) -> str:
    errors = [item for item in field(app, "status", "conditions") or () if str(item.get("type", "")).endswith("Error")]
    if errors:
        first = str(errors[0].get("message", "")).splitlines()
        return f"a correction: {errors[0].get('type')}: {first[0] if first else ''}"
    return ""


def _unhealthy(app: Object) -> str:
    # What is missing because it was never applied waits for a sync, and that is what should be said.
    fine = ("", "Healthy", "Missing") if text(app, "status", "sync", "status") in _APART else ("", "Healthy")
    items = field(app, "status", "resources") or ()
    found = [item for item in items if text(item, "health", "status") not in fine]
    if found:
        found.sort(key=lambda item: _rank(text(item, "health", "status")))
        first = found[0]
        name = f"{first.get('kind')} {'/'.join(filter(None, (first.get('namespace'), first.get('name'))))}"
        reason = text(first, "health", "message")
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return f"{name}: {text(first, 'health', 'status')}{f' ({reason})' if reason else ''}{more}"
    health = text(app, "status", "health", "status")
    return f"its health: {health}" if health not in fine else ""


def _unsynced(app: Object, state: object) -> str:
    sync = text(app, "status", "sync", "status")
    if not sync:
        return "the first comparison"
    if sync not in _APART:
        return ""
    failed = isinstance(state, Mapping) and state.get("phase") in ("Failed", "Error")
    if sync == "Unknown" and not failed:
        return ""
    items = field(app, "status", "resources") or ()
    apart = [item for item in items if item.get("status") == "OutOfSync"]
    pruning = [item for item in apart if item.get("requiresPruning")]
    what = f"{len(apart)} of {len(items)} resources out of sync"
    if pruning and len(pruning) == len(apart):
        return f"a sync with --prune: {what}, no longer in Git"
    if isinstance(state, Mapping) and failed:
        return f"a correction: the last sync {str(state['phase']).lower()}: {state.get('message') or ''}"
    if is_automated(app) and HOLD in (field(app, "metadata", "annotations") or {}):
        return f"the next commit, or `app resume {text(app, 'metadata', 'name')}`: held by a rollback; {what}"
    return f"{'the automated sync' if is_automated(app) else 'a sync'}: {what}"


def _rank(health: str) -> int:
    return _UNHEALTHY_FIRST.index(health) if health in _UNHEALTHY_FIRST else len(_UNHEALTHY_FIRST)


def _source(source: Object) -> Iterator[str]:
    yield _pair("- Repo:", text(source, "repoURL"))
    yield _pair("  Target:", text(source, "targetRevision"))
    if source.get("path"):
        yield _pair("  Path:", str(source["path"]))
    if source.get("chart"):
        yield _pair("  Chart:", str(source["chart"]))
    if source.get("ref"):
        yield _pair("  Ref:", str(source["ref"]))
    values = field(source, "helm", "valueFiles")
    if values:
        yield _pair("  Helm Values:", ",".join(values))
    if text(source, "kustomize", "namePrefix"):
        yield _pair("  Name Prefix:", text(source, "kustomize", "namePrefix"))


def _windows(found: Object) -> Iterator[str]:
    """Whether a sync is allowed now, and which windows there are."""
    assigned = found.get("assignedWindows") or []
    active = found.get("activeWindows") or []
    kinds = {window.get("kind") for window in active}
    closed = any(window.get("kind") == "allow" and window not in active for window in assigned)
    denied = "deny" in kinds or ("allow" not in kinds and closed)
    state = "Sync Allowed"
    if denied:
        state = "Manual Allowed" if found.get("canSync") else "Sync Denied"
    yield _pair("SyncWindow:", state)
    if assigned:
        listed = (f"{window.get('kind')}:{window.get('schedule')}:{window.get('duration')}" for window in assigned)
        yield _pair("Assigned Windows:", ",".join(listed))


def _sync_status(app: Object) -> str:
    status = text(app, "status", "sync", "status")
    target = text(first_source(app), "targetRevision")
    shown = status
    if status == "Synced":
        shown += f" to {target}"
    elif status == "OutOfSync":
        shown += f" from {target}"
    revision = text(app, "status", "sync", "revision")
    if not _COMMIT.fullmatch(target) and len(revision) > 7:
        shown += f" ({revision[:7]})"
    return shown


def _health_status(app: Object) -> str:
    status, message = text(app, "status", "health", "status"), text(app, "status", "health", "message")
    return f"{status} ({message})" if message else status


def _key(item: Object) -> tuple[str, str, str, str]:
    return (
        item.get("group") or "",
        item.get("kind") or "",
        item.get("namespace") or "",
        item.get("name") or "",
    )


def _named(state: ResourceState) -> dict[str, str]:
    return {"group": state.group, "kind": state.kind, "namespace": state.namespace, "name": state.name}


def _pair(label: str, value: str) -> str:
    return f"{label:<20}{value}"
