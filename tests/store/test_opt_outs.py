"""Opt-outs as they are kept: who said what, from when until when; what a load of the register may and may not undo."""

import asyncio
import json

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from store.engine import schema
from store.engine.revision import MIGRATIONS
from store.errors import StoreError
from store.register.opt_outs import EVERY, OptOut, add_opt_outs, end_opt_outs
from store.register.reading import read_changes, read_register, register_rev
from store.register.writing import (
    ContactRecord,
    MemberRecord,
    NetworkRecord,
    RegisterTally,
    ZoneRecord,
    put_members,
    put_network,
    put_zone,
    remove_members,
)
from store.tables import address, audit, member, opt_out
from tests.store.test_feed import migrated_to

AN = MemberRecord("1", "An", "nl", contacts=(ContactRecord("mobile", "+32470000001"),))
BART = MemberRecord("2", "Bart", "nl", contacts=(ContactRecord("mobile", "+32470000001"),))
CLEO = MemberRecord("3", "Cleo", "nl", contacts=(ContactRecord("mobile", "+32470000002"),))


async def _zone(database, *records, code="5301"):
    zone_id, _ = await database.write(lambda tx: put_zone(tx, ZoneRecord(code, "Zone", 1, "{}")))
    await _put(database, zone_id, *records)
    return zone_id


def _put(database, zone_id, *records):
    new_ids = (f"{zone_id}-{record.reference}" for record in records)
    return database.write(lambda tx: put_members(tx, zone_id, records, lambda: next(new_ids)))


def _network(database, zone_id, code="N"):
    return database.write(lambda tx: put_network(tx, zone_id, NetworkRecord(code, "Net", None)))


def _add(database, zone_id, *opt_outs, source="click"):
    return database.write(lambda tx: add_opt_outs(tx, zone_id, opt_outs, source))


def _end(database, zone_id, *opt_outs, source=None):
    return database.write(lambda tx: end_opt_outs(tx, zone_id, opt_outs, source))


async def _read(database, statement):
    async with database.read() as conn:
        return [tuple(row) for row in await conn.execute(statement)]


async def _member(database, record, zone_id=None):
    statement = sa.select(member.c.id).where(member.c.reference == record.reference)
    statement = statement if zone_id is None else statement.where(member.c.zone_id == zone_id)
    return (await _read(database, statement))[0][0]


async def _address(database, value):
    return (await _read(database, sa.select(address.c.id).where(address.c.value == value)))[0][0]


async def _in_force(database):
    columns = (opt_out.c.member_id, opt_out.c.address_id, opt_out.c.kind, opt_out.c.channel, opt_out.c.source)
    return set(await _read(database, sa.select(*columns).where(opt_out.c.until_ms.is_(None))))


async def _revision(database, zone_id):
    async with database.read() as conn:
        return await register_rev(conn, zone_id)


async def _changed(database, zone_id, since):
    async with database.read() as conn:
        return {int(id_) for id_ in (await read_changes(conn, zone_id, since)).changed.split(",") if id_}


# ---- said, and taken back ---------------------------------------------------------------------------------------


async def test_what_is_said_once_or_ten_times_is_one_row_and_one_step_of_the_register(database):
    zone_id = await _zone(database, AN)
    stop = OptOut("news", "sms", address_id=await _address(database, "+32470000001"))
    before = await _revision(database, zone_id)

    made = [await _add(database, zone_id, stop, stop, source="stop") for _ in range(10)]

    assert made == [1] + 9 * [0]
    assert await _in_force(database) == {(None, stop.address_id, "news", "sms", "stop")}
    assert await _revision(database, zone_id) == before + 1


async def test_two_clicks_at_once_are_one(database):
    zone_id = await _zone(database, AN)
    click = OptOut("news", address_id=await _address(database, "+32470000001"))

    made = await asyncio.gather(*(_add(database, zone_id, click) for _ in range(5)))

    assert sorted(made) == [0, 0, 0, 0, 1]
    assert len(await _in_force(database)) == 1


async def test_taking_back_ends_the_row_and_keeps_the_fact(database):
    zone_id = await _zone(database, AN)
    wish = OptOut("news", member_id=await _member(database, AN))
    await _add(database, zone_id, wish)
    ((from_ms, open_ms),) = await _read(database, sa.select(opt_out.c.from_ms, opt_out.c.until_ms))
    before = await _revision(database, zone_id)

    ended = [await _end(database, zone_id, wish) for _ in range(2)]

    ((same_ms, until_ms),) = await _read(database, sa.select(opt_out.c.from_ms, opt_out.c.until_ms))
    assert (ended, open_ms, same_ms) == ([1, 0], None, from_ms)
    assert until_ms >= from_ms > 0
    assert await _revision(database, zone_id) == before + 1


async def test_what_was_taken_back_can_be_said_again_beside_the_old_row(database):
    zone_id = await _zone(database, AN)
    wish = OptOut("news", member_id=await _member(database, AN))
    for _ in range(2):
        await _add(database, zone_id, wish)
        await _end(database, zone_id, wish)

    assert await _add(database, zone_id, wish) == 1
    assert len(await _read(database, sa.select(opt_out.c.id))) == 3
    assert len(await _in_force(database)) == 1


async def test_every_takes_back_whatever_the_subject_said_and_nobody_elses(database):
    zone_id = await _zone(database, AN, CLEO)
    one, other = [await _address(database, value) for value in ("+32470000001", "+32470000002")]
    said = [OptOut("news", "sms", address_id=one), OptOut(EVERY, address_id=one), OptOut("info", address_id=one)]
    await _add(database, zone_id, *said, OptOut("news", address_id=other))
    await _add(database, zone_id, OptOut("news", member_id=await _member(database, AN)))

    assert await _end(database, zone_id, OptOut("news", EVERY, address_id=one)) == 1
    assert await _end(database, zone_id, OptOut(EVERY, EVERY, address_id=one)) == 2
    assert len(await _in_force(database)) == 2


async def test_a_source_takes_back_only_what_it_said_itself(database):
    zone_id = await _zone(database, AN)
    wish = OptOut("news", member_id=await _member(database, AN))
    for source in ("click", "coordinator"):
        await _add(database, zone_id, wish, source=source)

    assert await _end(database, zone_id, wish, source="coordinator") == 1
    assert await _in_force(database) == {(wish.member_id, None, "news", "*", "click")}


async def test_a_network_is_left_apart_from_the_zone(database):
    zone_id = await _zone(database, AN)
    network_id, _ = await _network(database, zone_id)
    member_id = await _member(database, AN)
    wide, narrow = OptOut("news", member_id=member_id), OptOut("news", member_id=member_id, network_id=network_id)

    assert await _add(database, zone_id, wide, narrow) == 2
    assert await _end(database, zone_id, wide) == 1
    assert await _read(database, sa.select(opt_out.c.network_id).where(opt_out.c.until_ms.is_(None))) == [(network_id,)]


async def test_it_is_written_down_who_changed_what_without_a_name_or_a_number(database):
    zone_id = await _zone(database, AN)
    stop = OptOut("news", "sms", address_id=await _address(database, "+32470000001"))
    await _add(database, zone_id, stop, source="stop")
    await _end(database, zone_id, stop)

    columns = (audit.c.action, audit.c.subject, audit.c.zone_id, audit.c.detail)
    lines = await _read(database, sa.select(*columns).where(audit.c.action.like("opt-%")).order_by(audit.c.id))
    told = (f"address {stop.address_id}", zone_id, {"kind": "news", "channel": "sms", "source": "stop"})
    assert [(action, about, zone, json.loads(text)) for action, about, zone, text in lines] == [
        ("opt-out", *told),
        ("opt-in", *told),
    ]


@pytest.mark.parametrize(
    "whose", [{}, {"member_id": 1, "address_id": 1}, {"network_id": 1}, {"address_id": 1, "network_id": 1}]
)
async def test_an_opt_out_of_nobody_or_of_two_is_refused(database, whose):
    zone_id = await _zone(database, AN)

    with pytest.raises(StoreError, match="a member's, a member's in a network, or an address's"):
        await _add(database, zone_id, OptOut("news", **whose))
    values = {"zone_id": zone_id, "kind": "news", "source": "click", "from_ms": 1} | whose
    with pytest.raises(IntegrityError):
        await database.write(lambda tx: tx.run(sa.insert(opt_out).values(values)))


async def test_a_zone_cannot_speak_for_a_member_or_a_network_of_another(database):
    here, elsewhere = await _zone(database, AN), await _zone(database, AN, code="5302")
    network_id, _ = await _network(database, elsewhere)
    stranger, own = await _member(database, AN, elsewhere), await _member(database, AN, here)

    for wish in (OptOut("news", member_id=stranger), OptOut("news", member_id=own, network_id=network_id)):
        with pytest.raises(StoreError, match="no member or network of zone"):
            await _add(database, here, wish)
    assert await _in_force(database) == set()


# ---- the register's word, and a person's own ---------------------------------------------------------------------


async def test_a_load_undoes_what_an_earlier_one_said_and_nothing_that_a_person_said(database):
    zone_id = await _zone(database, MemberRecord("1", "An", "nl", opt_outs="info news", contacts=AN.contacts))
    member_id, address_id = await _member(database, AN), await _address(database, "+32470000001")
    await _add(database, zone_id, OptOut("news", member_id=member_id), OptOut("news", "sms", address_id=address_id))

    tally = await _put(database, zone_id, AN)

    assert tally == RegisterTally(changed=1)
    assert await _in_force(database) == {
        (member_id, None, "news", "*", "click"),
        (None, address_id, "news", "sms", "click"),
    }
    assert await _put(database, zone_id, AN) == RegisterTally(unchanged=1)


async def test_a_load_touches_only_the_kinds_that_differ(database):
    zone_id = await _zone(database, MemberRecord("1", "An", "nl", opt_outs="info news"))
    before = await _read(database, sa.select(opt_out.c.id).where(opt_out.c.kind == "news"))

    await _put(database, zone_id, MemberRecord("1", "An", "nl", opt_outs="news preventive"))

    rows = await _read(database, sa.select(opt_out.c.kind, opt_out.c.until_ms.is_(None)).order_by(opt_out.c.kind))
    assert rows == [("info", False), ("news", True), ("preventive", True)]
    assert await _read(database, sa.select(opt_out.c.id).where(opt_out.c.kind == "news")) == before


async def test_who_left_and_comes_back_still_does_not_want_it(database):
    zone_id = await _zone(database, AN)
    wish = OptOut("news", member_id=await _member(database, AN))
    await _add(database, zone_id, wish)

    await database.write(lambda tx: remove_members(tx, zone_id, ["1"]))
    await _put(database, zone_id, AN)

    assert await _in_force(database) == {(wish.member_id, None, "news", "*", "click")}


# ---- who hears of it ---------------------------------------------------------------------------------------------


async def test_a_click_changes_whoever_has_the_address_in_the_zone_and_nobody_else(database):
    zone_id, elsewhere = await _zone(database, AN, BART, CLEO), await _zone(database, AN, code="5302")
    click = OptOut("news", address_id=await _address(database, "+32470000001"))
    theirs = {await _member(database, record, zone_id) for record in (AN, BART)}
    before = [await _revision(database, zone) for zone in (zone_id, elsewhere)]

    await _add(database, zone_id, click)
    said = await _changed(database, zone_id, before[0])
    await _end(database, zone_id, click)
    taken_back = await _changed(database, zone_id, before[0] + 1)

    assert (said, taken_back) == (theirs, theirs)
    assert await _changed(database, elsewhere, before[1]) == set()


async def test_whoever_gets_a_silent_address_later_is_told_with_what_it_said(database):
    zone_id = await _zone(database, AN, CLEO)
    address_id = await _address(database, "+32470000001")
    await _add(database, zone_id, OptOut("news", "sms", address_id=address_id))
    before = await _revision(database, zone_id)

    await _put(database, zone_id, MemberRecord("3", "Cleo", "nl", contacts=AN.contacts))

    async with database.read() as conn:
        told = (await read_changes(conn, zone_id, before)).members
    assert (tuple(told.wishes), told.address_opt_outs) == ((("news", "sms"),), f"{address_id},0")


async def test_the_whole_register_tells_every_opt_out_in_force_of_the_zone(database):
    zone_id, elsewhere = await _zone(database, AN, CLEO), await _zone(database, AN, code="5302")
    network_id, _ = await _network(database, zone_id)
    member_id, address_id = await _member(database, AN, zone_id), await _address(database, "+32470000001")
    told = (
        OptOut("info", member_id=member_id),
        OptOut("news", "sms", member_id=member_id, network_id=network_id),
        OptOut("news", address_id=address_id),
    )
    over = OptOut("preventive", member_id=member_id)
    await _add(database, zone_id, *told, over)
    await _end(database, zone_id, over)
    await _add(database, elsewhere, OptOut("info", address_id=address_id))

    async with database.read() as conn:
        rows = (await read_register(conn, zone_id)).members

    assert tuple(rows.wishes) == (("info", "*"), ("news", "*"), ("news", "sms"))
    assert rows.member_opt_outs == f"{member_id},0"
    assert rows.network_opt_outs == f"{network_id},{member_id},2"
    assert rows.address_opt_outs == f"{address_id},1"


# ---- a store of before -------------------------------------------------------------------------------------------


async def test_lists_of_kinds_become_rows_and_the_way_back_loses_no_kind(empty_url):
    await migrated_to(empty_url, "0013")
    lists = {"1": "", "2": "news", "3": "info news", "4": "news", "5": "alert info news preventive"}
    await _execute(empty_url, "INSERT INTO zone (id, code, name, convention, policy) VALUES (7, '5301', 'Z', 1, '{}')")
    for reference, opt_outs in lists.items():
        await _execute(
            empty_url,
            "INSERT INTO member (zone_id, public_id, reference, name, language, opt_outs, removed_ms)"
            " VALUES (7, :reference, :reference, 'Zoë', 'nl', :opt_outs, :removed)",
            reference=reference, opt_outs=opt_outs, removed=5 if reference == "4" else None,
        )  # fmt: skip

    await schema.migrate(empty_url)

    rows = await _execute(
        empty_url,
        "SELECT m.reference, o.kind, o.channel, o.source, o.zone_id, o.from_ms, o.until_ms"
        " FROM opt_out o JOIN member m ON m.id = o.member_id",
    )
    assert set(rows) == {
        (reference, kind, "*", "seed", 7, 0, None) for reference, kinds in lists.items() for kind in kinds.split()
    }
    assert len(rows) == sum(len(kinds.split()) for kinds in lists.values())
    await _downgraded(empty_url, "0013")
    assert dict(await _execute(empty_url, "SELECT reference, opt_outs FROM member")) == lists


async def _execute(url, statement, **values):
    engine = create_async_engine(url)
    async with engine.begin() as conn:
        result = await conn.execute(sa.text(statement), values)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows


async def _downgraded(url, revision):
    def downgrade(connection):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    engine = create_async_engine(url)
    async with engine.connect() as conn:
        await conn.run_sync(downgrade)
        await conn.commit()
    await engine.dispose()
