"""Which folder is the home."""

from __future__ import annotations

from pathlib import Path

from tiphys.devenv.homefolder import home_folder


def test_what_was_started_beside_this_environment_is_the_home_unless_another_is_named(tmp_path: Path) -> None:
    """`make up` starts it there; the commands it prints are typed without make."""
    prefix = str(tmp_path / ".venv")
    env = {"HOME": "/h", "XDG_STATE_HOME": "/s"}
    assert home_folder(env, prefix=prefix) == Path("/s/tiphys")
    (tmp_path / ".tiphys" / "run").mkdir(parents=True)
    assert home_folder(env, prefix=prefix) == tmp_path / ".tiphys"
    assert home_folder({**env, "TIPHYS_HOME": "/x"}, prefix=prefix) == Path("/x")


def test_a_folder_of_that_name_that_is_no_home_is_passed_over(tmp_path: Path) -> None:
    """It may be anything of the user's."""
    (tmp_path / ".tiphys").mkdir()
    assert home_folder({"HOME": "/h"}, prefix=str(tmp_path / ".venv")) == Path("/h/.local/state/tiphys")
