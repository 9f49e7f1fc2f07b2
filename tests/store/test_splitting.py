"""Where handing over ends a batch is split: what waits for its answer waits alone, everything else is free at once."""

import itertools

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from store.campaigns import campaign_steps
from store.outbox import batches, recovery
from store.outbox.batches import _runs
from store.outbox.records import Batch, DeliveryRow, Settlement
from store.outbox.resending import Resending
from store.states import BatchState, DeliveryEvent
from store.tables import batch
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close

WAITS = Resending(wait_ms=5_000, most_attempts=3)
PATIENT = Resending(wait_ms=60_000, most_attempts=3)


async def let_go(database, held, in_flight, results=(), *, parts=None, rest_in_ms=None, resending=PATIENT):
    async def work(tx):
        rest_ms = None if rest_in_ms is None else tx.now_ms + rest_in_ms
        return await batches.let_go(
            tx, held, parts or (held,), results, in_flight, retry_ms=tx.now_ms, resending=resending, rest_ms=rest_ms
        )

    return await database.write(work)


async def lie(database, made):
    """(first, last, state) of each batch, counted from the campaign's first delivery."""
    first = made.ids["sms"][0]
    return [(b.first - first, b.last - first, BatchState(b.state).name) for b in await make.batches_of(database, made)]


async def assert_sound(database, made):
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)


async def handed_over(database, n, of=10, **options):
    made = await make.a_campaign(database, of, **options)
    held = await make.must_claim(database)
    await make.advance(database, held, n)
    return made, held


async def test_what_is_beyond_the_cursor_is_free_and_what_is_behind_it_waits_for_its_answers(database):
    made, held = await handed_over(database, 4)

    (kept,) = await let_go(database, held, set(made.ids["sms"][:4]))

    assert await lie(database, made) == [(0, 3, "LEASED"), (4, 9, "READY")]
    assert (kept.claim, len(kept.rows)) == (held.claim, 4)
    again = await make.must_claim(database)
    assert make.ids_of(again) == list(made.ids["sms"][4:])
    await make.give_back(database, kept, make.accepted(made.ids["sms"][:4]))
    await make.advance(database, again)
    await make.give_back(database, again, make.accepted(made.ids["sms"][4:]))
    assert set(await make.words_of(database, made)) == {"accepted"}
    await assert_sound(database, made)


async def test_without_a_way_out_the_rest_waits_a_moment(database):
    made, held = await handed_over(database, 4)

    await let_go(database, held, set(made.ids["sms"][:4]), rest_in_ms=1_000)

    assert await lie(database, made) == [(0, 3, "LEASED"), (4, 9, "WAITING")]


async def test_a_less_urgent_kind_waits_only_while_something_urgent_is_really_to_be_sent(database):
    made, held = await handed_over(database, 4)
    news = await make.a_campaign(database, 3, kind="news", priority=3)
    assert await make.claim(database) is None
    await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))

    await let_go(database, held, set(made.ids["sms"][:4]))

    assert make.ids_of(await make.must_claim(database)) == list(news.ids["sms"])


async def test_what_was_put_off_stands_in_a_batch_of_its_own_between_those_that_are_silent(database):
    made, held = await handed_over(database, 6, of=6)
    ids = made.ids["sms"]
    put_off = [Settlement(ids[2], DeliveryEvent.DEFERRED, "c1", wait_ms=0)]

    parts = await let_go(database, held, {ids[0], ids[1], ids[4]}, [*put_off, *make.accepted([ids[3], ids[5]])])

    assert await lie(database, made) == [(0, 1, "LEASED"), (2, 3, "WAITING"), (4, 5, "LEASED")]
    await make.tick(database)
    assert [make.ids_of(part) for part in parts] == [[*ids[:2]], [*ids[4:]]]
    again = await make.must_claim(database)
    assert make.ids_of(again) == [ids[2]]
    # The silent ones are held as before: their leases are renewed, their answers are kept, they are given back.
    assert await database.write(lambda tx: batches.renew(tx, parts, make.LEASE_MS)) == {p.claim for p in parts}
    assert await let_go(database, held, set(), make.accepted([ids[0], ids[1], ids[4]]), parts=parts) == ()
    await make.advance(database, again)
    await make.give_back(database, again, make.accepted([ids[2]]))
    assert set(await make.words_of(database, made)) == {"accepted"}
    await assert_sound(database, made)


async def test_a_worker_that_dies_after_the_split_leaves_doubt_about_what_it_had_in_hand_and_nothing_else(database):
    made, held = await handed_over(database, 6, of=10, crash_policy="report")
    ids = made.ids["sms"]
    await let_go(database, held, {ids[0], ids[4]}, make.accepted([*ids[1:4], ids[5]]))

    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)

    words = ["unknown", *["accepted"] * 3, "unknown", "accepted", *["queued"] * 4]
    assert await make.words_of(database, made) == words
    await assert_sound(database, made)


async def test_what_a_worker_thought_dead_knows_of_a_split_batch_finds_its_rows(database):
    made, held = await handed_over(database, 4, of=6, crash_policy="report")
    ids = made.ids["sms"]
    await let_go(database, held, {ids[0], ids[3]}, make.accepted(ids[1:3]))
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)
    while (other := await make.claim(database)) is not None:
        await make.advance(database, other)
        await make.give_back(database, other, make.accepted(make.ids_of(other)))

    await make.settle(database, held, [Settlement(i, DeliveryEvent.NOT_SENT) for i in (ids[0], ids[3])])

    again = []
    while (other := await make.claim(database)) is not None:
        again += make.ids_of(other)
    assert sorted(again) == [ids[0], ids[3]]


async def test_a_lease_that_was_lost_splits_nothing(database):
    made, held = await handed_over(database, 4)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)

    assert await let_go(database, held, set(made.ids["sms"][:4])) == ()

    assert len(await lie(database, made)) == 1
    await assert_sound(database, made)


async def test_a_cancelled_rest_is_marked_though_an_answer_is_missing(database):
    made, held = await handed_over(database, 1)
    await let_go(database, held, {made.ids["sms"][0]})
    await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))

    while await database.write(campaign_steps.close_ended):
        pass

    assert await make.words_of(database, made) == ["queued", *["cancelled"] * 9]


async def test_a_careful_batch_is_handed_over_one_by_one_and_its_rest_stays_careful(database):
    made = await make.a_campaign(database, 5)

    async def twice_lost(tx):
        await tx.run(sa.update(batch).values(losses=2))

    await database.write(twice_lost)
    held = await make.must_claim(database)

    grant = await make.advance(database, held)
    assert grant.slots.messages == 1
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)

    assert [(first, last) for first, last, _ in await lie(database, made)] == [(0, 0), (1, 4)]
    assert [b.losses for b in await make.batches_of(database, made)] == [3, 2]


async def test_one_row_that_kills_whoever_hands_it_over_costs_itself_only(database):
    """The worker dies after the fence whenever that row is among those granted."""
    made = await make.a_campaign(database, 40)
    bad, sent = made.ids["sms"][23], []
    for _ in range(200):
        held = await make.claim(database)
        if held is None:
            break
        at = 0
        while at < len(held.rows):
            grant = await make.advance(database, held, skip=at)
            granted = make.ids_of(held)[at : at + grant.slots.messages]
            if bad in granted:
                await database.write(recovery.end_all_leases)
                await database.write(recovery.recover)
                break
            sent += granted
            await make.settle(database, held, make.accepted(granted))
            at += len(granted)
        else:
            await make.give_back(database, held)
        await make.tick(database)

    assert sorted(sent) == [i for i in made.ids["sms"] if i != bad]
    words = await make.words_of(database, made)
    assert (words.count("accepted"), words[23]) == (39, "unknown")
    await assert_sound(database, made)


async def test_a_split_whose_commit_was_not_answered_is_made_once(database):
    """PostgreSQL repeats the work: the worker knows the batch as it was."""
    made, held = await handed_over(database, 6, of=12)
    ids = made.ids["sms"]
    flying = {ids[0], ids[4]}
    first = await let_go(database, held, flying, make.accepted([*ids[1:4], ids[5]]))
    lying = await lie(database, made)

    again = await let_go(database, held, flying, make.accepted([*ids[1:4], ids[5]]))

    assert await lie(database, made) == lying
    assert [(p.claim, make.ids_of(p)) for p in again] == [(p.claim, make.ids_of(p)) for p in first]
    assert make.ids_of(await make.must_claim(database)) == list(ids[6:])
    assert await make.claim(database) is None
    await assert_sound(database, made)


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("at", [0, 4])
async def test_a_row_that_kills_costs_itself_only_though_what_is_in_doubt_waits(database, at):
    made = await make.a_campaign(database, 9)
    ids = list(made.ids["sms"])
    for _ in range(40):
        held = await make.claim(database, resending=WAITS)
        if held is None:
            database.clock._offset_ns += 5_500_000_000
            await make.tick(database)
            continue
        done, facts = 0, []
        while done < len(held.rows):
            grant = await make.advance(database, held, 3, skip=done)  # windows of three
            await make.settle(database, held, facts)
            window = make.ids_of(held)[done : done + grant.slots.messages]
            if ids[at] in window:
                await database.write(recovery.end_all_leases)
                await database.write(recovery.recover)
                break
            done, facts = done + len(window), make.accepted(window)
        else:
            await make.give_back(database, held, facts, resending=WAITS)
    words = await make.words_of(database, made)
    assert words.count("accepted") == 8, words


# ---- the arithmetic --------------------------------------------------------------------------------------


def a_batch(first, last, ids):
    rows = tuple(DeliveryRow(i, "", "", "nl", 1, 0) for i in ids)
    return Batch(1, 1, "n", 1, 0, "sms", "live", 0, first, last, 0, 0, 0, "resend", 0, rows)


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.sampled_from("kld"), min_size=n, max_size=n))
    )
)
def test_the_parts_cover_the_batch_once_and_keep_what_waits_apart_from_what_is_left(case):
    """k: in flight, l: left to send, d: done."""
    n, marks = case
    flying = {i for i, mark in enumerate(marks) if mark == "k"}
    left = {i for i, mark in enumerate(marks) if mark == "l"}
    runs = _runs(a_batch(0, n - 1, range(n)), flying, left)
    if not flying and not left:
        assert runs == []
        return
    assert [first for _, first, _ in runs] == [0, *(last + 1 for *_, last in runs[:-1])]
    assert runs[-1][2] == n - 1
    for kept, first, last in runs:
        assert first <= last
        mine = set(range(first, last + 1))
        assert not mine & (left if kept else flying)
        assert mine & (flying if kept else left)
    assert all(a[0] is not b[0] for a, b in itertools.pairwise(runs))


@pytest.mark.parametrize("policy", ["resend", "report"])
async def test_what_is_in_doubt_is_let_go_only_where_it_is_sent_again(database, policy):
    made, held = await handed_over(database, 3, of=3, crash_policy=policy)
    ids = made.ids["sms"]

    await let_go(database, held, {ids[0]}, [Settlement(ids[1], DeliveryEvent.IN_DOUBT, "c1"), *make.accepted([ids[2]])])

    expected = [(0, 0, "LEASED"), (1, 2, "WAITING")] if policy == "resend" else [(0, 2, "LEASED")]
    assert await lie(database, made) == expected


@pytest.mark.parametrize("begins_again", [True, False])
async def test_a_campaign_whose_first_message_missed_its_slot_goes_before_those_that_have_begun(database, begins_again):
    made = await make.a_campaign(database, 3)
    held = await make.must_claim(database)
    assert held.is_first
    await make.advance(database, held, 1)
    missed = [Settlement(made.ids["sms"][0], DeliveryEvent.NOT_SENT)]

    async def work(tx):
        return await batches.let_go(
            tx, held, (held,), missed, (), retry_ms=None, resending=PATIENT, begins_again=begins_again
        )

    assert await database.write(work) == ()

    again = await make.must_claim(database)
    assert again.is_first is begins_again
    assert make.ids_of(again) == list(made.ids["sms"])
