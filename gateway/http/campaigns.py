"""The handlers of campaigns: list, look, watch, account, launch, stop."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from channels.contract import Channel
from gateway.access.rights import Action, Caller
from gateway.campaigns import rights_over_campaigns
from gateway.campaigns.alert_state import gathering
from gateway.campaigns.answers import MessageRequest
from gateway.errors import Refusal
from gateway.http import readings, views
from gateway.http.admission import still_of
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.pages import USUAL, Cursor, Limit, heading, link
from gateway.http.preconditions import required_key
from gateway.http.sse import last_event_id, opened, stream
from gateway.http.standing import StreamStanding
from gateway.reports.reading import report_of
from gateway.reports.tabular import csv_of
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign
from store.engine.transaction import Connection
from store.outbox import holds
from store.outbox.delivery_ids import MOST_DELIVERIES, first_id
from store.states import CampaignState, DeliveryState

_STATES = {state.word: state for state in DeliveryState}
_REPORT_S = 60.0
_LOOKS = 5
"""Pages of the store read for one page of an answer, where most campaigns are not the caller's business."""


class FindCampaigns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Cursor = ""
    limit: Limit = USUAL


class FindDeliveries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=MOST_DELIVERIES)] = 0
    """The place after which the page begins."""
    limit: Limit = USUAL
    state: views.DeliveryWord | None = None
    channel: Channel | None = None
    carrier: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """The carrier that has it, or had it last, by its name in the settings."""


class ReportForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["json", "csv"] = "json"


class LaunchMode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dry_run: bool = False
    """Nothing is sent: the preview of what would be."""


async def _asked_for(
    asked: Asked[Any, Any], may: Callable[[Caller, Campaign], bool] = rights_over_campaigns.sees
) -> Campaign:
    """Raises Refusal 404, also for one that this caller may not see: that it exists is not told."""
    async with asked.context.services.database.read() as conn:
        found = await campaigns.by_public_id(conn, asked.id)
    if found is None or not may(asked.caller, found):
        raise Refusal(404, "no-such-campaign", "There is no such campaign.")
    return found


# ---- reading ---------------------------------------------------------------------------------------------


async def listing(asked: Asked[FindCampaigns, None]) -> Answer:
    """Newest first, of the zones that the caller may read."""
    limit = asked.query.limit
    before_id = await _before(asked)
    async with asked.context.services.database.read() as conn:
        found, last = await _page(conn, asked.caller, before_id, limit)
    next_ = link("/api/v1/campaigns", after=last.public_id, limit=limit) if last is not None else ""
    page = views.CampaignList(tuple(map(views.listed, found)), next_)
    return Answer(page, headers=heading(next_))


async def _page(
    conn: Connection, caller: Caller, before_id: int | None, limit: int
) -> tuple[list[Campaign], Campaign | None]:
    """What the caller may see, and the last one looked at where there may be more behind it."""
    zones = caller.zone_ids(Action.READ)
    found: list[Campaign] = []
    last: Campaign | None = None
    for _ in range(_LOOKS):
        page = await campaigns.recent(conn, None if zones is None else sorted(zones), before_id=before_id, most=limit)
        for last in page:
            before_id = last.id
            if rights_over_campaigns.sees(caller, last):
                found.append(last)
            if len(found) == limit:
                return found, last
        if len(page) < limit:
            return found, None
    return found, last


async def _before(asked: Asked[FindCampaigns, None]) -> int | None:
    if not asked.query.after:
        return None
    async with asked.context.services.database.read() as conn:
        found = await campaigns.by_public_id(conn, asked.query.after)
    if found is None or not asked.caller.may_in(Action.READ, found.zone_id):
        raise Refusal(404, "no-such-campaign", "There is no such campaign.")
    return found.id


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """With what was asked for, its words and its counters."""
    campaign = await _asked_for(asked)
    async with asked.context.services.database.read() as conn:
        counts = await campaigns.counts(conn, campaign.id)
        texts = await campaigns.texts(conn, campaign.id)
        preparing = campaign.state == CampaignState.PREPARING
        gathered = await gathering(conn, campaign.id) if preparing else None
        over = await holds.over(conn, campaign.zone_id, campaign.id)
    held = any(scope != "channel" or subject in campaign.uses for scope, subject in over)
    return Answer(views.in_full(campaign, counts, texts, gathered, held=held and campaign.ended_ms is None))


async def deliveries(asked: Asked[FindDeliveries, None]) -> Answer:
    """In the order of their places. An auditor sees no names, and addresses shortened. That they were read is a line
    of the audit."""
    query = asked.query
    campaign = await _asked_for(asked)
    masked = asked.caller.type == "auditor"
    subject, zone_id = f"campaign {campaign.id}", campaign.zone_id
    await readings.keep(
        asked, readings.reading_of(asked, "deliveries-read", subject, zone_id=zone_id, detail={"masked": masked})
    )
    async with asked.context.services.database.read() as conn:
        page = await campaigns.deliveries(
            conn,
            campaign.id,
            after_id=first_id(campaign.id) + query.after - 1,
            most=query.limit,
            states=(_STATES[query.state],) if query.state else (),
            channel=query.channel,
            carrier=query.carrier or None,
        )
    next_ = ""
    if len(page) == query.limit:
        next_ = link(
            f"{views.href(campaign)}/deliveries",
            after=views.number(page[-1]), limit=query.limit, state=query.state, channel=query.channel,
            carrier=query.carrier,
        )  # fmt: skip
    found = tuple(views.delivery(one, masked=masked) for one in page)
    return Answer(views.DeliveryList(found, next_), headers=heading(next_))


async def report(asked: Asked[ReportForm, None]) -> Answer | web.StreamResponse:
    """Live from the first second; sealed as it was kept, and what moved since. That it was taken is a line of the
    audit."""
    campaign = await _asked_for(asked)
    subject, detail = f"campaign {campaign.id}", {"format": asked.query.format}
    taken = readings.reading_of(asked, "report-export", subject, zone_id=campaign.zone_id, detail=detail)
    await readings.keep(asked, taken)
    async with asyncio.timeout(_REPORT_S), asked.context.reports:
        drawn = await report_of(asked.context.services.database, campaign.id)
    if asked.query.format == "csv":
        # The file's name is ours: an id is letters and digits.
        named = {"Content-Disposition": f'attachment; filename="report-{campaign.public_id}.csv"'}
        return web.Response(text=csv_of(drawn), content_type="text/csv", charset="utf-8", headers=named)
    return Answer(drawn)


async def progress(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """An event's id is the revision of the counters; `Last-Event-ID` is where to go on. It ends within five seconds
    once the key or session is not good any more, or its account may not see the campaign."""
    request, context = asked.request, asked.context
    campaign = await _asked_for(asked)
    if request.method == "HEAD":
        return opened()
    standing = StreamStanding(still_of(request, context), lambda caller: rights_over_campaigns.sees(caller, campaign))
    async with context.progress_watch.watch(campaign.id, asked.caller.account_id) as watched:
        with context.metrics.streams.track_inprogress():
            return await stream(
                request,
                watched,
                standing,
                seen=last_event_id(request),
                heartbeat_s=context.heartbeat_s,
                life_s=context.stream_life_s,
            )


# ---- deciding --------------------------------------------------------------------------------------------


async def launch(asked: Asked[LaunchMode, MessageRequest]) -> Answer:
    """202 once it is durable; 200 for the same key again, with the campaign that it made the first time."""
    desk = asked.context.services.messages
    if asked.query.dry_run:
        return Answer(await desk.preview(asked.caller, asked.body))
    launched = await desk.launch(asked.caller, asked.body, required_key(asked.request))
    location = f"/api/v1/campaigns/{launched.campaign}"
    made = views.LaunchedCampaign(**msgspec.structs.asdict(launched), href=location)
    return Answer(made, 202 if launched.created else 200, {"Location": location})


async def stop(asked: Asked[NoQuery, None]) -> Answer:
    """From the answer on nothing beyond what is in hand leaves."""
    campaign = await _asked_for(asked, rights_over_campaigns.stops)
    stopped = await asked.context.services.messages.stop(asked.caller, campaign.public_id)
    return Answer(views.StoppedCampaign(campaign.public_id, views.href(campaign), stopped))
