"""A carrier's contract, held as its sink sees it: with two campaigns at once, never more in any second than agreed."""

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.acceptance.contracts import rate_per_s, require_contract
from tests.acceptance.world import Words, World, alert, opened, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

SMS_PER_S, MAILS_PER_S = 100, 200


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=900)
        yield made


def held(arrived_ms: Sequence[int], per_s: float) -> None:
    require_contract(arrived_ms, per_s)
    # The bound must have been the contract, not a slow gateway.
    assert rate_per_s(arrived_ms) > 0.9 * per_s


async def test_two_campaigns_at_once_keep_the_contract_of_each_carrier_in_every_second(world: World) -> None:
    await world.smsc("first")
    await world.smtp(bodies=False)
    _, client = await world.up(world.ways_out(rate_per_s=SMS_PER_S, mail_per_s=MAILS_PER_S))
    everywhere = {e["code"]: world.ring(e["code"]) for e in world.of_type("network")}

    campaigns = [c for _ in range(2) for c in (await client.launch_alert(alert(everywhere))).values()]

    assert len(campaigns) == 4
    for campaign in campaigns:
        await client.until_sent(campaign, 100)
    held([line["at_ns"] // 1_000_000 for line in world.segments()], SMS_PER_S)
    held([got.at_ms for got in await world.settled_mails()], MAILS_PER_S)


async def test_a_long_sms_counts_with_all_its_segments(world: World) -> None:
    await world.smsc("first")
    _, client = await world.up(world.ways_out(rate_per_s=SMS_PER_S))
    words = [Words("nl-BE", "Verdachte bestelwagen", "Grijze bestelwagen met drie inzittenden. " * 8)]
    here = {e["code"]: world.ring(e["code"]) for e in world.of_type("network", zone="5301")}

    campaign = (await client.launch_alert(alert(here, words, channels="sms")))["5301"]

    await client.until_sent(campaign, 100)
    parts = world.segments()
    assert {part["total"] for part in parts} == {3}
    assert len(parts) == 3 * len(world.sms())
    held([part["at_ns"] // 1_000_000 for part in parts], SMS_PER_S)


async def test_at_most_600_calls_start_in_any_60_seconds_and_nearly_as_many_do(world: World) -> None:
    tables = world.ways_out(voice=True)
    tables["voice"]["carriers"]["trunk"]["window"] = 2000
    _, client = await world.up(tables)
    everywhere = {e["code"]: world.ring(e["code"]) for e in world.of_type("network")}

    await client.launch_alert(alert(everywhere, channels="voice"))
    await until(lambda: len(world.calls()) >= 720, 110)

    starts = sorted(call.at_ms for call in world.calls())
    most = max(bisect_left(starts, at + 60_000) - n for n, at in enumerate(starts))
    assert 0.97 * 600 <= most <= 600
