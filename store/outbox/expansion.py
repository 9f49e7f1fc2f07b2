"""From the frozen audience to rows: a campaign's deliveries and batches, made in chunks while lanes already send."""

import itertools
from collections.abc import Collection, Iterator, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.outbox import cancel_waits
from store.outbox.delivery_ids import first_id
from store.outbox.settling import CounterTally
from store.states import BatchState, CampaignState, DeliveryState, after, ended_by
from store.tables import (
    batch,
    campaign,
    campaign_text,
    contact,
    delivery,
    expansion,
)


class Expansion(msgspec.Struct, frozen=True):
    campaign_id: int
    channel: str
    first_seq: int
    size: int
    expanded_upto: int


_without = json_rows("without", id=int)
_pending = Prepared(
    sa.select(
        expansion.c.campaign_id, expansion.c.channel, expansion.c.first_seq, expansion.c.size,
        expansion.c.expanded_upto,
    )
    .join(campaign, campaign.c.id == expansion.c.campaign_id)
    .where(
        sa.text("expansion.expanded_upto < expansion.size"),  # word for word the predicate of the index
        campaign.c.id.not_in(sa.select(_without.c.id)),
    )
    .order_by(campaign.c.priority, expansion.c.expanded_upto, expansion.c.campaign_id, expansion.c.channel)
    .limit(sa.bindparam("most"))
)  # fmt: skip


_left = Prepared(
    sa.select(sa.func.count()).where(
        expansion.c.campaign_id == sa.bindparam("campaign"), expansion.c.expanded_upto < expansion.c.size
    )
)


async def channels_left(conn: AsyncConnection, campaign_id: int) -> int:
    """Channels of a campaign whose frozen audience is not all rows yet."""
    [left] = await rows_of(conn, _left, {"campaign": campaign_id})
    return int(left[0])


async def pending_expansions(tx: Transaction, *, most: int = 16, without: Collection[int] = ()) -> list[Expansion]:
    """Audiences that are not all rows yet: the most urgent first, then the one that is least far; none of the campaigns
    `without`."""
    values = {"most": most, "without": pack((i,) for i in without)}
    return [Expansion(*row) for row in await tx.rows(_pending, values)]


class AudienceEntry(msgspec.Struct, frozen=True, array_like=True):
    """One line of the frozen audience."""

    seq: int
    """Within the campaign, over all channels."""
    member_id: int
    contact_id: int
    language: str


_entries = json_rows("entries", id=int, member=int, contact=int, language=str)
_insert_rows = Prepared(
    sa.insert(delivery).from_select(
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
)


_this = sa.and_(expansion.c.campaign_id == sa.bindparam("campaign"), expansion.c.channel == sa.bindparam("channel_"))
_expansion = Prepared(sa.select(expansion).where(_this).with_for_update())
_reach = Prepared(sa.update(expansion).where(_this).values(expanded_upto=sa.bindparam("upto")))
_expanded = Prepared(sa.select(
    campaign.c.id, campaign.c.state, campaign.c.mode, campaign.c.priority, campaign.c.weight, campaign.c.starts_ms,
    campaign.c.purpose, campaign.c.retired_ms,
).where(campaign.c.id == sa.bindparam("campaign")))  # fmt: skip
_addressed = Prepared(
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


_BATCH = (
    "campaign_id", "channel", "mode", "priority", "turn", "tag", "first", "last", "cursor", "state", "due_ms", "waits",
)  # fmt: skip
_add_batch = Prepared(sa.insert(batch).values({name: sa.bindparam(name) for name in _BATCH}))


async def _waiting_of(tx: Transaction, owner: AnyRow, done: AnyRow, fresh: Sequence[AudienceEntry]) -> Collection[int]:
    """The sequence numbers of those who wait: of a Cancel from `waits_from` on; of an Update whoever's old message is
    in hand to the same address, so that it does not leave after the new one."""
    if done.waits_from is not None:
        return range(done.waits_from, done.first_seq + done.size)
    in_hand = await cancel_waits.in_hand(tx, owner.id, done.channel) if owner.purpose == "update" else ()
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
