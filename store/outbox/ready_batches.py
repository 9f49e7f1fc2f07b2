"""Which batches of a lane may be taken up now, and in which order; what is more urgent, or held, stands before it."""

import sqlalchemy as sa

from store.engine.prepared_statement import Prepared
from store.states import BatchState, CampaignState
from store.tables import batch, campaign, hold

_READY = batch.c.state == int(BatchState.READY)


def is_held() -> sa.Exists:
    return sa.exists().where(
        sa.or_(
            hold.c.scope == "all",
            sa.and_(hold.c.scope == "channel", hold.c.subject == batch.c.channel),
            sa.and_(hold.c.scope == "zone", hold.c.subject == sa.cast(campaign.c.zone_id, sa.Text)),
            sa.and_(hold.c.scope == "campaign", hold.c.subject == sa.cast(campaign.c.id, sa.Text)),
        )
    )


claimable = sa.and_(_READY, campaign.c.state == str(CampaignState.RUNNING), ~is_held())
# Word for word the predicate of the index.
_leased = batch.alias("leased")
_is_sending = sa.and_(sa.text("leased.state = 1"), _leased.c.cursor < _leased.c.last)
most_urgent_sending = (
    sa.select(sa.func.min(_leased.c.priority))
    .where(_leased.c.channel == sa.bindparam("channel_"), _leased.c.mode == sa.bindparam("mode_"), _is_sending)
    .scalar_subquery()
)

_nexts = (
    sa.select(
        batch,
        *(campaign.c[n] for n in ("epoch", "starts_ms", "expires_ms", "crash_policy", "weight")),
    )
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(
        batch.c.channel == sa.bindparam("channel_"),
        batch.c.mode == sa.bindparam("mode_"),
        # Beside a more urgent batch that has something left to send nothing is begun.
        batch.c.priority <= sa.func.coalesce(most_urgent_sending, batch.c.priority),
        claimable,
    )
    .order_by(batch.c.priority, batch.c.turn, batch.c.tag, batch.c.id)
    .limit(1)
    .with_for_update(skip_locked=True, of=batch)
)
next_ready = Prepared(_nexts.where(batch.c.priority <= sa.bindparam("most_")))
next_first = Prepared(_nexts.where(batch.c.turn == 0))
others_begin = Prepared(
    sa.select(sa.func.count()).select_from(
        sa.select(batch.c.id)
        .join(campaign, campaign.c.id == batch.c.campaign_id)
        .where(
            batch.c.channel == sa.bindparam("channel_"),
            batch.c.mode == sa.bindparam("mode_"),
            batch.c.priority == sa.bindparam("priority_"),
            batch.c.turn == 0,
            claimable,
        )
        .limit(sa.bindparam("most_", type_=sa.Integer))
        .subquery()
    )
)
