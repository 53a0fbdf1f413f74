"""Applications that a commit does not touch are at it without being looked at."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.clock import VirtualClock
from tests.unit.controllers.conftest import AUTOMATED, Bench, config_map

from tiphys.controllers.controlplane import CONFIG_MAPS, Key
from tiphys.controllers.standing import At, Standing
from tiphys.engine.source.changes import Changes
from tiphys.kube.client import MERGE

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAIN = At("https://git/repo", "", "main")
A, B, C = ("argocd", "a"), ("argocd", "b"), ("argocd", "c")


def standing(clock: VirtualClock) -> Standing:
    found = Standing(clock=clock, within_s=lambda: 100.0)
    found.admit(A, MAIN, "one", frozenset({"apps/a"}))
    found.admit(B, MAIN, "one", frozenset({"apps/b", "base"}))
    found.admit(C, MAIN, "one", frozenset({"apps/c", "base"}), given="v1")
    return found


def changed(*paths: str, below: tuple[str, ...] = ()) -> Changes:
    return Changes(frozenset(paths), below)


@pytest.mark.parametrize(
    ("changes", "stay"),
    [
        (changed("", "apps", "apps/a"), {B, C}),
        (changed("", "base"), {A}),
        (changed(""), {A, B, C}),
        (changed("", "apps", below=("apps/b/new",)), {A, B, C}),
        (changed("", below=("apps",)), set()),
        (None, set()),
    ],
)
async def test_who_reads_what_changed_is_told_and_nobody_else(changes: Changes | None, stay: set[Key]) -> None:
    where = standing(VirtualClock())
    assert where.move(MAIN, "one", "two", changes, given=lambda _given: True) == stay
    for key in (A, B, C):
        moved = where.moved(key)
        assert (moved.revision if moved is not None else None) == ("two" if key in stay else None)


async def test_who_stands_at_another_commit_or_was_rendered_with_something_else_is_told() -> None:
    where = standing(VirtualClock())
    assert where.move(MAIN, "zero", "two", changed(""), given=lambda _given: True) == set()
    where = standing(VirtualClock())
    assert where.move(MAIN, "one", "two", changed(""), given=lambda given: given != "v1") == {A, B}
    assert where.move(MAIN._replace(expression="v1"), "one", "two", changed(""), given=lambda _given: True) == set()


async def test_who_left_is_told_until_it_is_admitted_again() -> None:
    where = standing(VirtualClock())
    where.leave(A)
    assert where.move(MAIN, "one", "two", changed(""), given=lambda _given: True) == {B, C}
    where.admit(A, MAIN, "two", frozenset({"apps/a"}))
    assert where.move(MAIN, "two", "three", changed("apps/b"), given=lambda _given: True) == {A, C}


async def test_a_revision_is_written_once_for_many_commits_and_in_time() -> None:
    clock = VirtualClock()
    where = standing(clock)
    written: list[tuple[Key, str, float]] = []

    async def write(key: Key, revision: str) -> None:
        written.append((key, revision, clock.monotonic()))

    running = asyncio.ensure_future(where.run(write))
    before = "one"
    for number in range(5):
        where.move(MAIN, before, f"r{number}", changed(""), given=lambda _given: True)
        before = f"r{number}"
        await clock.advance(5.0)
    where.leave(B)
    await clock.advance(100.0)
    assert sorted(key for key, _, _ in written) == [A, C]
    assert {revision for _, revision, _ in written} == {"r4"}
    assert all(at <= 100.0 for _, _, at in written)
    running.cancel()


async def test_an_application_that_no_commit_touches_says_the_newest_one_in_time_and_deploys_its_own(
    alone: Bench,
) -> None:
    alone.repo.commit({"apps/a.yaml": config_map("a"), "elsewhere/b": "0"})
    async with alone.engine() as engine:
        period = {"data": {"timeout.reconciliation": "3s", "timeout.reconciliation.jitter": "0s"}}
        await alone.client.patch(CONFIG_MAPS, "argocd-cm", period, "argocd", content_type=MERGE, field_manager="test")
        await alone.create(syncPolicy=AUTOMATED)
        before = await alone.until_status(sync="Synced", phase="Succeeded")
        key = ("argocd", alone.name)
        together = 0
        for number in range(
            1, 8
        ):  # the first is looked at by itself; later ones are not, unless one is written just then
            revision = alone.repo.commit({"elsewhere/b": str(number)})

            def at(revision: str = revision) -> bool:
                found = engine.controller.comparison(key)
                return found is not None and found[0].target.revision == revision

            await alone.until(at, f"commit {number} is known")
            moved = engine.controller.moved(key)
            together += moved is not None and moved.revision == revision
        assert together > 0
        after = await alone.until_status(revision=revision)
        assert after["status"]["operationState"] == before["status"]["operationState"]
        assert after["status"]["reconciledAt"] >= before["status"]["reconciledAt"]

        alone.repo.commit({"apps/a.yaml": config_map("a", data="new")})

        async def new() -> bool:
            return await alone.config_map("a") == {"a": "new"}

        await alone.until(new, "its own change is deployed")


async def test_an_application_that_is_to_be_left_alone_is_not_even_told_its_revision(alone: Bench) -> None:
    alone.repo.commit({"apps/a.yaml": config_map("a"), "elsewhere/b": "0"})
    async with alone.engine() as engine:
        period = {"data": {"timeout.reconciliation": "1s", "timeout.reconciliation.jitter": "0s"}}
        await alone.client.patch(CONFIG_MAPS, "argocd-cm", period, "argocd", content_type=MERGE, field_manager="test")
        await alone.create(syncPolicy=AUTOMATED)
        await alone.until_status(sync="Synced", phase="Succeeded")
        await alone.patch({"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}})
        await alone.quiet(engine)
        before = await alone.app()
        for number in range(3):
            alone.repo.commit({"elsewhere/b": str(number + 1)})
            await asyncio.sleep(1.0)
        assert (await alone.app())["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
