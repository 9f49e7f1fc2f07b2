"""The end of a notice: it is sealed without a report, and its words go, as links and codes may stand in them."""

import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.outbox import holds
from store.tables import campaign, campaign_text, notice, notice_quota, progress, webhook_call

WEEK_MS = 7 * 86_400_000
"""Words are kept no longer than this, sealed or not; nothing may be sent for longer either."""
_QUOTA_MS = 2 * 86_400_000
_CALLS_MS = 30 * 86_400_000
AT_ONCE = 50

_undecided = progress.c.queued + progress.c.retry + progress.c.unknown + progress.c.accepted
_is_over = sa.and_(
    campaign.c.ended_ms.is_not(None),
    sa.or_(
        ~sa.exists().where(progress.c.campaign_id == campaign.c.id, _undecided > 0),
        campaign.c.ended_ms + campaign.c.horizon_ms <= sa.bindparam("now", type_=sa.BigInteger),
    ),
)
_due = Prepared(
    sa.select(notice.c.id, notice.c.campaign_id, _is_over.label("is_over"))
    .join(campaign, campaign.c.id == notice.c.campaign_id)
    .where(
        sa.text("notice.wiped_ms IS NULL"),  # word for word the predicate of the index
        sa.or_(_is_over, notice.c.made_ms <= sa.bindparam("week_ago")),
    )
    .order_by(notice.c.made_ms)
    .limit(AT_ONCE)
)
_unsealed = Prepared(
    sa.select(campaign.c.id)
    .join(notice, notice.c.campaign_id == campaign.c.id)
    .where(
        sa.text("campaign.sealed_ms IS NULL"),  # word for word the predicate of the index
        notice.c.wiped_ms.is_not(None),
        _is_over,
    )
    .limit(AT_ONCE)
)
_given = json_rows("given", id=int)
_in_given = sa.select(_given.c.id)
_wipe = Prepared(sa.delete(campaign_text).where(campaign_text.c.campaign_id.in_(_in_given)))
_wiped = Prepared(sa.update(notice).where(notice.c.campaign_id.in_(_in_given)).values(wiped_ms=sa.bindparam("now_")))
_seal = Prepared(sa.update(campaign).where(campaign.c.id.in_(_in_given)).values(sealed_ms=sa.bindparam("now_")))
_forget = Prepared(
    sa.delete(notice_quota).where(notice_quota.c.day_ms < sa.bindparam("before"), notice_quota.c.held_back == 0)
)
_forget_calls = Prepared(sa.delete(webhook_call).where(webhook_call.c.made_ms < sa.bindparam("before")))


async def close_some(tx: Transaction) -> bool:
    """Seals and wipes what is due; returns whether there may be more. The addenda of reports never look at a notice:
    none of its counters was ever told."""
    rows = await tx.rows(_due, {"now": tx.now_ms, "week_ago": tx.now_ms - WEEK_MS})
    late = await tx.rows(_unsealed, {"now": tx.now_ms})
    if rows:
        values = {"given": pack((row.campaign_id,) for row in rows)}
        await tx.run(_wipe, values)
        await tx.run(_wiped, values | {"now_": tx.now_ms})
    over = [row.campaign_id for row in rows if row.is_over] + [row.id for row in late]
    if over:
        await tx.run(_seal, {"given": pack((id_,) for id_ in over), "now_": tx.now_ms})
        await holds.let_go(tx, *over)
    await tx.run(_forget, {"before": tx.now_ms - _QUOTA_MS})
    await tx.run(_forget_calls, {"before": tx.now_ms - _CALLS_MS})
    return AT_ONCE in (len(rows), len(late))
