"""The ways out of one lane: its carriers in the configured order, each behind a gate that knows whether it is open."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median_high

from channels.contract import Accepted, Carrier, CarrierState, Outcome, Refused
from gateway.dispatch.breaker import Breaker
from store.batches import Way
from store.slots import Ceiling

_TRIAL_UNITS = 3
_MOST_HEAD_START_US = 1_000_000
_AHEAD = 4
"""Units granted for each unit of room: a grant leaves over 250 ms while the window empties and fills again."""


@dataclass(slots=True)
class Gate:
    """A carrier with its ceilings and its breaker."""

    carrier: Carrier
    ceilings: tuple[Ceiling, ...]
    breaker: Breaker = field(default_factory=Breaker)
    _handed: int = 0
    """Units handed over whose outcome is not known."""

    @property
    def guard_s(self) -> float:
        return min(c.guard_s for c in self.ceilings)

    @property
    def room(self) -> int:
        return self.carrier.room

    @property
    def idle(self) -> bool:
        """Nothing is under way: a message longer than the window may go alone."""
        return self._handed == 0

    def way(self, now_s: float) -> Way | None:
        room = self.carrier.room
        if room <= 0 or not self.breaker.closed(now_s):
            return None
        # On trial it is given no more before it has answered: a silent one would have a few in every window.
        units = min(_TRIAL_UNITS, room) - self._handed if self.breaker.on_trial else room * _AHEAD
        if units <= 0:
            return None
        return Way(self.carrier.name, self.ceilings, units)

    @property
    def rate_per_s(self) -> float:
        """Units a second that its ceilings allow."""
        return min(c.count / c.window_s for c in self.ceilings)

    def take(self, units: int) -> "Load":
        self._handed += units
        return Load(self, units)

    def put_back(self, units: int) -> None:
        self._handed -= units

    def learn(self, outcome: Outcome, trouble: bool, now_s: float) -> None:
        if trouble:
            self.breaker.trouble(now_s)
        elif isinstance(outcome, Accepted | Refused):
            self.breaker.success()


@dataclass(slots=True)
class Load:
    """Units of a group that a carrier has been given and whose outcome is not known. Whoever hands over closes it,
    however that ends: a carrier on trial that still counted as busy would never be tried again."""

    _gate: Gate
    _units: int

    def answered(self, units: int) -> None:
        self._units -= units
        self._gate.put_back(units)

    def close(self, _: object = None) -> None:
        """Also as a task's done-callback."""
        self.answered(self._units)


@dataclass(slots=True)
class Timebase:
    """The store's clock on this machine's monotonic one, which the event loop's is.

    Read at the beginning of a transaction, not with its answer: nodes whose transactions take their time differently
    would shift the same slots differently, and squeeze a contract where one takes over from the other. A reading is
    late by the clock's own way back, so the smallest difference seen lately is the truest, and never early.
    """

    _differences_s: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    _answers_s: deque[float] = field(default_factory=lambda: deque([0.0], maxlen=8))

    def learn(self, now_us: int, monotonic_s: float) -> None:
        """The store's clock was read as `now_us` just now."""
        self._differences_s.append(monotonic_s - now_us / 1e6)

    def answered(self, now_us: int, monotonic_s: float) -> None:
        """The transaction that began at `now_us` has answered just now."""
        self._answers_s.append(monotonic_s - self.loop_time(now_us))

    def loop_time(self, at_us: int) -> float:
        return at_us / 1e6 + min(self._differences_s)

    @property
    def head_start_us(self) -> int:
        """How long an answer takes: slots that begin sooner would have passed when they are known."""
        return min(int(median_high(self._answers_s) * 1e6), _MOST_HEAD_START_US)


@dataclass(slots=True)
class Ways:
    gates: Sequence[Gate]
    most_messages: int
    """Of one window, so that a fence's transaction stays short."""
    timebase: Timebase = field(default_factory=Timebase)
    granted_until_s: dict[str, float] = field(default_factory=dict)
    """Carrier -> event-loop time of the end of the last slots that it was granted. A hint: other nodes take some."""
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Batches of a lane ask the fence one after the other: two must not be granted the same room."""

    def open(self, now_s: float) -> list[Way]:
        return [way for gate in self.gates if (way := gate.way(now_s)) is not None]

    def granted_for_s(self, ways: Sequence[Way], now_s: float) -> float:
        """How long every one of these ways has nothing to give but slots behind those granted already."""
        return min((self.granted_until_s.get(way.carrier, 0.0) - now_s for way in ways), default=0.0)

    @property
    def rate_per_s(self) -> float:
        """Units a second that all of them together may carry."""
        return sum(gate.rate_per_s for gate in self.gates)

    def gate(self, name: str) -> Gate:
        return next(g for g in self.gates if g.carrier.name == name)

    def any_up(self) -> bool:
        return any(g.carrier.status().state is not CarrierState.DOWN for g in self.gates)
