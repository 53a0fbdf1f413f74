"""Kinds: every verb on one object of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.devcluster.compare.step import (
    APPLY,
    JSON_PATCH,
    MERGE,
    PARTIAL,
    PARTIAL_LIST,
    STRATEGIC,
    TABLE,
    Scenario,
    Step,
    namespace_of,
)

from tiphys.apimachinery.yamljson import load_one

# A request for the certificate of CN=u; the key was thrown away.
CSR = (
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIR01HNENBUUF3RERFS01BZ0dBMVVFQXd3QmRUQlpNQk1HQnlx"
    "R1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQQpCTkNxY3NPazF6S0srNy9LWU5nRVpVYmtMMU95ME9aaHNqYW05RnpZMUc3ZEdLL280"
    "dzMrSnVOZFg4QmlFbGJvCjJFODRrUk5nT2QzVHlEcTdrc25XMG4rZ0FEQUtCZ2dxaGtqT1BRUURBZ05JQURCRkFpRUFsT2dDQ1NJ"
    "K3hXWXYKcm5ZOFJCem5hYUk0WG1ZNGF0dk1pWFZIWDdRdHRORUNJRWh0WFNlb0t5Z0JxRkVkdW9PS1BVS1FoM283OW5xZgpaMk5j"
    "SHB3Y0VyU2wKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg=="
)
# Said as often as the server judges metadata, which depends on the kind.
FAULTY: dict[str, Any] = {"labels": {"x": "y" * 64}, "finalizers": ["plain"], "ownerReferences": [{}]}
LABELLED = "labelSelector=compared=here"


def scenarios() -> list[Scenario]:
    """One for each kind of kinds.yaml."""
    listed: Any = load_one((Path(__file__).parent / "kinds.yaml").read_bytes())
    return [_scenario(one) for one in listed]


def _scenario(given: dict[str, Any]) -> Scenario:
    parts = given["path"].strip("/").split("/")
    api_version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
    name = f"kind {parts[-1]} {api_version}"
    namespace = namespace_of(name)
    path = given["path"].replace("NS", namespace)
    manifest = _replaced(given["manifest"], namespace)
    metadata = {"name": given.get("name", "one"), "labels": {"compared": "here"}}
    whole = {"apiVersion": api_version, "kind": given["kind"], "metadata": metadata, **manifest}
    return Scenario(name, _verbs(path, whole, given))


def _replaced(value: Any, namespace: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(one, namespace) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, namespace) for one in value]
    return {"NS": namespace, "CSR": CSR}.get(value, value) if isinstance(value, str) else value


def _with(manifest: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], **metadata}}


def _verbs(path: str, manifest: dict[str, Any], given: dict[str, Any]) -> list[Step]:
    name = manifest["metadata"]["name"]
    one = f"{path}/{name}"
    return [
        *_reads_of_nothing(path, one),
        *_creates(path, one, manifest),
        *_reads(path, one, name, given.get("ready", "")),
        *_updates(one, manifest, given),
        *_patches(one, manifest, given),
        *_subresources(one, manifest),
        *_deletes(path, one, manifest, given),
    ]


def _reads_of_nothing(path: str, one: str) -> list[Step]:
    return [
        Step("GET", one, label="get absent"),
        Step("GET", f"{path}?{LABELLED}", label="list none"),
        Step("GET", f"{path}?{LABELLED}", accept=TABLE, label="list none as table"),
        Step("DELETE", one, label="delete absent"),
        Step("PUT", f"{path}/absent", {"metadata": {"name": "absent"}}, label="put empty absent"),
        Step("PATCH", f"{path}/absent", {}, MERGE, label="patch absent"),
        Step("GET", f"{path}?fieldSelector=spec.nope=x", label="list by unknown field"),
    ]


def _creates(path: str, one: str, manifest: dict[str, Any]) -> list[Step]:
    unknown = {**manifest, "nope": 1, "metadata": {**manifest["metadata"], "nope": 2}}
    return [
        Step("POST", f"{path}?dryRun=All", manifest, label="create dry"),
        Step("GET", one, label="get after dry"),
        Step("POST", f"{path}?fieldValidation=Strict", unknown, label="create strict"),
        Step("POST", f"{path}?fieldValidation=Warn&dryRun=All", unknown, label="create warn"),
        Step("POST", f"{path}?dryRun=All", unknown, label="create default validation"),
        Step("POST", f"{path}?fieldValidation=Ignore&dryRun=All", unknown, label="create ignore"),
        Step("POST", path, {"metadata": {"name": "bare"}, "spec": "x"}, label="create spec of text"),
        Step("POST", f"{path}?dryRun=All", _with(manifest, name="Bad_Name!"), label="create bad name"),
        Step("POST", f"{path}?dryRun=All", _with(manifest, labels={"a b": "c d"}), label="create bad label"),
        Step("POST", f"{path}?dryRun=All", _with(manifest, annotations={"a b": "c d"}), label="create bad annotation"),
        Step("POST", f"{path}?dryRun=All", {"metadata": {"name": "bare"}}, label="create bare"),
        Step("POST", f"{path}?dryRun=All", {**manifest, "kind": "Other"}, label="create other kind"),
        Step("POST", path, manifest, label="create"),
        Step("POST", path, manifest, label="create again"),
        Step("POST", f"{path}?dryRun=All", manifest, label="create again dry"),
    ]


def _reads(path: str, one: str, name: str, ready: str) -> list[Step]:
    named = f"{path}?fieldSelector=metadata.name={name}"
    return [
        Step("GET", one, label="get", after=ready),
        Step("GET", one, accept="application/yaml", label="get yaml"),
        Step("GET", one, accept=TABLE, label="get table"),
        Step("GET", one, accept=PARTIAL, label="get partial"),
        Step("GET", f"{path}?{LABELLED}", label="list"),
        Step("GET", f"{path}?{LABELLED}", accept=TABLE, label="list table"),
        Step("GET", f"{path}?{LABELLED}", accept=PARTIAL_LIST, label="list partial"),
        Step("GET", named, label="list by name"),
        Step("GET", f"{path}?labelSelector=compared=elsewhere", label="list other label"),
        Step(
            "GET",
            f"{path}?{LABELLED}&watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
            opens="w",
            label="watch",
        ),
        Step("GET", "", reads="w", label="watch initial events"),
    ]


def _updates(one: str, manifest: dict[str, Any], given: dict[str, Any]) -> list[Step]:
    return [
        Step("PUT", one, {}, live=True, label="put same"),
        Step("PUT", one, manifest, label="put without version"),
        Step("PUT", one, {"metadata": {"resourceVersion": "1"}}, live=True, label="put old version"),
        Step("PUT", one, {"metadata": {"uid": "other"}}, live=True, label="put other uid"),
        Step("PUT", one, {"metadata": {"labels": {"l": "put"}}}, live=True, label="put label"),
        Step("PUT", f"{one}?dryRun=All", {"metadata": {"labels": {"l": "dry"}}}, live=True, label="put dry"),
        Step("PUT", f"{one}?fieldValidation=Strict", {"nope": 1}, live=True, label="put strict"),
        Step("PUT", f"{one}?fieldValidation=Warn", {"nope": 1}, live=True, label="put warn"),
        Step("PUT", one, {"metadata": {"name": "other"}}, live=True, label="put other name"),
        Step("PUT", one, given["change"], live=True, label="put change"),
        Step("GET", "", reads="w", last=manifest["metadata"]["name"], label="watch first update"),
    ]


def _patches(one: str, manifest: dict[str, Any], given: dict[str, Any]) -> list[Step]:
    bad = [
        Step("PATCH", f"{one}?dryRun=All", patch, MERGE, label=f"merge refused {number}")
        for number, patch in enumerate(given["bad"], 1)
    ]
    return [
        Step(
            "PATCH",
            one,
            {"metadata": {"labels": {"l": "m"}}},
            MERGE,
            label="merge label",
            after=given.get("changed", ""),
        ),
        Step("PATCH", one, {"metadata": {"labels": {"l": "m"}}}, MERGE, label="merge label again"),
        Step("PATCH", f"{one}?dryRun=All", {"metadata": {"labels": {"l": "d"}}}, MERGE, label="merge dry"),
        Step("PATCH", one, {"metadata": {"labels": {"s": "1"}}}, STRATEGIC, label="strategic label"),
        Step("PATCH", f"{one}?dryRun=All", {"metadata": {"labels": {"s": None}}}, STRATEGIC, label="strategic dry"),
        Step("PATCH", one, [{"op": "add", "path": "/metadata/labels/j", "value": "1"}], JSON_PATCH, label="json add"),
        Step(
            "PATCH", f"{one}?dryRun=All", [{"op": "remove", "path": "/metadata/labels/j"}], JSON_PATCH, label="json dry"
        ),
        Step("PATCH", one, [{"op": "test", "path": "/metadata/labels/j", "value": "2"}], JSON_PATCH, label="json test"),
        Step("PATCH", one, [{"op": "remove", "path": "/nope"}], JSON_PATCH, label="json remove absent"),
        Step("PATCH", one, {"metadata": {"resourceVersion": "1"}}, MERGE, label="merge old version"),
        Step("PATCH", f"{one}?fieldManager=m", manifest, APPLY, label="apply"),
        Step("PATCH", f"{one}?fieldManager=m&force=true", manifest, APPLY, label="apply forced"),
        Step(
            "PATCH",
            f"{one}?fieldManager=n",
            _with(manifest, labels={"compared": "away"}),
            APPLY,
            label="apply conflict",
        ),
        Step(
            "PATCH",
            f"{one}?fieldManager=m&fieldValidation=Strict",
            {**manifest, "nope": 1},
            APPLY,
            label="apply strict",
        ),
        Step(
            "PATCH",
            f"{one}?fieldManager=m&force=1&dryRun=All",
            _with(manifest, labels={"x": "y"}),
            APPLY,
            label="apply dry",
        ),
        Step(
            "PATCH",
            f"{one}?fieldManager=m&force=1",
            _with(manifest, annotations={"x": "y"}),
            APPLY,
            label="apply annotation",
        ),
        Step("PATCH", one, given["change"], MERGE, label="merge change"),
        Step("PATCH", one, given["change"], STRATEGIC, label="strategic change"),
        *bad,
        Step("PATCH", f"{one}?dryRun=All", {"metadata": FAULTY}, MERGE, label="merge faulty metadata"),
        Step("GET", one, label="get after patches"),
    ]


def _subresources(one: str, manifest: dict[str, Any]) -> list[Step]:
    identity = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": {"name": one.rsplit("/", 1)[1]},
    }
    return [
        Step("GET", f"{one}/status", label="get status"),
        Step("PATCH", f"{one}/status", {"metadata": {"annotations": {"s": "t"}}}, MERGE, label="merge status"),
        Step(
            "PATCH",
            f"{one}/status?dryRun=All",
            {"metadata": {"annotations": {"s": "u"}}},
            MERGE,
            label="merge status dry",
        ),
        Step("PATCH", f"{one}/status?fieldManager=s&force=1", {**identity, "status": {}}, APPLY, label="apply status"),
        Step("GET", f"{one}/scale", label="get scale"),
        Step("PATCH", f"{one}/scale", {"spec": {"replicas": 3}}, MERGE, label="merge scale"),
        Step("PATCH", f"{one}/scale?dryRun=All", {"spec": {"replicas": 4}}, MERGE, label="merge scale dry"),
        Step("GET", f"{one}/nope", label="get unknown subresource"),
        Step("POST", one, manifest, label="post on object"),
    ]


def _deletes(path: str, one: str, manifest: dict[str, Any], given: dict[str, Any]) -> list[Step]:
    last = [
        Step("DELETE", f"{one}?dryRun=All", label="delete dry"),
        Step("DELETE", one, {"preconditions": {"uid": "other"}}, label="delete other uid"),
        Step("DELETE", one, {"propagationPolicy": "Odd"}, label="delete odd propagation"),
    ]
    if given.get("keeps") == "deletion":
        return [*last, Step("DELETE", one, label="delete")]
    other = _with(manifest, name=f"{manifest['metadata']['name']}-2")
    last += [
        Step("PATCH", one, {"metadata": {"finalizers": ["compared.io/f"]}}, MERGE, label="merge finalizer"),
        Step("DELETE", one, {"propagationPolicy": "Foreground", "dryRun": ["All"]}, label="delete foreground dry"),
        Step("DELETE", one, {"propagationPolicy": "Background", "gracePeriodSeconds": 0}, label="delete background"),
        Step("DELETE", one, label="delete again"),
        Step("PATCH", one, {"metadata": {"finalizers": ["a.io/b", "c.io/d"]}}, MERGE, label="merge more finalizers"),
        Step("PATCH", one, {"metadata": {"finalizers": None}}, MERGE, label="merge no finalizers"),
        Step("DELETE", one, {"propagationPolicy": "Background", "gracePeriodSeconds": 0}, label="delete for good"),
        Step("GET", one, label="get deleted"),
        Step("PATCH", f"{one}?fieldManager=m", manifest, APPLY, label="apply creates"),
        Step("PATCH", f"{one}?fieldManager=m", manifest, APPLY, label="apply again"),
        Step(
            "DELETE",
            f"{path}?{LABELLED}&dryRun=All",
            {"propagationPolicy": "Background"},
            label="delete collection dry",
        ),
        Step("GET", f"{path}?{LABELLED}", label="list after dry"),
        Step("DELETE", f"{path}?{LABELLED}", {"propagationPolicy": "Background"}, label="delete collection"),
        Step("GET", f"{path}?{LABELLED}", label="list after delete"),
    ]
    if not given.get("alone") and manifest["kind"] not in ("IPAddress", "APIService"):
        drawn = _with(manifest, generateName="gen-")
        del drawn["metadata"]["name"]
        last += [
            Step("POST", path, other, label="create second"),
            Step("POST", path, drawn, label="create drawn name"),
            Step("GET", f"{path}?{LABELLED}&limit=1", save={"next": "metadata.continue"}, label="list first page"),
            Step("GET", f"{path}?{LABELLED}&limit=1&continue=<<next>>", label="list second page"),
            Step("DELETE", f"{path}?{LABELLED}", {"propagationPolicy": "Background"}, label="delete both"),
        ]
    return last
