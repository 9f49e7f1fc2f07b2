"""Approvals in the store: asked about a thing once at a time, decided once, and what is due is found on any node."""

import asyncio

import msgspec
import sqlalchemy as sa

from store import meta, retention
from store.access import administrators, approvals
from store.access.accounts import AccountRecord, RightRow, put_account, set_disabled
from store.access.approvals import Approval, NewApproval
from store.audit_line import Actor
from store.engine.database import Database
from store.errors import Conflict
from store.tables import approval_target, audit
from tests.store.makers import a_zone, an_account, now_ms

HOUR_MS = 3_600_000


class Rolled(Exception):
    """What lets a transaction fail."""


async def asked(database: Database, asker: int, *targets: str, name: str = "one", **changes: object) -> str:
    """Asks, and lets the transaction fail where another is open about the same; returns that one's id or "" ."""
    values: dict[str, object] = {
        "public_id": name, "subject": "rights", "zone_id": None, "act": "{}", "summary": "", "digest": "d" * 64,
        "asked_by": asker, "asked_behalf": None, "ends_ms": await now_ms(database) + HOUR_MS, "targets": targets,
    }  # fmt: skip
    new = NewApproval(**(values | changes))  # type: ignore[arg-type]

    async def work(tx):
        other = await approvals.ask(tx, new, Actor(account_id=asker))
        if other:
            raise Rolled(other)
        return other

    try:
        return await database.write(work)
    except Rolled as exc:
        return str(exc)


async def read(database: Database, name: str = "one") -> Approval:
    async with database.read() as conn:
        found = await approvals.by_public_id(conn, name)
    assert found is not None
    return found


async def closed(database: Database, name: str, state: str, by: int | None = None) -> bool:
    async def work(tx):
        seen = await approvals.locked(tx, name)
        return await approvals.close(tx, seen, state, Actor(account_id=by), decided_by=by, evidence={"by": "session"})

    return await database.write(work)


async def test_what_is_asked_for_is_kept_as_it_was_asked(database: Database) -> None:
    asker, zone_id = await an_account(database), await a_zone(database)

    assert await asked(database, asker, "x", "y", act='{"changes":[]}', zone_id=zone_id) == ""

    kept = await read(database)
    assert (kept.act, kept.digest, kept.state, kept.asked_by) == ('{"changes":[]}', "d" * 64, "asked", asker)
    assert (kept.zone_id, kept.decided_by, kept.decided_ms, kept.not_before_ms) == (zone_id, None, None, None)
    assert kept.is_open


async def test_about_one_thing_one_is_open_and_its_end_makes_room(database: Database) -> None:
    asker = await an_account(database)
    await asked(database, asker, "x", "y")

    assert await asked(database, asker, "y", "z", name="two") == "one"
    assert await asked(database, asker, "z", name="three") == ""
    assert await asked(database, asker, "y", name="other", subject="campaign") == ""
    assert await closed(database, "one", "refused", asker)
    assert await asked(database, asker, "x", "y", name="four") == ""


async def test_of_many_targets_none_is_taken_twice(database: Database) -> None:
    asker, many = await an_account(database), [f"person-{n}" for n in range(1200)]
    assert await asked(database, asker, *many) == ""

    assert await asked(database, asker, *(f"other-{n}" for n in range(1100)), "person-1199", name="two") == "one"


async def test_two_who_ask_about_the_same_at_once_are_one(database: Database) -> None:
    asker = await an_account(database)

    async def one(name: str) -> str:
        try:
            return await asked(database, asker, "x", name=name)
        except Conflict:
            return "conflict"

    said = await asyncio.gather(*(one(name) for name in "abcd"))

    assert said.count("") == 1
    async with database.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count()).select_from(approval_target))).scalar() == 1


async def test_it_is_closed_once_by_whoever_was_first(database: Database) -> None:
    asker = await an_account(database)
    others = [await an_account(database) for _ in range(4)]
    await asked(database, asker, "x")

    done = await asyncio.gather(*(closed(database, "one", "done", by) for by in others))

    assert sorted(done) == [False, False, False, True]
    kept = await read(database)
    assert (kept.state, kept.decided_by) == ("done", others[done.index(True)])
    assert kept.decided_ms is not None
    async with database.read() as conn:
        lines = (await conn.execute(sa.select(audit.c.action).order_by(audit.c.id))).scalars().all()
    assert [line for line in lines if line.startswith("approval")] == ["approval-ask", "approval-grant"]


async def test_another_act_than_was_seen_is_not_closed(database: Database) -> None:
    asker = await an_account(database)
    await asked(database, asker, "x")
    other = msgspec.structs.replace(await read(database), digest="e" * 64)

    assert not await database.write(lambda tx: approvals.close(tx, other, "done"))
    assert (await read(database)).state == "asked"


async def test_what_is_due_is_what_ended_or_waits_no_longer(database: Database) -> None:
    asker, now = await an_account(database), await now_ms(database)
    await asked(database, asker, "a", name="open")
    await asked(database, asker, "b", name="ended", ends_ms=now - 1)
    await asked(database, asker, "c", name="ripe", not_before_ms=now)
    await asked(database, asker, "d", name="waits", not_before_ms=now + HOUR_MS // 2)
    await asked(database, asker, "e", name="refused", ends_ms=now - 1)
    await closed(database, "refused", "refused")

    async with database.read() as conn:
        assert await approvals.due(conn, now) == ["ended", "ripe"]
    ripe = await read(database, "ripe")
    assert (ripe.state, ripe.decided_by) == ("granted", asker)


async def test_pages_hold_what_is_of_ones_zones_and_what_one_asked_for(database: Database) -> None:
    asker, other = await an_account(database), await an_account(database)
    here, there = await a_zone(database), await a_zone(database)
    await asked(database, other, "a", name="here", zone_id=here)
    await asked(database, asker, "b", name="there", zone_id=there)
    await asked(database, other, "c", name="everywhere")
    await asked(database, other, "d", name="over", zone_id=here)
    await closed(database, "over", "withdrawn")

    async def page(zones, *, open_only=True, before=None, most=10):
        async with database.read() as conn:
            return await approvals.page(conn, zones, asker, open_only=open_only, before=before, most=most)

    assert [one.public_id for one in await page(frozenset({here}))] == ["there", "here"]
    assert [one.public_id for one in await page(frozenset())] == ["there"]
    every = await page(None, open_only=False)
    assert [one.public_id for one in every] == ["over", "everywhere", "there", "here"]
    rest = await page(None, open_only=False, before=every[1].number)
    assert [one.public_id for one in rest] == ["there", "here"]


async def test_after_a_restore_nothing_waits_that_may_have_been_refused_since(database: Database) -> None:
    asker, now = await an_account(database), await now_ms(database)
    await asked(database, asker, "a", name="asked")
    await asked(database, asker, "b", name="granted", not_before_ms=now)
    await asked(database, asker, "c", name="done")
    await closed(database, "done", "done")

    await database.write(meta.renew_generation)

    async with database.read() as conn:
        assert await approvals.due(conn, now + 10 * HOUR_MS) == []
    assert [(await read(database, name)).state for name in ("asked", "granted", "done")] == [
        "withdrawn", "withdrawn", "done",
    ]  # fmt: skip
    assert await asked(database, asker, "a", name="anew") == ""


async def test_what_was_decided_goes_with_the_audit_and_what_waits_stays(database: Database) -> None:
    asker = await an_account(database)
    for name in ("open", "closed"):
        await asked(database, asker, name, name=name)
    await closed(database, "closed", "refused")
    over = retention.RetentionPeriods(35.0, 35.0, -1.0)

    await database.write(lambda tx: retention.clear_some(tx, over))

    async with database.read() as conn:
        assert await approvals.by_public_id(conn, "closed") is None
    assert (await read(database, "open")).state == "asked"


# ---- who keeps the accounts ----------------------------------------------------------------------------------------


async def an_administrator(database: Database, code: str, *rights: RightRow) -> int:
    record = AccountRecord(code, code.title(), "administrator", "[]", "[]", frozenset(rights))
    return (await database.write(lambda tx: put_account(tx, record)))[0]


async def test_who_keeps_a_zone_keeps_all_of_it(database: Database) -> None:
    here, there = await a_zone(database), await a_zone(database)
    whole = await an_administrator(database, "whole", RightRow("administer", here, None))
    every = await an_administrator(database, "every", RightRow("administer", None, None), RightRow("read", here, None))
    await an_administrator(database, "mode", RightRow("administer", here, None, mode="simulation"))
    await an_administrator(database, "other", RightRow("administer", there, None), RightRow("launch", here, None))
    await database.write(lambda tx: set_disabled(tx, "whole", True))

    of_here = await database.write(lambda tx: administrators.of_zone(tx, here))
    of_all = await database.write(lambda tx: administrators.of_zone(tx, None))

    assert [(one.account_id, one.everywhere) for one in of_here] == [(whole, False), (every, True)]
    assert of_here[0].disabled_ms is not None
    assert [one.account_id for one in of_all] == [every]


async def test_who_was_taken_the_right_is_remembered_for_a_while(database: Database) -> None:
    here, there = await a_zone(database), await a_zone(database)
    await an_administrator(database, "first", RightRow("administer", here, None))
    await an_administrator(database, "second", RightRow("administer", here, None), RightRow("read", here, None))
    before = await now_ms(database)

    async def was(zone_id: int, code: str, since_ms: int) -> bool:
        return await database.write(lambda tx: administrators.was_another(tx, zone_id, code, since_ms))

    assert not await was(here, "first", 0)
    await an_administrator(database, "second", RightRow("read", here, None))

    assert await was(here, "first", before)
    assert not await was(here, "second", before), "it is another that is asked for"
    assert not await was(there, "first", before)
    assert not await was(here, "first", await now_ms(database) + 1)


async def test_an_account_stands_as_it_stands_now(database: Database) -> None:
    here = await a_zone(database)
    rights = {RightRow("administer", here, None), RightRow("launch", here, None, "news")}
    number = await an_administrator(database, "first", *rights)
    bare = await an_administrator(database, "bare")

    by_code = await database.write(lambda tx: administrators.by_codes(tx, {"first", "nobody", "bare"}))
    by_id = await database.write(lambda tx: administrators.by_ids(tx, {number, bare, 10_000}))

    assert set(by_code) == {"first", "bare"}
    assert (by_code["first"].rights, by_code["bare"].rights) == (rights, frozenset())
    assert by_id == {number: by_code["first"], bare: by_code["bare"]}


async def test_places_are_those_that_there_are(database: Database) -> None:
    here = await a_zone(database)
    rights = {RightRow("read", here, None), RightRow("read", here + 1000, None), RightRow("read", here, 77)}

    assert await database.write(lambda tx: administrators.places(tx, rights)) == {(here, None)}
