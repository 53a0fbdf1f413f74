"""Request bodies of one resource: built-in kinds through their Go structs, custom ones through their schema."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.apierrors import BadRequest
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster.decode import decode_body, parse_body, settle_strict, strict_problems
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.strategy import Rules

Object = dict[str, Any]


def read_object(
    rules: Rules, resource: Resource, body: bytes, content_type: str, validation: str
) -> tuple[Object, list[str]]:
    """The object a create or update carries, the caller's own to change, and warnings. Raises BadRequest."""
    expected = GroupVersionKind(resource.group, resource.version, resource.kind)
    if resource.custom is None:
        found = decode_body(body, content_type, expected, validation=validation)
        return found.obj, list(found.warnings)
    parsed = parse_body(body, content_type, expected, strict=validation != "Ignore", custom=True)
    if "kind" not in parsed.obj:
        shown = body.decode(errors="replace")
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object 'Kind' is missing in"
            f" '{shown}' ({shown[:30]}{' ...' if len(shown) > 30 else ''})"
        )
    metadata = parsed.obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    rules.check_kind(resource, parsed.gvk, str(name or ""))
    decoded = rules.decode(resource, parsed.obj)
    problems = strict_problems(parsed.obj, parsed.duplicates, decoded.unknown, body)
    return decoded.obj, list(settle_strict(problems, validation, parsed.gvk, expected))
