"""How long waits took, counted by length: what quantiles are read from, without keeping any of them. Pure."""

from bisect import bisect_left
from collections.abc import Iterator

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds in seconds; what took longer than the last is counted behind it."""


class WaitTimes:
    """Counts of waits by the least bound that holds them. They only grow, as counters do."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)

    def note(self, took_s: float) -> None:
        """One wait is over."""
        self._counts[bisect_left(BOUNDS_S, took_s)] += 1

    def within(self) -> Iterator[tuple[float, int]]:
        """Each bound, in seconds, with the number of waits that took no longer; infinity has all of them."""
        total = 0
        for bound_s, count in zip((*BOUNDS_S, float("inf")), self._counts, strict=True):
            total += count
            yield bound_s, total
