"""A Cancel goes to everyone who may have the message, to the same contact, once it is known who that is."""

import pytest
import sqlalchemy as sa

from store.campaigns import campaign_steps, cancelling, launching
from store.campaigns import reading as campaigns
from store.outbox import cancel_waits, recovery, settling
from store.outbox.expansion import AudienceEntry, expand
from store.outbox.records import Settlement
from store.states import BatchState, DeliveryEvent
from store.tables import contact, meta
from tests.store import makers as make
from tests.store.asked import asked
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


async def a_cancel(database, old, entries, waits_from, *, replaces=(), ends=(), batch_size=500):
    """A Cancel of `old` to these holders, as the desk files it."""
    new = await make.a_campaign(
        database, old.town, state="preparing", purpose="cancel", replaces=(old.id, *replaces), ends=ends,
        reserved_millieuro=0,
    )  # fmt: skip
    lines = tuple(AudienceEntry(n, h.member_id, h.contact_id, h.language) for n, h in enumerate(entries))
    assert await database.write(
        lambda tx: cancelling.file_prepared(
            tx, new.id, b"blob", [("sms", len(lines))], waits_from={"sms": waits_from}, counts="{}",
            reserved_millieuro=55 * len(lines),
        )
    )  # fmt: skip
    await database.write(lambda tx: expand(tx, new.id, "sms", lines, batch_size=batch_size))
    return make.Made(
        new.id, new.public_id, old.town, {"sms": tuple(new.id << 24 | e.seq for e in lines)}, {"sms": lines}
    )


async def release(database):
    return await database.write(cancelling.release_waiting)


async def shared(database, contact_id, with_contact_id):
    """Both people are reached at the address of the second."""

    async def work(tx):
        other = await tx.first(sa.select(contact).where(contact.c.id == with_contact_id))
        same = {"address_id": other.address_id, "value": other.value}
        await tx.run(sa.update(contact).where(contact.c.id == contact_id).values(**same))

    await database.write(work)


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
        *make.accepted(ids[:2]), *make.happened(ids[2:3], DeliveryEvent.IN_DOUBT), *make.happened(ids[3:4],
        DeliveryEvent.REFUSED),
        *make.happened(ids[4:5], DeliveryEvent.NOT_SENT),
    ]  # fmt: skip
    await make.settle(database, held, settled)
    await database.write(lambda tx: settling.apply(tx, make.happened(ids[1:2], DeliveryEvent.RECEIPT_DELIVERED)))
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


@pytest.mark.parametrize("receipt", [DeliveryEvent.RECEIPT_FAILED, DeliveryEvent.RECEIPT_EXPIRED])
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
    await database.write(campaign_steps.close_ended)

    assert [h.delivery_id for h in before] == [made.ids["sms"][0]]
    assert [h.delivery_id for h in await holders(database, made)] == [made.ids["sms"][0]]
    assert await make.words_of(database, made) == ["unknown", "cancelled"], "in doubt, and said so"
    await assert_sound(database, made)


async def test_a_second_attempt_that_was_refused_does_not_hide_a_first_one_in_doubt(database):
    made = await make.a_campaign(database, 1)
    for event in (DeliveryEvent.IN_DOUBT, DeliveryEvent.REFUSED):
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

    late = [*make.accepted(old.ids["sms"][2:3]), *make.happened(old.ids["sms"][3:], DeliveryEvent.NOT_SENT)]
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
    await database.write(campaign_steps.close_ended)

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
    await make.give_back(database, held, make.happened(old.ids["sms"], DeliveryEvent.REFUSED))
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
    await database.write(lambda tx: campaign_steps.stop(tx, new.id, None))
    await database.write(campaign_steps.close_ended)
    await make.tick(database)

    assert await make.words_of(database, new) == ["cancelled"] * 2
    await assert_sound(database, new)
    assert held.rows


# ---- each waits for itself only --------------------------------------------------------------------------


async def in_hand(database, people, *, batch_size=500):
    """An alert all of which is in workers' hands, and a Cancel of it to everybody."""
    old = await make.a_campaign(database, people, batch_size=batch_size)
    held = [await make.must_claim(database) for _ in range(-(-people // batch_size))]
    for each in held:
        await make.advance(database, each)
    await end(database, old)
    new = await a_cancel(database, old, await holders(database, old), waits_from=0, batch_size=batch_size)
    return old, new, held


def runs(batches, made):
    """(state, waits, first, last) with places instead of ids."""
    base = made.id << 24
    return [(BatchState(b.state).name, b.waits, b.first - base, b.last - base) for b in batches]


async def test_who_is_known_to_have_the_old_text_is_told_though_another_answer_is_missing(database):
    old, new, (first, second) = await in_hand(database, 20, batch_size=10)
    await make.give_back(database, first, make.accepted(make.ids_of(first)))
    await make.settle(database, second, make.accepted(make.ids_of(second)[:9]))

    assert await release(database) == 2

    assert runs(await make.batches_of(database, new), new) == [
        ("READY", 0, 0, 9), ("READY", 0, 10, 18), ("WAITING", 1, 19, 19),
    ]  # fmt: skip
    told = [*make.ids_of(await make.sent(database)), *make.ids_of(await make.sent(database))]
    assert told == list(new.ids["sms"][:19])
    assert await release(database) == 0
    assert await make.claim(database) is None
    await assert_sound(database, old, new)


async def test_who_turns_out_not_to_have_it_is_spared_though_another_answer_is_missing(database):
    old, new, [held] = await in_hand(database, 4)
    a, b, c, _ = old.ids["sms"]
    await make.settle(
        database, held, [*make.happened([a, c], DeliveryEvent.NOT_SENT), *make.happened([b], DeliveryEvent.REFUSED)]
    )

    assert await release(database) == 0, "nobody is to be told yet"

    assert await make.words_of(database, new) == ["not_needed"] * 3 + ["queued"]
    await make.give_back(database, held, make.accepted(old.ids["sms"][3:]))
    assert await release(database) == 1
    assert make.ids_of(await make.must_claim(database)) == [new.ids["sms"][3]]
    await assert_sound(database, old, new)


async def test_answers_that_come_in_any_order_let_each_go_once(database):
    old, new, [held] = await in_hand(database, 9)
    told = []
    for places in ((4,), (0, 8), (2, 3), (7,), (5, 1), (6,)):
        answered = [old.ids["sms"][place] for place in places]
        await make.settle(database, held, make.accepted(answered))
        await release(database)
        while (cancel := await make.claim(database)) is not None:
            told += make.ids_of(cancel)
            await make.advance(database, cancel)
            await make.give_back(database, cancel, make.accepted(make.ids_of(cancel)))
        assert sorted(told) == sorted(
            new.ids["sms"][place] for place, word in enumerate(await make.words_of(database, old)) if word == "accepted"
        )
        await assert_sound(database, old, new)

    assert len(told) == len(set(told)) == 9
    await make.give_back(database, held)
    await make.tick(database)
    async with database.read() as conn:
        assert (await campaigns.by_id(conn, new.id)).state == "completed"


@pytest.mark.parametrize("reached_first", [True, False])
async def test_a_cancel_reaches_a_shared_address_whose_other_contact_has_the_message(database, reached_first):
    town = await make.a_town(database, 2)
    p, q = town.people
    await shared(database, q.contacts["sms"], p.contacts["sms"])
    alert = await make.a_campaign(database, make.Town(town.zone_id, town.account_id, (p,)))
    of_alert = await make.must_claim(database)
    await make.advance(database, of_alert)
    update = await make.a_campaign(
        database, make.Town(town.zone_id, town.account_id, (q,)), purpose="update", replaces=(alert.id,),
        ends=((alert.id, "superseded"),),
    )  # fmt: skip
    of_update = await make.must_claim(database)
    await make.advance(database, of_update)
    chosen = await holders(database, alert)
    cancel = await a_cancel(
        database, alert, chosen, waits_from=0, replaces=(update.id,), ends=((update.id, "cancelled"),)
    )
    got, not_got = (of_alert, of_update) if reached_first else (of_update, of_alert)

    await make.give_back(database, not_got, make.happened(make.ids_of(not_got), DeliveryEvent.NOT_SENT))
    assert await release(database) == 0, "the other message is in hand to the same address"
    assert await make.words_of(database, cancel) == ["queued"]
    await make.give_back(database, got, make.accepted(make.ids_of(got)))
    while await database.write(campaign_steps.close_ended):
        pass

    assert await release(database) == 1
    assert await make.words_of(database, cancel) == ["queued"]
    assert make.ids_of(await make.must_claim(database)) == list(cancel.ids["sms"])


async def test_versions_of_a_contact_with_one_address_are_the_same_person(database):
    """The register was loaded again between the alert and its Cancel: another version, the same number."""
    old = await make.a_campaign(database, 1)
    held = await make.must_claim(database)
    await make.advance(database, held)
    await end(database, old)
    [holder] = await holders(database, old)

    async def new_version(tx):
        row = await tx.first(sa.select(contact).where(contact.c.id == holder.contact_id))
        again = {"member_id": row.member_id, "address_id": row.address_id, "type": row.type, "value": row.value}
        return (
            await tx.conn.execute(sa.insert(contact).values(again | {"from_ms": 1}).returning(contact.c.id))
        ).scalar_one()

    version = cancelling.Holder(
        holder.delivery_id, "sms", holder.member_id, await database.write(new_version), holder.address_id, "nl", True
    )
    cancel = await a_cancel(database, old, [version], waits_from=0)
    assert await release(database) == 0
    await make.give_back(database, held, make.accepted(make.ids_of(held)))

    assert await release(database) == 1
    assert await make.words_of(database, cancel) == ["queued"]


async def test_what_came_of_the_old_text_while_the_audience_was_gathered_counts(database):
    """The answer comes between the reading of who is in hand and the filing of the audience."""
    old = await make.a_campaign(database, 2)
    held = await make.must_claim(database)
    await make.advance(database, held)
    cancel = await make.a_campaign(
        database, old.town, purpose="cancel", state="preparing", replaces=(old.id,), ends=((old.id, "cancelled"),),
        reserved_millieuro=0, expand=False,
    )  # fmt: skip
    found = await holders(database, old)
    await make.give_back(
        database, held, [*make.accepted(old.ids["sms"][:1]), *make.happened(old.ids["sms"][1:], DeliveryEvent.REFUSED)]
    )
    lines = tuple(AudienceEntry(n, h.member_id, h.contact_id, h.language) for n, h in enumerate(found))
    await database.write(
        lambda tx: cancelling.file_prepared(
            tx, cancel.id, b"x", [("sms", 2)], waits_from={"sms": 0}, counts="{}", reserved_millieuro=110
        )
    )
    await database.write(lambda tx: expand(tx, cancel.id, "sms", lines, batch_size=500))

    assert await release(database) == 1

    assert await make.words_of(database, cancel) == ["queued", "not_needed"]
    await assert_sound(database, cancel)


async def test_a_cancel_of_before_anything_was_noted_spares_nobody_who_has_it(database):
    """A store that was migrated while a Cancel waited."""
    old, new, [held] = await in_hand(database, 2)
    await database.write(lambda tx: cancel_waits.forget(tx, new.id))
    await make.give_back(
        database, held, [*make.accepted(old.ids["sms"][:1]), *make.happened(old.ids["sms"][1:], DeliveryEvent.REFUSED)]
    )

    assert await release(database) == 1

    assert await make.words_of(database, new) == ["queued", "not_needed"]


async def test_a_batch_that_is_split_at_its_cursor_is_in_hand_as_far_as_it_was_handed_over(database):
    old = await make.a_campaign(database, 6)
    held = await make.must_claim(database)
    await make.advance(database, held, 3)

    found = await holders(database, old)

    assert [h.delivery_id for h in found if h.in_hand] == list(old.ids["sms"][:3])


async def test_what_a_cancel_awaits_is_forgotten_when_nobody_waits_any_more(database):
    old, new, [held] = await in_hand(database, 2)

    async def noted(tx):
        return await cancel_waits.noted(tx, new.id)

    assert await database.write(noted) == [(old.ids["sms"][0], old.ids["sms"][1])]
    await make.settle(database, held, make.accepted(old.ids["sms"][:1]))
    await release(database)
    assert await database.write(noted), "one still waits"
    await make.give_back(database, held, make.accepted(old.ids["sms"][1:]))
    await release(database)

    assert await database.write(noted) == []
    async with database.read() as conn:
        assert (await conn.execute(sa.select(meta.c.key).where(meta.c.key.like("awaited%")))).all() == []


async def test_a_cancel_for_whom_nobody_waits_awaits_nothing(database):
    old = await make.a_campaign(database, 2)
    await make.advance(database, await make.must_claim(database))
    await end(database, old)
    new = await make.a_campaign(database, old.town, state="preparing", replaces=(old.id,), reserved_millieuro=0)

    async def prepared(tx):
        await cancelling.file_prepared(tx, new.id, b"x", [], waits_from={}, counts="{}", reserved_millieuro=0)
        return await cancel_waits.noted(tx, new.id)

    assert await database.write(prepared) == []


async def test_the_second_wave_is_found_without_a_walk_through_batches_deliveries_or_contacts(database):
    if not database.sqlite:
        pytest.skip("PostgreSQL chooses by what the tables hold")
    old, _, [held] = await in_hand(database, 6)
    await make.settle(database, held, make.accepted(old.ids["sms"][:3]))
    with asked() as seen:
        assert await release(database) == 1

    steps = []
    async with database.read() as conn:
        for statement, parameters in seen:
            if statement.startswith("SELECT"):
                plan = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                steps += [row[3] for row in plan.all()]
    walks = [s for s in steps if s.startswith("SCAN") and "VIRTUAL TABLE" not in s and "ix_batch_waits" not in s]
    assert steps
    assert walks == []


async def test_columns_are_the_holders(database):
    made = await make.a_campaign(database, 5, channels=("sms", "email"))
    await make.sent(database)
    held = await make.must_claim(database, "email")
    await make.advance(database, held, 3)
    async with database.read() as conn:
        expected = await cancelling.holders(conn, made.id, after=0)
        found, after = set(), 0
        while page := await cancelling.columns(conn, made.id, after=after, most=3):
            for part in page:
                numbers = iter(map(int, part.numbers.split(",")))
                found |= {
                    (part.channel, part.language, *three) for three in zip(numbers, numbers, numbers, strict=True)
                }
            after = max(part.last for part in page)

    assert found == {
        (h.channel, h.language, h.member_id, h.contact_id, h.address_id << 1 | h.in_hand) for h in expected
    }
    assert len(found) == len(expected) == 8


# ---- a part of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [DeliveryEvent.REFUSED, DeliveryEvent.EXHAUSTED, DeliveryEvent.DEFERRED])
async def test_who_has_the_first_part_of_a_long_message_may_have_it(database, event):
    made = await make.a_campaign(database, 2, units=2)
    held = await make.must_claim(database)
    await make.advance(database, held)
    broken_off, refused = made.ids["sms"]
    await make.give_back(
        database, held,
        [Settlement(broken_off, event, "c1", ("part-1",), "ESME_X", "no"), Settlement(refused,
        DeliveryEvent.REFUSED, "c1")],
    )  # fmt: skip
    await end(database, made)
    while await database.write(campaign_steps.close_ended):
        pass

    assert [h.delivery_id for h in await holders(database, made)] == [broken_off]
