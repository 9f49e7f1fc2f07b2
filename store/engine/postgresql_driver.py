"""Connections to PostgreSQL that never wait for ever: a server that stands still, or a host that is gone without a
word, is noticed by the clock on our side, since no error ever comes from there.

Nobody who waits for the store may wait longer than it can bear. An API client gives up after 30 s or more, a lease
lasts 15 s and is renewed every 4: whoever asks must hear "away" soon enough to say so and to try again.
"""

import asyncio
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine

from store.errors import NoAnswer

CONNECT_S = 5.0
"""A connection with TLS and its password over a bad line takes a second."""
WRITE_S = 8.0
"""A statement that writes. It may wait for rows that a node which stands still has locked, and these come free after
5 s (`store.database`): above that, and well below a lease."""
READ_S = 20.0
"""A statement that reads: three times what the longest takes, the register of a zone of a million."""
PING_S = 2.0
"""The question whether anybody is there, before a reader is lent."""
CLOSE_S = 0.5
"""A good-bye. Whoever is gone does not hear it."""


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """One whose end is bounded: asyncpg first waits for the server to confirm that a late statement was cancelled."""

    async def close(self, *, timeout: float | None = None) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await super().close(timeout=timeout)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # TimeoutError is an OSError
            self.terminate()


def options(statement_s: float | None, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """The arguments with which an engine makes each of its connections."""
    return {
        "timeout": CONNECT_S,
        "command_timeout": statement_s,
        "connection_class": Connection,
        "server_settings": settings or {},
    }


def give_up_what_is_silent(engine: AsyncEngine) -> None:
    """A statement without an answer costs its connection, and so do those that lie idle beside it: they lead to the
    same host. Whoever asked hears NoAnswer."""

    @sa.event.listens_for(engine.sync_engine, "handle_error")
    def _judge(context: Any) -> Exception | None:
        if not isinstance(context.original_exception, OSError):
            return None
        context.is_disconnect = True
        return NoAnswer(str(context.original_exception) or "the database does not answer")


def ask_before_lending(engine: AsyncEngine) -> None:
    """Whoever gets a connection gets one that lives. A restarted server leaves a pool of dead ones, and what reads
    cannot be repeated as what writes is: its rows are half gone through."""

    @sa.event.listens_for(engine.sync_engine, "checkout")
    def _ask(connection: Any, _record: Any, _proxy: Any) -> None:
        try:
            connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=PING_S))
        except Exception as exc:
            raise InvalidatePoolError from exc
