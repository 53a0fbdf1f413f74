"""Leader election through a Lease: at most one holder works, and it knows when it may no longer.

The holder renews well before others may take over; one that cannot renew stops before that moment. Expiry is judged by
this machine's own monotonic clock, from when the record was last seen to change, so clocks need not agree. Who follows
only reads.

Source: client-go tools/leaderelection, for record, timing and release.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.kube.client import ApiResource, Json, KubeClient
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.clock import Clock, format_micro_time

LEASES = ApiResource(
    "coordination.k8s.io",
    "v1",
    "Lease",
    "leases",
    True,
    frozenset(("create", "delete", "get", "list", "patch", "update", "watch")),
)


class LeaseLostError(Exception):
    """The lease is no longer ours, or it may not be any more by the time others look."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. Others may take over `duration_s` after the last renewal; the holder gives up after `renew_deadline_s`.

    It renews after `renew_s`, and after `retry_s` where that failed.
    Differs: client-go renews every `retry_s`; a renewal is most of what an idle engine does, and with these times one that
    fails is still tried twice more before the deadline.
    """

    duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0
    renew_s: float = 5.0

    def __post_init__(self) -> None:
        if not self.retry_s <= self.renew_s < self.renew_deadline_s < self.duration_s:
            raise ValueError("lease times must grow: retry, renewal, renew deadline, duration")


class LeaseLock:
    """One Lease and our claim to it. Nothing is written unless it is free, expired or ours."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        times: LeaseTimes | None = None,
        on_lost: Callable[[str], None] = lambda why: None,
        fraction: Callable[[], float] = lambda: 0.5,
        field_manager: str = "tiphys",
    ) -> None:
        """`identity` must be unique among all who compete, across restarts too."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._clock = clock
        self._times = times or LeaseTimes()
        self._on_lost = on_lost
        self._fraction = fraction
        self._field_manager = field_manager
        self._seen: Json | None = None  # the Lease as last read or written
        self._seen_at = 0.0  # when its record was first seen as it is
        self._renewed_at: float | None = None  # when the last successful write was begun; None while not held

    @property
    def held(self) -> bool:
        """True while nobody else can have taken the lease."""
        return (
            self._renewed_at is not None and self._clock.monotonic() < self._renewed_at + self._times.renew_deadline_s
        )

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; empty for nobody."""
        return str(_spec(self._seen).get("holderIdentity") or "")

    async def try_acquire(self) -> bool:
        """Take or renew the lease if that is possible now. Raises ApiError (not for a lost race), ClusterUnreachable."""
        begun = self._clock.monotonic()
        if self._seen is None or self._renewed_at is None:
            # While we hold it what we last wrote is the truth, unless the write below says otherwise.
            await self._read()
        for final in (False, True):
            if self._seen is not None and not self._may_take(begun):
                break
            try:
                self._note(await self._write(self._record()))
            except (Conflict, AlreadyExists, NotFound):
                # Somebody was faster, or only touched its metadata: see which.
                await self._read()
                if final or self.holder != self.identity:
                    break
            else:
                self._renewed_at = begun
                return True
        self._renewed_at = None
        return False

    async def acquire(self) -> None:
        """Return once the lease is ours. Trouble with the server is waited out."""
        while True:
            try:
                if await self.try_acquire():
                    return
            except (ApiError, ClusterUnreachable):
                pass  # whoever holds it cannot renew either; what we last saw stays what we know
            await self._clock.sleep(self._times.retry_s * (1.0 + 0.2 * self._fraction()))

    async def keep(self) -> None:
        """Renew until the lease is lost. Raises LeaseLostError after telling `on_lost`."""
        why, pause_s = "it was not held", self._times.renew_s
        while self._renewed_at is not None:
            await self._clock.sleep(pause_s)
            pause_s = self._times.retry_s
            begun = self._clock.monotonic()
            last = self._renewed_at
            left = last + self._times.renew_deadline_s - begun
            if left <= 0:
                why = f"not renewed for {self._times.renew_deadline_s:g} s: {why}"
                break
            try:
                # A hanging request must not carry us over the deadline.
                async with asyncio.timeout(left):
                    if not await self.try_acquire():
                        why = f"taken by {self.holder or 'nobody'}"
                        break
                why, pause_s = "no trouble so far", self._times.renew_s
            except TimeoutError:
                why = "no answer from the server"
            except (ApiError, ClusterUnreachable) as error:
                why = str(error)
        self._renewed_at = None
        self._on_lost(why)
        raise LeaseLostError(f"lease {self._namespace}/{self._name} lost: {why}")

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Acquire, work while the lease is held, release. Raises LeaseLostError when it was lost, with work cancelled."""
        await self.acquire()
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self.keep())
                await work()
                keeper.cancel()
        except* LeaseLostError as errors:
            raise errors.exceptions[0] from None
        finally:
            await self.release()

    async def release(self) -> None:
        """Let go at once, so that the next one need not wait. Trouble is ignored: the lease then runs out by itself."""
        if self._renewed_at is None or self._seen is None:
            return
        self._renewed_at = None
        now = format_micro_time(self._clock.now())
        record = {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": _spec(self._seen).get("leaseTransitions") or 0,
        }
        try:
            self._note(await self._write(record))
        except (ApiError, ClusterUnreachable):
            self._seen = None

    # ---- inside ----

    async def _read(self) -> None:
        try:
            self._note(await self._client.get(LEASES, self._name, self._namespace))
        except NotFound:
            self._seen = None

    def _note(self, lease: Json) -> None:
        if self._seen is None or _spec(lease) != _spec(self._seen):
            self._seen_at = self._clock.monotonic()
        self._seen = lease

    def _may_take(self, now: float) -> bool:
        spec = _spec(self._seen)
        holder = spec.get("holderIdentity")
        if not holder or holder == self.identity:
            return True
        # Their duration, not ours: they may have been configured otherwise.
        duration = spec.get("leaseDurationSeconds") or self._times.duration_s
        return now >= self._seen_at + float(duration)

    def _record(self) -> Json:
        now = format_micro_time(self._clock.now())
        spec = _spec(self._seen)
        transitions = int(spec.get("leaseTransitions") or 0)
        ours = spec.get("holderIdentity") == self.identity
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self._times.duration_s),
            "acquireTime": spec.get("acquireTime") or now if ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if ours or self._seen is None else transitions + 1,
        }

    async def _write(self, spec: Json) -> Json:
        if self._seen is None:
            lease: Json = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": spec,
            }
            return await self._client.create(LEASES, lease, self._namespace, field_manager=self._field_manager)
        # The resourceVersion in it makes this a compare and swap.
        lease = {**self._seen, "spec": {**_spec(self._seen), **spec}}
        return await self._client.replace(LEASES, lease, self._namespace, field_manager=self._field_manager)


def _spec(lease: Json | None) -> Json:
    return (lease or {}).get("spec") or {}
