"""Include and exclude globs are gobwas' without separators, and never slow."""

from __future__ import annotations

import time

import pytest

from tiphys.engine.render.globs import Glob, GlobError


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "a/b/c.yaml", True),
        ("*.yaml", "a/b.yaml", True),
        ("*.yaml", "a.yml", False),
        ("**/x.yaml", "a/b/x.yaml", True),
        ("**/x.yaml", "x.yaml", False),
        ("?.yaml", "a.yaml", True),
        ("?.yaml", "ab.yaml", False),
        ("a?b", "a/b", True),
        ("[abc].yaml", "b.yaml", True),
        ("[a-c].yaml", "d.yaml", False),
        ("[!a-c].yaml", "d.yaml", True),
        ("[!abc].yaml", "a.yaml", False),
        ("[^a].yaml", "b.yaml", False),
        ("[^a].yaml", "^.yaml", True),
        ("{a,b}.yaml", "b.yaml", True),
        ("{a,b}.yaml", "c.yaml", False),
        ("{config,env-*/*}.yaml", "env-prod/x.yaml", True),
        ("{a,{b,c}d}.yaml", "cd.yaml", True),
        ("{a,{b,c}d}.yaml", "b.yaml", False),
        ("x{,.min}.json", "x.json", True),
        (r"\*.yaml", "*.yaml", True),
        (r"\*.yaml", "a.yaml", False),
        ("a.yaml", "axyaml", False),
        ("a*b*c", "aXbXbXc", True),
        ("a*b*c", "aXcXb", False),
        ("*ab*ab", "ab", False),
        ("*ab*ab", "abab", True),
        ("a*", "a\nb", True),
        ("a,b", "a,b", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_a_glob_matches_the_whole_path(pattern: str, text: str, expected: bool) -> None:
    assert Glob(pattern).matches(text) is expected


@pytest.mark.parametrize("pattern", ["{a,b", "[abc", "[]", "[z-a]", "a\\", "}"[:0] + "{" * 3, "{a,b}" * 10, "x" * 5000])
def test_a_pattern_that_cannot_be_read_is_an_error(pattern: str) -> None:
    with pytest.raises(GlobError):
        Glob(pattern)


def test_no_pattern_makes_matching_slow() -> None:
    glob = Glob("*a" * 200 + "b")
    start = time.perf_counter()
    assert not glob.matches("a" * 4000)
    assert time.perf_counter() - start < 0.5
