"""Sets of completion indexes as text: `0-2,4`. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def parse(text: str) -> set[int]:
    """The numbers of a text such as `0-2,4`; empty for an empty text."""
    found: set[int] = set()
    for piece in text.split(",") if text else ():
        low, _, high = piece.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return found


def shown(numbers: Iterable[int]) -> str:
    """The text of a set of numbers; three and more in a row are joined, and two as Kubernetes does: `0,1`."""
    pieces: list[str] = []
    run: list[int] = []
    for value in [*sorted(numbers), None]:
        if run and (value is None or value != run[-1] + 1):
            if len(run) > 2:
                pieces.append(f"{run[0]}-{run[-1]}")
            else:
                pieces += [str(one) for one in run]
            run = []
        if value is not None:
            run.append(value)
    return ",".join(pieces)
