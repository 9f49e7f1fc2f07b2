"""A Cancel of one zone: planned when it arrives, given its audience when the rows of what it cancels are read.

It goes to everyone who MAY have the message, to the same contact, later opt-outs notwithstanding.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.contract import Channel, Mode
from gateway.access.caller import Caller
from gateway.campaigns.answers import ChannelPreview, TextPreview, ZonePreview
from gateway.campaigns.planning import price_of
from gateway.campaigns.said import Said, called
from gateway.campaigns.texts import style_of, texts_of
from gateway.directory.audience import Audience, Covered, Deliveries, Excluded, Skipped
from gateway.directory.policy import ZonePolicy, read_policy
from gateway.directory.reasons import Reason as Why
from gateway.directory.resolve import ResolutionCounts
from gateway.kinds import KINDS, Kind
from gateway.media import prepare, shown
from gateway.templates.content import Texts, write_content
from gateway.templates.language import choose
from store import campaigns, cancelling
from store.campaigns import Campaign
from store.cancelling import Holder
from store.database import Database
from store.directory import ZoneRow, zone_by_id
from store.records import NewCampaign, NewText


async def plan(
    conn: AsyncConnection,
    caller: Caller,
    said: Said,
    zone: ZoneRow,
    originals: Sequence[Campaign],
    weight: int,
    now_ms: int,
) -> tuple[NewCampaign, ZonePreview]:
    """Raises ZoneRefused when there is nothing to say. The audience is gathered by `Preparer`."""
    kind = said.kind or Kind(originals[-1].kind)
    rules = KINDS[kind]
    policy = read_policy(zone.policy)
    used = {c.channel for original in originals for c in await campaigns.counts(conn, original.id)}
    channels = tuple(c for c in Channel if c in used)
    cancelled = () if said.wording.says_itself else await called(conn, originals)
    texts = texts_of(said.wording, channels, style_of(zone, policy, kind), cancelled=cancelled)
    words = _new_texts(texts, now_ms, originals[-1].mode)
    expires_ms = max(said.expires_ms, now_ms + rules.default_life_s * 1000)
    new = NewCampaign(
        public_id="",
        zone_id=zone.id,
        account_id=caller.account_id,
        purpose="cancel",
        title=(said.title or originals[-1].title)[:200],
        kind=kind,
        mode=originals[-1].mode,
        state="preparing",
        priority=rules.priority,
        crash_policy=rules.crash_policy,
        weight=weight,
        starts_ms=now_ms,
        expires_ms=expires_ms,
        horizon_ms=rules.receipt_horizon_s * 1000,
        targets="{}",
        counts="{}",
        reserved_millieuro=0,
        texts=words,
        audience=b"",
        sizes=(),
        replaces=tuple(c.id for c in originals),
    )
    return new, await _preview(conn, new, zone, originals, texts, policy)


def _new_texts(texts: Texts, at_ms: int, mode: str) -> tuple[NewText, ...]:
    words = []
    for channel, by_language in texts.by_channel.items():
        for language, content in by_language.items():
            ready = prepare(channel, language, content)
            cost = price_of(channel, ready, at_ms) if mode == Mode.LIVE else 0
            words.append(NewText(channel, language, write_content(content), ready.units, cost))
    return tuple(words)


async def _preview(
    conn: AsyncConnection,
    new: NewCampaign,
    zone: ZoneRow,
    originals: Sequence[Campaign],
    texts: Texts,
    policy: ZonePolicy,
) -> ZonePreview:
    """Who may have it at this moment: until the Cancel is posted the number can still grow."""
    chosen = await _gather(conn, [c.id for c in originals])
    prices = {(t.channel, t.language): t for t in new.texts}
    tally: dict[tuple[str, str], int] = {}
    for holder in chosen:
        key = (holder.channel, _language(holder, texts.by_channel[Channel(holder.channel)], policy))
        tally[key] = tally.get(key, 0) + 1
    previews = []
    for (channel, language), n in tally.items():
        content = texts.by_channel[Channel(channel)][language]
        look = shown(content, prepare(Channel(channel), language, content))
        text = prices[channel, language]
        previews.append(
            TextPreview(channel, language, look.text, n, text.units, text.price_millieuro, look.subject, look.encoding)
        )
    members = len({h.member_id for h in chosen})
    return ZonePreview(
        zone=zone.code,
        kind=new.kind,
        mode=new.mode,
        resolved=members,
        included=members,
        channels=tuple(_channel_preview(c, previews) for c in texts.by_channel),
        texts=tuple(previews),
        price_millieuro=sum(p.price_millieuro * p.deliveries for p in previews),
        starts_ms=new.starts_ms,
        expires_ms=new.expires_ms,
    )


def _channel_preview(channel: Channel, previews: Sequence[TextPreview]) -> ChannelPreview:
    mine = [p for p in previews if p.channel == channel]
    return ChannelPreview(
        channel=channel,
        deliveries=sum(p.deliveries for p in mine),
        covered=0,
        skipped=0,
        units=sum(p.units * p.deliveries for p in mine),
        price_millieuro=sum(p.price_millieuro * p.deliveries for p in mine),
        eta_s=None,
    )


def _language(holder: Holder, available: Mapping[str, object], policy: ZonePolicy) -> str:
    return choose(holder.language, list(available), default=policy.default_language, fallback=policy.language_fallback)


async def _gather(conn: AsyncConnection, campaign_ids: Sequence[int]) -> list[Holder]:
    """One holder a channel and address over the whole thread; in hand only if no other message of the thread is
    known to have reached that address. Those who may be told at once come first."""
    found: dict[tuple[str, int], Holder] = {}
    for campaign_id in campaign_ids:
        after = 0
        while page := await cancelling.holders(conn, campaign_id, after=after):
            for holder in page:
                key = (holder.channel, holder.address_id)
                if key not in found or found[key].in_hand:
                    found[key] = holder
            after = page[-1].delivery_id
    return sorted(found.values(), key=lambda h: (h.in_hand, h.member_id, h.contact_id))


# ---- the audience, once the fence has fallen ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preparer:
    """Gives campaigns in state `preparing` their audience; runs again after a crash and finds them again."""

    database: Database

    async def run(self) -> bool:
        """True when there was something to prepare."""
        async with self.database.read() as conn:
            waiting = await cancelling.preparing(conn)
        for campaign_id in waiting:
            await self._prepare(campaign_id)
        return bool(waiting)

    async def _prepare(self, campaign_id: int) -> None:
        async with self.database.read() as conn:
            campaign = await campaigns.by_id(conn, campaign_id)
            assert campaign is not None
            zone = await zone_by_id(conn, campaign.zone_id)
            assert zone is not None
            texts = await campaigns.texts(conn, campaign_id)
            chosen = await _gather(conn, await campaigns.replaced_by(conn, campaign_id))
        by_channel: dict[str, dict[str, int]] = {}
        for text in texts:
            by_channel.setdefault(text.channel, {})[text.language] = text.price_millieuro
        policy = read_policy(zone.policy)
        told = [(h, _language(h, by_channel[h.channel], policy)) for h in chosen]
        audience = _audience(told)
        price = sum(by_channel[h.channel][language] for h, language in told)
        counts = ResolutionCounts(
            persons=audience.counts(),
            matched_by={"thread": audience.resolved} if audience.resolved else {},
            languages={},
            beyond_rights=0,
            unplaced=0,
            thread_gone=0,
        )
        blob = await asyncio.to_thread(audience.encode)
        await self.database.write(
            lambda tx: cancelling.file_prepared(
                tx,
                campaign_id,
                blob,
                tuple((str(c), len(audience.deliveries[c])) for c in audience.channels),
                waits_from=_waits_from(audience, told),
                counts=msgspec.json.encode(counts).decode(),
                reserved_millieuro=price,
            )
        )


def _audience(told: Sequence[tuple[Holder, str]]) -> Audience:
    languages = tuple(dict.fromkeys(language for _, language in told)) or ("nl",)
    channels = tuple(c for c in Channel if any(h.channel == c for h, _ in told))
    members = np.unique(np.array([h.member_id for h, _ in told], np.int64))
    deliveries: dict[Channel, Deliveries] = {}
    skipped: list[tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]] = []
    for number, channel in enumerate(Channel):
        if channel not in channels:
            continue
        mine = [(h, language) for h, language in told if h.channel == channel]
        deliveries[channel] = Deliveries(
            np.array([h.contact_id for h, _ in mine], np.int64),
            np.array([h.member_id for h, _ in mine], np.int64),
            np.array([h.address_id for h, _ in mine], np.int64),
            np.array([languages.index(language) for _, language in mine], np.uint8),
        )
        skipped.append((np.setdiff1d(members, deliveries[channel].member_id), number))
    rows = np.concatenate([m for m, _ in skipped]) if skipped else np.empty(0, np.int64)
    numbers = np.concatenate([np.full(len(m), n, np.uint8) for m, n in skipped]) if skipped else np.empty(0, np.uint8)
    empty, small = np.empty(0, np.int64), np.empty(0, np.uint8)
    return Audience(
        resolved=len(members),
        languages=languages,
        channels=channels,
        deliveries=deliveries,
        excluded=Excluded(empty, small),
        covered=Covered(empty, small, empty, empty, small),
        skipped=Skipped(rows, numbers, np.full(len(rows), int(Why.NOT_TOLD), np.uint8)),
    )


def _waits_from(audience: Audience, told: Sequence[tuple[Holder, str]]) -> dict[str, int]:
    """The first sequence number, per channel, of those whose original is still in hand."""
    starts: dict[str, int] = {}
    seq = 0
    for channel in audience.channels:
        settled = sum(1 for h, _ in told if h.channel == channel and not h.in_hand)
        size = len(audience.deliveries[channel])
        if settled < size:
            starts[str(channel)] = seq + settled
        seq += size
    return starts
