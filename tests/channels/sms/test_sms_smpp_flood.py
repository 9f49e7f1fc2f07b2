"""An SMSC that floods is heard more slowly, and nobody else waits for it; nothing that it said is lost."""

import asyncio
import contextlib
from typing import Any

import pytest

from channels.contract import Accepted
from channels.loop_share import LoopShare
from channels.sms.smpp.codec import HEADER, Decoder, encode
from channels.sms.smpp.pdu import (
    Bind,
    BindResponse,
    CommandId,
    DeliverSm,
    EnquireLink,
    EnquireLinkResponse,
    SubmitSmResponse,
)
from channels.sms.smpp.session import MOST_UNREAD, Session
from loadtest.sinks.smsc import SmscOptions, SmscSink
from tests.channels.sms.test_sms_smpp_session import BODY, Book

RECEIPT = b"id:7 sub:001 dlvrd:001 submit date:2611261200 done date:2611261201 stat:DELIVRD err:000 text:hello"
ENQUIRE = encode(EnquireLink(sequence=9))
FLOODS = {
    "enquire_link": ENQUIRE,
    "a handset's message": encode(DeliverSm(sequence=5, source="32470000000", destination="PLP", short_message=b"hi")),
    "a receipt": encode(DeliverSm(sequence=5, esm_class=4, source="32470000000", short_message=RECEIPT)),
    "a deliver_sm without an end": HEADER.pack(40, CommandId.DELIVER_SM, 0, 7) + b"\xff" * 24,
    "an unknown command": HEADER.pack(16, 0x77, 0, 1),
    "an answer to nothing": encode(SubmitSmResponse(sequence=77, message_id="x")),
    "a nack of nothing": HEADER.pack(17, CommandId.DELIVER_SM | 0x80000000, 0, 1) + b"\0",
}


class Wire(asyncio.Transport):
    """Counts what is written, and remembers whether anything is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reads = True
        self.unread = 0
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_reading(self) -> bool:
        return self.reads

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def answers(self) -> list[Any]:
        return Decoder().feed(bytes(self.written))


def connected(book: Book, **options: Any) -> tuple[Session[int], Wire]:
    """With slices so short that each is one handful of units."""
    session: Session[int] = Session(
        book, window=10, answer_timeout_s=5.0, enquire_link_s=30.0, share=LoopShare(slice_s=1e-9, **options)
    )
    wire = Wire()
    session.connection_made(wire)
    session.data_received(encode(BindResponse(sequence=1)))
    return session, wire


async def test_a_flood_is_heeded_a_handful_at_a_time_and_nothing_more_is_read_meanwhile(until) -> None:
    session, wire = connected(Book())

    session.data_received(ENQUIRE * 1000)

    assert 0 < len(wire.answers()) <= 64
    assert not wire.reads
    await until(lambda: wire.reads)
    assert [type(answer) for answer in wire.answers()] == [EnquireLinkResponse] * 1000
    session.abort("done")


async def test_units_cut_anywhere_are_heeded_once_and_in_order(until) -> None:
    session, wire = connected(Book())
    frames = b"".join(encode(EnquireLink(sequence=n)) for n in range(1, 301))

    for at in range(0, len(frames), 1013):
        session.data_received(frames[at : at + 1013])
    await until(lambda: wire.reads)

    assert [answer.sequence for answer in wire.answers()] == list(range(1, 301))
    session.abort("done")


async def test_the_connection_is_heard_to_its_end_before_anybody_is_in_doubt() -> None:
    book = Book()
    session, wire = connected(book)
    await bound(session)
    session.submit(1, BODY)
    session.flush()
    sequence = wire.answers()[-1].sequence

    session.data_received(ENQUIRE * 500 + encode(SubmitSmResponse(sequence=sequence, message_id="m1")))
    session.connection_lost(ConnectionResetError())
    assert (book.answers, book.gone, session.ready) == ([], [], False)
    await session.closed

    assert ([answer[::2] for answer in book.answers], book.gone) == ([(1, "m1")], [])


async def test_who_asks_on_and_on_and_reads_no_answer_is_let_go() -> None:
    book = Book()
    session, wire = connected(book)
    session.pause_writing()
    wire.unread = MOST_UNREAD + 1

    session.data_received(ENQUIRE)
    await asyncio.sleep(0)

    assert wire.aborted
    assert book.ends == ["the peer asks and reads no answer"]


async def bound(session: Session[int]) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        session._bound = True


class Flooding:
    """An SMSC that binds whoever comes and then sends one unit over and over, as fast as it is read."""

    def __init__(self, unit: bytes) -> None:
        self._unit = unit
        self.sent = 0
        self.port = 0

    async def __aenter__(self) -> "Flooding":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder, asked = Decoder(), list[Any]()
        with contextlib.suppress(ConnectionError):
            while not asked:
                asked = decoder.feed(await reader.read(65536))
            assert isinstance(asked[0], Bind)
            writer.write(encode(BindResponse(command=asked[0].command, sequence=asked[0].sequence)))
            drain = asyncio.create_task(self._drain(reader))
            piece = self._unit * (65536 // len(self._unit))
            for _ in range(2000):  # at most 128 MB
                writer.write(piece)
                self.sent += len(piece)
                await writer.drain()
            await drain
        writer.close()

    async def _drain(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(65536):
            pass


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS.keys())
async def test_beside_a_flood_another_smsc_takes_messages_and_the_loop_turns(
    open_account, outgoing, until, unit
) -> None:
    """Turns are counted, not timed: while eighty messages go out and are answered, and the flood goes on, others have
    many turns of the loop."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    async with (
        Flooding(unit) as flood, SmscSink(SmscOptions()) as smsc,
        open_account(flood.port) as _, open_account(smsc.port) as good,
    ):  # fmt: skip
        counting = asyncio.create_task(others())
        await until(lambda: flood.sent > 1 << 20)
        begun, flooded = turns, flood.sent
        told = await good.send(*[outgoing(number=f"+3247{n:07}") for n in range(80)])
        await until(lambda: flood.sent > flooded + (1 << 20))
        counting.cancel()

    assert [type(outcome) for outcome in told] == [Accepted] * 80
    assert turns - begun > 50
