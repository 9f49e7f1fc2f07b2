"""A key in the place of another: two are good at once, whoever races."""

import asyncio

import pytest

from store.access import accounts, key_rotation
from store.access.accounts import AccountRecord, KeyRecord
from store.access.key_rotation import ManagedKey
from store.audit_line import SERVER
from store.engine.database import Database

YEAR_MS = 365 * 86_400_000


@pytest.fixture
async def old(database: Database) -> ManagedKey:
    record = AccountRecord("cad", "CAD", "cic", "[]", "[]", keys=(KeyRecord("first", "a" * 64),))
    await database.write(lambda tx: accounts.put_account(tx, record))
    return await of(database, "first")


async def of(database: Database, key_id: str) -> ManagedKey:
    async with database.read() as conn:
        found = await key_rotation.of_key_id(conn, key_id)
    assert found is not None
    return found


async def rotate(database: Database, key: ManagedKey, new_id: str, overlap_ms: int = 1_000_000) -> str:
    now_ms = database.clock.now_ms()
    return await database.write(
        lambda tx: key_rotation.rotate(
            tx, key, KeyRecord(new_id, "b" * 64), now_ms + YEAR_MS, now_ms + overlap_ms, SERVER
        )
    )


async def test_the_old_one_ends_after_the_overlap(database: Database, old: ManagedKey):
    assert await rotate(database, old, "second") == "rotated"

    before, after = await of(database, "first"), await of(database, "second")
    assert before.expires_ms is not None
    assert before.is_good(before.expires_ms - 1)
    assert not before.is_good(before.expires_ms)
    assert (after.in_place_of, after.account_id) == ("first", old.account_id)


async def test_of_rotations_at_once_one_is_made(database: Database, old: ManagedKey):
    outcomes = await asyncio.gather(*(rotate(database, old, f"next{n}") for n in range(5)))

    assert sorted(outcomes) == ["rotated"] + ["two-are-good"] * 4


async def test_an_end_that_is_nearer_than_the_overlap_stays(database: Database, old: ManagedKey):
    soon_ms = database.clock.now_ms() + 60_000
    await database.write(lambda tx: accounts.expire_key(tx, "first", soon_ms))

    await rotate(database, await of(database, "first"), "second", overlap_ms=YEAR_MS)

    assert (await of(database, "first")).expires_ms == soon_ms


async def test_keys_that_are_made_at_once_are_no_more_than_there_may_be(database: Database, old: ManagedKey):
    made = await asyncio.gather(
        *(
            database.write(
                lambda tx, n=n: key_rotation.make(
                    tx, old.account_id, KeyRecord(f"k{n}", "c" * 64), "k", None, SERVER, most=3
                )
            )
            for n in range(6)
        )
    )

    assert sorted(made) == [False] * 4 + [True] * 2  # one was there
