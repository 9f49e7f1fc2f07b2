"""Reading the register: a zone's rows for the snapshot, and look-ups by code or id.

All functions take a connection and only read. A consistent picture of several tables is the connection's matter
(`Database.read`); `read_register` checks it by the zone's revision and raises RegisterMoved otherwise.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from itertools import chain
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.errors import StoreError
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

NOWHERE = -(2**31)
"""Stands for a missing coordinate in rows of integers: no longitude or latitude in 1e-7 degree."""
_CHUNK = 5_000
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


class RegisterRows(msgspec.Struct, frozen=True):
    """One zone's living register as plain rows in any order. What may be a million rows comes as chunks of
    integers, row after row: compact, and quick to make columns of."""

    zone: ZoneRow
    languages: Sequence[str]
    """What the second column of `members` counts into."""
    opt_outs: Sequence[str]
    """What the last column of `members` counts into: the texts of `member.opt_outs`."""
    members: Iterable[Sequence[int]]
    """(id, language, lon_e7, lat_e7, refnis, postcode, opt_outs); NOWHERE and 0 for what is not known."""
    contacts: Iterable[Sequence[int]]
    """(member, id, address, ContactType, rank): open versions only."""
    networks: Sequence[tuple[int, str, str | None]]
    """(id, code, territory)."""
    network_codes: Sequence[tuple[int, str, str]]
    memberships: Iterable[Sequence[int]]
    """(network, member)."""
    groups: Sequence[tuple[int, str]]
    group_members: Iterable[Sequence[int]]
    """(group, member)."""


async def register_rev(conn: AsyncConnection, zone_id: int) -> int | None:
    """The revision of a zone's register; None when there is no such zone."""
    statement = sa.select(zone.c.register_rev).where(zone.c.id == zone_id)
    return (await conn.execute(statement)).scalar_one_or_none()


async def zones(conn: AsyncConnection, codes: Iterable[str] | None = None) -> list[ZoneRow]:
    """All zones, or those with these codes, by code."""
    statement = sa.select(*(zone.c[name] for name in ZoneRow.__struct_fields__)).order_by(zone.c.code)
    if codes is not None:
        statement = statement.where(zone.c.code.in_(list(codes)))
    return [ZoneRow(*row) for row in await conn.execute(statement)]


async def zone_by_id(conn: AsyncConnection, zone_id: int) -> ZoneRow | None:
    statement = sa.select(*(zone.c[name] for name in ZoneRow.__struct_fields__)).where(zone.c.id == zone_id)
    row = (await conn.execute(statement)).first()
    return None if row is None else ZoneRow(*row)


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
    languages: dict[str, int] = {}
    opt_outs: dict[str, int] = {}

    def integers(row: Sequence[Any]) -> tuple[int, ...]:
        language = languages.setdefault(row[1], len(languages))
        return (row[0], language, *row[2:6], opt_outs.setdefault(row[6], len(opt_outs)))

    members = await _chunks(conn, _members(zone_id), integers)
    rows = RegisterRows(
        zone=row,
        languages=tuple(languages),
        opt_outs=tuple(opt_outs),
        members=members,
        contacts=await _chunks(conn, _contacts(zone_id)),
        networks=[(r[0], r[1], r[2]) for r in await conn.execute(_networks(zone_id))],
        network_codes=[(r[0], r[1], r[2]) for r in await conn.execute(_network_codes(zone_id))],
        memberships=await _chunks(conn, _memberships(zone_id)),
        groups=[(r[0], r[1]) for r in await conn.execute(_groups(zone_id))],
        group_members=await _chunks(conn, _group_members(zone_id)),
    )
    if await register_rev(conn, zone_id) != row.register_rev:
        raise RegisterMoved(f"the register of zone {row.code} changed while it was read")
    return rows


async def _chunks(
    conn: AsyncConnection,
    statement: sa.Select[Any],
    integers: Callable[[Sequence[Any]], Iterable[int]] = iter,
) -> list[Sequence[int]]:
    async with conn.stream(statement) as result:
        return [array("q", chain.from_iterable(map(integers, chunk))) async for chunk in result.partitions(_CHUNK)]


def _members(zone_id: int) -> sa.Select[Any]:
    m = member.c
    return sa.select(
        m.id,
        m.language,
        sa.func.coalesce(m.lon_e7, NOWHERE),
        sa.func.coalesce(m.lat_e7, NOWHERE),
        sa.func.coalesce(m.refnis, 0),
        sa.func.coalesce(m.postcode, 0),
        m.opt_outs,
    ).where(m.zone_id == zone_id, m.removed_ms.is_(None))


def _contacts(zone_id: int) -> sa.Select[Any]:
    kinds = {kind.word: int(kind) for kind in ContactType}
    return (
        sa.select(
            contact.c.member_id,
            contact.c.id,
            contact.c.address_id,
            sa.case(kinds, value=contact.c.type),
            contact.c.rank,
        )
        .join(member, member.c.id == contact.c.member_id)
        .where(
            member.c.zone_id == zone_id,
            member.c.removed_ms.is_(None),
            contact.c.until_ms.is_(None),
            contact.c.type.in_(list(kinds)),
        )
    )


def _networks(zone_id: int) -> sa.Select[Any]:
    return sa.select(network.c.id, network.c.code, network.c.territory).where(network.c.zone_id == zone_id)


def _network_codes(zone_id: int) -> sa.Select[Any]:
    columns = (network_code.c.network_id, network_code.c.system, network_code.c.value)
    joined = network_code.join(network, network.c.id == network_code.c.network_id)
    return sa.select(*columns).select_from(joined).where(network.c.zone_id == zone_id)


def _memberships(zone_id: int) -> sa.Select[Any]:
    joined = membership.join(network, network.c.id == membership.c.network_id)
    columns = (membership.c.network_id, membership.c.member_id)
    return sa.select(*columns).select_from(joined).where(network.c.zone_id == zone_id)


def _groups(zone_id: int) -> sa.Select[Any]:
    return sa.select(member_group.c.id, member_group.c.code).where(member_group.c.zone_id == zone_id)


def _group_members(zone_id: int) -> sa.Select[Any]:
    joined = group_member.join(member_group, member_group.c.id == group_member.c.group_id)
    columns = (group_member.c.group_id, group_member.c.member_id)
    return sa.select(*columns).select_from(joined).where(member_group.c.zone_id == zone_id)
