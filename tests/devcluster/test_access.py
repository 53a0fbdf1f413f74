"""The in-process access of the embedded server and the one over HTTP keep the same contract."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.support.accesscontract import CHECKS, Check, short_name
from tests.support.environment import Cluster, start_cluster

from tiphys.devcluster.local import LocalAccess
from tiphys.devcluster.serve import Running, ServeOptions, serve
from tiphys.devcluster.workloads.world import KINDS
from tiphys.devenv.kubeaccess import KubeAccess
from tiphys.kube.client import KubeClient
from tiphys.kube.config import read_kubeconfig
from tiphys.runtime.clock import SystemClock

ALL_KINDS = {**KINDS, "v1/configmaps": "ConfigMap"}


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with start_cluster(request.config, tmp_path_factory.mktemp("access")) as running:
        yield running


@pytest.mark.parametrize("check", CHECKS, ids=short_name)
async def test_a_cluster_over_http_does_what_every_cluster_does(cluster: Cluster, check: Check) -> None:
    clock = SystemClock()
    async with KubeClient(read_kubeconfig(cluster.kubeconfig), user_agent="tests", clock=clock) as client:
        await check(KubeAccess(client, manager="tests", kinds=ALL_KINDS, clock=clock), short_name(check))


async def test_the_server_seen_from_inside_does_what_every_cluster_does() -> None:
    stop = asyncio.Event()
    started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    options = ServeOptions(port=0, in_memory=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(options, on_ready=started.set_result, stop=stop))
        access = LocalAccess((await started).core, manager="tests")
        try:
            for check in CHECKS:
                await check(access, short_name(check))
        finally:
            stop.set()
