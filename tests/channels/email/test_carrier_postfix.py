"""A real relay: what it is given arrives once, and what it cannot bring comes back as a bounce."""

import asyncio
import time
from pathlib import Path

import pytest

from channels.contract import Accepted, ReceiptState
from channels.email.bounce_intake import BounceIntake, BounceSettings
from channels.email.settings import Tls
from channels.email.verp import reference_of
from loadtest.sinks.smtp import Options, SmtpSink
from tests.channels.conformance import Inbox, outcomes, running, until
from tests.channels.email.certificates import write_certificate
from tests.channels.email.relay import SENDER, mails, relay
from tests.peers.postfix import private_postfix

pytestmark = pytest.mark.peer


async def test_mails_go_through_a_relay_and_a_refused_one_comes_back_as_a_bounce(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    inbox = Inbox(refusals=1)
    bounces = BounceSettings(domain=SENDER.bounce_domain, key=SENDER.bounce_key, carrier="relay", port=0)
    intake = BounceIntake(bounces, inbox)
    async with SmtpSink(Options(refuse=((r"nobody.*", "550 5.1.1 no such user"),))) as sink:
        listening = asyncio.create_task(intake.run())
        async with asyncio.timeout(5):
            await intake.listening.wait()
        with private_postfix(
            next_hop=sink.port,
            bounce_domain=SENDER.bounce_domain,
            bounce_port=intake.port,
            certificate=certificate,
            key=key,
        ) as postfix:
            carrier = relay(
                postfix.port,
                tls=Tls.VERIFY,
                ca_file=str(certificate),
                connections=4,
                command_timeout_s=10,
                answer_timeout_s=10,
                drain_timeout_s=2,
                queue_timeout_s=30,
            )
            group = [*mails(200), *mails(1, address="jérôme{}@example.be"), *mails(1, address="nobody{}@example.be")]
            async with running(carrier):
                told = [outcome for _, outcome in await outcomes(carrier, group[:201])]
                await until(lambda: len(sink.messages) == 201, 30)
                [(_, lost)] = await outcomes(carrier, group[201:])
            await until(lambda: inbox.kept, 30)

            assert all(isinstance(outcome, Accepted) and "queued as" in outcome.text for outcome in [*told, lost])
            assert sorted(mail.rcpt for mail in sink.messages) == sorted(mail.address for mail in group[:201])
            for mail in sink.messages:
                assert reference_of(mail.mail_from, SENDER.bounce_domain, SENDER.bounce_key) == mail.token
                assert "ENVID=" + mail.token in mail.options
                assert "Er is ingebroken.\n\n.punt\n" in mail.text
            [receipt] = inbox.kept
            assert (receipt.ref, receipt.state, receipt.code) == ("c1.0", ReceiptState.FAILED, "5.1.1")
            assert receipt.destination == "nobody0@example.be"
            assert inbox.offered == 2, "what could not be kept at first was sent again"
            assert abs(receipt.at_ms - time.time_ns() // 1_000_000) < 60_000
        listening.cancel()
        await asyncio.wait([listening], timeout=5)
