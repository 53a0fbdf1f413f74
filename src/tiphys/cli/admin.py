"""`tiphys admin`: what reads the cluster Tiphys lives in, with the kubeconfig, instead of the API."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from pathlib import Path

import click

from tiphys.cli.arguments import Noun
from tiphys.cli.failure import CommandFailed

_SECRET = "argocd-initial-admin-secret"  # noqa: S105 - a name


@click.group("admin", cls=Noun)
def admin() -> None:
    """What needs the cluster instead of the API.

    \b
    Example:
      tiphys admin initial-password -n argocd
    """


@admin.command("initial-password")
@click.option("--kubeconfig", metavar="FILE", help="Kubeconfig of the cluster. [$KUBECONFIG, ~/.kube/config]")
@click.option("--context", help="Context of the kubeconfig.")
@click.option("-n", "--namespace", default="", help="Namespace of Tiphys. [default: the context's, else argocd]")
def initial_password(kubeconfig: str | None, context: str | None, namespace: str) -> None:
    """Print the password that admin had in the beginning.

    \b
    Example:
      tiphys admin initial-password -n argocd
    """
    click.echo(asyncio.run(_initial_password(kubeconfig, context, namespace)))
    click.echo(
        "\n This password must be only used for first time login. We strongly recommend you update the password using "
        "`argocd account update-password`."
    )


async def _initial_password(kubeconfig: str | None, context: str | None, namespace: str) -> str:
    from tiphys.apimachinery.apierrors import ApiError, NotFound
    from tiphys.kube.client import ApiResource, KubeClient
    from tiphys.kube.config import ClusterConfigError, read_kubeconfig
    from tiphys.kube.transport import ClusterUnreachable

    named = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    try:
        config = read_kubeconfig([path for path in named.split(os.pathsep) if path], context=context)
        where = namespace or config.namespace or "argocd"
        async with KubeClient(config, user_agent="tiphys-cli", env=dict(os.environ)) as client:
            secret = await client.get(ApiResource("", "v1", "Secret", "secrets", True), _SECRET, where)
    except NotFound as error:
        raise CommandFailed(
            str(error), hint="It is deleted once the password was changed, as the guide says; log in with the new one."
        ) from error
    except (ApiError, ClusterUnreachable, ClusterConfigError) as error:
        raise CommandFailed(str(error)) from error
    try:
        return base64.b64decode((secret.get("data") or {})["password"]).decode()
    except (KeyError, binascii.Error, UnicodeDecodeError):
        raise CommandFailed(f"Secret {where}/{_SECRET} has no readable password") from None
