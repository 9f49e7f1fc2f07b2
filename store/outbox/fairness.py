"""Whose turn it is between zones: start-time fair queueing.

Each lane and priority has a virtual time, counted in deliveries for a zone of weight 1; a batch begins at a tag, and
the lowest tag goes first. A zone's campaigns follow one another, each from where the one before it ends, so that a zone
that launches ten campaigns has no ten shares. A Cancel waits for nobody of its own zone: it begins now, and what else
the zone has waiting begins after it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.states import BatchState, CampaignState
from store.tables import batch, campaign, campaign_text, expansion, hold, lane_clock, progress

_READY = batch.c.state == int(BatchState.READY)
_channel = sa.bindparam("channel_", type_=sa.Text())
_subject = sa.bindparam("subject_", type_=sa.Text())
_owner = Prepared(
    sa.select(*(campaign.c[n] for n in ("id", "mode", "priority", "zone_id", "purpose", "weight"))).where(
        campaign.c.id == sa.bindparam("campaign")
    )
)
_clock = Prepared(
    sa.select(lane_clock.c.vtime).where(
        lane_clock.c.channel == _channel,
        lane_clock.c.mode == sa.bindparam("mode_"),
        lane_clock.c.priority == sa.bindparam("priority_"),
    )
)
_others = sa.and_(
    campaign.c.zone_id == sa.bindparam("zone"),
    campaign.c.mode == sa.bindparam("mode_"),
    campaign.c.priority == sa.bindparam("priority_"),
    campaign.c.state == str(CampaignState.RUNNING),
    campaign.c.sealed_ms.is_(None),
    campaign.c.id != sa.bindparam("campaign"),
    # What is held has no place in the queue; it gets one when the hold is lifted.
    ~sa.exists().where(
        sa.or_(
            hold.c.scope == "all",
            sa.and_(hold.c.scope == "channel", hold.c.subject == _channel),
            sa.and_(hold.c.scope == "zone", hold.c.subject == sa.cast(campaign.c.zone_id, sa.Text)),
            sa.and_(hold.c.scope == "campaign", hold.c.subject == sa.cast(campaign.c.id, sa.Text)),
        )
    ),
)
_weight = sa.cast(campaign.c.weight, sa.Float)
_reached = expansion.c.tag + expansion.c.expanded_upto / _weight
"""Where the part of a frozen audience begins that is not rows yet."""
_unexpanded = sa.and_(expansion.c.channel == _channel, expansion.c.expanded_upto < expansion.c.size)
_ready_of_others = Prepared(
    sa.select(
        sa.func.min(batch.c.tag),
        sa.func.max(batch.c.tag + (batch.c.last - batch.c.first + 1) / _weight),
    )
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(_others, batch.c.channel == _channel, _READY, batch.c.tag >= sa.bindparam("from_", type_=sa.Float()))
)
_pending_of_others = Prepared(
    sa.select(sa.func.min(_reached), sa.func.max(expansion.c.tag + expansion.c.size / _weight))
    .join(campaign, campaign.c.id == expansion.c.campaign_id)
    .where(_others, _unexpanded, _reached >= sa.bindparam("from_", type_=sa.Float()))
)
_theirs = sa.select(campaign.c.id).where(_others).scalar_subquery()
_from = sa.bindparam("from_", type_=sa.Float())
_by = sa.bindparam("by_", type_=sa.Float())
_move_ready = Prepared(
    sa.update(batch)
    .where(batch.c.campaign_id.in_(_theirs), batch.c.channel == _channel, _READY, batch.c.tag >= _from)
    .values(tag=batch.c.tag + _by)
)
_move_pending = Prepared(
    sa.update(expansion)
    .where(expansion.c.campaign_id.in_(_theirs), _unexpanded, expansion.c.tag >= _from)
    .values(tag=expansion.c.tag + _by)
)
_left = Prepared(
    sa.select(
        sa.func.min(batch.c.tag),
        sa.func.coalesce(sa.func.sum(batch.c.last - batch.c.first + 1), 0),
    ).where(batch.c.campaign_id == sa.bindparam("campaign"), batch.c.channel == _channel, _READY)
)
_of_campaign = sa.select(expansion).where(expansion.c.campaign_id == sa.bindparam("campaign"))
_expansions = Prepared(_of_campaign)
_expansion = Prepared(_of_campaign.where(expansion.c.channel == _channel))
_put_off = tuple(
    Prepared(
        sa.update(table)
        .where(table.c.campaign_id == sa.bindparam("campaign"), table.c.channel == _channel)
        .values(tag=table.c.tag + _by)
    )
    for table in (expansion, batch)
)
"""All that one channel of a campaign has in the queue."""
_ANYWHERE = float("-inf")


async def start_of(tx: Transaction, campaign_id: int, channel: str, size: int) -> float:
    """The tag at which `size` deliveries of a new campaign begin. A Cancel's are put before what else the zone has
    waiting in this lane."""
    owner = await tx.first(_owner, {"campaign": campaign_id})
    assert owner is not None
    lane = _lane(owner, channel)
    now = await _virtual_time(tx, lane)
    if owner.purpose == "cancel":
        start = min(now, await _begin_of_others(tx, lane))
        await _move(tx, lane | {"from_": start, "by_": size / owner.weight})
        return start
    return max(now, await _end_of_others(tx, lane))


_ready_to_begin = Prepared(
    sa.select(batch.c.channel, sa.func.count().label("campaigns"))
    .where(batch.c.mode == sa.bindparam("mode_"), batch.c.turn == 0, sa.text("batch.state = 0"))
    .group_by(batch.c.channel)
)
_not_expanded = Prepared(
    sa.select(expansion.c.channel, sa.func.count().label("campaigns"))
    .join(campaign, campaign.c.id == expansion.c.campaign_id)
    .where(
        sa.text("expansion.expanded_upto < expansion.size"),  # word for word the predicate of the index
        expansion.c.expanded_upto == 0,
        campaign.c.mode == sa.bindparam("mode_"),
        campaign.c.priority == 0,
        campaign.c.state == str(CampaignState.RUNNING),
    )
    .group_by(expansion.c.channel)
)


class Queue(msgspec.Struct, frozen=True):
    """What would go before, or beside, a campaign that is launched now, by channel."""

    beginning: Mapping[str, int]
    """Urgent campaigns of which nobody has been told yet."""
    units: Mapping[str, int]
    """Segments, mails, call starts that wait and are at least as urgent."""


# Of this campaign alone: a maximum of every campaign's texts would be made anew for each preview, and grow for ever.
_longest = (
    sa.select(sa.func.max(campaign_text.c.units))
    .where(campaign_text.c.campaign_id == progress.c.campaign_id, campaign_text.c.channel == progress.c.channel)
    .correlate(progress)
    .scalar_subquery()
)
_units_waiting = Prepared(
    sa.select(
        progress.c.channel,
        sa.func.sum((progress.c.queued + progress.c.retry) * sa.func.coalesce(_longest, 1)).label("units"),
    )
    .join(campaign, campaign.c.id == progress.c.campaign_id)
    .where(
        campaign.c.sealed_ms.is_(None),
        campaign.c.state == str(CampaignState.RUNNING),
        campaign.c.mode == sa.bindparam("mode_"),
        campaign.c.priority <= sa.bindparam("priority_"),
    )
    .group_by(progress.c.channel)
)


async def queue(conn: AsyncConnection, mode: str, priority: int) -> Queue:
    """The queue as the counters tell it; no delivery is read. What is held counts: it may be resumed at any moment."""
    beginning: dict[str, int] = {}
    for statement in (_ready_to_begin, _not_expanded):
        for row in await rows_of(conn, statement, {"mode_": mode}):
            beginning[row.channel] = beginning.get(row.channel, 0) + int(row.campaigns)
    waiting = await rows_of(conn, _units_waiting, {"mode_": mode, "priority_": priority})
    return Queue(beginning, {row.channel: int(row.units) for row in waiting})


async def join_queue(tx: Transaction, campaign_id: int) -> None:
    """A scheduled campaign starts: its tags are of the day it was launched, and would put it before everyone, or behind
    what its zone has not sent after all."""
    owner = await tx.first(_owner, {"campaign": campaign_id})
    assert owner is not None
    for made in await tx.rows(_expansions, {"campaign": campaign_id}):
        lane = _lane(owner, made.channel)
        start = max(await _virtual_time(tx, lane), await _end_of_others(tx, lane))
        for statement in _put_off:
            await tx.run(statement, lane | {"by_": start - made.tag})


async def give_place_back(tx: Transaction, campaign_id: int) -> None:
    """A campaign has ended before its last message: what its zone has waiting behind it moves up, as if the rest of it
    had never been launched, but not to before the present."""
    owner = await tx.first(_owner, {"campaign": campaign_id})
    assert owner is not None
    for made in await tx.rows(_expansions, {"campaign": campaign_id}):
        lane = _lane(owner, made.channel)
        first, rows = await _what_is_left(tx, made, owner.weight)
        if not rows:
            continue
        behind = lane | {"from_": first}
        found = [await tx.first(_ready_of_others, behind), await tx.first(_pending_of_others, behind)]
        begins = [float(row[0]) for row in found if row and row[0] is not None]
        if not begins:
            continue
        by = min(rows / owner.weight, min(begins) - max(first, await _virtual_time(tx, lane)))
        if by > 0:
            await _move(tx, behind | {"by_": -by})


async def _what_is_left(tx: Transaction, made: AnyRow, weight: int) -> tuple[float, int]:
    """(where it begins, deliveries) of what one channel of a campaign still had in the queue."""
    ready = await tx.first(_left, {"campaign": made.campaign_id, "channel_": made.channel})
    assert ready is not None
    unexpanded = int(made.size - made.expanded_upto)
    begins = [made.tag + made.expanded_upto / weight] if unexpanded else []
    begins += [ready[0]] if ready[0] is not None else []
    return (min(begins) if begins else 0.0), int(ready[1]) + unexpanded


async def _virtual_time(tx: Transaction, lane: Mapping[str, Any]) -> float:
    row = await tx.first(_clock, {n: lane[n] for n in ("channel_", "mode_", "priority_")})
    return float(row[0]) if row else 0.0


async def rejoin(tx: Transaction, scope: str, subject: str) -> None:
    """A hold has been lifted: what it held begins where the lane and its zone are now, not where they were."""
    for held in await tx.rows(_held_by, {"scope_": scope, "subject_": subject}):
        owner = await tx.first(_owner, {"campaign": held.campaign_id})
        assert owner is not None
        lane = _lane(owner, held.channel)
        made = await tx.first(_expansion, lane)
        assert made is not None
        begins, rows = await _what_is_left(tx, made, owner.weight)
        by = max(await _virtual_time(tx, lane), await _end_of_others(tx, lane)) - begins
        if rows and by > 0:
            for statement in _put_off:
                await tx.run(statement, lane | {"by_": by})


_held_by = Prepared(
    sa.select(expansion.c.campaign_id, expansion.c.channel)
    .join(campaign, campaign.c.id == expansion.c.campaign_id)
    .where(
        campaign.c.state == str(CampaignState.RUNNING),
        campaign.c.ended_ms.is_(None),
        sa.or_(
            sa.bindparam("scope_", type_=sa.Text()) == "all",
            sa.and_(sa.bindparam("scope_", type_=sa.Text()) == "channel", expansion.c.channel == _subject),
            sa.and_(
                sa.bindparam("scope_", type_=sa.Text()) == "zone", sa.cast(campaign.c.zone_id, sa.Text) == _subject
            ),
            sa.and_(sa.bindparam("scope_", type_=sa.Text()) == "campaign", sa.cast(campaign.c.id, sa.Text) == _subject),
        ),
    )
    .order_by(campaign.c.priority, campaign.c.id, expansion.c.channel)
)


async def _begin_of_others(tx: Transaction, lane: Mapping[str, Any]) -> float:
    everywhere = {**lane, "from_": _ANYWHERE}
    found = [await tx.first(_ready_of_others, everywhere), await tx.first(_pending_of_others, everywhere)]
    return min((float(row[0]) for row in found if row and row[0] is not None), default=float("inf"))


async def _end_of_others(tx: Transaction, lane: Mapping[str, Any]) -> float:
    everywhere = {**lane, "from_": _ANYWHERE}
    found = [await tx.first(_ready_of_others, everywhere), await tx.first(_pending_of_others, everywhere)]
    return max((float(row[1]) for row in found if row and row[1] is not None), default=0.0)


async def _move(tx: Transaction, lane_from_by: Mapping[str, Any]) -> None:
    await tx.run(_move_ready, lane_from_by)
    await tx.run(_move_pending, lane_from_by)


def _lane(owner: AnyRow, channel: str) -> dict[str, Any]:
    return {
        "channel_": channel, "mode_": owner.mode, "priority_": owner.priority, "zone": owner.zone_id,
        "campaign": owner.id,
    }  # fmt: skip
