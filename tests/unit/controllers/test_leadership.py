"""Who may act on a namespace."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.controllers.conftest import AUTOMATED, NAMESPACES, Bench, config_map

from tiphys.apimachinery.apierrors import AlreadyExists
from tiphys.controllers.leadership import LEASE, BesideArgoCDError, refuse_beside_argocd
from tiphys.kube.client import ApiResource
from tiphys.kube.lease import LEASES
from tiphys.runtime.supervisor import ServiceError

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATEFULSETS = ApiResource("apps", "v1", "StatefulSet", "statefulsets", True)
DEPLOYMENTS = ApiResource("apps", "v1", "Deployment", "deployments", True)


async def test_a_second_engine_waits_writes_nothing_and_takes_over(alone: Bench) -> None:
    alone.repo.commit({"apps/a.yaml": config_map("a")})
    async with alone.engine("first") as first, alone.engine("second") as second:
        assert "another Tiphys acts on this namespace" in alone.logs["second"].getvalue()
        await alone.create(syncPolicy=AUTOMATED)
        await alone.until_status(sync="Synced", phase="Succeeded")
        assert await alone.rows(first) == [("Succeeded", False)]
        assert await second.ledger.latest() == ()

        first.supervisor.stop()
        name = (alone.root / "second" / "identity").read_text().strip()

        async def taken() -> bool:
            lease = await alone.client.get(LEASES, LEASE, "argocd")
            return name in lease["spec"]["holderIdentity"]

        await alone.until(taken, "the second engine has the lease")
        alone.repo.commit({"apps/a.yaml": config_map("a", data="2")})

        async def new() -> bool:
            return await alone.config_map("a") == {"a": "2"}

        await alone.until(new, "the second engine acts")
        await alone.until_status(sync="Synced", phase="Succeeded")
        assert await alone.rows(second) == [("Succeeded", False)]


async def test_two_engines_cannot_use_one_home(alone: Bench) -> None:
    async with alone.engine("home"):
        with pytest.raises(ServiceError, match=r"engine\.lock is held by pid"):
            async with alone.engine("home"):
                pass


@pytest.mark.parametrize(
    ("resource", "name", "labels", "replicas", "take_over", "refused"),
    [
        (STATEFULSETS, "argocd-application-controller", {}, 1, False, "is an active Argo CD application controller"),
        (STATEFULSETS, "argocd-application-controller", {}, 1, True, "is an active Argo CD application controller"),
        (STATEFULSETS, "argocd-application-controller", {}, 0, False, "scaled to zero"),
        (STATEFULSETS, "argocd-application-controller", {}, 0, True, ""),
        (DEPLOYMENTS, "other", {"app.kubernetes.io/name": "argocd-application-controller"}, None, True, "is an active"),
        (DEPLOYMENTS, "argocd-server", {"app.kubernetes.io/name": "argocd-server"}, 1, False, ""),
    ],
)
async def test_nobody_acts_beside_an_argo_cd_application_controller(
    bench: Bench,
    resource: ApiResource,
    name: str,
    labels: dict[str, str],
    replicas: int | None,
    take_over: bool,
    refused: str,
) -> None:
    template = {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "a", "image": "argocd"}]},
    }
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": "a"}}, "template": template, "serviceName": "a"}
    if resource is DEPLOYMENTS:
        del spec["serviceName"]
    if replicas is not None:
        spec["replicas"] = replicas
    body = {"apiVersion": "apps/v1", "kind": resource.kind, "metadata": {"name": name, "labels": labels}, "spec": spec}
    try:
        await bench.client.create(NAMESPACES, {"metadata": {"name": bench.namespace}}, field_manager="test")
    except AlreadyExists:
        pass
    await bench.client.create(resource, body, bench.namespace, field_manager="test")
    if not refused:
        await refuse_beside_argocd(bench.client, namespace=bench.namespace, take_over=take_over)
        return
    with pytest.raises(BesideArgoCDError, match=refused):
        await refuse_beside_argocd(bench.client, namespace=bench.namespace, take_over=take_over)
