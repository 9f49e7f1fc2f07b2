"""Bring the tables to this version, or say that they are not."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from store.errors import SchemaMismatch, StoreUnavailable


def _config() -> Config:
    config = Config()
    # Alembic reads % as an interpolation: a folder may have one in its name.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def newest() -> str:
    """The revision of this version of the program."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def file_of(url: str) -> Path | None:
    """The file of a SQLite store; None for PostgreSQL."""
    parsed = sa.make_url(url)
    return Path(str(parsed.database)).absolute() if parsed.get_backend_name() == "sqlite" else None


def make_private(path: Path) -> None:
    """An empty file that only its owner can read: it will hold the contacts of people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)


async def migrate(url: str) -> str:
    """Run the migrations that are missing; returns the revision reached. Safe to run again.

    Makes the file of a SQLite store. Raises StoreUnavailable, for a server that cannot be reached or a full disk.
    """

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
    """The revision of the tables; None when there are none. Makes nothing. Raises StoreUnavailable."""
    path = file_of(url)
    if path is not None and not path.exists():
        return None
    async with _connected(url) as conn:
        return await conn.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as conn:
            yield conn
    except (OperationalError, OSError) as exc:
        text = exc.orig if isinstance(exc, OperationalError) else exc
        raise StoreUnavailable(f"the store cannot be used: {text}") from exc
    finally:
        await engine.dispose()


async def require_newest(url: str) -> None:
    """Raises SchemaMismatch, saying what to do; StoreUnavailable."""
    found = await current(url)
    if found is None:
        where = file_of(url) or sa.make_url(url).render_as_string(hide_password=True)
        raise SchemaMismatch(f"there is no store in {where}: 'tocsin migrate' makes one")
    if found != newest():
        raise SchemaMismatch(f"the tables are at revision {found}, this version needs {newest()}: run 'tocsin migrate'")
