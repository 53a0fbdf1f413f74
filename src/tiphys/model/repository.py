"""Repository and RepoCreds, as kept in repository Secrets, and when two repository URLs are the same.

Source: compat 8.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tiphys.runtime.secret import Secret

NO_SECRET = Secret("")
_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://")
_SCP_LIKE = re.compile(r"^(?:[^/:@\s]+@)?([^/:\s]+):(?!//)(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoCreds:
    """Credentials for every repository whose URL starts with `url`."""

    url: str
    type: str = "git"
    username: str = ""
    password: Secret = NO_SECRET
    bearer_token: Secret = NO_SECRET
    ssh_private_key: Secret = NO_SECRET
    tls_client_cert_data: str = ""
    tls_client_cert_key: Secret = NO_SECRET
    github_app_id: int = 0
    github_app_installation_id: int = 0
    github_app_private_key: Secret = NO_SECRET
    github_app_enterprise_base_url: str = ""
    gcp_service_account_key: Secret = NO_SECRET
    enable_oci: bool = False
    insecure_oci_force_http: bool = False
    proxy: str = ""
    no_proxy: str = ""
    force_http_basic_auth: bool = False
    use_azure_workload_identity: bool = False

    @property
    def has_credentials(self) -> bool:
        """Whether there is anything to prove oneself with."""
        return bool(
            self.username
            or self.password
            or self.bearer_token
            or self.ssh_private_key
            or self.tls_client_cert_data
            or self.github_app_private_key
            or self.gcp_service_account_key
            or self.use_azure_workload_identity
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository(RepoCreds):
    """One repository: where it is and how to read it."""

    name: str = ""
    project: str = ""
    insecure: bool = False  # TLS certificate or SSH host key is not checked
    enable_lfs: bool = False
    inherited_creds: bool = False
    depth: int = 0


def normalize_git_url(url: str) -> str:
    """The form in which two Git URLs are compared, never fetched: lower case, no `.git`, no user, scp form as ssh.

    `git@GitHub.com:argoproj/test.git` and `ssh://git@github.com/argoproj/test` are equal. A URL that cannot be read
    gives the empty string. Source: compat 8.1 "URL normalization".
    """
    text = url.strip().lower()
    is_ssh = False
    if not _SCHEME.match(text):
        match = _SCP_LIKE.match(text)
        if match is not None:
            is_ssh = True
            text = f"ssh://{text.replace(':', '/', 1)}"
    elif text.startswith("ssh://"):
        is_ssh = True
    text = text.removesuffix(".git")
    if not is_ssh:
        return text
    try:
        parts = urlsplit(text)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        return ""


def same_repository(left: str, right: str) -> bool:
    """Whether two URLs name the same repository; an unreadable one equals none."""
    normal = normalize_git_url(left)
    return bool(normal) and normal == normalize_git_url(right)
