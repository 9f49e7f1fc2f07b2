"""Holds: nothing leaves while one stands. O(1) to set; the fence looks at every window."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.fairness import rejoin
from store.tables import Big, hold
from store.transaction import Transaction

SCOPES = ("all", "channel", "zone", "campaign")


class Hold(msgspec.Struct, frozen=True):
    scope: str
    subject: str
    reason: str
    by: str
    at_ms: int


async def place(tx: Transaction, scope: str, subject: str, reason: str, by: str) -> None:
    """Idempotent: a second hold of the same thing keeps the first one's time."""
    placed = await tx.run(
        sa.text(
            'INSERT INTO hold (scope, subject, reason, "by", at_ms) VALUES (:scope, :subject, :reason, :by, :at)'
            " ON CONFLICT DO NOTHING"
        ),
        {"scope": scope, "subject": subject, "reason": reason, "by": by, "at": tx.now_ms},
    )
    if placed:
        await audit.note(tx, "hold", f"{scope} {subject}".rstrip(), apart={"by": by, "reason": reason})


_hold_unfinished = sa.text(
    'INSERT INTO hold (scope, subject, reason, "by", at_ms)'
    " SELECT 'campaign', CAST(campaign.id AS TEXT), :reason, :by, :at FROM campaign"
    " WHERE campaign.state IN ('preparing', 'scheduled', 'running') AND campaign.ended_ms IS NULL"
    " OR campaign.state = 'completed' AND campaign.id IN (SELECT batch.campaign_id FROM batch WHERE batch.state <> 3)"
    " ON CONFLICT DO NOTHING"
).bindparams(sa.bindparam("reason", type_=sa.Text), sa.bindparam("by", type_=sa.Text), sa.bindparam("at", type_=Big))


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


async def standing(conn: AsyncConnection) -> Sequence[Hold]:
    rows = await conn.execute(
        sa.select(hold.c.scope, hold.c.subject, hold.c.reason, hold.c.by, hold.c.at_ms).order_by(hold.c.id)
    )
    return [Hold(*row) for row in rows.all()]
