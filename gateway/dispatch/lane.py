"""A lane: the worker of one (channel, mode). Claims batches, keeps their leases, gives them back.

A semaphore bounds the batches that are handing over; a batch that only waits for answers holds no permit, so a
carrier that never answers cannot stop the next batch. A batch more urgent than all that are handing over needs none,
nor does the first of a campaign: a few of these begin beside whatever is being sent.

Answers that the store has not taken yet are bounded by what carriers had in flight: nothing is granted without it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from channels.contract import Channel, Content, Mode
from gateway.bell import Bell
from gateway.dispatch.carriers import LaneCarriers
from gateway.dispatch.results import Rules
from gateway.dispatch.sending import STOPS_WITHIN_S, Sending
from gateway.dispatch.write_note import WriteNote
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.errors import StoreUnavailable
from store.outbox import batches, holds, recovery
from store.outbox.records import Batch, Settlement
from store.outbox.resending import Resending

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 1.0
"""Whoever makes work rings; this finds what another process made."""
NOT_SENT_REST_MS = 1_000
"""Of messages that every carrier has given back, and of those for which none was open."""
STALLED_REST_MS = 200
MOST_BEGINNING = 8
"""First batches of campaigns that hand over beside those that hold a permit."""
PERMISSION_EVERY_S = 0.4
"""How often it is asked whether what is in flight may still be written: several times within its permission."""
FAILED_REST_S = 1.0
LONGEST_UNPREPARED_MS = 2_000

PrepareContents = Callable[[Batch], Awaitable[Mapping[str, Content]]]
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
class _Unprepared:
    """A campaign whose words could not be made ready."""

    ms: int = STALLED_REST_MS // 2
    """How long it rests."""
    others_were: bool = False
    """Those of other rows of it were."""


@dataclass(slots=True)
class Lane:
    channel: Channel
    mode: Mode
    database: Database
    carriers: LaneCarriers
    rules: LaneRules
    generation: str
    node: str
    prepare: PrepareContents
    room_on_disk: Callable[[], bool]
    note: WriteNote | None = None
    """Where it is kept which messages a carrier begins to write."""
    bell: Bell = field(default_factory=Bell)
    """Rung when there may be work. A hint: the lane polls anyway."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _held: dict[tuple[int, int], Sending] = field(default_factory=dict)
    """By claim: a batch whose lease was lost may be claimed again here while answers of the first are awaited."""
    _handing_over: dict[tuple[int, int], int] = field(default_factory=dict)
    """Claim -> the batch's priority."""
    _beginning: int = 0
    """First batches that hand over without a permit."""
    _unprepared: dict[int, "_Unprepared"] = field(default_factory=dict)
    """Campaign -> how often its words could not be made ready; few, and forgotten with the process."""

    @property
    def batches_held(self) -> int:
        return len(self._held)

    def stop(self) -> None:
        """Claim nothing more, move no cursor; `run` returns once what is in flight is settled."""
        self.stopping.set()
        self.bell.ring()

    async def run(self) -> None:
        """Sends until `stop`. No failure of the store ends it: what it was about is tried again."""
        permits = asyncio.Semaphore(self.rules.batches_at_once)
        heartbeat = asyncio.create_task(self._keep_leases(), name=f"lease-{self.channel}-{self.mode}")
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self.stopping.is_set():
                    is_extra = permits.locked()
                    if not is_extra:
                        await permits.acquire()
                    batch = await self._claim(is_extra=is_extra)
                    if batch is None:
                        if not is_extra:
                            permits.release()
                        await self._listen()
                        continue
                    self._handing_over[batch.claim] = batch.priority
                    self._beginning += is_extra and batch.is_first
                    release = partial(self._release_extra, batch) if is_extra else permits.release
                    tasks.create_task(self._work(batch, release), name=f"batch-{batch.id}")
        finally:
            heartbeat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat

    def _release_extra(self, batch: Batch) -> None:
        self._beginning -= batch.is_first

    async def _listen(self) -> None:
        if not self.stopping.is_set():
            await self.bell.heard(POLL_S)

    # ---- claims --------------------------------------------------------------------------------------

    @property
    def _resending(self) -> Resending:
        return Resending(self.rules.resend_wait_ms, self.rules.most_resends)

    @property
    def _most_urgent(self) -> int:
        return min(self._handing_over.values(), default=0)

    async def _claim(self, *, is_extra: bool) -> Batch | None:
        """`is_extra`: no permit is free, so only what needs none."""
        if self.stopping.is_set() or not self.room_on_disk():
            return None
        try:
            if self.carriers.any_held:
                await self._look_at_holds()
            if not self.carriers.open(asyncio.get_running_loop().time()):
                return None  # leave it to a node that has an open carrier
            if is_extra:
                return await self.database.write(self._lease_extra, turn=Turn.FIRST)
            return await self.database.write(self._lease)
        except StoreUnavailable:
            log.warning("store cannot write", extra={"action": "claim-failed", "channel": self.channel})
        except Exception:
            log.exception("claim failed", extra={"action": "claim-failed", "channel": self.channel})
            await asyncio.sleep(FAILED_REST_S)
        return None

    async def _look_at_holds(self) -> None:
        """Nothing is asked of the fence on a carrier that was held: that its hold was lifted is seen here."""
        async with self.database.read() as conn:
            self.carriers.learn_holds(await holds.held_carriers(conn))

    async def _lease(self, tx: Transaction, before: int | None = None, first: bool = False) -> Batch | None:
        return await batches.claim(
            tx,
            self.channel,
            self.mode,
            self.node,
            self.rules.lease_ms,
            self._resending,
            before=before,
            first=first,
        )

    async def _lease_extra(self, tx: Transaction) -> Batch | None:
        before = self._most_urgent
        found = await self._lease(tx, before) if before > 0 else None
        if found is None and self._beginning < MOST_BEGINNING:
            found = await self._lease(tx, first=True)
        return found

    async def _keep_leases(self) -> None:
        """The heartbeat: leases are renewed well before they end, permissions to write while the campaign runs."""
        renewed_s = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(min(PERMISSION_EVERY_S, self.rules.lease_ms / 4000))
            held = [sending for sending in self._held.values() if sending.parts]
            try:
                now_s = asyncio.get_running_loop().time()
                if held and now_s - renewed_s >= self.rules.lease_ms / 4000:
                    renewed_s = now_s
                    await self._renew(held)
                # What is being handed over has its permission from the fence; what only waits asks before it ends.
                soon_s = now_s + STOPS_WITHIN_S - PERMISSION_EVERY_S
                await self._permit([s for s in held if s.waits and s.permitted_until_s < soon_s])
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("heartbeat failed", extra={"action": "heartbeat-failed", "channel": self.channel})

    async def _renew(self, held: Sequence[Sending]) -> None:
        asked_s = asyncio.get_running_loop().time()
        parts = [part for sending in held for part in sending.parts]
        ours = await self.database.write(lambda tx: batches.renew(tx, parts, self.rules.lease_ms))
        for sending in held:
            if all(part.claim in ours for part in sending.parts):
                sending.lease_ends_s = asked_s + self.rules.lease_ms / 1000

    async def _permit(self, held: Sequence[Sending]) -> None:
        """What is in flight may still be written, where the fence would let more of it go by the same carrier."""
        if not held:
            return
        asked_s = asyncio.get_running_loop().time()
        async with self.database.read() as conn:
            firsts = [sending.parts[0] for sending in held if sending.parts]
            going_on = await batches.going_on(conn, firsts, self.database.clock.now_ms())
            self.carriers.learn_holds(await holds.held_carriers(conn))
        for sending in held:
            if sending.parts and sending.parts[0].claim in going_on:
                sending.permit(asked_s)

    # ---- work ----------------------------------------------------------------------------------------

    async def _work(self, batch: Batch, release: Callable[[], None]) -> None:
        released = False

        def may_rest() -> None:
            nonlocal released
            if not released:
                released = True
                del self._handing_over[batch.claim]
                release()
                self.bell.ring()

        try:
            await self._send(batch, may_rest)
        except Exception:
            log.exception("batch failed", extra={"action": "batch-failed", "batch": batch.id})
            await self._abandon(batch)
        finally:
            self._held.pop(batch.claim, None)
            may_rest()
            self.bell.ring()

    async def _send(self, batch: Batch, may_rest: Callable[[], None]) -> None:
        lease_ends_s = asyncio.get_running_loop().time() + self.rules.lease_ms / 1000
        contents = await self._prepared(batch)
        if contents is None:
            return
        sending = Sending(
            batch=batch,
            contents=contents,
            carriers=self.carriers,
            database=self.database,
            rules=Rules(
                self.generation,
                self.rules.lease_ms,
                self.rules.most_attempts,
                self.rules.retry_delays_ms,
                self._resending,
                NOT_SENT_REST_MS,
            ),
            stopping=self.stopping,
            may_rest=may_rest,
            lease_ends_s=lease_ends_s,
            note=self.note,
        )
        self._held[batch.claim] = sending
        await sending.send()
        await self._give_back(sending)

    async def _prepared(self, batch: Batch) -> Mapping[str, Content] | None:
        """The words of its campaign; None where they cannot be made ready now. A fault of the store or of the campaign
        is no row's: the batch is given back, its campaign rests longer each time, and others go on. Only where other
        rows of the campaign were made ready meanwhile is it counted against those of this batch."""
        try:
            contents = await self.prepare(batch)
        except Exception as exc:
            rest = self._unprepared.setdefault(batch.campaign_id, _Unprepared())
            rest.ms = min(2 * rest.ms, LONGEST_UNPREPARED_MS)
            fields = {"action": "prepare-failed", "campaign": batch.campaign_id, "channel": self.channel}
            log.exception("a campaign's words cannot be made ready", extra=fields)
            may_be_the_row = not isinstance(exc, StoreUnavailable) and (len(batch.rows) > 1 or rest.others_were)
            if may_be_the_row:
                await self._abandon(batch)
            else:
                await self._insist(batch, lambda tx: self._put_back(tx, batch, rest.ms))
            return None
        if batch.campaign_id in self._unprepared:
            self._unprepared[batch.campaign_id].others_were = True
        return contents

    async def _put_back(self, tx: Transaction, batch: Batch, rest_ms: int) -> object:
        until_ms = tx.now_ms + rest_ms
        return await batches.give_back(tx, batch, (), retry_ms=until_ms, resending=self._resending, rest_ms=until_ms)

    async def _give_back(self, sending: Sending) -> None:
        batch, results = sending.batch, sending.results.settled
        rest = sending.no_carrier and not self.stopping.is_set()

        async def work(tx: Transaction) -> object:
            return await batches.let_go(
                tx,
                batch,
                sending.parts,
                results,
                (),
                retry_ms=sending.not_sent_until_ms(tx.now_ms),
                resending=self._resending,
                rest_ms=tx.now_ms + sending.rest_ms if rest else None,
                begins_again=sending.begins_again and not rest,
            )

        await self._insist(batch, work)
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
            except Exception:
                log.exception("answers cannot be kept", extra={"action": "give-back-failed", "batch": batch.id})
                await asyncio.sleep(FAILED_REST_S)

    async def _abandon(self, batch: Batch) -> None:
        """The batch threw: keep what is known, call the rest of what was in hand unknown, and count the stall."""
        sending = self._held.get(batch.claim)
        results: Sequence[Settlement] = sending.results.settled if sending else ()
        parts = sending.parts if sending and sending.parts else (batch,)

        async def work(tx: Transaction) -> list[recovery.Recovered]:
            await batches.lock_batches(tx, parts)
            await batches.settle(tx, batch, results)
            given_up = [await recovery.abandon(tx, part, (), STALLED_REST_MS) for part in parts]
            return [one for one in given_up if one is not None]

        for one in await self._insist(batch, work):
            if one.quarantined is not None:
                log.error("delivery quarantined", extra={"action": "quarantine", "delivery": one.quarantined})
