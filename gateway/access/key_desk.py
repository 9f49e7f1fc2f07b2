"""The desk of API keys: those of an account that one administers, and one's own. A token is shown once, and kept
nowhere."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from channels.contract import Mode
from gateway.access.account_desk import managed, standing_of, told_as, visible
from gateway.access.approval_desk import ApprovalDesk, AwaitsSecond
from gateway.access.dangerous import MakeKey
from gateway.access.granting import key_not_good
from gateway.access.keys import TEST, NewKey, new_key
from gateway.access.rights import Caller, require_mode
from gateway.errors import Reason, Refusal
from gateway.unseen_characters import SHOWN_LINE
from store.access import key_rotation
from store.access.key_rotation import ManagedKey
from store.engine.database import Database
from store.engine.transaction import Connection, Transaction

USUAL_LIFE_DAYS = 365
LONGEST_LIFE_DAYS = 1_096
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KeyEnd = Annotated[datetime, msgspec.Meta(tz=True)]


class KeyWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key to be made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=SHOWN_LINE, examples=["CIC Antwerpen"])]
    """Whose it is, or where it is used."""
    test: bool = False
    """Its token begins with tocsin_test-, and it only simulates: nothing live is launched, stopped, published, held or
    shown by it, whatever the account may."""
    expires_at: KeyEnd | None = None
    """When it ends: within 1,096 days; null: in 365 days."""


class KeyRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A new key in the place of one that is good: both are, until the old one ends."""

    overlap_hours: Annotated[int, msgspec.Meta(ge=0, le=720)] = 24
    """After which the old one ends."""
    expires_at: KeyEnd | None = None
    """When the new one ends: within 1,096 days; null: in 365 days."""


class GivenKey(msgspec.Struct, frozen=True):
    """A key with its token: the one time that it is there."""

    key: ManagedKey
    token: str


class AwaitedKey(msgspec.Struct, frozen=True):
    """A key that is good once a second person has granted it: its account may send, or rule others."""

    key_id: str
    account: str
    name: str
    token: str
    expires_ms: int
    approval: str
    """The id of what waits."""


@dataclass(frozen=True, slots=True)
class KeyDesk:
    database: Database
    approvals: ApprovalDesk

    async def listing(self, caller: Caller, code: str, after: str, most: int) -> tuple[list[ManagedKey], bool]:
        """The keys of an account, the newest first, and whether there are more. Raises Refusal 404."""
        async with self.database.read() as conn:
            found, _ = await visible(conn, caller, code)
            return await _page(conn, found.id, after, most)

    async def own(self, caller: Caller, after: str, most: int) -> tuple[list[ManagedKey], bool]:
        """The caller's. Raises Refusal 404 for an `after` that is none of them."""
        async with self.database.read() as conn:
            return await _page(conn, caller.account_id, after, most)

    async def read(self, caller: Caller, key_id: str) -> ManagedKey:
        """Raises Refusal 404, also for one of an account that is no business of the caller's."""
        async with self.database.read() as conn:
            found = await key_rotation.of_key_id(conn, key_id)
            if found is None:
                raise _no_such()
            with told_as(_no_such):
                await visible(conn, caller, found.account)
        return found

    async def make(self, caller: Caller, code: str, wish: KeyWish) -> GivenKey | AwaitedKey:
        """Raises Refusal: 404, 403, 409 for an account that may not come in or has too many keys, 422."""

        async def work(tx: Transaction) -> GivenKey | AwaitedKey:
            fresh = await standing_of(tx, caller)
            found = await managed(tx.conn, fresh, code, gives=True)
            if found.state != "active":
                raise Refusal(409, "account-not-active", "Nobody has taken up this account yet, or it is disabled.")
            key, ends_ms = new_key(test=wish.test), _end(wish.expires_at, tx.now_ms)
            change = MakeKey(
                found.code, key.key_id, key.secret_sha256, ends_ms, note=wish.name, simulates_only=wish.test
            )
            return await self._made(tx, fresh, change, key)

        return await self.database.write(work)

    async def rotate(self, caller: Caller, key_id: str, wish: KeyRotation) -> GivenKey | AwaitedKey:
        """Raises Refusal: 404, 403, 409 where the key is not good any more, or another one stands beside it already."""

        async def work(tx: Transaction) -> GivenKey | AwaitedKey:
            fresh = await standing_of(tx, caller)
            old = await _of_managed(tx.conn, fresh, key_id, gives=True)
            if not old.is_good(tx.now_ms):
                raise key_not_good()
            key = new_key(test=old.key_id.startswith(TEST))
            change = MakeKey(
                old.account, key.key_id, key.secret_sha256, _end(wish.expires_at, tx.now_ms), note=old.name,
                simulates_only=old.key_id.startswith(TEST), in_place_of=old.key_id,
                overlap_ms=wish.overlap_hours * 3_600_000,
            )  # fmt: skip
            return await self._made(tx, fresh, change, key)

        return await self.database.write(work)

    async def _made(self, tx: Transaction, caller: Caller, change: MakeKey, key: NewKey) -> GivenKey | AwaitedKey:
        outcome = await self.approvals.gate(tx, caller, [change])
        if isinstance(outcome, AwaitsSecond):
            ends_ms = change.expires_ms or 0
            return AwaitedKey(key.key_id, change.account, change.note, key.token, ends_ms, outcome.approval.public_id)
        return await _given(tx.conn, key)

    async def revoke(self, caller: Caller, key_id: str) -> ManagedKey:
        """From then on it is worth nothing; every node hears of it within five seconds. What is revoked stays so.
        Raises Refusal 404, 403."""

        async def work(tx: Transaction) -> ManagedKey:
            fresh = await standing_of(tx, caller)
            return await _revoked(tx, await _of_managed(tx.conn, fresh, key_id, gives=False), fresh)

        return await self.database.write(work)

    async def revoke_own(self, caller: Caller, key_id: str) -> ManagedKey:
        """The same of a key of the caller's own; by a test key no live one is taken back. Raises Refusal 404, 403."""

        async def work(tx: Transaction) -> ManagedKey:
            found = await key_rotation.of_key_id(tx.conn, key_id)
            if found is None or found.account_id != caller.account_id:
                raise _no_such()
            if not found.key_id.startswith(TEST):
                require_mode(caller, Mode.LIVE)
            return await _revoked(tx, found, caller)

        return await self.database.write(work)


async def _page(conn: Connection, account_id: int, after: str, most: int) -> tuple[list[ManagedKey], bool]:
    last = await key_rotation.of_key_id(conn, after) if after else None
    if after and (last is None or last.account_id != account_id):
        raise _no_such()
    found = await key_rotation.page(conn, account_id, before_id=None if last is None else last.id, most=most + 1)
    return found[:most], len(found) > most


async def _of_managed(conn: Connection, caller: Caller, key_id: str, *, gives: bool) -> ManagedKey:
    found = await key_rotation.of_key_id(conn, key_id)
    if found is None:
        raise _no_such()
    with told_as(_no_such):
        await managed(conn, caller, found.account, gives=gives)
    return found


async def _revoked(tx: Transaction, key: ManagedKey, caller: Caller) -> ManagedKey:
    await key_rotation.revoke(tx, key, caller.actor)
    kept = await key_rotation.of_key_id(tx.conn, key.key_id)
    assert kept is not None
    return kept


async def _given(conn: Connection, key: NewKey) -> GivenKey:
    kept = await key_rotation.of_key_id(conn, key.key_id)
    assert kept is not None
    return GivenKey(kept, key.token)


def _end(asked: datetime | None, now_ms: int) -> int:
    """Raises Refusal 422 for an end that has passed, or is too far."""
    if asked is None:
        return now_ms + USUAL_LIFE_DAYS * _DAY_MS
    ends_ms = (asked - _EPOCH) // timedelta(milliseconds=1)
    if not now_ms < ends_ms <= now_ms + LONGEST_LIFE_DAYS * _DAY_MS:
        text = f"A key ends within {LONGEST_LIFE_DAYS} days from now."
        reason = Reason("A-KEY-END", text, pointer="/expires_at", remedy="Give an instant within that time.")
        raise Refusal(422, "bad-key-end", "A key cannot end then.", (reason,))
    return ends_ms


def _no_such() -> Refusal:
    return Refusal(404, "no-such-key", "There is no such key.")
