"""What is in doubt and may be sent again, because its kind says so: after a wait for receipts, and so often at most."""

import msgspec
import sqlalchemy as sa

from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.outbox.doubts import OPEN as DOUBT_OPEN
from store.outbox.inbox import hear_first
from store.outbox.records import Settlement
from store.outbox.settling import apply
from store.states import DeliveryEvent, DeliveryState
from store.tables import delivery, doubt

# Its own last attempt is the one in doubt: one that was refused since is not sent again.
is_resent = (
    sa.exists()
    .where(doubt.c.delivery_id == delivery.c.id, doubt.c.round == delivery.c.round, doubt.c.state == DOUBT_OPEN)
    .correlate(delivery)
)
_unknown = Prepared(
    sa.select(delivery.c.id, delivery.c.address).where(
        delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")),
        delivery.c.state == int(DeliveryState.UNKNOWN),
        delivery.c.changed_ms <= sa.bindparam("before_ms"),
        delivery.c.attempts < sa.bindparam("most"),
        is_resent,
    )
)


class Resending(msgspec.Struct, frozen=True):
    """How a kind that says so sends in-doubt deliveries again."""

    wait_ms: int
    """Receipts are waited for this long first."""
    most_attempts: int


async def resend_unknown(tx: Transaction, found: AnyRow, resending: Resending) -> None:
    """Those in doubt long enough, of whom the inbox knows nothing."""
    values = {
        "first": found.first,
        "last": found.last,
        "before_ms": tx.now_ms - resending.wait_ms,
        "most": resending.most_attempts,
    }
    unknown = await tx.rows(_unknown, values)
    if not unknown:
        return
    undecided = await hear_first(tx, [r.address for r in unknown], found.channel, found.mode)
    still = {r.id for r in await tx.rows(_unknown, values)}
    resent = [r.id for r in unknown if r.id in still and r.address not in undecided]
    await apply(tx, [Settlement(i, DeliveryEvent.RESEND) for i in resent])
