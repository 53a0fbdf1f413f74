"""The home folder: where it is, its rights, its ports."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tiphys.devenv.home import Home, HomeError, Ports, is_free, next_free
from tiphys.devenv.homefolder import home_folder


def test_the_home_is_named_or_below_the_state_folder() -> None:
    """$TIPHYS_HOME, $XDG_STATE_HOME, ~/.local/state."""
    nowhere = "/nowhere/.venv"
    assert home_folder({"TIPHYS_HOME": "/x", "XDG_STATE_HOME": "/s"}, prefix=nowhere) == Path("/x")
    assert home_folder({"XDG_STATE_HOME": "/s", "HOME": "/h"}, prefix=nowhere) == Path("/s/tiphys")
    assert home_folder({"HOME": "/h"}, prefix=nowhere) == Path("/h/.local/state/tiphys")


def test_folders_are_private(tmp_path: Path) -> None:
    """Also one that was there and wide."""
    (tmp_path / "home" / "logs").mkdir(parents=True, mode=0o755)
    home = Home(tmp_path / "home")
    home.make()
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.root.iterdir()}
    assert set(modes.values()) == {0o700}
    assert set(modes) == {"cluster", "engine", "git", "run", "logs", "cli"}


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    """Name another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="Set TIPHYS_HOME to a folder of yours"):
        Home(tmp_path / "file" / "home").make()


def test_ports_are_chosen_once_and_kept(tmp_path: Path) -> None:
    """Contexts and bookmarks point at them."""
    home = Home(tmp_path)
    home.make()
    (home.root / "run" / "ports.json").write_text(json.dumps({"api": 1, "server": 2}))
    assert home.choose_ports() == Ports(api=1, server=2)


def test_a_torn_ports_file_is_chosen_anew(tmp_path: Path) -> None:
    """Instead of a stack."""
    home = Home(tmp_path)
    home.make()
    (home.root / "run" / "ports.json").write_text('{"api": 1')
    chosen = home.choose_ports()
    assert chosen.api != chosen.server
    assert home.ports() == chosen


def test_a_taken_port_is_passed_over() -> None:
    """The next free one is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert next_free(port) > port
