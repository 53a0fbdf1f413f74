"""Tokens for EKS clusters: a presigned request of AWS STS, which the cluster's API server sends on to learn who we are.

Credentials come from the environment, or for a web identity token (IRSA) from STS itself; a role may be assumed with
them. All signing is AWS Signature Version 4.

Source: AWS "Signature Version 4 signing process"; compat 9 "awsAuthConfig"; aws-iam-authenticator's token form.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

from tiphys.runtime.secret import Secret

TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105 - what every token begins with
TOKEN_LIFE = timedelta(minutes=15)
URL_LIFE_S = 60
SESSION_NAME = "tiphys"
_ALGORITHM = "AWS4-HMAC-SHA256"

# Sends a GET to a URL; the status and the body.
Fetch = Callable[[str], Awaitable[tuple[int, bytes]]]


class AwsError(Exception):
    """No token could be had; the message holds no credential."""


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Of a user or of an assumed role, which has a session token too."""

    key_id: str
    key: Secret
    session: Secret | None = None


async def eks_token(
    cluster: str, *, env: Mapping[str, str], now: datetime, fetch: Fetch, role: str = ""
) -> tuple[Secret, datetime]:
    """A bearer token for an EKS cluster, and when it ends. Raises AwsError."""
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    credentials = await credentials_of(env, now=now, fetch=fetch, region=region)
    if role:
        credentials = await assume_role(credentials, role, region=region, now=now, fetch=fetch)
    return token_for(cluster, credentials, region=region, now=now), now + TOKEN_LIFE - timedelta(minutes=1)


def token_for(cluster: str, credentials: AwsCredentials, *, region: str, now: datetime) -> Secret:
    """The token: a presigned GetCallerIdentity that names the cluster, in base64 without padding."""
    url = presigned_url(
        f"sts.{region}.amazonaws.com",
        {"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        credentials,
        service="sts",
        region=region,
        now=now,
        headers={"x-k8s-aws-id": cluster},
        expires_s=URL_LIFE_S,
    )
    return Secret(TOKEN_PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("="))


def presigned_url(
    host: str,
    query: Mapping[str, str],
    credentials: AwsCredentials,
    *,
    service: str,
    region: str,
    now: datetime,
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    expires_s: int | None = None,
    payload_hash: str = hashlib.sha256(b"").hexdigest(),
) -> str:
    """A GET with its signature in the query. `headers` are signed and must be sent with it."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signed = {"host": host, **{name.lower(): value.strip() for name, value in (headers or {}).items()}}
    names = ";".join(sorted(signed))
    full = {
        **query,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-SignedHeaders": names,
    }
    if expires_s is not None:
        full["X-Amz-Expires"] = str(expires_s)
    if credentials.session is not None:
        full["X-Amz-Security-Token"] = credentials.session.reveal()
    text = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(full.items()))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = f"GET\n{path}\n{text}\n{lines}\n{names}\n{payload_hash}"
    to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = ("AWS4" + credentials.key.reveal()).encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        key = _hmac(key, part)
    return f"https://{host}{path}?{text}&X-Amz-Signature={_hmac(key, to_sign).hex()}"


async def credentials_of(env: Mapping[str, str], *, now: datetime, fetch: Fetch, region: str) -> AwsCredentials:
    """Credentials of the environment: keys, or a web identity token with its role. Raises AwsError."""
    key_id, key = env.get("AWS_ACCESS_KEY_ID", ""), env.get("AWS_SECRET_ACCESS_KEY", "")
    if key_id and key:
        session = env.get("AWS_SESSION_TOKEN", "")
        return AwsCredentials(key_id, Secret(key), Secret(session) if session else None)
    path, role = env.get("AWS_WEB_IDENTITY_TOKEN_FILE", ""), env.get("AWS_ROLE_ARN", "")
    if not path or not role:
        raise AwsError(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_WEB_IDENTITY_TOKEN_FILE and "
            "AWS_ROLE_ARN"
        )
    query = {
        "Action": "AssumeRoleWithWebIdentity",
        "RoleArn": role,
        "RoleSessionName": env.get("AWS_ROLE_SESSION_NAME") or SESSION_NAME,
        "Version": "2011-06-15",
        "WebIdentityToken": _read_token(path),
    }
    text = "&".join(f"{name}={_quoted(value)}" for name, value in query.items())
    return _read_credentials(await fetch(f"https://sts.{region}.amazonaws.com/?{text}"), role)


async def assume_role(
    credentials: AwsCredentials, role: str, *, region: str, now: datetime, fetch: Fetch
) -> AwsCredentials:
    """Credentials of a role that these may assume. Raises AwsError."""
    url = presigned_url(
        f"sts.{region}.amazonaws.com",
        {"Action": "AssumeRole", "RoleArn": role, "RoleSessionName": SESSION_NAME, "Version": "2011-06-15"},
        credentials,
        service="sts",
        region=region,
        now=now,
        expires_s=URL_LIFE_S,
    )
    return _read_credentials(await fetch(url), role)


def exec_credential(token: Secret, ends: datetime, *, api_version: str) -> dict[str, object]:
    """What an exec plugin prints."""
    status = {"token": token.reveal(), "expirationTimestamp": ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"apiVersion": api_version, "kind": "ExecCredential", "spec": {"interactive": False}, "status": status}


def _read_token(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise AwsError(f"web identity token file {path} cannot be read: {error.strerror}") from None


def _read_credentials(answer: tuple[int, bytes], role: str) -> AwsCredentials:
    status, body = answer
    try:
        # STS answers over TLS; entities are not expanded by expat's default limits, and the document is small.
        root = ET.fromstring(body[:262144])  # noqa: S314
    except ET.ParseError:
        raise AwsError(f"STS answered {status} and no XML") from None
    found = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    if status != 200 or not found.get("AccessKeyId"):
        why = found.get("Message") or found.get("Code") or "no credentials in its answer"
        raise AwsError(f"role {role} cannot be assumed: STS answered {status}: {why}")
    session = found.get("SessionToken", "")
    return AwsCredentials(
        found["AccessKeyId"], Secret(found.get("SecretAccessKey", "")), Secret(session) if session else None
    )


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
