"""Custom resources: from a definition to objects that are pruned, defaulted, validated and owned."""

from __future__ import annotations

from typing import Any

from tests.support.incluster import incluster, quiet

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FOOS = "/apis/x.io/v1/namespaces/default/foos"
FOO = {"apiVersion": "x.io/v1", "kind": "Foo"}
APPLY = "application/apply-patch+yaml"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer", "default": 3, "minimum": 1},
                "title": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def definition(name: str = "foos", kind: str = "Foo", **version: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.x.io"},
        "spec": {
            "group": "x.io",
            "scope": "Namespaced",
            "names": {"plural": name, "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": SCHEMA},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                    **version,
                }
            ],
        },
    }


async def test_a_definition_is_established_with_its_names() -> None:
    async with incluster() as client:
        await client.create(DEFINITIONS, definition())
        live = await client.get(f"{DEFINITIONS}/foos.x.io")

    conditions = {one["type"]: (one["status"], one["reason"]) for one in live["status"]["conditions"]}
    assert conditions == {"NamesAccepted": ("True", "NoConflicts"), "Established": ("True", "InitialNamesAccepted")}
    assert live["status"]["acceptedNames"] == {
        "plural": "foos",
        "singular": "foo",
        "kind": "Foo",
        "listKind": "FooList",
    }
    assert live["status"]["storedVersions"] == ["v1"]


async def test_objects_are_pruned_defaulted_and_validated() -> None:
    async with incluster() as client:
        await client.create(DEFINITIONS, definition())
        made = await client.create(FOOS, {**FOO, "metadata": {"name": "a"}, "spec": {"bad": 1}, "status": {"x": 1}})
        strict = await client.request(
            "POST", f"{FOOS}?fieldValidation=Strict", {**FOO, "metadata": {"name": "b"}, "nope": 1}
        )
        invalid = await client.request(
            "POST", FOOS, {**FOO, "metadata": {"name": "b"}, "spec": {"replicas": 0, "title": 1}}
        )

    assert made["spec"] == {"replicas": 3}
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    assert strict.json["message"] == (
        'Foo in version "v1" cannot be handled as a Foo: strict decoding error: unknown field "nope"'
    )
    assert invalid.json["message"] == (
        'Foo.x.io "b" is invalid: [spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal'
        ' to 1, spec.title: Invalid value: "integer": spec.title in body must be of type string: "integer"]'
    )


async def test_status_and_spec_are_written_apart() -> None:
    async with incluster() as client:
        await client.create(DEFINITIONS, definition())
        await client.create(FOOS, {**FOO, "metadata": {"name": "a"}})
        spec = (await client.patch(f"{FOOS}/a", {"spec": {"replicas": 4}, "status": {"replicas": 9}})).json
        status = (await client.patch(f"{FOOS}/a/status", {"spec": {"replicas": 5}, "status": {"replicas": 2}})).json
        scale = (await client.patch(f"{FOOS}/a/scale", {"spec": {"replicas": 6}})).json
        live = await client.get(f"{FOOS}/a")

    assert (spec["spec"], spec.get("status"), spec["metadata"]["generation"]) == ({"replicas": 4}, None, 2)
    assert (status["spec"], status["status"], status["metadata"]["generation"]) == ({"replicas": 4}, {"replicas": 2}, 2)
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 6}, {"replicas": 2})
    assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (6, 3)


async def test_apply_owns_items_of_a_set() -> None:
    body = {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "a"}}
    async with incluster() as client:
        await client.create(DEFINITIONS, definition())
        await client.patch(f"{FOOS}/a?fieldManager=one", {**body, "spec": {"tags": ["a", "b"]}}, APPLY)
        await client.patch(f"{FOOS}/a?fieldManager=two", {**body, "spec": {"tags": ["c"]}}, APPLY)
        left = await client.patch(f"{FOOS}/a?fieldManager=one", {**body, "spec": {"tags": ["b"]}}, APPLY)

    assert sorted(left.json["spec"]["tags"]) == ["b", "c"]


async def test_versions_differ_in_their_name_only() -> None:
    both = definition()
    both["spec"]["versions"].append({**both["spec"]["versions"][0], "name": "v2", "storage": False})
    async with incluster() as client:
        await client.create(DEFINITIONS, both)
        await client.create(FOOS, {**FOO, "metadata": {"name": "a"}})
        new = await client.get(FOOS.replace("/v1/", "/v2/") + "/a")
        listed = await client.get(FOOS.replace("/v1/", "/v2/"))
        await client.patch(FOOS.replace("/v1/", "/v2/") + "/a", {"spec": {"title": "t"}})
        old = await client.get(f"{FOOS}/a")

    assert new["apiVersion"] == "x.io/v2"
    assert [one["apiVersion"] for one in listed["items"]] == ["x.io/v2"]
    assert (old["apiVersion"], old["spec"]["title"]) == ("x.io/v1", "t")


async def test_a_definition_goes_after_its_objects() -> None:
    async with incluster() as client:
        await client.create(DEFINITIONS, definition())
        await client.create(FOOS, {**FOO, "metadata": {"name": "a", "finalizers": ["x.io/f"]}})
        deleted = await client.request("DELETE", f"{DEFINITIONS}/foos.x.io")
        await quiet(client.core)
        during = await client.get(f"{FOOS}/a")
        await client.patch(f"{FOOS}/a", {"metadata": {"finalizers": None}})
        await quiet(client.core)
        after = await client.request("GET", FOOS)
        definition_after = await client.request("GET", f"{DEFINITIONS}/foos.x.io")

    assert deleted.json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert during["metadata"]["deletionTimestamp"]
    assert (after.code, definition_after.code) == (404, 404)


async def test_a_taken_kind_is_not_established() -> None:
    async with incluster() as client:
        await client.create(DEFINITIONS, definition())
        await client.create(DEFINITIONS, definition("bars", "Foo"))
        live = await client.get(f"{DEFINITIONS}/bars.x.io")

    conditions = {one["type"]: (one["status"], one["reason"]) for one in live["status"]["conditions"]}
    assert conditions["Established"] == ("False", "NotAccepted")
    assert conditions["NamesAccepted"] == ("False", "KindConflict")


async def test_printer_columns_find_values_by_path() -> None:
    columns = [
        {"name": "R", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    async with incluster() as client:
        await client.create(DEFINITIONS, definition(additionalPrinterColumns=columns))
        await client.create(FOOS, {**FOO, "metadata": {"name": "a"}, "spec": {}})
        await client.patch(f"{FOOS}/a/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
        await client.clock.advance(90)
        table = await client.get(FOOS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")

    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "R", "Ready", "Since"]
    assert table["rows"][0]["cells"] == ["a", 3, "True", "90s"]


async def test_rules_that_are_not_evaluated_are_said_to_be() -> None:
    schema = {**SCHEMA, "x-kubernetes-validations": [{"rule": "true"}]}
    async with incluster() as client:
        await client.create(DEFINITIONS, definition(schema={"openAPIV3Schema": schema}))
        reply = await client.request("POST", FOOS, {**FOO, "metadata": {"name": "a"}})

    assert "did not evaluate the x-kubernetes-validations" in reply.header("warning")[0]
