"""`tiphys app diff`: how the cluster differs from Git.

Source: api-ui 5.1 "Diff", 5.2.
Differs: the diff is our own unified one with the path of each hunk, unless $KUBECTL_EXTERNAL_DIFF names a program.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tiphys.cli.app import difftext
from tiphys.cli.app.changes import Change, changes, changes_to
from tiphys.cli.app.manifests import NO_LOCAL, declared
from tiphys.cli.app.naming import split_name
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.colour import is_coloured
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import ERROR, CommandFailed
from tiphys.cli.output import UnknownFormError, print_json
from tiphys.cli.session import open_api
from tiphys.client.api import Api

EXTENDED_DIFFERENT = 10
_FORMS = ("", "text", "json", "markdown")


@click.command("diff", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@flag("--refresh", help="Look at Git and the cluster first.")
@flag("--hard-refresh", help="The same, and render the manifests anew.")
@click.option("--revision", default="", help="Compare with what Git declares at this revision.")
@click.option("--revisions", multiple=True, help="Revision of a source; repeatable, with --source-positions or -names.")
@click.option("--source-positions", type=int, multiple=True, help="Position of that source, from 1; repeatable.")
@click.option("--source-names", multiple=True, help="Name of that source; repeatable.")
@flag("--exit-code", "exits", default=True, help="End with 1 when there are differences.")
@click.option("--diff-exit-code", type=int, default=1, show_default=True, help="The exit code for differences.")
@flag("--stat", help="Only count: a line for each object.")
@click.option("-o", "--output", default="", help="Output format. One of: text|json|markdown")
@click.option("--local", help="Not supported: the server renders from Git.")
@click.option("--local-repo-root", hidden=True)
@click.option("--local-include", multiple=True, hidden=True)
@flag("--server-side-generate", hidden=True)
@flag("--server-side-diff", default=None, help="Accepted: differences are the server's anyway.")
@click.option("--server-side-diff-concurrency", type=int, hidden=True)
@click.option("--server-side-diff-max-batch-kb", type=int, hidden=True)
@click.option("--ignore-normalizer-jq-execution-timeout", hidden=True)
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def diff(
    ctx: click.Context,
    /,
    name: str,
    refresh: bool,
    hard_refresh: bool,
    exits: bool,
    diff_exit_code: int,
    stat: bool,
    output: str,
    local: str | None,
    app_namespace: str | None,
    **options: Any,
) -> int:
    """Show how the cluster differs from Git: what a sync would create, change and prune. Secrets are left out.

    \b
    Examples:
      tiphys app diff my-app
      tiphys app diff my-app --revision v1.2.3 --stat
      tiphys app diff my-app -o markdown --exit-code=false
    """
    if local:
        raise CommandFailed(NO_LOCAL)
    if output not in _FORMS:
        raise UnknownFormError(output)
    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    kind = "hard" if hard_refresh else "normal" if refresh else ""
    found = differences(api, app_name, namespace, refresh=kind, **_revision_options(options))
    external = os.environ.get("KUBECTL_EXTERNAL_DIFF")
    if output == "json":
        print_json(difftext.as_json(found))
    elif output == "markdown":
        click.echo("\n".join(difftext.markdown(found, app_name)), nl=False)
    elif stat:
        click.echo(difftext.stat(found, colour=is_coloured(ctx)), nl=False)
    elif external:
        _run_external(external, found)
    else:
        print_changes(ctx, found)
    if not found or not exits:
        return 0
    from tiphys.cli.arguments import given_globals

    extended = given_globals(ctx).get("exit_codes") == "extended" and diff_exit_code == 1
    return EXTENDED_DIFFERENT if extended else diff_exit_code


def _warn(app: Mapping[str, Any]) -> None:
    """Say so when the last comparison failed: what is shown is older then."""
    for condition in (app.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ComparisonError":
            click.echo(
                f"The application cannot be compared now; this is of the last time it could be: {condition.get('message')}",
                err=True,
            )


def print_changes(ctx: click.Context, found: Sequence[Change]) -> None:
    """Print changes as unified diffs."""
    colour = is_coloured(ctx)
    for change in found:
        click.echo(f"\n{difftext.unified(change, colour=colour)}", nl=False, color=colour)


def differences(
    api: Api,
    name: str,
    namespace: str,
    *,
    refresh: str = "",
    revision: str = "",
    revisions: Sequence[str] = (),
    source_positions: Sequence[int] = (),
    source_names: Sequence[str] = (),
) -> list[Change]:
    """What a sync would change. Raises CommandFailed, ApiFailure."""
    app = api.get_application(name, namespace, refresh=refresh)
    items = api.managed_resources(name, namespace)
    if not revision and not revisions:
        _warn(app)
        return changes(items)
    targets = declared(api, name, namespace, revision, revisions, source_positions, source_names)
    spec = app.get("spec") or {}
    return changes_to(
        items,
        targets,
        namespace=str((spec.get("destination") or {}).get("namespace") or ""),
        ignored=spec.get("ignoreDifferences") or (),
    )


def _revision_options(options: dict[str, Any]) -> dict[str, Any]:
    return {key: options[key] for key in ("revision", "revisions", "source_positions", "source_names")}


def _run_external(command: str, found: Sequence[Change]) -> None:
    """Let another program show each change: `PROGRAM [OPTION...] <name>-live.yaml <name>`."""
    words = shlex.split(command)
    for change in found:
        click.echo(f"\n===== {change.title} ======")
        with tempfile.TemporaryDirectory(prefix="tiphys-diff-") as folder:
            target, live = Path(folder) / change.name, Path(folder) / f"{change.name}-live.yaml"
            for path, obj in ((target, change.target), (live, change.live)):
                path.write_text("".join(f"{line}\n" for line in difftext.yaml_lines(obj)))
            try:
                done = subprocess.run([*words, str(live), str(target)], check=False)
            except OSError as error:
                raise CommandFailed(f"$KUBECTL_EXTERNAL_DIFF: {words[0]}: {(error.strerror or '').lower()}") from error
        if done.returncode > 1:
            raise CommandFailed(f"$KUBECTL_EXTERNAL_DIFF: {words[0]} ended with {done.returncode}", code=ERROR)
