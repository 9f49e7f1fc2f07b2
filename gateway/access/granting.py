"""How each change to an account is made once it may be: the steps of the store, in the transaction that allows it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.access.dangerous import ChangeToAccount, EnableAccount, MakeKey, OpenAccount, SetRights
from gateway.access.rights import Right
from store.access import accounts
from store.access.accounts import AccountRecord, KeyRecord, RightRow
from store.audit_line import Actor
from store.engine.transaction import Transaction

Apply = Callable[[Transaction, Any, Actor], Awaitable[None]]
"""Makes a change of its kind, in the name of whoever asked for it."""
Appliers = Mapping[type[ChangeToAccount], Apply]


async def open_account(tx: Transaction, change: OpenAccount, by: Actor) -> None:
    record = AccountRecord(change.account, change.name, change.type, "[]", "[]", rows_of(change.rights))
    await accounts.put_account(tx, record, by)


async def enable_account(tx: Transaction, change: EnableAccount, by: Actor) -> None:
    await accounts.set_disabled(tx, change.account, False, by)


async def set_rights(tx: Transaction, change: SetRights, by: Actor) -> None:
    await accounts.put_rights_of(tx, change.account, rows_of(change.rights), by)


async def make_key(tx: Transaction, change: MakeKey, by: Actor) -> None:
    record = KeyRecord(change.key_id, change.secret_sha256)
    await accounts.add_key(tx, change.account, record, expires_ms=change.expires_ms, note=change.note, by=by)


def rows_of(rights: Iterable[Right]) -> frozenset[RightRow]:
    """Rights as the store keeps them."""
    return frozenset(RightRow(**msgspec.structs.asdict(right)) for right in rights)


def rights_of(rows: Iterable[RightRow]) -> frozenset[Right]:
    """Rights as the store has kept them."""
    return frozenset(Right(**msgspec.structs.asdict(row)) for row in rows)


GRANTING: Appliers = {
    OpenAccount: open_account,
    EnableAccount: enable_account,
    SetRights: set_rights,
    MakeKey: make_key,
}
"""Of the changes that the store alone can make."""
