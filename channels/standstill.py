"""Time by which a peer may be judged: only while this process ran, and only once what the peer said has been read.

A process that stood still (a paused machine, SIGSTOP, a starved host) wakes with its timers overdue and with answers
waiting in its sockets. Knows no peer and no protocol.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator

from channels.wire import unread

BEAT_S = 0.25
LATE_S = 0.1
"""A beat later than this is no slow timer: the process, or its loop, stood still for so long."""

_TURNS = 3  # what is called soon stands before what the same turn reads: three calls have two readings between them
_MOST_TURNS = 100  # a turn reads 256 KiB, so this is more than a socket holds; a peer that never ends is judged then


class RunningClock:
    """The loop's time less the time during which this process stood still. Belongs to one event loop."""

    def __init__(self) -> None:
        self.lost_s = 0.0
        """Seconds lost so far."""
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._loop_time: Callable[[], float] | None = None
        """Of the loop that it belongs to, known with the first question: asked ten times a message."""

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Standstills are noticed while this is held; otherwise it is the loop's own clock, less what was lost."""
        self._beat()
        try:
            yield
        finally:
            self._due = math.inf
            if self._timer is not None:
                self._timer.cancel()

    def time(self) -> float:
        if self._loop_time is None:
            self._loop_time = asyncio.get_running_loop().time
        now = self._loop_time()
        if now - self._due > LATE_S:
            self._beat()
        return now - self.lost_s

    @contextlib.asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """As `asyncio.timeout`, by this clock. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:
            deadline = Deadline(self, lambda: scope.reschedule(loop.time()))
            deadline.set(seconds)
            try:
                yield
            finally:
                deadline.clear()

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._due > LATE_S:
            self.lost_s += now - self._due
        if self._timer is not None:
            self._timer.cancel()
        self._due = now + BEAT_S
        self._timer = loop.call_at(self._due, self._beat)


class Deadline:
    """A time limit that is moved for every message and seldom reached: moving it on costs a comparison."""

    def __init__(
        self, clock: RunningClock, judge: Callable[[], None], transport: asyncio.BaseTransport | None = None
    ) -> None:
        """`judge` is called when it has passed, after what waits on `transport` has been read."""
        self._clock, self._judge, self._transport = clock, judge, transport
        self._at = self._armed = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._at < math.inf

    def set(self, delay_s: float) -> None:
        """So many seconds of running time from now, whatever it was before."""
        self._at = self._clock.time() + delay_s
        if self._at < self._armed:
            self._arm(delay_s)

    def clear(self) -> None:
        """Nothing is waited for."""
        self._at = math.inf

    def close(self) -> None:
        """For good."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = self._at
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._armed, self._timer = math.inf, None
        left_s = self._at - self._clock.time()
        if left_s <= 0:
            after_reading(self._look, self._transport)
        elif left_s < math.inf:
            self._arm(left_s)

    def _look(self) -> None:
        if self._at <= self._clock.time():
            self._at = math.inf
            self._judge()


def after_reading(judge: Callable[[], None], transport: asyncio.BaseTransport | None = None) -> None:
    """Call `judge` soon: once the loop has polled its sockets twice and nothing waits on `transport` any more."""
    _turn(judge, transport, 0)


def _turn(judge: Callable[[], None], transport: asyncio.BaseTransport | None, turns: int) -> None:
    done = turns >= _TURNS and (transport is None or turns >= _MOST_TURNS or not unread(transport))
    if done:
        judge()
    else:
        asyncio.get_running_loop().call_soon(_turn, judge, transport, turns + 1)
