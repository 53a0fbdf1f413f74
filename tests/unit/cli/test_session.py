"""Which server a command talks to, and as whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.cli.failure import CommandFailed
from tiphys.cli.session import OWN_CHOSEN, choose_own, endpoint, places
from tiphys.client.contexts import ContextFile, Login, write_contexts
from tiphys.client.errors import ContextError
from tiphys.runtime.secret import Secret


def _write(path: Path, *logins: Login) -> None:
    contexts = ContextFile()
    for login in logins:
        contexts.put(login)
        contexts.current = login.name
    write_contexts(path, contexts)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user whose own file has a context `own`, and a home of `up` with `tiphys`."""
    _write(tmp_path / ".config" / "argocd" / "config", Login(name="own", server="own:443", token=Secret("o")))
    local = Login(name="tiphys", server="127.0.0.1:8080", token=Secret("l"), ca="PEM")
    _write(tmp_path / "home" / "cli" / "config", local)
    return {"HOME": str(tmp_path), "TIPHYS_HOME": str(tmp_path / "home")}


def _server(options: dict[str, Any], env: dict[str, str]) -> tuple[str, str]:
    found = endpoint(options, env)
    return found.server, found.token.reveal()


def test_with_nothing_named_what_up_started_is_used(env: dict[str, str]) -> None:
    """With its CA and token."""
    assert _server({}, env) == ("127.0.0.1:8080", "l")
    assert endpoint({}, env).ca == "PEM"


def test_without_a_home_the_user_s_own_context_is_used(env: dict[str, str]) -> None:
    """As Argo CD's CLI does."""
    assert _server({}, {**env, "TIPHYS_HOME": "/nowhere"}) == ("own:443", "o")


def test_after_a_login_the_user_s_own_context_is_used(env: dict[str, str]) -> None:
    """It was chosen later than the home's."""
    choose_own(places({}, env))
    assert (Path(env["TIPHYS_HOME"]) / "cli" / OWN_CHOSEN).exists()
    assert _server({}, env) == ("own:443", "o")


def test_options_win_over_the_environment_which_wins_over_contexts(env: dict[str, str]) -> None:
    """For the server and for the token."""
    assert _server({}, {**env, "ARGOCD_SERVER": "e:1"})[0] == "e:1"
    assert _server({"server": "o:1"}, {**env, "ARGOCD_SERVER": "e:1"})[0] == "o:1"
    assert _server({}, {**env, "ARGOCD_AUTH_TOKEN": "e"})[1] == "e"
    assert _server({"auth_token": " o "}, {**env, "ARGOCD_AUTH_TOKEN": "e"})[1] == "o"


def test_a_server_that_is_named_gets_only_its_own_token(env: dict[str, str]) -> None:
    """Never that of another server's context."""
    assert _server({"server": "stranger:443"}, env) == ("stranger:443", "")
    assert _server({"server": "own:443"}, env) == ("own:443", "o")


def test_a_named_context_is_looked_for_in_the_user_s_own_file(env: dict[str, str]) -> None:
    """And must be there."""
    assert _server({"argocd_context": "own"}, env)[0] == "own:443"
    with pytest.raises(ContextError, match="Context 'nope' undefined"):
        endpoint({"argocd_context": "nope"}, env)


def test_a_config_folder_of_the_environment_wins(env: dict[str, str], tmp_path: Path) -> None:
    """`tiphys env` uses it to make any CLI find what runs here."""
    _write(tmp_path / "dir" / "config", Login(name="d", server="d:1"))
    assert _server({}, {**env, "ARGOCD_CONFIG_DIR": str(tmp_path / "dir")})[0] == "d:1"
    assert _server({"config": str(tmp_path / "dir" / "config")}, env)[0] == "d:1"


def test_without_any_server_it_says_so(tmp_path: Path) -> None:
    """In Argo CD's words."""
    with pytest.raises(CommandFailed, match="Argo CD server address unspecified"):
        endpoint({}, {"HOME": str(tmp_path)})


def test_a_url_is_taken_apart(env: dict[str, str]) -> None:
    """People paste addresses from the browser."""
    found = endpoint({"server": "http://h:8080/argo"}, env)
    assert (found.server, found.plain_text, found.root_path, found.url) == (
        "h:8080",
        True,
        "argo",
        "http://h:8080/argo",
    )


@pytest.mark.parametrize(
    ("server", "no_proxy", "expected"),
    [("h:443", "", "http://p:3128"), ("h:443", "h", ""), ("a.h:443", ".h", ""), ("localhost:8080", "", "")],
)
def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    env: dict[str, str], server: str, no_proxy: str, expected: str
) -> None:
    """NO_PROXY names what it is not for."""
    found = endpoint({"server": server}, {**env, "https_proxy": "http://p:3128", "no_proxy": no_proxy})
    assert found.proxy == expected
