"""`tiphys cluster`: clusters that Applications may be deployed to."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tiphys.cli import ask
from tiphys.cli.arguments import Noun, flag
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import print_value, table
from tiphys.cli.session import USER_AGENT, open_api
from tiphys.client.clusters import ClustersApi

if TYPE_CHECKING:
    from tiphys.kube.config import ClusterConfig

T = TypeVar("T")
IN_CLUSTER = "https://kubernetes.default.svc"


@click.group("cluster", cls=Noun)
def cluster() -> None:
    """Manage clusters that Applications may be deployed to.

    \b
    Example:
      tiphys cluster add my-context --name staging
    """


def _api(ctx: click.Context) -> ClustersApi:
    return ClustersApi(open_api(ctx).transport)


@cluster.command("list")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|server")
@click.pass_context
def list_clusters(ctx: click.Context, output: str) -> None:
    """List clusters and whether they can be reached.

    \b
    Example:
      tiphys cluster list -o wide
    """
    found = _api(ctx).list_clusters()
    if output == "server":
        for one in found:
            click.echo(one.get("server", ""))
    elif output in ("wide", ""):
        rows = [("SERVER", "NAME", "VERSION", "STATUS", "MESSAGE", "PROJECT")]
        for one in found:
            state = one.get("connectionState") or {}
            namespaces = one.get("namespaces") or ()
            server = f"{one.get('server', '')} ({len(namespaces)} namespaces)" if namespaces else one.get("server", "")
            version, name = one.get("serverVersion", ""), one.get("name", "")
            rows.append(
                (server, name, version, state.get("status", ""), state.get("message", ""), one.get("project", ""))
            )
        click.echo(table(rows), nl=False)
    else:
        print_value(found, output)


@cluster.command("get")
@click.argument("names", metavar="SERVER/NAME", nargs=-1, required=True)
@click.option("-o", "--output", default="yaml", help="Output format. One of: json|yaml|wide|server")
@click.pass_context
def get_cluster(ctx: click.Context, names: tuple[str, ...], output: str) -> None:
    """Show clusters, by server or by name.

    \b
    Example:
      tiphys cluster get in-cluster -o wide
    """
    api = _api(ctx)
    found = [api.get_cluster(name) for name in names]
    if output == "server":
        for one in found:
            click.echo(one.get("server", ""))
    elif output in ("wide", ""):
        for one in found:
            _print_details(one)
    else:
        print_value(found[0] if len(found) == 1 else found, output)


def _print_details(one: dict[str, Any]) -> None:
    config = one.get("config") or {}
    tls = config.get("tlsClientConfig") or {}
    namespaces = one.get("namespaces") or ()
    version = (one.get("info") or {}).get("serverVersion", "")
    click.echo("Cluster information\n")
    click.echo(f"  Server URL:            {one.get('server', '')}")
    click.echo(f"  Server Name:           {one.get('name') or '-'}")
    click.echo(f"  Server Version:        {version}")
    click.echo(f"  Namespaces:        \t {', '.join(namespaces) if namespaces else '*'}")
    click.echo("\nTLS configuration\n")
    click.echo(f"  Client cert:           {_bool(tls.get('certData'))}")
    click.echo(f"  Cert validation:       {_bool(not tls.get('insecure'))}")
    click.echo("\nAuthentication\n")
    click.echo(f"  Basic authentication:  {_bool(config.get('username'))}")
    click.echo(f"  oAuth authentication:  {_bool(config.get('bearerToken'))}")
    click.echo(f"  AWS authentication:    {_bool(config.get('awsAuthConfig'))}")
    click.echo(f"\nDisable compression: {_bool(config.get('disableCompression'))}")
    click.echo(f"\nUse proxy: {_bool(config.get('proxyUrl'))}\n")


@cluster.command("add")
@click.argument("context")
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Kubeconfig. [default: $KUBECONFIG]")
@click.option("--name", default="", help="Name of the cluster. [default: the context's]")
@flag("--in-cluster", help="The cluster is the one Tiphys runs in.")
@click.option("--service-account", default="", help="Use this ServiceAccount instead of making argocd-manager.")
@click.option("--system-namespace", default="kube-system", show_default=True, help="Where the ServiceAccount is.")
@click.option("--namespace", "namespaces", multiple=True, help="Manage this namespace only; repeatable.")
@flag("--cluster-resources", help="With --namespace: manage cluster-scoped objects too.")
@click.option("--project", default="", help="Project the cluster belongs to.")
@click.option("--shard", type=int, default=-1, help="Shard number; -1 leaves it open.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the cluster; repeatable.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Annotation; repeatable.")
@click.option("--aws-cluster-name", default="", help="Name of an EKS cluster: authenticate with AWS IAM.")
@click.option("--aws-role-arn", default="", help="Role to assume for that.")
@click.option("--aws-profile", default="", help="AWS profile to use for that.")
@click.option("--exec-command", default="", help="Program that prints credentials.")
@click.option("--exec-command-args", multiple=True, help="Its argument; repeatable.")
@click.option("--exec-command-env", multiple=True, metavar="KEY=VALUE", help="Its environment; repeatable.")
@click.option("--exec-command-api-version", default="client.authentication.k8s.io/v1beta1", help="Its API version.")
@click.option("--exec-command-install-hint", default="", help="What to say when it is absent.")
@click.option("--proxy-url", default="", help="Proxy to reach the cluster through.")
@flag("--disable-compression", help="Do not ask the cluster for compressed answers.")
@flag("--upsert", help="Overwrite a cluster that is there already.")
@flag("--yes", "-y", help="Do not ask.")
@click.pass_context
def add_cluster(ctx: click.Context, /, context: str, **given: Any) -> None:
    """Add a context of the kubeconfig to the clusters.

    Makes a ServiceAccount `argocd-manager` with all rights in that cluster, and keeps its token.

    \b
    Examples:
      tiphys cluster add staging --yes
      tiphys cluster add eks --aws-cluster-name prod --aws-role-arn arn:aws:iam::123456789012:role/deploy
    """
    api = _api(ctx)
    source = _context(context, given["kubeconfig"])
    config = _credentials_given(given)
    if not config:
        token = _account_token(source, context, given)
        config = {"bearerToken": token}
    tls: dict[str, Any] = {"insecure": source.tls.insecure}
    if source.tls.server_name:
        tls["serverName"] = source.tls.server_name
    if source.tls.ca:
        tls["caData"] = base64.b64encode(source.tls.ca).decode()
    config["tlsClientConfig"] = tls
    if given["disable_compression"]:
        config["disableCompression"] = True
    if proxy := given["proxy_url"] or source.proxy:
        config["proxyUrl"] = proxy
    body: dict[str, Any] = {
        "server": IN_CLUSTER if given["in_cluster"] else source.server,
        "name": given["name"] or context,
        "config": config,
        "labels": _pairs(given["labels"], "--label"),
        "annotations": _pairs(given["annotations"], "--annotation"),
    }
    if given["namespaces"]:
        body |= {"namespaces": list(given["namespaces"]), "clusterResources": given["cluster_resources"]}
    if given["project"]:
        body["project"] = given["project"]
    if given["shard"] >= 0:
        body["shard"] = given["shard"]
    added = api.create_cluster(body, upsert=given["upsert"])
    click.echo(f"Cluster '{added.get('server', body['server'])}' added")


def _credentials_given(given: dict[str, Any]) -> dict[str, Any]:
    if given["aws_cluster_name"]:
        aws = {
            "clusterName": given["aws_cluster_name"],
            "roleARN": given["aws_role_arn"],
            "profile": given["aws_profile"],
        }
        return {"awsAuthConfig": {key: value for key, value in aws.items() if value}}
    if given["exec_command"]:
        return {
            "execProviderConfig": {
                "command": given["exec_command"],
                "args": list(given["exec_command_args"]),
                "env": _pairs(given["exec_command_env"], "--exec-command-env"),
                "apiVersion": given["exec_command_api_version"],
                "installHint": given["exec_command_install_hint"],
            }
        }
    return {}


def _account_token(source: ClusterConfig, context: str, given: dict[str, Any]) -> str:
    from tiphys.cli.clusterauth import install, token_of
    from tiphys.kube.client import KubeClient
    from tiphys.runtime.clock import SystemClock

    clock = SystemClock()
    where = given["system_namespace"]

    def say(text: str) -> None:
        click.echo(text, err=True)

    if not given["service_account"] and not given["yes"]:
        scope = "namespace" if given["namespaces"] else "cluster"
        question = (
            f"WARNING: This will create a service account `argocd-manager` on the cluster referenced by context "
            f"`{context}` with full {scope} level privileges. Do you want to continue [y/N]? "
        )
        if not ask.proceed(question):
            raise CommandFailed("the cluster was not added", hint="Give --yes to add it without being asked.")

    async def work() -> str:
        async with KubeClient(source, user_agent=USER_AGENT, clock=clock, env=os.environ) as client:
            if account := given["service_account"]:
                return (await token_of(client, account, where, clock=clock, say=say)).reveal()
            token = await install(client, namespace=where, namespaces=given["namespaces"], clock=clock, say=say)
            return token.reveal()

    return _run(work())


@cluster.command("rm")
@click.argument("names", metavar="SERVER/NAME", nargs=-1, required=True)
@flag("--yes", "-y", help="Do not ask.")
@click.pass_context
def remove_cluster(ctx: click.Context, names: tuple[str, ...], yes: bool) -> None:
    """Forget clusters; what is deployed there stays.

    \b
    Example:
      tiphys cluster rm staging --yes
    """
    api = _api(ctx)
    for name in names:
        question = (
            f"Are you sure you want to remove '{name}'? Any Apps deploying to this cluster will go to health status "
            "Unknown.[y/n] "
        )
        if not yes and not ask.proceed(question):
            click.echo(f"The command to remove '{name}' was cancelled")
            continue
        api.delete_cluster(name)
        click.echo(f"Cluster '{name}' removed")


@cluster.command("set")
@click.argument("name")
@click.option("--name", "new_name", default="", help="New name.")
@click.option("--namespace", "namespaces", multiple=True, help="Namespaces to manage; `*` for all; repeatable.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Labels; repeatable.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Annotations; repeatable.")
@click.pass_context
def set_cluster(
    ctx: click.Context,
    name: str,
    new_name: str,
    namespaces: tuple[str, ...],
    labels: tuple[str, ...],
    annotations: tuple[str, ...],
) -> None:
    """Change name, namespaces, labels or annotations of a cluster.

    \b
    Example:
      tiphys cluster set staging --label env=staging
    """
    api = _api(ctx)
    body: dict[str, Any] = {}
    if new_name:
        body["name"] = new_name
    if namespaces:
        body["namespaces"] = [] if "*" in namespaces else list(namespaces)
    if labels:
        body["labels"] = _pairs(labels, "--label")
    if annotations:
        body["annotations"] = _pairs(annotations, "--annotation")
    if not body:
        raise CommandFailed("Specify the cluster field to be updated.")
    api.update_cluster(name, body, sorted(body))
    click.echo(f"Cluster '{name}' updated.")


def _context(context: str, kubeconfig: str | None) -> ClusterConfig:
    from tiphys.kube.config import ClusterConfigError, read_kubeconfig

    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    paths = [Path(part) for part in named.split(os.pathsep) if part] or [Path.home() / ".kube" / "config"]
    try:
        return read_kubeconfig(paths, context=context)
    except ClusterConfigError as error:
        files = " ".join(f"--kubeconfig {path}" for path in paths[:1]) if kubeconfig else ""
        raise CommandFailed(
            str(error), hint=f"`kubectl config get-contexts {files}".rstrip() + "` lists the contexts there are."
        ) from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    from tiphys.apimachinery.apierrors import ApiError
    from tiphys.cli.clusterauth import TokenError
    from tiphys.kube.transport import ClusterUnreachable

    try:
        return asyncio.run(work)
    except (ApiError, ClusterUnreachable, TokenError) as error:
        raise CommandFailed(str(error)) from None


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise CommandFailed(f"{option} {text!r} is not KEY=VALUE")
        pairs[key] = value
    return pairs


def _bool(value: object) -> str:
    return "true" if value else "false"
