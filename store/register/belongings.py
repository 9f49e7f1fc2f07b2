"""What belongs to members: their contacts, networks and groups, as they are and as they shall be.

Contacts are immutable versions: a change closes one row and opens another. Knows no zone and no revision.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import address, contact, group_member, membership


class Belongings(msgspec.Struct):
    """Of some members, as they are or as they shall be."""

    contacts: dict[tuple[int, str, str, int], int]
    """(member, type, value, rank) -> id of the open version; 0 where there is none yet."""
    roles: set[tuple[int, int, str]]
    """(network, member, role)."""
    groups: set[tuple[int, int]]
    """(group, member)."""

    def add(self, others: "Belongings") -> None:
        self.contacts |= others.contacts
        self.roles |= others.roles
        self.groups |= others.groups

    def owners_of_difference(self, wanted: "Belongings") -> set[int]:
        """The members for whom anything changes."""
        contacts = {key[0] for key in self.contacts.keys() ^ wanted.contacts.keys()}
        return (
            contacts | {row[1] for row in self.roles ^ wanted.roles} | {row[1] for row in self.groups ^ wanted.groups}
        )


_owners = json_rows("owners", id=int)
_open_contacts = Prepared(
    sa.select(contact.c.id, contact.c.member_id, contact.c.type, contact.c.value, contact.c.rank)
    .join(_owners, contact.c.member_id == _owners.c.id)
    .where(contact.c.until_ms.is_(None))
)
_memberships = Prepared(sa.select(membership).join(_owners, membership.c.member_id == _owners.c.id))
_group_members = Prepared(sa.select(group_member).join(_owners, group_member.c.member_id == _owners.c.id))


async def belongings(tx: Transaction, ids: dict[str, int]) -> Belongings:
    if not ids:
        return Belongings({}, set(), set())
    owners = {"owners": pack((id_,) for id_ in ids.values())}
    contacts = await tx.rows(_open_contacts, owners)
    return Belongings(
        {(row.member_id, row.type, row.value, row.rank): row.id for row in contacts},
        {(row.network_id, row.member_id, row.role) for row in await tx.rows(_memberships, owners)},
        {(row.group_id, row.member_id) for row in await tx.rows(_group_members, owners)},
    )


_closed = json_rows("closed", id=int)
_close = Prepared(
    sa.update(contact).where(contact.c.id.in_(sa.select(_closed.c.id))).values(until_ms=sa.bindparam("now_ms"))
)
_values = json_rows("addresses", value=str)
_insert_addresses = {
    # WHERE TRUE: without it SQLite reads ON as the beginning of a join.
    sqlite: insert(address).from_select(["value"], sa.select(_values.c.value).where(sa.true())).on_conflict_do_nothing()
    for sqlite, insert in ((True, insert_sqlite), (False, insert_postgresql))
}
_opened = json_rows("opened", member_id=int, type=str, value=str, rank=int)
_open = Prepared(
    sa.insert(contact).from_select(
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
)


async def put_contacts(tx: Transaction, has: Belongings, wanted: Belongings) -> None:
    """Close versions and open others."""
    closed = [has.contacts[key] for key in has.contacts.keys() - wanted.contacts.keys()]
    opened = wanted.contacts.keys() - has.contacts.keys()
    if closed:
        await tx.run(_close, {"closed": pack((id_,) for id_ in closed), "now_ms": tx.now_ms})
    if opened:
        values = sorted({value for _, _, value, _ in opened})
        await tx.run(_insert_addresses[tx.sqlite], {"addresses": pack((value,) for value in values)})
        await tx.run(_open, {"opened": pack(sorted(opened)), "now_ms": tx.now_ms})


_pairs = json_rows("pairs", set_id=int, member_id=int)
_leave_networks = Prepared(
    sa.delete(membership).where(
        sa.tuple_(membership.c.network_id, membership.c.member_id).in_(sa.select(_pairs.c.set_id, _pairs.c.member_id))
    )
)
_joined = json_rows("joined", network_id=int, member_id=int, role=str)
_join_networks = Prepared(sa.insert(membership).from_select(["network_id", "member_id", "role"], sa.select(*_joined.c)))
_leave_groups = Prepared(
    sa.delete(group_member).where(
        sa.tuple_(group_member.c.group_id, group_member.c.member_id).in_(sa.select(_pairs.c.set_id, _pairs.c.member_id))
    )
)
_join_groups = Prepared(sa.insert(group_member).from_select(["group_id", "member_id"], sa.select(*_pairs.c)))


async def put_links(tx: Transaction, has: Belongings, wanted: Belongings) -> None:
    """Leave networks and groups and join others."""
    left, joined = has.roles - wanted.roles, wanted.roles - has.roles
    if left:
        await tx.run(_leave_networks, {"pairs": pack(row[:2] for row in left)})
    if joined:
        await tx.run(_join_networks, {"joined": pack(sorted(joined))})
    if has.groups - wanted.groups:
        await tx.run(_leave_groups, {"pairs": pack(has.groups - wanted.groups)})
    if wanted.groups - has.groups:
        await tx.run(_join_groups, {"pairs": pack(sorted(wanted.groups - has.groups))})
