"""The outbox under everything that may happen to it, beside a world that knows what really became of each copy.

Workers claim, are granted, hand over, hear answers or none, let go, give back, die, stand still and wake; SMSCs take a
message or not, answer or not, and send receipts, early, late or twice; carriers, campaigns and everything are held and
let go; a campaign is stopped; time passes. After every step the sums are recounted, and nobody is told what is not so.
"""

import random
from dataclasses import dataclass, field

import sqlalchemy as sa

from store.campaigns import campaign_steps, cancelling
from store.clock import Clock
from store.engine.database import Database
from store.outbox import batches, hold_statements, holds, inbox, recovery
from store.outbox.ceilings import Ceiling
from store.outbox.fence import Grant, OpenCarrier
from store.outbox.inbox import ReceiptReport
from store.outbox.records import Batch, Settlement
from store.outbox.resending import Resending
from store.states import DeliveryEvent, DeliveryState
from store.tables import delivery
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close

RESENDING = Resending(wait_ms=5_000, most_attempts=3)
LEASE_MS = 15_000
CARRIERS = tuple(OpenCarrier(name, (Ceiling(name, 100_000, 1.0, 0.0),), 100_000) for name in ("c1", "c2"))


class HandClock(Clock):
    """Goes on when it is told to, so that a story told again is the same one. Only the store in a file follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.us = 1_700_000_000_000_000

    def now_us(self) -> int:
        self.us += 10
        return self.us


@dataclass
class Copy:
    """One attempt as it was: what the SMSC knows of it, whatever the gateway does."""

    delivery_id: int
    address: str
    carrier: str
    refs: tuple[str, ...] = ()
    """Of a copy that was taken, one a part."""
    fate: str = ""
    """Of a copy that was taken: delivered or failed."""
    known_lost: bool = False
    """The gateway was told that it was not taken, or by a receipt that it reached nobody."""
    is_told: bool = False
    """A receipt of it has come."""
    was_refused: bool = False
    """Known not taken: no copy that somebody may have."""


@dataclass
class Worker:
    held: Batch
    parts: tuple[Batch, ...]
    at: int = 0
    in_hand: dict[int, Copy] = field(default_factory=dict)
    split: bool = False


class World:
    def __init__(self, database: Database, chance: random.Random) -> None:
        self.database = database
        # Where the clock is the server's, nobody waits for it.
        self.resending = RESENDING if database.sqlite else Resending(wait_ms=0, most_attempts=3)
        self.lease_ms = LEASE_MS if database.sqlite else 3_600_000
        self.random = chance
        self.workers: list[Worker] = []
        self.asleep: list[Worker] = []
        self.copies: dict[int, list[Copy]] = {}
        self.receipts_of: list[tuple[Copy, str]] = []
        self.campaigns: list[make.Made] = []
        self.numbers = 0
        self.held: set[tuple[str, str]] = set()

    async def begin(self) -> None:
        town = await make.a_town(self.database, 6)
        for units, policy in ((1, "resend"), (2, "resend"), (1, "report")):
            made = await make.a_campaign(self.database, town, units=units, crash_policy=policy, batch_size=4)
            self.campaigns.append(made)

    # ---- what may happen ---------------------------------------------------------------------------------

    async def claim(self) -> None:
        held = await make.claim(self.database, lease_ms=self.lease_ms, resending=self.resending)
        if held is not None:
            self.workers.append(Worker(held, (held,)))

    async def advance(self) -> None:
        worker = self._one(lambda w: not w.split and w.at < len(w.held.rows))
        if worker is None:
            return
        grant = await make.advance(
            self.database, worker.held, self.random.randint(1, 3), skip=worker.at, carriers=CARRIERS
        )
        if not isinstance(grant, Grant):
            return
        held = {name for scope, name in self.held if scope == "carrier"}
        assert grant.held == held
        assert grant.carrier not in held, f"{grant.carrier} is held and was granted something"
        assert not self.held & {("all", ""), ("campaign", str(worker.held.campaign_id))}, "it is held and goes on"
        for row in worker.held.rows[worker.at : worker.at + grant.slots.messages]:
            worker.in_hand[row.id] = self._hand_over(row.id, row.address, row.units, grant.carrier)
        worker.at += grant.slots.messages

    def _hand_over(self, delivery_id: int, address: str, units: int, carrier: str) -> Copy:
        copy = Copy(delivery_id, address, carrier)
        if self.random.random() < 0.7:
            self.numbers += 1
            copy.refs = tuple(f"n{self.numbers}.{part}" for part in range(units))
            copy.fate = self.random.choice(("delivered", "delivered", "failed"))
            self.receipts_of += [(copy, ref) for ref in copy.refs]
        self.copies.setdefault(delivery_id, []).append(copy)
        return copy

    def _answer(self, copy: Copy) -> Settlement:
        """What comes back: the truth, or nothing."""
        if self.random.random() < 0.35:
            refs = copy.refs[: self.random.randint(0, 1)]
            return Settlement(copy.delivery_id, DeliveryEvent.IN_DOUBT, copy.carrier, refs)
        if copy.refs:
            return Settlement(copy.delivery_id, DeliveryEvent.ACCEPTED, copy.carrier, copy.refs)
        copy.known_lost = copy.was_refused = True
        event = self.random.choice((DeliveryEvent.REFUSED, DeliveryEvent.NOT_SENT, DeliveryEvent.DEFERRED))
        return Settlement(copy.delivery_id, event, copy.carrier, code="11", wait_ms=2_000)

    async def settle(self) -> None:
        worker = self._one(lambda w: w.in_hand)
        if worker is not None:
            now = [i for i in worker.in_hand if self.random.random() < 0.5]
            answers = [self._answer(worker.in_hand.pop(i)) for i in now]
            for _ in range(self.random.choice((1, 1, 2))):
                await make.settle(self.database, worker.held, answers)

    async def let_go(self) -> None:
        worker = self._one(lambda w: w.parts)
        if worker is None:
            return

        async def work(tx):
            return await batches.let_go(
                tx, worker.held, worker.parts, (), set(worker.in_hand), retry_ms=tx.now_ms, resending=self.resending
            )

        for _ in range(self.random.choice((1, 2))):  # told twice: the first commit's answer was lost
            parts = await self.database.write(work)
        worker.parts, worker.split = parts, True

    async def give_back(self) -> None:
        worker = self._one(lambda w: True)
        if worker is None:
            return
        self.workers.remove(worker)
        answers = [self._answer(copy) for copy in worker.in_hand.values()]

        async def work(tx):
            await batches.let_go(
                tx, worker.held, worker.parts, answers, (), retry_ms=tx.now_ms, resending=self.resending
            )

        await self.database.write(work)

    async def kill(self) -> None:
        """It dies, or it stands still and wakes when others have taken its batch."""
        worker = self._one(lambda w: True)
        if worker is None:
            return
        self.workers.remove(worker)
        if self.random.random() < 0.5:
            self.asleep.append(worker)
        await self.database.write(recovery.end_all_leases)
        await self.database.write(recovery.recover)
        for other in self.workers:
            # Every lease has ended with it: the others are asleep as well, from the store's side.
            self.asleep.append(other)
        self.workers.clear()

    async def wake(self) -> None:
        if self.asleep:
            worker = self.asleep.pop(self.random.randrange(len(self.asleep)))
            await make.settle(self.database, worker.held, [self._answer(copy) for copy in worker.in_hand.values()])

    async def receive(self) -> None:
        told = []
        for _ in range(self.random.randint(1, 3)):
            if self.receipts_of:
                copy, ref = self.random.choice(self.receipts_of)
                told.append(ReceiptReport(copy.carrier, ref, copy.fate, 1, destination=copy.address))
                copy.known_lost = copy.known_lost or copy.fate == "failed"
                copy.is_told = True
        if self.random.random() < 0.2:
            told.append(ReceiptReport("c1", f"foreign{self.random.random()}", "pending", 1, destination="+32470999999"))
        if told:
            await self.database.write(lambda tx: inbox.record(tx, told))

    async def hold(self) -> None:
        """Something is held, or what was held is let go."""
        campaign = str(self.random.choice(self.campaigns).id)
        thing = self.random.choice((("carrier", "c1"), ("carrier", "c2"), ("all", ""), ("campaign", campaign)))
        if thing in self.held:
            lifted = await self.database.write(lambda tx: holds.lift(tx, *thing))
            # That of a campaign goes by itself once nothing more of it leaves.
            assert lifted or await self.database.write(lambda tx: tx.follow(hold_statements.is_over(*thing)))
        else:
            assert await self.database.write(lambda tx: holds.place(tx, *thing, "storm", "op"))
        self.held ^= {thing}

    async def stop(self) -> None:
        if self.random.random() < 0.2:
            made = self.random.choice(self.campaigns)
            await self.database.write(lambda tx: campaign_steps.stop(tx, made.id, None))

    async def keep_house(self) -> None:
        seconds = self.random.choice((0, 1, 6, 70))
        if isinstance(self.database.clock, HandClock) and self.database.sqlite:
            self.database.clock.us += seconds * 1_000_000
        await self.database.write(recovery.recover)
        await make.tick(self.database)
        await self.database.write(cancelling.release_waiting)
        await self.database.write(campaign_steps.close_ended)
        await make.look_again(self.database)

    def _one(self, wanted) -> Worker | None:
        able = [worker for worker in self.workers if wanted(worker)]
        return self.random.choice(able) if able else None

    # ---- what must hold ----------------------------------------------------------------------------------

    async def check(self) -> None:
        async with self.database.read() as conn:
            for made in self.campaigns:
                await assert_sums_close(conn, made.id)
                await assert_no_one_is_forgotten(conn, made.id)
            rows = (await conn.execute(sa.select(delivery))).all()
        for row in rows:
            self._check_told(row)

    def _check_told(self, row) -> None:
        copies = self.copies.get(row.id, [])
        state = DeliveryState(row.state)
        doubtful = [c for c in copies if not c.was_refused]
        assert len(doubtful) <= RESENDING.most_attempts, f"{row.id} was sent {len(doubtful)} times"
        if state is DeliveryState.DELIVERED:
            assert any(c.fate == "delivered" and c.is_told for c in copies), f"{row.id} is told as delivered"
        if state in (DeliveryState.CANCELLED, DeliveryState.NOT_NEEDED):
            # A copy whose receipt said that it reached nobody was sent, and the one that was to follow is not.
            assert all(c.known_lost for c in copies), f"{row.id} is told as not sent and may have it"
        if state in (DeliveryState.FAILED, DeliveryState.EXPIRED):
            assert all(c.known_lost for c in copies), f"{row.id} is told as not reached and may have it"
