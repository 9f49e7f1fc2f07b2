"""The door for every test of it. On SQLite: it does not know its engine, and the store is tested on both."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.engine.database import Database
from store.engine.schema import migrate
from tests.gateway.http.doorway import Doorway, doorway


@pytest.fixture
async def store_url(tmp_path: Path) -> str:
    url = f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"
    await migrate(url)
    return url


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Doorway]:
    async with doorway(database) as opened:
        yield opened
