"""The desk for CAP alerts: read, decide, plan zone by zone, launch in one transaction, answer."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

import cap
from cap import Alert, MsgType, Problem
from cap.thread import Step, repeat
from gateway.access.caller import Action, Caller
from gateway.campaigns.answers import AlertAnswer, Preview, ZonePreview, ZoneResult
from gateway.campaigns.identity import new_public_id
from gateway.campaigns.intake import Act, Decision, Thread, decide, milliseconds
from gateway.campaigns.zones import Outcome, ZonePlanning
from gateway.errors import Reason, Refusal
from gateway.templates.compose import MAPPING
from store import alerts as filed_alerts
from store.alerts import Alert as Filed
from store.database import Database
from store.errors import Conflict, CreditExhausted, StaleThread
from store.launching import Launch, launch
from store.launching import Refusal as ZoneRefusal
from store.records import NewAlert
from store.transaction import Transaction

log = logging.getLogger(__name__)

BIG_BYTES = 50_000
"""Larger documents are read in a thread: the loop has other people's alerts to answer."""
_TRIES = 4


@dataclass(slots=True)
class AlertDesk:
    database: Database
    zones: ZonePlanning
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
            except (Conflict, StaleThread, CreditExhausted):
                # What was decided on has changed meanwhile: decide again.
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
        outcome = await self.zones.plan(caller, alert, decision)
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
        if repeat(filed.sha256, digest) is not Step.SAME:
            raise Refusal(
                409, "identifier-taken", f"{alert.sender} has sent other words under {alert.identifier} before."
            )
        return await self._answer(filed, caller)

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
        outcome = await self.zones.plan(caller, alert, decision)
        self._require_somebody(decision, outcome)
        new = _new_alert(alert, caller, decision, document, digest)
        await self._write(caller, decision, outcome, new)
        return new.public_id

    async def _write(
        self, caller: Caller, decision: Decision, outcome: Outcome, new: NewAlert, parked_id: int | None = None
    ) -> None:
        """One transaction for all zones. Raises Conflict, StaleThread, CreditExhausted: nothing is kept then."""
        everything = _launch_of(caller, decision, outcome, new)
        await self.database.write(lambda tx: _replace_parked(tx, everything, parked_id))

    def _require_somebody(self, decision: Decision, outcome: Outcome) -> None:
        if decision.act is not Act.LAUNCH or outcome.plans:
            return
        # An Update that every zone refuses must not take the place of what it updates, in the feed either.
        if decision.publish and not (decision.follows and outcome.refusals):
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
        outcome = await self.zones.plan(caller, alert, decision)
        self._require_somebody(decision, outcome)
        new = _new_alert(alert, caller, decision, filed.document, filed.sha256)
        # Same resource: whoever was given its Location finds what became of it there.
        new = msgspec.structs.replace(new, public_id=filed.public_id)
        try:
            await self._write(caller, decision, outcome, new, parked_id=filed.id)
        except (StaleThread, CreditExhausted):
            return False  # the next look decides again
        self.wake()
        return True

    # ---- reading -------------------------------------------------------------------------------------------

    async def read(self, caller: Caller, public_id: str) -> AlertAnswer:
        return await self._answer(await self._visible(caller, public_id), caller)

    async def find(self, caller: Caller, sender: str, identifier: str) -> AlertAnswer:
        async with self.database.read() as conn:
            filed = await filed_alerts.by_key(conn, sender, identifier)
        return await self._answer(await self._visible(caller, filed.public_id if filed else ""), caller)

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

    async def _answer(self, filed: Filed, caller: Caller) -> AlertAnswer:
        """With the zones that are this caller's business: all of them for who posted it."""
        async with self.database.read() as conn:
            touched = await filed_alerts.zones(conn, filed.id)
        if filed.account_id != caller.account_id:
            touched = [z for z in touched if caller.holds_all_of(Action.READ, z.zone_id)]
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


def _reason(p: Problem) -> Reason:
    return Reason(
        rule=p.rule, text=p.text, level=p.level, path=p.path, line=p.line or 0, section=p.section, value=p.value,
        remedy=p.remedy,
    )  # fmt: skip


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


def _launch_of(caller: Caller, decision: Decision, outcome: Outcome, new: NewAlert) -> Launch:
    launching = decision.act in (Act.LAUNCH, Act.CANCEL)
    ended = "cancelled" if decision.act is Act.CANCEL else "superseded"
    return Launch(
        account_id=caller.account_id,
        alert=new,
        campaigns=tuple(p.campaign for p in outcome.plans) + tuple(outcome.cancels),
        refusals=tuple(ZoneRefusal(z.id, text) for z, text, _ in outcome.refusals),
        ends=outcome.ends(decision.act is Act.CANCEL),
        alert_ends=tuple((alert_id, ended) for alert_id in decision.follows) if launching else (),
        publish=decision.publish,
        publish_until_ms=decision.expires_ms,
    )


async def _replace_parked(tx: Transaction, everything: Launch, parked_id: int | None) -> object:
    if parked_id is not None:
        await filed_alerts.remove_parked(tx, parked_id)
    return await launch(tx, everything)
