"""The tables: what the migrations make is what the program means."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from store.engine.schema import current, migrate, newest, require_newest
from store.errors import SchemaMismatch
from store.tables import metadata


def _differences(connection: sa.Connection) -> list[object]:
    """Without the indexes on an expression, which SQLAlchemy cannot read back from SQLite: the next test compares all
    indexes as the engine wrote them down."""
    plain = {
        i.name
        for t in metadata.tables.values()
        for i in t.indexes
        if all(isinstance(c, sa.Column) for c in i.expressions)
    }
    opts = {
        "compare_type": True,
        "include_object": lambda _, name, kind, *__: kind != "index" or name in plain,
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=opts), metadata))


def _indexes(connection: sa.Connection) -> dict[str, str]:
    """What alembic does not compare: the predicates of the indexes, as the engine wrote them down."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    return {row[0]: row[1] for row in connection.execute(sa.text(query)) if "alembic" not in row[0]}


async def _ask(url: str, question, *, make_all: bool = False):
    engine = create_async_engine(url)
    try:
        async with engine.begin() as conn:
            if make_all:
                await conn.run_sync(metadata.create_all)
            return await conn.run_sync(question)
    finally:
        await engine.dispose()


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_the_migrations_make_exactly_the_tables_of_the_program(store_url):
    assert await _ask(store_url, _differences) == []


async def test_the_migrations_make_the_same_indexes_with_the_same_predicates(store_url, empty_url):
    migrated = await _ask(store_url, _indexes)

    assert migrated == await _ask(empty_url, _indexes, make_all=True)
    assert any("WHERE" in definition.upper() for definition in migrated.values())


async def test_migrating_twice_changes_nothing(empty_url):
    first = await migrate(empty_url)
    before = await _ask(empty_url, _indexes)

    assert await migrate(empty_url) == first == newest()
    assert await _ask(empty_url, _indexes) == before
    assert await current(empty_url) == newest()
    await require_newest(empty_url)


async def test_a_store_without_tables_is_refused_with_the_command_that_mends_it(empty_url):
    with pytest.raises(SchemaMismatch, match=r"there is no store in .*'tocsin migrate' makes one"):
        await require_newest(empty_url)


async def test_a_store_of_another_version_is_refused(store_url):
    engine = create_async_engine(store_url)
    async with engine.begin() as conn:
        await conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()

    with pytest.raises(SchemaMismatch, match="at revision 9999"):
        await require_newest(store_url)
