"""Projects: what `proj` sends, and prints."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tiphys.cli.main import run
from tiphys.cli.proj import changes, projects
from tiphys.cli.proj.projects import row


class _Server:
    """Keeps one project."""

    def __init__(self) -> None:
        self.project: dict[str, Any] = {"metadata": {"name": "shop", "resourceVersion": "7"}, "spec": {}}
        self.upsert: bool | None = None

    def get_project(self, name: str) -> dict[str, Any]:
        return deepcopy(self.project)

    def update_project(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.project = obj
        return obj

    def create_project(self, obj: dict[str, Any], *, upsert: bool = False) -> dict[str, Any]:
        self.project, self.upsert = obj, upsert
        return obj


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    """The server commands talk to."""
    server = _Server()
    for module in (changes, projects):
        monkeypatch.setattr(module, "open_api", lambda _ctx: server)
    return server


def test_items_are_added_once_and_removed_when_there(server: _Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The version read goes along, so that nobody's change is lost."""
    assert run(("proj", "add-source", "shop", "https://x/y")) == 0
    assert run(("proj", "add-source", "shop", "https://x/y")) == 20
    assert run(("proj", "add-destination", "shop", "in-cluster", "web", "--name")) == 0
    assert run(("proj", "allow-cluster-resource", "shop", "", "Namespace")) == 0
    assert run(("proj", "deny-namespace-resource", "shop", "", "LimitRange")) == 0
    assert server.project == {
        "metadata": {"name": "shop", "resourceVersion": "7"},
        "spec": {
            "sourceRepos": ["https://x/y"],
            "destinations": [{"name": "in-cluster", "namespace": "web"}],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}],
            "namespaceResourceBlacklist": [{"group": "", "kind": "LimitRange"}],
        },
    }
    assert run(("proj", "remove-source", "shop", "https://x/y")) == 0
    assert run(("proj", "remove-destination", "shop", "in-cluster", "web")) == 0
    assert run(("proj", "remove-destination", "shop", "in-cluster", "web")) == 20
    assert run(("proj", "allow-namespace-resource", "shop", "", "LimitRange")) == 0
    assert server.project["spec"]["namespaceResourceBlacklist"] == []
    assert "already allowed in project" in capsys.readouterr().err


def test_create_makes_a_project_of_its_options(server: _Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A destination is a URL or a name."""
    options = ("-d", "https://h,web", "-d", "in-cluster,*", "-s", "*", "--allow-cluster-resource", "*/*")
    assert run(("proj", "create", "new", *options, "--orphaned-resources-warn", "--upsert")) == 0
    assert server.upsert is True
    assert server.project == {
        "metadata": {"name": "new"},
        "spec": {
            "destinations": [{"server": "https://h", "namespace": "web"}, {"name": "in-cluster", "namespace": "*"}],
            "sourceRepos": ["*"],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            "orphanedResources": {"warn": True},
        },
    }
    assert capsys.readouterr().out == "project 'new' created\n"


def test_of_one_item_a_row_shows_it_and_of_more_their_number() -> None:
    """As Argo CD's list."""
    spec = {"destinations": [{"server": "s", "namespace": "n"}], "sourceRepos": ["a", "b"]}
    assert row({"metadata": {"name": "p"}, "spec": spec}) == (
        *("p", "", "s,n", "2 repos", "<none>", "<none>", "<none>", "disabled"),
    )
