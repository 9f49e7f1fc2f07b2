"""A circuit breaker of one carrier: arithmetic on instants given to it. Pure."""

from dataclasses import dataclass

OPEN_AFTER = 5
"""Troubles in a row: fewer may be one lost connection's worth of bad luck."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(slots=True)
class Breaker:
    """Closed: everything goes. Open: nothing until the pause is over. Then a few messages try the carrier."""

    troubles: int = 0
    pause_s: float = 0.0
    open_until_s: float = 0.0

    def success(self) -> None:
        self.troubles = 0
        self.pause_s = 0.0
        self.open_until_s = 0.0

    def trouble(self, now_s: float) -> None:
        self.troubles += 1
        if self.troubles >= OPEN_AFTER and now_s >= self.open_until_s:
            self.pause_s = min(max(self.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            self.open_until_s = now_s + self.pause_s

    def closed(self, now_s: float) -> bool:
        """Whether the carrier may be used at all now."""
        return now_s >= self.open_until_s

    @property
    def on_trial(self) -> bool:
        """Whether the pause is over and nothing has gone well since: a few only are to be sent."""
        return self.troubles >= OPEN_AFTER
