"""LimitRanges: minima, maxima and ratios, in the words of a real API server (kube-apiserver 1.36.3)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.incluster import incluster

from tiphys.devcluster.limitranges import why_not

RANGE = {
    "metadata": {"name": "lr"},
    "spec": {
        "limits": [
            {
                "type": "Container",
                "max": {"cpu": "1", "memory": "1Gi"},
                "min": {"cpu": "100m"},
                "default": {"cpu": "500m"},
                "defaultRequest": {"cpu": "200m"},
                "maxLimitRequestRatio": {"cpu": "4"},
            },
            {"type": "Pod", "max": {"cpu": "2"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}},
        ]
    },
}


def pod(*resources: tuple[dict[str, str], dict[str, str]]) -> dict[str, Any]:
    """A Pod of containers with these requests and limits."""
    rows = [
        {"name": f"c{index}", "image": "i", "resources": {"requests": requests, "limits": limits}}
        for index, (requests, limits) in enumerate(resources)
    ]
    return {"metadata": {"name": "p"}, "spec": {"containers": rows}}


@pytest.mark.parametrize(
    ("obj", "why"),
    [
        (pod(({"cpu": "200m"}, {"cpu": "500m", "memory": "1Gi"})), ""),
        (
            pod(({"cpu": "2"}, {"cpu": "2", "memory": "1Gi"}), ({"cpu": "200m"}, {"cpu": "500m", "memory": "1Gi"})),
            "[maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 2, but limit is 2500m]",
        ),
        (
            pod(({"cpu": "50m"}, {"cpu": "500m", "memory": "1Gi"})),
            "[minimum cpu usage per Container is 100m, but request is 50m, cpu max limit to request ratio per Container is"
            " 4, but provided ratio is 10.000000]",
        ),
        (
            pod(({"cpu": "200m"}, {"cpu": "500m"})),
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        (
            pod(({}, {"cpu": "500m", "memory": "1Gi"})),
            "[minimum cpu usage per Container is 100m.  No request is specified, cpu max limit to request ratio per"
            " Container is 4, but no request is specified or request is 0]",
        ),
    ],
)
def test_a_pod_is_judged_by_container_and_as_a_whole(obj: dict[str, Any], why: str) -> None:
    assert why_not(RANGE, "pods", obj) == why


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ("1Gi", ""),
        ("2Gi", "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"),
        ("1Ki", "minimum storage usage per PersistentVolumeClaim is 1Mi, but request is 1Ki"),
    ],
)
def test_a_claim_is_judged_by_what_it_requests(size: str, why: str) -> None:
    assert why_not(RANGE, "persistentvolumeclaims", {"spec": {"resources": {"requests": {"storage": size}}}}) == why


async def test_defaults_are_filled_in_before_a_pod_is_judged() -> None:
    path = "/api/v1/namespaces/default"
    async with incluster() as client:
        await client.create(f"{path}/limitranges", RANGE)
        large = await client.request("POST", f"{path}/pods", pod(({"cpu": "900m"}, {"cpu": "1500m"})))
        limited = pod(({}, {"memory": "1Gi"}))
        taken = await client.request("POST", f"{path}/pods", {**limited, "metadata": {"name": "taken"}})

    assert (large.code, large.json["message"]) == (
        403,
        'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 1500m',
    )
    assert taken.json["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "200m", "memory": "1Gi"},
    }
