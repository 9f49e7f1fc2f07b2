"""One SMTP relay as a way out (`contract.Carrier`): connections held open, one mail at a time on each.

Mails that are due wait in one queue and connections pull from it, so that a slow connection holds up one mail
only. Retries nothing by itself: every answer goes back to whoever sent the mail.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from channels.contract import (
    Accepted,
    CarrierStatus,
    Channel,
    Deferred,
    Mode,
    NotSent,
    Outcome,
    Outgoing,
    ReceiptSink,
    Refused,
    Throttled,
    Told,
    Withdraw,
)
from channels.email.envelope import MailEnvelope, Offers, envelope
from channels.email.health import Health
from channels.email.limits import MailLimits
from channels.email.pace import SHORTEST_WAIT_S, AnswerTime, Patience, SecondWindow
from channels.email.pending import STOPPED, Job, MailQueue
from channels.email.pool import Pool
from channels.email.reply_meaning import RelayFault, ReplyVerdict
from channels.email.settings import SmtpSettings
from channels.permissions import ENDED, has_ended
from channels.standstill import RunningClock

log = logging.getLogger(__name__)


def utc_ms() -> int:
    return time.time_ns() // 1_000_000


class SmtpCarrier:
    """`now_ms` gives UTC milliseconds, for `expires_ms`; all else is timed by the event loop."""

    channel = Channel.EMAIL

    def __init__(
        self,
        name: str,
        settings: SmtpSettings,
        *,
        mode: Mode = Mode.LIVE,
        now_ms: Callable[[], int] = utc_ms,
    ) -> None:
        self.name = name
        self.mode = mode
        self._settings = settings
        self._now_ms = now_ms
        self._health = Health(name, now_ms)
        self._clock = RunningClock()
        self._pool = Pool(settings, self._health, self._pump, self._clock)
        self._pending: MailQueue | None = None
        self._in_hand = 0
        self._window = SecondWindow(settings.rate_per_s)
        self._patience = Patience(settings.backoff_max_s)
        self._grudge = Patience(settings.misconfigured_pause_s)
        """Of a relay that has something against us: tried again soon, then ever more seldom."""
        self._grievance = ""
        self._answer_time = AnswerTime()
        self._pump_timer: asyncio.TimerHandle | None = None

    @property
    def room(self) -> int:
        """Mails that can be taken up now: on every live connection as many as it gets through within the
        look-ahead of a batch (0.25 s), less those in hand. 0 when down, resting or when no connection answers."""
        if not self._health.is_up or self._pool.is_stalled():
            return 0
        return max(0, self._capacity() - self._in_hand)

    def status(self) -> CarrierStatus:
        return CarrierStatus(
            name=self.name,
            channel=self.channel,
            mode=self.mode,
            state=self._health.state,
            detail=self._health.detail,
            in_flight=self._in_hand,
            window=self._capacity(),
            since_ms=self._health.since_ms,
            grievance=self._grievance,
        )

    @property
    def limits(self) -> MailLimits:
        offers = self._pool.offers
        return MailLimits() if offers is None else MailLimits(not offers.smtputf8, offers.most_octets)

    def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
        """As the contract says. What has left when it is withdrawn is carried to its end, unheard."""
        jobs = [Job(index, mail, told, self._answered) for index, mail in enumerate(group)]
        self._in_hand += len(jobs)
        pending = self._pending
        if pending is None:
            for job in jobs:
                job.answer(NotSent("the carrier is not running", withdrawn=True))
        else:
            pending.add(jobs)

        def withdraw() -> None:
            for job in jobs:
                job.told = None
                if pending is not None:
                    pending.withdraw(job)

        return withdraw

    async def run(self, receipts: ReceiptSink) -> None:
        """Hold the connections. Bounces come in by another door (`bounce_intake`): `receipts` hears nothing."""
        self._pending = pending = MailQueue(self._settings.queue_timeout_s, self._pump, self._clock)
        self._health.disconnected("connecting")
        try:
            with self._clock.beating():
                await self._pool.hold()
        finally:
            self._pending = None
            pending.close()
            self._health.wake()
            self._health.disconnected("stopped")
            if self._pump_timer is not None:
                self._pump_timer.cancel()
                self._pump_timer = None

    def _capacity(self) -> int:
        return len(self._pool.live) * self._answer_time.per_connection()

    def _answered(self, job: Job, outcome: Outcome) -> None:
        self._in_hand -= 1
        if job.told is not None:
            job.told(job.index, outcome)

    def _pump(self) -> None:
        """Put what is due on the connections that are free. Called whenever either may have changed."""
        pending = self._pending
        if pending is None:
            return
        if not self._health.is_up:
            pending.answer_all(STOPPED if self._pool.is_leaving else self._health.refusal())
            return
        while self._pool.idle and pending:
            now_s = asyncio.get_running_loop().time()
            wait_s = self._window.wait_s(now_s)
            if wait_s > 0:
                self._pump_later(wait_s)
                return
            job = pending.pop()
            if job is not None:
                self._start(job, now_s)

    def _pump_later(self, wait_s: float) -> None:
        if self._pump_timer is None:
            timer = asyncio.get_running_loop().call_later(max(wait_s, SHORTEST_WAIT_S), self._pump_again)
            self._pump_timer = timer

    def _pump_again(self) -> None:
        self._pump_timer = None
        self._pump()

    def _start(self, job: Job, now_s: float) -> None:
        expires_ms = job.outgoing.expires_ms
        if expires_ms is not None and self._now_ms() >= expires_ms:
            job.answer(NotSent("it expired before it could be written", withdrawn=True))
            return
        if has_ended(job.outgoing.permission, now_s):
            job.answer(ENDED)
            return
        made = _made(job.outgoing, self._pool.idle[0].offers)
        if isinstance(made, Refused):
            job.answer(made)
            return
        session = self._pool.idle.popleft()
        if job.outgoing.begins is not None:
            job.outgoing.begins(job.outgoing.number)
        self._window.started(now_s)
        job.started_s = now_s
        session.start(made, partial(self._settled, job), job.outgoing.permission)

    def _settled(self, job: Job, answer: ReplyVerdict) -> None:
        answer = self._judged(answer)
        outcome = answer.outcome
        if isinstance(outcome, Accepted):
            self._patience.accepted()
            self._grudge.accepted()
            self._grievance = ""
            self._answer_time.answered(asyncio.get_running_loop().time() - job.started_s)
        elif isinstance(outcome, Refused):
            self._patience.refused()
        job.answer(outcome)
        if answer.fault is RelayFault.MISCONFIGURED:
            self._grievance = answer.detail
            if self._health.is_up:  # others in flight are told the same: that is one complaint
                log.warning("%s", answer.detail, extra={"action": "carrier-refuses-us", "carrier": self.name})
                self._health.rest(outcome, self._grudge.pause_s(), answer.detail)
            self._pump()
        elif isinstance(outcome, Throttled):
            self._health.rest(outcome, outcome.pause_s, answer.detail)
            self._pump()
        elif answer.detail:
            self._health.remark(answer.detail)

    def _judged(self, answer: ReplyVerdict) -> ReplyVerdict:
        """A relay that keeps putting us off is busy, whatever it says of each recipient."""
        outcome, detail = answer.outcome, answer.detail
        lost = isinstance(outcome, NotSent) and answer.fault is RelayFault.LOST and not outcome.withdrawn
        put_off = isinstance(outcome, Deferred) or lost
        if answer.fault is not RelayFault.BUSY and not (put_off and self._patience.deferred()):
            return answer
        code = outcome.code if isinstance(outcome, Deferred | Throttled) else ""
        resting = self._health.refusal()
        # Mails in flight when the rest began are told the same: that is one request for a slower pace, not many.
        pause_s = resting.pause_s if isinstance(resting, Throttled) else self._patience.pause_s()
        throttled = Throttled(pause_s=pause_s, code=code)
        return ReplyVerdict(throttled, RelayFault.BUSY, detail or "the relay put off many mails in a row")


def _made(outgoing: Outgoing, offers: Offers) -> MailEnvelope | Refused:
    try:
        return envelope(outgoing, offers)
    except Exception:
        # A bug of ours, met by one message only: it must not cost the others their carrier.
        log.exception("a mail could not be built", extra={"reference": outgoing.reference})
        return Refused("local", "the mail could not be built")
