"""The embedded cluster without a network: requests go straight into its ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.support.clock import VirtualClock

from tiphys.apimachinery.mergeschema import MergeSchemas
from tiphys.devcluster.app import App
from tiphys.devcluster.core import Core
from tiphys.devcluster.pki import Pki, ensure_pki
from tiphys.devcluster.store import Store

TOKEN = "admin-token"


class CountedIds:
    """Ids that count, so that tests can name them."""

    def __init__(self) -> None:
        self._count = 0

    def uuid(self) -> str:
        """`00000000-0000-4000-8000-000000000001`, and so on."""
        self._count += 1
        return f"00000000-0000-4000-8000-{self._count:012d}"

    def suffix(self, length: int = 5) -> str:
        """`bbbbc`, and so on."""
        self._count += 1
        letters = "bcdfghjklmnpqrstvwxz2456789"
        text, number = "", self._count
        for _ in range(length):
            text = letters[number % len(letters)] + text
            number //= len(letters)
        return text

    def token(self, size_bytes: int = 32) -> str:
        """The administrator's token."""
        return TOKEN

    def fraction(self) -> float:
        """Nothing is spread in tests."""
        return 0.0


@dataclass
class Reply:
    """A whole answer."""

    code: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        """The body parsed."""
        return json.loads(self.body)

    def header(self, name: str) -> list[str]:
        """Every header of this name."""
        return [value for key, value in self.headers if key == name]


@dataclass
class Client:
    """One caller of the application."""

    core: Core
    app: App
    clock: VirtualClock
    token: str = TOKEN
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def _scope(self, method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
        target, _, query = path.partition("?")
        given = {"authorization": f"Bearer {self.token}", "user-agent": "curl/8", **headers}
        return {
            "type": "http",
            "method": method,
            "path": target,
            "query_string": query.encode(),
            "headers": [(key.encode(), value.encode()) for key, value in given.items()],
        }

    async def request(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json", accept: str = ""
    ) -> Reply:
        """One request and its whole answer."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": kind} if body is not None else {}
        if accept:
            headers["accept"] = accept
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.app(self._scope(method, path, headers), receive, send)
        start = messages[0]
        shown = [(key.decode(), value.decode()) for key, value in start["headers"]]
        return Reply(start["status"], shown, b"".join(one.get("body", b"") for one in messages[1:]))

    async def get(self, path: str, **kw: Any) -> Any:
        """The JSON of a GET that must succeed."""
        reply = await self.request("GET", path, **kw)
        assert reply.code == 200, reply.body
        return reply.json

    async def create(self, path: str, obj: object) -> Any:
        """The object a POST made."""
        reply = await self.request("POST", path, obj)
        assert reply.code == 201, reply.body
        return reply.json

    async def patch(self, path: str, body: object, kind: str = "application/merge-patch+json") -> Reply:
        """A merge patch, unless another kind is named."""
        return await self.request("PATCH", path, body, kind=kind)

    @asynccontextmanager
    async def watch(self, path: str, *, accept: str = "") -> AsyncIterator[Stream]:
        """The events of a watch, until the block ends."""
        stream = Stream()
        left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        headers = {"accept": accept} if accept else {}
        task = asyncio.create_task(self.app(self._scope("GET", path, headers), receive, stream.take))
        try:
            async with asyncio.timeout(5):
                while not stream.code:
                    await asyncio.sleep(0)
            yield stream
        finally:
            left.set()
            async with asyncio.timeout(5):
                await task


class Stream:
    """What a watch has sent so far."""

    def __init__(self) -> None:
        self.code = 0
        self.ended = False
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._rest = b""

    async def take(self, message: Any) -> None:
        """Take one ASGI message."""
        if message["type"] == "http.response.start":
            self.code = message["status"]
            return
        self._rest += message.get("body", b"")
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._events.put_nowait(json.loads(line))
        if not message.get("more_body"):
            self.ended = True
            self._events.put_nowait(None)

    async def next(self) -> Any:
        """The next event; None at the end of the stream. Fails when nothing comes."""
        async with asyncio.timeout(5):
            return await self._events.get()

    async def types(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next events."""
        found = [await self.next() for _ in range(count)]
        return [(one["type"], one["object"]["metadata"].get("name", "")) for one in found]

    @property
    def waiting(self) -> int:
        """Events received and not read."""
        return self._events.qsize()


@cache
def _pki() -> Pki:
    return ensure_pki(Path(mkdtemp(prefix="tiphys-test-pki-")), now=datetime(2026, 1, 1, tzinfo=UTC), new_token=TOKEN)


@cache
def _merge_schemas() -> MergeSchemas:
    return MergeSchemas.builtin()


def build_core(store: Store | None = None, clock: VirtualClock | None = None) -> Core:
    """A Core in memory that has not been started."""
    pki = _pki()
    return Core(
        store=store or Store(),
        clock=clock or VirtualClock(),
        ids=CountedIds(),
        ca_pem=pki.ca_pem,
        admin_token=pki.admin_token,
        signing_key=pki.signing_key_pem,
        ca_key=pki.ca_key_pem,
        merge_schemas=_merge_schemas(),
    )


async def quiet(core: Core) -> None:
    """Wait until the server does nothing by itself any more. Fails after two seconds."""
    async with asyncio.timeout(2):
        while True:
            await asyncio.sleep(0)
            if core.background.idle:
                return


@asynccontextmanager
async def incluster(store: Store | None = None) -> AsyncIterator[Client]:
    """A started cluster."""
    clock = VirtualClock()
    core = build_core(store, clock)
    core.start(address="127.0.0.1", port=6443)
    await quiet(core)
    app = App(core, address="127.0.0.1:6443")
    try:
        yield Client(core, app, clock)
    finally:
        app.stop()
        core.stop()
