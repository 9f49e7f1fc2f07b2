"""The carriers of one lane in the configured order, each behind a gate that knows whether it is open."""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import InitVar, dataclass, field
from enum import Enum
from statistics import median_high

from channels.contract import Accepted, Carrier, CarrierState, Outcome, Refused
from channels.slots import AHEAD_S, CarrierSlots, SlotKeeper
from gateway.dispatch.breaker import Breaker
from gateway.dispatch.refusals import RefusalRun, Refusals, Subject
from gateway.operations.logs import scrubbed
from store.outbox.ceilings import Ceiling
from store.outbox.fence import OpenCarrier
from store.outbox.overview import CarrierView

log = logging.getLogger(__name__)

_TRIAL_UNITS = 3
_MOST_HEAD_START_US = 1_000_000
_LEAST_LEAD_S, _MOST_LEAD_S = 0.04, 0.35
"""At most so long that something is left of the farthest horizon: asked sooner, the fence has no slot to grant."""
_SLOTS_AHEAD, _MOST_FOR_FEW_S = 2, 0.2
"""A lane asks so many slots ahead, where these are far apart."""
_AHEAD = 4
"""Units granted for each unit of room: a grant leaves over 250 ms while the window empties and fills again."""


def guard_s(ceilings: Sequence[Ceiling]) -> float:
    """How long after its slot a message may still be handed over."""
    return min(ceiling.guard_s for ceiling in ceilings)


class Openness(Enum):
    """How a gate stands to one subject."""

    OPEN = "open"
    BUSY = "busy"
    """It takes more in a moment: its window is full."""
    CLOSED = "closed"
    """Down, at rest or held, or it refuses us: nobody knows when it takes something."""


@dataclass(slots=True)
class Gate:
    """A carrier with its ceilings, its breaker, and what it refuses."""

    carrier: Carrier
    ceilings: tuple[Ceiling, ...]
    breaker: Breaker = field(default_factory=Breaker)
    refusals: Refusals = field(default_factory=Refusals)
    is_held: bool = False
    """Whether a hold stood on it when the store was last asked. A hint: the fence looks for itself."""
    slots_there: InitVar[CarrierSlots | None] = None
    """Of a carrier in another process, which keeps them."""
    slots: CarrierSlots = field(init=False)
    """Where messages wait for their slots on it."""

    def __post_init__(self, slots_there: CarrierSlots | None) -> None:
        self.slots = slots_there or SlotKeeper(self.carrier, guard_s(self.ceilings))

    @property
    def name(self) -> str:
        return self.carrier.name

    def opening(self, now_s: float, subject: Subject | None = None) -> OpenCarrier | None:
        """What the fence may grant on it now; None while it takes nothing (of that subject)."""
        room = self.slots.room
        if self.is_held or room <= 0 or not self.breaker.closed(now_s):
            return None
        # On trial it is given no more before it has answered: a silent one would have a few in every window.
        units = min(_TRIAL_UNITS, room) - self.slots.held if self.breaker.on_trial else room * _AHEAD
        run = self.bar(subject)
        if run is not None:
            units = min(units, run.units_to_try(now_s))
        if units <= 0:
            return None
        return OpenCarrier(self.carrier.name, self.ceilings, units)

    def bar(self, subject: Subject | None) -> RefusalRun | None:
        """The bar that it has against that subject; None where it has none."""
        run = self.refusals.runs.get(subject) if subject is not None and self.refusals.runs else None
        return run if run is not None and run.is_barred else None

    def door(self, now_s: float, subject: Subject) -> Openness:
        if self.opening(now_s, subject) is not None:
            return Openness.OPEN
        is_well = self.carrier.status().state is CarrierState.UP and self.breaker.closed(now_s)
        if self.is_held or not is_well or self.breaker.on_trial or self.bar(subject) is not None:
            return Openness.CLOSED
        return Openness.BUSY

    def tried(self, subject: Subject | None, units: int, now_s: float) -> bool:
        """Notes that so many units of that subject are on their way; returns whether they are a trial."""
        run = self.bar(subject)
        if run is not None:
            run.try_units(units, now_s)
        return run is not None

    def untried(self, subject: Subject, units: int) -> None:
        """Notes that nothing was learnt of so many units of a trial."""
        run = self.bar(subject)
        if run is not None:
            run.put_back(units)

    def rests(self, subject: Subject, now_s: float) -> bool:
        """Whether it would refuse that subject now."""
        run = self.bar(subject)
        return run is not None and now_s < run.barred_until_s

    def refused(self, subject: Subject, person: int, refusal: Refused, now_s: float, units: int) -> RefusalRun:
        """The run of refusals that this one belongs to. What turns out to be against us is told to the operator."""
        run, barred = self.refusals.refused(subject, person, refusal.code, refusal.text, now_s, units)
        if barred:
            about = {"carrier": self.name, "campaign": subject[0], "language": subject[1]}
            why = {"code": run.code, "why": run.text[:200], "rests_s": run.pause_s}
            log.warning(
                "a carrier refuses everybody: it has something against us",
                extra={"action": "carrier-refuses-us", **about, **why},
            )
            self.call_back_what_rests(now_s)
        return run

    def call_back_what_rests(self, now_s: float) -> None:
        """It is given nothing more that it would refuse now."""
        if self.refusals.runs:
            self.slots.call_back({subject for subject in self.refusals.runs if self.rests(subject, now_s)})

    def complaint(self, now_s: float) -> str:
        """What it has against us, in the words of its peer; empty for nothing."""
        run = self.refusals.complaint(now_s)
        if run is not None:
            return f"it refuses everybody: {run.code} {run.text[:200]}".rstrip()
        return self.carrier.status().grievance

    def view(self, now_s: float) -> CarrierView:
        status = self.carrier.status()
        detail, complaint = scrubbed(status.detail), scrubbed(self.complaint(now_s))
        return CarrierView(status.name, status.channel, status.mode, status.state, detail, complaint)

    def accepted(self, subject: Subject) -> None:
        run = self.refusals.accepted(subject)
        if run is not None and run.pause_s:
            fields = {"action": "carrier-takes-again", "carrier": self.name, "campaign": subject[0]}
            log.warning("a carrier that refused everybody takes messages again", extra=fields)

    @property
    def rate_per_s(self) -> float:
        """Units a second that its ceilings allow."""
        return min(c.count / c.window_s for c in self.ceilings)

    def learn(self, outcome: Outcome, trouble: bool, now_s: float) -> None:
        if trouble:
            self.breaker.trouble(now_s)
        elif isinstance(outcome, Accepted | Refused):
            self.breaker.success()


@dataclass(slots=True)
class Timebase:
    """The store's clock on this machine's monotonic one, which the event loop's is.

    Read at the beginning of a transaction, not with its answer: nodes whose transactions take their time differently
    would shift the same slots differently, and squeeze a contract where one takes over from the other. A reading is
    late by the clock's own way back, so the smallest difference seen lately is the truest, and never early.
    """

    _differences_s: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    _answers_s: deque[float] = field(default_factory=lambda: deque([0.0], maxlen=8))
    _asked_for_s: deque[float] = field(default_factory=lambda: deque([0.0], maxlen=8))

    def learn(self, now_us: int, monotonic_s: float) -> None:
        """The store's clock was read as `now_us` just now."""
        self._differences_s.append(monotonic_s - now_us / 1e6)

    def answered(self, now_us: int, monotonic_s: float, asked_s: float) -> None:
        """The transaction that was asked for at `asked_s`, and began at `now_us`, has answered just now."""
        self._answers_s.append(monotonic_s - self.loop_time(now_us))
        self._asked_for_s.append(monotonic_s - asked_s)

    def loop_time(self, at_us: int) -> float:
        return at_us / 1e6 + min(self._differences_s)

    @property
    def head_start_us(self) -> int:
        """How long an answer takes: slots that begin sooner would have passed when they are known."""
        return min(int(median_high(self._answers_s) * 1e6), _MOST_HEAD_START_US)

    def lead_s(self, rate_per_s: float) -> float:
        """How long before its first slot a window is to be asked for: twice as long as an answer takes of late, or as
        long as all but the slowest, with the time by which carriers are ahead of the slots. A lane whose answers are
        slow would miss slots otherwise; one that has few of them a second has none to miss."""
        answers_s = sorted(self._asked_for_s)
        usual_s = max(2 * median_high(answers_s), answers_s[-2] if len(answers_s) > 1 else 0.0)
        few_s = min(_SLOTS_AHEAD / rate_per_s, _MOST_FOR_FEW_S)
        return min(max(usual_s + AHEAD_S, few_s, _LEAST_LEAD_S), _MOST_LEAD_S)


@dataclass(slots=True)
class LaneCarriers:
    gates: Sequence[Gate]
    most_messages: int
    """Of one window, so that a fence's transaction stays short."""
    timebase: Timebase = field(default_factory=Timebase)
    granted_until_s: dict[str, float] = field(default_factory=dict)
    """Carrier -> event-loop time of the end of the last slots that it was granted. A hint: other nodes take some."""
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Batches of a lane ask the fence one after the other: two must not be granted the same room."""

    def open(self, now_s: float) -> list[OpenCarrier]:
        """The gates that would take something of a subject that they have nothing against."""
        return [opening for gate in self.gates if (opening := gate.opening(now_s)) is not None]

    @property
    def any_held(self) -> bool:
        return any(gate.is_held for gate in self.gates)

    def learn_holds(self, held: Collection[str]) -> None:
        """The store was asked just now on which carriers holds stand."""
        for gate in self.gates:
            gate.is_held = gate.name in held

    def of(self, names: Sequence[str], subject: Subject | None, shunned: str, now_s: float) -> list[OpenCarrier]:
        """The openings of these carriers, as far as they are open now, the shunned one last."""
        carriers = [
            opening for g in self.gates if g.name in names and (opening := g.opening(now_s, subject)) is not None
        ]
        return sorted(carriers, key=lambda opening: opening.carrier == shunned)

    def granted_for_s(self, names: Sequence[str], now_s: float) -> float:
        """How long every one of these carriers has nothing to give but slots behind those granted already."""
        return min((self.granted_until_s.get(name, 0.0) - now_s for name in names), default=0.0)

    @property
    def lead_s(self) -> float:
        """How long before its first slot a window is to be asked for."""
        return self.timebase.lead_s(self.rate_per_s)

    @property
    def rate_per_s(self) -> float:
        """Units a second that all of them together may carry."""
        return sum(gate.rate_per_s for gate in self.gates)

    def gate(self, name: str) -> Gate:
        return next(g for g in self.gates if g.carrier.name == name)

    def any_up(self) -> bool:
        return any(g.carrier.status().state is not CarrierState.DOWN for g in self.gates)
