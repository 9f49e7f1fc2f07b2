"""Update, Cancel, what waits for its time, and what is kept without being sent to anybody."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.expected import expect
from tests.acceptance.world import Client, Line, Words, World, alert, now_ms, opened, reference, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OLD, NEW, OVER = "Eerste bericht", "Tweede bericht", "Afgelopen"
GRACE_MS = 2_000
"""Invariant 8."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=160)
        yield made


def message(world: World, *networks: str, headline: str = OLD, **more: object) -> bytes:
    areas = {code: world.ring(code) for code in networks}
    words = (Words("nl-BE", f"{headline} nl"), Words("fr-BE", f"{headline} fr"))
    return alert(areas, words, **more)  # type: ignore[arg-type]


def addresses(world: World, headline: str) -> dict[str, list[str]]:
    """channel -> who got a message with this headline, each arrival."""
    return {
        "sms": sorted(got.address for got in world.sms() if got.text.find(headline) >= 0),
        "email": sorted(got.address for got in world.mails() if got.text.find(headline) >= 0),
    }


async def nothing_more(world: World, for_s: float = 1.5) -> None:
    """Nothing arrives anywhere for so long."""
    before = len(world.segments()), len(await world.settled_mails())
    await asyncio.sleep(for_s)
    assert (len(world.segments()), len(await world.settled_mails())) == before


# ---- Update --------------------------------------------------------------------------------------------------------


async def test_an_update_reaches_the_thread_and_who_joined_and_the_old_text_stops_within_two_seconds(
    world: World,
) -> None:
    world.people(members=500)
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up(world.ways_out(rate_per_s=9, mail_per_s=9))
    first = message(world, "PLP-5301-1")
    old = (await client.launch_alert(first))["5301"]
    await until(lambda: len(world.sms()) >= 8)
    should = expect(world.seed, ["PLP-5301-1"])["5301"]
    told = next(got.address for got in world.sms() if got.address.startswith("+3247"))
    moved = next(e for e in world.seed if e.get("reference") == should.deliveries["sms"][told][0])
    moved = moved | {"networks": [{"code": "PLP-5301-2"}]}
    joined = {
        "type": "member",
        "zone": "5301",
        "reference": "late",
        "name": "Late Comer",
        "language": "fr",
        "networks": [{"code": "PLP-5301-1"}],
        "contacts": [{"type": "mobile", "value": "+32470999999"}, {"type": "email", "value": "late@example.org"}],
    }
    await world.load(world.folder / "tocsin.toml", [joined, moved])

    # Who has moved away meanwhile was told, and so is told again.
    update = message(world, "PLP-5301-1", headline=NEW, msg_type="Update", references=reference(first))
    campaigns = await client.launch_alert(update)
    answered_ms = now_ms()

    await client.until_sent(campaigns["5301"], 60)
    await world.settled_mails()
    assert 8 <= len(addresses(world, OLD)["sms"]) < len(should.addresses("sms"))
    late = [g for g in world.sms() + world.mails() if OLD in g.text and g.at_ms > answered_ms + GRACE_MS]
    assert late == []
    should = expect([*world.seed, joined], ["PLP-5301-1"])["5301"]
    assert addresses(world, NEW) == {c: sorted(should.addresses(c)) for c in ("sms", "email")}
    assert {told, "+32470999999"} <= set(addresses(world, NEW)["sms"])
    assert await states(client, old) <= {"accepted", "delivered", "cancelled"}
    report = await client.report(old)
    assert (report["campaign"]["state"], report["sums_close"]) == ("superseded", True)

    # Again the same bytes: nothing.
    for document in (first, update):
        assert (await client.submit(document))[0] == 200
    await nothing_more(world)


async def test_an_update_that_must_be_covered_is_paid_with_what_the_text_before_no_longer_needs(world: World) -> None:
    should = expect(world.seed, ["PLP-5301-1"], kind="preventive")["5301"]
    price, sent = 55 * len(should.addresses("sms")), 55 * 20
    world.of_type("lot", zone="5301")[0]["amount_millieuro"] = price + sent
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up(world.ways_out(rate_per_s=5))
    first = message(world, "PLP-5301-1", kind="preventive")
    old = (await client.launch_alert(first))["5301"]
    await until(world.sms)
    update = message(
        world, "PLP-5301-1", headline=NEW, msg_type="Update", references=reference(first), kind="preventive"
    )

    campaigns = await client.launch_alert(update)

    assert price > sent, "without what it frees it could not be paid"
    assert (await client.campaign(campaigns["5301"]))["reserved_millieuro"] == price
    assert (await client.campaign(old))["state"] == "superseded"


async def states(client: Client, campaign: str) -> set[str]:
    return {row["state"] for row in await client.deliveries(campaign)}


# ---- Cancel --------------------------------------------------------------------------------------------------------


async def test_a_cancel_goes_to_exactly_those_who_may_have_the_message_those_in_flight_included(world: World) -> None:
    await world.smsc("first", answer_delay_s=1.0)
    await world.smtp(reply_delay=0.3)
    _, client = await world.up(world.ways_out(rate_per_s=15, mail_per_s=15))
    first = message(world, "PLP-5301-1")
    old = (await client.launch_alert(first))["5301"]
    await until(lambda: len(world.segments()) >= 10)

    cancel = message(world, "PLP-5301-1", headline=OVER, msg_type="Cancel", references=reference(first))
    campaigns = await client.launch_alert(cancel)
    answered_ms = now_ms()

    assert set(campaigns) == {"5301"}
    await client.until_sent(campaigns["5301"], 60)
    await world.settled_mails()
    told, warned = addresses(world, OVER), addresses(world, OLD)
    assert told == warned
    everyone = expect(world.seed, ["PLP-5301-1"])["5301"]
    assert 10 <= len(warned["sms"]) < len(everyone.addresses("sms"))
    assert len(warned["sms"]) == len(set(warned["sms"]))
    late = [g for g in world.sms() + world.mails() if OLD in g.text and g.at_ms > answered_ms + GRACE_MS]
    assert late == []
    assert (await client.report(old))["sums_close"]
    assert (await client.report(campaigns["5301"]))["sums_close"]
    assert await client.published() == [cancel]

    for document in (first, cancel):
        assert (await client.submit(document))[0] == 200
    status, answer = await client.submit(
        message(world, "PLP-5301-1", headline=NEW, msg_type="Update", references=reference(first))
    )
    assert status == 409, answer
    await nothing_more(world)


async def test_a_cancel_reaches_who_opted_out_of_the_kind_since_at_the_address_that_was_told(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()
    first = message(world, "PLP-5301-1", kind="preventive")
    old = (await client.launch_alert(first))["5301"]
    await client.until_sent(old)
    member = next(
        e
        for e in world.of_type("member", zone="5301")
        if any(c["type"] == "mobile" for c in e["contacts"]) and "opt_outs" not in e and "+3247" in str(e["contacts"])
    )
    number = next(c["value"] for c in member["contacts"] if c["type"] == "mobile")
    changed = member | {"opt_outs": ["preventive"], "contacts": [{"type": "mobile", "value": "+32470888888"}]}
    await world.load(world.folder / "tocsin.toml", [changed])

    cancel = message(
        world, "PLP-5301-1", headline=OVER, msg_type="Cancel", references=reference(first), kind="preventive"
    )
    told = (await client.launch_alert(cancel))["5301"]

    await client.until_sent(told)
    await world.settled_mails()
    assert addresses(world, OVER) == addresses(world, OLD)
    assert number in addresses(world, OVER)["sms"]
    assert "+32470888888" not in addresses(world, OVER)["sms"]


# ---- waiting -------------------------------------------------------------------------------------------------------


async def test_an_update_that_came_first_waits_for_its_alert_and_one_whose_alert_never_comes_fails_with_an_alarm(
    world: World,
) -> None:
    await world.smsc("first")
    await world.smtp()
    server, client = await world.up(world.ways_out() | {"alerts": {"park_s": 4.0}})
    first = message(world, "PLP-5301-1", sent=datetime.now(UTC) - timedelta(seconds=30))
    update = message(world, "PLP-5301-1", headline=NEW, msg_type="Update", references=reference(first))
    orphan = message(
        world, "PLP-5301-1", headline=OVER, msg_type="Update", references=reference(message(world, "PLP-5301-1"))
    )

    parked, lonely = [await client.submit(document) for document in (update, orphan)]
    assert [(status, body["state"]) for status, body in (parked, lonely)] == [(202, "parked")] * 2
    await nothing_more(world, 0.5)
    await client.launch_alert(first)

    async def becomes(location: str, state: str) -> Line:
        body: Line = {}
        async with asyncio.timeout(20):
            while body.get("state") != state:
                await asyncio.sleep(0.05)
                body = (await client.get(location))[1]
        return body

    launched = await becomes(parked[1]["location"], "active")
    await client.until_sent(launched["zones"][0]["campaign"])
    await world.settled_mails()
    should = expect(world.seed, ["PLP-5301-1"])["5301"]
    assert addresses(world, NEW) == {c: sorted(should.addresses(c)) for c in ("sms", "email")}
    given_up = await becomes(lonely[1]["location"], "failed")
    assert given_up["note"]
    alarms = server.logged("parked-given-up")
    assert [(a["level"], a["alert"]) for a in alarms] == [("error", given_up["id"])]
    assert addresses(world, OVER) == {"sms": [], "email": []}
    assert (await client.submit(update))[0] == 200
    assert (await client.submit(orphan))[0] == 200


async def test_an_alert_with_a_later_effective_is_scheduled_and_leaves_at_its_time(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()
    starts = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)

    campaign = (await client.launch_alert(message(world, "PLP-5301-1", effective=starts)))["5301"]

    assert (await client.campaign(campaign))["state"] == "scheduled"
    await client.until_sent(campaign)
    arrived = [got.at_ms for got in world.sms() + await world.settled_mails()]
    starts_ms = int(starts.timestamp() * 1000)
    should = expect(world.seed, ["PLP-5301-1"])["5301"]
    assert len(arrived) == len(should.addresses("sms")) + len(should.addresses("email"))
    assert starts_ms <= min(arrived) < starts_ms + GRACE_MS


async def test_what_is_not_to_be_sent_is_accepted_kept_and_answered_as_such(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()
    past = datetime.now(UTC) - timedelta(hours=2)
    known = message(world, "PLP-5301-1", status="Exercise")
    kept = {
        "logged": [
            message(world, "PLP-5301-1", status="System"),
            message(world, "PLP-5301-1", status="Draft"),
            message(world, "PLP-5301-1", msg_type="Ack", references=reference(known), note="Seen"),
            message(world, "PLP-5301-1", msg_type="Error", references=reference(known), note="Not understood"),
        ],
        "expired": [message(world, "PLP-5301-1", sent=past, expires=past + timedelta(minutes=5))],
    }

    for state, documents in kept.items():
        for document in documents:
            status, answer = await client.submit(document)
            assert (status, answer["state"], answer.get("zones", [])) == (202, state, []), answer
            assert await client.get(answer["location"]) == (200, body_of(answer))
            assert (await client.raw(f"{answer['location']}/document"))[1] == document
            assert (await client.submit(document))[0] == 200

    await nothing_more(world)
    assert world.segments() == []


def body_of(answer: Line) -> Line:
    """The resource without what only the answer to a posting has."""
    return {k: v for k, v in answer.items() if k not in ("location", "created")}


# ---- voice ---------------------------------------------------------------------------------------------------------


async def test_no_call_starts_later_than_two_seconds_after_a_stop(world: World) -> None:
    tables = world.ways_out(voice=True)
    tables["voice"]["carriers"]["trunk"]["rate_per_s"] = 5.0
    _, client = await world.up(tables)
    campaign = (await client.launch_alert(message(world, "PLP-5301-1", channels="voice")))["5301"]
    await until(lambda: len(world.calls()) >= 5)

    status, stopped = await client.post(f"/api/v1/campaigns/{campaign}/stop")
    stopped_ms = now_ms()

    assert (status, stopped["stopped"]) == (200, True)
    counts = await client.until(campaign, lambda c: not c["open"] and c["cancelled"] > 0)
    await asyncio.sleep(2.5)
    assert max(call.at_ms for call in world.calls()) <= stopped_ms + GRACE_MS
    assert counts["cancelled"] > 0
