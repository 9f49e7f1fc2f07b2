"""Mails handed over and not yet on a connection: each leaves when due, or is answered in time."""

import asyncio
import math
from collections import deque
from collections.abc import Callable

from channels.contract import NotSent, Outcome, Outgoing
from channels.permissions import ENDED, Ends, has_ended
from channels.standstill import Deadline, RunningClock

STOPPED = NotSent("the carrier was stopped", withdrawn=True)

OnOutcome = Callable[[int, Outcome], None]


class Job:
    """One mail of a group, answered exactly once."""

    __slots__ = ("_answer", "_index", "answered", "late_s", "outgoing", "started_s", "timer")

    def __init__(self, index: int, outgoing: Outgoing, answer: OnOutcome) -> None:
        self.outgoing = outgoing
        self.timer: asyncio.TimerHandle | None = None
        self.late_s = 0.0
        """By the running clock: from when it has waited long enough for a connection."""
        self.started_s = 0.0
        self.answered = False
        self._index = index
        self._answer = answer

    def answer(self, outcome: Outcome) -> None:
        if not self.answered:
            self.answered = True
            self._answer(self._index, outcome)


class MailQueue:
    """The queue before the connections, in the order in which mails came due. Belongs to one event loop."""

    def __init__(self, patience_s: float, bell: Callable[[], None], clock: RunningClock | None = None) -> None:
        self._patience_s = patience_s
        self._clock = clock or RunningClock()
        self._deadline = Deadline(self._clock, self._sweep)
        self._ends = Ends(self._look_at_permissions)
        self._bell = bell
        self._due: deque[Job] = deque()
        self._scheduled: set[Job] = set()
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, job: Job) -> None:
        """Rings the bell once the mail is due: at once, if it is."""
        due_s = job.outgoing.due[0]
        self._ends.watch(job.outgoing.permission)
        if self._loop.time() < due_s:
            # A loop's timer may fire a shade early; `add` then looks at the clock again.
            job.timer = self._loop.call_at(due_s, self.add, job)
            self._scheduled.add(job)
            return
        self._scheduled.discard(job)
        job.late_s = self._clock.time() + self._patience_s
        self._due.append(job)
        self._bell()
        if self._due and not self._deadline.is_set:
            self._deadline.set(self._due[0].late_s - self._clock.time())

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
        if job in self._scheduled:
            self._unschedule(job)
        if not job.started_s:
            job.answer(NotSent("withdrawn before it was written", withdrawn=True))

    def close(self) -> None:
        """Answer everything, due or not; nothing may be added any more."""
        for job in list(self._scheduled):
            self._unschedule(job)
            job.answer(STOPPED)
        self._deadline.close()
        self._ends.close()
        self.answer_all(STOPPED)

    def _unschedule(self, job: Job) -> None:
        self._scheduled.discard(job)
        if job.timer is not None:
            job.timer.cancel()

    def _look_at_permissions(self, now: float) -> float:
        """Answer what may not leave any more; when the next permission ends."""
        ends = math.inf
        for job in (*self._due, *self._scheduled):
            permission = job.outgoing.permission
            if job.answered or permission is None:
                continue
            if has_ended(permission, now):
                self._unschedule(job)
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
