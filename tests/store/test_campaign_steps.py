"""A campaign's beginning and its ends: scheduled, started, complete, expired, stopped, closed, sealed."""

import asyncio
import re

import pytest
import sqlalchemy as sa

from store.campaigns import addenda, campaign_steps, cancelling, launching
from store.campaigns import reading as campaigns
from store.campaigns.campaign_steps import close_ended, seal, sealable, stop, tick
from store.money import ledger, reservations
from store.outbox import cancel_waits, expansion, holds, inbox, recovery, settling
from store.outbox.records import Settlement
from store.states import BatchState, DeliveryEvent
from store.tables import audit, batch, campaign, meta
from tests.store import makers as make
from tests.store.asked import asked
from tests.store.bookkeeping import assert_books_close, booked
from tests.store.broken_line import lost_answer
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close


async def found(database, made):
    async with database.read() as conn:
        return await campaigns.by_id(conn, made.id)


async def to_be_sealed(database, in_ms=0):
    now = await make.now_ms(database)
    async with database.read() as conn:
        return await sealable(conn, now + in_ms)


async def ripen(database, made, **columns):
    """Let an instant of the campaign (and of what waits) lie in the past."""

    async def work(tx):
        if columns:
            await tx.run(sa.update(campaign).where(campaign.c.id == made.id).values(**columns))
        await tx.run(sa.update(batch).where(batch.c.due_ms.is_not(None)).values(due_ms=1))

    await database.write(work)


async def assert_sound(database, made):
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)


# ---- beginning -------------------------------------------------------------------------------------------


async def test_a_scheduled_campaign_begins_at_its_hour_and_not_before(database):
    made = await make.a_campaign(database, 3, state="scheduled", starts_in_ms=make.HOUR_MS)
    await make.tick(database)
    assert (await found(database, made)).state == "scheduled"
    assert await make.claim(database) is None

    await ripen(database, made, starts_ms=1)
    await make.tick(database)

    assert (await found(database, made)).state == "running"
    assert make.ids_of(await make.must_claim(database)) == list(made.ids["sms"])


async def test_a_campaign_scheduled_long_ago_does_not_go_before_everyone_when_it_begins(database):
    early = await make.a_campaign(database, 40, state="scheduled", starts_in_ms=make.HOUR_MS, priority=2, batch_size=10)
    busy = await make.a_campaign(database, 200, priority=2, batch_size=10)
    for _ in range(10):
        await make.sent(database)
    await ripen(database, early, starts_ms=1)
    await make.tick(database)

    order = [(await make.must_claim(database)).campaign_id for _ in range(8)]

    assert order.count(early.id) == 4
    assert order.count(busy.id) == 4
    assert order[:4].count(busy.id) >= 1


async def test_what_is_known_not_sent_comes_back_when_due(database):
    made = await make.a_campaign(database, 1)
    held = await make.must_claim(database)
    await make.give_back(
        database, held, make.happened(made.ids["sms"], DeliveryEvent.NOT_SENT), retry_in_ms=make.HOUR_MS
    )
    assert await make.tick(database) == 0

    await ripen(database, made)

    assert await make.tick(database) == 1
    assert (await make.batch_row(database, held.id)).state == BatchState.READY


# ---- ends ------------------------------------------------------------------------------------------------


async def test_a_campaign_is_complete_when_nothing_is_left_to_send(database):
    made = await make.a_campaign(database, 4, batch_size=2, channels=("sms", "email"))
    for channel in ("sms", "sms", "email"):
        await make.sent(database, channel)
        await make.tick(database)
        assert (await found(database, made)).state == "running"
    await make.sent(database, "email")
    await make.tick(database)

    complete = await found(database, made)
    assert complete.state == "completed"
    assert complete.ended_ms is not None
    assert await make.tick(database) == 0


async def test_a_campaign_to_nobody_is_complete_at_once(database):
    made = await make.a_campaign(database, 0)
    await make.tick(database)

    assert (await found(database, made)).state == "completed"
    assert await to_be_sealed(database) == [made.id]


async def test_an_expired_campaign_sends_nothing_more_and_says_so_of_everyone_it_did_not_reach(database):
    made = await make.a_campaign(database, 6, batch_size=3)
    await make.sent(database)
    await ripen(database, made, expires_ms=1)
    await make.tick(database)
    expired = await found(database, made)
    assert (expired.state, expired.epoch, expired.ended_ms) == ("expired", 1, None)
    assert await make.claim(database) is None

    while await database.write(close_ended):
        pass
    await make.tick(database)

    assert await make.words_of(database, made) == ["accepted"] * 3 + ["expired"] * 3
    assert (await found(database, made)).ended_ms is not None
    await assert_sound(database, made)


async def test_a_scheduled_campaign_may_expire_without_ever_starting(database):
    made = await make.a_campaign(database, 2, state="scheduled", starts_in_ms=make.HOUR_MS, lasts_ms=-1)
    await make.tick(database)
    await database.write(close_ended)

    assert await make.words_of(database, made) == ["expired"] * 2


async def test_a_stop_is_one_row_and_everyone_else_is_marked_in_small_steps(database):
    made = await make.a_campaign(database, 30, batch_size=3)
    await make.sent(database)

    assert await database.write(lambda tx: stop(tx, made.id, 7)) is True
    assert await database.write(lambda tx: stop(tx, made.id, 7)) is False
    stopped = await found(database, made)
    assert (stopped.state, stopped.epoch) == ("stopped", 1)
    steps = 0
    while await database.write(lambda tx: close_ended(tx, most=4)):
        steps += 1
        await assert_sound(database, made)
    await make.tick(database)

    assert steps == 3
    assert await make.words_of(database, made) == ["accepted"] * 3 + ["cancelled"] * 27
    assert (await found(database, made)).ended_ms is not None
    async with database.read() as conn:
        lines = (await conn.execute(sa.select(audit).where(audit.c.action == "stop"))).all()
    assert [(line.account_id, line.subject) for line in lines] == [(7, str(made.id))]


async def test_a_stopped_campaign_has_not_ended_while_somebody_holds_a_part_of_it(database):
    made = await make.a_campaign(database, 3)
    held = await make.must_claim(database)
    await make.advance(database, held, 1)
    await database.write(lambda tx: stop(tx, made.id, None))
    await database.write(close_ended)
    await make.tick(database)
    assert (await found(database, made)).ended_ms is None

    await make.give_back(database, held, make.accepted(made.ids["sms"][:1]))
    await database.write(close_ended)
    await make.tick(database)

    assert (await found(database, made)).ended_ms is not None
    assert await make.words_of(database, made) == ["accepted", "cancelled", "cancelled"]


async def test_a_held_campaign_may_still_be_stopped(database):
    made = await make.a_campaign(database, 3)
    await database.write(lambda tx: holds.place(tx, "all", "", "storm", "op"))
    await database.write(lambda tx: stop(tx, made.id, None))
    await database.write(close_ended)

    assert await make.words_of(database, made) == ["cancelled"] * 3
    async with database.read() as conn:
        assert [(h.scope, h.reason, h.by) for h in await holds.standing(conn)] == [("all", "storm", "op")]


# ---- sealing ---------------------------------------------------------------------------------------------


async def completed(database, *, events=(DeliveryEvent.ACCEPTED, DeliveryEvent.ACCEPTED), **options):
    made = await make.a_campaign(database, len(events), **options)
    held = await make.must_claim(database)
    await make.advance(database, held)
    pairs = zip(made.ids["sms"], events, strict=True)
    await make.give_back(database, held, [Settlement(i, e, "c1") for i, e in pairs])
    await make.tick(database)
    return made


async def test_a_report_may_be_sealed_when_the_last_delivery_is_final(database):
    made = await completed(database)
    assert await to_be_sealed(database) == []

    for i in made.ids["sms"]:
        await database.write(lambda tx, i=i: settling.apply(tx, make.happened([i], DeliveryEvent.RECEIPT_DELIVERED)))

    assert await to_be_sealed(database) == [made.id]


@pytest.mark.parametrize("events", [[DeliveryEvent.ACCEPTED], [DeliveryEvent.IN_DOUBT]])
async def test_or_when_the_horizon_of_its_evidence_has_passed(database, events):
    made = await completed(database, events=events, horizon_ms=1000, crash_policy="report")

    assert await to_be_sealed(database) == []
    assert await to_be_sealed(database, in_ms=1001) == [made.id]


async def test_a_running_campaign_is_never_sealed(database):
    made = await make.a_campaign(database, 1, horizon_ms=0)

    assert await to_be_sealed(database, in_ms=10**9) == []
    assert await database.write(lambda tx: seal(tx, made.id, "{}", 0)) is False


async def test_the_seal_settles_the_ledger_once(database):
    made = await completed(
        database, events=[DeliveryEvent.ACCEPTED, DeliveryEvent.REFUSED, DeliveryEvent.ACCEPTED], price_millieuro=55
    )
    zone_id = made.town.zone_id
    await database.write(lambda tx: ledger.add_lot(tx, zone_id, 1000, None, "lot"))
    async with database.read() as conn:
        charged = sum(c.charged_millieuro for c in await campaigns.counts(conn, made.id))

    results = await asyncio.gather(
        *(database.write(lambda tx: seal(tx, made.id, '{"a":1}', charged)) for _ in range(3))
    )

    assert sorted(results) == [False, False, True]
    async with database.read() as conn:
        assert await ledger.balance_millieuro(conn, zone_id, await make.now_ms(database)) == 890
        lines = (await conn.execute(sa.select(audit).where(audit.c.action == "seal"))).all()
    # The lot takes over what was lent at the launch.
    assert await booked(database) == [("reserve", 165), ("lot", 1000), ("cover", 330), ("settle", 110), ("release", 55)]
    await assert_books_close(database, zone_id)
    sealed = await found(database, made)
    assert (sealed.report, sealed.settled_millieuro) == ('{"a":1}', 110)
    assert sealed.settled_millieuro <= sealed.reserved_millieuro
    assert [line.subject for line in lines] == [made.public_id]
    assert await to_be_sealed(database, in_ms=10**9) == []


async def test_what_was_sent_twice_is_paid_once(database):
    made = await completed(database, events=[DeliveryEvent.IN_DOUBT], price_millieuro=55)
    await make.sent(database)
    await database.write(lambda tx: settling.apply(tx, make.happened(made.ids["sms"], DeliveryEvent.RECEIPT_DELIVERED)))

    async with database.read() as conn:
        (counts,) = await campaigns.counts(conn, made.id)
    assert (counts.resent, counts.charged_millieuro, counts.delivered) == (1, 55, 1)


async def test_a_receipt_after_the_seal_still_changes_its_row(database):
    made = await completed(database, horizon_ms=0)
    assert await database.write(lambda tx: seal(tx, made.id, "{}", 110))

    await database.write(
        lambda tx: settling.apply(tx, make.happened(made.ids["sms"][:1], DeliveryEvent.RECEIPT_DELIVERED))
    )

    assert await make.words_of(database, made) == ["delivered", "accepted"]
    assert (await found(database, made)).report == "{}"
    await assert_sound(database, made)


async def test_a_completed_campaign_runs_again_when_somebody_turns_out_not_to_have_been_sent_to(database):
    made = await make.a_campaign(database, 2, crash_policy="report")
    frozen = await make.must_claim(database, lease_ms=make.LEASE_MS)
    await make.advance(database, frozen, lease_ms=-1)
    await database.write(recovery.recover)
    await make.give_back(database, await make.must_claim(database))
    await make.tick(database)
    assert (await found(database, made)).state == "completed"

    await make.settle(database, frozen, make.happened(made.ids["sms"][:1], DeliveryEvent.NOT_SENT))
    await make.tick(database)
    again = await found(database, made)
    assert (again.state, again.ended_ms) == ("running", None)
    await make.sent(database)
    await make.tick(database)

    assert (await found(database, made)).state == "completed"
    assert await make.words_of(database, made) == ["accepted", "unknown"]


async def test_who_was_not_sent_to_after_all_is_closed_when_the_campaign_has_ended_meanwhile(database):
    made = await make.a_campaign(database, 2, crash_policy="report")
    frozen = await make.must_claim(database, lease_ms=make.LEASE_MS)
    await make.advance(database, frozen, lease_ms=-1)
    await database.write(recovery.recover)
    await make.give_back(database, await make.must_claim(database))
    await database.write(lambda tx: stop(tx, made.id, None))
    await make.tick(database)
    assert (await found(database, made)).ended_ms is not None

    await make.settle(database, frozen, make.happened(made.ids["sms"][:1], DeliveryEvent.NOT_SENT))
    assert await database.write(close_ended) == 1

    assert await make.words_of(database, made) == ["cancelled", "unknown"]
    await assert_sound(database, made)


@pytest.mark.parametrize(("purpose", "state"), [("update", "superseded"), ("cancel", "cancelled")])
async def test_who_was_not_sent_to_after_all_is_closed_when_what_was_complete_has_been_replaced(
    database, purpose, state
):
    made = await make.a_campaign(database, 3, crash_policy="report")
    frozen = await make.must_claim(database)
    await make.advance(database, frozen, lease_ms=-1)
    await make.settle(database, frozen, make.accepted(made.ids["sms"][:1]))
    await database.write(recovery.recover)
    await make.give_back(database, await make.must_claim(database))
    await make.tick(database)
    assert (await found(database, made)).state == "completed"
    await make.a_campaign(
        database, made.town, purpose=purpose, replaces=(made.id,), ends=((made.id, state),), channels=("email",)
    )

    await make.settle(database, frozen, make.happened(made.ids["sms"][1:2], DeliveryEvent.NOT_SENT))
    await make.tick(database)
    assert await database.write(close_ended) == 1

    assert (await found(database, made)).state == "completed", "it sends nothing more"
    assert await make.words_of(database, made) == ["accepted", "cancelled", "unknown"]
    await assert_sound(database, made)


async def ended_by_stop(database, made):
    await database.write(lambda tx: stop(tx, made.id, None))


async def ended_by_cancel(database, made):
    await database.write(lambda tx: launching.end_campaigns(tx, [(made.id, "cancelled")]))


@pytest.mark.parametrize("end", [ended_by_stop, ended_by_cancel])
async def test_what_a_cancel_awaits_is_forgotten_when_it_ends_before_it_has_an_audience(database, end):
    old = await make.a_campaign(database, 2)
    await make.advance(database, await make.must_claim(database))
    new = await make.a_campaign(
        database, old.town, purpose="cancel", state="preparing", replaces=(old.id,), ends=((old.id, "cancelled"),),
        reserved_millieuro=0,
    )  # fmt: skip
    assert await database.write(lambda tx: cancel_waits.noted(tx, new.id)) != []

    await end(database, new)
    await make.tick(database)

    async with database.read() as conn:
        assert (await conn.execute(sa.select(meta.c.key).where(meta.c.key.like("awaited%")))).all() == []


async def test_what_a_cancel_awaits_is_forgotten_when_it_is_stopped_while_some_of_it_waits(database):
    old = await make.a_campaign(database, 2)
    await make.advance(database, await make.must_claim(database))
    new = await make.a_campaign(
        database, old.town, purpose="cancel", state="preparing", replaces=(old.id,), ends=((old.id, "cancelled"),),
        reserved_millieuro=0,
    )  # fmt: skip
    lines = new.entries["sms"]
    await database.write(
        lambda tx: cancelling.file_prepared(
            tx, new.id, b"x", [("sms", 2)], waits_from={"sms": 0}, counts="{}", reserved_millieuro=0,
            spares_from={"sms": 1},
        )
    )  # fmt: skip
    await database.write(lambda tx: expansion.expand(tx, new.id, "sms", lines, batch_size=500))

    await ended_by_stop(database, new)
    while await database.write(close_ended):
        pass
    await make.tick(database)

    async with database.read() as conn:
        assert (await conn.execute(sa.select(meta.c.key).where(meta.c.key.like("awaited%")))).all() == []
    await assert_sound(database, new)


# ---- a stop whose answer is lost -------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)])
async def test_a_stop_whose_commits_answer_was_lost_is_told_as_done_and_done_once(database, engine):
    made = await make.a_campaign(database, 2)

    async with lost_answer(database):
        assert await database.write(lambda tx: stop(tx, made.id, made.town.account_id)) is True
    assert await database.write(lambda tx: stop(tx, made.id, made.town.account_id)) is False, "it had ended already"

    async with database.read() as conn:
        stops = (await conn.execute(sa.select(audit.c.subject).where(audit.c.action == "stop"))).all()
    assert [row.subject for row in stops] == [str(made.id)]


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)])
async def test_a_repeated_stop_of_what_somebody_else_had_ended_is_not_told_as_done(database, engine):
    made = await make.a_campaign(database, 2)
    await database.write(lambda tx: stop(tx, made.id, made.town.account_id))

    async with lost_answer(database):
        assert await database.write(lambda tx: stop(tx, made.id, None)) is False


# ---- what a seal has seen --------------------------------------------------------------------------------


async def in_doubt(database):
    """A campaign that has ended with one message whose receipt may still come; its reference is r1."""
    made = await make.a_campaign(database, 1, crash_policy="report")
    held = await make.must_claim(database)
    await make.advance(database, held)
    await make.give_back(database, held, [Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, "c1", ("r1",))])
    await make.tick(database)
    return made


def delivered(made):
    address = made.town.people[0].addresses["sms"]
    return lambda tx: inbox.record(tx, [inbox.ReceiptReport("c1", "r1", "delivered", 0, destination=address)])


async def untold(database):
    async with database.read() as conn:
        return await addenda.due(conn, database.clock.now_ms())


async def test_a_receipt_that_comes_between_the_look_and_the_seal_is_told_in_an_addendum(database):
    made = await in_doubt(database)

    async def look_and_seal(tx):
        counts = await campaigns.counts(tx.conn, made.id)
        if tx.sqlite:
            await delivered(made)(tx)
        else:  # another node's
            await database.write(delivered(made))
        return counts[0].unknown, await seal(tx, made.id, '{"unknown": 1}', 0)

    assert await database.write(look_and_seal) == (1, True)

    assert await make.words_of(database, made) == ["delivered"]
    assert await untold(database) == [made.id]


async def test_counters_that_are_held_stand_still_until_the_seal_and_what_comes_then_is_an_addendum(database):
    made = await in_doubt(database)

    async def look_and_seal(tx):
        told = await addenda.hold_counters(tx, made.id)
        late = asyncio.create_task(database.write(delivered(made)))
        await asyncio.wait({late}, timeout=0.2)
        assert not late.done()
        again = await campaigns.counts(tx.conn, made.id)
        assert {c.channel: c.revision for c in again} == told
        await seal(tx, made.id, '{"unknown": 1}', 0, told=told)
        return late

    late = await database.write(look_and_seal)
    assert await untold(database) in ([], [made.id])
    await late

    assert await untold(database) == [made.id]


async def test_a_seal_that_has_seen_all_needs_no_addendum(database):
    made = await in_doubt(database)

    async def look_and_seal(tx):
        return await seal(tx, made.id, "{}", 0, told=await addenda.hold_counters(tx, made.id))

    assert await database.write(look_and_seal)

    assert await untold(database) == []


async def test_an_addendum_tells_what_it_was_drawn_from_and_nothing_that_came_later(database):
    made = await in_doubt(database)
    await database.write(lambda tx: seal(tx, made.id, "{}", 0))

    async def look_and_add(tx):
        told = await addenda.hold_counters(tx, made.id)
        if tx.sqlite:
            await delivered(made)(tx)
        await addenda.add(tx, made.id, 1, "{}", 0, told=told)

    await database.write(look_and_add)
    if not database.sqlite:
        await database.write(delivered(made))

    assert await untold(database) == [made.id]


# ---- what does not grow ----------------------------------------------------------------------------------


async def plans(database, work):
    """The plans of all that the work asks, on an engine that is told not to read whole tables."""
    with asked() as seen:
        await database.write(work)
    explain = "EXPLAIN QUERY PLAN " if database.sqlite else "EXPLAIN "

    async def explained(tx):
        if not tx.sqlite:
            await tx.run(sa.text("SET LOCAL enable_seqscan = off"))
        found = {}
        for statement, parameters in seen:
            if statement.lstrip().startswith(("SELECT", "UPDATE")) and "clock_timestamp()" not in statement:
                rows = await tx.conn.exec_driver_sql(explain + statement, parameters)
                found[statement] = "\n".join(str(tuple(row)) for row in rows.all())
        return found

    return await database.write(explained)


# ---- one that cannot be worked on --------------------------------------------------------------------------


def broken_for(made, ask):
    """`ask`, which fails about this campaign."""

    async def asked(tx, *given):
        if made.id in given:
            raise ValueError("cannot be worked on")
        return await ask(tx, *given)

    return asked


async def test_a_campaign_that_cannot_be_expired_keeps_no_other_from_starting_or_ending(database, monkeypatch, caplog):
    broken = await make.a_campaign(database, 1, lasts_ms=-1)
    ending = await make.a_campaign(database, 1, lasts_ms=-1)
    starting = await make.a_campaign(database, 1, state="scheduled", starts_in_ms=0)
    monkeypatch.setattr(reservations, "release", broken_for(broken, reservations.release))
    left_alone = set()

    await database.write(lambda tx: tick(tx, left_alone=left_alone))

    states = [(await found(database, each)).state for each in (broken, ending, starting)]
    assert states == ["running", "expired", "running"]
    assert left_alone == {broken.id}
    assert [r.subject for r in caplog.records if getattr(r, "action", "") == "end-failed"] == [broken.id]


async def test_a_campaign_that_cannot_be_started_keeps_no_other_from_starting(database, monkeypatch):
    broken, sound = [await make.a_campaign(database, 1, state="scheduled", starts_in_ms=0) for _ in range(2)]
    monkeypatch.setattr(campaign_steps, "join_queue", broken_for(broken, campaign_steps.join_queue))

    await make.tick(database)

    assert [(await found(database, each)).state for each in (broken, sound)] == ["scheduled", "running"]


async def test_who_is_left_alone_is_passed_by(database):
    one, other = [await make.a_campaign(database, 1, lasts_ms=-1) for _ in range(2)]

    await database.write(lambda tx: tick(tx, left_alone={one.id}))
    assert [(await found(database, each)).state for each in (one, other)] == ["running", "expired"]
    await make.tick(database)
    await database.write(lambda tx: close_ended(tx, left_alone={one.id}))

    assert await make.words_of(database, one) == ["queued"]
    assert await make.words_of(database, other) == ["expired"]


async def test_a_campaign_whose_rows_cannot_be_closed_keeps_no_other_open(database, monkeypatch, caplog):
    broken, sound = await make.a_campaign(database, 12, batch_size=1), await make.a_campaign(database, 2, batch_size=1)
    for each in (broken, sound):
        await database.write(lambda tx, each=each: stop(tx, each.id, None))
    apply = campaign_steps.apply

    async def applied(tx, settlements, **options):
        if any(s.delivery_id >> 24 == broken.id for s in settlements):
            raise ValueError("cannot be worked on")
        return await apply(tx, settlements, **options)

    monkeypatch.setattr(campaign_steps, "apply", applied)

    assert await database.write(close_ended) == 2

    assert set(await make.words_of(database, sound)) == {"cancelled"}
    assert set(await make.words_of(database, broken)) == {"queued"}
    assert [r.subject for r in caplog.records if getattr(r, "action", "") == "close-failed"] == [broken.id]
    await assert_sound(database, sound)


@pytest.mark.parametrize("work", [tick, close_ended, expansion.pending_expansions], ids=lambda work: work.__name__)
async def test_what_is_looked_through_several_times_a_second_passes_by_what_is_over(database, work):
    found = await plans(database, work)

    assert found
    whole = re.compile(r"SCAN (batch|campaign|expansion|delivery|progress)\b(?!.* USING .*INDEX)|Seq Scan on")
    for statement, plan in found.items():
        told = "\n".join(line for line in plan.splitlines() if "campaign_replaces" not in line)
        assert not whole.search(told), f"{statement}\n{plan}"
        assert "ix_batch_campaign_id" not in plan, f"the batches that are done as well: {statement}\n{plan}"
