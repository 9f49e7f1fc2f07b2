"""The audit as it is read, and readings that are lines of it."""

import asyncio
import dataclasses
import random

import msgspec
import pytest
import sqlalchemy as sa

from store import audit, audit_reading, retention
from store.access.accounts import AccountRecord, RightRow, put_account
from store.audit_line import SERVER, Actor
from store.audit_reading import LinePlace, PersonalReading, WantedLines, is_noted, latest, note_reading, page
from store.campaigns import campaign_steps
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.outbox import holds
from store.register.writing import ZoneRecord, put_zone
from store.tables import account, audit_detail, member, zone
from store.tables import audit as lines
from tests.store import makers as make

ALL = WantedLines()


async def read(database: Database, wanted: WantedLines = ALL) -> list[audit_reading.AuditLine]:
    async with database.read() as conn:
        return await latest(conn, 10_000, wanted)


async def faults(database: Database) -> tuple[str, ...]:
    async with database.read() as conn:
        return (await audit.verify(conn)).faults


async def codes(database: Database, table: sa.Table) -> dict[int, str]:
    async with database.read() as conn:
        return {row.id: row.code for row in (await conn.execute(sa.select(table.c.id, table.c.code))).all()}


# ---- pages -------------------------------------------------------------------------------------------------------


async def scattered(database: Database, count: int, seed: int) -> None:
    """Lines of three accounts, two zones, three actions and three subjects, several in one instant."""
    chance = random.Random(seed)
    accounts = [await make.an_account(database) for _ in range(3)]
    zones = [await make.a_zone(database) for _ in range(2)]
    rows = [
        {
            "form": 2, "at_ms": 1_000 + chance.randrange(count // 3), "account_id": chance.choice([None, *accounts]),
            "behalf_id": chance.choice([None, None, *accounts]), "zone_id": chance.choice([None, *zones]),
            "via": "http", "action": chance.choice(["stop", "hold", "load"]),
            "subject": chance.choice(["a", "b", f"zone {zones[0]}"]),
        }
        for _ in range(count)
    ]  # fmt: skip
    await database.write(lambda tx: tx.run(sa.insert(lines).values(rows)))


async def test_every_filter_finds_exactly_its_lines_in_pages_of_any_size(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_reading, "_AT_ONCE", 7)
    monkeypatch.setattr(audit_reading, "_LEAST", 3)
    await scattered(database, 90, seed=20)
    everything = await read(database)
    zones = await codes(database, zone)
    first_zone = min(zones)
    chance = random.Random(21)

    assert [(line.at_ms, line.id) for line in everything] == sorted(
        ((line.at_ms, line.id) for line in everything), reverse=True
    )
    assert len({line.id for line in everything}) == 90
    for _ in range(60):
        wanted = WantedLines(
            account=chance.choice(["", "", *(await codes(database, account)).values()]),
            action=chance.choice(["", "stop", "hold"]),
            subject=chance.choice(["", "", "a", zones[first_zone], f"zone {zones[first_zone]}", "nothing"]),
            zone=chance.choice(["", "", *zones.values()]),
            zones=chance.choice([None, None, frozenset({first_zone}), frozenset(zones), frozenset()]),
            since_ms=chance.choice([0, 1_010]),
            until_ms=chance.choice([None, 1_020]),
        )
        meant = {zones[first_zone]: f"zone {first_zone}", f"zone {zones[first_zone]}": f"zone {first_zone}"}
        expected = [
            line.id
            for line in everything
            if wanted.account in ("", line.account, line.behalf)
            and wanted.action in ("", line.action)
            and meant.get(wanted.subject, wanted.subject) in ("", line.subject)
            and wanted.zone in ("", line.zone)
            and (wanted.zones is None or line.zone_id in wanted.zones)
            and wanted.since_ms <= line.at_ms < (wanted.until_ms or 1 << 60)
        ]

        found: list[int] = []
        after: LinePlace | None = None
        while True:
            async with database.read() as conn:
                some, after = await page(conn, wanted, chance.choice([1, 2, 5, 50]), after)
            found += [line.id for line in some]
            if after is None:
                break

        assert found == expected, wanted


async def test_a_page_reads_so_many_rows_and_says_where_to_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_reading, "_AT_ONCE", 4)
    monkeypatch.setattr(audit_reading, "_LEAST", 4)
    account_id = await make.an_account(database)
    [code] = (await codes(database, account)).values()
    rare = {"form": 2, "account_id": account_id, "via": "", "subject": "s"}
    rows = [rare | {"at_ms": n, "action": "rare" if n == 0 else "usual"} for n in range(60)]
    await database.write(lambda tx: tx.run(sa.insert(lines).values(rows)))

    async with database.read() as conn:
        some, after = await page(conn, WantedLines(account=code, action="rare"), 10)

    assert some == []
    assert after is not None
    assert [line.at_ms for line in await read(database, WantedLines(account=code, action="rare"))] == [0]


async def test_what_is_written_while_somebody_reads_moves_nothing_that_was_there(database: Database) -> None:
    for n in range(6):
        await database.write(lambda tx, n=n: audit.note(tx, "hold", f"old {n}"))

    seen: list[str] = []
    after: LinePlace | None = None
    while True:
        async with database.read() as conn:
            some, after = await page(conn, ALL, 2, after)
        seen += [line.subject for line in some]
        await database.write(lambda tx: audit.note(tx, "hold", "new"))
        if after is None:
            break

    assert [subject for subject in seen if subject != "new"] == [f"old {n}" for n in reversed(range(6))]


WALKS = {
    "all": (audit_reading._walk_all, "ix_audit_at_ms_id"),
    "subject": (audit_reading._walk_subject, "ix_audit_subject_at_ms_id"),
    "action": (audit_reading._walk_action, "ix_audit_action_at_ms_id"),
    "account": (audit_reading._walk_account, "ix_audit_account_id_at_ms_id"),
    "behalf": (audit_reading._walk_behalf, "ix_audit_behalf_id_at_ms_id"),
    "zone": (audit_reading._walk_zone, "ix_audit_zone_id_at_ms_id"),
}


async def test_a_reference_is_found_by_its_index(database: Database) -> None:
    text = audit_reading._by_reference.text(sqlite=database.sqlite)
    explain = "EXPLAIN QUERY PLAN" if database.sqlite else "EXPLAIN"
    async with database.read() as conn:
        if not database.sqlite:
            await conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
        rows = (await conn.exec_driver_sql(f"{explain} {text.sql}", text.ordered({"reference": "x"}))).all()

    assert "SCAN member" not in str(rows)
    assert "Seq Scan on member" not in str(rows)


@pytest.mark.parametrize(("walk", "index"), WALKS.values(), ids=WALKS)
async def test_each_way_walks_down_its_index_and_sorts_nothing(database: Database, walk, index) -> None:
    text = walk.text(sqlite=database.sqlite)
    values = {"at_ms": 5, "id": 5, "since_ms": 0, "most": 10, "value": "s" if index.startswith("ix_audit_s") else 1}
    values["value"] = "a" if "action" in index else values["value"]
    explain = "EXPLAIN QUERY PLAN" if database.sqlite else "EXPLAIN"
    async with database.read() as conn:
        if not database.sqlite:
            # The table is empty: only what it may use is asked.
            await conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
            await conn.execute(sa.text("SET LOCAL enable_bitmapscan = off"))
        rows = (await conn.exec_driver_sql(f"{explain} {text.sql}", text.ordered(values))).all()
    plan = "\n".join(str(row[-1]) for row in rows)

    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


# ---- names, zones and who ----------------------------------------------------------------------------------------


async def test_a_line_tells_who_on_whose_behalf_from_where_and_whose_business_it_is(database: Database) -> None:
    made = await make.a_campaign(database, 3)
    other = await make.an_account(database)
    accounts, zones = await codes(database, account), await codes(database, zone)
    by = Actor(account_id=made.town.account_id, behalf_id=other, via="http", address="192.0.2.7")
    await database.write(lambda tx: campaign_steps.stop(tx, made.id, made.town.account_id, by))
    await database.write(lambda tx: holds.place(tx, "campaign", str(made.id), "storm", "ada"))
    await database.write(lambda tx: holds.lift(tx, "campaign", str(made.id), by))
    await database.write(lambda tx: holds.place(tx, "channel", "sms", "", "ada"))

    by_action = {line.action + line.subject[:7]: line for line in await read(database)}
    stop, launch = by_action[f"stop{made.id}"], by_action["launch" + made.public_id[:7]]
    zone_code = zones[made.town.zone_id]

    assert (stop.account, stop.behalf, stop.via) == (accounts[made.town.account_id], accounts[other], "http")
    assert (stop.zone, stop.about, stop.apart) == (zone_code, made.public_id, {"address": "192.0.2.7"})
    assert (launch.zone, launch.account) == (zone_code, accounts[made.town.account_id])
    hold, resume = by_action["holdcampaig"], by_action["resumecampaig"]
    assert (hold.zone, hold.about, hold.via) == (zone_code, f"campaign {made.public_id}", "cli")
    assert hold.apart == {"by": "ada", "reason": "storm"}
    assert (resume.zone, resume.behalf) == (zone_code, accounts[other])
    assert (by_action["holdchannel"].zone, by_action["holdchannel"].about) == ("", "channel sms")
    found = await read(database, WantedLines(subject=made.public_id))
    assert {line.action for line in found} == {"launch", "stop", "hold", "resume"}
    assert {line.action for line in await read(database, WantedLines(account=accounts[other]))} == {"stop", "resume"}
    assert await read(database, WantedLines(zone="no such zone")) == []


async def test_a_member_is_found_by_the_reference_in_the_register_of_each_zone_that_is_asked_about(
    database: Database,
) -> None:
    towns = [await make.a_town(database, 2), await make.a_town(database, 2)]
    zones = await codes(database, zone)
    mine, theirs = (town.people[1].member_id for town in towns)
    first, second = (town.zone_id for town in towns)
    await database.write(lambda tx: tx.run(sa.update(member).where(member.c.id == mine).values(reference="x 3")))
    await database.write(lambda tx: tx.run(sa.update(member).where(member.c.id == theirs).values(reference="x 3")))
    for one, zone_id in ((mine, first), (theirs, second)):
        await database.write(lambda tx, o=one, z=zone_id: audit.note(tx, "member-find", f"member {o}", zone_id=z))

    async def found(subject: str = "x 3", **only: object) -> list[tuple[str, str]]:
        wanted = WantedLines(subject=subject, **only)
        return [(line.subject, line.reference) for line in await read(database, wanted)]

    both = [(f"member {theirs}", "x 3"), (f"member {mine}", "x 3")]
    assert await found() == await found("member x 3") == both
    assert await found(zone=zones[first]) == await found(zones=frozenset({first})) == both[1:]
    assert await found(registers=frozenset({second})) == both[:1]
    assert await found(registers=frozenset()) == await found("x 4") == []
    async with database.read() as conn:
        kept = await audit_reading.question_of(conn, WantedLines(subject="member x 3", zone=zones[first]))
    assert kept == f"member {await _public_id(database, mine)}"

    # Whoever was erased has none any more.
    hidden = f"erased-{await _public_id(database, mine)}"
    await database.write(lambda tx: tx.run(sa.update(member).where(member.c.id == mine).values(reference=hidden)))
    assert await found() == both[:1]
    assert await found(hidden) == []
    assert await found(kept) == [(f"member {mine}", "")]


async def _public_id(database: Database, member_id: int) -> str:
    async with database.read() as conn:
        return str((await conn.execute(sa.select(member.c.public_id).where(member.c.id == member_id))).scalar_one())


async def test_what_a_cancel_ends_stands_in_the_line_of_its_zone(database: Database) -> None:
    old = await make.a_campaign(database, 3)
    await make.a_campaign(database, old.town, ends=((old.id, "superseded"),))

    newest = (await read(database, WantedLines(action="launch")))[0]

    assert newest.detail["ended"] == [old.public_id]
    assert newest.zone_id == old.town.zone_id


# ---- readings ----------------------------------------------------------------------------------------------------


def a_reading(**changes: object) -> PersonalReading:
    by = Actor(account_id=1, via="http", address="192.0.2.7")
    return msgspec.structs.replace(
        PersonalReading(action="deliveries-read", subject="campaign 1", by=by, zone_id=3, detail={"masked": False}),
        **changes,
    )


async def noted(database: Database, reading: PersonalReading) -> None:
    await database.write(lambda tx: note_reading(tx, reading))


async def test_of_many_readings_at_once_each_is_a_line_once_and_none_is_lost(database: Database) -> None:
    asked = [a_reading(subject=f"campaign {n}") for n in range(4)]

    await asyncio.gather(*(noted(database, reading) for reading in asked * 6))

    found = await read(database)
    # Where the quarter of an hour ends in between each is a line in both.
    assert {line.subject for line in found} == {reading.subject for reading in asked}
    assert len(found) in (4, 8)
    assert found[0].apart == {"address": "192.0.2.7"}
    async with database.read() as conn:
        assert await is_noted(conn, asked[0], database.clock.now_ms())
        assert not await is_noted(conn, asked[0], database.clock.now_ms() + audit_reading.SLOT_MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "campaign 2"}, {"action": "report-export"}, {"detail": {"masked": True}}, {"zone_id": None},
        {"by": Actor(account_id=1, via="http", address="192.0.2.8")}, {"by": Actor(account_id=2, via="http")},
        {"by": Actor(account_id=1, behalf_id=2, via="http", address="192.0.2.7")}, {"apart": {"subject": "x"}},
    ],
    ids=str,
)  # fmt: skip
async def test_whatever_differs_is_another_line(database: Database, changes: dict[str, object]) -> None:
    await noted(database, a_reading())
    await noted(database, a_reading(**changes))

    assert len(await read(database)) == 2


async def test_of_questions_without_end_the_first_are_lines_and_the_others_are_one_together(database: Database) -> None:
    most = audit_reading.MOST_QUESTIONS
    asked = [a_reading(subject="audit", apart={"subject": f"q{n}"}) for n in range(2 * most)]
    beside = a_reading(subject="audit", apart={"subject": "q"}, by=Actor(account_id=2, via="http"))
    now_ms = database.clock.now_ms()
    await database.write(lambda tx: _at(tx, now_ms, asked[0]))

    await asyncio.gather(*(database.write(lambda tx, one=one: _at(tx, now_ms, one)) for one in asked * 2))
    await database.write(lambda tx: _at(tx, now_ms, beside))
    await database.write(lambda tx: _at(tx, now_ms + audit_reading.SLOT_MS, asked[0]))

    found = await read(database)
    told = [line for line in found if audit_reading.BEYOND in line.detail]
    [others] = told
    assert len(found) == most + 1 + 1 + 1
    assert (others.detail[audit_reading.BEYOND], others.apart) == (most, {"address": "192.0.2.7"})
    assert len({str(line.apart) for line in found}) == most + 2
    async with database.read() as conn:
        assert all([await is_noted(conn, one, now_ms) for one in (*asked, a_reading(subject="audit", apart={"x": 1}))])


async def _at(tx: Transaction, now_ms: int, reading: PersonalReading) -> None:
    await note_reading(dataclasses.replace(tx, now_us=now_ms * 1000), reading)


async def test_each_subject_that_is_read_is_a_line_however_many(database: Database) -> None:
    for n in range(audit_reading.MOST_QUESTIONS + 5):
        await noted(database, a_reading(subject=f"campaign {n}"))

    assert len({line.subject for line in await read(database)}) == audit_reading.MOST_QUESTIONS + 5


async def test_a_reading_that_is_undone_is_no_line_and_the_next_one_is(database: Database) -> None:
    async def breaks_off(tx) -> None:
        await note_reading(tx, a_reading())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(breaks_off)
    async with database.read() as conn:
        assert not await is_noted(conn, a_reading(), database.clock.now_ms())
    await noted(database, a_reading())

    assert len(await read(database)) == 1


async def test_quarters_that_are_over_are_forgotten_and_their_lines_stay(database: Database) -> None:
    await noted(database, a_reading())
    await database.write(lambda tx: tx.run(sa.update(audit_reading.audit_reading).values(slot_ms=900_000)))

    await database.write(lambda tx: retention.clear_some(tx, retention.RetentionPeriods(365, 365, 3_650)))

    async with database.read() as conn:
        assert (await conn.execute(sa.select(audit_reading.audit_reading))).all() == []
    assert len(await read(database)) == 1


# ---- the chain holds, whatever is done ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_the_chain_holds_whatever_is_written_linked_erased_and_cleared(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    written = erased = 0
    years_ms = 0

    async def write() -> None:
        nonlocal written
        by = Actor(
            account_id=chance.choice([None, 1]), behalf_id=chance.choice([None, 2]), via=chance.choice(["", "http"]),
            address=chance.choice(["", "192.0.2.7"]), login=chance.choice(["", "ada"]),
        )  # fmt: skip
        subject, zone_id = f"member {chance.randrange(4)}", chance.choice([None, 1])
        await database.write(lambda tx: audit.note(tx, "member-find", subject, by, zone_id=zone_id))
        written += 1

    async def look() -> None:
        await noted(database, a_reading(subject=f"campaign {chance.randrange(3)}"))

    async def link_twice() -> None:
        await asyncio.gather(*(database.write(lambda tx: audit.link(tx, chance.randint(1, 4))) for _ in range(2)))

    async def erase() -> None:
        nonlocal erased
        subject = f"member {chance.randrange(4)}"
        erased += await database.write(lambda tx: audit.erase_apart(tx, subject))

    async def grow_old() -> None:
        nonlocal years_ms
        years_ms += 1
        old = sa.select(lines.c.id).order_by(lines.c.id).limit(1)
        oldest = (await database.write(lambda tx: tx.rows(old)))[0].id
        await database.write(audit.link)  # what is over is chained first
        await database.write(lambda tx: tx.run(sa.delete(audit_detail).where(audit_detail.c.audit_id == oldest)))
        await database.write(lambda tx: tx.run(sa.delete(lines).where(lines.c.id == oldest)))

    await write()
    for _ in range(40):
        await chance.choice([write, write, write, look, link_twice, erase, grow_old])()
        assert await faults(database) == ()
        await write()
    while await database.write(audit.link):
        pass

    async with database.read() as conn:
        verdict = await audit.verify(conn)
    left = await read(database)
    assert (verdict.faults, verdict.waiting, verdict.gone) == ((), 0, years_ms)
    assert verdict.links == len(left) + years_ms
    assert verdict.erased == sum(line.erased for line in left) <= erased
    assert {line.number for line in left} <= set(range(1, verdict.links + 1))


async def test_a_zone_that_is_written_into_another_line_is_found(database: Database) -> None:
    await database.write(lambda tx: audit.note(tx, "stop", "c1", SERVER, zone_id=1))
    await database.write(audit.link)
    for change in ({"zone_id": 2}, {"via": "cli"}, {"behalf_id": 7}, {"form": 1}):
        async with database.read() as conn:
            before = (await conn.execute(sa.select(lines))).one()
        await database.write(lambda tx, change=change: tx.run(sa.update(lines).values(**change)))
        assert "was changed" in (await faults(database))[0], change
        back = {name: getattr(before, name) for name in change}
        await database.write(lambda tx, back=back: tx.run(sa.update(lines).values(**back)))
    assert await faults(database) == ()


async def test_a_change_of_the_register_tells_apart_what_stood_before_and_after(database: Database) -> None:
    by = Actor(via="cli", login="ada")
    first = ZoneRecord("5301", "Zone", 1, "{}", "[" + "1," * 2_000 + "1]")
    await database.write(lambda tx: put_zone(tx, first, by))
    await database.write(lambda tx: put_zone(tx, first, by))
    second = msgspec.structs.replace(first, policy='{"sender":"5301"}', territory="")
    await database.write(lambda tx: put_zone(tx, second, by))

    changed, made = await read(database)

    assert (made.action, made.about, made.zone, made.detail) == ("zone-load", "zone 5301", "5301", {"new": True})
    assert (made.apart, changed.detail) == ({"by": "ada"}, {"new": False})
    assert changed.apart["after"] == {"policy": '{"sender":"5301"}', "territory": ""}
    assert changed.apart["before"]["policy"] == "{}"
    assert changed.apart["before"]["territory"].startswith("sha256:")


async def test_a_grant_is_a_line_in_its_zone_in_words(database: Database) -> None:
    zones = [await make.a_zone(database) for _ in range(2)]
    named = await codes(database, zone)
    rights = frozenset(
        {RightRow("read", zones[0], None), RightRow("stop", zones[1], None), RightRow("read", None, None)}
    )
    record = AccountRecord("cic", "CIC", "cic", "[]", "[]", rights)
    await database.write(lambda tx: put_account(tx, record))
    await database.write(lambda tx: put_account(tx, msgspec.structs.replace(record, rights=frozenset())))

    granted = [line for line in reversed(await read(database, WantedLines(action="rights"))) if line.detail["granted"]]
    taken = await read(database, WantedLines(action="rights", zone=named[zones[1]]))

    assert [(line.zone, line.detail["granted"]) for line in granted] == [
        ("", ["read zone * network * * * *"]),
        (named[zones[0]], [f"read zone {named[zones[0]]} network * * * *"]),
        (named[zones[1]], [f"stop zone {named[zones[1]]} network * * * *"]),
    ]
    assert taken[0].detail == {"granted": [], "taken": [f"stop zone {named[zones[1]]} network * * * *"]}
