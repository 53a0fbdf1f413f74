"""Counters, gauges and histograms, and the Prometheus text that shows them.

Values live in plain dicts keyed by the tuple of label values: counting is one dict operation. Everything is meant for
the event loop's thread; threads hand their numbers over instead.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = tuple[str, ...]
Sample = tuple[Labels, float]


class Metric(Protocol):
    """Anything that can show itself."""

    name: str

    def lines(self) -> Iterable[str]:
        """Lines of exposition text."""


M = TypeVar("M", bound=Metric)


class _Family:
    def __init__(self, kind: str, name: str, help_text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.labels = tuple(labels)
        self._head = (f"# HELP {name} {_escape_help(help_text)}", f"# TYPE {name} {kind}")

    def _check(self, labels: Labels) -> Labels:
        if len(labels) != len(self.labels):
            raise ValueError(f"metric {self.name} takes the labels {self.labels}, not {labels}")
        return labels


class Counter(_Family):
    """A number that only grows."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = ()) -> None:
        super().__init__("counter", name, help_text, labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}

    def inc(self, *labels: str, by: float = 1.0) -> None:
        """Count `by` more."""
        value = self._values.get(labels)
        if value is None:
            self._check(labels)
            value = 0.0
        self._values[labels] = value + by

    def value(self, *labels: str) -> float:
        """What was counted so far."""
        return self._values.get(labels, 0.0)

    def remove(self, *labels: str) -> None:
        """Forget one combination of label values, because its subject is gone."""
        self._values.pop(labels, None)

    def lines(self) -> Iterable[str]:
        """Lines of exposition text."""
        yield from self._head
        for labels, value in self._values.items():
            yield f"{self.name}{_label_text(self.labels, labels)} {_number(value)}"


class Gauge(_Family):
    """A number that goes up and down. With `read` its values are asked for when they are shown."""

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        *,
        read: Callable[[], Iterable[Sample]] | None = None,
    ) -> None:
        super().__init__("gauge", name, help_text, labels)
        self._values: dict[Labels, float] = {}
        self._read = read

    def set(self, value: float, *labels: str) -> None:
        """Set the value."""
        self._values[self._check(labels)] = value

    def add(self, value: float, *labels: str) -> None:
        """Add to the value, which starts at 0."""
        self._values[self._check(labels)] = self._values.get(labels, 0.0) + value

    def value(self, *labels: str) -> float:
        """The value, 0 when it was never set."""
        return self._values.get(labels, 0.0)

    def remove(self, *labels: str) -> None:
        """Forget one combination of label values."""
        self._values.pop(labels, None)

    def lines(self) -> Iterable[str]:
        """Lines of exposition text."""
        yield from self._head
        for labels, value in self._values.items() if self._read is None else self._read():
            yield f"{self.name}{_label_text(self.labels, labels)} {_number(value)}"


class Histogram(_Family):
    """Counts observations into buckets, with their sum."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = DEFAULT_BUCKETS
    ) -> None:
        super().__init__("histogram", name, help_text, labels)
        self.buckets = tuple(sorted(buckets))
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[self._check(labels)] = [0] * (len(self.buckets) + 1)
            self._sums[labels] = 0.0
        counts[bisect.bisect_left(self.buckets, value)] += 1
        self._sums[labels] += value

    def count(self, *labels: str) -> int:
        """How many observations there were."""
        return sum(self._counts.get(labels, ()))

    def sum(self, *labels: str) -> float:
        """Sum of all observations."""
        return self._sums.get(labels, 0.0)

    def remove(self, *labels: str) -> None:
        """Forget one combination of label values."""
        self._counts.pop(labels, None)
        self._sums.pop(labels, None)

    def lines(self) -> Iterable[str]:
        """Lines of exposition text."""
        yield from self._head
        names = (*self.labels, "le")
        for labels, counts in self._counts.items():
            total = 0
            for bound, count in zip((*self.buckets, float("inf")), counts, strict=True):
                total += count
                yield f"{self.name}_bucket{_label_text(names, (*labels, _number(bound)))} {total}"
            text = _label_text(self.labels, labels)
            yield f"{self.name}_sum{text} {_number(self._sums[labels])}"
            yield f"{self.name}_count{text} {total}"


class Registry:
    """The metrics of one process, in the order they were made."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter. Raises ValueError when the name is taken."""
        return self._add(Counter(name, help_text, labels))

    def gauge(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        *,
        read: Callable[[], Iterable[Sample]] | None = None,
    ) -> Gauge:
        """Make a gauge; with `read` its samples (label values, value) are computed when they are shown."""
        return self._add(Gauge(name, help_text, labels, read=read))

    def histogram(
        self, name: str, help_text: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = DEFAULT_BUCKETS
    ) -> Histogram:
        """Make a histogram."""
        return self._add(Histogram(name, help_text, labels, buckets=buckets))

    def render(self) -> str:
        """Everything in the Prometheus text format, version 0.0.4."""
        return "".join(f"{line}\n" for metric in self._metrics.values() for line in metric.lines())

    def _add(self, metric: M) -> M:
        if metric.name in self._metrics:
            raise ValueError(f"there is a metric named {metric.name} already")
        self._metrics[metric.name] = metric
        return metric


def _label_text(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    if value == float("-inf"):
        return "-Inf"
    if value != value:
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
