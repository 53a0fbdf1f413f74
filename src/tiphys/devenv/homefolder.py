"""Which folder is the home: the rule alone, so that commands that only look there import nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

BESIDE = ".tiphys"  # what `make up` uses, beside the environment it made


def home_folder(env: Mapping[str, str], *, prefix: str = sys.prefix) -> Path:
    """$TIPHYS_HOME; else what `make up` started beside this environment; else tiphys below the user's state folder.

    `prefix` is the environment this program is installed in. The state folder is $XDG_STATE_HOME or ~/.local/state.
    """
    named = env.get("TIPHYS_HOME")
    if named:
        return Path(named).absolute()
    beside = Path(prefix).parent / BESIDE
    if (beside / "run").is_dir():
        return beside.absolute()
    state = env.get("XDG_STATE_HOME")
    base = Path(state) if state else Path(env.get("HOME") or Path.home()) / ".local" / "state"
    return base.absolute() / "tiphys"
