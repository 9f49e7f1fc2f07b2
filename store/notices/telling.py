"""A notice is a campaign of no zone: its deliveries are rows from the first instant, and the ordinary lanes send them.

No zone, no thread, no account and no price stand at it. What asks for the campaigns of a zone, joins a zone or sums its
money finds nothing of it, and needs no condition for that.
"""

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.outbox.delivery_ids import first_id
from store.outbox.fairness import start_of
from store.outbox.records import NewText
from store.states import BatchState, CampaignState
from store.tables import batch, campaign, campaign_text, delivery, notice, notice_quota, progress

PURPOSE = "notice"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class NewDelivery(msgspec.Struct, frozen=True):
    channel: str
    address: str
    """E.164 or a mailbox, normalised."""
    language: str
    """Of one of the texts."""


class NewNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that telling writes."""

    public_id: str
    subject: str
    mode: str
    priority: int
    life_ms: int
    """How long it may still be sent."""
    horizon_ms: int
    """How long after the last sending bounces are waited for before it is sealed."""
    texts: tuple[NewText, ...]
    deliveries: tuple[NewDelivery, ...]


class TellingLimits(msgspec.Struct, frozen=True):
    """How much one address is told of one subject."""

    per_hour: int
    per_day: int


class Admission(msgspec.Struct, frozen=True):
    """Whether an address may be told now."""

    granted: bool
    held_back: int
    """Of what was granted: how much was not told since something was. Else: how much was not told by now."""


_claim = Prepared(
    sa.text(
        "INSERT INTO notice (subject, dedupe, made_ms, recipients) VALUES (:subject, :dedupe, :made_ms, :recipients)"
        " ON CONFLICT (dedupe) DO NOTHING RETURNING id"
    )
)
_earlier = Prepared(sa.select(notice.c.campaign_id).where(notice.c.dedupe == sa.bindparam("dedupe_")))


class NoticePlace(msgspec.Struct, frozen=True):
    """The place of a notice in the list of all."""

    id: int | None
    """None: it was told before."""
    campaign_id: int | None = None
    """Of what was told before; None: it was held back then."""


async def claim(tx: Transaction, subject: str, dedupe: str | None, recipients: int) -> NoticePlace:
    """Makes the row of a notice, once for each `dedupe`: of two who tell the same, the second waits and finds it."""
    values = {"subject": subject, "dedupe": dedupe, "made_ms": tx.now_ms, "recipients": recipients}
    made = await tx.rows(_claim, values)
    if made:
        return NoticePlace(int(made[0].id))
    found = await tx.first(_earlier, {"dedupe_": dedupe})
    return NoticePlace(None, None if found is None else found.campaign_id)


_begin_quota = Prepared(
    sa.text(
        "INSERT INTO notice_quota (address, subject, channel, language, hour_ms, in_hour, day_ms, in_day)"
        " VALUES (:address, :subject, :channel, :language, :now, 0, :now, 0) ON CONFLICT DO NOTHING"
    )
)
_this_quota = sa.and_(
    notice_quota.c.address == sa.bindparam("address_"), notice_quota.c.subject == sa.bindparam("subject_")
)
_quota = Prepared(sa.select(notice_quota).where(_this_quota).with_for_update())
_COUNTED = ("language", "hour_ms", "in_hour", "day_ms", "in_day", "held_back")
_count = Prepared(
    sa.update(notice_quota).where(_this_quota).values({name: sa.bindparam(f"new_{name}") for name in _COUNTED})
)


async def admit(tx: Transaction, to: NewDelivery, subject: str, limits: TellingLimits) -> Admission:
    """Counts one notice of this subject to this address. Nothing is dropped in silence: what is not granted is counted,
    and the next that is granted says how much it was."""
    about = {"address": to.address, "subject": subject}
    await tx.run(_begin_quota, about | {"channel": to.channel, "language": to.language, "now": tx.now_ms})
    where = {"address_": to.address, "subject_": subject}
    row = await tx.first(_quota, where)
    assert row is not None
    hour_ms, in_hour = _window(row.hour_ms, row.in_hour, HOUR_MS, tx.now_ms)
    day_ms, in_day = _window(row.day_ms, row.in_day, DAY_MS, tx.now_ms)
    granted = in_hour < limits.per_hour and in_day < limits.per_day
    counts = (to.language, hour_ms, in_hour + granted, day_ms, in_day + granted, 0 if granted else row.held_back + 1)
    await tx.run(_count, where | {f"new_{n}": v for n, v in zip(_COUNTED, counts, strict=True)})
    return Admission(granted, row.held_back if granted else row.held_back + 1)


def _window(began_ms: int, count: int, length_ms: int, now_ms: int) -> tuple[int, int]:
    """The window that holds now; a clock that was stepped back begins none anew."""
    return (now_ms, 0) if now_ms - began_ms >= length_ms else (began_ms, count)


_due_again = Prepared(
    sa.select(notice_quota)
    .where(
        sa.text("notice_quota.held_back > 0"),  # word for word the predicate of the index
        notice_quota.c.hour_ms <= sa.bindparam("hour_before"),
        sa.or_(notice_quota.c.in_day < sa.bindparam("per_day"), notice_quota.c.day_ms <= sa.bindparam("day_before")),
    )
    .order_by(notice_quota.c.hour_ms)
    .limit(20)
)


async def may_be_told_again(tx: Transaction, limits: TellingLimits) -> list[AnyRow]:
    """The addresses that were not told something, and may be told now that there was something."""
    before = {"hour_before": tx.now_ms - HOUR_MS, "day_before": tx.now_ms - DAY_MS, "per_day": limits.per_day}
    return await tx.rows(_due_again, before)


_forget = Prepared(
    sa.update(notice_quota).where(_this_quota).values(held_back=0)
)  # fmt: skip


async def forget_held_back(tx: Transaction, address: str, subject: str) -> None:
    """Of what nobody needs to hear of any more, as a newer link has taken its place."""
    await tx.run(_forget, {"address_": address, "subject_": subject})


# ---- filing ------------------------------------------------------------------------------------------------------

_CAMPAIGN = (
    "public_id", "purpose", "title", "kind", "mode", "state", "priority", "crash_policy", "created_ms", "starts_ms",
    "expires_ms", "horizon_ms", "targets",
)  # fmt: skip
_add_campaign = Prepared(
    sa.insert(campaign).values({name: sa.bindparam(name) for name in _CAMPAIGN}).returning(campaign.c.id)
)
_texts = json_rows("texts", channel=str, language=str, content=str, units=int, price_millieuro=int)
_add_texts = Prepared(
    sa.insert(campaign_text).from_select(
        ["campaign_id", "channel", "language", "content", "units", "price_millieuro"],
        sa.select(sa.bindparam("campaign", type_=sa.BigInteger), _texts),
    )
)
_rows = json_rows("rows", id=int, channel=str, address=str, language=str, units=int)
# Neither a member nor a contact is behind them: 0 is nobody's number.
_add_deliveries = Prepared(
    sa.insert(delivery).from_select(
        ["id", "channel", "member_id", "contact_id", "address", "language", "units", "price_millieuro"],
        sa.select(
            _rows.c.id, _rows.c.channel, sa.literal_column("0"), sa.literal_column("0"), _rows.c.address,
            _rows.c.language, _rows.c.units, sa.literal_column("0"),
        ),
    )
)  # fmt: skip
_BATCH = ("campaign_id", "channel", "mode", "priority", "turn", "tag", "first", "last", "cursor", "state")
_add_batch = Prepared(sa.insert(batch).values({name: sa.bindparam(name) for name in _BATCH}))
_add_progress = Prepared(
    sa.insert(progress).values({name: sa.bindparam(name) for name in ("campaign_id", "channel", "queued")})
)
_place = Prepared(
    sa.update(notice)
    .where(notice.c.id == sa.bindparam("notice"))
    .values(campaign_id=sa.bindparam("campaign"), held_back=sa.bindparam("held_back_"), wiped_ms=sa.bindparam("wiped_"))
)


async def file(tx: Transaction, notice_id: int, new: NewNotice, held_back: int) -> int:
    """Keeps a notice with its deliveries, ready for the lanes; returns its campaign."""
    [added] = await tx.rows(_add_campaign, {
        "public_id": new.public_id, "purpose": PURPOSE, "title": new.subject, "kind": new.subject, "mode": new.mode,
        "state": str(CampaignState.RUNNING), "priority": new.priority, "crash_policy": "resend",
        "created_ms": tx.now_ms, "starts_ms": tx.now_ms, "expires_ms": tx.now_ms + new.life_ms,
        "horizon_ms": new.horizon_ms, "targets": "{}",
    })  # fmt: skip
    campaign_id = int(added.id)
    await tx.run(_add_texts, {"campaign": campaign_id, "texts": pack(msgspec.structs.astuple(t) for t in new.texts)})
    await _queue(tx, campaign_id, new)
    await tx.run(_place, {"notice": notice_id, "campaign": campaign_id, "held_back_": held_back, "wiped_": None})
    return campaign_id


async def file_held_back(tx: Transaction, notice_id: int, held_back: int) -> None:
    """Nobody is told of this one now: its row says so."""
    await tx.run(_place, {"notice": notice_id, "campaign": None, "held_back_": held_back, "wiped_": tx.now_ms})


async def _queue(tx: Transaction, campaign_id: int, new: NewNotice) -> None:
    units = {(text.channel, text.language): text.units for text in new.texts}
    first = first_id(campaign_id)
    by_channel: dict[str, list[NewDelivery]] = {}
    for one in new.deliveries:
        by_channel.setdefault(one.channel, []).append(one)
    for channel, ones in by_channel.items():
        rows = ((first + n, channel, o.address, o.language, units[channel, o.language]) for n, o in enumerate(ones))
        await tx.run(_add_deliveries, {"rows": pack(rows)})
        await tx.run(_add_progress, {"campaign_id": campaign_id, "channel": channel, "queued": len(ones)})
        await tx.run(_add_batch, {
            "campaign_id": campaign_id, "channel": channel, "mode": new.mode, "priority": new.priority,
            "turn": int(new.priority > 0), "tag": await start_of(tx, campaign_id, channel, len(ones)),
            "first": first, "last": first + len(ones) - 1, "cursor": first - 1, "state": int(BatchState.READY),
        })  # fmt: skip
        first += len(ones)
