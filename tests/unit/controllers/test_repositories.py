"""Following repositories: who is told, how often, and what a failing one costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.support.clock import VirtualClock, settle

from tiphys.controllers.repositories import GRACE_S, PUSH_GAP_S, Key, RepositoryWatch
from tiphys.engine.source.access import GitCredentials
from tiphys.engine.source.pushes import make_push
from tiphys.engine.states import Snapshot, StageError

URL = "https://git.example.com/a.git"
LOCAL = "file:///srv/a.git"
INTERVAL_S = 120.0


class Git:
    """A Git server: revisions by expression, and whether it answers."""

    def __init__(self) -> None:
        self.revisions = {"main": "1"}
        self.down = False
        self.fetches = 0
        self.asked = 0
        self.callback: Callable[[], None] = lambda: None
        self.credentials: list[GitCredentials | None] = []

    async def revision(self, url: str, expression: str, *, refresh: bool = False) -> str:
        self.asked += 1
        if refresh:
            self.fetches += 1
            if self.down:
                raise StageError("source", "ComparisonError", "failed to fetch", retry_after_s=30.0)
        found = self.revisions.get(expression)
        if found is None:
            raise StageError("source", "ComparisonError", f"unable to resolve '{expression}'")
        return found

    async def snapshot(
        self, url: str, expression: str, *, refresh: bool, credentials: GitCredentials | None = None
    ) -> Snapshot:
        self.credentials.append(credentials)
        return Snapshot(url, await self.revision(url, expression, refresh=refresh), tree=None)  # type: ignore[arg-type]

    async def watch_local(self, url: str, callback: Callable[[], None], *, ready: asyncio.Event | None = None) -> None:
        if self.down:
            raise StageError("source", "InvalidSpecError", "file:// is not allowed here")
        self.callback = callback
        if ready is not None:
            ready.set()
        await asyncio.Event().wait()


class Access:
    """Whose credentials are whose."""

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.changed: dict[str, GitCredentials | StageError] = {}

    def scope(self, url: str, project: str) -> str:
        return project if project in self.own else ""

    def of_project(self, project: str) -> tuple[str, ...]:
        return ()

    def credentials(self, url: str, scope: str) -> GitCredentials | None:
        found = self.changed.get(url, GitCredentials(scope or "everybody"))
        if isinstance(found, StageError):
            raise found
        return found


class World:
    """A watch over the server, in virtual time; `told` counts how often each Application was told."""

    def __init__(self) -> None:
        self.git = Git()
        self.clock = VirtualClock()
        self.told: Counter[Key] = Counter()
        self.access = Access()
        self.watch = RepositoryWatch(
            self.git,
            clock=self.clock,
            interval_s=lambda: INTERVAL_S,
            fraction=lambda: 0.0,
            moved=lambda key: self.told.update([key]),
            access=self.access,
        )

    async def read(self, *names: str, url: str = URL, expression: str = "main") -> None:
        """These Applications read the repository, as their first comparison does."""
        for name in names:
            self.watch.uses(("argocd", name), {url: {expression}})
            await self.watch.snapshot(url, expression, refresh=False)
        await settle()
        self.told.clear()


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    stopped = asyncio.Event()
    task = asyncio.ensure_future(world.watch.run(lambda: None, stopped.wait))  # type: ignore[arg-type]
    await settle()
    try:
        yield world
    finally:
        stopped.set()
        await task


def keys(*names: str) -> dict[Key, int]:
    return {("argocd", name): 1 for name in names}


async def test_the_first_read_fetches_once_for_all() -> None:
    async with running() as world:
        await world.read(*(f"app-{n}" for n in range(50)))
        assert world.git.fetches == 1


async def test_a_commit_is_resolved_once_and_told_to_those_who_read_the_branch() -> None:
    async with running() as world:
        world.git.revisions["other"] = "5"
        await world.read(*(f"app-{n}" for n in range(1000)))
        await world.read("else", expression="other")
        world.git.revisions["main"] = "2"
        before = world.git.asked
        await world.clock.advance(INTERVAL_S)
        assert world.told == keys(*(f"app-{n}" for n in range(1000)))
        assert world.git.asked - before == 2  # one for each branch
        await world.clock.advance(INTERVAL_S)
        assert sum(world.told.values()) == 1000


async def test_a_failing_repository_is_said_once_after_the_grace_period_and_once_when_it_is_well() -> None:
    async with running() as world:
        await world.read("a", "b")
        world.git.down = True
        await world.clock.advance(INTERVAL_S + 1)
        assert not world.told
        world.watch.require_well(URL)
        await world.clock.advance(GRACE_S)
        assert world.told == keys("a", "b")
        with pytest.raises(StageError, match="failed to fetch"):
            world.watch.require_well(URL)
        assert world.watch.last_read([URL]).startswith(f"{URL} was last fetched 2026-01-01T00:00:00Z at 1")
        await world.clock.advance(3600)
        assert world.told == keys("a", "b")

        world.git.down = False
        world.told.clear()
        await world.clock.advance(31)
        assert world.told == keys("a", "b")
        world.watch.require_well(URL)


async def test_a_failure_that_passes_within_the_grace_period_is_not_said() -> None:
    async with running() as world:
        await world.read("a")
        world.git.down = True
        await world.clock.advance(INTERVAL_S + 1)
        world.git.down = False
        await world.clock.advance(INTERVAL_S)
        assert not world.told


async def test_a_failing_local_repository_is_said_at_once() -> None:
    async with running() as world:
        await world.read("a", url=LOCAL)
        await world.clock.advance(1)
        world.git.down = True
        world.git.callback()
        await settle()
        assert world.told == keys("a")


async def test_a_new_application_of_a_failing_repository_reads_what_was_fetched_before() -> None:
    async with running() as world:
        world.git.down = True
        world.watch.uses(("argocd", "a"), {URL: {"main"}})
        snapshot = await world.watch.snapshot(URL, "main", refresh=False)
        assert snapshot.revision == "1"
        assert not world.told


async def test_a_branch_that_goes_and_comes_back_is_told_each_time() -> None:
    async with running() as world:
        await world.read("a")
        del world.git.revisions["main"]
        await world.clock.advance(INTERVAL_S + 1)
        assert world.told == keys("a")
        await world.clock.advance(INTERVAL_S * 3)
        assert world.told == keys("a")
        world.git.revisions["main"] = "1"
        world.told.clear()
        await world.clock.advance(INTERVAL_S + 1)
        assert world.told == keys("a")


async def test_a_refused_local_url_is_not_asked_again_and_again() -> None:
    async with running() as world:
        world.git.down = True
        world.watch.uses(("argocd", "a"), {LOCAL: {"main"}})
        await world.clock.advance(60)
        world.git.down = False
        assert world.git.fetches <= 12


async def test_a_repository_that_nobody_reads_is_not_asked() -> None:
    async with running() as world:
        await world.read("a")
        world.watch.forget(("argocd", "a"))
        before = world.git.asked
        await world.clock.advance(INTERVAL_S * 5)
        assert world.git.asked == before


async def test_a_password_in_a_url_is_not_shown() -> None:
    url = "https://jo:hunter2@git.example.com/a.git"
    async with running() as world:
        await world.read("a", url=url)
        world.git.down = True
        await world.clock.advance(INTERVAL_S + 1)
        assert "hunter2" not in world.watch.last_read([url])
        assert "was last fetched" in world.watch.last_read([url])


async def test_a_push_is_looked_at_at_once_and_a_flood_of_them_costs_little() -> None:
    async with running() as world:
        await world.read("a")
        push = make_push([URL], ["refs/heads/main"], "main")
        assert push is not None
        world.git.revisions["main"] = "2"
        before = world.git.fetches
        assert world.watch.pushed(push) == 1
        await world.clock.advance(0.0)
        assert (world.told, world.git.fetches - before) == (keys("a"), 1)
        for _ in range(100):
            world.watch.pushed(push)
            await world.clock.advance(0.01)
        assert world.git.fetches - before <= 4


async def test_a_push_that_nobody_reads_is_not_looked_at() -> None:
    async with running() as world:
        await world.read("a")
        before = world.git.fetches
        for url, refs in ((URL, ["refs/heads/other"]), ("https://git.example.com/b", ["refs/heads/main"])):
            push = make_push([url], refs, "main")
            assert push is not None
            assert world.watch.pushed(push) == 0
        await world.clock.advance(1.0)
        assert world.git.fetches == before


async def test_a_push_ends_the_waiting_of_a_failing_repository() -> None:
    async with running() as world:
        await world.read("a")
        world.git.down = True
        await world.clock.advance(INTERVAL_S + GRACE_S + 60)
        world.git.down = False
        world.told.clear()
        push = make_push([URL], [])
        assert push is not None
        world.watch.pushed(push)
        await world.clock.advance(PUSH_GAP_S)
        assert world.told == keys("a")
        world.watch.require_well(URL)


async def test_projects_with_credentials_of_their_own_are_followed_apart() -> None:
    async with running() as world:
        world.access.own = {"blue"}
        for name, project in (("a", "blue"), ("b", "green"), ("c", "green")):
            world.watch.uses(("argocd", name), {URL: {"main"}}, project)
            await world.watch.snapshot(URL, "main", refresh=False, project=project)
        given = {credentials.username for credentials in world.git.credentials if credentials is not None}
        assert (given, world.git.fetches) == ({"blue", "everybody"}, 2)


async def test_other_credentials_count_at_once_and_for_who_has_them_only() -> None:
    async with running() as world:
        await world.read("a")
        await world.read("b", url="https://git.example.com/other")
        world.access.changed[URL] = GitCredentials("jo")
        world.watch.access_changed()
        await settle()
        assert world.told == keys("a")
        assert world.git.credentials[-1] == GitCredentials("jo")
        world.told.clear()
        world.watch.access_changed()
        await world.clock.advance(1.0)
        assert not world.told


async def test_a_secret_that_cannot_be_used_is_said_and_its_return_too() -> None:
    async with running() as world:
        await world.read("a")
        world.access.changed[URL] = StageError("source", "ComparisonError", "Secret x: insecure is not a boolean")
        world.watch.access_changed()
        await settle()
        assert world.told == keys("a")
        with pytest.raises(StageError, match="insecure is not a boolean"):
            await world.watch.snapshot(URL, "main", refresh=False)
        world.told.clear()
        del world.access.changed[URL]
        world.watch.access_changed()
        await settle()
        assert world.told
        assert (await world.watch.snapshot(URL, "main", refresh=False)).revision == "1"


async def test_what_a_failure_was_with_other_credentials_is_forgotten() -> None:
    async with running() as world:
        world.git.down = True
        world.watch.uses(("argocd", "a"), {URL: {"main"}})
        with pytest.raises(StageError):
            await world.watch.snapshot(URL, "main", refresh=True)
        with pytest.raises(StageError):
            world.watch.require_well(URL)
        world.access.changed[URL] = GitCredentials("jo")
        world.told.clear()
        world.watch.access_changed()
        assert world.told == keys("a")
        world.watch.require_well(URL)
        with pytest.raises(StageError):
            await world.watch.snapshot(URL, "main", refresh=True)
        with pytest.raises(StageError):
            world.watch.require_well(URL)


async def test_a_new_secret_of_the_project_moves_its_applications_only() -> None:
    async with running() as world:
        for name, project in (("a", "blue"), ("b", "green")):
            world.watch.uses(("argocd", name), {URL: {"main"}}, project)
            await world.watch.snapshot(URL, "main", refresh=False, project=project)
        await settle()
        world.told.clear()
        world.access.own = {"blue"}
        world.watch.access_changed()
        await settle()
        assert world.told == keys("a")


async def test_many_who_ask_for_a_refresh_are_served_by_one_fetch() -> None:
    """Of those who asked before it began; who asks later gets another."""
    async with running() as world:
        await world.read("app-1")
        asked = world.clock.monotonic()
        await world.clock.advance(1.0)
        world.git.revisions["main"] = "2"
        before = world.git.fetches
        for _ in range(50):
            assert (await world.watch.snapshot(URL, "main", refresh=True, since=asked)).revision == "2"
        assert world.git.fetches == before + 1
        await world.watch.snapshot(URL, "main", refresh=True, since=world.clock.monotonic())
        assert world.git.fetches == before + 2


async def test_a_commit_that_one_application_found_by_asking_is_told_to_the_others() -> None:
    async with running() as world:
        await world.read("app-1", "app-2", "app-3")
        world.git.revisions["main"] = "2"
        assert (await world.watch.snapshot(URL, "main", refresh=True)).revision == "2"
        await settle(50)
        assert world.told == keys("app-1", "app-2", "app-3")
