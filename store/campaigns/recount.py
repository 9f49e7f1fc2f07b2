"""A campaign's deliveries counted again from their rows, for a report: not from counters, and a million of them.

A page is one row of text made by the engine, so that a report costs the event loop nothing to speak of.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.prepared_statement import Prepared
from store.engine.transaction import rows_of
from store.outbox.delivery_ids import first_id
from store.states import DeliveryState
from store.tables import delivery, expansion

PAGE = 10_000
"""Deliveries of one page."""


class Page(msgspec.Struct, frozen=True):
    """Deliveries first..last of a campaign. `places` and `failed` name each by its distance from the first."""

    first_seq: int
    rows: int
    places: str
    """Comma-separated, in any order: (distance << 4) | state."""
    failed: tuple[tuple[str, str], ...]
    """(code, comma-separated distances) of the failed ones."""
    members: int
    """Sums of the ids, to hold against the frozen audience."""
    contacts: int
    sent: int
    first_sent_ms: int | None
    last_sent_ms: int | None


class Expanded(msgspec.Struct, frozen=True):
    """How much of a channel's frozen audience has become rows."""

    channel: str
    first_seq: int
    size: int
    upto: int


async def hold_still(conn: AsyncConnection) -> None:
    """Has all that follows read from one snapshot: to be called before the first statement. SQLite does so by
    itself."""
    if conn.dialect.name == "postgresql":
        await conn.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


_expanded = Prepared(
    sa.select(expansion.c.channel, expansion.c.first_seq, expansion.c.size, expansion.c.expanded_upto)
    .where(expansion.c.campaign_id == sa.bindparam("campaign"))
    .order_by(expansion.c.first_seq)
)


async def expanded(conn: AsyncConnection, campaign_id: int) -> list[Expanded]:
    return [Expanded(*row) for row in await rows_of(conn, _expanded, {"campaign": campaign_id})]


_d = delivery.c
_distance = _d.id - sa.bindparam("first")
_in_page = _d.id.between(sa.bindparam("first"), sa.bindparam("last"))
_page = Prepared(
    sa.select(
        sa.func.count(),
        sa.func.aggregate_strings(sa.cast(_distance * 16 + _d.state, sa.Text), ","),
        sa.func.sum(_d.member_id),
        sa.func.sum(_d.contact_id),
        sa.func.count(_d.sent_ms),
        sa.func.min(_d.sent_ms),
        sa.func.max(_d.sent_ms),
    ).where(_in_page)
)
_failed = Prepared(
    sa.select(
        sa.func.coalesce(_d.code, "").label("reason"), sa.func.aggregate_strings(sa.cast(_distance, sa.Text), ",")
    )
    .where(_in_page, _d.state == int(DeliveryState.FAILED))
    .group_by(sa.literal_column("reason"))
)


async def page(conn: AsyncConnection, campaign_id: int, first_seq: int, last_seq: int) -> Page:
    """The deliveries of one page, counted; a page has at most `PAGE` of them."""
    base = first_id(campaign_id)
    values = {"first": base | first_seq, "last": base | last_seq}
    [row] = await rows_of(conn, _page, values)
    failed = await rows_of(conn, _failed, values)
    return Page(
        first_seq,
        int(row[0]),
        row[1] or "",
        tuple((str(f[0]), str(f[1])) for f in failed),
        int(row[2] or 0),
        int(row[3] or 0),
        int(row[4]),
        row[5],
        row[6],
    )
