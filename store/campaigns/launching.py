"""Launch: alert, campaigns, frozen audiences, reserved credit, feed entry and audit line in ONE transaction; then the
rows and batches of a campaign, in chunks, from its frozen audience."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from store import audit
from store.audit_line import Actor
from store.campaigns import threads
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.errors import AudienceTooLarge, StaleThread
from store.money import bookings, reservations
from store.outbox import cancel_waits
from store.outbox.delivery_ids import MOST_DELIVERIES
from store.outbox.fairness import give_place_back, start_of
from store.outbox.records import NewAlert, NewCampaign, ThreadSeen
from store.states import CampaignState
from store.tables import (
    alert,
    alert_reference,
    alert_zone,
    audience,
    campaign,
    campaign_replaces,
    campaign_text,
    expansion,
    feed_entry,
    idempotency,
    progress,
)

"""Of one campaign: the id of a delivery is the campaign's and a number below this."""


class ZoneRefusal(msgspec.Struct, frozen=True):
    """A zone that the alert touches and that does not launch, and why."""

    zone_id: int
    reason: str


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """All that one decision writes."""

    account_id: int
    alert: NewAlert | None
    campaigns: tuple[NewCampaign, ...]
    refusals: tuple[ZoneRefusal, ...] = ()
    ends: tuple[tuple[int, str], ...] = ()
    """(campaign, the state it ends in): what an Update or Cancel stops, at the same instant."""
    alert_ends: tuple[tuple[int, str], ...] = ()
    """(alert, superseded or cancelled)."""
    publish_until_ms: int | None = None
    publish: bool = False
    threads: tuple[ThreadSeen, ...] = ()
    """What it follows, as it was when that was decided; several become one. Empty: the thread of what it replaces,
    else a new one."""
    by: Actor | None = None
    """Who decided it, and from where, where more is known than the account."""

    @property
    def acts(self) -> bool:
        """Whether it launches or ends anything; else it is only filed."""
        return bool(self.campaigns or self.ends or self.alert_ends or self.cancels)

    @property
    def cancels(self) -> bool:
        """Whether it is the end of its thread."""
        of_alert = self.alert is not None and self.alert.state == "cancelled"
        # It is also where no zone can tell anybody of it.
        stops = any(state == CampaignState.CANCELLED for _, state in self.ends)
        return of_alert or stops or any(c.purpose == "cancel" for c in self.campaigns)


class Launched(msgspec.Struct, frozen=True):
    alert_id: int | None
    campaign_ids: tuple[int, ...]


_ALERT_COLUMNS = tuple(name for name in NewAlert.__struct_fields__ if name != "references")
_CAMPAIGN_COLUMNS = (
    "public_id", "zone_id", "account_id", "purpose", "title", "kind", "mode", "state", "priority", "crash_policy",
    "weight", "starts_ms", "expires_ms", "horizon_ms", "targets", "counts", "reserved_millieuro",
    "behalf_id",
    "break_glass_use_id",
)  # fmt: skip


def _row_of(table: sa.Table, *columns: str) -> sa.Insert:
    return sa.insert(table).values({name: sa.bindparam(name) for name in columns})


_add_alert = Prepared(_row_of(alert, *_ALERT_COLUMNS, "received_ms").returning(alert.c.id))
_references = json_rows("references", sender=str, identifier=str, sent_ms=int)
_add_references = Prepared(
    sa.insert(alert_reference).from_select(
        ["alert_id", "sender", "identifier", "sent_ms"],
        sa.select(sa.bindparam("alert", type_=sa.BigInteger), _references),
    )
)
_end_alert = Prepared(
    sa.update(alert)
    .where(alert.c.id == sa.bindparam("alert"), alert.c.state == "active")
    .values(state=sa.bindparam("state_"))
)
_add_zone = Prepared(_row_of(alert_zone, "alert_id", "zone_id", "campaign_id", "refusal"))
_add_entry = Prepared(_row_of(feed_entry, "alert_id", "published_ms", "expires_ms"))
_add_campaign = Prepared(
    _row_of(campaign, *_CAMPAIGN_COLUMNS, "alert_id", "thread_id", "created_ms").returning(campaign.c.id)
)
_add_request = Prepared(_row_of(idempotency, "account_id", "key", "sha256", "campaign_id", "at_ms"))
_add_replaced = Prepared(_row_of(campaign_replaces, "campaign_id", "replaced_id"))
_texts = json_rows("texts", channel=str, language=str, content=str, units=int, price_millieuro=int)
_add_texts = Prepared(
    sa.insert(campaign_text).from_select(
        ["campaign_id", "channel", "language", "content", "units", "price_millieuro"],
        sa.select(sa.bindparam("campaign", type_=sa.BigInteger), _texts),
    )
)
_add_audience = Prepared(_row_of(audience, "campaign_id", "blob", "sha256"))
_add_expansion = Prepared(_row_of(expansion, "campaign_id", "channel", "first_seq", "size", "tag", "waits_from"))
_add_progress = Prepared(_row_of(progress, "campaign_id", "channel", "queued"))


async def launch(tx: Transaction, decision: Launch) -> Launched:
    """Writes all of a launch. Raises IntegrityError (as `Conflict` out of `Database.write`) when the alert is there
    already, StaleThread, CreditExhausted (of the first zone that cannot pay; nothing is kept)."""
    # First of all, so that whoever else decided on this thread waits here, before anything of it is touched.
    thread_id = await _take_thread(tx, decision)
    alert_id = await _file_alert(tx, decision.alert, thread_id) if decision.alert else None
    await _end(tx, decision.ends)
    for ended_id, state in decision.alert_ends:
        if not await tx.run(_end_alert, {"alert": ended_id, "state_": state}):
            raise StaleThread(f"alert {ended_id} is no longer active")
    ids = [await _file_campaign(tx, new, alert_id, thread_id) for new in decision.campaigns]
    if alert_id is not None:
        await _file_zones(tx, alert_id, decision, ids)
        if decision.publish:
            entry = {"alert_id": alert_id, "published_ms": tx.now_ms, "expires_ms": decision.publish_until_ms}
            await tx.run(_add_entry, entry)
    await _write_down(tx, decision)
    await _pay(tx, decision, ids)
    return Launched(alert_id, tuple(ids))


_ended_ones = json_rows("ended", id=int)
_names_of_ended = Prepared(
    sa.select(campaign.c.zone_id, campaign.c.public_id)
    .where(campaign.c.id.in_(sa.select(_ended_ones.c.id)))
    .order_by(campaign.c.id)
)


async def _write_down(tx: Transaction, decision: Launch) -> None:
    """A line of the audit for each zone where something begins or ends: whoever sees to one learns nothing of the
    others. One line of no zone where there is none."""
    begun: dict[int | None, list[str]] = {}
    for new in decision.campaigns:
        begun.setdefault(new.zone_id, []).append(new.public_id)
    ended: dict[int | None, list[str]] = {}
    if decision.ends:
        for row in await tx.rows(_names_of_ended, {"ended": pack((id_,) for id_, _ in decision.ends)}):
            ended.setdefault(row.zone_id, []).append(row.public_id)
    by = decision.by or Actor(account_id=decision.account_id)
    for zone_id in {**begun, **ended} or (None,):
        campaigns = begun.get(zone_id, [])
        subject = decision.alert.public_id if decision.alert else (campaigns or ended.get(zone_id) or [""])[0]
        detail = {"campaigns": campaigns} | ({"ended": ended[zone_id]} if zone_id in ended else {})
        await audit.note(tx, "launch", subject, by, zone_id=zone_id, detail=detail)


async def _take_thread(tx: Transaction, decision: Launch) -> int:
    """Raises StaleThread."""
    found = decision.threads
    if not found and decision.alert is not None and decision.alert.thread_id is not None:
        found = (ThreadSeen(decision.alert.thread_id),)
    replaced = [old for new in decision.campaigns for old in new.replaces]
    if not found and replaced:
        found = await threads.of_campaigns(tx, replaced)
    if not found:
        return await threads.begin(tx, cancelled=decision.cancels)
    return await threads.join(tx, found, acts=decision.acts, cancels=decision.cancels)


async def _file_alert(tx: Transaction, new: NewAlert, thread_id: int) -> int:
    fields = {name: getattr(new, name) for name in _ALERT_COLUMNS}
    [added] = await tx.rows(_add_alert, fields | {"received_ms": tx.now_ms, "thread_id": thread_id})
    named = {(sender, identifier): sent_ms for sender, identifier, sent_ms in new.references}
    if named:
        references = pack((sender, identifier, sent_ms) for (sender, identifier), sent_ms in named.items())
        await tx.run(_add_references, {"alert": added.id, "references": references})
    return int(added.id)


async def _file_zones(tx: Transaction, alert_id: int, decision: Launch, ids: Sequence[int]) -> None:
    for new, campaign_id in zip(decision.campaigns, ids, strict=True):
        became = {"campaign_id": campaign_id, "refusal": ""}
        await tx.run(_add_zone, {"alert_id": alert_id, "zone_id": new.zone_id} | became)
    for refusal in decision.refusals:
        became = {"campaign_id": None, "refusal": refusal.reason}
        await tx.run(_add_zone, {"alert_id": alert_id, "zone_id": refusal.zone_id} | became)


async def end_campaigns(tx: Transaction, ends: Sequence[tuple[int, str]]) -> None:
    """Bump the epoch: from this instant nothing beyond a cursor leaves, and what can no longer be charged is free. Rows
    are marked later, in chunks."""
    await _end(tx, ends)
    await reservations.free(tx, [campaign_id for campaign_id, _ in ends])


async def _end(tx: Transaction, ends: Sequence[tuple[int, str]]) -> None:
    for campaign_id, state in sorted(ends):
        if await tx.run(_end_one, {"campaign": campaign_id, "state_": state}):
            await give_place_back(tx, campaign_id)


_LIVING = tuple(str(s) for s in (CampaignState.RUNNING, CampaignState.SCHEDULED, CampaignState.PREPARING))
_end_one = Prepared(
    sa.update(campaign)
    .where(campaign.c.id == sa.bindparam("campaign"), campaign.c.state.in_(_LIVING))
    .values(state=sa.bindparam("state_"), epoch=campaign.c.epoch + 1)
)


async def _pay(tx: Transaction, decision: Launch, ids: Sequence[int]) -> None:
    """The money of a launch, behind all other rows that it locks and for all its zones at once: first what is freed by
    what it ends, then what its own campaigns reserve."""
    ended = [campaign_id for campaign_id, _ in decision.ends]
    paying = [(new, i) for new, i in zip(decision.campaigns, ids, strict=True) if new.reserved_millieuro]
    freed = await reservations.zones_of(tx, ended) if ended else set()
    await bookings.lock(tx, freed | {new.zone_id for new, _ in paying})
    if freed:
        await reservations.free(tx, ended)
    for new, campaign_id in paying:
        await reservations.reserve(tx, new.zone_id, campaign_id, new.reserved_millieuro, must_cover=new.must_cover)


async def _file_campaign(tx: Transaction, new: NewCampaign, alert_id: int | None, thread_id: int) -> int:
    fields = {name: getattr(new, name) for name in _CAMPAIGN_COLUMNS}
    stands = {"alert_id": alert_id, "thread_id": thread_id, "created_ms": tx.now_ms}
    [added] = await tx.rows(_add_campaign, fields | stands)
    campaign_id = int(added.id)
    if new.request_key is not None:
        asked = {"account_id": new.account_id, "key": new.request_key, "sha256": new.request_sha256}
        await tx.run(_add_request, asked | {"campaign_id": campaign_id, "at_ms": tx.now_ms})
    for replaced_id in new.replaces:
        await tx.run(_add_replaced, {"campaign_id": campaign_id, "replaced_id": replaced_id})
    if new.texts:
        texts = pack(msgspec.structs.astuple(text) for text in new.texts)
        await tx.run(_add_texts, {"campaign": campaign_id, "texts": texts})
    if new.state == CampaignState.PREPARING:
        await cancel_waits.note(tx, campaign_id)
    else:
        await file_audience(tx, campaign_id, new.audience, new.sizes)
    return campaign_id


async def file_audience(
    tx: Transaction,
    campaign_id: int,
    blob: bytes,
    sizes: Sequence[tuple[str, int]],
    waits_from: Mapping[str, int] | None = None,
) -> None:
    """Freeze who is to be reached: the blob, the counters (all queued) and where each channel's rows will stand.

    `waits_from`: the sequence number, per channel, from which on entries wait for what they cancel. Raises
    AudienceTooLarge.
    """
    if sum(size for _, size in sizes) > MOST_DELIVERIES:
        raise AudienceTooLarge(sum(size for _, size in sizes), MOST_DELIVERIES)
    await tx.run(_add_audience, {"campaign_id": campaign_id, "blob": blob, "sha256": await _sha256(blob)})
    seq = 0
    for channel, size in sizes:
        if size == 0:
            continue
        tag = await start_of(tx, campaign_id, channel, size)
        lies = {"campaign_id": campaign_id, "channel": channel, "first_seq": seq, "size": size, "tag": tag}
        await tx.run(_add_expansion, lies | {"waits_from": (waits_from or {}).get(channel)})
        await tx.run(_add_progress, {"campaign_id": campaign_id, "channel": channel, "queued": size})
        seq += size


_BIG_OCTETS = 100_000


async def _sha256(blob: bytes) -> str:
    # That of a million people takes 5 to 20 ms, in which no lane would get its turn.
    digest = await asyncio.to_thread(hashlib.sha256, blob) if len(blob) > _BIG_OCTETS else hashlib.sha256(blob)
    return digest.hexdigest()
