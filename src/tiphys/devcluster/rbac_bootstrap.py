"""The roles and bindings every cluster has, brought up to date at every start as Kubernetes does.

Source: kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy (recorded), component-helpers auth/rbac/reconciliation:
what is missing is created; to what is there, missing rules and subjects are added, and nothing is taken away. An object whose
annotation `rbac.authorization.kubernetes.io/autoupdate` is `false` is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources as package_files
from typing import Any

import orjson

from tiphys.devcluster.rbac import Rule, missing, read_rules
from tiphys.devcluster.rbac_index import GROUP
from tiphys.devcluster.resources import Registry, Resource
from tiphys.devcluster.writes import WriteOptions, Writer

Object = dict[str, Any]

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def create_roles(writer: Writer, registry: Registry, options: WriteOptions) -> None:
    """Create what is missing and add what newer versions allow."""
    raw = package_files.files("tiphys.devcluster").joinpath("data/rbac.json").read_bytes()
    for plural, rows in orjson.loads(raw).items():
        resource = registry.lookup(GROUP, "v1", plural)
        assert resource is not None, plural
        for row in rows:
            _reconcile(writer, resource, row, options)


def _reconcile(writer: Writer, resource: Resource, row: Mapping[str, Any], options: WriteOptions) -> None:
    namespace, name = row.get("namespace", ""), row["name"]
    record = writer.store.get(resource.bucket, f"{namespace}/{name}")
    if record is None:
        metadata = {"name": name, "labels": {**_LABELS, **row.get("labels", {})}, "annotations": {AUTOUPDATE: "true"}}
        rest = {key: one for key, one in row.items() if key not in ("name", "namespace", "labels")}
        writer.create(resource, namespace, writer.rules.decode(resource, {"metadata": metadata, **rest}).obj, options)
        return
    live = record.obj
    if (live["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false":
        return
    changes = _additions(live, row)
    if not changes:
        return

    def make(found: Object) -> Object:
        return writer.rules.decode(resource, {**found, **changes}).obj

    writer.update(resource, record, make, options)


def _additions(live: Mapping[str, Any], row: Mapping[str, Any]) -> Object:
    """The fields of an object that have to grow, as they should be."""
    changes: Object = {}
    lacking = missing(read_rules(live), read_rules(row)) if "rules" in row else []
    if lacking:
        changes["rules"] = [*(live.get("rules") or ()), *(_written(one) for one in lacking)]
    if "aggregationRule" in row and not live.get("aggregationRule"):
        changes["aggregationRule"] = row["aggregationRule"]
    present = {_identity(one) for one in live.get("subjects") or ()}
    subjects = [one for one in row.get("subjects") or () if _identity(one) not in present]
    if subjects:
        changes["subjects"] = [*(live.get("subjects") or ()), *subjects]
    labels = live["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in row.get("labels", {}).items()):
        changes["metadata"] = {**live["metadata"], "labels": {**labels, **row["labels"]}}
    return changes


def _identity(subject: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(subject.get("kind")), str(subject.get("namespace") or ""), str(subject.get("name"))


def _written(rule: Rule) -> Object:
    shown = {
        "apiGroups": rule.groups,
        "resources": rule.resources,
        "resourceNames": rule.names,
        "nonResourceURLs": rule.urls,
        "verbs": rule.verbs,
    }
    return {key: list(values) for key, values in shown.items() if values}
