"""Holds: nothing leaves while one stands. Setting one costs the same whatever is queued: the fence looks at every
window."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, follow
from store.outbox import hold_statements
from store.outbox.fairness import rejoin
from store.outbox.hold_statements import Hold, placing
from store.tables import Big, hold


async def place(tx: Transaction, scope: str, subject: str, reason: str, by: str) -> None:
    """Places a hold. Idempotent: a second one of the same thing keeps the first one's time and reason."""
    await tx.follow(placing(scope, subject, reason, by, tx.now_ms))


_hold_unfinished = Prepared(
    sa.text(
        'INSERT INTO hold (scope, subject, reason, "by", at_ms)'
        " SELECT 'campaign', CAST(campaign.id AS TEXT), :reason, :by, :at FROM campaign"
        " WHERE campaign.state IN ('preparing', 'scheduled', 'running') AND campaign.ended_ms IS NULL"
        " OR campaign.state = 'completed'"
        " AND campaign.id IN (SELECT batch.campaign_id FROM batch WHERE batch.state <> 3)"
        " ON CONFLICT DO NOTHING"
    ).bindparams(
        sa.bindparam("reason", type_=sa.Text), sa.bindparam("by", type_=sa.Text), sa.bindparam("at", type_=Big)
    )
)


async def hold_unfinished(tx: Transaction, reason: str, by: str) -> int:
    """Every campaign that is not over gets a hold of its own, so that what is launched from here on goes out.
    Returns how many got one."""
    return await tx.run(_hold_unfinished, {"reason": reason, "by": by, "at": tx.now_ms})


async def lift(tx: Transaction, scope: str, subject: str, by: str = "") -> bool:
    lifted = bool(await tx.run(sa.delete(hold).where(hold.c.scope == scope, hold.c.subject == subject)))
    if lifted:
        await rejoin(tx, scope, subject)
        await audit.note(tx, "resume", f"{scope} {subject}".rstrip(), apart={"by": by})
    return lifted


async def standing(conn: AsyncConnection) -> list[Hold]:
    """Every hold that stands, the oldest first."""
    return await follow(conn, hold_statements.standing())
