"""Names people meant: completed by the shell, suggested when misspelt; and resources meant by options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from tiphys.cli import complete, session
from tiphys.cli.app.logs import line, log_query
from tiphys.cli.app.picking import matching, pick
from tiphys.cli.app.resource import filtered, json_patch_text, leaves
from tiphys.cli.completion import _values_written
from tiphys.cli.explain import advice, explained, unreachable
from tiphys.cli.failure import CommandFailed
from tiphys.cli.main import root, run
from tiphys.cli.output import parse_duration
from tiphys.client.errors import PERMISSION_DENIED, UNAUTHENTICATED, ApiFailure, Unreachable


class _Server:
    """Two Applications, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def list_applications(self, **_: Any) -> list[dict[str, Any]]:
        self.asked += 1
        return [{"metadata": {"name": name, "namespace": "argocd"}} for name in ("my-app", "my-shop")]

    def list_projects(self) -> list[dict[str, Any]]:
        raise ApiFailure(14, "away")

    def resource_tree(self, name: str, namespace: str = "") -> dict[str, Any]:
        nodes = [("apps", "Deployment", "web"), ("", "Pod", "web-1"), ("", "Pod", "web-2")]
        return {"nodes": [{"group": g, "kind": k, "name": n, "namespace": "shop", "uid": n} for g, k, n in nodes]}

    def close(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Server:
    """The server, with a cache of its own."""
    server = _Server()
    monkeypatch.setattr(session, "open_api", lambda _ctx, **_: server)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return server


def _complete(complete_names: Any, incomplete: str, **params: Any) -> list[Any]:
    ctx = click.Context(root)
    ctx.params = params
    return list(complete_names(ctx, click.Argument(["name"]), incomplete))


def test_applications_are_completed_and_remembered_for_a_while(server: _Server) -> None:
    """Not those that stand there already; with their namespace once a slash is typed."""
    assert _complete(complete.complete_apps, "my-") == ["my-app", "my-shop"]
    assert _complete(complete.complete_apps, "my-", name=("my-app",)) == ["my-shop"]
    assert _complete(complete.complete_apps, "argocd/my-s") == ["argocd/my-shop"]
    assert server.asked == 1
    complete.forget()
    assert _complete(complete.complete_apps, "") == ["my-app", "my-shop"]
    assert server.asked == 2


def test_a_server_that_fails_completes_nothing(server: _Server) -> None:
    """And says nothing."""
    assert _complete(complete.complete_projects, "") == []


def test_what_follows_a_bare_boolean_is_completed_as_an_argument() -> None:
    """It is not the boolean's value."""
    assert _values_written(root, ["app", "delete", "--wait", "-y", "--selector", "a"]) == [
        *("app", "delete", "--wait=true", "--selector", "a"),
    ]


@pytest.mark.parametrize(
    ("name", "human", "hint"),
    [
        ("my-apx", "there is no application 'my-apx' that you may see", "Did you mean 'my-app'"),
        ("zzz", "there is no application 'zzz' that you may see", "`tiphys app list` shows what there is."),
        ("my-app", "you may not do this to application 'my-app': permission denied", "`tiphys account can-i"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_near_ones(server: _Server, name: str, human: str, hint: str) -> None:
    """For people; programs read Argo CD's words."""
    error = ApiFailure(PERMISSION_DENIED, "permission denied")
    error.path = f"/api/v1/applications/{name}/sync"
    found = explained(click.Context(root, info_name="tiphys"), error)
    assert found.human == human
    assert found.hint.startswith(hint)
    assert str(found) == "rpc error: code = PermissionDenied desc = permission denied"


def test_who_is_not_logged_in_is_told_how_to(server: _Server) -> None:
    """With the name the program was started under."""
    found = explained(click.Context(root, info_name="argocd"), ApiFailure(UNAUTHENTICATED, "no session information"))
    assert "`argocd login HOST`" in found.hint


def test_options_mean_resources() -> None:
    """What is not given matches anything; more than one has to be meant."""
    api: Any = _Server()
    anything: dict[str, Any] = {"group": None, "namespace": None, "resource_name": None}
    nodes = api.resource_tree("x")["nodes"]
    assert [node["name"] for node in matching(nodes, kind="Pod", **anything)] == ["web-1", "web-2"]
    assert pick(api, ("x", ""), kind="Deployment", every=False, verb="patch", **anything)[0]["name"] == "web"
    with pytest.raises(CommandFailed, match="use the --all flag to patch multiple resources"):
        pick(api, ("x", ""), kind="Pod", every=False, verb="patch", **anything)
    with pytest.raises(CommandFailed, match="no matching resource found") as raised:
        pick(api, ("x", ""), kind="Job", every=False, verb="patch", **anything)
    assert raised.value.hint == "There are: Deployment, Pod."


def test_fields_of_objects_are_chosen_by_path() -> None:
    """Through lists."""
    obj = {"spec": {"containers": [{"image": "a"}, {"image": "b"}], "n": 1}, "kind": "Pod"}
    assert filtered(obj, ["spec.containers.image", "kind", "spec.none"]) == {
        "spec": {"containers": {"image": ["a", "b"]}},
        "kind": "Pod",
    }
    assert list(leaves(obj)) == [
        ("spec.containers[0].image", "a"),
        ("spec.containers[1].image", "b"),
        ("spec.n", "1"),
        ("kind", "Pod"),
    ]


def test_a_patch_may_be_yaml() -> None:
    """It is sent as JSON."""
    assert json_patch_text("spec: {replicas: 3}") == '{"spec": {"replicas": 3}}'
    with pytest.raises(CommandFailed, match="neither an object nor a list"):
        json_patch_text("text")


def test_options_of_logs_are_the_api_s_query() -> None:
    """Only those given."""
    given: dict[str, Any] = dict.fromkeys(
        ("group", "kind", "namespace", "resource_name", "since", "until_time"), ""
    ) | {"tail": 0, "since_seconds": 0, "follow": False, "match_case": False, "previous": False, "filters": ()}
    assert log_query(given) == {}
    more = {**given, "kind": "Pod", "resource_name": "x", "tail": 5, "since": "10m", "follow": True, "filters": ("!a",)}
    assert log_query(more) == {
        "kind": "Pod",
        "resourceName": "x",
        "tailLines": "5",
        "sinceSeconds": "600",
        "follow": "true",
        "filter": "!a",
    }
    entry = {"content": "hello", "podName": "web-1", "timeStampStr": "2026-01-01T00:00:00Z"}
    assert line(entry, prefix=False, timestamps=False, colour=False) == "hello"
    assert line(entry, prefix=True, timestamps=True, colour=False) == "web-1 2026-01-01T00:00:00Z hello"


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("7d", 604800), ("500ms", 0.5), ("90", 90), ("0s", 0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """As Go writes them, and days."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 m", "-1s", "soon"])
def test_what_is_no_duration_is_none(text: str) -> None:
    """The caller says what was expected."""
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("message", "what", "hint"),
    [
        (
            'connection error: desc = "dial tcp localhost:9: connection refused"',
            "localhost:9: connection refused",
            "status",
        ),
        ('connection error: desc = "dial tcp: lookup nohost: Name or service not known"', "nohost: Name or", "status"),
    ],
)
def test_a_server_that_does_not_answer_is_named_without_the_words_of_the_protocol(
    message: str, what: str, hint: str
) -> None:
    """Programs get gRPC's words, people get the address and the reason."""
    found = unreachable(Unreachable(message))
    assert str(found) == f"rpc error: code = Unavailable desc = {message}"
    assert found.human.startswith(f"the server cannot be reached: {what}")
    assert hint in found.hint


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("existing application spec is different, use upsert flag to force update", "--upsert replaces"),
        ("New password does not match the following expression: ^.{8,32}$.", "8 to 32 characters"),
        ("New password does not match the following expression: ^[a-z]+$.", "the server's rule"),
        ("current password does not match", "argocd account get-user-info"),
    ],
)
def test_a_refusal_that_is_known_says_what_to_type_next(server: _Server, message: str, hint: str) -> None:
    """The server's words stay as they are."""
    found = explained(click.Context(root, info_name="argocd"), ApiFailure(3, message))
    assert found.human == message
    assert hint in found.hint


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ('one or more objects failed to apply, reason: namespaces "guide" not found', "CreateNamespace=true"),
        ("ComparisonError: apps/my-ap: app path does not exist", "app set my-app --path"),
        ("open charts/my-app/values-nope.yaml: no such file or directory", "app set my-app --values"),
        ("something else", ""),
    ],
)
def test_a_failed_sync_whose_reason_is_known_says_what_to_type_next(message: str, hint: str) -> None:
    """Nothing is guessed where it is not."""
    assert (hint in advice(message, "my-app")) if hint else advice(message, "my-app") == ""


@pytest.mark.parametrize("noun", ["appset", "cert", "gpg", "repo", "repocreds"])
def test_a_noun_of_argo_cd_that_is_not_there_says_what_is_done_instead(
    noun: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Instead of a guess at what was meant."""
    assert run([noun, "list"], program="argocd") == 1
    assert f"`argocd {noun}` is not there yet: " in capsys.readouterr().err
