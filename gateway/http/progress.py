"""One poller a topic, a campaign or a list, shared by all who watch it: a thousand screens cost the store what one
does."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, field

import msgspec

from gateway.errors import Refusal
from store.errors import store_is_away

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 5.0
_READS_PER_S = 100
"""Of all topics together: with many of them watched each is looked at less often."""


class Frame(msgspec.Struct, frozen=True):
    """What watchers are shown."""

    id: int
    """The revision of what is shown, the same on every node: of a campaign that of its counters."""
    state: str
    """Of a campaign; of a list empty."""
    data: bytes
    """One line of JSON."""
    last: bool
    """Sealed: nothing will follow."""
    quiet: bool
    """Its state may not change without its revision: who has seen this id has seen it all."""


ReadFrame = Callable[[Hashable], Awaitable[Frame]]
"""A topic as it is now: a campaign by the store's number, or a topic of `gateway.http.topics`."""


@dataclass(slots=True)
class Watched:
    """One topic that somebody watches. Waiters take `changed` first and look at `latest` then."""

    latest: Frame | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    bells: set[asyncio.Event] = field(default_factory=set)
    """Set with every change, for who waits for several topics at once."""
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
        for bell in self.bells:
            bell.set()


@dataclass(slots=True)
class ProgressWatch:
    read: ReadFrame
    most: int
    most_per_account: int = 0
    """0: as many as there may be at all."""
    poll_s: float = 0.25
    _watched: dict[Hashable, Watched] = field(default_factory=dict)
    _watchers: int = 0
    _of: Counter[int] = field(default_factory=Counter)
    """By account."""
    _closing: bool = False

    @contextlib.asynccontextmanager
    async def watch(self, topic: Hashable, account_id: int) -> AsyncIterator[Watched]:
        """A topic as one stream watches it. Raises Refusal as `admitted` does."""
        with self.admitted(account_id):
            async with self.follow(topic) as watched:
                yield watched

    @contextlib.contextmanager
    def admitted(self, account_id: int) -> Iterator[None]:
        """One stream of an account. Raises Refusal: 503 when there are too many or the server is stopping, 429 for too
        many of an account."""
        if self._closing or self._watchers >= self.most:
            raise Refusal(503, "too-many-watchers", "No more progress streams can be opened now.")
        if self.most_per_account and self._of[account_id] >= self.most_per_account:
            raise Refusal(429, "too-many-watchers", "This account has as many streams open as it may have.")
        self._watchers += 1
        self._of[account_id] += 1
        try:
            yield
        finally:
            self._watchers -= 1
            self._of[account_id] -= 1
            if not self._of[account_id]:
                del self._of[account_id]

    @contextlib.asynccontextmanager
    async def follow(self, topic: Hashable) -> AsyncIterator[Watched]:
        """A topic, looked at for as long as anybody follows it."""
        watched = self._watched.get(topic)
        if watched is None or watched.over:
            watched = self._watched[topic] = Watched()
            watched.poller = asyncio.create_task(self._poll(topic, watched), name=f"watch-{topic}")
        watched.watchers += 1
        try:
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                await self._forget(topic, watched)

    @property
    def watchers(self) -> int:
        return self._watchers

    def close(self) -> None:
        """Let every stream end; the server is stopping."""
        self._closing = True
        for watched in self._watched.values():
            watched.end()

    async def _forget(self, topic: Hashable, watched: Watched) -> None:
        if self._watched.get(topic) is watched:
            del self._watched[topic]
        assert watched.poller is not None
        watched.poller.cancel()
        await asyncio.wait({watched.poller})

    async def _poll(self, topic: Hashable, watched: Watched) -> None:
        try:
            while not watched.over:
                frame = await self._look(topic)
                if frame is not None:
                    watched.show(frame)
                    if frame.last:
                        return
                await asyncio.sleep(max(self.poll_s, len(self._watched) / _READS_PER_S))
        except Exception:
            log.exception("watching failed", extra={"action": "watch-failed", "topic": str(topic)})
        finally:
            watched.end()

    async def _look(self, topic: Hashable) -> Frame | None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await self.read(topic)
        except Exception as exc:
            if not store_is_away(exc):
                raise
            log.warning("store away", extra={"action": "watch-store-away", "error": str(exc)})
            await asyncio.sleep(1.0)
            return None
