"""A Cancel goes to everyone who may have the message, to the same contact, once it is known who that is."""

import pytest

from store import campaigns, cancelling, launching, lifecycle, recovery, settling
from store.launching import Entry, expand
from store.states import Event
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close


async def holders(database, made, *, most=5000):
    found, after = [], 0
    async with database.read() as conn:
        while page := await cancelling.holders(conn, made.id, after=after, most=most):
            found += page
            after = page[-1].delivery_id
    return found


async def end(database, made, state="cancelled"):
    await database.write(lambda tx: launching.end_campaigns(tx, [(made.id, state)]))


async def a_cancel(database, old, entries, waits_from):
    """A Cancel of `old` to these holders, as the desk files it."""
    new = await make.a_campaign(
        database, old.town, state="preparing", purpose="cancel", replaces=(old.id,), reserved_millieuro=0
    )
    lines = tuple(Entry(n, h.member_id, h.contact_id, h.language) for n, h in enumerate(entries))
    assert await database.write(
        lambda tx: cancelling.file_prepared(
            tx, new.id, b"blob", [("sms", len(lines))], waits_from={"sms": waits_from}, counts="{}",
            reserved_millieuro=55 * len(lines),
        )
    )  # fmt: skip
    await database.write(lambda tx: expand(tx, new.id, "sms", lines, batch_size=500))
    return make.Made(
        new.id, new.public_id, old.town, {"sms": tuple(new.id << 24 | e.seq for e in lines)}, {"sms": lines}
    )


async def release(database):
    return await database.write(cancelling.release_waiting)


async def assert_sound(database, *all_made):
    async with database.read() as conn:
        for made in all_made:
            await assert_sums_close(conn, made.id)
            await assert_no_one_is_forgotten(conn, made.id)


# ---- who may have it -------------------------------------------------------------------------------------


async def test_whoever_may_have_it_and_nobody_else(database):
    made = await make.a_campaign(database, 12, batch_size=8)
    ids = made.ids["sms"]
    held = await make.must_claim(database)
    await make.advance(database, held, 7)
    settled = [
        *make.accepted(ids[:2]), *make.happened(ids[2:3], Event.IN_DOUBT), *make.happened(ids[3:4], Event.REFUSED),
        *make.happened(ids[4:5], Event.NOT_SENT),
    ]  # fmt: skip
    await make.settle(database, held, settled)
    await database.write(lambda tx: settling.apply(tx, make.happened(ids[1:2], Event.RECEIPT_DELIVERED)))
    await end(database, made)

    found = await holders(database, made)

    assert [(h.delivery_id, h.in_hand) for h in found] == [
        (ids[0], False),  # accepted
        (ids[1], False),  # delivered
        (ids[2], False),  # in doubt
        (ids[5], True),  # at the cursor, no answer yet
        (ids[6], True),
    ]  # not: refused, known not sent, beyond the cursor, in a batch that nobody claimed
    person = made.town.people[0]
    assert (found[0].member_id, found[0].contact_id, found[0].channel, found[0].language) == (
        person.member_id, person.contacts["sms"], "sms", "nl",
    )  # fmt: skip


async def test_the_pages_of_holders_are_the_same_people(database):
    made = await make.a_campaign(database, 7, channels=("sms", "email"))
    await make.sent(database)
    await make.sent(database, "email")

    assert await holders(database, made, most=3) == await holders(database, made)
    assert len(await holders(database, made)) == 14


@pytest.mark.parametrize("receipt", [Event.RECEIPT_FAILED, Event.RECEIPT_EXPIRED])
async def test_a_message_that_a_carrier_took_and_lost_may_have_arrived_in_part(database, receipt):
    made = await make.a_campaign(database, 1)
    await make.sent(database)
    await database.write(lambda tx: settling.apply(tx, make.happened(made.ids["sms"], receipt)))

    assert len(await holders(database, made)) == 1


async def test_whoever_an_earlier_attempt_may_have_reached_is_found_before_and_after_the_rows_are_closed(database):
    """In doubt, to be sent again, and then the alert is cancelled: the first attempt may have arrived."""
    made = await make.a_campaign(database, 2)
    held = await make.must_claim(database)
    await make.advance(database, held, 1)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)
    held = await make.must_claim(database)
    assert await make.words_of(database, made) == ["retry", "queued"]
    await end(database, made)

    before = await holders(database, made)
    await make.give_back(database, held)
    await database.write(lifecycle.close_ended)

    assert [h.delivery_id for h in before] == [made.ids["sms"][0]]
    assert [h.delivery_id for h in await holders(database, made)] == [made.ids["sms"][0]]
    assert await make.words_of(database, made) == ["unknown", "cancelled"], "in doubt, and said so"
    await assert_sound(database, made)


async def test_a_second_attempt_that_was_refused_does_not_hide_a_first_one_in_doubt(database):
    made = await make.a_campaign(database, 1)
    for event in (Event.IN_DOUBT, Event.REFUSED):
        held = await make.must_claim(database)
        await make.advance(database, held)
        await make.give_back(database, held, make.happened(make.ids_of(held), event))
        await make.tick(database)

    assert len(await holders(database, made)) == 1


async def test_holders_of_one_campaign_are_not_those_of_its_neighbours(database):
    first, second, third = [await make.a_campaign(database, 3) for _ in range(3)]
    for _ in range(3):
        await make.sent(database)

    assert [h.delivery_id for h in await holders(database, second)] == list(second.ids["sms"])
    assert {first.id, third.id}.isdisjoint({h.delivery_id >> 24 for h in await holders(database, second)})


# ---- preparing and waiting -------------------------------------------------------------------------------


async def test_a_cancel_that_still_looks_for_its_audience_is_found_again_after_a_crash(database):
    made = await make.a_campaign(database, 3, state="preparing", reserved_millieuro=0)

    async with database.read() as conn:
        assert await cancelling.preparing(conn) == [made.id]
    assert await make.claim(database) is None


async def test_an_audience_is_filed_once(database):
    old = await make.a_campaign(database, 2)
    await make.sent(database)
    await end(database, old)
    new = await a_cancel(database, old, await holders(database, old), waits_from=2)

    again = await database.write(
        lambda tx: cancelling.file_prepared(
            tx, new.id, b"x", [("sms", 2)], waits_from={}, counts="{}", reserved_millieuro=110
        )
    )

    assert again is False
    async with database.read() as conn:
        assert await cancelling.preparing(conn) == []
        assert (await campaigns.by_id(conn, new.id)).reserved_millieuro == 110
    await assert_sound(database, old, new)


async def test_who_has_it_for_certain_gets_the_cancel_at_once_and_who_was_in_hand_waits(database):
    old = await make.a_campaign(database, 4)
    held = await make.must_claim(database)
    await make.advance(database, held, 4)
    await make.settle(database, held, make.accepted(old.ids["sms"][:2]))
    await end(database, old)
    found = sorted(await holders(database, old), key=lambda h: h.in_hand)
    new = await a_cancel(database, old, found, waits_from=2)

    at_once = await make.must_claim(database)
    assert make.ids_of(at_once) == list(new.ids["sms"][:2])
    assert await release(database) == 0, "the original is still in a worker's hands"
    assert await make.claim(database) is None

    late = [*make.accepted(old.ids["sms"][2:3]), *make.happened(old.ids["sms"][3:], Event.NOT_SENT)]
    await make.give_back(database, held, late)
    assert await release(database) == 1

    waited = await make.must_claim(database)
    assert make.ids_of(waited) == [new.ids["sms"][2]]
    assert await make.words_of(database, new) == ["queued"] * 3 + ["not_needed"]
    assert await release(database) == 0
    await assert_sound(database, old, new)


async def test_when_the_worker_of_the_original_died_the_cancel_goes_to_all_it_had_in_hand(database):
    old = await make.a_campaign(database, 3)
    held = await make.must_claim(database)
    await make.advance(database, held, 2)
    await end(database, old)
    new = await a_cancel(database, old, await holders(database, old), waits_from=0)
    await database.write(recovery.end_all_leases)
    assert await release(database) == 0
    await database.write(recovery.recover)
    await database.write(lifecycle.close_ended)

    assert await release(database) == 1

    assert make.ids_of(await make.must_claim(database)) == list(new.ids["sms"])
    assert await make.words_of(database, old) == ["unknown"] * 2 + ["cancelled"]
    await assert_sound(database, old, new)


async def test_a_cancel_for_people_none_of_whom_has_it_needs_nobody_and_completes(database):
    old = await make.a_campaign(database, 2)
    held = await make.must_claim(database)
    await make.advance(database, held)
    await end(database, old)
    new = await a_cancel(database, old, await holders(database, old), waits_from=0)
    await make.give_back(database, held, make.happened(old.ids["sms"], Event.REFUSED))
    await release(database)

    empty = await make.must_claim(database)
    assert empty.rows == ()
    await make.give_back(database, empty)
    await make.tick(database)

    assert await make.words_of(database, new) == ["not_needed"] * 2
    async with database.read() as conn:
        assert (await campaigns.by_id(conn, new.id)).state == "completed"
    await assert_sound(database, old, new)


async def test_a_waiting_cancel_that_is_itself_stopped_is_closed(database):
    old = await make.a_campaign(database, 2)
    held = await make.must_claim(database)
    await make.advance(database, held)
    await end(database, old)
    new = await a_cancel(database, old, await holders(database, old), waits_from=0)
    await database.write(lambda tx: lifecycle.stop(tx, new.id, None))
    await database.write(lifecycle.close_ended)
    await make.tick(database)

    assert await make.words_of(database, new) == ["cancelled"] * 2
    await assert_sound(database, new)
    assert held.rows
