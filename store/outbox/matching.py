"""Whose a receipt is, by a reference, and what the receipts of all parts and copies make of the delivery.

The reference is our own, or one that a carrier gave us and that is on file. A long SMS has parts, and a message may
have been sent more than once.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.storable_text import readable
from store.engine.transaction import AnyRow, Transaction
from store.outbox.in_hand import anything_in_hand, in_hand
from store.outbox.records import Settlement
from store.outbox.settling import apply
from store.states import DeliveryEvent
from store.tables import address, carrier_ref, delivery

OUTSTANDING, DELIVERED, FAILED, EXPIRED = range(4)
_PART = {"delivered": DELIVERED, "failed": FAILED, "expired": EXPIRED}
_EVENT = {
    DELIVERED: DeliveryEvent.RECEIPT_DELIVERED,
    FAILED: DeliveryEvent.RECEIPT_FAILED,
    EXPIRED: DeliveryEvent.RECEIPT_EXPIRED,
}


class ReceiptReport(msgspec.Struct, frozen=True):
    """A receipt in the store's words. `state` is delivered, failed, expired or pending."""

    carrier: str
    ref: str
    state: str
    at_ms: int
    delivery_id: int | None = None
    """Set when the peer echoed our own reference: no look-up is needed."""
    attempt: int = 0
    """Of that reference: the number of the attempt that it speaks of; 0: not known."""
    answers: int | None = None
    """The delivery whose attempt, number `attempt`, the peer answers late: it took a part of it under `ref`."""
    destination: str | None = None
    readings: Callable[[str], Sequence[str]] | None = None
    """Gives other readings of `ref`; asked only when it matches nothing as it is written."""
    code: str = ""
    text: str = ""
    raw: str = ""
    mode: str = "live"
    """Of the carrier: what a simulated one says is never about a live message."""

    @property
    def alternatives(self) -> Sequence[str]:
        return self.readings(self.ref) if self.readings else ()


_sought = json_rows("sought", n=int, carrier=str, ref=str)
_by_ref = Prepared(
    sa.select(
        _sought.c.n,
        _sought.c.ref,
        carrier_ref.c.id,
        carrier_ref.c.delivery_id,
        carrier_ref.c.attempt,
        carrier_ref.c.parts,
        carrier_ref.c.state,
        carrier_ref.c.ref.label("filed"),
        delivery.c.address,
    )
    .join(
        carrier_ref,
        # The expression of the index: some SMSCs answer in small letters and report in capitals.
        sa.and_(
            carrier_ref.c.carrier == _sought.c.carrier, sa.func.lower(carrier_ref.c.ref) == sa.func.lower(_sought.c.ref)
        ),
    )
    .join(delivery, delivery.c.id == carrier_ref.c.delivery_id)
)
_numbers = json_rows("numbers", value=str)
_ours = Prepared(sa.select(address.c.value).join(_numbers, _numbers.c.value == address.c.value))
_echoed = json_rows("echoed", id=int)
_known = Prepared(sa.select(delivery.c.id).join(_echoed, delivery.c.id == _echoed.c.id))
_reported = json_rows("reported", id=int, state=int)
_set_parts = Prepared(
    sa.update(carrier_ref)
    .where(
        carrier_ref.c.id == _reported.c.id,
        # A second report changes nothing, but for the one that says it arrived after all.
        sa.or_(carrier_ref.c.state == OUTSTANDING, _reported.c.state == DELIVERED),
    )
    .values(state=_reported.c.state)
)
_wanted = json_rows("wanted", id=int)
_part_states = Prepared(
    sa.select(*(carrier_ref.c[n] for n in ("delivery_id", "state", "attempt", "parts"))).join(
        _wanted, carrier_ref.c.delivery_id == _wanted.c.id
    )
)


async def apply_matching(tx: Transaction, reports: Sequence[ReceiptReport]) -> list[ReceiptReport]:
    """Apply what matches by our own reference or the peer's, and return what matches nothing; idempotent."""
    found = await _find(tx, reports)
    parts: dict[int, int] = {}
    whole: list[Settlement] = []
    of_parts: dict[int, list[ReceiptReport]] = {}
    unmatched: list[ReceiptReport] = []
    for n, report in enumerate(reports):
        match = found.get(n)
        if match is None:
            unmatched.append(report)
            continue
        final = _PART.get(report.state)
        if final is None:
            continue
        if match.part_id is None:
            whole.append(_settlement(match.delivery_id, final, report, attempt=report.attempt))
        elif match.shared:
            # One id for the whole of a long SMS: what is said of it is said of every part, and the worst is believed.
            for part_id in match.shared:
                parts[part_id] = max(final, parts.get(part_id, final))
            of_parts.setdefault(match.delivery_id, []).append(report)
        else:
            parts[match.part_id] = DELIVERED if final == DELIVERED else parts.get(match.part_id, final)
            if match.is_whole and final == DELIVERED:  # whatever became of other attempts
                whole.append(_settlement(match.delivery_id, final, report, round_=match.round))
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
    round: int = 0
    """In which that attempt was sent."""
    shared: tuple[int, ...] = ()
    """All parts of the attempt, where they bear the same id and none of them was lost."""


async def _find(tx: Transaction, reports: Sequence[ReceiptReport]) -> dict[int, _Match]:
    """By the id as it is written; other readings of it are looked up only for what that leaves."""
    found = await _find_echoed(tx, reports)
    named = [n for n, report in enumerate(reports) if report.delivery_id is None]
    found |= await _find_by_ref(tx, reports, [(n, reports[n].carrier, reports[n].ref) for n in named])
    others = [(n, reports[n].carrier, ref) for n in named if n not in found for ref in reports[n].alternatives]
    return found | await _find_by_ref(tx, reports, others)


async def _find_by_ref(
    tx: Transaction, reports: Sequence[ReceiptReport], sought: Sequence[tuple[int, str, str]]
) -> dict[int, _Match]:
    if not sought:
        return {}
    bearing: dict[int, list[AnyRow]] = {}
    for row in await tx.rows(_by_ref, {"sought": pack(sought)}):
        bearing.setdefault(row.n, []).append(row)
    strangers = await _nobodys(tx, reports, bearing)
    found: dict[int, list[AnyRow]] = {}
    for n, rows in bearing.items():
        if meant := _meant(reports[n], rows, is_nobodys=reports[n].destination in strangers):
            found[n] = meant
    too_late = await _may_be_anothers(tx, reports, found)
    return {n: _match_of(rows) for n, rows in found.items() if n not in too_late}


def _meant(report: ReceiptReport, rows: Sequence[AnyRow], *, is_nobodys: bool) -> list[AnyRow]:
    """Those that the report can be about. An id may be read in two ways, and an SMSC may give one twice: where the
    receipt names a number it decides, for a wrong match would show somebody as reached who is not. A number that is
    nobody's here was misread, and leaves an id as it is written to whom alone bears it."""
    agreeing = [row for row in rows if row.address == report.destination]
    if not agreeing and (report.destination is None or is_nobodys):
        written = readable(report.ref)
        equal = [row for row in rows if row.filed == written] or [row for row in rows if row.ref == written]
        if report.destination is None or len({row.delivery_id for row in equal}) == 1:
            agreeing = equal
    exact = [row for row in agreeing if row.filed == row.ref]
    return exact or agreeing


def _match_of(rows: Sequence[AnyRow]) -> _Match:
    best = max(rows, key=lambda row: (row.state == OUTSTANDING, row.id))
    attempt = [row for row in rows if (row.delivery_id, row.attempt) == (best.delivery_id, best.attempt)]
    shared: tuple[int, ...] = ()
    if best.parts > 1 and len(attempt) >= best.parts and not {row.state for row in attempt} & {FAILED, EXPIRED}:
        shared = tuple(row.id for row in attempt)
    return _Match(best.delivery_id, best.id, best.parts == 1, best.attempt, shared)


async def _nobodys(
    tx: Transaction, reports: Sequence[ReceiptReport], bearing: Mapping[int, Sequence[AnyRow]]
) -> set[str]:
    """Numbers that reports name, that none of the deliveries bearing their id has, and that no register has either.
    Asked for hardly ever."""
    doubtful = {
        number
        for n, rows in bearing.items()
        if (number := reports[n].destination) is not None and all(row.address != number for row in rows)
    }
    if not doubtful:
        return set()
    known = {row.value for row in await tx.rows(_ours, {"numbers": pack((number,) for number in sorted(doubtful))})}
    return doubtful - known


async def _may_be_anothers(
    tx: Transaction, reports: Sequence[ReceiptReport], found: Mapping[int, Sequence[AnyRow]]
) -> set[int]:
    """Of those whose rows have all been reported on: those to whose number an SMS is in hand, or any where they name
    no number. An SMSC that begins to count again gives it the id of an old one, and its receipt may overtake the
    record."""
    told = {n: rows for n, rows in found.items() if all(row.state != OUTSTANDING for row in rows)}
    if not told:
        return set()
    busy = {number for number, _ in await in_hand(tx, {row.address for rows in told.values() for row in rows})}
    nameless = {n for n in told if reports[n].destination is None}
    waiting = nameless if nameless and await anything_in_hand(tx) else set()
    return waiting | {n for n, rows in told.items() if rows[0].address in busy}


async def _find_echoed(tx: Transaction, reports: Sequence[ReceiptReport]) -> dict[int, _Match]:
    echoed = {n: r.delivery_id for n, r in enumerate(reports) if r.delivery_id is not None}
    if not echoed:
        return {}
    known = {r.id for r in await tx.rows(_known, {"echoed": pack((i,) for i in set(echoed.values()))})}
    return {n: _Match(i, None) for n, i in echoed.items() if i in known}


async def _judge_parts(tx: Transaction, reported: dict[int, list[ReceiptReport]]) -> list[Settlement]:
    """A long SMS is delivered only when all its parts are; one lost part is a lost message."""
    rows = await tx.rows(_part_states, {"wanted": pack((i,) for i in reported)})
    attempts: dict[int, dict[int, list[AnyRow]]] = {}
    for row in rows:
        attempts.setdefault(row.delivery_id, {}).setdefault(row.attempt, []).append(row)
    return [s for i, tries in attempts.items() for s in _judged(i, tries, reported[i])]


def _judged(
    delivery_id: int, tries: Mapping[int, Sequence[AnyRow]], reported: Sequence[ReceiptReport]
) -> list[Settlement]:
    """The best that any attempt came to; a failure only when none on file is still open. An attempt that has failed
    beside another one ends the doubt about itself."""
    for round_, parts in tries.items():
        if len(parts) >= parts[0].parts and all(part.state == DELIVERED for part in parts):
            return [_settlement(delivery_id, DELIVERED, _telling(reported, DELIVERED), round_=round_)]
    failed = {r: states for r, parts in tries.items() if (states := {p.state for p in parts} & {FAILED, EXPIRED})}
    lost = [Settlement(delivery_id, DeliveryEvent.ATTEMPT_LOST, round=r) for r in failed]
    if len(failed) < len(tries):
        return lost
    verdict = FAILED if any(FAILED in states for states in failed.values()) else EXPIRED
    return [*lost, _settlement(delivery_id, verdict, _telling(reported, verdict), round_=max(failed))]


def _telling(reported: Sequence[ReceiptReport], verdict: int) -> ReceiptReport:
    return next((r for r in reported if _PART[r.state] == verdict), reported[-1])


def _settlement(
    delivery_id: int, final: int, report: ReceiptReport, *, round_: int = 0, attempt: int = 0
) -> Settlement:
    return Settlement(
        delivery_id, _EVENT[final], report.carrier, code=report.code, text=report.text, round=round_, attempt=attempt
    )
