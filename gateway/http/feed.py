"""The public handlers: the feeds, the documents of the alerts in them, and the stream. Cacheable, no key."""

from typing import Any, Literal

import msgspec
from aiohttp import web

from gateway.errors import Refusal
from gateway.feed.current import etag_of
from gateway.feed.formats import FeedFormat
from gateway.http.access_log import CLIENT
from gateway.http.asking import Asked, NoQuery
from gateway.http.bodies import CAP_MEDIA_TYPE
from gateway.http.cached import FOREVER, CacheHead, answer_cached
from gateway.http.context import HttpContext
from gateway.http.feed_stream import air, opened_to_all
from gateway.http.sse import last_event_id

_BYTES = "application/octet-stream"
_SHOWN = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "audio/mpeg", "audio/ogg", "audio/wav", "audio/x-wav",
     "video/mp4", "video/mpeg"}
)  # fmt: skip
"""Types of files that a browser may show; it is offered to save any other."""
_MAX_AGE_S = 5
_HEARTBEAT_MAX_AGE_S = 15
_OPEN = {"Access-Control-Allow-Origin": "*"}
"""Anybody's map may show them: there is nothing here that a key would open."""


FeedLanguage = Literal["nl", "fr", "de", "en"]


class FeedForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    full: bool = False
    """The whole of each alert, instead of a link to it."""
    lang: FeedLanguage | None = None
    """Alerts in this language alone, where they have it."""


class FeedIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lang: FeedLanguage | None = None
    """Alerts in this language alone, where they have it."""


class StreamForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    full: bool = False
    """The whole of each alert in its event."""


async def atom(asked: Asked[FeedForm, None]) -> web.StreamResponse:
    """With links to the alerts, or with the whole of them."""
    return await _feed(asked, FeedFormat.FULL if asked.query.full else FeedFormat.ATOM, asked.query.lang)


async def rss(asked: Asked[FeedIn, None]) -> web.StreamResponse:
    """In the form that the WMO's composer writes and reads."""
    return await _feed(asked, FeedFormat.RSS, asked.query.lang)


async def geojson(asked: Asked[FeedIn, None]) -> web.StreamResponse:
    """The areas of what is in force now."""
    return await _feed(asked, FeedFormat.GEOJSON, asked.query.lang)


async def heartbeat(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """A CAP message of status System, new every minute, that names what is in force."""
    return await _feed(asked, FeedFormat.HEARTBEAT, None, _HEARTBEAT_MAX_AGE_S)


async def alert(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """As it was published, for ever."""
    found = await asked.context.current_feed.document(asked.id)
    if found is None:
        raise Refusal(404, "no-such-alert", "There is no such public alert.")
    body, etag = (found, etag_of(found)) if isinstance(found, bytes) else (found.document, found.etag)
    return await answer_cached(asked, body, CacheHead(etag, CAP_MEDIA_TYPE, None, FOREVER), _OPEN)


async def file(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """A file that came enclosed in a public alert, for ever."""
    sha256 = asked.request.match_info["sha256"]
    resource = await asked.context.current_feed.file(asked.id, sha256)
    content = resource.content() if resource is not None else None
    if resource is None or content is None:
        raise Refusal(404, "no-such-file", "There is no such file.")
    shown = resource.mime_type.lower() in _SHOWN
    head = CacheHead(sha256[:32], resource.mime_type if shown else _BYTES, None, FOREVER)
    disposition = "inline" if shown else f'attachment; filename="{sha256[:16]}"'
    # Whatever a sender encloses, no browser runs it here.
    extra = {"Content-Disposition": disposition, "Content-Security-Policy": "default-src 'none'; sandbox"}
    return await answer_cached(asked, content, head, _OPEN | extra)


async def stream(asked: Asked[StreamForm, None]) -> web.StreamResponse:
    """Each change of the feed as an event; `Last-Event-ID` is where to go on."""
    request, context = asked.request, asked.context
    if request.method == "HEAD":
        return opened_to_all()
    async with context.feed_changes.listen(request[CLIENT]):
        with context.metrics.listeners.track_inprogress():
            return await air(
                request,
                context.feed_changes,
                seen=last_event_id(request),
                full=asked.query.full,
                heartbeat_s=context.heartbeat_s,
                life_s=context.stream_life_s,
                write_s=context.listener_write_s,
            )


async def _feed(
    asked: Asked[Any, None], form: FeedFormat, language: FeedLanguage | None, max_age_s: int = _MAX_AGE_S
) -> web.StreamResponse:
    request, context = asked.request, asked.context
    made, modified = await context.current_feed.feed(form, _base_url(request, context), language or "")
    # A heartbeat is new although nothing has changed.
    modified = None if form is FeedFormat.HEARTBEAT else modified
    head = CacheHead(made.etag, made.media_type, modified, f"public, max-age={max_age_s}")
    return await answer_cached(asked, made.body, head, _OPEN)


def _base_url(request: web.Request, context: HttpContext) -> str:
    """As the settings say; without them the address that was connected to, never the Host that was claimed."""
    configured = context.services.server.public_url
    if configured:
        return configured.rstrip("/")
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    host, port = name[:2] if name else (context.services.server.host, context.services.server.port)
    scheme = "https" if context.services.handshake_context is not None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
