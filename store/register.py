"""Writing the register: zones, networks, groups and members, each by its own code, so that a repeat changes nothing.

Idempotent: what is already so is left alone and does not move `zone.register_rev`; whatever changes moves it, in
the same transaction. Contacts are immutable versions: a change closes one row and opens another, so a frozen
audience always finds the address that it was made with.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from store.json_rows import json_rows, pack
from store.tables import (
    address,
    contact,
    group_member,
    member,
    member_group,
    membership,
    network,
    network_code,
    zone,
)
from store.transaction import Transaction


class ZoneRecord(msgspec.Struct, frozen=True):
    code: str
    name: str
    convention: int
    policy: str
    """JSON."""


class NetworkRecord(msgspec.Struct, frozen=True):
    code: str
    name: str
    territory: str | None
    """JSON: rings of [latitude, longitude] in degrees."""
    codes: frozenset[tuple[str, str]] = frozenset()
    """(system, value)."""


class ContactRecord(msgspec.Struct, frozen=True):
    type: str
    """mobile, landline, email."""
    value: str
    """Normalised: E.164 or a mailbox."""


class MemberRecord(msgspec.Struct, frozen=True):
    reference: str
    """The zone's own key of this person."""
    name: str
    language: str
    lon_e7: int | None = None
    lat_e7: int | None = None
    refnis: int | None = None
    postcode: int | None = None
    opt_outs: str = ""
    """Kinds, sorted, a blank between two."""
    contacts: tuple[ContactRecord, ...] = ()
    """In the member's own order."""
    networks: frozenset[tuple[int, str]] = frozenset()
    """(network id, role)."""
    groups: frozenset[int] = frozenset()


class Tally(msgspec.Struct, frozen=True):
    """What became of records."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.new + other.new, self.changed + other.changed, self.unchanged + other.unchanged)


async def put_zone(tx: Transaction, record: ZoneRecord) -> tuple[int, Tally]:
    """The zone's id. A changed policy or convention moves the revision as well."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    found = await tx.first(sa.select(zone).where(zone.c.code == record.code))
    if found is None:
        row = await tx.first(sa.insert(zone).values(values).returning(zone.c.id))
        assert row is not None
        return int(row[0]), Tally(new=1)
    if all(getattr(found, name) == value for name, value in values.items()):
        return int(found.id), Tally(unchanged=1)
    await tx.run(sa.update(zone).where(zone.c.id == found.id).values(values))
    await _move(tx, found.id)
    return int(found.id), Tally(changed=1)


async def put_network(tx: Transaction, zone_id: int, record: NetworkRecord) -> tuple[int, Tally]:
    """The network's id; its codes become exactly those of the record."""
    values = {"name": record.name, "territory": record.territory}
    key = sa.and_(network.c.zone_id == zone_id, network.c.code == record.code)
    found = await tx.first(sa.select(network).where(key))
    if found is None:
        statement = sa.insert(network).values(zone_id=zone_id, code=record.code, **values)
        row = await tx.first(statement.returning(network.c.id))
        assert row is not None
        network_id, tally = int(row[0]), Tally(new=1)
    else:
        network_id, tally = int(found.id), Tally(unchanged=1)
        if (found.name, found.territory) != (record.name, record.territory):
            await tx.run(sa.update(network).where(key).values(values))
            tally = Tally(changed=1)
    if await _put_codes(tx, network_id, record.codes) and tally.unchanged:
        tally = Tally(changed=1)
    if not tally.unchanged:
        await _move(tx, zone_id)
    return network_id, tally


async def put_group(tx: Transaction, zone_id: int, code: str, name: str) -> tuple[int, Tally]:
    """The group's id."""
    table = member_group
    found = await tx.first(sa.select(table).where(table.c.zone_id == zone_id, table.c.code == code))
    if found is None:
        statement = sa.insert(table).values(zone_id=zone_id, code=code, name=name).returning(table.c.id)
        row = await tx.first(statement)
        assert row is not None
        await _move(tx, zone_id)
        return int(row[0]), Tally(new=1)
    if found.name == name:
        return int(found.id), Tally(unchanged=1)
    await tx.run(sa.update(table).where(table.c.id == found.id).values(name=name))
    await _move(tx, zone_id)
    return int(found.id), Tally(changed=1)


async def put_members(
    tx: Transaction, zone_id: int, records: Sequence[MemberRecord], new_public_id: Callable[[], str]
) -> Tally:
    """Bring members of a zone to what the records say; references must differ; up to some 2,000 a call.

    A removed member who is named again is one again, with the same id.
    """
    found = {row.reference: row for row in await _find_members(tx, zone_id, records)}
    ids = {reference: int(row.id) for reference, row in found.items()}
    fresh = [record for record in records if record.reference not in found]
    altered = [record for record in records if record.reference in found and _differs(found[record.reference], record)]
    ids |= await _insert_members(tx, zone_id, fresh, new_public_id)
    await _update_members(tx, ids, altered)
    touched = {ids[record.reference] for record in altered}
    touched |= await _put_contacts(tx, ids, records)
    touched |= await _put_links(tx, ids, records)
    touched -= {ids[record.reference] for record in fresh}
    if fresh or touched:
        await _move(tx, zone_id)
    return Tally(len(fresh), len(touched), len(records) - len(fresh) - len(touched))


async def remove_members(tx: Transaction, zone_id: int, references: Iterable[str]) -> int:
    """Take members out of the register and close their contacts; returns how many were still in it."""
    wanted = json_rows("references", reference=str)
    removed = await tx.rows(
        sa.update(member)
        .where(
            member.c.zone_id == zone_id,
            member.c.removed_ms.is_(None),
            member.c.reference.in_(sa.select(wanted.c.reference)),
        )
        .values(removed_ms=tx.now_ms)
        .returning(member.c.id),
        {"references": pack((reference,) for reference in references)},
    )
    if removed:
        gone = json_rows("gone", id=int)
        await tx.run(
            sa.update(contact)
            .where(contact.c.until_ms.is_(None), contact.c.member_id.in_(sa.select(gone.c.id)))
            .values(until_ms=tx.now_ms),
            {"gone": pack((row.id,) for row in removed)},
        )
        await _move(tx, zone_id)
    return len(removed)


async def _move(tx: Transaction, zone_id: int) -> None:
    await tx.run(sa.update(zone).where(zone.c.id == zone_id).values(register_rev=zone.c.register_rev + 1))


async def _put_codes(tx: Transaction, network_id: int, codes: frozenset[tuple[str, str]]) -> bool:
    table = network_code
    rows = await tx.rows(sa.select(table.c.system, table.c.value).where(table.c.network_id == network_id))
    known = {(row.system, row.value) for row in rows}
    for system, value in sorted(known - codes):
        key = (table.c.network_id == network_id, table.c.system == system, table.c.value == value)
        await tx.run(sa.delete(table).where(*key))
    for system, value in sorted(codes - known):
        await tx.run(sa.insert(table).values(network_id=network_id, system=system, value=value))
    return known != codes


# ---- members ------------------------------------------------------------------------------------------------

_OWN = ("name", "language", "lon_e7", "lat_e7", "refnis", "postcode", "opt_outs")
_wanted = json_rows("wanted", reference=str)
_by_reference = sa.select(
    member.c.id, member.c.reference, member.c.removed_ms, *(member.c[column] for column in _OWN)
).where(
    # IN, not a join: SQLite would walk the whole zone once for each reference.
    member.c.reference.in_(sa.select(_wanted.c.reference))
)

_fresh = json_rows(
    "fresh",
    public_id=str,
    reference=str,
    called=str,
    language=str,
    lon_e7=int,
    lat_e7=int,
    refnis=int,
    postcode=int,
    opt_outs=str,
)
_insert_fresh = (
    sa.insert(member)
    .from_select(
        ["zone_id", "public_id", "reference", *_OWN],
        sa.select(sa.bindparam("zone", type_=sa.BigInteger), *_fresh.c),
    )
    .returning(member.c.id, member.c.reference)
)

_altered = json_rows(
    "altered",
    id=int,
    called=str,
    language=str,
    lon_e7=int,
    lat_e7=int,
    refnis=int,
    postcode=int,
    opt_outs=str,
)
_update_altered = (
    sa.update(member)
    .where(member.c.id == _altered.c.id)
    .values(removed_ms=None, name=_altered.c.called, **{column: _altered.c[column] for column in _OWN[1:]})
)


async def _find_members(tx: Transaction, zone_id: int, records: Sequence[MemberRecord]) -> list[sa.Row[Any]]:
    return await tx.rows(
        _by_reference.where(member.c.zone_id == zone_id),
        {"wanted": pack((record.reference,) for record in records)},
    )


def _differs(row: sa.Row[Any], record: MemberRecord) -> bool:
    return row.removed_ms is not None or any(getattr(row, name) != getattr(record, name) for name in _OWN)


async def _insert_members(
    tx: Transaction, zone_id: int, fresh: Sequence[MemberRecord], new_public_id: Callable[[], str]
) -> dict[str, int]:
    if not fresh:
        return {}
    rows = ((new_public_id(), r.reference, *(getattr(r, name) for name in _OWN)) for r in fresh)
    made = await tx.rows(_insert_fresh, {"fresh": pack(rows), "zone": zone_id})
    return {row.reference: int(row.id) for row in made}


async def _update_members(tx: Transaction, ids: dict[str, int], altered: Sequence[MemberRecord]) -> None:
    if altered:
        rows = ((ids[r.reference], *(getattr(r, name) for name in _OWN)) for r in altered)
        await tx.run(_update_altered, {"altered": pack(rows)})


# ---- contacts -----------------------------------------------------------------------------------------------

_owners = json_rows("owners", id=int)
_open_contacts = (
    sa.select(contact.c.id, contact.c.member_id, contact.c.type, contact.c.value, contact.c.rank)
    .join(_owners, contact.c.member_id == _owners.c.id)
    .where(contact.c.until_ms.is_(None))
)
_closed = json_rows("closed", id=int)
_close = sa.update(contact).where(contact.c.id.in_(sa.select(_closed.c.id))).values(until_ms=sa.bindparam("now_ms"))
_values = json_rows("addresses", value=str)
_insert_addresses = {
    # WHERE TRUE: without it SQLite reads ON as the beginning of a join.
    sqlite: insert(address).from_select(["value"], sa.select(_values.c.value).where(sa.true())).on_conflict_do_nothing()
    for sqlite, insert in ((True, insert_sqlite), (False, insert_postgresql))
}
_opened = json_rows("opened", member_id=int, type=str, value=str, rank=int)
_open = sa.insert(contact).from_select(
    ["member_id", "address_id", "type", "value", "rank", "from_ms"],
    sa.select(
        _opened.c.member_id,
        address.c.id,
        _opened.c.type,
        _opened.c.value,
        _opened.c.rank,
        sa.bindparam("now_ms", type_=sa.BigInteger),
    ).join(address, address.c.value == _opened.c.value),
)


async def _put_contacts(tx: Transaction, ids: dict[str, int], records: Sequence[MemberRecord]) -> set[int]:
    """Close and open versions; returns the members whose contacts changed."""
    wanted = {
        (ids[record.reference], entry.type, entry.value, rank)
        for record in records
        for rank, entry in enumerate(record.contacts)
    }
    rows = await tx.rows(_open_contacts, {"owners": pack((id_,) for id_ in ids.values())})
    known = {(row.member_id, row.type, row.value, row.rank): row.id for row in rows}
    closed, opened = known.keys() - wanted, wanted - known.keys()
    if closed:
        await tx.run(_close, {"closed": pack((known[key],) for key in closed), "now_ms": tx.now_ms})
    if opened:
        values = sorted({value for _, _, value, _ in opened})
        await tx.run(_insert_addresses[tx.sqlite], {"addresses": pack((value,) for value in values)})
        await tx.run(_open, {"opened": pack(sorted(opened)), "now_ms": tx.now_ms})
    return {key[0] for key in closed | opened}


# ---- networks and groups of members -------------------------------------------------------------------------

_memberships = sa.select(membership).join(_owners, membership.c.member_id == _owners.c.id)
_pairs = json_rows("pairs", set_id=int, member_id=int)
_leave_networks = sa.delete(membership).where(
    sa.tuple_(membership.c.network_id, membership.c.member_id).in_(sa.select(_pairs.c.set_id, _pairs.c.member_id))
)
_joined = json_rows("joined", network_id=int, member_id=int, role=str)
_join_networks = sa.insert(membership).from_select(["network_id", "member_id", "role"], sa.select(*_joined.c))
_group_members = sa.select(group_member).join(_owners, group_member.c.member_id == _owners.c.id)
_leave_groups = sa.delete(group_member).where(
    sa.tuple_(group_member.c.group_id, group_member.c.member_id).in_(sa.select(_pairs.c.set_id, _pairs.c.member_id))
)
_join_groups = sa.insert(group_member).from_select(["group_id", "member_id"], sa.select(*_pairs.c))


async def _put_links(tx: Transaction, ids: dict[str, int], records: Sequence[MemberRecord]) -> set[int]:
    """Join and leave networks and groups; returns the members for whom anything changed."""
    owners = {"owners": pack((id_,) for id_ in ids.values())}
    roles = {(n, ids[r.reference], role) for r in records for n, role in r.networks}
    known_roles = {(row.network_id, row.member_id, row.role) for row in await tx.rows(_memberships, owners)}
    left, joined = known_roles - roles, roles - known_roles
    if left:
        await tx.run(_leave_networks, {"pairs": pack(row[:2] for row in left)})
    if joined:
        await tx.run(_join_networks, {"joined": pack(sorted(joined))})
    pairs = {(group, ids[r.reference]) for r in records for group in r.groups}
    known_pairs = {(row.group_id, row.member_id) for row in await tx.rows(_group_members, owners)}
    if known_pairs - pairs:
        await tx.run(_leave_groups, {"pairs": pack(known_pairs - pairs)})
    if pairs - known_pairs:
        await tx.run(_join_groups, {"pairs": pack(sorted(pairs - known_pairs))})
    return {row[1] for row in left | joined} | {row[1] for row in known_pairs ^ pairs}
