"""The sink that load tests measure with: what it says it got must be what was sent."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from channels.contract import Accepted, ReceiptState
from channels.email.bounce_intake import BounceIntake, BounceSettings
from loadtest.sinks.smtp import Options, SmtpSink
from tests.channels.conformance import Inbox, outcomes, running
from tests.channels.email.relay import LETTER, SENDER, mails, relay


async def test_a_sink_of_its_own_process_dumps_what_it_got(tmp_path: Path) -> None:
    dump = tmp_path / "mails.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.sinks.smtp", "--port", "0", "--dump", str(dump), "--bodies",
        "--refuse", "nobody.*=550 5.1.1 no such user",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            port = json.loads(await process.stdout.readline())["port"]
        carrier = relay(port)
        async with running(carrier):
            told = await outcomes(carrier, [*mails(50), *mails(1, address="nobody{}@example.be")])
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    records = [json.loads(line) for line in dump.read_text(encoding="utf-8").splitlines()]
    assert sum(isinstance(outcome, Accepted) for _, outcome in told) == len(records) == 50
    assert {record["token"] for record in records} == {f"c1.{number}" for number in range(50)}
    assert {record["subject"] for record in records} == {LETTER.subject}
    assert records[7]["text"].startswith("Beste Persoon 7,\n")
    assert records[7]["message_id"] == "<c1.7@example.be>"
    assert sorted(record["arrived_ns"] for record in records) == [record["arrived_ns"] for record in records]


async def test_a_share_of_the_mails_comes_back_as_bounces() -> None:
    inbox = Inbox(refusals=2)
    settings = BounceSettings(domain=SENDER.bounce_domain, key=SENDER.bounce_key, carrier="relay", port=0)
    intake = BounceIntake(settings, inbox)
    listening = asyncio.create_task(intake.run())
    async with asyncio.timeout(5):
        await intake.listening.wait()
    options = Options(bounce_to=("127.0.0.1", intake.port), bounce_share=0.3)
    async with SmtpSink(options) as sink:
        carrier = relay(sink.port, connections=4)
        async with running(carrier):
            await outcomes(carrier, mails(100))
        async with asyncio.timeout(20):
            await sink.bounced()
    listening.cancel()
    await asyncio.wait([listening], timeout=5)

    references = [receipt.ref for receipt in inbox.kept]
    assert 15 <= len(references) == len(set(references)) <= 45
    assert set(references) <= {mail.token for mail in sink.messages}
    assert {(receipt.state, receipt.code) for receipt in inbox.kept} == {(ReceiptState.FAILED, "5.1.1")}


@pytest.mark.parametrize("delay_s", [0.0, 0.005])
async def test_commands_sent_in_one_packet_are_answered_in_order(delay_s: float) -> None:
    async with SmtpSink(Options(reply_delay_s=delay_s)) as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
        writer.write(b"Subject: x\r\n\r\n..two\r\n.\r\nRSET\r\nQUIT\r\n")
        async with asyncio.timeout(5):
            said = (await reader.read()).decode().splitlines()
        writer.close()

    codes = [line[:3] for line in said if line[3] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250", "250", "221"]
    assert sink.messages[0].raw == b"Subject: x\r\n\r\n.two\r\n"


async def test_a_throttling_sink_says_so_to_mail() -> None:
    async with SmtpSink(Options(throttle_per_s=5)) as sink:
        carrier = relay(sink.port, connections=2)
        async with running(carrier):
            told = await outcomes(carrier, mails(60))
        assert sum(isinstance(outcome, Accepted) for _, outcome in told) <= 10
