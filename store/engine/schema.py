"""Bring the tables to this version, or say that they are not.

Alembic is loaded by what migrates alone: every command asks whether the tables are of its version, and an emergency
brake must not wait for it.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from store.engine.error_meaning import translated
from store.engine.location import file_of
from store.engine.revision import MIGRATIONS, newest, require
from store.engine.soundness import is_damage
from store.errors import StoreDamaged, StoreError, StoreUnavailable


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    # Alembic reads % as an interpolation: a folder may have one in its name.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def shown(url: str) -> str:
    """Where a store is, without a password."""
    path = file_of(url)
    return str(path) if path else sa.make_url(url).render_as_string(hide_password=True)


def make_private(path: Path) -> None:
    """An empty file that only its owner can read: it will hold the contacts of people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)


async def migrate(url: str) -> str:
    """Run the migrations that are missing; returns the revision reached. Safe to run again.

    Makes the file of a SQLite store. Raises StoreUnavailable, for a server that cannot be reached or a full disk.
    """

    from alembic import command

    def upgrade(connection: sa.Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    path = file_of(url)
    if path is not None:
        make_private(path)
    async with _connected(url) as conn:
        await conn.run_sync(upgrade)
        await conn.commit()
    return newest()


async def current(url: str) -> str | None:
    """The revision of the tables; None when there are none. Makes nothing. Raises StoreUnavailable, StoreDamaged."""
    path = file_of(url)
    if path is not None and not path.exists():
        return None
    async with _connected(url, reading=True) as conn:
        return await conn.run_sync(_revision)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


@contextlib.asynccontextmanager
async def _connected(url: str, *, reading: bool = False) -> AsyncIterator[AsyncConnection]:
    """What does not only read takes as long as it takes: a migration goes through whole tables."""
    engine = create_async_engine(url, connect_args={} if file_of(url) is not None else _postgresql(reading))
    try:
        async with _connection(engine, url) as conn:
            yield conn
    except (DBAPIError, OSError) as exc:
        away = isinstance(translated(exc, writing=True), StoreUnavailable)
        if isinstance(exc, DBAPIError) and not _of_the_file(exc) and not away:
            raise
        raise _unusable(exc, url) from exc
    finally:
        await engine.dispose()


def _postgresql(reading: bool) -> dict[str, Any]:
    from store.engine import postgresql_driver  # a command on a file does not wait for it

    return postgresql_driver.options(postgresql_driver.READ_S if reading else None)


@contextlib.asynccontextmanager
async def _connection(engine: AsyncEngine, url: str) -> AsyncIterator[AsyncConnection]:
    """Whatever a server has against us (no such database, a wrong password) is its answer, and no bug of ours."""
    try:
        conn = await engine.connect()
    except DBAPIError as exc:
        raise _unusable(exc, url) from exc
    try:
        yield conn
    finally:
        await conn.close()


def _of_the_file(exc: DBAPIError) -> bool:
    """It cannot be opened, written or read, or is no database; else a statement is wrong."""
    if isinstance(exc, OperationalError):
        return True
    return is_damage(exc.orig)


def _unusable(exc: Exception, url: str) -> StoreError:
    cause = exc.orig if isinstance(exc, DBAPIError) else exc
    path = file_of(url)
    if path is not None and is_damage(cause):
        return StoreDamaged(path, str(cause))
    where = path or sa.make_url(url).render_as_string(hide_password=True)
    return StoreUnavailable(f"the store {where} (store.url) cannot be used: {cause}")


async def require_newest(url: str) -> None:
    """Raises SchemaMismatch, saying what to do; StoreUnavailable."""
    where = file_of(url) or sa.make_url(url).render_as_string(hide_password=True)
    require(await current(url), str(where))
