"""/api/v1/applications/{name}/manifests and /revisions: what Git declares, and what is known of its commits.

Source: compat 13.1; api-ui 2.3.
"""

from __future__ import annotations

from typing import Any

from tiphys.model.application import Application, parse_application
from tiphys.model.source import ApplicationSource
from tiphys.model.time import format_time
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, invalid_argument
from tiphys.server.http import Response, json_response


async def get_manifests(context: Context) -> Response:
    """GET /applications/{name}/manifests: of the current revision, or of `revision`, also of one that Git has lost."""
    manifests = context.services.manifests
    if manifests is None:
        raise RequestError(Code.UNIMPLEMENTED, "manifests cannot be rendered from here")
    app = parse_application(context.application.obj)
    return json_response(await manifests.manifests(context.application.key, _revisions(context, app)))


async def server_side_diff(context: Context) -> Response:
    """GET /applications/{name}/server-side-diff."""
    raise RequestError(Code.UNIMPLEMENTED, "server-side diff is not supported; managed-resources has the difference")


async def revision_metadata(context: Context) -> Response:
    """GET /applications/{name}/revisions/{revision}/metadata: author, date, tags and message of a commit."""
    source = _source(context)
    if source.chart:
        raise invalid_argument(f"{source.repo_url} is a Helm repository: its revisions are versions, not commits")
    commits = context.services.commits
    if commits is None:
        raise RequestError(Code.UNIMPLEMENTED, "commits cannot be read from here")
    commit = await commits.commit_info(source.repo_url, context.request.params["revision"], context.application.project)
    shown: dict[str, Any] = {"author": commit.author, "date": format_time(commit.date)}
    if commit.tags:
        shown["tags"] = list(commit.tags)
    return json_response({**shown, "message": commit.message})


async def chart_details(context: Context) -> Response:
    """GET /applications/{name}/revisions/{revision}/chartdetails."""
    if not _source(context).chart:
        raise RequestError(Code.UNKNOWN, f"no chart found for application: {context.application.name}")
    raise RequestError(Code.UNIMPLEMENTED, "details of charts in Helm repositories are not supported")


async def oci_metadata(context: Context) -> Response:
    """GET /applications/{name}/revisions/{revision}/ocimetadata."""
    raise RequestError(Code.UNIMPLEMENTED, "metadata of OCI artifacts is not supported")


def _source(context: Context) -> ApplicationSource:
    """The source a request is about: by `sourceIndex`, of the history entry `versionId` if that is given."""
    request = context.request
    app = parse_application(context.application.obj)
    sources = app.spec.all_sources
    if request.query("versionId"):
        wanted = request.query_int("versionId")
        entry = next((item for item in app.status.history if item.id == wanted), None)
        if entry is None:
            raise invalid_argument(f"revision not found for version id {wanted}")
        sources = entry.sources or ((entry.source,) if entry.source is not None else ())
    at = request.query_int("sourceIndex")
    if not 0 <= at < len(sources):
        raise invalid_argument(f"source index {at} not found")
    return sources[at]


def _revisions(context: Context, app: Application) -> dict[int, str]:
    request = context.request
    count = len(app.spec.all_sources)
    listed = request.query_list("revisions")
    positions = request.query_list("sourcePositions")
    if not listed and not positions:
        revision = request.query("revision")
        return dict.fromkeys(range(count), revision) if revision else {}
    if len(listed) != len(positions):
        raise invalid_argument("source positions and revisions must have the same length")
    found = {}
    for position, revision in zip(positions, listed, strict=True):
        if not position.isdecimal() or not 0 < int(position) <= count:
            raise invalid_argument("source position is out of range")
        found[int(position) - 1] = revision
    return found
