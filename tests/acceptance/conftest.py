"""A PostgreSQL server of a module's own, which its tests may stop, and a new database in it for each."""

import itertools
from collections.abc import Iterator

import pytest

from store.engine.schema import migrate
from tests.peers.postgres import PrivatePostgres, controlled_postgres, new_database

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def private_postgres() -> Iterator[PrivatePostgres]:
    with controlled_postgres() as server:
        yield server


@pytest.fixture
async def private_url(private_postgres: PrivatePostgres) -> str:
    url = await new_database(private_postgres.url, f"private{next(_numbers)}")
    await migrate(url)
    return url
