"""One poller a campaign, shared by all who watch it: a thousand screens cost the store what one does."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from gateway.errors import Refusal
from store.errors import store_is_away

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 5.0
_READS_PER_S = 100
"""Of all campaigns together: with many of them watched each is looked at less often."""


class Frame(msgspec.Struct, frozen=True):
    """What watchers are shown."""

    id: int
    """The revision of the counters: the event's id."""
    state: str
    data: bytes
    """One line of JSON."""
    last: bool
    """Sealed: nothing will follow."""
    quiet: bool
    """Its state may not change without its revision: who has seen this id has seen it all."""


ReadFrame = Callable[[int], Awaitable[Frame]]


@dataclass(slots=True)
class Watched:
    """One campaign that somebody watches. Waiters take `changed` first and look at `latest` then."""

    latest: Frame | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0
    over: bool = False
    """No more frames will come: the last one was shown, the server stops, or the poller failed."""
    poller: asyncio.Task[None] | None = None

    def show(self, frame: Frame) -> None:
        if self.latest is None or (frame.id, frame.state, frame.last) != (
            self.latest.id,
            self.latest.state,
            self.latest.last,
        ):
            self.latest = frame
            self._wake()

    def end(self) -> None:
        self.over = True
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(slots=True)
class ProgressWatch:
    read: ReadFrame
    most: int
    most_per_account: int = 0
    """0: as many as there may be at all."""
    poll_s: float = 0.25
    _watched: dict[int, Watched] = field(default_factory=dict)
    _watchers: int = 0
    _of: Counter[int] = field(default_factory=Counter)
    """By account."""
    _closing: bool = False

    @contextlib.asynccontextmanager
    async def watch(self, campaign_id: int, account_id: int) -> AsyncIterator[Watched]:
        """The campaign as somebody watches it. Raises Refusal: 503 when there are too many watchers or the server is
        stopping, 429 for too many of an account."""
        if self._closing or self._watchers >= self.most:
            raise Refusal(503, "too-many-watchers", "No more progress streams can be opened now.")
        if self.most_per_account and self._of[account_id] >= self.most_per_account:
            raise Refusal(429, "too-many-watchers", "This account has as many streams open as it may have.")
        watched = self._watched.get(campaign_id)
        if watched is None or watched.over:
            watched = self._watched[campaign_id] = Watched()
            watched.poller = asyncio.create_task(self._poll(campaign_id, watched), name=f"watch-{campaign_id}")
        watched.watchers += 1
        self._watchers += 1
        self._of[account_id] += 1
        try:
            yield watched
        finally:
            self._watchers -= 1
            self._of[account_id] -= 1
            if not self._of[account_id]:
                del self._of[account_id]
            watched.watchers -= 1
            if not watched.watchers:
                await self._forget(campaign_id, watched)

    @property
    def watchers(self) -> int:
        return self._watchers

    def close(self) -> None:
        """Let every stream end; the server is stopping."""
        self._closing = True
        for watched in self._watched.values():
            watched.end()

    async def _forget(self, campaign_id: int, watched: Watched) -> None:
        if self._watched.get(campaign_id) is watched:
            del self._watched[campaign_id]
        assert watched.poller is not None
        watched.poller.cancel()
        await asyncio.wait({watched.poller})

    async def _poll(self, campaign_id: int, watched: Watched) -> None:
        try:
            while not watched.over:
                frame = await self._look(campaign_id)
                if frame is not None:
                    watched.show(frame)
                    if frame.last:
                        return
                await asyncio.sleep(max(self.poll_s, len(self._watched) / _READS_PER_S))
        except Exception:
            log.exception("watching failed", extra={"action": "watch-failed", "campaign": campaign_id})
        finally:
            watched.end()

    async def _look(self, campaign_id: int) -> Frame | None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await self.read(campaign_id)
        except Exception as exc:
            if not store_is_away(exc):
                raise
            log.warning("store away", extra={"action": "watch-store-away", "error": str(exc)})
            await asyncio.sleep(1.0)
            return None
