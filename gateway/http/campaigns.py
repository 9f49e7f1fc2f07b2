"""The handlers of campaigns: list, look, watch, account, launch, stop."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from gateway.access.rights import Action, Caller
from gateway.campaigns import rights_over_campaigns
from gateway.campaigns.alert_state import gathering
from gateway.campaigns.answers import MessageRequest
from gateway.errors import Refusal
from gateway.http import views
from gateway.http.bodies import Query, read_json
from gateway.http.context import HttpContext
from gateway.http.progress import Frame
from gateway.http.sse import last_event_id, opened, stream
from gateway.http.wording import answer, encoded
from gateway.reports.reading import report_of
from gateway.reports.tabular import csv_of
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign
from store.engine.database import Database
from store.engine.transaction import Connection
from store.outbox.delivery_ids import MOST_DELIVERIES, first_id
from store.states import CampaignState, DeliveryState

_STATES = {state.word: state for state in DeliveryState}
_REPORT_S = 60.0
_MOST_CAMPAIGNS = 200
_MOST_DELIVERIES = 1000
_LOOKS = 5
"""Pages of the store read for one page of an answer, where most campaigns are not the caller's business."""


async def _asked_for(
    request: web.Request,
    context: HttpContext,
    caller: Caller,
    may: Callable[[Caller, Campaign], bool] = rights_over_campaigns.sees,
) -> Campaign:
    """Raises Refusal 404, also for one that this caller may not see: that it exists is not told."""
    async with context.services.database.read() as conn:
        found = await campaigns.by_public_id(conn, request.match_info["id"])
    if found is None or not may(caller, found):
        raise Refusal(404, "no-such-campaign", "There is no such campaign.")
    return found


# ---- reading ---------------------------------------------------------------------------------------------


async def listing(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /api/v1/campaigns?before=&limit=: newest first, of the zones that the caller may read."""
    query = Query(request, "before", "limit")
    limit = query.number("limit", 50, 1, _MOST_CAMPAIGNS)
    before_id = await _before(context, caller, query.text("before", 64))
    async with context.services.database.read() as conn:
        found, last = await _page(conn, caller, before_id, limit)
    body: dict[str, Any] = {"campaigns": [views.campaign_line(c) for c in found]}
    if last is not None:
        body["next"] = _link("/api/v1/campaigns", before=last.public_id, limit=limit)
    return answer(body)


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


async def _before(context: HttpContext, caller: Caller, public_id: str) -> int | None:
    if not public_id:
        return None
    async with context.services.database.read() as conn:
        found = await campaigns.by_public_id(conn, public_id)
    if found is None or not caller.may_in(Action.READ, found.zone_id):
        raise Refusal(400, "bad-parameter", "`before` is no campaign of this list.")
    return found.id


async def read(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /api/v1/campaigns/{id}"""
    Query(request)
    campaign = await _asked_for(request, context, caller)
    async with context.services.database.read() as conn:
        counts = await campaigns.counts(conn, campaign.id)
        texts = await campaigns.texts(conn, campaign.id)
        preparing = campaign.state == CampaignState.PREPARING
        gathered = await gathering(conn, campaign.id) if preparing else None
    return answer(views.campaign_page(campaign, counts, texts, gathered))


async def deliveries(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /api/v1/campaigns/{id}/deliveries?after=&limit=&state=&channel=&carrier="""
    query = Query(request, "after", "limit", "state", "channel", "carrier")
    limit = query.number("limit", 200, 1, _MOST_DELIVERIES)
    after = query.number("after", 0, 0, MOST_DELIVERIES)
    state = query.one_of("state", tuple(_STATES))
    channel = query.one_of("channel", ("sms", "email", "voice"))
    carrier = query.text("carrier", 64)
    campaign = await _asked_for(request, context, caller)
    async with context.services.database.read() as conn:
        page = await campaigns.deliveries(
            conn,
            campaign.id,
            after_id=first_id(campaign.id) + after - 1,
            most=limit,
            states=(_STATES[state],) if state else (),
            channel=channel,
            carrier=carrier or None,
        )
    masked = caller.type == "auditor"
    body: dict[str, Any] = {"deliveries": [views.delivery_line(d, masked=masked) for d in page]}
    if len(page) == limit:
        place = views.number(page[-1])
        body["next"] = _link(
            f"{views.href(campaign)}/deliveries",
            after=place, limit=limit, state=state, channel=channel, carrier=carrier,
        )  # fmt: skip
    return answer(body)


async def report(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /api/v1/campaigns/{id}/report[?format=csv]: live from the first second; sealed as it was kept, and what moved
    since."""
    form = Query(request, "format").one_of("format", ("json", "csv"))
    campaign = await _asked_for(request, context, caller)
    async with asyncio.timeout(_REPORT_S), context.reports:
        drawn = await report_of(context.services.database, campaign.id)
    if form == "csv":
        # The file's name is ours: an id is letters and digits.
        named = {"Content-Disposition": f'attachment; filename="report-{campaign.public_id}.csv"'}
        return web.Response(text=csv_of(drawn), content_type="text/csv", charset="utf-8", headers=named)
    return answer(drawn)


async def progress(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /api/v1/campaigns/{id}/progress: server-sent events; the event's id is the revision."""
    Query(request)
    campaign = await _asked_for(request, context, caller)
    if request.method == "HEAD":
        return opened()
    async with context.progress_watch.watch(campaign.id, caller.account_id) as watched:
        with context.metrics.streams.track_inprogress():
            return await stream(
                request,
                watched,
                seen=last_event_id(request),
                heartbeat_s=context.heartbeat_s,
                life_s=context.stream_life_s,
            )


async def snapshot(database: Database, campaign_id: int) -> Frame:
    """What the watchers of a campaign are shown now. Raises LookupError."""
    async with database.read() as conn:
        campaign = await campaigns.by_id(conn, campaign_id)
        counts = await campaigns.counts(conn, campaign_id)
    if campaign is None:
        raise LookupError(f"no campaign {campaign_id}")
    return Frame(
        id=views.revision(counts),
        state=campaign.state,
        data=encoded(views.progress(campaign, counts)),
        last=campaign.sealed_ms is not None,
        quiet=campaign.state == CampaignState.RUNNING,
    )


# ---- deciding --------------------------------------------------------------------------------------------


async def launch(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """POST /api/v1/campaigns[?dry_run=1]: 202 once it is durable, 200 for the same key again."""
    dry_run = Query(request, "dry_run").flag("dry_run")
    server = context.services.server
    wanted = await read_json(request, MessageRequest, server.max_document_bytes, server.body_timeout_s)
    if dry_run:
        return answer(await context.services.messages.preview(caller, wanted))
    launched = await context.services.messages.launch(caller, wanted)
    location = f"/api/v1/campaigns/{launched.campaign}"
    said = msgspec.structs.asdict(launched) | {"href": location}
    return answer(said, 202 if launched.created else 200, {"Location": location})


async def stop(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """POST /api/v1/campaigns/{id}/stop: from the answer on nothing beyond what is in hand leaves."""
    Query(request)
    campaign = await _asked_for(request, context, caller, rights_over_campaigns.stops)
    stopped = await context.services.messages.stop(caller, campaign.public_id)
    return answer({"campaign": campaign.public_id, "href": views.href(campaign), "stopped": stopped})


def _link(path: str, **parameters: object) -> str:
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}"
