"""However readings end, their connections are there for the next ones."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from store.engine import sqlite_driver
from store.engine.database import _READERS, Database, open_database
from store.engine.schema import migrate
from store.errors import StoreUnavailable

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT COUNT(*) FROM n"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path}/t.db"
    await migrate(url)
    async with open_database(url) as database:
        yield database


async def one_reading(database: Database, statement: str = "SELECT 1") -> object:
    async with database.read() as conn:
        return (await conn.execute(sa.text(statement))).scalar_one()


async def all_at_once(database: Database) -> None:
    """As many readings as there are connections, each held while the others begin."""
    together = asyncio.Barrier(_READERS)

    async def held() -> None:
        async with database.read() as conn:
            await conn.execute(sa.text("SELECT 1"))
            async with asyncio.timeout(5):
                await together.wait()

    async with asyncio.timeout(10):
        await asyncio.gather(*(held() for _ in range(_READERS)))


@pytest.mark.parametrize("statement", ["SELECT 1", LONG], ids=["short", "long"])
async def test_readings_that_are_cancelled_at_any_moment_cost_no_connection(
    database: Database, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_driver, "HELD_S", -1.0)  # the loop has its turn in each: they can be cancelled there
    chance = random.Random(3)
    kept = []
    """Whoever keeps an error keeps all that it held: nothing is given back by the interpreter's own tidying."""

    async def reading_that_is_told_of() -> None:
        try:
            await one_reading(database, statement)
        except BaseException as exc:
            kept.append(exc)
            raise

    for _ in range(20):
        await all_at_once(database)
        readings = [asyncio.create_task(reading_that_is_told_of()) for _ in range(_READERS + 4)]
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        for reading in readings:
            reading.cancel()
            if chance.random() < 0.5:
                asyncio.get_running_loop().call_soon(
                    reading.cancel
                )  # and once more, while it gives its connection back
        await asyncio.wait(readings)

    await all_at_once(database)


async def test_a_snapshot_that_cannot_begin_costs_no_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(self: sqlite_driver.SqliteConnection) -> None:
        raise OperationalError("BEGIN", {}, Exception("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_driver.SqliteConnection, "begin_snapshot", cannot)
        for _ in range(2 * _READERS):
            with pytest.raises((StoreUnavailable, OperationalError)):
                await one_reading(database)

    await all_at_once(database)
