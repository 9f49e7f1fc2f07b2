"""Two gateways on one PostgreSQL: one of them is killed again and again and the other goes on; then it is the
database that goes away. Nobody is lost, and nobody is reached twice who need not be."""

import asyncio
import random
import signal
from pathlib import Path

import pytest

from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import InHand, judged, something_leaves
from tests.acceptance.crash_stage import ALARM, NEWS, Pace, Site, boot, both_launched, site, until
from tests.acceptance.world import Server
from tests.peers.postgres import PrivatePostgres

pytestmark = [pytest.mark.slow, pytest.mark.peer]

PACE = Pace(sms_per_s=200, mail_per_s=200, lease_s=3.0)


@pytest.mark.timeout(200)
async def test_one_of_two_gateways_is_killed_ten_times_and_the_other_goes_on(tmp_path: Path, private_url: str) -> None:
    draw = random.Random(10)
    in_hand: list[InHand] = []
    async with site(tmp_path, people=3000, pace=PACE, store_url=private_url) as here:
        pair = [await here.start(), await here.start()]
        await both_launched(here, pair[0], "sms")
        while len(in_hand) < 10:
            await something_leaves(here)
            await asyncio.sleep(draw.uniform(0.1, 0.8))
            doomed = await _busier(here, pair)
            await doomed.kill()
            # What it had asked of the database a moment ago may still be committed.
            await asyncio.sleep(0.2)
            held = await account.in_hand(here.store_url, boot(doomed))
            in_hand.append(held)
            now = await account.moment(here.store_url)
            assert any(sent and queued for sent, queued in now.values()), now
            await something_leaves(here)
            pair = [server for server in pair if server is not doomed] + [await here.start()]
        await here.until_all_is_said(pair[1])
        assert await pair[0].end() == 0
        await here.end(pair[1])

        reported = await judged(here, 1, NEWS, in_hand, resends=False)
        resent = await judged(here, 2, ALARM, in_hand, resends=True)
        await account.assert_no_receipt_is_lost(here.store_url, here.world)
        print(f"in hand at each: {[len(held) for held in in_hand]}\nnews: {reported}\nalarm: {resent}")
        assert reported.doubled == 0
        assert resent.doubled <= sum(len(held) for held in in_hand)


async def _busier(here: Site, pair: list[Server]) -> Server:
    """Of which more is in hand just now."""
    held = [len(await account.in_hand(here.store_url, boot(server))) for server in pair]
    return pair[held.index(max(held))]


@pytest.mark.timeout(120)
async def test_a_gateway_that_stands_still_past_its_lease_sends_nothing_of_it_when_it_wakes(
    tmp_path: Path, private_url: str
) -> None:
    async with site(tmp_path, people=700, pace=PACE, store_url=private_url) as here:
        pair = [await here.start(), await here.start()]
        await both_launched(here, pair[0], "sms")
        await something_leaves(here)
        sleeper = await _busier(here, pair)
        sleeper.handle.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.2)
        held = await account.in_hand(here.store_url, boot(sleeper))
        await asyncio.sleep(PACE.lease_s + 1)
        await something_leaves(here)
        sleeper.handle.send_signal(signal.SIGCONT)
        await here.until_all_is_said(pair[1])
        assert await pair[0].end() == 0
        await here.end(pair[1])

        print(f"in hand when it fell asleep: {len(held)}")
        for campaign, marker, urgent in ((1, NEWS, False), (2, ALARM, True)):
            verdict = await judged(here, campaign, marker, [held], resends=urgent)
            print(f"{marker}: {verdict}")
            # It woke up, and knew what had become of what it held.
            assert verdict.unknown == 0


@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", ["frozen", "broken off"])
async def test_a_database_that_goes_away_in_mid_campaign_costs_nobody_anything(
    tmp_path: Path, private_postgres: PrivatePostgres, private_url: str, how: str
) -> None:
    async with site(tmp_path, people=400, pace=PACE, store_url=private_url) as here:
        server = await here.start()
        await both_launched(here, server, "sms")
        await something_leaves(here)
        if how == "frozen":
            private_postgres.freeze()
            try:
                await asyncio.sleep(PACE.lease_s + 2)
            finally:
                private_postgres.thaw()
        else:
            private_postgres.break_off()
            try:
                refused = await here.alert(server, here.alarm("ALARM-C"))
                assert refused is not None
                assert refused.status == 503, refused
                await until(lambda: _asks_again(server), 20)
            finally:
                await asyncio.to_thread(private_postgres.start)
        await here.until_all_is_said(server)
        await here.end(server)

        for campaign, marker in ((1, NEWS), (2, ALARM)):
            # Nothing was in hand at a kill, so nobody may be in doubt or reached twice.
            verdict = await judged(here, campaign, marker, [], resends=False)
            print(f"{how}: {marker}: {verdict}")
        await account.assert_no_receipt_is_lost(here.store_url, here.world)


async def _asks_again(server: Server) -> bool:
    """The SMSC was asked to repeat its receipts."""
    return bool(server.logged("smpp.receipts_refused"))
