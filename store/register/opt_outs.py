"""Opt-outs: who does not want which kind of message, on which channel, as who says so.

Rows are immutable facts: saying it opens one, taking it back ends it. What is in force already is left alone and
moves nothing; whatever changes moves `zone.register_rev`, and marks the members whom it concerns. Which kinds an
opt-out counts for is not known here: against an urgent alert none does (gateway/kinds.py).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from store import audit
from store.audit_line import SERVER, Actor
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.errors import StoreError
from store.register.revisions import mark, move
from store.tables import contact, member, network, opt_out

EVERY = "*"
REGISTER = "seed"
"""The source of what the zone's register says; only a load of it takes it back by itself."""


class OptOut(msgspec.Struct, frozen=True):
    """What is not wanted, by one of: a member; a member, of what reaches them through one network; an address."""

    kind: str
    """EVERY: all that an opt-out can count for."""
    channel: str = EVERY
    member_id: int | None = None
    address_id: int | None = None
    network_id: int | None = None


# An index of those in force serves a statement only if the statement says what the index is of; and SQLite goes
# through a whole zone if that is said of the column that it should search by ("is not null" is a range to it).
_open = opt_out.c.until_ms.is_(None)
of_members = sa.and_(_open, opt_out.c.address_id.is_(None), opt_out.c.network_id.is_(None))
of_memberships = sa.and_(_open, opt_out.c.network_id.is_not(None))
of_addresses = sa.and_(_open, opt_out.c.member_id.is_(None))

_SUBJECTS = {("member_id",): of_members, ("member_id", "network_id"): of_memberships, ("address_id",): of_addresses}
_named = json_rows("named", member_id=int, address_id=int, network_id=int, kind=str, channel=str)


async def add_opt_outs(
    tx: Transaction, zone_id: int, opt_outs: Iterable[OptOut], source: str, by: Actor = SERVER
) -> int:
    """Put opt-outs in force, up to some 2,000 a call; returns how many were not in force from this source before.

    Raises StoreError when a member or a network is not of this zone, or none or two of those are named who may say so.
    """
    named = _checked(opt_outs)
    await _require_of_zone(tx, zone_id, named)
    values = {"zone": zone_id, "source": source, "now_ms": tx.now_ms}
    absent = {
        columns: missing
        for columns, some in _by_subject(named).items()
        if (missing := await tx.rows(_absent[columns], values | {"named": _packed(some)}))
    }
    if not absent:
        return 0
    revision = await move(tx, zone_id)
    made: list[AnyRow] = []
    for columns, missing in absent.items():
        made += await tx.rows(_insert[columns, tx.sqlite], values | {"named": pack(missing)})
    await _tell(tx, zone_id, revision, made, "opt-out", by)
    return len(made)


async def end_opt_outs(
    tx: Transaction,
    zone_id: int,
    opt_outs: Iterable[OptOut],
    source: str | None = None,
    by: Actor = SERVER,
) -> int:
    """Take opt-outs back, up to some 2,000 a call; returns how many were in force.

    EVERY, as kind or as channel, takes back each one that there is; a row of EVERY kind is no row of one kind.
    `source`: of those only what this source said; None: whoever said it. Raises StoreError as `add_opt_outs` does.
    """
    found: list[int] = []
    for columns, some in _by_subject(_checked(opt_outs)).items():
        in_force = await tx.rows(_in_force[columns], {"zone": zone_id, "named": _packed(some)})
        found += _meant(in_force, some, source)
    if not found:
        return 0
    revision = await move(tx, zone_id)
    ended = await tx.rows(_end, {"ended": pack((id_,) for id_ in sorted(found)), "now_ms": tx.now_ms})
    await _tell(tx, zone_id, revision, ended, "opt-in", by)
    return len(ended)


async def wishes(tx: Transaction, zone_id: int, member_ids: Iterable[int]) -> set[tuple[int, str]]:
    """(member, kind) of what the register says of these members."""
    owners = [(id_,) for id_ in member_ids]
    if not owners:
        return set()
    rows = await tx.rows(_wishes, {"zone": zone_id, "owners": pack(owners)})
    return {(row.member_id, row.kind) for row in rows}


async def put_wishes(tx: Transaction, zone_id: int, has: set[tuple[int, str]], wanted: set[tuple[int, str]]) -> None:
    """Bring what the register says of some members from `has` to `wanted`; revision and marks are the caller's."""
    values = {"zone": zone_id, "source": REGISTER, "now_ms": tx.now_ms}
    if wanted - has:
        rows = (OptOut(kind, member_id=member_id) for member_id, kind in sorted(wanted - has))
        await tx.rows(_insert[("member_id",), tx.sqlite], values | {"named": _packed(rows)})
    if has - wanted:
        await tx.run(_end_wishes, {"zone": zone_id, "taken": pack(sorted(has - wanted)), "now_ms": tx.now_ms})


# ---- what is named ------------------------------------------------------------------------------------------


def _checked(opt_outs: Iterable[OptOut]) -> list[OptOut]:
    named = list(dict.fromkeys(opt_outs))
    for one in named:
        if (one.member_id is None) == (one.address_id is None) or None not in (one.address_id, one.network_id):
            raise StoreError(f"an opt-out is a member's, a member's in a network, or an address's: {one}")
    return named


def _by_subject(named: Sequence[OptOut]) -> dict[tuple[str, ...], list[OptOut]]:
    """By the columns that say whose it is."""
    parts: dict[tuple[str, ...], list[OptOut]] = {}
    for one in named:
        owner = "member_id" if one.address_id is None else "address_id"
        parts.setdefault((owner,) if one.network_id is None else (owner, "network_id"), []).append(one)
    return parts


def _meant(in_force: Sequence[AnyRow], named: Sequence[OptOut], source: str | None) -> list[int]:
    """The ids of the rows that those named take back."""
    ends: dict[tuple[int | None, ...], list[OptOut]] = {}
    for one in named:
        ends.setdefault((one.member_id, one.address_id, one.network_id), []).append(one)
    return [
        row.id
        for row in in_force
        if source in (None, row.source)
        and any(
            one.kind in (EVERY, row.kind) and one.channel in (EVERY, row.channel)
            for one in ends.get((row.member_id, row.address_id, row.network_id), ())
        )
    ]


def _packed(opt_outs: Iterable[OptOut]) -> str:
    return pack((o.member_id, o.address_id, o.network_id, o.kind, o.channel) for o in opt_outs)


def _elsewhere(table: sa.Table, named: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    here = sa.select(table.c.id).where(table.c.id == named, table.c.zone_id == sa.bindparam("zone"))
    return sa.and_(named.is_not(None), ~sa.exists(here.correlate(_named)))


_strange = Prepared(
    sa.select(_named).where(sa.or_(_elsewhere(member, _named.c.member_id), _elsewhere(network, _named.c.network_id)))
)


async def _require_of_zone(tx: Transaction, zone_id: int, named: Sequence[OptOut]) -> None:
    row = await tx.first(_strange, {"zone": zone_id, "named": _packed(named)})
    if row is not None:
        raise StoreError(f"no member or network of zone {zone_id}: {row}")


# ---- statements ---------------------------------------------------------------------------------------------


_told = tuple(opt_out.c[c] for c in ("member_id", "address_id", "network_id", "kind", "channel", "source"))


def _same(columns: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whose it is, in the order of the index."""
    return sa.and_(
        opt_out.c.zone_id == sa.bindparam("zone", type_=sa.BigInteger),
        *(opt_out.c[column] == _named.c[column] for column in columns),
    )


def _absent_of(columns: tuple[str, ...], in_force: sa.ColumnElement[bool]) -> sa.Select[Any]:
    exactly = (opt_out.c.kind == _named.c.kind, opt_out.c.channel == _named.c.channel)
    there = sa.select(opt_out.c.id).where(
        in_force, _same(columns), *exactly, opt_out.c.source == sa.bindparam("source", type_=sa.Text)
    )
    return sa.select(_named).where(~sa.exists(there.correlate(_named)))


def _in_force_of(columns: tuple[str, ...], in_force: sa.ColumnElement[bool]) -> sa.Select[Any]:
    owner = columns[0]
    return sa.select(opt_out.c.id, *_told).where(
        in_force,
        opt_out.c.zone_id == sa.bindparam("zone"),
        # IN, not a join: SQLite would walk the whole zone once for each of those named.
        opt_out.c[owner].in_(sa.select(_named.c[owner])),
    )


def _insert_of(columns: tuple[str, ...], insert: Any) -> Any:
    cells: list[Any] = [_named.c[column] for column in (*columns, "kind", "channel")]
    given: list[Any] = [
        sa.bindparam("zone", type_=sa.BigInteger),
        sa.bindparam("source", type_=sa.Text),
        sa.bindparam("now_ms", type_=sa.BigInteger),
    ]
    return (
        insert(opt_out)
        # WHERE TRUE: without it SQLite reads ON as the beginning of a join.
        .from_select(
            ["zone_id", "source", "from_ms", *columns, "kind", "channel"], sa.select(*given, *cells).where(sa.true())
        )
        .on_conflict_do_nothing()
        .returning(*_told)
    )


_absent = {columns: _absent_of(columns, in_force) for columns, in_force in _SUBJECTS.items()}
_in_force = {columns: _in_force_of(columns, in_force) for columns, in_force in _SUBJECTS.items()}
_insert = {
    (columns, sqlite): _insert_of(columns, insert)
    for columns in _SUBJECTS
    for sqlite, insert in ((True, insert_sqlite), (False, insert_postgresql))
}
_ended = json_rows("ended", id=int)
_end = Prepared(
    sa.update(opt_out)
    .where(opt_out.c.id.in_(sa.select(_ended.c.id)), _open)
    .values(until_ms=sa.bindparam("now_ms"))
    .returning(*_told)
)

_of_register = sa.and_(
    of_members,
    opt_out.c.zone_id == sa.bindparam("zone"),
    opt_out.c.channel == EVERY,
    opt_out.c.source == REGISTER,
)
_owners = json_rows("owners", id=int)
_wishes = Prepared(
    sa.select(opt_out.c.member_id, opt_out.c.kind).where(_of_register, opt_out.c.member_id.in_(sa.select(_owners.c.id)))
)
_taken = json_rows("taken", member_id=int, kind=str)
_end_wishes = Prepared(
    sa.update(opt_out)
    .where(
        _of_register,
        sa.tuple_(opt_out.c.member_id, opt_out.c.kind).in_(sa.select(_taken.c.member_id, _taken.c.kind)),
    )
    .values(until_ms=sa.bindparam("now_ms"))
)


# ---- who hears of it ----------------------------------------------------------------------------------------

_addresses = json_rows("addresses", id=int)
_zone_of_holder = sa.select(member.c.zone_id).where(member.c.id == contact.c.member_id).scalar_subquery()
_holders = Prepared(
    sa.select(contact.c.member_id).where(
        contact.c.until_ms.is_(None),
        contact.c.address_id.in_(sa.select(_addresses.c.id)),
        # No join: SQLite would begin with the zone and all its members.
        _zone_of_holder == sa.bindparam("zone"),
    )
)


async def _tell(tx: Transaction, zone_id: int, revision: int, rows: Sequence[AnyRow], action: str, by: Actor) -> None:
    """Mark the members whom it concerns, whoever holds such an address now among them, and write it down."""
    members = {row.member_id for row in rows if row.member_id is not None}
    addresses = {row.address_id for row in rows if row.address_id is not None}
    if addresses:
        values = {"zone": zone_id, "addresses": pack((id_,) for id_ in sorted(addresses))}
        members |= {row.member_id for row in await tx.rows(_holders, values)}
    await mark(tx, revision, members)
    for row in rows:
        detail = {"kind": row.kind, "channel": row.channel, "source": row.source}
        await audit.note(tx, action, _subject(row), by, zone_id=zone_id, detail=detail)


def _subject(row: AnyRow) -> str:
    """Ids only."""
    parts = (("member", row.member_id), ("address", row.address_id), ("network", row.network_id))
    return " ".join(f"{name} {id_}" for name, id_ in parts if id_ is not None)
