"""The way to one carrier: messages wait here for their slots, and are handed over shortly before them.

Knows a carrier's room and how late a slot may be used; knows no store, no batch and no protocol. One event loop.
"""

import asyncio
import heapq
import math
from collections.abc import Sequence

from channels.contract import Carrier, NotSent, Outcome, Outgoing, Told, Withdraw
from channels.guard import guarded
from channels.permissions import ENDED, Ends, has_ended

AHEAD_S = 0.02
"""Messages are handed over up to so long before their slots, and the carrier keeps these: a loop that stands still for
a moment makes nothing late. Never longer than a slot may be missed by: what is with a carrier is then too little to
squeeze one unit too many into a ceiling's window, were all of it late."""
TICK_S = 0.01
"""Least time between two looks: the messages of one are one group."""

MISSED = NotSent("its slot passed before the carrier had room", withdrawn=True, missed=True)
CALLED_BACK = NotSent("it was called back before its slot", withdrawn=True, missed=True)


class _Handover:
    """Messages that were granted together."""

    __slots__ = ("given", "messages", "subject", "told", "waiting", "withdraws")

    def __init__(self, messages: Sequence[Outgoing], told: Told, subject: object) -> None:
        self.messages = messages
        self.told: Told | None = told
        self.subject = subject
        self.waiting = set(range(len(messages)))
        """Those that the carrier has not been given, and of which nothing was told."""
        self.given: set[int] = set()
        """Those that the carrier has, and of which it has told nothing."""
        self.withdraws: list[Withdraw] = []
        """Of the groups that the carrier was given."""


class Slots:
    """Before one carrier; whoever hands over to it does so here."""

    def __init__(self, carrier: Carrier, guard_s: float) -> None:
        """`guard_s`: how long after its slot a message may be handed over."""
        self.held = 0
        """Units handed over here of which nothing has been told."""
        self._carrier = carrier
        self._guard_s = guard_s
        self._ahead_s = min(AHEAD_S, guard_s)
        self._with_carrier = 0
        """Units that the carrier has and of which it has told nothing."""
        self._waiting: list[tuple[float, int, _Handover, int]] = []
        """A heap of (slot, order of coming, handover, index); some are told or withdrawn already."""
        self._came = 0
        self._lacks_room = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_s = math.inf
        self._ends = Ends(self._look_at_permissions)

    def hand_over(self, messages: Sequence[Outgoing], told: Told, subject: object = None) -> Withdraw:
        """Have each given to the carrier at its slot. `told` hears one outcome of each, `MISSED` where the carrier had
        no room in time. `subject`: by which they can be called back."""
        handover = _Handover(messages, told, subject)
        for index, message in enumerate(messages):
            self._came += 1
            heapq.heappush(self._waiting, (message.due[0], self._came, handover, index))
            self.held += len(message.due)
        for permission in {message.permission for message in messages}:
            self._ends.watch(permission)
        self._look_by(self._waiting[0][0] - self._ahead_s)
        return lambda: self._withdraw(handover)

    def call_back(self, subject: object) -> None:
        """Give nothing more of this subject to the carrier: it is told as `CALLED_BACK`."""
        for handover in {entry[2] for entry in self._waiting if entry[2].subject == subject}:
            for index in sorted(handover.waiting):
                self._tell_waiting(handover, index, CALLED_BACK)

    def _withdraw(self, handover: _Handover) -> None:
        handover.told = None
        for index in sorted(handover.waiting):
            self._tell_waiting(handover, index, CALLED_BACK)
        for withdraw in handover.withdraws:
            withdraw()
        handover.withdraws.clear()
        for index in tuple(handover.given):
            self._tell_given(handover, index, CALLED_BACK)

    def _look(self) -> None:
        """Give the carrier what is due soon, as far as it has room."""
        self._timer, self._timer_s = None, math.inf
        now = asyncio.get_running_loop().time()
        room, ready = self._carrier.room, dict[_Handover, list[int]]()
        self._lacks_room = False
        while self._waiting and self._waiting[0][0] <= now + self._ahead_s:
            slot, _, handover, index = self._waiting[0]
            if index in handover.waiting:
                message = handover.messages[index]
                units = len(message.due)
                if has_ended(message.permission, now):
                    self._tell_waiting(handover, index, ENDED)
                elif now - slot > self._guard_s:
                    self._tell_waiting(handover, index, MISSED)
                elif units <= room or (room > 0 and not ready and not self._with_carrier):
                    # A message that is longer than the carrier's window goes when it goes alone.
                    room -= units
                    ready.setdefault(handover, []).append(index)
                else:
                    self._lacks_room = True
                    break
            heapq.heappop(self._waiting)
        for handover, indexes in ready.items():
            self._give(handover, indexes)
        if self._waiting:
            self._look_by(max(self._waiting[0][0] - self._ahead_s, now + TICK_S))

    def _give(self, handover: _Handover, indexes: list[int]) -> None:
        group = [handover.messages[index] for index in indexes]
        handover.waiting.difference_update(indexes)
        handover.given.update(indexes)
        self._with_carrier += sum(len(message.due) for message in group)

        def told(n: int, outcome: Outcome) -> None:
            self._tell_given(handover, indexes[n], outcome)
            if self._lacks_room:
                self._look_by(0.0)

        handover.withdraws.append(guarded(self._carrier, group, told))

    def _tell_waiting(self, handover: _Handover, index: int, outcome: Outcome) -> None:
        handover.waiting.discard(index)
        self._tell(handover, index, outcome)

    def _tell_given(self, handover: _Handover, index: int, outcome: Outcome) -> None:
        handover.given.discard(index)
        self._with_carrier -= len(handover.messages[index].due)
        self._tell(handover, index, outcome)

    def _tell(self, handover: _Handover, index: int, outcome: Outcome) -> None:
        self.held -= len(handover.messages[index].due)
        if handover.told is not None:
            handover.told(index, outcome)

    def _look_by(self, at_s: float) -> None:
        """Look at this instant of the loop, or before."""
        if at_s >= self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_s = at_s
        self._timer = loop.call_at(at_s, self._look) if at_s > loop.time() else loop.call_soon(self._look)

    def _look_at_permissions(self, now: float) -> float:
        """Tell what may not leave any more; when the next permission ends."""
        ends = math.inf
        for _, _, handover, index in tuple(self._waiting):
            permission = handover.messages[index].permission
            if permission is None or index not in handover.waiting:
                continue
            if has_ended(permission, now):
                self._tell_waiting(handover, index, ENDED)
            else:
                ends = min(ends, permission.not_after)
        return ends
