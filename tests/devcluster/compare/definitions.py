"""Definitions: CustomResourceDefinitions and the objects they make: faults, versions, pruning, defaults, subresources."""

# ruff: noqa: E501 (tables of requests are easier to read in wide rows)

from __future__ import annotations

from typing import Any

from tests.devcluster.compare.step import APPLY, JSON_PATCH, MERGE, STRATEGIC, TABLE, Scenario, Step, namespace_of

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "defined.compared.io"
STRING = {"type": "string"}


def definition(plural: str, kind: str, *versions: dict[str, Any], group: str = GROUP, **spec: Any) -> dict[str, Any]:
    """A definition."""
    names = {"plural": plural, "kind": kind, **spec.pop("names", {})}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": names,
            "versions": list(versions) or [version("v1")],
            **spec,
        },
    }


def version(name: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A version that is served and stored."""
    whole = {"type": "object", "properties": schema} if schema else {"type": "object"}
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": whole}, **more}


def scenarios() -> list[Scenario]:
    """All about definitions."""
    return [_faults(), _objects(), _versions()]


SCHEMAS: tuple[dict[str, Any], ...] = (
    {"a": {}}, {"a": {"type": "odd"}}, {"a": {"type": "array"}}, {"a": {"type": "array", "items": [STRING]}}, {"a": {"type": "string", "default": 1}},
    {"a": {"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING}}, {"a": {"type": "string", "pattern": "("}}, {"a": {"type": "string", "enum": ["x", "x"]}},
    {"a": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}}, {"a": {"type": "array", "items": STRING, "x-kubernetes-list-type": "odd"}},
    {"a": {"type": "array", "items": {"type": "object", "properties": {"k": STRING}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}},
    {"a": {"type": "object", "x-kubernetes-map-type": "odd"}}, {"a": {"type": "integer", "minimum": 5, "maximum": 1}}, {"a": {"type": "string", "format": "odd"}},
    {"a": {"oneOf": [STRING]}}, {"a": {"type": "integer", "x-kubernetes-int-or-string": True}}, {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
    {"a": {"type": "object", "x-kubernetes-embedded-resource": True}}, {"a": {"type": "string", "nullable": True, "default": None}}, {"a": {"$ref": "#/x"}},
    {"a": {"type": "string", "x-kubernetes-preserve-unknown-fields": False}}, {"a": {"type": "array", "items": STRING, "uniqueItems": True}},
    {"a": {"type": "object", "x-kubernetes-validations": [{"rule": "self.b > 1"}]}}, {"a": {"type": "object", "x-kubernetes-validations": [{}]}}, {"status": STRING, "spec": {"type": "string"}},
    {"a": {"type": "object", "properties": {"b": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": "self.b > 1"}]}},
)  # fmt: skip


def _faults() -> Scenario:
    good = version("v1")
    cases: dict[str, Any] = {
        "nothing": {"metadata": {"name": "x"}},
        "no versions": {
            "metadata": {"name": f"as.{GROUP}"},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": "as", "kind": "A"}, "versions": []},
        },
        "no names": {
            "metadata": {"name": f"as.{GROUP}"},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": {}, "versions": [good]},
        },
        "other name": {**definition("as", "A"), "metadata": {"name": "bs.x.io"}},
        "bad scope": definition("as", "A", scope="Odd"),
        "two stored": definition("as", "A", good, version("v2")),
        "none stored": definition("as", "A", {**good, "storage": False}),
        "same version twice": definition("as", "A", good, {**good, "storage": False}),
        "bad version": definition("as", "A", version("V_1")),
        "no schema": definition("as", "A", {"name": "v1", "served": True, "storage": True}),
        "bad group": definition("as", "A", group="Bad_Group"),
        "k8s group": definition("as", "A", group="x.k8s.io"),
        "bad plural": definition("A_s", "A"),
        "bad kind": definition("as", "1A"),
        "bad short": definition(
            "as", "A", names={"shortNames": ["X_Y"], "categories": ["a b"], "singular": "A", "listKind": "A"}
        ),
        "bad column": definition(
            "as", "A", version("v1", additionalPrinterColumns=[{"name": "", "type": "odd", "jsonPath": "x"}])
        ),
        "bad path": definition(
            "as", "A", version("v1", additionalPrinterColumns=[{"name": "a", "type": "string", "jsonPath": ".a[*"}])
        ),
        "bad scale": definition(
            "as", "A", version("v1", subresources={"scale": {"specReplicasPath": "x", "statusReplicasPath": ".spec.y"}})
        ),
        "empty scale": definition("as", "A", version("v1", subresources={"scale": {}})),
        "bad conversion": definition("as", "A", conversion={"strategy": "Odd"}),
        "webhook without one": definition("as", "A", conversion={"strategy": "Webhook"}),
        "webhook": definition(
            "as",
            "A",
            conversion={
                "strategy": "Webhook",
                "webhook": {"clientConfig": {"url": "https://x.io/convert"}, "conversionReviewVersions": ["v1"]},
            },
        ),
        "preserve": definition("as", "A", preserveUnknownFields=True),
        "bad selectable": definition("as", "A", version("v1", selectableFields=[{"jsonPath": "x"}])),
        "selectable of no field": definition("as", "A", version("v1", selectableFields=[{"jsonPath": ".spec.x"}])),
        "schema of text": definition("as", "A", {**good, "schema": {"openAPIV3Schema": {"type": "string"}}}),
        "schema of nothing": definition("as", "A", {**good, "schema": {}}),
        "unknown": {**definition("as", "A"), "nope": 1},
        "approval": {
            **definition("as", "A", group="x.k8s.io"),
            "metadata": {"name": "as.x.k8s.io", "annotations": {"api-approved.kubernetes.io": "nonsense"}},
        },
    }
    steps = []
    for label, body in cases.items():
        steps.append(Step("POST", f"{DEFINITIONS}?dryRun=All", body, label=label))
        steps.append(Step("POST", f"{DEFINITIONS}?dryRun=All&fieldValidation=Strict", body, label=f"{label} strict"))
    for number, schema in enumerate(SCHEMAS):
        steps.append(
            Step(
                "POST",
                f"{DEFINITIONS}?dryRun=All",
                definition("as", "A", version("v1", schema)),
                label=f"schema {number}",
            )
        )
    return Scenario("definition faults", steps)


SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "word": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "port": {"x-kubernetes-int-or-string": True},
        "ratio": {"type": "number", "multipleOf": 0.5},
        "on": {"type": "boolean", "default": False},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set", "maxItems": 3},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": STRING, "n": {"type": "integer", "default": 1}},
            },
        },
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
        "maybe": {"type": "string", "nullable": True},
        "inner": {"type": "object", "default": {}, "properties": {"x": {"type": "string", "default": "d"}}},
        "atomic": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STRING},
    },
}
SPECS: tuple[Any, ...] = (
    {}, {"size": 0}, {"size": "1"}, {"size": 1.5}, {"size": 10}, {"word": "x"}, {"word": "toolong"}, {"word": "UP"}, {"word": 1}, {"color": "green"},
    {"port": "http"}, {"port": 80}, {"port": True}, {"ratio": 0.3}, {"ratio": 1}, {"on": "yes"}, {"on": None}, {"at": "x"}, {"at": "2020-01-01T00:00:00Z"},
    {"tags": ["a", "a"]}, {"tags": ["a", "b", "c", "d"]}, {"tags": "a"}, {"tags": [1]}, {"parts": [{"name": "a"}, {"name": "a"}]}, {"parts": [{}]}, {"parts": [{"name": "a", "n": 5, "z": 1}]},
    {"any": {"x": {"y": [1]}}}, {"any": 1}, {"map": {"a": 1}}, {"map": {"a": "x"}}, {"map": {"a": 1, "b": 2, "c": 3}}, {"maybe": None}, {"word": None}, {"inner": {"x": None}}, {"inner": None},
    {"inner": {"q": 1}}, {"nope": 1}, {"size": None}, {"atomic": {"a": "b"}}, {"size": 0, "word": "X", "color": 1, "tags": ["a", "a"]}, "text", [], None,
)  # fmt: skip


def _objects() -> Scenario:
    name = "definition objects"
    path = f"/apis/{GROUP}/v1/namespaces/{namespace_of(name)}/boxes"
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}, {"name": "Word", "type": "string", "jsonPath": ".spec.word", "priority": 1},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"}, {"name": "Made", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"}, {"name": "First", "type": "string", "jsonPath": ".spec.parts[0].name"},
        {"name": "Of a", "type": "integer", "jsonPath": '.spec.parts[?(@.name=="a")].n'}, {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio"},
    ]  # fmt: skip
    subresources = {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.size",
            "statusReplicasPath": ".status.size",
            "labelSelectorPath": ".status.selector",
        },
    }
    status = {"type": "object", "properties": {"size": {"type": "integer"}, "selector": STRING}}
    made = version(
        "v1",
        {"spec": SPEC, "status": status},
        additionalPrinterColumns=columns,
        subresources=subresources,
        selectableFields=[{"jsonPath": ".spec.color"}],
    )

    def box(name: str, spec: Any, **more: Any) -> dict[str, Any]:
        return {"apiVersion": f"{GROUP}/v1", "kind": "Box", "metadata": {"name": name}, "spec": spec, **more}

    one = f"{path}/one"
    steps = [
        Step(
            "POST",
            DEFINITIONS,
            definition("boxes", "Box", made, names={"shortNames": ["bx"], "categories": ["all"]}),
            label="define",
        ),
        Step("POST", f"{path}?dryRun=All", box("probe", {}), until=201, label="served"),
        Step("GET", f"{DEFINITIONS}/boxes.{GROUP}", label="definition"),
        Step("GET", f"{DEFINITIONS}/boxes.{GROUP}", accept=TABLE, label="definition as table"),
        Step("GET", f"/apis/{GROUP}/v1", label="discovery"),
        Step("POST", path, box("one", {"parts": [{"name": "a"}], "word": "abc", "color": "red"}), label="create"),
    ]
    for number, spec in enumerate(SPECS):
        steps.append(Step("POST", f"{path}?dryRun=All", box(f"s{number}", spec), label=f"create {number}"))
        steps.append(
            Step("POST", f"{path}?dryRun=All&fieldValidation=Strict", box(f"s{number}", spec), label=f"strict {number}")
        )
        steps.append(Step("PATCH", f"{one}?dryRun=All", {"spec": spec}, MERGE, label=f"merge {number}"))
        steps.append(
            Step("PATCH", f"{one}?dryRun=All&fieldManager=m&force=1", box("one", spec), APPLY, label=f"apply {number}")
        )
        if number < 20:
            steps.append(Step("PUT", f"{one}?dryRun=All", {"spec": spec}, live=True, label=f"put {number}"))
    steps += [
        Step(
            "PATCH",
            f"{one}?fieldManager=m",
            box("one", {"size": 4, "tags": ["x"], "parts": [{"name": "b", "n": 2}]}),
            APPLY,
            label="apply b",
        ),
        Step(
            "PATCH",
            f"{one}?fieldManager=n",
            box("one", {"size": 5, "parts": [{"name": "b", "n": 3}]}),
            APPLY,
            label="apply conflict",
        ),
        Step(
            "PATCH",
            f"{one}?fieldManager=n",
            box("one", {"tags": ["y"], "atomic": {"a": "b"}}),
            APPLY,
            label="apply beside",
        ),
        Step(
            "PATCH", f"{one}?fieldManager=o", box("one", {"atomic": {"c": "d"}}), APPLY, label="apply atomic conflict"
        ),
        Step("PATCH", f"{one}?fieldManager=m", box("one", {"tags": ["x"]}), APPLY, label="apply less"),
        Step("PATCH", one, {"spec": {"size": 2}}, STRATEGIC, label="strategic"),
        Step("PATCH", one, [{"op": "add", "path": "/spec/tags/-", "value": "z"}], JSON_PATCH, label="json append"),
        Step(
            "PATCH",
            f"{one}/status",
            {"status": {"size": 7, "selector": "a=b"}, "spec": {"size": 8}},
            MERGE,
            label="status",
        ),
        Step("PATCH", f"{one}/status", {"status": {"size": "x"}}, MERGE, label="bad status"),
        Step(
            "PUT",
            f"{one}/status",
            {"status": {"size": 6}, "metadata": {"labels": {"x": "y"}}},
            live=True,
            label="put status",
        ),
        Step(
            "PATCH",
            f"{one}/status?fieldManager=s&force=1",
            {**box("one", {}), "status": {"size": 1}},
            APPLY,
            label="apply status",
        ),
        Step("GET", f"{one}/scale", label="scale"),
        Step("PATCH", f"{one}/scale", {"spec": {"replicas": 9}}, MERGE, label="scale up"),
        Step("PATCH", f"{one}/scale", {"spec": {"replicas": 10}}, MERGE, label="scale too far"),
        Step("PATCH", f"{one}/scale", {"spec": {"replicas": -1}}, MERGE, label="scale below zero"),
        Step("PUT", f"{one}/scale", {"spec": {"replicas": 5}}, live=True, label="put scale"),
        Step("GET", one, label="get"),
        Step("GET", one, accept=TABLE, label="table"),
        Step("GET", path, accept=TABLE, label="list table"),
        Step("GET", f"{path}?includeObject=Object", accept=TABLE, label="list table with objects"),
        Step("GET", f"{path}?fieldSelector=spec.color=red", label="by field"),
        Step("GET", f"{path}?fieldSelector=spec.color!=red", label="not by field"),
        Step("GET", f"{path}?fieldSelector=spec.word=abc", label="by no field"),
        Step(
            "GET",
            f"{path}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
            opens="w",
            label="watch",
        ),
        Step("GET", "", reads="w", label="watch events"),
        Step("POST", path, box("two", {"any": {"kind": "X"}}, extra=1), label="extra root field"),
        Step(
            "POST", f"{path}?fieldValidation=Strict", box("three", {"a": 1}, extra=1), label="extra root field strict"
        ),
        Step("DELETE", one, label="delete"),
        Step("DELETE", path, label="delete all"),
    ]
    return Scenario(name, steps)


def _versions() -> Scenario:
    name = "definition versions"
    space = namespace_of(name)
    old = {
        **version("v1beta1", {"spec": {"type": "object", "properties": {"old": STRING, "both": STRING}}}),
        "storage": False,
        "deprecated": True,
    }
    new = version(
        "v1", {"spec": {"type": "object", "properties": {"new": {"type": "string", "default": "n"}, "both": STRING}}}
    )
    hidden = {
        **version("v1alpha1"),
        "storage": False,
        "served": False,
        "deprecated": True,
        "deprecationWarning": "do not",
    }
    crd = definition("cans", "Can", old, new, hidden, names={"singular": "can"})
    one = f"{DEFINITIONS}/cans.{GROUP}"
    paths = {name: f"/apis/{GROUP}/{name}/namespaces/{space}/cans" for name in ("v1", "v1beta1", "v1alpha1", "v2")}

    def can(version: str, name: str, **spec: Any) -> dict[str, Any]:
        return {"apiVersion": f"{GROUP}/{version}", "kind": "Can", "metadata": {"name": name}, "spec": spec}

    steps = [
        Step("POST", DEFINITIONS, crd, label="define"),
        Step("POST", f"{paths['v1']}?dryRun=All", can("v1", "probe"), until=201, label="served"),
        Step("GET", f"/apis/{GROUP}/v1beta1", label="discovery of the old"),
        Step("POST", paths["v1"], can("v1", "a", new="x", both="y"), label="create new"),
        Step("POST", paths["v1beta1"], can("v1beta1", "b", old="x", both="y"), label="create old"),
        Step("POST", paths["v1alpha1"], can("v1alpha1", "c"), label="create hidden"),
        Step("POST", paths["v2"], can("v2", "c"), label="create unknown"),
        Step("POST", paths["v1"], can("v1beta1", "c"), label="create by the other path"),
        *[
            Step("GET", f"{paths[version]}/{name}", label=f"get {name} as {version}")
            for version in ("v1", "v1beta1")
            for name in "ab"
        ],
        *[Step("GET", paths[version], label=f"list as {version}") for version in paths],
        Step("PATCH", f"{paths['v1beta1']}/a", {"spec": {"both": "z", "old": "q"}}, MERGE, label="patch as old"),
        Step(
            "PATCH", f"{paths['v1beta1']}/a?fieldManager=m", can("v1beta1", "a", both="q"), APPLY, label="apply as old"
        ),
        Step("PATCH", f"{paths['v1']}/a?fieldManager=m&force=1", can("v1", "a", new="w"), APPLY, label="apply as new"),
        Step("GET", f"{paths['v1']}/a", label="get both"),
        Step("PATCH", one, {"spec": {"names": {"shortNames": ["cn"]}}}, MERGE, label="short names"),
        Step("PATCH", one, {"spec": {"scope": "Cluster"}}, MERGE, label="other scope"),
        Step("PATCH", one, {"spec": {"names": {"kind": "Tin"}}}, MERGE, label="other kind"),
        Step("PATCH", one, {"spec": {"versions": [new]}}, MERGE, label="fewer versions"),
        Step(
            "PATCH", one, {"spec": {"versions": [{**old, "storage": True}]}}, MERGE, label="without the stored version"
        ),
        Step("PATCH", f"{one}/status", {"status": {"storedVersions": []}}, MERGE, label="no stored versions"),
        Step("PUT", one, crd, label="put without version"),
        Step("POST", DEFINITIONS, crd, label="define again"),
        Step("POST", DEFINITIONS, definition("tins", "Can"), label="define with a taken kind"),
        Step("DELETE", f"{paths['v1']}/a", label="delete a"),
        Step("DELETE", paths["v1"], label="delete all"),
    ]
    return Scenario(name, steps)
