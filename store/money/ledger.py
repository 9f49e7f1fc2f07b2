"""Prepaid money of a zone, in thousandths of a euro: its lots, its balance, what ends unused.

Loans: an urgent campaign may reserve more than the balance. What no lot covers is lent by the operator, by entries
without a lot, and makes the balance negative. The debt is carried until money comes: the zone's next lot, or what
another campaign releases into a valid lot, takes it over at once (`cover`), what is spent already before what is only
reserved, the older campaign before the younger. From then on it is reserved or spent of that lot, and released to it.
So a zone never has free money and a debt side by side, and a debt outlives the end of every lot.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.money.bookings import LedgerAccount, LedgerEntry, What, book, head, holdings, loan_head, lock, move
from store.tables import entry, lot

_NOW = sa.bindparam("now", type_=sa.BigInteger)
_ZONE = sa.bindparam("zone", type_=sa.BigInteger)
_free = sa.func.coalesce(head(lot.c.zone_id, lot.c.id, str(LedgerAccount.LOT)), 0)
_is_valid = sa.and_(
    lot.c.zone_id == _ZONE,
    lot.c.expired_ms.is_(None),
    sa.or_(lot.c.valid_until_ms.is_(None), lot.c.valid_until_ms > _NOW),
)
_debt = sa.func.coalesce(loan_head(_ZONE, str(LedgerAccount.OPERATOR)), 0)
_balance = Prepared(
    sa.select(sa.func.coalesce(sa.select(sa.func.sum(_free)).where(_is_valid).scalar_subquery(), 0) + _debt)
)


async def balance_millieuro(conn: AsyncConnection, zone_id: int, now_ms: int) -> int:
    """What may still be spent: what is free in the lots that are valid at this instant, less what was lent."""
    [balance] = await rows_of(conn, _balance, {"zone": zone_id, "now": now_ms})
    return int(balance[0])


in_order_of_expiry = (lot.c.valid_until_ms.asc().nulls_last(), lot.c.id)
_usable = Prepared(sa.select(lot.c.id, _free.label("free")).where(_is_valid).order_by(*in_order_of_expiry))


class LotShare(msgspec.Struct, frozen=True):
    """A part of an amount, and the lot that it is of; null: of a loan."""

    lot_id: int | None
    amount_millieuro: int


async def shares(tx: Transaction, zone_id: int, amount_millieuro: int) -> tuple[list[LotShare], int]:
    """The amount out of what is free now, in order of expiry; and what is lacking."""
    found, lacking = [], amount_millieuro
    for row in await tx.rows(_usable, {"zone": zone_id, "now": tx.now_ms}):
        taken = min(int(row.free), lacking)
        if taken:
            found.append(LotShare(row.id, taken))
        lacking -= taken
    return found, lacking


async def add_lot(
    tx: Transaction, zone_id: int, amount_millieuro: int, valid_until_ms: int | None, reference: str
) -> None:
    """File what a zone has bought. It pays first what was lent meanwhile. Raises ValueError when it is nothing."""
    if amount_millieuro <= 0:
        raise ValueError(f"a lot of {amount_millieuro} millieuro")
    await lock(tx, [zone_id])
    values = {
        "zone_id": zone_id, "reference": reference, "amount_millieuro": amount_millieuro,
        "valid_until_ms": valid_until_ms, "at_ms": tx.now_ms,
    }  # fmt: skip
    filed = await tx.first(sa.insert(lot).values(values).returning(lot.c.id))
    assert filed is not None
    await book(
        tx,
        zone_id,
        What.LOT,
        move(LedgerAccount.OPERATOR, LedgerAccount.LOT, filed.id, amount_millieuro),
        note=reference,
    )
    await cover(tx, zone_id)


_clear = entry.alias("clear")
_debts = Prepared(
    sa.select(entry.c.campaign_id, entry.c.account, sa.func.sum(entry.c.amount_millieuro).label("owed"))
    .where(
        entry.c.zone_id == _ZONE,
        entry.c.lot_id.is_(None),
        entry.c.account.in_((str(LedgerAccount.RESERVED), str(LedgerAccount.SPENT))),
        # Since the zone owed nothing: older loans are all taken over or given back.
        entry.c.id
        > sa.func.coalesce(
            sa.select(_clear.c.id)
            .where(
                _clear.c.zone_id == _ZONE,
                _clear.c.lot_id.is_(None),
                _clear.c.account == str(LedgerAccount.OPERATOR),
                _clear.c.balance_millieuro == 0,
            )
            .order_by(_clear.c.id.desc())
            .limit(1)
            .scalar_subquery(),
            0,
        ),
    )
    .group_by(entry.c.campaign_id, entry.c.account)
    .having(sa.func.sum(entry.c.amount_millieuro) > 0)
    .order_by(entry.c.account.desc(), entry.c.campaign_id)
)
_owes = Prepared(sa.select(_debt))


async def cover(tx: Transaction, zone_id: int) -> None:
    """Let the zone's lots take over what was lent to it, as far as they go; the zone is locked."""
    owes = await tx.first(_owes, {"zone": zone_id})
    if owes is None or owes[0] == 0 or not (await shares(tx, zone_id, 1))[0]:
        return
    for debt in await tx.rows(_debts, {"zone": zone_id}):
        found, lacking = await shares(tx, zone_id, int(debt.owed))
        if found:
            entries = [e for share in found for e in _taken_over(share, LedgerAccount(debt.account))]
            await book(tx, zone_id, What.COVER, entries, campaign_id=debt.campaign_id)
        if lacking:
            return


def _taken_over(share: LotShare, account: LedgerAccount) -> tuple[LedgerEntry, ...]:
    return (
        *move(LedgerAccount.LOT, account, share.lot_id, share.amount_millieuro),
        *move(account, LedgerAccount.OPERATOR, None, share.amount_millieuro),
    )


_ended = Prepared(
    sa.select(lot.c.id, lot.c.zone_id)
    .where(lot.c.expired_ms.is_(None), lot.c.valid_until_ms <= _NOW)
    .order_by(lot.c.zone_id, lot.c.id)
    .limit(sa.bindparam("most"))
)
_expire = Prepared(
    sa.update(lot).where(lot.c.id == sa.bindparam("lot"), lot.c.expired_ms.is_(None)).values(expired_ms=_NOW)
)


async def expire_lots(tx: Transaction, *, most: int = 20) -> int:
    """Book what is left of lots that have ended; returns how many. Balances are right without it."""
    ended = await tx.rows(_ended, {"now": tx.now_ms, "most": most})
    await lock(tx, [row.zone_id for row in ended])
    for row in ended:
        if not await tx.run(_expire, {"lot": row.id, "now": tx.now_ms}):
            continue  # another node was quicker
        place = (row.id, LedgerAccount.LOT)
        left = (await holdings(tx, row.zone_id, [place]))[place]
        if left:
            await book(tx, row.zone_id, What.EXPIRE, move(LedgerAccount.LOT, LedgerAccount.EXPIRED, row.id, left))
    return len(ended)
