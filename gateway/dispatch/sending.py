"""One batch on its way: ask the fence, hand each message over at its slot, settle what comes back.

State lives in the store; what is here is lost in a crash and then found again as `unknown`.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile

from channels.contract import Content, Fit, Outcome, Outgoing, Permission, Refused
from channels.guard import guarded
from gateway.dispatch.carriers import Gate, LaneCarriers, Load
from gateway.dispatch.choosing import Choosing, Moving, Window
from gateway.dispatch.outcomes import UNFIT, is_for_us, is_trouble, settlement
from gateway.dispatch.references import message_reference, reference
from gateway.dispatch.refusals import RefusalMeaning, RefusalRun, Subject
from gateway.dispatch.write_note import WriteNote
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.errors import StoreUnavailable
from store.outbox import batches, fence
from store.outbox.fence import Fence, Grant
from store.outbox.records import Batch, DeliveryRow, Settlement
from store.outbox.resending import Resending
from store.states import DeliveryEvent

log = logging.getLogger(__name__)

HORIZON_MS = 250
"""How far ahead slots are taken: what may still leave after a stop, and how long an urgent kind waits."""
BEGINNING_MS = 1_000
"""How much farther for the first message of a campaign: behind the first ones of all others that begin with it."""
LEAD_S = 0.1
"""The next window is asked for this long, or longer, before the last slot of the present one."""
TICK_S = 0.005
"""Messages of the same tick are handed over together; well within a ceiling's guard."""
FLUSH_S = 0.1
"""Results wait at most this long to be settled."""
NO_CARRIER_S = 1.0
"""A batch is given back when no carrier has been open for this long."""
LONGEST_REST_S = 5.0
"""A batch whose carriers all refuse us is looked at again by then: another one may have come back."""
SLICE_S = 4.0
"""Handing over ends after this long, finished or not: another zone's turn comes by the tags."""
MOST_MOVES = 8
"""Times a message known not sent looks for another carrier before it waits for its batch's next round."""
STOPS_WITHIN_S = 1.8
"""What the fence allowed may be written this long after it was asked: a stop holds for every byte two seconds later."""
LEASE_MARGIN_S = 1.0
"""Somebody else may think us dead soon: nothing is written any more so long before the lease ends."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the channel and the mode say about sending."""

    generation: str
    lease_ms: int
    most_attempts: int
    retry_delays_ms: Sequence[int]
    """Before the second, third ... attempt of what a carrier put off; the last one repeats."""
    resending: Resending
    """How what is in doubt is sent again, where the kind says so."""
    rest_ms: int
    """Of messages that every carrier has given back, and of those for which none was open."""


@dataclass(frozen=True, slots=True)
class _LastWord:
    """A refusal by the last carrier that there was: it counts once it is known to be about the person."""

    m: Moving
    gate: Gate
    refusal: Refused
    run: RefusalRun
    since_s: float


@dataclass(slots=True)
class Sending:
    """One batch on its way; `send` is called once."""

    batch: Batch
    contents: Mapping[str, Content]
    """By language."""
    carriers: LaneCarriers
    database: Database
    rules: Rules
    stopping: asyncio.Event
    may_rest: Callable[[], None]
    """Called once, when nothing more will be handed over: the channel's permit is free for another batch."""
    lease_ends_s: float
    """Event-loop time; moved by the lane's heartbeat."""
    note: WriteNote | None = None
    """Where it is kept which of them a carrier begins to write."""
    fence: Fence | None = None
    yielded: bool = False
    no_carrier: bool = False
    results: list[Settlement] = field(default_factory=list)
    parts: tuple[Batch, ...] = ()
    """What is still held: the batch, or what of it waits for its answers."""
    permission: Permission = field(default_factory=lambda: Permission(0.0))
    _ahead: deque[DeliveryRow] = field(default_factory=deque)
    _again: deque[Moving] = field(default_factory=deque)
    _in_flight: dict[int, DeliveryRow] = field(default_factory=dict)
    """Handed over, and without an answer that counts."""
    _last_words: dict[int, _LastWord] = field(default_factory=dict)
    _begins: bool = False
    """Its first window is still to be asked for, ahead of those whose campaigns have begun."""
    _second_copies: bool = False
    """Some of its rows are sent again although somebody may have them."""
    _gave_turn: bool = False
    _unwanted: bool = False
    """Some message was given back by every carrier."""
    _began_s: float = 0.0
    _due_s: float = math.inf
    """When the first of what was put off or is in doubt may go: it must not wait for another's answer."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _last_flush_s: float = 0.0
    _rest_s: float = 0.0
    """How long the carriers that refuse us rest, where all do."""
    _noted: Callable[[int], None] | None = None
    _choosing: Choosing = field(init=False)

    def __post_init__(self) -> None:
        self._choosing = Choosing(self.batch.campaign_id, self.contents, self.carriers.gates)

    @property
    def rest_ms(self) -> int:
        """How long what has no carrier rests."""
        return max(self.rules.rest_ms, int(min(self._rest_s, LONGEST_REST_S) * 1000))

    def not_sent_until_ms(self, now_ms: int) -> int | None:
        """How long what is known not sent rests; None: it is free at once, as only this turn was over."""
        return now_ms + self.rest_ms if self.no_carrier or self._unwanted else None

    @property
    def waits(self) -> bool:
        """Whether something is in flight."""
        return bool(self._in_flight)

    async def send(self) -> None:
        """Send until nothing is left, a fence falls, the turn is over or the lane stops; let go at once what is left to
        send; then wait for what is in flight.

        What is not settled then is in `results`, for `give_back`; after an exception, too, for `abandon`.
        """
        self.parts = (self.batch,)
        self._ahead.extend(row for row in self.batch.rows if self._has_a_carrier(row))
        self._begins = self.batch.is_first
        if self.note is not None:
            self._noted = self.note.claim(self.batch)
        self._second_copies = any(row.is_doubted for row in self.batch.rows)
        self._began_s = asyncio.get_running_loop().time()
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            try:
                await self._hand_over(tasks)
            except Exception as exc:
                # What carriers have is heard to its end, and what is left is free; then it is told.
                failure = exc
            while self._in_flight:
                if self._ahead or self._again or asyncio.get_running_loop().time() >= self._due_s:
                    await self._let_go()
                self.may_rest()
                await self._wait(FLUSH_S)
                self._weigh_last_words()
                await self._flush()
        self.results += [self._not_sent(m.row) for m in self._again]
        if failure is not None:
            raise failure

    def permit(self, asked_s: float) -> None:
        """The fence said at this event-loop time, or later, that the campaign runs and the lease is ours."""
        self.permission.renew(min(asked_s + STOPS_WITHIN_S, self.lease_ends_s - LEASE_MARGIN_S))

    # ---- the fence -----------------------------------------------------------------------------------

    def _has_a_carrier(self, row: DeliveryRow) -> bool:
        """Where no carrier can take it, however long it waits, that is said at once."""
        if any(fit is not Fit.NOT for fit in self._choosing.fits(row)):
            return True
        self.results.append(Settlement(row.id, DeliveryEvent.REFUSED, "", (), *UNFIT))
        return False

    async def _hand_over(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        no_carrier_since: float | None = None
        while not self._finished(loop.time()):
            self._weigh_last_words()
            self._give_up_unwanted()
            if not (self._ahead or self._again):
                # Only answers are awaited; one of them may still be a message that needs another carrier.
                self.may_rest()
                await self._wait(FLUSH_S)
                await self._flush()
                continue
            window = self._choosing.window(self._again, self._ahead, loop.time(), self.carriers.most_messages)
            if window is None:
                no_carrier_since = no_carrier_since or loop.time()
                if self._is_refused(loop.time()) or loop.time() - no_carrier_since >= NO_CARRIER_S:
                    self.no_carrier = True
                    return
                await self._wait(0.05)
                await self._flush()
                continue
            no_carrier_since = None
            early_s = self._granted_for_s(window, loop.time()) - LEAD_S
            if window.waits or early_s > 0 or (self._in_flight and self._is_alone()):
                # Asked now, the fence would grant the few slots between those of other batches and the horizon.
                await self._wait(0.05 if window.waits else min(max(early_s, 0.01), FLUSH_S))
                await self._flush()
                continue
            await self._next_window(tasks, loop, window)

    def _granted_for_s(self, window: Window, now_s: float) -> float:
        """How long the carriers of the window have nothing to give but slots behind those granted already."""
        if self._begins or window.waits:
            return 0.0
        return self.carriers.granted_for_s(window.names, now_s)

    def _is_refused(self, now_s: float) -> bool:
        """Nothing has a carrier because they all have something against us: they rest for some time."""
        rows = [*(m.row for m in self._again), *self._ahead]
        bars = self._choosing.bars(rows)
        if not bars:
            return False
        self._rest_s = min(bar.barred_until_s for bar in bars) - now_s
        if not all(bar.is_told for bar in bars):
            fields = {"action": "nobody-takes", "campaign": self.batch.campaign_id, "channel": self.batch.channel}
            log.error("no carrier takes these messages: they wait until they expire", extra=fields | {"alarm": True})
        for bar in bars:
            bar.is_told = True
        return True

    def _is_alone(self) -> bool:
        """What is in flight, or what is next, is to be alone: it may kill whoever hands it over."""
        if self.batch.is_careful:
            return True
        if not self._second_copies:
            return False
        if any(row.is_alone for row in self._in_flight.values()):
            return True
        return bool(self._ahead) and self._ahead[0].is_alone

    def _finished(self, now_s: float) -> bool:
        if self.fence or self.yielded or self._gave_turn or self.stopping.is_set():
            return True
        if now_s >= self._due_s or (self._ahead and now_s - self._began_s >= SLICE_S):
            return True
        return not (self._ahead or self._again or self._in_flight)

    async def _next_window(self, tasks: asyncio.TaskGroup, loop: asyncio.AbstractEventLoop, window: Window) -> None:
        again, ahead = window.again, window.ahead
        if self._begins:
            ahead = self._first_ones(ahead)
        self._pass_over(window)
        answer = await self._advance(window, [m.row.units for m in again], ahead)
        if answer is None:
            await asyncio.sleep(0.5)
            return
        if isinstance(answer, Fence):
            self.fence = answer
            return
        self.yielded = answer.urgent_waits
        self._gave_turn = answer.others_begin and not self._begins
        if self.yielded or self._gave_turn:
            return
        if not answer.slots.messages:
            await self._wait(0.05)
            return
        self._begins = False
        self._gave_turn = answer.others_begin
        last_s = self._launch(tasks, answer, window)
        # Where answers take long they are asked for sooner, or slots would pass while they are on their way.
        ask_s = last_s - max(LEAD_S, 2 * self.carriers.timebase.head_start_us / 1e6)
        while not self._finished(loop.time()) and (left := ask_s - loop.time()) > 0:
            await self._wait(min(left, FLUSH_S))
            if self._again and loop.time() < ask_s:
                break

    def _give_up_unwanted(self) -> None:
        """What every carrier has given back waits for its batch's next round."""
        for m in self._again:
            if m.moves > MOST_MOVES:
                self._unwanted = True
                self.results.append(self._not_sent(m.row))
        self._again = deque(m for m in self._again if m.moves <= MOST_MOVES)

    def _first_ones(self, ahead: list[DeliveryRow]) -> list[DeliveryRow]:
        """Of a campaign that begins: so many that those that begin with it have theirs within a second; one at
        least."""
        units = self.carriers.rate_per_s * min(HORIZON_MS, BEGINNING_MS / (self.batch.others_begin + 1)) / 1000
        upto = list(takewhile(lambda total: total <= units, accumulate(row.units for row in ahead)))
        return ahead[: max(len(upto), 1)]

    def _pass_over(self, window: Window) -> None:
        """Those ahead for whom no carrier is open have their next turn with their batch's next round."""
        for _ in range(window.passed):
            self.results.append(self._not_sent(self._ahead.popleft()))
            self._unwanted = True

    async def _advance(self, window: Window, again: list[int], ahead: list[DeliveryRow]) -> Grant | Fence | None:
        """None when the store cannot write now: nothing was granted, the results are kept for later."""
        results, self.results = self.results, []
        timebase = self.carriers.timebase

        async def work(tx: Transaction) -> tuple[Grant | Fence, set[int]]:
            timebase.learn(tx.now_us, time.monotonic())
            gone = await batches.decided(tx, ahead) if self._second_copies else set()
            # The fence before the results: it locks the batch, and batches are locked before their deliveries.
            answer = await fence.advance(
                tx,
                self.batch,
                again=again,
                ahead=[row for row in ahead if row.id not in gone] if gone else ahead,
                carriers=self.carriers.of(
                    window.names, window.subject, window.shunned, asyncio.get_running_loop().time()
                ),
                horizon_ms=HORIZON_MS,
                lease_ms=self.rules.lease_ms,
                head_start_us=timebase.head_start_us,
                beginning_ms=BEGINNING_MS if self._begins else 0,
                yields=not self._begins,
            )
            await batches.settle(tx, self.batch, results)
            return answer, gone

        asked_s = asyncio.get_running_loop().time()
        try:
            async with self.carriers.one_at_a_time:
                answer, gone = await self.database.write(work)
        except StoreUnavailable:
            self.results = results + self.results
            log.warning("store cannot write", extra={"action": "advance-failed", "batch": self.batch.id})
            return None
        except BaseException:
            self.results = results + self.results  # for whoever gives the batch up
            raise
        self._last_flush_s = asyncio.get_running_loop().time()
        if gone:
            self._ahead = deque(row for row in self._ahead if row.id not in gone)
        if isinstance(answer, Grant):
            timebase.answered(answer.now_us, time.monotonic())
        if isinstance(answer, Grant):
            if answer.slots.messages:
                self.lease_ends_s = asked_s + self.rules.lease_ms / 1000
            self.permit(asked_s)
        return answer

    # ---- at the slots --------------------------------------------------------------------------------

    def _launch(self, tasks: asyncio.TaskGroup, grant: Grant, window: Window) -> float:
        """Start the window's task; returns the instant of its last slot."""
        base_s = self.carriers.timebase.loop_time(grant.slots.start_us)
        spacing_s = grant.slots.spacing_us / 1e6
        granted = window.again[: grant.slots.messages]
        if granted:
            ids = {m.row.id for m in granted}
            self._again = deque(m for m in self._again if m.row.id not in ids)
        granted += [Moving(self._ahead.popleft()) for _ in range(grant.slots.messages - len(granted))]
        due: deque[tuple[Outgoing, Moving]] = deque()
        at = 0
        try:
            for m in granted:
                instants = tuple(base_s + (at + k) * spacing_s for k in range(m.row.units))
                at += m.row.units
                due.append((self._outgoing(m.row, instants), m))
        except Exception:
            self._again.extend(granted)  # nothing of them has left
            raise
        self._in_flight |= {m.row.id: m.row for _, m in due}
        gate = self.carriers.gate(grant.carrier)
        is_trial = gate.tried(window.subject, at, asyncio.get_running_loop().time())
        for m in granted:
            m.on_trial = is_trial
        tasks.create_task(self._release(tasks, gate, due))
        self.carriers.granted_until_s[grant.carrier] = end_s = base_s + at * spacing_s
        return end_s

    def _outgoing(self, row: DeliveryRow, instants: tuple[float, ...]) -> Outgoing:
        return Outgoing(
            reference=reference(self.rules.generation, row.id, row.attempts + 1),
            address=row.address,
            name=row.name,
            content=self.contents[row.language],
            due=instants,
            expires_ms=self.batch.expires_ms,
            permission=self.permission,
            message=message_reference(self.rules.generation, row.id),
            number=row.id,
            begins=self._noted,
        )

    async def _release(self, tasks: asyncio.TaskGroup, gate: Gate, due: deque[tuple[Outgoing, Moving]]) -> None:
        """Hand messages over at their slots. A slot that was missed by more than the guard is dropped."""
        loop = asyncio.get_running_loop()
        while due:
            now = loop.time()
            wait_s = due[0][0].due[0] - now
            if wait_s > 0:
                await asyncio.sleep(max(wait_s, TICK_S))
                continue
            if now >= self.permission.not_after or gate.rests(self._choosing.subject(due[0][1].row), now):
                # It has been stopped, or somebody else may think us dead soon: what has not been written is not ours
                # to write. Or the carrier refuses everybody meanwhile.
                self._drop(gate, due, len(due))
                return
            ready = self._ready(due, now, gate)
            if ready:
                load = gate.take(sum(len(o.due) for o, _ in ready))
                tasks.create_task(self._deliver(gate, load, ready)).add_done_callback(load.close)
                # Let the carrier take them up first: only then does its room tell how much is left.
                await asyncio.sleep(0)
            elif due:
                await asyncio.sleep(TICK_S)

    def _ready(self, due: deque[tuple[Outgoing, Moving]], now: float, gate: Gate) -> list[tuple[Outgoing, Moving]]:
        ready: list[tuple[Outgoing, Moving]] = []
        room = gate.room
        while due and due[0][0].due[0] <= now:
            first = due[0][0].due
            if now - first[0] > gate.guard_s:
                self._drop(gate, due, 1)
            elif len(first) <= room or (not ready and room > 0 and gate.idle):
                room -= len(first)
                ready.append(due.popleft())
            else:
                break
        return ready

    def _drop(self, gate: Gate, due: deque[tuple[Outgoing, Moving]], n: int) -> None:
        for _ in range(n):
            _, m = due.popleft()
            if m.on_trial:
                gate.untried(self._choosing.subject(m.row), m.row.units)
            del self._in_flight[m.row.id]
            self._move(m, costs=0)
        self._news.set()

    async def _deliver(self, gate: Gate, load: Load, ready: list[tuple[Outgoing, Moving]]) -> None:
        async for index, outcome in guarded(gate.carrier, [o for o, _ in ready]):
            load.answered(len(ready[index][0].due))
            self._answered(gate, ready[index][1], outcome)

    def _answered(self, gate: Gate, m: Moving, outcome: Outcome) -> None:
        now_s = asyncio.get_running_loop().time()
        is_over = self.stopping.is_set() or self.database.clock.now_ms() >= self.batch.expires_ms
        gate.learn(outcome, is_trouble(outcome, is_over=is_over), now_s)
        subject = self._choosing.subject(m.row)
        self._news.set()
        if isinstance(outcome, Refused) and not outcome.refs:
            self._refused(gate, subject, m, outcome, now_s)
            return
        del self._in_flight[m.row.id]
        if is_for_us(outcome, self.batch.channel):
            gate.accepted(subject)
        elif m.on_trial:
            gate.untried(subject, m.row.units)
        result = settlement(
            m.row.id,
            outcome,
            gate.name,
            attempts=m.row.attempts,
            most_attempts=self.rules.most_attempts,
            delays_ms=self.rules.retry_delays_ms,
        )
        if result is None:
            self._move(m, costs=1)
        else:
            if self.note is not None:
                self.note.answered(self.batch.round, result)
            self.results.append(result)
            self._due_s = min(self._due_s, now_s + self._comes_back_s(result))

    def _refused(self, gate: Gate, subject: Subject, m: Moving, refusal: Refused, now_s: float) -> None:
        """It costs no attempt as long as there is another carrier, or until it is known to be about the person."""
        run = gate.refused(subject, m.row.id, refusal, now_s, m.row.units if m.on_trial else 0)
        if run.is_barred:
            del self._in_flight[m.row.id]
            self._move(m, costs=1)
            return
        m.words[gate.name] = refusal
        if self._choosing.has_other_carrier(m, now_s):
            del self._in_flight[m.row.id]
            self._move(m, costs=0)
        else:
            self._last_words[m.row.id] = _LastWord(m, gate, refusal, run, now_s)

    def _weigh_last_words(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for word in list(self._last_words.values()):
            m, refusal = word.m, word.refusal
            meant = word.run.word(word.since_s, now_s)
            if meant is RefusalMeaning.OPEN:
                continue
            del self._last_words[m.row.id]
            del self._in_flight[m.row.id]
            if meant is RefusalMeaning.OURS:
                del m.words[word.gate.name]
                self._move(m, costs=1)
            else:
                name = word.gate.name
                self.results.append(Settlement(m.row.id, DeliveryEvent.REFUSED, name, (), refusal.code, refusal.text))

    def _comes_back_s(self, result: Settlement) -> float:
        if result.event is DeliveryEvent.DEFERRED:
            return result.wait_ms / 1000
        if result.event is DeliveryEvent.IN_DOUBT and self.batch.crash_policy == "resend":
            return self.rules.resending.wait_ms / 1000
        return math.inf

    def _move(self, m: Moving, *, costs: int) -> None:
        m.moves += costs
        self._again.append(m)

    def _not_sent(self, row: DeliveryRow) -> Settlement:
        return Settlement(row.id, DeliveryEvent.NOT_SENT)

    # ---- where handing over ends -----------------------------------------------------------------------

    async def _let_go(self) -> None:
        """Keep only what waits for its answer: what is left to send, or may be sent again, is free for any lane. When
        the store is away it is tried again with the next answers."""
        moved = [self._not_sent(m.row) for m in self._again]
        results = self.results + moved
        self.results = []
        in_flight = set(self._in_flight)

        async def work(tx: Transaction) -> tuple[Batch, ...]:
            return await batches.let_go(
                tx,
                self.batch,
                self.parts,
                results,
                in_flight,
                retry_ms=self.not_sent_until_ms(tx.now_ms),
                resending=self.rules.resending,
                rest_ms=tx.now_ms + self.rest_ms if self.no_carrier else None,
            )

        try:
            self.parts = await self.database.write(work)
        except StoreUnavailable:
            self.results = results[: len(results) - len(moved)] + self.results
            log.warning("store cannot write", extra={"action": "split-failed", "batch": self.batch.id})
            return
        except BaseException:
            self.results = results + self.results
            raise
        self._gave_turn = True
        self._ahead.clear()
        self._again = deque(m for m in self._again if m.row.id not in {r.delivery_id for r in moved})
        self._due_s = math.inf

    # ---- results -------------------------------------------------------------------------------------

    async def _wait(self, timeout_s: float) -> None:
        """Until something was answered, or that long."""
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _flush(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.results or now - self._last_flush_s < FLUSH_S:
            return
        self._last_flush_s = now
        results, self.results = self.results, []
        try:
            await self.database.write(lambda tx: batches.settle(tx, self.batch, results))
        except StoreUnavailable:
            self.results = results + self.results
            log.warning("store cannot write", extra={"action": "settle-failed", "batch": self.batch.id})
        except BaseException:
            self.results = results + self.results
            raise
