"""Rules: what the server does to an object of a kind between the request's body and the store.

Reading into the kind's form, defaults, admission, validation. Built-in kinds follow their Go structs; custom ones the
schema of their definition. The steps are in the order of the real server: decode, default, (ownership), admit, validate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.apierrors import BadRequest, FieldCause
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster.resources import Resource

Object = dict[str, Any]


class Decoded(NamedTuple):
    """An object in its kind's form, sharing nothing with the input, and the fields the kind does not have."""

    obj: Object
    unknown: list[str]


class Rules:
    """What is particular to kinds; one for the whole server."""

    def decode(self, resource: Resource, raw: Mapping[str, Any]) -> Decoded:
        """`raw` as an object of the resource. Raises BadRequest on a value of the wrong type."""
        if resource.custom is not None:
            return Decoded(resource.custom.decode(raw), [])
        try:
            found = goshapes.decode(raw, GroupVersionKind(resource.group, resource.version, resource.kind))
        except goshapes.DecodeError as exc:
            raise BadRequest(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {exc}'
            ) from None
        return Decoded(found.obj, found.unknown)

    def check_kind(self, resource: Resource, gvk: GroupVersionKind) -> None:
        """A body that says it is of another kind or version. Raises BadRequest."""
        if gvk.kind != resource.kind or gvk.group != resource.group:
            raise BadRequest(
                f"the object provided is unrecognized (must be of type {resource.kind}): no kind"
                f' "{gvk.kind}" is registered for version "{gvk.api_version}"'
            )
        if gvk.version != resource.version:
            raise BadRequest(
                f"the API version in the data ({gvk.api_version}) does not match the expected API version"
                f" ({resource.api_version})"
            )

    def default(self, resource: Resource, obj: Object) -> None:
        """Fill the kind's defaults into `obj`."""

    def admit(self, resource: Resource, obj: Object, old: Object | None) -> list[str]:
        """What admission adds to `obj`; warnings for the client."""
        return []

    def validate(self, resource: Resource, obj: Object, old: Object | None, subresource: str) -> list[FieldCause]:
        """Every problem of an object about to be stored."""
        return []
