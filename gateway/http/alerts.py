"""The handlers of CAP alerts: post, try, look up."""

from typing import Any

from aiohttp import web

from gateway.access.caller import Caller
from gateway.campaigns.answers import AlertAnswer
from gateway.errors import Reason, Refusal
from gateway.http import cap_answers
from gateway.http.bodies import CAP_MEDIA_TYPE, Query, read_body, require_type
from gateway.http.door import Door
from gateway.http.wording import answer, spoken


async def submit(request: web.Request, door: Door, caller: Caller) -> web.StreamResponse:
    """POST /cap/v1/alerts: 202 once it is durable, 200 for the same bytes again; both with its Location."""
    Query(request)
    document = await _document(request, door)
    in_cap = cap_answers.wanted(request)
    try:
        filed = await door.services.alerts.submit(caller, document)
    except Refusal as refusal:
        rejection = cap_answers.refused(document, refusal, door) if in_cap else None
        if rejection is None:
            raise
        return cap_answers.response(rejection, refusal.status)
    status, headers = 202 if filed.created else 200, {"Location": _location(filed)}
    receipt = cap_answers.accepted(document, filed, door) if in_cap else None
    if receipt is None:
        return answer(_resource(filed), status, headers)
    return cap_answers.response(receipt, status, headers)


async def validate(request: web.Request, door: Door, caller: Caller) -> web.StreamResponse:
    """POST /cap/v1/validate: what a posting would do, to the word and the cent."""
    Query(request)
    document = await _document(request, door)
    return answer(await door.services.alerts.validate(caller, document))


async def read(request: web.Request, door: Door, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/alerts/{id}"""
    Query(request)
    return answer(_resource(await door.services.alerts.read(caller, request.match_info["id"])))


async def find(request: web.Request, door: Door, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/alerts?sender=&identifier="""
    query = Query(request, "sender", "identifier")
    sender, identifier = query.text("sender", 1000), query.text("identifier", 1000)
    if not sender or not identifier:
        missing = [Reason("PARAM", "Wanted.", path=n) for n in ("sender", "identifier") if not query.text(n, 1000)]
        raise Refusal(400, "bad-parameter", "An alert is found by its sender and identifier.", missing)
    return answer(_resource(await door.services.alerts.find(caller, sender, identifier)))


async def document(request: web.Request, door: Door, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/alerts/{id}/document: byte for byte as it was received."""
    Query(request)
    octets = await door.services.alerts.document(caller, request.match_info["id"])
    return web.Response(body=octets, content_type=CAP_MEDIA_TYPE)


async def _document(request: web.Request, door: Door) -> bytes:
    require_type(request)
    server = door.services.server
    return await read_body(request, server.max_document_bytes, server.body_timeout_s)


def _location(filed: AlertAnswer) -> str:
    return f"/cap/v1/alerts/{filed.id}"


def _resource(filed: AlertAnswer) -> dict[str, Any]:
    said: dict[str, Any] = spoken(filed)
    for zone in said.get("zones", ()):
        if zone.get("campaign"):
            zone["href"] = f"/api/v1/campaigns/{zone['campaign']}"
    return said | {"href": _location(filed)}
