"""Addenda: what late receipts have moved since a report was sealed. The report itself is never altered.

Each is kept with its date and every figure before and after. None of them is signed: `signed` says so.
"""

import logging
from collections.abc import Sequence
from functools import partial

import msgspec

from gateway.failed_work_rests import Setbacks
from gateway.instants import rfc3339
from gateway.reports.reading import addenda_of, draw_up, parsed
from gateway.reports.report import Addendum, Report, ReportChange
from store.campaigns import addenda
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn

log = logging.getLogger(__name__)

Figures = dict[tuple[str, str, str], int]
"""(section, channel, name) -> value: the figures of a report that a receipt may move."""


async def amend_due(database: Database, setbacks: Setbacks | None = None) -> int:
    """Add to the sealed reports what they do not tell; returns how many addenda were made.

    Each by itself: `setbacks` remembers those that could not be amended."""
    known = Setbacks() if setbacks is None else setbacks
    async with database.read() as conn:
        now_ms = database.clock.now_ms()
        due = await known.due(lambda without: addenda.due(conn, now_ms, without=without))
    return sum(await known.each(due, "addendum-failed", partial(_amend, database)))


async def _amend(database: Database, campaign_id: int) -> bool:
    drawn = await draw_up(database, campaign_id)
    async with database.read() as conn:
        campaign = await campaigns.by_id(conn, campaign_id)
        before = await addenda_of(conn, campaign_id)
    assert campaign is not None
    assert campaign.report is not None
    changes = _changes(_told(parsed(campaign.report), before), _figures(drawn))
    settled = min(drawn.money.charged_millieuro, campaign.reserved_millieuro)

    async def keep(tx: Transaction) -> Addendum | None:
        told = await addenda.hold_counters(tx, campaign_id)
        if sum(told.values()) != drawn.revision:
            return None  # another receipt came in between: the next round knows it
        if not changes:
            await addenda.all_told(tx, campaign_id, told)
            return None
        new = Addendum(
            number=len(before) + 1,
            made=rfc3339(tx.now_ms),
            revision=drawn.revision,
            changes=changes,
            entry_millieuro=settled - campaign.settled_millieuro,
            settled_millieuro=settled,
            sums_close=drawn.sums_close,
        )
        await addenda.add(tx, campaign_id, new.number, msgspec.json.encode(new).decode(), settled, told=told)
        return new

    made = await database.write(keep, turn=Turn.LAST)
    if made is None:
        return False
    fields = {"action": "addendum", "campaign": campaign.public_id, "number": made.number}
    level = logging.INFO if made.sums_close else logging.ERROR
    log.log(level, "addendum to a sealed report", extra=fields | {"sums_close": made.sums_close})
    return True


def _figures(report: Report) -> Figures:
    found: Figures = {("persons", "", line.outcome): line.persons for line in report.persons.outcomes}
    for line in report.channels:
        found |= {("deliveries", line.channel, state): n for state, n in line.states.items()}
    found["money", "", "charged_millieuro"] = report.money.charged_millieuro
    found["money", "", "resent_deliveries"] = report.money.resent_deliveries
    return found


def _told(sealed: Report, before: Sequence[Addendum]) -> Figures:
    """What the report and its addenda tell."""
    found = _figures(sealed)
    for one in before:
        found |= {(change.section, change.channel, change.name): change.after for change in one.changes}
    return found


def _changes(before: Figures, after: Figures) -> tuple[ReportChange, ...]:
    places = dict.fromkeys((*before, *after))
    moved = ((place, before.get(place, 0), after.get(place, 0)) for place in places)
    return tuple(ReportChange(*place, was, now) for place, was, now in moved if was != now)
