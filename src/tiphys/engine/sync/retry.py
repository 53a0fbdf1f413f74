"""When self-heal may act again. Pure.

Source: compat 2.6.
"""

from __future__ import annotations

SELF_HEAL_FIRST_S = 2.0
SELF_HEAL_FACTOR = 3.0
SELF_HEAL_CAP_S = 300.0


def self_heal_wait_s(attempts: int) -> float:
    """Seconds after the last operation before the next self-heal attempt; `attempts` were made: 0, 2, 6, 18..."""
    if attempts <= 0:
        return 0.0
    return float(min(SELF_HEAL_FIRST_S * SELF_HEAL_FACTOR ** min(attempts - 1, 32), SELF_HEAL_CAP_S))
