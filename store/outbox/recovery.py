"""What becomes of batches whose worker died or threw: their in-hand rows are `unknown`, the others are free at once.

A row that breaks whoever works on it costs itself only: one that does so before it is handed over is found by halving
its batch and quarantined; one that does so while it is handed over, by a round in which each is handed over alone.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import msgspec
import sqlalchemy as sa

from store import audit
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.savepoints import together_or_apart
from store.engine.transaction import AnyRow, Transaction
from store.outbox.batches import part_of, settle
from store.outbox.doubts import OPEN as DOUBT_OPEN
from store.outbox.inbox import match_new_refs
from store.outbox.records import CAREFUL_AFTER, Batch, Settlement
from store.outbox.settling import apply
from store.states import OPEN_CODES, BatchState, CampaignState, DeliveryEvent, DeliveryState
from store.tables import batch, campaign, delivery, doubt, node, receipt_inbox

HALVE_AFTER = 2
"""Rounds without progress of the cursor."""
QUARANTINE_AFTER = 4
"""The same for a batch of one row: a machine that is killed twice in a row must not cost a person the message."""

_without = json_rows("without", id=int)
_ended = Prepared(
    sa.select(batch, campaign.c.crash_policy)
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(
        sa.text("batch.state IN (1, 2)"),  # word for word the predicate of the index: done batches are many
        batch.c.state == int(BatchState.LEASED),
        batch.c.due_ms <= sa.bindparam("now"),
        batch.c.id.not_in(sa.select(_without.c.id)),
        sa.or_(sa.bindparam("node_", type_=sa.Text).is_(None), batch.c.node == sa.bindparam("node_", type_=sa.Text)),
    )
    .order_by(batch.c.due_ms, batch.c.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True, of=batch)
)
_in_hand = Prepared(
    sa.select(delivery.c.id).where(
        delivery.c.id.between(sa.bindparam("first"), sa.bindparam("cursor")),
        delivery.c.state.in_(OPEN_CODES),
        delivery.c.round < sa.bindparam("round_"),
    )
)
_touched = Prepared(
    sa.select(delivery.c.id)
    .where(delivery.c.id.between(sa.bindparam("first"), sa.bindparam("cursor")))
    .order_by(delivery.c.id)
    .with_for_update()
)
_told = (
    sa.select(delivery.c.id)
    .where(
        delivery.c.id.between(sa.bindparam("first"), sa.bindparam("cursor")),
        delivery.c.round == sa.bindparam("round_"),
        delivery.c.changed_ms >= sa.bindparam("since_ms"),
        delivery.c.state != int(DeliveryState.UNKNOWN),
        delivery.c.id.not_in(sa.bindparam("but", expanding=True)),
    )
    .limit(1)
)
_back = Prepared(
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"))
    .values(
        state=sa.bindparam("state_"),
        node=None,
        due_ms=sa.bindparam("due"),
        stalls=sa.bindparam("stalls_"),
        losses=sa.bindparam("losses_"),
    )
)
_release_all = sa.update(batch).where(batch.c.state == int(BatchState.LEASED)).values(due_ms=0)


class Evidence(Protocol):
    """What a worker that died has left of its last moments."""

    def was_claimed(self, batch_id: int, round_: int) -> bool:
        """Whether all that was begun in this round of the batch is known."""
        ...

    def was_begun(self, delivery_id: int, round_: int) -> bool:
        """Whether a byte of it may have left in this round."""
        ...

    def answer(self, delivery_id: int, round_: int) -> Settlement | None:
        """What a carrier has said of it in this round, whether or not the store was told."""
        ...


class Recovered(msgspec.Struct, frozen=True):
    batch_id: int
    unknown: int
    halved: bool = False
    quarantined: int | None = None
    """The delivery that was taken out of circulation."""


_release_those_of = Prepared(_release_all.where(batch.c.node == sa.bindparam("node_")))


async def end_leases_of(tx: Transaction, node_name: str) -> int:
    """Ends the leases of a process that is known to be dead."""
    return await tx.run(_release_those_of, {"node_": node_name})


async def end_all_leases(tx: Transaction) -> int:
    """Ends every lease: at the start of the only server of a SQLite file, when whoever held one is dead."""
    return await tx.run(_release_all)


async def forget_the_future(tx: Transaction) -> int:
    """At the start of the only server of a SQLite file: when the last one has seen a later time than it is now, the
    clock was stepped back. What waits for an instant of the old clock waits as long as it was to wait, not until the
    old hour comes again. Returns by how much, ms; slots look after themselves (`ceilings.believable`)."""
    row = await tx.first(sa.select(sa.func.max(node.c.seen_ms)))
    step_ms = max(int(row[0] or 0) - tx.now_ms, 0) if row else 0
    if step_ms:
        running = sa.exists().where(
            campaign.c.id == batch.c.campaign_id, campaign.c.state == str(CampaignState.RUNNING)
        )
        waiting = sa.and_(batch.c.state == int(BatchState.WAITING), batch.c.due_ms > tx.now_ms, running)
        await tx.run(sa.update(batch).where(waiting).values(due_ms=batch.c.due_ms - step_ms))
        in_doubt = sa.and_(delivery.c.state == int(DeliveryState.UNKNOWN), delivery.c.changed_ms > tx.now_ms)
        await tx.run(sa.update(delivery).where(in_doubt).values(changed_ms=tx.now_ms))
        put_off = sa.and_(delivery.c.state == int(DeliveryState.RETRY), delivery.c.due_ms > tx.now_ms)
        await tx.run(sa.update(delivery).where(put_off).values(due_ms=delivery.c.due_ms - step_ms))
        # By the step, all of them: their order decides whose a receipt is.
        open_doubts = sa.update(doubt).where(doubt.c.state == DOUBT_OPEN)
        await tx.run(open_doubts.values(handed_ms=doubt.c.handed_ms - step_ms))
        waiting_receipts = sa.update(receipt_inbox).where(receipt_inbox.c.matched_ms.is_(None))
        await tx.run(waiting_receipts.values(received_ms=receipt_inbox.c.received_ms - step_ms))
        claimed = sa.and_(sa.text("batch.state IN (1, 2)"), batch.c.claimed_ms.is_not(None))
        await tx.run(sa.update(batch).where(claimed).values(claimed_ms=batch.c.claimed_ms - step_ms))
        await tx.run(sa.update(node).where(node.c.seen_ms > tx.now_ms).values(seen_ms=tx.now_ms))
    return step_ms


async def recover(
    tx: Transaction,
    *,
    most: int = 20,
    left_alone: set[int] | None = None,
    evidence: Evidence | None = None,
    node_name: str | None = None,
) -> list[Recovered]:
    """Take back batches whose lease has ended. Rows in hand become `unknown`; the kind's policy decides the rest. With
    evidence, what was certainly not begun is known not sent, and what was answered is settled. `node_name`: only those
    that this worker held.

    A batch that cannot be worked on stops no other: it joins `left_alone`, and what stands there is passed by."""
    alone = set() if left_alone is None else left_alone
    values = {"now": tx.now_ms, "most": most, "node_": node_name}
    while ended := await tx.rows(_ended, values | {"without": pack((i,) for i in alone)}):
        each = {row.id: [row] for row in ended}
        work = partial(_take_back, tx, evidence=evidence)
        recovered = await together_or_apart(tx, each, work, "recover-failed", alone)
        if recovered:
            return [one for some in recovered for one in some]
    return []


async def abandon(tx: Transaction, held: Batch, results: Sequence[Settlement], rest_ms: int) -> Recovered | None:
    """A batch threw in its worker's hands: like `recover`, but at once, with what is known of it, and the batch
    rests a moment. Where nothing of it is in hand it is a stall, however far its cursor had come: what was granted is
    known not to have left. None when the lease was lost meanwhile."""
    row = await tx.first(
        sa.select(batch)
        .where(batch.c.id == held.id, batch.c.lease == held.lease, batch.c.state == int(BatchState.LEASED))
        .with_for_update()
    )
    if row is not None and not tx.sqlite:
        # Two times deliveries and counters in one transaction: all of the deliveries first (`settling.apply`).
        await tx.rows(_touched, {"first": row.first, "cursor": row.cursor})
    await settle(tx, held, results)
    if row is None:
        return None
    [recovered] = await _take_back(tx, [row], due_ms=tx.now_ms + rest_ms, stalls=held.stalls)
    return recovered


async def _take_back(
    tx: Transaction,
    rows: Sequence[AnyRow],
    *,
    due_ms: int | None = None,
    stalls: int | None = None,
    evidence: Evidence | None = None,
) -> list[Recovered]:
    """`stalls`: of a batch that was given up in order, how many there were before."""
    if evidence is not None:
        if not tx.sqlite:
            # Several times deliveries and counters in one transaction: all of the deliveries first (`settling.apply`).
            for row in rows:
                await tx.rows(_touched, {"first": row.first, "cursor": row.cursor})
        for row in rows:
            await _hear(tx, row, evidence)
    lost = {row.id: await _call_lost(tx, row, evidence) for row in rows}
    broken = {row.id for row in rows if _breaks_its_worker(row, bool(lost[row.id]), stalls)}
    told = [s for row in rows for s in (*lost[row.id], *(await _called_broken(tx, row) if row.id in broken else ()))]
    handed_ms = {
        s.delivery_id: min(row.claimed_ms or 0, tx.now_ms)
        for row in rows
        for s in lost[row.id]
        if s.event is DeliveryEvent.LOST
    }
    # All at once: deliveries, then counters, as everybody takes them (`settling.apply`).
    await apply(tx, told, handed_ms=handed_ms)
    return [
        await _take_out(tx, row) if row.id in broken else await _put_back(tx, row, lost[row.id], due_ms, stalls)
        for row in rows
    ]


async def _put_back(
    tx: Transaction, row: AnyRow, told: Sequence[Settlement], due_ms: int | None, stalls: int | None
) -> Recovered:
    in_hand = sum(settlement.event is DeliveryEvent.LOST for settlement in told)
    not_begun = [settlement.delivery_id for settlement in told if settlement.event is DeliveryEvent.NOT_SENT]
    state = BatchState.READY if due_ms is None else BatchState.WAITING
    back = {"batch": row.id, "state_": int(state), "due": due_ms}
    if row.cursor >= row.first and (in_hand or stalls is None):
        losses = 0 if await _was_told(tx, row, not_begun) else row.losses + 1
        if row.losses >= CAREFUL_AFTER:
            # The row that kills is the one behind the cursor. The others are still handed over one by one: there may be
            # two of its kind.
            await _cut_at_cursor(tx, row, due_ms)
        await tx.run(_back, back | {"stalls_": 0, "losses_": losses})
        return Recovered(row.id, in_hand)
    stalls = (row.stalls if stalls is None else stalls) + 1
    if stalls >= HALVE_AFTER and row.first < row.last:
        await _halve(tx, row)
        return Recovered(row.id, in_hand, halved=True)
    await tx.run(_back, back | {"stalls_": stalls, "losses_": row.losses})
    return Recovered(row.id, in_hand)


async def _hear(tx: Transaction, row: AnyRow, evidence: Evidence) -> None:
    """Settle what carriers had answered and the store was not told, as its worker would have."""
    in_hand = await tx.rows(_in_hand, {"first": row.first, "cursor": row.cursor, "round_": row.round})
    answers = [answer for r in in_hand if (answer := evidence.answer(r.id, row.round)) is not None]
    await apply(tx, answers, round_=row.round, handed_ms=min(row.claimed_ms or 0, tx.now_ms))
    await match_new_refs(tx, [(answer.carrier, ref) for answer in answers for ref in answer.refs])


async def _call_lost(tx: Transaction, row: AnyRow, evidence: Evidence | None) -> list[Settlement]:
    """Whoever was in hand is in doubt, unless there is evidence of what became of them."""
    in_hand = await tx.rows(_in_hand, {"first": row.first, "cursor": row.cursor, "round_": row.round})
    return [_fate_of(r.id, row, evidence) for r in in_hand]


def _fate_of(delivery_id: int, row: AnyRow, evidence: Evidence | None) -> Settlement:
    known = evidence is not None and evidence.was_claimed(row.id, row.round)
    if evidence is not None and known and not evidence.was_begun(delivery_id, row.round):
        return Settlement(delivery_id, DeliveryEvent.NOT_SENT, round=row.round)
    return Settlement(delivery_id, DeliveryEvent.LOST, round=row.round)


def _breaks_its_worker(row: AnyRow, has_in_hand: bool, stalls: int | None) -> bool:
    """A row that stands alone and is not handed over, again and again."""
    stalled = row.cursor < row.first if stalls is None else not has_in_hand
    before = row.stalls if stalls is None else stalls
    return bool(stalled and row.first == row.last and before + 1 >= QUARANTINE_AFTER)


async def _called_broken(tx: Transaction, row: AnyRow) -> list[Settlement]:
    """The row that breaks its worker, if it is still to be sent."""
    found = await tx.rows(sa.select(delivery.c.id).where(delivery.c.id == row.first, delivery.c.state.in_(OPEN_CODES)))
    text = "taken out of circulation: it stopped its worker again and again"
    return [Settlement(r.id, DeliveryEvent.QUARANTINED, code="quarantined", text=text, round=row.round) for r in found]


async def _was_told(tx: Transaction, row: AnyRow, not_begun: Sequence[int]) -> bool:
    """Whether anybody was told of in this round, besides those of whom it was found out afterwards that nothing had
    begun: its worker lived to hear an answer."""
    values = {"first": row.first, "cursor": row.cursor, "round_": row.round, "since_ms": row.claimed_ms or 0}
    values |= {"but": list(not_begun)}
    return await tx.first(_told, values) is not None


async def _cut_at_cursor(tx: Transaction, row: AnyRow, due_ms: int | None) -> None:
    """What is beyond the cursor no longer shares the fate of what is behind it."""
    if row.cursor >= row.last:
        return
    state = BatchState.READY if due_ms is None else BatchState.WAITING
    rest = part_of(row, row.cursor + 1, row.last, tag=row.tag) | {"state": int(state), "due_ms": due_ms}
    await tx.run(sa.insert(batch).values(**rest))
    await tx.run(sa.update(batch).where(batch.c.id == row.id).values(last=row.cursor))


async def _halve(tx: Transaction, row: AnyRow) -> None:
    middle = (row.first + row.last) // 2
    common = {n: getattr(row, n) for n in ("campaign_id", "channel", "mode", "priority", "tag", "round", "lease")}
    # The halves need one more stall each, not two: nine halvings of 500 rows must not take the evening.
    common |= {"state": int(BatchState.READY), "stalls": HALVE_AFTER - 1, "due_ms": None}
    first_half = sa.update(batch).where(batch.c.id == row.id)
    await tx.run(first_half.values(last=middle, cursor=row.first - 1, node=None, **common))
    await tx.run(sa.insert(batch).values(first=middle + 1, last=row.last, cursor=middle, **common))


async def _take_out(tx: Transaction, row: AnyRow) -> Recovered:
    await tx.run(sa.update(batch).where(batch.c.id == row.id).values(state=int(BatchState.DONE), node=None))
    whose = await tx.first(sa.select(campaign.c.zone_id).where(campaign.c.id == row.campaign_id))
    zone_id = None if whose is None else whose.zone_id  # null: of a notice
    await audit.note(tx, "delivery-quarantined", str(row.first), zone_id=zone_id)
    return Recovered(row.id, 0, quarantined=row.first)
