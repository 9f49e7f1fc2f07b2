"""The database goes away under a whole server, again and again, and then without a word: the same process goes on,
nobody is lost, nobody is taken out of circulation, and nobody is reached twice but who was in hand at that moment."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import InHand, judged, something_leaves
from tests.acceptance.crash_stage import ALARM, NEWS, Pace, Site, both_launched, site, until
from tests.acceptance.world import Client
from tests.peers.postgres import PrivatePostgres

pytestmark = [pytest.mark.slow, pytest.mark.peer]

PACE = Pace(sms_per_s=80, mail_per_s=80, lease_s=15.0)
"""Leases as they are in life."""
RESTARTS = 10
STANDSTILL_S = 40.0
HEARD_S = 25.0
"""Whoever asks hears by then that the store is away: a wait for a connection, a statement and a new connection
(store/engine/database.py, store/engine/postgresql_driver.py)."""


async def everybody_is_accounted_for(here: Site, in_hand: list[InHand]) -> None:
    for campaign, marker, urgent in ((1, NEWS, False), (2, ALARM, True)):
        verdict = await judged(here, campaign, marker, in_hand, resends=urgent)
        print(f"{marker}: {verdict}")
        assert verdict.lost == 0
    await account.assert_no_receipt_is_lost(here.store_url, here.world)


@pytest.mark.timeout(400)
async def test_a_database_that_is_restarted_ten_times_in_mid_campaign_costs_nobody_anything(
    tmp_path: Path, private_postgres: PrivatePostgres, private_url: str
) -> None:
    draw = random.Random(16)
    in_hand: list[InHand] = []
    async with site(tmp_path, people=1200, pace=PACE, store_url=private_url) as here:
        server = await here.start()
        await both_launched(here, server)
        for _ in range(RESTARTS):
            await something_leaves(here)
            await asyncio.sleep(draw.uniform(0.1, 0.8))
            in_hand.append(await account.in_hand(here.store_url))
            await asyncio.to_thread(private_postgres.break_off)
            await asyncio.to_thread(private_postgres.start)
            now = await account.moment(here.store_url)
            assert any(queued for _, queued in now.values()), f"all was sent before the last restart: {now}"
        await here.until_all_is_said(server, timeout_s=180)
        assert server.running
        await here.end(server)

        print(f"in hand at each: {[len(held) for held in in_hand]}")
        await everybody_is_accounted_for(here, in_hand)


@pytest.mark.timeout(400)
async def test_a_database_that_stands_still_longer_than_every_lease_is_noticed_and_waited_for(
    tmp_path: Path, private_postgres: PrivatePostgres, private_url: str
) -> None:
    async with site(tmp_path, people=600, pace=PACE, store_url=private_url) as here:
        server = await here.start()
        await both_launched(here, server)
        await something_leaves(here)
        client = here.client(server)
        held = await account.in_hand(here.store_url)
        private_postgres.freeze()
        thaw = asyncio.get_running_loop().call_later(STANDSTILL_S, private_postgres.thaw)
        try:
            async with asyncio.timeout(HEARD_S):
                status, _ = await client.get("/api/v1/campaigns")
                refused = await here.alert(server, here.alarm("ALARM-C"))
            assert status == 503
            assert refused is not None
            assert refused.status == 503
            await until(lambda: _ready(client, 503), 10)
            await asyncio.sleep(max(0.0, thaw.when() - asyncio.get_running_loop().time()))
        finally:
            thaw.cancel()
            private_postgres.thaw()
        await until(lambda: _ready(client, 200), 60)
        await here.until_all_is_said(server, timeout_s=180)
        assert server.running
        await here.end(server)

        print(f"in hand when it stood still: {len(held)}")
        await everybody_is_accounted_for(here, [held])


async def _ready(client: Client, status: int) -> bool:
    return (await client.get("/readyz"))[0] == status
