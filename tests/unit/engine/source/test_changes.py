"""What differs between two commits, and which paths that concerns."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest
from tests.unit.engine.source.trees import Bare, Content, Link, Submodule

from tiphys.engine.source import changes as module
from tiphys.engine.source.changes import Changes, changes, plain_paths
from tiphys.engine.source.tree import GitTree, TreeObjects

BEFORE: dict[str, Content] = {"apps/a/x": "1", "apps/a/deep/y": "1", "apps/b/x": "1", "base/k": "1", "README": "1"}


def trees(tmp_path: Path, *commits: dict[str, Content]) -> list[GitTree]:
    found = []
    for number, files in enumerate(commits):
        bare = Bare(tmp_path / f"{number}.git")
        sha = bare.commit(files)
        repository = pygit2.Repository(str(bare.folder))
        found.append(GitTree(TreeObjects(repository), str(repository[sha].peel(pygit2.Tree).id)))
    return found


@pytest.mark.parametrize(
    ("after", "concerned", "not_concerned"),
    [
        (
            {**BEFORE, "apps/a/deep/y": "2"},
            ["", "apps", "apps/a", "apps/a/deep", "apps/a/deep/y"],
            ["apps/a/x", "apps/b"],
        ),
        ({**BEFORE, "apps/c/x": "1"}, ["", "apps", "apps/c", "apps/c/x", "apps/c/nowhere"], ["apps/a", "apps/cc"]),
        ({k: v for k, v in BEFORE.items() if "deep" not in k}, ["apps/a/deep/y", "apps/a/deep/z"], ["apps/a/x"]),
        ({**BEFORE, "apps/b/x": Link("../a/x")}, ["apps/b/x", "apps/b"], ["apps/a"]),
        (
            {**{k: v for k, v in BEFORE.items() if k != "base/k"}, "base": "a file"},
            ["base", "base/k", "base/other"],
            ["apps"],
        ),
        (dict(BEFORE), [], ["", "apps", "README"]),
    ],
)
def test_a_path_is_concerned_when_what_is_there_may_be_another_thing(
    tmp_path: Path, after: dict[str, Content], concerned: list[str], not_concerned: list[str]
) -> None:
    left, right = trees(tmp_path, BEFORE, after)
    found = changes(left, right)
    assert found is not None
    assert [path for path in concerned if not found.concern(path)] == []
    assert [path for path in not_concerned if found.concern(path)] == []


def test_too_many_changes_are_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHANGES", 10)
    left, right = trees(tmp_path, {f"f{n}": "1" for n in range(20)}, {f"f{n}": "2" for n in range(20)})
    assert changes(left, right) is None


def test_a_path_through_a_link_or_a_submodule_says_nothing_by_itself(tmp_path: Path) -> None:
    (tree,) = trees(
        tmp_path, {"apps/a/x": "1", "apps/link": Link("a"), "apps/sub": Submodule("1" * 40), "apps/a/l": Link("x")}
    )
    plain = plain_paths(tree, ["./apps/a/", "apps/a/x", "apps/none/at/all", ""])
    assert plain == frozenset({"apps/a", "apps/a/x", "apps/none/at/all", ""})
    for path in ("apps/link/x", "apps/link", "apps/sub/x", "apps/a/l", "../up"):
        assert plain_paths(tree, ["apps/a", path]) is None


def test_what_is_below_is_told_by_whole_names() -> None:
    found = Changes(frozenset(), ("apps/a",))
    assert (found.concern("apps/a/x"), found.concern("apps/ab"), found.concern("apps")) == (True, False, False)
