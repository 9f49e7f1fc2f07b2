"""Notices as they are read: the words for a lane, what became of each delivery, the list for operators."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import rows_of
from store.outbox.delivery_ids import campaign_of, end_id, first_id
from store.states import DeliveryState
from store.tables import campaign, campaign_text, delivery, notice


class NoticeText(msgspec.Struct, frozen=True):
    channel: str
    language: str
    content: str


class NoticeWords(msgspec.Struct, frozen=True):
    """What a notice says on every channel."""

    starts_ms: int
    texts: tuple[NoticeText, ...]


_words = Prepared(
    sa.select(campaign.c.starts_ms, campaign_text.c.channel, campaign_text.c.language, campaign_text.c.content)
    .join(campaign_text, campaign_text.c.campaign_id == campaign.c.id)
    .where(campaign.c.id == sa.bindparam("campaign"), campaign.c.zone_id.is_(None))
    .order_by(campaign_text.c.channel, campaign_text.c.language)
)


async def words(conn: AsyncConnection, campaign_id: int) -> NoticeWords | None:
    """None for what is no notice, or one whose words are gone."""
    rows = await rows_of(conn, _words, {"campaign": campaign_id})
    return NoticeWords(rows[0][0], tuple(NoticeText(*row[1:]) for row in rows)) if rows else None


class NoticeDelivery(msgspec.Struct, frozen=True):
    channel: str
    address: str
    state: str
    """queued, retry, unknown, accepted, delivered, failed, expired, cancelled."""
    code: str
    """What a carrier gave as its reason; empty for nothing."""
    changed_ms: int | None


_spans = json_rows("spans", first=int, beyond=int)
_deliveries = Prepared(
    sa.select(
        delivery.c.id, delivery.c.channel, delivery.c.address, delivery.c.state, delivery.c.code, delivery.c.changed_ms
    )
    .select_from(_spans)
    .join(delivery, sa.and_(delivery.c.id >= _spans.c.first, delivery.c.id < _spans.c.beyond))
    .order_by(delivery.c.id)
)


async def deliveries(conn: AsyncConnection, campaign_ids: Sequence[int]) -> dict[int, list[NoticeDelivery]]:
    """By campaign; of one whose time is over (store/retention.py) none are left."""
    found: dict[int, list[NoticeDelivery]] = {campaign_id: [] for campaign_id in campaign_ids}
    spans = pack((first_id(id_), end_id(id_)) for id_ in campaign_ids)
    for row in await rows_of(conn, _deliveries, {"spans": spans}):
        told = NoticeDelivery(row.channel, row.address, DeliveryState(row.state).word, row.code or "", row.changed_ms)
        found[campaign_of(row.id)].append(told)
    return found


async def states(conn: AsyncConnection, campaign_id: int) -> list[NoticeDelivery]:
    """What became of each delivery of one notice."""
    return (await deliveries(conn, [campaign_id]))[campaign_id]


class NoticeView(msgspec.Struct, frozen=True):
    number: int
    """Its place in the order of telling."""
    campaign_id: int | None
    public_id: str | None
    """None, as the campaign: every address had too many already."""
    subject: str
    mode: str | None
    made_ms: int
    recipients: int
    held_back: int
    ended_ms: int | None
    wiped_ms: int | None


_NOTICE = ("id", "campaign_id", "subject", "made_ms", "recipients", "held_back", "wiped_ms")
_page = Prepared(
    sa.select(
        *(notice.c[name] for name in _NOTICE), campaign.c.public_id, campaign.c.mode, campaign.c.ended_ms
    )
    .join(campaign, campaign.c.id == notice.c.campaign_id, isouter=True)
    .where(notice.c.id < sa.bindparam("before"))
    .order_by(notice.c.id.desc())
    .limit(sa.bindparam("most"))
)  # fmt: skip
_BEYOND = 2**62


async def page(conn: AsyncConnection, *, before: int | None, most: int) -> list[NoticeView]:
    """The newest first; `before`: only those with a smaller number."""
    rows = await rows_of(conn, _page, {"before": _BEYOND if before is None else before, "most": most})
    return [
        NoticeView(
            number=r.id, campaign_id=r.campaign_id, public_id=r.public_id, subject=r.subject, mode=r.mode,
            made_ms=r.made_ms, recipients=r.recipients, held_back=r.held_back, ended_ms=r.ended_ms,
            wiped_ms=r.wiped_ms,
        )
        for r in rows
    ]  # fmt: skip
