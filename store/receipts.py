"""Receipts come in by the front door: matched by reference; what matches nothing waits in an inbox and is never
dropped. From there it is matched by reference again, and at last by destination, when exactly one unknown delivery
of that carrier fits.

Not by destination at once: a receipt may overtake the record of its own sending, and would then be taken for that of
an older message to the same address.
"""

import json
from collections.abc import Callable, Collection, Sequence

import msgspec
import sqlalchemy as sa

from store.json_rows import json_rows, pack
from store.readable import readable
from store.records import Settlement
from store.settling import apply
from store.states import DeliveryState, Event
from store.tables import carrier_ref, delivery, receipt_inbox
from store.transaction import AnyRow, Transaction

OUTSTANDING, DELIVERED, FAILED, EXPIRED = range(4)
SETTLED_MS = 60_000
"""Longer than a lease: whatever was in hand when a receipt came has its reference on file by then, or is unknown."""
LATEST_MS = 72 * 3_600_000
"""How late a receipt may come: SMSCs try a handset for three days at most."""
_PART = {"delivered": DELIVERED, "failed": FAILED, "expired": EXPIRED}
_EVENT = {DELIVERED: Event.RECEIPT_DELIVERED, FAILED: Event.RECEIPT_FAILED, EXPIRED: Event.RECEIPT_EXPIRED}


class Report(msgspec.Struct, frozen=True):
    """A receipt in the store's words. `state` is delivered, failed, expired or pending."""

    carrier: str
    ref: str
    state: str
    at_ms: int
    delivery_id: int | None = None
    """Set when the peer echoed our own reference: no look-up is needed."""
    destination: str | None = None
    readings: Callable[[str], Sequence[str]] | None = None
    """Gives other readings of `ref`; asked only when it matches nothing as it is written."""
    code: str = ""
    text: str = ""
    raw: str = ""

    @property
    def alternatives(self) -> Sequence[str]:
        return self.readings(self.ref) if self.readings else ()


class Recorded(msgspec.Struct, frozen=True):
    matched: int = 0
    waiting: int = 0
    """Kept in the inbox."""


_sought = json_rows("sought", n=int, carrier=str, ref=str)
_by_ref = (
    sa.select(
        _sought.c.n,
        _sought.c.ref,
        carrier_ref.c.id,
        carrier_ref.c.delivery_id,
        carrier_ref.c.parts,
        carrier_ref.c.state,
        delivery.c.address,
    )
    .join(carrier_ref, sa.and_(carrier_ref.c.carrier == _sought.c.carrier, carrier_ref.c.ref == _sought.c.ref))
    .join(delivery, delivery.c.id == carrier_ref.c.delivery_id)
)
_echoed = json_rows("echoed", id=int)
_known = sa.select(delivery.c.id).join(_echoed, delivery.c.id == _echoed.c.id)
_reported = json_rows("reported", id=int, state=int)
_set_parts = (
    sa.update(carrier_ref)
    .where(
        carrier_ref.c.id == _reported.c.id,
        # A second report changes nothing, but for the one that says it arrived after all.
        sa.or_(carrier_ref.c.state == OUTSTANDING, _reported.c.state == DELIVERED),
    )
    .values(state=_reported.c.state)
)
_wanted = json_rows("wanted", id=int)
_part_states = sa.select(*(carrier_ref.c[n] for n in ("delivery_id", "state", "attempt", "parts"))).join(
    _wanted, carrier_ref.c.delivery_id == _wanted.c.id
)


async def record(tx: Transaction, reports: Sequence[Report]) -> Recorded:
    """Apply the reports; idempotent. Reports that match nothing are kept for `match_inbox`."""
    unmatched = await _apply_matching(tx, reports)
    await _keep(tx, unmatched)
    return Recorded(len(reports) - len(unmatched), len(unmatched))


async def set_aside(tx: Transaction, report: Report) -> None:
    """Keep what could not be recorded, in the inbox, with an instant that both engines can hold."""
    known = 0 <= report.at_ms <= tx.now_ms + LATEST_MS
    await _keep(tx, [report if known else msgspec.structs.replace(report, at_ms=tx.now_ms)])


async def _apply_matching(tx: Transaction, reports: Sequence[Report]) -> list[Report]:
    found = await _find(tx, reports)
    parts: dict[int, int] = {}
    whole: list[Settlement] = []
    of_parts: dict[int, list[Report]] = {}
    unmatched: list[Report] = []
    for n, report in enumerate(reports):
        match = found.get(n)
        if match is None:
            unmatched.append(report)
            continue
        final = _PART.get(report.state)
        if final is None:
            continue
        if match.part_id is None:
            whole.append(_settlement(match.delivery_id, final, report))
        else:
            parts[match.part_id] = DELIVERED if final == DELIVERED else parts.get(match.part_id, final)
            if match.is_whole and final == DELIVERED:  # whatever became of other attempts
                whole.append(_settlement(match.delivery_id, final, report))
            else:
                of_parts.setdefault(match.delivery_id, []).append(report)
    if parts:
        await tx.run(_set_parts, {"reported": pack(sorted(parts.items()))})
    if of_parts:
        whole += await _judge_parts(tx, of_parts)
    await apply(tx, whole)
    return unmatched


class _Match(msgspec.Struct, frozen=True):
    delivery_id: int
    part_id: int | None
    is_whole: bool = False
    """The only part of its attempt."""


async def _find(tx: Transaction, reports: Sequence[Report]) -> dict[int, _Match]:
    """By the id as it is written; other readings of it are looked up only for what that leaves."""
    found = await _find_echoed(tx, reports)
    named = [n for n, report in enumerate(reports) if report.delivery_id is None]
    found |= await _find_by_ref(tx, reports, [(n, reports[n].carrier, reports[n].ref) for n in named])
    others = [(n, reports[n].carrier, ref) for n in named if n not in found for ref in reports[n].alternatives]
    return found | await _find_by_ref(tx, reports, others)


async def _find_by_ref(
    tx: Transaction, reports: Sequence[Report], sought: Sequence[tuple[int, str, str]]
) -> dict[int, _Match]:
    found: dict[int, _Match] = {}
    if not sought:
        return found
    best: dict[int, tuple[bool, int]] = {}
    for row in await tx.rows(_by_ref, {"sought": pack(sought)}):
        report = reports[row.n]
        agrees = row.address == report.destination
        # An id may be read in two ways, and an SMSC may give one twice: where the receipt names a destination, it
        # decides. A wrong match would show somebody as reached who is not.
        if not (agrees or (report.destination is None and row.ref == readable(report.ref))):
            continue
        rank = (row.state == OUTSTANDING, row.id)
        if rank > best.get(row.n, (False, -1)):
            best[row.n] = rank
            found[row.n] = _Match(row.delivery_id, row.id, row.parts == 1)
    return found


async def _find_echoed(tx: Transaction, reports: Sequence[Report]) -> dict[int, _Match]:
    echoed = {n: r.delivery_id for n, r in enumerate(reports) if r.delivery_id is not None}
    if not echoed:
        return {}
    known = {r.id for r in await tx.rows(_known, {"echoed": pack((i,) for i in set(echoed.values()))})}
    return {n: _Match(i, None) for n, i in echoed.items() if i in known}


async def _judge_parts(tx: Transaction, reported: dict[int, list[Report]]) -> list[Settlement]:
    """A long SMS is delivered only when all its parts are; one lost part is a lost message."""
    rows = await tx.rows(_part_states, {"wanted": pack((i,) for i in reported)})
    attempts: dict[int, dict[int, list[AnyRow]]] = {}
    for row in rows:
        attempts.setdefault(row.delivery_id, {}).setdefault(row.attempt, []).append(row)
    settlements = []
    for delivery_id, tries in attempts.items():
        verdict = _verdict(tries.values())
        if verdict is not None:
            told = next((r for r in reported[delivery_id] if _PART[r.state] == verdict), reported[delivery_id][-1])
            settlements.append(_settlement(delivery_id, verdict, told))
    return settlements


def _verdict(tries: Collection[Sequence[AnyRow]]) -> int | None:
    """The best that any attempt came to; a failure only when no attempt is still open."""
    for parts in tries:
        if len(parts) >= parts[0].parts and all(part.state == DELIVERED for part in parts):
            return DELIVERED
    failed = [{part.state for part in parts} & {FAILED, EXPIRED} for parts in tries]
    if all(failed):
        return FAILED if any(FAILED in states for states in failed) else EXPIRED
    return None


def _settlement(delivery_id: int, final: int, report: Report) -> Settlement:
    return Settlement(delivery_id, _EVENT[final], report.carrier, code=report.code, text=report.text)


# ---- the inbox -------------------------------------------------------------------------------------------

_kept = receipt_inbox.c
_seen = json_rows("seen", n=int, carrier=str, ref=str, state=str, destination=str)
_same = sa.select(_seen.c.n).join(
    receipt_inbox,
    sa.and_(_kept.carrier == _seen.c.carrier, _kept.ref == _seen.c.ref, _kept.state == _seen.c.state,
            _kept.destination.is_not_distinct_from(_seen.c.destination)),
).where(_kept.matched_ms.is_(None))  # fmt: skip
_waiting = json_rows(
    "waiting", carrier=str, ref=str, state=str, at_ms=int, received_ms=int, destination=str, alternatives=str,
    code=str, text=str, raw=str,
)  # fmt: skip
_insert = sa.insert(receipt_inbox).from_select([c.name for c in _waiting.c], sa.select(_waiting))
_open = (
    sa.select(receipt_inbox)
    .where(
        _kept.matched_ms.is_(None),
        # The order of the index of what waits: a walk along the ids would pass all that has ever waited.
        sa.tuple_(_kept.received_ms, _kept.id) > sa.tuple_(sa.bindparam("since"), sa.bindparam("after")),
    )
    .order_by(_kept.received_ms, _kept.id)
    .limit(sa.bindparam("most"))
)
_new_refs = json_rows("new_refs", carrier=str, ref=str)
_waiting_for = sa.select(receipt_inbox).join(
    _new_refs, sa.and_(_kept.carrier == _new_refs.c.carrier, _kept.ref == _new_refs.c.ref)
).where(_kept.matched_ms.is_(None)).order_by(_kept.id)  # fmt: skip
_in_doubt = sa.and_(
    delivery.c.state == int(DeliveryState.UNKNOWN),
    # Of the rows that a dead worker had in hand nobody knows the carrier.
    sa.or_(delivery.c.carrier == sa.bindparam("carrier_"), delivery.c.carrier.is_(None)),
    # It was sent no earlier than this before it was called unknown: an older receipt is another message's.
    delivery.c.changed_ms <= sa.bindparam("latest_ms"),
)
# Sent again after doubt, and perhaps delivered since: the receipt may be that of its first attempt, and would then
# show another message as delivered that never left. Older ones than a receipt can be late are left out.
_sent_twice = sa.and_(delivery.c.doubted == 1, delivery.c.changed_ms >= sa.bindparam("earliest_ms"))
_fitting = (
    sa.select(delivery.c.id, delivery.c.units, delivery.c.state)
    .where(
        delivery.c.address == sa.bindparam("address_"),
        sa.text("(delivery.state = 2 OR delivery.doubted = 1)"),  # word for word the predicate of the index
        sa.or_(_in_doubt, _sent_twice),
    )
    .limit(2)
)
_matched = json_rows("matched", id=int)
_close = sa.update(receipt_inbox).where(_kept.id == _matched.c.id).values(matched_ms=sa.bindparam("now"))


async def _keep(tx: Transaction, reports: Sequence[Report]) -> None:
    """In two statements, however many: a quick SMSC's receipts overtake the record of their sending by the hundred."""
    once = list({(r.carrier, r.ref, r.state, r.destination): r for r in reversed(reports)}.values())
    if not once:
        return
    seen = pack((n, r.carrier, r.ref, r.state, r.destination) for n, r in enumerate(once))
    known = {row.n for row in await tx.rows(_same, {"seen": seen})}
    fresh = [
        (
            r.carrier, r.ref, r.state, r.at_ms, tx.now_ms, r.destination, json.dumps(list(r.alternatives)), r.code,
            r.text[:200], r.raw[:1000],
        )
        for n, r in enumerate(once)
        if n not in known
    ]  # fmt: skip
    if fresh:
        await tx.run(_insert, {"waiting": pack(reversed(fresh))})


async def match_new_refs(tx: Transaction, refs: Sequence[tuple[str, str]]) -> int:
    """In the transaction that files new references: the receipts that overtook them."""
    if not refs:
        return 0
    rows = await tx.rows(_waiting_for, {"new_refs": pack(dict.fromkeys(refs))})
    return len(rows) - len(await _match(tx, rows))


async def match_inbox(
    tx: Transaction, *, after: tuple[int, int], most: int = 200, settled_ms: int = SETTLED_MS
) -> tuple[int, tuple[int, int] | None]:
    """Try a page of the inbox again: by reference, and by destination what has waited for `settled_ms`.
    `after` is (received_ms, id). Returns (matched, where to go on from, or None at the end)."""
    rows = await tx.rows(_open, {"since": after[0], "after": after[1], "most": most})
    left = await _match(tx, rows)
    ripe = [row for row in left if row.received_ms <= tx.now_ms - settled_ms]
    matched = len(rows) - len(left) + await _match_by_destination(tx, ripe, settled_ms)
    return matched, ((rows[-1].received_ms, rows[-1].id) if len(rows) == most else None)


async def _match_by_destination(tx: Transaction, rows: Sequence[AnyRow], settled_ms: int) -> int:
    matched = 0
    for row in rows:
        final = _PART.get(row.state)
        if final is None or not row.destination:
            continue
        values = {
            "address_": row.destination,
            "carrier_": row.carrier,
            "latest_ms": row.received_ms + settled_ms,
            "earliest_ms": row.received_ms - LATEST_MS,
        }
        fitting = await tx.rows(_fitting, values)
        if len(fitting) != 1 or fitting[0].state != DeliveryState.UNKNOWN:
            continue
        only = fitting[0]
        # One part of a long SMS says nothing of the others, but one lost part is a lost message.
        if only.units == 1 or final != DELIVERED:
            await apply(tx, [Settlement(only.id, _EVENT[final], row.carrier, code=row.code, text=row.text)])
            await _close_rows(tx, [row])
            matched += 1
    return matched


async def _match(tx: Transaction, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """By reference; returns the rows that match nothing."""
    if not rows:
        return []
    reports = [
        Report(
            r.carrier, r.ref, r.state, r.at_ms, destination=r.destination,
            readings=_as_kept(r.alternatives), code=r.code, text=r.text,
        )
        for r in rows
    ]  # fmt: skip
    unmatched = {id(report) for report in await _apply_matching(tx, reports)}
    pairs = list(zip(rows, reports, strict=True))
    await _close_rows(tx, [row for row, report in pairs if id(report) not in unmatched])
    return [row for row, report in pairs if id(report) in unmatched]


def _as_kept(alternatives: str) -> Callable[[str], Sequence[str]]:
    return lambda _: json.loads(alternatives)


async def _close_rows(tx: Transaction, rows: Sequence[AnyRow]) -> None:
    if rows:
        await tx.run(_close, {"matched": pack((row.id,) for row in rows), "now": tx.now_ms})
