"""Courses in the store: noted once, found by their day, taken away, each a line for every zone of the account."""

import sqlalchemy as sa

from store.access import courses
from store.audit_line import Actor
from store.engine.database import Database
from store.tables import audit, course
from tests.gateway.populated_store import House


async def taught(database: Database, *rights: tuple[str, str | None]) -> courses.TaughtAccount:
    house = House(database)
    for code in ("5301", "5302"):
        await house.zone(code)
    await house.account("elise", *rights)
    async with database.read() as conn:
        found = await courses.find(conn, "elise")
        assert found is not None
        assert await courses.find(conn, "nobody") is None
    return found


async def latest(database: Database, account_id: int, until: str) -> str | None:
    async with database.read() as conn:
        return await courses.latest(conn, account_id, until)


async def all_of(database: Database, account_id: int) -> list[courses.CourseRow]:
    async with database.read() as conn:
        return await courses.of_account(conn, account_id)


async def test_a_course_is_noted_once_and_tells_who_says_so(database: Database) -> None:
    elise = await taught(database, ("launch", "5301"))
    by = await House(database).account("teacher")
    noted = [
        await database.write(lambda tx: courses.note(tx, elise, "BIN", "2026-03-01", Actor(account_id=by)))
        for _ in range(2)
    ]
    at_terminal = await database.write(lambda tx: courses.note(tx, elise, "BIN", "2025-03-01"))

    assert noted[0] == noted[1]
    assert noted[0] is not None
    assert at_terminal is not None
    assert (noted[0].by, at_terminal.by) == ("teacher", "")
    assert [one.on_date for one in await all_of(database, elise.id)] == ["2026-03-01", "2025-03-01"]


async def test_the_last_course_is_the_last_one_that_is_not_to_come(database: Database) -> None:
    elise = await taught(database)
    for day in ("2025-12-31", "2026-03-01", "2024-02-29"):
        await database.write(lambda tx, day=day: courses.note(tx, elise, "BIN", day))

    found = {day: await latest(database, elise.id, day) for day in ("2024-02-28", "2026-02-28", "2026-03-01")}

    assert found == {"2024-02-28": None, "2026-02-28": "2025-12-31", "2026-03-01": "2026-03-01"}
    assert await latest(database, elise.id + 1, "2026-03-01") is None


async def test_who_has_as_many_as_there_may_be_gets_no_more_and_loses_none(database: Database) -> None:
    elise = await taught(database)
    rows = [
        {"account_id": elise.id, "name": f"C{n}", "on_date": "2026-01-01", "noted_ms": 1} for n in range(courses.MOST)
    ]
    await database.write(lambda tx: tx.run(sa.insert(course), rows))

    assert await database.write(lambda tx: courses.note(tx, elise, "one more", "2026-01-01")) is None
    assert await database.write(lambda tx: courses.note(tx, elise, "C0", "2026-01-01")) is not None
    assert len(await all_of(database, elise.id)) == courses.MOST


async def test_of_another_account_nothing_is_taken_away(database: Database) -> None:
    elise = await taught(database)
    noted = await database.write(lambda tx: courses.note(tx, elise, "BIN", "2026-03-01"))
    assert noted is not None
    other = courses.TaughtAccount(elise.id + 1, "other", frozenset())

    assert not await database.write(lambda tx: courses.remove(tx, other, noted.id))
    assert await database.write(lambda tx: courses.remove(tx, elise, noted.id))
    assert not await database.write(lambda tx: courses.remove(tx, elise, noted.id))
    assert await all_of(database, elise.id) == []


async def test_each_zone_of_the_account_has_a_line_of_what_was_noted_and_taken_away(database: Database) -> None:
    elise = await taught(database, ("launch", "5301"), ("read", "5302"), ("read", "5301"))
    noted = await database.write(lambda tx: courses.note(tx, elise, "BIN", "2026-03-01"))
    assert noted is not None
    await database.write(lambda tx: courses.remove(tx, elise, noted.id))

    async with database.read() as conn:
        lines = await conn.execute(
            sa.select(audit.c.action, audit.c.zone_id)
            .where(audit.c.action.like("course-%"), audit.c.subject == "elise")
            .order_by(audit.c.id)
        )
        found = [tuple(line) for line in lines]

    zones = sorted(zone for zone in elise.zones if zone is not None)
    assert found == [(action, zone) for action in ("course-note", "course-remove") for zone in zones]
