"""The free broadcast as this process knows it: what is in force, and the feeds made of it.

The store is looked at once a second at most, however many ask, and a feed is made once for each change of it. Every
node makes the same bytes of the same state. Knows nothing of requests.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import cap
from cap.forward import enclosed
from cap.limits import KEPT
from gateway.feed.formats import Feed, FeedFormat, Making, WrittenEntries, make
from gateway.feed.until_expiry import Item, View
from store import feed
from store.engine.database import Database
from store.errors import store_is_away
from store.feed import AlertInForce

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 5.0
LANGUAGES = ("nl", "fr", "de", "en")
"""Those of the members. A feed in each is as many as are ever made."""
MOST_ALERTS = 500
MOST_KEPT_BYTES = 20_000_000
"""Of documents in force; what goes beyond is still to be had under its own address."""
_LOOKUPS = 2
"""Old documents fetched at once: whoever asks for many of them waits, and nobody else does."""
_MOST_MADE = 64
_HEARTBEAT_MS = 60_000


@dataclass(slots=True)
class CurrentFeed:
    database: Database
    making: Making
    life_s: float = 1.0
    now_s: Callable[[], float] = time.monotonic
    _view: View | None = None
    _looked_ms: int = 0
    """When the store was last read."""
    _again_s: float = 0.0
    _made: dict[tuple[str, FeedFormat, str], tuple[View, int, Feed]] = field(default_factory=dict)
    """By address, form and language: for which state and which minute."""
    _written: WrittenEntries = field(default_factory=WrittenEntries)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _maker: asyncio.Lock = field(default_factory=asyncio.Lock)
    _lookup: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LOOKUPS))

    @property
    def looked_ms(self) -> int:
        """When the store was last heard of, UTC: a heartbeat is never later than that."""
        return self._looked_ms

    async def view(self) -> View:
        """What is in force now. While the store is away, what was, less what has expired since.

        Raises what the store raises where nothing is known yet.
        """
        async with self._one:
            now_ms = self.database.clock.now_ms()
            if self._view is None or self.now_s() >= self._again_s:
                self._view = await self._looked(self._view, now_ms)
                self._again_s = self.now_s() + self.life_s
            elif now_ms >= self._view.until_ms:
                self._view = self._view.at(now_ms)
            return self._view

    async def feed(self, form: FeedFormat, base_url: str, language: str = "") -> tuple[Feed, datetime | None]:
        """The feed in this form, linking to `base_url`, and when it last changed; `language` is one of LANGUAGES, or
        empty."""
        view = await self.view()
        minute = self._looked_ms // _HEARTBEAT_MS if form is FeedFormat.HEARTBEAT else 0
        key = (base_url, form, language)
        async with self._maker:
            kept = self._made.get(key)
            if kept is None or kept[0] is not view or kept[1] != minute:
                made = await asyncio.to_thread(
                    make, self.making, view, form, base_url, language, self._looked_ms, self._written
                )
                kept = (view, minute, made)
                self._made.pop(key, None)
                self._made = dict(list(self._made.items())[1 - _MOST_MADE :]) | {key: kept}
            return kept[2], self._modified(view)

    def _modified(self, view: View) -> datetime | None:
        """When the feed last changed, in whole seconds: HTTP knows no finer ones.

        While another change of the same second could still become known it is the second before: whoever asks with it
        is sent the feed again.
        """
        if not view.changed_ms:
            return None
        second = view.changed_ms // 1000 - (self._looked_ms < view.changed_ms + _SETTLED_MS)
        return datetime.fromtimestamp(second, UTC)

    async def document(self, public_id: str) -> Item | bytes | None:
        """What was published under this name, now or ever; None for what never was. Raises TimeoutError."""
        known = self._view.by_id.get(public_id) if self._view is not None else None
        if known is not None:
            return known
        async with asyncio.timeout(READ_TIMEOUT_S), self._lookup, self.database.read() as conn:
            return await feed.published(conn, public_id)

    # ---- looking -------------------------------------------------------------------------------------------------

    async def _looked(self, known: View | None, now_ms: int) -> View:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                view = await self._read(known, now_ms)
        except Exception as exc:
            if known is None or not store_is_away(exc):
                raise
            log.warning("store away", extra={"action": "feed-store-away", "error": str(exc)})
            return known.at(now_ms)
        self._looked_ms = now_ms
        return view

    async def _read(self, known: View | None, now_ms: int) -> View:
        async with self.database.read() as conn:
            if known is not None and now_ms < known.until_ms and await feed.revision(conn) == known.revision:
                return known
            state = await feed.state(conn, now_ms, most=MOST_ALERTS)
            # A document never changes: it is read once for as long as it is in force.
            kept = {item.id: item for item in known.items} if known is not None else {}
            lines = list(_within(state.lines))
            fresh = [line for line in lines if line.id not in kept]
            documents = await feed.documents(conn, [line.id for line in fresh])
        made = await asyncio.to_thread(lambda: {line.id: _item(line, documents[line.id]) for line in fresh})
        kept |= {item.id: item for item in await self._with_what_they_end([made[line.id] for line in fresh])}
        items = tuple(kept[line.id] for line in lines)
        return View.of(state.revision, items, state.in_force, state.changed_ms, now_ms)

    async def _with_what_they_end(self, items: Sequence[Item]) -> list[Item]:
        """Each Cancel of them, newest first, with the first alert that it names and that was published."""
        cancels = [i for i in items if i.alert is not None and i.alert.msg_type is cap.MsgType.CANCEL][:_MOST_CANCELS]
        names = {item.id: _names(item.alert) for item in cancels if item.alert is not None}
        if not any(names.values()):
            return list(items)
        async with self.database.read() as conn:
            found = await feed.published_as(conn, list(dict.fromkeys(name for of in names.values() for name in of)))
        alerts = await asyncio.to_thread(lambda: {n: cap.read(d, KEPT).alert for n, d in found.items()})
        ends = {i: next((a for name in of if (a := alerts.get(name))), None) for i, of in names.items()}
        return [replace(item, ends=ends[item.id]) if ends.get(item.id) else item for item in items]

    async def file(self, public_id: str, sha256: str) -> cap.Resource | None:
        """The resource of a published alert whose enclosed file has this sum. Raises TimeoutError."""
        async with asyncio.timeout(READ_TIMEOUT_S), self._lookup:
            async with self.database.read() as conn:
                document = await feed.received(conn, public_id)
            return None if document is None else await asyncio.to_thread(_enclosed, document, sha256)


def _names(alert: cap.Alert) -> list[tuple[str, str]]:
    return [(reference.sender, reference.identifier) for reference in alert.references[:_MOST_NAMED]]


_MOST_CANCELS = 50
_MOST_NAMED = 4
_SETTLED_MS = 5_000
"""A transaction is begun, waits for its turn and is committed within this time (store/engine/database.py)."""


def _within(lines: tuple[AlertInForce, ...]) -> Iterator[AlertInForce]:
    """The newest, as many as may be kept in memory."""
    left = MOST_KEPT_BYTES
    for line in lines:
        if line.size <= left:
            left -= line.size
            yield line


def _item(line: AlertInForce, document: bytes) -> Item:
    alert = cap.read(document, KEPT).alert
    return Item(
        line.id, line.public_id, alert, document, etag_of(document), line.published_ms, line.expires_ms
    )  # fmt: skip


def _enclosed(document: bytes, sha256: str) -> cap.Resource | None:
    alert = cap.read(document, KEPT).alert
    return None if alert is None else enclosed(alert, sha256)


def etag_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]
