"""A transaction as the works of this package see it: a connection, the instant it began, and three short verbs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.prepared import Prepared
from store.sqlite_driver import SqliteConnection
from store.steps import Steps, T
from store.storable_text import readable_values

Connection: TypeAlias = AsyncConnection
"""Of `Database.read`: for the functions of this package, which are all that anybody outside gives it to."""
AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]


_text = lru_cache(sa.text)


async def follow(conn: AsyncConnection, steps: Steps[T]) -> T:
    """Runs each statement of a work and returns what the work returns."""
    try:
        sql, values = next(steps)
        while True:
            result = await conn.execute(_text(sql), values)
            sql, values = steps.send(result.all() if result.returns_rows else [])
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
    """(mode, ceiling): whose slots this transaction holds (`store.slots`)."""
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
            return (await self._ask(statement, values or {}))[1]
        return list((await self.conn.execute(statement, values or {})).all())

    async def first(
        self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None
    ) -> AnyRow | None:
        if isinstance(statement, Prepared):
            rows = (await self._ask(statement, values or {}))[1]
            return rows[0] if rows else None
        return (await self.conn.execute(statement, values or {})).first()

    async def follow(self, steps: Steps[T]) -> T:
        """Runs each statement of a work and returns what the work returns."""
        return await follow(self.conn, steps)

    async def run(self, statement: sa.Executable | Prepared, values: Mapping[str, Any] | None = None) -> int:
        """Rows changed."""
        if isinstance(statement, Prepared):
            return (await self._ask(statement, values or {}))[0]
        result = await self.conn.execute(statement, values or {})
        return int(getattr(result, "rowcount", 0))

    async def _ask(self, statement: Prepared, values: Mapping[str, Any]) -> tuple[int, list[AnyRow]]:
        """Rows changed, and the rows: all of them, so for what is bounded."""
        text = statement.text(sqlite=self.sqlite)
        ordered = text.ordered(values)
        if self.driver is not None:
            changed, description, found = await self.driver.run(text.sql, readable_values(ordered))
            return changed, text.rows(found, description) if description else []
        result = await self.conn.exec_driver_sql(text.sql, ordered)
        return int(getattr(result, "rowcount", 0)), list(result.all()) if result.returns_rows else []
