"""The public stream: every change of the feed as an event, made once for all who listen, kept for a while for those
who come back.

One poller reads what any node published, in the order of its numbers. Listeners have bounds of their own, so that the
public takes nothing from coordinators, and one address not all of them.
"""

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

import cap
from cap.limits import KEPT
from gateway.access.attempts import household
from gateway.errors import Refusal
from gateway.feed.current import READ_TIMEOUT_S, CurrentFeed
from gateway.instants import rfc3339
from store import feed
from store.errors import store_is_away
from store.feed import FeedChange

log = logging.getLogger(__name__)

MOST_EVENTS = 1_000
MOST_KEPT_BYTES = 16_000_000
"""What is kept for those who come back is bounded by both."""
_ENCLOSED_BYTES = 100_000
"""Larger documents are linked only."""
_CHUNK = 10
_AWAY_S = 1.0


class FeedEvent(msgspec.Struct, frozen=True):
    id: int
    thin: bytes
    full: bytes
    """With the document in it."""


class AlertEnded(msgspec.Struct, frozen=True):
    """A public alert is no longer in force."""

    url: str
    sender: str
    identifier: str
    at: str
    """RFC 3339, UTC."""


class InfoInFeed(msgspec.Struct, frozen=True):
    """One info of a public alert, in its own language."""

    language: str
    event: str
    headline: str | None
    urgency: str
    severity: str
    certainty: str
    expires: str | None


class AlertInFeed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A public alert that has entered the feed."""

    url: str
    sender: str
    identifier: str
    at: str
    """RFC 3339, UTC."""
    sent: str | None = None
    msg_type: str | None = msgspec.field(default=None, name="msgType")
    references: tuple[str, ...] | None = None
    info: tuple[InfoInFeed, ...] | None = None
    document: str = ""
    """The alert itself, where the stream was asked for in full and it is not too long."""


@dataclass(slots=True)
class FeedChanges:
    current_feed: CurrentFeed
    most: int
    most_per_address: int
    """0: as many as there may be at all."""
    poll_s: float = 0.5
    most_events: int = MOST_EVENTS
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Take it first, look for events then."""
    over: bool = False
    """No more events will come: the server stops, or the poller failed."""
    floor: int = 0
    """The number up to which events are no longer kept."""
    last: int = 0
    """The number of the newest event."""
    _events: deque[FeedEvent] = field(default_factory=deque)
    _bytes: int = 0
    _listeners: int = 0
    _by_address: dict[str, int] = field(default_factory=dict)
    _poller: asyncio.Task[None] | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False

    @property
    def listeners(self) -> int:
        return self._listeners

    @contextlib.asynccontextmanager
    async def listen(self, address: str) -> AsyncIterator[None]:
        """Raises Refusal: 503 when there are too many listeners or the server stops, 429 for too many of an address."""
        if self._closing or self._listeners >= self.most:
            raise Refusal(503, "too-many-watchers", "No more streams can be opened now.")
        address = household(address)
        if self.most_per_address and self._by_address.get(address, 0) >= self.most_per_address:
            raise Refusal(429, "too-many-watchers", "This address has as many streams open as it may have.")
        self._count(address, 1)
        try:
            await self._started()
            yield
        finally:
            self._count(address, -1)

    def after(self, seen: int) -> list[FeedEvent] | None:
        """What came after this number, oldest first; None when something of it is no longer kept, or never was."""
        if seen < self.floor or seen > self.last:
            return None
        found = list(itertools.takewhile(lambda event: event.id > seen, reversed(self._events)))
        return found[::-1]

    async def close(self) -> None:
        """Let every stream end; the server is stopping."""
        self._closing = True
        self._end()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait({self._poller})

    def _count(self, address: str, more: int) -> None:
        self._listeners += more
        left = self._by_address.get(address, 0) + more
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]

    async def _started(self) -> None:
        """The poller runs from the first listener until the server stops: coming and going costs the store nothing."""
        if self._poller is None or self._poller.done():
            self.over = False
            self._ready = asyncio.Event()
            self._poller = asyncio.create_task(self._poll(), name="feed-stream")
        async with asyncio.timeout(READ_TIMEOUT_S):
            await self._ready.wait()

    # ---- the poller ----------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        try:
            while True:
                try:
                    async with asyncio.timeout(READ_TIMEOUT_S):
                        await self._look()
                    self._ready.set()
                    await asyncio.sleep(self.poll_s)
                except Exception as exc:
                    if not store_is_away(exc):
                        raise
                    log.warning("store away", extra={"action": "feed-stream-store-away", "error": str(exc)})
                    await asyncio.sleep(_AWAY_S)
        except Exception:
            log.exception("the feed's stream failed", extra={"action": "feed-stream-failed"})
        finally:
            self._end()

    async def _look(self) -> None:
        async with self.current_feed.database.read() as conn:
            revision = await feed.revision(conn)
        if revision < self.last:
            # A store that was restored: what was told is no longer so, and whoever comes back must read the feed.
            self._forget(revision)
        if not self._ready.is_set() and not self._events:
            self.floor = self.last = max(0, revision - self.most_events)
        while self.last < revision:
            upto = min(revision, self.last + _CHUNK)
            async with self.current_feed.database.read() as conn:
                changes = await feed.changes(conn, self.last, upto)
            for event in await asyncio.to_thread(lambda found: [_event(c) for c in found], changes):
                self._keep(event)
            self.last = upto
            self._wake()

    def _keep(self, event: FeedEvent) -> None:
        self._events.append(event)
        self._bytes += len(event.full)
        while len(self._events) > self.most_events or self._bytes > MOST_KEPT_BYTES:
            gone = self._events.popleft()
            self._bytes -= len(gone.full)
            self.floor = gone.id

    def _forget(self, revision: int) -> None:
        self._events.clear()
        self._bytes = 0
        self.floor = self.last = revision
        self._wake()

    def _end(self) -> None:
        self.over = True
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


def _event(change: FeedChange) -> FeedEvent:
    url, at = f"/cap/alerts/{change.public_id}.xml", rfc3339(change.at_ms)
    if change.ended:
        octets = _written(change.seq, "ended", AlertEnded(url, change.sender, change.identifier, at))
        return FeedEvent(change.seq, octets, octets)
    about = _told(AlertInFeed(url, change.sender, change.identifier, at), cap.read(change.document, KEPT).alert)
    thin = full = _written(change.seq, "alert", about)
    if len(change.document) <= _ENCLOSED_BYTES:
        with contextlib.suppress(UnicodeDecodeError):  # in another encoding it is linked only
            about = msgspec.structs.replace(about, document=change.document.decode())
            full = _written(change.seq, "alert", about)
    return FeedEvent(change.seq, thin, full)


def _told(about: AlertInFeed, alert: cap.Alert | None) -> AlertInFeed:
    if alert is None:
        return about
    return msgspec.structs.replace(
        about,
        sent=alert.sent.isoformat(),
        msg_type=str(alert.msg_type),
        references=tuple(f"{r.sender},{r.identifier},{r.sent.isoformat()}" for r in alert.references),
        info=tuple(
            InfoInFeed(
                language=info.language or cap.DEFAULT_LANGUAGE,
                event=info.event,
                headline=info.headline,
                urgency=str(info.urgency),
                severity=str(info.severity),
                certainty=str(info.certainty),
                expires=info.expires.isoformat() if info.expires else None,
            )
            for info in alert.infos
        ),
    )


def _written(seq: int, name: str, data: AlertEnded | AlertInFeed) -> bytes:
    # JSON has no line break of its own: one data line.
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, name.encode(), msgspec.json.encode(data))
