"""A zone's books as tests read them: what was booked, what is where, and whether it closes."""

import dataclasses
from collections import defaultdict

import sqlalchemy as sa

from store.engine.database import Database, T, Work
from store.money import ledger, recount
from store.tables import booking, entry


async def at(database: Database, at_ms: int, work: Work[T]) -> T:
    """Do it as if it were so late."""
    return await database.write(lambda tx: work(dataclasses.replace(tx, now_us=at_ms * 1000)))


async def balance(database: Database, zone_id: int, *, at_ms: int | None = None) -> int:
    async with database.read() as conn:
        return await ledger.balance_millieuro(conn, zone_id, database.clock.now_ms() if at_ms is None else at_ms)


async def booked(database: Database, campaign_id: int | None = None) -> list[tuple[str, int]]:
    """What was booked and how much it moved, in order: of a campaign, or all."""
    statement = sa.select(booking.c.what, sa.func.sum(entry.c.amount_millieuro)).join(entry)
    if campaign_id is not None:
        statement = statement.where(booking.c.campaign_id == campaign_id)
    moved = statement.where(entry.c.amount_millieuro > 0).group_by(booking.c.id, booking.c.what).order_by(booking.c.id)
    async with database.read() as conn:
        return [(row[0], int(row[1])) for row in (await conn.execute(moved)).all()]


async def accounts(database: Database, zone_id: int) -> dict[str, dict[str, int]]:
    """Reference of the lot ("" for what is lent) -> account -> what it holds; accounts that hold nothing left out."""
    lots = sa.table("lot", sa.column("id"), sa.column("reference"))
    statement = (
        sa.select(sa.func.coalesce(lots.c.reference, ""), entry.c.account, sa.func.sum(entry.c.amount_millieuro))
        .select_from(entry)
        .join(lots, lots.c.id == entry.c.lot_id, isouter=True)
        .where(entry.c.zone_id == zone_id)
        .group_by(lots.c.reference, entry.c.account)
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    async with database.read() as conn:
        for reference, account, amount in (await conn.execute(statement)).all():
            if amount:
                found[reference][account] = int(amount)
    return dict(found)


async def assert_books_close(database: Database, *zone_ids: int) -> None:
    async with database.read() as conn:
        for zone_id in zone_ids:
            assert await recount.differences(conn, zone_id) == []
