"""Where a cluster is and who we are there: from a kubeconfig, from inside a Pod, from an Argo CD cluster Secret."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from tiphys.apimachinery.yamljson import YamlError, load_one
from tiphys.runtime.httpclient import Tls, check_proxy
from tiphys.runtime.redact import redact_url
from tiphys.runtime.secret import Secret

IN_CLUSTER_SERVER = "https://kubernetes.default.svc"
SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
EXEC_API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class ClusterConfigError(ValueError):
    """A cluster cannot be reached as described; the message never shows credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """A program that gives credentials.

    `cluster_config` is handed to it when `provide_cluster_info` is set; `folder` is where a relative command is found.
    """

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, Secret] = field(default_factory=dict)
    api_version: str = EXEC_API_VERSIONS[1]
    install_hint: str = ""
    provide_cluster_info: bool = False
    cluster_config: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """How to reach one API server. `server` has no trailing slash and may have a path."""

    server: str
    tls: Tls = field(default_factory=Tls)
    bearer_token: Secret | None = None
    token_file: str | None = None
    username: str = ""
    password: Secret | None = None
    exec_plugin: ExecPlugin | None = None
    proxy: str | None = None
    compress: bool = True
    impersonate_user: str = ""
    impersonate_groups: tuple[str, ...] = ()
    name: str = ""
    namespace: str = ""  # the context's default; empty when it names none

    def __post_init__(self) -> None:
        parts = urlsplit(self.server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClusterConfigError(f"cluster server {redact_url(self.server)!r} is no http or https URL")
        if self.tls.insecure and self.tls.ca:
            raise ClusterConfigError("specifying a root certificates file with the insecure flag is not allowed")
        if self.proxy:
            try:
                check_proxy(self.proxy)
            except ValueError as error:
                raise ClusterConfigError(f"cluster {redact_url(self.server)}: {error}") from None


def in_cluster_config(env: Mapping[str, str], *, folder: str = SERVICE_ACCOUNT_FOLDER) -> ClusterConfig:
    """The cluster this process runs in as a Pod, with its ServiceAccount. Raises ClusterConfigError outside of one."""
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT")
    token_file = os.path.join(folder, "token")
    if not host or not port or not os.path.exists(token_file):
        raise ClusterConfigError(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
        )
    try:
        ca = Path(folder, "ca.crt").read_bytes()
    except OSError:
        ca = None
    try:
        namespace = Path(folder, "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        namespace = ""
    bracketed = f"[{host}]" if ":" in host else host
    return ClusterConfig(
        server=f"https://{bracketed}:{port}",
        tls=Tls(ca=ca),
        token_file=token_file,
        name="in-cluster",
        namespace=namespace,
    )


# ---- kubeconfig ----


def read_kubeconfig(paths: str | Path | Sequence[str | Path], *, context: str | None = None) -> ClusterConfig:
    """The cluster and user a kubeconfig's context names; without `context`, its current one.

    Of several files (the parts of $KUBECONFIG) the first that has a name wins, and files that are absent are passed
    over. Paths inside a file are relative to it. Raises ClusterConfigError.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    clusters: dict[str, _Entry] = {}
    users: dict[str, _Entry] = {}
    contexts: dict[str, _Entry] = {}
    current = ""
    found = False
    for path in files:
        data = _read_file(Path(path), missing_is_fine=len(files) > 1)
        if data is None:
            continue
        found = True
        current = current or _text(data.get("current-context"))
        for into, key, inner in (
            (clusters, "clusters", "cluster"),
            (users, "users", "user"),
            (contexts, "contexts", "context"),
        ):
            for row in _rows(data.get(key)):
                into.setdefault(_text(row.get("name")), _Entry(_map(row.get(inner)), Path(path).parent))
    if not found:
        raise ClusterConfigError(
            f"no kubeconfig found at {', '.join(str(path) for path in files) or 'an empty list of paths'}"
        )
    wanted = context or current
    if not wanted:
        raise ClusterConfigError("the kubeconfig has no current context: name one")
    if wanted not in contexts:
        raise ClusterConfigError(f'context "{wanted}" does not exist')
    chosen = contexts[wanted].data
    cluster_name, user_name = _text(chosen.get("cluster")), _text(chosen.get("user"))
    if cluster_name not in clusters:
        raise ClusterConfigError(f'cluster "{cluster_name}" of context "{wanted}" does not exist')
    if user_name and user_name not in users:
        raise ClusterConfigError(f'user "{user_name}" of context "{wanted}" does not exist')
    user = users.get(user_name, _Entry({}, Path()))
    return _from_entries(clusters[cluster_name], user, name=wanted, namespace=_text(chosen.get("namespace")))


@dataclass(frozen=True, slots=True)
class _Entry:
    data: Mapping[str, object]
    folder: Path

    def bytes_of(self, inline: str, path: str) -> bytes | None:
        """Content given as base64 under `inline`, or as a file under `path`; inline wins."""
        value = _text(self.data.get(inline))
        if value:
            return _decode(value, inline)
        name = _text(self.data.get(path))
        if not name:
            return None
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise ClusterConfigError(f"unable to read {path} {name}: {error.strerror}") from None


def _from_entries(cluster: _Entry, user: _Entry, *, name: str, namespace: str) -> ClusterConfig:
    if user.data.get("auth-provider"):
        raise ClusterConfigError("auth-provider is gone from Kubernetes' clients: use an exec plugin")
    key = user.bytes_of("client-key-data", "client-key")
    token_file = _text(user.data.get("tokenFile"))
    token = _text(user.data.get("token"))
    password = _text(user.data.get("password"))
    insecure = cluster.data.get("insecure-skip-tls-verify") is True
    return ClusterConfig(
        server=_text(cluster.data.get("server")).rstrip("/"),
        tls=Tls(
            ca=cluster.bytes_of("certificate-authority-data", "certificate-authority"),
            client_cert=user.bytes_of("client-certificate-data", "client-certificate"),
            client_key=Secret(key.decode("utf-8", "replace")) if key is not None else None,
            insecure=insecure,
            server_name=_text(cluster.data.get("tls-server-name")) or None,
        ),
        bearer_token=Secret(token) if token else None,
        token_file=str(user.folder / token_file) if token_file else None,
        username=_text(user.data.get("username")),
        password=Secret(password) if password else None,
        exec_plugin=_exec_plugin(user, cluster),
        proxy=_text(cluster.data.get("proxy-url")) or None,
        compress=cluster.data.get("disable-compression") is not True,
        impersonate_user=_text(user.data.get("as")),
        impersonate_groups=tuple(_text(group) for group in _list(user.data.get("as-groups"))),
        name=name,
        namespace=namespace,
    )


def _exec_plugin(user: _Entry, cluster: _Entry) -> ExecPlugin | None:
    data = _map(user.data.get("exec"))
    if not data:
        return None
    command = _text(data.get("command"))
    if "/" in command and not command.startswith("/"):
        command = str(user.folder / command)
    extensions = {_text(row.get("name")): row.get("extension") for row in _rows(cluster.data.get("extensions"))}
    return ExecPlugin(
        command=_required(command, "exec command"),
        args=tuple(_text(arg) for arg in _list(data.get("args"))),
        env={_text(row.get("name")): Secret(_text(row.get("value"))) for row in _rows(data.get("env"))},
        api_version=_exec_version(_text(data.get("apiVersion"))),
        install_hint=_text(data.get("installHint")),
        provide_cluster_info=data.get("provideClusterInfo") is True,
        cluster_config=extensions.get("client.authentication.k8s.io/exec"),
    )


def _read_file(path: Path, *, missing_is_fine: bool) -> Mapping[str, object] | None:
    try:
        data = load_one(path.read_bytes())
    except FileNotFoundError:
        if missing_is_fine:
            return None
        raise ClusterConfigError(f"kubeconfig {path} does not exist") from None
    except OSError as error:
        raise ClusterConfigError(f"kubeconfig {path} cannot be read: {error.strerror}") from None
    except YamlError as error:
        where = f" (line {error.line})" if error.line else ""
        raise ClusterConfigError(f"kubeconfig {path} is no YAML{where}") from None  # the problem may quote a credential
    if data is not None and not isinstance(data, Mapping):
        raise ClusterConfigError(f"kubeconfig {path} is no mapping")
    return data or {}


# ---- Argo CD cluster Secrets ----


def config_from_cluster_secret(
    server: str, config: bytes | str, *, name: str = "", in_cluster: ClusterConfig | None = None
) -> ClusterConfig:
    """The `config` JSON of an Argo CD cluster Secret, for the given `server`.

    `in_cluster` is used when the server is the cluster's own address and `config` has no credentials of its own.
    Raises ClusterConfigError.

    Source: compat 9; argo-cd pkg/apis/application/v1alpha1/types.go ClusterConfig, RawRestConfig.
    """
    try:
        data = _map(orjson.loads(config)) if config.strip() else {}
    except orjson.JSONDecodeError:
        raise ClusterConfigError(f"config of cluster {redact_url(server)} is no JSON") from None
    server = server.rstrip("/")
    tls = _map(data.get("tlsClientConfig"))
    token, password = _text(data.get("bearerToken")), _text(data.get("password"))
    username = _text(data.get("username"))
    plugin = _argocd_plugin(data)
    key = _bytes_field(tls, "keyData")
    cert = _bytes_field(tls, "certData")
    if in_cluster is not None and server == IN_CLUSTER_SERVER and not (token or username or plugin or cert):
        return in_cluster
    return ClusterConfig(
        server=server,
        tls=Tls(
            ca=_bytes_field(tls, "caData"),
            client_cert=cert,
            client_key=Secret(key.decode("utf-8", "replace")) if key else None,
            insecure=tls.get("insecure") is True,
            server_name=_text(tls.get("serverName")) or None,
        ),
        bearer_token=Secret(token) if token and plugin is None else None,
        username=username if plugin is None else "",
        password=Secret(password) if password and plugin is None else None,
        exec_plugin=plugin,
        proxy=_text(data.get("proxyUrl")) or None,
        compress=data.get("disableCompression") is not True,
        name=name,
    )


def _argocd_plugin(data: Mapping[str, object]) -> ExecPlugin | None:
    """The exec plugin of the config; `awsAuthConfig` wins and stands for Argo CD's own helper program."""
    aws = _map(data.get("awsAuthConfig"))
    if aws:
        args = ["aws", "--cluster-name", _text(aws.get("clusterName"))]
        for option, key in (("--role-arn", "roleARN"), ("--profile", "profile")):
            if value := _text(aws.get(key)):
                args += [option, value]
        return ExecPlugin(command="argocd-k8s-auth", args=tuple(args))
    plugin = _map(data.get("execProviderConfig"))
    if not plugin:
        return None
    return ExecPlugin(
        command=_required(_text(plugin.get("command")), "execProviderConfig.command"),
        args=tuple(_text(arg) for arg in _list(plugin.get("args"))),
        env={name: Secret(_text(value)) for name, value in _map(plugin.get("env")).items()},
        api_version=_exec_version(_text(plugin.get("apiVersion"))),
        install_hint=_text(plugin.get("installHint")),
        provide_cluster_info=plugin.get("provideClusterInfo") is True,
        cluster_config=plugin.get("config"),
    )


# ---- reading loosely typed data ----


def _exec_version(text: str) -> str:
    if text not in EXEC_API_VERSIONS:
        raise ClusterConfigError(
            f"exec plugin: invalid apiVersion {text!r}, expected one of {', '.join(EXEC_API_VERSIONS)}"
        )
    return text


def _required(value: str, what: str) -> str:
    if not value:
        raise ClusterConfigError(f"{what} is missing")
    return value


def _bytes_field(data: Mapping[str, object], key: str) -> bytes | None:
    value = _text(data.get(key))
    return _decode(value, key) if value else None


def _decode(value: str, what: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ClusterConfigError(f"{what} is no base64") from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _rows(value: object) -> list[Mapping[str, object]]:
    return [row for row in _list(value) if isinstance(row, Mapping)]
