"""One batch on its way: ask the fence, hand each message over at its slot, settle what comes back.

State lives in the store; what is here is lost in a crash and then found again as `unknown`.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, takewhile

from channels.contract import Content, Fit, Outcome, Outgoing, Permission, Withdraw
from gateway.dispatch.carriers import Gate, LaneCarriers
from gateway.dispatch.choosing import Choosing, Moving, Window
from gateway.dispatch.outcomes import UNFIT
from gateway.dispatch.references import message_reference, reference
from gateway.dispatch.results import Results, Rules
from gateway.dispatch.write_note import WriteNote
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.errors import StoreUnavailable
from store.outbox import batches, fence
from store.outbox.fence import Fence, Grant
from store.outbox.records import Batch, DeliveryRow, Settlement
from store.states import DeliveryEvent

log = logging.getLogger(__name__)

HORIZON_MS = 250
LESS_URGENT_HORIZON_MS = 180
"""How far ahead slots are taken: how long an urgent kind waits for those of a less urgent one."""
LEAST_WINDOW_MS = 130
"""A window has at least so much that is new, however long before it is asked for: windows grow with the load."""
MOST_HORIZON_MS = 500
BEGINNING_MS = 1_000
"""How much farther for the first message of a campaign: behind the first ones of all others that begin with it."""
FLUSH_S = 0.1
"""Results wait at most this long to be settled."""
NO_CARRIER_S = 1.0
"""A batch is given back when no carrier has been open for this long."""
LONGEST_REST_S = 5.0
"""A batch whose carriers all refuse us is looked at again by then: another one may have come back."""
SLICE_S = 4.0
"""Handing over ends after this long, finished or not: another zone's turn comes by the tags."""
STOPS_WITHIN_S = 1.8
"""What the fence allowed may be written this long after it was asked: a stop holds for every byte two seconds later."""
LEASE_MARGIN_S = 1.0
"""Somebody else may think us dead soon: nothing is written any more so long before the lease ends."""


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
    results: Results = field(init=False)
    parts: tuple[Batch, ...] = ()
    """What is still held: the batch, or what of it waits for its answers."""
    permitted_until_s: float = 0.0
    """Until when what is in flight may be written, where its carrier is not held."""
    _permissions: dict[str, Permission] = field(default_factory=dict)
    """By carrier: that of one which comes to be held ends, whatever the others may."""
    _ahead: deque[DeliveryRow] = field(default_factory=deque)
    _begins: bool = False
    """Its first window is still to be asked for, ahead of those whose campaigns have begun."""
    _second_copies: bool = False
    """Some of its rows are sent again although somebody may have them."""
    _gave_turn: bool = False
    _lacked_carriers: bool = False
    """Some rows were passed over: no carrier was open for them."""
    _began_s: float = 0.0
    _decision: asyncio.Event = field(default_factory=asyncio.Event)
    _last_flush_s: float = 0.0
    _rest_s: float = 0.0
    """How long the carriers that refuse us rest, where all do."""
    _granted: Callable[[int], int] | None = None
    _choosing: Choosing = field(init=False)
    _withdraws: list[Withdraw] = field(default_factory=list)
    """Of the windows that were handed over."""
    _fault: Exception | None = None
    """What taking an answer in has raised: the batch is given up."""

    def __post_init__(self) -> None:
        self._choosing = Choosing(self.batch.campaign_id, self.contents, self.carriers.gates)
        self._permissions = {gate.name: Permission(0.0) for gate in self.carriers.gates}
        stopping, now_ms, expires_ms = self.stopping, self.database.clock.now_ms, self.batch.expires_ms

        def is_over() -> bool:
            return stopping.is_set() or now_ms() >= expires_ms

        # Nothing that these hold leads back here: a batch goes with its last user, and leaves nothing to collect.
        self.results = Results(self.batch, self._choosing, self.rules, self.note, is_over, decide=self._decision.set)

    @property
    def rest_ms(self) -> int:
        """How long what has no carrier rests."""
        return max(self.rules.rest_ms, int(min(self._rest_s, LONGEST_REST_S) * 1000))

    def not_sent_until_ms(self, now_ms: int) -> int | None:
        """How long what is known not sent rests; None: it is free at once, as only this turn was over."""
        return now_ms + self.rest_ms if self.no_carrier or self._lacked_carriers or self.results.are_unwanted else None

    @property
    def begins_again(self) -> bool:
        """Whether it is a campaign's first batch and nobody has been told: its first messages missed their slots."""
        return self.batch.is_first and not self.results.begun

    @property
    def waits(self) -> bool:
        """Whether something is in flight."""
        return bool(self.results.in_flight)

    async def send(self) -> None:
        """Send until nothing is left, a fence falls, the turn is over or the lane stops; let go at once what is left to
        send; then wait for what is in flight.

        What is not settled then is in `results`, for `give_back`; after an exception, too, for `abandon`.
        """
        self.parts = (self.batch,)
        self._ahead.extend(row for row in self.batch.rows if self._has_a_carrier(row))
        self._begins = self.batch.is_first
        if self.note is not None:
            self._granted = self.note.claim(self.batch)
        self._second_copies = any(row.is_doubted for row in self.batch.rows)
        self._began_s = asyncio.get_running_loop().time()
        results, loop = self.results, asyncio.get_running_loop()
        failure: Exception | None = None
        try:
            try:
                await self._hand_over()
            except Exception as exc:
                # What carriers have is heard to its end, and what is left is free; then it is told.
                failure = exc
            while results.in_flight and self._fault is None:
                if self._ahead or results.again or loop.time() >= results.due_s:
                    await self._let_go()
                self.may_rest()
                await self._wait(FLUSH_S)
                results.weigh_last_words(loop.time())
                await self._flush()
        finally:
            for withdraw in self._withdraws:
                withdraw()
            self._withdraws.clear()  # each leads to its messages, and back here
        for m in results.again:
            results.not_sent(m.row)
        failure = self._fault or failure
        if failure is not None:
            raise failure

    def permit(self, asked_s: float) -> None:
        """The store said at this event-loop time, or later, that the campaign runs, that the lease is ours, and which
        carriers are held."""
        until_s = min(asked_s + STOPS_WITHIN_S, self.lease_ends_s - LEASE_MARGIN_S)
        self.permitted_until_s = max(self.permitted_until_s, until_s)
        for gate in self.carriers.gates:
            if not gate.is_held:
                self._permissions[gate.name].renew(until_s)

    # ---- the fence -----------------------------------------------------------------------------------

    def _has_a_carrier(self, row: DeliveryRow) -> bool:
        """Where no carrier can take it, however long it waits, that is said at once."""
        if any(fit is not Fit.NOT for fit in self._choosing.fits(row)):
            return True
        self.results.settled.append(Settlement(row.id, DeliveryEvent.REFUSED, "", (), *UNFIT))
        return False

    async def _hand_over(self) -> None:
        loop, results = asyncio.get_running_loop(), self.results
        no_carrier_since: float | None = None
        while not self._finished(loop.time()):
            results.weigh_last_words(loop.time())
            results.give_up_unwanted()
            if not (self._ahead or results.again):
                # Only answers are awaited; one of them may still be a message that needs another carrier.
                self.may_rest()
                await self._wait(FLUSH_S)
                await self._flush()
                continue
            window = self._choosing.window(results.again, self._ahead, loop.time(), self.carriers.most_messages)
            if window is None:
                no_carrier_since = no_carrier_since or loop.time()
                if self._is_refused(loop.time()) or loop.time() - no_carrier_since >= NO_CARRIER_S:
                    self.no_carrier = True
                    return
                await self._wait(0.05)
                await self._flush()
                continue
            no_carrier_since = None
            early_s = self._granted_for_s(window, loop.time()) - self.carriers.lead_s
            if window.waits or early_s > 0 or (results.in_flight and self._is_alone()):
                # Asked now, the fence would grant the few slots between those of other batches and the horizon.
                await self._wait(0.05 if window.waits else min(max(early_s, 0.01), FLUSH_S))
                await self._flush()
                continue
            await self._next_window(window)

    def _granted_for_s(self, window: Window, now_s: float) -> float:
        """How long the carriers of the window have nothing to give but slots behind those granted already."""
        if self._begins or window.waits:
            return 0.0
        return self.carriers.granted_for_s(window.names, now_s)

    def _is_refused(self, now_s: float) -> bool:
        """Nothing has a carrier because they all have something against us: they rest for some time."""
        rows = [*(m.row for m in self.results.again), *self._ahead]
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
        if any(row.is_alone for row in self.results.in_flight.values()):
            return True
        return bool(self._ahead) and self._ahead[0].is_alone

    def _finished(self, now_s: float) -> bool:
        if self.fence or self.yielded or self._gave_turn or self._fault or self.stopping.is_set():
            return True
        if now_s >= self.results.due_s or (self._ahead and now_s - self._began_s >= SLICE_S):
            return True
        return not (self._ahead or self.results.again or self.results.in_flight)

    async def _next_window(self, window: Window) -> None:
        loop = asyncio.get_running_loop()
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
        last_s = self._launch(answer, window)
        ask_s = last_s - self.carriers.lead_s
        while not self._finished(loop.time()) and (left := ask_s - loop.time()) > 0:
            await self._wait(min(left, FLUSH_S))
            if self.results.again and loop.time() < ask_s:
                break

    def _first_ones(self, ahead: list[DeliveryRow]) -> list[DeliveryRow]:
        """Of a campaign that begins: so many that those that begin with it have theirs within a second; one at
        least."""
        units = self.carriers.rate_per_s * min(self._horizon_ms, BEGINNING_MS / (self.batch.others_begin + 1)) / 1000
        upto = list(takewhile(lambda total: total <= units, accumulate(row.units for row in ahead)))
        return ahead[: max(len(upto), 1)]

    def _pass_over(self, window: Window) -> None:
        """Those ahead for whom no carrier is open have their next turn with their batch's next round."""
        for _ in range(window.passed):
            self.results.not_sent(self._ahead.popleft())
            self._lacked_carriers = True

    @property
    def _horizon_ms(self) -> int:
        usual = LESS_URGENT_HORIZON_MS if self.batch.priority else HORIZON_MS
        lead_ms = int(self.carriers.lead_s * 1000)
        return min(max(usual, lead_ms + LEAST_WINDOW_MS), MOST_HORIZON_MS)

    @property
    def _turn(self) -> Turn:
        return Turn.USUAL if self.batch.priority else Turn.FIRST

    async def _advance(self, window: Window, again: list[int], ahead: list[DeliveryRow]) -> Grant | Fence | None:
        """None when the store cannot write now: nothing was granted, the results are kept for later."""
        results = self.results.take()
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
                horizon_ms=self._horizon_ms,
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
                answer, gone = await self.database.write(work, turn=self._turn)
        except StoreUnavailable:
            self.results.put_back(results)
            log.warning("store cannot write", extra={"action": "advance-failed", "batch": self.batch.id})
            return None
        except BaseException:
            self.results.put_back(results)  # for whoever gives the batch up
            raise
        self._last_flush_s = asyncio.get_running_loop().time()
        if gone:
            self._ahead = deque(row for row in self._ahead if row.id not in gone)
        if isinstance(answer, Grant):
            timebase.answered(answer.now_us, time.monotonic(), asked_s)
        if isinstance(answer, Grant):
            if answer.slots.messages:
                self.lease_ends_s = asked_s + self.rules.lease_ms / 1000
            self.carriers.learn_holds(answer.held)
            self.permit(asked_s)
        return answer

    # ---- at the slots --------------------------------------------------------------------------------

    def _launch(self, grant: Grant, window: Window) -> float:
        """Hand the granted messages over; returns the instant of their last slot."""
        base_s = self.carriers.timebase.loop_time(grant.slots.start_us)
        spacing_s = grant.slots.spacing_us / 1e6
        moving = window.again[: grant.slots.messages]
        if moving:
            ids = {m.row.id for m in moving}
            self.results.again = deque(m for m in self.results.again if m.row.id not in ids)
        moving += [Moving(self._ahead.popleft()) for _ in range(grant.slots.messages - len(moving))]
        permission = self._permissions[grant.carrier]
        messages: list[Outgoing] = []
        at = 0
        try:
            for m in moving:
                instants = tuple(base_s + (at + k) * spacing_s for k in range(m.row.units))
                at += m.row.units
                messages.append(self._outgoing(m.row, instants, permission))
        except Exception:
            self.results.again.extend(moving)  # nothing of them has left
            raise
        self._give(self.carriers.gate(grant.carrier), window, moving, messages)
        self.carriers.granted_until_s[grant.carrier] = end_s = base_s + at * spacing_s
        return end_s

    def _give(self, gate: Gate, window: Window, moving: list[Moving], messages: list[Outgoing]) -> None:
        loop = asyncio.get_running_loop()
        units = sum(m.row.units for m in moving)
        is_trial = gate.tried(window.subject, units, loop.time())
        for m in moving:
            m.on_trial = is_trial
        self.results.in_flight |= {m.row.id: m.row for m in moving}

        def told(index: int, outcome: Outcome) -> None:
            try:
                self.results.answered(gate, moving[index], outcome, loop.time())
            except Exception as exc:
                # A fault of ours is this batch's, and not the carrier's, in whose hands we are here.
                self._fault = self._fault or exc
                self._decision.set()

        subjects = [self._choosing.subject(m.row) for m in moving]
        self._withdraws.append(gate.slots.hand_over(messages, told, subjects))
        # It may have come to refuse them while the fence was asked.
        gate.call_back_what_rests(loop.time())

    def _outgoing(self, row: DeliveryRow, instants: tuple[float, ...], permission: Permission) -> Outgoing:
        return Outgoing(
            reference=reference(self.rules.generation, row.id, row.attempts + 1),
            address=row.address,
            name=row.name,
            content=self.contents[row.language],
            due=instants,
            expires_ms=self.batch.expires_ms,
            permission=permission,
            message=message_reference(self.rules.generation, row.id),
            number=0 if self._granted is None else self._granted(row.id),
            begins=None if self.note is None else self.note.begun,
        )

    # ---- where handing over ends -----------------------------------------------------------------------

    async def _let_go(self) -> None:
        """Keep only what waits for its answer: what is left to send, or may be sent again, is free for any lane. When
        the store is away it is tried again with the next answers."""
        results = self.results
        known = results.take()
        moved = [Settlement(m.row.id, DeliveryEvent.NOT_SENT) for m in results.again]
        in_flight = set(results.in_flight)

        async def work(tx: Transaction) -> tuple[Batch, ...]:
            return await batches.let_go(
                tx,
                self.batch,
                self.parts,
                known + moved,
                in_flight,
                retry_ms=self.not_sent_until_ms(tx.now_ms),
                resending=self.rules.resending,
                rest_ms=tx.now_ms + self.rest_ms if self.no_carrier else None,
                begins_again=self.begins_again,
            )

        try:
            self.parts = await self.database.write(work)
        except StoreUnavailable:
            results.put_back(known)
            log.warning("store cannot write", extra={"action": "split-failed", "batch": self.batch.id})
            return
        except BaseException:
            results.put_back(known + moved)
            raise
        self._gave_turn = True
        self._ahead.clear()
        gone = {r.delivery_id for r in moved}
        results.again = deque(m for m in results.again if m.row.id not in gone)
        results.due_s = math.inf

    # ---- results -------------------------------------------------------------------------------------

    async def _wait(self, timeout_s: float) -> None:
        """Until there is something to decide, or that long."""
        self._decision.clear()
        timer = asyncio.get_running_loop().call_later(timeout_s, self._decision.set)
        try:
            await self._decision.wait()
        finally:
            timer.cancel()

    async def _flush(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.results.settled or now - self._last_flush_s < FLUSH_S:
            return
        self._last_flush_s = now
        results = self.results.take()
        try:
            await self.database.write(lambda tx: batches.settle(tx, self.batch, results))
        except StoreUnavailable:
            self.results.put_back(results)
            log.warning("store cannot write", extra={"action": "settle-failed", "batch": self.batch.id})
        except BaseException:
            self.results.put_back(results)
            raise
