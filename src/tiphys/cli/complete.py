"""Names that shells complete: applications, projects, history ids, contexts. Silent when anything goes wrong.

Answers of the API are kept for ten seconds, so that a second Tab does not ask again. What a `login` or another context makes
stale is forgotten by `forget`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tiphys.client.api import Api

KEPT_S = 10.0
WITHIN_S = 2.0
_CONFIGURATION = ("ARGOCD_", "TIPHYS_HOME", "HOME", "XDG_")

Choices = dict[str, list[str]]


def complete_apps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of applications, `NAMESPACE/NAME` where that is being typed."""
    given = ctx.params.get(param.name or "") or ()
    names = _remembered(ctx, "apps", _apps).get("qualified" if "/" in incomplete else "names", [])
    return [name for name in names if name.startswith(incomplete) and name not in given]


def complete_projects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of projects."""
    names = _remembered(ctx, "projects", _projects).get("names", [])
    return [name for name in names if name.startswith(incomplete)]


def complete_history(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """History ids of the application that was named, with their revisions, newest first."""
    from click.shell_completion import CompletionItem

    app = str(ctx.params.get("name") or "")
    if not app:
        return []
    entries = _remembered(ctx, f"history {app}", lambda api: _history(api, app))
    return [
        CompletionItem(number, help=said)
        for number, said in zip(entries.get("ids", []), entries.get("said", []), strict=False)
        if number.startswith(incomplete)
    ]


def complete_contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of contexts; the files are read anew each time."""
    try:
        from tiphys.cli.session import options_of, places
        from tiphys.client.contexts import read_contexts

        where = places(options_of(ctx), os.environ)
        names = [
            name
            for path in dict.fromkeys((where.local, where.own))
            if (found := read_contexts(path)) is not None
            for name in found.names
        ]
    except Exception:  # a shell in the middle of a line cannot use a message
        return []
    return [name for name in names if name.startswith(incomplete)]


def forget() -> None:
    """Drop what is kept: another server or account counts now."""
    try:
        for path in _folder().glob("*.json"):
            path.unlink(missing_ok=True)
    except OSError:
        pass  # it is ten seconds old at most


def _remembered(ctx: click.Context, what: str, ask: Callable[[Api], Choices]) -> Choices:
    try:
        path = _folder() / f"{_key(ctx, what)}.json"
        try:
            if 0 <= time.time() - path.stat().st_mtime <= KEPT_S:
                found: Choices = json.loads(path.read_bytes())
                return found
        except (OSError, ValueError):
            pass
        choices = _ask(ctx, ask)
        _keep(path, choices)
    except Exception:  # a shell in the middle of a line cannot use a message
        return {}
    return choices


def _ask(ctx: click.Context, ask: Callable[[Api], Choices]) -> Choices:
    import socket

    from tiphys.cli.session import open_api

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(WITHIN_S)
    try:
        return ask(open_api(ctx, within_s=WITHIN_S))
    finally:
        socket.setdefaulttimeout(before)


def _keep(path: Path, choices: Choices) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(choices))
    part.replace(path)


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tiphys" / "completion"


def _key(ctx: click.Context, what: str) -> str:
    """Which server is asked follows from options and environment; neither is written down in clear."""
    from tiphys.cli.arguments import given_globals

    env = sorted(item for item in os.environ.items() if item[0].startswith(_CONFIGURATION))
    options = sorted((name, repr(value)) for name, value in given_globals(ctx).items())
    return hashlib.sha256(repr((what, env, options)).encode()).hexdigest()[:32]


def _apps(api: Api) -> Choices:
    metadata = [
        app.get("metadata") or {}
        for app in api.list_applications(fields="items.metadata.name,items.metadata.namespace")
    ]
    return {
        "names": [str(item.get("name")) for item in metadata],
        "qualified": [f"{item.get('namespace')}/{item.get('name')}" for item in metadata],
    }


def _projects(api: Api) -> Choices:
    return {"names": [str((item.get("metadata") or {}).get("name")) for item in api.list_projects()]}


def _history(api: Api, app: str) -> Choices:
    from tiphys.cli.app.naming import split_name

    entries = (api.get_application(*split_name(app)).get("status") or {}).get("history") or []
    newest = list(reversed(entries))
    return {
        "ids": [str(entry.get("id", 0)) for entry in newest],
        "said": [f"{str(entry.get('revision') or '')[:7]} {entry.get('deployedAt') or ''}".strip() for entry in newest],
    }
