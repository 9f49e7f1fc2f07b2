"""One alert in two zones: an address of both is told once, and one zone's refusal is nobody else's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.expected import expect
from tests.acceptance.world import Line, World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NETWORKS = ("PLP-5301-1", "PLP-5302-1")
SHARED = {"mobile": "+32470111111", "email": "both@example.org"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two zones whose news go out by SMS and mail too; one person lives in both."""
    async with opened(tmp_path) as made:
        made.people(members=80, edit=_with_news)
        made.seed += [resident("5301"), resident("5302")]
        yield made


def _with_news(line: Line) -> None:
    if line["type"] == "zone":
        line["policy"] = {"news_channels": ["sms", "email"]}


def resident(zone: str) -> Line:
    return {
        "type": "member",
        "zone": zone,
        "reference": "both",
        "name": "Of Both Zones",
        "language": "nl",
        "networks": [{"code": f"PLP-{zone}-1"}],
        "contacts": [{"type": kind, "value": value} for kind, value in SHARED.items()],
    }


def document(world: World, kind: str) -> bytes:
    return alert({code: world.ring(code) for code in NETWORKS}, kind=kind)


async def told(world: World) -> list[tuple[str, str]]:
    return sorted((got.channel, got.address) for got in world.sms() + await world.settled_mails())


async def test_an_address_in_two_zones_is_reached_once_a_channel_and_covered_in_the_other(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()

    campaigns = await client.launch_alert(document(world, "alert"))

    for campaign in campaigns.values():
        await client.until_sent(campaign)
        await client.until_delivered(campaign)
    sent = await told(world)
    assert sent.count(("sms", SHARED["mobile"])) == sent.count(("email", SHARED["email"])) == 1
    should = expect(world.seed, NETWORKS, unavailable=("voice",))
    assert sent == sorted((c, a) for e in should.values() for c in e.deliveries for a in e.addresses(c))
    second = await client.report(campaigns["5302"])
    # Both zones' first members share a number, too.
    assert should["5302"].covered["sms"]["both"] == "other_zone"
    assert second["contacts"]["covered"]["other_zone"] == 3
    assert second["sums_close"]
    # Who is covered shares the fate of the message that covers them: nobody is left in doubt for want of a row.
    assert [o["outcome"] for o in second["persons"]["outcomes"] if o["outcome"] == "pending"] == []


@pytest.mark.parametrize("broke", ["5301", "5302"])
async def test_a_zone_that_cannot_pay_is_refused_by_name_and_the_other_zone_reaches_all_its_own(
    world: World, broke: str
) -> None:
    """Whichever it is: who lives in both zones must not be left to a campaign that is never launched."""
    world.of_type("lot", zone=broke)[0]["amount_millieuro"] = 100
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()
    other = ({"5301", "5302"} - {broke}).pop()
    posted = document(world, "news")
    _, preview = await client.submit(posted, "/cap/v1/validate")

    status, answer = await client.submit(posted)

    assert status == 202, answer
    zones = {z["zone"]: z for z in answer["zones"]}
    assert "campaign" not in zones[broke]
    assert "100 millieuro" in zones[broke]["refusal"]
    campaign = zones[other]["campaign"]
    await client.until_sent(campaign)
    should = expect(world.seed, NETWORKS, kind="news", channels=("sms", "email"), zones=[other])[other]
    assert await told(world) == sorted((c, a) for c in should.deliveries for a in should.addresses(c))
    # The dry run said so: who pays, who does not, and the price of the rest.
    tried = {z["zone"]: z for z in preview["zones"]}
    assert tried[broke]["refusal"] == zones[broke]["refusal"]
    page = await client.campaign(campaign)
    assert page["reserved_millieuro"] == tried[other]["price_millieuro"] == preview["price_millieuro"]


async def test_a_zone_without_a_usable_channel_does_not_stop_the_other(world: World) -> None:
    world.of_type("zone", code="5301")[0]["policy"] = {"alert_channels": ["voice"]}
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()

    status, answer = await client.submit(document(world, "alert"))

    assert status == 202, answer
    zones = {z["zone"]: z for z in answer["zones"]}
    assert "No channel is left" in zones["5301"]["refusal"]
    await client.until_sent(zones["5302"]["campaign"])
    should = expect(world.seed, NETWORKS, zones=["5302"])["5302"]
    assert await told(world) == sorted((c, a) for c in ("sms", "email") for a in should.addresses(c))


async def test_an_urgent_alert_is_never_blocked_by_an_empty_balance(world: World) -> None:
    for lot in world.of_type("lot"):
        lot["amount_millieuro"] = 1
    await world.smsc("first")
    _, client = await world.up()

    campaigns = await client.launch_alert(document(world, "alert"))

    should = expect(world.seed, NETWORKS)
    for zone, campaign in campaigns.items():
        await client.until_sent(campaign)
        assert (await client.campaign(campaign))["reserved_millieuro"] == 55 * len(should[zone].addresses("sms"))
    assert len(world.sms()) == sum(len(e.addresses("sms")) for e in should.values())


async def test_zones_that_speak_alike_and_use_other_channels_each_get_their_own(world: World) -> None:
    for zone, channels in (("5301", ["email"]), ("5302", ["sms", "email"])):
        world.of_type("zone", code=zone)[0]["policy"] = {"news_channels": channels, "email_sender_name": "PZ Samen"}
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()

    campaigns = await client.launch_alert(document(world, "news"))

    for campaign in campaigns.values():
        await client.until_sent(campaign)
    mail = expect(world.seed, NETWORKS, kind="news", channels=["email"])
    sms = expect(world.seed, NETWORKS, kind="news", channels=["sms"], zones=["5302"])
    wanted = [("email", a) for e in mail.values() for a in e.addresses("email")]
    assert await told(world) == sorted([*wanted, *(("sms", a) for a in sms["5302"].addresses("sms"))])
