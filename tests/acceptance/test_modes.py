"""Live and simulated campaigns side by side: the same code, and nothing simulated can reach a carrier."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.expected import expect
from tests.acceptance.world import Line, Words, World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LIVE, DRILL = "Echt bericht", "Oefenbericht"
QUICK = {"answer": {"least": 0.01, "mean": 0.02, "most": 0.1}, "receipt": {"least": 0.05, "mean": 0.1, "most": 0.5}}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=120)
        yield made


def simulation() -> Line:
    return {"simulation": {channel: QUICK | {"speed": 1000.0} for channel in ("sms", "email", "voice")}}


def message(world: World, headline: str, status: str) -> bytes:
    areas = {code: world.ring(code) for code in ("PLP-5301-1", "PLP-5302-1")}
    return alert(areas, [Words("nl-BE", f"{headline} nl"), Words("fr-BE", f"{headline} fr")], status=status)


async def test_live_and_simulated_campaigns_run_together_and_no_sink_sees_a_simulated_word(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up(world.ways_out(rate_per_s=40, mail_per_s=40) | simulation())
    coordinator = world.client(world.processes[-1], "coordinator-PLP-5301-1")  # type: ignore[arg-type]
    composed = {
        "zone": "5301",
        "kind": "alert",
        "title": DRILL,
        "texts": [{"language": "nl", "sms": f"{DRILL} nl", "email": f"{DRILL} nl", "subject": DRILL}],
        "targets": {"networks": ["PLP-5301-1"]},
        "channels": ["sms", "email"],
        "simulation": True,
        "terms_confirmed": True,
    }

    documents = [message(world, DRILL, "Exercise"), message(world, LIVE, "Actual"), message(world, DRILL, "Test")]
    launched = await asyncio.gather(*(client.launch_alert(document) for document in documents))
    status, answer = await coordinator.post("/api/v1/campaigns", composed)
    assert status == 202, answer

    drills = [*launched[0].values(), *launched[2].values(), answer["campaign"]]
    for campaign in (*drills, *launched[1].values()):
        await client.until_sent(campaign)
    for campaign in drills:
        page = await client.campaign(campaign)
        spent = page["reserved_millieuro"], page["progress"]["charged_millieuro"]
        assert (page["mode"], *spent) == ("simulation", 0, 0)
        assert {r["state"] for r in await client.deliveries(campaign)} <= {"accepted", "delivered", "failed", "unknown"}
        assert (await client.report(campaign))["sums_close"]
    arrived = world.sms() + await world.settled_mails()
    assert [got for got in arrived if DRILL in got.text + got.body] == []
    should = expect(world.seed, ["PLP-5301-1", "PLP-5302-1"], unavailable=("voice",))
    wanted = sorted((c, a) for e in should.values() for c in e.deliveries for a in e.addresses(c))
    assert sorted((got.channel, got.address) for got in arrived) == wanted
    assert await client.published() == [documents[1]]


async def test_a_sealed_exercise_has_cost_its_zone_nothing(world: World) -> None:
    await world.smsc("first")
    _, client = await world.up(world.ways_out() | simulation())

    async def balance() -> int:
        status, preview = await client.submit(message(world, LIVE, "Actual"), "/cap/v1/validate")
        assert status == 200
        return int(preview["zones"][0]["balance_millieuro"])

    before = await balance()
    drill = alert({"here": world.ring("PLP-5301-1")}, status="Exercise", channels="sms")
    campaign = (await client.launch_alert(drill))["5301"]

    events = [event async for event in client.events(campaign)]

    assert events[-1][0] == "end"
    report = await client.report(campaign)
    assert report["sums_close"]
    assert (report["money"]["charged_millieuro"], report["money"]["settled_millieuro"]) == (0, 0)
    assert await balance() == before
    # What it would have cost is said beforehand.
    again = alert({"here": world.ring("PLP-5301-1")}, status="Exercise", channels="sms")
    assert (await client.submit(again, "/cap/v1/validate"))[1]["price_millieuro"] > 0


async def test_a_simulated_campaign_opens_no_connection_at_all(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    server, client = await world.up(simulation())  # no carrier but simulated ones
    door = int(server.url.rpartition(":")[2])

    campaigns = await client.launch_alert(message(world, DRILL, "Exercise"))

    seen: set[tuple[int, int]] = set()
    for campaign in campaigns.values():
        async with asyncio.timeout(60):
            async for _, _, snapshot in client.events(campaign):
                seen |= server.peers()
                if not snapshot["open"]:
                    break
        assert {r["state"] for r in await client.deliveries(campaign)} & {"delivered"}
    assert seen
    assert {own for own, _ in seen} == {door}
    assert world.segments() == []
    assert await world.settled_mails() == []
    assert (await client.report(campaigns["5301"]))["channels"][2]["audience"] > 0, "calls are simulated, too"
