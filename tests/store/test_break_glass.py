"""Paper codes in the store: one valid a zone, used once, and guesses counted where they come from."""

import asyncio
import hashlib

import pytest
import sqlalchemy as sa

from store import retention
from store.access import accounts, break_glass
from store.access.accounts import AccountRecord, KeyRecord, RightRow
from store.access.break_glass import (
    LIFE_MS,
    MOST_COUNTED,
    MOST_GUESSES,
    WINDOW_MS,
    BreakGlassUse,
    TooManyGuesses,
    WrongCode,
    account_code,
)
from store.audit_line import Actor
from store.engine.database import Database
from store.register.writing import ZoneRecord, put_zone
from store.tables import audit, audit_detail, break_glass_guess
from tests.store.broken_line import lost_answer

TERMINAL, BROWSER = Actor(via="cli", login="ada"), Actor(via="http", address="192.0.2.7")


def sha256(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


@pytest.fixture
async def zoned(database: Database) -> Database:
    for code in ("A", "B"):
        await database.write(lambda tx, code=code: put_zone(tx, ZoneRecord(code, f"Zone {code}", 1, "{}")))
    return database


async def issue(database: Database, code: str, zone: str = "A") -> str | None:
    return await database.write(lambda tx: break_glass.issue(tx, zone, sha256(code), TERMINAL))


async def use(database: Database, code: str, zone: str = "A", *, origin: str = "here", mode: str = "live"):
    return await database.write(
        lambda tx: break_glass.use(
            tx, zone, sha256(code), origin, name="A. Peeters", reason="storm", mode=mode, by=BROWSER
        )
    )


async def standing(database: Database) -> list[tuple[object, ...]]:
    async with database.read() as conn:
        return [(one.zone, one.state, one.uses, one.rehearsals) for one in await break_glass.standings(conn)]


async def test_a_code_opens_its_zone_once_for_an_hour_as_an_account_of_the_zones_own(zoned: Database) -> None:
    assert await issue(zoned, "paper")

    used, again = await use(zoned, "paper"), await use(zoned, "paper")

    assert isinstance(used, BreakGlassUse)
    assert isinstance(again, WrongCode)
    assert (used.zone, used.account, used.name, used.reason) == ("A", "break-glass-A-live", "A. Peeters", "storm")
    assert used.ends_ms == used.began_ms + LIFE_MS
    assert await standing(zoned) == [("A", "used", 1, 0)]


async def test_what_it_may_is_rows_of_rights_and_a_rehearsals_are_for_simulation_alone(zoned: Database) -> None:
    from store.access.administrators import by_codes

    await issue(zoned, "paper")
    codes = {mode: account_code("A", mode) for mode in ("live", "simulation")}
    standings = await zoned.write(lambda tx: by_codes(tx, set(codes.values())))

    for mode, of in (("live", "*"), ("simulation", "simulation")):
        rights = standings[codes[mode]].rights
        assert {right.action for right in rights} == {"launch", "read", "stop"}
        assert {right.mode for right in rights} == {of}
        assert {right.zone_id for right in rights} == {1}
    rehearsed = await use(zoned, "paper", mode="simulation")
    assert isinstance(rehearsed, BreakGlassUse)
    assert rehearsed.account == codes["simulation"]
    assert await standing(zoned) == [("A", "used", 0, 1)]


async def test_of_two_who_use_it_at_once_one_does(zoned: Database) -> None:
    await issue(zoned, "paper")

    outcomes = await asyncio.gather(*(use(zoned, "paper", origin=str(n)) for n in range(4)))

    assert [isinstance(one, BreakGlassUse) for one in outcomes].count(True) == 1


async def test_another_one_takes_its_place(zoned: Database) -> None:
    await issue(zoned, "first")
    await issue(zoned, "second")
    await issue(zoned, "third", "B")

    assert isinstance(await use(zoned, "first"), WrongCode)
    assert isinstance(await use(zoned, "third"), WrongCode), "a code opens its own zone"
    assert isinstance(await use(zoned, "second"), BreakGlassUse)
    assert await standing(zoned) == [("A", "used", 1, 0), ("B", "valid", 0, 0)]
    await issue(zoned, "fourth")
    assert await standing(zoned) == [("A", "valid", 1, 0), ("B", "valid", 0, 0)]


async def test_of_two_that_are_issued_at_once_one_is_valid(zoned: Database) -> None:
    await asyncio.gather(*(issue(zoned, f"code {n}") for n in range(3)))

    outcomes = [await use(zoned, f"code {n}", origin=str(n)) for n in range(3)]
    assert [isinstance(one, BreakGlassUse) for one in outcomes].count(True) == 1


async def test_there_is_no_code_for_a_zone_that_there_is_not(zoned: Database) -> None:
    assert await issue(zoned, "paper", "Z") is None
    unknown, known = await use(zoned, "paper", "Z"), await use(zoned, "paper", "B", origin="there")

    assert unknown == WrongCode(None, 1)
    assert isinstance(known, WrongCode)


# ---- guessing ------------------------------------------------------------------------------------------------------


async def test_who_guesses_too_often_waits_whatever_he_brings_and_nobody_else_does(zoned: Database) -> None:
    await issue(zoned, "paper")
    guesses = [await use(zoned, f"guess {n}", origin="there") for n in range(MOST_GUESSES)]

    refused = await use(zoned, "paper", origin="there")

    assert [one.guesses for one in guesses] == list(range(1, MOST_GUESSES + 1))
    assert isinstance(refused, TooManyGuesses)
    assert 0 < refused.wait_ms <= WINDOW_MS
    assert isinstance(await use(zoned, "paper"), BreakGlassUse)


async def test_guesses_at_once_are_all_counted(zoned: Database) -> None:
    await asyncio.gather(*(use(zoned, "x", origin="there") for _ in range(MOST_GUESSES)))

    assert isinstance(await use(zoned, "x", origin="there"), TooManyGuesses)


async def test_guesses_at_zones_that_there_are_not_are_one_row_and_go_after_an_hour(zoned: Database) -> None:
    for n in range(5):
        await use(zoned, "x", f"zone {n}", origin=f"origin {n}")
    async with zoned.read() as conn:
        rows = (await conn.execute(sa.select(break_glass_guess.c.scope, break_glass_guess.c.guesses))).all()
    assert sorted(map(tuple, rows)) == [("origin", 1)] * 5 + [("zone", 5)]

    earlier = sa.update(break_glass_guess).values(since_ms=break_glass_guess.c.since_ms - WINDOW_MS)
    await zoned.write(lambda tx: tx.run(earlier))
    assert await use(zoned, "x", "zone 9", origin="origin 9") == WrongCode(None, 1)
    async with zoned.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count()).select_from(break_glass_guess))).scalar() == 2


async def test_beyond_so_many_guesses_at_a_zone_nothing_is_written_and_the_code_still_opens_it(zoned: Database) -> None:
    await issue(zoned, "paper")
    await use(zoned, "x", origin="there")
    many = sa.update(break_glass_guess).where(break_glass_guess.c.scope == "zone").values(guesses=MOST_COUNTED)
    await zoned.write(lambda tx: tx.run(many))

    assert await use(zoned, "x", origin="elsewhere") == WrongCode(1, MOST_COUNTED)

    async with zoned.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count()).select_from(break_glass_guess))).scalar() == 2
    assert isinstance(await use(zoned, "paper", origin="elsewhere"), BreakGlassUse)


async def test_names_go_with_the_audit_and_the_use_stays_counted(zoned: Database) -> None:
    await issue(zoned, "paper")
    used = await use(zoned, "paper")

    await zoned.write(lambda tx: retention.clear_some(tx, retention.RetentionPeriods(35.0, 35.0, -1.0)))

    async with zoned.read() as conn:
        kept = await break_glass.one(conn, used.number)
    assert kept is not None
    assert (kept.name, kept.reason, kept.began_ms) == ("", "", used.began_ms)
    assert await standing(zoned) == [("A", "used", 1, 0)]


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)])
async def test_who_used_it_when_only_the_commits_answer_was_lost_has_it_open(zoned: Database, engine: str) -> None:
    await issue(zoned, "paper")

    async with lost_answer(zoned):
        used = await use(zoned, "paper")

    assert isinstance(used, BreakGlassUse)
    assert isinstance(await use(zoned, "paper"), WrongCode)
    assert await standing(zoned) == [("A", "used", 1, 0)]


# ---- whoever wants in another way ----------------------------------------------------------------------------------


async def test_an_account_of_somebody_elses_that_has_its_name_is_not_made_one(zoned: Database) -> None:
    mine = AccountRecord("break-glass-A-live", "Mine", "officer", "[]", "[]", frozenset(), (KeyRecord("k", "a" * 64),))
    await zoned.write(lambda tx: accounts.put_account(tx, mine))

    with pytest.raises(ValueError, match="officer"):
        await issue(zoned, "paper")
    assert await standing(zoned) == []


async def test_issuing_sets_its_accounts_right_again(zoned: Database) -> None:
    await issue(zoned, "first")
    code = account_code("A", "live")
    wide = frozenset({RightRow("administer", None, None)})
    await zoned.write(lambda tx: accounts.put_rights_of(tx, code, wide))
    await zoned.write(lambda tx: accounts.add_key(tx, code, KeyRecord("thief", "a" * 64)))
    await zoned.write(lambda tx: accounts.set_disabled(tx, code, True))
    assert isinstance(await use(zoned, "first"), WrongCode), "of a disabled account nothing opens, and the code is kept"
    assert await standing(zoned) == [("A", "valid", 0, 0)]

    await issue(zoned, "second")

    async with zoned.read() as conn:
        key = await accounts.find_key(conn, "thief")
    assert key is not None
    assert key.revoked_ms is not None
    assert {right.action for right in key.rights} == {"launch", "read", "stop"}
    assert isinstance(await use(zoned, "second"), BreakGlassUse)


async def test_issuing_and_using_are_lines_and_what_was_typed_stands_apart(zoned: Database) -> None:
    await issue(zoned, "paper")
    await use(zoned, "paper")

    lines = sa.select(audit.c.action, audit.c.via, audit.c.detail, audit_detail.c.detail.label("beside"))
    statement = lines.join(audit_detail, audit_detail.c.audit_id == audit.c.id).order_by(audit.c.id)
    async with zoned.read() as conn:
        issued, used = (row for row in (await conn.execute(statement)).all() if row.action.startswith("break-glass"))
    assert (issued.via, used.via) == ("cli", "http")
    assert "Peeters" in used.beside
    assert "192.0.2.7" in used.beside
    assert "Peeters" not in used.detail
