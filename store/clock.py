"""The store's time: wall clock anchored to the monotonic one at start, so that a step of the clock moves nothing.

For SQLite and for tests. On PostgreSQL the database's own clock counts (`Database.write` reads it).
"""

import time
from collections.abc import Callable


class Clock:
    """Microseconds UTC that never go back while the process lives."""

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_us(self) -> int:
        return (self._offset_ns + self._monotonic_ns()) // 1000

    def now_ms(self) -> int:
        return self.now_us() // 1000
