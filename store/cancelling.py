"""A Cancel goes to everyone who MAY have what it cancels: the rows tell who, and when the last of them is known.

The campaigns it ends had their epoch moved already, so the set only shrinks while their last answers come in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import bookings, reservations
from store.json_rows import json_rows, pack
from store.launching import file_audience
from store.records import Settlement
from store.settling import apply
from store.states import MAY_HAVE_IT, BatchState, CampaignState, DeliveryState, Event
from store.tables import address, batch, campaign, campaign_replaces, contact, delivery
from store.transaction import AnyRow, Transaction

_OPEN = (int(DeliveryState.QUEUED), int(DeliveryState.RETRY))
_HAVE = tuple(int(s) for s in MAY_HAVE_IT)


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who has the message or may have it."""

    delivery_id: int
    channel: str
    member_id: int
    contact_id: int
    address_id: int
    language: str
    in_hand: bool
    """Handed to a carrier and not answered yet."""


_may_have_it = sa.or_(
    delivery.c.state.in_(_HAVE),
    # Failed or expired after a carrier had taken it: a part of it, or the whole, may have arrived after all.
    delivery.c.charged == 1,
    # An earlier attempt of it never got an answer.
    delivery.c.doubted == 1,
)
_holders = (
    sa.select(
        delivery.c.id,
        delivery.c.channel,
        delivery.c.member_id,
        delivery.c.contact_id,
        address.c.id.label("address_id"),
        delivery.c.language,
        delivery.c.state.in_(_OPEN).label("in_hand"),
    )
    .join(contact, contact.c.id == delivery.c.contact_id)
    .join(address, address.c.id == contact.c.address_id)
    .where(
        delivery.c.id > sa.bindparam("after"),
        delivery.c.id < sa.bindparam("end"),
        sa.or_(
            _may_have_it,
            sa.and_(
                delivery.c.state.in_(_OPEN),
                sa.exists().where(
                    batch.c.campaign_id == sa.bindparam("campaign"),
                    batch.c.state == int(BatchState.LEASED),
                    delivery.c.id.between(batch.c.first, batch.c.cursor),
                    delivery.c.round < batch.c.round,
                ),
            ),
        ),
    )
    .order_by(delivery.c.id)
    .limit(sa.bindparam("most"))
)


async def holders(conn: AsyncConnection, campaign_id: int, *, after: int, most: int = 5000) -> list[Holder]:
    """A page of those who may have a message of this campaign, by ascending delivery id; `after` 0 begins."""
    values = {
        "campaign": campaign_id,
        "after": max(after, (campaign_id << 24) - 1),
        "end": (campaign_id + 1) << 24,
        "most": most,
    }
    rows = (await conn.execute(_holders, values)).all()
    return [Holder(*(*row[:6], bool(row[6]))) for row in rows]


_preparing = sa.select(campaign.c.id).where(campaign.c.state == str(CampaignState.PREPARING)).order_by(campaign.c.id)


async def preparing(conn: AsyncConnection) -> list[int]:
    """Campaigns whose audience has still to be gathered: after a crash, too."""
    return [row.id for row in (await conn.execute(_preparing)).all()]


def _waiting_statement() -> sa.Select[Any]:
    old = batch.alias("old")
    in_hand = (
        sa.exists()
        .where(
            campaign_replaces.c.campaign_id == batch.c.campaign_id,
            old.c.campaign_id == campaign_replaces.c.replaced_id,
            old.c.state == int(BatchState.LEASED),
        )
        .correlate(batch)
    )
    return (
        sa.select(batch.c.id, batch.c.campaign_id, batch.c.first, batch.c.last)
        .where(batch.c.state == int(BatchState.WAITING), batch.c.waits == 1, ~in_hand)
        .order_by(batch.c.id)
        .limit(20)
        # Another node must not release again what a lane here has leased meanwhile.
        .with_for_update(skip_locked=True, of=batch)
    )


_waiting = _waiting_statement()
_cancels = sa.select(delivery.c.id, delivery.c.channel, delivery.c.contact_id).where(
    delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")), delivery.c.state.in_(_OPEN)
)
_replaced = sa.select(campaign_replaces.c.replaced_id).where(
    campaign_replaces.c.campaign_id == sa.bindparam("campaign")
)
_asked = json_rows("asked", contact=int, channel=str)
_reached = (
    sa.select(delivery.c.contact_id, delivery.c.channel)
    .join(_asked, sa.and_(delivery.c.contact_id == _asked.c.contact, delivery.c.channel == _asked.c.channel))
    .where(
        delivery.c.id > sa.bindparam("after"),
        delivery.c.id < sa.bindparam("end"),
        _may_have_it,
    )
)


async def release_waiting(tx: Transaction) -> int:
    """Let go the batches whose originals are all settled; whoever turned out not to have it needs no Cancel."""
    rows = await tx.rows(_waiting)
    for row in rows:
        cancels = await tx.rows(_cancels, {"first": row.first, "last": row.last})
        reached = await _who_has_it(tx, row.campaign_id, cancels)
        spared = [c for c in cancels if (c.contact_id, c.channel) not in reached]
        await apply(tx, [Settlement(c.id, Event.NOT_NEEDED) for c in spared])
        await tx.run(
            sa.update(batch)
            .where(batch.c.id == row.id, batch.c.state == int(BatchState.WAITING), batch.c.waits == 1)
            .values(state=int(BatchState.READY), waits=0, due_ms=None)
        )
    return len(rows)


async def _who_has_it(tx: Transaction, campaign_id: int, cancels: Sequence[AnyRow]) -> set[tuple[int, str]]:
    asked = pack({(c.contact_id, c.channel) for c in cancels})
    reached: set[tuple[int, str]] = set()
    for replaced in await tx.rows(_replaced, {"campaign": campaign_id}):
        first = replaced.replaced_id << 24
        values = {"asked": asked, "after": first - 1, "end": first + (1 << 24)}
        reached |= {(r.contact_id, r.channel) for r in await tx.rows(_reached, values)}
    return reached


async def file_prepared(
    tx: Transaction,
    campaign_id: int,
    blob: bytes,
    sizes: Sequence[tuple[str, int]],
    *,
    waits_from: Mapping[str, int],
    counts: str,
    reserved_millieuro: int,
) -> bool:
    """Give a preparing campaign its audience and let it run; False when it no longer waits for one."""
    row = await tx.first(sa.select(campaign).where(campaign.c.id == campaign_id).with_for_update())
    if row is None or row.state != CampaignState.PREPARING:
        return False
    await file_audience(tx, campaign_id, blob, sizes, waits_from)
    await tx.run(
        sa.update(campaign)
        .where(campaign.c.id == campaign_id)
        .values(state=str(CampaignState.RUNNING), counts=counts, reserved_millieuro=reserved_millieuro)
    )
    if reserved_millieuro:
        await bookings.lock(tx, [row.zone_id])
        await reservations.reserve(tx, row.zone_id, campaign_id, reserved_millieuro)
    return True
