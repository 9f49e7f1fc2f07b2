"""Whom a notice goes to: accounts with an address, in their own language."""

import msgspec
import sqlalchemy as sa

from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import account, account_right, campaign


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
