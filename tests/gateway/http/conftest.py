"""The door for every test of it. On SQLite: it does not know its engine, and the store is tested on both."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.engine.database import Database
from tests.gateway.http.doorway import Doorway, doorway


@pytest.fixture
def store_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "tocsin.db")
    return f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Doorway]:
    async with doorway(database) as opened:
        yield opened
