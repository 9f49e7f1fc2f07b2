"""A transaction as the works of this package see it: a connection, the instant it began, and three short verbs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.prepared_statement import Prepared
from store.engine.sqlite_driver import SqliteConnection
from store.engine.steps import Steps, T
from store.engine.storable_text import readable_values

Connection: TypeAlias = AsyncConnection
"""Of `Database.read`: for the functions of this package, which are all that anybody outside gives it to."""
AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]


async def rows_of(conn: Connection, statement: Prepared, values: Mapping[str, Any] | None = None) -> list[AnyRow]:
    """All rows of a prepared reading: for what is bounded."""
    return (await _ask(conn, driver_of(conn), statement, values or {}))[1]


def driver_of(conn: Connection) -> SqliteConnection | None:
    """SQLite's own connection beneath SQLAlchemy's; None for PostgreSQL."""
    driver = conn.sync_connection.connection.driver_connection if conn.sync_connection else None
    return driver if isinstance(driver, SqliteConnection) else None


async def _ask(
    conn: Connection, driver: SqliteConnection | None, statement: Prepared, values: Mapping[str, Any]
) -> tuple[int, list[AnyRow]]:
    """Rows changed, and the rows: all of them."""
    text = statement.text(sqlite=driver is not None)
    ordered = text.ordered(values)
    if driver is not None:
        changed, description, found = await driver.run(text.sql, readable_values(ordered))
        return changed, text.rows(found, description) if description else []
    result = await conn.exec_driver_sql(text.sql, ordered)
    return int(getattr(result, "rowcount", 0)), list(result.all()) if result.returns_rows else []


@lru_cache
def _step(sql: str) -> Prepared:
    return Prepared(sa.text(sql))


async def follow(conn: AsyncConnection, steps: Steps[T]) -> T:
    """Runs each statement of a work and returns what the work returns."""
    try:
        sql, values = next(steps)
        while True:
            sql, values = steps.send(await rows_of(conn, _step(sql), values))
    except StopIteration as end:
        found: T = end.value
        return found


@dataclass(frozen=True, slots=True)
class Transaction:
    conn: AsyncConnection
    now_us: int
    """UTC, by the clock that all nodes share."""
    sqlite: bool
    ceilings: set[tuple[str, str]] = field(default_factory=set)
    """(mode, ceiling): whose slots this transaction holds (`store.ceilings`)."""
    driver: SqliteConnection | None = None
    """Of SQLite: what is prepared goes past SQLAlchemy."""
    tried_us: int | None = None
    """When the first try of this work began, if this is another one. That one may have been committed all the same: a
    connection that breaks may take the answer with it."""

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    async def rows(self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None) -> list[AnyRow]:
        if isinstance(statement, Prepared):
            return (await _ask(self.conn, self.driver, statement, values or {}))[1]
        return list((await self.conn.execute(statement, values or {})).all())

    async def first(
        self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None
    ) -> AnyRow | None:
        if isinstance(statement, Prepared):
            rows = (await _ask(self.conn, self.driver, statement, values or {}))[1]
            return rows[0] if rows else None
        return (await self.conn.execute(statement, values or {})).first()

    async def follow(self, steps: Steps[T]) -> T:
        """Runs each statement of a work and returns what the work returns."""
        return await follow(self.conn, steps)

    async def run(self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None) -> int:
        """Runs a statement; returns how many rows it changed."""
        if isinstance(statement, Prepared):
            return (await _ask(self.conn, self.driver, statement, values or {}))[0]
        result = await self.conn.execute(statement, values or {})
        return int(getattr(result, "rowcount", 0))
