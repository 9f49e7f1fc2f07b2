"""Pure arithmetic of pace: how many in any second, how long to rest, how much to take up.

Slots outside decide when a mail is due. What is kept here holds even when a relay stood still for a while and
all that was due in the meantime could leave at once.
"""

import math
from collections import deque

FIRST_PAUSE_S = 1.0
DEFERRALS_IN_A_ROW = 10
"""So many recipients deferred one after the other are no coincidence (greylisting aside): the relay is busy."""
LOOK_AHEAD_S = 0.25
"""The cursor of a batch is moved this far at a time (design section 4)."""
MOST_PER_CONNECTION = 40  # 16 connections: 640 mails a look-ahead, 2,560/s
_SLACK = 1.005  # half of what a contract allows (design section 7.4), so that a delay can be made up for
_TICKS_S = 0.004  # a loop's timers count milliseconds: so much may start together
SHORTEST_WAIT_S = 0.002
"""uvloop's timers count whole milliseconds: waiting for less is a loop that spins between any two mails. Half of what
may start together, so that nothing is lost by it."""
_WEIGHT = 0.05  # of one answer in the moving average: some 20 answers


class SecondWindow:
    """Never more than `rate_per_s` starts in any one second, and no heap of them at its beginning."""

    def __init__(self, rate_per_s: float) -> None:
        self._span_s = 1.0 if rate_per_s >= 1 else 1.0 / rate_per_s
        self._starts: deque[float] = deque(maxlen=max(1, math.floor(rate_per_s * _SLACK)))
        self._gap_s = 1.0 / (rate_per_s * _SLACK)
        self._early_s = max(_TICKS_S, 2 * self._gap_s)
        self._even_s = -math.inf

    def wait_s(self, now_s: float) -> float:
        """Seconds until one more may start; 0 when it may now."""
        earliest_s = self._even_s - self._early_s
        if len(self._starts) == self._starts.maxlen:
            earliest_s = max(earliest_s, self._starts[0] + self._span_s)
        return max(0.0, earliest_s - now_s)

    def started(self, now_s: float) -> None:
        self._starts.append(now_s)
        self._even_s = max(self._even_s, now_s) + self._gap_s


class Patience:
    """How long to leave alone a relay that asks for a slower pace: twice as long each time, until one is taken."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._next_s = min(FIRST_PAUSE_S, longest_s)
        self._in_a_row = 0

    def accepted(self) -> None:
        self._next_s = min(FIRST_PAUSE_S, self._longest_s)
        self._in_a_row = 0

    def refused(self) -> None:
        """A final answer about one recipient: the relay is at work."""
        self._in_a_row = 0

    def deferred(self) -> bool:
        """Count one that might be a coincidence. True when it no longer is."""
        self._in_a_row += 1
        return self._in_a_row >= DEFERRALS_IN_A_ROW

    def pause_s(self) -> float:
        """Seconds to rest now."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        self._in_a_row = 0
        return pause_s


class AnswerTime:
    """The moving average of how long a mail takes, and what follows for how many a connection can take up.
    A relay counts as fast until it is seen not to be."""

    def __init__(self) -> None:
        self._mean_s = 0.0

    def answered(self, took_s: float) -> None:
        self._mean_s += (took_s - self._mean_s) * _WEIGHT

    def per_connection(self) -> int:
        """Mails that one connection gets through within the look-ahead: at least 1."""
        if self._mean_s * MOST_PER_CONNECTION <= LOOK_AHEAD_S:
            return MOST_PER_CONNECTION
        return max(1, int(LOOK_AHEAD_S / self._mean_s))
