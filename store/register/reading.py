"""Reading the register: a zone's rows for the snapshot, and look-ups by code or id.

All functions take a connection and only read. A consistent picture of several tables is the connection's matter
(`Database.read`); `read_register` checks it by the zone's revision and raises RegisterMoved otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import rows_of
from store.errors import StoreError
from store.register.opt_outs import of_addresses, of_members, of_memberships
from store.tables import (
    address,
    contact,
    group_member,
    member,
    member_group,
    membership,
    network,
    network_code,
    opt_out,
    zone,
)

NOWHERE = -(2**31)
"""Stands for a missing coordinate in rows of integers: no longitude or latitude in 1e-7 degree."""
_MOST_PARAMETERS = 5_000


class ContactType(IntEnum):
    """`contact.type` in rows of integers."""

    MOBILE = 0
    LANDLINE = 1
    EMAIL = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class RegisterMoved(StoreError):
    """The register changed while it was read on a connection without a consistent snapshot: read again."""


class ZoneRow(msgspec.Struct, frozen=True):
    id: int
    code: str
    name: str
    convention: int
    policy: str
    register_rev: int
    places_rev: int = 0
    """The revision at which the zone itself, a network or a group of it last changed."""


class ZoneLand(msgspec.Struct, frozen=True):
    id: int
    code: str
    territory: str
    """JSON, gateway/directory/territory.py; empty: nobody has said where it lies."""


class NetworkRow(msgspec.Struct, frozen=True):
    id: int
    zone_id: int
    code: str
    name: str


class GroupRow(msgspec.Struct, frozen=True):
    id: int
    zone_id: int
    code: str
    name: str


class Addressee(msgspec.Struct, frozen=True):
    """What a delivery needs of a contact version; also after that version was closed."""

    contact_id: int
    member_id: int
    address: str
    name: str


class MemberRows(msgspec.Struct, frozen=True):
    """Living members of one zone with what belongs to them. What may be a million rows is one text of integers, row
    after row with a comma between two, in any order: the engine makes it, and no object is made for any of them."""

    languages: Sequence[str]
    """What the second column of `members` counts into."""
    members: str
    """(id, language, lon_e7, lat_e7, refnis, postcode); NOWHERE and 0 for what is not known."""
    contacts: str
    """(member, id, address, ContactType, rank): open versions only."""
    memberships: str
    """(network, member)."""
    group_members: str
    """(group, member)."""
    wishes: Sequence[tuple[str, str]] = ()
    """(kind, channel) of opt-outs in force: what the last column of each of these counts into."""
    member_opt_outs: str = ""
    """(member, wish)."""
    network_opt_outs: str = ""
    """(network, member, wish): of what reaches the member through the network."""
    address_opt_outs: str = ""
    """(address, wish): of addresses in `contacts`, and maybe of others."""


class PlaceRows(msgspec.Struct, frozen=True):
    """The networks and groups of one zone."""

    networks: Sequence[tuple[int, str, str | None]]
    """(id, code, territory)."""
    network_codes: Sequence[tuple[int, str, str]]
    groups: Sequence[tuple[int, str]]


class RegisterRows(msgspec.Struct, frozen=True):
    """One zone's living register at one revision."""

    zone: ZoneRow
    members: MemberRows
    places: PlaceRows


class RegisterChanges(msgspec.Struct, frozen=True):
    """What has become of a zone's register since an earlier revision."""

    zone: ZoneRow
    changed: str
    """Ids, as a text: members who joined, left or have anything changed about them."""
    members: MemberRows
    """Those of them who are in the register now."""
    places: PlaceRows | None
    """None: no network and no group has changed."""


_register_rev = Prepared(sa.select(zone.c.register_rev).where(zone.c.id == sa.bindparam("zone")))
_zones = sa.select(*(zone.c[name] for name in ZoneRow.__struct_fields__)).order_by(zone.c.code)
_all_zones = Prepared(_zones)
_codes = json_rows("codes", code=str)
_zones_by_code = Prepared(_zones.where(zone.c.code.in_(sa.select(_codes.c.code))))
_zone_by_id = Prepared(_zones.where(zone.c.id == sa.bindparam("zone")))


async def register_rev(conn: AsyncConnection, zone_id: int) -> int | None:
    """The revision of a zone's register; None when there is no such zone."""
    rows = await rows_of(conn, _register_rev, {"zone": zone_id})
    return int(rows[0].register_rev) if rows else None


async def zones(conn: AsyncConnection, codes: Iterable[str] | None = None) -> list[ZoneRow]:
    """All zones, or those with these codes, by code."""
    if codes is None:
        rows = await rows_of(conn, _all_zones)
    else:
        rows = await rows_of(conn, _zones_by_code, {"codes": pack((code,) for code in codes)})
    return [ZoneRow(*row) for row in rows]


async def zone_by_id(conn: AsyncConnection, zone_id: int) -> ZoneRow | None:
    rows = await rows_of(conn, _zone_by_id, {"zone": zone_id})
    row = rows[0] if rows else None
    return None if row is None else ZoneRow(*row)


async def territories(conn: AsyncConnection) -> list[ZoneLand]:
    """The territories of all zones, by code."""
    statement = sa.select(zone.c.id, zone.c.code, zone.c.territory).order_by(zone.c.code)
    return [ZoneLand(*row) for row in await conn.execute(statement)]


async def networks(
    conn: AsyncConnection, zone_ids: Iterable[int], codes: Iterable[str] | None = None
) -> list[NetworkRow]:
    """Networks of some zones, all or those with these codes; the same code may exist in two zones."""
    statement = sa.select(network.c.id, network.c.zone_id, network.c.code, network.c.name)
    statement = statement.where(network.c.zone_id.in_(list(zone_ids))).order_by(network.c.zone_id, network.c.code)
    if codes is not None:
        statement = statement.where(network.c.code.in_(list(codes)))
    return [NetworkRow(*row) for row in await conn.execute(statement)]


async def groups(conn: AsyncConnection, zone_ids: Iterable[int], codes: Iterable[str] | None = None) -> list[GroupRow]:
    """Groups of some zones, all or those with these codes."""
    table = member_group
    statement = sa.select(table.c.id, table.c.zone_id, table.c.code, table.c.name)
    statement = statement.where(table.c.zone_id.in_(list(zone_ids))).order_by(table.c.zone_id, table.c.code)
    if codes is not None:
        statement = statement.where(table.c.code.in_(list(codes)))
    return [GroupRow(*row) for row in await conn.execute(statement)]


async def addressees(conn: AsyncConnection, contact_ids: Sequence[int]) -> dict[int, Addressee]:
    """The address and the name behind contact versions, by contact id; any number of ids."""
    columns = (contact.c.id, contact.c.member_id, address.c.value, member.c.name)
    joined = contact.join(address, address.c.id == contact.c.address_id)
    joined = joined.join(member, member.c.id == contact.c.member_id)
    found: dict[int, Addressee] = {}
    for start in range(0, len(contact_ids), _MOST_PARAMETERS):
        some = list(contact_ids[start : start + _MOST_PARAMETERS])
        rows = await conn.execute(sa.select(*columns).select_from(joined).where(contact.c.id.in_(some)))
        found |= {row[0]: Addressee(*row) for row in rows}
    return found


async def member_count(conn: AsyncConnection, zone_id: int) -> int:
    """Living members of a zone."""
    statement = sa.select(sa.func.count()).select_from(member)
    statement = statement.where(member.c.zone_id == zone_id, member.c.removed_ms.is_(None))
    return int((await conn.execute(statement)).scalar_one())


async def read_register(conn: AsyncConnection, zone_id: int) -> RegisterRows | None:
    """All that a snapshot of the zone needs; None when there is no such zone. Raises RegisterMoved."""
    row = await zone_by_id(conn, zone_id)
    if row is None:
        return None
    here = member.c.zone_id == zone_id
    members = await _member_rows(conn, here, _opt_outs(zone_id, here, _of_any_address(zone_id)))
    rows = RegisterRows(row, members, await _places(conn, zone_id))
    await _require_unmoved(conn, row)
    return rows


async def read_changes(conn: AsyncConnection, zone_id: int, since_rev: int) -> RegisterChanges | None:
    """All that brings a snapshot of revision `since_rev` up to date; None when there is no such zone. In proportion
    to what has changed, not to the zone. Raises RegisterMoved."""
    row = await zone_by_id(conn, zone_id)
    if row is None:
        return None
    changed = sa.and_(member.c.zone_id == zone_id, member.c.changed_rev > since_rev)
    places = await _places(conn, zone_id) if row.places_rev > since_rev else None
    opt_outs = _opt_outs(zone_id, changed, _of_their_addresses(zone_id, changed))
    changes = RegisterChanges(
        row,
        await _text(conn, sa.select(member.c.id).where(changed)),
        await _member_rows(conn, changed, opt_outs),
        places,
    )
    await _require_unmoved(conn, row)
    return changes


async def _require_unmoved(conn: AsyncConnection, row: ZoneRow) -> None:
    if await register_rev(conn, row.id) != row.register_rev:
        raise RegisterMoved(f"the register of zone {row.code} changed while it was read")


async def _member_rows(conn: AsyncConnection, which: sa.ColumnElement[bool], opt_outs: "_OptOuts") -> MemberRows:
    """`which`: a condition on `member`; `opt_outs`: those of the same members."""
    living = sa.and_(which, member.c.removed_ms.is_(None))
    languages = await _words(conn, member.c.language, living)
    wishes = await _wishes(conn, opt_outs)

    async def said(statement: Any) -> str:
        return await _text(conn, _numbered(statement, wishes)) if wishes else ""

    return MemberRows(
        languages=tuple(languages),
        members=await _text(conn, _members(living, languages)),
        contacts=await _text(conn, _contacts(living)),
        memberships=await _text(conn, _linked(membership, membership.c.network_id, living)),
        group_members=await _text(conn, _linked(group_member, group_member.c.group_id, living)),
        wishes=tuple(wishes),
        member_opt_outs=await said(opt_outs.members),
        network_opt_outs=await said(opt_outs.memberships),
        address_opt_outs=await said(opt_outs.addresses),
    )


async def _places(conn: AsyncConnection, zone_id: int) -> PlaceRows:
    return PlaceRows(
        networks=[(r[0], r[1], r[2]) for r in await conn.execute(_networks(zone_id))],
        network_codes=[(r[0], r[1], r[2]) for r in await conn.execute(_network_codes(zone_id))],
        groups=[(r[0], r[1]) for r in await conn.execute(_groups(zone_id))],
    )


async def _words(conn: AsyncConnection, column: sa.Column[str], which: sa.ColumnElement[bool]) -> dict[str, int]:
    """The few words that a column holds, numbered."""
    rows = await conn.execute(sa.select(column).where(which).distinct())
    return {word: number for number, word in enumerate(sorted(row[0] for row in rows))}


async def _text(conn: AsyncConnection, statement: sa.Select[Any]) -> str:
    """The rows of a statement of integers as one text, made by the engine: a million rows as objects would stand in
    the event loop for seconds."""
    rows = statement.subquery()
    first, *others = (sa.cast(column, sa.Text) for column in rows.c)
    line: sa.ColumnElement[str] = first
    for part in others:
        line = line.concat(",").concat(part)
    return (await conn.execute(sa.select(sa.func.aggregate_strings(line, ",")))).scalar_one() or ""


def _members(which: sa.ColumnElement[bool], languages: Mapping[str, int]) -> sa.Select[Any]:
    m = member.c
    return sa.select(
        m.id,
        _number(languages, m.language).label("language"),
        sa.func.coalesce(m.lon_e7, NOWHERE).label("lon_e7"),
        sa.func.coalesce(m.lat_e7, NOWHERE).label("lat_e7"),
        sa.func.coalesce(m.refnis, 0).label("refnis"),
        sa.func.coalesce(m.postcode, 0).label("postcode"),
    ).where(which)


def _number(numbers: Mapping[str, int], column: sa.Column[str]) -> sa.ColumnElement[int]:
    return sa.case(dict(numbers), value=column) if numbers else sa.literal(0)


def _contacts(which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    kinds = {kind.word: int(kind) for kind in ContactType}
    return (
        sa.select(
            contact.c.member_id,
            contact.c.id,
            contact.c.address_id,
            _number(kinds, contact.c.type).label("type"),
            contact.c.rank,
        )
        .join(member, member.c.id == contact.c.member_id)
        .where(which, contact.c.until_ms.is_(None), contact.c.type.in_(list(kinds)))
    )


def _linked(table: sa.Table, set_id: sa.Column[int], which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The sets (networks, groups) of members."""
    return (
        sa.select(set_id.label("set_id"), table.c.member_id).join(member, member.c.id == table.c.member_id).where(which)
    )


class _OptOuts(msgspec.Struct, frozen=True):
    """Statements for the opt-outs in force of some members: whose each is, its kind and its channel."""

    members: Any
    memberships: Any
    addresses: Any


def _opt_outs(zone_id: int, which: sa.ColumnElement[bool], addresses: sa.Select[Any]) -> _OptOuts:
    def theirs(in_force: sa.ColumnElement[bool], *whose: sa.Column[int]) -> sa.Select[Any]:
        columns: list[Any] = [*whose, opt_out.c.kind, opt_out.c.channel]
        joined = sa.select(*columns).join(member, member.c.id == opt_out.c.member_id)
        return joined.where(in_force, opt_out.c.zone_id == zone_id, which)

    members = theirs(of_members, opt_out.c.member_id)
    memberships = theirs(of_memberships, opt_out.c.network_id, opt_out.c.member_id)
    return _OptOuts(members, memberships, addresses)


def _of_any_address(zone_id: int) -> sa.Select[Any]:
    statement = sa.select(opt_out.c.address_id, opt_out.c.kind, opt_out.c.channel)
    return statement.where(of_addresses, opt_out.c.zone_id == zone_id)


def _of_their_addresses(zone_id: int, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    theirs = sa.select(contact.c.address_id).join(member, member.c.id == contact.c.member_id)
    theirs = theirs.where(which, contact.c.until_ms.is_(None))
    return _of_any_address(zone_id).where(opt_out.c.address_id.in_(theirs))


async def _wishes(conn: AsyncConnection, found: _OptOuts) -> dict[tuple[str, str], int]:
    """The few pairs of kind and channel in them, numbered."""
    parts = (part.subquery().c for part in (found.members, found.memberships, found.addresses))
    rows = await conn.execute(sa.union(*(sa.select(part.kind, part.channel) for part in parts)))
    return {pair: number for number, pair in enumerate(sorted((row[0], row[1]) for row in rows))}


def _numbered(statement: sa.Select[Any], wishes: Mapping[tuple[str, str], int]) -> sa.Select[Any]:
    """With the number of the wish instead of its words."""
    *whose, kind, channel = statement.selected_columns
    words = {f"{kind} {channel}": number for (kind, channel), number in wishes.items()}
    number = sa.case(words, value=kind.concat(" ").concat(channel))
    return statement.with_only_columns(*whose, number.label("wish"))


def _networks(zone_id: int) -> sa.Select[Any]:
    return sa.select(network.c.id, network.c.code, network.c.territory).where(network.c.zone_id == zone_id)


def _network_codes(zone_id: int) -> sa.Select[Any]:
    columns = (network_code.c.network_id, network_code.c.system, network_code.c.value)
    joined = network_code.join(network, network.c.id == network_code.c.network_id)
    return sa.select(*columns).select_from(joined).where(network.c.zone_id == zone_id)


def _groups(zone_id: int) -> sa.Select[Any]:
    return sa.select(member_group.c.id, member_group.c.code).where(member_group.c.zone_id == zone_id)
