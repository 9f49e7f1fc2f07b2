"""How each change to an account is made once it may be: the steps of the store, in the transaction that allows it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.access.dangerous import (
    ChangeToAccount,
    EnableAccount,
    MakeKey,
    OpenAccount,
    ResetFactors,
    SetAddress,
    SetRights,
)
from gateway.access.inviting import TellInvitation, invited
from gateway.access.rights import Right
from gateway.access.sign_in_parts import TellFactor
from gateway.errors import Refusal
from store.access import accounts, factors, invitations, key_rotation, managing
from store.access.accounts import AccountRecord, KeyRecord, RightRow
from store.audit_line import Actor
from store.engine.transaction import Transaction

MOST_KEYS = 20
"""Of one account, good at once."""
Apply = Callable[[Transaction, Any, Actor], Awaitable[None]]
"""Makes a change of its kind, in the name of whoever asked for it."""
Appliers = Mapping[type[ChangeToAccount], Apply]


async def open_account(tx: Transaction, change: OpenAccount, by: Actor) -> None:
    record = AccountRecord(change.account, change.name, change.type, "[]", "[]", rows_of(change.rights))
    await accounts.put_account(tx, record, by)


async def enable_account(tx: Transaction, change: EnableAccount, by: Actor) -> None:
    await accounts.set_disabled(tx, change.account, False, by)


async def set_address(tx: Transaction, change: SetAddress, by: Actor) -> None:
    """Raises Refusal 409 where another account has it meanwhile."""
    found = await managing.of_code(tx.conn, change.account)
    assert found is not None
    if await managing.taken(tx, email=change.email, beside=found.id):
        raise Refusal(409, "account-taken", "Another account has this code or this mail address.")
    await managing.change(tx, found, {"email": change.email}, by, "")
    await invitations.withdraw_all(tx, found.id)


async def set_rights(tx: Transaction, change: SetRights, by: Actor) -> None:
    await accounts.put_rights_of(tx, change.account, rows_of(change.rights), by)


async def make_key(tx: Transaction, change: MakeKey, by: Actor) -> None:
    """Raises Refusal 409 where the account has too many, or the key whose place it takes is not good any more."""
    found = await managing.of_code(tx.conn, change.account)
    assert found is not None
    record = KeyRecord(change.key_id, change.secret_sha256)
    if not change.in_place_of:
        if not await key_rotation.make(tx, found.id, record, change.note, change.expires_ms, by, most=MOST_KEYS):
            raise too_many_keys()
        return
    old = await key_rotation.of_key_id(tx.conn, change.in_place_of)
    if old is None or old.account_id != found.id:
        raise key_not_good()
    ends_ms = change.expires_ms if change.expires_ms is not None else tx.now_ms
    outcome = await key_rotation.rotate(tx, old, record, ends_ms, tx.now_ms + change.overlap_ms, by)
    if outcome == "not-good":
        raise key_not_good()
    if outcome == "two-are-good":
        raise two_keys_good()


@dataclass(frozen=True, slots=True)
class FactorReset:
    """Takes a person's means of signing in away, and invites them to enrol others; they are told of it."""

    invite: TellInvitation
    tell: TellFactor

    async def __call__(self, tx: Transaction, change: ResetFactors, by: Actor) -> None:
        found = await managing.of_code(tx.conn, change.account)
        assert found is not None
        await factors.remove_all(tx, found.id, found.code, by)
        await self.tell(tx, found.id, "factors-reset")
        if found.email:
            await invited(tx, found.id, by, "", self.invite)


def granting(invite: TellInvitation, tell: TellFactor) -> Appliers:
    """Every change that takes a second person, and how it is made."""
    return GRANTING | {ResetFactors: FactorReset(invite, tell)}


# ---- refusals of keys ------------------------------------------------------------------------------------------------


def too_many_keys() -> Refusal:
    detail = f"Of one account {MOST_KEYS} keys are good at once. Revoke those that nobody uses."
    return Refusal(409, "too-many-keys", "This account has as many keys as it may have.", detail=detail)


def key_not_good() -> Refusal:
    return Refusal(409, "key-not-good", "This key is not good any more.")


def two_keys_good() -> Refusal:
    detail = "Revoke the one that is used no longer, or wait for its end."
    return Refusal(409, "two-keys-good", "Two keys are good beside one another at most.", detail=detail)


def rows_of(rights: Iterable[Right]) -> frozenset[RightRow]:
    """Rights as the store keeps them."""
    return frozenset(RightRow(**msgspec.structs.asdict(right)) for right in rights)


def rights_of(rows: Iterable[RightRow]) -> frozenset[Right]:
    """Rights as the store has kept them."""
    return frozenset(Right(**msgspec.structs.asdict(row)) for row in rows)


GRANTING: dict[type[ChangeToAccount], Apply] = {
    OpenAccount: open_account,
    EnableAccount: enable_account,
    SetAddress: set_address,
    SetRights: set_rights,
    MakeKey: make_key,
}
"""Of the changes that the store alone can make."""
