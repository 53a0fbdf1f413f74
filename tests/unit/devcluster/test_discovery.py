"""Discovery and OpenAPI: the same resources in every document, custom ones at once."""

from __future__ import annotations

from typing import Any

from tests.support.incluster import Client, incluster
from tests.unit.devcluster.test_crds import definition

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def aggregated(client: Client, root: str) -> dict[str, Any]:
    found: dict[str, Any] = await client.get(root, accept=V2 + ",application/json")
    return found


async def test_the_aggregated_document_says_its_type_and_can_be_cached() -> None:
    async with incluster() as client:
        reply = await client.request("GET", "/apis", accept=V2 + ",application/json")

    assert reply.header("content-type") == [V2]
    assert reply.header("vary") == ["Accept"]
    assert reply.json["kind"] == "APIGroupDiscoveryList"
    assert len(reply.header("etag")) == 1


async def test_plain_documents_list_what_the_aggregated_ones_do() -> None:
    async with incluster() as client:
        whole = [*(await aggregated(client, "/api"))["items"], *(await aggregated(client, "/apis"))["items"]]
        for item in whole:
            group = item["metadata"].get("name", "")
            for version in item["versions"]:
                path = f"/apis/{group}/{version['version']}" if group else f"/api/{version['version']}"
                plain = await client.get(path)
                names = {one["name"] for one in plain["resources"]}
                expected = {one["resource"] for one in version["resources"]} | {
                    f"{one['resource']}/{sub['subresource']}"
                    for one in version["resources"]
                    for sub in one.get("subresources", ())
                }
                assert names == expected, path
        groups = [one["name"] for one in (await client.get("/apis"))["groups"]]

    assert groups == [item["metadata"]["name"] for item in whole if item["metadata"]]
    assert {"apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io", "policy", "storage.k8s.io"} <= set(
        groups
    )


async def test_every_listable_resource_can_be_listed() -> None:
    async with incluster() as client:
        for resource in client.core.registry.buckets():
            path = f"/apis/{resource.group}/{resource.version}" if resource.group else "/api/v1"
            found = await client.get(f"{path}/{resource.plural}")
            assert found["kind"] == resource.kind + "List"


async def test_the_version_has_build_metadata() -> None:
    async with incluster() as client:
        found = await client.get("/version")

    assert (found["major"], found["minor"], found["gitVersion"]) == ("1", "36", "v1.36.3+embedded")


async def test_openapi_has_a_document_for_every_group_version_by_its_hash() -> None:
    async with incluster() as client:
        paths = (await client.get("/openapi/v3"))["paths"]
        url = paths["apis/apps/v1"]["serverRelativeURL"]
        document = await client.get(url)
        served = {
            f"apis/{group}/{version}" if group else f"api/{version}"
            for group, versions in client.core.registry.groups().items()
            for version in versions
        }

    assert served <= set(paths)
    assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]
    assert any("fieldValidation" in str(one) for one in document["paths"].values())


async def test_a_definition_changes_discovery_and_openapi_at_once() -> None:
    async with incluster() as client:
        before = (await client.get("/openapi/v3"))["paths"]
        await client.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition())
        groups = {one["metadata"].get("name"): one for one in (await aggregated(client, "/apis"))["items"]}
        after = (await client.get("/openapi/v3"))["paths"]
        document = await client.get(after["apis/x.io/v1"]["serverRelativeURL"])
        changed = await client.patch(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.x.io",
            {"spec": {"names": {"shortNames": ["f"]}}},
        )
        again = {one["metadata"].get("name"): one for one in (await aggregated(client, "/apis"))["items"]}

    assert "apis/x.io/v1" not in before
    row = groups["x.io"]["versions"][0]["resources"][0]
    assert (row["resource"], row["responseKind"]["kind"], row["scope"]) == ("foos", "Foo", "Namespaced")
    assert [sub["subresource"] for sub in row["subresources"]] == ["status", "scale"]
    schema = document["components"]["schemas"]["io.x.v1.Foo"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "x.io", "kind": "Foo", "version": "v1"}]
    content = document["paths"]["/apis/x.io/v1/namespaces/{namespace}/foos/{name}"]["patch"]["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" not in content
    assert changed.code == 200
    assert again["x.io"]["versions"][0]["resources"][0]["shortNames"] == ["f"]
