"""Receipts come in by the front door: matched by reference; what matches nothing waits in an inbox and is never
dropped. From there it is matched by reference again, and by destination (`store/outbox/receipts_by_number.py`): after a
while, and before a message in doubt to that destination is sent again.

Not by destination at once: a receipt may overtake the record of its own sending, and would then be taken for that of
an older message to the same address.
"""

import json
from collections.abc import Callable, Collection, Sequence

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.outbox import late_answers, receipts_by_number
from store.outbox.matching import ReceiptReport, apply_matching
from store.tables import doubt, receipt_inbox

__all__ = ["ReceiptReport", "Recorded", "hear_first", "match_new_refs", "record", "try_due"]

SETTLED_MS = 60_000
"""Longer than a lease: whatever was in hand when a receipt came has its reference on file by then, or is unknown."""


class Recorded(msgspec.Struct, frozen=True):
    matched: int = 0
    waiting: int = 0
    """Kept in the inbox."""


async def record(tx: Transaction, reports: Sequence[ReceiptReport]) -> Recorded:
    """Apply the reports; idempotent. Reports that match nothing are kept for `try_due`."""
    late = [r for r in reports if r.answers is not None]
    unmatched = await late_answers.record(tx, late) if late else []
    await match_new_refs(tx, [(r.carrier, r.ref) for r in late])
    unmatched += await apply_matching(tx, [r for r in reports if r.answers is None])
    await _keep(tx, unmatched)
    return Recorded(len(reports) - len(unmatched), len(unmatched))


async def set_aside(tx: Transaction, report: ReceiptReport) -> None:
    """Keep what could not be recorded, in the inbox, with an instant that both engines can hold."""
    known = 0 <= report.at_ms <= tx.now_ms + receipts_by_number.LATEST_MS
    await _keep(tx, [report if known else msgspec.structs.replace(report, at_ms=tx.now_ms)])


# ---- the inbox -------------------------------------------------------------------------------------------

_kept = receipt_inbox.c
_seen = json_rows("seen", n=int, carrier=str, ref=str, state=str, destination=str, answers=int, attempt=int)
_same = Prepared(sa.select(_seen.c.n).join(
    receipt_inbox,
    sa.and_(_kept.carrier == _seen.c.carrier, _kept.ref == _seen.c.ref, _kept.state == _seen.c.state,
            _kept.destination.is_not_distinct_from(_seen.c.destination),
            _kept.answers.is_not_distinct_from(_seen.c.answers), _kept.attempt == _seen.c.attempt),
).where(_kept.matched_ms.is_(None)))  # fmt: skip
_waiting = json_rows(
    "waiting", carrier=str, ref=str, state=str, at_ms=int, received_ms=int, destination=str, alternatives=str,
    code=str, text=str, raw=str, mode=str, answers=int, attempt=int,
)  # fmt: skip
_insert = Prepared(sa.insert(receipt_inbox).from_select([c.name for c in _waiting.c], sa.select(_waiting)))
_new_refs = json_rows("new_refs", carrier=str, ref=str)
_waiting_for = Prepared(sa.select(receipt_inbox).join(
    _new_refs, sa.and_(_kept.carrier == _new_refs.c.carrier, _kept.ref == _new_refs.c.ref)
).where(_kept.matched_ms.is_(None)).order_by(_kept.id))  # fmt: skip
_matched = json_rows("matched", id=int)
_close = Prepared(sa.update(receipt_inbox).where(_kept.id == _matched.c.id).values(matched_ms=sa.bindparam("now")))


async def _keep(tx: Transaction, reports: Sequence[ReceiptReport]) -> None:
    """In two statements, however many: a quick SMSC's receipts overtake the record of their sending by the hundred."""
    once = list({_identity(r): r for r in reversed(reports)}.values())
    if not once:
        return
    seen = pack((n, *_identity(r)) for n, r in enumerate(once))
    known = {row.n for row in await tx.rows(_same, {"seen": seen})}
    fresh = [
        (
            r.carrier, r.ref, r.state, r.at_ms, tx.now_ms, r.destination, json.dumps(list(r.alternatives)), r.code,
            r.text[:200], r.raw[:1000], r.mode, r.answers, r.attempt,
        )
        for n, r in enumerate(once)
        if n not in known
    ]  # fmt: skip
    if fresh:
        await tx.run(_insert, {"waiting": pack(reversed(fresh))})


def _identity(r: ReceiptReport) -> tuple[str, str, str, str | None, int | None, int]:
    """What makes two of the inbox one."""
    return r.carrier, r.ref, r.state, r.destination, r.answers, r.attempt


async def match_new_refs(tx: Transaction, refs: Sequence[tuple[str, str]]) -> int:
    """In the transaction that files new references: the receipts that overtook them."""
    if not refs:
        return 0
    rows = await tx.rows(_waiting_for, {"new_refs": pack(dict.fromkeys(refs))})
    return len(rows) - len(await _match(tx, rows))


LONGEST_REST_MS = 3_600_000
_due = Prepared(
    sa.select(receipt_inbox)
    .where(
        sa.text("receipt_inbox.matched_ms IS NULL"),  # word for word the predicate of the index
        _kept.due_ms <= sa.bindparam("now"),
        _kept.received_ms > sa.bindparam("since"),
    )
    .order_by(_kept.due_ms, _kept.id)
    .limit(sa.bindparam("most"))
)
_rested = json_rows("rested", id=int, due_ms=int)
_rest = Prepared(sa.update(receipt_inbox).where(_kept.id == _rested.c.id).values(due_ms=_rested.c.due_ms))


async def try_due(tx: Transaction, *, since_ms: int, most: int = 100, settled_ms: int = SETTLED_MS) -> bool:
    """Try what waits and has rested; what matches nothing rests as long again as it has waited, an hour at most. What
    can match sooner is found sooner: by a new reference (`match_new_refs`), and before a message in doubt to its
    address is sent again (`hear_first`). Whether more of it is due. `since_ms`: what came before is tried no more;
    `settled_ms`: what has waited for so long is matched by its destination, too."""
    rows = await tx.rows(_due, {"now": tx.now_ms, "since": since_ms, "most": most})
    if not rows:
        return False
    left = await _match(tx, rows)
    ripe = [row for row in left if row.received_ms <= tx.now_ms - settled_ms and row.state != "pending"]
    doubted = await receipts_by_number.in_doubt(tx, [row.destination for row in ripe if row.destination])
    await _hear(tx, doubted)
    rests = ((row.id, tx.now_ms + _rest_ms(tx.now_ms - row.received_ms)) for row in left)
    await tx.run(_rest, {"rested": pack(rests)})
    return len(rows) == most


def _rest_ms(waited_ms: int) -> int:
    return min(max(waited_ms, 5_000), LONGEST_REST_MS)


_addresses = json_rows("addresses", value=str)
_to_these = Prepared(
    sa.select(receipt_inbox)
    .join(_addresses, _kept.destination == _addresses.c.value)
    .where(_kept.matched_ms.is_(None))
    .order_by(_kept.received_ms, _kept.id)
)
_late = Prepared(
    sa.select(receipt_inbox)
    .join(doubt, sa.and_(_kept.answers == doubt.c.delivery_id, _kept.attempt == doubt.c.attempt))
    .join(_addresses, _addresses.c.value == doubt.c.address)
    # Word for word the predicates of the indexes.
    .where(sa.text("doubt.state = 0"), sa.text("matched_ms IS NULL AND answers IS NOT NULL"))
    .order_by(_kept.received_ms, _kept.id)
)


async def hear_first(
    tx: Transaction, addresses: Sequence[str], channel: str | None = None, mode: str | None = None
) -> frozenset[str]:
    """Before what is in doubt to these addresses is sent again: settle what the inbox answers, be it only that the
    carrier has it on its way. Returns the addresses of which it holds something that cannot be told yet, because
    another SMS to them is in hand: one in that mode; and none for another channel."""
    _, found = await _hear(tx, addresses)
    if channel not in (None, "sms"):
        return frozenset()
    return frozenset(address for address, of in found.undecided if mode in (None, of))


async def _hear(tx: Transaction, addresses: Collection[str]) -> tuple[int, receipts_by_number.Found]:
    """Settle what waits in the inbox for these addresses; returns how many receipts that were."""
    if not addresses:
        return 0, receipts_by_number.Found((), frozenset())
    asked = {"addresses": pack((a,) for a in sorted(set(addresses)))}
    rows = {row.id: row for row in [*await tx.rows(_late, asked), *await tx.rows(_to_these, asked)]}
    left = await _match(tx, list(rows.values()))
    found = await receipts_by_number.match(tx, left)
    await _close_rows(tx, found.matched)
    return len(rows) - len(left) + len(found.matched), found


async def _match(tx: Transaction, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """By the attempt that it answers, or by reference; returns the rows that match nothing."""
    if not rows:
        return []
    left = await _match_late(tx, rows)
    reports = [_as_report(row) for row in left]
    unmatched = {id(report) for report in await apply_matching(tx, reports)}
    pairs = list(zip(left, reports, strict=True))
    await _close_rows(tx, [row for row, report in pairs if id(report) not in unmatched])
    return [row for row, report in pairs if id(report) in unmatched]


async def _match_late(tx: Transaction, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """An answer that was quicker than the record of the doubt about it tells as much as one that came after."""
    late = [(row, _as_report(row)) for row in rows if row.answers is not None]
    if not late:
        return list(rows)
    unmatched = {id(report) for report in await late_answers.record(tx, [report for _, report in late])}
    heard = [row for row, report in late if id(report) not in unmatched]
    await _close_rows(tx, heard)
    closed = {row.id for row in heard}
    return [row for row in rows if row.id not in closed]


def _as_report(row: AnyRow) -> ReceiptReport:
    return ReceiptReport(
        row.carrier, row.ref, row.state, row.at_ms, answers=row.answers, attempt=row.attempt,
        destination=row.destination, readings=_as_kept(row.alternatives), code=row.code, text=row.text, mode=row.mode,
    )  # fmt: skip


def _as_kept(alternatives: str) -> Callable[[str], Sequence[str]]:
    return lambda _: json.loads(alternatives)


async def _close_rows(tx: Transaction, rows: Sequence[AnyRow]) -> None:
    if rows:
        await tx.run(_close, {"matched": pack((row.id,) for row in rows), "now": tx.now_ms})
