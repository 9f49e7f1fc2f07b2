"""Seal what can be sealed: the last report of a campaign, kept for ever, and its reservation settled."""

import logging

import msgspec

from gateway.reports.instants import rfc3339
from gateway.reports.reading import draw_up, written
from gateway.reports.report import Report
from store import campaigns, lifecycle
from store.campaigns import Campaign
from store.database import Database
from store.transaction import Transaction

log = logging.getLogger(__name__)


async def seal_due(database: Database) -> int:
    """Seal the campaigns whose last delivery is final, or whose evidence horizon has passed; returns how many."""
    async with database.read() as conn:
        due = await lifecycle.sealable(conn, database.clock.now_ms())
        found = [await campaigns.by_id(conn, campaign_id) for campaign_id in due]
    sealed = [campaign for campaign in found if campaign is not None and await _seal(database, campaign)]
    return len(sealed)


async def _seal(database: Database, campaign: Campaign) -> bool:
    drawn = await draw_up(database, campaign.id)
    charged = drawn.money.charged_millieuro

    async def keep(tx: Transaction) -> Report | None:
        counts = await campaigns.counts(tx.conn, campaign.id)
        if sum(count.revision for count in counts) != drawn.revision:
            return None  # a receipt came in between: the next round draws a report that knows it
        report = _last(drawn, tx.now_ms)
        return report if await lifecycle.seal(tx, campaign.id, written(report), charged) else None

    report = await database.write(keep, urgent=False)
    if report is None:
        return False
    fields = {"action": "seal", "campaign": campaign.public_id, "sums_close": report.sums_close}
    if report.sums_close:
        log.info("report sealed", extra=fields)
    else:
        broken = [e.name for e in report.equations if not e.holds]
        log.error("report sealed although its sums do not close", extra=fields | {"broken": broken})
    return True


def _last(drawn: Report, sealed_ms: int) -> Report:
    replace = msgspec.structs.replace
    reserved = drawn.money.reserved_millieuro
    settled = min(drawn.money.charged_millieuro, reserved)
    money = replace(drawn.money, settled_millieuro=settled, returned_millieuro=reserved - settled)
    return replace(drawn, campaign=replace(drawn.campaign, sealed=rfc3339(sealed_ms)), money=money)
