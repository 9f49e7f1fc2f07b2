"""The outbox at a glance, for whoever is woken at three in the morning: what is queued, held, late or in doubt."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.transaction import Transaction
from store.states import BatchState, CampaignState
from store.tables import batch, campaign, hold, node, progress, receipt_inbox


class ChannelView(msgspec.Struct, frozen=True):
    """One (channel, mode) over all campaigns that are not sealed."""

    channel: str
    mode: str
    queued: int
    retry: int
    unknown: int
    accepted: int
    ready_batches: int
    leased_batches: int
    waiting_batches: int
    late_leases: int
    """Leases that ended and were not taken back yet."""


class CarrierView(msgspec.Struct, frozen=True):
    """How a carrier was at its server's last sign of life."""

    name: str
    channel: str
    mode: str
    state: str
    """up, paused or down."""
    detail: str
    """One sentence; no secret, and no address of a person."""
    refuses_us: str = ""
    """What it has against us, where it refuses everybody."""


class NodeView(msgspec.Struct, frozen=True):
    name: str
    boot_id: str
    started_ms: int
    seen_ms: int
    carriers: tuple[CarrierView, ...] = ()


class Overview(msgspec.Struct, frozen=True):
    channels: tuple[ChannelView, ...]
    nodes: tuple[NodeView, ...]
    open_receipts: int
    """Receipts that have matched nothing so far."""
    campaigns_running: int
    campaigns_unsealed: int
    holds: int


_of_a_zone = campaign.c.zone_id.is_not(None)
"""And no notice: they are counted nowhere but in their own list."""
_batches = (
    sa.select(
        batch.c.channel,
        batch.c.mode,
        *(
            sa.func.sum(sa.case((batch.c.state == int(state), 1), else_=0)).label(state.name.lower())
            for state in (BatchState.READY, BatchState.LEASED, BatchState.WAITING)
        ),
        sa.func.sum(
            sa.case(
                (sa.and_(batch.c.state == int(BatchState.LEASED), batch.c.due_ms < sa.bindparam("now")), 1), else_=0
            )
        ).label("late"),
    )
    .where(batch.c.state != int(BatchState.DONE))
    .group_by(batch.c.channel, batch.c.mode)
)
_deliveries = (
    sa.select(
        progress.c.channel,
        campaign.c.mode,
        *(sa.func.sum(progress.c[word]).label(word) for word in ("queued", "retry", "unknown", "accepted")),
    )
    .join(campaign, campaign.c.id == progress.c.campaign_id)
    .where(campaign.c.sealed_ms.is_(None), _of_a_zone)
    .group_by(progress.c.channel, campaign.c.mode)
)


async def overview(conn: AsyncConnection, now_ms: int) -> Overview:
    """The outbox as counters and open batches tell it; no delivery is read."""
    batches = {(r.channel, r.mode): r for r in (await conn.execute(_batches, {"now": now_ms})).all()}
    deliveries = {(r.channel, r.mode): r for r in (await conn.execute(_deliveries)).all()}
    channels = []
    for channel, mode in sorted(batches.keys() | deliveries.keys()):
        b, d = batches.get((channel, mode)), deliveries.get((channel, mode))
        counts = [int(n) for n in d[2:6]] if d else [0, 0, 0, 0]
        states = [int(n) for n in b[2:6]] if b else [0, 0, 0, 0]
        channels.append(ChannelView(channel, mode, *counts, *states))
    running = campaign.c.state == str(CampaignState.RUNNING)
    return Overview(
        channels=tuple(channels),
        nodes=await nodes(conn),
        open_receipts=await _count(conn, receipt_inbox, receipt_inbox.c.matched_ms.is_(None)),
        campaigns_running=await _count(conn, campaign, sa.and_(running, campaign.c.sealed_ms.is_(None), _of_a_zone)),
        campaigns_unsealed=await _count(conn, campaign, sa.and_(campaign.c.sealed_ms.is_(None), _of_a_zone)),
        holds=await _count(conn, hold, sa.true()),
    )


async def nodes(conn: AsyncConnection) -> tuple[NodeView, ...]:
    """The servers that have given a sign of life, the latest first."""
    rows = await conn.execute(
        sa.select(node.c.name, node.c.boot_id, node.c.started_ms, node.c.seen_ms, node.c.carriers)
        .order_by(node.c.seen_ms.desc())
        .limit(8)
    )
    return tuple(NodeView(*row[:4], _carriers(row.carriers)) for row in rows.all())


async def seen(tx: Transaction, boot_id: str, name: str, carriers: Sequence[CarrierView]) -> None:
    """Keeps a server's sign of life."""
    told = {"seen_ms": tx.now_ms, "carriers": msgspec.json.encode(carriers).decode()}
    if not await tx.run(sa.update(node).where(node.c.boot_id == boot_id).values(told)):
        await tx.run(sa.insert(node).values(boot_id=boot_id, name=name, started_ms=tx.now_ms, **told))


def _carriers(text: str) -> tuple[CarrierView, ...]:
    """Nothing of what a newer version wrote otherwise."""
    try:
        return msgspec.json.decode(text, type=tuple[CarrierView, ...])
    except msgspec.MsgspecError:
        return ()


async def _count(conn: AsyncConnection, table: sa.Table, where: sa.ColumnElement[bool]) -> int:
    return int((await conn.execute(sa.select(sa.func.count()).select_from(table).where(where))).scalar_one())
