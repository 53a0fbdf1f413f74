"""A repository or template Secret -> Repository or RepoCreds, or what is wrong with it; never a value of it.

Source: compat 8.1 "Secrets".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.model.annotations import parse_go_bool, parse_go_int
from tiphys.model.repository import RepoCreds, Repository
from tiphys.runtime.secret import Secret
from tiphys.settings.load import secret_data

REPOSITORY = "repository"
TEMPLATE = "repo-creds"

# What proves who we are in a way that cannot be done yet: the key that shows it, and its name for people.
_UNSUPPORTED = (
    ("gcpServiceAccountKey", "Google Cloud credentials (gcpServiceAccountKey) are not supported yet"),
    ("useAzureWorkloadIdentity", "Azure workload identity (useAzureWorkloadIdentity) is not supported yet"),
    ("azureServicePrincipalClientSecret", "Azure service principals (azureServicePrincipal...) are not supported yet"),
)


class CredentialError(Exception):
    """A Secret cannot be used. The message names the Secret and its key, and says what is wrong."""


def secret_url(obj: Mapping[str, Any]) -> str:
    """`url` of a repository or template Secret, even of one that cannot be used otherwise."""
    return secret_data(obj).get("url", "").strip()


def secret_project(obj: Mapping[str, Any]) -> str:
    """The project whose alone the Secret is; empty for everybody's."""
    return secret_data(obj).get("project", "").strip()


def parse_repository(obj: Mapping[str, Any]) -> Repository:
    """A repository Secret. Raises CredentialError."""
    read = _Reader(obj)
    return Repository(
        **_shared(read),
        name=read.text("name"),
        project=read.text("project"),
        insecure=read.flag("insecure") or read.flag("insecureIgnoreHostKey"),
        enable_lfs=read.flag("enableLfs"),
        depth=read.number("depth"),
    )


def parse_template(obj: Mapping[str, Any]) -> RepoCreds:
    """A credential template. Raises CredentialError."""
    return RepoCreds(**_shared(_Reader(obj)))


def refuse_unsupported(repository: RepoCreds, name: str = "") -> None:
    """Raises CredentialError for credentials that cannot be used yet, and have no others beside them."""
    # In the order in which they are asked. Source: compat 8.1 "Auth precedence"
    if repository.username or repository.password or repository.bearer_token or repository.ssh_private_key:
        return
    if repository.github_app_private_key:
        if not repository.github_app_id:
            raise CredentialError(f"{name}githubAppID is missing")
        return
    found = (
        (repository.gcp_service_account_key, _UNSUPPORTED[0][1]),
        (repository.use_azure_workload_identity, _UNSUPPORTED[1][1]),
    )
    for given, message in found:
        if given:
            raise CredentialError(f"{name}{message}")


def _shared(read: _Reader) -> dict[str, Any]:
    if not read.text("url"):
        raise read.error("url", "is missing")
    if read.text("azureServicePrincipalClientSecret") and not read.text("password"):
        raise read.error("azureServicePrincipalClientSecret", f"cannot be used: {_UNSUPPORTED[2][1]}")
    return {
        "url": read.text("url"),
        "type": read.text("type") or "git",
        "username": read.text("username"),
        "password": read.secret("password"),
        "bearer_token": read.secret("bearerToken"),
        "ssh_private_key": read.secret("sshPrivateKey"),
        "tls_client_cert_data": read.text("tlsClientCertData"),
        "tls_client_cert_key": read.secret("tlsClientCertKey"),
        "github_app_id": read.number("githubAppID"),
        "github_app_installation_id": read.number("githubAppInstallationID"),
        "github_app_private_key": read.secret("githubAppPrivateKey"),
        "github_app_enterprise_base_url": read.text("githubAppEnterpriseBaseUrl"),
        "gcp_service_account_key": read.secret("gcpServiceAccountKey"),
        "enable_oci": read.flag("enableOCI"),
        "insecure_oci_force_http": read.flag("insecureOCIForceHttp"),
        "proxy": read.text("proxy"),
        "no_proxy": read.text("noProxy"),
        "force_http_basic_auth": read.flag("forceHttpBasicAuth"),
        "use_azure_workload_identity": read.flag("useAzureWorkloadIdentity"),
    }


class _Reader:
    """The keys of one Secret."""

    def __init__(self, obj: Mapping[str, Any]) -> None:
        self._name = str((obj.get("metadata") or {}).get("name") or "")
        self._data = secret_data(obj)
        self._raw = {*(obj.get("data") or {}), *(obj.get("stringData") or {})}

    def error(self, key: str, message: str) -> CredentialError:
        return CredentialError(f"Secret {self._name}: {key} {message}")

    def _value(self, key: str) -> str:
        if key in self._raw and key not in self._data:
            raise self.error(key, "is not base64 of UTF-8 text")
        return self._data.get(key, "")

    def text(self, key: str) -> str:
        return self._value(key).strip()

    def secret(self, key: str) -> Secret:
        return Secret(self._value(key))

    def flag(self, key: str) -> bool:
        return self._parsed(key, parse_go_bool, "is not a boolean (true or false)") or False

    def number(self, key: str) -> int:
        return self._parsed(key, parse_go_int, "is not a number") or 0

    def _parsed(self, key: str, parse: Callable[[str], Any], complaint: str) -> Any:
        text = self.text(key)
        if not text:
            return None
        value = parse(text)
        if value is None:
            raise self.error(key, complaint)
        return value
