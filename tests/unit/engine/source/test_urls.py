"""Which repository URLs are fetched, and when two are the same."""

from __future__ import annotations

import pytest

from tiphys.engine.source.urls import parse_repository_url
from tiphys.engine.states import StageError


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "repoURL is empty"),
        ("--upload-pack=touch /tmp/x", "starts with '-'"),
        ("https://host/a b", "white space"),
        ("https://host/a\nb", "white space"),
        ("ext::sh -c id", "is not a URL"),
        ("ext::sh", "transport helper (ext::)"),
        ("fd::17", "transport helper (fd::)"),
        ("/srv/git/repo", "no scheme"),
        ("../repo", "no scheme"),
        ("ftp://host/repo", "scheme ftp is not one of"),
        ("git://host/repo", "scheme git is not one of"),
        ("ssh://-oProxyCommand=x/repo", "names no host"),
        ("ssh://git@ho$(id)st/repo", "names no host"),
        ("ssh://-l@host/repo", "its user is not a plain name"),
        ("ssh://git@host", "has no path"),
        ("git@-host:repo.git", "names no host"),
        ("git@host:-repo", "has no path"),
        ("oci://host/repo", "OCI sources are not supported yet"),
        ("https://", "names no host"),
        ("https://host:port/repo", "cannot be read"),
        ("https://-oProxyCommand=x/repo", "names no host"),
        ("file:///srv/repo", "file:// repositories are refused here"),
    ],
)
def test_what_git_could_misread_is_refused(url: str, says: str) -> None:
    with pytest.raises(StageError) as caught:
        parse_repository_url(url, allow_file=False)
    assert caught.value.reason == "InvalidSpecError"
    assert says in caught.value.message


@pytest.mark.parametrize("url", ["file://other/srv/repo", "file:///srv/../etc", "file://localhost"])
def test_local_urls_name_an_absolute_folder_of_this_machine(url: str) -> None:
    with pytest.raises(StageError, match="file:// URL"):
        parse_repository_url(url, allow_file=True)


def test_equal_repositories_share_a_key_and_different_ones_do_not() -> None:
    def key(url: str) -> str:
        return parse_repository_url(url, allow_file=True).key

    assert (
        key("https://Host.example/a/b.git") == key("https://host.example:443/a/b/") == key("https://host.example/a/b")
    )
    assert key("https://host.example/a/B") != key("https://host.example/a/b")
    assert key("http://host.example/a/b") != key("https://host.example/a/b")
    assert key("file:///srv/x.git") != key("file:///srv/x")


@pytest.mark.parametrize(
    ("url", "fetch", "host"),
    [
        ("git@github.com:team/repo.git", "git@github.com:team/repo.git", "github.com"),
        ("ssh://git@Host.example/team/repo.git/", "ssh://git@host.example/team/repo.git", "host.example"),
        ("ssh://host.example:2222/repo", "ssh://git@host.example:2222/repo", "host.example"),
        ("ssh://git@[::1]:2222/repo", "ssh://git@[::1]:2222/repo", "::1"),
    ],
)
def test_ssh_urls_come_in_two_forms(url: str, fetch: str, host: str) -> None:
    parsed = parse_repository_url(url, allow_file=False)
    assert (parsed.fetch, parsed.host, parsed.origin) == (fetch, host, "")


def test_credentials_in_a_url_are_taken_out_of_it() -> None:
    parsed = parse_repository_url("https://jo:s3cret-word@host.example:8443/a/b.git", allow_file=False)
    assert parsed.fetch == "https://host.example:8443/a/b.git"
    assert parsed.origin == "https://host.example:8443/"
    assert parsed.credentials is not None
    assert parsed.credentials.password.reveal() == "s3cret-word"
    assert "s3cret-word" not in repr(parsed)


def test_refusals_carry_no_credentials() -> None:
    with pytest.raises(StageError) as caught:
        parse_repository_url("ftp://jo:s3cret-word@host/a", allow_file=False)
    assert "s3cret-word" not in caught.value.message
