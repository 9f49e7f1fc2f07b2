"""To whom an SMS is in hand: a carrier may have taken it, and the record of that is not made yet."""

from collections.abc import Iterable

import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.states import DeliveryState
from store.tables import batch, delivery

AddressInHand = tuple[str, str]
"""Number and mode: live and simulation never answer for one another."""

_UNDER_WAY = (
    sa.text("batch.state = 1"),  # word for word the predicate of the index
    batch.c.channel == "sms",
    delivery.c.channel == "sms",
    delivery.c.round < batch.c.round,
    delivery.c.state.in_((int(DeliveryState.QUEUED), int(DeliveryState.RETRY))),
)
_asked = json_rows("asked", value=str)
_in_hand = Prepared(
    sa.select(delivery.c.address, batch.c.mode)
    .distinct()
    .select_from(batch)
    .join(delivery, delivery.c.id.between(batch.c.first, batch.c.cursor))
    .join(_asked, _asked.c.value == delivery.c.address)
    .where(*_UNDER_WAY)
)
_anything = Prepared(
    sa.select(delivery.c.id)
    .select_from(batch)
    .join(delivery, delivery.c.id.between(batch.c.first, batch.c.cursor))
    .where(*_UNDER_WAY)
    .limit(1)
)


async def in_hand(tx: Transaction, addresses: Iterable[str]) -> frozenset[AddressInHand]:
    """Where a carrier has an SMS that is not answered yet, of those numbers."""
    rows = await tx.rows(_in_hand, {"asked": pack((a,) for a in sorted(set(addresses)))})
    return frozenset((row.address, row.mode) for row in rows)


async def anything_in_hand(tx: Transaction) -> bool:
    """Whether a carrier has any SMS that is not answered yet."""
    return await tx.first(_anything) is not None
