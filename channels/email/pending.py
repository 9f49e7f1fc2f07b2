"""Mails handed over and not yet on a connection: each leaves when due, or is answered in time."""

import asyncio
from collections import deque
from collections.abc import Callable

from channels.contract import NotSent, Outcome, Outgoing

Answer = Callable[[int, Outcome], None]


class Job:
    """One mail of a group, answered exactly once."""

    __slots__ = ("_answer", "_index", "answered", "late_s", "outgoing", "started_s", "timer")

    def __init__(self, index: int, outgoing: Outgoing, answer: Answer) -> None:
        self.outgoing = outgoing
        self.timer: asyncio.TimerHandle | None = None
        self.late_s = 0.0
        """Event-loop time from which it has waited long enough for a connection."""
        self.started_s = 0.0
        self.answered = False
        self._index = index
        self._answer = answer

    def answer(self, outcome: Outcome) -> None:
        if not self.answered:
            self.answered = True
            self._answer(self._index, outcome)


class Pending:
    """The queue before the connections, in the order in which mails came due. Belongs to one event loop."""

    def __init__(self, patience_s: float, bell: Callable[[], None]) -> None:
        self._patience_s = patience_s
        self._bell = bell
        self._due: deque[Job] = deque()
        self._scheduled: set[Job] = set()
        self._loop = asyncio.get_running_loop()
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, job: Job) -> None:
        """Rings the bell once the mail is due: at once, if it is."""
        due_s = job.outgoing.due[0]
        if self._loop.time() < due_s:
            # A loop's timer may fire a shade early; `add` then looks at the clock again.
            job.timer = self._loop.call_at(due_s, self.add, job)
            self._scheduled.add(job)
            return
        self._scheduled.discard(job)
        job.late_s = self._loop.time() + self._patience_s
        self._due.append(job)
        self._bell()
        if self._due and self._sweeper is None:
            self._sweeper = self._loop.call_at(self._due[0].late_s, self._sweep)

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
            job.answer(NotSent("withdrawn before it was written"))

    def close(self) -> None:
        """Answer everything, due or not; nothing may be added any more."""
        for job in list(self._scheduled):
            self._unschedule(job)
            job.answer(NotSent("the carrier was stopped"))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self.answer_all(NotSent("the carrier was stopped"))

    def _unschedule(self, job: Job) -> None:
        self._scheduled.discard(job)
        if job.timer is not None:
            job.timer.cancel()

    def _sweep(self) -> None:
        self._sweeper = None
        now_s = self._loop.time()
        while self._due and (self._due[0].answered or self._due[0].late_s <= now_s):
            self._due.popleft().answer(NotSent(f"no free connection within {self._patience_s:g} s"))
        if self._due:
            self._sweeper = self._loop.call_at(self._due[0].late_s, self._sweep)
