"""Marks resources as belonging to an Application; reads the marks back.

Source: compat 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tiphys.apimachinery.names import ResourceKey
from tiphys.model.annotations import INSTALLATION_ID, INSTANCE_LABEL, TRACKING_ID, Tracking, build_tracking_id


class TrackingMethod(StrEnum):
    """argocd-cm `application.resourceTrackingMethod`."""

    ANNOTATION = "annotation"
    ANNOTATION_AND_LABEL = "annotation+label"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Mark:
    """How this instance of Tiphys marks what it applies."""

    method: TrackingMethod = TrackingMethod.ANNOTATION
    label: str = INSTANCE_LABEL
    installation_id: str = ""


CRD_KIND = ("apiextensions.k8s.io", "CustomResourceDefinition")
_LABEL_LIMIT = 63


def mark(manifest: dict[str, Any], *, instance: str, key: ResourceKey, namespace: str, how: Mark) -> None:
    """Put the tracking mark on a manifest this caller owns. CRDs are never marked.

    `namespace` is the object's own, or the destination's for a cluster-scoped object.
    """
    if key.group_kind == CRD_KIND:
        return
    metadata = manifest.setdefault("metadata", {})
    if how.method is not TrackingMethod.LABEL:
        annotations = dict(metadata.get("annotations") or {})
        annotations[TRACKING_ID] = build_tracking_id(Tracking(instance, key.group, key.kind, namespace, key.name))
        if how.installation_id:
            annotations[INSTALLATION_ID] = how.installation_id
        metadata["annotations"] = annotations
    if how.method is not TrackingMethod.ANNOTATION:
        labels = dict(metadata.get("labels") or {})
        full = how.method is TrackingMethod.LABEL
        labels[how.label] = instance if full else instance[:_LABEL_LIMIT].rstrip("-_.")
        metadata["labels"] = labels


def namespace_of_mark(key: ResourceKey, destination: str) -> str:
    """The namespace that stands in a tracking id: the object's own, or the destination's."""
    return key.namespace or destination
