"""A lane: each message once, at its slot, by whichever carrier is open; and nothing after a fence has fallen."""

import asyncio
from collections.abc import Sequence

import pytest

from channels.contract import (
    Accepted,
    Deferred,
    InDoubt,
    NotSent,
    Outcome,
    Outgoing,
    Refused,
    Throttled,
    Told,
    Withdraw,
)
from gateway.dispatch import results
from store.campaigns import campaign_steps
from store.engine.database import Database, open_database
from store.outbox import holds, recovery
from store.outbox.delivery_ids import campaign_of
from store.states import CampaignState, DeliveryState
from store.tables import campaign
from tests.gateway.dispatch.lanes import Carrier, a_lane, running, ticking, until, until_async
from tests.store.invariants import assert_sums_close
from tests.store.makers import a_campaign, a_town, batches_of, claim, rows_of, tick, words_of

pytestmark = pytest.mark.timeout(60)


async def test_every_message_of_a_campaign_is_handed_over_once(database: Database) -> None:
    made = await a_campaign(database, 120, batch_size=50)
    carrier = Carrier()

    async with running(a_lane(database, carrier)):
        await until_async(lambda: _all(database, made, "accepted"))

    assert sorted(carrier.addresses) == sorted(p.addresses["sms"] for p in made.town.people)
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)


async def test_no_message_leaves_before_its_slot_and_slots_keep_the_contract(database: Database) -> None:
    made = await a_campaign(database, 60)
    carrier = Carrier()

    async with running(a_lane(database, carrier, rate_per_s=100)):
        await until_async(lambda: _all(database, made, "accepted"))

    assert all(at >= message.due[0] for at, message in carrier.handed)
    instants = sorted(at for at, _ in carrier.handed)
    busiest = max(sum(1 for b in instants if a <= b < a + 0.5) for a in instants)
    # 100 a second and the first slot of the window: half a second holds 51, and a guard of 50 ms lets 5 more in.
    assert busiest <= 56


async def test_a_refused_message_is_final_and_a_deferred_one_is_tried_again(database: Database) -> None:
    made = await a_campaign(database, 3)
    refused, deferred, good = (p.addresses["sms"] for p in made.town.people)
    tries: list[str] = []

    async def answer(message: Outgoing) -> Outcome:
        tries.append(message.address)
        if message.address == refused:
            return Refused("11", "no such number")
        if message.address == deferred and tries.count(deferred) == 1:
            return Deferred("20", "queue full")
        return Accepted((message.reference,))

    async with running(a_lane(database, Carrier(answer=answer))):
        await until_async(lambda: _words(database, made, ["failed", "accepted", "accepted"], tick_too=True))

    assert (tries.count(refused), tries.count(deferred), tries.count(good)) == (1, 2, 1)


async def test_a_message_that_one_carrier_keeps_putting_off_is_offered_to_the_next_one(database: Database) -> None:
    async def full(message: Outgoing) -> Outcome:
        return Deferred("ESME_RMSGQFUL", "the queue of this handset is full")

    made = await a_campaign(database, 3)
    first, second = Carrier("one", full), Carrier("two")

    async with running(a_lane(database, first, second)):
        await until_async(lambda: _words(database, made, ["accepted"] * 3, tick_too=True))

    assert len(first.handed) == len(second.handed) == 3


async def test_a_message_known_not_sent_moves_to_the_second_carrier_at_once_and_costs_no_attempt(
    database: Database,
) -> None:
    made = await a_campaign(database, 20)

    async def down(message: Outgoing) -> Outcome:
        return NotSent("the bind is lost")

    first, second = Carrier("first", down), Carrier("second")
    async with running(a_lane(database, first, second)):
        await until_async(lambda: _all(database, made, "accepted"))

    assert sorted(second.addresses) == sorted(p.addresses["sms"] for p in made.town.people)
    assert {row.attempts for row in await rows_of(database, made)} == {1}
    assert {row.carrier for row in await rows_of(database, made)} == {"second"}


async def test_a_message_in_doubt_is_not_handed_to_another_carrier_when_its_kind_only_reports(
    database: Database,
) -> None:
    made = await a_campaign(database, 5, crash_policy="report")

    async def doubt(message: Outgoing) -> Outcome:
        return InDoubt("no answer")

    first, second = Carrier("first", doubt), Carrier("second")
    async with running(a_lane(database, first, second)):
        await until_async(lambda: _all(database, made, "unknown"))
        await tick(database)
        await asyncio.sleep(0.3)

    assert second.handed == []
    assert [b.state for b in await batches_of(database, made)] == [3]


async def test_a_message_in_doubt_of_an_urgent_kind_is_sent_again_after_the_wait_and_not_without_end(
    database: Database,
) -> None:
    made = await a_campaign(database, 1, crash_policy="resend")

    async def doubt(message: Outgoing) -> Outcome:
        return InDoubt("no answer")

    carrier = Carrier(answer=doubt)
    async with running(a_lane(database, carrier)):
        await until_async(lambda: _closed(database, made))

    assert len(carrier.handed) == 3
    assert await words_of(database, made) == ["unknown"]


async def test_a_message_in_doubt_is_sent_again_by_another_carrier_than_the_one_that_left_it_so(
    database: Database,
) -> None:
    made = await a_campaign(database, 30, crash_policy="resend")

    async def doubt(message: Outgoing) -> Outcome:
        return InDoubt("no answer")

    first, second = Carrier("first", answer=doubt, window=4), Carrier("second")
    async with running(a_lane(database, first, second)):
        await until_async(lambda: _closed(database, made))

    assert set(await words_of(database, made)) == {"accepted"}
    assert len(set(first.addresses)) == len(first.addresses)
    assert set(first.addresses) <= set(second.addresses)
    assert len(second.addresses) == 30


async def test_a_carrier_that_never_answers_delays_neither_the_second_carrier_nor_the_next_batch(
    database: Database,
) -> None:
    await a_campaign(database, 200, batch_size=20)

    async def never(message: Outgoing) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    silent, second = Carrier("silent", never, window=10), Carrier("second")
    loop = asyncio.get_running_loop()
    started = loop.time()
    lane = a_lane(database, silent, second, batches_at_once=2)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(lane.run())
        await until(lambda: len(second.handed) + len(silent.handed) == 200, 10)
        task.cancel()

    assert len(silent.handed) <= 10
    assert second.handed[0][0] - started < 1.0
    assert not set(second.addresses) & set(silent.addresses)


async def test_after_a_stop_nothing_beyond_the_window_that_was_granted_leaves(database: Database) -> None:
    made = await a_campaign(database, 400)
    carrier = Carrier()

    async with running(a_lane(database, carrier, rate_per_s=100)):
        await until(lambda: len(carrier.handed) >= 10)
        await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))
        stopped_at = asyncio.get_running_loop().time()
        await asyncio.sleep(0.8)
        handed = len(carrier.handed)
        await asyncio.sleep(0.4)

    assert len(carrier.handed) == handed
    assert max(at for at, _ in carrier.handed) - stopped_at < 0.5
    while await database.write(campaign_steps.close_ended):
        pass
    words = await words_of(database, made)
    assert words.count("accepted") == handed
    assert words.count("cancelled") == 400 - handed


async def test_a_hold_stops_the_lane_and_its_end_lets_it_go_on_without_a_double(database: Database) -> None:
    made = await a_campaign(database, 100)
    carrier = Carrier()

    async with running(a_lane(database, carrier, rate_per_s=200)):
        await until(lambda: len(carrier.handed) >= 10)
        await database.write(lambda tx: holds.place(tx, "channel", "sms", "test", "test"))
        await asyncio.sleep(0.6)
        handed = len(carrier.handed)
        await asyncio.sleep(0.3)
        assert len(carrier.handed) == handed < 100
        await database.write(lambda tx: holds.lift(tx, "channel", "sms"))
        await until_async(lambda: _all(database, made, "accepted"))

    assert sorted(carrier.addresses) == sorted(p.addresses["sms"] for p in made.town.people)


async def test_beside_a_held_carrier_the_lane_goes_on_with_the_others(database: Database) -> None:
    made = await a_campaign(database, 200)
    first, second = Carrier("first"), Carrier("second")

    async with running(a_lane(database, first, second, rate_per_s=200)):
        await until(lambda: len(first.handed) >= 10)
        await database.write(lambda tx: holds.place(tx, "carrier", "first", "test", "test"))
        held_at = asyncio.get_running_loop().time()
        await until_async(lambda: _all(database, made, "accepted"))

    assert max(at for at, _ in first.handed) - held_at < 0.5
    assert second.handed
    assert sorted([*first.addresses, *second.addresses]) == sorted(p.addresses["sms"] for p in made.town.people)
    assert {row.attempts for row in await rows_of(database, made)} == {1}


async def test_a_carrier_is_held_on_every_node(store_url: str) -> None:
    async with open_database(store_url) as here, open_database(store_url) as there:
        made = await a_campaign(here, 400, batch_size=20)
        held = [Carrier("first"), Carrier("first")]
        lanes = [
            a_lane(database, first, Carrier("second"), rate_per_s=100, batches_at_once=1)
            for database, first in zip((here, there), held, strict=True)
        ]

        async with running(*lanes):
            await until(lambda: all(carrier.handed for carrier in held))
            await here.write(lambda tx: holds.place(tx, "carrier", "first", "test", "test"))
            held_at = asyncio.get_running_loop().time()
            await until_async(lambda: _all(here, made, "accepted"), 20)

        assert max(at for carrier in held for at, _ in carrier.handed) - held_at < 0.5


async def test_where_the_only_carrier_is_held_messages_wait_and_go_when_it_is_let_go(database: Database) -> None:
    made = await a_campaign(database, 100)
    carrier = Carrier()
    lane = a_lane(database, carrier, rate_per_s=200)

    async with running(lane), ticking(database):
        await until(lambda: len(carrier.handed) >= 10)
        await database.write(lambda tx: holds.place(tx, "carrier", "one", "test", "test"))
        await until(lambda: lane.carriers.any_held and not lane.batches_held)
        handed = len(carrier.handed)
        assert handed < 100
        words = await words_of(database, made)
        # A slot that a busy machine has missed makes a message known not sent: it is to be retried.
        assert (words.count("accepted"), words.count("queued") + words.count("retry")) == (handed, 100 - handed)
        await database.write(lambda tx: holds.lift(tx, "carrier", "one"))
        await until_async(lambda: _all(database, made, "accepted"))

    assert sorted(carrier.addresses) == sorted(p.addresses["sms"] for p in made.town.people)
    assert {row.attempts for row in await rows_of(database, made)} == {1}


async def test_an_urgent_campaign_goes_before_the_rest_of_a_newsletter_within_a_window(database: Database) -> None:
    town = await a_town(database, 1000)
    news = await a_campaign(database, town, kind="news", priority=3, crash_policy="report")
    carrier = Carrier()

    async with running(a_lane(database, carrier, rate_per_s=400, batches_at_once=1)):
        await until(lambda: len(carrier.handed) >= 50)
        urgent = await a_campaign(database, 5)
        launched_at = asyncio.get_running_loop().time()
        await until_async(lambda: _all(database, urgent, "accepted"))

    wanted = {p.addresses["sms"] for p in urgent.town.people}
    last = max(at for at, message in carrier.handed if message.address in wanted)
    assert last - launched_at < 1.5
    assert "queued" in await words_of(database, news)


async def test_an_urgent_campaign_waits_for_no_permit_only_for_slots_that_are_granted(database: Database) -> None:
    town = await a_town(database, 1000)
    await a_campaign(database, town, kind="news", priority=3, crash_policy="report", batch_size=100)
    carrier = Carrier()
    lane = a_lane(database, carrier, rate_per_s=200, batches_at_once=2)

    async with running(lane):
        await until(lambda: len(carrier.handed) >= 50 and lane.batches_held == 2)
        urgent = await a_campaign(database, 5)
        already = len(carrier.handed)
        lane.bell.ring()
        await until_async(lambda: _all(database, urgent, "accepted"))

    wanted = {p.addresses["sms"] for p in urgent.town.people}
    first = next(n for n, address in enumerate(carrier.addresses) if address in wanted)
    # A window of slots, and what the lane took to see the bell.
    assert first - already <= 0.25 * 200 + 10


async def test_an_urgent_campaign_has_all_the_slots_until_its_last_message(database: Database) -> None:
    town = await a_town(database, 1000)
    await a_campaign(database, town, kind="news", priority=3, crash_policy="report", batch_size=100)
    carrier = Carrier()

    async with running(a_lane(database, carrier, rate_per_s=200)):
        await until(lambda: len(carrier.handed) >= 50)
        urgent = await a_campaign(database, 120)
        await until_async(lambda: _all(database, urgent, "accepted"))

    wanted = {p.addresses["sms"] for p in urgent.town.people}
    places = [n for n, address in enumerate(carrier.addresses) if address in wanted]
    between = places[-1] - places[0] + 1 - len(places)
    # What was granted before the urgent campaign was there, a quarter of a second of slots, leaves all the same.
    assert between <= 0.25 * 200 + 1


async def test_throttling_rests_the_message_and_loses_none(database: Database) -> None:
    made = await a_campaign(database, 30)
    seen: set[str] = set()

    async def answer(message: Outgoing) -> Outcome:
        if message.address in seen:
            return Accepted((message.reference,))
        seen.add(message.address)
        return Throttled(0.05)

    carrier = Carrier(answer=answer)
    async with running(a_lane(database, carrier)):
        await until_async(lambda: _all(database, made, "accepted"))

    assert {row.attempts for row in await rows_of(database, made)} == {1}


async def test_a_fault_of_ours_in_an_answer_gives_its_batch_up_and_the_carrier_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await a_campaign(database, 4, crash_policy="report")
    good = await a_campaign(database, 4, crash_policy="report")
    known = results.settlement

    def broken(delivery_id: int, *args: object, **kwargs: object) -> object:
        if campaign_of(delivery_id) == bad.id:
            raise KeyError("a bug")
        return known(delivery_id, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(results, "settlement", broken)
    async with running(a_lane(database, Carrier())):
        await until_async(lambda: _all(database, good, "accepted"))
        await until_async(lambda: _all(database, bad, "unknown"))


async def test_a_carrier_that_raises_leaves_its_messages_in_doubt_and_the_lane_alive(database: Database) -> None:
    made = await a_campaign(database, 4, crash_policy="report")

    class Broken(Carrier):
        def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
            raise RuntimeError("a bug")

    async with running(a_lane(database, Broken())):
        await until_async(lambda: _all(database, made, "unknown"))


async def test_one_row_that_breaks_its_worker_is_quarantined_and_the_others_are_sent(database: Database) -> None:
    made = await a_campaign(database, 16)
    poison = made.town.people[11].addresses["sms"]
    carrier = Carrier()
    lane = a_lane(database, carrier)
    prepare = lane.prepare

    async def breaking(batch):  # type: ignore[no-untyped-def]
        if any(row.address == poison for row in batch.rows):
            raise ValueError("this row cannot be made ready")
        return await prepare(batch)

    lane.prepare = breaking
    async with running(lane):
        await until_async(lambda: _quarantined(database, made), 30)

    rows = await rows_of(database, made)
    assert [row.code for row in rows if row.address == poison] == ["quarantined"]
    assert sorted(carrier.addresses) == sorted(row.address for row in rows if row.address != poison)


async def test_a_stop_of_the_lane_leaves_nothing_leased_and_nothing_in_doubt(database: Database) -> None:
    made = await a_campaign(database, 500, batch_size=100)
    carrier = Carrier()

    async with running(a_lane(database, carrier, rate_per_s=300)):
        await until(lambda: len(carrier.handed) >= 40)

    words = await words_of(database, made)
    assert words.count("accepted") == len(carrier.handed)
    # A slot that a busy machine has missed makes a message known not sent: it is to be retried.
    assert words.count("queued") + words.count("retry") == 500 - len(carrier.handed)
    assert 1 not in {b.state for b in await batches_of(database, made)}


async def test_a_lane_whose_lease_was_taken_sends_nothing_more_and_keeps_its_facts(database: Database) -> None:
    made = await a_campaign(database, 200, crash_policy="report")
    carrier = Carrier()
    may_claim = True

    async with running(a_lane(database, carrier, rate_per_s=100, room_on_disk=lambda: may_claim)):
        await until(lambda: len(carrier.handed) >= 10)
        may_claim = False  # or it might have it again before the other
        taken = None
        while taken is None:  # a batch whose fence is being asked just now is passed over
            await database.write(recovery.end_all_leases)
            await database.write(recovery.recover)
            taken = await claim(database, node="another")
        await asyncio.sleep(0.8)  # what was granted before has left
        handed = len(carrier.handed)
        await asyncio.sleep(0.3)
        assert len(carrier.handed) == handed < 200

    words = await words_of(database, made)
    assert words.count("accepted") == handed


@pytest.mark.parametrize("first_ends", ["first", "last"])
async def test_a_lane_that_claims_a_batch_again_keeps_the_facts_of_both_its_claims(
    database: Database, first_ends: str
) -> None:
    """The store stood still past the lease: answers of the first claim are awaited while the second one sends."""
    made = await a_campaign(database, 60, crash_policy="resend")
    everybody = {row.address for row in await rows_of(database, made)}
    answered: set[str] = set()
    may_claim = True

    def claim_of(message: Outgoing) -> str:
        """What a claim has handed over bears its permission."""
        return "first" if message.permission is carrier.handed[0][1].permission else "last"

    async def told(message: Outgoing) -> Outcome:
        await until(lambda: claim_of(message) in answered, 60)
        return Accepted((f"id-{message.reference}",))

    async def in_doubt() -> set[str]:
        return {row.address for row in await rows_of(database, made) if row.state == DeliveryState.UNKNOWN}

    async def facts_of_the_one_that_ends_are_kept() -> bool:
        kept = {row.address for row in await rows_of(database, made) if row.state == DeliveryState.ACCEPTED}
        return kept >= {message.address for _, message in carrier.handed if claim_of(message) == first_ends}

    carrier = Carrier(answer=told)
    lane = a_lane(database, carrier, rate_per_s=100, resend_wait_ms=60_000, room_on_disk=lambda: may_claim)
    async with running(lane):
        await until(lambda: len(carrier.handed) >= 10)
        may_claim = False
        await database.write(recovery.end_all_leases)
        await database.write(recovery.recover)
        # What had a slot of the first claim and misses it is free again only when nobody holds the batch any more.
        of_the_first = await in_doubt()
        may_claim = True
        lane.bell.ring()
        await until(lambda: everybody <= of_the_first | set(carrier.addresses))
        answered.add(first_ends)
        await until_async(facts_of_the_one_that_ends_are_kept)
        answered.update(("first", "last"))
        await until_async(lambda: _all(database, made, "accepted"))

    assert len(set(carrier.addresses)) == len(carrier.addresses) == 60


async def test_nothing_is_claimed_while_the_disk_is_full(database: Database) -> None:
    made = await a_campaign(database, 5)
    room = False
    carrier = Carrier()

    async with running(a_lane(database, carrier, room_on_disk=lambda: room)):
        await asyncio.sleep(0.4)
        assert carrier.handed == []
        room = True
        await until_async(lambda: _all(database, made, "accepted"))


async def test_with_no_carrier_up_nothing_is_lost_and_it_goes_when_one_comes_back(database: Database) -> None:
    made = await a_campaign(database, 30)
    carrier = Carrier()
    lane = a_lane(database, carrier, rate_per_s=100)

    async with running(lane):
        await until(lambda: len(carrier.handed) >= 5)
        carrier.up = False
        await asyncio.sleep(1.5)
        carrier.up = True
        await until_async(lambda: _all(database, made, "accepted", tick_too=True), 10)

    assert sorted(carrier.addresses) == sorted(p.addresses["sms"] for p in made.town.people)


async def test_a_long_sms_takes_the_slots_of_all_its_segments(database: Database) -> None:
    made = await a_campaign(database, 20, units=3)
    carrier = Carrier()

    async with running(a_lane(database, carrier, rate_per_s=100, text="Water! " * 60)):
        await until_async(lambda: _all(database, made, "accepted"))

    instants = sorted(instant for _, message in carrier.handed for instant in message.due)
    assert len(instants) == 60
    # Late by the answer's way back at most, so a window may begin nearer to the last one than a spacing: by the guard.
    busiest = max(sum(1 for b in instants if a <= b < a + 0.2) for a in instants)
    assert busiest <= 21 + 5
    assert instants[-1] - instants[0] > 0.59 - 0.05


# ---- what the tests ask ------------------------------------------------------------------------------------------


async def _all(database: Database, made, word: str, *, tick_too: bool = False) -> bool:  # type: ignore[no-untyped-def]
    if tick_too:
        await tick(database)
    return set(await words_of(database, made)) == {word}


async def _words(database: Database, made, words: list[str], *, tick_too: bool) -> bool:  # type: ignore[no-untyped-def]
    if tick_too:
        await tick(database)
    return await words_of(database, made) == words


async def _closed(database: Database, made) -> bool:  # type: ignore[no-untyped-def]
    await tick(database)
    async with database.read() as conn:
        row = (await conn.execute(campaign.select().where(campaign.c.id == made.id))).one()
    return row.state == CampaignState.COMPLETED


async def _quarantined(database: Database, made) -> bool:  # type: ignore[no-untyped-def]
    await tick(database)
    words = await words_of(database, made)
    return words.count("accepted") == 15 and words.count("failed") == 1
