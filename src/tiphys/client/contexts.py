"""The CLI's configuration file: servers, users, contexts; the format and places are Argo CD's.

Source: api-ui 5.1 "Config".
"""

from __future__ import annotations

import base64
import binascii
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.apimachinery.yamljson import YamlError, dump_yaml, load_one
from tiphys.client.errors import ContextError
from tiphys.runtime.files import make_private_folder, write_atomic
from tiphys.runtime.secret import Secret

_MODES = (0o600, 0o400)
_NOTHING = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One context, resolved: the server, how to reach it, and who is logged in."""

    name: str
    server: str
    user: str = ""
    token: Secret = _NOTHING
    refresh_token: Secret = _NOTHING
    insecure: bool = False
    plain_text: bool = False
    grpc_web: bool = False
    root_path: str = ""
    core: bool = False
    ca: str = ""
    client_cert: str = ""
    client_key: Secret = _NOTHING


class ContextFile:
    """A configuration file in memory. What is unknown here survives a round trip."""

    def __init__(self, raw: Mapping[str, Any] | None = None) -> None:
        self._raw: dict[str, Any] = dict(raw or {})

    @property
    def current(self) -> str:
        """Name of the current context, empty when there is none."""
        return str(self._raw.get("current-context") or "")

    @current.setter
    def current(self, name: str) -> None:
        self._raw["current-context"] = name

    @property
    def names(self) -> list[str]:
        """Names of all contexts, in the file's order."""
        return [str(item.get("name")) for item in self._items("contexts")]

    @property
    def empty(self) -> bool:
        """No context at all."""
        return not self._items("contexts")

    @property
    def prompts_enabled(self) -> bool | None:
        """Whether commands ask before they delete something; None when the file does not say."""
        found = self._raw.get("prompts-enabled")
        return None if found is None else bool(found)

    @prompts_enabled.setter
    def prompts_enabled(self, enabled: bool) -> None:
        self._raw["prompts-enabled"] = enabled

    def login(self, name: str = "") -> Login:
        """A context by name, the current one by default. Raises ContextError."""
        wanted = name or self.current
        context = self._find("contexts", "name", wanted)
        if context is None:
            raise ContextError(f"Context '{wanted}' undefined")
        server = self._find("servers", "server", context.get("server"))
        if server is None:
            raise ContextError(f"Server '{context.get('server')}' undefined")
        user = self._find("users", "name", context.get("user"))
        if user is None:
            raise ContextError(f"User '{context.get('user')}' undefined")
        return Login(
            name=wanted,
            server=str(server.get("server") or ""),
            user=str(user.get("name") or ""),
            token=Secret(str(user.get("auth-token") or "")),
            refresh_token=Secret(str(user.get("refresh-token") or "")),
            insecure=bool(server.get("insecure")),
            plain_text=bool(server.get("plain-text")),
            grpc_web=bool(server.get("grpc-web")),
            root_path=str(server.get("grpc-web-root-path") or ""),
            core=bool(server.get("core")),
            ca=_decoded(server, "certificate-authority-data"),
            client_cert=_decoded(server, "client-certificate-data"),
            client_key=Secret(_decoded(server, "client-certificate-key-data")),
        )

    def of_server(self, server: str) -> Login | None:
        """The context of a server: the current one if it is that server's, else the first; None without any."""
        names = [str(item.get("name")) for item in self._items("contexts") if item.get("server") == server]
        if not names:
            return None
        return self.login(self.current if self.current in names else names[0])

    def put(self, login: Login) -> None:
        """Add or replace a context with its server and user."""
        server: dict[str, Any] = {"server": login.server}
        flags = {"insecure": login.insecure, "plain-text": login.plain_text, "grpc-web": login.grpc_web}
        server.update({key: True for key, value in flags.items() if value})
        texts = {
            "grpc-web-root-path": login.root_path,
            "certificate-authority-data": _encoded(login.ca),
            "client-certificate-data": _encoded(login.client_cert),
            "client-certificate-key-data": _encoded(login.client_key.reveal()),
        }
        server.update({key: value for key, value in texts.items() if value})
        user = {"name": login.user or login.name, "auth-token": login.token.reveal()}
        if login.refresh_token:
            user["refresh-token"] = login.refresh_token.reveal()
        self._put("servers", "server", server)
        self._put("users", "name", user)
        self._put("contexts", "name", {"name": login.name, "server": login.server, "user": user["name"]})

    def set_token(self, user: str, token: Secret, *, refresh_token: Secret | None = None) -> None:
        """Replace a user's token; an empty one logs out."""
        entry: dict[str, Any] = {"name": user}
        if token:
            entry["auth-token"] = token.reveal()
        if refresh_token:
            entry["refresh-token"] = refresh_token.reveal()
        self._put("users", "name", entry)

    def remove(self, name: str) -> bool:
        """Remove a context, and its server and user where no other context uses them; False when there is none."""
        context = self._find("contexts", "name", name)
        if context is None:
            return False
        self._raw["contexts"] = [item for item in self._items("contexts") if item is not context]
        for group, key, field in (("servers", "server", "server"), ("users", "name", "user")):
            if not any(item.get(field) == context.get(field) for item in self._items("contexts")):
                self._raw[group] = [item for item in self._items(group) if item.get(key) != context.get(field)]
        if self.current == name:
            self.current = ""
        return True

    def text(self) -> str:
        """The file's text."""
        return dump_yaml(self._raw)

    def _items(self, group: str) -> list[dict[str, Any]]:
        items = self._raw.get(group)
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    def _find(self, group: str, key: str, value: object) -> dict[str, Any] | None:
        return next((item for item in self._items(group) if item.get(key) == value), None)

    def _put(self, group: str, key: str, entry: dict[str, Any]) -> None:
        items = self._items(group)
        for index, item in enumerate(items):
            if item.get(key) == entry[key]:
                items[index] = entry
                break
        else:
            items.append(entry)
        self._raw[group] = items


def read_contexts(path: Path) -> ContextFile | None:
    """The file's contexts, None when there is no file. Raises ContextError, also for a file that others can read."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ContextError(f"{path} cannot be read: {error.strerror}") from error
    if mode not in _MODES:
        raise ContextError(
            f"config file has incorrect permission flags:{stat.filemode(stat.S_IFREG | mode)}."
            "change the file permission either to 0400 or 0600."
        )
    try:
        raw = load_one(text)
    except YamlError as error:
        raise ContextError(f"{path} cannot be read: {error}") from None
    if raw is not None and not isinstance(raw, dict):
        raise ContextError(f"{path} cannot be read: it is no mapping")
    return ContextFile(raw)


def write_contexts(path: Path, contexts: ContextFile) -> None:
    """Replace the file in one step, readable by its owner only. Raises ContextError."""
    try:
        if not path.parent.exists():
            make_private_folder(path.parent)
        write_atomic(path, contexts.text().encode())
    except OSError as error:
        raise ContextError(f"{path} cannot be written: {error.strerror}") from error


def own_config_path(env: Mapping[str, str], home: Path) -> Path:
    """Where Argo CD's CLI keeps its file: $ARGOCD_CONFIG_DIR, an existing ~/.argocd, $XDG_CONFIG_HOME, ~/.config."""
    named = env.get("ARGOCD_CONFIG_DIR")
    if named:
        return Path(named) / "config"
    if (home / ".argocd").is_dir():
        return home / ".argocd" / "config"
    base = env.get("XDG_CONFIG_HOME")
    return (Path(base) if base else home / ".config") / "argocd" / "config"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode() if text else ""


def _decoded(entry: Mapping[str, Any], key: str) -> str:
    text = str(entry.get(key) or "")
    try:
        return base64.b64decode(text, validate=True).decode() if text else ""
    except (binascii.Error, UnicodeDecodeError):
        raise ContextError(f"{key} of server '{entry.get('server')}' is not base64") from None
