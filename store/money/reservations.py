"""What a campaign has of its zone's money: reserved at its launch, released when it can no longer be charged, settled
at the seal and by addenda.

Lots are used up in the order in which they expire: a reservation takes those that end first, a settlement spends of
them first, so what is released is of those that end last, and of a loan before all. It goes back to the lots that it
came from; what a lot gets back after its end is expired with it.

What is released early is a judgement: a receipt may still prove that a carrier had taken one of those messages. Then
the money is recalled before it is settled: of the lots it was released to, even after their end, when nobody else has
reserved it meanwhile; else of whatever lot is valid; else it is lent. Never more is recalled than was released, so a
campaign's reserved - released - settled is never negative, and what it settles stays within its first reservation.
"""

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.errors import CreditExhausted
from store.money.bookings import LedgerAccount, LedgerEntry, What, book, holdings, lock, move
from store.money.ledger import balance_millieuro, cover, in_order_of_expiry, shares
from store.states import BatchState
from store.tables import batch, booking, campaign, campaign_text, entry, lot, progress

_CAMPAIGN = sa.bindparam("campaign", type_=sa.BigInteger)


async def reserve(
    tx: Transaction, zone_id: int, campaign_id: int, amount_millieuro: int, *, must_cover: bool = False
) -> None:
    """Promise money to a campaign; the zone is locked. What the lots do not cover is lent, or with `must_cover`
    raises CreditExhausted."""
    if must_cover:
        balance = await balance_millieuro(tx.conn, zone_id, tx.now_ms)
        if balance < amount_millieuro:
            raise CreditExhausted(zone_id, balance, amount_millieuro)
    found, lacking = await shares(tx, zone_id, amount_millieuro)
    entries = [e for s in found for e in move(LedgerAccount.LOT, LedgerAccount.RESERVED, s.lot_id, s.amount_millieuro)]
    entries += _lent(lacking)
    await book(tx, zone_id, What.RESERVE, entries, campaign_id=campaign_id)


def _lent(amount_millieuro: int) -> Sequence[LedgerEntry]:
    return move(LedgerAccount.OPERATOR, LedgerAccount.RESERVED, None, amount_millieuro) if amount_millieuro else ()


# ---- what is reserved still, and what of it may be charged -----------------------------------------------


class Held(msgspec.Struct, frozen=True):
    """What a campaign has reserved of a lot, or as a loan."""

    lot_id: int | None
    amount_millieuro: int
    valid_until_ms: int | None

    def is_valid(self, now_ms: int) -> bool:
        return self.valid_until_ms is None or self.valid_until_ms > now_ms


_amount = sa.func.sum(entry.c.amount_millieuro)
_of_reservation = (
    sa.select(entry.c.lot_id, _amount.label("amount"), lot.c.valid_until_ms)
    .select_from(entry)
    .join(lot, lot.c.id == entry.c.lot_id, isouter=True)
    .where(entry.c.campaign_id == _CAMPAIGN, entry.c.account == str(LedgerAccount.RESERVED))
    .group_by(entry.c.lot_id, lot.c.valid_until_ms, lot.c.id)
    # Loans come last: a lot without an end is older than any of them.
    .order_by(entry.c.lot_id.is_(None), *in_order_of_expiry)
)
_held = Prepared(_of_reservation.having(_amount != 0))
_given_back = Prepared(
    _of_reservation.join(booking, booking.c.id == entry.c.booking_id).where(
        booking.c.what.in_((str(What.RELEASE), str(What.RECALL))), entry.c.lot_id.is_not(None)
    )
)


async def held(conn: AsyncConnection, campaign_id: int) -> list[Held]:
    """What a campaign still has reserved, by lot, in the order in which these expire."""
    rows = await rows_of(conn, _held, {"campaign": campaign_id})
    return [Held(row.lot_id, int(row.amount), row.valid_until_ms) for row in rows]


_dearest = (
    sa.select(sa.func.max(campaign_text.c.price_millieuro))
    .where(campaign_text.c.campaign_id == progress.c.campaign_id, campaign_text.c.channel == progress.c.channel)
    .scalar_subquery()
)
_in_hand = (
    sa.select(sa.func.sum(batch.c.cursor - batch.c.first + 1))
    .where(
        # Word for word the predicate of the index: done batches are many, and not looked at.
        sa.text("batch.state = 1"),
        batch.c.state == int(BatchState.LEASED),
        batch.c.channel == progress.c.channel,
        batch.c.mode == campaign.c.mode,
        batch.c.priority == campaign.c.priority,
        batch.c.campaign_id == progress.c.campaign_id,
    )
    .scalar_subquery()
)
# One statement, so one snapshot: an answer that is committed meanwhile is seen in its batch and in the counters, or in
# neither. Two would miss what is in hand for the one and not yet charged for the other.
_chargeable = Prepared(
    sa.select(
        progress.c.charged_millieuro.label("charged"),
        (progress.c.unknown + progress.c.retry).label("open"),
        progress.c.queued,
        sa.func.coalesce(_in_hand, 0).label("in_hand"),
        sa.func.coalesce(_dearest, 0).label("dearest"),
    )
    .join(campaign, campaign.c.id == progress.c.campaign_id)
    .where(progress.c.campaign_id == _CAMPAIGN)
)


async def chargeable_millieuro(conn: AsyncConnection, campaign_id: int) -> int:
    """The most that a campaign which has ended may be charged: what it was charged, and the dearest text of the channel
    for each that is in doubt, waits for another attempt or is in hand. What is queued and not in hand never leaves.

    Reads counters and leased batches: a million people take no longer than ten.
    """
    rows = await rows_of(conn, _chargeable, {"campaign": campaign_id})
    return sum(int(r.charged + r.dearest * (r.open + min(r.in_hand, r.queued))) for r in rows)


# ---- given back ------------------------------------------------------------------------------------------


def _beyond(reserved: Sequence[Held], kept_millieuro: int) -> list[Held]:
    """What is to be released when so much is kept, of what ends first."""
    beyond, left = [], kept_millieuro
    for one in reserved:
        kept = min(one.amount_millieuro, left)
        left -= kept
        if kept < one.amount_millieuro:
            beyond.append(msgspec.structs.replace(one, amount_millieuro=one.amount_millieuro - kept))
    return beyond


_ended = json_rows("ended", id=int)
_paid_for = Prepared(
    sa.select(campaign.c.id, campaign.c.zone_id).where(
        campaign.c.id.in_(sa.select(_ended.c.id)),
        campaign.c.reserved_millieuro > 0,
        campaign.c.sealed_ms.is_(None),
    )
)


async def zones_of(tx: Transaction, campaign_ids: Iterable[int]) -> set[int]:
    """The zones whose money `free` would move."""
    return {row.zone_id for row in await tx.rows(_paid_for, {"ended": pack((i,) for i in campaign_ids)})}


async def free(tx: Transaction, campaign_ids: Iterable[int]) -> None:
    """Release at once what campaigns that have ended can no longer be charged. Locks their zones."""
    rows: list[AnyRow] = await tx.rows(_paid_for, {"ended": pack((i,) for i in campaign_ids)})
    await lock(tx, [row.zone_id for row in rows])
    for row in sorted(rows, key=lambda row: (row.zone_id, row.id)):
        await release(tx, row.zone_id, row.id, await chargeable_millieuro(tx.conn, row.id))


async def freeable_millieuro(conn: AsyncConnection, campaign_ids: Iterable[int], now_ms: int) -> int:
    """By how much the balance of their zone would rise if these campaigns ended now."""
    total = 0
    for campaign_id in campaign_ids:
        beyond = _beyond(await held(conn, campaign_id), await chargeable_millieuro(conn, campaign_id))
        total += sum(one.amount_millieuro for one in beyond if one.lot_id is None or one.is_valid(now_ms))
    return total


async def release(tx: Transaction, zone_id: int, campaign_id: int, kept_millieuro: int = 0) -> None:
    """Give back all of a reservation but `kept_millieuro`; the zone is locked."""
    beyond = _beyond(await held(tx.conn, campaign_id), kept_millieuro)
    if not beyond:
        return
    entries = [
        e
        for one in beyond
        for e in move(LedgerAccount.RESERVED, _home(one, tx.now_ms), one.lot_id, one.amount_millieuro)
    ]
    await book(tx, zone_id, What.RELEASE, entries, campaign_id=campaign_id)
    await cover(tx, zone_id)


def _home(one: Held, now_ms: int) -> LedgerAccount:
    if one.lot_id is None:
        return LedgerAccount.OPERATOR
    return LedgerAccount.LOT if one.is_valid(now_ms) else LedgerAccount.EXPIRED


# ---- paid ------------------------------------------------------------------------------------------------


async def settle(
    tx: Transaction,
    zone_id: int,
    campaign_id: int,
    amount_millieuro: int,
    *,
    what: What = What.SETTLE,
    note: str = "",
) -> None:
    """Pay out of what is reserved, and of what was released too early; the zone is locked."""
    if amount_millieuro == 0:
        return
    reserved = await held(tx.conn, campaign_id)
    lacking = amount_millieuro - sum(one.amount_millieuro for one in reserved)
    if lacking > 0:
        await _recall(tx, zone_id, campaign_id, lacking)
        reserved = await held(tx.conn, campaign_id)
    entries: list[LedgerEntry] = []
    left = amount_millieuro
    for one in reserved:
        paid = min(one.amount_millieuro, left)
        if paid:
            entries += move(LedgerAccount.RESERVED, LedgerAccount.SPENT, one.lot_id, paid)
        left -= paid
    await book(tx, zone_id, what, entries, campaign_id=campaign_id, note=note)


async def _recall(tx: Transaction, zone_id: int, campaign_id: int, amount_millieuro: int) -> None:
    entries: list[LedgerEntry] = []
    left = amount_millieuro
    released = await tx.rows(_given_back, {"campaign": campaign_id})
    places = [(row.lot_id, account) for row in released for account in (LedgerAccount.LOT, LedgerAccount.EXPIRED)]
    there = await holdings(tx, zone_id, places)
    for row in released:
        wanted = -int(row.amount)
        for account in (LedgerAccount.LOT, LedgerAccount.EXPIRED):
            taken = min(wanted, left, there[row.lot_id, account])
            if taken > 0:
                entries += move(account, LedgerAccount.RESERVED, row.lot_id, taken)
                wanted, left = wanted - taken, left - taken
    if entries:
        await book(tx, zone_id, What.RECALL, entries, campaign_id=campaign_id)
    if left:
        found, lacking = await shares(tx, zone_id, left)
        of_others = [
            e for s in found for e in move(LedgerAccount.LOT, LedgerAccount.RESERVED, s.lot_id, s.amount_millieuro)
        ]
        await book(tx, zone_id, What.RECALL, [*of_others, *_lent(lacking)], campaign_id=campaign_id)
