"""From a repository Secret to what git is told."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.support.clock import VirtualClock

from tiphys.credentials.githubapp import InstallationToken
from tiphys.engine.source.access import Connection, GitCredentials
from tiphys.engine.states import StageError
from tiphys.runtime.secret import Secret
from tiphys.wiring.sources import RepositorySecrets

HTTPS = "https://git.example.com:8443/team/repo.git"
SSH = "git@git.example.com:team/repo.git"


def secrets(**keys: str) -> RepositorySecrets:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    labels = {"argocd.argoproj.io/secret-type": "repository"}
    made = RepositorySecrets(clock=VirtualClock())
    follow: Any = made._followed
    follow.replace("Secret", [{"metadata": {"name": "a", "labels": labels}, "data": data}])
    follow.event("ConfigMap", "ADDED", config_map("argocd-ssh-known-hosts-cm", "ssh_known_hosts", "KNOWN"))
    follow.event("ConfigMap", "ADDED", config_map("argocd-tls-certs-cm", "git.example.com", "CA"))
    return made


def config_map(name: str, key: str, value: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {key: value}}


def test_https_gets_what_belongs_to_https() -> None:
    given = {"username": "jo", "password": "pw", "sshPrivateKey": "KEY", "proxy": "http://p", "noProxy": "x"}
    assert secrets(url=HTTPS, **given).credentials(HTTPS, "") == GitCredentials(
        "jo", Secret("pw"), connection=Connection(ca="CA", proxy="http://p", no_proxy="x")
    )


def test_ssh_gets_what_belongs_to_ssh() -> None:
    given = {"username": "jo", "password": "pw", "sshPrivateKey": "KEY", "insecureIgnoreHostKey": "true"}
    assert secrets(url=SSH, **given).credentials(SSH, "") == GitCredentials(
        ssh_private_key=Secret("KEY"), connection=Connection(known_hosts="KNOWN", insecure=True)
    )


def test_an_app_of_github_is_asked_for_tokens() -> None:
    given = {"githubAppID": "42", "githubAppPrivateKey": "PEM", "githubAppEnterpriseBaseUrl": "https://g/api/v3"}
    found = secrets(url=HTTPS, **given).credentials(HTTPS, "")
    assert found is not None
    assert isinstance(found.minted, InstallationToken)
    app = found.minted.app
    assert (app.app_id, app.owner, app.api, app.ca) == (42, "team", "https://g/api/v3", "CA")


def test_a_public_repository_needs_nothing_and_a_folder_neither() -> None:
    made = secrets(url=HTTPS, password="pw")
    assert made.credentials("https://elsewhere.example.com/x", "") is None
    assert made.credentials("file:///srv/x.git", "") is None
    assert made.credentials("no url", "") is None


def test_a_secret_that_cannot_be_used_is_a_problem_of_the_source() -> None:
    with pytest.raises(StageError) as caught:
        secrets(url=SSH, sshPrivateKey="KEY", proxy="socks5://p").credentials(SSH, "")
    assert caught.value.stage == "source"
    assert caught.value.message == f"failed to fetch {SSH}: a proxy for a repository over ssh is not supported yet"
