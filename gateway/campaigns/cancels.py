"""A Cancel of one zone: planned when it arrives, given its audience when the rows of what it cancels are read.

It goes to everyone who MAY have the message, to the same contact, later opt-outs notwithstanding.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from channels.contract import Channel, Mode
from gateway.access.rights import Action, Caller
from gateway.campaigns import rights_over_campaigns
from gateway.campaigns.announcement import Announcement, called
from gateway.campaigns.answers import ChannelPreview, TextPreview, ZonePreview
from gateway.campaigns.cancel_audience import HolderGathering, Owed, draw_up
from gateway.campaigns.planning import ZoneRefused, price_of
from gateway.campaigns.texts import style_of, texts_of
from gateway.directory.audience import Audience
from gateway.directory.resolve import ResolutionCounts
from gateway.directory.zone_policy import read_policy
from gateway.errors import Reason
from gateway.failed_work_rests import Round, Setbacks
from gateway.kinds import KINDS, Kind
from gateway.media import prepare, shown
from gateway.texts.content import Texts, read_content, write_content
from gateway.texts.story import Story, Style
from store.campaigns import cancelling
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign, Text
from store.engine.database import Database
from store.engine.transaction import Connection
from store.errors import StoreUnavailable
from store.outbox.records import NewCampaign, NewText
from store.register.reading import ZoneRow, zone_by_id
from store.states import CampaignState

log = logging.getLogger(__name__)


async def plan(
    conn: Connection,
    caller: Caller,
    action: Action,
    announcement: Announcement,
    zone: ZoneRow,
    originals: Sequence[Campaign],
    weight: int,
    now_ms: int,
) -> NewCampaign:
    """The plan of a Cancel in one zone. Raises ZoneRefused when there is nothing to say. Nobody of the audience is
    looked at: the fence waits for this, and `Preparer` gathers them once it has fallen."""
    kind = announcement.kind or Kind(originals[-1].kind)
    rules = KINDS[kind]
    policy = read_policy(zone.policy)
    used = {c.channel for original in originals for c in await campaigns.counts(conn, original.id)}
    mode = originals[-1].mode
    told = rights_over_campaigns.told_by(caller, action, zone.id, kind, mode, used, originals)
    if used and not told:
        why = rights_over_campaigns.missing(kind, zone.code)
        text = f"{zone.code}: it is ended and nobody is told so: this account may not send messages of kind {kind}."
        raise ZoneRefused(text, (msgspec.structs.replace(why, text=text, level="warning"),))
    channels = tuple(c for c in Channel if c in told)
    cancelled = () if announcement.wording.says_itself else await called(conn, originals)
    style = style_of(zone, policy, kind)
    work = partial(_words, announcement, channels, style, cancelled, now_ms, mode)
    words = await asyncio.to_thread(work) if announcement.wording.is_long or cancelled else work()
    expires_ms = max(announcement.expires_ms, now_ms + rules.default_life_s * 1000)
    return NewCampaign(
        public_id="",
        zone_id=zone.id,
        account_id=caller.account_id,
        behalf_id=caller.behalf_id,
        purpose="cancel",
        title=(announcement.title or originals[-1].title)[:200],
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
        break_glass_use_id=caller.break_glass_use_id,
    )


def untold(
    caller: Caller, action: Action, announcement: Announcement, zone: ZoneRow, originals: Sequence[Campaign]
) -> Reason | None:
    """What a sender should know whose rights do not cover all channels on which people have what is cancelled."""
    kind = announcement.kind or Kind(originals[-1].kind)
    used = frozenset(c for original in originals for c in original.uses)
    beyond = used - rights_over_campaigns.told_by(caller, action, zone.id, kind, originals[-1].mode, used, originals)
    if not beyond:
        return None
    text = f"{zone.code}: who has it by {', '.join(sorted(beyond))} is not told: the rights of this account end there."
    return Reason(rights_over_campaigns.NO_RIGHT, text, level="warning", value=zone.code)


def _words(
    announcement: Announcement,
    channels: tuple[Channel, ...],
    style: Style,
    cancelled: Sequence[Story],
    at_ms: int,
    mode: str,
) -> tuple[NewText, ...]:
    return _new_texts(texts_of(announcement.wording, channels, style, cancelled=cancelled), at_ms, mode)


def _new_texts(texts: Texts, at_ms: int, mode: str) -> tuple[NewText, ...]:
    words = []
    for channel, by_language in texts.by_channel.items():
        for language, content in by_language.items():
            ready = prepare(channel, language, content)
            cost = price_of(channel, ready, at_ms) if mode == Mode.LIVE else 0
            words.append(NewText(channel, language, write_content(content), ready.units, cost))
    return tuple(words)


async def preview(conn: Connection, new: NewCampaign, zone: ZoneRow) -> ZonePreview:
    """The preview of a Cancel: who may have the message at this moment. Until it is posted the number can still
    grow."""
    owed = await _gather(conn, new.replaces)
    drawn = await asyncio.to_thread(draw_up, owed, _languages(new.texts), read_policy(zone.policy))
    previews = [_text_preview(text, drawn.tally.get((text.channel, text.language), 0)) for text in new.texts]
    previews = [p for p in previews if p.deliveries]
    members = drawn.audience.resolved
    return ZonePreview(
        zone=zone.code,
        kind=new.kind,
        mode=new.mode,
        resolved=members,
        included=members,
        channels=tuple(_channel_preview(c, previews) for c in _languages(new.texts)),
        texts=tuple(previews),
        price_millieuro=sum(p.price_millieuro * p.deliveries for p in previews),
        starts_ms=new.starts_ms,
        expires_ms=new.expires_ms,
    )


def _languages(texts: Sequence[NewText | Text]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(text.channel, []).append(text.language)
    return found


def _text_preview(text: NewText, deliveries: int) -> TextPreview:
    content = read_content(text.content)
    look = shown(content, prepare(Channel(text.channel), text.language, content))
    return TextPreview(
        channel=text.channel,
        language=text.language,
        text=look.text,
        deliveries=deliveries,
        units=text.units,
        price_millieuro=text.price_millieuro,
        subject=look.subject,
        encoding=look.encoding,
    )


def _channel_preview(channel: str, previews: Sequence[TextPreview]) -> ChannelPreview:
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


async def _gather(conn: Connection, campaign_ids: Sequence[int]) -> Owed:
    """One a channel and address over the whole thread; in hand if any message of the thread is, to that address. The
    event loop only fetches: what is in proportion to the people is done in threads."""
    gathering = HolderGathering()
    for campaign_id in campaign_ids:
        after = 0
        while page := await cancelling.columns(conn, campaign_id, after=after):
            await asyncio.to_thread(gathering.take, page)
            after = max(part.last for part in page)
        await asyncio.to_thread(gathering.merge)
    return await asyncio.to_thread(gathering.owed)


# ---- the audience, once the fence has fallen ----------------------------------------------------------------------


SMALL = 20_000
"""Deliveries of what is cancelled: up to so many it takes a moment to gather who has them."""
_RESTS_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""After each failure of one campaign; the last one again and again."""


@dataclass(slots=True)
class _Rest:
    failures: int
    until_s: float


@dataclass(slots=True)
class Preparer:
    """Gives campaigns in state `preparing` their audience; runs again after a crash and finds them again.

    One that cannot be drawn up is logged, rests and is tried again; the others do not wait for it. Small ones have a
    hand of their own (`run_small`), so that none waits while a million people are gathered.
    """

    database: Database
    _at_work: set[int] = field(default_factory=set)
    _resting: dict[int, _Rest] = field(default_factory=dict)
    _setbacks: Setbacks = field(default_factory=Setbacks)
    """Of those about whom the store had no answer."""

    async def run(self) -> bool:
        """True when there was something to prepare."""
        return await self._work(most=None)

    async def run_small(self) -> bool:
        return await self._work(most=SMALL)

    async def _work(self, most: int | None) -> bool:
        async with self.database.read() as conn:
            waiting = await cancelling.preparing(conn)
        self._resting = {known: rest for known, rest in self._resting.items() if known in waiting}
        resting = self._setbacks.resting()
        round_ = Round(self._setbacks)
        worked = False
        for campaign_id in waiting:
            if campaign_id not in resting and self._is_free(campaign_id):
                work = partial(self._try, campaign_id, most)
                worked |= await round_.attempt(campaign_id, "prepare-failed", work) or False
        round_.end()
        return worked

    def _is_free(self, campaign_id: int) -> bool:
        rest = self._resting.get(campaign_id)
        return campaign_id not in self._at_work and (rest is None or rest.until_s <= _now_s())

    async def _size(self, campaign_id: int) -> int:
        async with self.database.read() as conn:
            return sum(count.total for count in await campaigns.replaced_counts(conn, campaign_id))

    async def _try(self, campaign_id: int, most: int | None) -> bool:
        if most is not None and await self._size(campaign_id) > most:
            return False
        self._at_work.add(campaign_id)
        try:
            await self._prepare(campaign_id)
        except StoreUnavailable:
            raise  # perhaps no fault of the campaign's: the round tells
        except Exception:
            rest_s = self._rest(campaign_id)
            fields = {"action": "prepare-failed", "campaign": campaign_id, "rests_s": rest_s}
            log.exception("an audience cannot be drawn up: nobody of this campaign is told yet", extra=fields)
            return False
        finally:
            self._at_work.discard(campaign_id)
        self._resting.pop(campaign_id, None)
        return True

    def _rest(self, campaign_id: int) -> float:
        before = self._resting.get(campaign_id)
        failures = before.failures + 1 if before else 1
        rest_s = _RESTS_S[min(failures, len(_RESTS_S)) - 1]
        self._resting[campaign_id] = _Rest(failures, _now_s() + rest_s)
        return rest_s

    async def _prepare(self, campaign_id: int) -> None:
        async with self.database.read() as conn:
            campaign = await campaigns.by_id(conn, campaign_id)
            if campaign is None or campaign.state != CampaignState.PREPARING:
                return  # stopped meanwhile, or prepared by another hand or node
            zone = await zone_by_id(conn, campaign.zone_id)
            assert zone is not None
            texts = await campaigns.texts(conn, campaign_id)
            owed = await _gather(conn, await campaigns.replaced_by(conn, campaign_id))
        drawn = await asyncio.to_thread(draw_up, owed, _languages(texts), read_policy(zone.policy))
        del owed
        counts, blob = await asyncio.to_thread(_written, drawn.audience)
        prices = {(text.channel, text.language): text.price_millieuro for text in texts}
        await self.database.write(
            lambda tx: cancelling.file_prepared(
                tx,
                campaign_id,
                blob,
                tuple((str(c), len(found)) for c, found in drawn.audience.deliveries.items()),
                waits_from=drawn.waits_from,
                counts=counts,
                reserved_millieuro=sum(prices[group] * n for group, n in drawn.tally.items()),
                spares_from=drawn.spares_from,
            )
        )


def _written(audience: Audience) -> tuple[str, bytes]:
    """As it is filed: counted, and frozen."""
    counts = ResolutionCounts(
        persons=audience.counts(),
        matched_by={"thread": audience.resolved} if audience.resolved else {},
        languages={},
        beyond_rights=0,
        unplaced=0,
        thread_gone=0,
    )
    return msgspec.json.encode(counts).decode(), audience.encode()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
