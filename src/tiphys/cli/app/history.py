"""`tiphys app history` and `rollback`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tiphys.cli.app.naming import split_name
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_apps, complete_history
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import UnknownFormError, go_time, tabulate, value_text
from tiphys.cli.session import open_api
from tiphys.client.api import Api

_SHOWN = 7  # characters of a commit


@click.command("history", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-o", "--output", default="wide", help="Output format. One of: wide|id|json|yaml")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def history(ctx: click.Context, name: str, output: str, app_namespace: str | None) -> None:
    """Show what was deployed when.

    \b
    Examples:
      tiphys app history my-app
      tiphys app history my-app -o id
    """
    if output not in ("wide", "id", "json", "yaml", ""):
        raise UnknownFormError(output)
    app = open_api(ctx).get_application(*split_name(name, app_namespace))
    entries = (app.get("status") or {}).get("history") or []
    if output in ("json", "yaml"):
        click.echo(value_text(entries, output), nl=False)
    elif output == "id":
        for entry in entries:
            click.echo(entry.get("id", 0))
    else:
        click.echo(history_table(entries), nl=False)


def history_table(entries: Sequence[dict[str, Any]]) -> str:
    """A table a repository: `SOURCE`, then id, date and revision."""
    by_repository: dict[str, list[tuple[str, str, str]]] = {}
    for entry in entries:
        several = entry.get("sources")
        sources = several or [entry.get("source") or {}]
        revisions = (entry.get("revisions") or []) if several else [entry.get("revision") or ""]
        for index, source in enumerate(sources):
            revision = revisions[index] if len(revisions) == len(sources) else ""
            shown = str(source.get("targetRevision") or "")
            if len(revision) >= _SHOWN:
                shown = f"{shown} ({revision[:_SHOWN]})"
            row = (str(entry.get("id", 0)), go_time(entry.get("deployedAt")), shown)
            by_repository.setdefault(str(source.get("repoURL") or ""), []).append(row)
    blocks = []
    for repository, rows in by_repository.items():
        lines = [f"SOURCE\t{repository}", "ID\tDATE\tREVISION", *("\t".join(row) for row in rows)]
        blocks.append("".join(f"{line}\n" for line in lines))
    return tabulate("\n".join(blocks))


@click.command("rollback", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.argument("history_id", metavar="[ID]", type=int, required=False, shell_complete=complete_history)
@flag("--prune", help="Delete what is not in the state rolled back to.")
@click.option("--reason", default="", help="Why, for whoever finds the application held.")
@click.option("--hold-for", default="", metavar="DURATION", help="End the hold after this long, as 24h or 90m.")
@click.option("--timeout", type=int, default=0, help="Give up waiting after this many seconds; 0 never does.")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|tree|tree=detailed")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def rollback(
    ctx: click.Context,
    name: str,
    history_id: int | None,
    prune: bool,
    reason: str,
    hold_for: str,
    timeout: int,
    output: str,
    app_namespace: str | None,
) -> None:
    """Deploy again what a history entry deployed; without ID the one before the last.

    With automated sync on, the application is held there: automation stays on, defends that state, and goes on with the
    next commit that changes the application, with `app resume`, or after --hold-for.

    \b
    Examples:
      tiphys app rollback my-app
      tiphys app rollback my-app --reason "loses sessions" 3
    """
    from tiphys.cli.app.follow import Wanted, check_form, wait_for
    from tiphys.cli.app.progress import board_for
    from tiphys.cli.app.several import wait_all

    check_form(output)
    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    app = api.get_application(app_name, namespace)
    entries = (app.get("status") or {}).get("history") or []
    request: dict[str, Any] = {"id": _entry_id(entries, history_id, app_name), "prune": prune}
    given = {"reason": reason, "holdFor": hold_for}
    request |= {field: text for field, text in given.items() if text}
    api.rollback_application(app_name, namespace, request)
    board = board_for(ctx, output)

    def wait_one(own: Api, name: str, namespace: str) -> None:
        wait_for(own, name, namespace, Wanted(operation=True), board, timeout_s=timeout, form=output)

    wait_all(api, board, [(app_name, namespace)], wait_one)


def _entry_id(entries: Sequence[dict[str, Any]], wanted: int | None, name: str) -> int:
    ids = [int(entry.get("id") or 0) for entry in entries]
    if wanted is None:
        if len(ids) < 2:
            raise CommandFailed(f"application '{name}' should have at least two successful deployments")
        return ids[-2]
    if wanted not in ids:
        raise CommandFailed(
            f"application '{name}' does not have deployment id '{wanted}' in history",
            hint=f"`app history {name}` lists the ids there are.",
        )
    return wanted
