"""A coordinator's own message: what the dry run says is what is launched, within rights, once; it can be stopped."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.expected import expect
from tests.acceptance.world import Line, World, now_ms, opened, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

COORDINATOR = "coordinator-PLP-5301-1"
NARROW = "mailer-PLP-5301-1"
CAMPAIGNS = "/api/v1/campaigns"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=200, edit=_with_sms)
        where = {"zone": "5301", "network": "PLP-5301-1"}
        rights = [{"action": "launch", **where, "kind": "news", "channel": "email"}, {"action": "read", **where}]
        made.seed.append(made.account(NARROW, rights))
        await made.smsc("first")
        await made.smtp()
        yield made


def _with_sms(line: Line) -> None:
    if line["type"] == "zone":
        line["policy"] = {"news_channels": ["sms", "email"]}


def message(**more: object) -> Line:
    words = {"nl": "Buurtfeest afgelast wegens storm.", "fr": "Fête de quartier annulée : tempête."}
    return {
        "zone": "5301",
        "kind": "news",
        "title": "Buurtfeest",
        "texts": [
            {"language": lang, "sms": text, "subject": "Buurtfeest", "email": text} for lang, text in words.items()
        ],
        "targets": {"networks": ["PLP-5301-1"]},
        "channels": ["sms", "email"],
        "terms_confirmed": True,
    } | more


async def test_the_dry_run_and_the_launch_are_the_same_persons_texts_and_price(world: World) -> None:
    server, _ = await world.up()
    coordinator = world.client(server, COORDINATOR)
    status, dry = await coordinator.post(f"{CAMPAIGNS}?dry_run=1", message())
    assert status == 200, dry
    assert world.segments() == []

    status, answer = await coordinator.post(CAMPAIGNS, message())

    assert status == 202, answer
    await coordinator.until_sent(answer["campaign"])
    should = expect(world.seed, ["PLP-5301-1"], kind="news", channels=("sms", "email"))["5301"]
    persons = {name: dry[name] for name in ("resolved", "included", "price_millieuro", "texts", "channels")}
    assert persons == {name: answer["preview"][name] for name in persons}
    # Some read German or English: the coordinator hears of it before and after.
    assert dry["readers"] == answer["preview"]["readers"]
    assert sum(line["persons"] for line in dry["readers"]) == dry["included"]
    missing = {p["value"] for p in dry["problems"] if (p["rule"], p["level"]) == ("L-MISSING", "warning")}
    assert missing == {line["language"] for line in dry["readers"]} - {"nl", "fr", ""} != set()
    assert dry["problems"] == answer["preview"]["problems"]
    assert (dry["resolved"], dry["included"]) == (len(should.resolved), len(should.resolved) - len(should.excluded))
    assert {line["reason"]: line["persons"] for line in dry["excluded"]}["opted_out"] == sum(
        why == "opted_out" for why in should.excluded.values()
    )
    page = await coordinator.campaign(answer["campaign"])
    assert page["reserved_millieuro"] == page["progress"]["charged_millieuro"] == dry["price_millieuro"]
    texts = {(t["channel"], t["language"]): t["text"] for t in dry["texts"]}
    wanted = [(c, a, texts[c, lang]) for c, found in should.deliveries.items() for a, (_, lang) in found.items()]
    mails = [("email", got.address, got.body.strip()) for got in await world.settled_mails()]
    assert sorted([("sms", got.address, got.text) for got in world.sms()] + mails) == sorted(wanted)


async def test_what_a_right_does_not_give_is_refused_by_its_name_and_nothing_is_sent(world: World) -> None:
    server, _ = await world.up()
    coordinator, narrow = world.client(server, COORDINATOR), world.client(server, NARROW)
    refused = [
        (narrow, message(), 403, "sms"),
        (narrow, message(kind="info", channels=["email"]), 403, "info"),
        (coordinator, message(zone="5302"), 403, "5302"),
        (coordinator, message(zone="nowhere"), 403, "nowhere"),
        (coordinator, message(terms_confirmed=False), 422, "terms"),
        (coordinator, message(targets={"networks": ["PLP-5301-2"]}), 422, "PLP-5301-2"),
        (coordinator, message(channels=["voice"]), 422, "voice"),
        (coordinator, message(texts=[]), 400, "texts"),
        (coordinator, message(surprise=1), 400, "surprise"),
    ]

    for who, asked, status, word in refused:
        got, answer = await who.post(CAMPAIGNS, asked)
        assert got == status, (word, answer)
        assert word in str(answer), answer

    # The whole zone means, for who coordinates one network, that network.
    status, answer = await narrow.post(CAMPAIGNS, message(channels=["email"], targets={"whole_zone": True}))
    assert status == 202, answer
    await narrow.until_sent(answer["campaign"])
    should = expect(world.seed, ["PLP-5301-1"], kind="news", channels=["email"])["5301"]
    assert {got.address for got in await world.settled_mails()} == should.addresses("email")
    assert world.segments() == []


async def test_one_key_is_one_campaign_however_often_and_at_once_it_is_sent(world: World) -> None:
    server, _ = await world.up()
    coordinator = world.client(server, COORDINATOR)

    answers = await asyncio.gather(*(coordinator.post(CAMPAIGNS, message(), key="buurtfeest-1") for _ in range(8)))

    assert sorted(status for status, _ in answers) == [200] * 7 + [202]
    assert len({answer["campaign"] for _, answer in answers}) == 1
    campaign = answers[0][1]["campaign"]
    await coordinator.until_sent(campaign)
    status, answer = await coordinator.post(CAMPAIGNS, message(), key="buurtfeest-1")
    assert (status, answer["campaign"]) == (200, campaign)
    should = expect(world.seed, ["PLP-5301-1"], kind="news", channels=("sms", "email"))["5301"]
    assert sorted(got.address for got in world.sms()) == sorted(should.addresses("sms"))
    assert len(await world.settled_mails()) == len(should.addresses("email"))


async def test_a_stop_in_mid_campaign_ends_it_within_two_seconds_and_every_person_is_accounted_for(
    world: World,
) -> None:
    server, _ = await world.up(world.ways_out(rate_per_s=15, mail_per_s=15))
    coordinator = world.client(server, COORDINATOR)
    _, answer = await coordinator.post(CAMPAIGNS, message())
    campaign = answer["campaign"]
    await until(lambda: len(world.sms()) >= 10)

    status, stopped = await coordinator.post(f"{CAMPAIGNS}/{campaign}/stop")
    stopped_ms = now_ms()

    assert (status, stopped["stopped"]) == (200, True)
    counts = await coordinator.until(campaign, lambda c: not c["open"] and c["cancelled"] > 0)
    arrived = world.sms() + await world.settled_mails()
    assert max(got.at_ms for got in arrived) <= stopped_ms + 2_000
    should = expect(world.seed, ["PLP-5301-1"], kind="news", channels=("sms", "email"))["5301"]
    everyone = {(c, a) for c in should.deliveries for a in should.addresses(c)}
    reached = {(got.channel, got.address) for got in arrived}
    assert len(reached) == len(arrived) < len(everyone)
    rows = await coordinator.deliveries(campaign)
    assert {(r["channel"], r["address"]) for r in rows if r["state"] == "cancelled"} == everyone - reached
    assert counts["cancelled"] == len(everyone - reached)
    report = await coordinator.report(campaign)
    assert report["sums_close"]
    assert report["campaign"]["state"] == "stopped"
    assert report["money"]["charged_millieuro"] == 55 * sum(channel == "sms" for channel, _ in reached)
    status, again = await coordinator.post(f"{CAMPAIGNS}/{campaign}/stop")
    assert (status, again["stopped"]) == (200, False)
