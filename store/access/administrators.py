"""How accounts stand now, read in the transaction that decides by it: their rights, and who keeps a zone's accounts.

What the door believes of a key may be some seconds old; who grants and who is granted is asked here.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from store.access.accounts import RightRow
from store.engine.transaction import AnyRow, Transaction
from store.tables import account, account_right, audit, network, zone

ADMINISTER = "administer"
_shut = sa.func.coalesce(account.c.disabled_ms, account.c.ended_ms, sa.case((account.c.joined_ms.is_(None), 0))).label(
    "disabled_ms"
)
"""Since when an account does not come in: disabled, ended, or (0) invited and not there yet."""
_AT_ONCE = 500
_MOST_LINES = 500


class AccountStanding(msgspec.Struct, frozen=True):
    account_id: int
    code: str
    disabled_ms: int | None
    """Since when it does not come in: disabled, ended, or (0) invited and not there yet."""
    rights: frozenset[RightRow]


class Administrator(msgspec.Struct, frozen=True):
    """Who keeps all accounts of a zone."""

    account_id: int
    everywhere: bool
    """Of every zone, so also of this one."""
    disabled_ms: int | None


async def by_codes(tx: Transaction, codes: Collection[str]) -> dict[str, AccountStanding]:
    """The accounts that there are of these codes. Until the transaction ends nobody else changes them."""
    found: list[AccountStanding] = []
    for some in _parts(sorted(codes)):
        found += await _standings(tx, account.c.code.in_(some))
    return {one.code: one for one in found}


async def by_ids(tx: Transaction, ids: Collection[int]) -> dict[int, AccountStanding]:
    """The same by their numbers."""
    found: list[AccountStanding] = []
    for some in _parts(sorted(ids)):
        found += await _standings(tx, account.c.id.in_(some))
    return {one.account_id: one for one in found}


async def _standings(tx: Transaction, wanted: sa.ColumnElement[bool]) -> list[AccountStanding]:
    columns = (account.c.id, account.c.code, _shut)
    # In the order of their numbers, so that two who look at the same accounts wait for one another in turn.
    rows = await tx.rows(sa.select(*columns).where(wanted).order_by(account.c.id).with_for_update(key_share=True))
    rights: dict[int, set[RightRow]] = {int(row.id): set() for row in rows}
    held = [account_right.c[name] for name in RightRow.__struct_fields__]
    for row in await tx.rows(
        sa.select(account_right.c.account_id, *held).where(account_right.c.account_id.in_(list(rights)))
    ):
        rights[int(row[0])].add(RightRow(*row[1:]))
    return [AccountStanding(int(row.id), row.code, row.disabled_ms, frozenset(rights[int(row.id)])) for row in rows]


async def of_zone(tx: Transaction, zone_id: int | None) -> list[Administrator]:
    """Everybody who keeps all accounts of a zone, disabled ones too. None: those of every zone alone."""
    right = account_right.c
    whole = [right.action == ADMINISTER, right.network_id.is_(None), right.kind == "*", right.channel == "*"]
    here = right.zone_id.is_(None) if zone_id is None else sa.or_(right.zone_id == zone_id, right.zone_id.is_(None))
    statement = (
        sa.select(account.c.id, _shut, sa.func.min(sa.func.coalesce(right.zone_id, 0)).label("least"))
        .join(account, account.c.id == right.account_id)
        .where(*whole, right.mode == "*", here)
        .group_by(account.c.id)
        .order_by(account.c.id)
    )
    return [Administrator(int(row.id), row.least == 0, row.disabled_ms) for row in await tx.rows(statement)]


async def was_another(tx: Transaction, zone_id: int, code: str, since_ms: int) -> bool:
    """Whether since then an account other than this one was taken its right to keep a zone's accounts, as the audit has
    it: who takes it from the others is not their only one by that. True too where there are more lines than are
    looked at."""
    lines = (
        sa.select(audit.c.subject, audit.c.detail)
        .where(
            audit.c.action == "rights",
            audit.c.zone_id == zone_id,
            audit.c.at_ms >= since_ms,
            audit.c.subject != code,
            audit.c.detail.like(f"%{ADMINISTER}%"),
        )
        .limit(_MOST_LINES)
    )
    rows = await tx.rows(lines)
    return len(rows) == _MOST_LINES or any(_took(row) for row in rows)


def _took(line: AnyRow) -> bool:
    taken: Iterable[str] = msgspec.json.decode(line.detail).get("taken", ())
    return any(words.startswith(f"{ADMINISTER} ") for words in taken)


async def places(tx: Transaction, rights: Collection[RightRow]) -> frozenset[tuple[int, int | None]]:
    """Of the places where these rights are, those that there are: zones, and networks in their zones."""
    zones = {right.zone_id for right in rights if right.zone_id is not None}
    networks = {right.network_id for right in rights if right.network_id is not None}
    found: set[tuple[int, int | None]] = set()
    for some in _parts(sorted(zones)):
        rows = await tx.rows(sa.select(zone.c.id).where(zone.c.id.in_(some)))
        found |= {(int(row.id), None) for row in rows}
    for some in _parts(sorted(networks)):
        rows = await tx.rows(sa.select(network.c.id, network.c.zone_id).where(network.c.id.in_(some)))
        found |= {(int(row.zone_id), int(row.id)) for row in rows}
    return frozenset(found)


def _parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """As many at a time as a statement takes well."""
    return (values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE))
