"""Large answers are compressed for those who ask; nothing else is touched."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tiphys.devcluster.compression import THRESHOLD_BYTES, Compressed


async def answer(size: int, accept: bytes | None, *, status: int = 200, path: str = "/api", parts: int = 1) -> Any:
    body = b"x" * size

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        if parts == 1:
            headers.append((b"content-length", b"%d" % size))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for index in range(parts):
            await send({"type": "http.response.body", "body": body, "more_body": index < parts - 1})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    headers = [] if accept is None else [(b"accept-encoding", accept)]
    await Compressed(app)({"type": "http", "path": path, "headers": headers}, receive, send)
    return dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:])


@pytest.mark.parametrize("accept", [b"gzip", b"deflate, gzip", b"gzip,deflate,br"])
async def test_a_large_answer_is_compressed_for_who_asks(accept: bytes) -> None:
    headers, body = await answer(THRESHOLD_BYTES + 1, accept)
    assert headers[b"content-encoding"] == b"gzip"
    assert headers[b"vary"] == b"Accept-Encoding"
    assert int(headers[b"content-length"]) == len(body) < 2000
    assert gzip.decompress(body) == b"x" * (THRESHOLD_BYTES + 1)


@pytest.mark.parametrize(
    ("size", "accept", "more"),
    [
        (THRESHOLD_BYTES, b"gzip", {}),
        (THRESHOLD_BYTES + 1, None, {}),
        (THRESHOLD_BYTES + 1, b"identity", {}),
        (THRESHOLD_BYTES + 1, b"gzip;q=1.0", {}),
        (THRESHOLD_BYTES + 1, b"gzip", {"status": 500}),
        (THRESHOLD_BYTES + 1, b"gzip", {"path": "/openapi/v3/api/v1"}),
        (THRESHOLD_BYTES + 1, b"gzip", {"parts": 3}),
    ],
)
async def test_other_answers_stay_as_they_are(size: int, accept: bytes | None, more: dict[str, Any]) -> None:
    headers, body = await answer(size, accept, **more)
    assert b"content-encoding" not in headers
    assert body == b"x" * (size * more.get("parts", 1))
