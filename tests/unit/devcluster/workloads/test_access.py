from __future__ import annotations

import pytest
from tests.support.accesscontract import CHECKS, Check, short_name
from tests.support.clock import VirtualClock
from tests.support.fakeaccess import FakeAccess
from tests.support.ids import CountedIds


@pytest.mark.parametrize("check", CHECKS, ids=short_name)
async def test_the_cluster_of_dicts_does_what_every_cluster_does(check: Check) -> None:
    await check(FakeAccess(clock=VirtualClock(), ids=CountedIds()), short_name(check))
