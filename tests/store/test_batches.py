"""The queue and the fence: who is next, what may leave, and how a batch comes back."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from store.campaigns import campaign_steps, launching
from store.campaigns import reading as campaigns
from store.engine.database import open_database
from store.outbox import batches, expansion, fence, holds, recovery, settling
from store.outbox.ceilings import Ceiling
from store.outbox.fence import Fence, Grant, OpenCarrier
from store.outbox.records import Settlement
from store.outbox.resending import Resending
from store.states import BatchState, DeliveryEvent, DeliveryState
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close

DONE, WAITING, READY, LEASED = BatchState.DONE, BatchState.WAITING, BatchState.READY, BatchState.LEASED


async def assert_sound(database, *campaigns):
    async with database.read() as conn:
        for made in campaigns:
            await assert_sums_close(conn, made.id)
            await assert_no_one_is_forgotten(conn, made.id)


async def place(database, scope, subject=""):
    await database.write(lambda tx: holds.place(tx, scope, str(subject), "storm", "op"))


async def lift(database, scope, subject=""):
    await database.write(lambda tx: holds.lift(tx, scope, str(subject)))


# ---- claim -----------------------------------------------------------------------------------------------


async def test_a_claimed_batch_brings_its_rows_in_order_with_what_a_carrier_needs(database):
    made = await make.a_campaign(database, 5, units=3)

    held = await make.must_claim(database)

    assert make.ids_of(held) == list(made.ids["sms"])
    assert [r.address for r in held.rows] == [p.addresses["sms"] for p in made.town.people]
    assert {(r.language, r.units, r.attempts) for r in held.rows} == {("nl", 3, 0)}
    assert held.rows[0].name.startswith("Zoë")
    assert (held.campaign_id, held.channel, held.mode, held.priority) == (made.id, "sms", "live", 0)


async def test_a_batch_is_claimed_advanced_settled_and_done(database):
    made = await make.a_campaign(database, 5)

    held = await make.must_claim(database)
    grant = await make.advance(database, held)
    state = await make.give_back(database, held, make.accepted(make.ids_of(held)))

    assert isinstance(grant, Grant)
    assert (grant.carrier, grant.slots.messages) == ("c1", 5)
    assert state is DONE
    assert await make.words_of(database, made) == ["accepted"] * 5
    assert await make.claim(database) is None
    await assert_sound(database, made)


async def test_the_lowest_priority_number_goes_first_whoever_came_first(database):
    news = await make.a_campaign(database, 4, priority=2)
    alert = await make.a_campaign(database, 4, priority=0)

    order = []
    for _ in range(2):
        held = await make.must_claim(database)
        await make.advance(database, held)
        order.append(held.campaign_id)

    assert order == [alert.id, news.id]


async def test_a_small_newsletter_does_not_wait_behind_the_whole_of_a_big_one(database):
    big = await make.a_campaign(database, 200, priority=2, batch_size=10)
    small = await make.a_campaign(database, 20, priority=2, batch_size=10)

    order = [(await make.must_claim(database)).campaign_id for _ in range(22)]

    assert order.index(small.id) <= 2
    assert order[:6].count(small.id) == 2
    assert order.count(big.id) == 20


async def test_who_comes_when_a_big_one_is_half_done_goes_next_and_not_before_all_that_went(database):
    big = await make.a_campaign(database, 200, priority=2, batch_size=10)
    for _ in range(10):
        await make.sent(database)
    small = await make.a_campaign(database, 40, priority=2, batch_size=10)

    order = [(await make.must_claim(database)).campaign_id for _ in range(8)]

    assert order.count(small.id) == 4, "half of the batches from now on, not all of them at once"
    assert order[:4].count(big.id) >= 1


async def test_one_zone_gets_no_more_by_cutting_its_news_into_many_campaigns(database):
    town, other = await make.a_town(database, 40), await make.a_town(database, 40)
    many = [await make.a_campaign(database, town, priority=2, batch_size=10) for _ in range(4)]
    one = await make.a_campaign(database, other, priority=2, batch_size=10)

    order = [(await make.must_claim(database)).campaign_id for _ in range(20)]

    assert order[:8].count(one.id) == 4
    assert len(many) == 4


async def test_a_campaign_not_yet_expanded_counts_for_its_zone_as_well(database):
    town, other = await make.a_town(database, 40), await make.a_town(database, 40)
    first = await make.a_campaign(database, town, priority=2, expand=False)
    await make.a_campaign(database, town, priority=2, batch_size=10)
    one = await make.a_campaign(database, other, priority=2, batch_size=10)
    await make.expand_all(database, first, batch_size=10)

    order = [(await make.must_claim(database)).campaign_id for _ in range(12)]

    assert order[:8].count(one.id) == 4


async def test_a_zone_with_twice_the_weight_gets_twice_the_share(database):
    light = await make.a_campaign(database, 60, priority=2, batch_size=10, weight=1)
    heavy = await make.a_campaign(database, 60, priority=2, batch_size=10, weight=2)

    order = [(await make.must_claim(database)).campaign_id for _ in range(6)]

    assert (order.count(light.id), order.count(heavy.id)) == (2, 4)


async def test_no_batch_is_claimed_twice_by_workers_who_want_it_at_once(store_url, engine):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_database(store_url))
        second = await stack.enter_async_context(open_database(store_url)) if engine == "postgresql" else first
        made = await make.a_campaign(first, 60, batch_size=2)

        nodes = [(first, "n1"), (second, "n2")]
        found = await asyncio.gather(*(make.claim(d, node=n) for _ in range(20) for d, n in nodes))

    held = [b for b in found if b is not None]
    assert len({b.id for b in held}) == len(held) == 30
    assert sorted(r.id for b in held for r in b.rows) == list(made.ids["sms"])


@pytest.mark.parametrize("scope", ["all", "channel", "zone", "campaign"])
async def test_what_is_held_is_not_claimed_until_the_hold_is_lifted(database, scope):
    made = await make.a_campaign(database, 3)
    subject = {"all": "", "channel": "sms", "zone": made.town.zone_id, "campaign": made.id}[scope]
    await place(database, scope, subject)
    await place(database, scope, subject)

    assert await make.claim(database) is None
    await lift(database, scope, subject)
    assert (await make.must_claim(database)).campaign_id == made.id


async def test_a_hold_of_something_else_holds_nothing(database):
    made = await make.a_campaign(database, 3)
    others = (("zone", made.town.zone_id + 1000), ("campaign", made.id + 1000), ("carrier", "another"))
    for scope, subject in (("channel", "email"), *others):
        await place(database, scope, subject)

    held = await make.must_claim(database)
    grant = await make.advance(database, held)
    assert isinstance(grant, Grant)
    assert grant.slots.messages == 3


async def test_a_held_zone_does_not_stop_the_zone_behind_it(database):
    first = await make.a_campaign(database, 3)
    second = await make.a_campaign(database, 3)
    await place(database, "zone", first.town.zone_id)

    assert (await make.must_claim(database)).campaign_id == second.id


async def test_a_lane_sees_its_own_channel_and_mode_only(database):
    live = await make.a_campaign(database, 3, channels=("sms", "email"))
    simulated = await make.a_campaign(database, 3, mode="simulation")

    assert await make.claim(database, "voice") is None
    assert await make.claim(database, "email", mode="simulation") is None
    assert (await make.must_claim(database, mode="simulation")).campaign_id == simulated.id
    assert await make.claim(database, mode="simulation") is None
    held = await make.must_claim(database, "email")
    assert (held.campaign_id, make.ids_of(held)) == (live.id, list(live.ids["email"]))


async def test_a_claim_starts_a_round_and_has_a_higher_fencing_token_than_any_before(database):
    await make.a_campaign(database, 3)

    first = await make.must_claim(database)
    await make.give_back(database, first)
    second = await make.must_claim(database)

    assert second.id == first.id
    assert (second.round, second.lease) == (first.round + 1, first.lease + 1)


async def test_a_claim_brings_only_what_is_still_to_be_sent(database):
    made = await make.a_campaign(database, 4)
    ids = made.ids["sms"]
    held = await make.must_claim(database)
    await make.advance(database, held)
    settled = [
        *make.accepted(ids[:1]),
        *make.happened(ids[1:2], DeliveryEvent.REFUSED),
        *make.happened(ids[2:3], DeliveryEvent.DEFERRED),
    ]
    await make.give_back(database, held, settled, retry_in_ms=-1)

    assert make.ids_of(await make.must_claim(database)) == [ids[2], ids[3]]


async def test_a_person_whose_register_entry_is_gone_still_gets_the_message(database):
    made = await make.a_campaign(database, 1, expand=False)
    entry = made.entries["sms"][0]
    ghost = expansion.AudienceEntry(entry.seq, 999_999_999, entry.contact_id, entry.language)
    await database.write(lambda tx: expansion.expand(tx, made.id, "sms", [ghost], batch_size=10))

    (row,) = (await make.must_claim(database)).rows

    assert (row.name, row.address) == ("", made.town.people[0].addresses["sms"])


# ---- the fence -------------------------------------------------------------------------------------------


async def test_the_cursor_moves_no_further_than_the_slots(database):
    made = await make.a_campaign(database, 50)
    slow = OpenCarrier("c1", (Ceiling("slow", 20, 1, 0.0),), 1000)
    held = await make.must_claim(database)

    grant = await make.advance(database, held, carriers=[slow])

    assert grant.slots.messages == 6, "250 ms at 20 a second"
    assert (await make.batch_row(database, held.id)).cursor == made.ids["sms"][5]
    again = await make.advance(database, held, skip=6, carriers=[slow])
    assert again.slots.messages == (again.now_us - grant.now_us) // 50_000, "one more for every slot that has passed"
    assert (await make.batch_row(database, held.id)).cursor == made.ids["sms"][5 + again.slots.messages]


async def test_the_cursor_moves_no_further_than_the_carriers_window(database):
    made = await make.a_campaign(database, 10, units=2)
    held = await make.must_claim(database)

    grant = await make.advance(database, held, carriers=[OpenCarrier("c1", (make.WIDE,), 7)])

    assert (grant.slots.messages, grant.slots.units) == (3, 6)
    assert (await make.batch_row(database, held.id)).cursor == made.ids["sms"][2]


async def test_a_message_longer_than_the_window_goes_alone(database):
    await make.a_campaign(database, 3, units=9)
    held = await make.must_claim(database)

    assert (await make.advance(database, held, carriers=[OpenCarrier("c1", (make.WIDE,), 4)])).slots.messages == 1
    assert (
        await make.advance(database, held, skip=1, carriers=[OpenCarrier("c1", (make.WIDE,), 0)])
    ).slots.messages == 0


async def test_what_looks_for_another_carrier_is_granted_before_what_was_not_sent_yet(database):
    made = await make.a_campaign(database, 10)
    held = await make.must_claim(database)
    await make.advance(database, held, 4)
    four = OpenCarrier("c2", (Ceiling("c2", 13, 1, 0.0),), 1000)

    grant = await make.advance(database, held, skip=4, again=[1, 1, 1], carriers=[four])

    assert (grant.carrier, grant.slots.messages) == ("c2", 4)
    assert (await make.batch_row(database, held.id)).cursor == made.ids["sms"][4], "three again, one ahead"


async def test_a_grant_for_what_is_sent_again_alone_leaves_the_cursor_where_it_is(database):
    made = await make.a_campaign(database, 10)
    held = await make.must_claim(database)
    await make.advance(database, held, 4)

    grant = await make.advance(database, held, skip=4, again=[2, 2], carriers=[OpenCarrier("c2", (make.WIDE,), 3)])

    assert (grant.slots.messages, grant.slots.units) == (1, 2)
    assert (await make.batch_row(database, held.id)).cursor == made.ids["sms"][3]


async def test_the_first_carrier_in_order_that_has_slots_is_taken(database):
    await make.a_campaign(database, 10)
    held = await make.must_claim(database)
    carriers = [OpenCarrier("c1", (Ceiling("one", 1, 1, 0.0),), 100), OpenCarrier("c2", (make.WIDE,), 100)]

    granted = [await make.advance(database, held, 1, skip=n, carriers=carriers) for n in range(3)]

    assert [g.carrier for g in granted] == ["c1", "c2", "c2"]


async def test_without_a_way_out_nothing_is_granted(database):
    await make.a_campaign(database, 3)
    held = await make.must_claim(database)

    grant = await make.advance(database, held, carriers=[])

    assert (grant.carrier, grant.slots.messages) == ("", 0)


async def end(database, made, state):
    await database.write(lambda tx: launching.end_campaigns(tx, [(made.id, state)]))


async def assert_fenced(database, held, fence):
    before = (await make.batch_row(database, held.id)).cursor
    assert await make.advance(database, held, skip=2) is fence
    assert (await make.batch_row(database, held.id)).cursor == before, "nothing beyond the cursor may leave"


@pytest.mark.parametrize("state", ["cancelled", "superseded", "stopped"])
async def test_after_a_cancel_an_update_or_a_stop_nothing_beyond_the_cursor_leaves(database, state):
    made = await make.a_campaign(database, 10)
    held = await make.must_claim(database)
    await make.advance(database, held, 2)

    if state == "stopped":
        assert await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))
    else:
        await end(database, made, state)

    await assert_fenced(database, held, Fence.ENDED)
    assert await make.give_back(database, held, make.accepted(make.ids_of(held)[:2])) is READY
    assert await make.claim(database) is None
    await assert_sound(database, made)


@pytest.mark.parametrize("scope", ["all", "channel", "zone", "campaign"])
async def test_a_hold_stops_the_cursor_and_lifting_it_lets_it_go_on(database, scope):
    made = await make.a_campaign(database, 10)
    held = await make.must_claim(database)
    await make.advance(database, held, 2)
    subject = {"all": "", "channel": "sms", "zone": made.town.zone_id, "campaign": made.id}[scope]

    await place(database, scope, subject)

    await assert_fenced(database, held, Fence.HELD)
    await lift(database, scope, subject)
    assert isinstance(await make.advance(database, held, skip=2), Grant)


async def test_beside_a_held_carrier_the_next_one_is_granted(database):
    await make.a_campaign(database, 10)
    held = await make.must_claim(database)
    await place(database, "carrier", "c1")
    both = (make.WIDE_CARRIER, OpenCarrier("c2", (make.WIDE,), 100_000))

    grant = await make.advance(database, held, carriers=both)

    assert (grant.carrier, grant.slots.messages, grant.held) == ("c2", 10, {"c1"})


async def test_what_has_no_carrier_but_a_held_one_waits_and_nothing_is_counted(database):
    made = await make.a_campaign(database, 10)
    held = await make.must_claim(database)
    await make.advance(database, held, 2)
    await place(database, "carrier", "c1")

    for again in ((), (1, 1)):
        grant = await make.advance(database, held, skip=2, again=again)
        assert (grant.slots.messages, grant.held) == (0, {"c1"})
    await make.give_back(database, held, make.accepted(make.ids_of(held)[:2]), rest_in_ms=0)

    await assert_sound(database, made)
    assert await make.words_of(database, made) == ["accepted"] * 2 + ["queued"] * 8
    assert [row.attempts for row in await make.rows_of(database, made)] == [1] * 2 + [0] * 8
    await lift(database, "carrier", "c1")
    await make.tick(database)
    grant = await make.advance(database, await make.must_claim(database))
    assert (grant.slots.messages, grant.held) == (8, frozenset())


async def test_what_has_expired_does_not_leave(database):
    await make.a_campaign(database, 10, lasts_ms=-1)
    held = await make.must_claim(database)

    await assert_fenced(database, held, Fence.EXPIRED)


async def test_who_has_lost_the_lease_sends_nothing(database):
    await make.a_campaign(database, 10)
    held = await make.must_claim(database, lease_ms=-1)

    await assert_fenced(database, held, Fence.LOST)


async def test_who_was_thought_dead_sends_nothing_even_when_the_batch_is_leased_again(database):
    await make.a_campaign(database, 10)
    first = await make.must_claim(database, lease_ms=-1)
    await database.write(recovery.recover)
    second = await make.must_claim(database)

    assert second.id == first.id
    await assert_fenced(database, first, Fence.LOST)
    assert isinstance(await make.advance(database, second), Grant)
    assert await make.give_back(database, first) is None, "only the holder may close"


async def test_a_heartbeat_keeps_what_is_ours_and_says_what_is_not(database):
    await make.a_campaign(database, 10, batch_size=5)
    lost = await make.must_claim(database, lease_ms=-1)
    await database.write(recovery.recover)
    again = await make.must_claim(database)
    kept = await make.must_claim(database, lease_ms=1000)

    ours = await database.write(lambda tx: batches.renew(tx, [lost, again, kept], 3_600_000))

    assert lost.id == again.id
    assert ours == {again.claim, kept.claim}
    assert (await make.batch_row(database, kept.id)).due_ms > await make.now_ms(database) + 3_000_000


async def test_an_advance_renews_the_lease(database):
    await make.a_campaign(database, 3)
    held = await make.must_claim(database, lease_ms=5_000)

    await make.advance(database, held, lease_ms=3_600_000)

    assert (await make.batch_row(database, held.id)).due_ms > await make.now_ms(database) + 3_000_000


async def test_beside_an_urgent_batch_with_something_left_to_send_nothing_else_begins_or_goes_on(database):
    news = await make.a_campaign(database, 4, priority=3, batch_size=2)
    held = await make.must_claim(database)
    urgent = await make.a_campaign(database, 3, priority=0)
    sending = await make.must_claim(database)
    assert (held.campaign_id, sending.campaign_id) == (news.id, urgent.id)

    assert await make.claim(database) is None
    granted = await make.advance(database, held)
    assert (granted.urgent_waits, granted.slots.messages) == (True, 0)
    await make.advance(database, sending, 2)
    assert await make.claim(database) is None
    await make.advance(database, sending, skip=2)

    assert (await make.advance(database, held)).slots.messages == 2
    assert (await make.must_claim(database)).campaign_id == news.id


async def test_the_last_that_is_to_be_sent_again_is_the_end_of_its_batch(database):
    urgent = await make.a_campaign(database, 5, priority=0)
    held = await make.must_claim(database)
    await make.advance(database, held)
    first, *others = urgent.ids["sms"]
    await make.give_back(
        database, held, [Settlement(first, DeliveryEvent.NOT_SENT), *make.accepted(others)], retry_in_ms=-1
    )
    news = await make.a_campaign(database, 2, priority=3)
    await make.tick(database)
    again = await make.must_claim(database)
    assert make.ids_of(again) == [first]
    assert await make.claim(database) is None

    await make.advance(database, again)

    assert (await make.must_claim(database)).campaign_id == news.id
    await assert_sound(database, urgent)


async def test_a_lane_learns_at_the_next_window_that_something_more_urgent_waits(database):
    await make.a_campaign(database, 10, priority=2)
    held = await make.must_claim(database)
    assert (await make.advance(database, held, 2)).urgent_waits is False

    urgent = await make.a_campaign(database, 2, priority=0, starts_in_ms=0)

    assert (await make.advance(database, held, 2, skip=2)).urgent_waits is True
    await place(database, "campaign", urgent.id)
    assert (await make.advance(database, held, 2, skip=4)).urgent_waits is False, "what is held does not wait"


@pytest.mark.parametrize(
    "other", [{"mode": "simulation", "priority": 0}, {"channels": ("email",), "priority": 0}, {"priority": 2}]
)
async def test_a_lane_gives_way_only_to_more_urgent_work_of_its_own(database, other):
    await make.a_campaign(database, 10, priority=2)
    held = await make.must_claim(database)
    await make.a_campaign(database, 2, **other)

    assert (await make.advance(database, held, 2)).urgent_waits is False


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)], indirect=True)
async def test_whoever_ends_a_campaign_waits_for_the_cursor_that_is_on_its_way(store_url):
    """Else a Cancel would read who has the message before the last cursor of the alert is there to be read."""
    async with open_database(store_url) as worker, open_database(store_url) as desk:
        made = await make.a_campaign(desk, 3)
        held = await make.must_claim(worker)
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow_advance(tx):
            grant = await fence.advance(
                tx, held, again=(), ahead=held.rows, carriers=[make.WIDE_CARRIER], horizon_ms=250, lease_ms=60_000
            )
            asked.set()
            await go_on.wait()
            return grant

        advancing = asyncio.create_task(worker.write(slow_advance))
        await asyncio.wait_for(asked.wait(), 5)
        ending = asyncio.create_task(end(desk, made, "cancelled"))
        await asyncio.sleep(0.1)
        assert not ending.done()
        go_on.set()
        await asyncio.wait_for(asyncio.gather(advancing, ending), 5)

        assert (await make.batch_row(desk, held.id)).cursor == made.ids["sms"][-1]


# ---- settle ----------------------------------------------------------------------------------------------


async def test_facts_are_kept_when_the_lease_was_lost_meanwhile(database):
    made = await make.a_campaign(database, 4, crash_policy="report")
    held = await make.must_claim(database, lease_ms=-1)
    await database.write(
        lambda tx: fence.advance(
            tx, held, again=(), ahead=held.rows, carriers=[make.WIDE_CARRIER], horizon_ms=250, lease_ms=-1
        )
    )
    ids = made.ids["sms"]
    await database.write(recovery.recover)

    await make.settle(database, held, make.accepted(ids[:2]))

    assert (await make.words_of(database, made))[:2] == ["accepted"] * 2
    await assert_sound(database, made)


async def test_who_turns_out_not_to_have_been_sent_after_all_is_sent_then(database):
    """A frozen worker wakes: its batch is done without it, and it knows that it had not written a byte."""
    made = await make.a_campaign(database, 4, crash_policy="report")
    frozen = await make.must_claim(database, lease_ms=make.LEASE_MS)
    await make.advance(database, frozen, lease_ms=-1)
    await database.write(recovery.recover)
    other = await make.must_claim(database)
    assert other.rows == ()
    assert await make.give_back(database, other) is DONE
    await make.tick(database)
    assert await make.words_of(database, made) == ["unknown"] * 4

    await make.settle(database, frozen, make.happened(made.ids["sms"][:3], DeliveryEvent.NOT_SENT))
    await assert_sound(database, made)
    await make.tick(database)
    held = await make.must_claim(database)

    assert make.ids_of(held) == list(made.ids["sms"][:3])


async def test_who_turns_out_not_to_have_been_sent_is_sent_at_once_where_receipts_were_waited_for(database):
    """The same of a kind that is sent again: its batch waits for the receipts of whoever may have been told."""
    later = Resending(make.HOUR_MS, 3)
    made = await make.a_campaign(database, 4, crash_policy="resend")
    frozen = await make.must_claim(database, lease_ms=make.LEASE_MS)
    await make.advance(database, frozen, lease_ms=-1)
    await database.write(recovery.recover)
    other = await make.must_claim(database, resending=later)
    assert other.rows == ()
    assert await make.give_back(database, other, resending=later) is WAITING

    await make.settle(database, frozen, make.happened(made.ids["sms"][:3], DeliveryEvent.NOT_SENT))
    await assert_sound(database, made)
    held = await make.must_claim(database, resending=later)

    assert make.ids_of(held) == list(made.ids["sms"][:3])


# ---- giving back -----------------------------------------------------------------------------------------


async def given_back(database, events, *, crash_policy="resend", advanced=None, **options):
    """(state, the batch's row, campaign) after a batch of len(events) got these answers."""
    made = await make.a_campaign(database, len(events), crash_policy=crash_policy)
    held = await make.must_claim(database)
    await make.advance(database, held, len(events) if advanced is None else advanced)
    settled = [Settlement(i, e, "c1") for i, e in zip(made.ids["sms"], events, strict=True) if e is not None]
    state = await make.give_back(database, held, settled, **options)
    await assert_sound(database, made)
    return state, await make.batch_row(database, held.id), made


async def test_when_everything_is_answered_the_batch_is_done(database):
    state, row, _ = await given_back(database, [DeliveryEvent.ACCEPTED, DeliveryEvent.REFUSED, DeliveryEvent.EXHAUSTED])

    assert (state, row.state, row.node) == (DONE, DONE, None)


async def test_what_is_known_not_sent_waits_until_it_is_due_and_comes_back(database):
    state, row, made = await given_back(
        database, [DeliveryEvent.ACCEPTED, DeliveryEvent.NOT_SENT], retry_in_ms=make.HOUR_MS
    )
    assert state is WAITING
    assert row.due_ms > await make.now_ms(database)
    assert await make.words_of(database, made) == ["accepted", "retry"]
    await make.tick(database)
    assert await make.claim(database) is None

    other, _, later = await given_back(database, [DeliveryEvent.DEFERRED], retry_in_ms=-1)
    await make.tick(database)
    assert other is WAITING
    assert make.ids_of(await make.must_claim(database)) == list(later.ids["sms"])


async def put_off_and_gave_way(database, **options):
    """(held, campaign): the first of three was put off for an hour, and the lane gave way before the other two."""
    made = await make.a_campaign(database, 3, **options)
    held = await make.must_claim(database)
    await make.advance(database, held, 1)
    put_off = Settlement(made.ids["sms"][0], DeliveryEvent.DEFERRED, "c1", code="450", wait_ms=make.HOUR_MS)
    assert await make.give_back(database, held, [put_off]) is READY
    return await make.must_claim(database), made


async def test_what_was_put_off_waits_for_its_own_time_when_the_rest_of_its_batch_goes_on(database):
    held, made = await put_off_and_gave_way(database)
    others = list(made.ids["sms"][1:])
    assert make.ids_of(held) == others

    await make.advance(database, held)
    state = await make.give_back(database, held, make.accepted(others))

    assert state is WAITING
    row = await make.batch_row(database, held.id)
    assert make.HOUR_MS // 2 < row.due_ms - await make.now_ms(database) <= make.HOUR_MS
    assert (await make.rows_of(database, made))[0].attempts == 1
    await assert_sound(database, made)


@pytest.mark.parametrize("crash_policy", ["resend", "report"])
async def test_what_waits_for_its_time_is_not_in_hand_when_the_cursor_passes_over_it(database, crash_policy):
    held, made = await put_off_and_gave_way(database, crash_policy=crash_policy)
    await make.advance(database, held)
    await database.write(recovery.end_all_leases)

    [recovered] = await database.write(recovery.recover)

    assert recovered.unknown == 2
    assert await make.words_of(database, made) == ["retry", "unknown", "unknown"]
    await assert_sound(database, made)


async def test_what_one_carrier_put_off_has_that_one_as_its_last_way(database):
    made = await make.a_campaign(database, 2)
    held = await make.must_claim(database)
    await make.advance(database, held)
    answers = [
        Settlement(made.ids["sms"][0], DeliveryEvent.DEFERRED, "c1", code="450"),
        *make.accepted(made.ids["sms"][1:]),
    ]
    await make.give_back(database, held, answers)
    await make.tick(database)

    [row] = (await make.must_claim(database)).rows

    assert (row.id, row.last_way, row.attempts) == (made.ids["sms"][0], "c1", 1)


async def test_what_was_not_reached_is_ready_at_once(database):
    state, row, _ = await given_back(
        database, [DeliveryEvent.NOT_SENT, None, None], advanced=1, retry_in_ms=make.HOUR_MS
    )

    assert (state, row.due_ms) == (READY, None)


async def test_without_a_way_out_what_was_not_reached_rests(database):
    state, row, _ = await given_back(database, [DeliveryEvent.NOT_SENT, None], advanced=1, rest_in_ms=make.HOUR_MS)

    assert state is WAITING
    assert row.due_ms > await make.now_ms(database)
    await make.tick(database)
    assert await make.claim(database) is None


async def test_in_doubt_of_an_urgent_kind_is_sent_again_after_the_wait_for_receipts(database):
    state, row, made = await given_back(
        database, [DeliveryEvent.IN_DOUBT, DeliveryEvent.ACCEPTED], resending=make.PATIENT
    )
    assert state is WAITING
    assert row.due_ms > await make.now_ms(database) + make.HOUR_MS // 2
    await make.tick(database)
    assert await make.claim(database) is None

    other, _, urgent = await given_back(
        database, [DeliveryEvent.IN_DOUBT, DeliveryEvent.ACCEPTED], resending=make.AT_ONCE
    )
    await make.tick(database)
    held = await make.must_claim(database)
    assert other is WAITING
    assert make.ids_of(held) == [urgent.ids["sms"][0]]
    assert await make.words_of(database, urgent) == ["retry", "accepted"]
    assert await make.words_of(database, made) == ["unknown", "accepted"]
    await assert_sound(database, made, urgent)


async def test_in_doubt_of_any_other_kind_is_reported_and_never_sent_again(database):
    state, _, made = await given_back(database, [DeliveryEvent.IN_DOUBT, DeliveryEvent.ACCEPTED], crash_policy="report")
    await make.tick(database)

    assert state is DONE
    assert await make.claim(database) is None
    assert await make.words_of(database, made) == ["unknown", "accepted"]


async def test_a_receipt_that_comes_during_the_wait_spares_the_second_message(database):
    _, _, made = await given_back(database, [DeliveryEvent.IN_DOUBT], resending=make.AT_ONCE)
    await database.write(lambda tx: settling.apply(tx, make.happened(made.ids["sms"], DeliveryEvent.RECEIPT_DELIVERED)))
    await make.tick(database)

    held = await make.must_claim(database)

    assert held.rows == ()
    assert await make.give_back(database, held) is DONE
    assert await make.words_of(database, made) == ["delivered"]


async def test_in_doubt_is_sent_again_only_so_many_times_and_then_stays_in_doubt(database):
    made = await make.a_campaign(database, 1)
    twice = Resending(0, 2)
    states = []
    for _ in range(2):
        await make.tick(database)
        held = await make.must_claim(database, resending=twice)
        assert len(held.rows) == 1
        await make.advance(database, held)
        doubt = make.happened(make.ids_of(held), DeliveryEvent.IN_DOUBT)
        states.append(await make.give_back(database, held, doubt, resending=twice))

    assert states == [WAITING, DONE]
    assert await make.words_of(database, made) == ["unknown"]
    (row,) = await make.rows_of(database, made)
    assert (row.attempts, row.charged) == (2, 0)
    async with database.read() as conn:
        (counts,) = await campaigns.counts(conn, made.id)
    assert (counts.resent, counts.unknown) == (1, 1)


async def test_who_was_tried_often_enough_is_not_tried_again_with_the_others_of_the_batch(database):
    made = await make.a_campaign(database, 2)
    a, b = made.ids["sms"]
    once = Resending(0, 1)
    held = await make.must_claim(database, resending=once)
    await make.advance(database, held)
    answers = [*make.happened([a], DeliveryEvent.IN_DOUBT), *make.happened([b], DeliveryEvent.NOT_SENT)]
    await make.give_back(database, held, answers, resending=once, retry_in_ms=-1)
    await make.tick(database)

    assert make.ids_of(await make.must_claim(database, resending=once)) == [b]
    assert await make.words_of(database, made) == ["unknown", "retry"]


async def test_not_sent_costs_no_attempt_and_deferred_does(database):
    _, _, made = await given_back(
        database, [DeliveryEvent.NOT_SENT, DeliveryEvent.DEFERRED, DeliveryEvent.REFUSED, DeliveryEvent.ACCEPTED]
    )

    assert [row.attempts for row in await make.rows_of(database, made)] == [0, 1, 1, 1]


async def test_whoever_lost_the_lease_gives_nothing_back_but_the_facts(database):
    made = await make.a_campaign(database, 2)
    first = await make.must_claim(database, lease_ms=-1)
    await database.write(recovery.recover)
    await make.must_claim(database, node="n2")

    state = await make.give_back(database, first, make.accepted(make.ids_of(first)[:1]))

    row = await make.batch_row(database, first.id)
    assert state is None
    assert (row.state, row.node) == (LEASED, "n2")
    assert await make.words_of(database, made) == ["accepted", "queued"]


async def test_a_batch_of_five_hundred_says_what_became_of_every_one(database):
    made = await make.a_campaign(database, 500)
    held = await make.must_claim(database)
    await make.advance(database, held)
    ids = make.ids_of(held)
    settled = [
        *make.accepted(ids[:400], parts=2),
        *make.happened(ids[400:450], DeliveryEvent.REFUSED),
        *make.happened(ids[450:], DeliveryEvent.IN_DOUBT),
    ]

    await make.settle(database, held, settled[:300])
    await make.give_back(database, held, settled[300:])

    words = await make.words_of(database, made)
    assert (words.count("accepted"), words.count("failed"), words.count("unknown")) == (400, 50, 50)
    assert DeliveryState.ACCEPTED.word == "accepted"
    await assert_sound(database, made)
