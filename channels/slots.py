"""The way to one carrier: messages wait here for their slots, and are handed over shortly before them.

Knows a carrier's room and how late a slot may be used; knows no store, no batch and no protocol. One event loop.
"""

import asyncio
import heapq
import logging
import math
from collections.abc import Collection, Hashable, Sequence
from typing import Protocol

from channels.contract import Carrier, InDoubt, NotSent, Outcome, Outgoing, Told, Withdraw
from channels.guard import guarded
from channels.permissions import ENDED, Ends, has_ended

log = logging.getLogger(__name__)

AHEAD_S = 0.02
"""Messages are handed over up to so long before their slots, and the carrier keeps these: a loop that stands still for
a moment makes nothing late. Never longer than a slot may be missed by: what is with a carrier is then too little to
squeeze one unit too many into a ceiling's window, were all of it late."""
TICK_S = 0.01
"""Least time between two looks: the messages of one are one group."""

FORGOTTEN_S = 900.0
"""A message of which the carrier has told nothing for so long is in doubt: longer than any call or time-out."""
_LOOK_FOR_FORGOTTEN_S = 60.0
_BROKEN_S = 0.5

MISSED = NotSent("its slot passed before the carrier had room", withdrawn=True, missed=True)
CALLED_BACK = NotSent("it was called back before its slot", withdrawn=True, missed=True)
FORGOTTEN = InDoubt("the carrier gave no outcome")


class CarrierSlots(Protocol):
    """The way to one carrier, in this process (`SlotKeeper`) or in another."""

    @property
    def held(self) -> int:
        """Units handed over of which nothing has been told."""
        ...

    @property
    def room(self) -> int:
        """Units that the carrier itself can take up now; what waits for its slot is not counted."""
        ...

    def hand_over(self, messages: Sequence[Outgoing], told: Told, subjects: Sequence[Hashable] = ()) -> Withdraw:
        """Have each given to the carrier at its slot. `told` hears one outcome of each, `MISSED` where the carrier had
        no room in time, but nothing before this returns. `subjects`: of each, by which it can be called back."""
        ...

    def call_back(self, subjects: Collection[Hashable]) -> None:
        """Give the carrier nothing more of these subjects: it is told as `CALLED_BACK`."""
        ...


class _Handover:
    """Messages that were granted together."""

    __slots__ = ("groups", "messages", "subjects", "told", "waiting")

    def __init__(self, messages: Sequence[Outgoing], told: Told, subjects: Sequence[Hashable]) -> None:
        self.messages = messages
        self.told: Told | None = told
        """None: nobody wants to hear of them any more."""
        self.subjects = subjects
        self.waiting = set(range(len(messages)))
        """Those that the carrier has not been given, and of which nothing was told."""
        self.groups: set[_Group] = set()
        """Of those that the carrier has."""


class _Group:
    """Messages of one handover that the carrier was given together."""

    __slots__ = ("given_s", "handover", "indexes", "unanswered", "withdraw")

    def __init__(self, handover: _Handover, indexes: Sequence[int], given_s: float) -> None:
        self.handover = handover
        self.indexes = indexes
        self.given_s = given_s
        self.unanswered = set(range(len(indexes)))
        self.withdraw: Withdraw | None = None


class SlotKeeper:
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
        self._groups: set[_Group] = set()
        """Those of which the carrier has told nothing of some message."""
        self._lacks_room = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_s = math.inf
        self._ends = Ends(self._look_at_permissions)
        self._forgotten_timer: asyncio.TimerHandle | None = None

    def hand_over(self, messages: Sequence[Outgoing], told: Told, subjects: Sequence[Hashable] = ()) -> Withdraw:
        """As `CarrierSlots.hand_over`."""
        handover = _Handover(messages, told, subjects)
        for index, message in enumerate(messages):
            self._came += 1
            heapq.heappush(self._waiting, (message.due[0], self._came, handover, index))
            self.held += len(message.due)
        for permission in {message.permission for message in messages}:
            self._ends.watch(permission)
        self._look_by(self._waiting[0][0] - self._ahead_s)
        return lambda: self._withdraw(handover)

    @property
    def room(self) -> int:
        """Units that the carrier itself can take up now; what waits here for its slot is not counted."""
        return self._carrier.room

    @property
    def waiting(self) -> int:
        """Units that the carrier has not been given."""
        return self.held - self._with_carrier

    def call_back_all(self) -> None:
        """Give the carrier nothing more of what waits: it is told as `CALLED_BACK`."""
        for handover in {entry[2] for entry in self._waiting}:
            for index in sorted(handover.waiting):
                self._tell_waiting(handover, index, CALLED_BACK)

    def call_back(self, subjects: Collection[Hashable]) -> None:
        """Give the carrier nothing more of these subjects: it is told as `CALLED_BACK`."""
        for handover in {entry[2] for entry in self._waiting}:
            for index in sorted(handover.waiting):
                if handover.subjects and handover.subjects[index] in subjects:
                    self._tell_waiting(handover, index, CALLED_BACK)

    def _withdraw(self, handover: _Handover) -> None:
        handover.told = None
        for index in sorted(handover.waiting):
            self._tell_waiting(handover, index, CALLED_BACK)
        for group in tuple(handover.groups):
            self._end(group, CALLED_BACK)

    def _look(self) -> None:
        self._timer, self._timer_s = None, math.inf
        now = asyncio.get_running_loop().time()
        try:
            self._give_what_is_due(now)
        except Exception:
            # A carrier that cannot say what room it has: the batches behind it wait, and are not forgotten.
            log.exception("carrier raised", extra={"action": "contract-broken", "carrier": self._carrier.name})
            self._look_by(now + _BROKEN_S)

    def _give_what_is_due(self, now: float) -> None:
        """Give the carrier what is due soon, as far as it has room."""
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
            self._give(handover, indexes, now)
        if self._waiting:
            self._look_by(max(self._waiting[0][0] - self._ahead_s, now + TICK_S))

    def _give(self, handover: _Handover, indexes: list[int], now: float) -> None:
        handover.waiting.difference_update(indexes)
        group = _Group(handover, indexes, now)
        handover.groups.add(group)
        self._groups.add(group)
        messages = [handover.messages[index] for index in indexes]
        self._with_carrier += sum(len(message.due) for message in messages)
        if self._forgotten_timer is None:
            self._look_for_forgotten()

        def told(n: int, outcome: Outcome) -> None:
            self._tell_given(group, n, outcome)
            if self._lacks_room:
                self._look_by(0.0)

        withdraw = guarded(self._carrier, messages, told)
        group.withdraw = withdraw if group.unanswered else None

    def _end(self, group: _Group, outcome: Outcome) -> None:
        """The carrier is not waited for any more."""
        if group.withdraw is not None:
            group.withdraw()
        for n in sorted(group.unanswered):
            self._tell_given(group, n, outcome)

    def _look_for_forgotten(self) -> None:
        loop = asyncio.get_running_loop()
        self._forgotten_timer = None
        for group in [g for g in self._groups if loop.time() - g.given_s > FORGOTTEN_S]:
            log.error("carrier forgot messages", extra={"action": "contract-broken", "carrier": self._carrier.name})
            self._end(group, FORGOTTEN)
        if self._groups:
            self._forgotten_timer = loop.call_later(_LOOK_FOR_FORGOTTEN_S, self._look_for_forgotten)

    def _tell_waiting(self, handover: _Handover, index: int, outcome: Outcome) -> None:
        handover.waiting.discard(index)
        self._tell(handover, index, outcome)

    def _tell_given(self, group: _Group, n: int, outcome: Outcome) -> None:
        handover, index = group.handover, group.indexes[n]
        group.unanswered.discard(n)
        if not group.unanswered:
            self._groups.discard(group)
            handover.groups.discard(group)
            group.withdraw = None  # it leads back here
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
