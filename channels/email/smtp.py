"""One connection to a relay once it stands: a message at a time, its commands grouped where the relay pipelines.

MAIL, RCPT and DATA leave in one write (RFC 2920) and the body in a second one, or in several if it is long. Grouping
the next message's commands behind the body would be faster still, but Haraka refuses it. Knows no addresses and no
campaign.
"""

import asyncio
import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from channels import wire
from channels.contract import Deferred, InDoubt, NotSent, Permission, Refused
from channels.email import reply_meaning
from channels.email.envelope import MailEnvelope, Offers
from channels.email.reply import NotSmtp, Reply, ReplyReader
from channels.email.reply_meaning import RelayFault, ReplyVerdict
from channels.permissions import ENDED, Ends, has_ended
from channels.standstill import Deadline, RunningClock

QUIT_TIMEOUT_S = 2.0
PIECE_OCTETS = 16_384
"""Of a body, written at once: more than most mails have. The next follows when the system has taken this one."""


class SmtpStep(Enum):
    """Whose reply comes next."""

    IDLE = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    DOT = auto()
    EMPTY_DOT = auto()
    """The dot after a body that nobody was to get (RFC 2920 3.1)."""
    RSET = auto()
    NOOP = auto()
    QUIT = auto()
    CLOSED = auto()


class SmtpOwner(Protocol):
    """Who hears of a session; both calls come from inside the event loop and must not block."""

    def session_idle(self, session: "SmtpSession") -> None: ...

    def session_closed(self, session: "SmtpSession") -> None: ...


class SmtpSession(asyncio.Protocol):
    """Takes over the transport of a connection that has said EHLO and, if need be, STARTTLS and AUTH."""

    def __init__(
        self,
        transport: asyncio.Transport,
        offers: Offers,
        owner: SmtpOwner,
        *,
        command_timeout_s: float,
        answer_timeout_s: float,
        clock: RunningClock | None = None,
    ) -> None:
        """`clock`: by which the relay is judged, and `idle_since` is told."""
        self.offers = offers
        self.taken = 0
        """Transactions begun on this connection."""
        self.closed = asyncio.Event()
        self._transport = transport
        self._owner = owner
        self._command_timeout_s = command_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._step = SmtpStep.IDLE
        self._envelope: MailEnvelope | None = None
        self._done: Callable[[ReplyVerdict], None] | None = None
        self._permission: Permission | None = None
        self._ends = Ends(self._look_at_permission)
        self._written = 0
        """Octets of the body handed to the transport."""
        self._is_full = False
        """Whether the transport holds octets that the system has not taken."""
        self._clock = clock or RunningClock()
        self._deadline = Deadline(self._clock, self._silent, transport)
        self._patience_s = 0.0
        self.is_cut = False
        """Whether we hung up on a message that was not to go on: no fault of the relay's."""
        self.idle_since = self._clock.time()
        """Since when nothing has been asked."""
        # A transport under TLS calls itself full at its limit, one without above it: both are full with one octet.
        transport.set_write_buffer_limits(high=int(transport.get_extra_info("sslcontext") is not None), low=0)

    def start(
        self, envelope: MailEnvelope, done: Callable[[ReplyVerdict], None], permission: Permission | None = None
    ) -> None:
        """Begin a transaction; `done` is called exactly once. Only for an idle session. Of the body nothing is written
        once the permission has ended."""
        self.taken += 1
        self._done = done
        if self._transport.is_closing():  # closed by the peer, and the loop has not told us yet
            self._settle(ReplyVerdict(NotSent("the relay closed the connection"), RelayFault.LOST))
            return
        self._envelope = envelope
        self._written = 0
        self._permission = permission
        self._ends.watch(permission)
        self._expect(SmtpStep.MAIL, self._command_timeout_s)
        grouped = envelope.mail + envelope.rcpt + b"DATA\r\n"
        self._transport.write(grouped if self.offers.pipelining else envelope.mail)

    def noop(self) -> None:
        """Ask whether the relay is still there. Only for an idle session."""
        self._expect(SmtpStep.NOOP, self._command_timeout_s)
        self._transport.write(b"NOOP\r\n")

    def quit(self) -> None:
        """Leave politely. Only for an idle session."""
        if self._transport.is_closing():
            return
        self._expect(SmtpStep.QUIT, QUIT_TIMEOUT_S)
        self._transport.write(b"QUIT\r\n")

    def abort(self) -> None:
        """Hang up at once; a message under way is settled as lost."""
        self._break_off("the carrier was stopped", withdrawn=True)

    def data_received(self, data: bytes) -> None:
        self._heed(data)
        if self._step is SmtpStep.IDLE:
            self._rest()

    def _heed(self, data: bytes) -> None:
        try:
            for reply in self._reader.feed(data):
                if self._step is SmtpStep.IDLE:
                    self._unasked(reply)
                elif self._step is not SmtpStep.CLOSED:
                    self._answered(reply)
        except NotSmtp:
            self._break_off("the relay answered something that is not SMTP")

    def eof_received(self) -> bool:
        return False  # closes the transport, which calls connection_lost

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._step is SmtpStep.DOT and self._envelope is not None:
            self._write_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._step is not SmtpStep.CLOSED:
            # A failed write ends a connection at once, though a reply that came before may wait to be read.
            self._heed(wire.left_behind(self._transport))
        self._give_up("the connection was lost")
        self._end()

    def _rest(self) -> None:
        if not self._reader.is_between_replies:
            self._break_off("the relay said more than it was asked")
            return
        self._deadline.clear()
        self.idle_since = self._clock.time()
        self._owner.session_idle(self)

    def _unasked(self, reply: Reply) -> None:
        """A reply to nothing: 421 announces the end (RFC 5321 3.8); after any other one, replies and commands
        would never match again."""
        self._transport.close() if reply.code == 421 else self._transport.abort()
        self._end()

    def _answered(self, reply: Reply) -> None:
        match self._step:
            case SmtpStep.MAIL:
                self._after_mail(reply)
            case SmtpStep.RCPT:
                self._after_rcpt(reply)
            case SmtpStep.DATA:
                self._after_data(reply)
            case SmtpStep.DOT:
                self._after_dot(reply)
            case SmtpStep.QUIT:
                self._close()
            case _:  # NOOP, RSET, EMPTY_DOT
                self._after_nothing(reply)

    def _after_mail(self, reply: Reply) -> None:
        refused = reply_meaning.on_mail(reply)
        if refused is not None:
            self._settle(refused)
            if refused.fault is RelayFault.LOST or reply.code == 421:
                self._close()
                return
        if self.offers.pipelining:
            self._step = SmtpStep.RCPT
        elif refused is not None:
            self._reset()
        else:
            self._next(SmtpStep.RCPT, self._sent().rcpt)

    def _after_rcpt(self, reply: Reply) -> None:
        if self._done is None and reply.code == 421:
            self._close()
            return
        refused = reply_meaning.on_rcpt(reply) if self._done is not None else None
        if refused is not None:
            self._settle(refused)
            if refused.fault is RelayFault.LOST:
                self._close()
                return
        if self.offers.pipelining:
            self._step = SmtpStep.DATA
        elif refused is not None:
            self._reset()
        else:
            self._next(SmtpStep.DATA, b"DATA\r\n")

    def _after_data(self, reply: Reply) -> None:
        if self._done is None:  # already refused: nothing may follow, but the dialogue goes on
            self._leave_transaction(reply)
            return
        refused = reply_meaning.on_data(reply)
        if refused is None:
            self._step = SmtpStep.DOT
            self._write_on()
            return
        self._settle(refused)
        self._close() if refused.fault is RelayFault.LOST else self._reset()

    def _leave_transaction(self, reply: Reply) -> None:
        if reply.code == 421:
            self._close()
        elif reply.code == 354:
            self._next(SmtpStep.EMPTY_DOT, b".\r\n")
        else:
            self._reset()  # the transaction is still open: the next MAIL would be "nested"

    def _write_on(self) -> None:
        """The body, piece by piece as the system takes them: the last one, with the dot, when all others have left
        our hands, so that the message can be broken off as long as the system is slow to take it."""
        body = self._sent().body
        while self._written < len(body) and not self._is_full:
            if has_ended(self._permission, self._loop.time()):
                self._withdraw()
                return
            piece = body[self._written : self._written + PIECE_OCTETS]
            self._written += len(piece)
            self._transport.write(piece)
        self._expect(SmtpStep.DOT, self._answer_timeout_s)

    def _is_short_of_dot(self) -> bool:
        """Whether the end of the body is still with us: then the relay cannot have the message."""
        return self._envelope is not None and (self._written < len(self._envelope.body) or self._is_full)

    def _look_at_permission(self, now: float) -> float:
        if self._done is None or self._permission is None:
            return math.inf
        if not has_ended(self._permission, now):
            return self._permission.not_after
        # What the kernel holds ends with the dot; unless it has left, it can still be thrown away.
        if self._step is not SmtpStep.DOT or self._is_short_of_dot() or wire.unsent(self._transport):
            self._withdraw()
        return math.inf

    def _withdraw(self) -> None:
        """Hang up on a message that may not go on. After DATA nothing else ends it: any line would be its text."""
        self.is_cut = True
        self._settle(ReplyVerdict(ENDED))
        wire.cut_off(self._transport)
        self._end()

    def _after_dot(self, reply: Reply) -> None:
        answer = reply_meaning.on_dot(reply)
        if self._is_short_of_dot():
            if not isinstance(answer.outcome, Refused | Deferred):
                reason = "the relay answered before the message was written"
                answer = ReplyVerdict(NotSent(reason), RelayFault.LOST, reason)
            self._settle(answer)
            self._transport.abort()
            self._end()
            return
        self._step = SmtpStep.IDLE
        self._settle(answer)
        if answer.fault is RelayFault.LOST:
            self._close()

    def _after_nothing(self, reply: Reply) -> None:
        if reply.code == 421 or (reply.code != 250 and self._step is not SmtpStep.EMPTY_DOT):
            self._close()
        else:
            self._step = SmtpStep.IDLE

    def _sent(self) -> MailEnvelope:
        return cast(MailEnvelope, self._envelope)

    def _reset(self) -> None:
        self._next(SmtpStep.RSET, b"RSET\r\n")

    def _next(self, step: SmtpStep, data: bytes) -> None:
        self._expect(step, self._command_timeout_s)
        self._transport.write(data)

    def _expect(self, step: SmtpStep, timeout_s: float) -> None:
        self._step = step
        self._patience_s = timeout_s
        self._deadline.set(timeout_s)

    def _silent(self) -> None:
        self._break_off(f"no answer to {self._step.name} within {self._patience_s:g} s")

    def _break_off(self, reason: str, *, withdrawn: bool = False) -> None:
        self._give_up(reason, withdrawn=withdrawn)
        self._transport.abort()
        self._end()

    def _close(self) -> None:
        self._transport.close()
        self._end()

    def _end(self) -> None:
        """Over as soon as it is decided: a peer slow to take leave must not hold up the next connection."""
        self._deadline.close()
        self._ends.close()
        self._step = SmtpStep.CLOSED
        if not self.closed.is_set():
            self.closed.set()
            self._owner.session_closed(self)

    def _give_up(self, reason: str, *, withdrawn: bool = False) -> None:
        """Only once the body has left can the relay have the message."""
        if self._step is SmtpStep.DOT and not self._is_short_of_dot():
            self._settle(ReplyVerdict(InDoubt(f"{reason} after the final dot"), RelayFault.LOST, reason))
        else:
            self._settle(ReplyVerdict(NotSent(reason, withdrawn), RelayFault.LOST, reason))

    def _settle(self, answer: ReplyVerdict) -> None:
        done, self._done, self._envelope = self._done, None, None
        if done is not None:
            done(answer)
