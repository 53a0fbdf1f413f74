"""The four kinds of PATCH: what the live object becomes. Server-side apply is in `ownership`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tiphys.devcluster.resources import Resource

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """A PATCH body. `duplicates` are the paths of keys that stand twice in it."""

    kind: Literal["json", "merge", "strategic", "apply"]
    body: Any
    raw: bytes = b""
    duplicates: list[str] = field(default_factory=list)

    def shown(self) -> str:
        """The body as messages quote it."""
        return self.raw.decode(errors="replace")


def patched(resource: Resource, live: Object, request: PatchRequest) -> Object:
    """The object a JSON, merge or strategic merge patch makes of `live`, which is not changed. Raises ApiError."""
    return _merge(live, request.body)  # type: ignore[no-any-return]


def _merge(live: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    out = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merge(out.get(key), value)
    return out
