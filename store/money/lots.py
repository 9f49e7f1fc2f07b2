"""Prepaid lots that come with a reference of their own: filing one twice is filing it once."""

import sqlalchemy as sa

from store.engine.transaction import Transaction
from store.errors import Conflict
from store.money.bookings import lock
from store.money.ledger import add_lot
from store.tables import lot


async def put_lot(
    tx: Transaction, zone_id: int, reference: str, amount_millieuro: int, valid_until_ms: int | None
) -> bool:
    """Files a lot; False where it was filed before. Raises Conflict when the zone has a lot of this reference with
    other terms."""
    await lock(tx, [zone_id])
    known = sa.select(lot.c.amount_millieuro, lot.c.valid_until_ms)
    found = await tx.first(known.where(lot.c.zone_id == zone_id, lot.c.reference == reference))
    if found is None:
        await add_lot(tx, zone_id, amount_millieuro, valid_until_ms, reference)
        return True
    if (found.amount_millieuro, found.valid_until_ms) != (amount_millieuro, valid_until_ms):
        raise Conflict(f"lot {reference} is there already with another amount or another date")
    return False
