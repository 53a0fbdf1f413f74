"""Expressions without anything clever match what Python's do."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.re2 import Pattern

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", r"\.", "-", "1", "_", r"\b", r"\B", "^"])


def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = inner.map(lambda one: f"(?:{one})")
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        st.tuples(group, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}"])).map("".join),
    )


@given(st.recursive(ATOMS, extend, max_leaves=8), st.lists(st.text("abc1-_ \n.", max_size=10), max_size=8))
def test_plain_expressions_match_what_pythons_match(pattern: str, texts: list[str]) -> None:
    ours, theirs = Pattern(pattern), re.compile(pattern, re.ASCII)
    for text in texts:
        expected = theirs.search(text) is not None
        if "\\s" in pattern and "\v" in text:
            continue
        if "\\B" in pattern and not text:
            continue  # Python before 3.14 has no place without a boundary in an empty text
        assert ours.search(text) is expected, (pattern, text)
