"""When the next segment may leave: never before its slot, never faster than the slots, never during a rest.

Pure arithmetic on event-loop seconds. Knows no message.
"""

_STRETCH = 0.995
"""After a stall the backlog leaves at most 0.5 % faster than the contract: a burst would break its second."""
_CATCH_UP = 0.985
"""Of the contract's rate: what makes up for lateness over slots that nobody used. Slack and late wakes come on top."""
_SLACK_S = 0.005
"""Lateness that is not passed on: a timer that fires a millisecond late must not slow the account for good."""
_CALM_S = 10.0
"""Without a new complaint for so long after a rest, the next rest is a short one again."""


class Pacer:
    """Turns slots into instants. Slots are met in ascending order, or nearly."""

    def __init__(self, rate_per_s: float) -> None:
        """`rate_per_s` is the contract's."""
        self._spacing_s = 1.0 / (rate_per_s * _CATCH_UP)
        self._slot = self._at = float("-inf")

    def instant(self, slot: float) -> float:
        """When the segment of this slot may leave: its slot, or later by what those before it were late."""
        if slot <= self._slot:
            return max(slot, self._at)
        return max(slot, self._at + min((slot - self._slot) * _STRETCH, self._spacing_s))

    def left(self, slot: float, now: float) -> None:
        """The segment of this slot left now."""
        self._at = max(self.instant(slot), now - _SLACK_S)
        self._slot = max(self._slot, slot)

    def gap(self, earliest: float) -> float:
        """When a segment without a slot of its own may leave: no earlier than told, and never closer to the one before
        it than the contract's pace."""
        return max(earliest, self._at + self._spacing_s)

    def filled(self, now: float) -> None:
        """A segment without a slot left now: those with slots leave so much later, as after a stall."""
        self._at = max(self._at + self._spacing_s, now - _SLACK_S)


class Rest:
    """How long an account rests when its SMSC asks for a slower pace: doubling while it keeps asking."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._began = self.until = float("-inf")
        self._last_s = 0.0

    def throttled(self, now: float, written: float) -> float:
        """Seconds to rest from now, for an answer to a segment written then.

        A window full of complaints is one complaint: what was written before the rest began prolongs nothing.
        """
        if written <= self._began:
            return max(0.0, self.until - now)
        calm = now - self.until > _CALM_S
        self._last_s = self._first_s if calm else min(self._last_s * 2, self._longest_s)
        self._began, self.until = now, now + self._last_s
        return self._last_s
