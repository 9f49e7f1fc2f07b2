"""The outbox's own steps and nothing else: claim, fence, settle and give back, receipts; outcomes are made up.

    python -m loadtest.bench.outbox_steps --store URL --node n1 --at EPOCH_S

works until nothing is left to claim and prints {"lives": n, "start_s": ..., "end_s": ..., "cpu_us": ...} (wall clock).
"""

import argparse
import asyncio
import json
import time

from loadtest.bench.queue import CARRIER
from store.engine.database import Database, open_database
from store.outbox import batches, fence, inbox
from store.outbox.ceilings import Ceiling
from store.outbox.fence import Fence, OpenCarrier
from store.outbox.inbox import ReceiptReport
from store.outbox.records import Batch, DeliveryRow, Settlement
from store.outbox.resending import Resending
from store.states import DeliveryEvent

_AT_ONCE = 4
"""Batches under way, as a lane of the product has."""
_LEASE_MS = 60_000
_HORIZON_MS = 250
_CARRIER = OpenCarrier(CARRIER, (Ceiling(CARRIER, count=1_000_000, window_s=1.0, guard_s=0.0),), 1_000_000)
_RESENDING = Resending(wait_ms=0, most_attempts=1)


def ref_of(delivery_id: int) -> str:
    """As an SMSC gives them: decimal, one after the other."""
    return str(1_000_000 + (delivery_id & 0xFFFFFF))


async def work(database: Database, node: str) -> int:
    """Deliveries whose whole life was recorded."""
    lives = 0
    while True:
        held = await database.write(lambda tx: batches.claim(tx, "sms", "live", node, _LEASE_MS, _RESENDING))
        if held is None:
            return lives
        await _pass_the_fence(database, held)
        await _settle(database, held)
        reports = [_report(row) for row in held.rows]
        recorded = await database.write(lambda tx, r=reports: inbox.record(tx, r))  # type: ignore[misc]
        assert recorded.matched == len(reports), "every receipt finds its delivery"
        lives += len(held.rows)


async def _pass_the_fence(database: Database, held: Batch) -> None:
    ahead = held.rows
    while ahead:
        rows = ahead
        grant = await database.write(
            lambda tx, rows=rows: fence.advance(  # type: ignore[misc]
                tx, held, again=(), ahead=rows, carriers=(_CARRIER,), horizon_ms=_HORIZON_MS, lease_ms=_LEASE_MS
            )
        )
        assert not isinstance(grant, Fence), grant
        ahead = ahead[grant.slots.messages :]


async def _settle(database: Database, held: Batch) -> None:
    accepted = [Settlement(row.id, DeliveryEvent.ACCEPTED, CARRIER, (ref_of(row.id),)) for row in held.rows]
    await database.write(lambda tx: batches.give_back(tx, held, accepted, retry_ms=tx.now_ms, resending=_RESENDING))


def _report(row: DeliveryRow) -> ReceiptReport:
    return ReceiptReport(carrier=CARRIER, ref=ref_of(row.id), state="delivered", at_ms=0, destination=row.address)


async def run(url: str, node: str, at_s: float) -> dict[str, float]:
    async with open_database(url) as database:
        await asyncio.sleep(max(0.0, at_s - time.time()))
        start_s, cpu_s = time.time(), time.process_time()
        lives = sum(await asyncio.gather(*(work(database, node) for _ in range(_AT_ONCE))))
        end_s, used_s = time.time(), time.process_time() - cpu_s
    return {"lives": lives, "start_s": start_s, "end_s": end_s, "cpu_us": 1e6 * used_s / max(lives, 1)}


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench.outbox_steps", description="The outbox without a network."
    )
    parser.add_argument("--store", required=True, metavar="URL")
    parser.add_argument("--node", default="n1")
    parser.add_argument(
        "--at", type=float, default=0.0, metavar="EPOCH_S", help="when to begin: several begin together"
    )
    options = parser.parse_args()
    print(json.dumps(uvloop.run(run(options.store, options.node, options.at))))


if __name__ == "__main__":
    main()
