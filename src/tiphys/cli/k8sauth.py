"""`tiphys k8s-auth`: prints credentials for API servers, as an exec plugin does."""

from __future__ import annotations

import asyncio
import json
import os

import click

from tiphys.cli.arguments import Noun
from tiphys.cli.failure import CommandFailed

API_VERSION = "client.authentication.k8s.io/v1beta1"
WITHIN_S = 30.0


@click.group("k8s-auth", cls=Noun)
def k8s_auth() -> None:
    """Print credentials for a Kubernetes API server.

    \b
    Example:
      tiphys k8s-auth aws --cluster-name prod
    """


@k8s_auth.command("aws")
@click.option("--cluster-name", required=True, help="Name of the EKS cluster.")
@click.option("--role-arn", default="", help="Role to assume before.")
@click.option("--profile", default="", help="Not supported: credentials come from the environment.")
def aws(cluster_name: str, role_arn: str, profile: str) -> None:
    """Print a token for an EKS cluster as an ExecCredential.

    Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from AWS_WEB_IDENTITY_TOKEN_FILE and
    AWS_ROLE_ARN.

    \b
    Example:
      tiphys k8s-auth aws --cluster-name prod --role-arn arn:aws:iam::123456789012:role/deploy
    """
    from tiphys.kube.eks import AwsError, eks_token, exec_credential
    from tiphys.runtime.clock import SystemClock

    if profile:
        raise CommandFailed("AWS profiles are not supported: give credentials by environment variables")
    try:
        token, ends = asyncio.run(
            eks_token(cluster_name, env=os.environ, now=SystemClock().now(), fetch=_fetch, role=role_arn)
        )
    except AwsError as error:
        raise CommandFailed(str(error)) from None
    click.echo(json.dumps(exec_credential(token, ends, api_version=_asked_version())))


def _asked_version() -> str:
    try:
        info = json.loads(os.environ.get("KUBERNETES_EXEC_INFO") or "{}")
    except json.JSONDecodeError:
        return API_VERSION
    return str(info.get("apiVersion") or API_VERSION) if isinstance(info, dict) else API_VERSION


async def _fetch(url: str) -> tuple[int, bytes]:
    import aiohttp

    from tiphys.kube.eks import AwsError
    from tiphys.runtime.httpclient import Tls, build_session, describe_error

    try:
        async with (
            build_session(tls=Tls(), proxy=_proxy(), user_agent="tiphys-k8s-auth", timeout_s=WITHIN_S) as session,
            session.get(url, headers={"Accept": "application/xml"}) as answer,
        ):
            return answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise AwsError(f"STS is not reachable: {describe_error(error)}") from None


def _proxy() -> str | None:
    return os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY") or None
