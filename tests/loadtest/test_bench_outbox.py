"""The outbox's row: both loops live the same lives, or their ratio would say nothing."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from loadtest.bench import outbox_byhand, outbox_steps
from loadtest.bench.queue import BATCH, delivered, fill
from store.engine.database import open_database
from store.tables import batch, carrier_ref, delivery, progress

DELIVERIES = 2 * BATCH + 7
_DELIVERY = ("id", "state", "attempts", "round", "charged", "doubted", "carrier", "code")
_REF = ("carrier", "ref", "delivery_id", "attempt", "part", "parts", "state")
_PROGRESS = ("queued", "accepted", "delivered", "charged_millieuro")
_BATCH = ("first", "last", "cursor", "state", "lease", "round", "node", "due_ms")


async def left(url: str) -> list[list[tuple[object, ...]]]:
    """What a loop leaves behind, but for instants."""
    async with open_database(url) as database, database.read() as conn:
        kept = ((delivery, _DELIVERY), (carrier_ref, _REF), (progress, _PROGRESS), (batch, _BATCH))
        return [
            sorted(tuple(row) for row in await conn.execute(sa.select(*(table.c[name] for name in names))))
            for table, names in kept
        ]


async def test_the_loop_by_hand_leaves_the_store_as_the_outbox_does(tmp_path: Path) -> None:
    ours, hand = (f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in ("ours", "hand"))
    await fill(ours, DELIVERIES)
    await fill(hand, DELIVERIES)
    said = await outbox_steps.run(ours, "n1", 0.0)
    assert said["lives"] == DELIVERIES
    assert outbox_byhand.run(tmp_path / "hand.db")["lives"] == DELIVERIES
    assert await left(ours) == await left(hand)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
async def test_two_workers_share_the_lives_between_them(empty_url: str) -> None:
    await fill(empty_url, DELIVERIES)
    async with open_database(empty_url) as one, open_database(empty_url) as other:
        assert sum(await asyncio.gather(outbox_steps.work(one, "n1"), outbox_steps.work(other, "n2"))) == DELIVERIES
        assert await delivered(one) == DELIVERIES
