"""One message on its way through a session: which parts are written, what was answered, what that makes of it.

Sans I/O. Exactly one outcome a message. Knows no sequence number and no socket.
"""

from typing import cast

from channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Refused, Throttled
from channels.sms.smpp import statuses
from channels.sms.smpp.statuses import StatusVerdict
from channels.sms.smpp.submit import Template

_RETRIES = 3
"""Times that parts of a half-taken message are offered again: half an SMS is shown to nobody."""

_Trouble = tuple[StatusVerdict, int, float]


class Submission:
    """The parts of one message: to write, in flight, taken, sent back."""

    __slots__ = (
        "_back",
        "_cut",
        "_refs",
        "_retries",
        "_trouble",
        "digits",
        "expires_ms",
        "in_flight",
        "outcome",
        "overtime",
        "reference",
        "slots",
        "template",
        "todo",
        "written",
    )

    def __init__(
        self,
        template: Template,
        slots: tuple[float, ...],
        expires_ms: int | None,
        *,
        digits: bytes,
        reference: int,
    ) -> None:
        """`slots` (event-loop seconds) has one for each part; where it has fewer, the last holds for the rest."""
        self.digits = digits
        self.expires_ms = expires_ms
        self.template = template
        self.slots = slots
        self.reference = reference
        self.todo = list(range(template.total))
        """Parts still to be written, ascending."""
        self.in_flight = 0
        self.written = False
        """Whether any part ever was written."""
        self.outcome: Outcome | None = None
        self.overtime = False
        """Whether what is to do has used up its slots: it was offered once already."""
        self._cut: NotSent | None = None
        """Set once parts are held back for good: the outcome if no part of it was taken."""
        self._refs: list[str | None] = [None] * template.total
        self._back: list[int] = []
        self._trouble: _Trouble | None = None
        self._retries = 0

    @property
    def slot(self) -> float:
        """The instant before which the next part must not leave."""
        part = self.todo[0]
        return self.slots[part] if part < len(self.slots) else self.slots[-1]

    @property
    def may_write(self) -> bool:
        """Whether the next part should be written: nothing is added to a message of which a part was sent back."""
        return bool(self.todo) and self.outcome is None and self._trouble is None

    def take_part(self) -> int:
        """The next part, now written."""
        self.in_flight += 1
        self.written = True
        return self.todo.pop(0)

    def taken(self, part: int, ref: str) -> Outcome | None:
        """A part was accepted under this id, in its normal form. Gives the outcome if this settles the message."""
        self.in_flight -= 1
        self._refs[part] = ref
        if self.in_flight == 0 and not self.todo and self._trouble is None and self._cut is None:
            return self.settle(Accepted(self._ids()))
        return self._weigh()

    def sent_back(self, part: int, verdict: StatusVerdict, status: int, pause_s: float = 0.0) -> Outcome | None:
        """A part was not taken. Gives the outcome if this settles the message."""
        self.in_flight -= 1
        self._back.append(part)
        if self._trouble is None or verdict is StatusVerdict.PERMANENT:
            self._trouble = (verdict, status, pause_s)
        return self._weigh()

    def lost(self, reason: str, *, withdrawn: bool = False) -> Outcome | None:
        """No answer will come for what is in flight, or no session is left for the rest."""
        if self.written:
            return self.settle(InDoubt(reason, self._ids(), "in_doubt" if self._cut is None else "cut"))
        return self.settle(NotSent(reason, withdrawn))

    def cut(self, ended: NotSent) -> Outcome | None:
        """Nothing more of it may be written: `ended` if nothing ever was. What is in flight still has its answers."""
        if not self.written:
            return self.settle(ended)
        if self.todo or self._back:
            self._cut = ended
            self.todo.clear()
        return self._weigh()

    def settle(self, outcome: Outcome) -> Outcome | None:
        """The outcome, the first time; None if the message had one."""
        if self.outcome is not None:
            return None
        self.outcome = outcome
        self.todo.clear()
        return outcome

    def offer_again(self) -> bool:
        """Whether the parts sent back are to be written again; then they are to do."""
        if self._trouble is None or self.in_flight or self.outcome is not None:
            return False
        self._trouble = None
        self.todo = sorted(self._back + self.todo)
        self.overtime = True
        self._back = []
        return True

    def _weigh(self) -> Outcome | None:
        if self.in_flight or (self._trouble is None and self._cut is None):
            return None
        refs, untouched = self._ids(), all(ref is None for ref in self._refs)
        if self._cut is not None and (self._trouble is None or self._trouble[0] is not StatusVerdict.PERMANENT):
            held_back = InDoubt("taken in part only: the rest was held back", refs, "cut")
            return self.settle(self._cut if untouched else held_back)
        return self._weigh_trouble(refs, untouched=untouched)

    def _weigh_trouble(self, refs: tuple[str, ...], *, untouched: bool) -> Outcome | None:
        verdict, status, pause_s = cast(_Trouble, self._trouble)
        code, name = statuses.code(status), statuses.name(status)
        if verdict is StatusVerdict.PERMANENT:
            return self.settle(Refused(code, name, refs))
        if untouched:
            return self.settle(_known_not_taken(verdict, code, name, pause_s))
        self._retries += 1
        if self._retries <= _RETRIES and verdict not in (StatusVerdict.NOT_BOUND, StatusVerdict.OURS):
            return None
        return self.settle(InDoubt(f"taken in part only: {name}", refs))

    def _ids(self) -> tuple[str, ...]:
        """The ids given so far in the order of the parts; a peer that gives none leaves nothing to find."""
        return tuple(ref for ref in self._refs if ref)


def _known_not_taken(verdict: StatusVerdict, code: str, name: str, pause_s: float) -> Outcome:
    if verdict is StatusVerdict.THROTTLE:
        return Throttled(pause_s, code)
    if verdict is StatusVerdict.NOT_BOUND:
        return NotSent(name)
    if verdict is StatusVerdict.OURS:
        return NotSent(f"the SMSC refuses us, not the recipient: {code} {name}")
    return Deferred(code, name)
