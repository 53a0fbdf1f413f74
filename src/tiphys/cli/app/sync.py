"""`tiphys app sync` and `terminate-op`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from tiphys.cli import ask
from tiphys.cli.app import show
from tiphys.cli.app.follow import Outcome, Wanted, check_form, wait_for
from tiphys.cli.app.manifests import NO_LOCAL, positions_of
from tiphys.cli.app.naming import includes, parse_resources, split_name
from tiphys.cli.app.progress import board_for
from tiphys.cli.app.several import Target, targets, wait_all
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_apps, complete_projects
from tiphys.cli.explain import advice
from tiphys.cli.failure import PRUNING_REQUIRED, SYNC_FAILED, CommandFailed, not_as_asked
from tiphys.cli.session import open_api
from tiphys.client.api import Api


@dataclass(frozen=True, slots=True)
class SyncFlags:
    """What the options say about the operation itself."""

    revision: str
    revisions: tuple[str, ...]
    source_positions: tuple[int, ...]
    source_names: tuple[str, ...]
    prune: bool
    dry_run: bool
    force: bool
    replace: bool
    server_side: bool
    apply_out_of_sync_only: bool
    strategy: str
    infos: tuple[str, ...]
    retry_limit: int
    retry_backoff_duration: str
    retry_backoff_max_duration: str
    retry_backoff_factor: int
    retry_refresh: bool


@click.command("sync", cls=Verb)
@click.argument("names", metavar="[APPNAME...]", nargs=-1, shell_complete=complete_apps)
@flag("--dry-run", help="Try it without changing the cluster.")
@flag("--prune", help="Delete resources that are no longer in Git.")
@click.option("--revision", default="", help="Sync to this revision.")
@click.option("--revisions", multiple=True, help="Revision of a source; repeatable, with --source-positions or -names.")
@click.option("--source-positions", type=int, multiple=True, help="Position of that source, from 1; repeatable.")
@click.option("--source-names", multiple=True, help="Name of that source; repeatable.")
@click.option("--resource", "resources", multiple=True, help="Sync only [!]GROUP:KIND:[NAMESPACE/]NAME; repeatable.")
@click.option("-l", "--selector", default="", help="Sync applications with these labels.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    shell_complete=complete_projects,
    help="Sync applications of this project; repeatable.",
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Sync only resources with this label.")
@click.option("--timeout", type=int, default=0, help="Give up waiting after this many seconds; 0 never does.")
@click.option("--retry-limit", type=int, default=0, help="How often a failed sync is tried again.")
@click.option("--retry-backoff-duration", default="5s", show_default=True, help="First wait between retries.")
@click.option("--retry-backoff-max-duration", default="3m0s", show_default=True, help="Longest wait between retries.")
@click.option("--retry-backoff-factor", type=int, default=2, show_default=True, help="What each wait grows by.")
@flag("--retry-refresh", help="Retries take the newest revision.")
@click.option("--strategy", default="", help="Sync strategy (one of: apply|hook).")
@flag("--force", help="Delete and create again what cannot be changed.")
@flag("--replace", help="Replace instead of apply.")
@flag("--server-side", help="Use server-side apply.")
@flag("--apply-out-of-sync-only", help="Leave resources alone that are in sync.")
@flag("--async", "in_background", help="Do not wait for the sync to end.")
@click.option("--info", "infos", multiple=True, metavar="KEY=VALUE", help="Note kept with the operation; repeatable.")
@flag("--assumeYes", "assume_yes", help="Do not ask.")
@flag("--preview-changes", help="Show what would change, and ask before it is done.")
@click.option("--local", help="Not supported: the server renders from Git.")
@click.option("--local-repo-root", hidden=True)
@click.option("--server-side-diff-concurrency", type=int, hidden=True, expose_value=False)
@click.option("--server-side-diff-max-batch-kb", type=int, hidden=True, expose_value=False)
@click.option("--ignore-normalizer-jq-execution-timeout", hidden=True, expose_value=False)
@click.option("-N", "--app-namespace", default="", help="Namespace of the applications.")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|tree|tree=detailed")
@click.pass_context
def sync(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    resources: tuple[str, ...],
    selector: str,
    projects: tuple[str, ...],
    labels: tuple[str, ...],
    timeout: int,
    in_background: bool,
    assume_yes: bool,
    preview_changes: bool,
    local: str | None,
    local_repo_root: str | None,
    app_namespace: str,
    output: str,
    **options: Any,
) -> None:
    """Make the cluster equal to what Git declares, and tell what happens until it is done.

    \b
    Examples:
      tiphys app sync my-app
      tiphys app sync my-app --prune --timeout 300
      tiphys app sync my-app --resource apps:Deployment:my-app
      tiphys app sync my-app --preview-changes
      tiphys app sync -l team=shop --async
    """
    check_form(output)
    if local or local_repo_root:
        raise CommandFailed(NO_LOCAL)
    if not names and not selector and not projects:
        raise click.UsageError("sync needs the name of an application, --selector or --project", ctx)
    if len(names) > 1 and selector:
        raise not_as_asked("Cannot use selector option when application name(s) passed as argument(s)")
    flags = SyncFlags(**options)
    if flags.strategy not in ("", "apply", "hook"):
        raise not_as_asked(f"Unknown sync strategy: '{flags.strategy}'")
    api = open_api(ctx)
    found = []
    selected: dict[Target, list[dict[str, Any]]] = {}
    for target in targets(api, names, app_namespace, selector=selector, projects=projects):
        name, namespace = target
        app = api.get_application(name, namespace)
        wanted = [*parse_resources(resources), *_labelled(api, name, namespace, labels)]
        chosen = _chosen(app, wanted)
        if wanted and not chosen:
            raise not_as_asked(f"No matching app resources found for resource filter: {', '.join(resources)}")
        if preview_changes and not _agreed(ctx, api, name, namespace, flags, assume_yes=assume_yes):
            continue
        api.sync_application(name, namespace, sync_request(app, flags, chosen))
        selected[target] = wanted
        found.append(target)
    if in_background or not found:
        return
    board = board_for(ctx, output)

    def wait_one(own: Api, name: str, namespace: str) -> None:
        resources = selected[(name, namespace)]
        outcome = wait_for(
            own, name, namespace, Wanted(operation=True), board, timeout_s=timeout, form=output, selected=resources
        )
        if not flags.dry_run:
            _check(outcome, everything=not resources)

    wait_all(api, board, found, wait_one)


def _agreed(ctx: click.Context, api: Api, name: str, namespace: str, flags: SyncFlags, *, assume_yes: bool) -> bool:
    """Show what would change, and ask. Without differences there is nothing to ask."""
    from tiphys.cli.app.diff import differences, print_changes

    found = differences(
        api,
        name,
        namespace,
        revision=flags.revision,
        revisions=flags.revisions,
        source_positions=flags.source_positions,
        source_names=flags.source_names,
    )
    if not found:
        click.echo("====== No Differences found ======")
        return True
    print_changes(ctx, found)
    if assume_yes:
        return True
    question = f"Do you want to continue the sync process of application '{name}'? (y/n): "
    if ask.proceed(question):
        return True
    click.echo(f"The sync of '{name}' was cancelled.", err=True)
    return False


def sync_request(app: show.Object, flags: SyncFlags, resources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The body of the request. Raises CommandFailed for options that do not fit the application."""
    several = bool(show.field(app, "spec", "sources"))
    if several and flags.revision:
        raise not_as_asked("argocd cli does not work on multi-source app with --revision flag")
    force = {"force": True} if flags.force else {}
    body: dict[str, Any] = {
        "revision": flags.revision,
        "dryRun": flags.dry_run,
        "prune": flags.prune,
        "strategy": {"apply": force} if flags.strategy == "apply" else {"hook": force},
    }
    if resources:
        body["resources"] = list(resources)
    if flags.revisions:
        body["revisions"] = list(flags.revisions)
        body["sourcePositions"] = positions_of(app, flags.revisions, flags.source_positions, flags.source_names)
    wanted = {
        "Replace=true": flags.replace,
        "ServerSideApply=true": flags.server_side,
        "ApplyOutOfSyncOnly=true": flags.apply_out_of_sync_only,
    }
    items = [option for option, is_wanted in wanted.items() if is_wanted]
    if items:
        body["syncOptions"] = {"items": items}
    if flags.infos:
        body["infos"] = [{"name": key, "value": value} for key, value in _pairs(flags.infos, "info")]
    if flags.retry_limit:
        body["retryStrategy"] = {
            "limit": flags.retry_limit,
            "backoff": {
                "duration": flags.retry_backoff_duration,
                "maxDuration": flags.retry_backoff_max_duration,
                "factor": flags.retry_backoff_factor,
            },
            **({"refresh": True} if flags.retry_refresh else {}),
        }
    return body


def _labelled(api: Api, name: str, namespace: str, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Resources that Git declares with all of the labels."""
    if not labels:
        return []
    wanted = dict(_pairs(labels, "label"))
    found = []
    for item in api.managed_resources(name, namespace):
        target = json.loads(item.get("targetState") or "null") or {}
        carried = show.field(target, "metadata", "labels") or {}
        if all(carried.get(key) == value for key, value in wanted.items()):
            found.append({key: item.get(key, "") for key in ("group", "kind", "namespace", "name")})
    if not found:
        raise not_as_asked(f"No matching resources found for labels: [{' '.join(labels)}]")
    return found


def _chosen(app: show.Object, wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the application's resources those that are wanted, each by its full name."""
    if not wanted:
        return []
    fields = ("group", "kind", "name", "namespace")
    return [
        {field: item.get(field) for field in fields if item.get(field)}
        for item in show.field(app, "status", "resources") or ()
        if includes(wanted, item)
    ]


def _check(outcome: Outcome, *, everything: bool) -> None:
    state = outcome.operation or {}
    if state.get("phase") != "Succeeded":
        message = str(state.get("message") or "")
        name = show.text(outcome.app or {}, "metadata", "name")
        raise not_as_asked(
            f"Operation has completed with phase: {state.get('phase') or 'unknown'}",
            hint="\n".join(text for text in (message, advice(message, name)) if text),
            extended=SYNC_FAILED,
        )
    if everything and show.text(outcome.app or {}, "status", "sync", "status") != "Synced":
        results = show.field(state, "syncResult", "resources") or ()
        skipped = sum(1 for result in results if result.get("status") == "PruneSkipped")
        if skipped:
            raise not_as_asked(
                f"{skipped} resources require pruning", hint="Give --prune to delete them.", extended=PRUNING_REQUIRED
            )


def _pairs(texts: Sequence[str], what: str) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandFailed(f"--{what} {text!r} is not of the form KEY=VALUE")
        found.append((key, value))
    return found


@click.command("terminate-op", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def terminate_op(ctx: click.Context, name: str, app_namespace: str | None) -> None:
    """End the running operation of an application; what it has done stays.

    \b
    Example:
      tiphys app terminate-op my-app
    """
    app_name, namespace = split_name(name, app_namespace)
    open_api(ctx).terminate_operation(app_name, namespace)
    click.echo(f"Application '{app_name}' operation terminating")
