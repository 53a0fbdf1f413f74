"""`tiphys app edit` and `patch`."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tiphys.cli import ask
from tiphys.cli.app.naming import split_name
from tiphys.cli.arguments import Verb
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import print_yaml
from tiphys.cli.session import open_api
from tiphys.client.errors import ApiFailure, Unreachable

_HEAD = """\
# Change the spec and save it. Lines that begin with '#' are left out, an empty file changes nothing.
#
"""

Spec = dict[str, Any]


class EditorError(Exception):
    """What was saved cannot be used; the message says why."""


@click.command("edit", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def edit(ctx: click.Context, name: str, app_namespace: str | None) -> None:
    """Change an application's spec in an editor: $KUBE_EDITOR, $EDITOR or vi.

    A text that is refused comes back with the reason on top; given up on, it is kept in a file.

    \b
    Example:
      EDITOR=nano tiphys app edit my-app
    """
    from tiphys.apimachinery.yamljson import dump_yaml

    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    before = dump_yaml(api.get_application(app_name, namespace).get("spec") or {})

    def save(spec: Spec) -> None:
        try:
            api.update_application_spec(app_name, namespace, spec, validate=True)
        except Unreachable:
            raise
        except ApiFailure as error:
            raise EditorError(error.message) from error

    changed = edit_until_saved(before, app_name, run_editor, save)
    click.echo(f"Application '{app_name}' updated successfully" if changed else "Edit cancelled, no changes made.")


def edit_until_saved(before: str, name: str, run_editor: Callable[[Path], None], save: Callable[[Spec], None]) -> bool:
    """Let the user edit a text until it is saved; False when nothing was changed.

    The user gives up by leaving a refused text as it is: the file stays, and CommandFailed names it. Without a terminal a
    text is refused once.
    """
    descriptor, text = tempfile.mkstemp(prefix=f"tiphys-{name}-", suffix=".yaml")
    os.close(descriptor)
    path = Path(text)
    content, problem = before, ""
    while True:
        path.write_text(_HEAD + _commented(problem) + content)
        try:
            run_editor(path)
        except CommandFailed:
            if not problem:
                path.unlink(missing_ok=True)
            raise
        edited = _without_comments(path.read_text())
        if not edited.strip() or edited == _without_comments(before):
            path.unlink(missing_ok=True)
            return False
        if problem and edited == _without_comments(content):
            raise CommandFailed(f"{problem} (your text is kept in {path})")
        content = edited
        try:
            save(_parsed(edited))
        except EditorError as error:
            problem = str(error)
            if not ask.is_interactive():  # a program edits: it would not read the reason
                raise CommandFailed(f"{problem} (your text is kept in {path})") from error
        except BaseException:
            click.echo(f"your text is kept in {path}", err=True)
            raise
        else:
            path.unlink(missing_ok=True)
            return True


def _parsed(text: str) -> Spec:
    from tiphys.apimachinery.yamljson import YamlError, load_one

    try:
        spec = load_one(text)
    except YamlError as error:
        raise EditorError(str(error)) from None
    if not isinstance(spec, dict):
        raise EditorError("the spec is no mapping")
    return spec


def _commented(problem: str) -> str:
    return "".join(f"# {line}\n" for line in problem.splitlines()) + "#\n" if problem else ""


def _without_comments(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def run_editor(path: Path) -> None:
    """Open the file in the user's editor. Raises CommandFailed."""
    editor = os.environ.get("KUBE_EDITOR") or os.environ.get("EDITOR") or os.environ.get("VISUAL") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), str(path)], check=False)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"the editor {editor!r} cannot be started: {error}", hint="Set $EDITOR.") from error
    if done.returncode != 0:
        raise CommandFailed(f"the editor {editor!r} ended with {done.returncode}")


@click.command("patch", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("--patch", required=True, help="The patch, as JSON.")
@click.option("--type", "patch_type", default="json", show_default=True, help="Kind of the patch: json|merge")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def patch(ctx: click.Context, name: str, patch: str, patch_type: str, app_namespace: str | None) -> None:
    """Patch an application, and print it as it is then.

    \b
    Examples:
      tiphys app patch my-app --patch '[{"op": "replace", "path": "/spec/source/path", "value": "apps/other"}]'
      tiphys app patch my-app --patch '{"spec": {"source": {"targetRevision": "v1.2.3"}}}' --type merge
    """
    app_name, namespace = split_name(name, app_namespace)
    print_yaml(open_api(ctx).patch_application(app_name, namespace, patch, patch_type))
