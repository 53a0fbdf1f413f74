"""Rollbacks that last: automation stays on and leaves the Application where it is, until a commit or a person moves it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.controllers.conftest import AUTOMATED, Bench, config_map

from tiphys.controllers.controlplane import CONFIG_MAPS
from tiphys.kube.client import MERGE
from tiphys.model.hold import HOLD, parse_hold
from tiphys.wiring import Engine

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def rolled_back(bench: Bench, **hold: Any) -> tuple[str, str]:
    """An Application with automation that was rolled back from its second commit to its first: (first, second)."""
    first = bench.repo.commit({"apps/a.yaml": config_map("a", data="1"), "other/x.txt": "1"})
    await bench.create(syncPolicy=AUTOMATED)
    await bench.until_status(sync="Synced", synced=first, operation=False)
    second = bench.repo.commit({"apps/a.yaml": config_map("a", data="2")})
    app = await bench.until_status(sync="Synced", synced=second, operation=False)
    entry = app["status"]["history"][0]
    assert entry["revision"] == first
    given = {"id": entry["id"], "revision": first, "insteadOf": second, "owner": "jo", "reason": "v2 is bad", **hold}
    sync = {"revision": first, "source": entry["source"], "syncStrategy": {"apply": {}}, "prune": True}
    await bench.patch(
        {
            "metadata": {"annotations": {HOLD: json.dumps(given)}},
            "operation": {"sync": sync, "initiatedBy": {"username": "jo"}},
            "status": {"operationState": None},
        }
    )
    await bench.until_status(sync="OutOfSync", phase="Succeeded", synced=first, operation=False)
    return first, second


async def value(bench: Bench) -> str | None:
    return ((await bench.config_map("a")) or {}).get("a")


async def test_automation_does_not_undo_a_rollback_and_the_application_says_why(bench: Bench, engine: Engine) -> None:
    _first, second = await rolled_back(bench)
    await bench.quiet(engine)
    assert await value(bench) == "1"
    app = await bench.until_status(sync="OutOfSync", revision=second, condition=["HeldWarning"])
    message = app["status"]["conditions"][0]["message"]
    assert "v2 is bad" in message
    assert "by jo" in message
    assert f"app resume {bench.name}" in message


async def test_a_commit_that_changes_nothing_for_the_application_does_not_end_the_hold(
    bench: Bench, engine: Engine
) -> None:
    await rolled_back(bench)
    third = bench.repo.commit({"other/x.txt": "2"})

    def seen() -> bool:
        found = engine.controller.comparison(("argocd", bench.name))
        return found is not None and found[0].target.revision == third

    await bench.until(seen, "the third commit was compared")
    await bench.quiet(engine)
    assert await value(bench) == "1"
    assert HOLD in (await bench.app())["metadata"]["annotations"]


async def test_the_next_commit_ends_the_hold_and_is_deployed(bench: Bench) -> None:
    await rolled_back(bench)
    third = bench.repo.commit({"apps/a.yaml": config_map("a", data="3")})
    app = await bench.until_status(sync="Synced", synced=third, condition=[])
    assert HOLD not in app["metadata"].get("annotations", {})
    assert await value(bench) == "3"


async def test_a_revert_commit_ends_the_hold(bench: Bench) -> None:
    await rolled_back(bench)
    third = bench.repo.commit({"apps/a.yaml": config_map("a", data="1")})
    app = await bench.until_status(sync="Synced", revision=third, condition=[])
    assert HOLD not in app["metadata"].get("annotations", {})
    assert await value(bench) == "1"


async def test_taking_the_hold_away_lets_automation_follow_git_again(bench: Bench) -> None:
    _first, second = await rolled_back(bench)
    await bench.patch({"metadata": {"annotations": {HOLD: None}}})
    await bench.until_status(sync="Synced", synced=second, condition=[])
    assert await value(bench) == "2"


async def test_a_hold_whose_time_is_over_ends(bench: Bench) -> None:
    until = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    _first, second = await rolled_back(bench, until=until)
    await bench.until_status(sync="Synced", synced=second, condition=[])
    assert HOLD not in (await bench.app())["metadata"].get("annotations", {})


async def test_self_heal_defends_what_the_rollback_deployed(bench: Bench) -> None:
    await rolled_back(bench)
    body = {"data": {"a": "by hand"}}
    await bench.client.patch(CONFIG_MAPS, "a", body, bench.namespace, content_type=MERGE, field_manager="test")

    async def restored() -> bool:
        return await value(bench) == "1"

    await bench.until(restored, "the rolled back value is put back")
    app = await bench.until_status(phase="Succeeded", operation=False, sync="OutOfSync")
    assert HOLD in app["metadata"]["annotations"]
    assert app["status"]["operationState"]["operation"]["initiatedBy"] == {"automated": True}


async def test_a_sync_by_hand_to_what_git_declares_ends_the_hold(bench: Bench) -> None:
    _first, second = await rolled_back(bench)
    await bench.patch({"operation": {"sync": {}, "initiatedBy": {"username": "jo"}}})
    app = await bench.until_status(sync="Synced", synced=second, condition=[], operation=False)
    assert HOLD not in app["metadata"].get("annotations", {})


async def test_a_hold_survives_a_restart(bench: Bench, engine: Engine) -> None:
    await rolled_back(bench)
    written = parse_hold((await bench.app())["metadata"]["annotations"])
    assert written is not None
    assert written.desired
    engine.controller.halt()
    engine.controller.act()
    await bench.quiet(engine)
    assert await value(bench) == "1"
    await bench.until_status(sync="OutOfSync", condition=["HeldWarning"])


async def test_an_annotation_that_cannot_be_read_holds_and_says_so(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a", data="1")})
    await bench.create(syncPolicy=AUTOMATED, metadata={"annotations": {HOLD: "until friday"}})
    app = await bench.until_status(sync="OutOfSync", condition=["HeldWarning"])
    await bench.quiet(engine)
    assert "is not a JSON object" in app["status"]["conditions"][0]["message"]
    assert await value(bench) is None
