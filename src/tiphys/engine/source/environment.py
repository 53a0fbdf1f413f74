"""The whole environment of one run of git: nobody's configuration, no prompts, and credentials that no one else can read.

Arguments can be read by every user of the machine, so they carry nothing. Short secrets travel as git's configuration in
variables, bound to the repository's own origin; what ssh and curl want as files (keys, certificates, known hosts) is
written to a private folder that is gone when git is.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from tiphys.engine.source.access import DIRECT, Connection, GitCredentials
from tiphys.engine.source.urls import RepositoryUrl
from tiphys.runtime.files import make_private_folder, scratch_folder, write_atomic

SSH_CONNECT_TIMEOUT_S = 15
_SSH_OPTIONS = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ConnectTimeout": str(SSH_CONNECT_TIMEOUT_S),
    "ControlMaster": "no",
    "ForwardAgent": "no",
    "GlobalKnownHostsFile": "/dev/null",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "LogLevel": "ERROR",
    "PermitLocalCommand": "no",
    "PreferredAuthentications": "publickey",
    "ServerAliveCountMax": "4",
    "ServerAliveInterval": "15",
    "UpdateHostKeys": "no",
}
_CONFIG = (
    ("gc.autoDetach", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("fetch.fsckObjects", "false"),
    ("transfer.credentialsInUrl", "die"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
)


def sends_header(url: RepositoryUrl, credentials: GitCredentials | None) -> bool:
    """git would send credentials to this URL without being asked for them."""
    return bool(url.origin and credentials is not None and _authorization(credentials))


@contextmanager
def git_environment(
    url: RepositoryUrl,
    credentials: GitCredentials | None,
    *,
    folder: Path,
    private: Path,
    base: Mapping[str, str],
    follow: bool = False,
) -> Iterator[dict[str, str]]:
    """Variables for a git that works on the mirror `folder`; files in `private` last as long as the context.

    A header of credentials goes along when curl follows a redirection, also to another host; so with one, redirections
    end the fetch. With `follow`, credentials are sent only when asked for, and only by the host they are meant for.
    """
    config = list(_CONFIG)
    env = {
        **base,
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_DIR": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file" if url.local is not None else "ssh" if url.ssh_host else "https:http",
    }
    with ExitStack() as stack:
        files = _Files(stack, private)
        if url.ssh_host:
            env["GIT_SSH_COMMAND"] = _ssh_command(credentials or GitCredentials(), files)
            env["GIT_SSH_VARIANT"] = "ssh"
        elif url.origin:
            config += _http_config(url, credentials, files, follow)
            connection = credentials.connection if credentials is not None else DIRECT
            if connection.proxy:
                for name in ("NO_PROXY", "no_proxy"):
                    env[name] = connection.no_proxy
        env["GIT_CONFIG_COUNT"] = str(len(config))
        for index, (key, value) in enumerate(config):
            env[f"GIT_CONFIG_KEY_{index}"] = key
            env[f"GIT_CONFIG_VALUE_{index}"] = value
        yield env


class _Files:
    """Private files of one run; the folder is made with the first."""

    def __init__(self, stack: ExitStack, private: Path) -> None:
        self._stack = stack
        self._private = private
        self._folder: Path | None = None

    def write(self, name: str, text: str) -> Path:
        if self._folder is None:
            self._folder = self._stack.enter_context(scratch_folder(make_private_folder(self._private), prefix="git-"))
        path = self._folder / name
        # Keys are refused without their last line end, which is often lost on the way into a Secret.
        write_atomic(path, (text.replace("\r\n", "\n").rstrip("\n") + "\n").encode())
        return path


def _http_config(
    url: RepositoryUrl, credentials: GitCredentials | None, files: _Files, follow: bool
) -> list[tuple[str, str]]:
    if credentials is None:
        return []
    scope = f"http.{url.origin}"
    config: list[tuple[str, str]] = []
    header = _authorization(credentials)
    if header and not follow:
        config += [(f"{scope}.extraHeader", f"Authorization: {header}"), ("http.followRedirects", "false")]
    elif header:
        scheme, _, rest = url.origin.partition("://")
        user = quote(credentials.username or "git", safe="")
        store = files.write("store", f"{scheme}://{user}:{quote(credentials.password.reveal(), safe='')}@{rest}")
        config.append(("credential.helper", f"store --file={shlex.quote(str(store))}"))
    connection = credentials.connection
    if connection.insecure:
        config.append((f"{scope}.sslVerify", "false"))
    elif connection.ca:
        config.append((f"{scope}.sslCAInfo", str(files.write("ca.pem", connection.ca))))
    if connection.proxy:
        config.append((f"{scope}.proxy", connection.proxy))
    if credentials.client_cert and credentials.client_key:
        config.append((f"{scope}.sslCert", str(files.write("cert.pem", credentials.client_cert))))
        config.append((f"{scope}.sslKey", str(files.write("key.pem", credentials.client_key.reveal()))))
    return config


def _ssh_command(credentials: GitCredentials, files: _Files) -> str:
    options = {**_SSH_OPTIONS, **_host_check(credentials.connection, files)}
    options["IdentityFile"] = "none"
    if credentials.ssh_private_key:
        options["IdentityFile"] = _quoted(files.write("identity", credentials.ssh_private_key.reveal()))
    words = ["ssh", "-F", "none"]
    for name, value in sorted(options.items()):
        words += ["-o", f"{name}={value}"]
    return shlex.join(words)  # git hands it to a shell; nothing in it comes from a user


def _host_check(connection: Connection, files: _Files) -> dict[str, str]:
    if connection.insecure:
        return {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
    return {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _quoted(files.write("known_hosts", connection.known_hosts)),
    }


def _quoted(path: Path) -> str:
    """A path as ssh reads it in an option: white space in quotes, % not as the start of a token."""
    return '"' + str(path).replace("%", "%%") + '"'


def _authorization(credentials: GitCredentials) -> str:
    if credentials.bearer_token and not credentials.password:
        return f"Bearer {credentials.bearer_token.reveal()}"
    if not (credentials.username or credentials.password):
        return ""
    pair = f"{credentials.username or 'git'}:{credentials.password.reveal()}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
