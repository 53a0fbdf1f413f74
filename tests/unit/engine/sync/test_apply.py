"""What is applied without asking the cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.reconcile import ThreeWayPatcher
from tiphys.engine.states import Action, Drift, DriftKind, Live, Phase, Target, Task, TaskId
from tiphys.engine.sync.apply import Applier, Options
from tiphys.model.operation import OperationPhase, ResultCode

KEY = ResourceKey("apps", "Deployment", "shop", "web")
POD = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]}}}}
TARGET = Target(KEY, "v1", "d", orjson.dumps({"metadata": {"name": "web"}, **POD}))
LIVE = Live(KEY, "v1", "uid-1", "7", orjson.dumps({"metadata": {"name": "web"}, **POD}))


class ClusterAskedError(Exception):
    """Somebody wanted to know more than the comparison knew."""


class _Discovery:
    async def lookup(self, kind: object, version: str) -> object:
        raise ClusterAskedError


class _View:
    """One live object."""

    def __init__(self, live: Live | None) -> None:
        self._live = live

    def get(self, key: ResourceKey) -> Live | None:
        return self._live

    def upsert(self, obj: object) -> None:
        raise AssertionError("nothing was answered")

    def remove(self, key: ResourceKey, resource_version: str = "") -> None:
        raise AssertionError("nothing is gone")


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    raise AssertionError("nothing is waited for")


def _applier(live: Live | None) -> Applier:
    anything: Any = _Discovery()
    return Applier(client=anything, discovery=anything, view=_View(live), patcher=ThreeWayPatcher(), until=_until)


def _task(*, applied: bool = True, target: Target = TARGET) -> Task:
    drift = Drift(KEY, DriftKind.SAME, TARGET, LIVE, applied=applied)
    return Task(TaskId(KEY, Phase.SYNC), Action.APPLY, 0, target, drift)


async def test_what_an_apply_would_not_change_is_unchanged_without_a_request() -> None:
    """Named as kubectl names it, with its images."""
    done = await _applier(LIVE).run([_task()], Options("op"))
    result = done.results[TaskId(KEY, Phase.SYNC)]
    assert (result.status, result.phase) == (ResultCode.SYNCED, OperationPhase.RUNNING)
    assert result.message == "deployment.apps/web unchanged"
    assert (result.uid, result.resource_version, result.images) == ("uid-1", "7", ("nginx:1.27",))
    dry = await _applier(LIVE).run([_task()], Options("op", dry_run=True))
    assert dry.results[TaskId(KEY, Phase.SYNC)].message == "deployment.apps/web unchanged (dry run)"


@pytest.mark.parametrize(
    ("live", "task", "options"),
    [
        (replace(LIVE, resource_version="8"), _task(), Options("op")),
        (replace(LIVE, uid="uid-2"), _task(), Options("op")),
        (None, _task(), Options("op")),
        (LIVE, _task(applied=False), Options("op")),
        (LIVE, _task(target=replace(TARGET, digest="e")), Options("op")),
        (LIVE, _task(), Options("op", sync_options=("ServerSideApply=true",))),
        (LIVE, _task(), Options("op", sync_options=("Replace=true",))),
    ],
)
async def test_where_that_is_not_sure_the_cluster_is_asked(live: Live | None, task: Task, options: Options) -> None:
    """The object was changed since, is not there, or another way of writing was asked for."""
    with pytest.raises(ClusterAskedError):
        await _applier(live).run([task], options)
