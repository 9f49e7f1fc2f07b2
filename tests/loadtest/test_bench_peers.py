"""The clients that feed the peers, and what is read of the sinks: sound by themselves, without a peer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from loadtest.bench import email, mailer, processes, sendsms
from loadtest.bench.cap import SMALL, WORST, documents, rate, readers
from loadtest.bench.figures import Failed, PeerMissing
from loadtest.sinks.smtp import SmtpSink

KEPT = b"""X-Client-Addr: 127.0.0.1
X-Client-Proto: ESMTP
X-Helo-Args: vm
X-Mail-Args: <bounce+1@bounces.example> SIZE=100
X-Rcpt-Args: <a@example.org> NOTIFY=FAILURE
Received: from vm ([127.0.0.1])
	by smtp-sink (smtp-sink) with ESMTP id 5e79523a;
	Mon, 23 Nov 2026 23:20:04 +0000 (UTC)
From: Zone <no-reply@alerts.example>
Subject: one

Hello

X-Client-Addr: 127.0.0.1
X-Client-Proto: ESMTP
X-Helo-Args: vm
X-Mail-Args: <bounce+2@bounces.example>
X-Rcpt-Args: <b@example.org>
Received: from vm ([127.0.0.1])
	by smtp-sink (smtp-sink) with ESMTP id 5e79523b;
	Mon, 23 Nov 2026 23:20:04 +0000 (UTC)
From: Zone <no-reply@alerts.example>
Subject: one

Hello
"""


def test_a_sample_is_the_mail_as_it_was_on_the_wire() -> None:
    sample = email.read_sample(KEPT, 2)
    assert sample.mail == b"From: Zone <no-reply@alerts.example>\r\nSubject: one\r\n\r\nHello\r\n"
    assert sample.octets == len(sample.mail)


@pytest.mark.parametrize(
    ("kept", "expected"), [(KEPT, 3), (KEPT.replace(b"<b@example.org>", b"<a@example.org>"), 2), (b"", 1)]
)
def test_a_mail_too_few_or_to_the_same_recipient_ends_the_row(kept: bytes, expected: int) -> None:
    with pytest.raises(Failed):
        email.read_sample(kept, expected)


def test_every_request_is_for_a_number_of_its_own() -> None:
    made = list(sendsms.requests(500, 0))
    asked = [parse_qs(urlsplit(request.split(b" ")[1].decode()).query) for request in made]
    assert len({one["to"][0] for one in asked}) == 500
    assert all(one["to"][0].startswith("+32470") for one in asked)
    assert {"dlr-url", "dlr-mask"}.isdisjoint(asked[0])


def test_receipts_are_asked_for_with_a_url_on_this_machine() -> None:
    (request,) = sendsms.requests(1, 4711)
    asked = parse_qs(urlsplit(request.split(b" ")[1].decode()).query)
    assert asked["dlr-mask"] == ["3"]
    assert asked["dlr-url"] == ["http://127.0.0.1:4711/receipt?state=%d"]


Box = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(box: Box) -> AsyncIterator[int]:
    """A server on this port whose connections have all ended on the way out."""
    ended: list[asyncio.Task[None]] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await box(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.create_task(connection(reader, writer)))

    async with asyncio.timeout(20), await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*ended)


async def test_the_feeder_sends_each_request_once_and_waits_for_the_sink(tmp_path: Path) -> None:
    dump, taken = tmp_path / "dump.jsonl", []

    async def box(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with dump.open("ab", buffering=0) as out:
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionResetError):
                    return
                taken.append(head.split(b" ")[1])
                # In two pieces, as a network may have it.
                writer.write(b"HTTP/1.1 202 OK\r\nContent-Length: 25\r\n\r\n0: Accep")
                await asyncio.sleep(0)
                writer.write(b"ted for delivery.")
                out.write(b"{}\n")

    async with serving(box) as port:
        assert await sendsms.send(port, 300, 4, dump, receipts=False) > 0
    assert len(taken) == len(set(taken)) == 300


async def test_the_feeder_tells_of_a_refusal() -> None:
    async def box(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()

    async with serving(box) as port:
        with pytest.raises(RuntimeError, match="403"):
            await sendsms.send(port, 3, 1, Path("/dev/null"), receipts=False)


async def test_callbacks_count_whole_requests_however_they_come() -> None:
    counted = [0]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20), await loop.create_server(lambda: sendsms.Callbacks(counted), "127.0.0.1", 0) as s:
        reader, writer = await asyncio.open_connection("127.0.0.1", s.sockets[0].getsockname()[1])
        request = b"GET /receipt?state=1 HTTP/1.1\r\nHost: x\r\n\r\n"
        whole = request * 3
        writer.write(whole[:50])
        await writer.drain()
        writer.write(whole[50:])
        said = await reader.readexactly(3 * len(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        writer.close()
        await writer.wait_closed()
    assert said.count(b"200 OK") == 3
    assert counted == [3]


async def test_the_mailer_sends_every_mail_to_a_recipient_of_its_own() -> None:
    async with asyncio.timeout(20), SmtpSink() as sink:
        said = await mailer.send(sink.port, 50, 4, b"Subject: x\r\n\r\nHello\r\n")
        assert said["per_s"] > 0
        assert len({mail.rcpt for mail in sink.messages}) == len(sink.messages) == 50


def test_a_program_that_is_not_there_is_skipped_with_the_peers_name() -> None:
    with pytest.raises(PeerMissing, match="Kannel is not installed"):
        processes.found("no-such-program-anywhere", "Kannel")


def test_every_reader_reads_the_documents_of_the_promise() -> None:
    made = documents()
    assert 1_500 < len(made[SMALL]) < 1_700
    assert len(made[WORST]) > 700_000
    for reader, read in readers().items():
        assert rate(read, made[SMALL], rounds=1, round_s=0.001) > 0, reader
