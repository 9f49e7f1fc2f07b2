"""Accounts as whoever manages them sees and changes them: pages, one account, its making, changes, its end.

Rights are asked before (`gateway/access`). Every change is conditional on the revision that was seen, and is a line of
the audit for each zone in which the account has rights.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.access import session_ends
from store.access.accounts import RightRow, note_of_account, plain, put_rights, sought_of
from store.audit_line import SERVER, Actor, changes
from store.engine.transaction import Transaction
from store.tables import account, account_right, api_key

AccountState = Literal["invited", "active", "disabled", "ended"]


class ManagedAccount(msgspec.Struct, frozen=True):
    id: int
    code: str
    name: str
    type: str
    email: str
    """In normal form; empty: it has none."""
    mobile: str
    """E.164; empty: it has none."""
    language: str
    created_ms: int
    """UTC; 0: before that was kept."""
    created_by: int | None
    """The account that invited it; None: the terminal, or a file."""
    joined_ms: int | None
    disabled_ms: int | None
    ended_ms: int | None
    revision: int
    changed_ms: int
    changed_by: str

    @property
    def state(self) -> AccountState:
        if self.ended_ms is not None:
            return "ended"
        if self.disabled_ms is not None:
            return "disabled"
        return "invited" if self.joined_ms is None else "active"


class WantedAccounts(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts: whatever says nothing leaves none out."""

    zones: frozenset[int] | None
    """Those with a right in one of these zones, and those that `invited_by` has invited; None: all."""
    invited_by: int = 0
    sought: str = ""
    """A part of the code, the name or the mail address, whatever its case and accents."""
    type: str = ""
    state: AccountState | None = None
    zone_id: int | None = None
    """With a right in this zone."""
    after: str = ""
    """The code behind which the page begins."""


_AT_ONCE = 500
_COLUMNS = tuple(account.c[name] for name in ManagedAccount.__struct_fields__)
_IN_STATE: Mapping[AccountState, sa.ColumnElement[bool]] = {
    "ended": account.c.ended_ms.is_not(None),
    "disabled": sa.and_(account.c.ended_ms.is_(None), account.c.disabled_ms.is_not(None)),
    "invited": sa.and_(account.c.ended_ms.is_(None), account.c.disabled_ms.is_(None), account.c.joined_ms.is_(None)),
    "active": sa.and_(account.c.ended_ms.is_(None), account.c.disabled_ms.is_(None), account.c.joined_ms.is_not(None)),
}


async def page(conn: AsyncConnection, wanted: WantedAccounts, most: int) -> list[ManagedAccount]:
    """In the order of their codes."""
    statement = sa.select(*_COLUMNS).where(account.c.code > wanted.after, *_conditions(wanted))
    rows = await conn.execute(statement.order_by(account.c.code).limit(most))
    return [ManagedAccount(*row) for row in rows.all()]


def _conditions(wanted: WantedAccounts) -> Iterable[sa.ColumnElement[bool]]:
    if wanted.zones is not None:
        yield seen_from(wanted.zones, wanted.invited_by)
    if wanted.sought:
        yield account.c.sought.contains(plain(wanted.sought), autoescape=True)
    if wanted.type:
        yield account.c.type == wanted.type
    if wanted.state is not None:
        yield _IN_STATE[wanted.state]
    if wanted.zone_id is not None:
        yield _has_right_in([wanted.zone_id])


def seen_from(zones: Iterable[int], invited_by: int) -> sa.ColumnElement[bool]:
    """Whether an account has a right in one of these zones, or was invited by this one."""
    return sa.or_(_has_right_in(sorted(zones)), account.c.created_by == invited_by)


def _has_right_in(zones: Sequence[int]) -> sa.ColumnElement[bool]:
    """As a test of each account against what is read once, and no join: PostgreSQL guesses at joins, and at this one so
    badly, once it plans for any value, that a page of 5,000 accounts took 80 ms."""
    having = sa.select(account_right.c.account_id).where(account_right.c.zone_id.in_(zones))
    return account.c.id.in_(having).is_(True)


async def of_code(conn: AsyncConnection, code: str) -> ManagedAccount | None:
    row = (await conn.execute(sa.select(*_COLUMNS).where(account.c.code == code))).first()
    return None if row is None else ManagedAccount(*row)


async def of_id(conn: AsyncConnection, account_id: int) -> ManagedAccount | None:
    row = (await conn.execute(sa.select(*_COLUMNS).where(account.c.id == account_id))).first()
    return None if row is None else ManagedAccount(*row)


async def addresses(conn: AsyncConnection, codes: Iterable[str]) -> dict[str, str]:
    """The mail addresses of these accounts by their codes; empty: it has none."""
    found: dict[str, str] = {}
    wanted = sorted(set(codes))
    for at in range(0, len(wanted), _AT_ONCE):
        some = account.c.code.in_(wanted[at : at + _AT_ONCE])
        rows = await conn.execute(sa.select(account.c.code, account.c.email).where(some))
        found |= {str(row.code): str(row.email) for row in rows.all()}
    return found


async def rights_of(conn: AsyncConnection, account_id: int) -> tuple[RightRow, ...]:
    """In the order in which they were given."""
    columns = (account_right.c[name] for name in RightRow.__struct_fields__)
    statement = sa.select(*columns).where(account_right.c.account_id == account_id).order_by(account_right.c.id)
    return tuple(RightRow(*row) for row in (await conn.execute(statement)).all())


# ---- changing --------------------------------------------------------------------------------------------------------


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    name: str
    type: str
    email: str
    mobile: str
    language: str
    rights: frozenset[RightRow]
    joins: bool
    """It may come in at once: it is a system's, and there is nobody to answer an invitation."""


async def taken(tx: Transaction, *, code: str = "", email: str = "", beside: int = 0) -> list[Literal["code", "email"]]:
    """What of these another account has than `beside`."""
    rows = await tx.rows(
        sa.select(account.c.code, account.c.email).where(
            account.c.id != beside,
            sa.or_(account.c.code == code, sa.and_(account.c.email == email, account.c.email != "")),
        )
    )
    found: list[Literal["code", "email"]] = []
    if any(row.code == code for row in rows):
        found.append("code")
    if email and any(row.email == email for row in rows):
        found.append("email")
    return found


async def create(tx: Transaction, new: NewAccount, by: Actor = SERVER, changed_by: str = "") -> int:
    """The id of the account. Raises Conflict (out of `Database.write`) for a code or mail address that is taken."""
    own = {name: getattr(new, name) for name in ("code", "name", "type", "email", "mobile", "language")}
    begun = {
        "created_ms": tx.now_ms,
        "created_by": by.account_id,
        "joined_ms": tx.now_ms if new.joins else None,
        "changed_ms": tx.now_ms,
        "changed_by": changed_by,
        "sought": sought_of(new.code, new.name, new.email),
    }
    row = await tx.first(sa.insert(account).values(own | begun).returning(account.c.id))
    assert row is not None
    account_id = int(row.id)
    await put_rights(tx, account_id, new.code, new.rights, by)
    apart = {name: own[name] for name in ("name", "email", "mobile") if own[name]}
    await note_of_account(tx, account_id, "account-create", new.code, by, detail={"type": new.type}, apart=apart)
    return account_id


async def change(
    tx: Transaction,
    seen: ManagedAccount,
    values: Mapping[str, str],
    by: Actor,
    changed_by: str,
    *,
    rights: frozenset[RightRow] | None = None,
    within: frozenset[int] | None = None,
) -> bool:
    """Gives an account other values of its own columns, and other rights in these zones (`within`; None: in all).
    False where it is no longer as it was seen. Raises Conflict (out of `Database.write`) for a mail address that is
    taken."""
    now = {name: values.get(name, getattr(seen, name)) for name in ("code", "name", "email")}
    if not await _move(tx, seen, {**values, "sought": sought_of(**now)}, changed_by):
        return False
    if rights is not None:
        await put_rights(tx, seen.id, seen.code, rights, by, within)
    apart = changes(msgspec.structs.asdict(seen), dict(values))
    if apart:
        changed = {"changed": sorted(apart["after"])}
        await note_of_account(tx, seen.id, "account-change", seen.code, by, detail=changed, apart=apart)
    return True


async def disable(tx: Transaction, seen: ManagedAccount, by: Actor, changed_by: str, reason: str) -> bool:
    """None of its keys is good from then on, and its sessions end. False where it is no longer as it was seen."""
    if not await _step(tx, seen, {"disabled_ms": tx.now_ms}, "account-disable", by, changed_by, reason):
        return False
    await session_ends.end_others(tx, seen.id, None, session_ends.DISABLED, by)
    return True


async def enable(tx: Transaction, seen: ManagedAccount, by: Actor, changed_by: str, reason: str) -> bool:
    """What was before it was disabled. False where it is no longer as it was seen."""
    return await _step(tx, seen, {"disabled_ms": None}, "account-enable", by, changed_by, reason)


async def end(tx: Transaction, seen: ManagedAccount, by: Actor, changed_by: str, reason: str) -> bool:
    """For good: its keys are revoked, its sessions end, and its mail address is free for another account. What it has
    launched goes on. False where it is no longer as it was seen."""
    freed = {"ended_ms": tx.now_ms, "email": "", "sought": sought_of(seen.code, seen.name, "")}
    if not await _step(tx, seen, freed, "account-end", by, changed_by, reason):
        return False
    good = sa.and_(api_key.c.account_id == seen.id, api_key.c.revoked_ms.is_(None))
    await tx.run(sa.update(api_key).where(good).values(revoked_ms=tx.now_ms))
    await session_ends.end_others(tx, seen.id, None, session_ends.DISABLED, by)
    return True


async def _step(
    tx: Transaction,
    seen: ManagedAccount,
    values: Mapping[str, Any],
    action: str,
    by: Actor,
    changed_by: str,
    reason: str,
) -> bool:
    if not await _move(tx, seen, values, changed_by):
        return False
    await note_of_account(tx, seen.id, action, seen.code, by, apart={"reason": reason} if reason else None)
    return True


async def _move(tx: Transaction, seen: ManagedAccount, values: Mapping[str, Any], changed_by: str) -> bool:
    moved = {"revision": seen.revision + 1, "changed_ms": tx.now_ms, "changed_by": changed_by}
    as_seen = sa.and_(account.c.id == seen.id, account.c.revision == seen.revision)
    return await tx.run(sa.update(account).where(as_seen).values({**values, **moved})) == 1
