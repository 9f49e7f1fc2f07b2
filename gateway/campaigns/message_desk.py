"""The desk for composed messages: a coordinator's own words, through the same resolver, preview and launch; the same
key of a request gets the same answer."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import msgspec

from channels.contract import Channel, Mode
from gateway.access.courses import last_course, takes_course
from gateway.access.rights import Action, Caller, require_mode
from gateway.campaigns import rights_over_campaigns
from gateway.campaigns.admission import Shared, Turns
from gateway.campaigns.announcement import Announcement
from gateway.campaigns.answers import MessageAnswer, MessageRequest, MessageText, ZonePreview
from gateway.campaigns.held import held_reasons
from gateway.campaigns.intake import FARTHEST_MS
from gateway.campaigns.limits import require_modest
from gateway.campaigns.planning import CourseMissing, Planner, ZonePlan, ZoneRefused, ZoneWish
from gateway.campaigns.public_ids import new_public_id
from gateway.campaigns.texts import language_warnings, style_of
from gateway.directory.prepared_targets import survey
from gateway.directory.zone_policy import read_policy
from gateway.errors import Reason, Refusal
from gateway.kinds import KINDS, Kind
from gateway.settings import LimitSettings
from gateway.texts.content import TextsRefused
from gateway.texts.wording import OwnWords, Wording, write
from store.campaigns import campaign_steps
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch, launch
from store.engine.database import Database
from store.engine.turns import Turn
from store.errors import Conflict, CreditExhausted
from store.money import ledger
from store.outbox import fairness
from store.register import reading as directory
from store.register.reading import ZoneRow

_AT_ONCE = 4
"""Alerts of coordinators that are planned and filed at once."""


@dataclass(slots=True)
class MessageDesk:
    database: Database
    planner: Planner
    room_on_disk: Callable[[], bool]
    wake: Callable[[], None]
    limits: LimitSettings = field(default_factory=LimitSettings)
    idle: Turns = field(default_factory=Turns)
    """Of dry runs, and of messages that are no alerts."""
    _turns: Shared = field(default_factory=lambda: Shared(_AT_ONCE, _AT_ONCE - 1))

    async def preview(self, caller: Caller, request: MessageRequest) -> ZonePreview:
        """What `launch` would do, without doing it. Raises Refusal, as it would."""
        require_modest(request, self.limits)
        async with self.idle.of(caller.account_id):
            return await self._tried(caller, request)

    async def _tried(self, caller: Caller, request: MessageRequest) -> ZonePreview:
        plan = await self._plan(caller, request)
        preview = await self._shown(plan)
        assert preview.balance_millieuro is not None
        if preview.shortfall_millieuro:
            raise _uncovered(preview.balance_millieuro, preview.price_millieuro, preview)
        return preview

    async def _shown(self, plan: ZonePlan) -> ZonePreview:
        async with self.database.read() as conn:
            balance = await ledger.balance_millieuro(conn, plan.zone.id, self.database.clock.now_ms())
            queue = await fairness.queue(conn, plan.campaign.mode, plan.campaign.priority)
            held = await held_reasons(conn, plan.zone, [channel.channel for channel in plan.preview.channels])
        missing = plan.campaign.reserved_millieuro - balance if plan.campaign.must_cover else 0
        preview = msgspec.structs.replace(
            plan.preview,
            balance_millieuro=balance,
            shortfall_millieuro=max(missing, 0),
            problems=plan.preview.problems + held,
        )
        return self.planner.behind(preview, queue)

    async def launch(self, caller: Caller, request: MessageRequest, key: str = "") -> MessageAnswer:
        """Launches a message. `key` is the caller's own name for this decision: the same one again answers with the
        first campaign. Raises Refusal; nothing is kept then."""
        if not request.terms_confirmed:
            raise Refusal(
                422,
                "terms-not-confirmed",
                "Confirm the terms (terms_confirmed): no commercial, promotional or political content.",
            )
        require_modest(request, self.limits)
        turns = self._turns if request.kind is Kind.ALERT else self.idle
        async with turns.of(caller.account_id):
            return await self._launched(caller, request, key)

    async def _launched(self, caller: Caller, request: MessageRequest, key: str) -> MessageAnswer:
        known = await self._known(caller, request, key)
        if known is not None:
            return known
        if not self.room_on_disk():
            raise Refusal(503, "disk-full", "Too little disk space is left to accept anything.")
        plan = await self._plan(caller, request, key)
        shown = await self._shown(plan)
        decision = Launch(account_id=caller.account_id, by=caller.actor, alert=None, campaigns=(plan.campaign,))
        turn = Turn.FIRST if request.kind is Kind.ALERT else Turn.USUAL
        try:
            await self.database.write(lambda tx: launch(tx, decision), turn=turn)
        except Conflict:
            # The answer to a commit may have been lost, and the launch repeated: what stands there is ours then.
            if not await self._is_filed(plan.campaign.public_id):
                known = await self._known(caller, request, key)
                if known is None:
                    raise
                return known
        except CreditExhausted as exc:
            raise _uncovered(exc.balance_millieuro, exc.needed_millieuro, shown) from exc
        self.wake()
        return MessageAnswer(plan.campaign.public_id, True, shown)

    async def stop(self, caller: Caller, public_id: str) -> bool:
        """End a campaign now: nothing beyond the cursors leaves. False when it had ended. Raises Refusal."""
        async with self.database.read() as conn:
            found = await campaigns.by_public_id(conn, public_id)
        may_know = rights_over_campaigns.sees, rights_over_campaigns.stops
        if found is None or not any(may(caller, found) for may in may_know):
            raise Refusal(404, "no-such-campaign", "There is no such campaign.")
        if not rights_over_campaigns.stops(caller, found):
            raise Refusal(403, "no-right", f"This account may not stop this campaign of {found.zone_code}.")
        by = caller.actor
        return await self.database.write(
            lambda tx: campaign_steps.stop(tx, found.id, caller.account_id, by), turn=Turn.FIRST
        )

    async def _known(self, caller: Caller, request: MessageRequest, key: str) -> MessageAnswer | None:
        if not key:
            return None
        async with self.database.read() as conn:
            asked = await campaigns.by_request_key(conn, caller.account_id, key)
        if asked is None:
            return None
        if asked.sha256 not in ("", _digest(request, caller)):
            remedy = "Give every decision a key of its own; to look at the first one, follow `campaign`."
            title = "Something else was asked for under this key before."
            reason = Reason("KEY", title, path="Idempotency-Key", value=key, remedy=remedy)
            raise Refusal(422, "key-used", title, (reason,), members={"campaign": asked.public_id})
        return MessageAnswer(asked.public_id, False)

    async def _is_filed(self, public_id: str) -> bool:
        async with self.database.read() as conn:
            return await campaigns.by_public_id(conn, public_id) is not None

    async def _plan(self, caller: Caller, request: MessageRequest, key: str = "") -> ZonePlan:
        async with self.database.read() as conn:
            found = await directory.zones(conn, [request.zone])
        if "\0" in request.title:
            raise Refusal(422, "bad-text", "A title holds no NUL character.")
        if not found or not caller.may_in(Action.LAUNCH, found[0].id):
            # A zone that this account has nothing to do with does not exist for it.
            raise Refusal(403, "no-right", f"This account may not launch anything in {request.zone}.")
        zone = found[0]
        _require_rights(caller, request, zone)
        wish = await self._wish(caller, request, key)
        policy = read_policy(zone.policy)
        try:
            asked, unavailable = self.planner.channels(wish, zone, policy)
            style = style_of(zone, policy, request.kind)
            channels = tuple(c for c in asked if c not in unavailable)
            work = partial(write, wish.announcement.wording, channels, style)
            texts = await asyncio.to_thread(work) if wish.announcement.wording.is_long else work()
            plan = await self.planner.plan(wish, zone, texts, {})
        except TextsRefused as refused:
            reasons = [Reason("TEXT", problem) for problem in refused.problems]
            raise Refusal(422, "texts-refused", "The texts cannot be sent as they are.", reasons) from refused
        except CourseMissing as refused:
            title = "This account lacks the course that a live alert takes here."
            raise Refusal(403, "course-missing", title, refused.problems) from refused
        except ZoneRefused as refused:
            raise Refusal(422, "zone-refused", refused.reason, refused.problems) from refused
        campaign = msgspec.structs.replace(plan.campaign, public_id=new_public_id())
        warnings = language_warnings([t.language for t in request.texts], plan.preview.readers)
        preview = msgspec.structs.replace(plan.preview, problems=plan.preview.problems + warnings)
        return ZonePlan(plan.zone, campaign, preview, plan.audience)

    async def _wish(self, caller: Caller, request: MessageRequest, key: str) -> ZoneWish:
        now_ms = self.database.clock.now_ms()
        starts_ms = max(_instant(request.starts_at, "starts_at", now_ms), now_ms)
        expires_ms = _instant(request.expires_at, "expires_at", starts_ms + KINDS[request.kind].default_life_s * 1000)
        if expires_ms <= starts_ms:
            raise Refusal(422, "times-crossed", "It would expire before it starts.")
        announcement = Announcement(
            purpose="message",
            title=request.title,
            wording=Wording(words=tuple(map(_words, request.texts)), title=request.title),
            kind=request.kind,
            mode=Mode.SIMULATION if request.simulation else Mode.LIVE,
            starts_ms=starts_ms,
            expires_ms=expires_ms,
            channels=tuple(c for c in Channel if c in request.channels),
            targets=request.targets,
            zones=frozenset({request.zone}),
        )
        course = takes_course(caller, request.kind, announcement.mode)
        return ZoneWish(
            caller=caller,
            action=Action.LAUNCH,
            announcement=announcement,
            ground=await asyncio.to_thread(survey, request.targets),
            at_ms=now_ms,
            last_course=await last_course(self.database, caller, now_ms) if course else None,
            request_key=key or None,
            request_sha256=_digest(request, caller) if key else "",
        )


def _digest(request: MessageRequest, caller: Caller) -> str:
    """Of what is asked for, in whatever order and spacing its JSON was written, and of on whose behalf."""
    asked = msgspec.json.encode(request, order="deterministic")
    behalf = b"" if caller.behalf_id is None else f" on behalf of {caller.behalf_id}".encode()
    return hashlib.sha256(asked + behalf).hexdigest()


def _uncovered(balance: int, needed: int, preview: ZonePreview) -> Refusal:
    """The preview goes along: whoever is refused sees of what the price is made."""
    text = f"The prepaid balance of {balance} millieuro does not cover {needed}."
    reason = Reason("CREDIT", text, remedy="Buy a lot, or send to fewer or by a cheaper channel.")
    figures = {"balance_millieuro": balance, "needed_millieuro": needed, "shortfall_millieuro": needed - balance}
    shown = msgspec.structs.replace(
        preview, refusal=text, balance_millieuro=balance, shortfall_millieuro=needed - balance
    )
    return Refusal(402, "credit-exhausted", text, (reason,), members=figures | {"preview": shown})


def _words(text: MessageText) -> OwnWords:
    return OwnWords(language=text.language, sms=text.sms, subject=text.subject, email=text.email, voice=text.voice)


def _require_rights(caller: Caller, request: MessageRequest, zone: ZoneRow) -> None:
    """A channel that is asked for and not granted is refused by name, never dropped in silence."""
    mode = Mode.SIMULATION if request.simulation else Mode.LIVE
    require_mode(caller, mode)
    beyond = set(request.channels) - caller.channels(Action.LAUNCH, zone.id, request.kind, mode)
    if beyond:
        reason = rights_over_campaigns.missing(request.kind, zone.code, beyond)
        raise Refusal(403, "no-right", reason.text, (reason,))


def _instant(text: str, name: str, otherwise_ms: int) -> int:
    if not text:
        return otherwise_ms
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Refusal(422, "bad-instant", f"{name} is no RFC 3339 instant: {text[:40]!r}.") from exc
    if instant.tzinfo is None:
        raise Refusal(422, "bad-instant", f"{name} needs its offset from UTC.")
    at_ms = round(instant.timestamp() * 1000)
    if abs(at_ms - otherwise_ms) > FARTHEST_MS:
        raise Refusal(422, "instant-too-far", f"{name} is more than a year away.")
    return at_ms
