"""Bounces are acknowledged once they are kept, and strangers are turned away at the door."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import aiosmtplib
import pytest

from channels.contract import Receipt, ReceiptState
from channels.email.bounce_intake import BounceIntake, BounceSettings, Dialect
from channels.email.verp import return_path
from tests.channels.conformance import Inbox
from tests.channels.email.test_bounces import POSTFIX

KEY = b"key"
DOMAIN = "bounces.example.be"
OURS = return_path("g1.c7.42", DOMAIN, KEY)
BOUNCE = POSTFIX.format(action="failed", status="5.1.1").replace("\n", "\r\n").encode()


@asynccontextmanager
async def intake(sink: object, **changed: object) -> AsyncIterator[int]:
    given = {"domain": DOMAIN, "key": KEY, "carrier": "relay", "port": 0, **changed}
    server = BounceIntake(BounceSettings(**given), sink)  # type: ignore[arg-type]
    task = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(5):
            await server.listening.wait()
        yield server.port
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()


async def deliver(port: int, to: str = OURS, content: bytes = BOUNCE) -> str:
    """What the server said to the final dot, or at the step where it refused."""
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="x.invalid", timeout=5)
    try:
        async with client:
            await client.ehlo()
            return (await client.sendmail("", [to], content))[1]
    except aiosmtplib.SMTPRecipientsRefused as refused:
        return f"{refused.recipients[0].code} {refused.recipients[0].message}"
    except aiosmtplib.SMTPResponseException as refused:
        return f"{refused.code} {refused.message}"


async def test_a_bounce_is_acknowledged_after_it_was_kept() -> None:
    inbox = Inbox()
    async with intake(inbox) as port:
        assert (await deliver(port)).startswith("2.0.0 kept")

    assert [(receipt.ref, receipt.state, receipt.echoed) for receipt in inbox.kept] == [
        ("g1.c7.42", ReceiptState.FAILED, True)
    ]


async def test_a_bounce_that_could_not_be_kept_is_asked_for_again() -> None:
    inbox = Inbox(refusals=1)
    async with intake(inbox) as port:
        assert (await deliver(port)).startswith("451")
        assert (await deliver(port)).startswith("2.0.0 kept")


async def test_a_sink_that_hangs_or_breaks_never_loses_a_bounce() -> None:
    async def hang(receipts: Sequence[Receipt]) -> None:
        await asyncio.sleep(60)

    async def break_down(receipts: Sequence[Receipt]) -> None:
        raise OSError("disk")

    async with intake(hang, commit_timeout_s=0.1) as port:
        assert (await deliver(port)).startswith("451")
    async with intake(break_down) as port:
        assert (await deliver(port)).startswith("451")


@pytest.mark.parametrize(
    "stranger", ["postmaster@" + DOMAIN, OURS.replace("42", "43"), OURS.replace("bounces.", ""), "x@y.example"]
)
async def test_whoever_proves_no_message_of_ours_is_turned_away(stranger: str) -> None:
    inbox = Inbox()
    async with intake(inbox) as port:
        assert (await deliver(port, stranger)).startswith("550 5.1.1")

    assert inbox.offered == 0


async def test_an_automatic_reply_is_taken_and_forgotten() -> None:
    inbox = Inbox()
    async with intake(inbox) as port:
        reply = b"From: jan@example.be\r\nSubject: weg\r\nAuto-Submitted: auto-replied\r\n\r\nTerug in mei\r\n"
        assert (await deliver(port, content=reply)).startswith("2.0.0 ignored")

    assert inbox.offered == 0


async def test_a_bounce_with_an_endless_line_is_kept_all_the_same() -> None:
    inbox = Inbox()
    async with intake(inbox) as port:
        assert (await deliver(port, content=BOUNCE + b"x" * 5000 + b"\r\n")).startswith("2.0.0 kept")


async def test_a_message_is_bounded() -> None:
    inbox = Inbox()
    async with intake(inbox, max_message_bytes=10_000) as port:
        assert (await deliver(port, content=BOUNCE + b"x" * 100 * 200)).startswith("552")


@pytest.mark.parametrize("bound", ["idle_timeout_s", "session_timeout_s"])
async def test_a_connection_is_bounded_in_time(bound: str) -> None:
    async with intake(Inbox(), **{bound: 0.1}) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"220")
        writer.close()


async def test_a_relay_may_speak_lmtp() -> None:
    inbox = Inbox()
    async with intake(inbox, dialect=Dialect.LMTP) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"LHLO relay.invalid\r\nMAIL FROM:<>\r\nRCPT TO:<{OURS}>\r\nRCPT TO:<{OURS}>\r\nDATA\r\n".encode())
        writer.write(BOUNCE + b".\r\nQUIT\r\n")
        async with asyncio.timeout(5):
            said = (await reader.read()).decode()
        writer.close()

    assert "452 4.5.3 one recipient at a time" in said
    assert said.count("250 2.0.0 kept") == 1
    assert len(inbox.kept) == 1


def test_the_key_is_in_no_representation() -> None:
    assert "sesame" not in repr(BounceSettings(domain=DOMAIN, key=b"sesame", carrier="relay"))


async def test_idle_strangers_give_way_to_a_relay_with_a_bounce() -> None:
    inbox = Inbox()
    async with intake(inbox, max_connections=3) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(9)]

        assert (await deliver(port)).startswith("2.0.0 kept")

        for _, writer in held:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_who_has_named_a_return_path_of_ours_gives_way_to_nobody() -> None:
    async with intake(Inbox(), max_connections=1) as port:
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", port=port, start_tls=False, local_hostname="x.invalid", timeout=5
        )
        await client.connect()
        await client.ehlo()
        await client.mail("")
        await client.rcpt(OURS)

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.readline()).startswith(b"421")

        assert (await client.data(BOUNCE))[0] == 250
        writer.close()
        client.close()


@pytest.mark.parametrize(
    "address", [b"\xff\xfe@bounces.example.be", b"bounce+\xc3\xa9.0@bounces.example.be", b"a" * 400]
)
async def test_an_address_that_is_none_is_no_fault_of_ours(address: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with intake(Inbox()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"EHLO x\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<" + address + b">\r\nQUIT\r\n")
        said = await reader.read()
        writer.close()

    assert said.splitlines()[-2][:1] == b"5"
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


async def test_who_guesses_return_paths_is_hung_up_on() -> None:
    async with intake(Inbox()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"EHLO x\r\nMAIL FROM:<>\r\n" + f"RCPT TO:<{OURS.replace('42', '43')}>\r\n".encode() * 100)
        said = await reader.read()
        writer.close()

    assert said.count(b"\r\n550 ") < 20
    assert said.splitlines()[-1].startswith(b"421 4.7.0")
