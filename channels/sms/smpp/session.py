"""One SMPP connection of ours: bind, window, timers, answers; an asyncio.Protocol that writes in batches.

Knows units in flight only as things to hand back to its owner: answered, unanswered or lost, each exactly once.
Knows no message, no rate and no receipt.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, cast

from channels import wire
from channels.loop_share import LoopShare
from channels.sms.smpp.codec import HEADER, Decoder, encode
from channels.sms.smpp.pdu import (
    LAST_SEQUENCE,
    RESPONSE,
    Bind,
    BindResponse,
    CommandId,
    CommandStatus,
    DataSm,
    DeliverSm,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    Pdu,
    ProtocolError,
    SubmitSmResponse,
    Unbind,
    UnbindResponse,
    Unread,
)
from channels.standstill import RunningClock, after_reading

Unit = TypeVar("Unit")

LATE_ANSWERS = 4096
"""Timed-out units of which a session remembers who they were: the oldest are forgotten first."""
MOST_UNREAD = 1 << 20
"""Octets of ours that a peer may leave unread: one that asks on and on and reads no answer is let go."""
_AT_ONCE = 32
"""Units between two looks at the clock."""


class SmppOwner(Protocol[Unit]):
    """What a session reports to. Every call is prompt and raises nothing."""

    def answered(self, unit: Unit, status: int, message_id: str, written: float) -> None:
        """A unit written at that event-loop time was answered."""

    def unanswered(self, unit: Unit) -> None:
        """No answer came in time; a late one is nothing but news (`Session`'s `late`)."""

    def lost(self, session: "Session[Unit]", units: Sequence[Unit], reason: str) -> None:
        """The connection ended with these in flight, or none, after all that the peer said was read. Called once."""

    def arrived(self, session: "Session[Unit]", pdu: DeliverSm | DataSm) -> None:
        """To be acknowledged by `session.acknowledge`, once it is safe."""

    def progressed(self) -> None:
        """The window may have room again."""


class BindRefused(Exception):
    """The peer answered the bind with an error."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Session(asyncio.Protocol, Generic[Unit]):
    """Made by `create_connection`, then `bind`; over when `closed` is done, its result the reason."""

    def __init__(
        self,
        owner: SmppOwner[Unit],
        *,
        role: CommandId = CommandId.BIND_TRANSCEIVER,
        window: int,
        answer_timeout_s: float,
        enquire_link_s: float,
        timeouts_to_recycle: int = 3,
        first_sequence: int = 1,
        drain_timeout_s: float = 5.0,
        clock: RunningClock | None = None,
        late: Callable[[Unit, str], None] | None = None,
        share: LoopShare | None = None,
    ) -> None:
        """`drain_timeout_s`: how long a peer that unbinds may still answer. `clock`: by which the peer is judged.
        `late` hears of a unit that was taken under this id after it had been handed back as unanswered. `share`: of the
        event loop, of all connections of this peer together."""
        self._owner = owner
        self._role = role
        self._window = window
        self._answer_timeout_s, self._enquire_link_s = answer_timeout_s, enquire_link_s
        self._timeouts_to_recycle = timeouts_to_recycle
        self._sequence = first_sequence - 1
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder()
        self._drain_timeout_s = drain_timeout_s
        self._clock = clock or RunningClock()
        self._late = late
        self._share = share or LoopShare()
        self._turn: asyncio.Handle | None = None
        """The next one, while octets wait that were read and not heeded."""
        self._judges_later = False
        """Somebody is overdue, and what was read before is heeded first."""
        self._lost: str | None = None
        """Why the connection is over, while its last octets are heeded."""
        self._flight: dict[int, tuple[Unit, float, float]] = {}
        """By sequence number: the unit, the loop's time at which it was written, and what the clock had lost then."""
        self._timed_out: dict[int, Unit] = {}
        self._owed = 0
        """What arrived and is not acknowledged."""
        self._goodbye: Unbind | None = None
        """The peer's, while it is being heard out."""
        self._goodbye_ends = 0.0
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._bound = self._paused = self._leaving = False
        self._silent = 0
        self._heard = self._enquired = 0.0
        self._ticker: asyncio.TimerHandle | None = None
        self._bind_answer: asyncio.Future[BindResponse | GenericNack] = self._loop.create_future()
        self.closed: asyncio.Future[str] = self._loop.create_future()

    # What the owner asks.

    @property
    def ready(self) -> bool:
        """Whether segments may be submitted on it at all."""
        return self._bound and not self._leaving and self._role is not CommandId.BIND_RECEIVER

    @property
    def leaving(self) -> bool:
        """Whether it is being unbound, by us or by the peer."""
        return self._leaving

    @property
    def free(self) -> int:
        """Units that may be written now."""
        return self._window - len(self._flight) if self.ready and not self._paused else 0

    @property
    def in_flight(self) -> int:
        return len(self._flight)

    def submit(self, unit: Unit, body: bytes) -> None:
        """Take up one submit_sm (`free` must be above 0); it leaves with the next `flush`."""
        sequence = self._next_sequence()
        self._flight[sequence] = (unit, self._loop.time(), self._clock.lost_s)
        self._out += (HEADER.pack(16 + len(body), CommandId.SUBMIT_SM, 0, sequence), body)

    def acknowledge(self, pdu: DeliverSm | DataSm, status: int) -> None:
        """Answer what `arrived`; leaves with the next `flush`. Nothing happens if the connection is over."""
        command = CommandId.DELIVER_SM if isinstance(pdu, DeliverSm) else CommandId.DATA_SM
        self._owed -= 1
        self._out.append(HEADER.pack(17, command | RESPONSE, status, pdu.sequence) + b"\0")

    def flush(self) -> None:
        """Write all that was taken up, at once."""
        if self._out and self._transport is not None and not self.closed.done() and self._lost is None:
            self._transport.write(b"".join(self._out))
            if self._paused and self._transport.get_write_buffer_size() > MOST_UNREAD:
                self._loop.call_soon(self.abort, "the peer asks and reads no answer")
        self._out.clear()
        if self._goodbye is not None and not self._flight and self._owed <= 0:
            self._part()

    async def bind(self, *, system_id: str, password: str, system_type: str) -> None:
        """Bind and return. Raises BindRefused, or ConnectionError if the connection ends first."""
        pdu = Bind(
            command=self._role,
            sequence=self._next_sequence(),
            system_id=system_id,
            password=password,
            system_type=system_type,
        )
        self._send(pdu)
        answer = await self._bind_answer
        if answer.status or isinstance(answer, GenericNack):
            raise BindRefused(answer.status)

    async def unbind(self) -> None:
        """Take the leave of the protocol: unbind, and wait for the end of the connection."""
        self._leaving = True
        if self._goodbye is not None:
            self._part()
        if not self.closed.done():
            self._send(Unbind(sequence=self._next_sequence()))
            await asyncio.shield(self.closed)

    def abort(self, reason: str) -> None:
        """End the connection at once; what is in flight is lost."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._heard = self._clock.time()
        self._tick()

    def data_received(self, data: bytes) -> None:
        self._decoder.add(data)
        if self._turn is None:
            self._heed()

    def _heed(self) -> None:
        """For one slice of the peer's share; what is left then waits for its next turn, and nothing more is read."""
        self._turn = None
        fault = self._take()
        self.flush()
        if fault is not None:
            self.abort(f"protocol error: {fault}")
        elif self._decoder.is_ripe and not self.closed.done():
            self._rest_until_its_turn()
        elif self._lost is not None:
            self._end(self._lost)
        else:
            self._go_on_reading()
        self._owner.progressed()

    def _rest_until_its_turn(self) -> None:
        if self._lost is not None:
            # Whose answers are the last ones is told soon; there is only what was read.
            self._turn = self._loop.call_soon(self._heed)
            return
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()
        self._turn = self._loop.call_later(self._share.wait_s(time.monotonic()), self._heed)

    def _go_on_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not self._transport.is_reading():
            self._transport.resume_reading()
        if self._judges_later:
            self._judges_later = False
            after_reading(self._judge, self._transport)

    def _take(self) -> ProtocolError | None:
        """Heed whole units for as long as a slice lasts; what is no SMPP any more comes back."""
        began = now = time.monotonic()  # the loop's own clock stands still while a callback runs
        fault: ProtocolError | None = None
        heeded = asked = 0
        while fault is None and now - began < self._share.slice_s and not self.closed.done():
            try:
                pdus: Sequence[Pdu] = self._decoder.take(_AT_ONCE)
            except ProtocolError as exc:
                fault, pdus = exc, exc.before
            asked += sum([self._heed_one(pdu) for pdu in pdus])
            heeded += len(pdus)
            now = time.monotonic()
            if len(pdus) < _AT_ONCE:
                break
        if heeded:
            self._heard, self._enquired = self._clock.time(), 0.0
            # Answers to what we asked are no flood: the window bounds them.
            self._share.spend((now - began) * (heeded - asked) / heeded, now)
        return fault

    def _heed_one(self, pdu: Pdu) -> bool:
        """Whether it answers something that we asked."""
        if type(pdu) is SubmitSmResponse:
            return self._on_answer(pdu.sequence, pdu.status, pdu.message_id)
        self._on_other(pdu)
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._owner.progressed()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._transport is not None:
            # A failed write ends a connection at once, though answers that came before may wait to be read.
            self._decoder.add(wire.left_behind(self._transport))
        self._lost = f"connection lost: {exc}" if exc else "the peer closed the connection"
        self._leaving = True
        if self._turn is not None:
            self._turn.cancel()
        self._heed()

    # What the peer says.

    def _on_answer(self, sequence: int, status: int, message_id: str) -> bool:
        """False for an answer to nothing."""
        entry = self._flight.pop(sequence, None)
        if entry is None:
            return self._on_late_answer(sequence, status, message_id)
        self._silent = 0
        self._owner.answered(entry[0], status, message_id, entry[1])
        return True

    def _on_late_answer(self, sequence: int, status: int, message_id: str) -> bool:
        unit = self._timed_out.pop(sequence, None)
        if unit is None:
            return False
        self._silent = 0
        if not status and self._late is not None:
            self._late(unit, message_id)
        return True

    def _on_other(self, pdu: Pdu) -> None:
        match pdu:
            case DeliverSm() | DataSm():
                self._owed += 1
                self._owner.arrived(self, pdu)
            case EnquireLink():
                self._out.append(encode(EnquireLinkResponse(sequence=pdu.sequence)))
            case BindResponse():
                self._on_bind_answer(pdu)
            case Unbind():
                self._on_unbind(pdu)
            case UnbindResponse():
                self._close("unbound")
            case GenericNack():
                self._on_nack(pdu)
            case Unread(command=command) if not command & RESPONSE:
                status = CommandStatus.INVALID_LENGTH if pdu.problem else CommandStatus.INVALID_COMMAND
                self._out.append(encode(GenericNack(status=status, sequence=pdu.sequence)))
            case _:
                pass  # an answer to something never asked says nothing about a message

    def _on_unbind(self, pdu: Unbind) -> None:
        """A peer that takes its leave is heard out: nothing more is submitted, and what it owes is waited for."""
        self._goodbye = pdu
        wait_s = 0.0 if self._leaving else self._drain_timeout_s
        self._goodbye_ends = self._clock.time() + wait_s
        self._leaving = True
        self._loop.call_later(wait_s, after_reading, self._judge, self._transport)

    def _part(self) -> None:
        """Answer the peer's unbind, and close."""
        if self._goodbye is not None:
            self._out.append(encode(UnbindResponse(sequence=self._goodbye.sequence)))
            self._goodbye = None
            self._close("the peer unbound")

    def _on_bind_answer(self, pdu: BindResponse | GenericNack) -> None:
        if not self._bind_answer.done():
            self._bound = not pdu.status and isinstance(pdu, BindResponse)
            self._bind_answer.set_result(pdu)

    def _on_nack(self, pdu: GenericNack) -> None:
        """A nack of one of our submits is its answer: not taken. Any other means that the peer lost the thread."""
        if not self._bind_answer.done():
            self._on_bind_answer(pdu)
        elif not self._on_answer(pdu.sequence, pdu.status or CommandStatus.SYSTEM_ERROR, ""):
            self.abort(f"the peer refused a unit with status 0x{pdu.status:08X}")

    # The clock and the end.

    def _tick(self) -> None:
        """Look for what is overdue. Nobody is judged before what waits in the socket has been read."""
        now = self._clock.time()
        if self._is_overdue(now):
            if self._turn is None or self._judges_later:
                after_reading(self._judge, self._transport)
            self._judges_later = self._turn is not None and not self._judges_later
        elif self._bound and not self._enquired and now - self._heard > self._enquire_link_s:
            self._enquired = now
            self._send(EnquireLink(sequence=self._next_sequence()))
        if not self.closed.done():
            every_s = min(1.0, self._answer_timeout_s / 10, self._enquire_link_s / 10)
            self._ticker = self._loop.call_later(max(every_s, 0.01), self._tick)
        self._owner.progressed()

    def _is_overdue(self, now: float) -> bool:
        oldest = next(iter(self._flight.values()), None)
        return (
            (oldest is not None and _age_s(oldest, now) > self._answer_timeout_s)
            or (self._enquired > 0 and now - self._enquired > self._answer_timeout_s)
            or (self._goodbye is not None and now >= self._goodbye_ends)
        )

    def _judge(self) -> None:
        if self.closed.done():
            return
        now = self._clock.time()
        for sequence, entry in list(self._flight.items()):
            if _age_s(entry, now) <= self._answer_timeout_s:
                break  # the oldest stand first
            del self._flight[sequence]
            self._silent += 1
            self._remember(sequence, entry[0])
            self._owner.unanswered(entry[0])
        if self._goodbye is not None:
            if now >= self._goodbye_ends:
                self._part()
        elif self._silent >= self._timeouts_to_recycle:
            self.abort(f"{self._silent} messages in a row without an answer")
        elif self._enquired and now - self._enquired > self._answer_timeout_s:
            self.abort("no answer to enquire_link")
        self._owner.progressed()

    def _remember(self, sequence: int, unit: Unit) -> None:
        self._timed_out[sequence] = unit
        if len(self._timed_out) > LATE_ANSWERS:
            del self._timed_out[next(iter(self._timed_out))]

    def _close(self, reason: str) -> None:
        """End the connection once what is written has left."""
        self.flush()
        self._end(reason)
        if self._transport is not None:
            self._transport.close()
            # A peer that reads nothing more would keep the last octets, and the socket, for ever.
            self._loop.call_later(1.0, self._transport.abort)

    def _end(self, reason: str) -> None:
        if self.closed.done():
            return
        self._bound = False
        for timer in (self._ticker, self._turn):
            if timer is not None:
                timer.cancel()
        if not self._bind_answer.done():
            self._bind_answer.set_exception(ConnectionError(reason))
            self._bind_answer.exception()  # nobody need be waiting for it
        self.closed.set_result(reason)
        units = [unit for unit, _, _ in self._flight.values()]
        self._flight.clear()
        self._timed_out.clear()
        self._owner.lost(self, units, reason)

    def _send(self, pdu: Pdu) -> None:
        self._out.append(encode(pdu))
        self.flush()

    def _next_sequence(self) -> int:
        while True:
            self._sequence = self._sequence % LAST_SEQUENCE + 1
            if self._sequence not in self._flight and self._sequence not in self._timed_out:
                return self._sequence


def _age_s(entry: tuple[object, float, float], now: float) -> float:
    """How long it has been waiting for its answer while we ran."""
    _, written, lost_s = entry
    return now - (written - lost_s)
