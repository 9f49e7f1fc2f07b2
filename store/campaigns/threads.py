"""Threads: what belongs together, alerts and campaigns alike. A thread's row is the lock under which it is changed.

Who decides about a thread reads it before and writes it afterwards. What was read bears a number; what is written is
written only while that number still holds, so that of two decisions on one state the second is made anew.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.errors import StaleThread
from store.outbox.records import ThreadSeen
from store.tables import alert, campaign, thread

OPEN = "open"
CANCELLED = "cancelled"
"""Whoever heard of the end hears no more of it: nothing follows."""

_wanted = json_rows("wanted", id=int)
_rows = (
    sa.select(thread.c.id, thread.c.revision, thread.c.state)
    .where(thread.c.id.in_(sa.select(_wanted.c.id)))
    .order_by(thread.c.id)
)
_seen = Prepared(_rows)
# An alert or campaign that is filed takes a share of the key of its thread's row; it need not wait for this.
_for_change = Prepared(_rows.with_for_update(key_share=True))


async def seen(conn: AsyncConnection, thread_ids: Sequence[int]) -> tuple[ThreadSeen, ...]:
    """These threads as they are now, the oldest first."""
    rows = await rows_of(conn, _seen, {"wanted": _packed(thread_ids)})
    return tuple(ThreadSeen(row.id, row.revision) for row in rows)


def _packed(ids: Sequence[int]) -> str:
    return pack((i,) for i in ids)


_add = Prepared(sa.insert(thread).values(state=sa.bindparam("state")).returning(thread.c.id))


async def begin(tx: Transaction, *, cancelled: bool) -> int:
    """A new thread; `cancelled`: what begins it is its end, too."""
    [added] = await tx.rows(_add, {"state": CANCELLED if cancelled else OPEN})
    return int(added.id)


_campaigns = json_rows("campaigns", id=int)
_of_campaigns = Prepared(
    sa.select(campaign.c.thread_id).where(campaign.c.id.in_(sa.select(_campaigns.c.id))).distinct()
)


async def of_campaigns(tx: Transaction, campaign_ids: Sequence[int]) -> tuple[ThreadSeen, ...]:
    """The threads of these campaigns, in whatever state they are."""
    rows = await tx.rows(_of_campaigns, {"campaigns": _packed(campaign_ids)})
    return tuple(ThreadSeen(row.thread_id) for row in rows)


_move = Prepared(sa.update(thread).where(thread.c.id == sa.bindparam("thread")).values(
    revision=thread.c.revision + 1, state=sa.bindparam("state_")
))  # fmt: skip


async def join(tx: Transaction, threads: Sequence[ThreadSeen], *, acts: bool, cancels: bool) -> int:
    """Take these threads for what is filed next; several become one, the oldest. Returns its id.

    `acts`: something is launched or ended in them, which only an open thread allows, and only as it was seen; what is
    merely filed there leaves them as they are. Raises StaleThread.
    """
    ids = sorted({t.id for t in threads})
    found = {row.id: row for row in await tx.rows(_for_change, {"wanted": _packed(ids)})}
    if len(found) < len(ids):
        raise StaleThread("a thread was merged into another one")
    if not acts:
        return ids[0]
    for expected in threads:
        row = found[expected.id]
        if row.state == CANCELLED:
            raise StaleThread(f"thread {row.id} was cancelled")
        if expected.revision is not None and expected.revision != row.revision:
            raise StaleThread(f"thread {row.id} has changed")
    oldest, younger = ids[0], ids[1:]
    if younger:
        await _merge(tx, oldest, younger)
    await tx.run(_move, {"thread": oldest, "state_": CANCELLED if cancels else OPEN})
    return oldest


async def _merge(tx: Transaction, oldest: int, younger: Sequence[int]) -> None:
    # In the order of their ids, as a launch takes those that it ends.
    theirs = sa.select(campaign.c.id).where(campaign.c.thread_id.in_(younger)).order_by(campaign.c.id)
    await tx.rows(theirs.with_for_update(key_share=True))
    for table in (campaign, alert):
        await tx.run(sa.update(table).where(table.c.thread_id.in_(younger)).values(thread_id=oldest))
    await tx.run(sa.delete(thread).where(thread.c.id.in_(younger)))


async def drop_empty(tx: Transaction, thread_id: int) -> None:
    """Take a thread away in which nothing stands any more."""
    used = [sa.exists().where(table.c.thread_id == thread.c.id) for table in (alert, campaign)]
    await tx.run(sa.delete(thread).where(thread.c.id == thread_id, ~sa.or_(*used)))
