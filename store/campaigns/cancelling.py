"""A Cancel goes to everyone who MAY have what it cancels: the rows tell who, and when it is known of each of them.

The campaigns it ends had their epoch moved already, so the set only shrinks while their last answers come in. People
are the same by the address at which they are reached: it may stand in the register twice, and in several versions.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.campaigns.launching import file_audience
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.savepoints import together_or_apart
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.money import bookings, reservations
from store.outbox import cancel_waits
from store.outbox.cancel_waits import HAND, IS_IN_HAND
from store.outbox.delivery_ids import end_id, first_id, place_of
from store.outbox.records import Settlement
from store.outbox.settling import apply
from store.states import MAY_HAVE_IT, OPEN_CODES, BatchState, CampaignState, DeliveryEvent
from store.tables import batch, campaign, campaign_replaces, carrier_ref, contact, delivery, expansion

PAGE = 10_000
"""Holders of one page of columns."""
_MOST_ROWS = 2_000
"""Deliveries of the batches that one transaction lets go, at most: some 20 ms."""
_MOST_BATCHES = 100

_HAVE = tuple(int(s) for s in MAY_HAVE_IT)


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who has the message or may have it."""

    delivery_id: int
    channel: str
    member_id: int
    contact_id: int
    address_id: int
    language: str
    in_hand: bool
    """Handed to a carrier and not answered yet."""


_a_reference = sa.select(carrier_ref.c.id).where(carrier_ref.c.delivery_id == delivery.c.id).limit(1).scalar_subquery()
_may_have_it = sa.or_(
    delivery.c.state.in_(_HAVE),
    # Failed or expired after a carrier had taken it: a part of it, or the whole, may have arrived after all.
    delivery.c.charged == 1,
    # An earlier attempt of it never got an answer.
    delivery.c.doubted == 1,
    # Of a long message that broke off a carrier had taken the first parts. Asked last, and of those who were tried
    # only; one at a time, as PostgreSQL would else read the references of the whole history.
    sa.and_(delivery.c.attempts > 0, _a_reference.is_not(None)),
)
# From the leased batches to their rows, once a statement: asked of each row it would be a walk through all batches.
_in_hand_of = sa.select(HAND.c.id).where(batch.c.campaign_id == sa.bindparam("campaign"), IS_IN_HAND)
_holders = (
    sa.select(
        delivery.c.id,
        delivery.c.channel,
        delivery.c.member_id,
        delivery.c.contact_id,
        contact.c.address_id,
        delivery.c.language,
        sa.case((delivery.c.id.in_(_in_hand_of), 1), else_=0).label("in_hand"),
    )
    .join(contact, contact.c.id == delivery.c.contact_id)
    .where(
        delivery.c.id > sa.bindparam("after"),
        delivery.c.id < sa.bindparam("end"),
        sa.or_(_may_have_it, delivery.c.id.in_(_in_hand_of)),
    )
    .order_by(delivery.c.id)
    .limit(sa.bindparam("most"))
)
_page = Prepared(_holders)


async def holders(conn: AsyncConnection, campaign_id: int, *, after: int, most: int = 5000) -> list[Holder]:
    """A page of those who may have a message of this campaign, by ascending delivery id; `after` 0 begins."""
    rows = await rows_of(conn, _page, _page_of(campaign_id, after, most))
    return [Holder(*(*row[:6], bool(row[6]))) for row in rows]


def _page_of(campaign_id: int, after: int, most: int) -> dict[str, int]:
    first, end = first_id(campaign_id), end_id(campaign_id)
    return {"campaign": campaign_id, "after": max(after, first - 1), "end": end, "most": most}


class HolderColumns(msgspec.Struct, frozen=True, array_like=True):
    """Holders of one channel and language, as text made by the engine: a million of them cost the event loop nothing
    to speak of."""

    channel: str
    language: str
    last: int
    """The highest delivery id."""
    numbers: str
    """Three a holder, comma-separated, the holders in any order: member, contact, (address << 1) | in hand."""


def _columns() -> sa.Select[Any]:
    found = _holders.subquery("found")
    words = (found.c.member_id, found.c.contact_id, found.c.address_id * 2 + found.c.in_hand)
    member_id, contact_id, address = (sa.cast(word, sa.Text) for word in words)
    numbers = sa.func.aggregate_strings(member_id + "," + contact_id + "," + address, ",")
    groups = (found.c.channel, found.c.language)
    return sa.select(*groups, sa.func.max(found.c.id), numbers).group_by(*groups)


_as_columns = Prepared(_columns())


async def columns(conn: AsyncConnection, campaign_id: int, *, after: int, most: int = PAGE) -> list[HolderColumns]:
    """The page of `holders`, by channel and language; empty behind the last one."""
    rows = await rows_of(conn, _as_columns, _page_of(campaign_id, after, most))
    return [HolderColumns(*row) for row in rows]


_preparing = Prepared(
    sa.select(campaign.c.id)
    # None of them is sealed; said, so that only those that are not are looked at.
    .where(campaign.c.state == str(CampaignState.PREPARING), campaign.c.sealed_ms.is_(None))
    .order_by(campaign.c.id)
)


async def preparing(conn: AsyncConnection) -> list[int]:
    """Campaigns whose audience has still to be gathered: after a crash, too."""
    return [row.id for row in await rows_of(conn, _preparing)]


_prepared = Prepared(
    sa.select(campaign.c.state, campaign.c.zone_id).where(campaign.c.id == sa.bindparam("campaign")).with_for_update()
)
_let_run = Prepared(
    sa.update(campaign)
    .where(campaign.c.id == sa.bindparam("campaign"))
    .values(
        state=str(CampaignState.RUNNING),
        counts=sa.bindparam("counts_"),
        reserved_millieuro=sa.bindparam("reserved_"),
    )
)


async def file_prepared(
    tx: Transaction,
    campaign_id: int,
    blob: bytes,
    sizes: Sequence[tuple[str, int]],
    *,
    waits_from: Mapping[str, int],
    counts: str,
    reserved_millieuro: int,
    spares_from: Mapping[str, int] | None = None,
) -> bool:
    """Give a preparing campaign its audience and let it run; False when it no longer waits for one.

    `spares_from`: per channel, from which sequence number on whoever waits had nothing yet when this was drawn up, and
    may turn out to need no Cancel; None: nobody has looked."""
    row = await tx.first(_prepared, {"campaign": campaign_id})
    if row is None or row.state != CampaignState.PREPARING:
        return False
    await file_audience(tx, campaign_id, blob, sizes, waits_from)
    await tx.run(_let_run, {"campaign": campaign_id, "counts_": counts, "reserved_": reserved_millieuro})
    if reserved_millieuro:
        await bookings.lock(tx, [row.zone_id])
        await reservations.reserve(tx, row.zone_id, campaign_id, reserved_millieuro)
    if not waits_from:
        await cancel_waits.forget(tx, campaign_id)
    elif spares_from is not None:
        await cancel_waits.note_spares(tx, campaign_id, spares_from)
    return True


# ---- the second wave: whose original was in hand when the fence fell ---------------------------------------------

_waits = sa.text("batch.waits = 1")  # word for word the predicate of the index: of all batches there ever were, a few
_waiting = Prepared(
    sa.select(batch.c.campaign_id, batch.c.channel, campaign.c.purpose)
    .join(campaign, campaign.c.id == batch.c.campaign_id)
    .where(_waits, batch.c.state == int(BatchState.WAITING))
    .distinct()
    .order_by(batch.c.campaign_id, batch.c.channel)
)
_held = json_rows("held", address=int)
_still_open = (
    sa.exists()
    .where(
        delivery.c.id.between(batch.c.first, batch.c.last),
        delivery.c.state.in_(OPEN_CODES),
        contact.c.id == delivery.c.contact_id,
    )
    .correlate(batch)
)
_decided = Prepared(
    sa.select(batch)
    .where(
        _waits,
        batch.c.state == int(BatchState.WAITING),
        batch.c.campaign_id == sa.bindparam("campaign"),
        batch.c.channel == sa.bindparam("channel_"),
        sa.or_(_still_open.where(contact.c.address_id.not_in(sa.select(_held.c.address))), ~_still_open),
    )
    .order_by(batch.c.id)
    .limit(_MOST_BATCHES)
    # Another node must not release again what a lane here has leased meanwhile.
    .with_for_update(skip_locked=True, of=batch)
)
_picked = json_rows("picked", first=int, last=int)
_cancels = Prepared(
    sa.select(delivery.c.id, contact.c.address_id)
    .select_from(_picked)
    .join(delivery, delivery.c.id.between(_picked.c.first, _picked.c.last))
    .join(contact, contact.c.id == delivery.c.contact_id)
    .where(delivery.c.state.in_(OPEN_CODES))
    .order_by(delivery.c.id)
)
_awaited = json_rows("awaited", first=int, last=int)
_asked = json_rows("asked", address=int)
_reached = Prepared(
    sa.select(contact.c.address_id)
    .select_from(_awaited)
    .join(delivery, delivery.c.id.between(_awaited.c.first, _awaited.c.last))
    .join(contact, contact.c.id == delivery.c.contact_id)
    .where(
        delivery.c.channel == sa.bindparam("channel_"),
        contact.c.address_id.in_(sa.select(_asked.c.address)),
        _may_have_it,
    )
    .distinct()
)

_to_come = sa.union_all(
    sa.select(batch.c.id).where(_waits, batch.c.campaign_id == sa.bindparam("campaign")),
    sa.select(expansion.c.campaign_id).where(
        expansion.c.campaign_id == sa.bindparam("campaign"), expansion.c.expanded_upto < expansion.c.size
    ),
)
_replaced = Prepared(
    sa.select(campaign_replaces.c.replaced_id).where(campaign_replaces.c.campaign_id == sa.bindparam("campaign"))
)
_become = (
    sa.update(batch)
    .where(batch.c.id == sa.bindparam("batch"))
    .values({name: sa.bindparam(f"{name}_") for name in ("first", "last", "cursor", "state", "waits")})
)
_add_batch = sa.insert(batch)


async def release_waiting(tx: Transaction, *, left_alone: set[int] | None = None) -> int:
    """Let go each whose originals are settled, whatever the others wait for; whoever turned out not to have it needs
    no Cancel, and an Update all the same. Returns how many batches became ready.

    A campaign that cannot be worked on stops no other: it joins `left_alone`, and who stands there is passed by."""
    alone = set() if left_alone is None else left_alone
    by_campaign: dict[int, list[AnyRow]] = {}
    for wait in await tx.rows(_waiting):
        if wait.campaign_id not in alone:
            by_campaign.setdefault(wait.campaign_id, []).append(wait)
    return sum(await together_or_apart(tx, by_campaign, partial(_release_all, tx), "release-failed", alone))


async def _release_all(tx: Transaction, waits: Sequence[AnyRow]) -> int:
    released = 0
    for wait in waits:
        released += await _release(tx, wait.campaign_id, wait.channel, spares=wait.purpose != "update")
    return released


async def _release(tx: Transaction, campaign_id: int, channel: str, *, spares: bool) -> int:
    values = {"campaign": campaign_id, "channel_": channel}
    in_hand = {address_id for address_id, _ in await cancel_waits.in_hand(tx, campaign_id, channel)}
    decided = _first_of(await tx.rows(_decided, values | {"held": pack((a,) for a in in_hand)}))
    if not decided:
        return 0
    cancels = await tx.rows(_cancels, {"picked": pack((b.first, b.last) for b in decided)})
    spared = (
        await _spare(tx, campaign_id, channel, [c for c in cancels if c.address_id not in in_hand]) if spares else ()
    )
    waits = {c.id: c.address_id in in_hand for c in cancels if c.id not in spared}
    released = await _let_go(tx, decided, waits)
    if not await tx.first(_to_come, {"campaign": campaign_id}):
        await cancel_waits.forget(tx, campaign_id)
    return released


async def _spare(tx: Transaction, campaign_id: int, channel: str, decided: Sequence[AnyRow]) -> set[int]:
    """Those at whose address nothing can have arrived need no Cancel: nothing of all that is replaced.

    Whoever has it either had it when the audience was drawn up, which was noted then, or it was in hand when the fence
    fell: looked for are the few who were in hand, however many people were told."""
    spares_from = await cancel_waits.spares_of(tx, campaign_id)
    first = None if spares_from is None else spares_from.get(channel, 0)
    asked = [c for c in decided if first is None or place_of(c.id) >= first]
    if not asked:
        return set()
    awaited = await _awaited_of(tx, campaign_id, all_of_it=first is None)
    addresses = {(c.address_id,) for c in asked}
    values = {"channel_": channel, "awaited": pack(awaited), "asked": pack(addresses)}
    reached = {row.address_id for row in await tx.rows(_reached, values)}
    spared = {c.id for c in asked if c.address_id not in reached}
    await apply(tx, [Settlement(delivery_id, DeliveryEvent.NOT_NEEDED) for delivery_id in sorted(spared)])
    return spared


async def _awaited_of(tx: Transaction, campaign_id: int, *, all_of_it: bool) -> list[tuple[int, int]]:
    """What was noted at the fence; where it is not known who had it before (a store that was migrated while a Cancel
    waited), all that it replaces."""
    noted = None if all_of_it else await cancel_waits.noted(tx, campaign_id)
    if noted:
        return noted
    replaced = [row.replaced_id for row in await tx.rows(_replaced, {"campaign": campaign_id})]
    return [(first_id(each), end_id(each) - 1) for each in replaced]


def _first_of(batches: Sequence[AnyRow]) -> list[AnyRow]:
    """As many as one transaction may hold up the others for, and at least one."""
    found: list[AnyRow] = []
    rows = 0
    for each in batches:
        rows += each.last - each.first + 1
        if found and rows > _MOST_ROWS:
            break
        found.append(each)
    return found


async def _let_go(tx: Transaction, batches: Sequence[AnyRow], waits: Mapping[int, bool]) -> int:
    """Split batches into runs of those who still wait and those who wait no more; returns how many runs are ready.
    `waits`: by delivery, ascending."""
    ids = list(waits)
    changed, added = [], []
    for whole in batches:
        mine = ids[bisect_left(ids, whole.first) : bisect_right(ids, whole.last)]
        common = {n: getattr(whole, n) for n in ("campaign_id", "channel", "mode", "priority", "tag", "round", "lease")}
        head, *tail = [_as_batch(run) for run in _runs(whole, mine, waits)]
        changed.append({"batch": whole.id} | {f"{name}_": value for name, value in head.items()})
        added += [common | each for each in tail]
    await tx.conn.execute(_become, changed)
    if added:
        await tx.conn.execute(_add_batch, added)
    return sum(not each["waits_"] for each in changed) + sum(not each["waits"] for each in added)


def _runs(whole: AnyRow, ids: Sequence[int], waits: Mapping[int, bool]) -> list[tuple[int, int, bool]]:
    """(first, last, waits) over the whole range of a batch; one that wants for nobody waits for nothing."""
    runs = [(next(run), of) for of, run in itertools.groupby(ids, key=waits.__getitem__)] or [(whole.first, False)]
    starts = [whole.first, *(first for first, _ in runs[1:])]
    ends = [*(first - 1 for first in starts[1:]), whole.last]
    return [(first, last, of) for first, last, (_, of) in zip(starts, ends, runs, strict=True)]


def _as_batch(run: tuple[int, int, bool]) -> dict[str, int]:
    first, last, waits = run
    state = BatchState.WAITING if waits else BatchState.READY
    return {"first": first, "last": last, "cursor": first - 1, "state": int(state), "waits": int(waits)}
