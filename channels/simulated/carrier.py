"""A carrier that reaches nobody: no socket is ever opened. For simulation, demonstrations, tests and proofs.

It keeps the whole of the carrier contract (window, pauses, lost sessions, receipts that come late, early or
twice) in front of a `SimulatedPeer`, whose answers depend on nothing but seed, address and reference.
It can write down every unit that "left" (`dump`), so that a proof may count what was on the wire.
"""

import asyncio
import heapq
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from channels.contract import (
    Accepted,
    CarrierState,
    CarrierStatus,
    Channel,
    InDoubt,
    Mode,
    NoLimits,
    NotSent,
    Outcome,
    Outgoing,
    Receipt,
    ReceiptSink,
    Throttled,
    Told,
    Withdraw,
)
from channels.permissions import ENDED, Ends, has_ended
from channels.simulated.peer import Fate, LaterReceipt, SimulatedPeer, Temper
from channels.simulated.receipt_queue import ReceiptQueue

_SHORTEST_SLEEP_S = 0.001  # uvloop counts whole milliseconds and would spin on less
CALLED_OFF = NotSent("nobody waits for it any more", withdrawn=True)
_ANSWER = -1  # the event that stands where a part's number does


class Outage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time without sessions, in seconds from the start of `run`."""

    start_s: float
    length_s: float


class SimulatedSettings(Temper, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="simulated"):
    """One simulated carrier, and how what it talks to behaves."""

    name: str
    mode: Mode = Mode.SIMULATION
    rate_per_s: float = 500.0
    """Units a second that it may be given: what its slots are made of."""
    peer_rate_per_s: float | None = None
    """Units that the peer takes in any one second; it answers what is above with "throttled"."""
    window: int = 1000
    """Units written and not answered, at most; for voice, calls that have not ended."""
    outages: tuple[Outage, ...] = ()
    """In the order of their time."""
    dump: str | None = None
    """A file to which every unit that leaves is appended, one JSON object a line, before any answer to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 1 or self.rate_per_s <= 0:
            raise ValueError("window and rate_per_s are above zero")


class Arrival(msgspec.Struct, frozen=True):
    """A line of the dump: one unit on "the wire"."""

    carrier: str
    reference: str
    address: str
    part: int
    word: str
    """What its peer makes of the message (`channels.simulated.peer`)."""
    at_s: float
    """The loop's clock, which all processes of a Linux machine share."""
    at_ms: int
    """UTC."""


class _Flight:
    """One message on its way. Its next event stands in the carrier's heap."""

    __slots__ = ("fate", "index", "message", "told")

    def __init__(self, index: int, message: Outgoing, told: Told) -> None:
        self.index = index
        self.message = message
        self.told: Told | None = told
        """None: it is settled, or nobody wants to hear of it any more."""
        self.fate: Fate | None = None
        """Once a unit of it was written."""


class SimulatedCarrier:
    """See `channels.contract.Carrier`. `now_ms` tells the time of day, UTC."""

    def __init__(self, settings: SimulatedSettings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self._now_ms = now_ms
        self._peer = SimulatedPeer(settings)
        self._up = self._running = False
        self._detail = "not started"
        self._since_ms = now_ms()
        self._paused_until = -math.inf
        self._held = 0
        self._in_flight = 0
        self._flights: set[_Flight] = set()
        """Those that are not settled."""
        self._events: list[tuple[float, int, _Flight, int]] = []
        """A heap of (time, order, flight, part); some flights are settled already."""
        self._order = 0
        self._blocked: deque[_Flight] = deque()
        """Due, and waiting for the window."""
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_s = math.inf
        self._ends = Ends(self._look_at_permissions)
        self._talking: dict[int, tuple[asyncio.TimerHandle, int]] = {}
        self._calls = 0
        self._arrivals: deque[float] = deque()
        self._postbag = ReceiptQueue(now_ms)
        self._dump_fd: int | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def channel(self) -> Channel:
        return self.settings.channel

    @property
    def mode(self) -> Mode:
        return self.settings.mode

    @property
    def room(self) -> int:
        if not self._up or self._paused():
            return 0
        return max(0, self.settings.window - self._held)

    def status(self) -> CarrierStatus:
        paused = self._up and self._paused()
        state = CarrierState.PAUSED if paused else CarrierState.UP if self._up else CarrierState.DOWN
        return CarrierStatus(
            name=self.name,
            channel=self.channel,
            mode=self.mode,
            state=state,
            detail="the peer asked for a slower pace" if paused else self._detail,
            in_flight=self._in_flight,
            window=self.settings.window,
            since_ms=self._since_ms,
        )

    @property
    def limits(self) -> NoLimits:
        return NoLimits()

    def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
        flights = [_Flight(index, message, told) for index, message in enumerate(group)]
        self._held += sum(len(message.due) for message in group)
        self._flights.update(flights)
        for flight in flights:
            if self._up:
                self._push(flight.message.due[0], flight, 0)
            else:
                self._settle(flight, self._lost(flight))
        for permission in {message.permission for message in group}:
            self._ends.watch(permission)

        def withdraw() -> None:
            for flight in flights:
                if flight in self._flights:
                    flight.told = None
                    self._settle(flight, CALLED_OFF)

        return withdraw

    async def run(self, receipts: ReceiptSink) -> None:
        try:
            if self.settings.dump is not None:
                self._dump_fd = await asyncio.to_thread(_open, self.settings.dump)
            self._running = True
            self._connect()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._postbag.deliver(receipts, lambda: self._up))
                tasks.create_task(self._live_outages())
        finally:
            self._running = False
            self._disconnect("closed")
            if self._dump_fd is not None:
                os.close(self._dump_fd)
                self._dump_fd = None

    # ---- the session ------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._up, self._detail, self._since_ms = True, "", self._now_ms()

    def _disconnect(self, reason: str) -> None:
        self._up, self._detail, self._since_ms = False, reason, self._now_ms()
        self._paused_until = -math.inf
        for timer, units in self._talking.values():
            timer.cancel()
            self._release(units, units)
        self._talking.clear()
        self._blocked.clear()
        self._events.clear()
        for flight in sorted(self._flights, key=lambda flight: flight.message.due):
            self._settle(flight, self._lost(flight))

    async def _live_outages(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for outage in self.settings.outages:
            await asyncio.sleep(start + outage.start_s - loop.time())
            self._disconnect("simulated outage")
            await asyncio.sleep(outage.length_s)
            self._connect()

    def _paused(self) -> bool:
        return asyncio.get_running_loop().time() < self._paused_until

    # ---- writing and answering --------------------------------------------------------------------------

    def _push(self, at_s: float, flight: _Flight, part: int) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, flight, part))
        self._step_by(at_s)

    def _step_by(self, at_s: float) -> None:
        """Go on at this instant of the loop, or before."""
        if at_s >= self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_s = at_s
        if at_s <= loop.time():
            self._timer = loop.call_soon(self._step)
        else:
            self._timer = loop.call_at(max(at_s, loop.time() + _SHORTEST_SLEEP_S), self._step)

    def _step(self) -> None:
        """Do what is due now, and tell what it settled."""
        self._timer, self._timer_s = None, math.inf
        now_s = asyncio.get_running_loop().time()
        settled: list[tuple[_Flight, Outcome]] = []
        written: list[bytes] = []
        while self._events and self._events[0][0] <= now_s:
            _, _, flight, part = heapq.heappop(self._events)
            if flight not in self._flights:
                continue
            outcome = self._advance(flight, part, now_s, written)
            if outcome is not None:
                settled.append((flight, outcome))
        if self._dump_fd is not None and written:
            os.write(self._dump_fd, b"".join(written))
        for flight, outcome in settled:
            if flight in self._flights:
                self._settle(flight, outcome)
        if self._events:
            self._step_by(self._events[0][0])

    def _look_at_permissions(self, now: float) -> float:
        """What has not begun when its permission ends is answered at once, due or not; when the next one ends."""
        ends = math.inf
        for flight in sorted(self._flights, key=lambda flight: flight.message.due):
            permission = flight.message.permission
            if permission is None or flight.fate is not None or flight not in self._flights:
                continue
            if has_ended(permission, now):
                self._settle(flight, ENDED)
            else:
                ends = min(ends, permission.not_after)
        return ends

    def _advance(self, flight: _Flight, part: int, now_s: float, written: list[bytes]) -> Outcome | None:
        """Take one message one event further; its outcome when that settles it."""
        message = flight.message
        if part == _ANSWER:
            return self._answered(flight, now_s)
        if part > 0 and has_ended(message.permission, now_s):
            self._cut(flight, part, now_s)
            return None
        if part == 0:
            if 0 < self._in_flight > self.settings.window - len(message.due):
                self._blocked.append(flight)
                return None
            met = self._meet(message, now_s)
            if not isinstance(met, Fate):
                return met
            if message.begins is not None:
                message.begins(message.number)
            flight.fate = met
            self._in_flight += len(message.due)
        fate = _fate_of(flight)
        self._arrivals.append(now_s)
        if self._dump_fd is not None:
            written.append(self._line(message, part, fate.word, now_s))
        if part + 1 < len(message.due):
            self._push(max(now_s, message.due[part + 1]), flight, part + 1)
        else:
            self._push(now_s + fate.answer_s, flight, _ANSWER)
            self._plan(message, now_s + fate.answer_s, fate.receipts)
        return None

    def _cut(self, flight: _Flight, parts: int, now_s: float) -> None:
        """Its first parts have left, and no more will: the answer to these is all that comes."""
        message, fate = flight.message, _fate_of(flight)
        outcome, receipts = fate.outcome, tuple(each for each in fate.receipts if each.part < parts)
        if isinstance(outcome, Accepted | InDoubt):
            refs = self._peer.refs(message)[:parts] if isinstance(outcome, Accepted) else ()
            outcome = InDoubt("the permission to send it ended after a part of it", refs, "cut")
        flight.fate = msgspec.structs.replace(fate, outcome=outcome, receipts=receipts)
        self._push(now_s + fate.answer_s, flight, _ANSWER)
        self._plan(message, now_s + fate.answer_s, receipts)

    def _meet(self, message: Outgoing, now_s: float) -> Fate | Outcome:
        """The fate of a message whose first unit may leave now, or why it does not leave."""
        if message.expires_ms is not None and message.expires_ms <= self._now_ms():
            return NotSent("it expired before it could leave", withdrawn=True)
        if has_ended(message.permission, now_s):
            return ENDED
        if now_s < self._paused_until:
            return Throttled(self._paused_until - now_s, "simulated")
        fate = self._peer.fate(message)
        if fate.word == "not-sent":
            return fate.outcome
        if self._above_peer_rate(now_s):
            return Fate("throttled", Throttled(self.settings.throttle_pause_s, "simulated"), fate.answer_s)
        return fate

    def _above_peer_rate(self, now_s: float) -> bool:
        while self._arrivals and self._arrivals[0] <= now_s - 1:
            self._arrivals.popleft()
        limit = self.settings.peer_rate_per_s
        return limit is not None and len(self._arrivals) >= limit

    def _answered(self, flight: _Flight, now_s: float) -> Outcome:
        outcome = _fate_of(flight).outcome
        if isinstance(outcome, Throttled):
            self._paused_until = max(self._paused_until, now_s + outcome.pause_s)
        return outcome

    def _lost(self, flight: _Flight) -> Outcome:
        reason = self._detail or "the session was lost"
        return NotSent(reason, withdrawn=not self._running) if flight.fate is None else InDoubt(reason)

    def _settle(self, flight: _Flight, outcome: Outcome) -> None:
        """Tell its outcome; a call that was answered keeps its line until it is over."""
        self._flights.discard(flight)
        units = len(flight.message.due)
        if flight.fate is not None and flight.fate.outcome is outcome and flight.fate.busy_s > 0 and self._up:
            self._calls += 1
            timer = asyncio.get_running_loop().call_later(flight.fate.busy_s, self._hang_up, self._calls)
            self._talking[self._calls] = (timer, units)
        else:
            self._release(units, 0 if flight.fate is None else units)
        if flight.told is not None:
            flight.told(flight.index, outcome)

    def _hang_up(self, call: int) -> None:
        _, units = self._talking.pop(call)
        self._release(units, units)

    def _release(self, held: int, written: int) -> None:
        self._held -= held
        self._in_flight -= written
        now_s = asyncio.get_running_loop().time() if self._blocked else 0.0
        while self._blocked:
            self._push(now_s, self._blocked.popleft(), 0)

    # ---- what is written down -----------------------------------------------------------------------------

    def _plan(self, message: Outgoing, answer_at_s: float, receipts: Iterable[LaterReceipt]) -> None:
        refs = self._peer.refs(message)
        for each in receipts:
            ref = refs[each.part] if refs else message.reference
            receipt = Receipt(
                carrier=self.name,
                ref=ref,
                state=each.state,
                at_ms=0,  # the postbag writes the time when it hands it over
                echoed=not refs,
                destination=message.address,
                code=each.code,
                text=each.text,
            )
            self._postbag.put(answer_at_s + each.after_s, receipt)

    def _line(self, message: Outgoing, part: int, word: str, now_s: float) -> bytes:
        arrival = Arrival(self.name, message.reference, message.address, part, word, now_s, self._now_ms())
        return msgspec.json.encode(arrival) + b"\n"


def _fate_of(flight: _Flight) -> Fate:
    assert flight.fate is not None  # a unit of it was written
    return flight.fate


def _open(path: str) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.set_blocking(fd, False)  # a line goes into the page cache: nothing here waits for a disk
    return fd
