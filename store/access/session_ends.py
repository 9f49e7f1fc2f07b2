"""What ends or locks sessions: a statement each, for whoever changes an account in a transaction of his own."""

import sqlalchemy as sa

from store import audit
from store.audit_line import SERVER, Actor
from store.engine.transaction import Transaction
from store.tables import account, session

SIGN_OUT = "sign-out"
REVOKED = "revoked"
FACTORS = "factors"
"""A password or another factor of its account was changed elsewhere."""
DISABLED = "disabled"
REPLACED = "replaced"
"""Its browser has signed in anew."""
CROWDED = "crowded"
"""Its account has opened more sessions than it may have."""


async def end(tx: Transaction, account_id: int, public_id: str, why: str, by: Actor = SERVER) -> bool:
    """Ends one session of an account, with its line; False where there is none that lasts."""
    return bool(await _ended(tx, account_id, session.c.public_id == public_id, why, by))


async def end_others(tx: Transaction, account_id: int, kept: int | None, why: str, by: Actor = SERVER) -> list[str]:
    """Ends every session of an account but the one that is kept; returns their public ids."""
    others = sa.true() if kept is None else session.c.id != kept
    return await _ended(tx, account_id, others, why, by)


async def end_replaced(tx: Transaction, token_sha256: str, by: Actor) -> None:
    """Ends the session that a browser had before it signed in anew, whosever it was."""
    own = session.c.token_sha256 == token_sha256
    row = await tx.first(sa.select(session.c.account_id).where(own))
    if row is not None:
        await _ended(tx, int(row.account_id), own, REPLACED, by)


async def end_beyond(tx: Transaction, account_id: int, most: int, by: Actor) -> None:
    """Ends those of an account that were made before the last so many."""
    beyond = sa.select(session.c.id).where(_lasts(account_id), session.c.ends_ms > tx.now_ms)
    rows = await tx.rows(beyond.order_by(session.c.id.desc()).offset(most))
    if rows:
        await _ended(tx, account_id, session.c.id.in_([row.id for row in rows]), CROWDED, by)


async def lock(tx: Transaction, account_id: int) -> int:
    """Locks every session of an account: its next act asks for a factor, and gives a new token. For whoever adds a
    right."""
    return await tx.run(sa.update(session).where(_lasts(account_id), session.c.locked == 0).values(locked=1))


def _lasts(account_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(session.c.account_id == account_id, session.c.ended_ms.is_(None))


async def _ended(tx: Transaction, account_id: int, which: sa.ColumnElement[bool], why: str, by: Actor) -> list[str]:
    alive = sa.and_(_lasts(account_id), session.c.ends_ms > tx.now_ms)
    statement = sa.update(session).where(alive, which).values(ended_ms=tx.now_ms, ended_by=why)
    rows = await tx.rows(statement.returning(session.c.public_id))
    ended = sorted(str(row.public_id) for row in rows)
    if ended:
        code = await tx.first(sa.select(account.c.code).where(account.c.id == account_id))
        await audit.note(tx, "session-end", str(code[0]) if code else "", by, detail={"sessions": ended, "why": why})
    return ended
