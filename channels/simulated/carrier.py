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
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from channels.contract import (
    Accepted,
    CarrierState,
    CarrierStatus,
    Channel,
    Content,
    Fit,
    InDoubt,
    Mode,
    NotSent,
    Outcome,
    Outgoing,
    Permission,
    Receipt,
    ReceiptSink,
    Throttled,
)
from channels.permissions import ENDED, has_ended
from channels.simulated.peer import Fate, LaterReceipt, SimulatedPeer, Temper
from channels.simulated.receipt_queue import ReceiptQueue

_SHORTEST_SLEEP_S = 0.001  # uvloop counts whole milliseconds and would spin on less
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
    """One group on its way, in one session. Of each message only its next event stands in the heap."""

    def __init__(self, group: Sequence[Outgoing], session: int) -> None:
        self.group = group
        self.session = session
        self.unanswered = set(range(len(group)))
        self.fates: dict[int, Fate] = {}
        """Of those of which a unit was written."""
        self.blocked: list[int] = []
        """Due, and waiting for the window."""
        self.permissions: set[Permission] = {message.permission for message in group if message.permission is not None}
        """Those of the group that have not ended."""
        self.events = [(message.due[0], index, 0) for index, message in enumerate(group)]
        heapq.heapify(self.events)

    def pop_due(self, now_s: float) -> tuple[int, int] | None:
        if not self.events or self.events[0][0] > now_s:
            return None
        _, index, part = heapq.heappop(self.events)
        return index, part

    def push(self, at_s: float, index: int, part: int) -> None:
        heapq.heappush(self.events, (at_s, index, part))

    def next_at(self) -> float:
        """When something is due, or a permission ends."""
        at = self.events[0][0] if self.events else math.inf
        return min(at, *(permission.not_after for permission in self.permissions)) if self.permissions else at

    def drop_ended(self, now_s: float) -> bool:
        """Whether a permission has ended since this was last asked."""
        ended = {permission for permission in self.permissions if has_ended(permission, now_s)}
        self.permissions -= ended
        return bool(ended)


class SimulatedCarrier:
    """See `channels.contract.Carrier`. `now_ms` tells the time of day, UTC.

    A unit "leaves" when its time has come and the iterator of its group is being waited for: a caller that does
    not ask for the next outcome holds up the rest of that group, never earlier than due and of no other group.
    """

    def __init__(self, settings: SimulatedSettings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self._now_ms = now_ms
        self._peer = SimulatedPeer(settings)
        self._up = self._running = False
        self._session = 0
        self._detail = "not started"
        self._since_ms = now_ms()
        self._paused_until = -math.inf
        self._held = 0
        self._in_flight = 0
        self._crowded = False
        """Somebody waits for the window."""
        self._talking: dict[int, tuple[asyncio.TimerHandle, int]] = {}
        self._calls = 0
        self._bells: set[asyncio.Future[None]] = set()
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
    def chooses_by_address(self) -> bool:
        return False

    def fit(self, address: str, content: Content) -> Fit:
        return Fit.WHOLE

    async def send(self, group: Sequence[Outgoing]) -> AsyncIterator[tuple[int, Outcome]]:
        flight = _Flight(group, self._session)
        self._held += sum(len(message.due) for message in group)
        try:
            while flight.unanswered:
                for index, outcome in self._step(flight):
                    yield index, outcome
                if flight.unanswered:
                    await self._sleep_until(flight.next_at())
        finally:
            for index in tuple(flight.unanswered):  # the iterator was closed: nothing more of it leaves
                self._settle(flight, index)

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
        self._up, self._session, self._detail, self._since_ms = True, self._session + 1, "", self._now_ms()

    def _disconnect(self, reason: str) -> None:
        self._up, self._detail, self._since_ms = False, reason, self._now_ms()
        self._paused_until = -math.inf
        for timer, units in self._talking.values():
            timer.cancel()
            self._release(units, units)
        self._talking.clear()
        self._ring()

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

    def _step(self, flight: _Flight) -> list[tuple[int, Outcome]]:
        """Do what is due now; what it settled."""
        if not self._up or flight.session != self._session:
            return [(index, self._lost(flight, index)) for index in sorted(flight.unanswered)]
        now_s = asyncio.get_running_loop().time()
        for index in flight.blocked:
            flight.push(now_s, index, 0)
        flight.blocked.clear()
        settled = self._withdrawn(flight, now_s) if flight.drop_ended(now_s) else []
        written: list[bytes] = []
        while (event := flight.pop_due(now_s)) is not None:
            index, part = event
            if index not in flight.unanswered:
                continue
            outcome = self._advance(flight, index, part, now_s, written)
            if outcome is not None:
                settled.append((index, outcome))
        if self._dump_fd is not None and written:
            os.write(self._dump_fd, b"".join(written))
        return settled

    def _withdrawn(self, flight: _Flight, now_s: float) -> list[tuple[int, Outcome]]:
        """What has not begun when its permission ends is answered at once, due or not."""
        settled: list[tuple[int, Outcome]] = []
        for index in sorted(flight.unanswered - flight.fates.keys()):
            if has_ended(flight.group[index].permission, now_s):
                self._settle(flight, index)
                settled.append((index, ENDED))
        return settled

    def _advance(self, flight: _Flight, index: int, part: int, now_s: float, written: list[bytes]) -> Outcome | None:
        """Take one message one event further; its outcome when that settles it."""
        message = flight.group[index]
        if part == _ANSWER:
            return self._answered(flight, index, now_s)
        if part > 0 and has_ended(message.permission, now_s):
            self._cut(flight, index, part, now_s)
            return None
        if part == 0:
            if 0 < self._in_flight > self.settings.window - len(message.due):
                flight.blocked.append(index)
                self._crowded = True
                return None
            met = self._meet(message, now_s)
            if not isinstance(met, Fate):
                self._settle(flight, index)
                return met
            if message.begins is not None:
                message.begins(message.number)
            flight.fates[index] = met
            self._in_flight += len(message.due)
        self._arrivals.append(now_s)
        if self._dump_fd is not None:
            written.append(self._line(message, part, flight.fates[index].word, now_s))
        if part + 1 < len(message.due):
            flight.push(max(now_s, message.due[part + 1]), index, part + 1)
        else:
            fate = flight.fates[index]
            flight.push(now_s + fate.answer_s, index, _ANSWER)
            self._plan(message, now_s + fate.answer_s, fate.receipts)
        return None

    def _cut(self, flight: _Flight, index: int, parts: int, now_s: float) -> None:
        """Its first parts have left, and no more will: the answer to these is all that comes."""
        message, fate = flight.group[index], flight.fates[index]
        outcome, receipts = fate.outcome, tuple(each for each in fate.receipts if each.part < parts)
        if isinstance(outcome, Accepted | InDoubt):
            refs = self._peer.refs(message)[:parts] if isinstance(outcome, Accepted) else ()
            outcome = InDoubt("the permission to send it ended after a part of it", refs, "cut")
        flight.fates[index] = msgspec.structs.replace(fate, outcome=outcome, receipts=receipts)
        flight.push(now_s + fate.answer_s, index, _ANSWER)
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

    def _answered(self, flight: _Flight, index: int, now_s: float) -> Outcome:
        fate = flight.fates[index]
        if isinstance(fate.outcome, Throttled):
            self._paused_until = max(self._paused_until, now_s + fate.outcome.pause_s)
        self._settle(flight, index, fate.busy_s)
        return fate.outcome

    def _lost(self, flight: _Flight, index: int) -> Outcome:
        written = index in flight.fates
        self._settle(flight, index)
        reason = self._detail or "the session was lost"
        return InDoubt(reason) if written else NotSent(reason, withdrawn=not self._running)

    def _settle(self, flight: _Flight, index: int, busy_s: float = 0.0) -> None:
        flight.unanswered.discard(index)
        units = len(flight.group[index].due)
        written = units if flight.fates.pop(index, None) is not None else 0
        if busy_s > 0 and self._up:
            self._calls += 1
            timer = asyncio.get_running_loop().call_later(busy_s, self._hang_up, self._calls)
            self._talking[self._calls] = (timer, units)
        else:
            self._release(units, written)

    def _hang_up(self, call: int) -> None:
        _, units = self._talking.pop(call)
        self._release(units, units)

    def _release(self, held: int, written: int) -> None:
        self._held -= held
        self._in_flight -= written
        if self._crowded:
            self._crowded = False
            self._ring()

    # ---- waiting ----------------------------------------------------------------------------------------

    async def _sleep_until(self, at_s: float) -> None:
        """Until that time of the loop, or until the window or the session has changed."""
        loop = asyncio.get_running_loop()
        bell = loop.create_future()
        self._bells.add(bell)
        timer = None
        if at_s < math.inf:
            timer = loop.call_at(max(at_s, loop.time() + _SHORTEST_SLEEP_S), _set, bell)
        try:
            await bell
        finally:
            self._bells.discard(bell)
            if timer is not None:
                timer.cancel()

    def _ring(self) -> None:
        for bell in self._bells:
            _set(bell)

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


def _set(bell: "asyncio.Future[None]") -> None:
    if not bell.done():
        bell.set_result(None)


def _open(path: str) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.set_blocking(fd, False)  # a line goes into the page cache: nothing here waits for a disk
    return fd
