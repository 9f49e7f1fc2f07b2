"""An SMTP relay is a carrier like any other."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, time_ns

from channels.contract import Carrier, Outgoing
from channels.email.carrier import SmtpCarrier
from channels.email.letter import Letter, prepare
from channels.email.letter_form import PreparedMail
from channels.email.sender import MailSender
from channels.email.settings import SmtpSettings, Tls
from loadtest.sinks.smtp import Options, SmtpSink
from tests.channels.conformance import CarrierContract, in_its_own_process


@dataclass
class SmtpBench:
    carrier: Carrier
    settings: SmtpSettings
    sink: SmtpSink
    mail: PreparedMail
    reports: bool = False
    longest_units: int = 1

    def message(
        self, number: int, *, due: Sequence[float], expires_ms: int | None = None, address: str | None = None
    ) -> Outgoing:
        return Outgoing(
            reference=f"test-{number}",
            address=address or f"person-{number}@example.be",
            name="Jan Peeters",
            content=self.mail,
            due=tuple(due),
            expires_ms=expires_ms,
        )

    def arrivals(self) -> list[tuple[str, float]]:
        since_boot_ns = time_ns() - int(monotonic() * 1e9)  # the loop's clock is the monotonic one
        return [(mail.rcpt, (mail.arrived_ns - since_boot_ns) / 1e9) for mail in self.sink.messages]


@asynccontextmanager
async def relay(*, silent: bool) -> AsyncIterator[SmtpBench]:
    async with SmtpSink(Options(silent_every=1 if silent else 0)) as sink:
        settings = SmtpSettings(
            host="127.0.0.1",
            port=sink.port,
            tls=Tls.NONE,
            ehlo_name="gateway.invalid",
            connections=3 if silent else 1,
            answer_timeout_s=0.5,
            drain_timeout_s=0.5,
        )
        sender = MailSender(
            name="PLP",
            address="no-reply@example.be",
            message_id_domain="example.be",
            bounce_domain="bounces.example.be",
            bounce_key=b"key",
        )
        letter = Letter(subject="Alert", paragraphs=("Text",), language="nl", date_ms=0)
        yield SmtpBench(SmtpCarrier("relay", settings), settings, sink, prepare(letter, sender))


class TestSmtpCarrier(CarrierContract):
    @asynccontextmanager
    async def bench(self, *, silent: bool = False) -> AsyncIterator[SmtpBench]:
        async with relay(silent=silent) as bench:
            yield bench


class TestSmtpCarrierInItsOwnProcess(CarrierContract):
    @asynccontextmanager
    async def bench(self, *, silent: bool = False) -> AsyncIterator[SmtpBench]:
        async with relay(silent=silent) as bench, in_its_own_process(bench, bench.settings):
            yield bench
