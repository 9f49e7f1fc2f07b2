"""Clocks that are stepped, by hours, while a gateway lives and between two lives: ceilings hold, leases end, nobody
waits for the old hour to come again."""

import asyncio
import signal
from pathlib import Path

import pytest

from store.engine.schema import migrate
from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import InHand, assert_contract_held, judged, something_leaves
from tests.acceptance.crash_stage import ALARM, NEWS, Pace, both_launched, site
from tests.peers.postgres import new_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOUR_S = 3600
PACE = Pace(sms_per_s=80)


async def test_a_clock_stepped_by_hours_breaks_no_ceiling_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    kills: list[InHand] = []
    async with site(tmp_path, people=300, pace=PACE) as here:
        clocks = [("--clock-offset-s", str(hours * HOUR_S)) for hours in (1, -2, 0.5, -1.5)]
        server = await here.start(*clocks[0], "--clock-step-s", str(-HOUR_S), then=clocks[1])
        await both_launched(here, server)
        for following, then in zip(clocks[1:], (*clocks[2:], ()), strict=True):
            await something_leaves(here)
            if len(kills) == 0:
                server.handle.send_signal(signal.SIGUSR1)
                await something_leaves(here)
            await asyncio.sleep(0.3)
            await server.kill()
            kills.append(await account.in_hand(here.store_url))
            server = await here.start(*following, then=then)
        await here.until_all_is_said(server, timeout_s=40)
        await here.end(server)
        print(f"in hand at each: {[len(held) for held in kills]}")
        for campaign, marker, urgent in ((1, NEWS, False), (2, ALARM, True)):
            print(marker, await judged(here, campaign, marker, kills, resends=urgent))
        assert_contract_held(here.world, PACE.sms_per_s)
        await account.assert_no_receipt_is_lost(here.store_url, here.world)


@pytest.mark.peer
async def test_two_nodes_whose_clocks_are_hours_apart_go_by_the_databases(tmp_path: Path, postgres_server: str) -> None:
    url = await new_database(postgres_server, "clocks")
    await migrate(url)
    async with site(tmp_path, people=250, pace=PACE, store_url=url) as here:
        ahead = await here.start("--clock-offset-s", str(5 * HOUR_S), then=("--clock-offset-s", str(-5 * HOUR_S)))
        behind = await here.start("--clock-offset-s", str(-5 * HOUR_S))
        # By the clock of the node that takes it, the alert expired three hours ago.
        await both_launched(here, ahead)
        await here.until_all_is_said(behind, timeout_s=60)
        assert await ahead.end() == 0
        await here.end(behind)
        for campaign, marker in ((1, NEWS), (2, ALARM)):
            print(marker, await judged(here, campaign, marker, [], resends=False))
        assert_contract_held(here.world, PACE.sms_per_s)
