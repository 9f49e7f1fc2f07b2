"""Bring the tables to this version, or say that they are not."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from store.errors import SchemaMismatch


def _config() -> Config:
    config = Config()
    # Alembic reads % as an interpolation: a folder may have one in its name.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def newest() -> str:
    """The revision of this version of the program."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def migrate(url: str) -> str:
    """Run the migrations that are missing; returns the revision reached. Safe to run again."""

    def upgrade(connection: sa.Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine(url)
    try:
        async with engine.begin() as conn:
            await conn.run_sync(upgrade)
        return newest()
    finally:
        await engine.dispose()


async def current(url: str) -> str | None:
    """The revision of the tables; None when there are none."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as conn:
            return await conn.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    finally:
        await engine.dispose()


async def require_newest(url: str) -> None:
    """Raises SchemaMismatch, saying what to do."""
    found = await current(url)
    if found != newest():
        raise SchemaMismatch(
            f"the tables are at revision {found or 'none'}, this version needs {newest()}: run 'tocsin migrate'"
        )
