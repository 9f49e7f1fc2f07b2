"""Which segment leaves on which bind, and when: the queue between `send` and the sessions.

Holds every message from the moment it is handed over until its one outcome. Knows no connection set-up, no receipt.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence

from channels.contract import NotSent, Outcome, Outgoing, Refused, Throttled, Told
from channels.permissions import ENDED, Ends
from channels.sms.concatenation import References
from channels.sms.segments import SmsText
from channels.sms.smpp import statuses
from channels.sms.smpp.ids import normal_id
from channels.sms.smpp.pacing import Pacer, Rest
from channels.sms.smpp.session import Session
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.statuses import StatusVerdict
from channels.sms.smpp.submission import Submission
from channels.sms.smpp.submit import Template
from channels.standstill import RunningClock

_STOPPING = NotSent("stopping", withdrawn=True)

WAKE_S = 0.003
"""Least time between two wakes, within the slack of `pacing`: a wake costs more than the segments it writes."""

PUT_OFF_IN_A_ROW = 5
"""So many recipients put off one after the other are no coincidence: it is the SMSC that is not well."""
TRIAL = 3
"""Units with which an SMSC that refused us is tried again."""
_GRUDGE_FIRST_S, _GRUDGE_LONGEST_S = 1.0, 30.0

LATE_S = 0.1
"""What waits has missed its slot by this: no more is taken up until it has left. Stalls of a busy loop would add up
otherwise, and every message, the urgent ones too, would leave seconds after its slot."""


class Queued:
    """A message in the queue or in flight, and where its outcome goes."""

    __slots__ = ("index", "lost_s", "outgoing", "session", "submission", "told", "turn", "waiting_units")

    def __init__(self, submission: Submission, told: Told, index: int, outgoing: Outgoing) -> None:
        self.submission, self.index, self.outgoing = submission, index, outgoing
        self.told: Told | None = told
        """None: nobody wants to hear of it any more."""
        self.session: SmppSession | None = None
        """The bind of its first part, and so of all."""
        self.waiting_units = 0
        """Units counted as waiting."""
        self.turn = 0
        """Its valid entry in the queue; older ones are stale."""
        self.lost_s = 0.0
        """What the running clock had lost when it was queued."""


SubmissionPart = tuple[Queued, int]
SmppSession = Session[SubmissionPart]
HeapEntry = tuple[float, int, Queued]


class SubmitQueue:
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
        self._grudge = Rest(_GRUDGE_FIRST_S, _GRUDGE_LONGEST_S)
        self._put_off: set[bytes] = set()
        """Numbers for which the SMSC had no time in a row."""
        self.grievance = ""
        """What the SMSC has against us, until it takes a message again."""
        self._rest = Rest(settings.throttle_first_s, settings.throttle_longest_s)
        self._pacer = Pacer(settings.rate_per_s)
        self._sessions: list[SmppSession] = []
        self._queue: list[HeapEntry] = []
        self._held: list[HeapEntry] = []
        self._turns = 0
        self._waiting = 0
        self._pumping = self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.trouble = "not connected yet"
        """Why there is no session, while there is none."""

    # What the carrier asks.

    @property
    def resting(self) -> bool:
        return self._rests_until > asyncio.get_running_loop().time()

    @property
    def _rests_until(self) -> float:
        return max(self._rest.until, self._grudge.until)

    @property
    def ready_sessions(self) -> int:
        return sum(session.ready for session in self._sessions)

    @property
    def in_flight(self) -> int:
        return sum(session.in_flight for session in self._sessions)

    @property
    def room(self) -> int:
        """Units that could leave at once: the free windows less what waits already."""
        if self._stopped or self.resting or self._late:
            return 0
        room = max(0, sum(session.free for session in self._sessions) - self._waiting)
        return min(room, TRIAL - self.in_flight - self._waiting) if self.grievance else room

    @property
    def _late(self) -> bool:
        waits = next((slot for slot, turn, queued in self._queue[:1] if queued.turn == turn), float("inf"))
        return asyncio.get_running_loop().time() - waits > LATE_S

    def add(self, session: SmppSession) -> None:
        """A session that has just been bound."""
        self._sessions.append(session)
        self.progressed()

    def take_up(self, group: Sequence[Outgoing], told: Told) -> list[Queued]:
        """Queue a group; of what cannot be queued the outcome is told at once."""
        refusal = self._refuses_all()
        templates: dict[tuple[int, int | None], Template | Refused] = {}
        taken = []
        for index, outgoing in enumerate(group):
            if refusal is not None:
                told(index, refusal)
                continue
            made = self._transit(outgoing, templates)
            if isinstance(made, Refused):
                told(index, made)
                continue
            queued = Queued(made, told, index, outgoing)
            taken.append(queued)
            self._push(queued, made.slot)
            if outgoing.permission is not None:
                self._ends.watch(outgoing.permission)
        self.progressed()
        return taken

    def withdraw(self, taken: Iterable[Queued]) -> None:
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
        entries = (*self._queue, *self._held)
        return session.in_flight > 0 or any(t.session is session and t.waiting_units for _, _, t in entries)

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
        if verdict is StatusVerdict.NOT_BOUND and queued.session is not None:
            # Soon, not now: other answers of the same read may say of their messages that they were not taken.
            asyncio.get_running_loop().call_soon(queued.session.abort, "the peer says that we are not bound")

    def _judged(self, queued: Queued, verdict: StatusVerdict) -> StatusVerdict:
        """An SMSC that puts everybody off is not well, whatever it says of each recipient."""
        if verdict is StatusVerdict.TAKEN:
            self._put_off.clear()
            if self.grievance:
                self.grievance = ""
                self._changed()
        elif verdict is StatusVerdict.TEMPORARY:
            self._put_off.add(queued.submission.digits)
            if self.grievance or len(self._put_off) >= PUT_OFF_IN_A_ROW:
                return StatusVerdict.OURS
        return verdict

    def _refused_us(self, status: int, written: float) -> None:
        """Rest; what waits goes to another carrier at once."""
        self._grudge.throttled(asyncio.get_running_loop().time(), written)
        self._put_off.clear()
        self.grievance = f"the SMSC refuses us, not the recipients: {statuses.code(status)} {statuses.name(status)}"
        self._give_back(NotSent(self.grievance))
        self._wake_at(self._grudge.until)
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
        for _, _, queued in (*self._queue, *self._held):
            if queued.session is session:
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
        for entry in self._held:
            heapq.heappush(queue, entry)
        self._held.clear()
        while queue:
            slot, turn, queued = queue[0]
            submission = queued.submission
            if queued.turn != turn or not submission.may_write:
                heapq.heappop(queue)
                continue
            permission = queued.outgoing.permission
            if permission is not None and now >= permission.not_after:
                heapq.heappop(queue)
                self._cut(queued)
                continue
            instant = self._pacer.gap(slot) if submission.overtime else self._pacer.instant(slot)
            at = max(instant, self._rests_until)
            if at > now:
                self._wake_at(at)
                return
            session = queued.session or self._freest()
            if session is None:
                if not self.ready_sessions:
                    self._give_back(NotSent(self._why_down()))
                    return
                if now - slot - (self._clock.lost_s - queued.lost_s) <= self._settings.answer_timeout_s:
                    return
                heapq.heappop(queue)
                self._settle(queued, submission.lost("no room in the window in time"))
                continue
            entry = heapq.heappop(queue)
            if session.free <= 0:
                self._held.append(entry)
            elif not submission.written and self._expired(submission):
                self._settle(queued, submission.lost("expired before it could leave", withdrawn=True))
            else:
                if submission.overtime:
                    self._pacer.filled(now)
                else:
                    self._pacer.left(slot, now)
                self._submit(queued, session, now)

    def _submit(self, queued: Queued, session: SmppSession, now: float) -> None:
        submission = queued.submission
        if not submission.written and queued.outgoing.begins is not None:
            queued.outgoing.begins(queued.outgoing.number)
        part = submission.take_part()
        queued.session = session
        session.submit((queued, part), submission.template.body(submission.digits, part, submission.reference))
        self._waiting -= queued.waiting_units
        queued.waiting_units = 0
        if submission.todo:
            self._push(queued, max(now, submission.slot) if submission.overtime else submission.slot)

    def _push(self, queued: Queued, slot: float) -> None:
        self._turns += 1
        queued.turn = self._turns
        heapq.heappush(self._queue, (slot, self._turns, queued))
        queued.lost_s = self._clock.lost_s
        units = len(queued.submission.todo)
        self._waiting += units - queued.waiting_units
        queued.waiting_units = units

    def _settle(self, queued: Queued, outcome: Outcome | None) -> None:
        if outcome is not None:
            self._waiting -= queued.waiting_units
            queued.waiting_units = 0
            if queued.told is not None:
                queued.told(queued.index, outcome)

    def _cut(self, queued: Queued) -> None:
        """Nothing more of it leaves."""
        self._settle(queued, queued.submission.cut(ENDED))
        self._waiting -= queued.waiting_units
        queued.waiting_units = 0

    def _look_at_permissions(self, now: float) -> float:
        """Cut what waits and may not leave any more; when the next permission ends."""
        ends = float("inf")
        for _, turn, queued in (*self._queue, *self._held):
            permission = queued.outgoing.permission
            if permission is None or queued.turn != turn or not queued.waiting_units:
                continue
            if now >= permission.not_after:
                self._cut(queued)
            else:
                ends = min(ends, permission.not_after)
        return ends

    def _give_back(self, outcome: Outcome) -> None:
        """This outcome for all that has not begun."""
        for _, _, queued in self._queue:
            if not queued.submission.written:
                self._settle(queued, queued.submission.settle(outcome))

    def _throttled(self, status: int, written: float) -> float:
        """Rest; what waits goes back to those who know the slots, lest it leave in one burst after the rest."""
        pause_s = self._rest.throttled(asyncio.get_running_loop().time(), written)
        self._give_back(Throttled(pause_s, statuses.code(status)))
        self._wake_at(self._rest.until)
        self._changed()
        return pause_s

    def _refuses_all(self) -> Outcome | None:
        if self._stopped:
            return _STOPPING
        if not self.ready_sessions:
            return NotSent(self._why_down())
        now = asyncio.get_running_loop().time()
        if self._grudge.until > now:
            return NotSent(self.grievance or "the SMSC refused us")
        return Throttled(self._rest.until - now) if self._rest.until > now else None

    def _why_down(self) -> str:
        leaving = any(session.leaving for session in self._sessions)
        return "the SMSC is taking its leave" if leaving else self.trouble

    def _transit(
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
            self._wake_at(self._rests_until)
        self._changed()
        self.progressed()
