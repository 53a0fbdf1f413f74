"""Wire: sends steps to one server and keeps what its answer says."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.devcluster.compare.step import JSON, Scenario, Step, filled

from tiphys.apimachinery.yamljson import load_one

TIMEOUT_S = 30.0
AGENT = "compare/1.0"
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass
class Reply:
    """An answer: its status, its headers (lower case, but for Date and those of the connection) and its body."""

    code: int
    headers: dict[str, Any]
    body: Any

    def to_json(self) -> dict[str, Any]:
        """The answer as one value."""
        return {"code": self.code, "headers": self.headers, "body": self.body}


@dataclass
class Server:
    """One API server and who asks it; without a token the certificate of the context says who."""

    host: str
    context: ssl.SSLContext
    token: str
    connection: http.client.HTTPSConnection | None = None
    watches: dict[str, tuple[http.client.HTTPSConnection, http.client.HTTPResponse]] = field(default_factory=dict)

    def run(self, scenario: Scenario) -> dict[str, Reply]:
        """Every step's answer, by its id."""
        saved: dict[str, str] = {}
        found: dict[str, Reply] = {}
        for name, step in scenario.cases():
            try:
                found[name] = self._answer(filled(step, saved), saved)
            except (OSError, http.client.HTTPException, AssertionError, KeyError) as problem:
                self.close()
                found[name] = Reply(0, {}, f"no answer: {problem}")
        self.close()
        return found

    def close(self) -> None:
        """End all connections."""
        for connection, _ in self.watches.values():
            connection.close()
        self.watches.clear()
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def send(
        self, method: str, path: str, body: bytes | None = None, kind: str = JSON, **headers: str
    ) -> tuple[int, dict[str, Any], bytes]:
        """One plain request."""
        if self.connection is None:
            self.connection = self._connect()
        sent = {**self._authorization(), "User-Agent": AGENT, "Accept": JSON, **headers}
        if body is not None and kind:
            sent["Content-Type"] = kind
        self.connection.request(
            method, quote(path, safe="/?&=%:;,+!$'()*~@"), body, {k: v for k, v in sent.items() if v}
        )
        answer = self.connection.getresponse()
        return answer.status, _headers(answer), answer.read()

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, context=self.context, timeout=TIMEOUT_S)

    def _answer(self, step: Step, saved: dict[str, str]) -> Reply:
        if step.opens:
            return self._open(step)
        if step.reads:
            return self._read(step)
        deadline = time.monotonic() + TIMEOUT_S
        while step.after and not _has(json.loads(self.send("GET", step.path)[2]), step.after):
            assert time.monotonic() < deadline, f"{step.path} has no {step.after}"
            time.sleep(0.05)
        while True:
            reply = self._once(step)
            if not step.until or reply.code == step.until:
                break
            assert time.monotonic() < deadline, f"{step.path} does not answer {step.until}: {reply}"
            time.sleep(0.05)
        for name, path in step.save.items():
            saved[name] = str(_value(reply.body, path))
        return reply

    def _once(self, step: Step) -> Reply:
        body = step.body
        if step.live:
            code, _, text = self.send("GET", step.path.partition("?")[0])
            assert code == 200, f"there is nothing at {step.path}: {code} {text!r}"
            body = merged(json.loads(text), body or {})
        # Compact as Go writes it: what is kept as raw JSON is compared byte by byte.
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body, separators=(",", ":")).encode()
        code, headers, text = self.send(step.method, step.path, raw, step.kind, Accept=step.accept, **step.headers)
        return Reply(code, headers, _parsed(text, headers, watch="watch=" in step.path))

    def _open(self, step: Step) -> Reply:
        connection = self._connect()
        connection.request(
            "GET",
            step.path,
            headers={**self._authorization(), "User-Agent": AGENT, "Accept": step.accept},
        )
        answer = connection.getresponse()
        if answer.status != 200:
            text = answer.read()
            connection.close()
            return Reply(answer.status, _headers(answer), _parsed(text, _headers(answer), watch=False))
        self.watches[step.opens] = connection, answer
        return Reply(200, _headers(answer), None)

    def _read(self, step: Step) -> Reply:
        _, answer = self.watches[step.reads]
        events: list[Any] = []
        while line := answer.readline():
            event = json.loads(line)
            events.append(event)
            if event["type"] == "ERROR" or _is_last(event, step.last):
                break
        return Reply(200, {}, events)


def _is_last(event: dict[str, Any], last: str) -> bool:
    meta = event["object"].get("metadata") or {}
    if event["object"].get("kind") == "Table":
        rows = event["object"].get("rows") or [{}]
        meta = (rows[0].get("object") or {}).get("metadata") or {}
    if last:
        return bool(meta.get("name") == last)
    return INITIAL_EVENTS_END in (meta.get("annotations") or {})


def _headers(answer: http.client.HTTPResponse) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in answer.headers:
        values = answer.headers.get_all(name) or []
        found[name.lower()] = values if name.lower() == "warning" else ", ".join(values)
    for name in ("date", "content-length", "connection", "transfer-encoding"):
        found.pop(name, None)
    return found


def _parsed(text: bytes, headers: Mapping[str, Any], *, watch: bool) -> Any:
    kind = str(headers.get("content-type") or "")
    if "protobuf" in kind:
        return text.hex()
    decoded = text.decode(errors="replace")
    if "yaml" in kind:
        return load_one(text)
    if "json" not in kind or not text:
        return decoded
    try:
        if watch and decoded.startswith('{"type":'):
            return [json.loads(line) for line in decoded.splitlines()]
        return json.loads(decoded)
    except json.JSONDecodeError:
        return decoded


def merged(value: Any, patch: Any) -> Any:
    """A JSON merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    found = dict(value) if isinstance(value, dict) else {}
    for name, one in patch.items():
        if one is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), one)
    return found


def _has(found: Any, wanted: str) -> bool:
    path, equals, value = wanted.partition("=")
    there = _value(found, path)
    return there == value if equals else there is not None


def _value(found: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(found, list) and part.isdigit():
            found = found[int(part)] if int(part) < len(found) else None
        else:
            found = found.get(part) if isinstance(found, dict) else None
    return found
