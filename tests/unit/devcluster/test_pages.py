"""Lists in pages: what a token that is too old is told, and how such a list is read to its end."""

from __future__ import annotations

from tests.support.incluster import incluster

from tiphys.devcluster.store import Store

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_the_rest_of_a_list_that_expired_is_read_as_it_is_now() -> None:
    """Source: apiserver pkg/storage/etcd3 handleCompactedErrorForPaging."""
    async with incluster(Store(ring_size=20)) as client:
        for index in range(6):
            await client.create(MAPS, {"metadata": {"name": f"m{index}"}})
        first = await client.get(f"{MAPS}?limit=3&labelSelector=!none")
        for index in range(40):
            await client.patch(f"{MAPS}/m0", {"data": {"n": str(index)}})
        await client.create(MAPS, {"metadata": {"name": "m9"}})
        token = first["metadata"]["continue"]
        refused = await client.request("GET", f"{MAPS}?limit=3&labelSelector=!none&continue={token}")
        again = refused.json["metadata"]["continue"]
        second = await client.get(f"{MAPS}?limit=3&labelSelector=!none&continue={again}")
        third = await client.get(f"{MAPS}?continue={second['metadata']['continue']}&limit=9")

    assert (refused.code, refused.json["reason"]) == (410, "Expired")
    assert refused.json["message"].startswith("The provided continue parameter is too old to display a consistent list")
    names = [one["metadata"]["name"] for page in (first, second, third) for one in page["items"]]
    assert names == ["kube-root-ca.crt", "m0", "m1", "m2", "m3", "m4", "m5", "m9"]
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
