"""The writer and the readers: durable or refused, nobody spoils a neighbour, nobody waits for ever."""

import asyncio
import contextlib
import time

import pytest
import sqlalchemy as sa

from store.engine.database import Database, exclusive, open_database
from store.engine.sqlite_driver import HELD_S
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.errors import Conflict, StoreLocked, StoreUnavailable
from store.tables import meta, network
from tests.store.asked import asked

only_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)], indirect=True)


def put(key, value="x"):
    async def work(tx: Transaction) -> str:
        await tx.run(sa.insert(meta).values(key=key, value=value))
        return key

    return work


OURS = meta.c.key != "feed_revision"
"""What a new store has of its own is left out."""


async def keys(database: Database) -> list[str]:
    async with database.read() as conn:
        return [row.key for row in (await conn.execute(sa.select(meta.c.key).where(OURS).order_by(meta.c.key))).all()]


# ---- every engine ----------------------------------------------------------------------------------------


async def test_a_write_that_returned_is_there_for_whoever_opens_the_store_next(store_url):
    async with open_database(store_url) as database:
        assert await database.write(put("a")) == "a"
    async with open_database(store_url) as database:
        assert await keys(database) == ["a"]


async def test_a_taken_key_is_a_conflict_and_nothing_of_the_work_is_kept(database):
    await database.write(put("taken"))

    async def work(tx):
        await put("new")(tx)
        await put("taken")(tx)

    with pytest.raises(Conflict):
        await database.write(work)

    assert await keys(database) == ["taken"]


async def test_a_broken_foreign_key_is_a_bug_and_not_a_conflict(database):
    async def work(tx):
        await tx.run(sa.insert(network).values(zone_id=404, code="x", name="x"))

    with pytest.raises(sa.exc.IntegrityError):
        await database.write(work)


async def test_a_wrong_statement_is_a_bug_and_not_a_store_that_is_away(database):
    async def work(tx):
        await tx.run(sa.text("SELECT * FROM no_such_table"))

    with pytest.raises(sa.exc.DBAPIError, match="no_such_table"):
        await database.write(work)
    await database.write(put("after"))


async def test_what_a_work_raises_comes_back_and_nothing_is_kept(database):
    async def work(tx):
        await put("half")(tx)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await database.write(work)

    assert await keys(database) == []


async def test_one_failing_work_does_not_spoil_its_neighbours(database):
    async def failing(tx):
        await put("half")(tx)
        raise ValueError

    works = [put("a"), failing, put("b"), put("a2"), failing, put("c")]
    results = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)

    assert [r if isinstance(r, str) else type(r) for r in results] == ["a", ValueError, "b", "a2", ValueError, "c"]
    assert await keys(database) == ["a", "a2", "b", "c"]


async def test_of_many_that_want_one_key_exactly_one_gets_it(database):
    results = await asyncio.gather(*(database.write(put("one")) for _ in range(20)), return_exceptions=True)

    assert sum(1 for r in results if r == "one") == 1
    assert sum(1 for r in results if isinstance(r, Conflict)) == 19


async def test_who_hears_of_a_conflict_finds_what_it_is_in_conflict_with(database):
    """The same request at once, twice: the second answers with what the first has made."""

    async def put_or_find() -> list[str]:
        try:
            await database.write(put("one"))
        except Conflict:
            return await keys(database)
        return ["one"]

    assert await asyncio.gather(*(put_or_find() for _ in range(30))) == [["one"]] * 30


async def test_a_reader_sees_one_instant_however_long_it_looks(database):
    await database.write(put("before"))

    async with database.read() as conn:
        first = (await conn.execute(sa.select(sa.func.count()).select_from(meta).where(OURS))).scalar_one()
        await database.write(put("meanwhile"))
        second = (await conn.execute(sa.select(sa.func.count()).select_from(meta).where(OURS))).scalar_one()

    assert (first, second) == (1, 1)
    assert await keys(database) == ["before", "meanwhile"]


async def test_a_caller_that_goes_away_leaves_the_store_usable(database):
    started = asyncio.Event()

    async def slow(tx):
        started.set()
        await put("slow")(tx)
        await asyncio.sleep(0.02)

    task = asyncio.create_task(database.write(slow))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await asyncio.wait_for(database.write(put("next")), 5)
    assert "next" in await keys(database)


# ---- SQLite ----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def occupied(database: Database):
    """The writer is busy until the block ends."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def work(tx):
        started.set()
        await go_on.wait()

    task = asyncio.create_task(database.write(work))
    await asyncio.wait_for(started.wait(), 5)
    yield
    go_on.set()
    await asyncio.wait_for(task, 5)


@only_sqlite
async def test_works_go_in_their_turn_whoever_came_earlier(database):
    order = []

    def noting(name):
        async def work(tx):
            order.append(name)

        return work

    async with occupied(database):
        last = [asyncio.create_task(database.write(noting(f"last {n}"), turn=Turn.LAST)) for n in range(2)]
        await asyncio.sleep(0)
        usual = [asyncio.create_task(database.write(noting(f"usual {n}"))) for n in range(100)]
        await asyncio.sleep(0)
        first = [asyncio.create_task(database.write(noting(f"first {n}"), turn=Turn.FIRST)) for n in range(3)]
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*last, *usual, *first), 5)

    assert order == [
        *(f"first {n}" for n in range(3)), *(f"usual {n}" for n in range(100)), *(f"last {n}" for n in range(2)),
    ]  # fmt: skip


@only_sqlite
async def test_what_safety_waits_for_is_durable_before_anything_else_is_written(database):
    with asked() as seen:
        async with occupied(database):
            usual = asyncio.create_task(database.write(put("usual")))
            await asyncio.sleep(0)
            first = asyncio.create_task(database.write(put("first"), turn=Turn.FIRST))
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(usual, first), 5)

    order = [values[0] if "INSERT" in sql else sql for sql, values in seen if sql == "COMMIT" or "INSERT" in sql]
    assert order == ["first", "COMMIT", "usual", "COMMIT"]


@only_sqlite
async def test_works_that_wait_together_share_one_commit(database):
    with asked() as seen:
        async with occupied(database):
            tasks = [asyncio.create_task(database.write(put(f"k{n}"))) for n in range(50)]
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*tasks), 5)

    words = [statement for statement, _ in seen]
    assert words.count("COMMIT") == words.count("BEGIN IMMEDIATE") == 1
    assert len(await keys(database)) == 50


@only_sqlite
async def test_a_caller_that_went_away_before_its_turn_has_written_nothing(database):
    async with occupied(database):
        task = asyncio.create_task(database.write(put("unwanted")))
        await asyncio.sleep(0)
        task.cancel()
        wanted = asyncio.create_task(database.write(put("wanted")))
        await asyncio.sleep(0)
    await asyncio.wait_for(wanted, 5)

    assert await keys(database) == ["wanted"]


@only_sqlite
async def test_closing_finishes_the_works_that_wait_and_refuses_those_that_come_after(store_url):
    async with open_database(store_url) as database:
        tasks = [
            asyncio.create_task(database.write(put(f"k{n}"), turn=Turn.USUAL if n % 2 == 0 else Turn.LAST))
            for n in range(10)
        ]
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*tasks), 5)

    with pytest.raises(StoreUnavailable):
        await database.write(put("late"))
    async with open_database(store_url) as database:
        assert len(await keys(database)) == 10


@only_sqlite
async def test_a_full_disk_is_said_and_nothing_is_half_kept(database):
    """`max_page_count` makes SQLite answer as it does when the disk is full."""

    async def limit(tx):
        pages = (await tx.first(sa.text("PRAGMA page_count")))[0]
        await tx.first(sa.text(f"PRAGMA max_page_count = {pages + 20}"))

    async def unlimited(tx):
        await tx.first(sa.text("PRAGMA max_page_count = 1000000"))

    async def big(tx):
        for n in range(50):
            await put(f"big{n}", "x" * 20_000)(tx)

    await database.write(put("before"))
    await database.write(limit)
    results = await asyncio.wait_for(
        asyncio.gather(
            database.write(put("small1")), database.write(big), database.write(put("small2")), return_exceptions=True
        ),
        10,
    )

    assert isinstance(results[1], StoreUnavailable)
    kept = await keys(database)
    assert "big0" not in kept
    for name, result in (("small1", results[0]), ("small2", results[2])):
        assert (name in kept) is (result == name), "kept if and only if the caller was told so"

    await database.write(unlimited)
    await database.write(big)
    assert "big49" in await keys(database)


@only_sqlite
async def test_works_are_refused_and_not_forgotten_while_another_process_holds_the_file(store_url, monkeypatch):
    monkeypatch.setattr("store.engine.sqlite_driver.PATIENCE_MS", 50)
    async with open_database(store_url) as holder, open_database(store_url) as database:
        async with occupied(holder):
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(database.write(put("a")), 5)
        await asyncio.wait_for(database.write(put("b")), 5)
        assert await keys(database) == ["b"]


@only_sqlite
async def test_a_work_waits_for_another_process_that_writes_and_the_loop_goes_on_meanwhile(store_url):
    async with open_database(store_url) as holder, open_database(store_url) as database:
        async with occupied(holder):
            waits = asyncio.create_task(database.write(put("a")))
            async with asyncio.timeout(1):
                for _ in range(20):
                    await asyncio.sleep(0.01)
            assert not waits.done()
        await asyncio.wait_for(waits, 5)
        assert await keys(database) == ["a"]


@only_sqlite
async def test_many_works_together_leave_the_loop_its_turns(store_url):
    turns = 0
    works_of_a_turn: dict[int, int] = {}

    async def slow(_tx):
        time.sleep(HELD_S)  # noqa: ASYNC251
        works_of_a_turn[turns] = works_of_a_turn.get(turns, 0) + 1

    async with open_database(store_url) as database:
        works = asyncio.gather(*(database.write(slow) for _ in range(50)))
        while not works.done():
            await asyncio.sleep(0)
            turns += 1
        await works
    assert max(works_of_a_turn.values()) == 1


@only_sqlite
async def test_when_the_writer_dies_nobody_waits_for_it_and_closing_says_so(store_url):
    async def deadly(tx):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):  # noqa: PT012
        async with open_database(store_url) as database:
            works = (put("a"), deadly, put("b"))
            results = await asyncio.wait_for(
                asyncio.gather(*(database.write(w) for w in works), return_exceptions=True), 5
            )
            assert [type(r) for r in results] == [StoreUnavailable] * 3
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(database.write(put("c")), 5)


@only_sqlite
async def test_text_that_is_no_utf_8_is_read_with_what_is_wrong_replaced_and_hides_no_other_row(database):
    async def work(tx):
        await put("good")(tx)
        await tx.run(sa.text("INSERT INTO meta (key, value) VALUES ('bad', CAST(x'4a61ff6e' AS TEXT))"))

    await database.write(work)

    async with database.read() as conn:
        found = {row.key: row.value for row in (await conn.execute(sa.select(meta))).all()}
    assert (found["good"], found["bad"]) == ("x", "Ja\ufffdn")


@only_sqlite
async def test_a_power_cut_loses_nothing_that_was_answered(database):
    """As far as a test can say: the file is in WAL mode with every commit synced."""

    async def ask(tx):
        return [(await tx.first(sa.text(f"PRAGMA {name}")))[0] for name in ("journal_mode", "synchronous")]

    assert await database.write(ask) == ["wal", 2]


def test_a_file_has_one_server(tmp_path):
    path = tmp_path / "tocsin.db"

    with exclusive(path), pytest.raises(StoreLocked, match=r"tocsin\.db"), exclusive(path):
        pass
    with exclusive(path):
        pass


@only_sqlite
async def test_the_file_is_nobody_elses_business(tmp_path, engine):
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/new/tocsin.db"):
        assert (tmp_path / "new" / "tocsin.db").stat().st_mode & 0o077 == 0


# ---- PostgreSQL ------------------------------------------------------------------------------------------


@only_postgresql
async def test_a_lost_connection_is_not_the_callers_business(database):
    async def first_kills_itself(tx):
        nonlocal tries
        tries += 1
        await put("once")(tx)
        if tries == 1:
            await tx.run(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return "done"

    tries = 0
    await asyncio.gather(*(database.write(put(f"k{n}")) for n in range(4)))

    assert await asyncio.wait_for(database.write(first_kills_itself), 15) == "done"
    assert tries == 2
    assert (await keys(database)).count("once") == 1


@only_postgresql
async def test_two_transactions_that_wait_for_each_other_are_both_done_in_the_end(database):
    await database.write(put("left"))
    await database.write(put("right"))
    meeting = asyncio.Barrier(2)
    met = []

    def crossing(first, second):
        async def work(tx):
            update = sa.update(meta).values(value=meta.c.value + first)
            await tx.run(update.where(meta.c.key == first))
            if len(met) < 2:
                met.append(first)
                await meeting.wait()
            await tx.run(update.where(meta.c.key == second))

        return work

    await asyncio.wait_for(
        asyncio.gather(database.write(crossing("left", "right")), database.write(crossing("right", "left"))), 15
    )

    async with database.read() as conn:
        values = [row.value for row in (await conn.execute(sa.select(meta.c.value).where(OURS))).all()]
    assert [sorted(v[1:].replace("left", "l").replace("right", "r")) for v in values] == [["l", "r"]] * 2


@only_postgresql
async def test_who_stands_still_in_a_transaction_does_not_hold_up_the_others(store_url, monkeypatch):
    """A node that is stopped, or a machine that is gone without a word: its rows are taken back by the server."""
    monkeypatch.setattr("store.engine.database._PG_STANDSTILL_MS", "300")
    update = sa.update(meta).where(meta.c.key == "slot")

    async def stands_still_once(tx):
        nonlocal tries
        tries += 1
        await tx.run(update.values(value=meta.c.value + "a"))
        if tries == 1:
            standing.set()
            await asyncio.sleep(1.5)

    tries, standing = 0, asyncio.Event()
    async with open_database(store_url) as sleeper, open_database(store_url) as other:
        await other.write(put("slot", ""))
        asleep = asyncio.create_task(sleeper.write(stands_still_once))
        await standing.wait()
        await asyncio.wait_for(other.write(lambda tx: tx.run(update.values(value=meta.c.value + "b"))), 1)
        assert not asleep.done()
        await asyncio.wait_for(asleep, 15)

        async with other.read() as conn:
            assert (await conn.execute(sa.select(meta.c.value).where(meta.c.key == "slot"))).scalar_one() == "ba"


async def test_a_database_that_stays_away_is_said_in_the_end(monkeypatch):
    monkeypatch.setattr("store.engine.database._RETRY_S", 0.2)
    async with open_database("postgresql+asyncpg://tocsin@127.0.0.1:1/none") as database:
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(database.write(put("a")), 10)
