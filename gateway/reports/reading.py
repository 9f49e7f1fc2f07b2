"""The report of a campaign: drawn up now while it runs, as it was kept once it is sealed."""

import asyncio

import msgspec

from gateway.reports.compiling import draw
from gateway.reports.gathering import gather, opened_by
from gateway.reports.report import Addendum, Moved, Report
from store.access.break_glass import BreakGlassUse
from store.campaigns import addenda
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.engine.transaction import Connection
from store.outbox.records import DeliveryCounts
from store.states import DeliveryState


def written(report: Report) -> str:
    """A report as it is kept."""
    return msgspec.json.encode(report).decode()


def parsed(document: bytes | str) -> Report:
    """A kept report, or one that the API sent. Raises msgspec.ValidationError."""
    return msgspec.json.decode(document, type=Report)


async def draw_up(database: Database, campaign_id: int) -> Report:
    """The report of rows and audience as they are now. Raises LookupError when there is no such campaign."""
    facts = await gather(database, campaign_id)
    return await asyncio.to_thread(draw, facts)


async def report_of(database: Database, campaign_id: int) -> Report:
    """The live report, or the sealed one with its addenda and what late receipts have moved. Raises LookupError."""
    async with database.read() as conn:
        campaign = await campaigns.by_id(conn, campaign_id)
        counts = await campaigns.counts(conn, campaign_id)
        added = await addenda_of(conn, campaign_id)
        used = None if campaign is None else await opened_by(conn, campaign)
    if campaign is None or campaign.report is None:
        return _named(await draw_up(database, campaign_id), used)
    sealed = parsed(campaign.report)
    amended = msgspec.structs.replace(
        sealed,
        addenda=added,
        since_sealing=tuple(_moved(sealed, counts)),
    )
    return _named(amended, used)


def _named(report: Report, used: BreakGlassUse | None) -> Report:
    """With what whoever used a paper code has typed: no sealed bytes hold it."""
    opened = report.campaign.break_glass
    if used is None or opened is None:
        return report
    opened = msgspec.structs.replace(opened, name=used.name, reason=used.reason)
    return msgspec.structs.replace(report, campaign=msgspec.structs.replace(report.campaign, break_glass=opened))


async def addenda_of(conn: Connection, campaign_id: int) -> tuple[Addendum, ...]:
    return tuple(msgspec.json.decode(one.document, type=Addendum) for one in await addenda.of(conn, campaign_id))


def _moved(sealed: Report, counts: list[DeliveryCounts]) -> list[Moved]:
    then = {line.channel: line.states for line in sealed.channels}
    moved = []
    for count in counts:
        for state in DeliveryState:
            was, is_now = then.get(count.channel, {}).get(state.word, 0), getattr(count, state.word)
            if was != is_now:
                moved.append(Moved(count.channel, state.word, was, is_now))
    charged = sum(count.charged_millieuro for count in counts)
    if charged != sealed.money.charged_millieuro:
        moved.append(Moved("", "charged_millieuro", sealed.money.charged_millieuro, charged))
    return moved
