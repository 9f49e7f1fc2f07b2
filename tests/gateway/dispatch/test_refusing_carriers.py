"""A carrier that refuses: what is about the people fails them, what is about us moves them, and no way's own limit is
the last word while another way is there."""

import asyncio
import logging
from collections.abc import Collection, Sequence

import pytest

from channels.contract import Accepted, Channel, Deferred, Fit, Outcome, Outgoing, Refused
from store.engine.database import Database
from store.states import DeliveryState
from tests.gateway.dispatch.lanes import Answer, Carrier, a_lane, running, take, ticking, until, until_async
from tests.store.makers import Made, a_campaign, rows_of, words_of

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def engine() -> str:
    return "sqlite"


def refuses(code: str = "0x0A", of: Collection[str] | None = None) -> Answer:
    """Everybody, or these."""

    async def answer(message: Outgoing) -> Outcome:
        if of is not None and message.address not in of:
            return Accepted((message.reference,))
        return Refused(code, "refused")

    return answer


def mobile(made: Made, n: int) -> str:
    return made.town.people[n].addresses["sms"]


async def states(database: Database, made: Made, wanted: Sequence[str]) -> bool:
    return await words_of(database, made) == list(wanted)


async def everybody(database: Database, made: Made, word: str) -> bool:
    return set(await words_of(database, made)) == {word}


# ---- what a carrier has against us -------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [3, 8, 200])
@pytest.mark.parametrize("code", ["0x0A", "0x0B", "553"])
async def test_a_carrier_that_refuses_everybody_fails_nobody_and_the_next_one_has_them(
    database: Database, caplog: pytest.LogCaptureFixture, people: int, code: str
) -> None:
    made = await a_campaign(database, people)
    first, second = Carrier("one", refuses(code)), Carrier("two")
    with caplog.at_level(logging.WARNING):
        async with running(a_lane(database, first, second)):
            await until_async(lambda: everybody(database, made, "accepted"))

    assert sorted(second.addresses) == sorted(mobile(made, n) for n in range(people))
    assert {row.attempts for row in await rows_of(database, made)} == {1}
    told = [record for record in caplog.records if getattr(record, "action", "") == "carrier-refuses-us"]
    assert [(r.carrier, r.code) for r in told[:1]] == [("one", code)]


async def test_with_one_carrier_only_they_wait_and_have_it_once_when_it_is_mended(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    made = await a_campaign(database, 40)
    only = Carrier("one", refuses())
    with caplog.at_level(logging.WARNING):
        async with ticking(database), running(a_lane(database, only)):
            await asyncio.sleep(2.5)
            assert "failed" not in await words_of(database, made)
            handed = len(only.handed)
            only.answer = take
            await until_async(lambda: everybody(database, made, "accepted"), 20)

    assert sorted(only.addresses[handed:]) == sorted(mobile(made, n) for n in range(40))
    assert {row.attempts for row in await rows_of(database, made)} == {1}
    told = [getattr(record, "action", "") for record in caplog.records]
    assert told.count("nobody-takes") == 1
    assert told[-1] == "carrier-takes-again"


async def test_while_it_refuses_everybody_it_is_asked_ever_more_seldom(database: Database) -> None:
    await a_campaign(database, 300)
    only = Carrier("one", refuses(), window=10)
    async with ticking(database), running(a_lane(database, only)):
        await asyncio.sleep(4)

    # The first window, and trials that begin after 1 and 3 s, or somewhat later.
    assert len(only.handed) <= 10 + 3 + 6


async def test_a_carrier_that_begins_to_refuse_in_mid_campaign_fails_nobody(database: Database) -> None:
    made = await a_campaign(database, 100)
    taken: list[str] = []

    async def answer(message: Outgoing) -> Outcome:
        if len(taken) >= 30:
            return Refused("0x0A", "refused")
        taken.append(message.address)
        return Accepted((message.reference,))

    first, second = Carrier("one", answer), Carrier("two", window=20)
    async with running(a_lane(database, first, second)):
        await until_async(lambda: everybody(database, made, "accepted"))

    assert sorted(taken + second.addresses) == sorted(mobile(made, n) for n in range(100))


async def test_two_campaigns_do_not_take_each_others_refusals(database: Database) -> None:
    """A text that a peer refuses is no reason to keep another one from it."""
    bad, good = await a_campaign(database, 10), await a_campaign(database, 10)
    unwanted = {mobile(bad, n) for n in range(10)}
    only = Carrier("one", refuses("content", unwanted))
    async with ticking(database), running(a_lane(database, only)):
        await until_async(lambda: everybody(database, good, "accepted"))
        assert "failed" not in await words_of(database, bad)


# ---- what is about the people ------------------------------------------------------------------------------------


async def test_dead_numbers_among_good_ones_fail_and_the_carrier_goes_on(database: Database) -> None:
    made = await a_campaign(database, 50)
    dead = {mobile(made, n) for n in (4, 20, 21, 49)}
    only = Carrier("one", refuses("0x0B", dead))
    wanted = ["failed" if mobile(made, n) in dead else "accepted" for n in range(50)]
    async with ticking(database), running(a_lane(database, only)):
        await until_async(lambda: states(database, made, wanted), 10)

    assert {row.code for row in await rows_of(database, made) if row.state == DeliveryState.FAILED} == {"0x0B"}


@pytest.mark.timeout(120)
async def test_a_long_run_of_dead_numbers_holds_up_the_others_for_seconds_and_fails_in_the_end(
    database: Database,
) -> None:
    made = await a_campaign(database, 60)
    dead = {mobile(made, n) for n in range(25)}
    only = Carrier("one", refuses("0x0B", dead), window=5)
    wanted = ["failed"] * 25 + ["accepted"] * 35
    async with ticking(database), running(a_lane(database, only)):
        await until(lambda: set(only.addresses) >= {mobile(made, n) for n in range(25, 60)}, 40)
        await until_async(lambda: states(database, made, wanted), 40)


@pytest.mark.parametrize("people", [1, 2])
async def test_of_one_or_two_people_the_last_ways_word_is_final(database: Database, people: int) -> None:
    made = await a_campaign(database, people)
    first, second = Carrier("one", refuses("0x0B")), Carrier("two", refuses("0x65"))
    async with running(a_lane(database, first, second)):
        await until_async(lambda: everybody(database, made, "failed"), 6)

    assert len(first.handed) == len(second.handed) == people
    rows = await rows_of(database, made)
    assert {(row.code, row.carrier, row.attempts) for row in rows} == {("0x65", "two", 1)}


async def test_who_is_refused_by_one_carrier_for_its_country_has_it_from_the_next(database: Database) -> None:
    made = await a_campaign(database, 30)
    abroad = {mobile(made, n) for n in range(0, 30, 5)}
    first, second = Carrier("one", refuses("0x0B", abroad)), Carrier("two")
    async with running(a_lane(database, first, second)):
        await until_async(lambda: everybody(database, made, "accepted"))

    assert set(second.addresses) >= abroad
    assert set(first.addresses) >= {mobile(made, n) for n in range(30)} - set(second.addresses)


async def test_a_telephone_that_rang_shows_that_the_trunk_is_well(database: Database) -> None:
    """Calls are answered after half a minute: who declines at once has nobody before him."""
    made = await a_campaign(database, 9, channels=("voice",))
    declining = {made.town.people[n].addresses["voice"] for n in (0, 2, 4, 6)}
    calls: list[str] = []

    async def answer(message: Outgoing) -> Outcome:
        calls.append(message.address)
        if message.address in declining:
            return Refused("rejected", "declined")
        return Deferred("busy", "") if calls.count(message.address) == 1 else Accepted((message.reference,))

    only = Carrier("trunk", answer, channel=Channel.VOICE, window=1)
    wanted = ["failed" if n in (0, 2, 4, 6) else "accepted" for n in range(9)]
    async with ticking(database), running(a_lane(database, only)):
        await until_async(lambda: states(database, made, wanted), 15)


# ---- a carrier's own limits --------------------------------------------------------------------------------------


def only_for(*addresses: str):
    return lambda address: Fit.WHOLE if address in addresses else Fit.NOT


async def test_a_carrier_is_given_only_what_it_can_take(database: Database) -> None:
    made = await a_campaign(database, 20)
    some = [mobile(made, n) for n in range(0, 20, 3)]
    first, second = Carrier("one", fits=only_for(*some)), Carrier("two")
    async with running(a_lane(database, first, second)):
        await until_async(lambda: everybody(database, made, "accepted"))

    assert set(first.addresses) <= set(some)
    assert sorted(first.addresses + second.addresses) == sorted(mobile(made, n) for n in range(20))


async def test_what_no_carrier_can_take_fails_at_once_with_a_reason(database: Database) -> None:
    made = await a_campaign(database, 3)
    only = Carrier("one", fits=only_for(mobile(made, 1)))
    async with running(a_lane(database, only)):
        await until_async(lambda: states(database, made, ["failed", "accepted", "failed"]))

    assert [row.code for row in await rows_of(database, made)] == ["unfit", None, "unfit"]
    assert only.addresses == [mobile(made, 1)]


async def test_who_can_be_taken_by_a_carrier_that_is_down_waits_for_it_and_holds_up_nobody(database: Database) -> None:
    made = await a_campaign(database, 10)
    first = Carrier("one", fits=lambda address: Fit.WHOLE if address != mobile(made, 0) else Fit.NOT)
    second = Carrier("two", up=False)
    async with ticking(database), running(a_lane(database, first, second)):
        await until(lambda: len(first.handed) == 9)
        await asyncio.sleep(1)
        assert (await words_of(database, made))[0] in ("queued", "retry")
        second.up = True
        await until_async(lambda: everybody(database, made, "accepted"))

    assert second.addresses == [mobile(made, 0)]


async def test_other_letters_are_used_only_where_no_carrier_writes_the_right_ones(database: Database) -> None:
    made = await a_campaign(database, 10)
    plain, right = Carrier("plain", fits=lambda _: Fit.LEGIBLE), Carrier("right")
    async with running(a_lane(database, plain, right)):
        await until_async(lambda: everybody(database, made, "accepted"))
    assert (len(plain.handed), len(right.handed)) == (0, 10)

    made = await a_campaign(database, 10)
    right.up = False
    async with ticking(database), running(a_lane(database, plain, right)):
        await until_async(lambda: everybody(database, made, "accepted"))
    assert len(plain.handed) == 10
