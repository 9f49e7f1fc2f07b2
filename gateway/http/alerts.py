"""The handlers of CAP alerts: post, try, look up."""

import asyncio
from typing import Any

from aiohttp import web

from cap.answer import Heading
from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import BIG_BYTES
from gateway.campaigns.answers import AlertAnswer
from gateway.errors import Reason, Refusal
from gateway.http import cap_answers
from gateway.http.bodies import CAP_MEDIA_TYPE, EDXL_MEDIA_TYPE, Query, read_body, require_type
from gateway.http.context import HttpContext
from gateway.http.languages import Tongue, tongue_of
from gateway.http.wording import answer, spoken


async def submit(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """POST /cap/v1/alerts: 202 once it is durable, 200 for the same bytes again; both with its Location."""
    Query(request)
    document = await _document(request, context)
    tongue = tongue_of(request)
    in_cap = cap_answers.wanted(request)
    try:
        filed = await context.services.alerts.submit(caller, document)
    except Refusal as refusal:
        named = await _name(document) if in_cap and cap_answers.is_verdict(refusal) else None
        if named is None:
            raise
        rejection = cap_answers.refused(named, refusal, context, tongue)
        return cap_answers.response(rejection, refusal.status, tongue)
    status, headers = 202 if filed.created else 200, {"Location": _location(filed)}
    named = await _name(document) if in_cap else None
    if named is None:
        return _resource(filed, tongue, status, headers)
    return cap_answers.response(cap_answers.accepted(named, filed, context, tongue), status, tongue, headers)


async def validate(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """POST /cap/v1/validate: what a posting would do, to the word and the cent."""
    Query(request)
    document = await _document(request, context)
    tongue = tongue_of(request)
    response = answer(tongue.answer(await context.services.alerts.validate(caller, document)))
    tongue.label(response)
    return response


async def read(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/alerts/{id}"""
    Query(request)
    return _resource(await context.services.alerts.read(caller, request.match_info["id"]), tongue_of(request))


async def find(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/alerts?sender=&identifier="""
    query = Query(request, "sender", "identifier")
    sender, identifier = query.text("sender", 1000), query.text("identifier", 1000)
    if not sender or not identifier:
        missing = [Reason("PARAM", "Wanted.", path=n) for n in ("sender", "identifier") if not query.text(n, 1000)]
        raise Refusal(400, "bad-parameter", "An alert is found by its sender and identifier.", missing)
    return _resource(await context.services.alerts.find(caller, sender, identifier), tongue_of(request))


async def document(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/alerts/{id}/document: byte for byte as it was received; with ?envelope=1 the envelope it came in."""
    enveloped = Query(request, "envelope").flag("envelope")
    desk, public_id = context.services.alerts, request.match_info["id"]
    if enveloped:
        return web.Response(body=await desk.envelope(caller, public_id), content_type=EDXL_MEDIA_TYPE)
    return web.Response(body=await desk.document(caller, public_id), content_type=CAP_MEDIA_TYPE)


async def _name(document: bytes) -> Heading | None:
    """Off the loop where it is large: it is parsed once more."""
    if len(document) > BIG_BYTES:
        return await asyncio.to_thread(cap_answers.name_of, document)
    return cap_answers.name_of(document)


async def _document(request: web.Request, context: HttpContext) -> bytes:
    require_type(request)
    server = context.services.server
    return await read_body(request, server.max_document_bytes, server.body_timeout_s)


def _location(filed: AlertAnswer) -> str:
    return f"/cap/v1/alerts/{filed.id}"


def _resource(
    filed: AlertAnswer, tongue: Tongue, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    said: dict[str, Any] = spoken(tongue.answer(filed))
    for zone in said.get("zones", ()):
        if zone.get("campaign"):
            zone["href"] = f"/api/v1/campaigns/{zone['campaign']}"
    response = answer(said | {"href": _location(filed)}, status, headers)
    tongue.label(response, also="Accept")
    return response
