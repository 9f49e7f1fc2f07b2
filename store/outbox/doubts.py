"""Attempts of which nobody has said what became of them: one row each, from the moment that is known until somebody
says it.

Who was sent a second copy has the doubt about the first one still: while a doubt is open nobody is called failed,
expired or cancelled, for they may have the message.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import delivery, doubt

OPEN, LOST, TAKEN = range(3)
"""Nobody has said; it is known that this attempt reached nobody; a carrier took it after all."""


class Doubt(msgspec.Struct, frozen=True):
    """One attempt in doubt, as an event of its delivery makes it."""

    delivery_id: int
    round: int
    """Of its batch, in which it was handed over."""
    attempt: int
    """The number that its reference bears."""
    carrier: str | None
    """None: its worker died with it in hand."""
    parts: int | None = None
    """That a carrier may have at most: less than the message has when the rest was held back for good. None: all."""


_wanted = json_rows("wanted", id=int)
_open = Prepared(sa.select(doubt.c.delivery_id, doubt.c.round, doubt.c.attempt).join(
    _wanted, doubt.c.delivery_id == _wanted.c.id
).where(doubt.c.state == OPEN))  # fmt: skip
_fresh = json_rows("fresh", id=int, round=int, attempt=int, carrier=str, parts=int, handed_ms=int)
_insert = {
    sqlite: insert(doubt)
    .from_select(
        ["delivery_id", "round", "attempt", "carrier", "parts", "address", "handed_ms"],
        sa.select(
            _fresh.c.id,
            _fresh.c.round,
            _fresh.c.attempt,
            _fresh.c.carrier,
            _fresh.c.parts,
            delivery.c.address,
            _fresh.c.handed_ms,
        )
        .join(delivery, delivery.c.id == _fresh.c.id)
        # WHERE TRUE: without it SQLite reads ON as the beginning of a join.
        .where(sa.true()),
    )
    .on_conflict_do_nothing()
    for sqlite, insert in ((True, insert_sqlite), (False, insert_postgresql))
}
_named = json_rows("named", id=int, round=int, carrier=str, parts=int)
_name = Prepared(
    sa.update(doubt)
    .where(doubt.c.delivery_id == _named.c.id, doubt.c.round == _named.c.round, doubt.c.carrier.is_(None))
    .values(carrier=_named.c.carrier, parts=_named.c.parts)
)
_ended = json_rows("ended", id=int, round=int, state=int)
_end = Prepared(
    sa.update(doubt)
    .where(doubt.c.delivery_id == _ended.c.id, doubt.c.round == _ended.c.round, doubt.c.state == OPEN)
    .values(state=_ended.c.state)
)


_reopened = json_rows("reopened_doubts", id=int, round=int)
_reopen = Prepared(
    sa.update(doubt)
    .where(doubt.c.delivery_id == _reopened.c.id, doubt.c.round == _reopened.c.round, doubt.c.state == TAKEN)
    .values(state=OPEN)
)


async def open_of(tx: Transaction, delivery_ids: Iterable[int]) -> dict[int, dict[int, int]]:
    """Delivery -> {round: attempt} of its open doubts; deliveries without one are left out."""
    found: dict[int, dict[int, int]] = {}
    for row in await tx.rows(_open, {"wanted": pack((i,) for i in delivery_ids)}):
        found.setdefault(row.delivery_id, {})[row.round] = row.attempt
    return found


async def keep(
    tx: Transaction,
    fresh: Sequence[Doubt],
    ended: Mapping[tuple[int, int], int],
    handed_ms: int | Mapping[int, int],
) -> None:
    """File new doubts, none of which left before `handed_ms` (of all, or of each delivery), and end those that
    (delivery, round) names."""
    if fresh:
        handed = dict.fromkeys((d.delivery_id for d in fresh), handed_ms) if isinstance(handed_ms, int) else handed_ms
        rows = [(d.delivery_id, d.round, d.attempt, d.carrier, d.parts, handed[d.delivery_id]) for d in fresh]
        await tx.run(_insert[tx.sqlite], {"fresh": pack(rows)})
    if ended:
        await tx.run(_end, {"ended": pack((i, r, state) for (i, r), state in sorted(ended.items()))})


async def reopen(tx: Transaction, guessed: Iterable[tuple[int, int]]) -> None:
    """What ended the doubts about these (delivery, round) turns out to have been about another attempt."""
    await tx.run(_reopen, {"reopened_doubts": pack(sorted(set(guessed)))})


async def name_carriers(tx: Transaction, named: Sequence[Doubt]) -> None:
    """A worker that was thought dead says which carrier had it, and how much of it."""
    if named:
        await tx.run(_name, {"named": pack(sorted((d.delivery_id, d.round, d.carrier, d.parts) for d in named))})
