"""A lane: the worker of one (channel, mode). Claims batches, keeps their leases, gives them back.

A semaphore bounds the batches that are handing over; a batch that only waits for answers holds no permit, so a
carrier that never answers cannot stop the next batch. A batch more urgent than all that are handing over needs none.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from channels.contract import Channel, Content, Mode
from gateway.dispatch.sending import Rules, Sending
from gateway.dispatch.ways import Ways
from store import batches, recovery
from store.batches import Resending
from store.database import Database
from store.errors import StoreUnavailable
from store.records import Batch, Settlement
from store.transaction import Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 1.0
"""Whoever makes work rings; this finds what another process made."""
NO_WAY_REST_MS = 1_000
NOT_SENT_REST_MS = 1_000
"""Of messages that every carrier has given back: none would have them."""
STALLED_REST_MS = 200

Prepare = Callable[[Batch], Awaitable[Mapping[str, Content]]]
"""The contents of a batch's campaign by language, ready to be handed to carriers."""


@dataclass(frozen=True, slots=True)
class LaneRules:
    """What the channel says about its lane."""

    batches_at_once: int
    """Permits of the channel's semaphore."""
    lease_ms: int
    retry_delays_ms: Sequence[int]
    """Before the second, third ... attempt of what a carrier put off; the last one repeats."""
    most_attempts: int
    most_resends: int
    """Attempts up to which an in-doubt message of an urgent kind is sent again: what bounds doubles."""
    resend_wait_ms: int
    """Receipts are waited for this long before an in-doubt message of an urgent kind is sent again."""


@dataclass(slots=True)
class Lane:
    channel: Channel
    mode: Mode
    database: Database
    ways: Ways
    rules: LaneRules
    generation: str
    node: str
    prepare: Prepare
    room_on_disk: Callable[[], bool]
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    """Rung when there may be work. A hint: the lane polls anyway."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _held: dict[tuple[int, int], Sending] = field(default_factory=dict)
    """By claim: a batch whose lease was lost may be claimed again here while answers of the first are awaited."""
    _handing_over: dict[tuple[int, int], int] = field(default_factory=dict)
    """Claim -> the batch's priority."""
    _unsettled: int = 0

    @property
    def batches_held(self) -> int:
        return len(self._held)

    def stop(self) -> None:
        """Claim nothing more, move no cursor; `run` returns once what is in flight is settled."""
        self.stopping.set()
        self.bell.set()

    async def run(self) -> None:
        """Until `stop`. An unexpected failure of the store's own code leaves here and ends the process."""
        permits = asyncio.Semaphore(self.rules.batches_at_once)
        heartbeat = asyncio.create_task(self._keep_leases(), name=f"lease-{self.channel}-{self.mode}")
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self.stopping.is_set():
                    is_extra = permits.locked()
                    if not is_extra:
                        await permits.acquire()
                    batch = await self._claim(self._most_urgent if is_extra else None)
                    if batch is None:
                        if not is_extra:
                            permits.release()
                        await self._listen()
                        continue
                    self._handing_over[batch.claim] = batch.priority
                    release = _nothing if is_extra else permits.release
                    tasks.create_task(self._work(batch, release), name=f"batch-{batch.id}")
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat

    async def _listen(self) -> None:
        if self.stopping.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self.bell.wait()
        self.bell.clear()

    # ---- claims --------------------------------------------------------------------------------------

    @property
    def _resending(self) -> Resending:
        return Resending(self.rules.resend_wait_ms, self.rules.most_resends)

    @property
    def _most_urgent(self) -> int:
        return min(self._handing_over.values(), default=0)

    async def _claim(self, before: int | None) -> Batch | None:
        if before == 0 or self.stopping.is_set() or not self.room_on_disk():
            return None
        if not self.ways.open(asyncio.get_running_loop().time()):
            return None  # leave it to a node that has a way out
        try:
            return await self.database.write(lambda tx: self._lease(tx, before))
        except StoreUnavailable:
            log.warning("store cannot write", extra={"action": "claim-failed", "channel": self.channel})
            return None

    async def _lease(self, tx: Transaction, before: int | None) -> Batch | None:
        return await batches.claim(
            tx, self.channel, self.mode, self.node, self.rules.lease_ms, self._resending, before=before
        )

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self.rules.lease_ms / 4000)
            held = list(self._held.values())
            if not held:
                continue
            asked_s = asyncio.get_running_loop().time()
            try:
                ours = await self.database.write(
                    lambda tx, b=[s.batch for s in held]: batches.renew(tx, b, self.rules.lease_ms)  # type: ignore[misc]
                )
            except StoreUnavailable:
                continue
            for sending in held:
                if sending.batch.claim in ours:
                    sending.lease_ends_s = asked_s + self.rules.lease_ms / 1000

    # ---- work ----------------------------------------------------------------------------------------

    async def _work(self, batch: Batch, release: Callable[[], None]) -> None:
        released = False

        def may_rest() -> None:
            nonlocal released
            if not released:
                released = True
                del self._handing_over[batch.claim]
                release()
                self.bell.set()

        try:
            await self._send(batch, may_rest)
        except Exception:
            log.exception("batch failed", extra={"action": "batch-failed", "batch": batch.id})
            await self._abandon(batch)
        finally:
            self._held.pop(batch.claim, None)
            may_rest()
            self.bell.set()

    async def _send(self, batch: Batch, may_rest: Callable[[], None]) -> None:
        lease_ends_s = asyncio.get_running_loop().time() + self.rules.lease_ms / 1000
        sending = Sending(
            batch=batch,
            contents=await self.prepare(batch),
            ways=self.ways,
            database=self.database,
            rules=Rules(self.generation, self.rules.lease_ms, self.rules.most_attempts, self.rules.retry_delays_ms),
            stopping=self.stopping,
            may_rest=may_rest,
            lease_ends_s=lease_ends_s,
        )
        self._held[batch.claim] = sending
        await sending.send()
        await self._give_back(sending)

    async def _give_back(self, sending: Sending) -> None:
        batch, results = sending.batch, sending.results
        rest = sending.no_way and not self.stopping.is_set()

        async def work(tx: Transaction) -> object:
            return await batches.give_back(
                tx,
                batch,
                results,
                retry_ms=tx.now_ms + NOT_SENT_REST_MS,
                resending=self._resending,
                rest_ms=tx.now_ms + NO_WAY_REST_MS if rest else None,
            )

        state = await self._insist(batch, work)
        log.info(
            "batch",
            extra={
                "action": "batch",
                "batch": batch.id,
                "campaign": batch.campaign_id,
                "channel": self.channel,
                "mode": self.mode,
                "rows": len(batch.rows),
                "round": batch.round,
                "fence": sending.fence or "",
                "state": str(state),
            },
        )

    async def _insist(self, batch: Batch, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """What carriers have answered must be kept, however long the store is away: facts count even after the lease
        has ended, and forgotten ones would be sent again. Nothing is claimed meanwhile, so they stay few. A stop
        waits for it as long as it waits for carriers."""
        said = False
        while True:
            try:
                return await self.database.write(work)
            except StoreUnavailable:
                if not said:
                    log.error("answers wait for the store", extra={"action": "give-back-waits", "batch": batch.id})
                said = True
                await asyncio.sleep(0.2)

    async def _abandon(self, batch: Batch) -> None:
        """The batch threw: keep what is known, call the rest of what was in hand unknown, and count the stall."""
        sending = self._held.get(batch.claim)
        results: Sequence[Settlement] = sending.results if sending else ()
        result = await self._insist(batch, lambda tx: recovery.abandon(tx, batch, results, STALLED_REST_MS))
        if result is not None and result.quarantined is not None:
            log.error("delivery quarantined", extra={"action": "quarantine", "delivery": result.quarantined})


def _nothing() -> None:
    """What an extra batch gives back."""
