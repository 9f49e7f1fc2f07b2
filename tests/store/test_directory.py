"""Reading and writing the register: living rows only, one look-up by code, contact versions that never change."""

import itertools

import msgspec
import pytest
import sqlalchemy as sa

from store.register.reading import (
    NOWHERE,
    ContactType,
    addressees,
    groups,
    member_count,
    networks,
    read_changes,
    read_register,
    register_rev,
    zone_by_id,
    zones,
)
from store.register.writing import (
    ContactRecord,
    MemberRecord,
    NetworkRecord,
    RegisterTally,
    ZoneRecord,
    put_group,
    put_members,
    put_network,
    put_zone,
    remove_members,
)
from store.tables import address, contact, member

_numbers = itertools.count(1)


def _public_id():
    return f"p{next(_numbers)}"


def _mobile(number):
    return ContactRecord("mobile", number)


def _put(database, zone_id, *records):
    return database.write(lambda tx: put_members(tx, zone_id, records, _public_id))


async def _zone(database, code="5301"):
    zone_id, _ = await database.write(lambda tx: put_zone(tx, ZoneRecord(code, f"Zone {code}", 1, "{}")))
    return zone_id


async def _register(database, zone_id):
    async with database.read() as conn:
        return await read_register(conn, zone_id)


async def _revision(database, zone_id):
    async with database.read() as conn:
        return await register_rev(conn, zone_id)


def _rows(text, width):
    flat = [int(value) for value in text.split(",") if value]
    return [tuple(flat[start : start + width]) for start in range(0, len(flat), width)]


async def test_the_rows_of_a_zone_are_those_of_its_living_members_and_open_contacts(database):
    zone_id, other = await _zone(database), await _zone(database, "5302")
    network_id, _ = await database.write(
        lambda tx: put_network(tx, zone_id, NetworkRecord("N", "Net", "[]", frozenset({("REFNIS", "57081")})))
    )
    group_id, _ = await database.write(lambda tx: put_group(tx, zone_id, "G", "Group"))
    here = MemberRecord(
        "1",
        "An",
        "fr",
        33_878_000,
        506_057_000,
        57081,
        7500,
        "info news",
        (_mobile("+32470123456"), ContactRecord("email", "an@example.org")),
        frozenset({(network_id, "coordinator")}),
        frozenset({group_id}),
    )
    await _put(database, zone_id, here, MemberRecord("2", "Bart", "nl", contacts=(_mobile("+32470123457"),)))
    await _put(database, zone_id, MemberRecord("3", "Gone", "nl", contacts=(_mobile("+32470123458"),)))
    await _put(database, other, MemberRecord("1", "Elsewhere", "nl", contacts=(_mobile("+32470123456"),)))
    await database.write(lambda tx: remove_members(tx, zone_id, ["3", "unknown"]))

    rows = await _register(database, zone_id)

    first, second = sorted(_rows(rows.members.members, 6))
    assert first[2:6] == (33_878_000, 506_057_000, 57081, 7500)
    assert second[2:6] == (NOWHERE, NOWHERE, 0, 0)
    assert [rows.members.languages[row[1]] for row in (first, second)] == ["fr", "nl"]
    said = [(whose, rows.members.wishes[wish]) for whose, wish in _rows(rows.members.member_opt_outs, 2)]
    assert sorted(said) == [(first[0], ("info", "*")), (first[0], ("news", "*"))]
    contacts = sorted((m, kind, rank) for m, _, _, kind, rank in _rows(rows.members.contacts, 5))
    assert contacts == [
        (first[0], ContactType.MOBILE, 0),
        (first[0], ContactType.EMAIL, 1),
        (second[0], ContactType.MOBILE, 0),
    ]
    assert rows.places.networks == [(network_id, "N", "[]")]
    assert rows.places.network_codes == [(network_id, "REFNIS", "57081")]
    assert _rows(rows.members.memberships, 2) == [(network_id, first[0])]
    assert rows.places.groups == [(group_id, "G")]
    assert _rows(rows.members.group_members, 2) == [(group_id, first[0])]


async def test_the_same_number_in_two_zones_is_one_address(database):
    for code in ("5301", "5302"):
        await _put(
            database,
            await _zone(database, code),
            MemberRecord("1", "An", "nl", contacts=(_mobile("+32470123456"),)),
        )

    async with database.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count(address.c.id)))).scalar_one() == 1
        assert len((await conn.execute(sa.select(contact.c.address_id).distinct())).all()) == 1


async def test_a_frozen_contact_still_has_its_address_and_name_after_it_was_changed(database):
    zone_id = await _zone(database)
    await _put(database, zone_id, MemberRecord("1", "An", "nl", contacts=(_mobile("+32470123456"),)))
    (frozen,) = _rows((await _register(database, zone_id)).members.contacts, 5)

    await _put(database, zone_id, MemberRecord("1", "An", "nl", contacts=(_mobile("+32470999999"),)))

    (current,) = _rows((await _register(database, zone_id)).members.contacts, 5)
    async with database.read() as conn:
        found = await addressees(conn, [frozen[1], current[1], 10**9])
    assert {key: (a.address, a.name) for key, a in found.items()} == {
        frozen[1]: ("+32470123456", "An"),
        current[1]: ("+32470999999", "An"),
    }


async def test_members_put_again_are_left_alone_and_the_register_stays_where_it_was(database):
    zone_id = await _zone(database)
    people = [MemberRecord(str(n), "An", "nl", contacts=(_mobile(f"+3247012345{n}"),)) for n in range(9)]

    first = await _put(database, zone_id, *people)
    before = await _revision(database, zone_id)
    second = await _put(database, zone_id, *people)

    assert (first, second) == (RegisterTally(new=9), RegisterTally(unchanged=9))
    assert await _revision(database, zone_id) == before == 1


async def test_the_order_of_contacts_is_part_of_them(database):
    zone_id = await _zone(database)
    one, two = _mobile("+32470000001"), _mobile("+32470000002")
    await _put(database, zone_id, MemberRecord("1", "An", "nl", contacts=(one, two)))

    tally = await _put(database, zone_id, MemberRecord("1", "An", "nl", contacts=(two, one)))

    ranks = [(row[4], row[2]) for row in _rows((await _register(database, zone_id)).members.contacts, 5)]
    async with database.read() as conn:
        values = {row.id: row.value for row in await conn.execute(sa.select(address))}
    assert tally == RegisterTally(changed=1)
    assert [values[address_id] for _, address_id in sorted(ranks)] == ["+32470000002", "+32470000001"]


async def test_a_removed_member_has_no_open_contact_and_comes_back_as_the_same_person(database):
    zone_id = await _zone(database)
    person = MemberRecord("1", "An", "nl", contacts=(_mobile("+32470123456"),))
    await _put(database, zone_id, person)
    before = _rows((await _register(database, zone_id)).members.members, 6)

    assert await database.write(lambda tx: remove_members(tx, zone_id, ["1"])) == 1
    gone = await _register(database, zone_id)
    tally = await _put(database, zone_id, person)

    again = await _register(database, zone_id)
    assert (_rows(gone.members.members, 6), _rows(gone.members.contacts, 5)) == ([], [])
    assert tally == RegisterTally(changed=1)
    assert _rows(again.members.members, 6)[0][0] == before[0][0]
    assert len(_rows(again.members.contacts, 5)) == 1


async def test_removing_nobody_does_not_move_the_register(database):
    zone_id = await _zone(database)

    assert await database.write(lambda tx: remove_members(tx, zone_id, ["1"])) == 0
    assert await _revision(database, zone_id) == 0


@pytest.mark.parametrize(
    "name", ["O'Neil", '"quoted"', "Zoë 🦊", "\u202etfel", "%s {0}", "a\\b", "'); DROP TABLE member;--"]
)
async def test_a_name_is_kept_letter_by_letter(database, name):
    zone_id = await _zone(database)

    await _put(database, zone_id, MemberRecord("1", name, "nl"))

    async with database.read() as conn:
        assert (await conn.execute(sa.select(member.c.name))).scalar_one() == name


async def test_networks_and_groups_are_looked_up_by_code_over_several_zones(database):
    one, two, three = [await _zone(database, code) for code in ("5301", "5302", "5303")]
    for zone_id in (one, two, three):
        await database.write(lambda tx, z=zone_id: put_network(tx, z, NetworkRecord("N", "Net", None)))
        await database.write(lambda tx, z=zone_id: put_group(tx, z, "G", "Group"))

    async with database.read() as conn:
        assert [row.zone_id for row in await networks(conn, [one, two], ["N", "M"])] == [one, two]
        assert [row.zone_id for row in await groups(conn, [three], ["G"])] == [three]
        assert [row.code for row in await zones(conn, ["5302", "9999"])] == ["5302"]
        assert len(await zones(conn)) == 3
        assert (await zone_by_id(conn, two)).code == "5302"


async def test_a_zone_that_does_not_exist_is_none(database):
    async with database.read() as conn:
        assert await read_register(conn, 99) is None
        assert await register_rev(conn, 99) is None
        assert await zone_by_id(conn, 99) is None
        assert await member_count(conn, 99) == 0


@pytest.mark.parametrize(
    "changed",
    [
        NetworkRecord("N", "Another", None, frozenset({("REFNIS", "1")})),
        NetworkRecord("N", "Net", "[]", frozenset({("REFNIS", "1")})),
        NetworkRecord("N", "Net", None, frozenset({("REFNIS", "2")})),
        NetworkRecord("N", "Net", None),
    ],
)
async def test_any_change_of_a_network_moves_the_register_once(database, changed):
    zone_id = await _zone(database)
    record = NetworkRecord("N", "Net", None, frozenset({("REFNIS", "1")}))
    network_id, _ = await database.write(lambda tx: put_network(tx, zone_id, record))
    before = await _revision(database, zone_id)

    same = await database.write(lambda tx: put_network(tx, zone_id, record))
    other = await database.write(lambda tx: put_network(tx, zone_id, changed))

    assert (same, other) == ((network_id, RegisterTally(unchanged=1)), (network_id, RegisterTally(changed=1)))
    assert await _revision(database, zone_id) == before + 1


async def test_a_changed_policy_moves_the_register_and_the_same_one_does_not(database):
    zone_id = await _zone(database)

    _, same = await database.write(lambda tx: put_zone(tx, ZoneRecord("5301", "Zone 5301", 1, "{}")))
    _, other = await database.write(lambda tx: put_zone(tx, ZoneRecord("5301", "Zone 5301", 2, "{}")))

    assert (same, other) == (RegisterTally(unchanged=1), RegisterTally(changed=1))
    assert await _revision(database, zone_id) == 1


# ---- what has changed since a revision --------------------------------------------------------------------------


async def _changes(database, zone_id, since):
    async with database.read() as conn:
        return await read_changes(conn, zone_id, since)


PERSON = MemberRecord("1", "An", "nl", contacts=(ContactRecord("mobile", "+32470000001"),))
CHANGES = {
    "an opt-out": {"opt_outs": "news"},
    "a language": {"language": "fr"},
    "a position": {"lon_e7": 33_000_000, "lat_e7": 506_000_000},
    "another number": {"contacts": (ContactRecord("mobile", "+32470000002"),)},
    "no number": {"contacts": ()},
    "a network": {"networks": frozenset({(1, "member")})},
    "a group": {"groups": frozenset({1})},
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_member_with_a_change_is_told_and_nobody_else(database, what):
    zone_id = await _zone(database)
    await database.write(lambda tx: put_network(tx, zone_id, NetworkRecord("N", "Net", None)))
    await database.write(lambda tx: put_group(tx, zone_id, "G", "Group"))
    await _put(database, zone_id, PERSON, MemberRecord("2", "Bart", "nl"))
    before = await _revision(database, zone_id)
    other_zone = await _zone(database, "5302")
    await _put(database, other_zone, PERSON)

    await _put(database, zone_id, msgspec.structs.replace(PERSON, **CHANGES[what]), MemberRecord("2", "Bart", "nl"))

    told, everyone = await _changes(database, zone_id, before), (await _register(database, zone_id)).members
    ids = sorted(row[0] for row in _rows(everyone.members, 6))
    assert told.zone.register_rev == before + 1
    assert told.changed == str(ids[0])
    assert _rows(told.members.members, 6)[0][2:6] == sorted(_rows(everyone.members, 6))[0][2:6]
    assert told.members.contacts == everyone.contacts
    assert told.members.memberships == everyone.memberships
    assert told.members.group_members == everyone.group_members
    assert told.places is None
    assert (await _changes(database, zone_id, before + 1)).changed == ""


async def test_a_member_who_left_is_told_without_anything_of_theirs(database):
    zone_id = await _zone(database)
    await _put(database, zone_id, PERSON)
    before = await _revision(database, zone_id)

    await database.write(lambda tx: remove_members(tx, zone_id, ["1"]))

    told = await _changes(database, zone_id, before)
    assert told.changed != ""
    assert (told.members.members, told.members.contacts, told.members.memberships) == ("", "", "")


async def test_networks_and_groups_are_told_again_only_after_one_of_them_or_the_zone_changed(database):
    zone_id = await _zone(database)
    changes = (
        lambda tx: put_network(tx, zone_id, NetworkRecord("N", "Net", None)),
        lambda tx: put_network(tx, zone_id, NetworkRecord("N", "Net", None, frozenset({("REFNIS", "57081")}))),
        lambda tx: put_group(tx, zone_id, "G", "Group"),
        lambda tx: put_zone(tx, ZoneRecord("5301", "Renamed", 2, "{}")),
    )
    for change in changes:
        before = await _revision(database, zone_id)
        await database.write(change)

        assert (await _changes(database, zone_id, before)).places is not None
        assert (await _changes(database, zone_id, before + 1)).places is None


async def test_a_zone_that_does_not_exist_has_no_changes(database):
    assert await _changes(database, 99, 0) is None
