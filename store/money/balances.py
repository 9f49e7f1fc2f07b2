"""The prepaid money of each zone at a glance: what may be spent, what is reserved, what of which lot is left."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.money.bookings import LedgerAccount, head
from store.money.ledger import balance_millieuro, in_order_of_expiry
from store.tables import entry, lot, zone


class LotView(msgspec.Struct, frozen=True):
    reference: str
    amount_millieuro: int
    free_millieuro: int
    valid_until_ms: int | None
    over: bool


class Purse(msgspec.Struct, frozen=True):
    zone: str
    balance_millieuro: int
    """Negative: lent by the operator."""
    reserved_millieuro: int
    spent_millieuro: int
    lots: tuple[LotView, ...]


async def purses(conn: AsyncConnection, now_ms: int, zone_code: str = "") -> list[Purse]:
    """The money of one zone, or of all, in the order of their codes."""
    wanted = sa.select(zone.c.id, zone.c.code).order_by(zone.c.code)
    rows = (await conn.execute(wanted.where(zone.c.code == zone_code) if zone_code else wanted)).all()
    return [await _purse(conn, row.id, row.code, now_ms) for row in rows]


async def _purse(conn: AsyncConnection, zone_id: int, code: str, now_ms: int) -> Purse:
    of_zone = (
        sa.select(entry.c.account, sa.func.sum(entry.c.amount_millieuro).label("amount"))
        .where(entry.c.zone_id == zone_id)
        .group_by(entry.c.account)
    )
    sums = {row.account: int(row.amount) for row in (await conn.execute(of_zone)).all()}
    free = sa.func.coalesce(head(lot.c.zone_id, lot.c.id, str(LedgerAccount.LOT)), 0)
    lots = await conn.execute(
        sa.select(lot.c.reference, lot.c.amount_millieuro, free, lot.c.valid_until_ms)
        .where(lot.c.zone_id == zone_id)
        .order_by(*in_order_of_expiry)
    )
    return Purse(
        zone=code,
        balance_millieuro=await balance_millieuro(conn, zone_id, now_ms),
        reserved_millieuro=sums.get(str(LedgerAccount.RESERVED), 0),
        spent_millieuro=sums.get(str(LedgerAccount.SPENT), 0),
        lots=tuple(
            LotView(row[0], row[1], int(row[2]), row[3], row[3] is not None and row[3] <= now_ms) for row in lots.all()
        ),
    )
