"""kill -9 at any instant loses nothing that was acknowledged: a real gateway killed again and again in mid-campaign,
and every person counted at the peers (design section 7, invariant 1).

What is in hand at a kill is in doubt: an urgent kind sends it again, the others report it.
"""

import asyncio
import random
from pathlib import Path

import pytest

from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import InHand, judged, something_leaves
from tests.acceptance.crash_stage import ALARM, NEWS, Pace, Site, message, site


@pytest.mark.parametrize(
    ("people", "kills", "channels"),
    [
        pytest.param(200, 3, "sms", id="three-kills"),
        pytest.param(2000, 30, "sms email", id="thirty-kills", marks=[pytest.mark.slow, pytest.mark.timeout(280)]),
    ],
)
async def test_whoever_was_in_hand_at_a_kill_is_reported_or_reached_again_and_nobody_else_notices(
    tmp_path: Path, people: int, kills: int, channels: str
) -> None:
    draw = random.Random(kills)
    async with site(tmp_path, people=people, pace=Pace()) as here:
        server = await here.start()
        news = await here.message(server, message(NEWS, channels=channels.split()))
        assert news is not None
        assert news.status == 202
        document, alarm = here.alarm(ALARM, channels), None
        in_hand: list[InHand] = []
        while len(in_hand) < kills:
            if alarm is None and len(in_hand) >= kills // 3:
                alarm = await here.alert(server, document)
                assert alarm is not None
                assert alarm.status == 202, alarm
            await something_leaves(here)
            await asyncio.sleep(draw.uniform(0.05, 0.9))
            await server.kill()
            await _assert_in_mid_campaign(here)
            in_hand.append(await account.in_hand(here.store_url))
            server = await here.start()
        again = await here.alert(server, document)
        assert again is not None
        assert alarm is not None
        assert (again.status, again.location) == (200, alarm.location)
        await here.until_all_is_said(server)
        client = here.client(server)
        campaigns = [news.body["campaign"], alarm.body["zones"][0]["campaign"]]
        reports = [await client.report(campaign) for campaign in campaigns]
        await here.end(server)

        reported = await judged(here, 1, NEWS, in_hand, resends=False)
        resent = await judged(here, 2, ALARM, in_hand, resends=True)
        waiting = await account.assert_no_receipt_is_lost(here.store_url, here.world)
        print(f"{kills} kills, in hand at each: {[len(ids) for ids in in_hand]}")
        print(f"news: {reported}\nalarm: {resent}\nreceipts that no message is known for: {waiting}")
        assert reported.doubled == 0
        assert resent.doubled <= len({held for kill in in_hand for held in kill if held[0] >> 24 == 2})
        for report in reports:
            assert report["sums_close"], report["equations"]


async def _assert_in_mid_campaign(here: Site) -> None:
    """Of some campaign some were sent and some were queued."""
    now = await account.moment(here.store_url)
    assert any(sent and queued for sent, queued in now.values()), now
