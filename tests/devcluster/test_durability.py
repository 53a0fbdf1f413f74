"""What was answered survives any kill, and every watcher ends with what a list says."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
from tests.support.embedded import Embedded, embedded

MAPS = "/api/v1/namespaces/default/configmaps"
ROUNDS = 4
WATCHERS = 50


class Connection:
    """One keep-alive connection."""

    def __init__(self, running: Embedded) -> None:
        context = ssl.create_default_context(cafile=str(running.home / "pki" / "ca.crt"))
        self._http = http.client.HTTPSConnection(running.url.removeprefix("https://"), context=context, timeout=10)
        self._token = (running.home / "pki" / "admin.token").read_text()

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        headers = {"authorization": f"Bearer {self._token}", "content-type": kind}
        self._http.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._http.getresponse()
        return json.loads(answer.read())

    def close(self) -> None:
        self._http.close()


def write_until_killed(running: Embedded, worker: int, answered: dict[str, int]) -> None:
    """Create, change and delete; note what was answered: name -> version, or 0 when it was deleted."""
    connection = Connection(running)
    try:
        for number in range(100_000):
            name = f"w{worker}-{number}"
            made = connection.send("POST", MAPS, {"metadata": {"name": name}})
            answered[name] = int(made["metadata"]["resourceVersion"])
            if number % 3 == 0:
                changed = connection.send(
                    "PATCH", f"{MAPS}/{name}", {"data": {"a": "b"}}, "application/merge-patch+json"
                )
                answered[name] = int(changed["metadata"]["resourceVersion"])
            if number % 4 == 0:
                del answered[name]  # unknown until the answer is there
                connection.send("DELETE", f"{MAPS}/{name}")
                answered[name] = 0
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        pass  # the kill
    finally:
        connection.close()


def test_every_answered_write_survives_a_kill_at_a_random_moment(tmp_path: Path) -> None:
    rng = random.Random(7)
    newest = 0
    for round_ in range(ROUNDS):
        answered: dict[str, int] = {}
        with embedded(tmp_path, "--no-simulation") as running:
            workers = [
                threading.Thread(target=write_until_killed, args=(running, round_ * 10 + one, answered))
                for one in range(4)
            ]
            for worker in workers:
                worker.start()
            deadline = time.monotonic() + 30
            while not any(answered.values()):
                assert time.monotonic() < deadline, "no write was answered"
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.8))
            running.process.kill()
            running.process.wait()
            for worker in workers:
                worker.join()
        with embedded(tmp_path, "--no-simulation") as running:
            connection = Connection(running)
            listed = connection.send("GET", MAPS)
            connection.close()
        found = {one["metadata"]["name"]: int(one["metadata"]["resourceVersion"]) for one in listed["items"]}
        version = int(listed["metadata"]["resourceVersion"])
        assert answered
        assert version >= max(newest, *answered.values())
        newest = version
        for name, seen in answered.items():
            if seen:
                assert found.get(name, 0) >= seen, name
            else:
                assert name not in found


async def follow(
    session: aiohttp.ClientSession, url: str, version: str, cache: dict[str, str], goal: list[str]
) -> None:
    """Keep `cache` as the events say until the object `goal` names is seen."""
    async with session.get(f"{url}{MAPS}?watch=1&resourceVersion={version}") as answer:
        rest = b""
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                metadata = event["object"]["metadata"]
                if event["type"] == "DELETED":
                    cache.pop(metadata["name"], None)
                else:
                    cache[metadata["name"]] = metadata["resourceVersion"]
                if metadata["name"] == goal[0]:
                    return


async def churn(session: aiohttp.ClientSession, url: str, worker: int) -> None:
    rng = random.Random(worker)
    alive: set[str] = set()
    for _ in range(60):
        name = f"c{worker}-{rng.randrange(8)}"
        if name in alive and rng.random() < 0.4:
            await session.delete(f"{url}{MAPS}/{name}")
            alive.discard(name)
        elif name in alive:
            body = json.dumps({"data": {"n": str(rng.random())}})
            headers = {"content-type": "application/merge-patch+json"}
            await session.patch(f"{url}{MAPS}/{name}", data=body, headers=headers)
        else:
            await session.post(f"{url}{MAPS}", json={"metadata": {"name": name}})
            alive.add(name)


async def test_every_watcher_ends_with_what_a_list_says(tmp_path: Path) -> None:
    with embedded(tmp_path, "--no-simulation") as running:
        context = ssl.create_default_context(cafile=str(tmp_path / "pki" / "ca.crt"))
        token = (tmp_path / "pki" / "admin.token").read_text()
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        headers = {"authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
            listed = await (await session.get(running.url + MAPS)).json()
            start = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in listed["items"]}
            caches = [dict(start) for _ in range(WATCHERS)]
            async with asyncio.timeout(120), asyncio.TaskGroup() as group:
                for cache in caches:
                    version = listed["metadata"]["resourceVersion"]
                    group.create_task(follow(session, running.url, version, cache, ["zz-last"]))
                async with asyncio.TaskGroup() as writers:
                    for worker in range(5):
                        writers.create_task(churn(session, running.url, worker))
                await session.post(f"{running.url}{MAPS}", json={"metadata": {"name": "zz-last"}})
            final = await (await session.get(running.url + MAPS)).json()
    expected = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in final["items"]}

    assert len(expected) > 5
    assert [cache for cache in caches if cache != expected] == []
