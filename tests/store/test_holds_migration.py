"""A hold of before holds were resources stands on, with an id of its own; one that a restore placed is marked."""

import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine

from store.audit_line import SERVER
from store.engine.database import open_database
from store.outbox import holds
from tests.store.test_money_migration import moved


async def test_a_hold_of_before_has_an_id_and_was_changed_by_whoever_placed_it(empty_url: str) -> None:
    await moved(empty_url, lambda config: command.upgrade(config, "0021"))
    engine = create_async_engine(empty_url)
    async with engine.begin() as conn:
        values = [{"scope": scope, "subject": name} for scope, name in (("channel", "sms"), ("all", ""))]
        insert = "INSERT INTO hold (scope, subject, reason, \"by\", at_ms) VALUES (:scope, :subject, 'storm', 'ada', 5)"
        await conn.execute(sa.text(insert), values)
    await engine.dispose()

    await moved(empty_url, lambda config: command.upgrade(config, "head"))

    async with open_database(empty_url) as database:
        async with database.read() as conn:
            first, second = await holds.standing(conn)
        assert {len(one.public_id) for one in (first, second)} == {20}
        assert first.public_id != second.public_id
        assert (first.name, first.reason, first.revision, first.changed_by, first.changed_ms) == (
            "sms", "storm", 1, "ada", 5,
        )  # fmt: skip
        assert await database.write(lambda tx: holds.lift_seen(tx, second, SERVER))
    await moved(empty_url, lambda config: command.downgrade(config, "0021"))
    await moved(empty_url, lambda config: command.upgrade(config, "head"))


async def test_what_a_restore_had_placed_is_marked_and_what_only_says_so_is_not(empty_url: str) -> None:
    await moved(empty_url, lambda config: command.upgrade(config, "0023"))
    engine = create_async_engine(empty_url)
    said = "restored copy: what it calls queued may have been sent since"
    of_account, of_restore = "mallory", "tocsin new-generation"
    held = [  # scope, subject, reason, by, account
        ("campaign", "1", said, of_restore, None),
        ("campaign", "2", "over", of_restore, None),  # somebody gave it another reason since
        ("campaign", "3", said, of_account, 1),
        ("campaign", "4", "wrong street", "ada", None),
        ("zone", "1", said, "ada", None),
    ]
    names = ("scope", "subject", "reason", "by", "account", "id")
    async with engine.begin() as conn:
        await conn.execute(
            sa.text("INSERT INTO account (id, code, name, type) VALUES (1, 'mallory', 'Mallory', 'officer')")
        )
        insert = (
            'INSERT INTO hold (scope, subject, reason, "by", account_id, at_ms, public_id)'
            " VALUES (:scope, :subject, :reason, :by, :account, 5, :id)"
        )
        rows = [dict(zip(names, (*row, f"id{place}"), strict=True)) for place, row in enumerate(held)]
        await conn.execute(sa.text(insert), rows)
    await engine.dispose()

    await moved(empty_url, lambda config: command.upgrade(config, "head"))

    async with open_database(empty_url) as database, database.read() as conn:
        found = {(one.scope, one.subject): one.of_restore for one in await holds.standing(conn)}
    assert [found[row[:2]] for row in held] == [True, True, False, False, False]
    await moved(empty_url, lambda config: command.downgrade(config, "0023"))
    await moved(empty_url, lambda config: command.upgrade(config, "head"))
