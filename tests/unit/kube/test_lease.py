"""When a Lease is renewed, and when its holder gives up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from tests.unit.kube.scripted import cluster

from tiphys.kube.client import KubeClient
from tiphys.kube.lease import LeaseLock, LeaseLostError, LeaseTimes
from tiphys.runtime.clock import SystemClock


class Sleeps(SystemClock):
    """Time that passes only in sleeps, which end at once."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


def lock(client: KubeClient, clock: Sleeps) -> LeaseLock:
    return LeaseLock(client, namespace="argocd", name="tiphys", identity="me", clock=clock)


async def test_a_lease_is_renewed_at_its_time_sooner_after_a_failure_and_given_up_before_others_may_have_it() -> None:
    held: dict[str, Any] = {}
    fails = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal held, fails
        if request.method == "GET":
            return web.json_response(held, status=200 if held else 404)
        if fails:
            fails -= 1
            return web.json_response({"kind": "Status", "code": 500, "message": "etcd is away"}, status=500)
        held = json.loads(await request.read())
        return web.json_response(held)

    clock = Sleeps()
    async with cluster(answer) as (client, server):
        lease = lock(client, clock)
        assert await lease.try_acquire()
        keeping = asyncio.ensure_future(lease.keep())
        while len(clock.slept) < 3:
            await asyncio.sleep(0.001)
        assert clock.slept[:2] == [5.0, 5.0]
        fails = 1
        seen = len(clock.slept)
        while 2.0 not in clock.slept[seen - 1 :]:
            await asyncio.sleep(0.001)
        still = lease.held
        assert still
        fails = 1000
        with pytest.raises(LeaseLostError, match="not renewed for 10 s"):
            await keeping
        assert clock.slept[-3:] == [2.0, 2.0, 2.0] or clock.slept[-3:] == [5.0, 2.0, 2.0]
        assert not lease.held
        assert server.seen


def test_times_that_leave_no_room_to_try_again_are_refused() -> None:
    with pytest.raises(ValueError, match="grow"):
        LeaseTimes(duration_s=15.0, renew_deadline_s=10.0, retry_s=2.0, renew_s=12.0)
