"""Prepaid money of a zone, in thousandths of a euro: lots in, reservations and settlements out."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import ledger
from store.transaction import Transaction

_balance = sa.select(sa.func.coalesce(sa.func.sum(ledger.c.amount_millieuro), 0)).where(
    ledger.c.zone_id == sa.bindparam("zone"),
    sa.or_(ledger.c.valid_until_ms.is_(None), ledger.c.valid_until_ms > sa.bindparam("now")),
)


async def balance_millieuro(conn: AsyncConnection, zone_id: int, now_ms: int) -> int:
    """What may still be spent: every entry but the lots that are no longer valid."""
    return int((await conn.execute(_balance, {"zone": zone_id, "now": now_ms})).scalar_one())


async def add_lot(tx: Transaction, zone_id: int, amount_millieuro: int, valid_until_ms: int | None, note: str) -> None:
    await tx.run(
        sa.insert(ledger).values(
            zone_id=zone_id, entry="lot", amount_millieuro=amount_millieuro, at_ms=tx.now_ms,
            valid_until_ms=valid_until_ms, note=note,
        )
    )  # fmt: skip
