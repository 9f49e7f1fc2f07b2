"""The public handlers: the feed, and the exact bytes of the alerts in it. Cacheable, no key."""

import hashlib
from datetime import datetime

from aiohttp import web
from aiohttp.helpers import ETag

from gateway.access.caller import Caller
from gateway.errors import Refusal
from gateway.http.bodies import CAP_MEDIA_TYPE
from gateway.http.door import Door
from store import alerts


async def feed(request: web.Request, door: Door, _caller: Caller) -> web.StreamResponse:
    """GET /cap/feed.atom"""
    made = await door.broadcast.feed(_base_url(request, door))
    response = web.Response() if not _fresh(request, made.etag, made.modified) else web.Response(status=304)
    response.etag = made.etag
    response.last_modified = made.modified
    response.headers["Cache-Control"] = "public, max-age=5"
    if response.status == 200:
        response.content_type = "application/atom+xml"
        response.charset = "utf-8"
        response.body = made.body
    return response


async def alert(request: web.Request, door: Door, _caller: Caller) -> web.StreamResponse:
    """GET /cap/alerts/{id}.xml: as it was received, signature and all."""
    async with door.services.database.read() as conn:
        document = await alerts.published(conn, request.match_info["id"])
    if document is None:
        raise Refusal(404, "no-such-alert", "There is no such public alert.")
    etag = hashlib.sha256(document).hexdigest()
    unchanged = _fresh(request, etag, None)
    response = web.Response(status=304) if unchanged else web.Response(body=document, content_type=CAP_MEDIA_TYPE)
    response.etag = etag
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


def _fresh(request: web.Request, etag: str, modified: datetime | None) -> bool:
    """RFC 9110 13.2.2: If-None-Match decides; If-Modified-Since only where there is none."""
    wanted: tuple[ETag, ...] | None = request.if_none_match
    if wanted is not None:
        return any(tag.value in (etag, "*") for tag in wanted)
    since = request.if_modified_since
    return modified is not None and since is not None and modified <= since


def _base_url(request: web.Request, door: Door) -> str:
    """As the settings say; without them the address that was connected to, never the Host that was claimed."""
    configured = door.services.server.public_url
    if configured:
        return configured.rstrip("/")
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    host, port = name[:2] if name else (door.services.server.host, door.services.server.port)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
