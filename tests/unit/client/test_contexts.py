"""The configuration file: Argo CD's format, its places, and its rights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.client.contexts import ContextFile, Login, own_config_path, read_contexts, write_contexts
from tiphys.client.errors import ContextError
from tiphys.runtime.secret import Secret

ARGOCD = """\
contexts:
- name: prod
  server: argocd.example.com
  user: prod
- name: test
  server: test.example.com
  user: test
current-context: prod
prompts-enabled: true
servers:
- grpc-web: true
  grpc-web-root-path: /argo
  server: argocd.example.com
- insecure: true
  plain-text: true
  server: test.example.com
users:
- auth-token: t1
  name: prod
  refresh-token: r1
- auth-token: t2
  name: test
x-of-a-newer-version: kept
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that Argo CD's CLI wrote."""
    path = tmp_path / "config"
    path.write_text(ARGOCD)
    path.chmod(0o600)
    return path


def _read(path: Path) -> ContextFile:
    found = read_contexts(path)
    assert found is not None
    return found


def test_a_file_of_argo_cd_is_read(path: Path) -> None:
    """Server, user and flags come together."""
    login = _read(path).login()
    assert (login.name, login.server, login.root_path, login.grpc_web) == ("prod", "argocd.example.com", "/argo", True)
    assert (login.token.reveal(), login.refresh_token.reveal()) == ("t1", "r1")
    assert _read(path).login("test").plain_text


def test_tokens_never_show_themselves(path: Path) -> None:
    """Not in a repr, which ends up in logs."""
    assert "t1" not in repr(_read(path).login())


def test_writing_changes_only_what_was_changed(path: Path) -> None:
    """Unknown fields and other contexts survive; the file stays private."""
    contexts = _read(path)
    contexts.put(Login(name="new", server="n:1", token=Secret("t3"), insecure=True))
    contexts.current = "new"
    write_contexts(path, contexts)
    assert path.stat().st_mode & 0o777 == 0o600
    again = _read(path)
    assert again.names == ["prod", "test", "new"]
    assert again.login().token.reveal() == "t3"
    assert again.login("prod").refresh_token.reveal() == "r1"
    assert "x-of-a-newer-version: kept" in path.read_text()


def test_certificates_survive_a_round_trip(tmp_path: Path) -> None:
    """They are base64 in the file."""
    contexts = ContextFile()
    contexts.put(Login(name="a", server="a", ca="CA", client_cert="CERT", client_key=Secret("KEY")))
    write_contexts(tmp_path / "config", contexts)
    login = _read(tmp_path / "config").login("a")
    assert (login.ca, login.client_cert, login.client_key.reveal()) == ("CA", "CERT", "KEY")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660])
def test_a_file_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    """In Argo CD's words."""
    path.chmod(mode)
    with pytest.raises(ContextError, match="config file has incorrect permission flags:-rw-"):
        read_contexts(path)


@pytest.mark.parametrize("text", ["- a list", "a: [", "{"])
def test_a_broken_file_is_named(path: Path, text: str) -> None:
    """Instead of a stack."""
    path.write_text(text)
    with pytest.raises(ContextError, match="config cannot be read"):
        read_contexts(path)


def test_no_file_is_no_contexts(tmp_path: Path) -> None:
    """Before the first login."""
    assert read_contexts(tmp_path / "none") is None


def test_removing_the_last_context_of_a_server_removes_server_and_user(path: Path) -> None:
    """Shared ones stay."""
    contexts = _read(path)
    contexts.put(Login(name="prod2", server="argocd.example.com", user="prod", token=Secret("t1")))
    assert contexts.remove("prod")
    assert contexts.current == ""
    assert contexts.login("prod2").token.reveal() == "t1"
    assert contexts.remove("prod2")
    assert "argocd.example.com" not in contexts.text()
    assert not contexts.remove("prod2")


def test_the_file_s_places_are_argo_cd_s(tmp_path: Path) -> None:
    """$ARGOCD_CONFIG_DIR, ~/.argocd if it is there, $XDG_CONFIG_HOME, ~/.config."""
    assert own_config_path({}, tmp_path) == tmp_path / ".config" / "argocd" / "config"
    assert own_config_path({"XDG_CONFIG_HOME": "/x"}, tmp_path) == Path("/x/argocd/config")
    (tmp_path / ".argocd").mkdir()
    assert own_config_path({"XDG_CONFIG_HOME": "/x"}, tmp_path) == tmp_path / ".argocd" / "config"
    assert own_config_path({"ARGOCD_CONFIG_DIR": "/d"}, tmp_path) == Path("/d/config")
