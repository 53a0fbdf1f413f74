"""Rules of cluster configuration and credentials."""

from __future__ import annotations

import base64
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.support.clock import VirtualClock
from tests.unit.kube.scripted import CONFIGMAPS, cluster, failure

from tiphys.kube.auth import CredentialsError, Exec, TokenFile, build_auth
from tiphys.kube.config import (
    IN_CLUSTER_SERVER,
    ClusterConfig,
    ClusterConfigError,
    ExecPlugin,
    config_from_cluster_secret,
    in_cluster_config,
    read_kubeconfig,
)
from tiphys.runtime.clock import format_time
from tiphys.runtime.secret import Secret


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


KUBECONFIG = f"""
apiVersion: v1
kind: Config
current-context: two
clusters:
- name: c
  cluster:
    server: https://h:6443/
    certificate-authority: pki/ca.crt
    tls-server-name: api.test
    proxy-url: http://proxy:3128
- name: d
  cluster: {{server: "https://d", insecure-skip-tls-verify: true}}
users:
- name: u
  user:
    client-certificate-data: {b64("CERT")}
    client-key-data: {b64("KEY")}
- name: v
  user:
    token: hunter2
    as: someone
    as-groups: [g]
- name: w
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ./bin/login
      args: [get, token]
      env: [{{name: A, value: hunter2}}]
      installHint: install it
      provideClusterInfo: true
contexts:
- {{name: one, context: {{cluster: c, user: u, namespace: ns}}}}
- {{name: two, context: {{cluster: d, user: v}}}}
- {{name: three, context: {{cluster: c, user: w}}}}
- {{name: broken, context: {{cluster: c, user: nobody}}}}
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.crt").write_bytes(b"CA")
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    return path


def test_a_context_names_cluster_user_and_namespace(kubeconfig: Path) -> None:
    config = read_kubeconfig(kubeconfig, context="one")
    assert (config.server, config.namespace, config.proxy, config.name) == (
        "https://h:6443",
        "ns",
        "http://proxy:3128",
        "one",
    )
    assert (config.tls.ca, config.tls.client_cert, config.tls.server_name) == (b"CA", b"CERT", "api.test")
    assert config.tls.client_key == Secret("KEY")


def test_without_a_name_the_current_context_counts(kubeconfig: Path) -> None:
    config = read_kubeconfig(kubeconfig)
    assert (config.server, config.tls.insecure, config.bearer_token) == ("https://d", True, Secret("hunter2"))
    assert (config.impersonate_user, config.impersonate_groups) == ("someone", ("g",))


def test_an_exec_plugin_is_found_beside_its_file(kubeconfig: Path) -> None:
    plugin = read_kubeconfig(kubeconfig, context="three").exec_plugin
    assert plugin is not None
    assert plugin.command == str(kubeconfig.parent / "bin/login")
    assert (plugin.args, plugin.env, plugin.install_hint) == (("get", "token"), {"A": Secret("hunter2")}, "install it")


def test_configurations_do_not_show_credentials(kubeconfig: Path) -> None:
    for context in ("one", "two", "three"):
        shown = repr(read_kubeconfig(kubeconfig, context=context))
        assert "hunter2" not in shown
        assert "KEY" not in shown


@pytest.mark.parametrize(
    ("context", "message"),
    [("absent", 'context "absent" does not exist'), ("broken", 'user "nobody" of context "broken" does not exist')],
)
def test_what_is_missing_is_named(kubeconfig: Path, context: str, message: str) -> None:
    with pytest.raises(ClusterConfigError, match=message):
        read_kubeconfig(kubeconfig, context=context)


def test_of_several_files_the_first_that_has_a_name_wins(kubeconfig: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("current-context: one\nclusters: [{name: c, cluster: {server: 'https://other'}}]\n")
    config = read_kubeconfig([tmp_path / "absent", other, kubeconfig])
    assert (config.server, config.name, config.tls.client_cert) == ("https://other", "one", b"CERT")


@pytest.mark.parametrize("text", ["a: [", "- 1", "current-context: x", "\x00"])
def test_a_broken_kubeconfig_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(ClusterConfigError):
        read_kubeconfig(tmp_path / "config")


def test_in_cluster_reads_the_service_account(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("ca.crt", "CA"), ("namespace", "argocd\n")):
        (tmp_path / name).write_text(text)
    env = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    config = in_cluster_config(env, folder=str(tmp_path))
    assert (config.server, config.namespace, config.tls.ca) == ("https://[fd00::1]:443", "argocd", b"CA")
    assert config.token_file == str(tmp_path / "token")
    with pytest.raises(ClusterConfigError, match="unable to load in-cluster configuration"):
        in_cluster_config({}, folder=str(tmp_path))


# ---- Argo CD cluster Secrets ----


def test_a_cluster_secret_with_token_and_ca() -> None:
    data = {"bearerToken": "t", "tlsClientConfig": {"caData": b64("CA"), "serverName": "n"}, "proxyUrl": "http://p"}
    config = config_from_cluster_secret("https://h/", json.dumps(data), name="prod")
    assert (config.server, config.name, config.bearer_token) == ("https://h", "prod", Secret("t"))
    assert (config.tls.ca, config.tls.server_name, config.proxy) == (b"CA", "n", "http://p")


def test_a_cluster_secret_with_certificate_and_basic_auth() -> None:
    data = {
        "username": "u",
        "password": "p",
        "disableCompression": True,
        "tlsClientConfig": {"insecure": True, "certData": b64("CERT"), "keyData": b64("KEY")},
    }
    config = config_from_cluster_secret("https://h", json.dumps(data))
    assert (config.username, config.password, config.compress, config.tls.insecure) == ("u", Secret("p"), False, True)
    assert (config.tls.client_cert, config.tls.client_key) == (b"CERT", Secret("KEY"))


def test_aws_auth_stands_for_its_program() -> None:
    data = {"awsAuthConfig": {"clusterName": "c", "roleARN": "r", "profile": "p"}, "bearerToken": "ignored"}
    config = config_from_cluster_secret("https://h", json.dumps(data))
    assert config.exec_plugin == ExecPlugin(
        command="argocd-k8s-auth",
        args=("aws", "--cluster-name", "c", "--role-arn", "r", "--profile", "p"),
        api_version="client.authentication.k8s.io/v1beta1",
    )
    assert config.bearer_token is None


def test_an_exec_provider_is_taken_over() -> None:
    data = {
        "execProviderConfig": {
            "command": "argocd-k8s-auth",
            "args": ["gcp"],
            "env": {"A": "hunter2"},
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "installHint": "hint",
        }
    }
    plugin = config_from_cluster_secret("https://h", json.dumps(data)).exec_plugin
    assert plugin is not None
    assert (plugin.command, plugin.args, plugin.env["A"].reveal()) == ("argocd-k8s-auth", ("gcp",), "hunter2")
    assert "hunter2" not in repr(plugin)


def test_the_own_cluster_without_credentials_is_the_in_cluster_one() -> None:
    own = ClusterConfig(server="https://10.0.0.1:443", token_file="/t")
    assert (
        config_from_cluster_secret(IN_CLUSTER_SERVER, '{"tlsClientConfig":{"insecure":false}}', in_cluster=own) is own
    )
    other = config_from_cluster_secret(IN_CLUSTER_SERVER, '{"bearerToken":"t"}', in_cluster=own)
    assert other.bearer_token == Secret("t")


@pytest.mark.parametrize(
    ("server", "config", "message"),
    [
        ("https://h", {"tlsClientConfig": {"insecure": True, "caData": b64("CA")}}, "insecure flag is not allowed"),
        ("https://h", {"proxyUrl": "ftp://p"}, "proxy scheme 'ftp'"),
        ("ftp://h", {}, "no http or https URL"),
        ("https://h", {"tlsClientConfig": {"caData": "???"}}, "caData is no base64"),
        ("https://h", {"execProviderConfig": {"command": "c", "apiVersion": "v9"}}, "invalid apiVersion"),
    ],
)
def test_unusable_cluster_secrets_are_refused(server: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ClusterConfigError, match=message):
        config_from_cluster_secret(server, json.dumps(config))


# ---- credentials ----


async def test_basic_auth_is_encoded() -> None:
    auth = build_auth(ClusterConfig(server="https://h", username="u", password=Secret("p")), clock=VirtualClock())
    authorization = (await auth.credentials()).authorization
    assert authorization is not None
    assert authorization.reveal() == "Basic " + b64("u:p")


async def test_a_token_file_is_read_again_after_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    clock = VirtualClock()
    auth = TokenFile(str(path), fallback=None, clock=clock)

    async def now() -> str:
        authorization = (await auth.credentials()).authorization
        assert authorization is not None
        return authorization.reveal()

    assert await now() == "Bearer one"
    path.write_text("two")
    await clock.advance(59)
    assert await now() == "Bearer one"
    await clock.advance(2)
    assert await now() == "Bearer two"
    path.unlink()
    await clock.advance(120)
    assert await now() == "Bearer two"  # the last one counts while there is none
    with pytest.raises(CredentialsError, match="cannot be read"):
        await TokenFile(str(path), fallback=None, clock=clock).credentials()


async def test_401_is_answered_once_with_fresh_credentials(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")

    async def answer(request: web.Request) -> web.Response:
        if request.headers["Authorization"] == "Bearer new":
            return web.json_response({"kind": "ConfigMap"})
        path.write_text("new")
        return failure(401, "Unauthorized", "Unauthorized")

    async with cluster(answer, token_file=str(path), clock=VirtualClock()) as (client, server):
        assert (await client.get(CONFIGMAPS, "a", "ns"))["kind"] == "ConfigMap"
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer old", "Bearer new"]


SCRIPT = """#!{python}
import json, os, sys
path = {folder!r} + "/calls"
calls = int(open(path).read()) if os.path.exists(path) else 0
open(path, "w").write(str(calls + 1))
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
if len(sys.argv) > 1 and sys.argv[1] == "fail":
    print("no luck with " + os.environ["PASSWORD"], file=sys.stderr)
    sys.exit(2)
assert "PATH" in os.environ and "HOME" not in os.environ
status = {{"token": "token-%d" % calls, "expirationTimestamp": open({folder!r} + "/ends").read()}}
if info["spec"].get("cluster"):
    status["token"] = info["spec"]["cluster"]["server"]
print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}}))
"""


def exec_auth(tmp_path: Path, clock: VirtualClock, **plugin: Any) -> Exec:
    script = tmp_path / "login"
    script.write_text(SCRIPT.format(python=sys.executable, folder=str(tmp_path)))
    script.chmod(0o700)
    (tmp_path / "ends").write_text(format_time(clock.now() + timedelta(minutes=10)))
    options: dict[str, Any] = {"command": str(script), "env": {"PASSWORD": Secret("hunter2")}, **plugin}
    return Exec(ExecPlugin(**options), ClusterConfig(server="https://h"), clock=clock, env={"PATH": "/usr/bin:/bin"})


async def test_an_exec_plugin_is_asked_once_until_its_answer_ends(tmp_path: Path) -> None:
    import asyncio

    clock = VirtualClock()
    auth = exec_auth(tmp_path, clock)
    answers = await asyncio.gather(*(auth.credentials() for _ in range(5)))
    assert {answer.authorization.reveal() for answer in answers if answer.authorization} == {"Bearer token-0"}
    await clock.advance(500)
    assert (await auth.credentials()) is answers[0]
    await clock.advance(90)  # within the margin of the end
    (tmp_path / "ends").write_text(format_time(clock.now() + timedelta(minutes=10)))
    fresh = await auth.credentials()
    assert fresh.authorization == Secret("Bearer token-1")
    assert auth.refused(fresh)
    assert (await auth.credentials()).authorization == Secret("Bearer token-2")
    assert (tmp_path / "calls").read_text() == "3"


async def test_an_exec_plugin_is_told_of_the_cluster_if_it_wants(tmp_path: Path) -> None:
    auth = exec_auth(tmp_path, VirtualClock(), provide_cluster_info=True)
    assert (await auth.credentials()).authorization == Secret("Bearer https://h")


async def test_a_failing_exec_plugin_is_quoted_without_its_secrets(tmp_path: Path) -> None:
    auth = exec_auth(tmp_path, VirtualClock(), args=("fail",))
    with pytest.raises(CredentialsError, match=r"failed with exit code 2: no luck with \*\*\*\*\*\*"):
        await auth.credentials()


async def test_a_missing_exec_plugin_comes_with_its_hint(tmp_path: Path) -> None:
    auth = exec_auth(tmp_path, VirtualClock(), command="no-such-program", install_hint="get it from x")
    with pytest.raises(CredentialsError, match=r"no-such-program not found \(get it from x\)"):
        await auth.credentials()


async def test_an_answer_of_another_version_is_refused(tmp_path: Path) -> None:
    auth = exec_auth(tmp_path, VirtualClock(), command="echo", args=('{"kind":"ExecCredential","apiVersion":"v0"}',))
    with pytest.raises(CredentialsError, match="API version"):
        await auth.credentials()
