"""Whom a notice goes to: accounts with an address, in their own language."""

from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import account, account_right, campaign, zone


class NoticeRecipient(msgspec.Struct, frozen=True):
    account_id: int
    email: str
    mobile: str
    language: str


_COLUMNS = (account.c.id, account.c.email, account.c.mobile, account.c.language)
_launcher = Prepared(
    sa.select(*_COLUMNS)
    .join(campaign, campaign.c.account_id == account.c.id)
    .where(
        campaign.c.id == sa.bindparam("campaign"),
        account.c.disabled_ms.is_(None),
        account.c.email != "",
        account.c.tell_ended == 1,
    )
)
_administrators = Prepared(
    sa.select(*_COLUMNS)
    .where(
        account.c.type == "administrator",
        account.c.disabled_ms.is_(None),
        account.c.email != "",
        sa.exists().where(account_right.c.account_id == account.c.id, account_right.c.zone_id == sa.bindparam("zone")),
    )
    .order_by(account.c.id)
)


async def launcher(tx: Transaction, campaign_id: int) -> NoticeRecipient | None:
    """Whoever launched a campaign, where they have a mailbox and want to hear how it ended."""
    row = await tx.first(_launcher, {"campaign": campaign_id})
    return None if row is None else NoticeRecipient(*row)


async def administrators(tx: Transaction, zone_id: int) -> list[NoticeRecipient]:
    """Of a zone, those with a mailbox."""
    return [NoticeRecipient(*row) for row in await tx.rows(_administrators, {"zone": zone_id})]


async def of_accounts(tx: Transaction, account_ids: Collection[int]) -> list[NoticeRecipient]:
    """Of these accounts, those that may come in, in the order of their numbers. Some have no address at all."""
    wanted = sa.select(*_COLUMNS).where(account.c.id.in_(sorted(set(account_ids))), account.c.disabled_ms.is_(None))
    return [NoticeRecipient(*row) for row in await tx.rows(wanted.order_by(account.c.id))]


async def zone_code(tx: Transaction, zone_id: int) -> str:
    row = await tx.first(sa.select(zone.c.code).where(zone.c.id == zone_id))
    return "" if row is None else str(row.code)


async def only_zone(tx: Transaction, account_id: int) -> str:
    """The code of the one zone in which an account has rights; empty where there is none, or several."""
    statement = (
        sa.select(zone.c.code)
        .select_from(account_right.outerjoin(zone, zone.c.id == account_right.c.zone_id))
        .where(account_right.c.account_id == account_id)
        .distinct()
        .limit(2)
    )
    rows = await tx.rows(statement)
    return str(rows[0].code) if len(rows) == 1 and rows[0].code is not None else ""
