"""The door for every test of it."""

from collections.abc import AsyncIterator

import pytest

from store.database import Database
from tests.gateway.http.doorway import Doorway, doorway


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Doorway]:
    async with doorway(database) as opened:
        yield opened
