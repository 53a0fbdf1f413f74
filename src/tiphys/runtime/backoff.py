"""Retry delays in seconds: constant, exponential, jittered. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before the n-th retry: `initial_s * factor ** (n - 1)`, at most `max_s`, spread by `jitter`.

    `jitter` 0.2 spreads a delay over 80 % to 120 % of itself, so that what failed together does not return together.
    """

    initial_s: float
    factor: float = 2.0
    max_s: float = 300.0
    jitter: float = 0.0

    def delay_s(self, attempt: int, fraction: float = 0.5) -> float:
        """Seconds to wait after failure number `attempt` (from 1). `fraction` in [0, 1) picks the place in the spread."""
        if attempt <= 0:
            return 0.0
        # An exponent that overflows a float would long be over the limit.
        exponent = min(attempt - 1, 64)
        delay = min(self.initial_s * self.factor**exponent, self.max_s)
        return delay * (1.0 + self.jitter * (2.0 * fraction - 1.0))


def constant(seconds: float) -> Backoff:
    """The same delay every time."""
    return Backoff(initial_s=seconds, factor=1.0, max_s=seconds)
