"""Accounts in pages, and changes of what was seen: the same on both engines."""

import pytest

from store.access import managing
from store.access.accounts import RightRow
from store.access.managing import NewAccount, WantedAccounts
from store.audit_line import SERVER
from store.engine.database import Database
from store.register.writing import ZoneRecord, put_zone


@pytest.fixture
async def zones(database: Database) -> dict[str, int]:
    found = {}
    for code in ("A", "B"):
        found[code], _ = await database.write(lambda tx, c=code: put_zone(tx, ZoneRecord(c, c, 1, "{}")))
    return found


async def make(database: Database, code: str, *rights: RightRow, **changes: object) -> int:
    values = {"code": code, "name": code, "type": "officer", "email": "", "mobile": "", "language": "nl",
              "rights": frozenset(rights), "joins": True}  # fmt: skip
    return await database.write(lambda tx: managing.create(tx, NewAccount(**(values | changes))))  # type: ignore[arg-type]


async def codes(database: Database, **wanted: object) -> list[str]:
    asked = WantedAccounts(**({"zones": None} | wanted))  # type: ignore[arg-type]
    async with database.read() as conn:
        return [one.code for one in await managing.page(conn, asked, 50)]


async def test_pages_are_in_the_order_of_the_codes_and_of_the_zones_that_are_asked_for(
    database: Database, zones: dict[str, int]
):
    await make(database, "c", RightRow("read", zones["A"], None))
    await make(database, "a", RightRow("read", zones["B"], None))
    await make(database, "b", RightRow("read", zones["A"], None), RightRow("read", zones["B"], None))
    await make(database, "every", RightRow("read", None, None))
    await make(database, "none")

    assert await codes(database) == ["a", "b", "c", "every", "none"]
    assert await codes(database, after="b") == ["c", "every", "none"]
    assert await codes(database, zones=frozenset({zones["A"]})) == ["b", "c"]
    assert await codes(database, zones=frozenset(), invited_by=0) == []
    assert await codes(database, zone_id=zones["B"]) == ["a", "b"]


@pytest.mark.parametrize("sought", ["hondt", "ÉLISE", "elise", "plein.example", "D'H"])
async def test_a_search_knows_no_case_and_no_accents(database: Database, sought: str):
    await make(database, "c1", name="Élise D'Hondt", email="e@plein.example")
    await make(database, "c2", name="100%_")

    assert await codes(database, sought=sought) == ["c1"]


@pytest.mark.parametrize("sought", ["%", "_", "0%_", "\\"])
async def test_signs_of_a_pattern_are_letters(database: Database, sought: str):
    await make(database, "c1", name="Jo")
    await make(database, "c2", name="100%_\\")

    assert await codes(database, sought=sought) == ["c2"]


async def test_a_change_of_what_is_no_longer_as_it_was_seen_changes_nothing(database: Database):
    account_id = await make(database, "jo")
    async with database.read() as conn:
        seen = await managing.of_id(conn, account_id)
    assert seen is not None

    took = [
        await database.write(lambda tx, n=n: managing.change(tx, seen, {"name": f"n{n}"}, SERVER, "by")) for n in (1, 2)
    ]

    async with database.read() as conn:
        after = await managing.of_id(conn, account_id)
    assert after is not None
    assert (took, after.name, after.revision, after.changed_by) == ([True, False], "n1", 2, "by")


async def test_rights_within_some_zones_are_changed_and_the_others_stay(database: Database, zones: dict[str, int]):
    a, b = (RightRow("read", zones[code], None) for code in ("A", "B"))
    every = RightRow("read", None, None)
    account_id = await make(database, "jo", a, b, every)
    async with database.read() as conn:
        seen = await managing.of_id(conn, account_id)
    assert seen is not None
    stop = RightRow("stop", zones["A"], None)

    await database.write(
        lambda tx: managing.change(tx, seen, {}, SERVER, "", rights=frozenset({stop}), within=frozenset({zones["A"]}))
    )

    async with database.read() as conn:
        assert set(await managing.rights_of(conn, account_id)) == {stop, b, every}
