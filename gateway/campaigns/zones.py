"""Zone by zone: what comes of what is said in each of them, who refuses and why. Writes nothing."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from channels.contract import Channel
from gateway.access.courses import last_course, takes_course
from gateway.access.rights import Action, Caller
from gateway.campaigns import cancels, rights_over_campaigns
from gateway.campaigns.announcement import Announcement
from gateway.campaigns.answers import ZonePreview
from gateway.campaigns.held import held_reasons
from gateway.campaigns.planning import NobodyHere, Planner, TakenContacts, ZonePlan, ZoneRefused, ZoneWish
from gateway.campaigns.public_ids import new_public_id
from gateway.campaigns.texts import style_of, texts_of
from gateway.directory.audience import decode
from gateway.directory.columns import Int64
from gateway.directory.prepared_targets import survey
from gateway.directory.zone_policy import read_policy
from gateway.errors import Reason
from gateway.kinds import KINDS
from gateway.texts.content import Texts
from gateway.texts.story import Style
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch, ZoneRefusal
from store.campaigns.reading import Campaign
from store.engine.database import Database
from store.money import ledger, reservations
from store.outbox import fairness
from store.outbox.fairness import Queue
from store.outbox.records import NewCampaign
from store.register import reading as directory
from store.register.reading import ZoneRow
from store.states import CampaignState

Written = dict[tuple[Style, tuple[Channel, ...]], Texts]
"""Made once for all zones of one style and set of channels."""


@dataclass(slots=True)
class ZoneOutcomes:
    """What planning came to, zone by zone."""

    plans: list[ZonePlan] = field(default_factory=list)
    cancels: list[NewCampaign] = field(default_factory=list)
    previews: list[ZonePreview] = field(default_factory=list)
    refusals: list[tuple[ZoneRow, str, tuple[Reason, ...]]] = field(default_factory=list)
    nobody: list[Reason] = field(default_factory=list)
    """Zones that the targets do not mean, and why: for whoever expected otherwise."""
    silent: list[Reason] = field(default_factory=list)
    """Channels on which who has it is not told that it is cancelled, and why."""
    stops: list[int] = field(default_factory=list)
    """Campaigns that a Cancel ends, whether or not their zone launches anything."""

    def all_for(self, rule: str) -> bool:
        """Whether every zone refuses for this rule."""
        return all(any(problem.rule == rule for problem in problems) for _, _, problems in self.refusals)

    def ends(self, cancelled: bool) -> tuple[tuple[int, str], ...]:
        """What ends with this launch: only where a successor is launched at the same instant, so that a zone that
        refuses an Update goes on with what it has."""
        campaigns = [*(p.campaign for p in self.plans), *self.cancels]
        ended = dict.fromkeys([*(old for c in campaigns for old in c.replaces), *self.stops])
        state = CampaignState.CANCELLED if cancelled else CampaignState.SUPERSEDED
        return tuple((campaign_id, str(state)) for campaign_id in ended)


@dataclass(frozen=True, slots=True)
class ZonePlanning:
    database: Database
    planner: Planner

    async def plan(
        self, caller: Caller, announcement: Announcement, action: Action = Action.SUBMIT, *, dry: bool = False
    ) -> ZoneOutcomes:
        """What each zone would do. `action`: what its author must be allowed to do in a zone.

        Raises nothing of a zone's: its refusal stands in the outcome and the other zones go on.

        A Cancel takes the same time whatever the audience of what it ends; only a dry run gathers whom it would reach.
        An Update is planned before anything ends, as a zone that refuses it goes on with what it has: its time is that
        of reading the audiences of its thread and of resolving its own, in threads.
        """
        outcome = ZoneOutcomes()
        async with self.database.read() as conn:
            zones = await directory.zones(conn, None if announcement.zones is None else sorted(announcement.zones))
            earlier = (
                await campaigns.of_thread(conn, *(t.id for t in announcement.threads)) if announcement.threads else []
            )
        if announcement.cancels:
            # What is cancelled stops also where nobody can be told so; that all of it may be ended was asked before.
            within = {zone.id for zone in zones}
            outcome.stops = [c.id for c in earlier if c.zone_id in within and c.purpose != "cancel"]
            await self._plan_cancels(caller, action, announcement, zones, earlier, outcome, dry)
        else:
            mine = [z for z in zones if caller.may_in(action, z.id)]
            await self._plan_launch(caller, action, announcement, mine, earlier, outcome, dry)
        return outcome

    async def _plan_launch(
        self,
        caller: Caller,
        action: Action,
        announcement: Announcement,
        zones: Sequence[ZoneRow],
        earlier: Sequence[Campaign],
        outcome: ZoneOutcomes,
        dry: bool,
    ) -> None:
        assert announcement.kind is not None, "only a Cancel may leave it to what it cancels"
        if not any(caller.channels(action, zone.id, announcement.kind, announcement.mode) for zone in zones):
            # Nothing is reckoned for who may send this nowhere.
            for zone in zones:
                why = rights_over_campaigns.missing(announcement.kind, zone.code)
                outcome.refusals.append((zone, why.text, (why,)))
            return
        now_ms = self.database.clock.now_ms()
        course = takes_course(caller, announcement.kind, announcement.mode)
        wish = ZoneWish(
            caller=caller,
            action=action,
            announcement=announcement,
            ground=await asyncio.to_thread(survey, announcement.targets),
            at_ms=now_ms,
            last_course=await last_course(self.database, caller, now_ms) if course else None,
        )
        taken: TakenContacts = {}
        written: Written = {}
        waiting = await self._queue(wish) if dry else _NOTHING
        for zone in zones:
            mine = [c for c in earlier if c.zone_id == zone.id and c.purpose != "cancel"]
            try:
                plan = await self._plan_zone(wish, zone, mine, taken, written)
                preview = await self._affordable(plan)
            except NobodyHere as nobody:
                text = f"{zone.code}: {nobody.reason}"
                outcome.nobody.append(Reason("G-NONE", text, level="information", value=zone.code))
            except ZoneRefused as refused:
                outcome.refusals.append((zone, refused.reason, refused.problems))
            else:
                outcome.plans.append(plan)
                outcome.previews.append(self.planner.behind(preview, waiting) if dry else preview)
                waiting = _with(waiting, preview)
                await asyncio.to_thread(_take, taken, plan)

    async def _queue(self, wish: ZoneWish) -> Queue:
        async with self.database.read() as conn:
            return await fairness.queue(conn, wish.announcement.mode, KINDS[wish.kind].priority)

    async def _plan_zone(
        self,
        wish: ZoneWish,
        zone: ZoneRow,
        earlier: Sequence[Campaign],
        taken: TakenContacts,
        written: Written,
    ) -> ZonePlan:
        told = await self._told(earlier)
        try:
            texts = await self._texts(wish, zone, written)
        except ZoneRefused:
            # A zone that the alert does not mean has nothing to refuse, and nothing to be told.
            if not await self.planner.concerns(wish, zone, told):
                raise NobodyHere("Nobody of this zone is concerned.") from None
            raise
        plan = await self.planner.plan(wish, zone, texts, taken, told)
        replaces = tuple(c.id for c in earlier)
        campaign = msgspec.structs.replace(plan.campaign, public_id=new_public_id(), replaces=replaces)
        return ZonePlan(plan.zone, campaign, plan.preview, plan.audience)

    async def _texts(self, wish: ZoneWish, zone: ZoneRow, written: Written) -> Texts:
        policy = read_policy(zone.policy)
        asked, _ = self.planner.channels(wish, zone, policy)
        style = style_of(zone, policy, wish.kind)
        # Zones of one style may still use different channels.
        if (style, asked) not in written:
            work = partial(texts_of, wish.announcement.wording, asked, style)
            written[style, asked] = await asyncio.to_thread(work) if wish.announcement.wording.is_long else work()
        return written[style, asked]

    async def _told(self, earlier: Sequence[Campaign]) -> npt.NDArray[np.int64] | None:
        """Everyone included in the thread so far: an Update reaches them and whoever joined since."""
        found: list[Int64] = []
        for c in earlier:
            async with self.database.read() as conn:
                blob = await campaigns.audience_blob(conn, c.id)
            if blob is not None:
                found.append(await asyncio.to_thread(_members, blob))
        return await asyncio.to_thread(_union, found) if found else None

    async def _affordable(self, plan: ZonePlan) -> ZonePreview:
        """Raises ZoneRefused. Asked before the next zone is planned: who lives in both must not be left to a campaign
        that is never launched."""
        async with self.database.read() as conn:
            now_ms = self.database.clock.now_ms()
            balance = await ledger.balance_millieuro(conn, plan.zone.id, now_ms)
            # What it replaces ends in the transaction that launches it, and gives its money to it.
            freed = await reservations.freeable_millieuro(conn, plan.campaign.replaces, now_ms)
            held = await held_reasons(conn, plan.zone, [channel.channel for channel in plan.preview.channels])
        needed = plan.campaign.reserved_millieuro
        if plan.campaign.must_cover and balance + freed < needed:
            text = f"The prepaid balance of {balance + freed} millieuro does not cover {needed}."
            raise ZoneRefused(text, (Reason("CREDIT", text),))
        problems = plan.preview.problems + held
        return msgspec.structs.replace(plan.preview, balance_millieuro=balance, problems=problems)

    async def _plan_cancels(
        self,
        caller: Caller,
        action: Action,
        announcement: Announcement,
        zones: Sequence[ZoneRow],
        earlier: Sequence[Campaign],
        outcome: ZoneOutcomes,
        dry: bool,
    ) -> None:
        for zone in zones:
            originals = [c for c in earlier if c.zone_id == zone.id and c.purpose != "cancel"]
            if not originals:
                continue
            try:
                async with self.database.read() as conn:
                    new = await cancels.plan(
                        conn,
                        caller,
                        action,
                        announcement,
                        zone,
                        originals,
                        self.planner.weight,
                        self.database.clock.now_ms(),
                    )
            except ZoneRefused as refused:
                outcome.refusals.append((zone, refused.reason, refused.problems))
            else:
                silent = cancels.untold(caller, action, announcement, zone, originals)
                if silent is not None:
                    outcome.silent.append(silent)
                outcome.cancels.append(msgspec.structs.replace(new, public_id=new_public_id()))
                if dry:
                    async with self.database.read() as conn:
                        outcome.previews.append(await cancels.preview(conn, new, zone))


def launch_of(caller: Caller, announcement: Announcement, outcome: ZoneOutcomes) -> Launch:
    """All that a launch writes when it goes as it was planned, in the threads as they were found."""
    return Launch(
        account_id=caller.account_id,
        by=caller.actor,
        alert=None,
        campaigns=tuple(p.campaign for p in outcome.plans) + tuple(outcome.cancels),
        refusals=tuple(ZoneRefusal(z.id, text) for z, text, _ in outcome.refusals),
        ends=outcome.ends(announcement.cancels),
        threads=announcement.threads,
    )


_NOTHING = Queue({}, {})


def _with(queue: Queue, preview: ZonePreview) -> Queue:
    """The zones of one alert are launched together: each is behind those planned before it."""
    beginning, units = Counter(queue.beginning), Counter(queue.units)
    beginning.update(c.channel for c in preview.channels if c.deliveries)
    units.update({c.channel: c.units for c in preview.channels})
    return Queue(beginning, units)


def _members(blob: bytes) -> Int64:
    return decode(blob).members


def _union(members: Sequence[Int64]) -> Int64:
    return np.unique(np.concatenate(members))


def _take(taken: TakenContacts, plan: ZonePlan) -> None:
    for channel in plan.audience.channels:
        mine = plan.audience.addresses(channel)
        taken[channel] = np.concatenate([taken[channel], mine]) if channel in taken else mine
