"""What `app diff` finds and prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiphys.cli.app import diff as module
from tiphys.cli.app.changes import changes, changes_to
from tiphys.cli.app.difftext import as_json, counts, hunks, markdown, path_at, stat, unified, yaml_lines
from tiphys.cli.main import run

_LIVE: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7"},
    "spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "web", "image": "nginx:9", "tty": True}]}}},
    "status": {"replicas": 5},
}
_TARGET: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "nginx:9"}]}}},
}


def _item(live: Any, target: Any, **more: Any) -> dict[str, Any]:
    obj = live or target
    group, slash, _ = obj["apiVersion"].partition("/")
    return {
        "group": group if slash else "",
        "kind": obj["kind"],
        "namespace": "shop",
        "name": obj["metadata"]["name"],
        "liveState": json.dumps(live),
        "targetState": json.dumps(target),
        **more,
    }


def _config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


def test_a_change_is_what_an_apply_changes_and_nothing_the_server_wrote() -> None:
    """Fields that Git does not declare stay on both sides."""
    (change,) = changes([_item(_LIVE, _TARGET, modified=True)])
    assert change.verb == "update"
    (hunk,) = hunks(change, context=0)
    assert (hunk.path, hunk.lines) == ("spec.replicas", ("-  replicas: 5", "+  replicas: 2"))
    text = unified(change)
    assert text.startswith("===== apps/Deployment shop/web ======\n@@ -")
    assert "resourceVersion" not in text
    assert "status" not in text


def test_the_server_s_prediction_counts_before_ours() -> None:
    """It knows what is to be ignored."""
    predicted = {**_LIVE, "spec": {**_LIVE["spec"], "replicas": 3}}
    item = _item(_LIVE, _TARGET, modified=True, predictedLiveState=json.dumps(predicted))
    (change,) = changes([item])
    assert hunks(change, context=0)[0].lines == ("-  replicas: 5", "+  replicas: 3")


def test_what_is_equal_a_hook_or_a_secret_is_left_out() -> None:
    """Creation and pruning are not."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    found = changes(
        [
            _item(_LIVE, _TARGET),
            _item(_config_map("hook"), None, hook=True),
            _item(None, secret, modified=True),
            _item(None, _config_map("new"), modified=True),
            _item(_config_map("old"), None),
        ]
    )
    assert [(change.name, change.verb) for change in found] == [("new", "create"), ("old", "prune")]


def test_another_revision_is_compared_with_what_is_live() -> None:
    """Objects without a namespace are the Application's; ignored differences stay ignored."""
    items = [_item(_LIVE, _TARGET), _item(_config_map("old"), None)]
    found = changes_to(items, [_TARGET, _config_map("new")], namespace="shop")
    assert [(change.name, change.verb) for change in found] == [("web", "update"), ("new", "create"), ("old", "prune")]
    rule = {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}
    assert changes_to(items[:1], [_TARGET], namespace="shop", ignored=[rule]) == []


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("  replicas: 2", "spec.replicas"),
        ("      - image: nginx:9", "spec.template.spec.containers[0].image"),
        ("        name: web", "spec.template.spec.containers[0].name"),
        ("      - image: envoy", "spec.template.spec.containers[1].image"),
        ("        - x", "spec.template.spec.containers[1].args[1]"),
    ],
)
def test_a_hunk_says_where_it_is(line: str, path: str) -> None:
    """Lists stand as far left as their key, or further right."""
    lines = [
        "spec:",
        "  replicas: 2",
        "  template:",
        "    spec:",
        "      containers:",
        "      - image: nginx:9",
        "        name: web",
        "      - image: envoy",
        "        args:",
        "        - y",
        "        - x",
    ]
    assert path_at(lines, lines.index(line)) == path


def test_it_is_counted_and_written_as_json_and_markdown() -> None:
    """For scripts, and for comments on pull requests."""
    found = changes([_item(_LIVE, _TARGET, modified=True), _item(None, _config_map("new"), modified=True)])
    assert counts(found[0]) == (1, 1)
    assert stat(found).splitlines() == [
        "apps/Deployment shop/web  update  +1 -1",
        "/ConfigMap shop/new       create  +6 -0",
        "1 to create, 1 to update; +7 -1 lines",
    ]
    assert stat([]) == "no differences\n"
    assert [(item["change"], item["paths"]) for item in as_json(found)] == [
        ("update", ["spec.replicas"]),
        ("create", []),
    ]
    text = "\n".join(markdown(found, "my-app"))
    assert text.startswith("#### my-app: 1 to create, 1 to update; +7 -1 lines\n")
    assert "```diff\n@@ " in text
    assert yaml_lines(None) == []


class _Server:
    """Answers with one item."""

    def __init__(self, item: dict[str, Any] | None) -> None:
        self._item = item

    def get_application(self, name: str, namespace: str = "", *, refresh: str = "") -> dict[str, Any]:
        return {"spec": {}}

    def managed_resources(self, name: str, namespace: str = "") -> list[dict[str, Any]]:
        return [self._item] if self._item else []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 1),
        (("--exit-code=false",), 0),
        (("--diff-exit-code", "7"), 7),
        (("--exit-codes", "extended"), 10),
        (("-o", "json"), 1),
        (("--local", "x"), 20),
    ],
)
def test_the_exit_code_says_whether_there_are_differences(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int
) -> None:
    """Unless that is not wanted."""
    monkeypatch.setattr(module, "open_api", lambda _ctx: _Server(_item(_LIVE, _TARGET, modified=True)))
    assert run(("app", "diff", "my-app", *options)) == code


def test_without_differences_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it ends with 0."""
    monkeypatch.setattr(module, "open_api", lambda _ctx: _Server(None))
    assert run(("app", "diff", "my-app")) == 0
    assert capsys.readouterr().out == ""


def test_a_program_of_the_user_s_shows_the_diff_where_one_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """$KUBECTL_EXTERNAL_DIFF, as with kubectl."""
    monkeypatch.setattr(module, "open_api", lambda _ctx: _Server(_item(_LIVE, _TARGET, modified=True)))
    monkeypatch.setenv("KUBECTL_EXTERNAL_DIFF", "grep -c replicas")
    assert run(("app", "diff", "my-app")) == 1
    out = capfd.readouterr().out
    assert "web-live.yaml:1\n" in out
    assert "/web:1\n" in out
