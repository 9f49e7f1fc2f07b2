"""What a peer answers after nobody waited for it any more: it took the message, or a part of it, under this id."""

from collections.abc import Sequence

import sqlalchemy as sa

from store.doubts import OPEN
from store.json_rows import json_rows, pack
from store.matching import Report
from store.records import Settlement
from store.settling import apply, file_part
from store.states import Event
from store.tables import carrier_ref, delivery, doubt
from store.transaction import AnyRow, Transaction

_answered = json_rows("answered", n=int, id=int, attempt=int)
_doubted = (
    sa.select(_answered.c.n, doubt.c.delivery_id, doubt.c.round, delivery.c.units)
    .join(doubt, sa.and_(doubt.c.delivery_id == _answered.c.id, doubt.c.attempt == _answered.c.attempt))
    .join(delivery, delivery.c.id == doubt.c.delivery_id)
    .where(doubt.c.state == OPEN)
)
_parts = sa.select(sa.func.count()).select_from(carrier_ref).where(
    carrier_ref.c.delivery_id == sa.bindparam("delivery"), carrier_ref.c.attempt == sa.bindparam("round_")
)  # fmt: skip


async def record(tx: Transaction, reports: Sequence[Report]) -> list[Report]:
    """File the ids of attempts in doubt; a message of which every part was taken is accepted. Returns the reports whose
    attempt is not in doubt (yet): the id may still name it to its receipt."""
    rows = await tx.rows(_doubted, {"answered": pack((n, r.answers, r.attempt) for n, r in enumerate(reports))})
    found = {row.n: row for row in rows}
    for n, row in found.items():
        await file_part(tx, reports[n].carrier, reports[n].ref, row.delivery_id, row.round, row.units)
    taken = {(row.delivery_id, row.round): n for n, row in found.items() if await _is_whole(tx, row)}
    await apply(
        tx,
        [
            Settlement(i, Event.ACCEPTED, reports[n].carrier, text=reports[n].text, round=r)
            for (i, r), n in taken.items()
        ],
    )
    return [report for n, report in enumerate(reports) if n not in found]


async def _is_whole(tx: Transaction, row: AnyRow) -> bool:
    filed = await tx.first(_parts, {"delivery": row.delivery_id, "round_": row.round})
    return filed is not None and int(filed[0]) >= row.units
