"""Keys of one account as whoever manages them sees and changes them: pages, a new one, one in the place of another."""

from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.access.accounts import KeyRecord, note_of_account
from store.audit_line import Actor
from store.engine.transaction import Transaction
from store.tables import account, api_key

Rotation = Literal["rotated", "not-good", "two-are-good"]


class ManagedKey(msgspec.Struct, frozen=True):
    id: int
    key_id: str
    account_id: int
    account: str
    """The code of its account."""
    name: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    in_place_of: str | None
    """The id of the key that it is to take the place of."""

    def is_good(self, now_ms: int) -> bool:
        """Whether it is neither revoked nor past its end; its account may be disabled all the same."""
        return self.revoked_ms is None and (self.expires_ms is None or self.expires_ms > now_ms)


_old = api_key.alias("old")
_keys = (
    sa.select(
        api_key.c.id, api_key.c.key_id, api_key.c.account_id, account.c.code, api_key.c.note, api_key.c.created_ms,
        api_key.c.expires_ms, api_key.c.revoked_ms, _old.c.key_id.label("in_place_of"),
    )
    .join(account, account.c.id == api_key.c.account_id)
    .outerjoin(_old, _old.c.id == api_key.c.rotated_from)
)  # fmt: skip


async def page(conn: AsyncConnection, account_id: int, *, before_id: int | None, most: int) -> list[ManagedKey]:
    """Of one account, the newest first."""
    statement = _keys.where(api_key.c.account_id == account_id).order_by(api_key.c.id.desc()).limit(most)
    if before_id is not None:
        statement = statement.where(api_key.c.id < before_id)
    return [ManagedKey(*row) for row in (await conn.execute(statement)).all()]


async def of_key_id(conn: AsyncConnection, key_id: str) -> ManagedKey | None:
    row = (await conn.execute(_keys.where(api_key.c.key_id == key_id))).first()
    return None if row is None else ManagedKey(*row)


def _is_good(now_ms: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        api_key.c.revoked_ms.is_(None), sa.or_(api_key.c.expires_ms.is_(None), api_key.c.expires_ms > now_ms)
    )


async def make(
    tx: Transaction, account_id: int, key: KeyRecord, name: str, expires_ms: int | None, by: Actor, *, most: int
) -> bool:
    """Gives an account a key. False where it has `most` that are good."""
    await _hold(tx, account_id)
    counted = sa.select(sa.func.count()).select_from(api_key)
    found = await tx.first(counted.where(api_key.c.account_id == account_id, _is_good(tx.now_ms)))
    if found is None or found[0] >= most:
        return False
    await _add(tx, account_id, key, name, expires_ms, None)
    detail = {"expires_ms": expires_ms}
    await note_of_account(tx, account_id, "key-make", key.key_id, by, detail=detail, apart={"name": name})
    return True


async def rotate(
    tx: Transaction, old: ManagedKey, key: KeyRecord, expires_ms: int, old_ends_ms: int, by: Actor
) -> Rotation:
    """Puts a key in the place of another, which ends at `old_ends_ms`, or earlier where that was its end. Two are good
    beside one another at most: one that came in another's place waits for that one's end."""
    await _hold(tx, old.account_id)
    mine = api_key.c.id == old.id
    found = await tx.first(sa.select(api_key.c.rotated_from).where(mine, _is_good(tx.now_ms)))
    if found is None:
        return "not-good"
    beside = sa.or_(api_key.c.rotated_from == old.id, api_key.c.id == found.rotated_from)
    if await tx.first(sa.select(api_key.c.id).where(beside, _is_good(tx.now_ms))) is not None:
        return "two-are-good"
    ends_later = sa.or_(api_key.c.expires_ms.is_(None), api_key.c.expires_ms > old_ends_ms)
    await tx.run(sa.update(api_key).where(mine, ends_later).values(expires_ms=old_ends_ms))
    await _add(tx, old.account_id, key, old.name, expires_ms, old.id)
    detail = {"in_place_of": old.key_id, "expires_ms": expires_ms, "old_ends_ms": old_ends_ms}
    await note_of_account(tx, old.account_id, "key-rotate", key.key_id, by, detail=detail)
    return "rotated"


async def revoke(tx: Transaction, key: ManagedKey, by: Actor) -> bool:
    """Makes a key worthless from now on; False where it was revoked before."""
    open_one = sa.and_(api_key.c.id == key.id, api_key.c.revoked_ms.is_(None))
    if await tx.run(sa.update(api_key).where(open_one).values(revoked_ms=tx.now_ms)) == 0:
        return False
    await note_of_account(tx, key.account_id, "key-revoke", key.key_id, by, detail={"account": key.account})
    return True


async def _hold(tx: Transaction, account_id: int) -> None:
    """The row of the account is the lock under which its keys are counted."""
    await tx.run(sa.update(account).where(account.c.id == account_id).values(code=account.c.code))


async def _add(
    tx: Transaction, account_id: int, key: KeyRecord, name: str, expires_ms: int | None, rotated_from: int | None
) -> None:
    row = {"account_id": account_id, "note": name, "created_ms": tx.now_ms, "expires_ms": expires_ms}
    await tx.run(sa.insert(api_key).values(row | msgspec.structs.asdict(key) | {"rotated_from": rotated_from}))
