"""Holds: nothing leaves while one stands. O(1) to set; the fence looks at every window."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import hold
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
    await tx.run(
        sa.text(
            'INSERT INTO hold (scope, subject, reason, "by", at_ms) VALUES (:scope, :subject, :reason, :by, :at)'
            " ON CONFLICT DO NOTHING"
        ),
        {"scope": scope, "subject": subject, "reason": reason, "by": by, "at": tx.now_ms},
    )


async def lift(tx: Transaction, scope: str, subject: str) -> bool:
    return bool(await tx.run(sa.delete(hold).where(hold.c.scope == scope, hold.c.subject == subject)))


async def standing(conn: AsyncConnection) -> Sequence[Hold]:
    rows = await conn.execute(
        sa.select(hold.c.scope, hold.c.subject, hold.c.reason, hold.c.by, hold.c.at_ms).order_by(hold.c.id)
    )
    return [Hold(*row) for row in rows.all()]
