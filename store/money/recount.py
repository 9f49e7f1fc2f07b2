"""A zone's money counted again from its entries, held against everything else that speaks of it.

What `bookings.book` promises for each booking is looked at here over all of them: it finds what a fault of the program,
a hand in the tables or a broken disk has made of the books.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.money.bookings import LedgerAccount, What
from store.tables import booking, campaign, entry, lot


class Difference(msgspec.Struct, frozen=True):
    """Two sums that should be equal."""

    of: str
    id: int | None
    """Of the booking, lot or campaign."""
    found_millieuro: int
    expected_millieuro: int


_ZONE = sa.bindparam("zone", type_=sa.BigInteger)
_amount = sa.func.coalesce(sa.func.sum(entry.c.amount_millieuro), 0)
_mine = entry.c.zone_id == _ZONE
_unbalanced = sa.select(entry.c.booking_id, _amount).where(_mine).group_by(entry.c.booking_id).having(_amount != 0)
_accounts = (
    sa.select(entry.c.lot_id, entry.c.account, _amount.label("sum"), sa.func.max(entry.c.id).label("last"))
    .where(_mine)
    .group_by(entry.c.lot_id, entry.c.account)
    .subquery()
)
_heads = sa.select(_accounts.c.lot_id, _accounts.c.account, _accounts.c.sum, entry.c.balance_millieuro).join(
    entry, entry.c.id == _accounts.c.last
)
_lots = sa.select(lot.c.id, lot.c.amount_millieuro).where(lot.c.zone_id == _ZONE)


def _booked(account: LedgerAccount, *what: What) -> sa.ScalarSelect[int]:
    """What came into an account for a campaign, of bookings of some kinds or of all."""
    found = sa.select(_amount).where(entry.c.campaign_id == campaign.c.id, entry.c.account == str(account))
    if what:
        found = found.join(booking, booking.c.id == entry.c.booking_id).where(
            booking.c.what.in_([str(w) for w in what])
        )
    return found.correlate(campaign).scalar_subquery()


_campaigns = sa.select(
    campaign.c.id,
    campaign.c.reserved_millieuro,
    campaign.c.settled_millieuro,
    campaign.c.sealed_ms,
    _booked(LedgerAccount.RESERVED, What.RESERVE).label("reserved"),
    _booked(LedgerAccount.SPENT).label("spent"),
    _booked(LedgerAccount.RESERVED).label("left"),
).where(campaign.c.zone_id == _ZONE)


async def differences(conn: AsyncConnection, zone_id: int) -> list[Difference]:
    """None when the books close. Reads every entry of the zone: not for every day, and not on a writing connection."""
    zone = {"zone": zone_id}
    found = [Difference("booking", row[0], int(row[1]), 0) for row in await conn.execute(_unbalanced, zone)]
    sums: dict[int | None, dict[str, int]] = {}
    for lot_id, account, total, balance in await conn.execute(_heads, zone):
        sums.setdefault(lot_id, {})[account] = int(total)
        if total < 0 and account != LedgerAccount.OPERATOR:
            found.append(Difference(f"{account} below nothing", lot_id, int(total), 0))
        if total != balance:
            found.append(Difference(f"balance of {account}", lot_id, int(balance), int(total)))
    for lot_id, amount in [*await conn.execute(_lots, zone), (None, 0)]:
        accounts = sums.get(lot_id, {})
        if sum(accounts.values()) != 0:
            found.append(Difference("accounts of a lot", lot_id, sum(accounts.values()), 0))
        if lot_id is not None and accounts.get(LedgerAccount.OPERATOR) != -amount:
            found.append(Difference("lot", lot_id, -accounts.get(LedgerAccount.OPERATOR, 0), amount))
    for row in await conn.execute(_campaigns, zone):
        found += _of_campaign(row)
    return found


def _of_campaign(row: sa.Row[*tuple[int, ...]]) -> list[Difference]:
    sealed = row.sealed_ms is not None
    pairs = (
        ("reserved", row.reserved, row.reserved_millieuro),
        ("settled", row.spent, row.settled_millieuro if sealed else 0),
        ("reserved and neither released nor settled", row.left, 0 if sealed else max(row.left, 0)),
    )
    return [Difference(name, row.id, int(is_), int(should)) for name, is_, should in pairs if is_ != should]
