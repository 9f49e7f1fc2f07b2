"""The queue: claim a batch, move its cursor (THE FENCE), give it back, take over what a dead worker left.

A delivery at or below the cursor that is not yet settled in the batch's round is *in hand*: its bytes may be on the
wire. Nothing beyond the cursor may leave. See design section 4.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from store.json_rows import json_rows, pack
from store.receipts import match_new_refs
from store.records import Batch, Row, Settlement
from store.settling import apply
from store.slots import Ceiling, Slots, lock, take
from store.states import OPEN, BatchState, CampaignState, DeliveryState, Event
from store.tables import batch, campaign, delivery, hold, member
from store.transaction import AnyRow, Transaction

_OPEN = (int(DeliveryState.QUEUED), int(DeliveryState.RETRY))
_LEASED = batch.c.state == int(BatchState.LEASED)
_READY = batch.c.state == int(BatchState.READY)


def _held() -> sa.Exists:
    return sa.exists().where(
        sa.or_(
            hold.c.scope == "all",
            sa.and_(hold.c.scope == "channel", hold.c.subject == batch.c.channel),
            sa.and_(hold.c.scope == "zone", hold.c.subject == sa.cast(campaign.c.zone_id, sa.Text)),
            sa.and_(hold.c.scope == "campaign", hold.c.subject == sa.cast(campaign.c.id, sa.Text)),
        )
    )


_claimable = sa.and_(_READY, campaign.c.state == str(CampaignState.RUNNING), ~_held())
# Word for word the predicate of the index.
_leased = batch.alias("leased")
_is_sending = sa.and_(sa.text("leased.state = 1"), _leased.c.cursor < _leased.c.last)
_most_urgent_sending = (
    sa.select(sa.func.min(_leased.c.priority))
    .where(_leased.c.channel == sa.bindparam("channel_"), _leased.c.mode == sa.bindparam("mode_"), _is_sending)
    .scalar_subquery()
)

_ANY = 1_000
"""Above every priority."""
_next_ready = (
    sa.select(batch, *(campaign.c[n] for n in ("epoch", "starts_ms", "expires_ms", "crash_policy")))
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(
        batch.c.channel == sa.bindparam("channel_"),
        batch.c.mode == sa.bindparam("mode_"),
        # Beside a more urgent batch that has something left to send nothing is begun.
        batch.c.priority <= sa.func.coalesce(_most_urgent_sending, batch.c.priority),
        batch.c.priority <= sa.bindparam("most_"),
        _claimable,
    )
    .order_by(batch.c.priority, batch.c.tag, batch.c.id)
    .limit(1)
    .with_for_update(skip_locked=True, of=batch)
)
_lease = (
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"))
    .values(
        state=int(BatchState.LEASED),
        node=sa.bindparam("node_"),
        lease=batch.c.lease + 1,
        round=batch.c.round + 1,
        cursor=batch.c.first - 1,
        due_ms=sa.bindparam("until_ms"),
    )
)
_not_taken = sa.or_(delivery.c.doubted == 1, delivery.c.due_ms.is_not(None))
_rows = (
    sa.select(
        delivery.c.id,
        delivery.c.address,
        sa.func.coalesce(member.c.name, "").label("name"),
        delivery.c.language,
        delivery.c.units,
        delivery.c.attempts,
        sa.case((_not_taken, sa.func.coalesce(delivery.c.carrier, "")), else_="").label("last_way"),
        sa.func.coalesce(delivery.c.due_ms, 0).label("due_ms"),
    )
    .join(member, member.c.id == delivery.c.member_id, isouter=True)
    .where(delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")), delivery.c.state.in_(_OPEN))
    .order_by(delivery.c.id)
)
_later = json_rows("later", id=int)
_pass_over = sa.update(delivery).where(delivery.c.id == _later.c.id).values(round=sa.bindparam("round_"))
_unknown = sa.select(delivery.c.id).where(
    delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")),
    delivery.c.state == int(DeliveryState.UNKNOWN),
    delivery.c.changed_ms <= sa.bindparam("before_ms"),
    delivery.c.attempts < sa.bindparam("most"),
)
_vtime = sa.text(
    "INSERT INTO lane_clock (channel, mode, priority, vtime) VALUES (:channel, :mode, :priority, :tag) "
    "ON CONFLICT (channel, mode, priority) DO UPDATE SET vtime = :tag WHERE lane_clock.vtime < :tag"
)


class Resending(msgspec.Struct, frozen=True):
    """How a kind that says so sends in-doubt deliveries again."""

    wait_ms: int
    """Receipts are waited for this long first."""
    most_attempts: int


async def claim(
    tx: Transaction,
    channel: str,
    mode: str,
    node: str,
    lease_ms: int,
    resending: Resending,
    *,
    before: int | None = None,
) -> Batch | None:
    """Lease the next batch of a lane: lowest priority number, then fair tag; with `before` only one whose number is
    lower than that. A claim starts a new round."""
    most = _ANY if before is None else before - 1
    found = await tx.first(_next_ready, {"channel_": channel, "mode_": mode, "most_": most})
    if found is None:
        return None
    await tx.run(_lease, {"batch": found.id, "node_": node, "until_ms": tx.now_ms + lease_ms})
    if found.crash_policy == "resend":
        await _resend_unknown(tx, found.first, found.last, resending)
    rows = await _due_rows(tx, found.first, found.last, found.round + 1)
    await tx.run(_vtime, {"channel": channel, "mode": mode, "priority": found.priority, "tag": found.tag})
    return Batch(
        id=found.id, lease=found.lease + 1, node=node, round=found.round + 1,
        campaign_id=found.campaign_id, channel=channel, mode=mode, priority=found.priority,
        first=found.first, last=found.last, epoch=found.epoch, starts_ms=found.starts_ms,
        expires_ms=found.expires_ms, crash_policy=found.crash_policy, stalls=found.stalls,
        rows=rows,
    )  # fmt: skip


async def _due_rows(tx: Transaction, first: int, last: int, round_: int) -> tuple[Row, ...]:
    """What was put off and is not due yet has nothing to do in this round: the cursor passes over it, and it is not
    in hand."""
    rows = await tx.rows(_rows, {"first": first, "last": last})
    later = [(row.id,) for row in rows if row.due_ms > tx.now_ms]
    if later:
        await tx.run(_pass_over, {"later": pack(later), "round_": round_})
    return tuple(Row(*columns) for *columns, due_ms in rows if due_ms <= tx.now_ms)


async def _resend_unknown(tx: Transaction, first: int, last: int, resending: Resending) -> None:
    values = {
        "first": first,
        "last": last,
        "before_ms": tx.now_ms - resending.wait_ms,
        "most": resending.most_attempts,
    }
    unknown = await tx.rows(_unknown, values)
    await apply(tx, [Settlement(r.id, Event.RESEND) for r in unknown])


# ---- the fence -------------------------------------------------------------------------------------------


class Fence(StrEnum):
    """Why nothing more of a batch may leave."""

    LOST = "lost"
    """The lease ended or went to somebody else."""
    ENDED = "ended"
    """Stopped, cancelled, updated or finished since the claim: the epoch moved."""
    HELD = "held"
    EXPIRED = "expired"


class Way(msgspec.Struct, frozen=True):
    """A carrier that could take something now, in the configured order."""

    carrier: str
    ceilings: tuple[Ceiling, ...]
    room: int
    """Units."""


class Grant(msgspec.Struct, frozen=True):
    """Permission for the first `messages` of what was asked, on one carrier, each at its slots."""

    carrier: str
    slots: Slots
    now_us: int
    urgent_waits: bool
    """A batch of a more urgent kind has something to send in this lane: give way. Nothing was granted."""


_fence = (
    sa.select(
        batch.c.state,
        batch.c.lease,
        batch.c.due_ms,
        batch.c.cursor,
        campaign.c.state.label("campaign_state"),
        campaign.c.epoch,
        campaign.c.expires_ms,
        _held().label("held"),
    )
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(batch.c.id == sa.bindparam("batch"))
    # The campaign's row, too: whoever ends it waits for a cursor that is on its way, and then sees it. Without, a
    # Cancel could read who has the message before the last cursor of the alert is there to be read (PostgreSQL).
    .with_for_update(read=True, of=[batch, campaign])
)
_move = (
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"))
    .values(cursor=sa.bindparam("cursor_"), due_ms=sa.bindparam("until_ms"), stalls=0)
)
_urgent = sa.select(
    sa.or_(
        sa.exists()
        .where(
            batch.c.channel == sa.bindparam("channel_"),
            batch.c.mode == sa.bindparam("mode_"),
            batch.c.priority < sa.bindparam("priority_"),
            campaign.c.id == batch.c.campaign_id,
            _claimable,
        )
        .correlate(None),
        sa.func.coalesce(_most_urgent_sending, sa.bindparam("priority_")) < sa.bindparam("priority_"),
    )
)


async def advance(
    tx: Transaction,
    held: Batch,
    *,
    again: Sequence[int],
    ahead: Sequence[Row],
    ways: Sequence[Way],
    horizon_ms: int,
    lease_ms: int,
    head_start_us: int = 0,
) -> Grant | Fence:
    """THE FENCE: check epoch, lease, hold and expiry; take slots; move the cursor no further than those slots.

    `again` are the units of messages at or below the cursor that are known not sent and look for another carrier;
    they are granted first. `ahead` are the rows beyond the cursor, in order. `slots.messages` may be 0: no slot is
    free before the horizon on any of the ways. No slot is sooner than `head_start_us` from now.
    """
    found = await tx.first(_fence, {"batch": held.id})
    fence = _check(found, held, tx.now_ms)
    if fence is not None:
        return fence
    assert found is not None
    if held.priority > 0 and await _urgent_waits(tx, held):
        return Grant("", Slots(tx.now_us, 0, 0, 0), tx.now_us, True)
    units = [*again, *(row.units for row in ahead)]
    carrier, slots = await _first_free(tx, held.mode, ways, horizon_ms * 1000, units, head_start_us)
    moved = slots.messages - len(again)
    cursor = _at(held, ahead[moved - 1].id) if moved > 0 else found.cursor
    if slots.messages:
        await tx.run(_move, {"batch": held.id, "cursor_": cursor, "until_ms": tx.now_ms + lease_ms})
    return Grant(carrier, slots, tx.now_us, False)


async def _urgent_waits(tx: Transaction, held: Batch) -> bool:
    row = await tx.first(_urgent, {"channel_": held.channel, "mode_": held.mode, "priority_": held.priority})
    return bool(row and row[0])


def _at(held: Batch, delivery_id: int) -> int:
    """Behind the last row that is to be sent nothing is left: less urgent batches wait for that."""
    return held.last if delivery_id == held.rows[-1].id else delivery_id


def _check(found: AnyRow | None, held: Batch, now_ms: int) -> Fence | None:
    if found is None or found.state != BatchState.LEASED or found.lease != held.lease or found.due_ms <= now_ms:
        return Fence.LOST
    if found.epoch != held.epoch or not CampaignState(found.campaign_state).may_send:
        return Fence.ENDED
    if found.held:
        return Fence.HELD
    if found.expires_ms <= now_ms:
        return Fence.EXPIRED
    return None


async def _first_free(
    tx: Transaction, mode: str, ways: Sequence[Way], horizon_us: int, units: Sequence[int], head_start_us: int
) -> tuple[str, Slots]:
    able = [(way, wanted) for way in ways if (wanted := _within(units, way.room))]
    if not able:
        return "", Slots(tx.now_us, 0, 0, 0)
    # All of them at once: the order of the ways is each batch's own, that of their locks must be the same for all.
    kept = await lock(tx, mode, {ceiling.name for way, _ in able for ceiling in way.ceilings})
    for way, wanted in able:
        slots = await take(tx, mode, way.ceilings, horizon_us, wanted, head_start_us, kept)
        if slots.messages:
            return way.carrier, slots
    return "", Slots(tx.now_us, 0, 0, 0)


def _within(units: Sequence[int], room: int) -> Sequence[int]:
    """The prefix that a carrier's window can take now; one message always fits an empty window."""
    if room <= 0:
        return ()
    total = 0
    for n, wanted in enumerate(units):
        total += wanted
        if total > room and n > 0:
            return units[:n]
    return units


_reopened = json_rows("reopened", id=int)
_reopen = (
    sa.update(batch)
    .where(
        batch.c.campaign_id == sa.bindparam("campaign"),
        batch.c.state == int(BatchState.DONE),
        sa.exists(sa.select(1).select_from(_reopened).where(_reopened.c.id.between(batch.c.first, batch.c.last))),
    )
    .values(state=int(BatchState.READY), due_ms=None)
)


async def settle(tx: Transaction, held: Batch, settlements: Sequence[Settlement]) -> None:
    """Record what came back. Facts are kept even when the lease was lost meanwhile; only closing is fenced.

    Rows that others gave up as unknown, and that turn out not to have been sent, open their batch again.
    """
    changes = await apply(tx, settlements, round_=held.round)
    unsent = [(c.delivery_id,) for c in changes if c.old is DeliveryState.UNKNOWN and c.new in OPEN]
    if unsent:
        await tx.run(_reopen, {"campaign": held.campaign_id, "reopened": pack(unsent)})
    await match_new_refs(tx, [(s.carrier, ref) for s in settlements for ref in s.refs])


_renew = (
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"), batch.c.lease == sa.bindparam("lease_"), _LEASED)
    .values(due_ms=sa.bindparam("until_ms"))
)


async def renew(tx: Transaction, held: Sequence[Batch], lease_ms: int) -> set[tuple[int, int]]:
    """Heartbeat. The claims that are still ours."""
    ours = set()
    for b in held:
        if await tx.run(_renew, {"batch": b.id, "lease_": b.lease, "until_ms": tx.now_ms + lease_ms}):
            ours.add(b.claim)
    return ours


# ---- giving back -----------------------------------------------------------------------------------------

_remaining = sa.select(
    delivery.c.state,
    sa.func.min(delivery.c.changed_ms).label("since_ms"),
    sa.func.min(sa.func.coalesce(delivery.c.due_ms, sa.bindparam("retry_ms_", type_=sa.BigInteger))).label("due_ms"),
).where(
    delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")),
    sa.or_(
        delivery.c.state.in_(_OPEN),
        sa.and_(delivery.c.state == int(DeliveryState.UNKNOWN), delivery.c.attempts < sa.bindparam("most")),
    ),
).group_by(delivery.c.state)  # fmt: skip
_give_back = (
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"), batch.c.lease == sa.bindparam("lease_"), _LEASED)
    .values(state=sa.bindparam("state_"), due_ms=sa.bindparam("due"), node=None, stalls=0)
)


async def give_back(
    tx: Transaction,
    held: Batch,
    settlements: Sequence[Settlement],
    *,
    retry_ms: int,
    resending: Resending,
    rest_ms: int | None = None,
) -> BatchState | None:
    """Settle and end the lease: done when nothing is left to send; waiting until the first is due of what was put
    off, or until `retry_ms` where it is known not sent for another reason; what was not reached is ready at once (the
    lane gave way) or waits until `rest_ms` (no way out was open). None when the lease was lost meanwhile."""
    await settle(tx, held, settlements)
    state, due_ms = await _what_is_left(tx, held, retry_ms, resending)
    if state is BatchState.READY and rest_ms is not None:
        state, due_ms = BatchState.WAITING, rest_ms
    values = {"batch": held.id, "lease_": held.lease, "state_": int(state), "due": due_ms}
    return state if await tx.run(_give_back, values) else None


async def _what_is_left(
    tx: Transaction, held: Batch, retry_ms: int, resending: Resending
) -> tuple[BatchState, int | None]:
    values = {"first": held.first, "last": held.last, "most": resending.most_attempts, "retry_ms_": retry_ms}
    rows = await tx.rows(_remaining, values)
    left = {DeliveryState(r.state): r for r in rows}
    if held.crash_policy != "resend":
        left.pop(DeliveryState.UNKNOWN, None)
    if DeliveryState.QUEUED in left:
        return BatchState.READY, None
    if DeliveryState.RETRY in left:
        return BatchState.WAITING, int(left[DeliveryState.RETRY].due_ms)
    if DeliveryState.UNKNOWN in left:
        return BatchState.WAITING, int(left[DeliveryState.UNKNOWN].since_ms) + resending.wait_ms
    return BatchState.DONE, None
