"""Writing the register: zones, networks, groups and members, each by its own code, so that a repeat changes nothing.

Idempotent: what is already so is left alone and does not move `zone.register_rev`; whatever changes moves it, in
the same transaction. Contacts are immutable versions: a change closes one row and opens another, so a frozen
audience always finds the address that it was made with.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import astuple

from store import audit
from store.audit_line import SERVER, Actor, changes
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.register.belongings import Belongings, belongings, put_contacts, put_links
from store.register.opt_outs import put_wishes, wishes
from store.register.revisions import mark, move
from store.tables import (
    contact,
    erasure,
    member,
    member_group,
    network,
    network_code,
    zone,
)


class ZoneRecord(msgspec.Struct, frozen=True):
    code: str
    name: str
    convention: int
    policy: str
    """JSON."""
    territory: str = ""
    """JSON, gateway/directory/territory.py; empty: where it lies is not known."""


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
    """Kinds that the zone's register says this person does not want, a blank between two. What people said themselves
    (by a click, by STOP) is not among them, and no record takes it back."""
    contacts: tuple[ContactRecord, ...] = ()
    """In the member's own order."""
    networks: frozenset[tuple[int, str]] = frozenset()
    """(network id, role)."""
    groups: frozenset[int] = frozenset()


class RegisterTally(msgspec.Struct, frozen=True):
    """How many records were new, changed, unchanged or left out."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    erased: int = 0
    """Left out: they were erased, or are to be, and no record brings them back."""

    def __add__(self, other: "RegisterTally") -> "RegisterTally":
        return RegisterTally(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


async def put_zone(tx: Transaction, record: ZoneRecord, by: Actor = SERVER) -> tuple[int, RegisterTally]:
    """The zone's id. A changed policy or convention moves the revision as well."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    found = await tx.first(sa.select(zone).where(zone.c.code == record.code))
    if found is None:
        row = await tx.first(sa.insert(zone).values(values).returning(zone.c.id))
        assert row is not None
        await _note(tx, "zone", f"zone {row[0]}", int(row[0]), by, None, values)
        return int(row[0]), RegisterTally(new=1)
    if all(getattr(found, name) == value for name, value in values.items()):
        return int(found.id), RegisterTally(unchanged=1)
    await tx.run(sa.update(zone).where(zone.c.id == found.id).values(values))
    await _note(tx, "zone", f"zone {found.id}", int(found.id), by, found._mapping, values)
    await _move_places(tx, found.id)
    return int(found.id), RegisterTally(changed=1)


async def put_network(
    tx: Transaction, zone_id: int, record: NetworkRecord, by: Actor = SERVER
) -> tuple[int, RegisterTally]:
    """The network's id; its codes become exactly those of the record."""
    values = {"name": record.name, "territory": record.territory}
    key = sa.and_(network.c.zone_id == zone_id, network.c.code == record.code)
    found = await tx.first(sa.select(network).where(key))
    if found is None:
        statement = sa.insert(network).values(zone_id=zone_id, code=record.code, **values)
        row = await tx.first(statement.returning(network.c.id))
        assert row is not None
        network_id, tally = int(row[0]), RegisterTally(new=1)
    else:
        network_id, tally = int(found.id), RegisterTally(unchanged=1)
        if (found.name, found.territory) != (record.name, record.territory):
            await tx.run(sa.update(network).where(key).values(values))
            tally = RegisterTally(changed=1)
    if await _put_codes(tx, network_id, record.codes) and tally.unchanged:
        tally = RegisterTally(changed=1)
    if not tally.unchanged:
        await _move_places(tx, zone_id)
        before = None if found is None else found._mapping
        await _note(tx, "network", f"network {record.code}", zone_id, by, before, values)
    return network_id, tally


async def put_group(
    tx: Transaction, zone_id: int, code: str, name: str, by: Actor = SERVER
) -> tuple[int, RegisterTally]:
    """The group's id."""
    table = member_group
    found = await tx.first(sa.select(table).where(table.c.zone_id == zone_id, table.c.code == code))
    if found is None:
        statement = sa.insert(table).values(zone_id=zone_id, code=code, name=name).returning(table.c.id)
        row = await tx.first(statement)
        assert row is not None
        await _move_places(tx, zone_id)
        await _note(tx, "group", f"group {code}", zone_id, by, None, {"name": name})
        return int(row[0]), RegisterTally(new=1)
    if found.name == name:
        return int(found.id), RegisterTally(unchanged=1)
    await tx.run(sa.update(table).where(table.c.id == found.id).values(name=name))
    await _move_places(tx, zone_id)
    await _note(tx, "group", f"group {code}", zone_id, by, found._mapping, {"name": name})
    return int(found.id), RegisterTally(changed=1)


async def put_members(
    tx: Transaction, zone_id: int, records: Sequence[MemberRecord], new_public_id: Callable[[], str]
) -> RegisterTally:
    """Bring members of a zone to what the records say; references must differ; up to some 2,000 a call.

    A removed member who is named again is one again, with the same id; one who was erased is left out.
    """
    named, records = len(records), await _without_erased(tx, zone_id, records)
    found = {row.reference: row for row in await _find_members(tx, zone_id, records)}
    ids = {reference: int(row.id) for reference, row in found.items()}
    fresh = [record for record in records if record.reference not in found]
    known = [record for record in records if record.reference in found]
    altered = [record for record in known if _differs(found[record.reference], record)]
    has, wanted = await belongings(tx, ids), _belongings_of(ids, known)
    wished, wish = await wishes(tx, zone_id, ids.values()), _wishes_of(ids, known)
    touched = {ids[record.reference] for record in altered} | has.owners_of_difference(wanted)
    touched |= {member_id for member_id, _ in wished ^ wish}
    if fresh or touched:
        revision = await move(tx, zone_id)
        new_ids = await _insert_members(tx, zone_id, revision, fresh, new_public_id)
        await _update_members(tx, ids, altered)
        await mark(tx, revision, touched)
        wanted.add(_belongings_of(new_ids, fresh))
        await put_contacts(tx, has, wanted)
        await put_links(tx, has, wanted)
        await put_wishes(tx, zone_id, wished, wish | _wishes_of(new_ids, fresh))
    unchanged = len(records) - len(fresh) - len(touched)
    return RegisterTally(len(fresh), len(touched), unchanged, named - len(records))


def tombstone(zone_id: int, reference: str) -> str:
    """By what an erased person's reference is known again, and by nobody read."""
    return hashlib.sha256(f"tocsin erasure:{zone_id}:{reference}".encode()).hexdigest()


async def _without_erased(tx: Transaction, zone_id: int, records: Sequence[MemberRecord]) -> Sequence[MemberRecord]:
    marks = await tx.rows(sa.select(erasure.c.reference_sha256).where(erasure.c.zone_id == zone_id))
    if not marks:
        return records
    erased = {row.reference_sha256 for row in marks}
    return [record for record in records if tombstone(zone_id, record.reference) not in erased]


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
        await mark(tx, await move(tx, zone_id), {row.id for row in removed})
    return len(removed)


async def _note(
    tx: Transaction,
    kind: str,
    subject: str,
    zone_id: int,
    by: Actor,
    before: Mapping[Any, Any] | None,
    after: Mapping[str, Any],
) -> None:
    """A line of the audit. What only the codes of a network change stands in no field of it."""
    apart = changes(before, after)
    await audit.note(tx, f"{kind}-load", subject, by, zone_id=zone_id, detail={"new": before is None}, apart=apart)


async def _move_places(tx: Transaction, zone_id: int) -> None:
    revision = await move(tx, zone_id)
    await tx.run(sa.update(zone).where(zone.c.id == zone_id).values(places_rev=revision))


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

_OWN = ("name", "language", "lon_e7", "lat_e7", "refnis", "postcode")
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
)
_insert_fresh = Prepared(
    sa.insert(member)
    .from_select(
        ["zone_id", "changed_rev", "public_id", "reference", *_OWN],
        sa.select(sa.bindparam("zone", type_=sa.BigInteger), sa.bindparam("revision", type_=sa.BigInteger), *_fresh.c),
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
)
_update_altered = Prepared(
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
    tx: Transaction, zone_id: int, revision: int, fresh: Sequence[MemberRecord], new_public_id: Callable[[], str]
) -> dict[str, int]:
    if not fresh:
        return {}
    rows = ((new_public_id(), r.reference, *(getattr(r, name) for name in _OWN)) for r in fresh)
    made = await tx.rows(_insert_fresh, {"fresh": pack(rows), "zone": zone_id, "revision": revision})
    return {row.reference: int(row.id) for row in made}


async def _update_members(tx: Transaction, ids: dict[str, int], altered: Sequence[MemberRecord]) -> None:
    if altered:
        rows = ((ids[r.reference], *(getattr(r, name) for name in _OWN)) for r in altered)
        await tx.run(_update_altered, {"altered": pack(rows)})


def _belongings_of(ids: dict[str, int], records: Sequence[MemberRecord]) -> Belongings:
    contacts = {
        (ids[record.reference], entry.type, entry.value, rank): 0
        for record in records
        for rank, entry in enumerate(record.contacts)
    }
    roles = {(network_id, ids[r.reference], role) for r in records for network_id, role in r.networks}
    return Belongings(contacts, roles, {(group_id, ids[r.reference]) for r in records for group_id in r.groups})


def _wishes_of(ids: dict[str, int], records: Sequence[MemberRecord]) -> set[tuple[int, str]]:
    return {(ids[record.reference], kind) for record in records for kind in record.opt_outs.split()}
