"""A store that is away is called so by every read and write, within bounded time, and is used again once it is back.
What is a bug stays what it is."""

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator

import pytest
import sqlalchemy as sa

from store.engine import postgresql_driver
from store.engine.database import Database, open_database
from store.engine.error_meaning import translated
from store.engine.schema import migrate, require_newest
from store.errors import StoreUnavailable
from store.tables import meta
from tests.peers.postgres import PrivatePostgres, controlled_postgres, new_database

only_postgresql = pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)], indirect=True)
_numbers = itertools.count(1)

ONE = sa.text("SELECT 1")


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    """One that may be taken away: nobody else uses it."""
    with controlled_postgres() as running:
        yield running


@pytest.fixture
async def url(server: PrivatePostgres) -> str:
    made = await new_database(server.url, f"away{next(_numbers)}")
    await migrate(made)
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits are fractions of what they are in life."""
    for name, seconds in (("CONNECT_S", 0.5), ("WRITE_S", 0.5), ("READ_S", 0.5), ("PING_S", 0.3)):
        monkeypatch.setattr(postgresql_driver, name, seconds)
    monkeypatch.setattr("store.engine.database._RETRY_S", 0.2)


async def look(database: Database) -> int:
    async with database.read() as conn:
        return int((await conn.execute(ONE)).scalar_one())


async def write(database: Database) -> object:
    return await database.write(lambda tx: tx.first(ONE))


async def restart(server: PrivatePostgres) -> None:
    await asyncio.to_thread(server.break_off)
    await asyncio.to_thread(server.start)


@contextlib.contextmanager
def frozen(server: PrivatePostgres) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextlib.asynccontextmanager
async def several_readers(database: Database, most: int) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(most):
            await stack.enter_async_context(database.read())
        yield


# ---- a restart -----------------------------------------------------------------------------------------------------


@pytest.mark.peer
async def test_connections_that_a_restart_has_killed_cost_no_caller_anything(server: PrivatePostgres, url: str) -> None:
    async with open_database(url) as database:
        async with several_readers(database, 4):
            await asyncio.gather(*(write(database) for _ in range(4)))
        await restart(server)

        assert await asyncio.gather(*(look(database) for _ in range(6))) == [1] * 6
        await asyncio.gather(*(write(database) for _ in range(6)))


@pytest.mark.peer
async def test_a_connection_that_is_lost_in_the_middle_of_a_read_is_a_store_that_is_away(
    server: PrivatePostgres, url: str
) -> None:
    async with open_database(url) as database:
        with pytest.raises(StoreUnavailable):  # noqa: PT012
            async with database.read() as conn:
                await conn.execute(ONE)
                await restart(server)
                await conn.execute(ONE)

        assert await look(database) == 1


@pytest.mark.peer
async def test_a_database_that_refuses_connections_is_away(
    server: PrivatePostgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.engine.database._RETRY_S", 0.2)
    async with open_database(url) as database:
        await look(database)
        await asyncio.to_thread(server.break_off)
        try:
            for work in (look, write):
                with pytest.raises(StoreUnavailable):
                    await work(database)
        finally:
            await asyncio.to_thread(server.start)

        await look(database)
        await write(database)


async def test_a_host_where_nothing_listens_is_away() -> None:
    async with open_database("postgresql+asyncpg://tocsin@127.0.0.1:1/none") as database:
        with pytest.raises(StoreUnavailable):
            await look(database)


# ---- a standstill --------------------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.parametrize("callers", [1, 16])
async def test_a_database_that_stands_still_is_noticed_by_all_who_ask_and_used_again_when_it_moves(
    server: PrivatePostgres, url: str, impatient: None, callers: int
) -> None:
    async with open_database(url) as database:
        await look(database)
        await write(database)
        with frozen(server):
            async with asyncio.timeout(20):
                asked = (work(database) for work in (look, write) for _ in range(callers))
                heard = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in heard} <= {StoreUnavailable, postgresql_driver.NoAnswer}

        assert await look(database) == 1
        await write(database)


@pytest.mark.peer
async def test_a_statement_in_a_read_that_gets_no_answer_is_a_store_that_is_away(
    server: PrivatePostgres, url: str, impatient: None
) -> None:
    async with open_database(url) as database:
        with pytest.raises(StoreUnavailable):  # noqa: PT012
            async with database.read() as conn:
                await conn.execute(ONE)
                with frozen(server):
                    async with asyncio.timeout(10):
                        await conn.execute(ONE)

        assert await look(database) == 1


@pytest.mark.peer
async def test_whoever_starts_beside_a_database_that_stands_still_is_told_so(
    server: PrivatePostgres, url: str, impatient: None
) -> None:
    with frozen(server):
        async with asyncio.timeout(10):
            with pytest.raises(StoreUnavailable):
                await require_newest(url)

    await require_newest(url)


@pytest.mark.peer
async def test_who_goes_away_from_a_database_that_stands_still_is_let_go(server: PrivatePostgres, url: str) -> None:
    async with open_database(url) as database:
        await write(database)
        with frozen(server):
            waiting = [asyncio.create_task(write(database)), asyncio.create_task(look(database))]
            await asyncio.sleep(0.1)
            for task in waiting:
                task.cancel()
            async with asyncio.timeout(5):
                ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)

        await write(database)


# ---- every engine --------------------------------------------------------------------------------------------------


async def test_a_pool_that_has_no_connection_left_is_a_store_that_is_away(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.engine.database._POOL_S", 0.1)
    async with open_database(store_url) as database:
        async with several_readers(database, 12):
            with pytest.raises(StoreUnavailable):
                await look(database)

        assert await look(database) == 1


async def test_a_wrong_statement_of_a_reader_is_a_bug_and_not_a_store_that_is_away(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="no_such_table"):
        async with database.read() as conn:
            await conn.execute(sa.text("SELECT * FROM no_such_table"))

    assert await look(database) == 1


async def test_what_a_reader_raises_of_its_own_comes_back_as_it_is(database: Database) -> None:
    for mine in (KeyError("mine"), TimeoutError("mine"), OSError("mine")):
        with pytest.raises(type(mine), match="mine"):
            async with database.read():
                raise mine


_AWAY = ("53300", "53100", "53200", "57014", "57P01", "57P03", "58030", "25006", "55P03", "40001", "08006")
_BUGS = ("22021", "22003", "22P05", "42601", "54000", "P0001", "0A000")


def raising(state: str) -> sa.TextClause:
    return sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END $$")


@only_postgresql
@pytest.mark.parametrize("state", [*_AWAY, *_BUGS])
async def test_what_the_server_says_of_itself_is_away_and_what_it_says_of_us_is_a_bug(
    database: Database, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.engine.database._RETRY_S", 0.0)
    expected = StoreUnavailable if state in _AWAY else sa.exc.DBAPIError

    with pytest.raises(expected, match="so it is"):
        await database.write(lambda tx: tx.run(raising(state)))
    with pytest.raises(expected, match="so it is"):
        async with database.read() as conn:
            await conn.execute(raising(state))


@only_postgresql
@pytest.mark.parametrize("state", ["XX001", "XX002"])
async def test_a_broken_page_is_told_as_such_to_who_reads_it_and_charged_to_nobody_who_writes(
    database: Database, state: str
) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="so it is"):
        async with database.read() as conn:
            await conn.execute(raising(state))
    with pytest.raises(StoreUnavailable):
        await database.write(lambda tx: tx.run(raising(state)))


def test_a_broken_page_of_a_file_is_told_as_such_to_who_reads_it_and_charged_to_nobody_who_writes() -> None:
    broken = sqlite3.DatabaseError("database disk image is malformed")
    broken.sqlite_errorname = "SQLITE_CORRUPT_INDEX"
    told = sa.exc.DatabaseError("SELECT", {}, broken)

    assert translated(told) is told
    assert isinstance(translated(told, writing=True), StoreUnavailable)


@only_postgresql
async def test_a_value_that_the_driver_cannot_write_is_a_bug(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        await database.write(lambda tx: tx.run(sa.text("SELECT CAST(:n AS BIGINT)"), {"n": "no number"}))


# ---- texts of peers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("id:1 text:\0", "id:1 text:\u2400"),
        ("half \ud83d", "half \ufffd"),
        ("\udcff\0x", "\ufffd\u2400x"),
        ("\ud83d\udea8", "\U0001f6a8"),
        ("Zoë – 漢字 🚨 \\u0000 \\0", "Zoë – 漢字 🚨 \\u0000 \\0"),
    ],
)
async def test_a_nul_and_half_a_character_are_shown_and_found_again_as_they_were_sent(
    database: Database, text: str, kept: str
) -> None:
    await database.write(lambda tx: tx.run(sa.insert(meta).values(key="k", value=text)))

    async with database.read() as conn:
        found = await conn.execute(sa.select(meta.c.value).where(meta.c.key == "k", meta.c.value == text))
        assert found.scalar_one() == kept
