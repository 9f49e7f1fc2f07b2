"""A copy of a store: taken while it is written to, whole, and noticed when it is served."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from store import copies
from store.campaigns import campaign_steps
from store.copies import Which
from store.engine.database import Database, open_database
from store.engine.schema import migrate
from store.errors import StoreDamaged, StoreUnavailable
from store.outbox import holds
from store.outbox.overview import seen
from store.states import CampaignState
from store.tables import campaign, member
from tests.store.makers import a_campaign, a_town, expand_all


@pytest.fixture
async def store_file(tmp_path: Path) -> Path:
    path = tmp_path / "tocsin.db"
    await migrate(url(path))
    return path


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


async def test_a_copy_is_of_one_instant_while_others_write(store_file: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    async with open_database(url(store_file)) as database:
        await a_town(database, 3_000)
        stop = asyncio.Event()

        async def write_on() -> int:
            written = 0
            while not stop.is_set():
                await a_town(database, 5)
                written += 5
            return written

        writing = asyncio.create_task(write_on())
        taken = await asyncio.to_thread(
            copies.take, store_file, tmp_path / "copy.db", lambda done, of: told.append((done, of))
        )
        stop.set()
        written = await writing

    assert written > 0
    assert told
    assert told[-1][0] == told[-1][1]
    assert 3_000 <= taken.rows["member"] <= 3_000 + written
    assert copies.look_through(tmp_path / "copy.db") == taken.rows
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sorted(name for name in os.listdir(tmp_path) if "copy" in name) == ["copy.db"]


async def test_what_stands_in_the_log_beside_the_file_is_in_the_copy_and_not_in_a_copied_file(
    store_file: Path, tmp_path: Path
) -> None:
    async with open_database(url(store_file)) as database:
        await a_town(database, 20)
        shutil.copy(store_file, tmp_path / "plain.db")
        await asyncio.to_thread(copies.take, store_file, tmp_path / "copy.db")

    assert copies.look_through(tmp_path / "copy.db")["member"] == 20
    assert copies.look_through(tmp_path / "plain.db")["member"] == 0, "the way that looks good and is not"


async def test_a_backup_never_takes_the_place_of_a_file(store_file: Path, tmp_path: Path) -> None:
    (tmp_path / "there.db").write_text("mine")

    with pytest.raises(FileExistsError):
        copies.take(store_file, tmp_path / "there.db")
    with pytest.raises(StoreUnavailable):
        copies.take(tmp_path / "nothing.db", tmp_path / "new.db")

    assert (tmp_path / "there.db").read_text() == "mine"
    assert not (tmp_path / "new.db").exists()


async def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a #1 50%25?mode=memory é"
    folder.mkdir()
    await migrate(url(tmp_path / "t.db"))

    copies.take(tmp_path / "t.db", folder / "copy.db")

    assert copies.look_through(folder / "copy.db")["member"] == 0


async def test_a_damaged_copy_is_said_so(store_file: Path, tmp_path: Path) -> None:
    async with open_database(url(store_file)) as database:
        await a_town(database, 2_000)
        await asyncio.to_thread(copies.take, store_file, tmp_path / "copy.db")
    raw = bytearray((tmp_path / "copy.db").read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 20_000] = bytes(20_000)
    (tmp_path / "bad.db").write_bytes(raw)
    (tmp_path / "none.db").write_bytes(b"no store at all" * 1000)
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE x (y)").connection.close()

    for name in ("bad.db", "none.db", "other.db"):
        with pytest.raises(StoreDamaged):
            copies.look_through(tmp_path / name)


# ---- noticed -----------------------------------------------------------------------------------------------------


async def noticed(path: Path) -> tuple[str, int, str]:
    """(why, holds, generation)"""
    async with open_database(url(path)) as database:
        why = await database.write(lambda tx: copies.notice(tx, path))
        async with database.read() as conn:
            generation = (await conn.execute(sa.text("SELECT value FROM meta WHERE key = 'generation'"))).scalar()
            return why, len(await holds.standing(conn)), str(generation)


async def unfinished(path: Path) -> None:
    async with open_database(url(path)) as database:
        await a_campaign(database, 3)
        await database.write(lambda tx: copies.notice(tx, path))
        await database.write(lambda tx: seen(tx, "boot", "node", ()))


async def test_a_store_is_itself_at_every_start(store_file: Path) -> None:
    await unfinished(store_file)

    assert [(await noticed(store_file))[:2] for _ in range(3)] == [("", 0)] * 3


async def test_a_copy_is_noticed_once_and_holds_what_it_calls_unfinished(store_file: Path, tmp_path: Path) -> None:
    await unfinished(store_file)
    before = (await noticed(store_file))[2]
    async with open_database(url(store_file)):
        copies.take(store_file, tmp_path / "copy.db")
    shutil.copy(store_file, tmp_path / "plain.db")

    for name in ("copy.db", "plain.db"):
        first, again = await noticed(tmp_path / name), await noticed(tmp_path / name)
        assert first[0]
        assert first[1] == 1
        assert first[2] != before
        assert again == ("", 1, first[2])

    assert (await noticed(store_file))[:2] == ("", 0), "the store itself goes on"


def put_in_place(store: Path, copy: Path) -> None:
    store.write_bytes(copy.read_bytes())
    for beside in ("-wal", "-shm"):
        Path(f"{store}{beside}").unlink(missing_ok=True)


async def test_a_copy_in_the_place_of_the_store_is_noticed(store_file: Path, tmp_path: Path) -> None:
    await unfinished(store_file)
    copies.take(store_file, tmp_path / "copy.db")
    put_in_place(store_file, tmp_path / "copy.db")

    assert (await noticed(store_file))[0] == "it was made by 'tocsin backup'"


@pytest.mark.parametrize(
    ("now", "is_same"),
    [
        (Which(1, 7, "m"), True),
        (Which(2, 7, "m"), True),  # a disk that has another number since the machine was started
        (Which(1, 7, ""), True),
        (Which(2, 7, "other"), False),
        (Which(1, 8, "m"), False),
    ],
)
def test_a_file_is_known_again(now: Which, is_same: bool) -> None:
    assert copies.same(Which(1, 7, "m"), now) is is_same


# ---- decided -----------------------------------------------------------------------------------------------------


async def test_who_was_still_to_be_told_by_a_retired_campaign_is_in_doubt(database: Database) -> None:
    made = await a_campaign(database, 5, channels=("sms", "email"))
    late = await a_campaign(database, 4, expand=False)
    await database.write(lambda tx: holds.hold_unfinished(tx, "restored", "me"))

    retired = [await database.write(lambda tx: campaign_steps.retire(tx, made.id)) for _ in range(2)]
    await database.write(lambda tx: campaign_steps.retire(tx, late.id))
    while await database.write(campaign_steps.close_ended):
        pass
    await expand_all(database, late)
    while await database.write(campaign_steps.close_ended):
        pass
    await database.write(campaign_steps.tick)

    async with database.read() as conn:
        states = (await conn.execute(sa.text("SELECT DISTINCT state FROM delivery"))).scalars().all()
        counts = (await conn.execute(sa.text("SELECT sum(unknown), sum(queued) FROM progress"))).one()
        ended = (await conn.execute(sa.select(campaign.c.state, campaign.c.ended_ms, campaign.c.retired_ms))).all()
        assert await holds.standing(conn) == []
        assert (await conn.execute(sa.select(sa.func.count()).select_from(member))).scalar() == 9
    assert retired == [True, False]
    assert list(states) == [2]
    assert tuple(counts) == (14, 0)
    assert {row.state for row in ended} == {str(CampaignState.STOPPED)}
    assert all(row.ended_ms is not None and row.retired_ms is not None for row in ended)
