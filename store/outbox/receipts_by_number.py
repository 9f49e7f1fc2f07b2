"""Whose a receipt is that bears a reference which nobody knows: by the number that it names, when only one message
can be meant. What a lost answer would have told is the id that its receipt bears.

Only SMSCs give ids of their own: mail and calls bring our reference back, and are nobody's here. A receipt fits an
attempt in doubt (`store/outbox/doubts.py`) to its number, live or simulated as its carrier is, by the same carrier or
by an unknown one, that left no later than it came and has a part of which no id is on file. While another message to
that number is in hand it may be that one's, whose record is not made yet.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.outbox.doubts import OPEN
from store.outbox.in_hand import AddressInHand, in_hand
from store.outbox.late_answers import TakenPart, take
from store.outbox.matching import ReceiptReport, apply_matching
from store.tables import campaign, carrier_ref, delivery, doubt

LATEST_MS = 72 * 3_600_000
"""How late a receipt may come: SMSCs try a handset for three days at most."""


class Found(msgspec.Struct, frozen=True):
    matched: tuple[AnyRow, ...]
    """Rows of the inbox."""
    undecided: frozenset[AddressInHand]
    """Where something is in hand that could be meant as well."""


_on_file = (
    sa.select(sa.func.count(carrier_ref.c.ref.distinct()))
    .where(carrier_ref.c.delivery_id == doubt.c.delivery_id, carrier_ref.c.attempt == doubt.c.round)
    .scalar_subquery()
)
_sought = json_rows("sought", n=int, carrier=str, address=str, mode=str, received_ms=int)
_fitting = Prepared(
    sa.select(
        _sought.c.n,
        doubt.c.delivery_id,
        doubt.c.round,
        delivery.c.units,
        (sa.func.coalesce(doubt.c.parts, delivery.c.units) - _on_file).label("free"),
    )
    .join(doubt, doubt.c.address == _sought.c.address)
    .join(delivery, delivery.c.id == doubt.c.delivery_id)
    .join(campaign, campaign.c.id == delivery.c.id.bitwise_rshift(sa.literal_column("24")))
    .where(
        # Word for word the predicate of the index.
        sa.text("doubt.state = 0"),
        delivery.c.channel == "sms",
        campaign.c.mode == _sought.c.mode,
        sa.or_(doubt.c.carrier == _sought.c.carrier, doubt.c.carrier.is_(None)),
        doubt.c.handed_ms <= _sought.c.received_ms,
        doubt.c.handed_ms >= _sought.c.received_ms - LATEST_MS,
    )
    .order_by(doubt.c.delivery_id, doubt.c.round)
)
assert OPEN == 0, "the index of open doubts says so"
_asked_about = json_rows("asked_about", n=int, carrier=str, ref=str, address=str)
_on_file_for_it = Prepared(
    sa.select(_asked_about.c.n)
    .join(
        carrier_ref,
        # The expression of the index.
        sa.and_(
            carrier_ref.c.carrier == _asked_about.c.carrier,
            sa.func.lower(carrier_ref.c.ref) == sa.func.lower(_asked_about.c.ref),
        ),
    )
    .join(delivery, sa.and_(delivery.c.id == carrier_ref.c.delivery_id, delivery.c.address == _asked_about.c.address))
)
_asked = json_rows("asked", value=str)
_doubted = Prepared(
    sa.select(doubt.c.address)
    .distinct()
    .join(_asked, _asked.c.value == doubt.c.address)
    .join(delivery, delivery.c.id == doubt.c.delivery_id)
    .where(sa.text("doubt.state = 0"), delivery.c.channel == "sms")
)


async def in_doubt(tx: Transaction, addresses: Iterable[str]) -> frozenset[str]:
    """The numbers, among these, to which an SMS is in doubt."""
    rows = await tx.rows(_doubted, {"asked": pack((a,) for a in sorted(set(addresses)))})
    return frozenset(row.address for row in rows)


async def match(tx: Transaction, rows: Sequence[AnyRow]) -> Found:
    """Apply the waiting receipts (rows of the inbox) that can only be those of attempts in doubt; the others stay.

    The rows are all that wait for their numbers: what one receipt means depends on the others.
    """
    # A late answer names its attempt: it is never another one's.
    rows = [row for row in rows if row.destination and row.ref and row.answers is None]
    rows = await _unknown(tx, rows)
    if not rows:
        return Found((), frozenset())
    sought = [(n, row.carrier, row.destination, row.mode, row.received_ms) for n, row in enumerate(rows)]
    fitting: dict[AddressInHand, dict[int, list[AnyRow]]] = {}
    for fit in await tx.rows(_fitting, {"sought": pack(sought)}):
        fitting.setdefault((rows[fit.n].destination, rows[fit.n].mode), {}).setdefault(fit.n, []).append(fit)
    if not fitting:
        return Found((), frozenset())
    busy = await in_hand(tx, (address for address, _ in fitting))
    matched: list[AnyRow] = []
    taken: list[TakenPart] = []
    for place in sorted(fitting.keys() - busy):
        for ref, part in _meant(fitting[place], rows).items():
            of_ref = [rows[n] for n in fitting[place] if (rows[n].carrier, rows[n].ref) == ref]
            matched += of_ref
            taken.append(msgspec.structs.replace(part, text=of_ref[-1].text))
    # As if the ids had always been on file.
    await take(tx, taken)
    await apply_matching(tx, [_report(row) for row in matched if row.state != "pending"])
    return Found(tuple(matched), busy & fitting.keys())


async def _unknown(tx: Transaction, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """Without those whose id is on file for their number: they may be repetitions, and wait only while another SMS to
    it is in hand. What they say is never about an attempt in doubt."""
    if not rows:
        return []
    asked = pack((n, row.carrier, row.ref, row.destination) for n, row in enumerate(rows))
    known = {found.n for found in await tx.rows(_on_file_for_it, {"asked_about": asked})}
    return [row for n, row in enumerate(rows) if n not in known]


def _report(row: AnyRow) -> ReceiptReport:
    return ReceiptReport(
        row.carrier, row.ref, row.state, row.at_ms, destination=row.destination, code=row.code, text=row.text
    )


# ---- which is meant --------------------------------------------------------------------------------------

_Ref = tuple[str, str]
"""Carrier and id."""
_Attempt = tuple[int, int]
"""Delivery and round."""
_Fits = dict[_Ref, list[_Attempt]]


class _Parts(msgspec.Struct, frozen=True):
    """Of an attempt in doubt."""

    units: int
    free: int
    """Of so many no id is on file."""


def _meant(fitting: Mapping[int, Sequence[AnyRow]], rows: Sequence[AnyRow]) -> dict[_Ref, TakenPart]:
    """Id -> the attempt that has it, of one number; ids of which that would be a guess are left out."""
    open_: dict[_Attempt, _Parts] = {}
    fits: _Fits = {}
    arrived: set[_Ref] = set()
    failed: set[_Ref] = set()
    for n, attempts in fitting.items():
        ref = (rows[n].carrier, rows[n].ref)
        open_ |= {(a.delivery_id, a.round): _Parts(a.units, a.free) for a in attempts if a.free > 0}
        able = [(a.delivery_id, a.round) for a in attempts if a.free > 0]
        # An id was given before the first receipt that bears it.
        fits[ref] = [a for a in fits[ref] if a in able] if ref in fits else able
        if rows[n].state == "delivered":
            arrived.add(ref)
        elif rows[n].state != "pending":
            failed.add(ref)
    meant: dict[_Ref, TakenPart] = {}
    for some in _together({ref: able for ref, able in fits.items() if able}):
        certain = _certain(some, {a: parts.free for a, parts in open_.items()})
        if certain is None:
            continue
        meant |= {(c, r): TakenPart(c, r, *attempt, open_[attempt].units) for (c, r), attempt in certain.items()}
        for attempt in certain.values():
            open_[attempt] = msgspec.structs.replace(open_[attempt], free=open_[attempt].free - 1)
        left = {ref: [a for a in able if open_[a].free] for ref, able in some.items() if ref not in certain}
        for others in _together(left):
            meant |= _of_several(others, open_, arrived, failed)
    return meant


def _together(fits: _Fits) -> Iterator[_Fits]:
    """The ids in groups that have no attempt in common."""
    left = dict(fits)
    while left:
        group: _Fits = {}
        reached = set(next(iter(left.values())))
        while more := {ref: able for ref, able in left.items() if reached.intersection(able)}:
            group |= more
            reached.update(a for able in more.values() for a in able)
            left = {ref: able for ref, able in left.items() if ref not in more}
        yield group


def _certain(fits: _Fits, free: Mapping[_Attempt, int]) -> dict[_Ref, _Attempt] | None:
    """The ids that each can only be one attempt's. None when there are more than parts: some of them are strays, and
    nobody can say which."""
    dealt = _dealt(fits, free)
    if dealt is None:
        return None
    return {
        ref: attempt
        for ref, attempt in dealt.items()
        if _dealt(fits | {ref: [a for a in fits[ref] if a != attempt]}, free) is None
    }


def _dealt(fits: _Fits, free: Mapping[_Attempt, int]) -> dict[_Ref, _Attempt] | None:
    """A way to give every id a free part of an attempt that it fits, if there is one."""
    if len(fits) > sum(free[a] for a in {a for able in fits.values() for a in able}):
        return None
    held: dict[_Attempt, list[_Ref]] = {a: [] for able in fits.values() for a in able}

    def place(ref: _Ref, tried: set[_Attempt]) -> bool:
        for attempt in fits[ref]:
            if attempt in tried:
                continue
            tried.add(attempt)
            if len(held[attempt]) < free[attempt]:
                held[attempt].append(ref)
                return True
            for other in held[attempt]:
                if place(other, tried):
                    held[attempt][held[attempt].index(other)] = ref
                    return True
        return False

    if not all(place(ref, set()) for ref in fits):
        return None
    return {ref: attempt for attempt, refs in held.items() for ref in refs}


def _of_several(
    fits: _Fits, open_: Mapping[_Attempt, _Parts], arrived: set[_Ref], failed: set[_Ref]
) -> dict[_Ref, TakenPart]:
    """What ids tell together each of which may be that of more than one attempt."""
    dealt = _dealt(fits, {a: parts.free for a, parts in open_.items()}) or {}
    parts = {a: open_[a] for able in fits.values() for a in able}
    one_message = len({delivery_id for delivery_id, _ in parts}) == 1
    each_has = len(fits) == sum(p.free for p in parts.values())
    # When each part of each has arrived all have, whichever is whose; and of copies in one part any tells of the
    # message.
    if (each_has and fits.keys() <= arrived) or (one_message and all(p.units == 1 for p in parts.values())):
        return {(c, r): TakenPart(c, r, *attempt, parts[attempt].units) for (c, r), attempt in dealt.items()}
    untold = [a for a, p in parts.items() if p.free == p.units]
    if one_message and each_has and untold and not fits.keys() & failed:
        # Copies of a long message are all in the house, but which part is of which copy nobody knows: half of each is
        # no whole. They are filed as one copy that has arrived when all of them have.
        return {(c, r): TakenPart(c, r, *untold[-1], len(fits)) for c, r in fits}
    return {}
