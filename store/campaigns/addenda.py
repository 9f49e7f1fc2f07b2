"""What moves after a report was sealed: which campaigns it concerns, the addenda that tell it, and the money of it."""

from collections.abc import Collection, Mapping

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.money.bookings import What, lock
from store.money.reservations import settle
from store.tables import addendum, campaign, progress

LATEST_MS = 35 * 86_400_000
"""How long after its seal a report may get an addendum. SMSCs try for three days, relays for five; what an operator
loads again after a breakdown comes later."""


class FiledAddendum(msgspec.Struct, frozen=True):
    number: int
    """From 1."""
    at_ms: int
    document: str
    """JSON."""


_without = json_rows("without", id=int)
_due = Prepared(
    sa.select(campaign.c.id)
    .where(
        campaign.c.sealed_ms > sa.bindparam("since"),
        campaign.c.id.not_in(sa.select(_without.c.id)),
        sa.exists().where(
            progress.c.campaign_id == campaign.c.id, progress.c.revision > progress.c.told_revision
        ),
    )
    .order_by(campaign.c.id)
    .limit(10)
)  # fmt: skip


async def due(conn: AsyncConnection, now_ms: int, without: Collection[int] = ()) -> list[int]:
    """Sealed campaigns of which something is not told yet, but for those of `without`."""
    values = {"since": now_ms - LATEST_MS, "without": pack((i,) for i in without)}
    return [row.id for row in await rows_of(conn, _due, values)]


_of_campaign = Prepared(
    sa.select(addendum.c.number, addendum.c.at_ms, addendum.c.document)
    .where(addendum.c.campaign_id == sa.bindparam("campaign"))
    .order_by(addendum.c.number)
)


async def of(conn: AsyncConnection, campaign_id: int) -> list[FiledAddendum]:
    """The addenda of a campaign, in the order in which they were added."""
    return [FiledAddendum(*row) for row in await rows_of(conn, _of_campaign, {"campaign": campaign_id})]


_campaign = Prepared(
    sa.select(campaign.c.id).where(campaign.c.id == sa.bindparam("campaign")).with_for_update(key_share=True)
)
_counters = Prepared(
    sa.select(progress.c.channel, progress.c.revision)
    .where(progress.c.campaign_id == sa.bindparam("campaign"))
    .order_by(progress.c.channel)
    .with_for_update()
)
_tell = Prepared(
    sa.update(progress)
    .where(progress.c.campaign_id == sa.bindparam("campaign"), progress.c.channel == sa.bindparam("channel_"))
    .values(told_revision=sa.bindparam("revision_"))
)


async def hold_counters(tx: Transaction, campaign_id: int) -> dict[str, int]:
    """Channel -> revision of its counters, which stand still from here to the end of the transaction: a receipt of
    another node comes before, and is seen, or after, and becomes an addendum. The campaign's row is locked before them,
    as a fence does."""
    await tx.first(_campaign, {"campaign": campaign_id})
    return {row.channel: row.revision for row in await tx.rows(_counters, {"campaign": campaign_id})}


async def all_told(tx: Transaction, campaign_id: int, told: Mapping[str, int] | None = None) -> None:
    """The report and its addenda tell the counters at these revisions (channel -> revision); without them, as they
    are now, in this transaction."""
    seen = await hold_counters(tx, campaign_id) if told is None else told
    for channel, revision in sorted(seen.items()):
        await tx.run(_tell, {"campaign": campaign_id, "channel_": channel, "revision_": revision})


async def add(
    tx: Transaction,
    campaign_id: int,
    number: int,
    document: str,
    settled_millieuro: int,
    told: Mapping[str, int] | None = None,
) -> None:
    """Keep an addendum; what has come to be paid is a booking of its own, and no booking is altered.

    `settled_millieuro`: what the zone has paid with it. It is money of the lots that the campaign had reserved, even
    after their end (store/money/reservations.py). `told`: the revisions that it was drawn from; without them nothing
    more is taken for told, and the next look finds out. Raises ValueError when the money is above the reservation, or
    less than before.
    """
    row = await tx.first(sa.select(campaign).where(campaign.c.id == campaign_id).with_for_update(key_share=True))
    if row is None or settled_millieuro > row.reserved_millieuro:
        raise ValueError(f"campaign {campaign_id}: {settled_millieuro} is more than was reserved")
    owed = settled_millieuro - row.settled_millieuro
    if owed < 0:
        raise ValueError(f"campaign {campaign_id}: {row.settled_millieuro} was paid, and what is charged stays charged")
    await tx.run(sa.insert(addendum).values(campaign_id=campaign_id, number=number, at_ms=tx.now_ms, document=document))
    await tx.run(sa.update(campaign).where(campaign.c.id == campaign_id).values(settled_millieuro=settled_millieuro))
    if told is not None:
        await all_told(tx, campaign_id, told)
    detail = {"number": number, "millieuro": owed}
    await audit.note(tx, "addendum", row.public_id, zone_id=row.zone_id, detail=detail)
    if owed:
        await lock(tx, [row.zone_id])
        await settle(tx, row.zone_id, campaign_id, owed, what=What.ADDENDUM, note=f"addendum {number}")
