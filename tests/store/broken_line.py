"""A line to PostgreSQL that breaks behind the commit: what the server has done, and whoever asked never hears of."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from store.engine.database import Database
from store.engine.postgresql_driver import NoAnswer


@contextlib.asynccontextmanager
async def lost_answer(database: Database) -> AsyncIterator[None]:
    """Of the next transaction that writes the answer to the commit is lost, of no other."""
    begin = AsyncEngine.begin
    left = 1

    @contextlib.asynccontextmanager
    async def breaks(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        nonlocal left
        async with begin(engine) as conn:
            yield conn
        if engine is database._writer and left:
            left -= 1
            raise NoAnswer("the answer to the commit was lost")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncEngine, "begin", breaks)
        yield
    assert not left, "nothing was written"
