"""Whose a receipt is that bears a reference which nobody knows: by the address that it names, when only one message
can be meant. What a lost answer would have told is the id that its receipt bears.

A receipt fits an attempt in doubt (`store/doubts.py`) to its address, by the same carrier or by an unknown one, that
left no later than it came. While another message to that address is in hand it may be that one's, whose record is not
made yet.
"""

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from store.doubts import OPEN
from store.json_rows import json_rows, pack
from store.matching import Report, apply_matching
from store.records import Settlement
from store.settling import apply, file_part
from store.states import DeliveryState, Event
from store.tables import batch, delivery, doubt
from store.transaction import AnyRow, Transaction

LATEST_MS = 72 * 3_600_000
"""How late a receipt may come: SMSCs try a handset for three days at most."""


class Found(msgspec.Struct, frozen=True):
    matched: tuple[AnyRow, ...]
    """Rows of the inbox."""
    undecided: frozenset[str]
    """Addresses to which something is in hand that could be meant as well."""


_sought = json_rows("sought", n=int, carrier=str, address=str, received_ms=int)
_fitting = (
    sa.select(_sought.c.n, doubt.c.delivery_id, doubt.c.round, delivery.c.units)
    .join(doubt, doubt.c.address == _sought.c.address)
    .join(delivery, delivery.c.id == doubt.c.delivery_id)
    .where(
        # Word for word the predicate of the index.
        sa.text("doubt.state = 0"),
        sa.or_(doubt.c.carrier == _sought.c.carrier, doubt.c.carrier.is_(None)),
        doubt.c.handed_ms <= _sought.c.received_ms,
        doubt.c.handed_ms >= _sought.c.received_ms - LATEST_MS,
    )
    .order_by(doubt.c.delivery_id, doubt.c.round)
)
assert OPEN == 0, "the index of open doubts says so"
_asked = json_rows("asked", value=str)
_in_hand = (
    sa.select(delivery.c.address)
    .distinct()
    .select_from(batch)
    .join(delivery, delivery.c.id.between(batch.c.first, batch.c.cursor))
    .join(_asked, _asked.c.value == delivery.c.address)
    .where(
        sa.text("batch.state = 1"),  # word for word the predicate of the index
        delivery.c.round < batch.c.round,
        delivery.c.state.in_((int(DeliveryState.QUEUED), int(DeliveryState.RETRY))),
    )
)


async def in_hand(tx: Transaction, addresses: Sequence[str]) -> frozenset[str]:
    """Those of the addresses to which a carrier has a message that is not answered yet."""
    rows = await tx.rows(_in_hand, {"asked": pack((a,) for a in addresses)})
    return frozenset(row.address for row in rows)


async def match(tx: Transaction, rows: Sequence[AnyRow]) -> Found:
    """Apply the waiting receipts (rows of the inbox) that can only be those of attempts in doubt; the others stay."""
    rows = [row for row in rows if row.destination]
    if not rows:
        return Found((), frozenset())
    sought = [(n, row.carrier, row.destination, row.received_ms) for n, row in enumerate(rows)]
    fitting: dict[int, list[AnyRow]] = {}
    for fit in await tx.rows(_fitting, {"sought": pack(sought)}):
        fitting.setdefault(fit.n, []).append(fit)
    by_address: dict[str, list[int]] = {}
    for n in fitting:
        by_address.setdefault(rows[n].destination, []).append(n)
    if not by_address:
        return Found((), frozenset())
    busy = await in_hand(tx, sorted(by_address))
    meant: list[tuple[AnyRow, AnyRow]] = []
    for address, ns in by_address.items():
        if address not in busy:
            meant += _meant({n: fitting[n] for n in sorted(ns)}, rows)
    await _settle(tx, meant)
    return Found(tuple(row for row, _ in meant), busy)


def _meant(fitting: Mapping[int, Sequence[AnyRow]], rows: Sequence[AnyRow]) -> list[tuple[AnyRow, AnyRow]]:
    """(receipt, the attempt whose part it speaks of), of one address; none where it would be a guess.

    Every receipt must fit the same attempts, and there must be no more ids than parts of them. Of several messages it
    can be told only that all have arrived, when each part of each has a receipt that says so.
    """
    attempts = {(fit.delivery_id, fit.round): fit for fits in fitting.values() for fit in fits}
    if any(len(fits) < len(attempts) for fits in fitting.values()):
        return []
    refs: dict[tuple[str, str], list[AnyRow]] = {}
    for n in fitting:
        refs.setdefault((rows[n].carrier, rows[n].ref), []).append(rows[n])
    parts = [fit for fit in attempts.values() for _ in range(fit.units)]
    all_arrived = len(refs) == len(parts) and all(any(r.state == "delivered" for r in rs) for rs in refs.values())
    if len(refs) > len(parts) or (len({i for i, _ in attempts}) > 1 and not all_arrived):
        return []
    return [(row, fit) for rs, fit in zip(refs.values(), parts, strict=False) for row in rs]


async def _settle(tx: Transaction, meant: Sequence[tuple[AnyRow, AnyRow]]) -> None:
    """File the ids for their attempts; what they say is then applied as if they had always been on file."""
    if not meant:
        return
    for row, fit in meant:
        await file_part(tx, row.carrier, row.ref, fit.delivery_id, fit.round, fit.units)
    taken = [
        Settlement(fit.delivery_id, Event.ACCEPTED, row.carrier, text=row.text, round=fit.round)
        for row, fit in meant
        if fit.units == 1
    ]
    await apply(tx, taken)
    final = [_report(row) for row, _ in meant if row.state != "pending"]
    await apply_matching(tx, final)


def _report(row: AnyRow) -> Report:
    return Report(row.carrier, row.ref, row.state, row.at_ms, destination=row.destination, code=row.code, text=row.text)
