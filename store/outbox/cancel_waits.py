"""What a Cancel or an Update waits for: the deliveries of what it replaces that are in workers' hands, by address.

Of a Cancel those that were in hand when its fence fell are noted, as ranges of ids in the transaction of the fence.
Nothing is claimed of an ended campaign, so whoever gets the old text after all stands in one of them, and is found
without a walk through a million rows.
"""

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.states import OPEN
from store.tables import batch, campaign_replaces, contact, delivery, meta

HAND = delivery.alias("hand")
IS_IN_HAND = sa.and_(
    sa.text("batch.state = 1"),  # word for word the predicate of the index
    HAND.c.id.between(batch.c.first, batch.c.cursor),
    HAND.c.round < batch.c.round,
    HAND.c.state.in_([int(state) for state in OPEN]),
)
"""Of `batch` and `HAND`: handed over in this round, and not answered yet."""
_in_hand = Prepared(
    sa.select(contact.c.address_id, HAND.c.member_id)
    .select_from(campaign_replaces)
    .join(batch, batch.c.campaign_id == campaign_replaces.c.replaced_id)
    .join(HAND, IS_IN_HAND)
    .join(contact, contact.c.id == HAND.c.contact_id)
    .where(campaign_replaces.c.campaign_id == sa.bindparam("campaign"), batch.c.channel == sa.bindparam("channel_"))
    .distinct()
)
_handed_over = Prepared(
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
_note = Prepared(sa.insert(meta).values(key=sa.bindparam("key"), value=sa.bindparam("value")))
_noted = Prepared(sa.select(meta.c.value).where(meta.c.key == sa.bindparam("key_")))
_keys = json_rows("keys", key=str)
_forget = Prepared(sa.delete(meta).where(meta.c.key.in_(sa.select(_keys.c.key))))


def _key(campaign_id: int) -> str:
    return f"awaited:{campaign_id}"


def _spares_key(campaign_id: int) -> str:
    return f"awaited:{campaign_id}:spares"


async def in_hand(tx: Transaction, campaign_id: int, channel: str) -> set[tuple[int, int]]:
    """(address, member) to whom something of what the campaign replaces is in hand at this moment."""
    rows = await tx.rows(_in_hand, {"campaign": campaign_id, "channel_": channel})
    return {(row.address_id, row.member_id) for row in rows}


async def note(tx: Transaction, campaign_id: int) -> None:
    """Keeps what is in hand of what the campaign replaces: after its end, in the same transaction."""
    rows = await tx.rows(_handed_over, {"campaign": campaign_id})
    if rows:
        ranges = pack((row.first, row.cursor) for row in rows)
        await tx.run(_note, {"key": _key(campaign_id), "value": ranges})


async def noted(tx: Transaction, campaign_id: int) -> list[tuple[int, int]]:
    """The first and the last delivery of each range."""
    row = await tx.first(_noted, {"key_": _key(campaign_id)})
    return msgspec.json.decode(row.value, type=list[tuple[int, int]]) if row else []


async def note_spares(tx: Transaction, campaign_id: int, spares_from: Mapping[str, int]) -> None:
    """By channel, from which sequence number on those who wait had nothing yet when the audience was drawn up."""
    await tx.run(_note, {"key": _spares_key(campaign_id), "value": msgspec.json.encode(spares_from).decode()})


async def spares_of(tx: Transaction, campaign_id: int) -> dict[str, int] | None:
    """What `note_spares` kept of a campaign; None where it kept nothing."""
    row = await tx.first(_noted, {"key_": _spares_key(campaign_id)})
    return msgspec.json.decode(row.value, type=dict[str, int]) if row else None


async def forget(tx: Transaction, campaign_id: int, *others: int) -> None:
    """Removes the notes about a campaign, once nobody waits for it any more."""
    keys = [(key(each),) for each in (campaign_id, *others) for key in (_key, _spares_key)]
    await tx.run(_forget, {"keys": pack(keys)})
