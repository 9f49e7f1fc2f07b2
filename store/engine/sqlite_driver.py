"""Connections to SQLite that go to their thread for what is long alone, and then once a statement.

aiosqlite sends a statement's cursor, execution, fetch and end to its thread one by one: four turns of the event loop,
each longer under load than most statements. Here the first rows come back with the execution, and what cannot wait for
a lock, the disk or many rows runs where it is called.
"""

import asyncio
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

import aiosqlite
from aiosqlite.context import contextmanager
from aiosqlite.core import Connection
from aiosqlite.cursor import Cursor
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
AHEAD = 500
"""Rows that come back with the execution: a batch of a lane."""
LONG = 16_000
"""Characters and octets of parameters of a writer's statement that goes to the thread: on two hundred rows it takes
four milliseconds. A turn of a loop that is busy takes longer than most statements, and every write waits for it."""
SHORT_S = 0.002
"""A reading that takes longer is no affair of the loop's."""
HELD_S = 0.005
"""Of readings that follow each other: then the loop has its turn."""
_LOOK_EVERY = 5_000
"""Steps of SQLite's machine between two looks at the clock: some 0.1 ms."""
PATIENCE_MS = 5_000
"""How long is waited for a lock. A writer's is held by another program that writes; a reader's, in WAL, only by one
that opens or closes the file."""
_MOST_LONG = 1_000
_SIZED = (str, bytes, memoryview)
BEGIN = "BEGIN IMMEDIATE"
_WAITS = ("COMMIT", "PRAGMA", "VACUUM")
Ran: TypeAlias = tuple[int, Any, Sequence[Sequence[Any]]]
"""Rows changed, what the columns are called, and the rows."""


class _Cursor(Cursor):
    """As aiosqlite's. The end of the result is known without asking again when it came with the execution."""

    _conn: "SqliteConnection"
    _first: list[Any]

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> "_Cursor":
        values = [] if parameters is None else parameters
        self._first = await self._conn.statement(self._start, sql, values)
        return self

    def _start(self, sql: str, values: Any) -> list[Any]:
        self._cursor.execute(sql, values)
        return self._cursor.fetchmany(AHEAD) if self._cursor.description else []

    async def fetchall(self) -> list[Any]:
        first, self._first = self._first, []
        if len(first) < AHEAD:
            return first
        return first + list(await super().fetchall())

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        wanted = self._cursor.arraysize if size is None else size
        if not self._first:
            return list(await super().fetchmany(wanted))
        found, self._first = self._first[:wanted], self._first[wanted:]
        return found

    async def fetchone(self) -> Any:
        return self._first.pop(0) if self._first else await super().fetchone()

    async def close(self) -> None:
        self._cursor.close()


class SqliteConnection(Connection):
    def __init__(
        self, connector: Callable[[], sqlite3.Connection], iter_chunk_size: int, *, writes: bool, long: set[str]
    ) -> None:
        super().__init__(connector, iter_chunk_size)
        self._writes = writes
        self._long = long
        """Readings that took longer than a loop can wait, of all connections to this store."""
        self._until_s = math.inf
        self._given = self._done = self._given_up = 0
        """Calls that its thread was given, those it is through with, and up to which of them nobody waits any more."""
        self._held_s = 0.0
        """How long readings have run in the loop since it had its turn."""
        self._thread.daemon = True  # as SQLAlchemy has it

    async def _connect(self) -> "SqliteConnection":
        await super()._connect()
        self._conn.execute("PRAGMA busy_timeout=0")
        if not self._writes:
            self._conn.set_progress_handler(self._is_over, _LOOK_EVERY)
        return self

    @contextmanager
    async def cursor(self) -> Cursor:
        return _Cursor(self, self._conn.cursor())

    async def statement(self, start: Callable[..., list[Any]], sql: str, values: Any) -> list[Any]:
        if not self._writes:
            return await self._read(start, sql, values)
        if self._is_quick(sql, values):
            return start(sql, values)
        rows: list[Any] = await self._execute(start, sql, values)
        return rows

    async def _read(self, start: Callable[..., T], sql: str, values: Any) -> T:
        """Where it is called, as long as it is short: a thread costs several times what most readings do. What turns
        out to be long, or would wait for a lock, is begun anew in the thread, and goes there at once from then on."""
        if sql not in self._long and self._given == self._done:
            began_s = time.perf_counter()
            self._until_s = began_s + SHORT_S
            try:
                short = start(sql, values)
                self._held_s += time.perf_counter() - began_s
                if self._held_s > HELD_S:
                    self._held_s = 0.0
                    await asyncio.sleep(0)
                return short
            except sqlite3.OperationalError as exc:
                name = getattr(exc, "sqlite_errorname", "")
                if name == "SQLITE_INTERRUPT":
                    if len(self._long) >= _MOST_LONG:
                        self._long.clear()
                    self._long.add(sql)
                elif not name.startswith("SQLITE_BUSY"):
                    raise
            finally:
                self._until_s = math.inf
        found: T = await self._execute(self._patiently, start, sql, values)
        return found

    def _patiently(self, start: Callable[..., T], sql: str, values: Any) -> T:
        self._conn.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
        try:
            return start(sql, values)
        finally:
            self._conn.execute("PRAGMA busy_timeout=0")

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In the thread. Whoever is cancelled leaves a call behind: a reading is then given up (`_is_over`)."""
        self._given += 1

        def counted() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                self._done += 1

        try:
            return await super()._execute(counted)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            self._given_up = self._given
            raise

    def _is_over(self) -> bool:
        """Asked by SQLite in the middle of a reading."""
        return self._done < self._given_up or time.perf_counter() > self._until_s

    async def run(self, sql: str, values: Sequence[Any] = ()) -> Ran:
        """A statement past SQLAlchemy, and its errors in SQLAlchemy's words."""
        try:
            if not self._writes:
                return await self._read(self._run, sql, values)
            if self._is_quick(sql, values):
                return self._run(sql, values)
            ran: Ran = await self._execute(self._run, sql, values)
            return ran
        except sqlite3.Error as exc:
            raise DBAPIError.instance(sql, tuple(values), exc, sqlite3.Error) from exc

    async def begin(self) -> None:
        """Begin a transaction that writes: where it is called, unless another program holds the file."""
        try:
            self._run(BEGIN, ())
        except sqlite3.OperationalError as exc:
            if not getattr(exc, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise DBAPIError.instance(BEGIN, (), exc, sqlite3.Error) from exc
            try:
                await self._execute(self._patiently, self._run, BEGIN, ())
            except sqlite3.Error as again:
                raise DBAPIError.instance(BEGIN, (), again, sqlite3.Error) from again

    def _run(self, sql: str, values: Sequence[Any]) -> Ran:
        cursor = self._conn.execute(sql, values)
        return cursor.rowcount, cursor.description, cursor.fetchall() if cursor.description else ()

    async def rollback(self) -> None:
        if self._writes or not self.end_snapshot():
            await super().rollback()

    def begin_snapshot(self) -> None:
        """Begin a reading, which touches no disk, where it is called: nobody can be cancelled in the midst of it.
        Raises DBAPIError."""
        try:
            self._run("BEGIN", ())
        except sqlite3.Error as exc:
            raise DBAPIError.instance("BEGIN", (), exc, sqlite3.Error) from exc

    def end_snapshot(self) -> bool:
        """End a reading, which touches no disk; False while something is under way in its thread."""
        if self._given != self._done:
            return False
        self._conn.rollback()
        return True

    def _is_quick(self, sql: str, values: Any) -> bool:
        return not sql.startswith(_WAITS) and sum(len(v) for v in values if isinstance(v, _SIZED)) <= LONG


def connector(*, writes: bool) -> Callable[..., SqliteConnection]:
    """What SQLAlchemy takes as `async_creator_fn`. Its `check_same_thread` is off for files: two threads use a
    connection, never at once."""

    long: set[str] = set()

    def connect(database: str, **options: Any) -> SqliteConnection:
        plain = aiosqlite.connect(database, **options)
        return SqliteConnection(plain._connector, plain._iter_chunk_size, writes=writes, long=long)

    return connect
