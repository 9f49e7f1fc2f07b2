"""Connections for reading: lent, given back and lent again.

SQLAlchemy's pool makes an object for each loan, rolls back in a greenlet and asks events about it: more than most
readings of a file take. Of a file the connections stay with us: SQLAlchemy sees one transaction that never ends, and
the driver begins and ends the real ones.
"""

import asyncio
from typing import Protocol

from sqlalchemy.exc import TimeoutError as Exhausted
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from store.engine.transaction import driver_of


class ReadPool(Protocol):
    async def lend(self, patience_s: float) -> AsyncConnection:
        """One with a snapshot that begins with the first question. Raises SQLAlchemy's TimeoutError when none is free
        for `patience_s`, and what connecting raises."""
        ...

    async def take_back(self, conn: AsyncConnection, *, is_sound: bool) -> None:
        """`is_sound`: nothing was cut off in it, and the engine raised nothing."""
        ...

    async def close(self) -> None: ...


class FileReadPool:
    """At most `most` connections to a file; `engine` must give as many."""

    def __init__(self, engine: AsyncEngine, most: int) -> None:
        self._engine = engine
        self._free = asyncio.Semaphore(most)
        self._idle: list[AsyncConnection] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def lend(self, patience_s: float) -> AsyncConnection:
        await self._wait_for_one(patience_s)
        conn: AsyncConnection | None = None
        try:
            conn = self._idle.pop() if self._idle else await self._connected()
            driver = driver_of(conn)
            assert driver is not None
            driver.begin_snapshot()
            return conn
        except BaseException:
            if conn is None:
                self._free.release()
            else:
                await self._give_up(conn)
            raise

    async def take_back(self, conn: AsyncConnection, *, is_sound: bool) -> None:
        driver = driver_of(conn) if is_sound else None
        if driver is not None and driver.end_snapshot():
            self._idle.append(conn)
            self._free.release()
        else:
            await self._give_up(conn)

    async def _give_up(self, conn: AsyncConnection) -> None:
        """Close it, also when whoever had it is cancelled once more: one that is lost is one reading less at a time,
        and a dozen lost ones are the end of all readings."""

        async def closed() -> None:
            try:
                await conn.close()
            finally:
                self._free.release()

        task = asyncio.create_task(closed(), name="a connection for reading is closed")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing)
        while self._idle:
            await self._idle.pop().close()
        await self._engine.dispose()

    async def _wait_for_one(self, patience_s: float) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(patience_s):
                await self._free.acquire()
        except TimeoutError as exc:
            raise Exhausted(f"no connection for reading was free for {patience_s:g} s") from exc

    async def _connected(self) -> AsyncConnection:
        conn = await self._engine.connect()
        try:
            await conn.begin()
        except BaseException:
            await asyncio.shield(conn.close())
            raise
        return conn


class ServerReadPool:
    """Of a PostgreSQL server: as its pool lends them, which has a time-out of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def lend(self, patience_s: float) -> AsyncConnection:
        return await self._engine.connect()

    async def take_back(self, conn: AsyncConnection, *, is_sound: bool) -> None:
        await conn.close()

    async def close(self) -> None:
        await self._engine.dispose()
