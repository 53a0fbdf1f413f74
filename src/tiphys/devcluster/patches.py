"""The four kinds of PATCH: what the live object becomes. Server-side apply is in `ownership`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from tiphys.apimachinery import jsonpatch, mergepatch, patchmeta, strategicmerge
from tiphys.apimachinery.apierrors import ApiError, BadRequest, request_too_large
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster.resources import Resource

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """A PATCH body. `duplicates` are the paths of keys that stand twice in it."""

    kind: Literal["json", "merge", "strategic", "apply"]
    body: Any
    raw: bytes = b""
    duplicates: list[str] = field(default_factory=list)

    def shown(self, made: Object) -> str:
        """What messages quote: a strategic patch itself, of the others the object they made."""
        return _go_value(self.body) if self.kind == "strategic" else orjson.dumps(made).decode()


def _go_value(value: Any) -> str:
    """A value as Go's %v prints it: `map[a:1 b:[x y]]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_value(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_go_value(one) for one in value) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


_GO_NAMES = {list: "array", str: "string", int: "number", float: "number", bool: "bool", dict: "object"}


def readable(kind: str, body: Any) -> Any:
    """A patch that can be applied, from what its JSON says. Raises BadRequest for a value of the wrong type."""
    wanted = list if kind == "json" else dict
    if isinstance(body, wanted):
        odd = [one for one in body if one is not None and not isinstance(one, dict)] if kind == "json" else []
        if odd:
            into = f"{_GO_NAMES[type(odd[0])]} into Go value of type handlers.jsonPatchOp"
            raise BadRequest(f"error decoding patch: json: cannot unmarshal {into}")
        return body
    if body is None and kind != "merge":
        return wanted()
    if body is None:
        raise BadRequest("Invalid JSON Patch")
    said = "" if kind == "strategic" else "error decoding patch: "
    into = "[]handlers.jsonPatchOp" if kind == "json" else "map[string]interface {}"
    raise BadRequest(f"{said}json: cannot unmarshal {_GO_NAMES[type(body)]} into Go value of type {into}")


def patched(resource: Resource, live: Object, request: PatchRequest) -> Object:
    """The object a JSON, merge or strategic merge patch makes of `live`, which is not changed. Raises ApiError."""
    if request.kind == "json":
        if len(request.body) > jsonpatch.MAX_OPERATIONS:
            raise request_too_large(
                f"The allowed maximum operations in a JSON patch is {jsonpatch.MAX_OPERATIONS}, got {len(request.body)}"
            )
        try:
            result = jsonpatch.apply(live, request.body)
        except jsonpatch.JsonPatchError:
            raise jsonpatch.refusal() from None
    elif request.kind == "strategic":
        schema = patchmeta.builtin().schema(GroupVersionKind(resource.group, resource.version, resource.kind))
        try:
            result = strategicmerge.apply(live, request.body, schema or patchmeta.UNKNOWN)
        except strategicmerge.StrategicMergeError as exc:
            raise ApiError(str(exc), code=exc.code, reason="" if exc.code == 500 else None) from None
    else:
        result = mergepatch.apply(live, request.body)
    if not isinstance(result, dict):
        raise BadRequest("the patch does not leave an object")
    return result
