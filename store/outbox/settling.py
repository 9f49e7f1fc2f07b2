"""Apply what happened to deliveries: states by the one table, counters, money and references in one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.outbox import doubts
from store.outbox.delivery_ids import campaign_of
from store.outbox.doubts import Doubt
from store.outbox.records import Settlement, StateChange
from store.states import CHARGING_EVENTS, NEGATIVE_RECEIPTS, OPEN, DeliveryEvent, DeliveryState, after, after_all
from store.tables import carrier_ref, delivery, progress

_SENDING = frozenset({DeliveryEvent.ACCEPTED, DeliveryEvent.IN_DOUBT})
_ATTEMPTS = frozenset(
    {
        DeliveryEvent.ACCEPTED,
        DeliveryEvent.REFUSED,
        DeliveryEvent.DEFERRED,
        DeliveryEvent.EXHAUSTED,
        DeliveryEvent.IN_DOUBT,
        DeliveryEvent.LOST,
    }
)
"""What costs an attempt. `NOT_SENT` does not: the next carrier takes it (design section 4)."""
_BEGINS_DOUBT = frozenset({DeliveryEvent.IN_DOUBT, DeliveryEvent.LOST})
_CUT = "cut"
"""The code of a message of which the parts that no carrier has are held back for good."""
_TOLD = frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.EXPIRED})
_ENDS_DOUBT = {
    DeliveryEvent.ACCEPTED: doubts.TAKEN,
    DeliveryEvent.RECEIPT_DELIVERED: doubts.TAKEN,
    DeliveryEvent.REFUSED: doubts.LOST,
    DeliveryEvent.DEFERRED: doubts.LOST,
    DeliveryEvent.EXHAUSTED: doubts.LOST,
    DeliveryEvent.NOT_SENT: doubts.LOST,
    DeliveryEvent.ATTEMPT_LOST: doubts.LOST,
    DeliveryEvent.RECEIPT_FAILED: doubts.LOST,
    DeliveryEvent.RECEIPT_EXPIRED: doubts.LOST,
}

_wanted = json_rows("wanted", id=int)
_KEPT: dict[str, type] = {
    "id": int, "state": int, "attempts": int, "charged": int, "doubted": int, "round": int,
    "carrier": str, "code": str, "text": str, "sent_ms": int, "changed_ms": int, "due_ms": int,
}  # fmt: skip
"""What events may change of a delivery, in the order in which it is read and written."""
_select = Prepared(
    sa.select(*(delivery.c[n] for n in (*_KEPT, "channel", "units", "price_millieuro")))
    .join(_wanted, delivery.c.id == _wanted.c.id)
    .order_by(delivery.c.id)
    .with_for_update(of=delivery)
)
_new = json_rows("new", **_KEPT)
_update = Prepared(
    sa.update(delivery).where(delivery.c.id == _new.c.id).values({n: _new.c[n] for n in _KEPT if n != "id"})
)

_refs = json_rows("refs", carrier=str, ref=str, delivery_id=int, attempt=int, part=int, parts=int)
_insert_refs = Prepared(
    # WHERE TRUE: without it SQLite reads ON as the beginning of a join.
    *(
        insert(carrier_ref)
        .from_select(["carrier", "ref", "delivery_id", "attempt", "part", "parts"], sa.select(_refs).where(sa.true()))
        .on_conflict_do_nothing()
        for insert in (insert_sqlite, insert_postgresql)
    )
)

_told_refs = json_rows("told_refs", carrier=str, ref=str, delivery_id=int, attempt=int)
_guesses = Prepared(
    sa.select(carrier_ref.c.id, carrier_ref.c.delivery_id, carrier_ref.c.attempt).join(
        _told_refs,
        sa.and_(
            carrier_ref.c.delivery_id == _told_refs.c.delivery_id,
            carrier_ref.c.carrier == _told_refs.c.carrier,
            carrier_ref.c.ref == _told_refs.c.ref,
            carrier_ref.c.part == 0,
            carrier_ref.c.attempt != _told_refs.c.attempt,
        ),
    )
)
_wrong = json_rows("wrong", id=int)
_drop_guesses = Prepared(sa.delete(carrier_ref).where(carrier_ref.c.id.in_(sa.select(_wrong.c.id))))

_STATES = tuple(s.word for s in DeliveryState)
_count = Prepared(
    sa.update(progress)
    .where(progress.c.campaign_id == sa.bindparam("campaign"), progress.c.channel == sa.bindparam("channel_"))
    .values(
        **{word: progress.c[word] + sa.bindparam(f"d_{word}") for word in _STATES},
        charged_millieuro=progress.c.charged_millieuro + sa.bindparam("d_charged"),
        resent=progress.c.resent + sa.bindparam("d_resent"),
        first_sent_ms=sa.func.coalesce(progress.c.first_sent_ms, sa.bindparam("sent_ms_", type_=sa.BigInteger)),
        last_sent_ms=sa.func.coalesce(sa.bindparam("sent_ms_", type_=sa.BigInteger), progress.c.last_sent_ms),
        revision=progress.c.revision + 1,
    )
)


class CounterTally:
    """Differences of the counters of the campaigns and channels touched, gathered and written once."""

    def __init__(self) -> None:
        self._moved: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._sent: set[tuple[int, str]] = set()

    def move(self, campaign: int, channel: str, old: DeliveryState, new: DeliveryState, n: int = 1) -> None:
        counts = self._moved[campaign, channel]
        counts[old.word] -= n
        counts[new.word] += n

    def charge(self, campaign: int, channel: str, millieuro: int) -> None:
        self._moved[campaign, channel]["charged"] += millieuro

    def resent(self, campaign: int, channel: str) -> None:
        self._moved[campaign, channel]["resent"] += 1

    def sent(self, campaign: int, channel: str) -> None:
        self._sent.add((campaign, channel))
        self._moved[campaign, channel]["queued"] += 0

    async def write(self, tx: Transaction) -> None:
        # In order of key: two transactions on PostgreSQL never wait for each other in a circle.
        for (campaign, channel), counts in sorted(self._moved.items()):
            values: dict[str, Any] = {f"d_{word}": counts.get(word, 0) for word in _STATES}
            values |= {
                "campaign": campaign,
                "channel_": channel,
                "d_charged": counts.get("charged", 0),
                "d_resent": counts.get("resent", 0),
                "sent_ms_": tx.now_ms if (campaign, channel) in self._sent else None,
            }
            await tx.run(_count, values)


_NO_DOUBT: Mapping[int, int] = MappingProxyType({})


class _Life:
    """One delivery while the events of a transaction pass over it."""

    __slots__ = (
        "attempts", "before", "carrier", "changed_ms", "channel", "charged", "code", "doubted", "due_ms", "ended",
        "fresh", "id", "named", "old", "open", "price", "round", "sent_ms", "state", "text", "units",
    )  # fmt: skip

    def __init__(self, row: AnyRow) -> None:
        # Unpacked, in the order of `_select`: a row's columns by name cost five times as much.
        state: int
        (
            self.id, state, self.attempts, self.charged, self.doubted, self.round, self.carrier, self.code, self.text,
            self.sent_ms, self.changed_ms, self.due_ms, self.channel, self.units, self.price,
        ) = row  # fmt: skip
        self.old = self.state = DeliveryState(state)
        self.before = row[: len(_KEPT)]
        # Nearly all deliveries are never in doubt: for them nothing is made.
        self.open: Mapping[int, int] = _NO_DOUBT
        """Round -> number of the attempts in doubt."""
        self.fresh: tuple[Doubt, ...] = ()
        self.ended: Mapping[int, int] = _NO_DOUBT
        self.named: tuple[Doubt, ...] = ()

    def happen(self, s: Settlement, round_: int | None, now_ms: int, tally: CounterTally) -> None:
        campaign = campaign_of(self.id)
        of = s.round or round_
        # A round has one attempt: the settle that is repeated, or that comes after its worker was thought dead,
        # speaks of the same one.
        is_new = of is None or of > self.round
        if s.event in _ATTEMPTS and is_new:
            self.attempts += 1
        if self.open or s.event in _BEGINS_DOUBT:
            self._doubt(s, of, is_new)
        new = self._after(s, of, is_new)
        if s.event in CHARGING_EVENTS and not self.charged:
            self.charged = 1
            tally.charge(campaign, self.channel, self.price)
        if s.event in _SENDING:
            self.sent_ms = self.sent_ms or now_ms
            tally.sent(campaign, self.channel)
        if s.event is DeliveryEvent.RESEND and new is not self.state:
            tally.resent(campaign, self.channel)
        if new is not self.state or (s.event is DeliveryEvent.DEFERRED and is_new):
            self.carrier = s.carrier or self.carrier
            self.code, self.text = s.code or None, s.text[:200] or None
            self.changed_ms = now_ms
            self.due_ms = now_ms + s.wait_ms if s.event is DeliveryEvent.DEFERRED else None
        self.state = new
        self.doubted = int(bool(self.open))
        if of is not None:
            self.round = max(self.round, of)

    def _after(self, s: Settlement, of: int | None, is_new: bool) -> DeliveryState:
        plain = is_new and not self.open and self.state not in _TOLD and s.event not in NEGATIVE_RECEIPTS
        if plain or s.event is DeliveryEvent.RECEIPT_DELIVERED:
            return after(self.state, s.event)
        return after_all(
            self.state,
            s.event,
            is_latest=self._is_latest(s, is_new),
            was_taken=bool(self.charged) or of is None,
            other_doubts=bool(self.open),
            later_doubt=of is not None and any(r > of for r in self.open),
        )

    def _is_latest(self, s: Settlement, is_new: bool) -> bool:
        """Whether it speaks of the latest attempt. A receipt that names its attempt speaks of an earlier one whenever
        another is to leave, or, named by our own number, was told of since."""
        if s.event not in NEGATIVE_RECEIPTS:
            return is_new
        if s.attempt:
            return bool(s.attempt >= self.attempts + (self.state in OPEN))
        return not s.round or self.state not in OPEN

    def _doubt(self, s: Settlement, of: int | None, is_new: bool) -> None:
        """Open the doubt about this attempt, or end it."""
        named = next((r for r, attempt in self.open.items() if attempt == s.attempt), None) if s.attempt else of
        about = self.round if named is None else named
        if s.event in _BEGINS_DOUBT:
            parts = len(s.refs) if s.code == _CUT else None
            if is_new and self.state not in _TOLD:
                self.open = {**self.open, about: self.attempts}
                self.fresh += (Doubt(self.id, about, self.attempts, s.carrier or None, parts),)
            elif s.carrier and about in self.open:
                self.named += (Doubt(self.id, about, self.open[about], s.carrier, parts),)
        elif s.event in _ENDS_DOUBT and about in self.open and (named is not None or not s.attempt):
            self.open = {r: attempt for r, attempt in self.open.items() if r != about}
            self.ended = {**self.ended, about: _ENDS_DOUBT[s.event]}

    def kept(self) -> tuple[Any, ...]:
        """In the order of `_KEPT`."""
        return (
            self.id, int(self.state), self.attempts, self.charged, self.doubted, self.round,
            self.carrier, self.code, self.text, self.sent_ms, self.changed_ms, self.due_ms,
        )  # fmt: skip


async def apply(
    tx: Transaction,
    settlements: Sequence[Settlement],
    *,
    round_: int | None = None,
    handed_ms: int | Mapping[int, int] | None = None,
) -> list[StateChange]:
    """Let the events pass over their deliveries, in the order given; unknown ids are ignored.

    `round_` marks the rows as settled in that round of their batch, and a settlement may name its own; references need
    `round_`. Nothing of that round left before `handed_ms`, of all or of each delivery. Counters, money, doubts and
    `carrier_ref` change in the same transaction. Idempotent: a second application changes no state, costs no attempt
    and charges nothing twice.
    """
    if not settlements:
        return []
    ids = sorted({s.delivery_id for s in settlements})
    lives = {life.id: life for life in map(_Life, await tx.rows(_select, {"wanted": pack((i,) for i in ids)}))}
    doubted = [life.id for life in lives.values() if life.doubted]
    if doubted:
        for i, rounds in (await doubts.open_of(tx, doubted)).items():
            lives[i].open = rounds
    await _take_back_guesses(tx, settlements, lives, round_)
    tally = CounterTally()
    for s in settlements:
        life = lives.get(s.delivery_id)
        if life is not None:
            life.happen(s, round_, tx.now_ms, tally)
    changes = [StateChange(life.id, life.old, life.state) for life in lives.values() if life.state is not life.old]
    for life in lives.values():
        if life.state is not life.old:
            tally.move(campaign_of(life.id), life.channel, life.old, life.state)
    changed = [kept for life in lives.values() if (kept := life.kept()) != life.before]
    if changed:
        await tx.run(_update, {"new": pack(changed)})
    await _keep_doubts(tx, lives.values(), tx.now_ms if handed_ms is None else handed_ms)
    await _keep_refs(tx, settlements, lives, round_ or 0)
    await tally.write(tx)
    return changes


async def _take_back_guesses(
    tx: Transaction, settlements: Iterable[Settlement], lives: Mapping[int, _Life], round_: int | None
) -> None:
    """An id that a receipt bore before anybody had told it was filed for one of several attempts in doubt. Whoever
    tells now that it is another one's leaves the first in doubt again: nobody has said what became of that."""
    told = [
        (s.carrier, ref, s.delivery_id, s.round or round_ or 0)
        for s in settlements
        # Nearly all are first attempts, of which nothing can have been guessed.
        if s.refs and s.delivery_id in lives and lives[s.delivery_id].attempts
        for ref in s.refs
    ]
    if not told:
        return
    wrong = await tx.rows(_guesses, {"told_refs": pack(told)})
    if not wrong:
        return
    await tx.run(_drop_guesses, {"wrong": pack((row.id,) for row in wrong)})
    await doubts.reopen(tx, ((row.delivery_id, row.attempt) for row in wrong))
    again = {row.delivery_id for row in wrong}
    for delivery_id, rounds in (await doubts.open_of(tx, again)).items():
        lives[delivery_id].open = rounds


async def _keep_doubts(tx: Transaction, lives: Iterable[_Life], handed_ms: int | Mapping[int, int]) -> None:
    moved = [life for life in lives if life.fresh or life.ended or life.named]
    if not moved:
        return
    fresh = [d for life in moved for d in life.fresh]
    ended = {(life.id, r): state for life in moved for r, state in life.ended.items()}
    await doubts.keep(tx, fresh, ended, handed_ms)
    await doubts.name_carriers(tx, [d for life in moved for d in life.named])


async def _keep_refs(tx: Transaction, settlements: Iterable[Settlement], lives: dict[int, _Life], round_: int) -> None:
    refs = [
        (s.carrier, ref, s.delivery_id, round_, part, _parts(s, lives[s.delivery_id]))
        for s in settlements
        if s.refs and s.delivery_id in lives
        for part, ref in enumerate(s.refs, start=1)
    ]
    if refs:
        await tx.run(_insert_refs, {"refs": pack(refs)})


async def file_part(tx: Transaction, carrier: str, ref: str, delivery_id: int, round_: int, parts: int) -> None:
    """Of an attempt in doubt: one of its `parts` is known by this id. Which one nobody has said."""
    await tx.run(_insert_refs, {"refs": pack([(carrier, ref, delivery_id, round_, 0, parts)])})


def _parts(s: Settlement, life: _Life) -> int:
    """Of an attempt that broke off, only the parts that were taken have a reference: the others count as well, or
    the first half of a long SMS would pass for the whole."""
    return len(s.refs) if s.event is DeliveryEvent.ACCEPTED else max(len(s.refs), life.units)
