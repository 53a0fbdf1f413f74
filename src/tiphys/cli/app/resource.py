"""`tiphys app get-resource`, `patch-resource`, `delete-resource`: live objects of an Application.

Source: api-ui Appendix B.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from tiphys.cli import ask
from tiphys.cli.app.naming import split_name
from tiphys.cli.app.picking import named, pick, resource_options
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import UnknownFormError, print_value, print_yaml, table
from tiphys.cli.session import open_api

PATCH_TYPES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json")
_SHORT_TYPES = {"merge": PATCH_TYPES[0], "strategic": PATCH_TYPES[1], "json": PATCH_TYPES[2]}

Object = dict[str, Any]


@click.command("get-resource", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@resource_options()
@click.option("--filter-fields", help="Only these fields: paths between commas, as in spec.replicas,metadata.labels.")
@flag("--show-managed-fields", help="Show metadata.managedFields too.")
@click.option("--project", help="Project of the application.")
@click.option("-o", "--output", default="wide", help="Output format. One of: wide|yaml|json")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def get_resource(
    ctx: click.Context,
    name: str,
    group: str | None,
    kind: str,
    namespace: str | None,
    resource_name: str | None,
    filter_fields: str | None,
    show_managed_fields: bool,
    project: str | None,
    output: str,
    app_namespace: str | None,
) -> None:
    """Show live objects of an application.

    \b
    Examples:
      tiphys app get-resource my-app --kind Deployment --resource-name my-app -o yaml
      tiphys app get-resource my-app --kind Pod --filter-fields status.podIP,spec.nodeName
    """
    if output not in ("wide", "", "yaml", "json"):
        raise UnknownFormError(output)
    api = open_api(ctx)
    app = split_name(name, app_namespace)
    found = pick(
        api, app, group=group, kind=kind, namespace=namespace, resource_name=resource_name, every=True, verb="get"
    )
    objects = []
    for node in found:
        obj: Object = json.loads(api.get_resource(*app, node)) or {}
        if not show_managed_fields:
            (obj.get("metadata") or {}).pop("managedFields", None)
        objects.append(obj)
    paths = [path.strip() for path in (filter_fields or "").split(",") if path.strip()]
    if output in ("yaml", "json"):
        shown = [filtered(obj, paths) if paths else obj for obj in objects]
        if output == "json":
            print_value(shown[0] if len(shown) == 1 else shown, "json")
            return
        for index, obj in enumerate(shown):
            if index:
                click.echo("---")
            print_yaml(obj)
        return
    rows: list[tuple[str, ...]] = [("FIELD", "RESOURCE NAME", "VALUE")]
    for obj in objects:
        own = str((obj.get("metadata") or {}).get("name") or "")
        rows += [(path, own, value) for path, value in leaves(obj) if not paths or _below(path, paths)]
    click.echo(table(rows), nl=False)


def filtered(obj: Mapping[str, Any], paths: list[str]) -> Object:
    """Only these dotted paths of an object; a path goes through lists into each of their items."""
    kept: Object = {}
    for path in paths:
        parts = path.split(".")
        found = _at(obj, parts)
        if found is not None:
            target = kept
            for part in parts[:-1]:
                target = target.setdefault(part, {})
            target[parts[-1]] = found
    return kept


def _at(value: Any, parts: list[str]) -> Any:
    if not parts:
        return value
    if isinstance(value, list):
        found = [item for item in (_at(item, parts) for item in value) if item is not None]
        return found or None
    return _at(value.get(parts[0]), parts[1:]) if isinstance(value, Mapping) else None


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every scalar of an object with its path."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _below(path: str, wanted: list[str]) -> bool:
    plain = "".join(part.split("]", 1)[-1] for part in path.split("["))
    return any(plain == item or plain.startswith(f"{item}.") for item in wanted)


@click.command("patch-resource", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@resource_options()
@click.option("--patch", required=True, help="The patch, as JSON or YAML.")
@click.option(
    "--patch-type",
    default=PATCH_TYPES[0],
    show_default=True,
    help="Media type of the patch; merge, strategic and json say the same in short.",
)
@flag("--all", "every", help="Patch all that match.")
@click.option("--project", help="Project of the application.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def patch_resource(
    ctx: click.Context,
    name: str,
    group: str | None,
    kind: str,
    namespace: str | None,
    resource_name: str | None,
    patch: str,
    patch_type: str,
    every: bool,
    project: str | None,
    app_namespace: str | None,
) -> None:
    """Patch a live object of an application.

    \b
    Example:
      tiphys app patch-resource my-app --kind Deployment --resource-name my-app --patch '{"spec": {"replicas": 3}}'
    """
    kind_of_patch = _SHORT_TYPES.get(patch_type, patch_type)
    if kind_of_patch not in PATCH_TYPES:
        raise CommandFailed(f"--patch-type: expected one of {', '.join(PATCH_TYPES)}, but instead got: {patch_type}")
    text = json_patch_text(patch)
    api = open_api(ctx)
    app = split_name(name, app_namespace)
    for node in pick(
        api, app, group=group, kind=kind, namespace=namespace, resource_name=resource_name, every=every, verb="patch"
    ):
        api.patch_resource(*app, node, text, kind_of_patch)
        click.echo(f"Resource '{node.get('name')}' patched")


def json_patch_text(text: str) -> str:
    """A patch written as JSON or YAML, as JSON. Raises CommandFailed."""
    from tiphys.apimachinery.yamljson import YamlError, load_one

    try:
        value = load_one(text)
    except YamlError as error:
        raise CommandFailed(f"--patch cannot be read: {error}") from None
    if not isinstance(value, dict | list):
        raise CommandFailed("--patch cannot be read: it is neither an object nor a list")
    return json.dumps(value)


@click.command("delete-resource", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@resource_options()
@flag("--force", help="Delete at once, without grace.")
@flag("--orphan", help="Leave what the object owns.")
@flag("--all", "every", help="Delete all that match.")
@click.option("--project", help="Project of the application.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def delete_resource(
    ctx: click.Context,
    name: str,
    group: str | None,
    kind: str,
    namespace: str | None,
    resource_name: str | None,
    force: bool,
    orphan: bool,
    every: bool,
    project: str | None,
    app_namespace: str | None,
) -> None:
    """Delete a live object of an application.

    \b
    Example:
      tiphys app delete-resource my-app --kind Pod --resource-name my-app-7d4b9
    """
    api = open_api(ctx)
    app = split_name(name, app_namespace)
    found = pick(
        api, app, group=group, kind=kind, namespace=namespace, resource_name=resource_name, every=every, verb="delete"
    )
    if len(found) > 1 and ask.is_interactive():
        question = (
            f"Are you sure you want to delete {len(found)} resources ({', '.join(map(named, found[:5]))})? [y/n] "
        )
        if not ask.proceed(question):
            click.echo("The command to delete resources was cancelled.")
            return
    for node in found:
        api.delete_resource(*app, node, force=force, orphan=orphan)
        click.echo(f"Resource '{node.get('name')}' deleted")
