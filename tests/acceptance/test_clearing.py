"""Deliveries whose time is over are cleared while an alert goes out, and no slot of it passes.

The same alert at the same contract goes out twice in turn: beside nothing, and beside the clearing of so many finished
deliveries. `make proof` has a million of them.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.world import Client, World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

FINISHED = int(os.environ.get("CLEARED_DELIVERIES", "20000"))
PEOPLE, RATE_PER_S = 1200, 60.0
WHERE = "PLP-5301-1"
DAY_MS = 86_400_000
STANDSTILL_S = 60
"""What the server may do meanwhile beside clearing: it goes on until all are gone."""
SLOWER = 1.05
"""What a run may take beside the other: a passed slot is a sixtieth of a second, and two runs differ by some."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=PEOPLE, networks=1, zones=1)
        await made.smsc("first", receipts="none")
        yield made


async def test_finished_deliveries_are_cleared_without_a_slot_passing(world: World) -> None:
    contract = world.ways_out(rate_per_s=RATE_PER_S)
    for_ever = world.settings(contract | {"retention": {"deliveries_days": 36_500}}, "for-ever")
    a_year = world.settings(contract | {"retention": {"deliveries_days": 365}}, "a-year")
    await world.load(for_ever)
    server = await world.serve(for_ever)
    client = world.client(server)
    await world.until_ready(client)
    old, _ = await sent(world, client)
    _, quiet_s = await sent(world, client)
    await server.end()
    finished(world.folder / "tocsin.db", old, FINISHED)

    server = await world.serve(a_year)
    client = world.client(server)
    await world.until_ready(client)
    before = left(world.folder / "tocsin.db", old)
    _, beside_s = await sent(world, client)
    after = left(world.folder / "tocsin.db", old)

    print(f"\n{before - after} of {FINISHED} deliveries cleared in {beside_s:.1f} s; beside nothing: {quiet_s:.1f} s")
    assert after < before, "or it was beside nothing"
    assert beside_s <= quiet_s * SLOWER
    while count := left(world.folder / "tocsin.db", old):
        deadline = time.monotonic() + STANDSTILL_S
        while left(world.folder / "tocsin.db", old) == count:
            assert time.monotonic() < deadline, f"{count} stay"
            await asyncio.sleep(1)
    code, said = await world.tocsin("status", "--config", str(a_year))
    assert code == 0, said
    assert "are being cleared" not in said


async def sent(world: World, client: Client) -> tuple[str, float]:
    """One more alert to everybody: its campaign, and how long the SMSC took it from the first to the last."""
    begun = len(world.sms())
    [campaign] = (await client.launch_alert(alert({"here": world.ring(WHERE)}, kind="alert", channels="sms"))).values()
    await client.until(campaign, lambda c: c["total"] > 0 and c["queued"] == 0, 120)
    arrived = [got.at_ms for got in world.sms()[begun:]]
    assert len(arrived) > PEOPLE / 2
    return campaign, (arrived[-1] - arrived[0]) / 1000


def finished(store: Path, campaign: str, wanted: int) -> None:
    """The campaign was sealed long ago, and had that many deliveries: those that it has, again and again."""
    with closing(sqlite3.connect(store)) as db, db:
        [number] = db.execute("SELECT id FROM campaign WHERE public_id = ?", (campaign,)).fetchone()
        columns = [row[1] for row in db.execute("PRAGMA table_info(delivery)") if row[1] != "id"]
        names, first = ", ".join(columns), number << 24
        rows = db.execute("SELECT count(*), max(id) FROM delivery WHERE id >> 24 = ?", (number,)).fetchone()
        for more in range(1, wanted // rows[0]):
            db.execute(
                f"INSERT INTO delivery (id, {names}) SELECT id + ?, {names} FROM delivery WHERE id BETWEEN ? AND ?",
                (more * (rows[1] - first + 1), first, rows[1]),
            )
        db.execute("UPDATE batch SET state = 3 WHERE campaign_id = ?", (number,))
        db.execute(
            "UPDATE campaign SET sealed_ms = created_ms - ?, ended_ms = created_ms, report = '{}' WHERE id = ?",
            (400 * DAY_MS, number),
        )


def left(store: Path, campaign: str) -> int:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        [number] = db.execute("SELECT id FROM campaign WHERE public_id = ?", (campaign,)).fetchone()
        first = number << 24
        query = "SELECT count(*) FROM delivery WHERE id BETWEEN ? AND ?"
        return int(db.execute(query, (first, first + (1 << 24) - 1)).fetchone()[0])
