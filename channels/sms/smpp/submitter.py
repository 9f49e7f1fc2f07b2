"""Which part leaves on which bind, and when: between `send` and the sessions.

Has every message from the moment it is handed over until its one outcome. Knows no connection set-up, no receipt.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from channels.contract import NotSent, Outcome, Outgoing, Refused, Throttled, Told
from channels.permissions import ENDED, Ends
from channels.sms.concatenation import References
from channels.sms.segments import SmsText
from channels.sms.smpp import statuses
from channels.sms.smpp.complaints import Complaints
from channels.sms.smpp.ids import normal_id
from channels.sms.smpp.session import Session
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.statuses import StatusVerdict
from channels.sms.smpp.submission import Submission
from channels.sms.smpp.submit import Template
from channels.sms.smpp.submit_queue import Queued, SubmitQueue
from channels.standstill import RunningClock

_STOPPING = NotSent("stopping", withdrawn=True)

WAKE_S = 0.004
"""Least time between two wakes, within the slack of `pacing`: a wake costs more than the segments it writes."""

TRIAL = 3
"""Units with which an SMSC that refused us is tried again."""

SubmissionPart = tuple[Queued["SmppSession"], int]
SmppSession = Session[SubmissionPart]


class Submitter:
    """Implements the message half of `SmppOwner`. Everything here is prompt: no call waits."""

    def __init__(
        self,
        settings: SmppSettings,
        references: References,
        wall_ms: Callable[[], int],
        changed: Callable[[], None],
        clock: RunningClock,
        late: Callable[[Outgoing, str], None],
    ) -> None:
        """`changed` is called when sessions or the rest may have changed the account's state, `late` when a part of a
        message was taken under this id after the message's outcome had been told."""
        self._settings = settings
        self._references = references
        self._wall_ms = wall_ms
        self._changed = changed
        self._clock = clock
        self._late_answer = late
        self._ends = Ends(self._look_at_permissions)
        self._verdicts = statuses.verdicts(
            settings.permanent_statuses,
            settings.our_statuses,
            settings.temporary_statuses,
            settings.throttle_statuses,
        )
        self._complaints = Complaints(settings)
        self._sessions: list[SmppSession] = []
        self._queue = SubmitQueue[SmppSession](settings.rate_per_s)
        self._pumping = self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.trouble = "not connected yet"
        """Why there is no session, while there is none."""

    # What the carrier asks.

    @property
    def resting(self) -> bool:
        return self._complaints.rests_until > asyncio.get_running_loop().time()

    @property
    def grievance(self) -> str:
        """What the SMSC has against us, until it takes a message again."""
        return self._complaints.grievance

    @property
    def ready_sessions(self) -> int:
        return sum(session.ready for session in self._sessions)

    @property
    def in_flight(self) -> int:
        return sum(session.in_flight for session in self._sessions)

    @property
    def room(self) -> int:
        """Units that could leave at once: the free windows less what waits already."""
        if self._stopped or self.resting or self._queue.is_late(asyncio.get_running_loop().time()):
            return 0
        room = max(0, sum(session.free for session in self._sessions) - self._queue.units)
        return min(room, TRIAL - self.in_flight - self._queue.units) if self.grievance else room

    def add(self, session: SmppSession) -> None:
        """A session that has just been bound."""
        self._sessions.append(session)
        self.progressed()

    def take_up(self, group: Sequence[Outgoing], told: Told) -> list[Queued[SmppSession]]:
        """Queue a group; of what cannot be queued the outcome is told at once."""
        refusal = self._refuses_all()
        templates: dict[tuple[int, int | None], Template | Refused] = {}
        taken = []
        for index, outgoing in enumerate(group):
            if refusal is not None:
                told(index, refusal)
                continue
            made = self._submission(outgoing, templates)
            if isinstance(made, Refused):
                told(index, made)
                continue
            queued = Queued[SmppSession](made, told, index, outgoing)
            taken.append(queued)
            self._push(queued, made.slot)
            self._ends.watch(outgoing.permission)
        self.progressed()
        return taken

    def withdraw(self, taken: Iterable[Queued[SmppSession]]) -> None:
        """Nobody wants these outcomes any more: write no further part of any."""
        for queued in taken:
            queued.told = None
            if queued.submission.outcome is None:
                self._settle(queued, queued.submission.lost("withdrawn", withdrawn=True))

    def stop(self) -> None:
        """Take up nothing more and give back what has not begun; what has begun goes on."""
        self._stopped = True
        self._give_back(_STOPPING)

    def busy(self, session: SmppSession) -> bool:
        """Whether the session has answers to wait for or parts to write."""
        return session.in_flight > 0 or any(queued.bind is session for queued in self._queue.waiting())

    # What sessions report.

    def answered(self, unit: SubmissionPart, status: int, message_id: str, written: float) -> None:
        queued, part = unit
        verdict = self._judged(queued, self._verdicts.get(status, StatusVerdict.TEMPORARY))
        if verdict is StatusVerdict.TAKEN:
            ref = normal_id(message_id, self._settings.id_base_response)
            told = queued.submission.outcome is not None
            self._settle(queued, queued.submission.taken(part, ref))
            if told and ref:
                self._late_answer(queued.outgoing, ref)
        else:
            pause_s = 0.0
            if verdict is StatusVerdict.THROTTLE:
                pause_s = self._throttled(status, written)
            elif verdict is StatusVerdict.OURS:
                self._refused_us(status, written)
            self._settle(queued, queued.submission.sent_back(part, verdict, status, pause_s))
        if queued.submission.offer_again():
            self._push(queued, asyncio.get_running_loop().time() + self._settings.throttle_first_s)
            self._ends.watch(queued.outgoing.permission)
        if verdict is StatusVerdict.NOT_BOUND and queued.bind is not None:
            # Soon, not now: other answers of the same read may say of their messages that they were not taken.
            asyncio.get_running_loop().call_soon(queued.bind.abort, "the peer says that we are not bound")

    def _judged(self, queued: Queued[SmppSession], verdict: StatusVerdict) -> StatusVerdict:
        had_one = bool(self.grievance)
        judged = self._complaints.judged(queued.submission.digits, verdict)
        if had_one and not self.grievance:
            self._changed()
        return judged

    def _refused_us(self, status: int, written: float) -> None:
        """Rest; what waits goes to another carrier at once."""
        self._complaints.refused(status, asyncio.get_running_loop().time(), written)
        self._give_back(NotSent(self.grievance))
        self._wake_at(self._complaints.refuses_until)
        self._changed()

    def unanswered(self, unit: SubmissionPart) -> None:
        queued, _ = unit
        self._settle(queued, queued.submission.lost(f"no answer within {self._settings.answer_timeout_s:g} s"))

    def late(self, unit: SubmissionPart, message_id: str) -> None:
        """A unit was taken after all that had been handed back as unanswered."""
        if ref := normal_id(message_id, self._settings.id_base_response):
            self._late_answer(unit[0].outgoing, ref)

    def lost(self, session: SmppSession, units: Sequence[SubmissionPart], reason: str) -> None:
        for queued, _ in units:
            self._settle(queued, queued.submission.lost(reason))
        for queued in tuple(self._queue.waiting()):
            if queued.bind is session:
                self._settle(queued, queued.submission.lost(reason))
        if session in self._sessions:
            self._sessions.remove(session)
        self.trouble = reason
        if not self.ready_sessions:
            self._give_back(_STOPPING if self._stopped else NotSent(reason))
        self._changed()

    def progressed(self) -> None:
        """Write what may leave now, one write a session, and set the alarm for what comes next."""
        if self._pumping:  # a session that ends while it is being written to reports at once
            return
        self._pumping = True
        try:
            self._write(self._clock.time() + self._clock.lost_s)  # a standstill is noticed before anything is written
            for session in tuple(self._sessions):  # one that was waiting for its last answer ends here
                session.flush()
        finally:
            self._pumping = False

    # Inside.

    def _write(self, now: float) -> None:
        queue = self._queue
        queue.resume()
        while (queued := queue.first()) is not None:
            submission = queued.submission
            permission = queued.outgoing.permission
            if permission is not None and now >= permission.not_after:
                queue.take()
                self._cut(queued)
                continue
            at = max(queue.instant(queued), self._complaints.rests_until)
            if at > now:
                self._wake_at(at)
                return
            session = queued.bind or self._freest()
            if session is None:
                if not self.ready_sessions:
                    self._give_back(NotSent(self._why_down()))
                    return
                if now - queued.slot - (self._clock.lost_s - queued.lost_s) <= self._settings.answer_timeout_s:
                    return
                queue.take()
                self._settle(queued, submission.lost("no room in the window in time"))
                continue
            queue.take()
            if session.free <= 0:
                queue.hold(queued)
            elif not submission.written and self._expired(submission):
                self._settle(queued, submission.lost("expired before it could leave", withdrawn=True))
            else:
                self._submit(queued, session, now)

    def _submit(self, queued: Queued[SmppSession], session: SmppSession, now: float) -> None:
        submission = queued.submission
        self._queue.left(queued, now)
        if not submission.written and queued.outgoing.begins is not None:
            queued.outgoing.begins(queued.outgoing.number)
        part = submission.take_part()
        queued.bind = session
        session.submit((queued, part), submission.template.body(submission.digits, part, submission.reference))
        if submission.todo:
            self._push(queued, max(now, submission.slot) if submission.overtime else submission.slot)

    def _push(self, queued: Queued[SmppSession], slot: float) -> None:
        self._queue.push(queued, slot, self._clock.lost_s)

    def _settle(self, queued: Queued[SmppSession], outcome: Outcome | None) -> None:
        if outcome is not None:
            self._queue.forget(queued)
            if queued.told is not None:
                queued.told(queued.index, outcome)

    def _cut(self, queued: Queued[SmppSession]) -> None:
        """Nothing more of it leaves."""
        self._settle(queued, queued.submission.cut(ENDED))
        self._queue.forget(queued)

    def _look_at_permissions(self, now: float) -> float:
        """Cut what waits and may not leave any more; when the next permission ends."""
        ends = float("inf")
        for queued in self._queue.waiting():
            permission = queued.outgoing.permission
            if permission is None:
                continue
            if now >= permission.not_after:
                self._cut(queued)
            else:
                ends = min(ends, permission.not_after)
        return ends

    def _give_back(self, outcome: Outcome) -> None:
        """This outcome for all that has not begun."""
        for queued in self._queue.waiting():
            if not queued.submission.written:
                self._settle(queued, queued.submission.settle(outcome))

    def _throttled(self, status: int, written: float) -> float:
        """Rest; what waits goes back to those who know the slots, lest it leave in one burst after the rest."""
        pause_s = self._complaints.throttled(asyncio.get_running_loop().time(), written)
        self._give_back(Throttled(pause_s, statuses.code(status)))
        self._wake_at(self._complaints.paced_until)
        self._changed()
        return pause_s

    def _refuses_all(self) -> Outcome | None:
        if self._stopped:
            return _STOPPING
        if not self.ready_sessions:
            return NotSent(self._why_down())
        now = asyncio.get_running_loop().time()
        if self._complaints.refuses_until > now:
            return NotSent(self.grievance or "the SMSC refused us")
        paced_until = self._complaints.paced_until
        return Throttled(paced_until - now) if paced_until > now else None

    def _why_down(self) -> str:
        leaving = any(session.leaving for session in self._sessions)
        return "the SMSC is taking its leave" if leaving else self.trouble

    def _submission(
        self, outgoing: Outgoing, templates: dict[tuple[int, int | None], Template | Refused]
    ) -> Submission | Refused:
        key = (id(outgoing.content), outgoing.expires_ms)
        template = templates.get(key)
        if template is None:
            template = templates[key] = self._template(outgoing)
        if isinstance(template, Refused):
            return template
        digits = outgoing.address[1:]
        if not (outgoing.address.startswith("+") and digits.isascii() and digits.isdigit() and len(digits) <= 15):
            return Refused("address", "not a number in international form")
        reference = self._references.take(digits) if template.total > 1 else 0
        slots = outgoing.due or (asyncio.get_running_loop().time(),)
        return Submission(template, slots, outgoing.expires_ms, digits=digits.encode(), reference=reference)

    def _template(self, outgoing: Outgoing) -> Template | Refused:
        if not isinstance(outgoing.content, SmsText):
            return Refused("content", "not an SMS text")
        try:
            return Template(self._settings, outgoing.content, outgoing.expires_ms)
        except (ValueError, OverflowError, OSError) as exc:  # the last two of an instant beyond calendars
            return Refused("content", str(exc))

    def _freest(self) -> SmppSession | None:
        best, most = None, 0
        for session in self._sessions:
            if (free := session.free) > most:
                best, most = session, free
        return best

    def _expired(self, submission: Submission) -> bool:
        return submission.expires_ms is not None and self._wall_ms() >= submission.expires_ms

    def _wake_at(self, at: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if loop.time() < self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = max(at, loop.time() + WAKE_S)
        self._timer = loop.call_at(self._timer_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self.resting:
            self._wake_at(self._complaints.rests_until)
        self._changed()
        self.progressed()
