"""What the second wave of a Cancel waits for: the deliveries that were in workers' hands when its fence fell.

They are noted as ranges of ids in the transaction of the fence. Nothing is claimed of an ended campaign, so whoever
gets the old text after all stands in one of them, and is found without a walk through a million rows.
"""

import msgspec
import sqlalchemy as sa

from store.json_rows import pack
from store.tables import batch, campaign_replaces, meta
from store.transaction import Transaction

_handed_over = (
    sa.select(batch.c.first, batch.c.cursor)
    # The sum leads the engine past the index of a campaign's batches, which are thousands, to that of the leased ones.
    .join(campaign_replaces, campaign_replaces.c.replaced_id == batch.c.campaign_id + 0)
    .where(
        sa.text("batch.state = 1"),  # word for word the predicate of the index
        batch.c.cursor >= batch.c.first,
        campaign_replaces.c.campaign_id == sa.bindparam("campaign"),
    )
    .order_by(batch.c.first)
)
_note = sa.insert(meta)
_noted = sa.select(meta.c.value).where(meta.c.key == sa.bindparam("key_"))
_forget = sa.delete(meta).where(meta.c.key == sa.bindparam("key_"))


def _key(campaign_id: int) -> str:
    return f"awaited:{campaign_id}"


async def note(tx: Transaction, campaign_id: int) -> None:
    """After what the campaign replaces has ended, in the same transaction."""
    rows = await tx.rows(_handed_over, {"campaign": campaign_id})
    if rows:
        ranges = pack((row.first, row.cursor) for row in rows)
        await tx.run(_note, {"key": _key(campaign_id), "value": ranges})


async def noted(tx: Transaction, campaign_id: int) -> list[tuple[int, int]]:
    """The first and the last delivery of each range."""
    row = await tx.first(_noted, {"key_": _key(campaign_id)})
    return msgspec.json.decode(row.value, type=list[tuple[int, int]]) if row else []


async def forget(tx: Transaction, campaign_id: int) -> None:
    """Once nobody waits any more."""
    await tx.run(_forget, {"key_": _key(campaign_id)})
