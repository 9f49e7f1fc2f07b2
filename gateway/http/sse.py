"""Server-sent events on the wire; and progress in them: one JSON snapshot a revision, a heartbeat, and an `end` when
the report is sealed."""

import asyncio
import contextlib

from aiohttp import web

from gateway.http.progress import Frame, Watched
from gateway.http.standing import StreamStanding

SSE = "text/event-stream"
_GLANCE_S = 1.0
"""How often a stream without news looks whether its watcher is still there, and still may see it."""
_WRITE_S = 10.0
"""A watcher that takes nothing for so long is given up."""
_MOST_ID = 2**63


def last_event_id(request: web.Request) -> int | None:
    """The revision that the watcher has seen; None for a first look and for whatever is not one of ours."""
    given = request.headers.get("Last-Event-ID", "")
    if not (given.isascii() and given.isdigit() and len(given) <= 19 and int(given) < _MOST_ID):
        return None
    return int(given)


def opened() -> web.StreamResponse:
    headers = {"Content-Type": SSE, "X-Accel-Buffering": "no"}
    return web.StreamResponse(headers=headers)


class EventWire:
    """What one watcher is written on. Raises TimeoutError when it takes nothing for too long."""

    def __init__(self, request: web.Request, response: web.StreamResponse, write_s: float = _WRITE_S) -> None:
        self._request = request
        self._response = response
        self._write_s = write_s
        self._now_s = asyncio.get_running_loop().time
        self._wrote_s = self._now_s()

    @property
    def gone(self) -> bool:
        return self._request.transport is None or self._request.transport.is_closing()

    @property
    def quiet_s(self) -> float:
        """How long nothing was written."""
        return self._now_s() - self._wrote_s

    async def write(self, octets: bytes) -> None:
        async with asyncio.timeout(self._write_s):
            await self._response.write(octets)
        self._wrote_s = self._now_s()

    async def end(self) -> None:
        async with asyncio.timeout(self._write_s):
            await self._response.write_eof()

    def cut(self) -> None:
        """Let go at once of what was not taken: nothing is kept for a watcher who does not read."""
        if self._request.transport is not None:
            self._request.transport.abort()


async def glance(changed: asyncio.Event, most_s: float) -> None:
    """Wait for news, for as long as a watcher may go without being looked at."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(min(_GLANCE_S, most_s)):
            await changed.wait()


async def stream(
    request: web.Request,
    watched: Watched,
    standing: StreamStanding,
    *,
    seen: int | None,
    heartbeat_s: float,
    life_s: float,
) -> web.StreamResponse:
    """Writes snapshots until the campaign is sealed, the watcher has gone or may see it no more, or `life_s` has
    passed: browsers come back by themselves. A slow watcher misses snapshots, never the latest."""
    response = opened()
    with contextlib.suppress(ConnectionError, TimeoutError):
        await response.prepare(request)
        wire = EventWire(request, response)
        await _progress(wire, watched, standing, seen, heartbeat_s, life_s)
        await wire.end()
    return response


async def _progress(
    wire: EventWire, watched: Watched, standing: StreamStanding, seen: int | None, heartbeat_s: float, life_s: float
) -> None:
    now_s = asyncio.get_running_loop().time
    until_s = now_s() + life_s
    shown: Frame | None = None
    await wire.write(b"retry: 2000\n\n")
    while not wire.gone and await standing.lasts():
        changed = watched.changed  # before looking, so that no change is missed
        frame = watched.latest
        if frame is not None and frame is not shown:
            if shown is not None or not (frame.quiet and frame.id == seen):
                await wire.write(_event("progress", frame))
            shown = frame
        if frame is not None and frame.last:
            await wire.write(_event("end", frame))
            return
        if watched.over or now_s() >= until_s:
            return
        await glance(changed, heartbeat_s)
        if wire.quiet_s >= heartbeat_s:
            await wire.write(b":\n\n")


def _event(name: str, frame: Frame) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (frame.id, name.encode(), frame.data)
