"""The desk for CAP alerts: read, decide, plan zone by zone, launch in one transaction, answer."""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

import cap
from cap import Alert, MsgType, Problem
from channels.contract import Channel
from gateway.access.caller import Action, Caller
from gateway.campaigns import cancels
from gateway.campaigns.answers import AlertAnswer, Preview, ZonePreview, ZoneResult
from gateway.campaigns.intake import Act, Decision, Thread, decide, milliseconds
from gateway.campaigns.planning import NobodyHere, Planner, Taken, Wish, ZonePlan, ZoneRefused
from gateway.campaigns.texts import alert_texts, style_of
from gateway.directory.audience import decode
from gateway.directory.policy import read_policy
from gateway.directory.survey import survey
from gateway.errors import Reason, Refusal
from gateway.templates.compose import MAPPING
from gateway.templates.content import Texts
from gateway.templates.story import Style
from store import alerts as filed_alerts
from store import campaigns, directory, ledger
from store.alerts import Alert as Filed
from store.campaigns import Campaign
from store.database import Database
from store.directory import ZoneRow
from store.errors import Conflict, CreditExhausted, StaleThread
from store.launching import Launch, launch
from store.launching import Refusal as ZoneRefusal
from store.records import NewAlert, NewCampaign
from store.states import CampaignState
from store.transaction import Transaction

log = logging.getLogger(__name__)

BIG_BYTES = 50_000
"""Larger documents are read in a thread: the loop has other people's alerts to answer."""
_TRIES = 4
_OPEN_STATES = (CampaignState.RUNNING, CampaignState.SCHEDULED, CampaignState.PREPARING)


@dataclass(slots=True)
class _Outcome:
    """What planning came to, zone by zone."""

    plans: list[ZonePlan] = field(default_factory=list)
    cancels: list[NewCampaign] = field(default_factory=list)
    previews: list[ZonePreview] = field(default_factory=list)
    refusals: list[tuple[ZoneRow, str, tuple[Reason, ...]]] = field(default_factory=list)
    nobody: list[Reason] = field(default_factory=list)
    """Zones that the targets do not mean, and why: for whoever expected otherwise."""
    ends: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class AlertDesk:
    database: Database
    planner: Planner
    room_on_disk: Callable[[], bool]
    wake: Callable[[], None]
    """Something was launched: expansion and preparation look at once."""

    # ---- posting -------------------------------------------------------------------------------------------

    async def submit(self, caller: Caller, document: bytes) -> AlertAnswer:
        """Raises Refusal; nothing is kept then."""
        alert, warnings = await self._read(document)
        digest = hashlib.sha256(document).hexdigest()
        for _ in range(_TRIES):
            known = await self._known(caller, alert, digest)
            if known is not None:
                return known
            if not self.room_on_disk():
                raise Refusal(503, "disk-full", "Too little disk space is left to accept anything.")
            try:
                public_id = await self._launch(caller, alert, document, digest)
            except (Conflict, StaleThread):
                continue
            self.wake()
            answer = await self.read(caller, public_id)
            return msgspec.structs.replace(answer, created=True, problems=warnings)
        raise Refusal(503, "busy", "Its thread keeps changing; try again.")

    async def validate(self, caller: Caller, document: bytes) -> Preview:
        """What `submit` would do, without doing it. Raises Refusal."""
        alert, warnings = await self._read(document)
        thread = await self._thread(alert)
        decision = decide(alert, caller, thread, self._now_ms())
        outcome = await self._plan(caller, alert, decision, thread)
        known = await self._said_before(alert, hashlib.sha256(document).hexdigest())
        zones = outcome.previews + [ZonePreview(zone=z.code, refusal=r, problems=p) for z, r, p in outcome.refusals]
        return Preview(
            action=decision.act,
            zones=tuple(zones),
            price_millieuro=sum(z.price_millieuro for z in zones),
            problems=known + warnings + decision.problems + tuple(outcome.nobody),
            mapping=MAPPING,
        )

    async def _read(self, document: bytes) -> tuple[Alert, tuple[Reason, ...]]:
        if len(document) > BIG_BYTES:
            reading = await asyncio.to_thread(cap.read, document)
        else:
            reading = cap.read(document)
        reasons = tuple(map(_reason, reading.problems))
        if reading.alert is None or not reading.accepted:
            unreadable = any(r.rule in ("XML-WF", "XML-DTD", "XML-ENC") for r in reasons)
            status, title = (
                (400, "This is not XML that may be read.") if unreadable else (422, "The alert breaks rules.")
            )
            raise Refusal(status, "invalid-cap", title, reasons)
        return reading.alert, reasons

    async def _known(self, caller: Caller, alert: Alert, digest: str) -> AlertAnswer | None:
        async with self.database.read() as conn:
            filed = await filed_alerts.by_key(conn, alert.sender, alert.identifier)
        if filed is None:
            return None
        if alert.sender not in caller.senders:
            raise Refusal(403, "sender-not-yours", f"This account may not post as {alert.sender}.")
        if filed.sha256 != digest:
            raise Refusal(
                409, "identifier-taken", f"{alert.sender} has sent other words under {alert.identifier} before."
            )
        return await self._answer(filed)

    async def _said_before(self, alert: Alert, digest: str) -> tuple[Reason, ...]:
        async with self.database.read() as conn:
            filed = await filed_alerts.by_key(conn, alert.sender, alert.identifier)
        if filed is None:
            return ()
        if filed.sha256 == digest:
            return (Reason("C-DUP", "It was posted before: posting it again sends nothing.", level="information"),)
        return (Reason("C-DUP", "Other words were posted under this identifier: posting it is refused with 409."),)

    async def _launch(self, caller: Caller, alert: Alert, document: bytes, digest: str) -> str:
        thread = await self._thread(alert)
        decision = decide(alert, caller, thread, self._now_ms())
        outcome = await self._plan(caller, alert, decision, thread)
        self._require_somebody(decision, outcome)
        new = _new_alert(alert, caller, decision, document, digest)
        await self._write(caller, decision, outcome, new)
        return new.public_id

    async def _write(
        self, caller: Caller, decision: Decision, outcome: _Outcome, new: NewAlert, parked_id: int | None = None
    ) -> None:
        """One transaction for all zones; a zone that cannot pay is refused and the others go on."""
        while True:
            everything = _launch_of(caller, decision, outcome, new)
            try:
                await self.database.write(lambda tx, e=everything: _replace_parked(tx, e, parked_id))  # type: ignore[misc]
                return
            except CreditExhausted as exc:
                broke = next(p for p in outcome.plans if p.zone.id == exc.zone_id)
                outcome.plans.remove(broke)
                text = (
                    f"The prepaid balance of {exc.balance_millieuro} millieuro does not cover {exc.needed_millieuro}."
                )
                outcome.refusals.append((broke.zone, text, (Reason("CREDIT", text),)))
                self._require_somebody(decision, outcome)

    def _require_somebody(self, decision: Decision, outcome: _Outcome) -> None:
        if decision.act is not Act.LAUNCH or outcome.plans or decision.publish:
            return
        if outcome.refusals:
            reasons = [Reason("ZONE", f"{z.code}: {text}") for z, text, _ in outcome.refusals]
            reasons += [p for _, _, problems in outcome.refusals for p in problems]
            credit = all(any(p.rule == "CREDIT" for p in ps) for _, _, ps in outcome.refusals)
            raise Refusal(402 if credit else 422, "refused-everywhere", "No zone can launch this alert.", reasons)
        names = decision.targets.names()
        raise Refusal(
            422,
            "nobody-concerned",
            "Nobody is concerned in any zone of this account.",
            [Reason("G-NONE", f"Nobody was found for {name}.", value=name) for name in names],
        )

    # ---- planning ------------------------------------------------------------------------------------------

    async def _thread(self, alert: Alert) -> Thread:
        if alert.msg_type not in (MsgType.UPDATE, MsgType.CANCEL):
            return Thread()
        async with self.database.read() as conn:
            named = [(ref, await filed_alerts.by_key(conn, ref.sender, ref.identifier)) for ref in alert.references]
            # A parked alert is not known yet: it waits itself.
            named = [(ref, None if f is not None and f.state == "parked" else f) for ref, f in named]
            threads = {f.thread_id for _, f in named if f is not None and f.thread_id is not None}
            members = [a for t in sorted(threads) for a in await filed_alerts.thread(conn, t)]
        return Thread(tuple(named), tuple(members))

    async def _plan(self, caller: Caller, alert: Alert, decision: Decision, thread: Thread) -> _Outcome:
        outcome = _Outcome()
        if decision.act not in (Act.LAUNCH, Act.CANCEL):
            return outcome
        async with self.database.read() as conn:
            zones = await directory.zones(conn)
            earlier = await campaigns.of_thread(conn, decision.thread_id) if decision.thread_id is not None else []
        mine = [z for z in zones if caller.may_in(Action.SUBMIT, z.id)]
        ended = CampaignState.CANCELLED if decision.act is Act.CANCEL else CampaignState.SUPERSEDED
        outcome.ends = [(c.id, str(ended)) for c in earlier if c.state in _OPEN_STATES and c.purpose != "cancel"]
        if decision.act is Act.CANCEL:
            await self._plan_cancels(caller, alert, decision, mine, earlier, outcome)
        else:
            await self._plan_launch(caller, alert, decision, mine, earlier, outcome)
        return outcome

    async def _plan_launch(
        self,
        caller: Caller,
        alert: Alert,
        decision: Decision,
        zones: Sequence[ZoneRow],
        earlier: Sequence[Campaign],
        outcome: _Outcome,
    ) -> None:
        assert decision.kind is not None
        wish = Wish(
            caller=caller,
            action=Action.SUBMIT,
            purpose="update" if alert.msg_type is MsgType.UPDATE else "alert",
            title=_title(alert),
            kind=decision.kind,
            mode=decision.mode,
            channels=decision.channels,
            ground=await asyncio.to_thread(survey, decision.targets),
            starts_ms=decision.starts_ms,
            expires_ms=decision.expires_ms,
            at_ms=self._now_ms(),
        )
        taken: Taken = {}
        written: dict[Style, Texts] = {}
        for zone in zones:
            mine = [c for c in earlier if c.zone_id == zone.id and c.purpose != "cancel"]
            try:
                plan = await self._plan_zone(wish, alert, zone, mine, taken, written)
            except NobodyHere as nobody:
                text = f"{zone.code}: {nobody.reason}"
                outcome.nobody.append(Reason("G-NONE", text, level="information", value=zone.code))
            except ZoneRefused as refused:
                outcome.refusals.append((zone, refused.reason, refused.problems))
            else:
                outcome.plans.append(plan)
                outcome.previews.append(await self._with_balance(plan))
                _take(taken, plan)

    async def _plan_zone(
        self,
        wish: Wish,
        alert: Alert,
        zone: ZoneRow,
        earlier: Sequence[Campaign],
        taken: Taken,
        written: dict[Style, Texts],
    ) -> ZonePlan:
        policy = read_policy(zone.policy)
        asked, _ = self.planner.channels(wish, zone, policy)
        style = style_of(zone, policy, wish.kind)
        if style not in written:
            written[style] = alert_texts(alert, tuple(c for c in Channel if c in asked), style)
        plan = await self.planner.plan(wish, zone, written[style], taken, await self._told(earlier))
        replaces = tuple(c.id for c in earlier)
        campaign = msgspec.structs.replace(plan.campaign, public_id=new_public_id(), replaces=replaces)
        return ZonePlan(plan.zone, campaign, plan.preview, plan.audience)

    async def _told(self, earlier: Sequence[Campaign]) -> npt.NDArray[np.int64] | None:
        """Everyone included in the thread so far: an Update reaches them and whoever joined since."""
        found = []
        for c in earlier:
            async with self.database.read() as conn:
                blob = await campaigns.audience_blob(conn, c.id)
            if blob is not None:
                found.append((await asyncio.to_thread(decode, blob)).members)
        return np.unique(np.concatenate(found)) if found else None

    async def _with_balance(self, plan: ZonePlan) -> ZonePreview:
        async with self.database.read() as conn:
            balance = await ledger.balance_millieuro(conn, plan.zone.id, self._now_ms())
        return msgspec.structs.replace(plan.preview, balance_millieuro=balance)

    async def _plan_cancels(
        self,
        caller: Caller,
        alert: Alert,
        decision: Decision,
        zones: Sequence[ZoneRow],
        earlier: Sequence[Campaign],
        outcome: _Outcome,
    ) -> None:
        for zone in zones:
            originals = [c for c in earlier if c.zone_id == zone.id and c.purpose != "cancel"]
            if not originals:
                continue
            try:
                async with self.database.read() as conn:
                    new, preview = await cancels.plan(
                        conn, caller, alert, decision, zone, originals, self.planner.weight, self._now_ms()
                    )
            except ZoneRefused as refused:
                outcome.refusals.append((zone, refused.reason, refused.problems))
            else:
                outcome.cancels.append(msgspec.structs.replace(new, public_id=new_public_id()))
                outcome.previews.append(preview)

    # ---- parked --------------------------------------------------------------------------------------------

    async def retry_parked(self, filed: Filed, caller: Caller, park_ms: int) -> bool:
        """Launch a parked alert whose awaited reference has come; give it up when it has waited too long."""
        alert, _ = await self._read(filed.document)
        thread = await self._thread(alert)
        decision = decide(alert, caller, thread, self._now_ms())
        if decision.act is Act.PARK:
            if self._now_ms() - filed.received_ms < park_ms:
                return False
            note = "What it names never arrived."
            await self.database.write(lambda tx: filed_alerts.set_state(tx, filed.id, "failed", note))
            log.error("parked alert given up", extra={"action": "parked-given-up", "alert": filed.public_id})
            return True
        outcome = await self._plan(caller, alert, decision, thread)
        self._require_somebody(decision, outcome)
        new = _new_alert(alert, caller, decision, filed.document, filed.sha256)
        # Same resource: whoever was given its Location finds what became of it there.
        new = msgspec.structs.replace(new, public_id=filed.public_id)
        await self._write(caller, decision, outcome, new, parked_id=filed.id)
        self.wake()
        return True

    # ---- reading -------------------------------------------------------------------------------------------

    async def read(self, caller: Caller, public_id: str) -> AlertAnswer:
        return await self._answer(await self._visible(caller, public_id))

    async def find(self, caller: Caller, sender: str, identifier: str) -> AlertAnswer:
        async with self.database.read() as conn:
            filed = await filed_alerts.by_key(conn, sender, identifier)
        return await self._answer(await self._visible(caller, filed.public_id if filed else ""))

    async def document(self, caller: Caller, public_id: str) -> bytes:
        return (await self._visible(caller, public_id)).document

    async def _visible(self, caller: Caller, public_id: str) -> Filed:
        """Its own account's, or one that touches a zone it may read; else it does not exist for this caller."""
        async with self.database.read() as conn:
            filed = await filed_alerts.by_public_id(conn, public_id)
            touched = await filed_alerts.zones(conn, filed.id) if filed else []
        if filed is not None and (
            filed.account_id == caller.account_id or any(caller.holds_all_of(Action.READ, z.zone_id) for z in touched)
        ):
            return filed
        raise Refusal(404, "no-such-alert", "There is no such alert.")

    async def _answer(self, filed: Filed) -> AlertAnswer:
        async with self.database.read() as conn:
            touched = await filed_alerts.zones(conn, filed.id)
        return AlertAnswer(
            id=filed.public_id,
            sender=filed.sender,
            identifier=filed.identifier,
            sent_ms=filed.sent_ms,
            status=filed.status,
            msg_type=filed.msg_type,
            scope=filed.scope,
            state=filed.state,
            received_ms=filed.received_ms,
            note=filed.note,
            expires_ms=filed.expires_ms,
            zones=tuple(ZoneResult(z.zone, z.campaign, z.refusal) for z in touched),
        )

    def _now_ms(self) -> int:
        return self.database.clock.now_ms()


def new_public_id() -> str:
    """80 random bits: an id in a URL tells nothing and cannot be guessed."""
    return secrets.token_hex(10)


def _reason(p: Problem) -> Reason:
    return Reason(
        rule=p.rule, text=p.text, level=p.level, path=p.path, line=p.line or 0, section=p.section, value=p.value,
        remedy=p.remedy,
    )  # fmt: skip


def _title(alert: Alert) -> str:
    return next((i.headline or i.event for i in alert.infos), alert.identifier)


def _take(taken: Taken, plan: ZonePlan) -> None:
    for channel in plan.audience.channels:
        mine = plan.audience.addresses(channel)
        taken[channel] = np.concatenate([taken[channel], mine]) if channel in taken else mine


_STATES = {
    Act.LAUNCH: "active",
    Act.CANCEL: "active",
    Act.LOG: "logged",
    Act.EXPIRED: "expired",
    Act.PARK: "parked",
}


def _new_alert(alert: Alert, caller: Caller, decision: Decision, document: bytes, digest: str) -> NewAlert:
    return NewAlert(
        public_id=new_public_id(),
        sender=alert.sender,
        identifier=alert.identifier,
        sent_ms=milliseconds(alert.sent),
        status=alert.status,
        msg_type=alert.msg_type,
        scope=alert.scope,
        document=document,
        sha256=digest,
        account_id=caller.account_id,
        expires_ms=decision.expires_ms or None,
        thread_id=decision.thread_id,
        state="cancelled" if decision.act is Act.CANCEL else _STATES[decision.act],
        note=decision.note,
        references=tuple((r.sender, r.identifier, milliseconds(r.sent)) for r in alert.references),
    )


def _launch_of(caller: Caller, decision: Decision, outcome: _Outcome, new: NewAlert) -> Launch:
    launching = decision.act in (Act.LAUNCH, Act.CANCEL)
    ended = "cancelled" if decision.act is Act.CANCEL else "superseded"
    return Launch(
        account_id=caller.account_id,
        alert=new,
        campaigns=tuple(p.campaign for p in outcome.plans) + tuple(outcome.cancels),
        refusals=tuple(ZoneRefusal(z.id, text) for z, text, _ in outcome.refusals),
        ends=tuple(outcome.ends),
        alert_ends=tuple((alert_id, ended) for alert_id in decision.follows) if launching else (),
        publish=decision.publish,
        publish_until_ms=decision.expires_ms,
    )


async def _replace_parked(tx: Transaction, everything: Launch, parked_id: int | None) -> object:
    if parked_id is not None:
        await filed_alerts.remove_parked(tx, parked_id)
    return await launch(tx, everything)
