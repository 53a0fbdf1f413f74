"""Events about simulated work: named in the order of time, counted when they repeat, combined when they are many."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.clock import VirtualClock, settle
from tests.support.fakeaccess import FakeAccess
from tests.support.ids import CountedIds

from tiphys.devcluster.workloads.events import EventRecorder, Said

POD = {"metadata": {"name": "p", "namespace": "team", "uid": "u", "resourceVersion": "1"}}


async def written(*messages: str) -> list[dict[str, Any]]:
    """What is stored after these were told, one after another."""
    clock = VirtualClock()
    access = FakeAccess(clock=clock, ids=CountedIds())
    recorder = EventRecorder(access, clock=clock)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(recorder.run())
        for message in messages:
            recorder.tell("v1", "Pod", POD, Said("Warning", "Failed", message))
            await settle(25)
        running.cancel()
    found: Any = (await access.list("v1/events", namespace="team"))[0]
    return sorted(found, key=lambda one: str(one["metadata"]["name"]))


async def test_names_are_in_the_order_of_what_happened() -> None:
    assert [one["message"] for one in await written("c", "a", "b")] == ["c", "a", "b"]


async def test_what_is_said_again_is_counted() -> None:
    assert [(one["message"], one["count"]) for one in await written("a", "b", "a", "a")] == [("a", 3), ("b", 1)]


async def test_from_the_tenth_on_similar_ones_become_one() -> None:
    found = await written(*(f"m{index}" for index in range(13)))

    assert [one["message"] for one in found] == [
        *(f"m{index}" for index in range(9)),
        "(combined from similar events): m12",
    ]
    assert found[-1]["count"] == 4
