"""Seal what can be sealed: the last report of a campaign, kept for ever, and its reservation settled."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from gateway.failed_work_rests import Setbacks
from gateway.instants import rfc3339
from gateway.reports.reading import draw_up, written
from gateway.reports.report import Report
from store.campaigns import addenda, campaign_steps
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn

log = logging.getLogger(__name__)


Sealed = Callable[[Transaction, int, Report], Awaitable[None]]
"""Hears in the transaction of the seal of a campaign (its number) and of its last report."""


async def nobody_hears(tx: Transaction, campaign_id: int, report: Report) -> None:
    """Of a seal that is told nobody."""


async def seal_due(database: Database, setbacks: Setbacks | None = None, sealed: Sealed = nobody_hears) -> int:
    """Seal the campaigns whose last delivery is final, or whose evidence horizon has passed; returns how many.

    Each by itself: `setbacks` remembers those that could not be sealed."""
    known = Setbacks() if setbacks is None else setbacks
    async with database.read() as conn:
        now_ms = database.clock.now_ms()
        due = await known.due(lambda without: campaign_steps.sealable(conn, now_ms, without=without))
    return sum(await known.each(due, "seal-failed", partial(_seal, database, sealed)))


async def _seal(database: Database, sealed: Sealed, campaign_id: int) -> bool:
    drawn = await draw_up(database, campaign_id)
    charged = drawn.money.charged_millieuro

    async def keep(tx: Transaction) -> Report | None:
        told = await addenda.hold_counters(tx, campaign_id)
        if sum(told.values()) != drawn.revision:
            return None  # a receipt came in between: the next round draws a report that knows it
        report = _last(drawn, tx.now_ms)
        if not await campaign_steps.seal(tx, campaign_id, written(report), charged, told=told):
            return None
        await sealed(tx, campaign_id, report)
        return report

    report = await database.write(keep, turn=Turn.LAST)
    if report is None:
        return False
    fields = {"action": "seal", "campaign": report.campaign.id, "sums_close": report.sums_close}
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
