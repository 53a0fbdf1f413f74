"""How long Events live."""

from __future__ import annotations

from typing import Any

from tests.support.incluster import Client, incluster

EVENTS = "/api/v1/namespaces/default/events"


def event(name: str) -> dict[str, Any]:
    involved = {"kind": "Pod", "namespace": "default", "name": "p"}
    return {"metadata": {"name": name}, "involvedObject": involved, "reason": "Seen", "type": "Normal"}


async def names(client: Client) -> list[str]:
    client.core.expire_events()
    return [one["metadata"]["name"] for one in (await client.get(EVENTS))["items"]]


async def test_an_event_ends_an_hour_after_it_was_last_written() -> None:
    async with incluster() as client:
        await client.create(EVENTS, event("once"))
        await client.create(EVENTS, event("again"))
        await client.clock.advance(3000)
        await client.patch(f"{EVENTS}/again", {"count": 2})
        await client.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "stays"}})
        before = await names(client)
        await client.clock.advance(700)
        after = await names(client)
        await client.clock.advance(3000)
        end = await names(client)
        kept = await client.get("/api/v1/namespaces/default/configmaps/stays")

    assert (before, after, end) == (["again", "once"], ["again"], [])
    assert kept["metadata"]["name"] == "stays"
