"""One zone's campaign before it is launched: who, in which words, at what price. Preview and launch share it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from channels.contract import Channel, Content, Mode
from gateway.access.courses import is_recent, takes_course
from gateway.access.rights import Action, Caller
from gateway.accounting.tariff import price
from gateway.campaigns import rights_over_campaigns
from gateway.campaigns.announcement import Announcement
from gateway.campaigns.answers import ChannelPreview, ReasonCount, TextPreview, ZonePreview
from gateway.campaigns.what_carriers_take import Outlets
from gateway.directory.audience import CHANNELS, Audience
from gateway.directory.cache import SnapshotCache
from gateway.directory.prepared_targets import PreparedTargets
from gateway.directory.problem import TargetProblem
from gateway.directory.reasons import ExclusionReason as Why
from gateway.directory.resolve import Resolution, ResolveRequest, resolve
from gateway.directory.zone_policy import ZonePolicy, day_of, read_policy
from gateway.errors import Reason
from gateway.kinds import KINDS, Kind
from gateway.media import MEDIA, prepare, shown
from gateway.texts.content import TextContent, Texts, write_content
from store.outbox.delivery_ids import MOST_DELIVERIES
from store.outbox.fairness import Queue
from store.outbox.records import NewCampaign, NewText
from store.register.reading import ZoneRow

TakenContacts = dict[Channel, npt.NDArray[np.int64]]


Rates = Callable[[Mode], Mapping[Channel, float]]
"""Units a second that the open carriers of a mode may send together, by channel; a channel without any is left out."""


class ZoneRefused(Exception):
    """This zone launches nothing, for a reason that is told; other zones go on."""

    def __init__(self, reason: str, problems: tuple[Reason, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problems = problems


class CourseMissing(ZoneRefused):
    """The account has the right, and not the course that the zone wants of who alerts."""


class NobodyHere(ZoneRefused):
    """The targets mean nobody of this zone: it is not touched at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneWish:
    """What is asked of every zone."""

    caller: Caller
    action: Action
    announcement: Announcement
    ground: PreparedTargets
    """Its targets, made ready."""
    at_ms: int
    """The instant whose prices hold."""
    last_course: date | None = None
    """Of the caller, where a zone may ask for one (`takes_course`)."""
    request_key: str | None = None
    request_sha256: str = ""

    @property
    def kind(self) -> Kind:
        assert self.announcement.kind is not None, "only a Cancel may leave it to what it cancels"
        return self.announcement.kind


@dataclass(frozen=True, slots=True)
class ZonePlan:
    zone: ZoneRow
    campaign: NewCampaign
    preview: ZonePreview
    audience: Audience


@dataclass(frozen=True, slots=True)
class PricedText:
    """A text as it will leave, with its price."""

    content: TextContent
    ready: Content
    units: int
    price_millieuro: int
    preview: TextPreview


@dataclass(frozen=True, slots=True)
class _Tally:
    """An audience counted by channel."""

    texts: Mapping[tuple[Channel, str], int]
    covered: Mapping[Channel, int]
    skipped: Mapping[Channel, int]


@dataclass(slots=True)
class Planner:
    snapshots: SnapshotCache
    configured: frozenset[Channel]
    """Channels with a live carrier."""
    rates: Rates
    """Of the carriers that are open at the moment of asking."""
    weight: int
    outlets: Outlets = field(default_factory=Outlets)
    whom_to_ask: Callable[[int], str] = lambda zone_id: ""
    """Who helps the accounts of a zone; empty where nobody is named."""
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def channels(
        self, wish: ZoneWish, zone: ZoneRow, policy: ZonePolicy
    ) -> tuple[tuple[Channel, ...], frozenset[Channel]]:
        """(asked for, of these not to be had): by the zone's policy, the account's rights and courses, the carriers
        there are. Raises ZoneRefused."""
        given = set(policy.channels(wish.kind))
        rights = wish.caller.channels(wish.action, zone.id, wish.kind, wish.announcement.mode)
        if not rights:
            why = rights_over_campaigns.missing(wish.kind, zone.code)
            raise ZoneRefused(why.text, (why,))
        self._require_course(wish, zone, policy)
        allowed = given & rights
        if wish.announcement.mode is Mode.LIVE:
            allowed &= self.configured
        asked = tuple(
            c
            for c in Channel
            if (c in given if wish.announcement.channels is None else c in wish.announcement.channels)
        )
        if not allowed & set(asked):
            raise ZoneRefused(
                f"No channel is left: policy, rights and carriers allow {', '.join(sorted(allowed)) or 'none'} "
                f"for messages of kind {wish.kind}, asked for are {', '.join(asked) or 'none'}."
            )
        return asked, frozenset(c for c in asked if c not in allowed)

    def _require_course(self, wish: ZoneWish, zone: ZoneRow, policy: ZonePolicy) -> None:
        within_days = policy.course_within_days
        if not within_days or not takes_course(wish.caller, wish.kind, wish.announcement.mode):
            return
        if not is_recent(wish.last_course, day_of(wish.at_ms), within_days):
            whom = self.whom_to_ask(zone.id)
            why = rights_over_campaigns.missing_course(within_days, wish.last_course, zone.code, whom)
            raise CourseMissing(why.text, (why,))

    async def concerns(self, wish: ZoneWish, zone: ZoneRow, also_members: npt.NDArray[np.int64] | None) -> bool:
        """Whether the targets mean anybody of this zone at all, whatever may be sent to them."""
        snapshot = await self.snapshots.get(zone.id)
        if snapshot is None:
            return False
        policy = read_policy(zone.policy)
        request = ResolveRequest(
            kind=wish.kind,
            targets=wish.ground.targets,
            channels=tuple(Channel),
            languages=(policy.default_language,),
            area_mode=policy.area_mode,
            also_members=() if also_members is None else also_members,
            allow_whole_zone=policy.allow_whole_zone,
            touching_counts=policy.touching_counts,
        )
        resolution = await asyncio.to_thread(resolve, snapshot, request, None, wish.ground)
        return resolution.audience.resolved > 0

    async def plan(
        self,
        wish: ZoneWish,
        zone: ZoneRow,
        texts: Texts,
        taken: TakenContacts,
        also_members: npt.NDArray[np.int64] | None = None,
    ) -> ZonePlan:
        """The plan of one zone. Raises ZoneRefused, and NobodyHere when the targets mean nobody of this zone."""
        policy = read_policy(zone.policy)
        asked, unavailable = self.channels(wish, zone, policy)
        unavailable |= frozenset(c for c in asked if not texts.by_channel.get(c))
        languages = tuple(dict.fromkeys(lang for c in asked for lang in texts.by_channel.get(c, {})))
        request = ResolveRequest(
            kind=wish.kind,
            targets=wish.ground.targets,
            channels=asked,
            languages=languages,
            area_mode=policy.area_mode,
            language_fallback=policy.language_fallback,
            default_language=policy.default_language,
            also_members=() if also_members is None else also_members,
            only_networks=_networks(wish, zone, asked, unavailable),
            unavailable=unavailable,
            allow_whole_zone=policy.allow_whole_zone,
            touching_counts=policy.touching_counts,
        )
        snapshot = await self.snapshots.get(zone.id)
        if snapshot is None:
            raise NobodyHere("There is no such zone.")
        resolution = await asyncio.to_thread(resolve, snapshot, request, taken, wish.ground)
        problems = tuple(map(_reason, resolution.problems))
        if resolution.counts.beyond_rights:
            text = f"{resolution.counts.beyond_rights} persons are meant whom this account may not reach."
            problems += (Reason("T-BEYOND-RIGHTS", text, level="warning", value=zone.code),)
        if resolution.refusal is not None:
            refused = NobodyHere if not resolution.audience.resolved else ZoneRefused
            raise refused(resolution.refusal.text, problems)
        return await self._priced(wish, zone, texts, resolution, problems)

    def behind(self, preview: ZonePreview, queue: Queue) -> ZonePreview:
        """The preview with when its messages leave, behind what waits already."""
        rates = self.rates(Mode(preview.mode))
        urgent = not KINDS[Kind(preview.kind)].priority
        channels = tuple(_timed(c, rates.get(Channel(c.channel)), queue, urgent) for c in preview.channels)
        closed = tuple(_closed(c.channel) for c in channels if c.deliveries and c.eta_s is None)
        return msgspec.structs.replace(preview, channels=channels, problems=preview.problems + closed)

    async def _priced(
        self, wish: ZoneWish, zone: ZoneRow, texts: Texts, resolution: Resolution, problems: tuple[Reason, ...]
    ) -> ZonePlan:
        audience = resolution.audience
        deliveries = sum(len(audience.deliveries[channel]) for channel in audience.channels)
        if deliveries > MOST_DELIVERIES:
            text = (
                f"{deliveries} messages are more than one campaign can have ({MOST_DELIVERIES}): send to fewer at once."
            )
            raise ZoneRefused(text, (Reason("T-TOO-MANY", text, value=zone.code),))
        tally = await asyncio.to_thread(_tally, audience)
        work = partial(self._worded, texts, tally, wish.at_ms)
        words, told = await asyncio.to_thread(work) if wish.announcement.wording.is_long else work()
        problems += told
        ready = {group: w.ready for group, w in words.items()}
        problems += await self.outlets.left_out(audience, ready)
        total = sum(w.price_millieuro * w.preview.deliveries for w in words.values())
        rules = KINDS[wish.kind]
        live = wish.announcement.mode is Mode.LIVE
        campaign = NewCampaign(
            public_id="",
            zone_id=zone.id,
            account_id=wish.caller.account_id,
            behalf_id=wish.caller.behalf_id,
            purpose=wish.announcement.purpose,
            title=wish.announcement.title[:200],
            kind=wish.kind,
            mode=wish.announcement.mode,
            state="scheduled" if wish.announcement.starts_ms > wish.at_ms else "running",
            priority=rules.priority,
            crash_policy=rules.crash_policy,
            weight=self.weight,
            starts_ms=wish.announcement.starts_ms,
            expires_ms=wish.announcement.expires_ms,
            horizon_ms=rules.receipt_horizon_s * 1000,
            targets=msgspec.json.encode(wish.ground.targets).decode(),
            counts=msgspec.json.encode(resolution.counts).decode(),
            reserved_millieuro=total if live else 0,
            must_cover=live and not rules.may_overdraw,
            # The preview of a simulation says what it would cost; the zone's ledger never hears of it.
            texts=tuple(
                NewText(c, language, write_content(w.content), w.units, w.price_millieuro if live else 0)
                for (c, language), w in words.items()
            ),
            audience=await asyncio.to_thread(audience.encode),
            sizes=tuple((str(c), len(audience.deliveries[c])) for c in audience.channels),
            request_key=wish.request_key,
            request_sha256=wish.request_sha256,
            break_glass_use_id=wish.caller.break_glass_use_id,
        )
        preview = self._preview(wish, zone, resolution, tally, words, total, problems)
        return ZonePlan(zone, campaign, msgspec.structs.replace(preview, notes=texts.notes), audience)

    def _worded(
        self, texts: Texts, tally: _Tally, at_ms: int
    ) -> tuple[dict[tuple[Channel, str], PricedText], tuple[Reason, ...]]:
        words: dict[tuple[Channel, str], PricedText] = {}
        told: list[Reason] = []
        for (channel, language), count in tally.texts.items():
            content, remark = self.outlets.adapted(channel, language, texts.by_channel[channel][language])
            words[channel, language] = _words(channel, language, content, count, at_ms)
            told += (remark,) if remark else ()
        return words, tuple(told)

    def _preview(
        self,
        wish: ZoneWish,
        zone: ZoneRow,
        resolution: Resolution,
        tally: _Tally,
        words: Mapping[tuple[Channel, str], PricedText],
        total: int,
        problems: tuple[Reason, ...],
    ) -> ZonePreview:
        persons = resolution.counts.persons
        return ZonePreview(
            zone=zone.code,
            kind=wish.kind,
            mode=wish.announcement.mode,
            resolved=persons.resolved,
            included=persons.included,
            excluded=_counted(persons.excluded),
            covered=_counted(persons.covered),
            skipped=_counted(persons.skipped),
            matched_by=resolution.counts.matched_by,
            readers=resolution.counts.readers,
            channels=tuple(self._channel(c, tally, words) for c in resolution.audience.channels),
            texts=tuple(w.preview for w in words.values()),
            price_millieuro=total,
            starts_ms=wish.announcement.starts_ms,
            expires_ms=wish.announcement.expires_ms,
            problems=problems + tuple(Reason("RESOLVE", text, level="information") for text in resolution.ignored),
        )

    def _channel(
        self, channel: Channel, tally: _Tally, words: Mapping[tuple[Channel, str], PricedText]
    ) -> ChannelPreview:
        mine = [w for (c, _), w in words.items() if c is channel]
        units = sum(w.units * w.preview.deliveries for w in mine)
        return ChannelPreview(
            channel=channel,
            deliveries=sum(n for (c, _), n in tally.texts.items() if c is channel),
            covered=tally.covered[channel],
            skipped=tally.skipped[channel],
            units=units,
            price_millieuro=sum(w.price_millieuro * w.preview.deliveries for w in mine),
            eta_s=None,
        )


def _timed(channel: ChannelPreview, rate_per_s: float | None, queue: Queue, urgent: bool) -> ChannelPreview:
    if not rate_per_s:
        return channel
    units = queue.units.get(channel.channel, 0) + channel.units
    first_s = round((queue.beginning.get(channel.channel, 0) + 1) / rate_per_s, 1) if urgent else None
    return msgspec.structs.replace(channel, eta_s=round(units / rate_per_s, 1), first_s=first_s)


def _closed(channel: str) -> Reason:
    text = f"No carrier of {channel} is open at this moment: these messages wait for one until they expire."
    return Reason("CARRIER-CLOSED", text, level="warning", value=channel)


def _networks(
    wish: ZoneWish, zone: ZoneRow, asked: tuple[Channel, ...], unavailable: frozenset[Channel]
) -> frozenset[int] | None:
    """The networks that the account may reach on EVERY channel it will use: rights that differ by channel must not
    add up to more than any of them gives."""
    reach: frozenset[int] | None = None
    for channel in asked:
        if channel in unavailable:
            continue
        given = wish.caller.reach(wish.action, zone.id, wish.kind, channel, wish.announcement.mode)
        if given is not None:
            reach = given if reach is None else reach & given
    return reach


def _tally(audience: Audience) -> _Tally:
    """In proportion to the audience: off the event loop, please."""
    texts = {
        (channel, language): int(n)
        for channel in audience.channels
        for language, n in zip(audience.languages, _of_each_language(audience, channel), strict=True)
        if n
    }
    return _Tally(texts, _by_channel(audience.covered.channel), _by_channel(audience.skipped.channel))


def _of_each_language(audience: Audience, channel: Channel) -> npt.NDArray[np.int64]:
    return np.bincount(audience.deliveries[channel].language, minlength=len(audience.languages))


def _by_channel(numbers: npt.NDArray[np.uint8]) -> dict[Channel, int]:
    counted = np.bincount(numbers, minlength=len(CHANNELS))
    return {channel: int(n) for channel, n in zip(CHANNELS, counted, strict=True)}


def _words(channel: Channel, language: str, content: TextContent, deliveries: int, at_ms: int) -> PricedText:
    ready = prepare(channel, language, content)
    cost = price_of(channel, ready, at_ms)
    look = shown(content, ready)
    preview = TextPreview(
        channel=channel,
        language=language,
        text=look.text,
        deliveries=deliveries,
        units=ready.units,
        price_millieuro=cost,
        subject=look.subject,
        encoding=look.encoding,
        note=look.note,
    )
    return PricedText(content, ready, ready.units, cost, preview)


def price_of(channel: Channel, ready: Content, at_ms: int) -> int:
    """The price of one message, in millieuro."""
    return price(channel, MEDIA[channel].priced_units(ready), at_ms)


def _counted(reasons: Mapping[str, int]) -> tuple[ReasonCount, ...]:
    sentences = {why.word: why.sentence for why in Why}
    return tuple(ReasonCount(word, sentences[word], n) for word, n in reasons.items())


def _reason(problem: TargetProblem) -> Reason:
    rule = "T-" + problem.fault.upper().replace("_", "-")
    return Reason(rule, problem.text, level=problem.severity, value=problem.subject)
