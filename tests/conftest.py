"""What every part of the suite may use: a store on each engine.

The migrations run once an engine and session; every test gets a copy of the result.
"""

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store.engine.database import Database, open_database
from store.engine.schema import migrate
from tests.peers.postgres import new_database, private_postgres

_numbers = itertools.count(1)
_TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with private_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgresql(postgres_server: str) -> str:
    """The server, with a template database of the newest revision."""

    async def make() -> None:
        await migrate(await new_database(postgres_server, _TEMPLATE))

    asyncio.run(make())
    return postgres_server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tocsin.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def engine(request: pytest.FixtureRequest) -> str:
    """The engine a test runs on; both, unless a test chooses."""
    return str(request.param)


@pytest.fixture
def home(engine: str, request: pytest.FixtureRequest) -> str:
    """Where migrated stores are copied from: a file, or a server with a template."""
    return str(request.getfixturevalue(f"migrated_{engine}"))


@pytest.fixture
async def empty_url(engine: str, home: str, tmp_path: Path) -> str:
    """A database without a table on each engine."""
    if engine == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/empty.db"
    return await new_database(home, f"t{next(_numbers)}")


@pytest.fixture
async def store_url(engine: str, home: str, tmp_path: Path) -> str:
    """A migrated, empty store on each engine."""
    if engine == "sqlite":
        shutil.copy(home, tmp_path / "tocsin.db")
        return f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"
    return await new_database(home, f"t{next(_numbers)}", template=_TEMPLATE)


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    async with open_database(store_url) as opened:
        yield opened


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """With SHOWN=FILE: the tests that passed, without parameters, as `tests.acceptance.statements` counts them."""
    file = os.environ.get("SHOWN")
    if file and "PYTEST_XDIST_WORKER" not in os.environ and report.when == "call" and report.passed:
        with open(file, "a", encoding="utf-8") as shown:
            path, *_, name = report.nodeid.partition("[")[0].split("::")
            shown.write(f"{path}::{name}\n")
