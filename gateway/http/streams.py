"""Progress as server-sent events: one JSON snapshot a revision, a heartbeat, and an `end` when the report is sealed."""

import asyncio
import contextlib

from aiohttp import web

from gateway.http.watching import Frame, Watched

SSE = "text/event-stream"
_GLANCE_S = 1.0
"""How often a stream without news looks whether its watcher is still there."""
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


async def stream(
    request: web.Request, watched: Watched, *, seen: int | None, heartbeat_s: float, life_s: float
) -> web.StreamResponse:
    """Until the campaign is sealed, the watcher has gone, or `life_s` has passed: browsers come back by themselves,
    and their key is looked at again. A slow watcher misses snapshots, never the latest."""
    response = opened()
    with contextlib.suppress(ConnectionError, TimeoutError):
        await response.prepare(request)
        await _Stream(request, response, watched, heartbeat_s).run(seen, life_s)
        async with asyncio.timeout(_WRITE_S):
            await response.write_eof()
    return response


class _Stream:
    def __init__(
        self, request: web.Request, response: web.StreamResponse, watched: Watched, heartbeat_s: float
    ) -> None:
        self._request = request
        self._response = response
        self._watched = watched
        self._heartbeat_s = heartbeat_s
        self._now_s = asyncio.get_running_loop().time
        self._wrote_s = 0.0

    async def run(self, seen: int | None, life_s: float) -> None:
        until_s = self._now_s() + life_s
        shown: Frame | None = None
        await self._write(b"retry: 2000\n\n")
        while not self._gone():
            changed = self._watched.changed  # before looking, so that no change is missed
            frame = self._watched.latest
            if frame is not None and frame is not shown:
                if shown is not None or not (frame.quiet and frame.id == seen):
                    await self._write(_event("progress", frame))
                shown = frame
            if frame is not None and frame.last:
                await self._write(_event("end", frame))
                return
            if self._watched.over or self._now_s() >= until_s:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_GLANCE_S, self._heartbeat_s)):
                    await changed.wait()
            if self._now_s() - self._wrote_s >= self._heartbeat_s:
                await self._write(b":\n\n")

    def _gone(self) -> bool:
        return self._request.transport is None or self._request.transport.is_closing()

    async def _write(self, octets: bytes) -> None:
        async with asyncio.timeout(_WRITE_S):
            await self._response.write(octets)
        self._wrote_s = self._now_s()


def _event(name: str, frame: Frame) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (frame.id, name.encode(), frame.data)
