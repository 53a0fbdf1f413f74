"""Rules of EKS tokens."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tiphys.kube.eks import AwsCredentials, AwsError, eks_token, presigned_url, token_for
from tiphys.runtime.secret import Secret

KEY_ID, KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
ASSUMED = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>very-secret</SecretAccessKey><SessionToken>s/t+=</SessionToken>
</Credentials></AssumeRoleResult></AssumeRoleResponse>"""


async def nobody(url: str) -> tuple[int, bytes]:
    raise AssertionError(f"nothing is fetched: {url}")


def decoded(token: Secret) -> dict[str, str]:
    text = token.reveal()
    assert text.startswith("k8s-aws-v1.")
    assert "=" not in text
    raw = text.removeprefix("k8s-aws-v1.")
    url = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode()
    return {"url": url} | {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_presigned_url_is_the_one_of_the_published_example() -> None:
    """The example of "Authenticating Requests: Using Query Parameters" in Amazon S3's API reference."""
    url = presigned_url(
        "examplebucket.s3.amazonaws.com",
        {},
        AwsCredentials(KEY_ID, Secret(KEY)),
        service="s3",
        region="us-east-1",
        now=NOW,
        path="/test.txt",
        expires_s=86400,
        payload_hash="UNSIGNED-PAYLOAD",
    )
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_a_token_names_its_cluster_in_a_signed_header() -> None:
    token = token_for("prod", AwsCredentials(KEY_ID, Secret(KEY)), region="eu-west-1", now=NOW)
    found = decoded(token)
    assert found["url"].startswith("https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&")
    assert found["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert found["X-Amz-Expires"] == "60"
    other = decoded(token_for("test", AwsCredentials(KEY_ID, Secret(KEY)), region="eu-west-1", now=NOW))
    assert other["X-Amz-Signature"] != found["X-Amz-Signature"]


async def test_keys_of_the_environment_need_nobody_else() -> None:
    env = {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_SESSION_TOKEN": "t",
        "AWS_REGION": "eu-west-1",
    }
    token, ends = await eks_token("prod", env=env, now=NOW, fetch=nobody)
    assert decoded(token)["X-Amz-Security-Token"] == "t"
    assert (ends - NOW).total_seconds() == 14 * 60


async def test_a_web_identity_token_is_exchanged_and_a_role_assumed_with_what_it_gives(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("jwt\n")
    asked: list[dict[str, str]] = []

    async def sts(url: str) -> tuple[int, bytes]:
        asked.append({name: values[0] for name, values in parse_qs(urlsplit(url).query).items()})
        return 200, ASSUMED

    env = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": "arn:pod"}
    token, _ends = await eks_token("prod", env=env, now=NOW, fetch=sts, role="arn:deploy")
    assert [(one["Action"], one["RoleArn"]) for one in asked] == [
        ("AssumeRoleWithWebIdentity", "arn:pod"),
        ("AssumeRole", "arn:deploy"),
    ]
    assert asked[0]["WebIdentityToken"] == "jwt"
    assert decoded(token)["X-Amz-Security-Token"] == "s/t+="


async def test_a_refused_role_is_told_without_credentials() -> None:
    async def sts(url: str) -> tuple[int, bytes]:
        return 403, b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"

    env = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": KEY}
    with pytest.raises(AwsError, match="role arn:deploy cannot be assumed: STS answered 403: not you") as caught:
        await eks_token("prod", env=env, now=NOW, fetch=sts, role="arn:deploy")
    assert KEY not in str(caught.value)


async def test_without_credentials_it_is_said_what_to_set() -> None:
    with pytest.raises(AwsError, match="AWS_ACCESS_KEY_ID"):
        await eks_token("prod", env={}, now=NOW, fetch=nobody)
