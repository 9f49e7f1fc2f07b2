"""After a crash exactly what was in hand is in doubt; what breaks its worker again and again is taken out."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from store.campaigns import campaign_steps
from store.campaigns import reading as campaigns
from store.engine.database import open_database
from store.errors import StoreUnavailable
from store.outbox import fence, inbox, recovery, settling
from store.outbox.inbox import ReceiptReport
from store.outbox.records import Settlement
from store.outbox.recovery import HALVE_AFTER, QUARANTINE_AFTER, Recovered
from store.outbox.resending import Resending
from store.states import BatchState, DeliveryEvent
from store.tables import audit, batch, delivery, doubt, node
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close


async def assert_sound(database, made):
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)


async def recover(database) -> list[Recovered]:
    return await database.write(recovery.recover)


async def crashed(database, *, advanced, settled=(), **options):
    """A campaign of ten whose worker died after the cursor stood at `advanced` and these were settled."""
    made = await make.a_campaign(database, 10, **options)
    held = await make.must_claim(database)
    if advanced:
        await make.advance(database, held, advanced)
    await make.settle(
        database, held, settled and [settled[n](i) for n, i in enumerate(make.ids_of(held)[: len(settled)])]
    )
    await database.write(recovery.end_all_leases)
    return made, held


def taken(i):
    return Settlement(i, DeliveryEvent.ACCEPTED, "c1", (f"ref-{i}",))


def not_sent(i):
    return Settlement(i, DeliveryEvent.NOT_SENT)


# ---- a clock that was stepped back -----------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_after_a_clock_was_stepped_back_nobody_waits_for_the_old_hour_to_come_again(database):
    """The last server lived an hour ahead: it has left a batch that waits five seconds of that hour."""
    made, held = await crashed(database, advanced=10)
    await recover(database)
    ahead_ms = await make.now_ms(database) + make.HOUR_MS

    async def an_hour_ahead(tx):
        await tx.run(sa.insert(node).values(boot_id="b", name="n", started_ms=ahead_ms, seen_ms=ahead_ms))
        waiting = {"state": int(BatchState.WAITING), "due_ms": ahead_ms + 5_000}
        await tx.run(sa.update(batch).where(batch.c.id == held.id).values(waiting))
        await tx.run(sa.update(delivery).values(changed_ms=ahead_ms))

    await database.write(an_hour_ahead)
    stepped_ms = await database.write(recovery.forget_the_future)

    now_ms = await make.now_ms(database)
    assert abs(stepped_ms - make.HOUR_MS) < 1_000
    assert abs((await make.batch_row(database, held.id)).due_ms - now_ms - 5_000) < 1_000
    assert all(row.changed_ms <= now_ms for row in await make.rows_of(database, made))
    assert await database.write(recovery.forget_the_future) == 0, "once"
    await assert_sound(database, made)


# ---- in hand ---------------------------------------------------------------------------------------------


async def test_exactly_the_rows_between_the_settled_and_the_cursor_are_in_doubt(database):
    made, held = await crashed(database, advanced=6, settled=[taken, taken, not_sent])

    assert await recover(database) == [Recovered(held.id, 3)]

    assert await make.words_of(database, made) == ["accepted"] * 2 + ["retry"] + ["unknown"] * 3 + ["queued"] * 4
    assert (await make.batch_row(database, held.id)).state == BatchState.READY
    await assert_sound(database, made)


async def test_what_was_in_hand_cost_an_attempt_and_no_money(database):
    made, _ = await crashed(database, advanced=2)
    await recover(database)

    assert [(r.attempts, r.charged) for r in (await make.rows_of(database, made))[:3]] == [(1, 0), (1, 0), (0, 0)]


async def test_a_lease_that_has_not_ended_is_nobodys_business(database):
    made = await make.a_campaign(database, 3)
    await make.must_claim(database)

    assert await recover(database) == []
    assert await make.words_of(database, made) == ["queued"] * 3


async def test_recovering_twice_changes_nothing_more(database):
    made, _ = await crashed(database, advanced=6)
    await recover(database)
    rows = await make.rows_of(database, made)

    assert await recover(database) == []
    assert await make.rows_of(database, made) == rows


async def test_two_nodes_that_recover_at_once_do_it_once(database):
    made, held = await crashed(database, advanced=6)

    found = await asyncio.gather(*(recover(database) for _ in range(4)))

    assert [r for each in found for r in each] == [Recovered(held.id, 6)]
    await assert_sound(database, made)


async def test_an_urgent_kind_sends_them_again_after_the_wait(database):
    made, _ = await crashed(database, advanced=6, settled=[taken])
    await recover(database)

    waiting = await make.must_claim(database, resending=make.PATIENT)
    assert make.ids_of(waiting) == list(made.ids["sms"][6:]), "receipts may still come for the others"
    await make.advance(database, waiting)
    state = await make.give_back(database, waiting, make.accepted(make.ids_of(waiting)), resending=make.PATIENT)
    assert state is BatchState.WAITING

    async def due(tx):
        await tx.run(sa.update(batch).values(due_ms=0))

    await database.write(due)
    await make.tick(database)
    again = await make.must_claim(database, resending=make.AT_ONCE)
    assert make.ids_of(again) == list(made.ids["sms"][1:6])
    async with database.read() as conn:
        assert (await campaigns.counts(conn, made.id))[0].resent == 5
    await assert_sound(database, made)


async def test_any_other_kind_reports_them_and_sends_the_rest(database):
    made, _ = await crashed(database, advanced=6, settled=[taken], crash_policy="report")
    await recover(database)

    held = await make.sent(database)

    assert make.ids_of(held) == list(made.ids["sms"][6:])
    assert await make.words_of(database, made) == ["accepted"] + ["unknown"] * 5 + ["accepted"] * 4
    await make.tick(database)
    assert await make.claim(database) is None
    await assert_sound(database, made)


async def test_rows_of_a_second_round_that_were_settled_in_the_first_are_not_in_hand(database):
    made = await make.a_campaign(database, 4)
    first = await make.must_claim(database)
    await make.advance(database, first)
    await make.give_back(database, first, [not_sent(i) for i in make.ids_of(first)], retry_in_ms=-1)
    await make.tick(database)
    second = await make.must_claim(database)
    await make.advance(database, second, 2)
    await database.write(recovery.end_all_leases)

    assert await recover(database) == [Recovered(second.id, 2)]
    assert await make.words_of(database, made) == ["unknown"] * 2 + ["retry"] * 2


async def test_a_batch_of_a_stopped_campaign_is_recovered_as_well(database):
    made, _ = await crashed(database, advanced=3)
    await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))
    await recover(database)
    await database.write(campaign_steps.close_ended)
    await make.tick(database)

    assert await make.words_of(database, made) == ["unknown"] * 3 + ["cancelled"] * 7
    async with database.read() as conn:
        assert (await campaigns.by_id(conn, made.id)).ended_ms is not None


# ---- what breaks its worker ------------------------------------------------------------------------------


async def no_progress(database, **options) -> list[Recovered]:
    assert await make.claim(database, **options) is not None
    await database.write(recovery.end_all_leases)
    return await recover(database)


async def test_a_batch_without_progress_is_halved_and_both_halves_are_whole(database):
    made = await make.a_campaign(database, 9)

    outcomes = [await no_progress(database) for _ in range(HALVE_AFTER)]

    assert [o[0].halved for o in outcomes] == [False, True]
    first = made.ids["sms"][0]
    rows = await make.batches_of(database, made)
    assert [(b.first - first, b.last - first, b.cursor - first, b.state) for b in rows] == [
        (0, 4, -1, BatchState.READY), (5, 8, 4, BatchState.READY),
    ]  # fmt: skip
    assert await make.words_of(database, made) == ["queued"] * 9
    await assert_sound(database, made)


async def test_progress_of_the_cursor_forgives_what_was_before(database):
    made = await make.a_campaign(database, 9)
    await no_progress(database)
    held = await make.must_claim(database)
    await make.advance(database, held, 1)
    await database.write(recovery.end_all_leases)
    await recover(database)

    assert [r.halved for r in await no_progress(database)] == [False]
    assert len(await make.batches_of(database, made)) == 1


async def test_one_bad_row_is_found_and_everyone_else_is_reached(database):
    """A worker that dies before its first cursor whenever the bad row is among its rows."""
    made = await make.a_campaign(database, 16)
    bad = made.ids["sms"][11]
    quarantined = []
    for _ in range(100):
        held = await make.claim(database)
        if held is None:
            break
        if bad in make.ids_of(held):
            await database.write(recovery.end_all_leases)
            quarantined += [r.quarantined for r in await recover(database) if r.quarantined]
        else:
            await make.advance(database, held)
            await make.give_back(database, held, make.accepted(make.ids_of(held)))

    words = await make.words_of(database, made)
    assert quarantined == [bad]
    assert (words.count("accepted"), words[11]) == (15, "failed")
    rows = await make.rows_of(database, made)
    assert (rows[11].code, rows[11].charged) == ("quarantined", 0)
    async with database.read() as conn:
        lines = (await conn.execute(sa.select(audit).where(audit.c.action == "delivery-quarantined"))).all()
    assert [line.subject for line in lines] == [str(bad)]
    await assert_sound(database, made)


async def test_a_person_alone_in_a_batch_gets_more_tries_than_two(database):
    made = await make.a_campaign(database, 1)

    outcomes = [(await no_progress(database))[0] for _ in range(QUARANTINE_AFTER)]

    assert [o.quarantined is not None for o in outcomes] == [False] * (QUARANTINE_AFTER - 1) + [True]
    assert await make.words_of(database, made) == ["failed"]
    await make.tick(database)
    assert await make.claim(database) is None


async def test_a_worker_that_threw_keeps_what_it_knew_and_the_rest_of_its_hand_is_in_doubt(database):
    made = await make.a_campaign(database, 6)
    held = await make.must_claim(database)
    await make.advance(database, held, 4)
    ids = make.ids_of(held)

    result = await database.write(lambda tx: recovery.abandon(tx, held, make.accepted(ids[:2]), make.HOUR_MS))

    assert result == Recovered(held.id, 2)
    assert await make.words_of(database, made) == ["accepted"] * 2 + ["unknown"] * 2 + ["queued"] * 2
    row = await make.batch_row(database, held.id)
    assert row.state == BatchState.WAITING
    assert row.due_ms > await make.now_ms(database), "it rests a moment"
    await assert_sound(database, made)


async def test_a_worker_that_threw_after_it_had_lost_its_lease_leaves_the_batch_alone(database):
    made = await make.a_campaign(database, 3)
    lost = await make.must_claim(database, lease_ms=-1)
    await recover(database)
    held = await make.must_claim(database)

    facts = make.accepted(make.ids_of(lost)[:1])
    assert await database.write(lambda tx: recovery.abandon(tx, lost, facts, 0)) is None

    assert (await make.batch_row(database, held.id)).lease == held.lease
    assert await make.words_of(database, made) == ["accepted", "queued", "queued"]


async def test_a_batch_that_throws_before_its_first_cursor_is_halved_at_the_second_time(database):
    made = await make.a_campaign(database, 4)

    for expected in (False, True):
        held = await make.must_claim(database)
        result = await database.write(lambda tx, h=held: recovery.abandon(tx, h, (), -1))
        await make.tick(database)
        assert result.halved is expected

    assert len(await make.batches_of(database, made)) == 2
    await assert_sound(database, made)


# ---- kill -9 ---------------------------------------------------------------------------------------------


async def recovered_in_time(database) -> list[Recovered]:
    """What is recovered once the lease has ended."""
    async with asyncio.timeout(10):
        recovered = []
        while not recovered:
            await asyncio.sleep(0.02)
            recovered = await recover(database)
        return recovered


@contextlib.asynccontextmanager
async def a_doomed_worker(url, *, advanced, settled, lease_ms):
    root = Path(__file__).parents[2]
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent / "doomed_worker.py"), url, str(advanced), str(settled),
        str(lease_ms), stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            assert (await child.stdout.readline()).strip() == b"in hand"
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        async with asyncio.timeout(10):
            await child.communicate()


@pytest.mark.parametrize("policy", ["resend", "report"])
async def test_kill_9_loses_nothing_and_doubts_only_what_was_in_hand(store_url, engine, policy):
    async with open_database(store_url) as database:
        made = await make.a_campaign(database, 20, crash_policy=policy)
    async with a_doomed_worker(
        store_url, advanced=12, settled=5, lease_ms=60_000 if engine == "sqlite" else 400
    ) as child:
        child.send_signal(signal.SIGKILL)
        await asyncio.wait_for(child.wait(), 10)

    async with open_database(store_url) as database:
        if engine == "sqlite":
            await database.write(recovery.end_all_leases)
        recovered = await recovered_in_time(database)

        assert [r.unknown for r in recovered] == [7]
        assert await make.words_of(database, made) == ["accepted"] * 5 + ["unknown"] * 7 + ["queued"] * 8
        await assert_sound(database, made)
        held = await make.sent(database, resending=Resending(0, 3))
        assert len(held.rows) == (15 if policy == "resend" else 8)
        await make.tick(database)
        assert await make.claim(database) is None
        await assert_sound(database, made)


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)], indirect=True)
async def test_a_frozen_node_that_wakes_after_its_lease_can_neither_send_nor_close(store_url):
    async with open_database(store_url) as database:
        made = await make.a_campaign(database, 20)
        async with a_doomed_worker(store_url, advanced=12, settled=5, lease_ms=400) as child:
            child.send_signal(signal.SIGSTOP)
            await recovered_in_time(database)
            held = await make.must_claim(database)
            assert held.lease == 2
        stale = msgspec.structs.replace(held, lease=1)
        assert await make.advance(database, stale) is fence.Fence.LOST
        assert await make.give_back(database, stale) is None
        assert await make.give_back(database, held) is not None
        await assert_sound(database, made)


# ---- several at once ---------------------------------------------------------------------------------------


async def several_crashed(database, batches_, **options):
    made = await make.a_campaign(database, 2 * batches_, batch_size=2, **options)
    held = [await make.must_claim(database) for _ in range(batches_)]
    for each in held:
        await make.advance(database, each)
    await database.write(recovery.end_all_leases)
    return made, held


async def test_a_batch_that_cannot_be_taken_back_stops_no_other(database, monkeypatch, caplog):
    made, held = await several_crashed(database, 25)
    broken, sound = {each.id for each in held[:22]}, held[22:]  # more than one look takes
    call_lost = recovery._call_lost

    async def call(tx, row, evidence):
        if row.id in broken:
            await tx.run(sa.update(batch).where(batch.c.id == row.id).values(losses=99))
            raise ValueError("cannot be worked on")
        return await call_lost(tx, row, evidence)

    monkeypatch.setattr(recovery, "_call_lost", call)
    left_alone = set()

    recovered = await database.write(lambda tx: recovery.recover(tx, left_alone=left_alone))

    assert {r.batch_id for r in recovered} == {each.id for each in sound}
    assert left_alone == broken
    assert {r.subject for r in caplog.records if getattr(r, "action", "") == "recover-failed"} == broken
    rows = await make.batches_of(database, made)
    assert all(row.state == BatchState.LEASED and row.losses == 0 for row in rows if row.id in broken)
    assert (await make.words_of(database, made)).count("unknown") == 6
    await assert_sound(database, made)


async def test_a_statement_that_fails_about_one_batch_stops_no_other(database, monkeypatch):
    _, (broken, sound) = await several_crashed(database, 2)
    call_lost = recovery._call_lost

    async def call(tx, row, evidence):
        if row.id == broken.id:
            await tx.run(sa.text("SELECT * FROM no_such_table"))
        return await call_lost(tx, row, evidence)

    monkeypatch.setattr(recovery, "_call_lost", call)

    assert [r.batch_id for r in await recover(database)] == [sound.id]


async def test_a_store_that_goes_away_is_no_fault_of_a_batch_and_nothing_is_kept(database, monkeypatch):
    made, (_, second) = await several_crashed(database, 2)
    put_back = recovery._put_back

    async def put(tx, row, *rest):
        if row.id == second.id:
            raise StoreUnavailable("away")
        return await put_back(tx, row, *rest)

    monkeypatch.setattr(recovery, "_put_back", put)
    left_alone = set()
    with pytest.raises(StoreUnavailable):
        await database.write(lambda tx: recovery.recover(tx, left_alone=left_alone))

    assert not left_alone
    assert set(await make.words_of(database, made)) == {"queued"}


async def test_each_batch_keeps_its_own_round_and_the_hour_at_which_it_was_handed_over(database):
    made = await make.a_campaign(database, 4, batch_size=2)
    once = await make.must_claim(database)
    await make.give_back(database, once)
    held = [await make.must_claim(database) for _ in range(2)]
    for n, each in enumerate(held):
        await make.advance(database, each)
        claimed = sa.update(batch).where(batch.c.id == each.id).values(claimed_ms=1000 + n)
        await database.write(lambda tx, claimed=claimed: tx.run(claimed))
    await database.write(recovery.end_all_leases)

    await recover(database)

    assert {each.round for each in held} == {1, 2}
    async with database.read() as conn:
        found = (await conn.execute(sa.select(doubt.c.delivery_id, doubt.c.round, doubt.c.handed_ms))).all()
    expected = [(i, each.round, 1000 + n) for n, each in enumerate(held) for i in make.ids_of(each)]
    assert sorted(map(tuple, found)) == sorted(expected)
    await assert_sound(database, made)


async def until_somebody_waits_for_a_lock(database):
    waiting = sa.text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    while True:
        async with database.read() as conn:
            if (await conn.execute(waiting)).first():
                return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)])
@pytest.mark.parametrize("work", [recovery.recover, campaign_steps.close_ended], ids=lambda work: work.__name__)
async def test_whoever_takes_several_batches_and_a_late_answer_do_not_wait_for_each_other_in_a_circle(database, work):
    made, (_, second) = await several_crashed(database, 2)
    if work is campaign_steps.close_ended:
        await recover(database)
        await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))
        await database.write(lambda tx: tx.run(sa.update(delivery).values(state=0, doubted=0)))
    ids = make.ids_of(second)
    holds_its_rows, go_on = asyncio.Event(), asyncio.Event()
    begun = []

    async def answer(tx):
        begun.append("answer")
        await tx.rows(sa.select(delivery.c.id).where(delivery.c.id.in_(ids)).order_by(delivery.c.id).with_for_update())
        holds_its_rows.set()
        await go_on.wait()
        await settling.apply(tx, make.accepted(ids), round_=second.round)

    async def several(tx):
        begun.append("several")
        await work(tx)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(database.write(answer))
        await holds_its_rows.wait()
        tasks.create_task(database.write(several))
        await until_somebody_waits_for_a_lock(database)
        go_on.set()

    assert begun == ["answer", "several"], "nobody had to begin again"


# ---- what the worker that died has noted -------------------------------------------------------------------


class Note:
    """Evidence as a test says."""

    def __init__(self, held, *, begun=(), answers=(), knows=True):
        self.held, self.begun, self.knows = held, set(begun), knows
        self.answers = {answer.delivery_id: answer for answer in answers}

    def was_claimed(self, batch_id, round_):
        return self.knows and (batch_id, round_) == (self.held.id, self.held.round)

    def was_begun(self, delivery_id, round_):
        return round_ == self.held.round and delivery_id in self.begun

    def answer(self, delivery_id, round_):
        return self.answers.get(delivery_id) if round_ == self.held.round else None


async def taken_up(database, note) -> list[Recovered]:
    return await database.write(lambda tx: recovery.recover(tx, evidence=note))


async def test_in_doubt_is_only_what_was_begun_and_not_answered(database):
    made, held = await crashed(database, advanced=6, settled=[taken])
    ids = make.ids_of(held)
    note = Note(
        held, begun=ids[1:4], answers=[taken(ids[1]), Settlement(ids[2], DeliveryEvent.REFUSED, "c1", code="11")]
    )

    assert await taken_up(database, note) == [Recovered(held.id, 1)]

    assert await make.words_of(database, made) == [
        "accepted", "accepted", "failed", "unknown", "retry", "retry", *["queued"] * 4,
    ]  # fmt: skip
    assert [(r.attempts, r.charged) for r in await make.rows_of(database, made)][4:6] == [(0, 0), (0, 0)]
    await assert_sound(database, made)


async def test_what_was_not_begun_leaves_with_the_next_round(database):
    _, held = await crashed(database, advanced=6)
    await taken_up(database, Note(held))

    again = await make.must_claim(database)

    assert [row.id for row in again.rows] == list(make.ids_of(held))
    assert (await make.batch_row(database, held.id)).cursor < held.first


async def test_an_answer_that_only_the_note_has_finds_its_receipt(database):
    made, held = await crashed(database, advanced=2)
    ids = make.ids_of(held)
    await taken_up(database, Note(held, begun=ids[:2], answers=[taken(ids[0])]))

    await database.write(lambda tx: inbox.record(tx, [ReceiptReport("c1", f"ref-{ids[0]}", "delivered", 1)]))

    assert (await make.words_of(database, made))[:2] == ["delivered", "unknown"]
    await assert_sound(database, made)


async def test_a_note_that_does_not_know_the_round_changes_nothing(database):
    made, held = await crashed(database, advanced=3)

    await taken_up(database, Note(held, knows=False))

    assert (await make.words_of(database, made))[:3] == ["unknown"] * 3


async def test_only_what_the_dead_worker_held_is_taken_up_before_its_lease_ends(database):
    """On a database of several nodes: the others work on."""
    made = await make.a_campaign(database, 8, batch_size=4)
    mine = await make.must_claim(database)
    await make.advance(database, mine, 2)
    other = await make.must_claim(database)
    await make.advance(database, other, 2)
    await database.write(lambda tx: tx.run(sa.update(batch).where(batch.c.id == other.id).values(node="other")))

    await database.write(lambda tx: recovery.end_leases_of(tx, mine.node))
    found = await database.write(lambda tx: recovery.recover(tx, evidence=Note(mine), node_name=mine.node))

    assert found == [Recovered(mine.id, 0)]
    assert (await make.batch_row(database, other.id)).state == BatchState.LEASED
    await assert_sound(database, made)


async def test_what_was_found_out_afterwards_is_no_sign_of_life(database):
    """A row that kills whoever begins to write it is still found: its worker was told of nobody."""
    _, held = await crashed(database, advanced=3)
    ids = make.ids_of(held)

    await taken_up(database, Note(held, begun=ids[:1]))

    assert (await make.batch_row(database, held.id)).losses == 1
