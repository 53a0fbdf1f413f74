"""`tiphys app set`, `unset`, `add-source`, `remove-source`: changes to an Application's spec.

Source: api-ui Appendix B; compat 14.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import click

from tiphys.cli.app.naming import split_name
from tiphys.cli.app.sourceflags import names_source, set_source, set_spec, source_at, source_options
from tiphys.cli.app.unset import unset_source
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.session import open_api

Spec = dict[str, Any]


@click.command("set", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@flag("--validate", default=True, help="Let the server check repository, path and destination.")
@click.option("--source-position", type=int, help="Which of several sources to change, from 1.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@source_options
@click.pass_context
def set_(
    ctx: click.Context,
    /,
    name: str,
    validate: bool,
    source_position: int | None,
    app_namespace: str | None,
    **given: Any,
) -> None:
    """Change parameters of an application.

    \b
    Examples:
      tiphys app set my-app --helm-set replicas=3
      tiphys app set my-app --revision v1.2.3 --sync-policy automated --self-heal
      tiphys app set my-app --source-position 1 --path apps/other
    """
    if not any(value is not None and value != () for value in given.values()):
        raise not_as_asked("Please set at least one option to update")

    def change(spec: Spec) -> None:
        several = bool(spec.get("sources"))
        by_name = given["source_name"] if several and source_position is None else None
        rest = {**given, "source_name": None} if by_name else given
        position = source_at(spec, source_position, by_name, needed=names_source(rest))
        set_spec(spec, rest, position=position)

    _change(ctx, name, app_namespace, change, validate=validate)


@click.command("add-source", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@flag("--validate", default=True, help="Let the server check repository, path and destination.")
@source_options
@click.pass_context
def add_source(ctx: click.Context, /, name: str, app_namespace: str | None, validate: bool, **given: Any) -> None:
    """Add a source to an application that has several.

    \b
    Example:
      tiphys app add-source my-app --repo https://github.com/your-org/values.git --revision main --ref values
    """

    def change(spec: Spec) -> None:
        source: Spec = {}
        set_source(source, given)
        if not source.get("repoURL"):
            raise not_as_asked("Repo URL is required: give --repo")
        if not spec.get("sources"):
            raise CommandFailed(
                f"Cannot add source: application {name} does not have spec.sources defined",
                hint=f"Move spec.source into spec.sources first: tiphys app edit {name}",
            )
        spec["sources"].append(source)

    _change(ctx, name, app_namespace, change, validate=validate)
    click.echo(f"Application '{split_name(name)[0]}' updated successfully")


@click.command("remove-source", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("--source-position", type=int, help="Position of the source, from 1.")
@click.option("--source-name", help="Name of the source, instead of its position.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def remove_source(
    ctx: click.Context, name: str, source_position: int | None, source_name: str | None, app_namespace: str | None
) -> None:
    """Remove one of an application's several sources.

    \b
    Examples:
      tiphys app remove-source my-app --source-position 2
      tiphys app remove-source my-app --source-name values
    """
    if source_position is not None and source_name:
        raise not_as_asked("Only one of source-position and source-name can be specified.")

    def change(spec: Spec) -> None:
        several = spec.get("sources") or []
        if not several:
            raise CommandFailed("Application does not have multiple sources")
        position = source_at(spec, source_position, source_name, needed=True)
        if len(several) == 1:
            raise CommandFailed("Cannot remove the only source remaining in the app")
        del several[position - 1]

    _change(ctx, name, app_namespace, change, validate=True)
    click.echo(f"Application '{split_name(name)[0]}' updated successfully")


@click.command("unset", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME", help="Helm parameter; repeatable.")
@click.option("--values", multiple=True, help="Helm values file; repeatable.")
@flag("--values-literal", help="Helm values written into the application.")
@flag("--pass-credentials", help="Pass credentials to all domains.")
@flag("--ignore-missing-value-files", help="Missing values files are no error.")
@flag("--nameprefix", help="Kustomize name prefix.")
@flag("--namesuffix", help="Kustomize name suffix.")
@flag("--kustomize-version", help="Kustomize version.")
@flag("--kustomize-namespace", help="Kustomize namespace.")
@click.option(
    "--kustomize-image", "kustomize_images", multiple=True, metavar="NAME", help="Image override; repeatable."
)
@click.option("--kustomize-replica", "kustomize_replicas", multiple=True, metavar="NAME", help="Replicas; repeatable.")
@flag("--ignore-missing-components", help="Missing kustomize components are no error.")
@click.option("--plugin-env", "plugin_envs", multiple=True, metavar="NAME", help="Plugin variable; repeatable.")
@flag("--ref", help="Name under which other sources use this one's files.")
@click.option("--source-position", type=int, help="Which of several sources to change, from 1.")
@click.option("--source-name", help="Name of that source.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def unset(
    ctx: click.Context,
    /,
    name: str,
    source_position: int | None,
    source_name: str | None,
    app_namespace: str | None,
    **given: Any,
) -> None:
    """Take parameters of an application away again.

    \b
    Examples:
      tiphys app unset my-app -p replicas
      tiphys app unset my-app --kustomize-image nginx
      tiphys app unset my-app --nameprefix --source-position 1
    """
    if not any(given.values()):
        raise not_as_asked("Please name at least one option to unset")

    def change(spec: Spec) -> None:
        position = source_at(spec, source_position, source_name, needed=True)
        source = spec["sources"][position - 1] if position else spec.setdefault("source", {})
        if not unset_source(source, given):
            raise _Nothing

    _change(ctx, name, app_namespace, change, validate=False)


class _Nothing(Exception):
    """There is nothing to change."""


def _change(
    ctx: click.Context, name: str, app_namespace: str | None, change: Callable[[Spec], None], *, validate: bool
) -> None:
    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    spec = deepcopy(api.get_application(app_name, namespace).get("spec") or {})
    try:
        change(spec)
    except _Nothing:
        return
    api.update_application_spec(app_name, namespace, spec, validate=validate)
