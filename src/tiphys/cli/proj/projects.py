"""`tiphys proj list`, `get`, `create`, `delete`, `edit`.

Source: api-ui Appendix B, 5.1 "Tables".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tiphys.cli.app.edit import EditorError, edit_until_saved, run_editor
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_projects
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.output import print_value, table
from tiphys.cli.session import open_api
from tiphys.client.errors import ApiFailure, Unreachable

Object = dict[str, Any]

_COLUMNS = (
    "NAME",
    "DESCRIPTION",
    "DESTINATIONS",
    "SOURCES",
    "CLUSTER-RESOURCE-WHITELIST",
    "NAMESPACE-RESOURCE-BLACKLIST",
    "SIGNATURE-KEYS",
    "ORPHANED-RESOURCES",
)


@click.command("list", cls=Verb)
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|name")
@click.pass_context
def list_projects(ctx: click.Context, output: str) -> None:
    """List projects.

    \b
    Examples:
      tiphys proj list
      tiphys proj list -o name
    """
    projects = open_api(ctx).list_projects()
    if output == "name":
        for project in projects:
            click.echo((project.get("metadata") or {}).get("name", ""))
    elif output in ("wide", ""):
        click.echo(table([_COLUMNS, *(row(project) for project in projects)]), nl=False)
    else:
        print_value(projects, output)


def row(project: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of one project: what there is one of is written, of more the number."""
    spec = project.get("spec") or {}
    destinations = [destination(item) for item in spec.get("destinations") or ()]
    return (
        str((project.get("metadata") or {}).get("name") or ""),
        str(spec.get("description") or ""),
        _counted(destinations, "destinations"),
        _counted(spec.get("sourceRepos") or (), "repos"),
        _counted([kind(item) for item in spec.get("clusterResourceWhitelist") or ()], "resources"),
        _counted([kind(item) for item in spec.get("namespaceResourceBlacklist") or ()], "resources"),
        _counted([str(item.get("keyID")) for item in spec.get("signatureKeys") or ()], "key(s)"),
        orphaned(spec),
    )


def destination(item: Mapping[str, Any]) -> str:
    """`server,namespace`."""
    return f"{item.get('server') or item.get('name') or ''},{item.get('namespace') or ''}"


def kind(item: Mapping[str, Any]) -> str:
    """`group/kind`."""
    return f"{item.get('group') or ''}/{item.get('kind') or ''}"


def orphaned(spec: Mapping[str, Any]) -> str:
    """Whether orphaned resources are looked for."""
    found = spec.get("orphanedResources")
    if found is None:
        return "disabled"
    ignored = f", ignored {len(found['ignore'])}" if found.get("ignore") else ""
    return f"enabled (warn={'true' if found.get('warn', True) else 'false'}{ignored})"


def _counted(items: Sequence[str], what: str) -> str:
    if not items:
        return "<none>"
    return items[0] if len(items) == 1 else f"{len(items)} {what}"


@click.command("get", cls=Verb)
@click.argument("name", metavar="PROJECT", shell_complete=complete_projects)
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide")
@click.pass_context
def get(ctx: click.Context, name: str, output: str) -> None:
    """Show a project.

    \b
    Example:
      tiphys proj get default
    """
    project = open_api(ctx).get_project(name)
    if output not in ("wide", ""):
        print_value(project, output)
        return
    spec = project.get("spec") or {}
    click.echo(_pair("Name:", name) + _pair("Description:", str(spec.get("description") or "")), nl=False)
    for label, items in (
        ("Destinations:", [destination(item) for item in spec.get("destinations") or ()]),
        ("Repositories:", spec.get("sourceRepos") or ()),
        ("Source Namespaces:", spec.get("sourceNamespaces") or ()),
        ("Allowed Cluster Resources:", [kind(item) for item in spec.get("clusterResourceWhitelist") or ()]),
        ("Denied Cluster Resources:", [kind(item) for item in spec.get("clusterResourceBlacklist") or ()]),
        ("Allowed Namespaced Resources:", [kind(item) for item in spec.get("namespaceResourceWhitelist") or ()]),
        ("Denied Namespaced Resources:", [kind(item) for item in spec.get("namespaceResourceBlacklist") or ()]),
        ("Signature keys:", [str(item.get("keyID")) for item in spec.get("signatureKeys") or ()]),
    ):
        click.echo(
            "".join(_pair(label if not index else "", item) for index, item in enumerate(items or ["<none>"])), nl=False
        )
    click.echo(_pair("Orphaned Resources:", orphaned(spec)), nl=False)


def _pair(label: str, value: str) -> str:
    return f"{label:<30}{value}\n"


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--description", help="What it is for."),
    click.option(
        "-d", "--dest", "destinations", multiple=True, metavar="SERVER,NAMESPACE", help="Destination; repeatable."
    ),
    click.option("-s", "--src", "sources", multiple=True, metavar="URL", help="Repository; repeatable."),
    click.option("--source-namespaces", multiple=True, help="Namespace of Applications; repeatable."),
    click.option("--allow-cluster-resource", multiple=True, metavar="GROUP/KIND", help="Allowed; repeatable."),
    click.option("--deny-cluster-resource", multiple=True, metavar="GROUP/KIND", help="Denied; repeatable."),
    click.option("--allow-namespaced-resource", multiple=True, metavar="GROUP/KIND", help="Allowed; repeatable."),
    click.option("--deny-namespaced-resource", multiple=True, metavar="GROUP/KIND", help="Denied; repeatable."),
    click.option("--signature-keys", multiple=True, help="Id of a key commits must be signed with; repeatable."),
    flag("--orphaned-resources", default=None, help="Look for orphaned resources."),
    flag("--orphaned-resources-warn", default=None, help="Warn of them."),
)


def spec_options(function: Any) -> Any:
    """The options that describe a project; the command gets them as keyword arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("create", cls=Verb)
@click.argument("name", metavar="[PROJECT]", required=False)
@click.option("-f", "--file", help="File (or - for standard input) with the project; options change it.")
@spec_options
@flag("--upsert", help="Change a project that is there already.")
@click.pass_context
def create(ctx: click.Context, /, name: str | None, file: str | None, upsert: bool, **given: Any) -> None:
    """Create a project.

    \b
    Examples:
      tiphys proj create shop -d https://kubernetes.default.svc,shop -s https://github.com/your-org/k8s-manifests.git
      tiphys proj create -f shop.yaml --upsert
    """
    project = _read(file) if file else {}
    metadata = project.setdefault("metadata", {})
    if name and metadata.get("name") not in (None, name):
        raise CommandFailed(f"project name '{name}' does not match project spec metadata.name '{metadata['name']}'")
    metadata["name"] = name or metadata.get("name")
    if not metadata["name"]:
        raise click.UsageError("create needs the name of a project, or --file", ctx)
    set_spec(project.setdefault("spec", {}), given)
    open_api(ctx).create_project(project, upsert=upsert)
    click.echo(f"project '{metadata['name']}' created")


def set_spec(spec: Object, given: Mapping[str, Any]) -> None:
    """Put what was given into a spec. Raises CommandFailed."""
    if given["description"] is not None:
        spec["description"] = given["description"]
    if given["destinations"]:
        spec["destinations"] = [_destination(text) for text in given["destinations"]]
    for option, key in (("sources", "sourceRepos"), ("source_namespaces", "sourceNamespaces")):
        if given[option]:
            spec[key] = list(given[option])
    for option, key in (
        ("allow_cluster_resource", "clusterResourceWhitelist"),
        ("deny_cluster_resource", "clusterResourceBlacklist"),
        ("allow_namespaced_resource", "namespaceResourceWhitelist"),
        ("deny_namespaced_resource", "namespaceResourceBlacklist"),
    ):
        if given[option]:
            spec[key] = [_group_kind(text, f"--{option.replace('_', '-')}") for text in given[option]]
    if given["signature_keys"]:
        spec["signatureKeys"] = [{"keyID": key} for key in given["signature_keys"]]
    if given["orphaned_resources"] is False:
        spec.pop("orphanedResources", None)
    elif given["orphaned_resources"] or given["orphaned_resources_warn"] is not None:
        spec["orphanedResources"] = dict(spec.get("orphanedResources") or {})
    if given["orphaned_resources_warn"] is not None:
        spec.setdefault("orphanedResources", {})["warn"] = given["orphaned_resources_warn"]


def _destination(text: str) -> Object:
    server, comma, namespace = text.partition(",")
    if not comma:
        raise CommandFailed(f"Expected destination of the form: server,namespace. Received: {text}")
    named = "server" if "://" in server or server == "*" else "name"
    return {named: server.strip(), "namespace": namespace.strip()}


def _group_kind(text: str, option: str) -> Object:
    group, slash, name = text.partition("/")
    if not slash:
        raise CommandFailed(f"{option}: expected GROUP/KIND, but instead got: {text}")
    return {"group": group, "kind": name}


def _read(file: str) -> Object:
    import sys

    from tiphys.apimachinery.yamljson import YamlError, load_one

    try:
        found = load_one(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except OSError as error:
        raise CommandFailed(f"open {file}: {(error.strerror or '').lower()}") from error
    except YamlError as error:
        raise CommandFailed(f"{file}: {error}") from None
    if not isinstance(found, dict) or found.get("kind") not in (None, "AppProject"):
        raise CommandFailed(f"{file}: expected an AppProject")
    return found


@click.command("set", cls=Verb)
@click.argument("name", metavar="PROJECT", shell_complete=complete_projects)
@spec_options
@click.pass_context
def set_(ctx: click.Context, /, name: str, **given: Any) -> None:
    """Change parameters of a project; a list that is given replaces the one there is.

    \b
    Example:
      tiphys proj set shop --description 'The shop' -s https://github.com/your-org/k8s-manifests.git
    """
    from tiphys.cli.proj.changes import change_spec

    if not any(value is not None and value != () for value in given.values()):
        raise not_as_asked("Please set at least one option to update")
    change_spec(ctx, name, lambda spec: set_spec(spec, given))


@click.command("delete", cls=Verb)
@click.argument("names", metavar="PROJECT...", nargs=-1, required=True, shell_complete=complete_projects)
@click.pass_context
def delete(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Delete projects that have no Applications.

    \b
    Example:
      tiphys proj delete shop
    """
    api = open_api(ctx)
    for name in names:
        api.delete_project(name)
        click.echo(f"project '{name}' deleted")


@click.command("edit", cls=Verb)
@click.argument("name", metavar="PROJECT", shell_complete=complete_projects)
@click.pass_context
def edit(ctx: click.Context, name: str) -> None:
    """Change a project's spec in an editor: $KUBE_EDITOR, $EDITOR or vi.

    \b
    Example:
      EDITOR=nano tiphys proj edit default
    """
    from tiphys.apimachinery.yamljson import dump_yaml

    api = open_api(ctx)
    project = api.get_project(name)

    def save(spec: Object) -> None:
        try:
            api.update_project({**project, "spec": spec})
        except Unreachable:
            raise
        except ApiFailure as error:
            raise EditorError(error.message) from error

    changed = edit_until_saved(dump_yaml(project.get("spec") or {}), name, run_editor, save)
    click.echo(f"Project '{name}' updated successfully" if changed else "Edit cancelled, no changes made.")
