"""Lost passwords: wishes as they were typed, and links that set a password once. Hashes of tokens only."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.access.accounts import IS_OPEN
from store.audit_line import Actor
from store.engine.transaction import Transaction
from store.tables import account, passkey, password, password_reset, reset_wish

LIFE_MS = 30 * 60_000
MOST_WAITING = 10_000
"""Wishes that wait; what is wished beyond them is dropped."""


class ResetWish(msgspec.Struct, frozen=True):
    number: int
    mail: str
    address: str


class ResetAddressee(msgspec.Struct, frozen=True):
    """Whose mailbox it is."""

    account_id: int
    code: str
    mail: str
    language: str


class OpenReset(msgspec.Struct, frozen=True):
    number: int
    account_id: int


async def wish(tx: Transaction, mail: str, address: str) -> None:
    """Notes what somebody typed: the same work whoever has that mailbox, or nobody."""
    waiting = await tx.first(sa.select(sa.func.count()).select_from(reset_wish))
    if waiting is not None and waiting[0] < MOST_WAITING:
        await tx.run(sa.insert(reset_wish).values(mail=mail, address=address, at_ms=tx.now_ms))


async def take_wish(tx: Transaction) -> ResetWish | None:
    """The one that has waited longest; it is gone, and nobody else has it."""
    first = sa.select(reset_wish.c.id).order_by(reset_wish.c.id).limit(1).with_for_update(skip_locked=True)
    columns = (reset_wish.c.id, reset_wish.c.mail, reset_wish.c.address)
    row = await tx.first(sa.delete(reset_wish).where(reset_wish.c.id == first.scalar_subquery()).returning(*columns))
    return None if row is None else ResetWish(*row)


async def addressee_of(tx: Transaction, mail: str) -> ResetAddressee | None:
    """The account that alone has this mail address and is not disabled. One in which nothing was ever set up has
    nothing to lose: it takes an invitation, which may have been withdrawn."""
    columns = (account.c.id, account.c.code, account.c.email, account.c.language)
    own = (table.c.account_id == account.c.id for table in (password, passkey))
    set_up = sa.or_(*(sa.exists().where(one) for one in own))
    which = sa.and_(account.c.email == mail, account.c.email != "", IS_OPEN, set_up)
    rows = await tx.rows(sa.select(*columns).where(which).limit(2))
    return ResetAddressee(*rows[0]) if len(rows) == 1 else None


async def make(tx: Transaction, whose: ResetAddressee, token_sha256: str, by: Actor) -> int:
    """A link of half an hour; those before it are worth nothing. Returns when it ends."""
    before = sa.and_(password_reset.c.account_id == whose.account_id, password_reset.c.used_ms.is_(None))
    await tx.run(sa.update(password_reset).where(before).values(used_ms=tx.now_ms))
    ends_ms = tx.now_ms + LIFE_MS
    values = {"account_id": whose.account_id, "token_sha256": token_sha256, "made_ms": tx.now_ms, "ends_ms": ends_ms}
    await tx.run(sa.insert(password_reset).values(values))
    await audit.note(tx, "reset-make", whose.code, by, detail={"ends_ms": ends_ms})
    return ends_ms


async def find(conn: AsyncConnection, token_sha256: str, now_ms: int) -> OpenReset | None:
    """The link of a token, while it is good and its account is not disabled."""
    statement = (
        sa.select(password_reset.c.id, password_reset.c.account_id)
        .join(account, account.c.id == password_reset.c.account_id)
        .where(
            password_reset.c.token_sha256 == token_sha256,
            password_reset.c.used_ms.is_(None),
            password_reset.c.ends_ms > now_ms,
            IS_OPEN,
        )
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else OpenReset(*row)


async def use(tx: Transaction, found: OpenReset) -> bool:
    """Whether it is used for the first time, and in time."""
    which = sa.and_(
        password_reset.c.id == found.number, password_reset.c.used_ms.is_(None), password_reset.c.ends_ms > tx.now_ms
    )
    return await tx.run(sa.update(password_reset).where(which).values(used_ms=tx.now_ms)) == 1


async def forget(tx: Transaction) -> None:
    """Deletes links a week after their end."""
    await tx.run(sa.delete(password_reset).where(password_reset.c.ends_ms < tx.now_ms - 7 * 86_400_000))
