"""The brake on the file of a store does what the server's own transaction does, and says what is in its way."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from store.audit_line import Actor
from store.audit_reading import latest
from store.campaigns import campaign_steps
from store.engine.database import Database, open_database
from store.engine.location import file_of
from store.engine.schema import migrate
from store.errors import SchemaMismatch, StoreDamaged, StoreUnavailable
from store.outbox import hold_statements, holds
from store.states import DeliveryEvent
from tests.store import makers as make

ADA = Actor(via="cli", login="ada")


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    await migrate(f"sqlite+aiosqlite:///{tmp_path}/store.db")
    return tmp_path / "store.db"


async def lines(database: Database) -> list[tuple[str, str, object]]:
    async with database.read() as conn:
        return [(line.action, line.subject, line.apart) for line in await latest(conn, 10)]


async def test_what_it_sets_is_what_a_transaction_of_the_server_sets(file: Path, tmp_path: Path) -> None:
    with hold_statements.on_file(file) as held:
        held.follow(hold_statements.placing("channel", "sms", "storm \0 \ud800", "ada", 1_000))
        [by_hand] = held.follow(hold_statements.standing())
    other = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    await migrate(other)
    async with open_database(other) as database:
        steps = hold_statements.placing("channel", "sms", "storm \0 \ud800", "ada", 1_000)
        await database.write(lambda tx: tx.follow(steps))
        async with database.read() as conn:
            [by_server] = await holds.standing(conn)
        told = await lines(database)
    async with open_database(f"sqlite+aiosqlite:///{file}") as database:
        assert await lines(database) == told
    assert by_hand.public_id != by_server.public_id
    assert msgspec.structs.replace(by_hand, public_id=by_server.public_id) == by_server
    assert (by_hand.at_ms, by_hand.revision, by_hand.account) == (1_000, 1, "")


async def test_a_second_hold_changes_nothing_and_is_no_second_line(file: Path) -> None:
    for reason in ("the first", "the second"):
        with hold_statements.on_file(file) as held:
            held.follow(hold_statements.placing("all", "", reason, "ada", 1_000))
            [stands] = held.follow(hold_statements.standing())
            assert stands.reason == "the first"
    async with open_database(f"sqlite+aiosqlite:///{file}") as database:
        assert [action for action, *_ in await lines(database)] == ["hold"]


async def test_what_breaks_off_keeps_nothing(file: Path) -> None:
    def breaks_off() -> None:
        with hold_statements.on_file(file) as held:
            held.follow(hold_statements.placing("all", "", "", "ada", 1_000))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks_off()
    with hold_statements.on_file(file) as held:
        assert held.follow(hold_statements.standing()) == []


def test_where_there_is_no_store_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="there is no store in"), hold_statements.on_file(tmp_path / "store.db"):
        pass
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize(("revision", "told"), [("0001", "run 'tocsin migrate'"), ("9999", "of a newer version")])
def test_tables_of_another_version_are_left_alone(file: Path, revision: str, told: str) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(SchemaMismatch, match=told), hold_statements.on_file(file):
        pass


def test_a_file_that_is_no_store_is_told_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDamaged), hold_statements.on_file(tmp_path / "store.db"):
        pass


def test_a_writer_that_does_not_end_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold_statements, "_BUSY_S", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"), hold_statements.on_file(file):
            pass


async def test_names_of_zones_and_campaigns_are_looked_up(database: Database) -> None:
    """On both engines, whose statements are the same."""
    found = await database.write(lambda tx: tx.follow(hold_statements.subject_of("zone", "nowhere")))
    assert found is None
    assert await database.write(lambda tx: tx.follow(hold_statements.subject_of("channel", "sms"))) == "sms"
    assert await database.write(lambda tx: tx.follow(hold_statements.subject_of("campaign", "none"))) is None


async def test_pages_go_on_behind_a_hold_that_was_lifted(database: Database) -> None:
    for name in ("sms", "email", "voice"):
        await database.write(lambda tx, name=name: holds.place(tx, "channel", name, "storm", "ada"))  # type: ignore[misc]
    async with database.read() as conn:
        first, second = await holds.page(conn, after=0, most=2)
    await database.write(lambda tx: holds.lift(tx, "channel", second.subject))
    async with database.read() as conn:
        assert [one.name for one in await holds.page(conn, after=second.number, most=2)] == ["voice"]
        assert await holds.by_public_id(conn, first.public_id) == first
        assert await holds.of_thing(conn, "channel", "sms") == first
        assert await holds.by_public_id(conn, second.public_id) is None


async def test_a_hold_is_changed_and_lifted_as_it_was_seen_or_not_at_all(database: Database) -> None:
    assert await database.write(lambda tx: holds.place(tx, "carrier", "first", "slow", "ada"))
    assert not await database.write(lambda tx: holds.place(tx, "carrier", "first", "slower", "bea"))
    async with database.read() as conn:
        [seen] = await holds.standing(conn)

    assert await database.write(lambda tx: holds.give_reason(tx, seen, "silent", "bea"))

    assert not await database.write(lambda tx: holds.give_reason(tx, seen, "mute", "ada"))
    assert not await database.write(lambda tx: holds.lift_seen(tx, seen, ADA))
    async with database.read() as conn:
        [now] = await holds.standing(conn)
        assert await holds.held_carriers(conn) == {"first"}
    assert (now.reason, now.by, now.revision, now.changed_by) == ("silent", "ada", 2, "bea")
    assert await database.write(lambda tx: holds.lift_seen(tx, now, ADA))
    assert [(action, subject) for action, subject, _ in reversed(await lines(database))] == [
        ("hold", "carrier first"),
        ("hold-change", "carrier first"),
        ("resume", "carrier first"),
    ]


async def test_the_holds_of_a_campaign_go_when_nothing_more_of_it_leaves(database: Database) -> None:
    stopped, told = await make.a_campaign(database, 2), await make.a_campaign(database, 1, channels=("email",))

    async def over(campaign: make.Made) -> bool:
        return await database.write(lambda tx: tx.follow(hold_statements.is_over("campaign", str(campaign.id))))

    async def standing() -> list[str]:
        async with database.read() as conn:
            return [one.subject for one in await holds.standing(conn)]

    await make.sent(database, channel="email", answer=lambda ids: make.happened(ids, DeliveryEvent.REFUSED))
    for each in (stopped, told):
        await database.write(lambda tx, each=each: holds.place(tx, "campaign", str(each.id), "storm", "ada"))  # type: ignore[misc]
    assert not await over(stopped)
    await make.tick(database)
    assert await over(told)
    assert await standing() == [str(stopped.id), str(told.id)], "what is complete may go on until it is sealed"

    await database.write(lambda tx: campaign_steps.stop(tx, stopped.id, None))
    assert await over(stopped)
    while await database.write(campaign_steps.close_ended):
        pass
    await make.tick(database)
    assert await standing() == [str(told.id)]
    await database.write(lambda tx: campaign_steps.seal(tx, told.id, "{}", 0))
    assert await standing() == []


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite+aiosqlite:////var/lib/tocsin/tocsin.db", "/var/lib/tocsin/tocsin.db"),
        ("sqlite:////a%20b/store.db", "/a%20b/store.db"),
        ("sqlite+aiosqlite:////a/store.db?timeout=3", "/a/store.db"),
    ],
)
def test_the_file_of_an_url(url: str, path: str) -> None:
    assert file_of(url) == Path(path)


def test_a_server_has_no_file() -> None:
    assert file_of("postgresql+asyncpg://tocsin:secret@localhost/tocsin") is None
