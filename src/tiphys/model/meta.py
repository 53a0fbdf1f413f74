"""Read access to an object's raw metadata, shared by the CRD classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.model.codec import EMPTY, Wire, wire
from tiphys.model.time import parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomResource(Wire):
    """A Kubernetes object whose metadata stays as it was read."""

    api_version: str = ""
    kind: str = ""
    metadata: Mapping[str, object] = wire(default=EMPTY, always=True)

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return str(self.metadata.get("namespace") or "")

    @property
    def uid(self) -> str:
        """metadata.uid."""
        return str(self.metadata.get("uid") or "")

    @property
    def resource_version(self) -> str:
        """metadata.resourceVersion."""
        return str(self.metadata.get("resourceVersion") or "")

    @property
    def generation(self) -> int:
        """metadata.generation; says nothing about the spec where there is no status subresource."""
        value = self.metadata.get("generation")
        return value if isinstance(value, int) else 0

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels."""
        return _strings(self.metadata.get("labels"))

    @property
    def annotations(self) -> Mapping[str, str]:
        """metadata.annotations."""
        return _strings(self.metadata.get("annotations"))

    @property
    def finalizers(self) -> tuple[str, ...]:
        """metadata.finalizers."""
        value = self.metadata.get("finalizers")
        return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()

    @property
    def creation_timestamp(self) -> datetime | None:
        """metadata.creationTimestamp, None when absent or unreadable."""
        return _time(self.metadata.get("creationTimestamp"))

    @property
    def deletion_timestamp(self) -> datetime | None:
        """metadata.deletionTimestamp, None when the object is not being deleted."""
        return _time(self.metadata.get("deletionTimestamp"))


def _strings(value: Any) -> Mapping[str, str]:
    return value if isinstance(value, Mapping) else EMPTY


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_time(value)
    except ValueError:
        return None
