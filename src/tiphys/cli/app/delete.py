"""`tiphys app delete`."""

from __future__ import annotations

import os

import click

from tiphys.cli import ask
from tiphys.cli.app.follow import wait_deleted
from tiphys.cli.app.naming import qualified_name, split_name
from tiphys.cli.app.progress import Board, board_for
from tiphys.cli.app.several import wait_all
from tiphys.cli.arguments import Verb, flag, given_globals
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import CommandFailed
from tiphys.cli.session import open_api, options_of, places
from tiphys.client.api import Api
from tiphys.client.contexts import read_contexts
from tiphys.client.errors import NOT_FOUND, PERMISSION_DENIED, ApiFailure


@click.command("delete", cls=Verb)
@click.argument("names", metavar="[APPNAME...]", nargs=-1, shell_complete=complete_apps)
@flag("--cascade", default=None, help="Delete its resources too. [default: true]")
@click.option("-p", "--propagation-policy", help="How they are deleted. One of: foreground|background")
@flag("-y", "--yes", help="Do not ask.")
@click.option("-l", "--selector", default="", help="Delete applications with these labels.")
@flag("--wait", help="Wait until they are gone.")
@click.option("-N", "--app-namespace", help="Namespace of the applications.")
@click.pass_context
def delete(
    ctx: click.Context,
    names: tuple[str, ...],
    cascade: bool | None,
    propagation_policy: str | None,
    yes: bool,
    selector: str,
    wait: bool,
    app_namespace: str | None,
) -> None:
    """Delete applications, with all their resources unless --cascade=false.

    \b
    Examples:
      tiphys app delete my-app
      tiphys app delete my-app --cascade=false -y
      tiphys app delete -l team=shop --wait
    """
    if not names and not selector:
        raise click.UsageError("delete needs the name of an application, or --selector", ctx)
    api = open_api(ctx)
    found = [split_name(name, app_namespace) for name in names]
    if selector:
        selected = api.list_applications(selector=selector, namespace=app_namespace or "")
        if not selected:
            raise CommandFailed(f"no apps match selector {selector}")
        found += [split_name(qualified_name(app)) for app in selected]
    found = list(dict.fromkeys(found))
    sure = yes or cascade is False or not _asks(ctx)
    deleted = []
    for name, namespace in found:
        if not sure:
            answer = _ask(name, several=len(found) > 1)
            sure = answer == "a"
            if answer not in ("y", "yes", "a"):
                click.echo(f"The command to delete '{name}' was cancelled.")
                continue
        api.delete_application(name, namespace, cascade=cascade, propagation=propagation_policy or "")
        if wait:
            deleted.append((name, namespace))
        else:
            click.echo(f"application '{name}' deleted")
    if deleted:
        board = board_for(ctx, "wide", changes=False)

        def wait_one(own: Api, name: str, namespace: str) -> None:
            _wait(own, name, namespace, board)
            board.final(name, f"application '{name}' deleted\n")

        wait_all(api, board, deleted, wait_one, operations=False)


def _asks(ctx: click.Context) -> bool:
    if not ask.is_interactive():
        return False
    given = given_globals(ctx).get("prompts_enabled")
    if given is None:
        contexts = read_contexts(places(options_of(ctx), os.environ).in_force)
        given = contexts.prompts_enabled if contexts is not None else None
    return given is not False


def _ask(name: str, *, several: bool) -> str:
    question = f"Are you sure you want to delete '{name}' and all its resources? "
    if not several:
        return ask.answer(f"{question}[y/n] ", ("y", "yes", "n", "no"))
    return ask.answer(
        f"{question}[y/n/A] where 'A' is to delete all specified apps and their resources without prompting ",
        ("y", "yes", "n", "no", "a"),
    )


def _wait(api: Api, name: str, namespace: str, board: Board) -> None:
    try:
        wait_deleted(api, name, namespace, board)
    except ApiFailure as error:
        if error.code not in (NOT_FOUND, PERMISSION_DENIED):  # how the API says that it is gone
            raise
