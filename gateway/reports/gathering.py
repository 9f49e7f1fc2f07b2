"""Everything that a report is drawn from, read from one snapshot of the store, in pages."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from channels.contract import Channel
from gateway.directory.audience import Audience, Covered, Deliveries, Excluded, SkippedChannel, decode
from gateway.directory.reasons import ExclusionReason
from gateway.reports.persons import NO_ROW, Elsewhere, Fates
from store.access import break_glass
from store.access.break_glass import BreakGlassUse
from store.campaigns import alerts, recount
from store.campaigns import reading as campaigns
from store.campaigns.alerts import FiledAlert
from store.campaigns.reading import Campaign, Sum
from store.campaigns.recount import Expanded, Page
from store.engine.database import Database
from store.engine.transaction import Connection
from store.outbox.records import DeliveryCounts

_SHORT_OCTETS = 16_384
"""Of an audience of some thousand persons: it takes less time than the way to a thread."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRows:
    """One channel's rows beside what the audience says of them."""

    fates: Fates
    rows: int
    not_expanded: int
    ids: int
    """Sum of the member and contact ids of the rows."""
    ids_frozen: int
    """The same of the audience, as far as it has become rows."""
    sent: int
    first_sent_ms: int | None
    last_sent_ms: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    campaign: Campaign
    alert: FiledAlert | None
    audience: Audience
    channels: Mapping[Channel, ChannelRows]
    elsewhere: tuple[Elsewhere, ...]
    sums: tuple[Sum, ...]
    counts: tuple[DeliveryCounts, ...]
    read_ms: int
    opened_by: BreakGlassUse | None = None
    """The paper code by which it was launched."""

    @property
    def audience_known(self) -> bool:
        return self.audience is not _NOBODY


async def gather(database: Database, campaign_id: int) -> Facts:
    """What a report of the campaign is drawn from. Raises LookupError when there is no such campaign."""
    async with database.read() as conn:
        await recount.hold_still(conn)
        campaign = await campaigns.by_id(conn, campaign_id)
        if campaign is None:
            raise LookupError(f"no campaign {campaign_id}")
        alert = await alerts.by_public_id(conn, campaign.alert_public_id) if campaign.alert_public_id else None
        audience = await _audience(conn, campaign_id)
        return Facts(
            campaign,
            alert,
            audience,
            await _channels(conn, campaign_id, audience),
            await _elsewhere(conn, campaign, audience),
            tuple(await campaigns.sums(conn, campaign_id)),
            tuple(await campaigns.counts(conn, campaign_id)),
            database.clock.now_ms(),
            await opened_by(conn, campaign),
        )


async def opened_by(conn: Connection, campaign: Campaign) -> BreakGlassUse | None:
    """The paper code by which whoever launched a campaign came in; None: by a key or by factors of their own."""
    number = campaign.break_glass_use_id
    return None if number is None else await break_glass.one(conn, number)


async def _audience(conn: Connection, campaign_id: int) -> Audience:
    blob = await campaigns.audience_blob(conn, campaign_id)
    if blob is None:
        return _NOBODY
    # Off the loop where it is long: a million persons take a few tenths of a second to inflate.
    return decode(blob) if len(blob) <= _SHORT_OCTETS else await asyncio.to_thread(decode, blob)


def _nobody() -> Audience:
    """Of a campaign whose audience is still being gathered."""
    ids, small = np.empty(0, np.int64), np.empty(0, np.uint8)
    return Audience(
        0, (), (), {}, Excluded(ids, small), Covered(ids, small, ids, ids, small), SkippedChannel(ids, small, small)
    )


_NOBODY = _nobody()


async def _elsewhere(conn: Connection, campaign: Campaign, audience: Audience) -> tuple[Elsewhere, ...]:
    """The campaigns in other zones that reach somebody who is covered here."""
    if campaign.alert_id is None or not (audience.covered.reason == ExclusionReason.OTHER_ZONE).any():
        return ()
    found = []
    for other in await campaigns.of_alert(conn, campaign.alert_id):
        if other.id != campaign.id:
            theirs = await _audience(conn, other.id)
            rows = await _channels(conn, other.id, theirs)
            found.append(Elsewhere(theirs, {channel: row.fates for channel, row in rows.items()}))
    return tuple(found)


async def _channels(conn: Connection, campaign_id: int, audience: Audience) -> dict[Channel, ChannelRows]:
    expanded = {row.channel: row for row in await recount.expanded(conn, campaign_id)}
    found = {}
    for channel in audience.channels:
        frozen = audience.deliveries[channel]
        reading = _Reading(frozen)
        span = expanded.get(channel.value, Expanded(channel.value, 0, 0, 0))
        for start in range(0, span.upto, recount.PAGE):
            end = min(start + recount.PAGE, span.upto)
            page = await recount.page(conn, campaign_id, span.first_seq + start, span.first_seq + end - 1)
            reading.take(start, page)
        found[channel] = reading.rows(span.upto)
    return found


class _Reading:
    """Pages of rows becoming columns in the order of the audience."""

    def __init__(self, frozen: Deliveries) -> None:
        self.frozen = frozen
        self.states = np.full(len(frozen), NO_ROW, np.uint8)
        self.codes = np.zeros(len(frozen), np.int64)
        self.names = {"": 0}
        self.pages: list[Page] = []

    def take(self, start: int, page: Page) -> None:
        self.pages.append(page)
        if page.places:
            places = np.fromstring(page.places, np.int64, sep=",")
            self.states[start + (places >> 4)] = places & 15
        for code, distances in page.failed:
            number = self.names.setdefault(code, len(self.names))
            self.codes[start + np.fromstring(distances, np.int64, sep=",")] = number

    def rows(self, upto: int) -> ChannelRows:
        made = self.frozen.member_id[:upto], self.frozen.contact_id[:upto]
        firsts = [page.first_sent_ms for page in self.pages if page.first_sent_ms is not None]
        lasts = [page.last_sent_ms for page in self.pages if page.last_sent_ms is not None]
        return ChannelRows(
            fates=Fates(self.states, self.codes, tuple(self.names)),
            rows=sum(page.rows for page in self.pages),
            not_expanded=len(self.frozen) - upto,
            ids=sum(page.members + page.contacts for page in self.pages),
            ids_frozen=sum(int(column.sum()) for column in made),
            sent=sum(page.sent for page in self.pages),
            first_sent_ms=min(firsts, default=None),
            last_sent_ms=max(lasts, default=None),
        )
