"""Stories: what is done to one random object, as steps: created, applied by two managers, patched in every way, read, deleted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.devcluster.compare.step import APPLY, JSON_PATCH, MERGE, STRATEGIC, Scenario, Step
from tests.devcluster.random.kinds import Kind, kinds
from tests.devcluster.random.shapes import MISTAKES, Draw

SPACE = "random"
CHANGES = 6
STRATEGIC_KEYS = ("name", "containerPort", "port", "mountPath", "ip", "topologyKey", "uid")


def scenario(number: int, seed: int) -> Scenario:
    """The story of one object. The same two numbers always give the same story."""
    source = random.Random(f"{seed}/{number}")
    chosen = kinds()[number % 10]
    draw = Draw(source, density=source.choice((0.2, 0.4, 0.7)), mistakes=source.choice((0, 0, 0, 0, 0.02, 0.06)))
    return Scenario(f"random {chosen.kind} {seed}-{number}", list(_Story(chosen, f"r{seed}-{number}", draw).steps()))


class _Story:
    def __init__(self, kind: Kind, name: str, draw: Draw) -> None:
        self.kind = kind
        self.name = name
        self.draw = draw
        self.collection = kind.collection(f"compare-{SPACE}")
        self.path = f"{self.collection}/{name}"

    def steps(self) -> Iterator[Step]:
        manager = self.draw.source.choice(("m1", "m2", "writer"))
        if self.draw.often(0.5):
            yield Step(
                "POST", f"{self.collection}?fieldManager={manager}{self._check()}", self._whole(), label="create"
            )
        else:
            yield self._apply("m1", self._whole())
        if self.draw.mistakes:  # what was refused is made again, without mistakes, so that there is something to change
            mistakes, self.draw.mistakes = self.draw.mistakes, 0.0
            yield Step("POST", f"{self.collection}?fieldManager={manager}", self._whole(), label="create well")
            self.draw.mistakes = mistakes
        for _ in range(CHANGES):
            yield self._change()
        yield Step("GET", self.path, label="get")
        yield Step("PATCH", self.path, {"metadata": {"finalizers": None}}, MERGE, label="let go")
        yield Step("DELETE", f"{self.path}?propagationPolicy=Background", label="delete")

    def _whole(self) -> Any:
        return self.kind.named(self.name, _mapping(self.draw.whole(self.kind.shape)))

    def _part(self) -> dict[str, Any]:
        return _mapping(self.draw.part(self.kind.shape))

    def _check(self) -> str:
        return self.draw.source.choice(
            ("", "", "&fieldValidation=Strict", "&fieldValidation=Warn", "&fieldValidation=Ignore")
        )

    def _apply(self, manager: str, body: Any, *, force: bool = False) -> Step:
        query = f"fieldManager={manager}{'&force=true' if force else ''}{self._check()}"
        return Step("PATCH", f"{self.path}?{query}", body, APPLY, label=f"apply {manager}{' force' if force else ''}")

    def _change(self) -> Step:
        source = self.draw.source
        chosen = source.choice(("apply", "apply", "apply", "force", "merge", "strategic", "strategic", "json", "put"))
        manager = source.choice(("m1", "m2"))
        query = f"{self.path}?fieldManager={source.choice(('m1', 'm2', 'editor'))}{self._check()}"
        if chosen in ("apply", "force"):
            body = self._whole() if self.draw.often(0.3) else self.kind.named(self.name, self._part())
            return self._apply(manager, body, force=chosen == "force")
        if chosen == "merge" or (chosen == "strategic" and self.kind.custom):
            return Step("PATCH", query, self._nulled(self._part()), MERGE, label="merge")
        if chosen == "strategic":
            return Step("PATCH", query, self._directed(self._nulled(self._part())), STRATEGIC, label="strategic")
        if chosen == "json":
            return Step("PATCH", query, self._operations(), JSON_PATCH, label="json")
        return Step("PUT", query, self._nulled(self._part()), live=True, label="put")

    def _nulled(self, value: Any) -> Any:
        """The value as a merge patch: now and then a field is to go."""
        if isinstance(value, dict):
            return {key: None if self.draw.often(0.08) else self._nulled(one) for key, one in value.items()}
        return value

    def _directed(self, value: Any) -> Any:
        """The value as a strategic merge patch: now and then a directive."""
        if isinstance(value, dict):
            found = {key: self._directed(one) for key, one in value.items()}
            for key, one in list(found.items()):
                if isinstance(one, list) and one and self.draw.often(0.15):
                    found.update(self._of_list(key, one))
            if found and self.draw.often(0.03):
                found["$patch"] = self.draw.source.choice(("replace", "delete", "merge"))
            if found and self.draw.often(0.03):
                found["$retainKeys"] = sorted(found.keys() - {"$patch", "$retainKeys"})
            return found
        if isinstance(value, list):
            items = [self._directed(one) for one in value]
            if items and isinstance(items[0], dict) and self.draw.often(0.1):
                keys = {name: items[0][name] for name in STRATEGIC_KEYS if name in items[0]}
                items[0] = {**keys, "$patch": "delete"}
            if items and isinstance(items[-1], dict) and self.draw.often(0.05):
                items.append({"$patch": "replace"})
            return items
        return value

    def _of_list(self, name: str, items: list[Any]) -> dict[str, Any]:
        if all(isinstance(one, str | int) for one in items):
            return (
                {f"$deleteFromPrimitiveList/{name}": items[:1]}
                if self.draw.often(0.7)
                else {f"$setElementOrder/{name}": items}
            )
        order = []
        for one in items:
            if isinstance(one, dict) and "$patch" not in one:
                key = next((key for key in STRATEGIC_KEYS if key in one), None)
                if key is not None:
                    order.append({key: one[key]})
        return {f"$setElementOrder/{name}": order}

    def _operations(self) -> list[dict[str, Any]]:
        source = self.draw.source
        found = []
        for _ in range(source.randint(1, 3)):
            places = list(_places(self._part(), ""))
            path, value = source.choice(places) if places else ("/metadata/labels", {"a": "x"})
            kind = source.choice(("add", "add", "replace", "remove", "test", "copy", "move"))
            operation: dict[str, Any] = {"op": kind, "path": path}
            if kind in ("add", "replace", "test"):
                operation["value"] = source.choice(MISTAKES) if self.draw.often(0.05) else value
            if kind in ("copy", "move"):
                operation["from"] = source.choice(places)[0] if places else "/metadata/name"
            found.append(operation)
        return found


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"spec": value}


def _places(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _places(one, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _places(one, f"{path}/{index}")
        yield f"{path}/-", value[0] if value else "x"
