"""Reference cycles: looked for seldom, found all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from tiphys.runtime.garbage import YOUNG, collect_seldom, keep_for_good


class Node:
    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_cycles_made_later_are_still_freed_by_themselves() -> None:
    collect_seldom()
    keep_for_good()
    assert gc.get_freeze_count() > 0
    left, right = Node(), Node()
    left.other, right.other = right, left
    gone = weakref.ref(left)
    del left, right
    kept: list[list[int]] = [[] for _ in range(2 * YOUNG)]  # enough young objects for a look
    assert gone() is None
    assert len(kept) == 2 * YOUNG
