"""SQLite's connections: nothing is lost between thread and caller, and nobody waits for a lock in the loop."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store.engine.sqlite_driver import AHEAD, LONG, connector
from store.engine.transaction import driver_of

_SERIES = sa.text(
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < :most) SELECT x FROM n WHERE :most > 0"
)


@pytest.fixture(params=[True, False], ids=["writer", "reader"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    url = f"sqlite+aiosqlite:///{tmp_path}/driver.db"
    made = create_async_engine(url, connect_args={"async_creator_fn": connector(writes=request.param)})
    yield made
    await made.dispose()


@pytest.mark.parametrize("rows", [1, AHEAD - 1, AHEAD, AHEAD + 1, 3 * AHEAD + 7])
async def test_every_row_comes_once_and_in_order(engine: AsyncEngine, rows: int) -> None:
    async with engine.connect() as conn:
        found = (await conn.execute(_SERIES, {"most": rows})).scalars().all()

    assert list(found) == list(range(1, rows + 1))


@pytest.mark.parametrize("rows", [AHEAD, AHEAD + 1, 3 * AHEAD + 7])
async def test_a_stream_brings_every_row_in_pieces(engine: AsyncEngine, rows: int) -> None:
    found: list[int] = []
    async with engine.connect() as conn, conn.stream(_SERIES, {"most": rows}) as result:
        async for piece in result.partitions(300):
            found += [row[0] for row in piece]

    assert found == list(range(1, rows + 1))


async def test_a_stream_may_be_read_row_by_row(engine: AsyncEngine) -> None:
    async with engine.connect() as conn, conn.stream(_SERIES, {"most": AHEAD + 3}) as result:
        assert [row[0] async for row in result] == list(range(1, AHEAD + 4))


async def test_a_result_without_rows_and_a_statement_without_a_result_are_empty(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        assert (await conn.execute(sa.text("SELECT 1 WHERE 0"))).all() == []
        await conn.execute(sa.text("CREATE TABLE t (x TEXT)"))
        for text in ("short", "x" * (LONG + 1)):
            assert (await conn.execute(sa.text("INSERT INTO t VALUES (:x)"), {"x": text})).rowcount == 1
        await conn.rollback()


async def test_a_statement_that_fails_says_so_and_the_connection_goes_on(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        with pytest.raises(OperationalError):
            await conn.execute(sa.text("SELECT x FROM nothing"))
        assert (await conn.execute(sa.text("SELECT 7"))).scalar_one() == 7


async def test_whoever_waits_for_the_writers_lock_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", connect_args={"async_creator_fn": connector(writes=True), "timeout": 20}
    )

    async def begin() -> None:
        async with engine.connect() as conn:
            driver = driver_of(conn)
            assert driver is not None
            await driver.begin()
            await driver.run("COMMIT")

    waiting = asyncio.create_task(begin())
    async with asyncio.timeout(10):
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
    other.close()
    await engine.dispose()


@pytest.mark.parametrize("value", ["x", b"x"], ids=["text", "octets"])
@pytest.mark.parametrize(("length", "in_loop"), [(LONG, True), (LONG + 1, False)])
async def test_a_long_value_is_written_in_the_thread(
    tmp_path: Path, value: str | bytes, length: int, in_loop: bool
) -> None:
    """A frozen audience of a million people is a value of some megabytes."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/long.db", connect_args={"async_creator_fn": connector(writes=True)}
    )
    where: list[int] = []

    @sa.event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        plain = connection.driver_connection._conn
        plain.create_function("seen", 1, lambda _: where.append(threading.get_ident()) or 1)

    kind = sa.Text if isinstance(value, str) else sa.LargeBinary
    async with engine.connect() as conn:
        await conn.execute(sa.text("SELECT seen(:x)").bindparams(sa.bindparam("x", type_=kind)), {"x": value * length})
    await engine.dispose()

    assert [thread == threading.get_ident() for thread in where] == [in_loop]


# ---- readings: where they are called, as long as they are short ---------------------------------------------------


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    path = tmp_path / "read.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE t (x)")
        made.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(2000)])
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", connect_args={"async_creator_fn": connector(writes=False)}, pool_size=1
    )
    yield engine
    await engine.dispose()


def listening(engine: AsyncEngine) -> list[bool]:
    """Of every call of `seen` in a statement: whether it was made in this thread."""
    where: list[bool] = []

    @sa.event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        here = threading.get_ident()
        plain = connection.driver_connection._conn
        plain.create_function("seen", 1, lambda _: where.append(threading.get_ident() == here) or 1)

    return where


async def test_a_short_reading_runs_where_it_is_called(reader: AsyncEngine) -> None:
    where = listening(reader)
    async with reader.connect() as conn:
        await conn.execute(sa.text("SELECT seen(x) FROM t WHERE rowid = 7"))
    assert where == [True]


async def test_a_long_reading_is_begun_anew_in_the_thread_and_goes_there_at_once_from_then_on(
    reader: AsyncEngine,
) -> None:
    where = listening(reader)
    long = sa.text("SELECT count(*), seen(1) FROM t AS a, t AS b")  # four million pairs
    async with reader.connect() as conn:
        await conn.exec_driver_sql("BEGIN")
        for _ in range(2):
            assert (await conn.execute(long)).scalar_one() == 4_000_000
        assert (await conn.execute(sa.text("SELECT count(*) FROM t"))).scalar_one() == 2000
        await conn.rollback()
    assert where[-2:] == [False, False]
    assert where.count(True) <= 1


async def test_a_snapshot_outlives_a_reading_that_was_begun_anew(reader: AsyncEngine, tmp_path: Path) -> None:
    async with reader.connect() as conn:
        await conn.exec_driver_sql("BEGIN")
        assert (await conn.execute(sa.text("SELECT count(*) FROM t"))).scalar_one() == 2000
        with closing(sqlite3.connect(tmp_path / "read.db")) as other, other:
            other.execute("DELETE FROM t")
        assert (await conn.execute(sa.text("SELECT count(*) FROM t AS a, t AS b"))).scalar_one() == 4_000_000
        assert (await conn.execute(sa.text("SELECT count(*) FROM t"))).scalar_one() == 2000
        await conn.rollback()


async def test_the_loop_has_its_turn_between_many_short_readings(reader: AsyncEngine) -> None:
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with reader.connect() as conn:
        await conn.execute(sa.text("SELECT 1"))
        task = asyncio.create_task(turning())
        await asyncio.sleep(0)
        before = turns
        for _ in range(400):
            await conn.execute(sa.text("SELECT sum(x) FROM t"))
        task.cancel()
    assert turns > before


async def test_a_reading_that_finds_the_file_locked_waits_in_its_thread(reader: AsyncEngine, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "read.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("INSERT INTO t VALUES (1)")

        async def read() -> int:
            async with reader.connect() as conn:
                return int((await conn.execute(sa.text("SELECT count(*) FROM t"))).scalar_one())

        waiting = asyncio.create_task(read())
        async with asyncio.timeout(10):
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert not waiting.done()
            other.execute("COMMIT")
            assert await waiting == 2001


async def test_a_long_reading_that_nobody_waits_for_is_ended_and_holds_up_nobody(reader: AsyncEngine) -> None:
    endless = sa.text(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n WHERE x < 0"
    )
    with pytest.raises(TimeoutError):
        async with reader.connect() as conn, asyncio.timeout(0.3):
            await conn.execute(endless)
    async with asyncio.timeout(10), reader.connect() as conn:
        assert (await conn.execute(sa.text("SELECT count(*) FROM t"))).scalar_one() == 2000


async def test_a_reading_that_is_cancelled_before_its_thread_has_begun_is_given_up_too(reader: AsyncEngine) -> None:
    endless = sa.text("WITH RECURSIVE m(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM m) SELECT count(*) FROM m")
    for wait_s in (0.05, 0.0, 0.0, 0.0):  # from the second time on it goes to the thread at once
        with pytest.raises(TimeoutError):
            async with reader.connect() as conn, asyncio.timeout(wait_s):
                await conn.execute(endless)
    async with asyncio.timeout(10), reader.connect() as conn:
        assert (await conn.execute(sa.text("SELECT count(*) FROM t"))).scalar_one() == 2000
