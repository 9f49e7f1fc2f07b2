"""The public stream to one listener: where it stands, every change from there on, and signs of life.

`open` comes first and has the number from which on nothing will be missed; `missed` says that something was already:
then the feed is to be read once. A comment every 15 s keeps the connection; a `heartbeat` event says when the store
was last heard of, which a comment cannot.
"""

import asyncio
import contextlib

import msgspec
from aiohttp import web

from gateway.feed.changes import FeedChanges
from gateway.http.sse import EventWire, glance, opened
from gateway.instants import rfc3339

HEARTBEATS = 4
"""Comments until a heartbeat: one a minute."""


class FeedOpen(msgspec.Struct, frozen=True):
    """Where the stream begins."""

    revision: int
    """From here on nothing is missed."""
    missed: bool
    """Something was already: the feed is to be read once."""


class FeedHeartbeat(msgspec.Struct, frozen=True):
    at: str
    """When the store was last heard of, RFC 3339, UTC."""
    revision: int
    in_force: int
    """Alerts."""
    url: str
    """Of the heartbeat in CAP."""


def opened_to_all() -> web.StreamResponse:
    response = opened()
    response.headers["Cache-Control"] = "no-store"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


async def air(
    request: web.Request,
    feed_changes: FeedChanges,
    *,
    seen: int | None,
    full: bool,
    heartbeat_s: float,
    life_s: float,
    write_s: float,
) -> web.StreamResponse:
    """Writes to a listener until it has gone, is too slow, or `life_s` has passed: it comes back and says what it
    has seen."""
    response = opened_to_all()
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        wire = EventWire(request, response, write_s)
        try:
            await _aired(wire, feed_changes, seen, full, heartbeat_s, life_s)
            await wire.end()
        except TimeoutError:
            wire.cut()
    return response


async def _aired(
    wire: EventWire, feed_changes: FeedChanges, seen: int | None, full: bool, heartbeat_s: float, life_s: float
) -> None:
    now_s = asyncio.get_running_loop().time
    until_s, beat_s = now_s() + life_s, now_s()
    missed = seen is not None and feed_changes.after(seen) is None
    at = feed_changes.last if seen is None or missed else seen
    await wire.write(b"retry: 2000\n\n" + _said("open", FeedOpen(feed_changes.last, missed), at))
    while not wire.gone:
        changed = feed_changes.changed  # before looking, so that no change is missed
        events = feed_changes.after(at)
        if events is None:
            return  # slower than what is kept: it comes back and is told so
        for event in events:
            await wire.write(event.full if full else event.thin)
            at = event.id
        if feed_changes.over or now_s() >= until_s:
            return
        if now_s() - beat_s >= HEARTBEATS * heartbeat_s:
            beat_s = now_s()
            await wire.write(await _heartbeat(feed_changes))
        elif wire.quiet_s >= heartbeat_s:
            await wire.write(b":\n\n")
        await glance(changed, heartbeat_s)


async def _heartbeat(feed_changes: FeedChanges) -> bytes:
    view = await feed_changes.current_feed.view()
    at = rfc3339(feed_changes.current_feed.looked_ms)
    return _said("heartbeat", FeedHeartbeat(at, view.revision, view.in_force, "/cap/heartbeat.xml"))


def _said(name: str, data: FeedOpen | FeedHeartbeat, number: int | None = None) -> bytes:
    head = b"" if number is None else b"id: %d\n" % number
    return head + b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
