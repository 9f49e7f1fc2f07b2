"""A permission to send that ends while a mail is under way: of its text nothing leaves any more, or it all has."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from channels.contract import Accepted, CarrierState, NotSent, Outcome, Outgoing, Permission, Refused
from channels.email.letter_form import LetterForm, PreparedMail
from channels.email.settings import Tls
from tests.channels.conformance import now, outcomes, running, until
from tests.channels.email.certificates import write_certificate
from tests.channels.email.relay import MAIL, SENDER, mails, relay
from tests.channels.loops import on_both_loops
from tests.peers.relay import scripted

MEGABYTES = b"Subject: long\r\n\r\n" + (b"y" * 70 + b"\r\n") * 60_000
"""More than a socket's buffers hold at both ends."""
KILOBYTES = b"Subject: long\r\n\r\n" + (b"y" * 70 + b"\r\n") * 10_000
"""More than the relay takes in unread, and less than what the sender's kernel takes at once."""


def a_mail(text: bytes) -> PreparedMail:
    form = LetterForm(parts=(text,), slots=(), spaced=(), at_line_start=())
    return PreparedMail(sender=SENDER, eight_bit=form, quoted=form)


class SlowRelay:
    """Says 354 when it is let, reads the text when it is let, and answers the dot when it is let."""

    def __init__(self) -> None:
        self.asked, self.over = asyncio.Event(), asyncio.Event()
        self.may_ask, self.may_read, self.may_answer = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.text = b""
        self.was_reset = False
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            writer.write(b"220 relay.invalid\r\n")
            while line := await reader.readline():
                verb = line[:4].strip().upper()
                if verb == b"EHLO":
                    writer.write(b"250-relay.invalid\r\n250 PIPELINING\r\n")
                elif verb == b"DATA":
                    await self._take(reader, writer)
                else:
                    writer.write(b"250 ok\r\n")
        except ConnectionError:
            self.was_reset = True
        finally:
            self.over.set()
            writer.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.may_ask.wait()
        writer.write(b"354 go on\r\n")
        await self.may_read.wait()
        self.text = b""
        while not self.text.endswith(b"\r\n.\r\n"):
            piece = await reader.read(65_536)
            if not piece:
                raise ConnectionError
            self.text += piece
        await self.may_answer.wait()
        writer.write(b"250 2.0.0 queued\r\n")


@asynccontextmanager
async def slow(*, context: ssl.SSLContext | None = None) -> AsyncIterator[SlowRelay]:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    told = SlowRelay()
    server = await asyncio.start_server(told.serve, sock=listener, limit=1024, ssl=context)
    told.port = listener.getsockname()[1]
    try:
        yield told
    finally:
        for gate in (told.may_ask, told.may_read, told.may_answer):
            gate.set()
        server.close()


def one(text: bytes | None, permission: Permission) -> list[Outgoing]:
    [mail] = mails(1, mail=MAIL if text is None else a_mail(text))
    return [msgspec.structs.replace(mail, permission=permission)]


def is_withdrawn(outcome: Outcome) -> bool:
    return isinstance(outcome, NotSent) and outcome.withdrawn


@on_both_loops
async def test_while_354_is_awaited_the_mail_is_withdrawn_and_the_relay_hears_nothing_of_it() -> None:
    async with slow() as server:
        carrier = relay(server.port, command_timeout_s=30)
        async with running(carrier):
            [(_, outcome)] = await outcomes(carrier, one(None, Permission(now() + 0.2)))
            server.may_ask.set()
            server.may_read.set()
            await asyncio.wait_for(server.over.wait(), 5)

        assert server.asked.is_set()
        assert is_withdrawn(outcome)
        assert server.text == b""


@on_both_loops
async def test_a_permission_renewed_while_354_is_awaited_holds() -> None:
    async with slow() as server:
        carrier = relay(server.port, command_timeout_s=30)
        server.may_read.set()
        server.may_answer.set()
        async with running(carrier):
            permission = Permission(now() + 0.2)
            sending = asyncio.create_task(outcomes(carrier, one(None, permission)))
            await asyncio.wait_for(server.asked.wait(), 5)
            permission.renew(now() + 60)
            await asyncio.sleep(0.3)
            server.may_ask.set()

            [(_, outcome)] = await sending

        assert outcome == Accepted(text="queued")


@on_both_loops
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("text", [MEGABYTES, KILOBYTES], ids=["in our buffer", "in the kernel's"])
async def test_a_text_that_the_relay_has_not_read_is_broken_off_before_its_dot(
    tmp_path: Path, text: bytes, encrypted: bool
) -> None:
    context, secure = None, {}
    if encrypted:
        certificate, key = write_certificate(tmp_path)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        secure = {"tls": Tls.REQUIRED, "implicit_tls": True}
    async with slow(context=context) as server:
        server.may_ask.set()
        carrier = relay(server.port, command_timeout_s=30, answer_timeout_s=30, **secure)
        async with running(carrier):
            [(_, outcome)] = await outcomes(carrier, one(text, Permission(now() + 0.5)))
            server.may_read.set()
            await asyncio.wait_for(server.over.wait(), 5)

        assert server.asked.is_set()
        assert is_withdrawn(outcome)
        assert not server.text.endswith(b"\r\n.\r\n")
        assert len(server.text) < 400_000, "what the kernel held did not leave either"


@on_both_loops
async def test_a_long_text_arrives_whole_however_slowly_it_is_read_while_the_permission_is_renewed() -> None:
    async with slow() as server:
        server.may_ask.set()
        server.may_answer.set()
        carrier = relay(server.port, command_timeout_s=30, answer_timeout_s=30)
        async with running(carrier):
            permission = Permission(now() + 0.3)
            sending = asyncio.create_task(outcomes(carrier, one(MEGABYTES, permission), patience_s=30))
            await asyncio.wait_for(server.asked.wait(), 5)
            permission.renew(now() + 60)
            await asyncio.sleep(0.4)
            server.may_read.set()

            [(_, outcome)] = await sending

        assert isinstance(outcome, Accepted)
        assert server.text == MEGABYTES + b".\r\n"


@on_both_loops
async def test_once_the_dot_has_left_only_the_answer_counts() -> None:
    async with slow() as server:
        server.may_ask.set()
        server.may_read.set()
        carrier = relay(server.port, answer_timeout_s=30)
        async with running(carrier):
            permission = Permission(now() + 0.3)
            sending = asyncio.create_task(outcomes(carrier, one(None, permission)))
            await until(lambda: server.text.endswith(b"\r\n.\r\n"))
            await asyncio.sleep(max(0.0, permission.not_after - now()) + 0.1)
            server.may_answer.set()

            [(_, outcome)] = await sending

        assert isinstance(outcome, Accepted)


@on_both_loops
async def test_hanging_up_on_a_withdrawn_mail_is_nothing_against_the_relay() -> None:
    async with slow() as server:
        carrier = relay(server.port, command_timeout_s=30, answer_timeout_s=30)
        async with running(carrier):
            state = carrier.status().state
            [(_, outcome)] = await outcomes(carrier, one(None, Permission(now() + 0.2)))
            assert is_withdrawn(outcome)
            assert carrier.status().state is state is CarrierState.UP
            for gate in (server.may_ask, server.may_read, server.may_answer):
                gate.set()

            [(_, next_one)] = await outcomes(carrier, mails(1))

        assert isinstance(next_one, Accepted)
        assert server.connections == 2


@on_both_loops
@pytest.mark.parametrize(
    ("reply", "kind"), [(b"552 5.3.4 too big\r\n", Refused), (b"250 ok\r\n", NotSent), (b"421 bye\r\n", object)]
)
async def test_a_relay_that_answers_before_the_dot_has_taken_nothing(reply: bytes, kind: type) -> None:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay.invalid\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await reader.readline()
                writer.write(reply)
                await over.wait()
                break
            writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    carrier = relay(server.sockets[0].getsockname()[1], answer_timeout_s=30)
    async with running(carrier):
        [(_, outcome)] = await outcomes(carrier, one(MEGABYTES, Permission(now() + 60)))
        over.set()
    server.close()

    assert isinstance(outcome, kind)
    assert not isinstance(outcome, Accepted)


@on_both_loops
async def test_a_relay_that_answers_before_the_dot_and_hangs_up_is_heard() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay.invalid\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await reader.readline()
                writer.write(b"552 5.3.4 too big\r\n")
                break
            writer.write(b"250 ok\r\n")
        writer.close()  # with a text unread: the connection is reset

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    carrier = relay(server.sockets[0].getsockname()[1], answer_timeout_s=30)
    async with running(carrier):
        [(_, outcome)] = await outcomes(carrier, one(MEGABYTES, Permission(now() + 60)))
    server.close()

    assert outcome == Refused("552 5.3.4", "too big")


@on_both_loops
async def test_a_relay_that_stops_in_the_middle_of_a_text_has_not_got_it() -> None:
    async with slow() as server:
        server.may_ask.set()
        carrier = relay(server.port, answer_timeout_s=0.4)
        async with running(carrier):
            [(_, outcome)] = await outcomes(carrier, one(MEGABYTES, Permission(now() + 60)))

        assert isinstance(outcome, NotSent)
        assert not outcome.withdrawn


@on_both_loops
async def test_a_short_mail_still_leaves_in_one_piece() -> None:
    async with scripted() as server:
        carrier = relay(server.port)
        async with running(carrier):
            [(_, outcome)] = await outcomes(carrier, one(None, Permission(now() + 60)))

        assert isinstance(outcome, Accepted)
        assert server.bodies[0].startswith(b"From: ")
