"""Two gateways on one PostgreSQL: either door, one outbox, each person once, and one contract for both together."""

import asyncio
import collections
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.contracts import rate_per_s, require_contract
from tests.acceptance.expected import expect
from tests.acceptance.world import Client, Server, World, alert, opened, until
from tests.peers.postgres import new_database

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(180)]

NETWORKS = ("PLP-5301-1", "PLP-5301-2", "PLP-5302-1")
SMS_PER_S, MAILS_PER_S = 50, 100


@pytest.fixture
async def world(tmp_path: Path, migrated_postgresql: str) -> AsyncIterator[World]:
    url = await new_database(migrated_postgresql, f"nodes_{tmp_path.name[-40:]}", template="migrated")
    async with opened(tmp_path, url) as made:
        made.people(members=240)
        await made.smsc("first")
        await made.smtp(bodies=False)
        yield made


async def two_nodes(world: World) -> tuple[list[Server], list[Client]]:
    """The same settings, twice: a node has no name, number or share of its own."""
    server, client = await world.up(world.ways_out(rate_per_s=SMS_PER_S, mail_per_s=MAILS_PER_S))
    second = await world.serve(world.folder / "tocsin.toml")
    other = world.client(second)
    await world.until_ready(other)
    return [server, second], [client, other]


def document(world: World) -> bytes:
    return alert({code: world.ring(code) for code in NETWORKS})


async def each_once(world: World, alerts: int) -> None:
    should = expect(world.seed, NETWORKS)
    got = collections.Counter((g.channel, g.address) for g in world.sms() + await world.settled_mails())
    wanted = {(c, a) for e in should.values() for c in ("sms", "email") for a in e.addresses(c)}
    assert got == dict.fromkeys(wanted, alerts)


async def test_alerts_posted_at_either_door_reach_each_person_once_within_one_contract(world: World) -> None:
    servers, clients = await two_nodes(world)

    launched = await asyncio.gather(*(clients[n % 2].launch_alert(document(world)) for n in range(4)))

    for n, campaigns in enumerate(launched):
        other = clients[(n + 1) % 2]  # what one door launched, the other shows
        for campaign in campaigns.values():
            await other.until_sent(campaign, 100)
            await other.until_delivered(campaign)
            assert (await other.report(campaign))["sums_close"]
    await each_once(world, alerts=4)
    arrived = [line["at_ns"] // 1_000_000 for line in world.segments()]
    require_contract(arrived, SMS_PER_S)
    assert rate_per_s(arrived) > 0.85 * SMS_PER_S
    require_contract([got.at_ms for got in world.mails()], MAILS_PER_S)
    assert [len(server.logged("batch")) > 0 for server in servers] == [True, True]


async def test_the_same_alert_at_both_doors_at_once_is_one_alert(world: World) -> None:
    _, clients = await two_nodes(world)
    posted = document(world)

    answers = await asyncio.gather(*(clients[n % 2].submit(posted) for n in range(6)))

    assert sorted(status for status, _ in answers) == [200] * 5 + [202]
    assert len({answer["location"] for _, answer in answers}) == 1
    for zone in answers[0][1]["zones"]:
        await clients[0].until_sent(zone["campaign"])
    await each_once(world, alerts=1)


async def test_when_one_node_is_stopped_in_mid_campaign_the_other_sends_the_rest(world: World) -> None:
    servers, clients = await two_nodes(world)
    campaigns = await clients[0].launch_alert(document(world))
    await until(lambda: len(world.segments()) >= 40)

    assert await servers[0].end() == 0

    for campaign in campaigns.values():
        await clients[1].until_sent(campaign)
    await each_once(world, alerts=1)
    assert len(world.segments()) > 40
