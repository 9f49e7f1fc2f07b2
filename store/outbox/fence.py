"""The fence: one transaction in which a batch is allowed to send, and how much. Design section 4."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.outbox.ceilings import Ceiling, Slots, lock, take
from store.outbox.holds import held_carriers
from store.outbox.ready_batches import claimable, is_held, most_urgent_sending, others_begin
from store.outbox.records import Batch, DeliveryRow
from store.states import BatchState, CampaignState
from store.tables import batch, campaign, hold


class Fence(StrEnum):
    """Why nothing more of a batch may leave."""

    LOST = "lost"
    """The lease ended or went to somebody else."""
    ENDED = "ended"
    """Stopped, cancelled, updated or finished since the claim: the epoch moved."""
    HELD = "held"
    EXPIRED = "expired"


class OpenCarrier(msgspec.Struct, frozen=True):
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
    others_begin: bool = False
    """Of a first batch: other campaigns of its priority wait to begin. To one that yields nothing was granted."""
    held: frozenset[str] = frozenset()
    """Carriers on which a hold stands, of any lane: on none of them anything was granted."""


_fence = Prepared(
    sa.select(
        batch.c.state,
        batch.c.lease,
        batch.c.due_ms,
        batch.c.cursor,
        campaign.c.state.label("campaign_state"),
        campaign.c.epoch,
        campaign.c.expires_ms,
        is_held().label("held"),
        sa.exists().where(hold.c.scope == "carrier").label("any_carrier_held"),
    )
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(batch.c.id == sa.bindparam("batch"))
    # The campaign's row, too: whoever ends it waits for a cursor that is on its way, and then sees it. Without, a
    # Cancel could read who has the message before the last cursor of the alert is there to be read (PostgreSQL).
    .with_for_update(read=True, of=[batch, campaign])
)
_move = Prepared(
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"))
    .values(cursor=sa.bindparam("cursor_"), due_ms=sa.bindparam("until_ms"), stalls=0, turn=1)
)
_urgent = Prepared(
    sa.select(
        sa.or_(
            sa.exists()
            .where(
                batch.c.channel == sa.bindparam("channel_"),
                batch.c.mode == sa.bindparam("mode_"),
                batch.c.priority < sa.bindparam("priority_"),
                campaign.c.id == batch.c.campaign_id,
                claimable,
            )
            .correlate(None),
            sa.func.coalesce(most_urgent_sending, sa.bindparam("priority_")) < sa.bindparam("priority_"),
        )
    )
)


async def advance(
    tx: Transaction,
    held: Batch,
    *,
    again: Sequence[int],
    ahead: Sequence[DeliveryRow],
    carriers: Sequence[OpenCarrier],
    horizon_ms: int,
    lease_ms: int,
    head_start_us: int = 0,
    beginning_ms: int = 0,
    yields: bool = False,
) -> Grant | Fence:
    """THE FENCE: check epoch, lease, hold and expiry; take slots; move the cursor no further than those slots.

    `again` are the units of messages at or below the cursor that are known not sent and look for another carrier;
    they are granted first. `ahead` are the rows beyond the cursor, in order; a careful batch is granted one of them.
    `slots.messages` may be 0: each of the carriers is held, or none has a slot that is free before the horizon. No slot
    is sooner than `head_start_us` from now. The first message of a campaign may have one that is `beginning_ms` behind
    the horizon; one that `yields` gets none while others wait to begin.
    """
    found = await tx.first(_fence, {"batch": held.id})
    fence = _check(found, held, tx.now_ms)
    if fence is not None:
        return fence
    assert found is not None
    closed = await held_carriers(tx.conn) if found.any_carrier_held else frozenset()
    carriers = [opening for opening in carriers if opening.carrier not in closed] if closed else carriers
    if held.priority > 0 and await _urgent_waits(tx, held):
        return Grant("", Slots(tx.now_us, 0, 0, 0), tx.now_us, True, held=closed)
    ahead = _at_once(ahead, held.is_careful, bool(again))
    units = [*again, *(row.units for row in ahead)]
    others_begin = held.is_first and await _others_wait(tx, held)
    if others_begin and yields:
        return Grant("", Slots(tx.now_us, 0, 0, 0), tx.now_us, False, True, closed)
    carrier, slots = await _first_free(tx, held.mode, carriers, horizon_ms * 1000, units, head_start_us)
    if not slots.messages and beginning_ms:
        farther_us = (horizon_ms + beginning_ms) * 1000
        carrier, slots = await _first_free(tx, held.mode, carriers, farther_us, units[:1], head_start_us)
    moved = slots.messages - len(again)
    cursor = _at(held, ahead[moved - 1].id) if moved > 0 else found.cursor
    if slots.messages:
        await tx.run(_move, {"batch": held.id, "cursor_": cursor, "until_ms": tx.now_ms + lease_ms})
    return Grant(carrier, slots, tx.now_us, False, others_begin, closed)


def _at_once(ahead: Sequence[DeliveryRow], one_by_one: bool, beside_others: bool) -> Sequence[DeliveryRow]:
    """What may be in hand together: a row that is to be alone, or those before the first of that kind."""
    if not one_by_one and not (ahead and ahead[0].is_alone) and not any(row.is_alone for row in ahead):
        return ahead
    alone = 0 if one_by_one else next((n for n, row in enumerate(ahead) if row.is_alone), len(ahead))
    if alone:
        return ahead[:alone]
    return ahead[: 0 if beside_others else 1]


async def _others_wait(tx: Transaction, held: Batch) -> bool:
    row = await tx.first(
        others_begin, {"channel_": held.channel, "mode_": held.mode, "priority_": held.priority, "most_": 1}
    )
    return bool(row and row[0])


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
    tx: Transaction,
    mode: str,
    carriers: Sequence[OpenCarrier],
    horizon_us: int,
    units: Sequence[int],
    head_start_us: int,
) -> tuple[str, Slots]:
    able = [(opening, wanted) for opening in carriers if (wanted := _within(units, opening.room))]
    if not able:
        return "", Slots(tx.now_us, 0, 0, 0)
    # All of them at once: the order of the carriers is each batch's own, that of their locks must be the same for all.
    kept = await lock(tx, mode, {ceiling.name for opening, _ in able for ceiling in opening.ceilings})
    for opening, wanted in able:
        slots = await take(tx, mode, opening.ceilings, horizon_us, wanted, head_start_us, kept)
        if slots.messages:
            return opening.carrier, slots
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
