"""What every part of the suite may use: a store on each engine."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store.database import Database, open_database
from store.schema import migrate
from tests.peers.postgres import new_database, private_postgres

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with private_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
async def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated, empty store on each engine."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"
    else:
        url = await new_database(request.getfixturevalue("postgres_server"), f"t{next(_numbers)}")
    await migrate(url)
    return url


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    async with open_database(store_url) as opened:
        yield opened
