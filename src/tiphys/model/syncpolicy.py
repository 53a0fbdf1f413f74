"""SyncPolicy and RetryStrategy: when and how an Application is synced.

Source: compat 1.8, 2.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.model.codec import EMPTY, Wire
from tiphys.model.duration import parse_retry_duration

DEFAULT_RETRY_DURATION = timedelta(seconds=5)
DEFAULT_RETRY_MAX_DURATION = timedelta(minutes=3)
DEFAULT_RETRY_FACTOR = 2
AUTO_SYNC_RETRY_LIMIT = 5  # of an automated sync when the policy has no retry block


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff(Wire):
    """Waits between retries; durations are Go's, bare integers are seconds."""

    duration: str = ""
    factor: int | None = None
    max_duration: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStrategy(Wire):
    """How often a failed sync is tried again; a negative limit means without end."""

    limit: int = 0
    backoff: Backoff | None = None
    refresh: bool = False

    def allows(self, retry_count: int) -> bool:
        """Whether another attempt may follow `retry_count` retries already made."""
        return self.limit < 0 or retry_count < self.limit

    def wait(self, retry_count: int) -> timedelta:
        """How long to wait after the attempt that followed `retry_count` retries. Raises ValueError for bad durations.

        duration * factor ** retry_count, at most max_duration unless that is zero.
        """
        backoff = self.backoff or Backoff()
        duration = parse_retry_duration(backoff.duration) if backoff.duration else DEFAULT_RETRY_DURATION
        longest = parse_retry_duration(backoff.max_duration) if backoff.max_duration else DEFAULT_RETRY_MAX_DURATION
        factor = DEFAULT_RETRY_FACTOR if backoff.factor is None else backoff.factor
        try:
            seconds = duration.total_seconds() * float(factor) ** retry_count
            if longest > timedelta():
                seconds = min(seconds, longest.total_seconds())
            return timedelta(seconds=seconds)
        except OverflowError:
            return longest if longest > timedelta() else timedelta.max

    def next_retry_at(self, last_attempt: datetime, retry_count: int) -> datetime:
        """When the next attempt is due. Raises ValueError for durations that cannot be read."""
        return last_attempt + self.wait(retry_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPolicyAutomated(Wire):
    """Automation; the block alone turns it on, `enabled: false` turns it off again."""

    prune: bool = False
    self_heal: bool = False
    allow_empty: bool = False
    enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedNamespaceMetadata(Wire):
    """Labels and annotations for a namespace made by CreateNamespace=true."""

    labels: Mapping[str, str] = EMPTY
    annotations: Mapping[str, str] = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPolicy(Wire):
    """When an Application is synced without being asked, and the options of every sync."""

    automated: SyncPolicyAutomated | None = None
    sync_options: tuple[str, ...] = ()
    retry: RetryStrategy | None = None
    managed_namespace_metadata: ManagedNamespaceMetadata | None = None

    @property
    def is_automated(self) -> bool:
        """Whether automated sync is on. Source: compat 1.8."""
        return self.automated is not None and self.automated.enabled is not False

    def has_option(self, option: str) -> bool:
        """Whether `option` ("Key=value") is among syncOptions: compared to the letter, not trimmed."""
        return option in self.sync_options
