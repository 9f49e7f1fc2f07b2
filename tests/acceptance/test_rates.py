"""A carrier's contract, held as its sink sees it: with two campaigns at once, never more in any second than was agreed.

The gateway answers for the instants at which bytes leave; a sink on a shared machine reads them when it gets the
processor. A stall of the sink's by up to `JITTER_S` can push units together, never apart, so what it read in one second
left within 1 + JITTER_S: that is the bound for every second, and the strict one must hold for nearly all of them.
"""

from bisect import bisect_left
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.world import Words, World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

SMS_PER_S, MAILS_PER_S = 100, 200
TOLERANCE = 1.01
JITTER_S = 0.05
STRICT_SHARE = 0.95


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=900)
        yield made


def seconds(at_ms: list[int]) -> list[int]:
    """How many arrived in the second that begins with each arrival."""
    return [bisect_left(at_ms, at + 1000) - n for n, at in enumerate(at_ms)]


def held(at_ms: list[int], per_s: int) -> None:
    at_ms = sorted(at_ms)
    counts = seconds(at_ms)
    assert max(counts) <= TOLERANCE * per_s * (1 + JITTER_S)
    strict = sum(count <= TOLERANCE * per_s for count in counts) / len(counts)
    assert strict >= STRICT_SHARE, f"{strict:.1%} of the seconds are within the contract; the worst has {max(counts)}"
    # The bound must have been the contract, not a slow gateway.
    assert len(at_ms) / (at_ms[-1] - at_ms[0]) * 1000 > 0.9 * per_s


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
