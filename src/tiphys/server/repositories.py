"""/api/v1/repositories, /repocreds and /certificates, to be read. Credentials never come out.

Source: compat 8.1, 13.2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tiphys.model.repository import RepoCreds, Repository, normalize_git_url
from tiphys.model.time import format_time
from tiphys.policy.glob import glob_match
from tiphys.runtime.redact import redact_url
from tiphys.server.authz import SIGNED_IN
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, permission_denied
from tiphys.server.http import Response, json_response
from tiphys.server.routing import Route


def routes(prefix: str) -> list[Route]:
    """The routes; each handler asks about every repository it shows."""
    return [
        Route("GET", f"{prefix}/repositories", list_repositories, SIGNED_IN),
        Route("GET", f"{prefix}/repositories/{{repo}}", get_repository, SIGNED_IN),
        Route("GET", f"{prefix}/repocreds", list_templates, SIGNED_IN),
        Route("GET", f"{prefix}/certificates", list_certificates, SIGNED_IN),
    ]


async def list_repositories(context: Context) -> Response:
    """GET /repositories: those with a Secret that the caller may see, sorted by URL; `repo` and `appProject` choose."""
    wanted = context.request.query("repo")
    project = context.request.query("appProject")
    items = [
        _repository(context, repository, problem)
        for repository, problem in _repositories(context)
        if (not wanted or normalize_git_url(wanted) == normalize_git_url(repository.url))
        and (not project or repository.project in ("", project))
        and _may_see(context, repository)
    ]
    return json_response(
        {"metadata": {}, "items": sorted(items, key=lambda item: (item["repo"], item.get("project", "")))}
    )


async def get_repository(context: Context) -> Response:
    """GET /repositories/{repo}: the URL is percent-encoded, once or twice."""
    asked = unquote(context.request.params["repo"])
    project = context.request.query("appProject")
    found = [
        (repository, problem)
        for repository, problem in _repositories(context)
        if normalize_git_url(repository.url) == normalize_git_url(asked) and project in ("", repository.project)
    ]
    if not found:
        context.enforce("repositories", "get", f"{project}/{asked}" if project else asked, project)
        raise RequestError(Code.NOT_FOUND, f"repo '{redact_url(asked)}' not found")
    repository, problem = found[0]
    if not _may_see(context, repository):
        raise permission_denied()
    return json_response(_repository(context, repository, problem))


async def list_templates(context: Context) -> Response:
    """GET /repocreds: credential templates the caller may see, sorted by URL."""
    items = []
    for _start, entry in context.services.repository_book().templates:
        value = entry.value
        if value is not None and context.ask("repositories", "get", value.url):
            items.append(_credentials("url", value))
    return json_response({"metadata": {}, "items": sorted(items, key=lambda item: str(item["url"]))})


async def list_certificates(context: Context) -> Response:
    """GET /certificates: known SSH hosts and the certificates of TLS servers; `hostNamePattern` and `certType` choose."""
    request, book = context.request, context.services.repository_book()
    pattern, kind = request.query("hostNamePattern"), request.query("certType")
    found = [*_known_hosts(book.known_hosts), *_tls(dict(book.certificates))]
    items = [
        item
        for item in found
        if (not pattern or glob_match(pattern, item["serverName"]))
        and (kind in ("", "all", "*") or item["certType"] == kind)
        and context.ask("certificates", "get", item["serverName"])
    ]
    return json_response({"metadata": {}, "items": items})


def _repositories(context: Context) -> Iterator[tuple[Repository, str]]:
    """Repositories with a Secret of their own, and why one cannot be used."""
    for url, entries in context.services.repository_book().repositories.items():
        for entry in entries:
            if isinstance(entry.value, Repository):
                yield entry.value, entry.problem
            else:
                yield Repository(url=url, project=entry.project), entry.problem


def _may_see(context: Context, repository: Repository) -> bool:
    project = repository.project
    obj = f"{project}/{repository.url}" if project else repository.url
    return bool(context.ask("repositories", "get", obj, project))


def _repository(context: Context, repository: Repository, problem: str) -> dict[str, Any]:
    status, message, at = context.services.repository_state(repository.url, repository.project)
    if problem:
        status, message = "Failed", problem
    shown = _credentials("repo", repository)
    flags = {"insecure": repository.insecure, "enableLfs": repository.enable_lfs}
    shown |= {name: True for name, given in flags.items() if given}
    for name in ("name", "project"):
        if getattr(repository, name):
            shown[name] = getattr(repository, name)
    if repository.inherited_creds:
        shown["inheritedCreds"] = True
    shown["connectionState"] = {
        "status": status,
        "message": message,
        "attemptedAt": format_time(at) if at is not None else None,
    }
    return shown


def _credentials(named: str, value: RepoCreds) -> dict[str, Any]:
    """What may be known of credentials."""
    shown: dict[str, Any] = {named: redact_url(value.url), "type": value.type}
    texts = {
        "username": value.username,
        "proxy": redact_url(value.proxy) if value.proxy else "",
        "noProxy": value.no_proxy,
        "githubAppEnterpriseBaseUrl": value.github_app_enterprise_base_url,
        "githubAppID": value.github_app_id,
        "githubAppInstallationID": value.github_app_installation_id,
        "forceHttpBasicAuth": value.force_http_basic_auth,
        "enableOCI": value.enable_oci,
        "useAzureWorkloadIdentity": value.use_azure_workload_identity,
    }
    return shown | {name: given for name, given in texts.items() if given}


def _known_hosts(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        parts = line.split()
        if len(parts) < 3 or parts[0].startswith(("#", "@")):
            continue
        try:
            digest = hashlib.sha256(base64.b64decode(parts[2], validate=True)).digest()
        except ValueError:
            continue
        print_ = base64.b64encode(digest).decode().rstrip("=")
        for host in parts[0].split(","):
            yield {
                "serverName": host,
                "certType": "ssh",
                "certSubType": parts[1],
                "certData": "",
                "certInfo": f"SHA256:{print_}",
            }


def _tls(by_host: dict[str, str]) -> Iterator[dict[str, Any]]:
    for host, pem in sorted(by_host.items()):
        try:
            certificates = x509.load_pem_x509_certificates(pem.encode())
        except ValueError:
            continue
        for certificate in certificates:
            key = certificate.public_key()
            kinds = (
                (rsa.RSAPublicKey, "rsa"),
                (ec.EllipticCurvePublicKey, "ecdsa"),
                (ed25519.Ed25519PublicKey, "ed25519"),
            )
            yield {
                "serverName": host,
                "certType": "https",
                "certSubType": next((name for cls, name in kinds if isinstance(key, cls)), "unknown"),
                "certData": "",
                "certInfo": certificate.subject.rfc4514_string(),
            }
