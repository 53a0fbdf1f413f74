"""Which objects of a resource a list or a watch wants: namespace, name, labels, fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.apierrors import BadRequest
from tiphys.apimachinery.selector import LabelSelector, SelectorError, parse_fields, parse_labels
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.store import Record

_REGARDING = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

# Fields besides metadata.name and metadata.namespace that can be selected, by bucket: label -> path.
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "pods": {
        path: path
        for path in (
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        )
    },
    "events": {
        **{f"involvedObject.{name}": f"involvedObject.{name}" for name in _REGARDING},
        **{f"regarding.{name}": f"involvedObject.{name}" for name in _REGARDING},
        "reason": "reason",
        "reportingComponent": "reportingComponent",
        "reportingController": "reportingComponent",
        "source": "source.component",
        "type": "type",
    },
    "secrets": {"type": "type"},
    "namespaces": {"status.phase": "status.phase"},
    "nodes": {"spec.unschedulable": "spec.unschedulable"},
    "services": {"spec.clusterIP": "spec.clusterIP", "spec.type": "spec.type"},
    "replicationcontrollers": {"status.replicas": "status.replicas"},
    "jobs.batch": {"status.successful": "status.succeeded"},
    "certificatesigningrequests.certificates.k8s.io": {"spec.signerName": "spec.signerName"},
    "resourceslices.resource.k8s.io": {"spec.nodeName": "spec.nodeName", "spec.driver": "spec.driver"},
}
# Zero values of fields that are not text.
_ZERO = {
    "spec.hostNetwork": "false",
    "spec.unschedulable": "false",
    "status.replicas": "0",
    "status.succeeded": "0",
}


class Selection:
    """A filter over records of one bucket. `is_all` when nothing is filtered but the namespace."""

    def __init__(self, resource: Resource, namespace: str | None, label_selector: str, field_selector: str) -> None:
        self.namespace = namespace
        self.name = ""
        self._labels: LabelSelector | None = None
        self._fields: list[tuple[tuple[str, ...], str, bool, str]] = []  # path, zero, wanted equal, value
        self._never = False
        try:
            if label_selector:
                self._labels = parse_labels(label_selector)
            fields = parse_fields(field_selector).terms if field_selector else ()
        except SelectorError as exc:
            raise BadRequest(str(exc)) from None
        known = _FIELDS.get(resource.bucket, {})
        if resource.bucket == "events":
            other = "involvedObject." if resource.group else "regarding."
            known = {label: path for label, path in known.items() if not label.startswith(other)}
        if resource.custom is not None:
            known = resource.custom.selectable_fields
        for term in fields:
            self._add_field(resource, known, term.field, not term.negated, term.value)

    def _add_field(self, resource: Resource, known: Mapping[str, str], label: str, equal: bool, value: str) -> None:
        if label == "metadata.name":
            if equal and (not value or (self.name and self.name != value)):
                self._never = True
            elif equal:
                self.name = value
            else:
                self._fields.append((("metadata", "name"), "", False, value))
            return
        if label == "metadata.namespace":
            self._fields.append((("metadata", "namespace"), "", equal, value))
            return
        path = known.get(label)
        if path is None:
            raise _unknown_field(resource, label)
        self._fields.append((tuple(path.split(".")), _ZERO.get(path, ""), equal, value))

    @property
    def is_all(self) -> bool:
        """Nothing but the namespace is asked for."""
        return self._labels is None and not self._fields and not self.name and not self._never

    def matches(self, record: Record) -> bool:
        """The record is wanted."""
        if self.namespace is not None and record.namespace != self.namespace:
            return False
        if self.name and record.name != self.name:
            return False
        if self._labels is not None and not self._labels.matches(record.labels):
            return False
        if self._fields and not self._fields_match(record.obj):
            return False
        return not self._never

    def _fields_match(self, obj: Mapping[str, Any]) -> bool:
        for path, zero, equal, value in self._fields:
            found: Any = obj
            for part in path:
                found = found.get(part) if isinstance(found, Mapping) else None
            if found is True or found is False:
                found = "true" if found else "false"
            if (str(found if found is not None else zero) == value) != equal:
                return False
        return True


def _unknown_field(resource: Resource, label: str) -> BadRequest:
    if resource.bucket == "jobs.batch":
        return BadRequest(f'field label "{label}" not supported for Job')
    if resource.group == "resource.k8s.io" and resource.bucket in _FIELDS:
        kind = f"{resource.api_version}, Kind={resource.kind}"
        return BadRequest(f"field label not supported for {kind}: {label}")
    if resource.bucket in _FIELDS or resource.custom is not None:
        return BadRequest(f"field label not supported: {label}")
    return BadRequest(f'"{label}" is not a known field selector: only "metadata.name", "metadata.namespace"')
