"""A chain from before lines had a zone holds afterwards, byte for byte; and auditors read the audit."""

import hashlib

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine

from store import audit
from store.audit_line import Actor
from store.audit_reading import latest
from store.engine.database import open_database
from store.tables import account_right
from store.tables import audit as lines
from tests.store.test_money_migration import moved

_BEFORE, _AFTER = "0022", "0023"
_OLD = [
    # at_ms, account, action, subject, detail, what stands beside it
    (1_000, None, "start", "b1", '{"version":"1"}', '{"settings":{}}'),
    (2_000, 1, "launch", "c1", '{"campaigns":["c1"]}', ""),
    (3_000, None, "hold", "zone 1", "{}", '{"by":"ada","reason":"storm"}'),
]


async def chained_before(url: str) -> audit.Head:
    """Lines and links as 0022 wrote them, by its own rule."""
    await moved(url, lambda config: command.upgrade(config, _BEFORE))
    engine = create_async_engine(url)
    head = audit.Head(0, audit.GENESIS)
    async with engine.begin() as conn:
        for number, (at_ms, account_id, action, subject, detail, beside) in enumerate(_OLD, 1):
            apart = hashlib.sha256(f"salt:{beside}".encode()).hexdigest() if beside else ""
            row = {"id": number, "at": at_ms, "a": account_id, "act": action, "s": subject, "d": detail, "apart": apart}
            await conn.execute(
                sa.text(
                    "INSERT INTO audit (id, at_ms, account_id, action, subject, detail, apart)"
                    " VALUES (:id, :at, CAST(:a AS BIGINT), :act, :s, :d, :apart)"
                ),
                row,
            )
            if beside:
                values = {"id": number, "d": beside}
                await conn.execute(sa.text("INSERT INTO audit_detail VALUES (:id, 'salt', :d)"), values)
            told = msgspec.json.encode([1, at_ms, account_id, action, subject, detail, apart])
            sha256 = hashlib.sha256(told).hexdigest()
            head = audit.Head(number, hashlib.sha256(f"{head.hash}:{number}:{sha256}".encode()).hexdigest())
            link = {"no": number, "sha256": sha256, "hash": head.hash}
            await conn.execute(sa.text("INSERT INTO audit_link VALUES (:no, :no, :sha256, :hash)"), link)
        await conn.execute(sa.text("INSERT INTO meta VALUES ('audit_head', :head)"), {"head": str(head)})
        if url.startswith("postgresql"):
            await conn.execute(sa.text("SELECT setval(pg_get_serial_sequence('audit', 'id'), 3)"))
    await engine.dispose()
    return head


async def test_an_old_chain_holds_and_goes_on(empty_url: str) -> None:
    head = await chained_before(empty_url)

    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))

    async with open_database(empty_url) as database:
        async with database.read() as conn:
            before = await audit.verify(conn, head)
        by = Actor(account_id=1, via="http", address="192.0.2.7")
        await database.write(lambda tx: audit.note(tx, "stop", "c1", by, zone_id=1))
        await database.write(audit.link)
        async with database.read() as conn:
            after = await audit.verify(conn, head)
            told = await latest(conn, 10)
    assert (before.links, before.head, before.faults, before.erased) == (3, head, (), 0)
    assert (after.links, after.waiting, after.faults) == (4, 0, ())
    assert [(line.action, line.zone_id) for line in told] == [
        ("stop", 1), ("hold", None), ("launch", None), ("start", None)
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"zone_id": 1}, {"via": "http"}, {"behalf_id": 1}, {"form": 2}], ids=str)
async def test_an_old_line_is_given_nothing_that_it_did_not_say(empty_url: str, change: dict[str, object]) -> None:
    head = await chained_before(empty_url)
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))

    async with open_database(empty_url) as database:
        await database.write(lambda tx: tx.run(sa.update(lines).where(lines.c.id == 2).values(**change)))
        async with database.read() as conn:
            found = await audit.verify(conn, head)

    assert found.faults == ("link 2: line 2 was changed",)


async def test_who_audits_a_whole_zone_reads_its_audit_and_nobody_else_begins_to(empty_url: str) -> None:
    await moved(empty_url, lambda config: command.upgrade(config, _BEFORE))
    engine = create_async_engine(empty_url)
    async with engine.begin() as conn:
        await conn.execute(
            sa.text("INSERT INTO zone (id, code, name, convention, policy) VALUES (1, 'z', '', 1, '{}')")
        )
        await conn.execute(sa.text("INSERT INTO network (id, zone_id, code, name) VALUES (1, 1, 'n', '')"))
        for id_, type_ in ((1, "auditor"), (2, "officer"), (3, "auditor")):
            values = {"id": id_, "code": f"a{id_}", "type": type_}
            await conn.execute(
                sa.text("INSERT INTO account (id, code, name, type) VALUES (:id, :code, '', :type)"), values
            )
        insert = sa.text(
            "INSERT INTO account_right (account_id, zone_id, network_id, action, kind, channel, mode) VALUES"
            " (1, 1, NULL, 'read', '*', '*', '*'), (1, 1, NULL, 'read', 'news', '*', '*'),"
            " (2, 1, NULL, 'read', '*', '*', '*'), (3, NULL, NULL, 'read', '*', '*', '*'),"
            " (3, 1, 1, 'read', '*', '*', '*'), (1, NULL, NULL, 'read', '*', 'sms', '*')"
        )
        await conn.execute(insert)
    await engine.dispose()

    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))

    columns = [account_right.c[n] for n in ("account_id", "zone_id", "network_id", "kind", "channel", "mode")]
    async with open_database(empty_url) as database, database.read() as conn:
        rows = await conn.execute(sa.select(*columns).where(account_right.c.action == "audit"))
        found = {tuple(row) for row in rows}
    assert found == {(1, 1, None, "*", "*", "*"), (3, None, None, "*", "*", "*")}


async def test_the_way_back_leaves_the_rights_of_before(empty_url: str) -> None:
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))
    await moved(empty_url, lambda config: command.downgrade(config, _BEFORE))
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))
