"""What `app set`, `unset`, `add-source`, `remove-source` and `edit` make of a spec."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tiphys.cli import ask
from tiphys.cli.app import change as module
from tiphys.cli.app.edit import EditorError, edit_until_saved
from tiphys.cli.app.unset import unset_source
from tiphys.cli.failure import CommandFailed
from tiphys.cli.main import run


class _Server:
    """Keeps one spec."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.writes = 0

    def get_application(self, name: str, namespace: str = "") -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": deepcopy(self.spec)}

    def update_application_spec(
        self, name: str, namespace: str, spec: dict[str, Any], *, validate: bool
    ) -> dict[str, Any]:
        self.spec = spec
        self.writes += 1
        return spec


def _server(monkeypatch: pytest.MonkeyPatch, **spec: Any) -> _Server:
    server = _Server({"destination": {}, **spec})
    monkeypatch.setattr(module, "open_api", lambda _ctx: server)
    return server


def test_set_changes_what_is_given_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter and an image replace those of the same name."""
    helm = {"parameters": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}
    source = {"repoURL": "r", "path": "p", "helm": helm, "kustomize": {"images": ["nginx:1", "envoy:1"]}}
    server = _server(monkeypatch, source=source)
    assert run(("app", "set", "x", "-p", "b=3", "--revision", "v1", "--kustomize-image", "nginx:2")) == 0
    assert server.spec["source"] == {
        "repoURL": "r",
        "path": "p",
        "targetRevision": "v1",
        "helm": {"parameters": [{"name": "a", "value": "1"}, {"name": "b", "value": "3"}]},
        "kustomize": {"images": ["envoy:1", "nginx:2"]},
    }
    assert run(("app", "set", "x")) == 1


def test_set_needs_to_know_which_of_several_sources(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By position or name; what is no source's needs none."""
    server = _server(monkeypatch, sources=[{"repoURL": "a"}, {"repoURL": "b", "name": "second"}])
    assert run(("app", "set", "x", "--path", "p")) == 20
    assert "source position should be specified and must be greater than 0" in capsys.readouterr().err
    assert run(("app", "set", "x", "--source-position", "3", "--path", "p")) == 20
    assert run(("app", "set", "x", "--source-position", "1", "--path", "p")) == 0
    assert run(("app", "set", "x", "--source-name", "second", "--revision", "v2")) == 0
    assert run(("app", "set", "x", "--sync-policy", "auto", "--self-heal")) == 0
    assert server.spec == {
        "destination": {},
        "sources": [{"repoURL": "a", "path": "p"}, {"repoURL": "b", "name": "second", "targetRevision": "v2"}],
        "syncPolicy": {"automated": {"selfHeal": True}},
    }


def test_options_of_the_hydrator_reach_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether anything acts on it is for the server to say."""
    server = _server(monkeypatch)
    options = (
        "--dry-source-repo",
        "r",
        "--dry-source-path",
        "p",
        "--sync-source-branch",
        "b",
        "--hydrate-to-branch",
        "h",
    )
    assert run(("app", "set", "x", *options)) == 0
    assert server.spec == {
        "destination": {},
        "sourceHydrator": {
            "drySource": {"repoURL": "r", "path": "p"},
            "syncSource": {"targetBranch": "b"},
            "hydrateTo": {"targetBranch": "h"},
        },
    }


def test_unset_takes_away_what_is_named() -> None:
    """And blocks that are empty then; nothing else."""
    source: dict[str, Any] = {
        "repoURL": "r",
        "ref": "values",
        "helm": {"parameters": [{"name": "a"}, {"name": "b"}], "valueFiles": ["x", "y"], "values": "z"},
        "kustomize": {"images": ["nginx=other:1"], "namePrefix": "p"},
        "plugin": {"env": [{"name": "E", "value": "1"}]},
    }
    given = {
        "parameters": ("a",),
        "values": ("y",),
        "values_literal": True,
        "kustomize_images": ("nginx",),
        "nameprefix": True,
        "plugin_envs": ("E",),
        "ref": True,
    }
    assert unset_source(source, given)
    assert source == {"repoURL": "r", "helm": {"parameters": [{"name": "b"}], "valueFiles": ["x"]}}
    assert not unset_source(source, given)


def test_unset_of_what_is_not_there_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nothing changed."""
    server = _server(monkeypatch, source={"repoURL": "r"})
    assert run(("app", "unset", "x", "-p", "a")) == 0
    assert server.writes == 0
    assert run(("app", "unset", "x")) == 1


def test_sources_are_added_and_removed_where_there_are_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last one stays."""
    server = _server(monkeypatch, sources=[{"repoURL": "a"}])
    assert run(("app", "add-source", "x", "--repo", "b", "--ref", "v", "--source-name", "n")) == 0
    assert server.spec["sources"] == [{"repoURL": "a"}, {"repoURL": "b", "ref": "v", "name": "n"}]
    assert run(("app", "remove-source", "x", "--source-position", "1")) == 0
    assert server.spec["sources"] == [{"repoURL": "b", "ref": "v", "name": "n"}]
    assert run(("app", "remove-source", "x", "--source-name", "n")) == 20
    said = capsys.readouterr()
    assert said.out == "Application 'x' updated successfully\n" * 2
    assert "Cannot remove the only source remaining in the app" in said.err
    single = _server(monkeypatch, source={"repoURL": "a"})
    assert run(("app", "add-source", "x", "--repo", "b")) == 20
    assert single.writes == 0


def _writes(*texts: str) -> Any:
    rest = list(texts)

    def editor(path: Path) -> None:
        path.write_text(rest.pop(0))

    return editor


def test_an_edit_is_saved_without_its_comments() -> None:
    """As YAML."""
    saved: list[Any] = []
    assert edit_until_saved("a: 1\n", "x", _writes("# head\na: 2\n"), saved.append)
    assert saved == [{"a": 2}]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "# head\na: 1\n"])
def test_an_edit_that_changes_nothing_is_cancelled(text: str) -> None:
    """Nothing is sent."""
    saved: list[Any] = []
    assert not edit_until_saved("a: 1\n", "x", _writes(text), saved.append)
    assert saved == []


def test_a_refused_text_comes_back_with_the_reason_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left as it is, it is given up, and the error names the file."""
    monkeypatch.setattr(ask, "is_interactive", lambda: True)
    shown: list[str] = []
    texts = ["a: [\n", "a: 2\n", "a: 2\n"]

    def editor(path: Path) -> None:
        shown.append(path.read_text())
        path.write_text(texts.pop(0))

    def save(spec: dict[str, Any]) -> None:
        raise EditorError("spec.project: no such project")

    with pytest.raises(CommandFailed, match="no such project") as raised:
        edit_until_saved("a: 1\n", "x", editor, save)
    assert shown[1].endswith("#\na: [\n")
    assert "# spec.project: no such project\n#\na: 2\n" in shown[2]
    kept = Path(str(raised.value).rsplit(" ", 1)[1].rstrip(")"))
    assert kept.read_text() == "a: 2\n"
    kept.unlink()
