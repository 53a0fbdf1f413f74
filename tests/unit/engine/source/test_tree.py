"""Reading files of a commit by id: links stay inside, nothing hostile gets out."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest
from tests.unit.engine.source.trees import Bare, Content, Link, Submodule

from tiphys.engine.source.tree import GitTree, TreeObjects
from tiphys.engine.states import FileKind, StageError


def tree_of(tmp_path: Path, files: dict[str, Content]) -> GitTree:
    bare = Bare(tmp_path / "r.git")
    sha = bare.commit(files)
    repository = pygit2.Repository(str(bare.folder))
    return GitTree(TreeObjects(repository), str(repository[sha].peel(pygit2.Tree).id))


def listed(tree: GitTree, path: str = "", *, recurse: bool = True) -> list[tuple[str, str]]:
    return [(entry.path, entry.kind.value) for entry in tree.entries(path, recurse=recurse)]


def test_files_come_in_the_order_a_walk_meets_them(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"a-b/x": "1", "a/x": "2", "a.y": "3", "b": "4"})
    assert [path for path, _ in listed(tree)] == ["a/x", "a-b/x", "a.y", "b"]
    assert listed(tree, recurse=False) == [("a", "directory"), ("a-b", "directory"), ("a.y", "file"), ("b", "file")]


def test_a_file_is_read_by_its_id_and_size_is_told(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"d/x": "hello"})
    (entry,) = tree.entries("d", recurse=False)
    assert (entry.path, entry.size_bytes, tree.read(entry.oid)) == ("d/x", 5, b"hello")
    assert tree.tree_id("d/x") == entry.oid


def test_equal_content_has_an_equal_id(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"a/x": "1", "b/x": "1", "c/x": "2"})
    assert tree.tree_id("a") == tree.tree_id("./b/") == tree.tree_id("c/../b")
    assert tree.tree_id("a") != tree.tree_id("c")
    assert tree.tree_id("nothing") is None
    assert tree.tree_id("a/x/y") is None


def test_one_path_is_told_without_a_listing_of_its_folder(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"a/x": "hello", "l": Link("a"), "f": Link("a/x"), "s": Submodule(), "n": Link("no")})
    found = {path: tree.entry(path) for path in ("a", "a/x", "l/x", "f", "l", "s", "n", "no", "")}
    told = {path: (entry.kind.value, entry.size_bytes) for path, entry in found.items() if entry is not None}
    folder, file = ("directory", 0), ("file", 5)
    assert told == {"a": folder, "a/x": file, "l/x": file, "f": file, "l": folder, "s": folder, "": folder}
    assert [entry.oid for entry in found.values() if entry] == [tree.tree_id(path) for path in told]


@pytest.mark.parametrize("path", ["/etc", "..", "../x", "a/../../x"])
def test_a_path_outside_the_root_is_an_error(tmp_path: Path, path: str) -> None:
    tree = tree_of(tmp_path, {"a/x": "1"})
    for ask in (lambda: tree.tree_id(path), lambda: tree.entries(path, recurse=True)):
        with pytest.raises(StageError, match="app path"):
            ask()


def test_missing_directories_and_files_are_told_apart(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"a/x": "1"})
    with pytest.raises(StageError, match=r"^nope: app path does not exist"):
        tree.entries("nope", recurse=True)
    with pytest.raises(StageError, match=r"^a/x: app path is not a directory"):
        tree.entries("a/x", recurse=True)


def test_links_inside_the_root_are_followed(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        {"base/x.yaml": "x", "app/x.yaml": Link("../base/x.yaml"), "app/y.yaml": Link("x.yaml"), "other": Link("app")},
    )
    entries = tree.entries("app", recurse=True)
    assert [(e.path, e.kind, tree.read(e.oid), e.size_bytes) for e in entries] == [
        ("app/x.yaml", FileKind.LINK, b"x", 1),
        ("app/y.yaml", FileKind.LINK, b"x", 1),
    ]
    assert [path for path, _ in listed(tree, "other")] == ["other/x.yaml", "other/y.yaml"]
    assert tree.tree_id("other/x.yaml") == tree.tree_id("base/x.yaml")


def test_links_to_directories_and_to_nothing_are_not_walked(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path, {"a/x": "1", "b/dir": Link("../a"), "b/gone": Link("missing"), "b/through": Link("../a/x/y")}
    )
    assert [(e.path, e.oid) for e in tree.entries("b", recurse=True)] == [
        ("b/dir", ""),
        ("b/gone", ""),
        ("b/through", ""),
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"app/x": Link("/etc/passwd")},
        {"app/x": Link("../../etc/passwd")},
        {"app/x": Link("../one"), "one": Link("two"), "two": Link("../../etc/passwd")},
        {"app/x": Link("up/etc/passwd"), "app/up": Link("../..")},
        {"app/x": Link("../dir/../../etc"), "dir/f": "1"},
        {"app/x": Link("y"), "app/y": Link("/")},
    ],
    ids=["absolute", "parent", "chain", "through a directory link", "dots after a directory", "root"],
)
def test_a_link_out_of_the_root_is_an_error_that_names_it(tmp_path: Path, files: dict[str, Content]) -> None:
    tree = tree_of(tmp_path, {**files, "app/a": "1"})
    with pytest.raises(
        StageError, match=r"app/x: a link in this path (is absolute|leads out of the repository)|app/(up|y): "
    ):
        tree.entries("app", recurse=True)
    with pytest.raises(StageError, match="app/x: a link"):
        tree.tree_id("app/x")


def test_a_circle_of_links_is_an_error(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"app/x": Link("y"), "app/y": Link("x")})
    with pytest.raises(StageError, match="more than 40 links"):
        tree.entries("app", recurse=True)


def test_a_link_with_an_endless_target_is_an_error(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"app/x": Link("a/" * 5000)})
    with pytest.raises(StageError, match="longer than 4096 bytes"):
        tree.entries("app", recurse=True)


def test_a_submodule_is_a_directory_without_content(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"app/x": "1", "app/sub": Submodule()})
    assert listed(tree) == [("app/x", "file")]
    assert ("app/sub", "directory") in listed(tree, "app", recurse=False)
    assert tree.entries("app/sub", recurse=True) == ()
    assert tree.tree_id("app/sub/x") is None


def test_a_tree_that_names_more_files_than_allowed_is_refused_quickly(tmp_path: Path) -> None:
    bare = Bare(tmp_path / "r.git")
    repository = pygit2.Repository(str(bare.folder))
    oid = repository.create_blob(b"x")
    mode = pygit2.enums.FileMode.BLOB
    for _ in range(8):  # each level names the one below ten times: 10^8 files
        builder = repository.TreeBuilder()
        for number in range(10):
            builder.insert(f"{number}", oid, mode)
        oid, mode = builder.write(), pygit2.enums.FileMode.TREE
    with pytest.raises(StageError, match="more than 200000 files"):
        GitTree(TreeObjects(repository), str(oid)).entries("", recurse=True)


def test_entries_no_file_system_would_hold_are_refused(tmp_path: Path) -> None:
    bare = Bare(tmp_path / "r.git")
    repository = pygit2.Repository(str(bare.folder))
    blob = repository.create_blob(b"x")
    for name in (b"..", b"a/b"):
        oid = repository.odb.write(pygit2.enums.ObjectType.TREE, b"100644 " + name + b"\0" + blob.raw)
        with pytest.raises(StageError, match="a name that no file may have"):
            GitTree(TreeObjects(repository), str(oid)).entries("", recurse=True)


def test_names_that_are_not_utf_8_are_listed(tmp_path: Path) -> None:
    bare = Bare(tmp_path / "r.git")
    repository = pygit2.Repository(str(bare.folder))
    blob = repository.create_blob(b"x")
    oid = repository.odb.write(pygit2.enums.ObjectType.TREE, b"100644 \xff.yaml\0" + blob.raw)
    (entry,) = GitTree(TreeObjects(repository), str(oid)).entries("", recurse=True)
    assert entry.oid == str(blob)
