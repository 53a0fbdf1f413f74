"""POST /api/webhook: what Git servers say of pushes -> a look at the repositories concerned, at once.

A webhook is a hint and nothing else: who may send one can make us fetch, never deploy anything but what is in Git. So it
needs no session; its sender proves itself with the secret that `argocd-secret` has for it, if there is one. Answers are given
before anything is fetched, and any number of pushes during a fetch is followed by one more.

Source: compat 8.5.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from tiphys.engine.source.pushes import Push, make_push
from tiphys.runtime.secret import Secret
from tiphys.server.context import Context
from tiphys.server.errors import PlainError
from tiphys.server.http import Response

MEBIBYTE = 1024 * 1024
# Above this, checking and parsing would hold up the event loop.
_LARGE_BYTES = MEBIBYTE // 4
_NO_SECRET = Secret("")

Headers = Mapping[str, str]
Secrets = Mapping[str, Secret]
Payload = Mapping[str, Any]


class _Refused(Exception):
    """What the sender is told after `Webhook processing failed: `."""


class _Unparsable(Exception):
    """The payload is too large, or not the JSON it should be."""


_EVENT_NOT_FOUND = "event not defined to be parsed"
_HMAC_FAILED = "HMAC verification failed"


async def receive(context: Context) -> Response:
    """POST /api/webhook. 200 also for what concerns nobody here; 400 for what is not understood or not proven."""
    settings = context.services.settings()
    limit_mb = settings.webhook_max_payload_mb or 50
    try:
        try:
            body = await context.request.body(limit_mb * MEBIBYTE)
        except PlainError as error:
            raise _Unparsable from error
        push = await read_push(context.request.headers, body, settings.webhook_secrets)
    except _Unparsable:
        raise PlainError(
            400,
            "Webhook processing failed: The payload is either too large or corrupted. Please check the payload size "
            f"(must be under {limit_mb} MB) and ensure it is valid JSON",
        ) from None
    except _Refused as refused:
        raise PlainError(400, str(refused)) from None
    pushed = context.services.pushed
    if push is not None and pushed is not None:
        looked = pushed(push)
        context.services.log.info(
            "a push was announced", repositories=", ".join(sorted(push.addresses)), followed=looked
        )
    return Response(b"", content_type="text/plain; charset=utf-8")


async def read_push(headers: Headers, body: bytes, secrets: Secrets) -> Push | None:
    """The push a webhook tells of; None when it tells of something else that is well known. `headers` by lower-case name.

    Raises _Refused and _Unparsable.
    """
    read = next((provider for header, provider in _PROVIDERS if header in headers), None)
    if read is None:
        raise _Refused("Unknown webhook event")
    try:
        if len(body) > _LARGE_BYTES:
            return await asyncio.to_thread(read, headers, body, secrets)
        return read(headers, body, secrets)
    except _Refused as refused:
        raise _Refused(f"Webhook processing failed: {refused}") from None


def _github(headers: Headers, body: bytes, secrets: Secrets) -> Push | None:
    event = headers["x-github-event"]
    if event not in ("push", "ping", "package"):
        raise _Refused(_EVENT_NOT_FOUND)
    _check_hub_signature(headers, body, secrets.get("github", _NO_SECRET), sha1=True)
    payload = _parsed(body)
    if event != "push":
        return None
    return _of_repository(payload, _at(payload, "repository"), ("html_url", "clone_url", "ssh_url"))


def _gogs(headers: Headers, body: bytes, secrets: Secrets) -> Push | None:
    if headers["x-gogs-event"] != "push":
        raise _Refused(_EVENT_NOT_FOUND)
    secret = secrets.get("gogs", _NO_SECRET)
    if secret:
        given = headers.get("x-gogs-signature", "")
        if not given:
            raise _Refused("missing X-Gogs-Signature Header")
        _check_hmac(given, body, secret, hashlib.sha256)
    payload = _parsed(body)
    return _of_repository(payload, _at(payload, "repository"), ("html_url", "clone_url", "ssh_url"))


def _gitlab(headers: Headers, body: bytes, secrets: Secrets) -> Push | None:
    secret = secrets.get("gitlab", _NO_SECRET)
    if secret and not _equal(headers.get("x-gitlab-token", ""), secret.reveal()):
        raise _Refused("X-Gitlab-Token validation failed")
    if headers["x-gitlab-event"] not in ("Push Hook", "Tag Push Hook", "System Hook"):
        raise _Refused(_EVENT_NOT_FOUND)
    payload = _parsed(body)
    if _text(payload, "event_name") not in ("", "push", "tag_push"):
        return None  # another event of the whole system
    urls = ("web_url", "git_http_url", "git_ssh_url", "http_url", "ssh_url")
    return _of_repository(payload, _at(payload, "project"), urls)


def _bitbucket(headers: Headers, body: bytes, secrets: Secrets) -> Push | None:
    secret = secrets.get("bitbucket", _NO_SECRET)
    if secret and not _equal(headers["x-hook-uuid"], secret.reveal()):
        raise _Refused("UUID verification failed")
    if headers.get("x-event-key", "") != "repo:push":
        raise _Refused(_EVENT_NOT_FOUND)
    payload = _parsed(body)
    refs = []
    for change in _list(payload, "push", "changes"):
        for side in ("new", "old"):
            kind, name = _text(change, side, "type"), _text(change, side, "name")
            if name:
                refs.append(f"refs/{'tags' if kind == 'tag' else 'heads'}/{name}")
    url = _text(payload, "repository", "links", "html", "href")
    return make_push([url], refs, _text(payload, "repository", "mainbranch", "name"))


def _bitbucket_server(headers: Headers, body: bytes, secrets: Secrets) -> Push | None:
    event = headers["x-event-key"]
    if event == "diagnostics:ping":
        return None
    if event != "repo:refs_changed":
        raise _Refused(_EVENT_NOT_FOUND)
    _check_hub_signature(headers, body, secrets.get("bitbucketserver", _NO_SECRET), sha1=False)
    payload = _parsed(body)
    urls = [_text(link, "href") for link in _list(payload, "repository", "links", "clone")]
    refs = [_text(change, "ref", "id") for change in _list(payload, "changes")]
    return make_push(urls, list(filter(None, refs)))


def _azure(headers: Headers, body: bytes, secrets: Secrets) -> Push | None:
    user, password = secrets.get("azuredevops.username", _NO_SECRET), secrets.get("azuredevops.password", _NO_SECRET)
    if user or password:
        wanted = f"{user.reveal()}:{password.reveal()}"
        if not _equal(_basic(headers.get("authorization", "")), wanted):
            raise _Refused("basic auth verification failed")
    payload = _parsed(body)
    if _text(payload, "eventType") != "git.push":
        raise _Refused(_EVENT_NOT_FOUND)
    repository = _at(payload, "resource", "repository")
    refs = [_text(update, "name") for update in _list(payload, "resource", "refUpdates")]
    branch = _text(repository, "defaultBranch").removeprefix("refs/heads/")
    return make_push([_text(repository, "remoteUrl")], list(filter(None, refs)), branch)


# In the order they are asked: Gitea sends GitHub's header besides that of Gogs, Bitbucket's two share one.
_PROVIDERS: tuple[tuple[str, Callable[[Headers, bytes, Secrets], Push | None]], ...] = (
    ("x-vss-activityid", _azure),
    ("x-gogs-event", _gogs),
    ("x-github-event", _github),
    ("x-gitlab-event", _gitlab),
    ("x-hook-uuid", _bitbucket),
    ("x-event-key", _bitbucket_server),
)


def _of_repository(payload: Payload, repository: object, urls: tuple[str, ...]) -> Push | None:
    ref = _text(payload, "ref")
    return make_push(
        [_text(repository, url) for url in urls], [ref] if ref else [], _text(repository, "default_branch")
    )


def _check_hub_signature(headers: Headers, body: bytes, secret: Secret, *, sha1: bool) -> None:
    """`X-Hub-Signature-256: sha256=...`; the older header counts only where the newer is not sent."""
    if not secret:
        return
    newer, older = headers.get("x-hub-signature-256", ""), headers.get("x-hub-signature", "")
    given = newer or older
    if not given:
        raise _Refused("missing X-Hub-Signature-256 Header" if sha1 else "missing X-Hub-Signature Header")
    name, _, digest = given.partition("=")
    if name == "sha256":
        _check_hmac(digest, body, secret, hashlib.sha256)
    elif name == "sha1" and sha1 and not newer:
        _check_hmac(digest, body, secret, hashlib.sha1)
    else:
        raise _Refused(_HMAC_FAILED)


def _check_hmac(given: str, body: bytes, secret: Secret, digest: Callable[..., Any]) -> None:
    if not _equal(given, hmac.new(secret.reveal().encode(), body, digest).hexdigest()):
        raise _Refused(_HMAC_FAILED)


def _equal(given: str, wanted: str) -> bool:
    """Compared in a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _basic(header: str) -> str:
    scheme, _, text = header.partition(" ")
    try:
        return base64.b64decode(text, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _parsed(body: bytes) -> Payload:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Unparsable from None
    if not isinstance(payload, dict):
        raise _Unparsable
    return payload


def _at(value: object, *path: str) -> object:
    """What stands at a path of objects; None where one of them is something else."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: object, *path: str) -> str:
    found = _at(value, *path)
    return found if isinstance(found, str) else ""


def _list(value: object, *path: str) -> list[Any]:
    found = _at(value, *path)
    return found if isinstance(found, list) else []
