"""The four kinds of PATCH: what the live object becomes. Server-side apply is in `ownership`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tiphys.apimachinery import apierrors, goshapes, jsonpatch, mergepatch, patchmeta, strategicmerge
from tiphys.apimachinery.apierrors import ApiError, BadRequest, invalid_value, request_too_large
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster import patchtexts
from tiphys.devcluster.resources import Resource

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """A PATCH body. `duplicates` are the paths of keys that stand twice in it."""

    kind: Literal["json", "merge", "strategic", "apply"]
    body: Any
    raw: bytes = b""
    duplicates: list[str] = field(default_factory=list)

    def shown(self, resource: Resource, live: Object, made: Object) -> str:
        """What messages quote: a strategic patch itself, of the others the object they made."""
        if self.kind == "strategic":
            return patchtexts.go_value(self.body)
        kind = GroupVersionKind(resource.group, resource.version, resource.kind)
        type_name = None if resource.custom is not None else goshapes.builtin().type_name(kind)
        if self.kind == "json":
            return patchtexts.operated_text(type_name, self.body, made)
        return patchtexts.merged_text(type_name, live, self.body, made)


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


def check_type(
    resource: Resource,
    name: str,
    made: Object,
    request: PatchRequest,
    live: Object,
    *,
    field_validation: str,
    warnings: list[str],
) -> None:
    """A patch may not make an object of another kind or version. Raises ApiError."""
    kind, version = made.get("kind"), made.get("apiVersion")
    if resource.custom is not None:
        _check_custom_type(resource, name, made, request, live)
    elif request.kind == "strategic":
        return  # read into the resource's own type, whatever it says
    elif kind is not None and not isinstance(kind, str):
        said = f"json: cannot unmarshal {_GO_NAMES[type(kind)]} into Go struct field .kind of type string"
        raise unreadable(resource, request, live, made, f"couldn't get version/kind; json parse error: {said}")
    elif kind and version and (kind, version) != (resource.kind, resource.api_version):
        said = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        group, _, short = str(version).rpartition("/")
        other = GroupVersionKind(group, short, str(kind))
        try:
            if goshapes.known(other):
                goshapes.decode(made, other)
        except goshapes.DecodeError as exc:
            said = str(exc)
        raise unreadable(resource, request, live, made, said)
    elif kind and not version:
        # Taken for the form the server itself works with, which reads none of these fields from JSON.
        lost = [f'unknown field "{key}"' for key in sorted(made) if key != "kind"]
        if field_validation == "Strict" and lost:
            raise unreadable(resource, request, live, made, f"strict decoding error: {', '.join(lost)}")
        if field_validation == "Warn":
            warnings += lost
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def _check_custom_type(resource: Resource, name: str, made: Object, request: PatchRequest, live: Object) -> None:
    kind, version = made.get("kind"), made.get("apiVersion")
    group = str(version or "").rpartition("/")[0]
    if not kind:
        missing = f"Object 'Kind' is missing in '{request.shown(resource, live, made)}'"
        raise unreadable(resource, request, live, made, missing)
    if not version:
        said = "Object 'apiVersion' is missing in 'object has no apiVersion field'"
        raise apierrors.internal_error(said)
    if kind != resource.kind:
        raise apierrors.invalid(str(kind), group, name, [invalid_value("kind", kind, f"must be {resource.kind}")])
    if version != resource.api_version:
        cause = invalid_value("apiVersion", version, f"must be {resource.api_version}")
        raise apierrors.invalid(resource.kind, group, name, [cause])


def unreadable(resource: Resource, request: PatchRequest, live: Object, made: Object, problem: str) -> ApiError:
    """The error of a patch whose outcome is not an object of the resource; it quotes the outcome."""
    return apierrors.invalid("", "", "", [invalid_value("patch", request.shown(resource, live, made), problem)])
