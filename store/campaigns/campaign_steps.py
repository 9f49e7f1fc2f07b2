"""The slow hand of the clock: due batches, scheduled and expired campaigns, rows of ended ones, ends and seals.

Every function is one short step, idempotent, run again and again by any node's housekeeping.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.audit import note
from store.audit_line import SERVER, Actor
from store.campaigns.addenda import all_told, hold_counters
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.savepoints import together_or_apart
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.money import reservations
from store.money.bookings import lock
from store.outbox import cancel_waits, holds
from store.outbox.fairness import give_place_back, join_queue
from store.outbox.records import Settlement
from store.outbox.settling import apply
from store.states import ENDED_BY, OPEN_CODES, BatchState, CampaignState, DeliveryEvent, DeliveryState, ended_by
from store.tables import audit, batch, campaign, campaign_replaces, delivery, expansion, progress

_RUNNING = str(CampaignState.RUNNING)
_SCHEDULED = str(CampaignState.SCHEDULED)
_ENDING = tuple(str(s) for s in ENDED_BY)

_unsealed = campaign.c.sealed_ms.is_(None)
# What stands here as text is word for word the predicate of an index: what is over is passed by, however much it is.
_unended = sa.text("campaign.ended_ms IS NULL")
# Campaigns with something left to send, from one to the next in the index of the open batches: of those that are over
# and wait for their receipts there are thousands, and each of them has hundreds of batches.
_has_open_batches = sa.text(
    "campaign.id IN (WITH RECURSIVE busy(id) AS ("
    "SELECT min(campaign_id) FROM batch WHERE state <> 3 UNION ALL "
    "SELECT (SELECT min(b.campaign_id) FROM batch b WHERE b.state <> 3 AND b.campaign_id > busy.id) FROM busy"
    " WHERE busy.id IS NOT NULL) SELECT id FROM busy WHERE id IS NOT NULL)"
)
_promote = Prepared(
    sa.update(batch)
    .where(
        sa.text("batch.state IN (1, 2)"),  # word for word the predicate of the index: done batches are many
        batch.c.state == int(BatchState.WAITING),
        batch.c.waits == 0,
        batch.c.due_ms <= sa.bindparam("now"),
    )
    .values(state=int(BatchState.READY), due_ms=None)
)
_given = json_rows("ids", id=int)
_these = campaign.c.id.in_(sa.select(_given.c.id))
_passed_by = json_rows("without", id=int)
_not_left_alone = campaign.c.id.not_in(sa.select(_passed_by.c.id))
_starts = sa.and_(campaign.c.state == _SCHEDULED, campaign.c.starts_ms <= sa.bindparam("now"), _unended)
_due_to_start = Prepared(sa.select(campaign.c.id).where(_starts).order_by(campaign.c.id))
_start = Prepared(sa.update(campaign).where(_starts, _these).values(state=_RUNNING).returning(campaign.c.id))
_open_batch = sa.exists().where(batch.c.campaign_id == campaign.c.id, sa.text("batch.state <> 3"))
_unexpanded = sa.exists().where(expansion.c.campaign_id == campaign.c.id, expansion.c.expanded_upto < expansion.c.size)
_complete = Prepared(
    sa.update(campaign)
    .where(campaign.c.state == _RUNNING, _unended, ~_open_batch, ~_unexpanded)
    .values(state=str(CampaignState.COMPLETED), ended_ms=sa.bindparam("now"))
)
# A worker that was thought dead said that some were not sent after all (`batches.settle`).
_is_replaced = sa.exists().where(campaign_replaces.c.replaced_id == campaign.c.id)
_resume = Prepared(
    sa.update(campaign)
    .where(
        campaign.c.state == str(CampaignState.COMPLETED),
        _unsealed,
        _has_open_batches,
        # What was cancelled or updated since stays ended, whatever a worker that was thought dead still knows.
        ~_is_replaced,
    )
    .values(state=_RUNNING, ended_ms=None)
)
_expires = sa.and_(campaign.c.state.in_((_RUNNING, _SCHEDULED)), _unended, campaign.c.expires_ms <= sa.bindparam("now"))
_due_to_expire = Prepared(sa.select(campaign.c.id).where(_expires).order_by(campaign.c.id))
_expire = Prepared(
    sa.update(campaign)
    .where(_expires, _these)
    .values(state=str(CampaignState.EXPIRED), epoch=campaign.c.epoch + 1)
    .returning(campaign.c.id)
)
_ends = sa.and_(campaign.c.state.in_(_ENDING), _unended, ~_open_batch, ~_unexpanded)
_due_to_end = Prepared(sa.select(campaign.c.id).where(_ends).order_by(campaign.c.id))
_end = Prepared(sa.update(campaign).where(_ends, _these).values(ended_ms=sa.bindparam("now")).returning(campaign.c.id))


async def tick(tx: Transaction, *, left_alone: set[int] | None = None) -> int:
    """Promote what is due, start, complete, expire and end campaigns; returns how many rows moved.

    A campaign that cannot be worked on stops no other: it joins `left_alone`, and who stands there is passed by."""
    alone = set() if left_alone is None else left_alone
    moved = await tx.run(_promote, {"now": tx.now_ms})
    starting = await _due(tx, alone, _due_to_start)
    moved += sum(await together_or_apart(tx, starting, partial(_begin, tx), "start-failed", alone))
    for statement in (_complete, _resume):
        moved += await tx.run(statement, {"now": tx.now_ms})
    ending = await _due(tx, alone, _due_to_expire, _due_to_end)
    return moved + sum(await together_or_apart(tx, ending, partial(_finish, tx), "end-failed", alone))


async def _due(tx: Transaction, alone: Collection[int], *statements: Prepared) -> dict[int, list[int]]:
    found = [row.id for statement in statements for row in await tx.rows(statement, {"now": tx.now_ms})]
    return {campaign_id: [campaign_id] for campaign_id in found if campaign_id not in alone}


async def _begin(tx: Transaction, campaign_ids: Sequence[int]) -> int:
    started = await tx.rows(_start, {"now": tx.now_ms, "ids": _packed(campaign_ids)})
    for row in started:
        await join_queue(tx, row.id)
    return len(started)


async def _finish(tx: Transaction, campaign_ids: Sequence[int]) -> int:
    """Expire those whose time is over, and end those of which nothing is left to mark."""
    values = {"now": tx.now_ms, "ids": _packed(campaign_ids)}
    expired = [row.id for row in await tx.rows(_expire, values)]
    for campaign_id in expired:
        await give_place_back(tx, campaign_id)
    ended = [row.id for row in await tx.rows(_end, values)]
    if ended:
        await cancel_waits.forget(tx, *ended)
        await holds.let_go(tx, *ended)
    over = expired + ended
    if over:
        await reservations.free(tx, over)
    return len(over)


def _packed(ids: Iterable[int]) -> str:
    return pack((i,) for i in ids)


_left_over = Prepared(
    sa.select(batch.c.id, batch.c.campaign_id, batch.c.first, batch.c.last, campaign.c.state, campaign.c.retired_ms)
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(
        # What was complete and has been replaced since never runs again, whatever turned out not to have been sent.
        sa.or_(
            campaign.c.state.in_(_ENDING),
            sa.and_(campaign.c.state == str(CampaignState.COMPLETED), _is_replaced),
        ),
        _unsealed,
        _has_open_batches,
        sa.text("batch.state <> 3"),
        batch.c.state.in_((int(BatchState.READY), int(BatchState.WAITING))),
        _not_left_alone,
    )
    .order_by(batch.c.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True, of=batch)
)
_open_rows = Prepared(
    sa.select(delivery.c.id, delivery.c.state, delivery.c.doubted).where(
        delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")), delivery.c.state.in_(OPEN_CODES)
    )
)
_closed = Prepared(
    sa.update(batch)
    .where(batch.c.id.in_(sa.select(_given.c.id)))
    .values(state=int(BatchState.DONE), due_ms=None, waits=0)
)


async def close_ended(tx: Transaction, *, most: int = 4, left_alone: set[int] | None = None) -> int:
    """Mark the open rows of a few batches of campaigns that have ended; returns how many batches.

    A campaign that cannot be worked on stops no other: it joins `left_alone`, and who stands there is passed by."""
    alone = set() if left_alone is None else left_alone
    while rows := await tx.rows(_left_over, {"most": most, "without": _packed(alone)}):
        by_campaign: dict[int, list[AnyRow]] = {}
        for row in rows:
            by_campaign.setdefault(row.campaign_id, []).append(row)
        closed = sum(await together_or_apart(tx, by_campaign, partial(_close, tx), "close-failed", alone))
        if closed:
            return closed
    return 0


async def _close(tx: Transaction, batches: Sequence[AnyRow]) -> int:
    settlements: list[Settlement] = []
    freed: set[int] = set()
    for row in batches:
        event = ended_by(row.state, row.retired_ms) or DeliveryEvent.CANCEL
        left = await tx.rows(_open_rows, {"first": row.first, "last": row.last})
        # Whoever may have it after all is in doubt, not cancelled: a Cancel must find them.
        settlements += [Settlement(r.id, DeliveryEvent.GIVEN_UP if r.doubted else event) for r in left]
        # Money was kept for those that waited for another attempt; what was queued is free since the end.
        if any(r.state == DeliveryState.RETRY for r in left):
            freed.add(row.campaign_id)
    # All at once: deliveries, then counters, as everybody takes them (`settling.apply`).
    await apply(tx, settlements)
    await tx.run(_closed, {"ids": _packed(row.id for row in batches)})
    if freed:
        await reservations.free(tx, freed)
    return len(batches)


_undecided = progress.c.queued + progress.c.retry + progress.c.unknown + progress.c.accepted
_sealable = Prepared(
    sa.select(campaign.c.id)
    .where(
        campaign.c.ended_ms.is_not(None),
        campaign.c.sealed_ms.is_(None),
        campaign.c.zone_id.is_not(None),  # a notice has no report (store/notices/closing.py)
        _not_left_alone,
        sa.or_(
            ~sa.exists().where(progress.c.campaign_id == campaign.c.id, _undecided > 0),
            campaign.c.ended_ms + campaign.c.horizon_ms <= sa.bindparam("now"),
        ),
    )
    .order_by(campaign.c.id)
    .limit(10)
)


async def sealable(conn: AsyncConnection, now_ms: int, without: Collection[int] = ()) -> list[int]:
    """Campaigns whose last delivery is final, or whose evidence horizon has passed; none of `without`."""
    return [row.id for row in await rows_of(conn, _sealable, {"now": now_ms, "without": _packed(without)})]


_to_seal = Prepared(
    sa.select(
        campaign.c.public_id,
        campaign.c.zone_id,
        campaign.c.ended_ms,
        campaign.c.sealed_ms,
        campaign.c.reserved_millieuro,
    )
    .where(campaign.c.id == sa.bindparam("campaign"))
    .with_for_update(key_share=True)
)
_keep_report = Prepared(
    sa.update(campaign)
    .where(campaign.c.id == sa.bindparam("campaign"))
    .values(sealed_ms=sa.bindparam("now"), report=sa.bindparam("report_"), settled_millieuro=sa.bindparam("settled_"))
)


async def seal(
    tx: Transaction, campaign_id: int, report: str, charged_millieuro: int, told: Mapping[str, int] | None = None
) -> bool:
    """Keep the report and settle the money: what carriers took is paid, at most what was reserved, and the rest goes
    back. Once only, and not before the campaign has ended.

    `told`: the revisions that the report was drawn from (`addenda.hold_counters`, in this transaction). Without them
    nothing is taken for told: the next look at the addenda compares."""
    seen = await hold_counters(tx, campaign_id)
    row = await tx.first(_to_seal, {"campaign": campaign_id})
    if row is None or row.ended_ms is None or row.sealed_ms is not None:
        return False
    settled = min(charged_millieuro, row.reserved_millieuro)
    kept = {"campaign": campaign_id, "now": tx.now_ms, "report_": report, "settled_": settled}
    await tx.run(_keep_report, kept)
    # What moves from here on becomes an addendum.
    await all_told(tx, campaign_id, dict.fromkeys(seen, 0) if told is None else told)
    await holds.let_go(tx, campaign_id)  # what was complete could have gone on until here
    await note(tx, "seal", row.public_id, zone_id=row.zone_id)
    if row.reserved_millieuro:
        await lock(tx, [row.zone_id])
        await reservations.settle(tx, row.zone_id, campaign_id, settled)
        await reservations.release(tx, row.zone_id, campaign_id)
    return True


_LATELY = 100_000
"""Lines of the audit, many more than are written while a work is repeated: it is not looked through from its start."""


async def stop(tx: Transaction, campaign_id: int, account_id: int | None, by: Actor | None = None) -> bool:
    """End a campaign now: nothing beyond the cursors leaves, and what can no longer be charged is free. False when it
    had ended already, unless this very stop ended it and the answer to its commit was lost. `by`: where more is known
    than the account."""
    stopped = await tx.first(
        sa.update(campaign)
        .where(
            campaign.c.id == campaign_id,
            campaign.c.state.in_((_RUNNING, _SCHEDULED, str(CampaignState.PREPARING))),
        )
        .values(state=str(CampaignState.STOPPED), epoch=campaign.c.epoch + 1)
        .returning(campaign.c.zone_id)
    )
    if stopped is not None:
        await give_place_back(tx, campaign_id)
        by = by or Actor(account_id=account_id)
        await note(tx, "stop", str(campaign_id), by, zone_id=stopped.zone_id)
        await reservations.free(tx, [campaign_id])
        return True
    return tx.tried_us is not None and await _stopped_since(tx, campaign_id, account_id, tx.tried_us // 1000)


_sends_again = sa.exists().where(batch.c.campaign_id == campaign.c.id, batch.c.state != int(BatchState.DONE))


async def retire(tx: Transaction, campaign_id: int, by: Actor = SERVER) -> bool:
    """End a campaign that a restore holds: whoever was still to be told is in doubt from then on, since the lost
    timeline may have told them. Its hold goes. False when no restore holds it, or it had ended already."""
    if not await holds.restore_holds(tx, campaign_id):
        return False
    retired = await tx.first(
        sa.update(campaign)
        .where(
            campaign.c.id == campaign_id,
            sa.or_(
                campaign.c.state.in_((_RUNNING, _SCHEDULED, str(CampaignState.PREPARING))),
                sa.and_(campaign.c.state == str(CampaignState.COMPLETED), _sends_again),
            ),
        )
        .values(state=str(CampaignState.STOPPED), epoch=campaign.c.epoch + 1, retired_ms=tx.now_ms)
        .returning(campaign.c.zone_id)
    )
    if retired is None:
        return False
    await give_place_back(tx, campaign_id)
    await holds.lift(tx, "campaign", str(campaign_id), by)
    await note(tx, "retire", str(campaign_id), by, zone_id=retired.zone_id)
    await reservations.free(tx, [campaign_id])
    return True


async def _stopped_since(tx: Transaction, campaign_id: int, account_id: int | None, since_ms: int) -> bool:
    """Whether this account has stopped it from that instant on."""
    lately = audit.c.id > sa.select(sa.func.max(audit.c.id) - _LATELY).scalar_subquery()
    told = (lately, audit.c.action == "stop", audit.c.subject == str(campaign_id), audit.c.at_ms >= since_ms)
    by = audit.c.account_id.is_not_distinct_from(account_id)
    return await tx.first(sa.select(audit.c.id).where(*told, by).order_by(audit.c.id.desc()).limit(1)) is not None
