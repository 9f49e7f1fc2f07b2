"""How much of the event loop one peer may take with what nobody asked it for: a slice at a time, and a share for long.

A peer that floods is heard more slowly, and its own octets wait, in its own buffers; everybody else goes on. Pure
arithmetic on seconds; time is an argument.
"""

SLICE_S = 0.005
"""The longest that one peer is heeded before others have their turn."""
PART = 0.3
"""Of the event loop: what one peer may take for as long as it likes. Receipts at full speed, some 12,000 a second, take
two thirds of that."""


class LoopShare:
    """Of one peer, whatever the number of its connections. It saves up no more than one slice."""

    def __init__(self, part: float = PART, slice_s: float = SLICE_S) -> None:
        self._part, self.slice_s = part, slice_s
        self._saved_s, self._at = slice_s, float("-inf")

    def spend(self, seconds: float, now: float) -> None:
        """So much was taken, up to now."""
        self._saved_s = self._saved(now) - seconds
        self._at = now

    def wait_s(self, now: float) -> float:
        """How long the next slice has to wait; 0 while something is saved."""
        saved_s = self._saved(now)
        return 0.0 if saved_s > 0 else (self.slice_s / 2 - saved_s) / self._part

    def _saved(self, now: float) -> float:
        return min(self.slice_s, self._saved_s + (now - self._at) * self._part)
