"""What a peer answers after nobody waited for it any more: it took the message, or a part of it, under this id."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.outbox.doubts import OPEN
from store.outbox.matching import ReceiptReport
from store.outbox.records import Settlement
from store.outbox.settling import apply, file_part
from store.states import DeliveryEvent
from store.tables import carrier_ref, delivery, doubt


class TakenPart(msgspec.Struct, frozen=True):
    """A part of an attempt in doubt that a carrier has, as is known now."""

    carrier: str
    ref: str
    delivery_id: int
    round: int
    parts: int
    """Of that attempt."""
    text: str = ""


_answered = json_rows("answered", n=int, id=int, attempt=int)
_doubted = Prepared(
    sa.select(_answered.c.n, doubt.c.delivery_id, doubt.c.round, delivery.c.units)
    .join(doubt, sa.and_(doubt.c.delivery_id == _answered.c.id, doubt.c.attempt == _answered.c.attempt))
    .join(delivery, delivery.c.id == doubt.c.delivery_id)
    .where(doubt.c.state == OPEN)
)
_tried = json_rows("tried", id=int, round=int)
_on_file = (
    # An id may be on file twice: once with the number of its part, and once without.
    Prepared(
        sa.select(
            carrier_ref.c.delivery_id, carrier_ref.c.attempt, sa.func.count(carrier_ref.c.ref.distinct()).label("n")
        )
        .join(_tried, sa.and_(carrier_ref.c.delivery_id == _tried.c.id, carrier_ref.c.attempt == _tried.c.round))
        .group_by(carrier_ref.c.delivery_id, carrier_ref.c.attempt)
    )
)


async def record(tx: Transaction, reports: Sequence[ReceiptReport]) -> list[ReceiptReport]:
    """File the ids of attempts in doubt; a message of which every part was taken is accepted. Returns the reports whose
    attempt is not in doubt (yet): the id may still name it to its receipt."""
    rows = await tx.rows(_doubted, {"answered": pack((n, r.answers, r.attempt) for n, r in enumerate(reports))})
    found = {row.n: row for row in rows}
    await take(
        tx,
        [
            TakenPart(reports[n].carrier, reports[n].ref, row.delivery_id, row.round, row.units, reports[n].text)
            for n, row in found.items()
        ],
    )
    return [report for n, report in enumerate(reports) if n not in found]


async def take(tx: Transaction, taken: Sequence[TakenPart]) -> None:
    """File the ids; an attempt of which as many are on file as it has parts is accepted."""
    if not taken:
        return
    for part in taken:
        await file_part(tx, part.carrier, part.ref, part.delivery_id, part.round, part.parts)
    last = {(part.delivery_id, part.round): part for part in taken}
    on_file = {(row.delivery_id, row.attempt): row.n for row in await tx.rows(_on_file, {"tried": pack(last)})}
    await apply(
        tx,
        [
            Settlement(part.delivery_id, DeliveryEvent.ACCEPTED, part.carrier, text=part.text, round=part.round)
            for attempt, part in last.items()
            if on_file[attempt] >= part.parts
        ],
    )
