"""The feed as it is kept: what is published stays, what is replaced leaves with it, and every change has its number."""

import asyncio
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

from store import feed
from store.campaigns import alerts
from store.campaigns.launching import Launch, launch
from store.engine import schema
from store.engine.database import Database, open_database
from store.engine.location import file_of
from store.engine.revision import MIGRATIONS
from store.feed import Edition
from store.outbox.records import NewAlert
from store.tables import feed_entry
from tests.store import makers as make

LATER = 1 << 50


async def accepted(
    database: Database, *, until_ms: int | None = LATER, ends: tuple[int, ...] = (), publish: bool = True, **changes
) -> NewAlert:
    account = await make.an_account(database)
    new = make.an_alert(account, **changes)
    ended = "cancelled" if new.msg_type == "Cancel" else "superseded"
    decision = Launch(
        account_id=account, alert=new, campaigns=(), publish=publish, publish_until_ms=until_ms,
        alert_ends=tuple((i, ended) for i in ends),
    )  # fmt: skip
    await database.write(lambda tx: launch(tx, decision))
    return new


async def number_of(database: Database, new: NewAlert) -> int:
    async with database.read() as conn:
        found = await alerts.by_public_id(conn, new.public_id)
    assert found is not None
    return found.id


async def publish_all(database: Database, document: bytes | None = None) -> int:
    async with database.read() as conn:
        waiting = await feed.pending(conn)
    return await database.write(lambda tx: feed.publish(tx, [Edition(p.id, document) for p in waiting]))


async def read(database, question, *args, **changes):
    async with database.read() as conn:
        return await question(conn, *args, **changes)


async def in_force(database: Database, now_ms: int = 1) -> list[str]:
    state = await read(database, feed.state, now_ms)
    return [line.public_id for line in state.lines]


async def test_an_alert_is_in_the_feed_once_it_was_published_and_not_before(database):
    first = await accepted(database)

    assert await in_force(database) == []
    assert await read(database, feed.published, first.public_id) is None
    assert await publish_all(database) == 1
    second = await accepted(database)
    assert await publish_all(database) == 2

    assert await in_force(database) == [second.public_id, first.public_id]
    assert await read(database, feed.pending) == []


async def test_a_published_document_is_never_changed_by_a_later_publication(database):
    new = await accepted(database)
    [waiting] = await read(database, feed.pending)

    await database.write(lambda tx: feed.publish(tx, [Edition(waiting.id, b"first")]))
    revision = await database.write(lambda tx: feed.publish(tx, [Edition(waiting.id, b"second")]))

    assert revision == 1
    assert await read(database, feed.published, new.public_id) == b"first"
    assert await read(database, feed.documents, [waiting.id]) == {waiting.id: b"first"}


async def test_what_needs_no_edition_is_published_as_it_was_received(database):
    new = await accepted(database, document=b"<alert>as it came</alert>")

    await publish_all(database, None)

    assert await read(database, feed.published, new.public_id) == b"<alert>as it came</alert>"
    [line] = (await read(database, feed.state, 1)).lines
    assert line.size == len(b"<alert>as it came</alert>")


async def test_an_update_takes_the_place_of_what_it_updates_in_one_step(database):
    old = await accepted(database)
    await publish_all(database)
    thread = await number_of(database, old)
    update = await accepted(database, msg_type="Update", ends=(thread,), thread_id=thread)

    # Accepted, not published yet: the feed still shows the old one, and nobody ends it meanwhile.
    assert not await read(database, feed.anything_over, 1)
    await database.write(lambda tx: feed.publish(tx, []))
    assert await in_force(database) == [old.public_id]
    revision = await publish_all(database)

    assert revision == 3
    assert await in_force(database) == [update.public_id]
    changes = await read(database, feed.changes, 1, 3)
    assert [(c.seq, c.ended, c.public_id) for c in changes] == [(2, False, update.public_id), (3, True, old.public_id)]
    assert await read(database, feed.published, old.public_id) == old.document


async def test_an_update_that_is_not_public_takes_its_alert_out_of_the_feed(database):
    old = await accepted(database)
    await publish_all(database)
    thread = await number_of(database, old)
    await accepted(database, msg_type="Update", scope="Restricted", ends=(thread,), thread_id=thread, publish=False)

    assert await read(database, feed.anything_over, 1)
    assert await publish_all(database) == 2
    assert await in_force(database) == []


async def test_a_cancel_stays_to_be_seen_until_it_expires(database):
    old = await accepted(database)
    await publish_all(database)
    thread = await number_of(database, old)
    cancel = await accepted(
        database, msg_type="Cancel", state="cancelled", ends=(thread,), thread_id=thread, until_ms=1000
    )
    await publish_all(database)

    assert await in_force(database, 999) == [cancel.public_id]
    assert await in_force(database, 1000) == []
    assert not await read(database, feed.anything_over, 999)


async def test_what_expires_leaves_by_the_clock_and_the_feed_has_changed_then(database):
    new = await accepted(database, until_ms=LATER)
    await publish_all(database)
    before = await read(database, feed.state, LATER - 1)

    after = await read(database, feed.state, LATER)

    assert [line.public_id for line in before.lines] == [new.public_id]
    assert (after.lines, after.in_force, after.changed_ms) == ((), 0, LATER)
    assert before.revision == after.revision
    assert before.changed_ms < LATER


async def test_of_too_many_alerts_the_newest_are_told_and_all_are_counted(database):
    names = [(await accepted(database)).public_id for _ in range(5)]
    await publish_all(database)

    state = await read(database, feed.state, 1, most=2)

    assert ([line.public_id for line in state.lines], state.in_force) == (names[:-3:-1], 5)


async def test_an_entry_that_is_not_fit_is_taken_away_for_good(database):
    new = await accepted(database)
    [waiting] = await read(database, feed.pending)

    assert await database.write(lambda tx: feed.publish(tx, [], [waiting.id])) == 0

    assert await read(database, feed.pending) == []
    assert await read(database, feed.published, new.public_id) is None


async def test_two_nodes_that_publish_the_same_do_it_once_and_no_number_is_given_twice(database):
    for _ in range(12):
        await accepted(database)
    waiting = await read(database, feed.pending)
    halves = [waiting[:8], waiting[4:]] * 3

    await asyncio.gather(
        *(
            database.write(lambda tx, h=half, n=n: feed.publish(tx, [Edition(p.id, b"%d" % n) for p in h]))
            for n, half in enumerate(halves)
        )
    )

    changes = await read(database, feed.changes, 0, 100)
    assert [c.seq for c in changes] == list(range(1, 13))
    assert len({c.public_id for c in changes}) == 12
    assert await read(database, feed.revision) == 12


async def test_what_was_public_before_the_editions_stays_as_it_was(empty_url):
    """Migration 0004: byte for byte as received, in its order; what had been replaced is out of the feed."""
    await migrated_to(empty_url, "0003")
    engine = create_async_engine(empty_url)
    async with engine.begin() as conn:
        await conn.execute(sa.text("INSERT INTO account (id, code, name, type) VALUES (1, 'a', 'A', 'cic')"))
        for n, state in ((1, "superseded"), (2, "active")):
            await conn.execute(
                sa.text(
                    "INSERT INTO alert (id, public_id, sender, identifier, sent_ms, status, msg_type, scope, document,"
                    " sha256, account_id, received_ms, state) VALUES (:n, :name, 's', :name, 1, 'Actual', 'Alert',"
                    " 'Public', :document, '', 1, 1, :state)"
                ),
                {"n": n, "name": f"a{n}", "document": b"document %d" % n, "state": state},
            )
            await conn.execute(
                sa.text("INSERT INTO feed_entry (alert_id, published_ms, expires_ms) VALUES (:n, :n, NULL)"), {"n": n}
            )
    await engine.dispose()

    await schema.migrate(empty_url)

    async with open_database(empty_url) as database, database.read() as conn:
        assert await feed.pending(conn) == []
        assert await feed.published(conn, "a1") == b"document 1"
        assert [line.public_id for line in (await feed.state(conn, 1)).lines] == ["a2"]
        assert [(c.seq, c.ended, c.public_id) for c in await feed.changes(conn, 0, 9)] == [
            (1, False, "a1"), (2, False, "a2"), (3, True, "a1"),
        ]  # fmt: skip
        assert await feed.revision(conn) == 3
        assert (await conn.execute(sa.select(sa.func.count()).select_from(feed_entry))).scalar() == 2


async def migrated_to(url: str, revision: str) -> None:
    if (path := file_of(url)) is not None:
        schema.make_private(Path(path))

    def upgrade(connection: sa.Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = create_async_engine(url)
    async with engine.connect() as conn:
        await conn.run_sync(upgrade)
        await conn.commit()
    await engine.dispose()
