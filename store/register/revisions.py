"""The revision of a zone's register, and the members who bear it: what brings snapshots up to date."""

from collections.abc import Iterable

import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import member, zone

_next = Prepared(
    sa.update(zone)
    .where(zone.c.id == sa.bindparam("zone_"))
    .values(register_rev=zone.c.register_rev + 1)
    .returning(zone.c.register_rev)
)
_marked = json_rows("marked", id=int)
_set_changed = Prepared(
    sa.update(member).where(member.c.id.in_(sa.select(_marked.c.id))).values(changed_rev=sa.bindparam("revision"))
)


async def move(tx: Transaction, zone_id: int) -> int:
    """The register's next revision. Whoever moves next waits for this transaction to end (PostgreSQL: the zone's row
    is locked), so that a reader who sees a revision sees every change up to it."""
    row = await tx.first(_next, {"zone_": zone_id})
    assert row is not None
    return int(row[0])


async def mark(tx: Transaction, revision: int, member_ids: Iterable[int]) -> None:
    """Every change of a member, or of a contact, a link or an opt-out that concerns it, bears its revision."""
    marked = sorted(set(member_ids))
    if marked:
        await tx.run(_set_changed, {"marked": pack((id_,) for id_ in marked), "revision": revision})
