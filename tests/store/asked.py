"""What the store asks of its engine, whichever way it goes there: through SQLAlchemy, or prepared past it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from store.engine.sqlite_driver import BEGIN, SqliteConnection

Asked = list[tuple[str, Any]]


@contextlib.contextmanager
def asked() -> Iterator[Asked]:
    """(statement, values) of every statement of this process while the block lasts, in their order."""
    seen: Asked = []
    run, begin = SqliteConnection.run, SqliteConnection.begin

    async def noted(driver: SqliteConnection, sql: str, values: Any = ()) -> Any:
        seen.append((sql, values))
        return await run(driver, sql, values)

    async def begun(driver: SqliteConnection) -> None:
        seen.append((BEGIN, ()))
        await begin(driver)

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        seen.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteConnection, "run", noted)
            patch.setattr(SqliteConnection, "begin", begun)
            yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
