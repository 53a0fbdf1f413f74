"""How often Python looks for reference cycles, set for a process that keeps much and makes few of them.

With Python's own settings a first deployment spends a tenth of its CPU on walks through what is kept, and a full one holds
the event loop up for as long as there are objects.
"""

from __future__ import annotations

import gc

YOUNG = 10_000  # objects made more than freed, before the young ones are looked at; Python's own is 700
MIDDLE = 20  # such looks before the middle-aged are looked at


def collect_seldom() -> None:
    """Look for cycles less often, from now on."""
    gc.set_threshold(YOUNG, MIDDLE, gc.get_threshold()[2])


def keep_for_good() -> None:
    """What is there now stays: it is not looked at again. Things are still freed when nothing refers to them."""
    gc.collect()
    gc.freeze()
