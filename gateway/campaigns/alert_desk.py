"""The desk for CAP alerts: read, decide, plan zone by zone, launch in one transaction, answer."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from cap import DEFAULT_LIMITS, Alert, Limits, MsgType
from cap.thread import ThreadStep, repeat
from gateway.access.rights import Caller
from gateway.campaigns import rights_over_campaigns
from gateway.campaigns.admission import Shared, Turns
from gateway.campaigns.alert_state import UNKNOWN, answer, seen, signature, warnings, with_reasons
from gateway.campaigns.announcement import Announcement, of_alert
from gateway.campaigns.answers import AlertAnswer, Preview, ZonePreview
from gateway.campaigns.intake import Act, Decision, Thread, decide, milliseconds, not_yours, says_kind
from gateway.campaigns.limits import require_countable
from gateway.campaigns.public_ids import new_public_id
from gateway.campaigns.publication import Publication
from gateway.campaigns.refused import RefusedDocuments
from gateway.campaigns.request_body import Received, located, receive, reread
from gateway.campaigns.zones import ZoneOutcomes, ZonePlanning, launch_of
from gateway.errors import Reason, Refusal
from gateway.kinds import Kind
from gateway.settings import LimitSettings
from gateway.texts.compose import MAPPING
from store.campaigns import alerts as filed_alerts
from store.campaigns import reading as campaigns
from store.campaigns import threads
from store.campaigns.alerts import FiledAlert as Filed
from store.campaigns.findings import AlertFinding, envelope_of, file_finding, finding_of
from store.campaigns.launching import Launch, launch
from store.campaigns.reading import Campaign
from store.engine.database import Database
from store.engine.transaction import Connection, Transaction
from store.engine.turns import Turn
from store.errors import Conflict, CreditExhausted, StaleThread
from store.outbox.records import NewAlert
from store.states import CampaignState

log = logging.getLogger(__name__)

BIG_BYTES = 50_000
"""Larger documents are read and verified in a thread: the loop has other people's alerts to answer."""
BIG_POINTS = 5_000
_AT_ONCE = 4
"""Alerts that are decided on and filed at once. In a storm the loop has lanes to serve, too: with all of it in hand at
once its turns became so long that nothing left before the storm was over."""
_TRIES = 4


@dataclass(slots=True)
class AlertDesk:
    database: Database
    zones: ZonePlanning
    room_on_disk: Callable[[], bool]
    wake: Callable[[], None]
    """Something was launched: expansion and preparation look at once."""
    most_parked: int = 50
    """Alerts of one account that may wait for others at once."""
    limits: LimitSettings = field(default_factory=LimitSettings)
    idle: Turns = field(default_factory=Turns)
    """Of dry runs."""
    reading: Limits = DEFAULT_LIMITS
    """Of one CAP document."""
    refused: RefusedDocuments | None = None
    """Where refused documents are kept."""
    publication: Publication = field(init=False)
    _big: Shared = field(default_factory=lambda: Shared(at_once=3, per_account=2))
    """For reading documents that take a thread for some time: alerts that people write are none of them."""
    _turns: Shared = field(default_factory=lambda: Shared(_AT_ONCE, _AT_ONCE - 1))
    _cancels: Shared = field(default_factory=lambda: Shared(_AT_ONCE, _AT_ONCE - 1))
    """Turns of their own: what ends a wrong alert takes a moment, and waits for nobody whose audience takes seconds."""

    def __post_init__(self) -> None:
        self.publication = Publication(self.database)

    # ---- posting -------------------------------------------------------------------------------------------

    async def submit(self, caller: Caller, document: bytes) -> AlertAnswer:
        """Takes a document. Raises Refusal; nothing is filed then, and what the document deserves it for is noted."""
        try:
            return await self._submitted(caller, document)
        except Refusal as refusal:
            if self.refused is not None:
                self.refused.note(caller, document, refusal)
            raise

    async def _submitted(self, caller: Caller, document: bytes) -> AlertAnswer:
        received = await self._receive(caller, document)
        cancels = received.alert.msg_type is MsgType.CANCEL
        async with (self._cancels if cancels else self._turns).of(caller.account_id):
            return await self._settled(caller, received)

    async def _settled(self, caller: Caller, received: Received) -> AlertAnswer:
        for _ in range(_TRIES):
            known = await self._known(caller, received)
            if known is not None:
                return known
            if not self.room_on_disk():
                raise Refusal(503, "disk-full", "Too little disk space is left to accept anything.")
            try:
                public_id = await self._launch(caller, received)
            except (Conflict, StaleThread, CreditExhausted):
                # What was decided on has changed meanwhile: decide again.
                continue
            self.wake()
            return msgspec.structs.replace(await self._filed_by(caller, public_id), created=True)
        raise Refusal(503, "busy", "Its thread keeps changing; try again.")

    async def validate(self, caller: Caller, document: bytes) -> Preview:
        """What `submit` would do, without doing it. Raises Refusal."""
        async with self.idle.of(caller.account_id):
            return await self._tried(caller, document)

    async def _tried(self, caller: Caller, document: bytes) -> Preview:
        received = await self._receive(caller, document)
        if received.refusal is not None:
            raise received.refusal
        decision = await self._decided(caller, received)
        _, outcome = await self._planned(caller, received.alert, decision, dry=True)
        known = await self._said_before(received)
        decision = _told(decision, outcome)
        zones = outcome.previews + [ZonePreview(zone=z.code, refusal=r, problems=p) for z, r, p in outcome.refusals]
        return Preview(
            action=decision.act,
            version=received.finding.version,
            signature=signature(received.finding),
            zones=tuple(zones),
            price_millieuro=sum(z.price_millieuro for z in zones),
            problems=known + received.warnings + decision.problems + tuple(outcome.nobody),
            mapping=MAPPING,
        )

    async def _receive(self, caller: Caller, document: bytes) -> Received:
        at = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        if len(document) > BIG_BYTES or document.count(b",") > BIG_POINTS:
            async with self._big.of(caller.account_id):
                return await asyncio.to_thread(receive, document, caller, at, self.reading)
        return receive(document, caller, at, self.reading)

    async def _decided(self, caller: Caller, received: Received) -> Decision:
        """Raises Refusal, with the lines of what is amiss and all that was found before."""
        try:
            thread = await self._thread(caller, received.alert)
            return await self._authorised(caller, decide(received.alert, caller, thread, self._now_ms()), thread)
        except Refusal as refusal:
            raise _located(refusal, received) from refusal

    async def _authorised(self, caller: Caller, decision: Decision, thread: Thread) -> Decision:
        """With what the account may not publish left out of the feed. Raises Refusal for what it may not end."""
        if decision.act is Act.LAUNCH or decision.publish:  # else nobody is looked up
            require_countable(decision.targets, self.limits)
        earlier: list[Campaign] = []
        if decision.follows:
            async with self.database.read() as conn:
                earlier = await campaigns.of_thread(conn, *(t.id for t in decision.threads))
                sent = [c for c in earlier if c.purpose != "cancel" and await _has_deliveries(conn, c)]
            await self._require_ends(caller, decision, thread, sent)
        if not decision.publish:
            return decision
        kind = decision.kind or (Kind(earlier[-1].kind) if earlier else Kind.ALERT)
        found = await self.publication.verdict(caller, kind, decision.targets)
        return msgspec.structs.replace(decision, publish=found.may, problems=(*decision.problems, *found.problems))

    async def _require_ends(self, caller: Caller, decision: Decision, thread: Thread, sent: Sequence[Campaign]) -> None:
        """Whoever ends a thread must have the right to end all that was sent of it, in every zone, kind, channel and
        mode, its own sender too: a Cancel that leaves one zone sending would be shown as done. An account may have lost
        a right since, and one sender's name may be used by several accounts. Raises Refusal 403."""
        beyond = {c.zone_code for c in sent if not rights_over_campaigns.ends(caller, c)}
        if beyond:
            text = f"It was sent in zones, or in a way, in which this account may not: {', '.join(sorted(beyond))}."
            raise _not_to_end(text)
        ended = [filed for filed in thread.members if filed.id in decision.follows]
        foreign = not sent and any(filed.account_id != caller.account_id for filed in ended)
        # Then it stands in the feed alone.
        if foreign and not await self.publication.may_somewhere(caller, decision.kind or Kind.ALERT):
            raise _not_to_end("It was published by another account, and this one may not publish.")

    async def _known(self, caller: Caller, received: Received) -> AlertAnswer | None:
        """The first answer to the same bytes, whatever has become of certificates since. Raises Refusal for others."""
        alert = received.alert
        if alert.sender not in caller.senders:
            # Before anything is looked up: nobody learns so whether another sender has used an identifier.
            raise _located(not_yours(alert.sender), received)
        async with self.database.read() as conn:
            filed = await filed_alerts.by_key(conn, alert.sender, alert.identifier)
        same = filed is not None and repeat(filed.sha256, received.digest) is ThreadStep.SAME
        if received.refusal is not None and not same:
            raise received.refusal
        if filed is None:
            return None
        if not same:
            title = f"{alert.sender} has sent other words under {alert.identifier} before."
            remedy = "Give every message an identifier of its own."
            reason = Reason("C-DUP", title, path="/alert/identifier", value=alert.identifier, remedy=remedy)
            raise Refusal(
                409, "identifier-taken", title, (*located([reason], received.opened), *received.warnings)
            )  # fmt: skip
        async with self.database.read() as conn:
            return await answer(conn, filed, caller)

    async def _said_before(self, received: Received) -> tuple[Reason, ...]:
        async with self.database.read() as conn:
            filed = await filed_alerts.by_key(conn, received.alert.sender, received.alert.identifier)
        if filed is None:
            return ()
        if filed.sha256 == received.digest:
            return (Reason("C-DUP", "It was posted before: posting it again sends nothing.", level="information"),)
        return (Reason("C-DUP", "Other words were posted under this identifier: posting it is refused with 409."),)

    async def _launch(self, caller: Caller, received: Received) -> str:
        decision = await self._decided(caller, received)
        return await self._take(caller, decision, IncomingAlert.posted(received))

    async def _take(self, caller: Caller, decision: Decision, incoming: "IncomingAlert") -> str:
        """Plan what was decided and file it, whether it was posted now or had waited. Returns its public id."""
        announcement, outcome = await self._planned(caller, incoming.alert, decision)
        self._require_somebody(decision, outcome)
        decision = _told(decision, outcome)
        new = _new_alert(caller, decision, incoming)
        finding = with_reasons(incoming.finding, (*incoming.warnings, *decision.problems), outcome)
        await self._write(caller, decision, _launch_of(caller, decision, announcement, outcome, new), finding, incoming)
        return new.public_id

    async def _write(
        self,
        caller: Caller,
        decision: Decision,
        everything: Launch,
        finding: AlertFinding,
        incoming: "IncomingAlert",
    ) -> None:
        """One transaction for all zones. Raises Conflict, StaleThread, CreditExhausted: nothing is kept then."""

        async def work(tx: Transaction) -> None:
            if decision.act is Act.PARK:
                await self._require_room_to_wait(tx, caller)
            await _file(tx, everything, finding, incoming)

        await self.database.write(work, turn=Turn.FIRST)

    async def _require_room_to_wait(self, tx: Transaction, caller: Caller) -> None:
        """Each alert that waits is looked at every second: one account must not fill that second for all."""
        waiting = await filed_alerts.parked_of(tx.conn, caller.account_id)
        if waiting >= self.most_parked:
            title = f"{waiting} messages of this account wait for alerts that have not arrived: no more may wait."
            raise Refusal(429, "too-many-parked", title, detail="Send what they refer to, or send this again later.")

    def _require_somebody(self, decision: Decision, outcome: ZoneOutcomes) -> None:
        if decision.act is not Act.LAUNCH or outcome.plans:
            return
        # An Update that every zone refuses must not take the place of what it updates, in the feed either.
        if decision.publish and not (decision.follows and outcome.refusals):
            return
        if outcome.refusals:
            reasons = [Reason("ZONE", f"{z.code}: {text}") for z, text, _ in outcome.refusals]
            reasons += [p for _, _, problems in outcome.refusals for p in problems]
            reasons += [p for p in decision.problems if p.rule.startswith("P-")]
            status = next((s for rule, s in _STATUSES.items() if outcome.all_for(rule)), 422)
            raise Refusal(status, "refused-everywhere", "No zone can launch this alert.", reasons)
        names = decision.targets.names()
        raise Refusal(
            422,
            "nobody-concerned",
            "Nobody is concerned in any zone of this account.",
            [
                *(Reason("G-NONE", f"Nobody was found for {name}.", value=name) for name in names),
                *outcome.nobody,
                *(p for p in decision.problems if p.rule.startswith("P-")),
            ],
        )

    # ---- planning ------------------------------------------------------------------------------------------

    async def _thread(self, caller: Caller, alert: Alert) -> Thread:
        if alert.msg_type not in (MsgType.UPDATE, MsgType.CANCEL):
            return Thread()
        async with self.database.read() as conn:
            named = [(ref, await filed_alerts.by_key(conn, ref.sender, ref.identifier)) for ref in alert.references]
            # A parked alert is not known yet: it waits itself.
            named = [(ref, None if f is not None and f.state == "parked" else f) for ref, f in named]
            ids = sorted({f.thread_id for _, f in named if f is not None})
            members = await filed_alerts.thread(conn, *ids) if ids else []
            kind = None
            if alert.msg_type is MsgType.UPDATE and says_kind(alert, caller.kind_rules) is None:
                kind = await _kind_of(conn, members, caller)
            return Thread(tuple(named), tuple(members), await threads.seen(conn, ids), kind)

    async def _planned(
        self, caller: Caller, alert: Alert, decision: Decision, *, dry: bool = False
    ) -> tuple[Announcement | None, ZoneOutcomes]:
        """None is said, and nothing planned, of what is only filed; of an Update that came too late, or says nothing,
        what it ends."""
        if decision.act not in _SAID and decision.follows:
            async with self.database.read() as conn:
                earlier = await campaigns.of_thread(conn, *(t.id for t in decision.threads))
            return None, ZoneOutcomes(stops=[c.id for c in earlier if c.purpose != "cancel"])
        if decision.act not in _SAID:
            return None, ZoneOutcomes()
        announcement = of_alert(alert, decision)
        return announcement, await self.zones.plan(caller, announcement, dry=dry)

    # ---- parked --------------------------------------------------------------------------------------------

    async def retry_parked(self, filed: Filed, caller: Caller, park_ms: int) -> bool:
        """Launch a parked alert whose awaited reference has come; give it up when it has waited too long."""
        alert = reread(filed.document)
        thread = await self._thread(caller, alert)
        decision = decide(alert, caller, thread, self._now_ms())
        if decision.act is Act.PARK:
            if self._now_ms() - filed.received_ms < park_ms:
                return False
            note = "What it names never arrived."
            await self.database.write(lambda tx: filed_alerts.set_state(tx, filed.id, "failed", note))
            log.error("parked alert given up", extra={"action": "parked-given-up", "alert": filed.public_id})
            return True
        decision = await self._authorised(caller, decision, thread)
        async with self.database.read() as conn:
            found = await finding_of(conn, filed.id) or UNKNOWN
            envelope = await envelope_of(conn, filed.id)
        try:
            await self._take(caller, decision, IncomingAlert.parked(filed, alert, found, envelope))
        except (StaleThread, CreditExhausted):
            return False  # the next look decides again
        self.wake()
        return True

    # ---- reading -------------------------------------------------------------------------------------------

    async def read(self, caller: Caller, public_id: str) -> AlertAnswer:
        filed = await self._visible(caller, public_id)
        async with self.database.read() as conn:
            return await answer(conn, filed, caller)

    async def find(self, caller: Caller, sender: str, identifier: str) -> AlertAnswer:
        async with self.database.read() as conn:
            filed = await filed_alerts.by_key(conn, sender, identifier)
        return await self.read(caller, filed.public_id if filed else "")

    async def _filed_by(self, caller: Caller, public_id: str) -> AlertAnswer:
        """What this caller has filed a moment ago."""
        async with self.database.read() as conn:
            filed = await filed_alerts.by_public_id(conn, public_id)
            assert filed is not None, "alerts are kept for ever"
            return await answer(conn, filed, caller)

    async def document(self, caller: Caller, public_id: str) -> bytes:
        return (await self._visible(caller, public_id)).document

    async def envelope(self, caller: Caller, public_id: str) -> bytes:
        """What the alert came in, byte for byte. Raises Refusal 404 for one that came by itself."""
        filed = await self._visible(caller, public_id)
        async with self.database.read() as conn:
            found = await envelope_of(conn, filed.id)
        if found is None:
            raise Refusal(404, "no-envelope", "This alert came by itself, without an envelope.")
        return found

    async def _visible(self, caller: Caller, public_id: str) -> Filed:
        """Its own account's, or one of whose campaigns it may see one; else it does not exist for this caller."""
        async with self.database.read() as conn:
            filed = await filed_alerts.by_public_id(conn, public_id)
            if filed is not None and (filed.account_id == caller.account_id or await seen(conn, filed, caller)):
                return filed
        raise Refusal(404, "no-such-alert", "There is no such alert.")

    def _now_ms(self) -> int:
        return self.database.clock.now_ms()


# ---- what is filed --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingAlert:
    """A document on its way into the files: posted now, or back after it has waited for what it names."""

    alert: Alert
    document: bytes
    digest: str
    public_id: str
    finding: AlertFinding
    """What its reading found, before anything was decided."""
    warnings: tuple[Reason, ...]
    envelope: bytes | None
    """What was posted, where that was more than the document."""
    parked_id: int | None = None
    """The row that it had while it waited."""

    @classmethod
    def posted(cls, received: Received) -> "IncomingAlert":
        return cls(
            alert=received.alert,
            document=received.opened.document,
            digest=received.digest,
            public_id=new_public_id(),
            finding=received.finding,
            warnings=tuple(received.warnings),
            envelope=None if received.opened.envelope is None else received.body,
        )

    @classmethod
    def parked(cls, filed: Filed, alert: Alert, finding: AlertFinding, envelope: bytes | None) -> "IncomingAlert":
        return cls(
            alert=alert,
            document=filed.document,
            digest=filed.sha256,
            public_id=filed.public_id,  # whoever was given its Location finds what became of it there
            finding=finding,
            # What it waited for has come.
            warnings=tuple(reason for reason in warnings(finding) if reason.rule != "C-KNOWN"),
            envelope=envelope,
            parked_id=filed.id,
        )


_GOING_ON = frozenset({str(CampaignState.PREPARING), str(CampaignState.SCHEDULED), str(CampaignState.RUNNING)})

_SAID = (Act.LAUNCH, Act.CANCEL)

_STATES = {
    Act.LAUNCH: "active",
    Act.CANCEL: "active",
    Act.LOG: "logged",
    Act.EXPIRED: "expired",
    Act.PARK: "parked",
}


async def _kind_of(conn: Connection, members: Sequence[Filed], caller: Caller) -> Kind | None:
    """What these alerts were sent as, the last of them first; of what only stands in the feed, what it says itself."""
    if not members:
        return None
    sent = [
        c
        for c in await campaigns.of_thread(conn, *{f.thread_id for f in members if f.thread_id is not None})
        if c.purpose != "cancel"
    ]
    if sent:
        return Kind(sent[-1].kind)
    kinds = (says_kind(reread(filed.document), caller.kind_rules) for filed in reversed(members[-_MOST_REREAD:]))
    return next((kind for kind in kinds if kind is not None), None)


_MOST_REREAD = 20


async def _has_deliveries(conn: Connection, campaign: Campaign) -> bool:
    """Whether it is sent to anybody, or was; of one that is still to get its audience nobody knows."""
    return campaign.state in _GOING_ON or any(c.total for c in await campaigns.counts(conn, campaign.id))


PUBLISHED_ONLY = "Published; nobody was told."
ENDED_ONLY = "Ended; nobody was told."
_STATUSES = {"CREDIT": 402, rights_over_campaigns.NO_RIGHT: 403, rights_over_campaigns.NO_COURSE: 403}
"""Of an alert that every zone refuses for this rule."""


def _located(refusal: Refusal, received: Received) -> Refusal:
    """With the lines of what is amiss, and all that was found before."""
    reasons = (*located(refusal.reasons, received.opened), *received.warnings)
    return Refusal(refusal.status, refusal.code, refusal.title, reasons, refusal.detail)


def _not_to_end(text: str) -> Refusal:
    remedy = "Let an account change it that may act in all of them."
    return Refusal(403, "not-your-alert", text, (Reason("C-AUTH", text, path="/alert/references", remedy=remedy),))


def _told(decision: Decision, outcome: ZoneOutcomes) -> Decision:
    """Where nobody is told: a sender must not take the answer for more."""
    if decision.act is Act.CANCEL and outcome.refusals:
        note = decision.note or ("" if outcome.cancels else ENDED_ONLY)
        why = [problem for _, _, problems in outcome.refusals for problem in problems]
        return msgspec.structs.replace(decision, note=note, problems=(*decision.problems, *why))
    if decision.act is not Act.LAUNCH or outcome.plans or not decision.publish:
        return decision
    text = "It stands in the public feed, and no zone has sent it to anybody."
    why = [problem for _, _, problems in outcome.refusals for problem in problems]
    told = Reason("NOBODY-TOLD", text, level="warning", remedy="See the reasons of each zone, and send it again.")
    problems = (*decision.problems, told, *outcome.nobody, *why)
    return msgspec.structs.replace(decision, note=decision.note or PUBLISHED_ONLY, problems=problems)


def _new_alert(caller: Caller, decision: Decision, incoming: IncomingAlert) -> NewAlert:
    alert = incoming.alert
    return NewAlert(
        public_id=incoming.public_id,
        sender=alert.sender,
        identifier=alert.identifier,
        sent_ms=milliseconds(alert.sent),
        status=alert.status,
        msg_type=alert.msg_type,
        scope=alert.scope,
        document=incoming.document,
        sha256=incoming.digest,
        account_id=caller.account_id,
        expires_ms=decision.expires_ms or None,
        thread_id=None,  # its launch knows
        state="cancelled" if decision.act is Act.CANCEL else _STATES[decision.act],
        note=decision.note,
        references=tuple((r.sender, r.identifier, milliseconds(r.sent)) for r in alert.references),
    )


def _launch_of(
    caller: Caller, decision: Decision, announcement: Announcement | None, outcome: ZoneOutcomes, new: NewAlert
) -> Launch:
    if announcement is None:
        return Launch(
            account_id=caller.account_id,
            by=caller.actor,
            alert=new,
            campaigns=(),
            threads=decision.threads,
            ends=outcome.ends(cancelled=False),
            alert_ends=tuple((alert_id, "superseded") for alert_id in decision.follows),
        )
    ended = "cancelled" if announcement.cancels else "superseded"
    return msgspec.structs.replace(
        launch_of(caller, announcement, outcome),
        alert=new,
        alert_ends=tuple((alert_id, ended) for alert_id in decision.follows),
        publish=decision.publish,
        publish_until_ms=decision.expires_ms,
    )


async def _file(tx: Transaction, everything: Launch, finding: AlertFinding, incoming: IncomingAlert) -> None:
    if incoming.parked_id is not None:
        await filed_alerts.remove_parked(tx, incoming.parked_id)
    launched = await launch(tx, everything)
    assert launched.alert_id is not None
    await file_finding(tx, launched.alert_id, finding, incoming.envelope)
