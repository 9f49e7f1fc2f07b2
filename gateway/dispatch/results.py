"""What carriers say of a batch's messages: what is settled by it, what looks for another carrier, whose word is open.

State lives in the store; what is here is lost in a crash and then found again as `unknown`.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from channels.contract import NotSent, Outcome, Refused
from gateway.dispatch.carriers import Gate
from gateway.dispatch.choosing import Choosing, Moving
from gateway.dispatch.outcomes import is_for_us, is_trouble, settlement
from gateway.dispatch.refusals import RefusalMeaning, RefusalRun
from gateway.dispatch.write_note import WriteNote
from store.outbox.records import Batch, DeliveryRow, Settlement
from store.outbox.resending import Resending
from store.states import DeliveryEvent

MOST_MOVES = 8
"""Times a message known not sent looks for another carrier before it waits for its batch's next round."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the channel and the mode say about sending."""

    generation: str
    lease_ms: int
    most_attempts: int
    retry_delays_ms: Sequence[int]
    """Before the second, third ... attempt of what a carrier put off; the last one repeats."""
    resending: Resending
    """How what is in doubt is sent again, where the kind says so."""
    rest_ms: int
    """Of messages that every carrier has given back, and of those for which none was open."""


@dataclass(frozen=True, slots=True)
class _LastWord:
    """A refusal by the last carrier that there was: it counts once it is known to be about the person."""

    m: Moving
    gate: Gate
    refusal: Refused
    run: RefusalRun
    since_s: float


@dataclass(slots=True)
class Results:
    """Of one batch."""

    batch: Batch
    choosing: Choosing
    rules: Rules
    note: WriteNote | None
    """Where it is kept what was answered."""
    is_over: Callable[[], bool]
    """Whether its time has come: it expires, or we stop."""
    decide: Callable[[], None]
    """Called when there is something to decide: a message looks for another carrier, one is due again sooner than was
    known, or nothing is in flight any more. An answer like any other wakes nobody."""
    settled: list[Settlement] = field(default_factory=list)
    """What the store does not know yet."""
    again: deque[Moving] = field(default_factory=deque)
    """Known not sent, and looking for another carrier."""
    in_flight: dict[int, DeliveryRow] = field(default_factory=dict)
    """Handed over, and without an answer that counts."""
    due_s: float = math.inf
    """When the first of what was put off or is in doubt may go: it must not wait for another's answer."""
    begun: bool = False
    """A carrier was given some message of it: somebody may have been told."""
    are_unwanted: bool = False
    """Some message was given back by every carrier."""
    _last_words: dict[int, _LastWord] = field(default_factory=dict)

    def answered(self, gate: Gate, m: Moving, outcome: Outcome, now_s: float) -> None:
        """A carrier's outcome of a message in flight."""
        subject = self.choosing.subject(m.row)
        if isinstance(outcome, NotSent) and outcome.missed:
            if m.on_trial:
                gate.untried(subject, m.row.units)
            self._move(m, costs=0)
            return
        self.begun = True
        gate.learn(outcome, is_trouble(outcome, is_over=self.is_over()), now_s)
        if isinstance(outcome, Refused) and not outcome.refs:
            self._refused(gate, m, outcome, now_s)
            return
        if is_for_us(outcome, self.batch.channel):
            gate.accepted(subject)
        elif m.on_trial:
            gate.untried(subject, m.row.units)
        result = settlement(
            m.row.id,
            outcome,
            gate.name,
            attempts=m.row.attempts,
            most_attempts=self.rules.most_attempts,
            delays_ms=self.rules.retry_delays_ms,
        )
        if result is None:
            self._move(m, costs=1)
            return
        del self.in_flight[m.row.id]
        if self.note is not None:
            self.note.answered(self.batch.round, result)
        self.settled.append(result)
        due_s = now_s + self._comes_back_s(result)
        if due_s < self.due_s or not self.in_flight:
            self.due_s = min(self.due_s, due_s)
            self.decide()

    def not_sent(self, row: DeliveryRow) -> None:
        """It waits for its batch's next round."""
        self.settled.append(Settlement(row.id, DeliveryEvent.NOT_SENT))

    def give_up_unwanted(self) -> None:
        """What every carrier has given back waits for its batch's next round."""
        for m in self.again:
            if m.moves > MOST_MOVES:
                self.are_unwanted = True
                self.not_sent(m.row)
        self.again = deque(m for m in self.again if m.moves <= MOST_MOVES)

    def weigh_last_words(self, now_s: float) -> None:
        """Refusals that are known to be about the person by now, or about us."""
        for word in list(self._last_words.values()):
            m, refusal = word.m, word.refusal
            meant = word.run.word(word.since_s, now_s)
            if meant is RefusalMeaning.OPEN:
                continue
            del self._last_words[m.row.id]
            if meant is RefusalMeaning.OURS:
                del m.words[word.gate.name]
                self._move(m, costs=1)
            else:
                del self.in_flight[m.row.id]
                name = word.gate.name
                self.settled.append(Settlement(m.row.id, DeliveryEvent.REFUSED, name, (), refusal.code, refusal.text))

    def take(self) -> list[Settlement]:
        """What is settled, for whoever tells the store; `put_back` where that fails."""
        taken, self.settled = self.settled, []
        return taken

    def put_back(self, taken: Sequence[Settlement]) -> None:
        self.settled = [*taken, *self.settled]

    def _refused(self, gate: Gate, m: Moving, refusal: Refused, now_s: float) -> None:
        """It costs no attempt as long as there is another carrier, or until it is known to be about the person."""
        subject = self.choosing.subject(m.row)
        run = gate.refused(subject, m.row.id, refusal, now_s, m.row.units if m.on_trial else 0)
        if run.is_barred:
            self._move(m, costs=1)
            return
        m.words[gate.name] = refusal
        if self.choosing.has_other_carrier(m, now_s):
            self._move(m, costs=0)
        else:
            self._last_words[m.row.id] = _LastWord(m, gate, refusal, run, now_s)

    def _move(self, m: Moving, *, costs: int) -> None:
        del self.in_flight[m.row.id]
        m.moves += costs
        self.again.append(m)
        self.decide()

    def _comes_back_s(self, result: Settlement) -> float:
        if result.event is DeliveryEvent.DEFERRED:
            return result.wait_ms / 1000
        if result.event is DeliveryEvent.IN_DOUBT and self.batch.crash_policy == "resend":
            return self.rules.resending.wait_ms / 1000
        return math.inf
