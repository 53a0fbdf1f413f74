"""`tiphys app create`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tiphys.cli.app.naming import split_name
from tiphys.cli.app.sourceflags import pairs, set_spec, source_options
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.session import open_api
from tiphys.client.api import Api
from tiphys.client.errors import NOT_FOUND, PERMISSION_DENIED, ApiFailure

API_VERSION, KIND = "argoproj.io/v1alpha1", "Application"
FINALIZER = "resources-finalizer.argocd.argoproj.io"

Object = dict[str, Any]


@click.command("create", cls=Verb)
@click.argument("name", metavar="[APPNAME]", required=False)
@click.option("-f", "--file", "file", help="File (or - for standard input) with Applications; options change them.")
@click.option("--name", "named", help="Name of the application; the argument does the same.")
@flag("--upsert", help="Change an application that is there already.")
@flag("--validate", default=True, help="Let the server check repository, path and destination.")
@flag("--set-finalizer", help="Deleting the application deletes its resources too.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label; repeatable.")
@click.option("--annotations", multiple=True, metavar="KEY=VALUE", help="Annotation; repeatable.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@source_options
@click.pass_context
def create(
    ctx: click.Context,
    /,
    name: str | None,
    file: str | None,
    named: str | None,
    upsert: bool,
    validate: bool,
    set_finalizer: bool,
    labels: tuple[str, ...],
    annotations: tuple[str, ...],
    app_namespace: str | None,
    **given: Any,
) -> None:
    """Create an application.

    \b
    Examples:
      tiphys app create my-app --repo https://github.com/your-org/k8s-manifests.git --path apps/my-app \\
        --dest-server https://kubernetes.default.svc --dest-namespace default \\
        --sync-policy automated --auto-prune --self-heal
      tiphys app create my-chart --repo https://charts.example.com --helm-chart web --revision 1.2.3 \\
        --dest-server https://kubernetes.default.svc --dest-namespace web --helm-set replicas=2
      tiphys app create -f my-app.yaml --upsert
    """
    if name and named and name != named:
        raise not_as_asked(f"--name argument '{named}' does not match app name {name}")
    asked = name or named or ""
    if not asked and not file:
        raise click.UsageError("create needs the name of an application, or --file", ctx)
    apps = _read(file) if file else [{}]
    if asked and len(apps) > 1:
        raise not_as_asked("the file has several applications: a name or options cannot be given for all of them")
    for app in apps:
        _complete(app, asked, app_namespace)
        metadata = app["metadata"]
        if labels:
            metadata["labels"] = {**(metadata.get("labels") or {}), **dict(pairs(labels, "--label"))}
        if annotations:
            metadata["annotations"] = {
                **(metadata.get("annotations") or {}),
                **dict(pairs(annotations, "--annotations")),
            }
        if set_finalizer and FINALIZER not in (metadata.get("finalizers") or ()):
            metadata["finalizers"] = [*(metadata.get("finalizers") or ()), FINALIZER]
        set_spec(app["spec"], given)
    api = open_api(ctx)
    for app in apps:
        _create(api, app, upsert=upsert, validate=validate)


def _create(api: Api, app: Object, *, upsert: bool, validate: bool) -> None:
    name, namespace = app["metadata"]["name"], app["metadata"].get("namespace") or ""
    before: Object | None = None
    try:
        before = api.get_application(name, namespace)
    except ApiFailure as error:
        if error.code not in (NOT_FOUND, PERMISSION_DENIED):  # what is not there is "permission denied"
            raise
    created = api.create_application(app, upsert=upsert, validate=validate)
    if before is None:
        done = "created"
    elif _version(before) == _version(created):
        done = "unchanged"
    else:
        done = "updated"
    click.echo(f"application '{name}' {done}")


def _version(app: Object) -> object:
    """What changes when a create changed something; not the resourceVersion, which status changes too."""
    metadata = app.get("metadata") or {}
    return [app.get("spec"), *(metadata.get(key) for key in ("labels", "annotations", "finalizers"))]


def _complete(app: Object, name: str, namespace: str | None) -> None:
    app.setdefault("apiVersion", API_VERSION)
    app.setdefault("kind", KIND)
    metadata = app["metadata"] = dict(app.get("metadata") or {})
    app["spec"] = dict(app.get("spec") or {})
    if name:
        plain, in_name = split_name(name, namespace)
        written = metadata.get("name")
        if written and written != plain:
            raise not_as_asked(f"app name '{plain}' does not match app spec metadata.name '{written}'")
        metadata["name"] = plain
        if in_name:
            metadata["namespace"] = in_name
    elif namespace:
        metadata["namespace"] = namespace
    if not metadata.get("name"):
        raise not_as_asked("app name is required: give it as an argument or in the file")


def _read(file: str) -> list[Object]:
    from tiphys.apimachinery.yamljson import YamlError, load_all

    if file.startswith(("http://", "https://")):
        raise CommandFailed("--file takes a path or -, not a URL")
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        documents = load_all(text)
    except OSError as error:
        raise CommandFailed(f"open {file}: {(error.strerror or '').lower()}") from error
    except YamlError as error:
        raise CommandFailed(f"{file}: {error}") from None
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != KIND:
            found = document.get("kind") if isinstance(document, dict) else type(document).__name__
            raise CommandFailed(f"{file}: expected an Application, but found {found or 'something without a kind'}")
    if not documents:
        raise CommandFailed(f"{file}: there is no Application in it")
    for document in documents:
        _warn_of_unknown(document)
    return documents


def _warn_of_unknown(app: Object) -> None:
    """Name what no Application has, as kubectl does; a wrong type is for the server to refuse."""
    from tiphys.model.application import Application
    from tiphys.model.codec import InvalidObject, decode, unknown_fields

    try:
        unknown = unknown_fields(decode(Application, app))
    except InvalidObject:
        return
    for path in unknown:
        click.echo(f'Warning: unknown field "{path}"', err=True)
