"""What goes when its time is over, and what stays; receipts that match nothing cost less and less."""

import sqlalchemy as sa

from store import audit, retention
from store.audit_reading import latest
from store.engine.database import Database
from store.outbox import inbox
from store.outbox.matching import ReceiptReport
from store.retention import AT_ONCE, DAY_MS, RetentionPeriods
from store.tables import audit as lines
from store.tables import batch, campaign, carrier_ref, delivery, expansion, progress, receipt_inbox
from tests.store import makers as make
from tests.store.makers import Made, a_campaign

YEAR = RetentionPeriods(deliveries=400, receipts=35, audit=3650)


async def sealed(database: Database, made: Made, days_ago: float) -> None:
    async def work(tx):  # type: ignore[no-untyped-def]
        at_ms = tx.now_ms - int(days_ago * DAY_MS)
        await tx.run(
            sa.update(campaign).where(campaign.c.id == made.id).values(sealed_ms=at_ms, ended_ms=at_ms, report="{}")
        )

    await database.write(work)


async def cleared(database: Database, keeping: RetentionPeriods = YEAR) -> int:
    """How many steps that took."""
    steps = 1
    while await database.write(lambda tx: retention.clear_some(tx, keeping)):
        steps += 1
    return steps


async def count(database: Database, table: sa.Table) -> int:
    async with database.read() as conn:
        return int((await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())


async def test_deliveries_go_when_their_time_is_over_and_counters_money_and_report_stay(database: Database) -> None:
    old, young, running = [await a_campaign(database, 30) for _ in range(3)]
    await make.sent(database)
    await sealed(database, old, 401)
    await sealed(database, young, 399)
    async with database.read() as conn:
        before = (await conn.execute(sa.select(progress).order_by(progress.c.campaign_id))).all()

    await cleared(database)

    async with database.read() as conn:
        left = {row.id >> 24 for row in (await conn.execute(sa.select(delivery.c.id))).all()}
        refs = {row.delivery_id >> 24 for row in (await conn.execute(sa.select(carrier_ref.c.delivery_id))).all()}
        batches = set((await conn.execute(sa.select(batch.c.campaign_id))).scalars())
        kept = {row.id: row for row in (await conn.execute(sa.select(campaign))).all()}
        after = (await conn.execute(sa.select(progress).order_by(progress.c.campaign_id))).all()
    assert left == {young.id, running.id}
    assert old.id not in refs
    assert batches == {young.id, running.id}
    assert {id_: row.cleared_ms is not None for id_, row in kept.items()} == {
        old.id: True, young.id: False, running.id: False,
    }  # fmt: skip
    assert kept[old.id].report == "{}"
    assert after == before


async def test_what_is_kept_and_when_it_goes_is_told_from_the_counters(database: Database) -> None:
    old, young, _ = [await a_campaign(database, 30) for _ in range(3)]
    await sealed(database, young, 10)
    await sealed(database, old, 401)

    async def told() -> retention.ToGo:
        async with database.read() as conn:
            return await retention.to_go(conn, database.clock.now_ms(), YEAR)

    before = await told()
    assert (before.campaigns, before.uncleared, before.deliveries) == (1, 2, 60)
    await cleared(database)
    after = await told()
    assert (after.campaigns, after.uncleared, after.deliveries) == (0, 1, 30)
    assert (before.oldest_ms or 0) < (after.oldest_ms or 0)


async def test_a_large_campaign_goes_in_many_short_steps(database: Database) -> None:
    made = await a_campaign(database, 2 * AT_ONCE + 10)
    await sealed(database, made, 500)

    steps = await cleared(database)

    assert steps >= 3
    assert (await count(database, delivery), await count(database, expansion)) == (0, 0)
    assert await cleared(database) == 1


async def test_receipts_go_a_day_after_they_matched_and_orphans_later(database: Database) -> None:
    async def work(tx):  # type: ignore[no-untyped-def]
        row = {"carrier": "a", "state": "delivered", "at_ms": 1, "received_ms": tx.now_ms - 40 * DAY_MS}
        fresh = {"received_ms": tx.now_ms - 5 * DAY_MS}
        for number, more in enumerate([{"matched_ms": tx.now_ms - 2 * DAY_MS}, {"matched_ms": tx.now_ms}, {}, fresh]):
            await tx.run(sa.insert(receipt_inbox).values(row | {"ref": f"r{number}"} | more))

    await database.write(work)

    await cleared(database)

    async with database.read() as conn:
        assert sorted((await conn.execute(sa.select(receipt_inbox.c.ref))).scalars()) == ["r1", "r3"]


async def test_old_lines_of_the_audit_go_from_the_oldest_and_their_links_stay(database: Database) -> None:
    for number in range(4):
        await database.write(lambda tx, n=number: audit.note(tx, "hold", f"zone {n}", apart={"by": "me"}))  # type: ignore[misc]
    await database.write(audit.link)
    await database.write(lambda tx: audit.note(tx, "hold", "not chained yet"))
    await database.write(
        lambda tx: tx.run(sa.update(lines).where(lines.c.subject.in_(("zone 0", "zone 1", "zone 3"))).values(at_ms=1))
    )

    await cleared(database)

    async with database.read() as conn:
        left = {line.subject for line in await latest(conn, 10)}
    assert left == {"not chained yet", "zone 3", "zone 2"}, "what goes out of the middle would be missed"


# ---- orphans -------------------------------------------------------------------------------------------------------


async def test_a_receipt_that_matches_nothing_is_tried_less_and_less(database: Database) -> None:
    orphans = [ReceiptReport("a", f"gone-{n}", "delivered", 1, destination=f"+3247{n:07}") for n in range(50)]
    await database.write(lambda tx: inbox.record(tx, orphans))

    tried = [await database.write(lambda tx: inbox.try_due(tx, since_ms=0)) for _ in range(3)]

    async with database.read() as conn:
        dues = (await conn.execute(sa.select(receipt_inbox.c.due_ms - receipt_inbox.c.received_ms))).scalars().all()
    assert tried == [False, False, False]
    assert all(5_000 <= due <= 60_000 for due in dues)


async def test_a_rest_doubles_what_was_waited_and_is_an_hour_at_most() -> None:
    waited, tries = 0, 0
    while waited < 72 * 3_600_000:
        waited += inbox._rest_ms(waited)
        tries += 1

    assert tries < 90, "of 51,840 looks in three days as many are left"


async def test_what_rests_is_matched_at_once_when_its_message_is_known(database: Database) -> None:
    made = await a_campaign(database, 1)
    await database.write(lambda tx: inbox.record(tx, [ReceiptReport("a", "quick", "delivered", 1)]))
    await database.write(lambda tx: inbox.try_due(tx, since_ms=0))

    await database.write(lambda tx: tx.run(sa.insert(carrier_ref).values(
        carrier="a", ref="quick", delivery_id=made.ids["sms"][0], attempt=1, part=1, parts=1
    )))  # fmt: skip
    matched = await database.write(lambda tx: inbox.match_new_refs(tx, [("a", "quick")]))

    assert matched == 1
