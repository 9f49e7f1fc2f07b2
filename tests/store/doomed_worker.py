"""A worker in a process of its own, made to be killed: claims a batch, settles some, keeps the rest in hand.

Usage: doomed_worker.py URL ADVANCED SETTLED LEASE_MS. Says `in hand` once everything is committed, then sleeps.
"""

import asyncio
import sys

from store.engine.database import open_database
from store.outbox import batches, fence
from store.outbox.ceilings import Ceiling
from store.outbox.fence import Grant, OpenCarrier
from store.outbox.records import Settlement
from store.outbox.resending import Resending
from store.states import DeliveryEvent


async def main(url: str, advanced: int, settled: int, lease_ms: int) -> None:
    async with open_database(url) as database:
        held = await database.write(lambda tx: batches.claim(tx, "sms", "live", "doomed", lease_ms, Resending(0, 3)))
        assert held is not None
        opening = OpenCarrier("c1", (Ceiling("wide", 100_000, 1.0, 0.0),), 100_000)
        grant = await database.write(
            lambda tx: fence.advance(
                tx, held, again=(), ahead=held.rows[:advanced], carriers=[opening], horizon_ms=250, lease_ms=lease_ms
            )
        )
        assert isinstance(grant, Grant)
        assert grant.slots.messages == advanced
        answers = [Settlement(r.id, DeliveryEvent.ACCEPTED, "c1", (f"ref-{r.id}",)) for r in held.rows[:settled]]
        await database.write(lambda tx: batches.settle(tx, held, answers))
        print("in hand", flush=True)
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *(int(a) for a in sys.argv[2:])))
