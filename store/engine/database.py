"""Open the engine, serialise its writers, hand out its readers: the one place that knows which engine it is.

SQLite: one writing connection fed by a queue of two priorities; works that wait together share one commit; readers
have their own connections. PostgreSQL: a pool, one transaction a work, repeated when the connection is lost, so a
work must be idempotent (all of this package's are).
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from store.clock import Clock
from store.engine.error_meaning import raise_translated, translated, unreachable, worth_repeating
from store.engine.read_pool import FileReadPool, ReadPool, ServerReadPool
from store.engine.schema import make_private
from store.engine.sqlite_driver import HELD_S, PATIENCE_MS, SqliteConnection, connector
from store.engine.storable_text import keep_readable
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.engine.wait_times import WaitTimes
from store.errors import NoAnswer, StoreLocked, StoreUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[Transaction], Awaitable[T]]

_WAL = "PRAGMA journal_mode=WAL"
_PATIENT, _PROMPT = f"PRAGMA busy_timeout={PATIENCE_MS}", "PRAGMA busy_timeout=0"
_PRAGMAS = (
    "PRAGMA synchronous=FULL",  # power loss safe; 0-5 % dearer than NORMAL in batches
    "PRAGMA wal_autocheckpoint=16000",
    "PRAGMA foreign_keys=ON",
)
_WRITERS_CACHE = "PRAGMA cache_size=-65536"
_READERS_CACHE = "PRAGMA cache_size=-8192"
"""KiB, each. The writer has the working set of the outbox; of the readers there are twelve at most, which fill whatever
they are given and keep it: together 96 MiB and not 768. What they read again, the kernel has."""
_READERS = 12
_WRITERS_STATEMENTS, _READERS_STATEMENTS = 400, 200
"""Compiled statements that each connection of SQLite keeps, some kilobytes each: compiling takes longer than asking."""
_SHARED_COMMIT = 64
"""Works of one commit at most, so that the first of them does not wait for ever."""
_RETRY_S = 10.0
"""How long a lost PostgreSQL connection is retried: longer than a promotion of its standby (1.3 s measured)."""
_POOL_S = 10.0
"""A caller waits this long for one of the connections, and not longer: what holds them all has its own troubles."""
_PG_STANDSTILL_MS = "5000"
"""A node that stands still in a transaction holds the rows that every other node needs, ceilings first of all: after
this long the server takes them back. No transaction of this package waits for anything but the database."""


class _Job:
    __slots__ = ("asked_s", "done", "turn", "work")

    def __init__(self, work: Work[Any], turn: Turn) -> None:
        self.work, self.turn = work, turn
        self.asked_s = time.monotonic()
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Database:
    """Use `open_database`."""

    def __init__(self, writer: AsyncEngine, reading: ReadPool, clock: Clock, path: Path | None) -> None:
        self._writer = writer
        self._reading = reading
        self.clock = clock
        self.path = path
        self.sqlite = writer.dialect.name == "sqlite"
        self.write_times = WaitTimes()
        """From asking for a write until it was durable."""
        self.commits = 0
        """Transactions that were written, since the start."""
        self._jobs: dict[Turn, deque[_Job]] = {turn: deque() for turn in Turn}
        self._bell = asyncio.Event()
        self._open = asyncio.Event()
        self._closing = False
        self.lock: int | None = None
        """The descriptor that keeps the file for one server, while one serves it."""

    async def write(self, work: Work[T], *, turn: Turn = Turn.USUAL) -> T:
        """Run `work` in a transaction and return its result once that is durable.

        Raises what `work` raises (nothing kept), Conflict for a taken unique key, StoreUnavailable.
        """
        if self.sqlite:
            return await self._enqueue(work, turn)
        return await self._write_postgresql(work)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection with a consistent snapshot, for reading only.

        Raises StoreUnavailable, at once or out of what is asked inside, as `write` does."""
        try:
            conn = await self._reading.lend(_POOL_S)
        except (DBAPIError, PoolExhausted, InvalidRequestError, OSError) as exc:
            raise unreachable(exc) from exc
        is_sound = False
        try:
            yield conn
            is_sound = True
        except DBAPIError as exc:
            raise_translated(exc)
        except Exception:
            is_sound = True  # its reader's own
            raise
        finally:
            await self._reading.take_back(conn, is_sound=is_sound)

    async def require_writable(self) -> None:
        """One transaction in the queue of all others, that does nothing. Raises StoreUnavailable."""
        await self.write(lambda tx: tx.rows(sa.text("SELECT 1")))

    def free_bytes(self) -> int | None:
        """Free space where the file lies; None where the database looks after its own disk."""
        if self.path is None:
            return None
        return shutil.disk_usage(self.path.parent).free

    async def size_bytes(self, conn: AsyncConnection) -> int:
        """What the store takes: of a file with its write-ahead log, of a PostgreSQL database by its own reckoning."""
        if self.path is None:
            return int((await conn.execute(sa.text("SELECT pg_database_size(current_database())"))).scalar_one())
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    # ---- SQLite ----------------------------------------------------------------------------------------------

    async def _enqueue(self, work: Work[T], turn: Turn) -> T:
        if self._closing:
            raise StoreUnavailable("the store is closing")
        job = _Job(work, turn)
        self._jobs[turn].append(job)
        self._bell.set()
        result: T = await job.done
        return result

    def _next_job(self) -> _Job | None:
        return _first_wanted(self._jobs[Turn.FIRST]) or self._next_usual() or _first_wanted(self._jobs[Turn.LAST])

    def _next_usual(self) -> _Job | None:
        return _first_wanted(self._jobs[Turn.USUAL])

    def _next_beside(self, finished: Sequence[_Job]) -> _Job | None:
        """Who may join a commit with these."""
        if len(finished) >= _SHARED_COMMIT:
            return None
        first = _first_wanted(self._jobs[Turn.FIRST])
        if first is not None or any(job.turn is Turn.FIRST for job in finished):
            return first
        return self._next_usual()

    async def _serve_writes(self) -> None:
        try:
            async with self._writer.connect() as conn:
                # SQLAlchemy sees one transaction that never ends: the driver begins and commits, for half the price.
                await conn.begin()
                driver = (await conn.get_raw_connection()).driver_connection
                assert isinstance(driver, SqliteConnection)
                self._open.set()
                while True:
                    job = self._next_job()
                    if job is not None:
                        await self._commit_together(conn, driver, job)
                    elif self._closing:
                        return
                    else:
                        self._bell.clear()
                        await self._bell.wait()
        finally:
            # Whatever ended the writer: nobody waits for it for ever.
            self._closing = True
            self._open.set()
            while (job := self._next_job()) is not None:
                _fail(job, StoreUnavailable("the store's writer has stopped"))

    async def _commit_together(self, conn: AsyncConnection, driver: SqliteConnection, first: _Job) -> None:
        """One transaction for the works that are waiting now; each stands or falls by itself.

        A failure is told after the commit, as a result is: it may be about what another of these works wrote, and
        whoever hears of a conflict must find what it is in conflict with."""
        finished: list[tuple[_Job, Any]] = []
        failures: list[tuple[_Job, Exception]] = []
        job: _Job | None = first
        try:
            async with _transaction(driver):
                turn_s = time.monotonic()
                while job is not None:
                    try:
                        async with _savepoint(driver):
                            result = await job.work(Transaction(conn, self.clock.now_us(), True, driver=driver))
                        finished.append((job, result))
                    except Exception as exc:
                        if not driver.in_transaction:
                            # A full disk may undo all of it: what follows must not run without a transaction.
                            raise StoreUnavailable(f"the transaction was undone: {exc}") from exc
                        failures.append((job, exc))
                    if time.monotonic() - turn_s > HELD_S:
                        # Short statements run where they are called: now and then the loop has its turn.
                        await asyncio.sleep(0)
                        turn_s = time.monotonic()
                    job = self._next_beside([done for done, _ in (*finished, *failures)])
        except BaseException as exc:
            for failed in (*(j for j, _ in finished), *(j for j, _ in failures), job):
                if failed is not None:
                    _fail(failed, exc)
            if not isinstance(exc, Exception):
                raise
            return
        self.commits += 1
        now_s = time.monotonic()
        for job, result in finished:
            self.write_times.note(now_s - job.asked_s)
            if not job.done.done():
                job.done.set_result(result)
        for job, failure in failures:
            _fail(job, failure)

    # ---- PostgreSQL ------------------------------------------------------------------------------------------

    async def _write_postgresql(self, work: Work[T]) -> T:
        loop = asyncio.get_running_loop()
        began_s = time.monotonic()
        deadline = loop.time() + _RETRY_S
        pause_s = 0.05
        tried_us: int | None = None
        while True:
            try:
                async with self._writer.begin() as conn:
                    now_us = int((await conn.execute(_PG_NOW)).scalar_one())
                    # A node whose own clock is wrong must not think that an alert has expired.
                    self.clock.follow(now_us)
                    again = Transaction(conn, now_us, False, tried_us=tried_us)
                    tried_us = now_us if tried_us is None else tried_us
                    result = await work(again)
                self.commits += 1
                self.write_times.note(time.monotonic() - began_s)
                return result
            except (DBAPIError, OSError, PoolExhausted, NoAnswer) as exc:
                if not worth_repeating(exc) or loop.time() + pause_s > deadline:
                    raise_translated(exc, writing=True)
                log.warning("database away, repeating", extra={"action": "store-repeat"})
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 1.0)


_PG_NOW = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")


@contextlib.asynccontextmanager
async def _transaction(driver: SqliteConnection) -> AsyncIterator[None]:
    """Durable when the block ends; undone when it raises."""
    await driver.begin()
    try:
        yield
        await driver.run("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk may have ended it
            await driver.rollback()
        raise


@contextlib.asynccontextmanager
async def _savepoint(driver: SqliteConnection) -> AsyncIterator[None]:
    await driver.run("SAVEPOINT work")
    try:
        yield
    except BaseException:
        # After a full disk there may be no transaction left to go back in: its error is the one to tell.
        with contextlib.suppress(DBAPIError):
            await driver.run("ROLLBACK TO work")
            await driver.run("RELEASE work")
        raise
    await driver.run("RELEASE work")


def _first_wanted(queue: deque[_Job]) -> _Job | None:
    """The first whose caller has not gone away."""
    while queue:
        job = queue.popleft()
        if not job.done.cancelled():
            return job
    return None


def _fail(job: _Job, exc: BaseException) -> None:
    if job.done.done():
        return
    if not isinstance(exc, Exception):
        job.done.set_exception(StoreUnavailable("the store's writer was stopped"))
        return
    error = translated(exc, writing=True)
    if error is not exc:
        error.__cause__ = exc
    job.done.set_exception(error)


def _lenient(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _sqlite_engine(url: sa.URL, *, writer: bool) -> AsyncEngine:
    # None beyond the pool's size: each would be opened, told its pragmas and thrown away again.
    size = {"pool_size": 1 if writer else _READERS, "max_overflow": 0}
    engine = create_async_engine(
        url,
        connect_args={
            "async_creator_fn": connector(writes=writer),
            "cached_statements": _WRITERS_STATEMENTS if writer else _READERS_STATEMENTS,
        },
        pool_timeout=_POOL_S,
        **size,
    )
    keep_readable(engine)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        # SQLite keeps any octets as text. One name that is no UTF-8 must not make its batch unreadable, and with it
        # stop every batch behind.
        connection.driver_connection.text_factory = _lenient
        cursor = connection.cursor()
        # The mode of the file is the writer's affair: a reader that asks for it meanwhile can lock both out.
        own = (_PATIENT, _WRITERS_CACHE, _WAL, _PROMPT) if writer else (_READERS_CACHE,)
        for pragma in (*_PRAGMAS, *own):
            cursor.execute(pragma)
        cursor.close()

    return engine


def _postgresql_engines(url: sa.URL) -> tuple[AsyncEngine, AsyncEngine]:
    from store.engine import postgresql_driver  # a command on a file does not wait for it

    standstill = {"idle_in_transaction_session_timeout": _PG_STANDSTILL_MS}
    # Not asked before they are lent: every work begins with a question of its own, and is repeated.
    writer = create_async_engine(
        url,
        pool_size=8,
        max_overflow=4,
        pool_timeout=_POOL_S,
        connect_args=postgresql_driver.options(postgresql_driver.WRITE_S, standstill),
    )
    # Its own pool, so that no report can keep a settle waiting.
    reader = create_async_engine(
        url,
        pool_size=4,
        max_overflow=8,
        pool_timeout=_POOL_S,
        isolation_level="REPEATABLE READ",
        connect_args=postgresql_driver.options(postgresql_driver.READ_S),
    )
    postgresql_driver.ask_before_lending(reader)
    for engine in (writer, reader):
        postgresql_driver.give_up_what_is_silent(engine)
        keep_readable(engine)
    return writer, reader


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold the file for one server process; gives the descriptor, with which processes that it makes hold it too.
    Raises StoreLocked at once when another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StoreLocked(f"another server is running on {path.name}") from exc
        yield handle
    finally:
        os.close(handle)


@contextlib.asynccontextmanager
async def open_database(url: str, *, clock: Clock | None = None) -> AsyncIterator[Database]:
    """`sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://...`. Makes no tables (`migrations`)."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database)).absolute()  # noqa: ASYNC240 - arithmetic on a name
        make_private(path)
        writer = _sqlite_engine(parsed, writer=True)
        of_file = FileReadPool(_sqlite_engine(parsed, writer=False), _READERS)
        async with _serving(Database(writer, of_file, clock or Clock(), path)) as database:
            yield database
    else:
        writer, reader = _postgresql_engines(parsed)
        of_server = ServerReadPool(reader)
        try:
            yield Database(writer, of_server, clock or Clock(), None)
        finally:
            await of_server.close()
            await writer.dispose()


@contextlib.asynccontextmanager
async def _serving(database: Database) -> AsyncIterator[Database]:
    task = asyncio.create_task(database._serve_writes(), name="store-writer")
    try:
        await database._open.wait()
        yield database
    finally:
        database._closing = True
        database._bell.set()
        try:
            await asyncio.shield(task)
        finally:
            await database._reading.close()
            await database._writer.dispose()
