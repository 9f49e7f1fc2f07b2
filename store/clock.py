"""The store's time: wall clock anchored to the monotonic one at start, so that a step of the clock moves nothing.

On PostgreSQL the database's own clock counts: `Database.write` reads it, and what asks here follows it.
"""

import time
from collections.abc import Callable

_APART_NS = 1_000_000_000
"""Below this the difference may be the answer's way back."""


class Clock:
    """Microseconds UTC. They never go back while the process lives, but to follow another clock."""

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_us(self) -> int:
        return (self._offset_ns + self._monotonic_ns()) // 1000

    def follow(self, now_us: int) -> None:
        """Another clock, which all nodes share, says that it is `now_us`: keep within a second of it."""
        offset_ns = now_us * 1000 - self._monotonic_ns()
        if abs(offset_ns - self._offset_ns) > _APART_NS:
            self._offset_ns = offset_ns

    def now_ms(self) -> int:
        return self.now_us() // 1000
