"""Mails handed over and not yet on a connection: each leaves when due, or is answered in time."""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence

from channels.contract import NotSent, Outcome, Outgoing, Told
from channels.permissions import ENDED, Ends, has_ended
from channels.standstill import Deadline, RunningClock

STOPPED = NotSent("the carrier was stopped", withdrawn=True)

WAKE_S = 0.004
"""Least time between two looks at what has come due: as much as may start together (`pace`)."""


class Job:
    """One mail of a group, answered exactly once."""

    __slots__ = ("_answer", "answered", "index", "late_s", "outgoing", "started_s", "told")

    def __init__(self, index: int, outgoing: Outgoing, told: Told, answer: "Callable[[Job, Outcome], None]") -> None:
        self.index = index
        self.outgoing = outgoing
        self.told: Told | None = told
        """None: nobody wants to hear of it any more."""
        self.late_s = 0.0
        """By the running clock: from when it has waited long enough for a connection."""
        self.started_s = 0.0
        self.answered = False
        self._answer = answer

    def answer(self, outcome: Outcome) -> None:
        if not self.answered:
            self.answered = True
            self._answer(self, outcome)


class MailQueue:
    """The queue before the connections, in the order in which mails came due. Belongs to one event loop."""

    def __init__(self, patience_s: float, bell: Callable[[], None], clock: RunningClock | None = None) -> None:
        """`bell` rings when something has come due."""
        self._patience_s = patience_s
        self._clock = clock or RunningClock()
        self._deadline = Deadline(self._clock, self._sweep)
        self._ends = Ends(self._look_at_permissions)
        self._bell = bell
        self._due: deque[Job] = deque()
        self._scheduled: list[tuple[float, int, Job]] = []
        """A heap by the slots of what is not due yet; some are answered already."""
        self._came = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, jobs: Sequence[Job]) -> None:
        """Take these up; the bell rings when they come due, at once for those that are."""
        for job in jobs:
            self._came += 1
            heapq.heappush(self._scheduled, (job.outgoing.due[0], self._came, job))
        for permission in {job.outgoing.permission for job in jobs}:
            self._ends.watch(permission)
        self._take_up()

    def _take_up(self) -> None:
        """What has come due may have a connection now."""
        now_s = self._loop.time()
        late_s = self._clock.time() + self._patience_s
        has_come = False
        while self._scheduled and self._scheduled[0][0] <= now_s:
            _, _, job = heapq.heappop(self._scheduled)
            if not job.answered:
                job.late_s = late_s
                self._due.append(job)
                has_come = True
        if self._scheduled:
            self._wake_by(max(self._scheduled[0][0], now_s + WAKE_S))
        if has_come:
            self._bell()
        if self._due and not self._deadline.is_set:
            self._deadline.set(self._due[0].late_s - self._clock.time())

    def _wake_by(self, at_s: float) -> None:
        if at_s < self._timer_s:
            self._unset()
            self._timer_s = at_s
            self._timer = self._loop.call_at(at_s, self._wake)

    def _wake(self) -> None:
        self._timer, self._timer_s = None, math.inf
        self._take_up()

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_s = None, math.inf

    def pop(self) -> Job | None:
        """The next mail to start, if one is due."""
        while self._due:
            job = self._due.popleft()
            if not job.answered:
                return job
        return None

    def answer_all(self, outcome: Outcome) -> None:
        """Answer everything that is due; what is due later comes when it is."""
        due, self._due = self._due, deque()
        for job in due:
            job.answer(outcome)

    def withdraw(self, job: Job) -> None:
        """Nobody waits for it any more: it does not leave, unless it has."""
        if not job.started_s:
            job.answer(NotSent("withdrawn before it was written", withdrawn=True))

    def close(self) -> None:
        """Answer everything, due or not; nothing may be added any more."""
        self._unset()
        self._deadline.close()
        self._ends.close()
        scheduled, self._scheduled = self._scheduled, []
        for _, _, job in sorted(scheduled):
            job.answer(STOPPED)
        self.answer_all(STOPPED)

    def _look_at_permissions(self, now: float) -> float:
        """Answer what may not leave any more; when the next permission ends."""
        ends = math.inf
        for job in (*self._due, *(job for _, _, job in self._scheduled)):
            permission = job.outgoing.permission
            if job.answered or permission is None:
                continue
            if has_ended(permission, now):
                job.answer(ENDED)
            else:
                ends = min(ends, permission.not_after)
        return ends

    def _sweep(self) -> None:
        now_s = self._clock.time()
        while self._due and (self._due[0].answered or self._due[0].late_s <= now_s):
            self._due.popleft().answer(NotSent(f"no free connection within {self._patience_s:g} s"))
        if self._due:
            self._deadline.set(self._due[0].late_s - now_s)
