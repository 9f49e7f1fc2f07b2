"""Design section 7 as assertions: recounted from rows, never from what is asserted."""

from collections import Counter

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.states import OPEN, BatchState, DeliveryState
from store.tables import batch, campaign, delivery, expansion, progress


async def assert_sums_close(conn: AsyncConnection, campaign_id: int) -> None:
    """The counters are the rows, and with what is not yet expanded they are the audience; money as charged."""
    rows = (await conn.execute(sa.select(delivery).where(_of(campaign_id)))).all()
    frozen = (await conn.execute(sa.select(expansion).where(expansion.c.campaign_id == campaign_id))).all()
    counters = (await conn.execute(sa.select(progress).where(progress.c.campaign_id == campaign_id))).all()

    expected = {e.channel: Counter({"queued": e.size - e.expanded_upto}) for e in frozen}
    charged = Counter({e.channel: 0 for e in frozen})
    for row in rows:
        expected[row.channel][DeliveryState(row.state).word] += 1
        charged[row.channel] += row.charged * row.price_millieuro
    for e in frozen:
        assert sum(1 for row in rows if row.channel == e.channel) == e.expanded_upto
    assert {c.channel for c in counters} == set(expected)
    for counter in counters:
        found = {s.word: getattr(counter, s.word) for s in DeliveryState}
        assert found == {s.word: expected[counter.channel][s.word] for s in DeliveryState}, counter.channel
        assert counter.charged_millieuro == charged[counter.channel]
    reserved = (await conn.execute(sa.select(campaign).where(campaign.c.id == campaign_id))).one().reserved_millieuro
    assert sum(charged.values()) <= reserved


async def assert_no_one_is_forgotten(conn: AsyncConnection, campaign_id: int) -> None:
    """Whoever may still be sent to stands in exactly one batch, and that batch comes back."""
    batches = (await conn.execute(sa.select(batch).where(batch.c.campaign_id == campaign_id))).all()
    open_rows = (
        await conn.execute(
            sa.select(delivery.c.id, delivery.c.channel).where(
                _of(campaign_id), delivery.c.state.in_([int(s) for s in OPEN])
            )
        )
    ).all()
    for row in open_rows:
        homes = [b for b in batches if b.first <= row.id <= b.last]
        assert len(homes) == 1, f"delivery {row.id} stands in {len(homes)} batches"
        assert homes[0].state != BatchState.DONE, f"delivery {row.id} is open in a batch that is done"
        assert homes[0].channel == row.channel
        assert homes[0].state != BatchState.WAITING or homes[0].waits or homes[0].due_ms is not None


def _of(campaign_id: int) -> sa.ColumnElement[bool]:
    return delivery.c.id.between(campaign_id << 24, (campaign_id << 24) + (1 << 24) - 1)
