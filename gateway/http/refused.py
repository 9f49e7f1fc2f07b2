"""The handlers of refused documents: each account reads its own, with the verdict in its own language."""

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from gateway.access.rights import Caller
from gateway.campaigns.refused import reasons_of
from gateway.http.bodies import Query
from gateway.http.context import HttpContext
from gateway.http.languages import Tongue, tongue_of
from gateway.http.problems import fields_of
from gateway.http.wording import answer
from store.campaigns.refused_documents import RefusedDocument

_PATH = "/cap/v1/refused"
_MOST = 200


async def listing(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/refused?sender=&before=&limit=: those that came last first."""
    query = Query(request, "sender", "before", "limit")
    sender, before = query.text("sender", 1000), query.text("before", 64)
    limit = query.number("limit", 50, 1, _MOST)
    tongue = tongue_of(request)
    found = await context.services.refused.latest(caller, sender, before, limit)
    body: dict[str, Any] = {"refused": [_line(kept, tongue) for kept in found]}
    if len(found) == limit:
        last = {"sender": sender, "before": found[-1].public_id, "limit": limit}
        body["next"] = f"{_PATH}?{urlencode({name: value for name, value in last.items() if value})}"
    return _answered(body, tongue)


async def read(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/refused/{id}"""
    Query(request)
    tongue = tongue_of(request)
    return _answered(_line(await context.services.refused.read(caller, request.match_info["id"]), tongue), tongue)


async def document(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /cap/v1/refused/{id}/document: byte for byte as it was received, to be saved and not shown."""
    Query(request)
    public_id = request.match_info["id"]
    body = await context.services.refused.document(caller, public_id)
    disposition = f'attachment; filename="refused-{public_id}.xml"'
    return web.Response(
        body=body, content_type="application/octet-stream", headers={"Content-Disposition": disposition}
    )  # fmt: skip


def _line(kept: RefusedDocument, tongue: Tongue) -> dict[str, Any]:
    href = f"{_PATH}/{kept.public_id}"
    return {
        "id": kept.public_id,
        "sender": kept.sender,
        "identifier": kept.identifier,
        "first_ms": kept.first_ms,
        "last_ms": kept.last_ms,
        "times": kept.times,
        "status": kept.status,
        "code": kept.code,
        "title": tongue.title(kept.code, kept.title),
        "problems": [fields_of(reason) for reason in tongue.reasons(reasons_of(kept))],
        "size": kept.size,
        "sha256": kept.sha256,
        "href": href,
        "document": f"{href}/document",
    }


def _answered(body: dict[str, Any], tongue: Tongue) -> web.Response:
    response = answer(body)
    tongue.label(response)
    return response
