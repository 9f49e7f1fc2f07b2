"""Launch: alert, campaigns, frozen audiences, reserved credit, feed entry and audit line in ONE transaction; then the
rows and batches of a campaign, in chunks, from its frozen audience."""

import asyncio
import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from store import awaiting, bookings, reservations, threads
from store.delivery_ids import MOST_DELIVERIES, first_id
from store.errors import AudienceTooLarge, StaleThread
from store.fairness import give_place_back, start_of
from store.json_rows import json_rows, pack
from store.records import NewAlert, NewCampaign, ThreadSeen
from store.settling import CounterTally
from store.states import BatchState, CampaignState, DeliveryState, after, ended_by
from store.tables import (
    alert,
    alert_reference,
    alert_zone,
    audience,
    audit,
    batch,
    campaign,
    campaign_replaces,
    campaign_text,
    contact,
    delivery,
    expansion,
    feed_entry,
    idempotency,
    progress,
)
from store.transaction import AnyRow, Transaction

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


# Statements of every launch stand here: made anew for each alert they cost more than the engine takes to run them.
_add_alert = sa.insert(alert).returning(alert.c.id)
_add_reference = sa.insert(alert_reference)
_add_zone = sa.insert(alert_zone)
_add_entry = sa.insert(feed_entry)
_add_audit = sa.insert(audit)
_add_campaign = sa.insert(campaign).returning(campaign.c.id)
_add_request = sa.insert(idempotency)
_add_text = sa.insert(campaign_text)
_add_audience = sa.insert(audience)
_add_expansion = sa.insert(expansion)
_add_progress = sa.insert(progress)


async def launch(tx: Transaction, decision: Launch) -> Launched:
    """Raises IntegrityError (as `Conflict` out of `Database.write`) when the alert is there already, StaleThread,
    CreditExhausted (of the first zone that cannot pay; nothing is kept)."""
    # First of all, so that whoever else decided on this thread waits here, before anything of it is touched.
    thread_id = await _take_thread(tx, decision)
    alert_id = await _file_alert(tx, decision.alert, thread_id) if decision.alert else None
    await _end(tx, decision.ends)
    for ended_id, state in decision.alert_ends:
        ended = sa.update(alert).where(alert.c.id == ended_id, alert.c.state == "active").values(state=state)
        if not await tx.run(ended):
            raise StaleThread(f"alert {ended_id} is no longer active")
    ids = [await _file_campaign(tx, new, alert_id, thread_id) for new in decision.campaigns]
    if alert_id is not None:
        await _file_zones(tx, alert_id, decision, ids)
        if decision.publish:
            entry = {"alert_id": alert_id, "published_ms": tx.now_ms, "expires_ms": decision.publish_until_ms}
            await tx.run(_add_entry, entry)
    detail = msgspec.json.encode({"campaigns": [c.public_id for c in decision.campaigns]}).decode()
    subject = decision.alert.public_id if decision.alert else (ids and decision.campaigns[0].public_id) or ""
    told = {"account_id": decision.account_id, "action": "launch", "subject": subject, "detail": detail}
    await tx.run(_add_audit, told | {"at_ms": tx.now_ms})
    await _pay(tx, decision, ids)
    return Launched(alert_id, tuple(ids))


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
    fields = {k: v for k, v in msgspec.structs.asdict(new).items() if k != "references"}
    result = await tx.conn.execute(_add_alert, fields | {"received_ms": tx.now_ms, "thread_id": thread_id})
    alert_id = int(result.scalar_one())
    for (sender, identifier), sent_ms in {(s, i): at for s, i, at in new.references}.items():
        named = {"alert_id": alert_id, "sender": sender, "identifier": identifier, "sent_ms": sent_ms}
        await tx.run(_add_reference, named)
    return alert_id


async def _file_zones(tx: Transaction, alert_id: int, decision: Launch, ids: Sequence[int]) -> None:
    for new, campaign_id in zip(decision.campaigns, ids, strict=True):
        await tx.run(_add_zone, {"alert_id": alert_id, "zone_id": new.zone_id, "campaign_id": campaign_id})
    for refusal in decision.refusals:
        await tx.run(_add_zone, {"alert_id": alert_id, "zone_id": refusal.zone_id, "refusal": refusal.reason})


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
_end_one = (
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


_CAMPAIGN_COLUMNS = (
    "public_id", "zone_id", "account_id", "purpose", "title", "kind", "mode", "state", "priority", "crash_policy",
    "weight", "starts_ms", "expires_ms", "horizon_ms", "targets", "counts", "reserved_millieuro",
)  # fmt: skip


async def _file_campaign(tx: Transaction, new: NewCampaign, alert_id: int | None, thread_id: int) -> int:
    fields = {name: getattr(new, name) for name in _CAMPAIGN_COLUMNS}
    stands = {"alert_id": alert_id, "thread_id": thread_id, "created_ms": tx.now_ms}
    result = await tx.conn.execute(_add_campaign, fields | stands)
    campaign_id = int(result.scalar_one())
    if new.request_key is not None:
        asked = {"account_id": new.account_id, "key": new.request_key, "sha256": new.request_sha256}
        await tx.run(_add_request, asked | {"campaign_id": campaign_id, "at_ms": tx.now_ms})
    for replaced_id in new.replaces:
        await tx.run(sa.insert(campaign_replaces).values(campaign_id=campaign_id, replaced_id=replaced_id))
    if new.texts:
        texts = [{"campaign_id": campaign_id} | msgspec.structs.asdict(text) for text in new.texts]
        await tx.conn.execute(_add_text, texts)
    if new.state == CampaignState.PREPARING:
        await awaiting.note(tx, campaign_id)
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


# ---- from the frozen audience to rows --------------------------------------------------------------------


class Expansion(msgspec.Struct, frozen=True):
    campaign_id: int
    channel: str
    first_seq: int
    size: int
    expanded_upto: int


_pending = (
    sa.select(
        expansion.c.campaign_id, expansion.c.channel, expansion.c.first_seq, expansion.c.size,
        expansion.c.expanded_upto,
    )
    .join(campaign, campaign.c.id == expansion.c.campaign_id)
    .where(
        sa.text("expansion.expanded_upto < expansion.size"),  # word for word the predicate of the index
        campaign.c.id.not_in(sa.bindparam("without", expanding=True)),
    )
    .order_by(campaign.c.priority, expansion.c.expanded_upto, expansion.c.campaign_id, expansion.c.channel)
    .limit(sa.bindparam("most"))
)  # fmt: skip


async def pending_expansions(tx: Transaction, *, most: int = 16, without: Collection[int] = ()) -> list[Expansion]:
    """Most urgent first, then the one that is least far; none of the campaigns `without`."""
    return [Expansion(*row) for row in await tx.rows(_pending, {"most": most, "without": list(without)})]


class AudienceEntry(msgspec.Struct, frozen=True, array_like=True):
    """One line of the frozen audience."""

    seq: int
    """Within the campaign, over all channels."""
    member_id: int
    contact_id: int
    language: str


_entries = json_rows("entries", id=int, member=int, contact=int, language=str)
_insert_rows = sa.insert(delivery).from_select(
    ["id", "channel", "member_id", "contact_id", "address", "language", "units", "price_millieuro", "state"],
    sa.select(
        _entries.c.id,
        campaign_text.c.channel,
        _entries.c.member,
        _entries.c.contact,
        contact.c.value,
        _entries.c.language,
        campaign_text.c.units,
        campaign_text.c.price_millieuro,
        sa.bindparam("state_", type_=sa.SmallInteger),
    )
    .join(contact, contact.c.id == _entries.c.contact)
    .join(
        campaign_text,
        sa.and_(
            campaign_text.c.campaign_id == sa.bindparam("campaign"),
            campaign_text.c.channel == sa.bindparam("channel_"),
            campaign_text.c.language == _entries.c.language,
        ),
    ),
)


_this = sa.and_(expansion.c.campaign_id == sa.bindparam("campaign"), expansion.c.channel == sa.bindparam("channel_"))
_expansion = sa.select(expansion).where(_this).with_for_update()
_reach = sa.update(expansion).where(_this).values(expanded_upto=sa.bindparam("upto"))
_expanded = sa.select(
    campaign.c.id, campaign.c.state, campaign.c.mode, campaign.c.priority, campaign.c.weight, campaign.c.starts_ms,
    campaign.c.purpose, campaign.c.retired_ms,
).where(campaign.c.id == sa.bindparam("campaign"))  # fmt: skip
_addressed = (
    sa.select(delivery.c.id, contact.c.address_id, delivery.c.member_id)
    .join(contact, contact.c.id == delivery.c.contact_id)
    .where(delivery.c.id.between(sa.bindparam("first"), sa.bindparam("last")))
)


async def expand(
    tx: Transaction, campaign_id: int, channel: str, entries: Sequence[AudienceEntry], *, batch_size: int
) -> int:
    """Make the rows and batches of the next entries of a channel; returns how far it has come.

    Idempotent: entries that are rows already are passed over. A campaign that has ended meanwhile gets its rows
    in their final state, so that its sums still close.
    """
    done = await tx.first(_expansion, {"campaign": campaign_id, "channel_": channel})
    owner = await tx.first(_expanded, {"campaign": campaign_id})
    if done is None or owner is None:
        return 0
    start = done.first_seq + done.expanded_upto
    fresh = [e for e in entries if e.seq >= start]
    if not fresh:
        return int(done.expanded_upto)
    assert fresh[0].seq == start, "entries must follow one another"
    ended = ended_by(owner.state, owner.retired_ms)
    state = after(DeliveryState.QUEUED, ended) if ended else DeliveryState.QUEUED
    base = first_id(campaign_id)
    inserted = await tx.run(
        _insert_rows,
        {
            "entries": pack((base + e.seq, e.member_id, e.contact_id, e.language) for e in fresh),
            "campaign": campaign_id,
            "channel_": channel,
            "state_": int(state),
        },
    )
    assert inserted == len(fresh), "every entry has its contact version and its text"
    if ended:
        await _count_ended(tx, campaign_id, channel, state, len(fresh))
    else:
        await _make_batches(tx, owner, done, fresh, batch_size, await _waiting_of(tx, owner, done, fresh))
    upto = int(done.expanded_upto) + len(fresh)
    await tx.run(_reach, {"campaign": campaign_id, "channel_": channel, "upto": upto})
    return upto


async def _count_ended(tx: Transaction, campaign_id: int, channel: str, state: DeliveryState, n: int) -> None:
    tally = CounterTally()
    tally.move(campaign_id, channel, DeliveryState.QUEUED, state, n)
    await tally.write(tx)


_add_batch = sa.insert(batch)


async def _waiting_of(tx: Transaction, owner: AnyRow, done: AnyRow, fresh: Sequence[AudienceEntry]) -> Collection[int]:
    """The sequence numbers of those who wait: of a Cancel from `waits_from` on; of an Update whoever's old message is
    in hand to the same address, so that it does not leave after the new one."""
    if done.waits_from is not None:
        return range(done.waits_from, done.first_seq + done.size)
    in_hand = await awaiting.in_hand(tx, owner.id, done.channel) if owner.purpose == "update" else ()
    if not in_hand:
        return ()
    base = first_id(owner.id)
    rows = await tx.rows(_addressed, {"first": base | fresh[0].seq, "last": base | fresh[-1].seq})
    return {row.id - base for row in rows if (row.address_id, row.member_id) in in_hand}


async def _make_batches(
    tx: Transaction,
    owner: AnyRow,
    done: AnyRow,
    fresh: Sequence[AudienceEntry],
    batch_size: int,
    waiting: Collection[int],
) -> None:
    base = first_id(owner.id)
    turn = int(done.expanded_upto > 0 or owner.priority > 0)
    for part in _parts(fresh, batch_size, waiting):
        waits = part[0].seq in waiting
        # Not by the clock: one that was stepped back would have a running campaign wait for its own past.
        later = owner.state == CampaignState.SCHEDULED
        before = part[0].seq - done.first_seq
        values = {
            "campaign_id": owner.id, "channel": done.channel, "mode": owner.mode, "priority": owner.priority,
            "tag": done.tag + before / owner.weight, "turn": 1 if waits else turn,
            "first": base | part[0].seq, "last": base | part[-1].seq,
            "cursor": (base | part[0].seq) - 1, "waits": int(waits),
            "state": int(BatchState.WAITING if waits or later else BatchState.READY),
            "due_ms": owner.starts_ms if later else None,
        }  # fmt: skip
        await tx.run(_add_batch, values)
        turn = turn if waits else 1


def _parts(
    fresh: Sequence[AudienceEntry], batch_size: int, waiting: Collection[int]
) -> Iterator[Sequence[AudienceEntry]]:
    """Runs of at most `batch_size`, none across a border between what may go and what waits."""
    for _, run in itertools.groupby(fresh, key=lambda entry: entry.seq in waiting):
        same = list(run)
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]
