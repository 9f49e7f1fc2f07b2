"""The free broadcast: the Atom feed of public alerts. Made once a second at most, however many ask."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import cap
from store import alerts
from store.alerts import FeedItem
from store.database import Database

log = logging.getLogger(__name__)

MOST_BYTES = 900_000
"""CAP feeds: "100 KB ideal, 900 KB max" (notes/cap section 7)."""
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Feed:
    body: bytes
    etag: str
    modified: datetime
    """Whole seconds; when this process first saw the feed so, or later: never too early."""


@dataclass(slots=True)
class Broadcast:
    database: Database
    title: str
    author: str
    life_s: float = 1.0
    now_s: Callable[[], float] = time.monotonic
    _feeds: dict[str, tuple[float, Feed]] = field(default_factory=dict)
    """By the address under which it was asked for: a server has one or two."""
    _alerts: dict[str, cap.Alert | None] = field(default_factory=dict)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def feed(self, base_url: str) -> Feed:
        async with self._one:
            kept = self._feeds.get(base_url)
            if kept is not None and self.now_s() < kept[0]:
                return kept[1]
            now_ms = self.database.clock.now_ms()
            async with self.database.read() as conn:
                items = await alerts.feed(conn, now_ms)
            fresh = await asyncio.to_thread(self._made, items, base_url, now_ms)
            if kept is not None and kept[1].etag == fresh.etag:
                fresh = kept[1]
            self._feeds = {**dict(list(self._feeds.items())[-3:]), base_url: (self.now_s() + self.life_s, fresh)}
            return fresh

    def _made(self, items: list[FeedItem], base_url: str, now_ms: int) -> Feed:
        # A document never changes: it is read once for as long as it is in the feed.
        self._alerts = {i.public_id: self._alerts.get(i.public_id) or _read(i) for i in items}
        entries = [
            cap.FeedEntry(alert, f"{base_url}/cap/alerts/{i.public_id}.xml", _instant(i.published_ms))
            for i in items
            if (alert := self._alerts[i.public_id]) is not None
        ]
        body = self._atom(entries, base_url)
        while len(body) > MOST_BYTES:
            entries = entries[: len(entries) * 3 // 4]
            body = self._atom(entries, base_url)
        modified = datetime.fromtimestamp(now_ms // 1000 + 1, UTC)
        return Feed(body, hashlib.sha256(body).hexdigest()[:32], modified)

    def _atom(self, entries: list[cap.FeedEntry], base_url: str) -> bytes:
        self_url = f"{base_url}/cap/feed.atom"
        updated = max((entry.updated for entry in entries), default=_FIRST)
        return cap.atom(
            entries, feed_id=self_url, title=self.title, self_url=self_url, updated=updated, author=self.author
        )


def _read(item: FeedItem) -> cap.Alert | None:
    alert = cap.read(item.document).alert
    if alert is None or alert.scope is not cap.Scope.PUBLIC:
        log.error("not fit for the feed", extra={"action": "feed-unfit", "alert": item.public_id})
        return None
    return alert


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
