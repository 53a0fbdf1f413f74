"""Which credentials a project has for a repository."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from tiphys.credentials.book import RepositoryBook, make_book
from tiphys.credentials.followed import FollowedRepositories
from tiphys.credentials.secrets import CredentialError

GITHUB = "https://github.com/team/repo.git"


def secret(name: str, kind: str = "repository", **keys: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    labels = {"argocd.argoproj.io/secret-type": kind}
    return {"metadata": {"name": name, "labels": labels}, "data": data}


def book(*objects: Mapping[str, Any]) -> RepositoryBook:
    of = {"repository": [], "repo-creds": []}  # type: ignore[var-annotated]
    for obj in objects:
        of[obj["metadata"]["labels"]["argocd.argoproj.io/secret-type"]].append(obj)
    return make_book(of["repository"], of["repo-creds"])


def test_an_unknown_repository_is_read_anonymously() -> None:
    found = book().find(GITHUB, "default")
    assert (found.url, found.has_credentials) == (GITHUB, False)


@pytest.mark.parametrize("url", ["https://github.com/team/repo", "https://GitHub.com/Team/repo.git", f" {GITHUB} "])
def test_urls_are_compared_in_normal_form(url: str) -> None:
    found = book(secret("a", url=url, username="jo", password="pw")).find(GITHUB, "default")
    assert (found.username, found.password.reveal(), found.url) == ("jo", "pw", GITHUB)


def test_both_forms_of_ssh_are_the_same_repository() -> None:
    found = book(secret("a", url="git@github.com:team/repo.git", sshPrivateKey="key\n"))
    assert found.find("ssh://git@github.com/team/repo", "").ssh_private_key.reveal() == "key"


def test_the_longest_template_counts_and_only_without_own_credentials() -> None:
    templates = [
        secret("host", "repo-creds", url="https://github.com", password="host"),
        secret("team", "repo-creds", url="https://github.com/team", password="team", proxy="http://proxy"),
    ]
    plain = book(*templates, secret("a", url=GITHUB, insecure="true"))
    found = plain.find(GITHUB, "default")
    assert (found.password.reveal(), found.proxy, found.insecure, found.inherited_creds) == (
        "team",
        "http://proxy",
        True,
        True,
    )
    assert plain.find("https://github.com/other/repo", "default").password.reveal() == "host"
    own = book(*templates, secret("a", url=GITHUB, password="own")).find(GITHUB, "default")
    assert (own.password.reveal(), own.proxy) == ("own", "")


def test_a_template_of_a_host_is_not_for_hosts_that_begin_like_it() -> None:
    templates = book(secret("host", "repo-creds", url="https://git.example.com", password="pw"))
    for url in (
        "https://git.example.com.evil.example/x",
        "https://git.example.community/x",
        "https://git.example.com:1/x",
    ):
        assert not templates.find(url, "default").has_credentials
    assert templates.find("https://git.example.com/x", "default").has_credentials


def test_a_projects_own_secret_is_its_alone_and_goes_first() -> None:
    made = book(
        secret("everybody", url=GITHUB, password="all"),
        secret("blue", url=GITHUB, password="blue", project="blue"),
        secret("red", url="https://github.com/red/only", password="red", project="red"),
    )
    assert made.find(GITHUB, "blue").password.reveal() == "blue"
    assert made.find(GITHUB, "green").password.reveal() == "all"
    assert not made.find("https://github.com/red/only", "green").has_credentials
    assert (made.scope(GITHUB, "blue"), made.scope(GITHUB, "green")) == ("blue", "")
    assert made.of_project("red") == ("https://github.com/red/only",)
    assert made.of_project("") == ()
    assert made.owners == {("blue", "https://github.com/team/repo"), ("red", "https://github.com/red/only")}


def test_a_template_with_a_project_is_that_projects_alone() -> None:
    made = book(secret("t", "repo-creds", url="https://github.com/team", password="pw", project="blue"))
    assert made.find(GITHUB, "blue").has_credentials
    assert not made.find(GITHUB, "green").has_credentials
    assert (made.scope(GITHUB, "blue"), made.scope(GITHUB, "green")) == ("blue", "")


def test_a_helm_repository_has_no_credentials_for_git() -> None:
    assert not book(secret("a", url=GITHUB, password="pw", type="helm")).find(GITHUB, "").has_credentials


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"insecure": "maybe"}, "Secret a: insecure is not a boolean (true or false)"),
        ({"githubAppPrivateKey": "k"}, "Secret a: githubAppID is missing"),
        ({"gcpServiceAccountKey": "k"}, "Secret a: Google Cloud credentials"),
        ({"useAzureWorkloadIdentity": "true"}, "Secret a: Azure workload identity"),
        ({"azureServicePrincipalClientSecret": "k"}, "Azure service principals"),
        ({"githubAppID": "x"}, "Secret a: githubAppID is not a number"),
    ],
)
def test_a_secret_that_cannot_be_used_spoils_its_own_repository_only(keys: Mapping[str, str], says: str) -> None:
    made = book(secret("a", url=GITHUB, **keys), secret("b", url="https://github.com/b", password="pw"))
    with pytest.raises(CredentialError) as caught:
        made.find(GITHUB, "default")
    assert says in str(caught.value)
    assert made.find("https://github.com/b", "default").has_credentials


def test_what_is_not_base64_is_named_and_not_shown() -> None:
    obj = secret("a", url=GITHUB)
    obj["data"]["password"] = "s3cret-word!"
    with pytest.raises(CredentialError) as caught:
        book(obj).find(GITHUB, "default")
    assert str(caught.value) == "Secret a: password is not base64 of UTF-8 text"


def test_a_secret_does_not_show_itself() -> None:
    made = book(
        secret("a", url=GITHUB, password="s3cret-word", sshPrivateKey="s3cret-word", tlsClientCertKey="s3cret-word")
    )
    assert "s3cret-word" not in repr(made) + repr(made.find(GITHUB, ""))


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def test_the_book_follows_what_is_in_the_namespace() -> None:
    followed, told = FollowedRepositories(), []
    followed.changed = lambda: told.append(len(told))
    followed.replace("Secret", [secret("a", url=GITHUB, password="1"), {"metadata": {"name": "else"}}])
    assert followed.book.find(GITHUB, "").password.reveal() == "1"
    followed.replace("ConfigMap", [config_map("argocd-ssh-known-hosts-cm", ssh_known_hosts="h ssh-rsa A")])
    assert followed.book.known_hosts == "h ssh-rsa A"
    followed.event("ConfigMap", "ADDED", config_map("argocd-tls-certs-cm", **{"git.example.com": "PEM"}))
    assert followed.book.certificate("git.example.com") == "PEM"
    followed.event("Secret", "MODIFIED", secret("a", url=GITHUB, password="2"))
    assert followed.book.find(GITHUB, "").password.reveal() == "2"
    assert len(told) == 4
    followed.event("Secret", "MODIFIED", secret("a", url=GITHUB, password="2"))
    followed.event("Secret", "MODIFIED", secret("c", "cluster", server="x"))
    followed.event("ConfigMap", "ADDED", config_map("something", a="b"))
    followed.replace("Secret", [secret("a", url=GITHUB, password="2")])
    assert len(told) == 4
    followed.event("Secret", "MODIFIED", secret("a", "else", url=GITHUB))  # the label went
    assert not followed.book.find(GITHUB, "").has_credentials
    followed.event("Secret", "DELETED", secret("a", url=GITHUB))
    assert len(told) == 5
