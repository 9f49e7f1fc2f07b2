"""An SMPP account as a carrier: holds its binds, sends groups, hands receipts on (`channels.contract.Carrier`).

Knows one account at one SMSC. Knows no campaign, no slot arithmetic and no other carrier.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from channels.contract import (
    CarrierState,
    CarrierStatus,
    Channel,
    Mode,
    NotSent,
    Outgoing,
    ReceiptSink,
    Told,
    Withdraw,
)
from channels.loop_share import LoopShare
from channels.sms.concatenation import References
from channels.sms.numbers import Phone, normalise_phone
from channels.sms.smpp import statuses
from channels.sms.smpp.limits import SmsLimits
from channels.sms.smpp.pdu import CommandId, DataSm, DeliverSm
from channels.sms.smpp.receipt_intake import ReceiptIntake
from channels.sms.smpp.receipts import ReceiptDialect
from channels.sms.smpp.session import BindRefused, Session
from channels.sms.smpp.settings import SmppSettings, ssl_context
from channels.sms.smpp.submitter import SmppSession, SubmissionPart, Submitter
from channels.standstill import RunningClock

logger = logging.getLogger(__name__)

_STEADY_S = 10.0
"""A bind that lived so long had not been refused in disguise: the next pause is a short one again."""


class SmppCarrier:
    """See `channels.contract.Carrier` for what it owes. One event loop; `run` must be running for `send` to send."""

    def __init__(
        self,
        name: str,
        settings: SmppSettings,
        *,
        mode: Mode = Mode.LIVE,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        generator: random.Random | None = None,
    ) -> None:
        """Raises OSError (ssl.SSLError) if the settings name unusable certificates."""
        self._name, self._settings, self._mode = name, settings, mode
        self._wall_ms = wall_ms
        self._random = generator or random.Random()
        self._ssl = ssl_context(settings)
        references = References(name, start=self._random.randrange(256))
        self._clock = RunningClock()
        self._share = LoopShare()
        self._submitter = Submitter(settings, references, wall_ms, self._note, self._clock, self._late)
        self._intake = ReceiptIntake(
            name,
            _reading(settings),
            limit=settings.receipts_waiting,
            timeout_s=settings.answer_timeout_s,
            wall_ms=wall_ms,
        )
        self._moved = asyncio.Event()
        self._running = False
        self._state = CarrierState.DOWN
        self._since_ms = wall_ms()
        self._trouble = "not connected yet"
        self._limits = SmsLimits(settings.countries, settings.default_alphabet)
        self._grievance = ""

    @property
    def name(self) -> str:
        return self._name

    @property
    def channel(self) -> Channel:
        return Channel.SMS

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def room(self) -> int:
        return self._submitter.room

    def status(self) -> CarrierStatus:
        self._note()
        return CarrierStatus(
            name=self._name,
            channel=self.channel,
            mode=self._mode,
            state=self._state,
            detail=self._detail(),
            in_flight=self._submitter.in_flight,
            window=self._settings.binds * self._settings.window,
            since_ms=self._since_ms,
            grievance=self._grievance,
        )

    @property
    def limits(self) -> SmsLimits:
        return self._limits

    def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
        if not self._running:
            for index in range(len(group)):
                told(index, NotSent("the carrier is not running", withdrawn=True))
            return lambda: None
        taken = self._submitter.take_up(group, told)
        return lambda: self._submitter.withdraw(taken)

    async def run(self, receipts: ReceiptSink) -> None:
        intake = asyncio.create_task(self._intake.work(receipts), name=f"{self._name} receipts")
        self._running = True
        try:
            with self._clock.beating():
                await self._hold()
        finally:
            self._running = False
            intake.cancel()
            await asyncio.gather(intake, return_exceptions=True)

    async def _hold(self) -> None:
        async with asyncio.TaskGroup() as binds:
            for number in range(self._settings.binds):
                for role in _ROLES[self._settings.bind_as]:
                    binds.create_task(self._keep(role, f"{role.name.lower()} {number + 1}"))

    # One bind.

    async def _keep(self, role: CommandId, label: str) -> None:
        """Connect, serve, and again, until cancelled; then drain and unbind."""
        pause_s, said = self._settings.reconnect_first_s, ""
        while True:
            reason, lived_s = await self._serve(role, label)
            if lived_s > _STEADY_S:
                pause_s = self._settings.reconnect_first_s
            if lived_s or reason != said:
                logger.warning("%s down: %s", label, reason, extra=self._extra("smpp.bind_down"))
                said = reason
            self._trouble = self._submitter.trouble = reason
            self._note()
            await asyncio.sleep(pause_s * self._random.uniform(0.75, 1.0))
            pause_s = min(pause_s * 2, self._settings.reconnect_longest_s)

    async def _serve(self, role: CommandId, label: str) -> tuple[str, float]:
        """One connection from its making to its end; returns why it ended and how many seconds it was bound."""
        session: SmppSession | None = None
        try:
            session = await self._connect(role)
            self._submitter.add(session)
            logger.info("%s up", label, extra=self._extra("smpp.bind_up"))
            self._note()
            bound = time.monotonic()
            return await asyncio.shield(session.closed), time.monotonic() - bound
        except BindRefused as exc:
            return f"bind refused: {statuses.name(exc.status)}", 0.0
        except TimeoutError:
            return "no answer to the connection or the bind", 0.0
        except OSError as exc:
            return f"no connection: {exc.strerror or exc}", 0.0
        except asyncio.CancelledError:
            if session is not None:
                await self._leave(session)
            raise
        finally:
            if session is not None and not session.closed.done():
                session.abort("stopped")

    async def _connect(self, role: CommandId) -> SmppSession:
        """A bound session. Raises OSError, TimeoutError, BindRefused."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        async with self._clock.timeout(settings.connect_timeout_s):
            _, session = await loop.create_connection(
                lambda: self._session(role),
                settings.host,
                settings.port,
                ssl=self._ssl,
                server_hostname=(settings.tls_server_name or settings.host) if self._ssl else None,
            )
        try:
            async with self._clock.timeout(settings.connect_timeout_s):
                await session.bind(
                    system_id=settings.system_id,
                    password=settings.password,
                    system_type=settings.system_type,
                )
        except BaseException:
            session.abort("not bound")
            raise
        return session

    def _session(self, role: CommandId) -> SmppSession:
        return Session[SubmissionPart](
            self,
            role=role,
            window=self._settings.window,
            answer_timeout_s=self._settings.answer_timeout_s,
            enquire_link_s=self._settings.enquire_link_s,
            timeouts_to_recycle=self._settings.timeouts_to_recycle,
            drain_timeout_s=self._settings.drain_timeout_s,
            clock=self._clock,
            late=self._submitter.late,
            share=self._share,
        )

    async def _leave(self, session: SmppSession) -> None:
        """Wait for the answers still due, then for receipts to be committed, then unbind; all of it bounded."""
        self._submitter.stop()
        try:
            async with self._clock.timeout(self._settings.drain_timeout_s):
                while self._submitter.busy(session) and not session.closed.done():
                    self._moved.clear()
                    await self._moved.wait()
                await self._intake.settled()
        except TimeoutError:
            self._trouble = "stopped with answers outstanding"
        try:
            async with self._clock.timeout(1.0):
                await session.unbind()
        except TimeoutError:
            session.abort("no answer to unbind")

    # Owner of the sessions: messages go to the submitter, receipts to their intake.

    def answered(self, unit: SubmissionPart, status: int, message_id: str, written: float) -> None:
        self._submitter.answered(unit, status, message_id, written)

    def unanswered(self, unit: SubmissionPart) -> None:
        self._submitter.unanswered(unit)

    def lost(self, session: SmppSession, units: Sequence[SubmissionPart], reason: str) -> None:
        self._submitter.lost(session, units, reason)

    def _late(self, outgoing: Outgoing, ref: str) -> None:
        self._intake.late_answer(ref, answers=outgoing.reference, destination=outgoing.address)

    def arrived(self, session: SmppSession, pdu: DeliverSm | DataSm) -> None:
        self._intake.arrived(session, pdu)

    def progressed(self) -> None:
        self._submitter.progressed()
        self._moved.set()

    # What an operator is told.

    def _note(self) -> None:
        """Keep the state and say so once when it changes."""
        state = CarrierState.DOWN
        if self._submitter.ready_sessions:
            state = CarrierState.PAUSED if self._submitter.resting else CarrierState.UP
        if state is not self._state:
            self._state, self._since_ms = state, self._wall_ms()
            logger.info("%s", self._detail(), extra=self._extra(f"smpp.{state}"))
        if self._submitter.grievance != self._grievance:
            self._grievance = self._submitter.grievance
            told = self._grievance or "the SMSC takes messages again"
            logger.warning(
                "%s", told, extra=self._extra("carrier-refuses-us" if self._grievance else "carrier-takes-again")
            )

    def _detail(self) -> str:
        ready = self._submitter.ready_sessions
        if self._state is CarrierState.DOWN:
            return self._trouble
        if self._state is CarrierState.PAUSED:
            return f"Resting: {self._grievance or 'the SMSC asked for a slower pace'}."
        if self._grievance:
            return f"On trial: {self._grievance}."
        if ready < self._settings.binds:
            return f"{ready} of {self._settings.binds} binds up; last trouble: {self._trouble}"
        return f"All {ready} binds up."

    def _extra(self, action: str) -> dict[str, object]:
        return {"action": action, "carrier": self._name}


_ROLES = {
    "transceiver": (CommandId.BIND_TRANSCEIVER,),
    "separate": (CommandId.BIND_TRANSMITTER, CommandId.BIND_RECEIVER),
}


def _reading(settings: SmppSettings) -> ReceiptDialect:
    def national(number: str) -> str | None:
        phone = normalise_phone(number, region=settings.home_region)
        return phone.e164 if isinstance(phone, Phone) else None

    return ReceiptDialect(
        base=settings.id_base_receipt,
        source=settings.source_address,
        zone=ZoneInfo(settings.receipt_zone) if settings.receipt_zone else None,
        national=national,
    )
