"""kill -9 at any instant loses nothing that was acknowledged: a real gateway killed again and again in mid-campaign,
and every person counted at the peers (design section 7, invariant 1).

What is in hand at a kill is in doubt: an urgent kind sends it again, the others report it.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import Verdict, judge
from tests.acceptance.crash_site import Pace, Site, boot, died, message, site
from tests.acceptance.world import Client, Server

NEWS, ALARM = "NIEUWS-A", "ALARM-B"


def say(text: str) -> None:
    """Figures for whoever reads the run (-s)."""
    print(text, flush=True)


# ---- killed again and again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "kills"),
    [
        pytest.param(250, 3, id="three-kills"),
        pytest.param(2000, 30, id="thirty-kills", marks=[pytest.mark.slow, pytest.mark.timeout(280)]),
    ],
)
async def test_whoever_was_in_hand_at_a_kill_is_reported_or_reached_again_and_nobody_else_notices(
    tmp_path: Path, people: int, kills: int
) -> None:
    draw = random.Random(kills)
    async with site(tmp_path / "site", people=people, pace=Pace()) as here:
        server = await here.start()
        news = await here.message(server, message(NEWS))
        assert news is not None
        assert news.status == 202
        document = here.alarm(ALARM)
        in_hand: list[set[int]] = []
        alarm = ""
        while len(in_hand) < kills:
            if len(in_hand) == kills // 3 and not alarm:
                answer = await here.alert(server, document)
                assert answer is not None
                assert answer.status == 202, answer
                alarm = answer.body["zones"][0]["campaign"]
            await _something_leaves(here)
            await asyncio.sleep(draw.uniform(0.05, 0.9))
            await server.kill()
            await _assert_in_mid_campaign(here)
            in_hand.append(await account.in_hand(here.store_url))
            server = await here.start()
        again = await here.alert(server, document)
        assert again is not None
        assert again.status == 200
        await _until_all_is_said(here, server, people)
        client = here.client(server)
        reports = [await client.report(news.body["campaign"]), await client.report(alarm)]
        assert await server.end() == 0
        await _end_of(here)

        say(f"{kills} kills; in hand at each: {[len(ids) for ids in in_hand]}")
        reported = await _judged(here, 1, NEWS, in_hand, resends=False)
        resent = await _judged(here, 2, ALARM, in_hand, resends=True)
        assert reported.doubled == 0
        assert resent.doubled <= sum(len({i for i in ids if i >> 24 == 2}) for ids in in_hand)
        say(f"news: {reported}; alarm: {resent}")
        for report in reports:
            assert report["sums_close"], report["equations"]
        await account.assert_no_receipt_is_lost(here.store_url, here.world)


async def _something_leaves(here: Site) -> None:
    """Until this life has sent something of its own."""
    before = await _sent(here)
    async with asyncio.timeout(20):
        while await _sent(here) <= before:
            await asyncio.sleep(0.05)


async def _sent(here: Site) -> int:
    return sum(sent for sent, _ in (await account.moment(here.store_url)).values())


async def _assert_in_mid_campaign(here: Site) -> None:
    """Of some campaign some were sent and some were queued."""
    now = await account.moment(here.store_url)
    assert any(sent and queued for sent, queued in now.values()), now


async def _until_all_is_said(here: Site, server: Server, people: int, timeout_s: float = 90.0) -> None:
    """Nothing is open, nothing of an urgent kind waits to be sent again, every receipt has come."""
    client = here.client(server)
    async with asyncio.timeout(timeout_s):
        while await _running(client) or await _accepted_sms(client):
            await asyncio.sleep(0.2)
    await asyncio.sleep(here.pace.receipt_s + 0.3)


async def _running(client: Client) -> bool:
    _, body = await client.get("/api/v1/campaigns")
    return any(campaign["state"] == "running" for campaign in body["campaigns"])


async def _accepted_sms(client: Client) -> bool:
    _, body = await client.get("/api/v1/campaigns")
    for campaign in body["campaigns"]:
        page = await client.campaign(campaign["id"])
        if any(line["accepted"] for line in page["progress"]["channels"] if line["channel"] == "sms"):
            return True
    return False


async def _end_of(here: Site) -> None:
    """The peers' dumps are whole."""
    for sink in here.world.sinks.values():
        await sink.end()


async def _judged(here: Site, campaign: int, marker: str, kills: Iterable[set[int]], *, resends: bool) -> Verdict:
    fates = await account.fates(here.store_url, campaign, account.arrivals(here.world, marker))
    verdict = judge(fates, kills, resends=resends)
    totals = await account.assert_books_close(here.store_url, campaign)
    # What was sent twice is counted, and charged once.
    assert verdict.doubled <= totals["resent"]
    assert totals["charged"] <= totals["reserved"]
    assert resends or totals["resent"] == 0
    return verdict
