"""Receipts come in by the front door: matched by reference first, by destination only when exactly one unknown
delivery of that carrier fits; what matches nothing waits in an inbox and is never dropped."""

import json
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from store.json_rows import json_rows, pack
from store.records import Settlement
from store.settling import apply
from store.states import DeliveryState, Event
from store.tables import carrier_ref, delivery, receipt_inbox
from store.transaction import AnyRow, Transaction

OUTSTANDING, DELIVERED, FAILED, EXPIRED = range(4)
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
    alternatives: tuple[str, ...] = ()
    code: str = ""
    text: str = ""
    raw: str = ""


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
_unknown_to = (
    sa.select(delivery.c.id)
    .where(
        delivery.c.address == sa.bindparam("address_"),
        delivery.c.state == int(DeliveryState.UNKNOWN),
        delivery.c.carrier == sa.bindparam("carrier_"),
    )
    .limit(2)
)
_parts = json_rows("parts", id=int, state=int)
_set_parts = (
    sa.update(carrier_ref)
    .where(
        carrier_ref.c.id == _parts.c.id,
        # A second report changes nothing, but for the one that says it arrived after all.
        sa.or_(carrier_ref.c.state == OUTSTANDING, _parts.c.state == DELIVERED),
    )
    .values(state=_parts.c.state)
)
_wanted = json_rows("wanted", id=int)
_part_states = sa.select(carrier_ref.c.delivery_id, carrier_ref.c.state, carrier_ref.c.attempt).join(
    _wanted, carrier_ref.c.delivery_id == _wanted.c.id
)


async def record(tx: Transaction, reports: Sequence[Report]) -> Recorded:
    """Apply the reports; idempotent. Reports that match nothing are kept for `match_inbox`."""
    unmatched = await _apply_matching(tx, reports)
    for report in unmatched:
        await _keep(tx, report)
    return Recorded(len(reports) - len(unmatched), len(unmatched))


async def _apply_matching(tx: Transaction, reports: Sequence[Report]) -> list[Report]:
    found = await _find(tx, reports)
    parts: dict[int, int] = {}
    whole: list[Settlement] = []
    by_part: dict[int, Report] = {}
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
            parts.setdefault(match.part_id, final)
            by_part[match.delivery_id] = report
    if parts:
        await tx.run(_set_parts, {"parts": pack(parts.items())})
        whole += await _judge_parts(tx, by_part)
    await apply(tx, whole)
    return unmatched


class _Match(msgspec.Struct, frozen=True):
    delivery_id: int
    part_id: int | None


async def _find(tx: Transaction, reports: Sequence[Report]) -> dict[int, _Match]:
    found = {n: _Match(r.delivery_id, None) for n, r in enumerate(reports) if r.delivery_id is not None}
    sought = [(n, r.carrier, r.ref) for n, r in enumerate(reports) if n not in found]
    for n, carrier_id, ref in list(sought):
        sought += [(n, carrier_id, other) for other in reports[n].alternatives if other != ref]
    if not sought:
        return found
    best: dict[int, tuple[bool, bool, int]] = {}
    for row in await tx.rows(_by_ref, {"sought": pack(sought)}):
        report = reports[row.n]
        agrees = row.address == report.destination
        # Another reading of the id is believed only when the destination agrees.
        rank = (agrees, row.state == OUTSTANDING, row.id)
        if (row.ref == report.ref or agrees) and rank > best.get(row.n, (False, False, -1)):
            best[row.n] = rank
            found[row.n] = _Match(row.delivery_id, row.id)
    for n, report in enumerate(reports):
        if n not in found and report.destination and report.state in _PART:
            only = await tx.rows(_unknown_to, {"address_": report.destination, "carrier_": report.carrier})
            if len(only) == 1:
                found[n] = _Match(only[0].id, None)
    return found


async def _judge_parts(tx: Transaction, reported: dict[int, Report]) -> list[Settlement]:
    """A long SMS is delivered only when all its parts are; one lost part is a lost message."""
    rows = await tx.rows(_part_states, {"wanted": pack((i,) for i in reported)})
    states: dict[int, dict[int, set[int]]] = {}
    for row in rows:
        states.setdefault(row.delivery_id, {}).setdefault(row.attempt, set()).add(row.state)
    settlements = []
    for delivery_id, attempts in states.items():
        verdict = _verdict(attempts)
        if verdict is not None:
            settlements.append(_settlement(delivery_id, verdict, reported[delivery_id]))
    return settlements


def _verdict(attempts: dict[int, set[int]]) -> int | None:
    """The best that any attempt came to; a failure only when no attempt is still open."""
    if any(states == {DELIVERED} for states in attempts.values()):
        return DELIVERED
    failed = [states & {FAILED, EXPIRED} for states in attempts.values()]
    if all(failed):
        return FAILED if any(FAILED in states for states in failed) else EXPIRED
    return None


def _settlement(delivery_id: int, final: int, report: Report) -> Settlement:
    return Settlement(delivery_id, _EVENT[final], report.carrier, code=report.code, text=report.text)


# ---- the inbox -------------------------------------------------------------------------------------------

_kept = receipt_inbox.c
_same = sa.select(_kept.id).where(
    _kept.carrier == sa.bindparam("carrier_"), _kept.ref == sa.bindparam("ref_"),
    _kept.state == sa.bindparam("state_"), _kept.matched_ms.is_(None),
).limit(1)  # fmt: skip
_open = (
    sa.select(receipt_inbox)
    .where(
        _kept.matched_ms.is_(None),
        _kept.id > sa.bindparam("after"),
        _kept.received_ms >= sa.bindparam("since"),
    )
    .order_by(_kept.id)
    .limit(sa.bindparam("most"))
)
_new_refs = json_rows("new_refs", carrier=str, ref=str)
_waiting_for = sa.select(receipt_inbox).join(
    _new_refs, sa.and_(_kept.carrier == _new_refs.c.carrier, _kept.ref == _new_refs.c.ref)
).where(_kept.matched_ms.is_(None)).order_by(_kept.id)  # fmt: skip
_matched = json_rows("matched", id=int)
_close = sa.update(receipt_inbox).where(_kept.id == _matched.c.id).values(matched_ms=sa.bindparam("now"))


async def _keep(tx: Transaction, report: Report) -> None:
    key = {"carrier_": report.carrier, "ref_": report.ref, "state_": report.state}
    if await tx.first(_same, key):
        return
    await tx.run(
        sa.insert(receipt_inbox).values(
            carrier=report.carrier, ref=report.ref, state=report.state, at_ms=report.at_ms,
            received_ms=tx.now_ms, destination=report.destination,
            alternatives=json.dumps(report.alternatives), code=report.code, text=report.text[:200],
            raw=report.raw[:1000],
        )
    )  # fmt: skip


async def match_new_refs(tx: Transaction, refs: Sequence[tuple[str, str]]) -> int:
    """In the transaction that files new references: the receipts that overtook them."""
    if not refs:
        return 0
    return await _match(tx, await tx.rows(_waiting_for, {"new_refs": pack(refs)}))


async def match_inbox(tx: Transaction, *, after_id: int, since_ms: int, most: int = 200) -> tuple[int, int | None]:
    """Try a page of the inbox again (other readings of an id, a delivery that became unknown since).
    Returns (matched, id to go on from, or None at the end)."""
    rows = await tx.rows(_open, {"after": after_id, "since": since_ms, "most": most})
    matched = await _match(tx, rows)
    return matched, (rows[-1].id if len(rows) == most else None)


async def _match(tx: Transaction, rows: Sequence[AnyRow]) -> int:
    if not rows:
        return 0
    reports = [
        Report(
            r.carrier, r.ref, r.state, r.at_ms, destination=r.destination,
            alternatives=tuple(json.loads(r.alternatives)), code=r.code, text=r.text,
        )
        for r in rows
    ]  # fmt: skip
    unmatched = {id(report) for report in await _apply_matching(tx, reports)}
    closed = [(row.id,) for row, report in zip(rows, reports, strict=True) if id(report) not in unmatched]
    if closed:
        await tx.run(_close, {"matched": pack(closed), "now": tx.now_ms})
    return len(closed)
