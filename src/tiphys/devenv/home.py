"""The home folder of `tiphys up`: where everything is, and the ports it was given.

cluster/  store and keys of the embedded cluster      run/   locks, ports
engine/   store, Git mirrors                          logs/  one file a daemon
git/      the example repository                      cli/   a logged-in CLI context
kubeconfig
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiphys.devenv.homefolder import home_folder
from tiphys.runtime.files import make_private_folder, write_atomic

API_PORT = 16443
SERVER_PORT = 8080
_PORTS_TRIED = 200
FOLDERS = ("cluster", "engine", "git", "run", "logs", "cli")


class HomeError(Exception):
    """The home folder cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on the loopback address: the embedded API server's and Tiphys' own."""

    api: int
    server: int


@dataclass(frozen=True, slots=True)
class Home:
    """One home folder."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the embedded cluster's administrator."""
        return self.root / "kubeconfig"

    @property
    def repository(self) -> Path:
        """The bare example repository."""
        return self.root / "git" / "config.git"

    @property
    def address(self) -> Path:
        """Where the engine writes its URL when it is ready."""
        return self.root / "run" / "engine.address"

    @property
    def example_made(self) -> Path:
        """Is there once the example Application was made: from then on it is the user's, also to delete."""
        return self.root / "run" / "example-made"

    @property
    def cli_config(self) -> Path:
        """The CLI context used when nothing else is named."""
        return self.root / "cli" / "config"

    def lock(self, name: str) -> Path:
        """The lock that is held while a daemon lives."""
        return self.root / "run" / f"{name}.lock"

    def log(self, name: str) -> Path:
        """What a daemon prints."""
        return self.root / "logs" / f"{name}.log"

    def make(self) -> None:
        """Make the folders, readable by their owner only. Raises HomeError."""
        try:
            for folder in (self.root, *(self.root / name for name in FOLDERS)):
                make_private_folder(folder)
        except OSError as error:
            raise HomeError(
                f"{self.root} cannot be used: {error.strerror or error}. Set TIPHYS_HOME to a folder of yours."
            ) from error

    def ports(self) -> Ports | None:
        """The ports of this home, None before its first start."""
        try:
            found = json.loads((self.root / "run" / "ports.json").read_text())
            return Ports(api=int(found["api"]), server=int(found["server"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None  # a torn write of an older version: choose again

    def choose_ports(self) -> Ports:
        """The ports of this home; at first start the usual ones or the next free ones, kept from then on."""
        known = self.ports()
        if known is not None:
            return known
        api = next_free(API_PORT)
        ports = Ports(api=api, server=next_free(SERVER_PORT, not_this=api))
        write_atomic(self.root / "run" / "ports.json", json.dumps({"api": ports.api, "server": ports.server}).encode())
        return ports


def resolve_home(env: Mapping[str, str]) -> Home:
    """The home of these variables, by the rule of `home_folder`."""
    return Home(home_folder(env))


def is_free(port: int) -> bool:
    """Nothing listens on this port of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def next_free(port: int, *, not_this: int = 0) -> int:
    """`port` or the next one that is free. Raises HomeError after many."""
    for candidate in range(port, port + _PORTS_TRIED):
        if candidate != not_this and is_free(candidate):
            return candidate
    raise HomeError(f"no port is free between {port} and {port + _PORTS_TRIED - 1} on 127.0.0.1")
