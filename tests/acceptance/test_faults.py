"""Carriers that die, throttle, keep silent, refuse or hang up in mid-campaign: everyone is told once, or reported."""

import asyncio
import collections
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.expected import Expected, expect
from tests.acceptance.world import Client, Line, World, alert, now_ms, opened, relay, smsc_account, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

NETWORKS = ("PLP-5301-1", "PLP-5301-2")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=240)
        yield made


async def launched(world: World, client: Client, kind: str, channels: str = "sms") -> tuple[str, Expected]:
    document = alert({code: world.ring(code) for code in NETWORKS}, kind=kind, channels=channels)
    campaign = (await client.launch_alert(document))["5301"]
    return campaign, expect(world.seed, NETWORKS, kind=kind, channels=channels.split())["5301"]


def copies(world: World, channel: str) -> collections.Counter[str]:
    """address -> messages that sinks took."""
    return collections.Counter(got.address for got in (world.sms() if channel == "sms" else world.mails()))


async def by_state(client: Client, campaign: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = collections.defaultdict(set)
    for row in await client.deliveries(campaign):
        found[row["state"]].add(row["address"])
    return found


# ---- SMS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alert", "preventive"])
async def test_when_the_first_smsc_is_killed_in_mid_campaign_the_second_takes_over_and_nobody_is_lost(
    world: World, kind: str
) -> None:
    first = await world.smsc("first", answer_delay_s=0.1)
    await world.smsc("second")
    _, client = await world.up(world.ways_out(rate_per_s=50))
    campaign, should = await launched(world, client, kind)
    everyone = should.addresses("sms")
    await until(lambda: len(world.segments("first")) >= 0.3 * len(everyone))

    await first.kill()
    killed_ms = now_ms()

    await client.until(campaign, lambda c: not c["open"] and (kind == "preventive" or not c["unknown"]), 40)
    taken = copies(world, "sms")
    assert 0 < len(world.sms("first")) < len(everyone)
    assert min(got.at_ms for got in world.sms("second")) < killed_ms + 10_000
    states = await by_state(client, campaign)
    report = await client.report(campaign)
    assert report["sums_close"]
    if kind == "alert":
        # Urgent: sent again where nobody can know. All have it, and the report counts every second copy.
        assert set(taken) == everyone
        doubled = {address for address, n in taken.items() if n > 1}
        assert len(doubled) <= report["money"]["resent_deliveries"]
        assert max(taken.values()) <= 2
    else:
        # Otherwise nobody is told twice, and whoever may not have been told is named as in doubt.
        assert set(taken.values()) == {1}
        assert everyone - set(taken) <= states["unknown"]
        assert report["money"]["resent_deliveries"] == 0
    sure = everyone - states["unknown"] - ({a for a, n in taken.items() if n > 1})
    assert {a for a in sure if taken[a] != 1} == set()


async def test_a_throttling_smsc_slows_its_campaign_down_and_loses_nobody(world: World) -> None:
    await world.smsc("first", max_rate_per_s=30)
    _, client = await world.up(world.ways_out(rate_per_s=60))
    campaign, should = await launched(world, client, "alert")

    await client.until_sent(campaign, 90)
    await client.until_delivered(campaign)

    assert any(line["status"] == 0x58 for line in world.segments()), "it did throttle"
    assert copies(world, "sms") == dict.fromkeys(should.addresses("sms"), 1)
    assert set(await by_state(client, campaign)) == {"delivered"}


async def test_a_silent_smsc_delays_neither_the_second_carrier_nor_mail_by_a_second(world: World) -> None:
    """Invariant 12. What the silent one holds is in doubt, and sent again where the kind says so."""
    first = await world.smsc("first", silent=True)
    second = await world.smsc("second")
    mail = await world.smtp()
    rate = 100.0
    silent = smsc_account(first.port, "first", rate, window=5, binds=2, answer_timeout_s=3.0)
    carriers = {"first": silent, "second": smsc_account(second.port, "second", rate)}
    _, client = await world.up(
        {"sms": {"carriers": carriers}, "email": {"carriers": {"relay": relay(mail.port, rate)}}}
    )

    campaign, should = await launched(world, client, "alert", "sms email")

    answered_ms = now_ms()
    people = len(should.addresses("sms"))
    await client.until(campaign, lambda c: not c["open"] and not c["unknown"], 60)
    held = {got.address for got in world.sms("first")}
    assert 1 <= len(held) <= 10 + 5, "its window, and a trial or two"
    prompt = sorted(got.at_ms for got in world.sms("second") if got.address not in held)
    mails = sorted(got.at_ms for got in await world.settled_mails())
    assert len(prompt) == people - len(held)
    assert prompt[-1] - answered_ms < 1000 * people / rate + 1000
    assert len(mails) == len(should.addresses("email"))
    assert mails[-1] - answered_ms < 1000 * len(mails) / rate + 1000
    # In the end everybody has it; the copies are those that were held, and the report says so.
    taken = copies(world, "sms")
    assert {address for address, n in taken.items() if n > 1} == held
    assert set(taken) == should.addresses("sms")
    assert (await client.report(campaign))["money"]["resent_deliveries"] == len(held)


@pytest.mark.parametrize("silent", ["relay", "trunk"])
async def test_a_silent_relay_or_trunk_delays_no_other_channel_by_a_second(world: World, silent: str) -> None:
    """Invariant 12, for the other channels."""
    await world.smsc("first")
    await world.smtp(bodies=False, silent_every=1 if silent == "relay" else 0)
    rate = 100.0
    tables = world.ways_out(rate_per_s=rate, mail_per_s=rate, voice=True)
    if silent == "trunk":
        tables["voice"]["carriers"]["trunk"] |= {"shares": {"in-doubt": 1.0}, "answer_timeout_s": 30.0, "speed": 1.0}
    _, client = await world.up(tables)

    _, should = await launched(world, client, "alert", "sms email voice")

    answered_ms = now_ms()
    await until(lambda: len(world.sms()) == len(should.addresses("sms")), 60)
    arrived = {"sms": [got.at_ms for got in world.sms()]}
    if silent == "trunk":
        await until(lambda: len(world.mails()) == len(should.addresses("email")), 60)
        arrived["email"] = [got.at_ms for got in world.mails()]
    for instants in arrived.values():
        assert max(instants) - answered_ms < 1000 * len(instants) / rate + 1000


# ---- what a peer has against us ------------------------------------------------------------------------------------

SENDER_REFUSED = ".*=553 5.7.1 Sender address rejected: not owned by user gateway"


@pytest.mark.parametrize("status", [0x0A, 0x48, 0x03, 0x0B])
async def test_an_smsc_that_refuses_everybody_fails_nobody_and_the_operator_is_told(world: World, status: int) -> None:
    await world.smsc("first", refuse_prefix="32", refuse_status=status)
    await world.smsc("second")
    server, client = await world.up()
    campaign, should = await launched(world, client, "alert")

    await client.until_delivered(campaign)

    assert copies(world, "sms") == dict.fromkeys(should.addresses("sms"), 1)
    assert all(got.address.startswith("+33") for got in world.sms("first")), "whom it does not refuse"
    assert {o["outcome"] for o in (await client.report(campaign))["persons"]["outcomes"]} == {"reached"}
    assert f"0x{status:08X}" in str(server.logged("carrier-refuses-us"))


async def test_with_one_smsc_that_refuses_us_people_wait_and_have_it_once_it_is_mended(world: World) -> None:
    only = await world.smsc("only", refuse_prefix="32", refuse_status=0x0A)
    server, client = await world.up()
    settings = world.settings(world.ways_out())
    campaign, should = await launched(world, client, "alert")
    await asyncio.sleep(8)

    counts = await client.until(campaign, lambda c: c["total"] > 0)
    assert (counts["failed"], counts["expired"]) == (0, 0)
    _, ready = await client.get("/readyz")
    assert "refuses us" in str(ready["checks"])
    code, told = await world.tocsin("status", "--config", str(settings))
    assert code == 1
    assert "REFUSES US" in told
    assert "0x0000000A" in told
    assert (
        'tocsin_carrier_refuses_us{carrier="only"'
        in (await world.client(server, "operator").raw("/metrics"))[1].decode()
    )

    await only.kill()
    await world.smsc("only")

    await client.until_delivered(campaign, timeout_s=90)
    assert copies(world, "sms") == dict.fromkeys(should.addresses("sms"), 1)


async def test_a_relay_that_refuses_our_sender_at_rcpt_fails_nobody(world: World) -> None:
    """What Postfix does by default: everything is told at RCPT."""
    await world.smtp("first", refuse=SENDER_REFUSED)
    await world.smtp("second")
    server, client = await world.up()
    campaign, should = await launched(world, client, "alert", "email")

    await client.until_sent(campaign)

    await world.settled_mails()
    assert copies(world, "email") == dict.fromkeys(should.addresses("email"), 1)
    assert {row["state"] for row in await client.deliveries(campaign)} == {"accepted"}
    assert server.logged("carrier-refuses-us")


async def test_numbers_that_the_first_smsc_does_not_serve_go_by_the_second(world: World) -> None:
    await world.smsc("first", refuse_prefix="3247", refuse_status=0x0B)
    await world.smsc("second")
    _, client = await world.up()
    campaign, should = await launched(world, client, "alert")

    await client.until_delivered(campaign)

    assert copies(world, "sms") == dict.fromkeys(should.addresses("sms"), 1)
    assert {got.address[:5] for got in world.sms("second")} >= {"+3247"}


# ---- mail ----------------------------------------------------------------------------------------------------------


async def test_a_relay_that_refuses_some_recipients_makes_them_not_reached_with_its_own_word(world: World) -> None:
    # Some ten of a hundred: three who are refused alike behind the last who is taken would wait to hear of another.
    await world.smtp(refuse=[r"m\d*[16]@post\.example=550 5.1.1 no such user"])
    _, client = await world.up()
    campaign, should = await launched(world, client, "preventive", "email")

    await client.until_sent(campaign)

    refused = {a for a in should.addresses("email") if re.fullmatch(r"m\d*[16]@post\.example", a)}
    assert 0 < len(refused) < 25
    assert {got.address for got in await world.settled_mails()} == should.addresses("email") - refused
    states = await by_state(client, campaign)
    assert dict(states) == {"failed": refused, "accepted": should.addresses("email") - refused}
    lines = [line for line in (await client.report(campaign))["deliveries"] if line["state"] == "failed"]
    assert {line["code"] for line in lines} == {"550 5.1.1"}


async def test_a_relay_that_says_421_and_hangs_up_gets_the_rest_later_and_each_mail_once(world: World) -> None:
    await world.smtp(busy_every=10)
    _, client = await world.up()
    campaign, should = await launched(world, client, "preventive", "email")

    await client.until_sent(campaign, 100)

    await world.settled_mails()
    assert copies(world, "email") == dict.fromkeys(should.addresses("email"), 1)
    assert set(await by_state(client, campaign)) == {"accepted"}


async def test_a_relay_that_closes_after_the_dot_leaves_those_mails_in_doubt_and_sends_none_twice(
    world: World,
) -> None:
    await world.smtp(close_after_dot_every=9)
    _, client = await world.up()
    campaign, should = await launched(world, client, "preventive", "email")

    await client.until_sent(campaign, 60)

    mails = await world.settled_mails()
    unanswered = {got.address for got in mails if not got.answered}
    assert unanswered
    states = await by_state(client, campaign)
    taken = copies(world, "email")
    assert set(taken.values()) == {1}
    assert unanswered <= states["unknown"]
    assert should.addresses("email") - set(taken) <= states["unknown"]
    assert set(states) == {"unknown", "accepted"}
    report = await client.report(campaign)
    told = {o["outcome"]: o["persons"] for o in report["persons"]["outcomes"]}
    assert set(told) == {"accepted", "in_doubt"}, "a mail that was taken is not called delivered, nor one in doubt lost"


async def test_a_carrier_that_comes_up_after_the_alert_gets_all_of_it(world: World) -> None:
    down = await world.smsc("first")
    _, client = await world.up()
    await down.kill()
    await until_down(client)

    campaign, should = await launched(world, client, "alert")
    await asyncio.sleep(1.5)
    assert world.segments() == []
    await world.smsc("first")

    await client.until_sent(campaign)
    assert copies(world, "sms") == dict.fromkeys(should.addresses("sms"), 1)


async def until_down(client: Client) -> None:
    body: Line = {"checks": [{"name": "sms live", "well": True}]}
    async with asyncio.timeout(20):
        while any(check["well"] for check in body["checks"] if check["name"] == "sms live"):
            await asyncio.sleep(0.1)
            _, body = await client.get("/readyz")
