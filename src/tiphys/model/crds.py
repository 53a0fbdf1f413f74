"""CustomResourceDefinitions of Application, AppProject and ApplicationSet, made from the model.

The schemas are structural and accept what Argo CD's CRDs accept. What the model carries without reading it is open
(`x-kubernetes-preserve-unknown-fields`).

Source: compat 1.1 "CRDs". Applications have no status subresource, as in Argo CD: clients write spec, status and
operation of one object.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiphys.model.application import GROUP, VERSION, ApplicationSpec
from tiphys.model.appproject import AppProjectSpec, AppProjectStatus
from tiphys.model.codec import Wire, field_infos
from tiphys.model.operation import Operation
from tiphys.model.statuses import ApplicationStatus

Schema = dict[str, Any]

_OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}
_SCALARS: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    datetime: {"type": "string", "format": "date-time"},
}


def crd_objects() -> tuple[dict[str, Any], ...]:
    """The three CRDs, fresh each time, ready to be created in a cluster."""
    return (application_crd(), appproject_crd(), applicationset_crd())


def application_crd() -> dict[str, Any]:
    """CRD of Application: short names app and apps, columns for sync, health, revision and project."""
    return _crd(
        kind="Application",
        plural="applications",
        short_names=("app", "apps"),
        properties={
            "operation": schema_of(Operation),
            "spec": schema_of(ApplicationSpec),
            "status": schema_of(ApplicationStatus),
        },
        columns=(
            _column("Sync Status", ".status.sync.status"),
            _column("Health Status", ".status.health.status"),
            _column("Revision", ".status.sync.revision", priority=10),
            _column("Project", ".spec.project", priority=10),
        ),
    )


def appproject_crd() -> dict[str, Any]:
    """CRD of AppProject: short names appproj and appprojs."""
    return _crd(
        kind="AppProject",
        plural="appprojects",
        short_names=("appproj", "appprojs"),
        properties={"spec": schema_of(AppProjectSpec), "status": schema_of(AppProjectStatus)},
    )


def applicationset_crd() -> dict[str, Any]:
    """CRD of ApplicationSet: short names appset and appsets, with a status subresource; generators are not looked into."""
    return _crd(
        kind="ApplicationSet",
        plural="applicationsets",
        short_names=("appset", "appsets"),
        properties={"spec": dict(_OPEN), "status": dict(_OPEN)},
        subresources={"status": {}},
    )


def schema_of(cls: type[Wire]) -> Schema:
    """Structural schema of a model class. Fields that are always written are required."""
    infos = field_infos(cls)
    schema: Schema = {"type": "object", "properties": {info.name: _schema(info.annotation) for info in infos}}
    required = sorted(info.name for info in infos if info.always)
    if required:
        schema["required"] = required
    return schema


def _schema(annotation: Any) -> Schema:
    args = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        if set(rest) == {int, str}:
            return {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
        return _schema(rest[0])
    if annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    origin = typing.get_origin(annotation)
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0])}
    if origin is Mapping:
        return dict(_OPEN) if args[1] in (object, Any) else {"type": "object", "additionalProperties": _schema(args[1])}
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        return schema_of(annotation)
    return dict(_ANYTHING)


def _column(name: str, path: str, *, priority: int = 0) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": "string", "jsonPath": path}
    if priority:
        column["priority"] = priority
    return column


def _crd(
    *,
    kind: str,
    plural: str,
    short_names: tuple[str, ...],
    properties: dict[str, Schema],
    columns: tuple[dict[str, Any], ...] = (),
    subresources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    **properties,
                },
                "required": ["metadata", "spec"],
            }
        },
    }
    if columns:
        version["additionalPrinterColumns"] = list(columns)
    version["subresources"] = dict(subresources or {})
    name = f"{plural}.{GROUP}"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "argocd"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": list(short_names),
            },
            "versions": [version],
        },
    }
