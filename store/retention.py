"""What goes when its time is over, a little at a time: deliveries and what belongs to them, receipts, the audit.

Of a campaign the counters, the money, the sealed report and the audience (ids only) stay for ever, and
`campaign.cleared_ms` says that its rows are gone. They go no earlier than 35 days after the seal: addenda are drawn
from them. Documents that were refused at the door are forgotten in store/campaigns/refused_documents.py.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.audit_reading import forget_readings
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.outbox.delivery_ids import end_id, first_id
from store.tables import (
    approval,
    audit,
    audit_detail,
    audit_link,
    batch,
    break_glass_use,
    campaign,
    carrier_ref,
    delivery,
    doubt,
    expansion,
    progress,
    receipt_inbox,
)

DAY_MS = 86_400_000
MATCHED_MS = DAY_MS
"""A receipt that was matched is of use to nobody after this."""
AT_ONCE = 200
"""Rows of one transaction: a few milliseconds of the writer."""
_STATES = ("queued", "retry", "unknown", "accepted", "delivered", "failed", "expired", "cancelled", "not_needed")


class RetentionPeriods(msgspec.Struct, frozen=True):
    """How long each kind of record is kept, in days."""

    deliveries: float
    """After the seal of their campaign."""
    receipts: float
    """That match no message."""
    audit: float


class ToGo(msgspec.Struct, frozen=True):
    """What will go, and how much there is."""

    campaigns: int
    """That are to be cleared now."""
    uncleared: int
    """Sealed ones whose rows are there still."""
    deliveries: int = 0
    """Of those."""
    oldest_ms: int | None = None
    """When the first of them was sealed."""


_given = json_rows("given", id=int)
_in_given = sa.select(_given.c.id)


async def clear_some(tx: Transaction, keeping: RetentionPeriods, most: int = AT_ONCE) -> bool:
    """Takes one step; returns whether the next one would find work."""
    await forget_readings(tx)
    return any(
        [
            await _clear_receipts(tx, keeping, most),
            await _clear_campaign(tx, tx.now_ms - int(keeping.deliveries * DAY_MS), most),
            await _clear_audit(tx, tx.now_ms - int(keeping.audit * DAY_MS), most),
            await _clear_decided(tx, tx.now_ms - int(keeping.audit * DAY_MS), most),
        ]
    )


_matched = Prepared(
    sa.select(receipt_inbox.c.id).where(receipt_inbox.c.matched_ms < sa.bindparam("before")).limit(AT_ONCE)
)
_orphans = Prepared(
    sa.select(receipt_inbox.c.id)
    .where(receipt_inbox.c.matched_ms.is_(None), receipt_inbox.c.received_ms < sa.bindparam("before"))
    .limit(AT_ONCE)
)


async def _clear_receipts(tx: Transaction, keeping: RetentionPeriods, most: int) -> bool:
    rows = await tx.rows(_matched, {"before": tx.now_ms - MATCHED_MS})
    rows += await tx.rows(_orphans, {"before": tx.now_ms - int(keeping.receipts * DAY_MS)})
    if rows:
        statement = sa.delete(receipt_inbox).where(receipt_inbox.c.id.in_(_in_given))
        await tx.run(statement, {"given": pack((row.id,) for row in rows)})
    return len(rows) >= most


_next_campaign = Prepared(
    sa.select(campaign.c.id)
    .where(campaign.c.sealed_ms < sa.bindparam("before"), campaign.c.cleared_ms.is_(None))
    .order_by(campaign.c.sealed_ms)
    .limit(1)
)
_rows_of = Prepared(
    sa.select(delivery.c.id)
    .where(delivery.c.id >= sa.bindparam("first"), delivery.c.id < sa.bindparam("beyond"))
    .order_by(delivery.c.id)
    .limit(sa.bindparam("most"))
)


async def _clear_campaign(tx: Transaction, before_ms: int, most: int) -> bool:
    found = await tx.first(_next_campaign, {"before": before_ms})
    if found is None:
        return False
    rows = await tx.rows(_rows_of, {"first": first_id(found.id), "beyond": end_id(found.id), "most": most})
    if rows:
        values = {"given": pack((row.id,) for row in rows)}
        await tx.run(sa.delete(carrier_ref).where(carrier_ref.c.delivery_id.in_(_in_given)), values)
        await tx.run(sa.delete(doubt).where(doubt.c.delivery_id.in_(_in_given)), values)
        await tx.run(sa.delete(delivery).where(delivery.c.id.in_(_in_given)), values)
    if len(rows) < most:
        await tx.run(sa.delete(batch).where(batch.c.campaign_id == found.id))
        await tx.run(sa.delete(expansion).where(expansion.c.campaign_id == found.id))
        await tx.run(sa.update(campaign).where(campaign.c.id == found.id).values(cleared_ms=tx.now_ms))
    return True


_oldest = Prepared(sa.select(audit.c.id, audit.c.at_ms, audit_link.c.no).outerjoin(
    audit_link, audit_link.c.audit_id == audit.c.id
).order_by(audit.c.id).limit(AT_ONCE))  # fmt: skip


async def _clear_audit(tx: Transaction, before_ms: int, most: int) -> bool:
    """From the oldest on, as far as they are over and chained: what goes out of the middle would be missed."""
    gone = []
    for row in await tx.rows(_oldest):
        if row.at_ms >= before_ms or row.no is None:
            break
        gone.append(row.id)
    if gone:
        values = {"given": pack((id_,) for id_ in gone)}
        await tx.run(sa.delete(audit_detail).where(audit_detail.c.audit_id.in_(_in_given)), values)
        await tx.run(sa.delete(audit).where(audit.c.id.in_(_in_given)), values)
    return len(gone) >= most


_decided = Prepared(
    sa.select(approval.c.id)
    .where(approval.c.asked_ms < sa.bindparam("before"), sa.text("state NOT IN ('asked', 'granted')"))
    .order_by(approval.c.id)
    .limit(AT_ONCE)
)
_empty_uses = Prepared(
    sa.update(break_glass_use)
    .where(break_glass_use.c.began_ms < sa.bindparam("before"), sa.text("name <> ''"))
    .values(name=sa.literal_column("''"), reason=sa.literal_column("''"))
)


async def _clear_decided(tx: Transaction, before_ms: int, most: int) -> bool:
    """What was asked of a second person, and the names of who used a paper code, go with the lines that tell of it."""
    await tx.run(_empty_uses, {"before": before_ms})
    rows = await tx.rows(_decided, {"before": before_ms})
    if rows:
        statement = sa.delete(approval).where(approval.c.id.in_(_in_given))
        await tx.run(statement, {"given": pack((row.id,) for row in rows)})
    return len(rows) >= most


async def to_go(conn: AsyncConnection, now_ms: int, keeping: RetentionPeriods) -> ToGo:
    """What will go, as campaigns and counters tell it; no delivery is read."""
    sealed = sa.and_(campaign.c.sealed_ms.is_not(None), campaign.c.cleared_ms.is_(None))
    due = campaign.c.sealed_ms < now_ms - int(keeping.deliveries * DAY_MS)
    campaigns = sa.select(
        sa.func.count(), sa.func.sum(sa.case((due, 1), else_=0)), sa.func.min(campaign.c.sealed_ms)
    ).where(sealed)
    total, over, oldest_ms = (await conn.execute(campaigns)).one()
    each = sum((progress.c[word] for word in _STATES[1:]), progress.c[_STATES[0]])
    deliveries = (
        sa.select(sa.func.sum(each)).join(campaign, campaign.c.id == progress.c.campaign_id).where(sealed)
    )  # fmt: skip
    return ToGo(
        campaigns=int(over or 0),
        uncleared=int(total),
        deliveries=int((await conn.execute(deliveries)).scalar_one() or 0),
        oldest_ms=oldest_ms,
    )
