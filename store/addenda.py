"""What moves after a report was sealed: which campaigns it concerns, the addenda that tell it, and the money of it."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.bookings import What, lock
from store.reservations import settle
from store.tables import addendum, audit, campaign, progress
from store.transaction import Transaction

LATEST_MS = 35 * 86_400_000
"""How long after its seal a report may get an addendum. SMSCs try for three days, relays for five; what an operator
loads again after a breakdown comes later."""


class Addendum(msgspec.Struct, frozen=True):
    number: int
    """From 1."""
    at_ms: int
    document: str
    """JSON."""


_due = (
    sa.select(campaign.c.id)
    .where(
        campaign.c.sealed_ms > sa.bindparam("since"),
        sa.exists().where(
            progress.c.campaign_id == campaign.c.id, progress.c.revision > progress.c.told_revision
        ),
    )
    .order_by(campaign.c.id)
    .limit(10)
)  # fmt: skip


async def due(conn: AsyncConnection, now_ms: int) -> list[int]:
    """Sealed campaigns of which something is not told yet."""
    return [row.id for row in (await conn.execute(_due, {"since": now_ms - LATEST_MS})).all()]


async def of(conn: AsyncConnection, campaign_id: int) -> list[Addendum]:
    """In their order."""
    rows = await conn.execute(
        sa.select(addendum.c.number, addendum.c.at_ms, addendum.c.document)
        .where(addendum.c.campaign_id == campaign_id)
        .order_by(addendum.c.number)
    )
    return [Addendum(*row) for row in rows.all()]


async def all_told(tx: Transaction, campaign_id: int) -> None:
    """The report and its addenda tell the counters as they are now, in this transaction."""
    told = sa.update(progress).where(progress.c.campaign_id == campaign_id)
    await tx.run(told.values(told_revision=progress.c.revision))


async def add(tx: Transaction, campaign_id: int, number: int, document: str, settled_millieuro: int) -> None:
    """Keep an addendum; what has come to be paid is a booking of its own, and no booking is altered.

    `settled_millieuro`: what the zone has paid with it. It is money of the lots that the campaign had reserved, even
    after their end (store/reservations.py). Raises ValueError when that is above the reservation, or less than before.
    """
    row = await tx.first(sa.select(campaign).where(campaign.c.id == campaign_id).with_for_update(key_share=True))
    if row is None or settled_millieuro > row.reserved_millieuro:
        raise ValueError(f"campaign {campaign_id}: {settled_millieuro} is more than was reserved")
    owed = settled_millieuro - row.settled_millieuro
    if owed < 0:
        raise ValueError(f"campaign {campaign_id}: {row.settled_millieuro} was paid, and what is charged stays charged")
    await tx.run(sa.insert(addendum).values(campaign_id=campaign_id, number=number, at_ms=tx.now_ms, document=document))
    await tx.run(sa.update(campaign).where(campaign.c.id == campaign_id).values(settled_millieuro=settled_millieuro))
    await all_told(tx, campaign_id)
    detail = msgspec.json.encode({"number": number, "millieuro": owed}).decode()
    await tx.run(sa.insert(audit).values(at_ms=tx.now_ms, action="addendum", subject=row.public_id, detail=detail))
    if owed:
        await lock(tx, [row.zone_id])
        await settle(tx, row.zone_id, campaign_id, owed, what=What.ADDENDUM, note=f"addendum {number}")
