"""Octets that a cache may keep: their validators, 304 for who has them, and the long ones in pieces."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from aiohttp.helpers import ETag

from gateway.http.asking import Asked
from gateway.http.sse import EventWire

FOREVER = "public, max-age=31536000, immutable"
"""What is named by what it holds."""
_PIECE_BYTES = 65_536
"""What is longer is sent in such pieces: a reader that takes its time holds two of them, not a copy of its own."""
_TEXTS = ("text/javascript", "text/css", "text/plain", "application/atom+xml", "application/rss+xml")
"""Types that name their charset."""


@dataclass(frozen=True, slots=True)
class CacheHead:
    """What a cache is told of a body."""

    etag: str
    media_type: str
    modified: datetime | None
    cache_control: str


async def answer_cached(
    asked: Asked[Any, None], body: bytes, head: CacheHead, extra: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """The body, or 304 where the request's own copy is as new. `extra`: further headers."""
    request = asked.request
    in_pieces = len(body) > _PIECE_BYTES and request.method == "GET"
    if _fresh(request, head):
        response: web.StreamResponse = web.Response(status=304)
        in_pieces = False
    else:
        response = web.StreamResponse() if in_pieces else web.Response(body=body)
        charset = "; charset=utf-8" if head.media_type in _TEXTS else ""
        response.headers["Content-Type"] = head.media_type + charset
    response.etag = head.etag
    if head.modified is not None:
        response.last_modified = head.modified
    response.headers["Cache-Control"] = head.cache_control
    response.headers.update(extra or {})
    if in_pieces:
        await _pour(request, response, body, asked.context.listener_write_s)
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


def _fresh(request: web.Request, head: CacheHead) -> bool:
    """RFC 9110 13.2.2: If-None-Match decides; If-Modified-Since only where there is none."""
    wanted: tuple[ETag, ...] | None = request.if_none_match
    if wanted is not None:
        return any(tag.value in (head.etag, "*") for tag in wanted)
    since = request.if_modified_since
    return head.modified is not None and since is not None and head.modified <= since
