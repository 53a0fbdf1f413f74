"""Step: one request, as data; a scenario is a list of them, sent in order to each server."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Step:
    """One request.

    `live`: the body is a merge patch onto what a GET of the path answers, so that a PUT carries the server's own version.
    `save`: names for values of the answer (dotted paths), used later as `<<name>>`. `until`: ask again until this status.
    `after`: what the server writes into the object at the path by itself (a dotted path, or one with `=value`) before the
    request is sent.
    `opens`: the name of a watch that stays open; `reads`: take that watch's events until one is of the object `last`
    (or, if `last` is empty, the bookmark that ends the initial events).
    """

    method: str
    path: str
    body: Any = None
    kind: str = JSON
    accept: str = JSON
    label: str = ""
    live: bool = False
    save: Mapping[str, str] = field(default_factory=dict)
    until: int = 0
    after: str = ""
    opens: str = ""
    reads: str = ""
    last: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> str:
        """A short name made of the request itself."""
        if self.label:
            return self.label
        if self.reads:
            return f"read {self.reads}"
        tail = re.sub(r"^/apis?(/[^/?]+)?/v\d+(/namespaces/[^/?]+(?=/))?", "", self.path) or self.path
        kind = {APPLY: " apply", MERGE: " merge", STRATEGIC: " strategic", JSON_PATCH: " json"}.get(self.kind, "")
        return f"{self.method}{kind} {tail}"


@dataclass(frozen=True)
class Scenario:
    """Requests that build on each other. `namespace` exists before the first; others know nothing of it.

    `controllers`: what the cluster does by itself is waited for, so the real server's controllers run.
    """

    name: str
    steps: list[Step]
    controllers: bool = False

    @property
    def namespace(self) -> str:
        """The namespace the scenario has for itself."""
        return namespace_of(self.name)

    def cases(self) -> list[tuple[str, Step]]:
        """Each step with its id, which is the same as long as the step is."""
        seen: Counter[str] = Counter()
        found = []
        for step in self.steps:
            label = step.described()
            seen[label] += 1
            suffix = f" ~{seen[label]}" if seen[label] > 1 else ""
            found.append((f"{self.name}: {label}{suffix}", step))
        return found


def namespace_of(name: str) -> str:
    """The namespace of a scenario."""
    return "compare-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50]


def filled(step: Step, saved: Mapping[str, str]) -> Step:
    """The step with `<<name>>` replaced by saved values."""
    if "<<" not in step.path and (step.body is None or "<<" not in str(step.body)):
        return step

    def fill(text: str) -> str:
        return re.sub(r"<<(\w+)>>", lambda found: saved.get(found[1], "0"), text)

    body = step.body
    if isinstance(body, bytes):
        body = fill(body.decode()).encode()
    elif body is not None:
        body = json.loads(fill(json.dumps(body)))
    return replace(step, path=fill(step.path), body=body)
