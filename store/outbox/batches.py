"""The queue: claim a batch, settle its results, split it where handing over ends, give it back. Its cursor is moved by
`store.outbox.fence` alone.

A delivery at or below the cursor that is not yet settled in the batch's round is *in hand*: its bytes may be on the
wire. Nothing beyond the cursor may leave. See design section 4.
"""

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.outbox.doubts import OPEN as DOUBT_OPEN
from store.outbox.inbox import hear_first, match_new_refs
from store.outbox.ready_batches import is_held, next_first, next_ready, others_begin
from store.outbox.records import Batch, DeliveryRow, Settlement
from store.outbox.resending import Resending, is_resent, resend_unknown
from store.outbox.settling import apply
from store.states import OPEN, OPEN_CODES, BatchState, CampaignState, DeliveryEvent, DeliveryState
from store.tables import batch, campaign, delivery, doubt, member

_LEASED = batch.c.state == int(BatchState.LEASED)
_ANY = 1_000
"""Above every priority."""
_MAY_REOPEN = frozenset({DeliveryEvent.NOT_SENT, DeliveryEvent.DEFERRED})


_lease = Prepared(
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"))
    .values(
        state=int(BatchState.LEASED),
        node=sa.bindparam("node_"),
        lease=batch.c.lease + 1,
        round=batch.c.round + 1,
        cursor=batch.c.first - 1,
        due_ms=sa.bindparam("until_ms"),
        claimed_ms=sa.bindparam("now_ms_"),
    )
)
_not_taken = sa.or_(delivery.c.doubted == 1, delivery.c.due_ms.is_not(None))
_lost = (
    sa.exists()
    .where(doubt.c.delivery_id == delivery.c.id, doubt.c.state == DOUBT_OPEN, doubt.c.carrier.is_(None))
    .correlate(delivery)
)
_rows = Prepared(
    sa.select(
        delivery.c.id,
        delivery.c.address,
        sa.func.coalesce(member.c.name, "").label("name"),
        delivery.c.language,
        delivery.c.units,
        delivery.c.attempts,
        sa.case((_not_taken, sa.func.coalesce(delivery.c.carrier, "")), else_="").label("last_way"),
        (delivery.c.doubted == 1).label("is_doubted"),
        # CASE: for nearly all rows the doubts are not looked at.
        sa.case(
            (sa.and_(delivery.c.doubted == 1, delivery.c.attempts >= sa.bindparam("last_attempt")), _lost),
            else_=sa.false(),
        ).label("is_alone"),
        sa.func.coalesce(delivery.c.due_ms, 0).label("due_ms"),
    )
    .join(member, member.c.id == delivery.c.member_id, isouter=True)
    .where(delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")), delivery.c.state.in_(OPEN_CODES))
    .order_by(delivery.c.id)
)
_later = json_rows("later", id=int)
_asked = json_rows("asked", id=int)
_still_open = Prepared(
    sa.select(delivery.c.id).join(_asked, delivery.c.id == _asked.c.id).where(delivery.c.state.in_(OPEN_CODES))
)
_pass_over = Prepared(sa.update(delivery).where(delivery.c.id == _later.c.id).values(round=sa.bindparam("round_")))
_vtime = Prepared(
    sa.text(
        "INSERT INTO lane_clock (channel, mode, priority, vtime) VALUES (:channel, :mode, :priority, :tag) "
        "ON CONFLICT (channel, mode, priority) DO UPDATE SET vtime = :tag WHERE lane_clock.vtime < :tag"
    )
)


async def claim(
    tx: Transaction,
    channel: str,
    mode: str,
    node: str,
    lease_ms: int,
    resending: Resending,
    *,
    before: int | None = None,
    first: bool = False,
) -> Batch | None:
    """Lease the next batch of a lane: lowest priority number, then those of whose campaign nobody has been told, then
    fair tag; with `before` only one whose number is lower than that, with `first` only one that begins its campaign. A
    claim starts a new round."""
    most = _ANY if before is None else before - 1
    lane = {"channel_": channel, "mode_": mode}
    found = await tx.first(next_first, lane) if first else await tx.first(next_ready, lane | {"most_": most})
    if found is None:
        return None
    until = {"until_ms": tx.now_ms + lease_ms, "now_ms_": tx.now_ms}
    await tx.run(_lease, {"batch": found.id, "node_": node} | until)
    if found.crash_policy == "resend":
        await resend_unknown(tx, found, resending)
    rows = await _due_rows(tx, found, resending.most_attempts)
    if found.turn:
        # The first of a campaign go before their tag: they say nothing of how far the others are.
        await tx.run(_vtime, {"channel": channel, "mode": mode, "priority": found.priority, "tag": found.tag})
    others = (
        await tx.first(others_begin, lane | {"priority_": found.priority, "most_": 1_000}) if found.turn == 0 else None
    )
    return Batch(
        id=found.id, lease=found.lease + 1, node=node, round=found.round + 1,
        campaign_id=found.campaign_id, channel=channel, mode=mode, priority=found.priority,
        first=found.first, last=found.last, epoch=found.epoch, starts_ms=found.starts_ms,
        expires_ms=found.expires_ms, crash_policy=found.crash_policy, stalls=found.stalls,
        rows=rows, losses=found.losses, claimed_ms=tx.now_ms, tag=found.tag, weight=found.weight,
        is_first=found.turn == 0, others_begin=int(others[0]) if others else 0,
    )  # fmt: skip


async def _due_rows(tx: Transaction, found: AnyRow, most_attempts: int) -> tuple[DeliveryRow, ...]:
    """What was put off and is not due yet, and what may have been answered by a receipt that cannot be told yet, has
    nothing to do in this round: the cursor passes over it, and it is not in hand."""
    values = {"first": found.first, "last": found.last, "last_attempt": most_attempts - 1}
    rows = await tx.rows(_rows, values)
    doubted = [row.address for row in rows if row.is_doubted]
    undecided: frozenset[str] = frozenset()
    if doubted:
        undecided = await hear_first(tx, doubted, found.channel, found.mode)
        rows = await tx.rows(_rows, values)
    later = {r.id for r in rows if r.due_ms > tx.now_ms or (r.is_doubted and r.address in undecided)}
    if later:
        await tx.run(_pass_over, {"later": pack((i,) for i in later), "round_": found.round + 1})
    return tuple(_row(row) for row in rows if row.id not in later)


def _row(found: AnyRow) -> DeliveryRow:
    i, address, name, language, units, attempts, last_way, is_doubted, is_alone, _ = found
    return DeliveryRow(i, address, name, language, units, attempts, last_way, bool(is_doubted), bool(is_alone))


async def decided(tx: Transaction, rows: Sequence[DeliveryRow]) -> set[int]:
    """Those that were to be sent again, and of which it is known meanwhile what became of them."""
    doubted = [row for row in rows if row.is_doubted]
    if not doubted:
        return set()
    await hear_first(tx, [row.address for row in doubted])
    still = await tx.rows(_still_open, {"asked": pack((row.id,) for row in doubted)})
    return {row.id for row in doubted} - {row.id for row in still}


_settled = json_rows("settled", id=int)
# PostgreSQL: whoever gives such a batch back has looked before and closed it, or looks when this has been committed.
# Batches first, then their deliveries, as everywhere: a claim must not wait for these rows and hold what they wait for.
_lock = Prepared(
    sa.select(batch.c.id)
    .where(
        batch.c.campaign_id == sa.bindparam("campaign"),
        sa.exists(sa.select(1).select_from(_settled).where(_settled.c.id.between(batch.c.first, batch.c.last))),
    )
    .order_by(batch.c.id)
    .with_for_update()
)
_reopened = json_rows("reopened", id=int)
_reopen = Prepared(
    sa.update(batch)
    .where(
        batch.c.campaign_id == sa.bindparam("campaign"),
        batch.c.state.in_((int(BatchState.DONE), int(BatchState.WAITING))),
        sa.exists(sa.select(1).select_from(_reopened).where(_reopened.c.id.between(batch.c.first, batch.c.last))),
    )
    .values(state=int(BatchState.READY), due_ms=None)
)


async def settle(tx: Transaction, held: Batch, settlements: Sequence[Settlement]) -> None:
    """Record what came back. Facts are kept even when the lease was lost meanwhile; only closing is fenced.

    Rows that others gave up as unknown, and that turn out not to have been sent, open their batch again, also where it
    waits for what may still be heard of them.
    """
    if not tx.sqlite and any(s.event in _MAY_REOPEN for s in settlements):
        await tx.rows(_lock, {"campaign": held.campaign_id, "settled": pack((s.delivery_id,) for s in settlements)})
    changes = await apply(tx, settlements, round_=held.round, handed_ms=held.claimed_ms)
    unsent = [(c.delivery_id,) for c in changes if c.old is DeliveryState.UNKNOWN and c.new in OPEN]
    if unsent:
        await tx.run(_reopen, {"campaign": held.campaign_id, "reopened": pack(unsent)})
    await match_new_refs(tx, [(s.carrier, ref) for s in settlements for ref in s.refs])


_renew = Prepared(
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"), batch.c.lease == sa.bindparam("lease_"), _LEASED)
    .values(due_ms=sa.bindparam("until_ms"))
)


async def renew(tx: Transaction, held: Sequence[Batch], lease_ms: int) -> set[tuple[int, int]]:
    """Heartbeat. The claims that are still ours."""
    ours = set()
    for b in sorted(held, key=lambda b: b.id):
        if await tx.run(_renew, {"batch": b.id, "lease_": b.lease, "until_ms": tx.now_ms + lease_ms}):
            ours.add(b.claim)
    return ours


_these = json_rows("batches", id=int)
_going_on = Prepared(
    sa.select(batch.c.id, batch.c.lease, campaign.c.epoch)
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(
        batch.c.id.in_(sa.select(_these.c.id)),
        _LEASED,
        campaign.c.state == str(CampaignState.RUNNING),
        campaign.c.expires_ms > sa.bindparam("now"),
        ~is_held(),
    )
)


async def going_on(conn: AsyncConnection, held: Sequence[Batch], now_ms: int) -> set[tuple[int, int]]:
    """The claims of which the fence would still let something go: whoever asked for them may write what it has not
    written yet. Moves nothing; asks for no lock."""
    rows = await rows_of(conn, _going_on, {"batches": _packed(held), "now": now_ms})
    found = {(row.id, row.lease): row.epoch for row in rows}
    return {b.claim for b in held if found.get(b.claim) == b.epoch}


def _packed(batches: Sequence[Batch]) -> str:
    return pack((each.id,) for each in batches)


# ---- giving back -----------------------------------------------------------------------------------------

_remaining = Prepared(sa.select(delivery.c.id, delivery.c.state, delivery.c.changed_ms, delivery.c.due_ms).where(
    delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")),
    sa.or_(
        delivery.c.state.in_(OPEN_CODES),
        sa.and_(
            delivery.c.state == int(DeliveryState.UNKNOWN),
            sa.bindparam("resends", type_=sa.Integer) == 1,
            delivery.c.attempts < sa.bindparam("most"),
            is_resent,
        ),
    ),
).order_by(delivery.c.id))  # fmt: skip
_any_queued = Prepared(
    sa.select(delivery.c.id)
    .where(
        delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")),
        delivery.c.state == int(DeliveryState.QUEUED),
        delivery.c.due_ms.is_(None),
    )
    .limit(1)
)
_ours = sa.and_(batch.c.id == sa.bindparam("batch"), batch.c.lease == sa.bindparam("lease_"), _LEASED)
_lock_ours = Prepared(sa.select(batch.c.id).where(_ours).with_for_update())
_give_back = Prepared(
    sa.update(batch)
    .where(_ours)
    .values(
        state=sa.bindparam("state_"),
        due_ms=sa.bindparam("due"),
        node=None,
        stalls=0,
        losses=sa.bindparam("losses_"),
        turn=sa.case((sa.bindparam("begins_again_", type_=sa.Integer) == 1, 0), else_=batch.c.turn),
    )
)


async def give_back(
    tx: Transaction,
    held: Batch,
    settlements: Sequence[Settlement],
    *,
    retry_ms: int | None,
    resending: Resending,
    rest_ms: int | None = None,
    begins_again: bool = False,
) -> BatchState | None:
    """Settle and end the lease: done when nothing is left to send; waiting until the first is due of what was put
    off or is in doubt, or until `retry_ms` (None: at once) where it is known not sent for another reason; what was
    not reached is ready at once (the lane gave way) or waits until `rest_ms` (no carrier was open). `begins_again`:
    nobody of its campaign has been told after all, so it goes before those who have begun. None when the lease was lost
    meanwhile."""
    ours = await tx.first(_lock_ours, {"batch": held.id, "lease_": held.lease})
    await settle(tx, held, settlements)
    if ours is None:
        return None
    if not held.losses and await tx.first(_any_queued, {"first": held.first, "last": held.last}):
        # A lane that gives way has nearly all of its rows left: they need not be read to know that.
        state, due_ms = (BatchState.READY, None) if rest_ms is None else (BatchState.WAITING, rest_ms)
        values = {"state_": int(state), "due": due_ms, "losses_": 0, "begins_again_": int(begins_again)}
        await tx.run(_give_back, {"batch": held.id, "lease_": held.lease} | values)
        return state
    left = await _what_is_left(tx, held, resending)
    state, due_ms = _comes_back(left, retry_ms, resending, rest_ms)
    # Where nothing was told of anybody a bad row may still be among them.
    told = len(left) < len(held.rows)
    values = {"state_": int(state), "due": due_ms, "losses_": 0 if told else held.losses}
    values["begins_again_"] = int(begins_again)
    await tx.run(_give_back, {"batch": held.id, "lease_": held.lease} | values)
    return state


async def _what_is_left(tx: Transaction, held: Batch, resending: Resending) -> list[AnyRow]:
    """Of a batch: what may still be sent, by id."""
    values = {"most": resending.most_attempts, "resends": int(held.crash_policy == "resend")}
    return await tx.rows(_remaining, {"first": held.first, "last": held.last} | values)


def _comes_back(
    left: Sequence[AnyRow], retry_ms: int | None, resending: Resending, rest_ms: int | None
) -> tuple[BatchState, int | None]:
    """When the first of them is due. Each has a wait of its own."""
    if not left:
        return BatchState.DONE, None
    dues = [_due_ms(row, retry_ms, resending) for row in left]
    if any(due is None for due in dues):
        return (BatchState.READY, None) if rest_ms is None else (BatchState.WAITING, rest_ms)
    return BatchState.WAITING, min(due for due in dues if due is not None)


def _due_ms(row: AnyRow, retry_ms: int | None, resending: Resending) -> int | None:
    """None: at once."""
    if row.state == DeliveryState.UNKNOWN:
        return int(row.changed_ms) + resending.wait_ms
    if row.due_ms is not None:
        return int(row.due_ms)
    return None if row.state == DeliveryState.QUEUED else retry_ms


# ---- where handing over ends -----------------------------------------------------------------------------

_narrow = Prepared(
    sa.update(batch)
    .where(_ours)
    .values(first=sa.bindparam("first_"), last=sa.bindparam("last_"), cursor=sa.bindparam("last_"))
)
_whole = Prepared(sa.select(batch).where(batch.c.id == sa.bindparam("batch")))
_SHARED = ("campaign_id", "channel", "mode", "priority", "round", "lease", "losses")
_OF_PART = (*_SHARED, "first", "last", "cursor", "tag", "turn", "waits", "state", "due_ms")
_add = Prepared(sa.insert(batch).values({name: sa.bindparam(name) for name in _OF_PART}))
_add_held = Prepared(
    sa.insert(batch)
    .values({name: sa.bindparam(name) for name in (*_OF_PART, "node", "claimed_ms")})
    .returning(batch.c.id)
)


async def split(
    tx: Transaction,
    held: Batch,
    settlements: Sequence[Settlement],
    in_flight: Collection[int],
    *,
    retry_ms: int | None,
    resending: Resending,
    rest_ms: int | None = None,
) -> tuple[Batch, ...] | None:
    """Settle, and keep of the batch only what waits for its answer: what may still be sent stands in batches of its
    own, each ready or due as if it had been given back. Returns what is still held, in the order of its rows, or None
    when the lease was lost. Nothing may be in flight beyond the cursor."""
    ours = await tx.first(_lock_ours, {"batch": held.id, "lease_": held.lease})
    await settle(tx, held, settlements)
    if ours is None:
        return None
    row = await tx.first(_whole, {"batch": held.id})
    assert row is not None
    if (row.first, row.last) != (held.first, held.last):
        # PostgreSQL: it has been split, and the answer to the commit was lost.
        return await _parts_of(tx, held)
    left = {row.id: row for row in await _what_is_left(tx, held, resending) if row.id not in in_flight}
    runs = _runs(held, in_flight, left)
    if not any(kept for kept, *_ in runs):
        return (held,)
    parts: list[Batch] = []
    for kept, first, last in runs:
        if kept:
            parts.append(await _keep(tx, held, row, first, last, is_first=not parts))
            continue
        free = [r for i, r in left.items() if first <= i <= last]
        state, due_ms = _comes_back(free, retry_ms, resending, rest_ms)
        await tx.run(
            _add, part_of(row, first, last, tag=_tag_at(held, first)) | {"state": int(state), "due_ms": due_ms}
        )
    return tuple(parts)


_lock_these = Prepared(
    sa.select(batch.c.id).where(batch.c.id.in_(sa.select(_these.c.id))).order_by(batch.c.id).with_for_update()
)


async def lock_batches(tx: Transaction, parts: Sequence[Batch]) -> None:
    """PostgreSQL: nobody else moves these batches before the transaction ends. Batches are locked before their
    deliveries, and those before the counters, everywhere: two transactions never wait for each other in a circle."""
    if parts and not tx.sqlite:
        await tx.rows(_lock_these, {"batches": _packed(parts)})


async def let_go(
    tx: Transaction,
    claimed: Batch,
    parts: Sequence[Batch],
    settlements: Sequence[Settlement],
    in_flight: Collection[int],
    *,
    retry_ms: int | None,
    resending: Resending,
    rest_ms: int | None = None,
    begins_again: bool = False,
) -> tuple[Batch, ...]:
    """Settle, and keep of the parts of a claimed batch only what waits for its answer (`split`); a part of which
    nothing does is given back (`give_back`). Returns the parts that are still held."""
    await lock_batches(tx, parts)
    await settle(tx, claimed, settlements)
    kept: list[Batch] = []
    for part in parts:
        mine = {row.id for row in part.rows if row.id in in_flight}
        if mine:
            kept += await split(tx, part, (), mine, retry_ms=retry_ms, resending=resending, rest_ms=rest_ms) or ()
        else:
            await give_back(
                tx, part, (), retry_ms=retry_ms, resending=resending, rest_ms=rest_ms, begins_again=begins_again
            )
    return tuple(kept)


_still_held = Prepared(
    sa.select(batch.c.id, batch.c.first, batch.c.last)
    .where(
        batch.c.campaign_id == sa.bindparam("campaign"),
        _LEASED,
        batch.c.node == sa.bindparam("node_"),
        batch.c.lease == sa.bindparam("lease_"),
        batch.c.first.between(sa.bindparam("first_"), sa.bindparam("last_")),
    )
    .order_by(batch.c.first)
)


async def _parts_of(tx: Transaction, held: Batch) -> tuple[Batch, ...]:
    """What this worker still holds of a batch that it has split."""
    values = {"campaign": held.campaign_id, "node_": held.node, "lease_": held.lease}
    rows = await tx.rows(_still_held, values | {"first_": held.first, "last_": held.last})
    return tuple(
        msgspec.structs.replace(
            held, id=r.id, first=r.first, last=r.last,
            rows=tuple(row for row in held.rows if r.first <= row.id <= r.last),
        )
        for r in rows
    )  # fmt: skip


def _runs(held: Batch, in_flight: Collection[int], left: Collection[int]) -> list[tuple[bool, int, int]]:
    """(kept, first, last), end to end over the whole batch, so that a late fact finds the batch of its row. Kept runs
    hold nothing that is left to send; rows that are done stand in whichever run is beside them."""
    marks = sorted(({i: False for i in left} | {i: True for i in in_flight}).items())
    runs = [(kept, ids[0], ids[-1]) for kept, ids in _grouped(marks)]
    bounded: list[tuple[bool, int, int]] = []
    for n, (kept, first, last) in enumerate(runs):
        if n == 0:
            first = held.first
        elif not kept:
            first = bounded[-1][2] + 1
        if n == len(runs) - 1:
            last = held.last
        elif not kept:
            last = runs[n + 1][1] - 1
        bounded.append((kept, first, last))
    return bounded


def _grouped(marks: Sequence[tuple[int, bool]]) -> list[tuple[bool, list[int]]]:
    return [(kept, [i for i, _ in group]) for kept, group in groupby(marks, key=itemgetter(1))]


async def _keep(tx: Transaction, held: Batch, row: AnyRow, first: int, last: int, *, is_first: bool) -> Batch:
    rows = tuple(r for r in held.rows if first <= r.id <= last)
    if is_first:
        await tx.run(_narrow, {"batch": held.id, "lease_": held.lease, "first_": first, "last_": last})
        return msgspec.structs.replace(held, first=first, last=last, rows=rows)
    theirs = {"state": int(BatchState.LEASED), "cursor": last, "node": held.node, "due_ms": row.due_ms}
    part = part_of(row, first, last, tag=held.tag) | theirs | {"claimed_ms": held.claimed_ms}
    [added] = await tx.rows(_add_held, part)
    return msgspec.structs.replace(held, id=int(added.id), first=first, last=last, rows=rows)


def part_of(row: AnyRow, first: int, last: int, *, tag: float) -> dict[str, object]:
    """The columns of a new batch made of a part of this one, with nothing of it in hand and nobody holding it."""
    common: dict[str, object] = {name: getattr(row, name) for name in _SHARED}
    return common | {"first": first, "last": last, "cursor": first - 1, "tag": tag, "turn": 1, "waits": 0}


def _tag_at(held: Batch, first: int) -> float:
    """Where it stands among the others' after all that of its batch went before."""
    return held.tag + sum(1 for row in held.rows if row.id < first) / held.weight
