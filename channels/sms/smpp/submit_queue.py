"""Messages with parts to write, in the order in which these may leave. Sans I/O: times are arguments.

Knows no session, no SMSC's answer and no event loop.
"""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

from channels.contract import Outgoing, Told
from channels.sms.smpp.pacing import Pacer
from channels.sms.smpp.submission import Submission

Bind = TypeVar("Bind")

LATE_S = 0.1
"""What waits has missed its slot by this: no more is taken up until it has left. Stalls of a busy loop would add up
otherwise, and every message, the urgent ones too, would leave seconds after its slot."""


class Queued(Generic[Bind]):
    """A message in the queue or in flight, and who hears its outcome."""

    __slots__ = ("bind", "index", "lost_s", "outgoing", "slot", "submission", "told", "turn", "units")

    def __init__(self, submission: Submission, told: Told, index: int, outgoing: Outgoing) -> None:
        self.submission, self.index, self.outgoing = submission, index, outgoing
        self.told: Told | None = told
        """None: nobody wants to hear of it any more."""
        self.bind: Bind | None = None
        """That of its first part, and so of all."""
        self.units = 0
        """Counted as waiting."""
        self.slot = 0.0
        """Of its next part."""
        self.turn = 0
        """Its valid entry in the queue; older ones are stale."""
        self.lost_s = 0.0
        """What the running clock had lost when it was queued."""


class SubmitQueue(Generic[Bind]):
    """A heap by slots, paced by the contract. All times are event-loop seconds."""

    def __init__(self, rate_per_s: float) -> None:
        """`rate_per_s` is the contract's."""
        self.units = 0
        """Units that wait."""
        self._pacer = Pacer(rate_per_s)
        self._heap: list[tuple[float, int, Queued[Bind]]] = []
        self._held: list[Queued[Bind]] = []
        self._turns = 0

    def push(self, queued: Queued[Bind], slot: float, lost_s: float) -> None:
        """Its next part may leave at this slot; an entry that it has already is void."""
        self._turns += 1
        queued.turn, queued.slot, queued.lost_s = self._turns, slot, lost_s
        heapq.heappush(self._heap, (slot, self._turns, queued))
        units = len(queued.submission.todo)
        self.units += units - queued.units
        queued.units = units

    def first(self) -> Queued[Bind] | None:
        """The one whose slot comes first; it stays."""
        heap = self._heap
        while heap and not (heap[0][1] == heap[0][2].turn and heap[0][2].submission.may_write):
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def instant(self, queued: Queued[Bind]) -> float:
        """When its next part may leave: at its slot, or later by what those before it were late."""
        if queued.submission.overtime:
            return self._pacer.gap(queued.slot)
        return self._pacer.instant(queued.slot)

    def take(self) -> Queued[Bind]:
        """The first, which is taken out."""
        return heapq.heappop(self._heap)[2]

    def hold(self, queued: Queued[Bind]) -> None:
        """It was taken out, and its bind has no room: others may pass it until `resume`."""
        self._held.append(queued)

    def resume(self) -> None:
        """What was held has its place again."""
        for queued in self._held:
            heapq.heappush(self._heap, (queued.slot, queued.turn, queued))
        self._held.clear()

    def left(self, queued: Queued[Bind], now: float) -> None:
        """A part of it, which was taken out, leaves now: nothing of it waits until it is pushed again."""
        if queued.submission.overtime:
            self._pacer.filled(now)
        else:
            self._pacer.left(queued.slot, now)
        self.forget(queued)

    def forget(self, queued: Queued[Bind]) -> None:
        """No part of it waits any more."""
        self.units -= queued.units
        queued.units = 0

    def is_late(self, now: float) -> bool:
        """Whether the first has missed its slot by so much that nothing more should be taken up."""
        return bool(self._heap) and self._heap[0][1] == self._heap[0][2].turn and now - self._heap[0][0] > LATE_S

    def waiting(self) -> Iterator[Queued[Bind]]:
        """All that have parts to write, in no order. Their outcomes may be told meanwhile."""
        everybody = (*(queued for _, turn, queued in self._heap if queued.turn == turn), *self._held)
        return (queued for queued in everybody if queued.submission.may_write)
