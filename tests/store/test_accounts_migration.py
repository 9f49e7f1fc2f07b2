"""Accounts of before come in as they did, are found, and may not see to anybody."""

import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine

from store.access import accounts, managing
from store.access.managing import WantedAccounts
from store.engine.database import open_database
from tests.store.test_money_migration import moved

_BEFORE, _AFTER = "0026", "0027"


async def _before(url: str) -> None:
    await moved(url, lambda config: command.upgrade(config, _BEFORE))
    engine = create_async_engine(url)
    async with engine.begin() as conn:
        for code, type_ in (("élise", "administrator"), ("ops", "operator")):
            new = "INSERT INTO account (code, name, type, senders, kind_rules) VALUES (:c, :n, :t, '[]', '[]')"
            await conn.execute(sa.text(new), {"c": code, "n": "Name É", "t": type_})
        of = "SELECT id FROM account WHERE code = 'élise'"
        key = f"INSERT INTO api_key (account_id, key_id, secret_sha256, created_ms) VALUES (({of}), 'k1', 'x', 1)"
        right = f"INSERT INTO account_right (account_id, action) VALUES (({of}), 'read')"
        for statement in (key, right):
            await conn.execute(sa.text(statement))
    await engine.dispose()


async def test_who_came_in_comes_in_with_the_same_rights_and_no_more(empty_url: str) -> None:
    await _before(empty_url)
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))

    async with open_database(empty_url) as database, database.read() as conn:
        key = await accounts.find_key(conn, "k1")
        found = await managing.page(conn, WantedAccounts(zones=None, sought="elise name e", state="active"), 10)

    assert key is not None
    assert key.may_come_in
    assert [right.action for right in key.rights] == ["read"]
    assert [one.code for one in found] == ["élise"]


async def test_the_way_back_leaves_what_was_there(empty_url: str) -> None:
    await _before(empty_url)
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))
    await moved(empty_url, lambda config: command.downgrade(config, _BEFORE))

    engine = create_async_engine(empty_url)
    async with engine.connect() as conn:
        rows = (await conn.execute(sa.text("SELECT code, name, type FROM account ORDER BY id"))).all()
    await engine.dispose()
    assert [tuple(row) for row in rows] == [("élise", "Name É", "administrator"), ("ops", "Name É", "operator")]
