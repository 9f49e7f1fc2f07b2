"""Double entry: money moves between accounts, by bookings whose entries sum to nothing. It stands nowhere else.

Every lot has five accounts. What the operator sold (`operator`, below nothing) is free (`lot`), promised to a
campaign (`reserved`), paid (`spent`) or gone with the end of the lot (`expired`): together they are nothing, and
without the operator's they are the lot's amount. A loan is money without a lot (`lot_id` null): what urgent campaigns
reserve beyond the balance. It has the accounts `operator`, `reserved` and `spent`.

Each entry keeps what its account holds with it, so a balance is the last entry of an account, however many there
are. That holds because the bookings of a zone are made one after the other (`lock`), and nothing is ever altered.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import booking, entry


class LedgerAccount(StrEnum):
    LOT = "lot"
    RESERVED = "reserved"
    SPENT = "spent"
    EXPIRED = "expired"
    OPERATOR = "operator"


class What(StrEnum):
    """What a booking is about."""

    LOT = "lot"
    EXPIRE = "expire"
    RESERVE = "reserve"
    RELEASE = "release"
    RECALL = "recall"
    """What was released has come to be charged after all."""
    COVER = "cover"
    """A lot takes over what was lent."""
    SETTLE = "settle"
    ADDENDUM = "addendum"


class LedgerEntry(msgspec.Struct, frozen=True):
    account: LedgerAccount
    lot_id: int | None
    amount_millieuro: int
    """Signed: what comes into the account."""
    network_id: int | None = None
    """The network that pays, where that is known."""


def move(
    source: LedgerAccount, target: LedgerAccount, lot_id: int | None, amount_millieuro: int
) -> tuple[LedgerEntry, LedgerEntry]:
    """From one account of a lot, or of the loans, to another."""
    return LedgerEntry(source, lot_id, -amount_millieuro), LedgerEntry(target, lot_id, amount_millieuro)


_MONEY = sa.literal(0x6D6F6E, sa.Integer)
_lock = Prepared(sa.select(sa.func.pg_advisory_xact_lock(_MONEY, sa.bindparam("zone", type_=sa.Integer))))


async def lock(tx: Transaction, zone_ids: Iterable[int]) -> None:
    """One after the other on PostgreSQL, too: two launches must not both see the last of the money.

    All zones of a transaction at once and in their order, behind every row that it locks: so nobody who holds money
    waits for somebody who waits for money. An entry names its campaign, so the row of a campaign is held no more
    strictly than for a change of no key. Not the zone's row: an import holds that for all of a page.
    """
    if tx.sqlite:
        return
    for zone_id in sorted(set(zone_ids)):
        await tx.run(_lock, {"zone": zone_id})


_Id: TypeAlias = sa.ColumnElement[int]
_Account: TypeAlias = sa.ColumnElement[str] | str
_wanted = json_rows("wanted", lot=int, account=str)


def head(zone_id: _Id, lot_id: _Id, account: _Account) -> sa.ScalarSelect[int]:
    """An expression for what an account of a lot holds; null before its first entry."""
    return _last(zone_id, entry.c.lot_id == lot_id, account)


def loan_head(zone_id: _Id, account: _Account) -> sa.ScalarSelect[int]:
    """An expression for what an account of the loans holds; null before its first entry."""
    return _last(zone_id, entry.c.lot_id.is_(None), account)


def _last(zone_id: _Id, which: sa.ColumnElement[bool], account: _Account) -> sa.ScalarSelect[int]:
    return (
        sa.select(entry.c.balance_millieuro)
        .where(entry.c.zone_id == zone_id, which, entry.c.account == account)
        .order_by(entry.c.id.desc())
        .limit(1)
        .correlate_except(entry)
        .scalar_subquery()
    )


_ZONE = sa.bindparam("zone", type_=sa.BigInteger)
_held = Prepared(
    sa.select(
        _wanted.c.lot,
        _wanted.c.account,
        sa.case(
            (_wanted.c.lot.is_(None), loan_head(_ZONE, _wanted.c.account)),
            else_=head(_ZONE, _wanted.c.lot, _wanted.c.account),
        ),
    )
)
_add_booking = Prepared(
    sa.insert(booking)
    .values({name: sa.bindparam(name) for name in ("zone_id", "at_ms", "what", "campaign_id", "note")})
    .returning(booking.c.id)
)
_entries = json_rows("entries", number=int, account=str, lot=int, network=int, amount=int, balance=int)
_ENTRY = {
    "booking_id": sa.bindparam("booking", type_=sa.BigInteger), "zone_id": _ZONE,
    "campaign_id": sa.bindparam("campaign", type_=sa.BigInteger), "account": _entries.c.account,
    "lot_id": _entries.c.lot, "network_id": _entries.c.network, "amount_millieuro": _entries.c.amount,
    "balance_millieuro": _entries.c.balance,
}  # fmt: skip
# In their order: of two entries of one account the higher id tells what it holds.
_add_entries = Prepared(
    sa.insert(entry).from_select(list(_ENTRY), sa.select(*_ENTRY.values()).order_by(_entries.c.number))
)

LotAccount = tuple[int | None, LedgerAccount]
"""An account of a lot."""


async def holdings(tx: Transaction, zone_id: int, places: Iterable[LotAccount]) -> dict[LotAccount, int]:
    wanted = pack((lot_id, str(account)) for lot_id, account in places)
    rows = await tx.rows(_held, {"zone": zone_id, "wanted": wanted})
    return {(row[0], LedgerAccount(row[1])): int(row[2] or 0) for row in rows}


async def book(
    tx: Transaction,
    zone_id: int,
    what: What,
    entries: Sequence[LedgerEntry],
    *,
    campaign_id: int | None = None,
    note: str = "",
) -> None:
    """Write a booking; the zone is locked. The one place where money moves: raises ValueError when the entries do not
    sum to nothing. That an account gives what it has not is found by the recount and refused by nobody: books that a
    hand has spoilt must not keep an alert from going out, nor a stop from being heard."""
    if not entries or sum(e.amount_millieuro for e in entries) != 0:
        raise ValueError(f"zone {zone_id}: the entries of a booking ({what}) must sum to nothing")
    # The operator's last: when a zone is out of debt, no later entry is about that debt (`ledger.cover`).
    entries = sorted(entries, key=lambda e: e.account is LedgerAccount.OPERATOR)
    held = await holdings(tx, zone_id, {(e.lot_id, e.account) for e in entries})
    values = {"zone_id": zone_id, "at_ms": tx.now_ms, "what": str(what), "campaign_id": campaign_id, "note": note}
    booked = await tx.first(_add_booking, values)
    assert booked is not None
    rows = []
    for number, e in enumerate(entries):
        place = (e.lot_id, e.account)
        held[place] += e.amount_millieuro
        rows.append((number, str(e.account), e.lot_id, e.network_id, e.amount_millieuro, held[place]))
    of_all = {"booking": booked.id, "zone": zone_id, "campaign": campaign_id}
    await tx.run(_add_entries, of_all | {"entries": pack(rows)})
