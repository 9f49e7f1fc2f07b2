"""Alarms as they are kept, what they are drawn from, and whether anybody has taken one up."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.money.ledger import balance_millieuro
from store.states import CampaignState
from store.tables import alarm, audit, campaign, hold, lot, progress, webhook_call, zone

_OVER = "over"
_COLUMNS = tuple(column.name for column in alarm.c)
_standing = sa.select(alarm).where(alarm.c.state != _OVER).order_by(alarm.c.key)
_known = Prepared(_standing.with_for_update())
_read = Prepared(_standing)
_keep = Prepared(
    *(
        insert(alarm)
        .values({name: sa.bindparam(name) for name in _COLUMNS})
        .on_conflict_do_update(
            index_elements=["key"], set_={name: sa.bindparam(name) for name in _COLUMNS if name != "key"}
        )
        for insert in (insert_sqlite, insert_postgresql)
    )
)


async def known(tx: Transaction) -> list[Mapping[str, Any]]:
    """Those that are not over, held until the end of the transaction: no two servers judge one of them at once."""
    return [row._asdict() for row in await tx.rows(_known)]


async def keep(tx: Transaction, values: Mapping[str, Any]) -> None:
    """One alarm, with all its columns."""
    await tx.run(_keep, values)


async def standing(conn: AsyncConnection) -> list[Mapping[str, Any]]:
    """Those that are not over."""
    return [row._asdict() for row in await rows_of(conn, _read)]


_lock = Prepared(
    sa.text(
        "INSERT INTO outside (name, ok_ms, failed_ms) VALUES ('judge', :now, 0)"
        " ON CONFLICT (name) DO UPDATE SET ok_ms = :now"
    )
)


async def alone(tx: Transaction) -> None:
    """Of several servers one judges at a time: a second waits here, and finds what the first has kept."""
    await tx.run(_lock, {"now": tx.now_ms})


# ---- has anybody taken it up -------------------------------------------------------------------------------------

_campaigns, _calls = json_rows("campaigns", id=int), json_rows("calls", id=int)
_sent = Prepared(
    sa.select(progress.c.campaign_id)
    .where(
        progress.c.campaign_id.in_(sa.select(_campaigns.c.id)), progress.c.accepted + progress.c.delivered > 0
    )
    .distinct()
)  # fmt: skip
_taken = Prepared(
    sa.select(webhook_call.c.id).where(
        webhook_call.c.id.in_(sa.select(_calls.c.id)), webhook_call.c.taken_ms.is_not(None)
    )
)


async def confirmed(
    conn: AsyncConnection, campaigns: Sequence[int], calls: Sequence[int]
) -> tuple[frozenset[int], frozenset[int]]:
    """Of these the campaigns of which a carrier took something, and the webhooks that were taken."""
    sent = await rows_of(conn, _sent, {"campaigns": pack((i,) for i in campaigns)})
    taken = await rows_of(conn, _taken, {"calls": pack((i,) for i in calls)})
    return frozenset(row[0] for row in sent), frozenset(row[0] for row in taken)


# ---- facts -------------------------------------------------------------------------------------------------------


class WaitingChannel(msgspec.Struct, frozen=True):
    """Of the live campaigns of a channel that are running and not held."""

    channel: str
    queued: int
    moved_ms: int
    """When something left last on this channel, or the first of them began."""
    alert_moved_ms: int | None
    """The same of the alert that has waited longest for anything of it to leave; None where no alert waits."""


_waits_since = sa.func.coalesce(progress.c.last_sent_ms, campaign.c.starts_ms)
_waiting = Prepared(
    sa.select(
        progress.c.channel,
        sa.func.sum(progress.c.queued).label("queued"),
        sa.func.max(_waits_since).label("moved_ms"),
        sa.func.min(sa.case((campaign.c.priority == 0, _waits_since))).label("alert_moved_ms"),
    )
    .join(campaign, campaign.c.id == progress.c.campaign_id)
    .where(
        sa.text("campaign.ended_ms IS NULL"),  # word for word the predicate of the index
        campaign.c.state == str(CampaignState.RUNNING),
        campaign.c.mode == "live",
        progress.c.queued > 0,
        ~sa.exists().where(
            sa.or_(
                hold.c.scope == "all",
                sa.and_(hold.c.scope == "channel", hold.c.subject == progress.c.channel),
                sa.and_(hold.c.scope == "zone", hold.c.subject == sa.cast(campaign.c.zone_id, sa.Text)),
                sa.and_(hold.c.scope == "campaign", hold.c.subject == sa.cast(campaign.c.id, sa.Text)),
            )
        ),
    )
    .group_by(progress.c.channel)
)
_held_channels = Prepared(
    sa.select(hold.c.scope, hold.c.subject).where(hold.c.scope.in_(("all", "channel")))
)  # fmt: skip
_quarantined = Prepared(
    sa.select(audit.c.id, audit.c.at_ms)
    .where(audit.c.action == "delivery-quarantined", audit.c.at_ms > sa.bindparam("since"))
    .order_by(audit.c.at_ms.desc(), audit.c.id.desc())
    .limit(20)
)
_buyers = sa.select(zone.c.id, zone.c.code).where(
    sa.exists().where(lot.c.zone_id == zone.c.id, lot.c.expired_ms.is_(None))
)


async def waiting(conn: AsyncConnection) -> list[WaitingChannel]:
    """What waits, as counters tell it; no delivery is read."""
    rows = await rows_of(conn, _waiting)
    return [WaitingChannel(r.channel, int(r.queued), int(r.moved_ms), r.alert_moved_ms) for r in rows]


async def held_channels(conn: AsyncConnection) -> frozenset[str]:
    """The channels on which nothing leaves because somebody holds them; `all` for all of them."""
    return frozenset(row.subject or "all" for row in await rows_of(conn, _held_channels))


async def quarantined(conn: AsyncConnection, since_ms: int) -> list[AnyRow]:
    """(id of its line in the audit, when) of the deliveries that were taken out, the latest 20."""
    return await rows_of(conn, _quarantined, {"since": since_ms})


class ZoneBalance(msgspec.Struct, frozen=True):
    zone_id: int
    code: str
    balance_millieuro: int


async def balances(conn: AsyncConnection, now_ms: int) -> list[ZoneBalance]:
    """Of the zones that have bought money."""
    rows = (await conn.execute(_buyers.order_by(zone.c.code))).all()
    return [ZoneBalance(row.id, row.code, await balance_millieuro(conn, row.id, now_ms)) for row in rows]
