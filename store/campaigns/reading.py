"""Campaigns as they are read: by public id, with counters, texts, deliveries in pages and the sums of a report."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, rows_of
from store.outbox.delivery_ids import end_id, first_id
from store.outbox.records import DeliveryCounts
from store.states import CampaignState, DeliveryState
from store.tables import (
    account,
    alert,
    audience,
    campaign,
    campaign_replaces,
    campaign_text,
    delivery,
    idempotency,
    member,
    progress,
    zone,
)


class Campaign(msgspec.Struct, frozen=True):
    id: int
    public_id: str
    zone_id: int
    zone_code: str
    alert_id: int | None
    alert_public_id: str | None
    account_id: int
    account_code: str
    purpose: str
    title: str
    kind: str
    mode: str
    state: str
    epoch: int
    priority: int
    crash_policy: str
    created_ms: int
    starts_ms: int
    expires_ms: int
    horizon_ms: int
    ended_ms: int | None
    sealed_ms: int | None
    targets: str
    counts: str
    reserved_millieuro: int
    settled_millieuro: int
    report: str | None
    thread_id: int
    channels: str | None = None
    """Those of its texts, a blank between two, each as often as it has a language."""
    retired_ms: int | None = None
    """When it was given up after it had come with a copy of the store."""
    cleared_ms: int | None = None
    """When its deliveries went, whose time was over."""
    behalf_id: int | None = None
    """The account on whose behalf it was launched; None: that of `account_id` itself."""
    behalf_code: str | None = None
    break_glass_use_id: int | None = None
    """Of the paper code by which whoever decided it came in."""

    @property
    def decided_by(self) -> int:
        """The account whose decision it was, whoever launched it."""
        return self.account_id if self.behalf_id is None else self.behalf_id

    @property
    def uses(self) -> frozenset[str]:
        """The channels by which it is sent."""
        return frozenset((self.channels or "").split())


_OWN = tuple(
    name for name in Campaign.__struct_fields__
    if name not in ("zone_code", "alert_public_id", "account_code", "behalf_code", "channels")
)  # fmt: skip
_channels = (
    sa.select(sa.func.aggregate_strings(campaign_text.c.channel, " "))
    .where(campaign_text.c.campaign_id == campaign.c.id)
    .scalar_subquery()
)
_behalf = account.alias("behalf")
_campaigns = (
    sa.select(
        *(campaign.c[name] for name in _OWN),
        zone.c.code.label("zone_code"),
        alert.c.public_id.label("alert_public_id"),
        account.c.code.label("account_code"),
        _behalf.c.code.label("behalf_code"),
        _channels.label("channels"),
    )
    .join(zone, zone.c.id == campaign.c.zone_id)
    .join(account, account.c.id == campaign.c.account_id)
    .join(alert, alert.c.id == campaign.c.alert_id, isouter=True)
    .join(_behalf, _behalf.c.id == campaign.c.behalf_id, isouter=True)
)


_by_id = Prepared(_campaigns.where(campaign.c.id == sa.bindparam("id")))
_by_public_id = Prepared(_campaigns.where(campaign.c.public_id == sa.bindparam("public_id")))
_of_alert = Prepared(_campaigns.where(campaign.c.alert_id == sa.bindparam("alert")).order_by(campaign.c.id))
_threads = json_rows("threads", id=int)
_of_threads = Prepared(_campaigns.where(campaign.c.thread_id.in_(sa.select(_threads.c.id))).order_by(campaign.c.id))


def _campaign(row: AnyRow) -> Campaign:
    return Campaign(**row._asdict())


async def by_public_id(conn: AsyncConnection, public_id: str) -> Campaign | None:
    rows = await rows_of(conn, _by_public_id, {"public_id": public_id})
    return _campaign(rows[0]) if rows else None


async def by_id(conn: AsyncConnection, campaign_id: int) -> Campaign | None:
    rows = await rows_of(conn, _by_id, {"id": campaign_id})
    return _campaign(rows[0]) if rows else None


class EarlierRequest(msgspec.Struct, frozen=True):
    """What an account has asked for before, under a key of its own."""

    public_id: str
    """Of the campaign that came of it."""
    sha256: str
    """Of what was asked for; empty: not known any more."""


async def by_request_key(conn: AsyncConnection, account_id: int, key: str) -> EarlierRequest | None:
    row = (
        await conn.execute(
            sa.select(campaign.c.public_id, idempotency.c.sha256)
            .join(idempotency, idempotency.c.campaign_id == campaign.c.id)
            .where(idempotency.c.account_id == account_id, idempotency.c.key == key)
        )
    ).first()
    return None if row is None else EarlierRequest(row.public_id, row.sha256)


async def of_alert(conn: AsyncConnection, alert_id: int) -> list[Campaign]:
    return [_campaign(row) for row in await rows_of(conn, _of_alert, {"alert": alert_id})]


async def of_thread(conn: AsyncConnection, thread_id: int, *others: int) -> list[Campaign]:
    """Every campaign of a thread, or of several that are to become one, oldest first."""
    rows = await rows_of(conn, _of_threads, {"threads": pack((i,) for i in (thread_id, *others))})
    return [_campaign(row) for row in rows]


async def recent(
    conn: AsyncConnection, zone_ids: Sequence[int] | None, *, before_id: int | None, most: int
) -> list[Campaign]:
    """The campaigns of these zones (None: of all), the newest first."""
    statement = _campaigns.order_by(campaign.c.id.desc()).limit(most)
    if zone_ids is not None:
        statement = statement.where(campaign.c.zone_id.in_(zone_ids))
    if before_id is not None:
        statement = statement.where(campaign.c.id < before_id)
    return [_campaign(row) for row in (await conn.execute(statement)).all()]


_RANKS = {str(CampaignState.RUNNING): 0, str(CampaignState.PREPARING): 1, str(CampaignState.SCHEDULED): 1}
_rank = sa.case(_RANKS, value=campaign.c.state, else_=2)
_unfinished = Prepared(
    _campaigns.where(campaign.c.sealed_ms.is_(None))
    .order_by(_rank, sa.case((_rank == 0, campaign.c.priority), else_=0), campaign.c.id.desc())
    .limit(sa.bindparam("most"))
)


async def unfinished(conn: AsyncConnection, *, most: int) -> list[Campaign]:
    """Whatever is not sealed yet, as an operator looks at it: the running ones first, most urgent first, then what
    is still to come, then what waits for its receipts; of each the newest first."""
    return [_campaign(row) for row in await rows_of(conn, _unfinished, {"most": most})]


_replaced = Prepared(
    sa.select(campaign_replaces.c.replaced_id).where(campaign_replaces.c.campaign_id == sa.bindparam("campaign"))
)


async def replaced_by(conn: AsyncConnection, campaign_id: int) -> list[int]:
    return [row.replaced_id for row in await rows_of(conn, _replaced, {"campaign": campaign_id})]


_counts = Prepared(
    sa.select(*(progress.c[name] for name in DeliveryCounts.__struct_fields__))
    .where(progress.c.campaign_id == sa.bindparam("campaign"))
    .order_by(progress.c.channel)
)


async def counts(conn: AsyncConnection, campaign_id: int) -> list[DeliveryCounts]:
    """The counters of a campaign, one a channel."""
    return [DeliveryCounts(*row) for row in await rows_of(conn, _counts, {"campaign": campaign_id})]


_replaced_counts = Prepared(
    sa.select(*(progress.c[name] for name in DeliveryCounts.__struct_fields__))
    .join(campaign_replaces, campaign_replaces.c.replaced_id == progress.c.campaign_id)
    .where(campaign_replaces.c.campaign_id == sa.bindparam("campaign"))
)


async def replaced_counts(conn: AsyncConnection, campaign_id: int) -> list[DeliveryCounts]:
    """The counters of all that a campaign replaces, one a campaign and channel."""
    return [DeliveryCounts(*row) for row in await rows_of(conn, _replaced_counts, {"campaign": campaign_id})]


class Text(msgspec.Struct, frozen=True):
    channel: str
    language: str
    content: str
    units: int
    price_millieuro: int


_texts = Prepared(
    sa.select(*(campaign_text.c[name] for name in Text.__struct_fields__))
    .where(campaign_text.c.campaign_id == sa.bindparam("campaign"))
    .order_by(campaign_text.c.channel, campaign_text.c.language)
)


async def texts(conn: AsyncConnection, campaign_id: int) -> list[Text]:
    return [Text(*row) for row in await rows_of(conn, _texts, {"campaign": campaign_id})]


_audience = Prepared(sa.select(audience.c.blob).where(audience.c.campaign_id == sa.bindparam("campaign")))


async def audience_blob(conn: AsyncConnection, campaign_id: int) -> bytes | None:
    rows = await rows_of(conn, _audience, {"campaign": campaign_id})
    return bytes(rows[0].blob) if rows else None


# ---- deliveries ------------------------------------------------------------------------------------------


class Delivery(msgspec.Struct, frozen=True):
    id: int
    channel: str
    member: str
    """The member's public id."""
    name: str
    address: str
    language: str
    units: int
    state: str
    attempts: int
    carrier: str | None
    code: str | None
    text: str | None
    sent_ms: int | None
    changed_ms: int | None


_DELIVERY = delivery.c
_page = (
    sa.select(
        _DELIVERY.id, _DELIVERY.channel, member.c.public_id, member.c.name, _DELIVERY.address, _DELIVERY.language,
        _DELIVERY.units, _DELIVERY.state, _DELIVERY.attempts, _DELIVERY.carrier, _DELIVERY.code, _DELIVERY.text,
        _DELIVERY.sent_ms, _DELIVERY.changed_ms,
    )
    .join(member, member.c.id == _DELIVERY.member_id)
    .where(_DELIVERY.id > sa.bindparam("after"), _DELIVERY.id < sa.bindparam("end"))
    .order_by(_DELIVERY.id)
    .limit(sa.bindparam("most"))
)  # fmt: skip
_whole_page = Prepared(_page)


async def deliveries(
    conn: AsyncConnection,
    campaign_id: int,
    *,
    after_id: int,
    most: int,
    states: Sequence[DeliveryState] = (),
    channel: str | None = None,
    carrier: str | None = None,
) -> list[Delivery]:
    """A keyset page by ascending id; `after_id` 0 begins."""
    values = {"after": max(after_id, first_id(campaign_id) - 1), "end": end_id(campaign_id), "most": most}
    wanted = [column == word for column, word in ((_DELIVERY.channel, channel), (_DELIVERY.carrier, carrier)) if word]
    if states:
        wanted.append(_DELIVERY.state.in_([int(s) for s in states]))
    if wanted:
        rows: Sequence[AnyRow] = (await conn.execute(_page.where(*wanted), values)).all()
    else:
        rows = await rows_of(conn, _whole_page, values)
    return [_delivery(tuple(row)) for row in rows]


def _delivery(row: tuple[Any, ...]) -> Delivery:
    values = dict(zip(Delivery.__struct_fields__, row, strict=True))
    return Delivery(**values | {"state": DeliveryState(values["state"]).word})


class Sum(msgspec.Struct, frozen=True):
    """Deliveries recounted from their rows."""

    channel: str
    language: str
    state: str
    code: str | None
    deliveries: int
    units: int
    charged_millieuro: int


async def sums(conn: AsyncConnection, campaign_id: int) -> list[Sum]:
    d = delivery.c
    rows = await conn.execute(
        sa.select(
            d.channel, d.language, d.state,
            sa.case((d.state == int(DeliveryState.FAILED), d.code), else_=None).label("reason"),
            sa.func.count(), sa.func.sum(d.units), sa.func.sum(d.charged * d.price_millieuro),
        )
        .where(d.id.between(first_id(campaign_id), end_id(campaign_id) - 1))
        .group_by(d.channel, d.language, d.state, sa.literal_column("reason"))
        .order_by(d.channel, d.language, d.state)
    )  # fmt: skip
    return [Sum(r[0], r[1], DeliveryState(r[2]).word, r[3], int(r[4]), int(r[5]), int(r[6])) for r in rows.all()]
