"""The public handlers: the feeds, the documents of the alerts in them, and the stream. Cacheable, no key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from aiohttp.helpers import ETag

from gateway.access.rights import Caller
from gateway.errors import Refusal
from gateway.feed.current import LANGUAGES, etag_of
from gateway.feed.formats import FeedFormat
from gateway.http.bodies import CAP_MEDIA_TYPE, Query
from gateway.http.context import HttpContext
from gateway.http.feed_stream import air, opened_to_all
from gateway.http.sse import EventWire, last_event_id

_FOREVER = "public, max-age=31536000, immutable"
_BYTES = "application/octet-stream"
_SHOWN = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "audio/mpeg", "audio/ogg", "audio/wav", "audio/x-wav",
     "video/mp4", "video/mpeg"}
)  # fmt: skip
"""Types of files that a browser may show; it is offered to save any other."""
_MAX_AGE_S = 5
_HEARTBEAT_MAX_AGE_S = 15
_PIECE_BYTES = 65_536
"""What is longer is sent in such pieces: a reader that takes its time holds two of them, not a feed of its own."""


async def atom(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /cap/feed.atom?full=&lang=: with links to the alerts, or with the whole of them."""
    query = Query(request, "full", "lang")
    return await _feed(request, context, FeedFormat.FULL if query.flag("full") else FeedFormat.ATOM, query)


async def rss(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /cap/feed.rss?lang=: in the form that the WMO's composer writes and reads."""
    return await _feed(request, context, FeedFormat.RSS, Query(request, "lang"))


async def geojson(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /cap/active.geojson?lang=: the areas of what is in force now."""
    return await _feed(request, context, FeedFormat.GEOJSON, Query(request, "lang"))


async def heartbeat(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /cap/heartbeat.xml: a CAP message of status System, new every minute, that names what is in force."""
    return await _feed(request, context, FeedFormat.HEARTBEAT, Query(request), _HEARTBEAT_MAX_AGE_S)


async def alert(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /cap/alerts/{id}.xml: as it was published, for ever."""
    Query(request)
    found = await context.current_feed.document(request.match_info["id"])
    if found is None:
        raise Refusal(404, "no-such-alert", "There is no such public alert.")
    body, etag = (found, etag_of(found)) if isinstance(found, bytes) else (found.document, found.etag)
    return await _answer(request, context, body, _Head(etag, CAP_MEDIA_TYPE, None, _FOREVER))


async def file(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /cap/alerts/{id}/files/{sha256}: a file that came enclosed in a public alert, for ever."""
    Query(request)
    sha256 = request.match_info["sha256"]
    resource = await context.current_feed.file(request.match_info["id"], sha256)
    content = resource.content() if resource is not None else None
    if resource is None or content is None:
        raise Refusal(404, "no-such-file", "There is no such file.")
    shown = resource.mime_type.lower() in _SHOWN
    head = _Head(sha256[:32], resource.mime_type if shown else _BYTES, None, _FOREVER)
    disposition = "inline" if shown else f'attachment; filename="{sha256[:16]}"'
    # Whatever a sender encloses, no browser runs it here.
    extra = {"Content-Disposition": disposition, "Content-Security-Policy": "default-src 'none'; sandbox"}
    return await _answer(request, context, content, head, extra)


async def stream(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /cap/stream?full=: each change of the feed as a server-sent event; `Last-Event-ID` is where to go on."""
    full = Query(request, "full").flag("full")
    if request.method == "HEAD":
        return opened_to_all()
    async with context.feed_changes.listen(request.remote or ""):
        with context.metrics.listeners.track_inprogress():
            return await air(
                request,
                context.feed_changes,
                seen=last_event_id(request),
                full=full,
                heartbeat_s=context.heartbeat_s,
                life_s=context.stream_life_s,
                write_s=context.listener_write_s,
            )


async def _feed(
    request: web.Request, context: HttpContext, form: FeedFormat, query: Query, max_age_s: int = _MAX_AGE_S
) -> web.StreamResponse:
    language = query.one_of("lang", LANGUAGES) or ""
    made, modified = await context.current_feed.feed(form, _base_url(request, context), language)
    # A heartbeat is new although nothing has changed.
    modified = None if form is FeedFormat.HEARTBEAT else modified
    return await _answer(
        request, context, made.body, _Head(made.etag, made.media_type, modified, f"public, max-age={max_age_s}")
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """What a cache is told of a body."""

    etag: str
    media_type: str
    modified: datetime | None
    cache_control: str


async def _answer(
    request: web.Request, context: HttpContext, body: bytes, head: _Head, extra: Mapping[str, str] | None = None
) -> web.StreamResponse:
    in_pieces = len(body) > _PIECE_BYTES and request.method == "GET"
    if _fresh(request, head):
        response: web.StreamResponse = web.Response(status=304)
        in_pieces = False
    else:
        response = web.StreamResponse() if in_pieces else web.Response(body=body)
        charset = "; charset=utf-8" if head.media_type.endswith(("atom+xml", "rss+xml")) else ""
        response.headers["Content-Type"] = head.media_type + charset
    response.etag = head.etag
    if head.modified is not None:
        response.last_modified = head.modified
    response.headers["Cache-Control"] = head.cache_control
    # Anybody's map may show them: there is nothing here that a key would open.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers.update(extra or {})
    if in_pieces:
        await _pour(request, response, body, context.listener_write_s)
    return response


async def _pour(request: web.Request, response: web.StreamResponse, body: bytes, write_s: float) -> None:
    response.content_length = len(body)
    await response.prepare(request)
    wire = EventWire(request, response, write_s)
    try:
        for start in range(0, len(body), _PIECE_BYTES):
            await wire.write(body[start : start + _PIECE_BYTES])
        await wire.end()
    except TimeoutError:
        wire.cut()


def _fresh(request: web.Request, head: _Head) -> bool:
    """RFC 9110 13.2.2: If-None-Match decides; If-Modified-Since only where there is none."""
    wanted: tuple[ETag, ...] | None = request.if_none_match
    if wanted is not None:
        return any(tag.value in (head.etag, "*") for tag in wanted)
    since = request.if_modified_since
    return head.modified is not None and since is not None and head.modified <= since


def _base_url(request: web.Request, context: HttpContext) -> str:
    """As the settings say; without them the address that was connected to, never the Host that was claimed."""
    configured = context.services.server.public_url
    if configured:
        return configured.rstrip("/")
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    host, port = name[:2] if name else (context.services.server.host, context.services.server.port)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
