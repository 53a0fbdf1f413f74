"""Replay: the captured requests of one client, sent in their order to a server, and its answers."""

from __future__ import annotations

import base64
import json
import lzma
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.devcluster.clients.names import filled
from tests.devcluster.compare.step import MERGE, Scenario
from tests.devcluster.compare.wire import INITIAL_EVENTS_END, Reply, Server, _headers, _parsed

REQUESTS = Path(__file__).parent / "requests"
RECORDED = Path(__file__).parent / "answers.jsonl.xz"
QUIET_S = 0.15
"""A watch whose initial events are not bounded by a bookmark is read until nothing came for so long."""


def clients() -> list[str]:
    """Whose requests were captured."""
    return sorted(path.name.removesuffix(".jsonl.xz") for path in REQUESTS.glob("*.jsonl.xz"))


def namespace_of(client: str) -> str:
    """Where a client worked."""
    return Scenario(f"client {client}", []).namespace


def scenario_of(client: str) -> Scenario:
    """What has to be prepared for a client: its namespace."""
    return Scenario(f"client {client}", [])


def requests_of(client: str) -> list[dict[str, Any]]:
    """The requests of a client."""
    text = lzma.decompress((REQUESTS / f"{client}.jsonl.xz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def replay(server: Server, client: str) -> dict[str, Reply]:
    """The answers by case."""
    answers: list[Reply] = []
    found: dict[str, Reply] = {}

    def read(number: int) -> Any:
        reply = answers[number]
        if isinstance(reply.body, list):
            return {"events": [one.get("object") for one in reply.body if isinstance(one, dict)]}
        return reply.body

    for number, one in enumerate(requests_of(client)):
        path = filled(one["path"], read)
        body = one.get("body")
        raw = base64.b64decode(one["bytes"]) if "bytes" in one else filled(body, read).encode() if body else None
        try:
            reply = _asked(server, one["method"], path, raw, one["headers"])
        except (OSError, AssertionError) as problem:
            server.close()
            reply = Reply(0, {}, f"no answer: {problem}")
        answers.append(reply)
        _collect(server, one["method"], path.partition("?")[0], reply)
        found[f"{client}: {number} {one['method']} {_short(one['path'])}"] = _own(one["path"], reply)
    server.close()
    return found


def _collect(server: Server, method: str, path: str, reply: Reply) -> None:
    """Do what the garbage collector of the real server would do if its controllers did not stand still."""
    metadata = reply.body.get("metadata") if isinstance(reply.body, dict) else None
    held = (metadata or {}).get("finalizers") or []
    if method == "DELETE" and {"foregroundDeletion", "orphan"} & set(held):
        server.send("PATCH", path, b'{"metadata":{"finalizers":null}}', MERGE)


def _is_own_event(one: Any) -> bool:
    """Whether an Event is about addresses that the real server repairs while its controllers stand still."""
    found = one.get("object", one)
    return bool(found.get("reason") == "ClusterIPNotAllocated")


def _own(path: str, reply: Reply) -> Reply:
    """The answer without what the two servers have of their own: other namespaces, and who the caller is."""
    if path.partition("?")[0] == "/api/v1/namespaces" and reply.code == 200:
        body = reply.body
        if isinstance(body, dict) and isinstance(body.get("items"), list):
            body = {**body, "items": [one for one in body["items"] if one["metadata"]["name"].startswith("compare-")]}
        elif isinstance(body, list):
            body = [one for one in body if (one["object"]["metadata"].get("name") or "compare-").startswith("compare-")]
        return replace(reply, body=body)
    if path.partition("?")[0] == "/apis" and isinstance(reply.body, dict) and "items" in reply.body:
        # A definition is served some time after it was made.
        listed = [one for one in reply.body["items"] if not one["metadata"]["name"].endswith(".charts.io")]
        return replace(reply, body={**reply.body, "items": listed})
    if "/events" in path and isinstance(reply.body, dict):
        told = {key: reply.body[key] for key in ("items", "rows") if isinstance(reply.body.get(key), list)}
        kept = {key: [one for one in value if not _is_own_event(one)] for key, value in told.items()}
        return replace(reply, body={**reply.body, **kept})
    if "/resourcequotas" in path and isinstance(reply.body, dict) and "spec" in reply.body:
        # What is used is counted by a controller, and the real server's stand still.
        metadata = {**reply.body["metadata"], "managedFields": []}
        return replace(reply, body={**reply.body, "metadata": metadata, "status": {}})
    if path.rpartition("/")[2] in ("selfsubjectreviews", "selfsubjectrulesreviews"):
        return replace(reply, body="whatever the caller is")
    if path.endswith("accessreviews") and reply.code == 201:
        status = {key: value for key, value in reply.body["status"].items() if key != "reason"}
        return replace(reply, body={**reply.body, "status": status})
    return reply


def _short(path: str) -> str:
    return re.sub(r"<<[^<>]*>>", "N", path)[:120]


def _asked(server: Server, method: str, path: str, raw: bytes | None, headers: dict[str, str]) -> Reply:
    if "watch=" in path and method == "GET":
        return _watched(server, path, headers)
    sent = {name.title(): value for name, value in headers.items() if name != "content-type"}
    sent["Accept"] = _readable(sent.get("Accept", ""))
    kind = headers.get("content-type", "")
    code, answered, text = server.send(method, path, raw, kind, **sent)
    if path.startswith("/openapi/"):
        return Reply(code, {}, "")  # compared elsewhere, and large
    return Reply(code, answered, _parsed(text, answered, watch=False))


def _readable(accept: str) -> str:
    """What a client accepts but for protobuf, which the embedded cluster reads but does not write."""
    return ",".join(one for one in accept.split(",") if "protobuf" not in one and "cbor" not in one)


def _watched(server: Server, path: str, headers: dict[str, str]) -> Reply:
    connection = server._connect()
    sent = {"Authorization": f"Bearer {server.token}", **{name.title(): value for name, value in headers.items()}}
    sent["Accept"] = _readable(sent.get("Accept", ""))
    try:
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        if answer.status != 200:
            return Reply(answer.status, _headers(answer), _parsed(answer.read(), _headers(answer), watch=False))
        events: list[Any] = []
        assert connection.sock is not None
        connection.sock.settimeout(QUIET_S)
        try:
            while line := answer.readline():
                events.append(json.loads(line))
                if INITIAL_EVENTS_END in line.decode() or events[-1]["type"] == "ERROR":
                    break
        except TimeoutError:
            pass
        return Reply(200, _headers(answer), events)
    finally:
        connection.close()
