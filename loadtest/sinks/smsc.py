"""A false SMSC: takes what an SMPP client submits, answers as told, sends receipts, and keeps an account of arrivals.

In a process of its own: `python -m loadtest.sinks.smsc --port 0 --dump FILE` prints {"port": N} when ready and its
counts when ended by SIGTERM. Inside a test: `async with SmscSink(SmscOptions()) as sink`. Sends nothing anywhere.
"""

import argparse
import asyncio
import contextlib
import signal
import ssl as tls
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal, Self, cast

import msgspec

from channels.sms.concatenation import PartOf, read_header
from channels.sms.segments import read
from channels.sms.smpp.codec import HEADER, Decoder, encode
from channels.sms.smpp.pdu import (
    Bind,
    BindResponse,
    CommandId,
    CommandStatus,
    DeliverSmResponse,
    EnquireLink,
    EnquireLinkResponse,
    Pdu,
    ProtocolError,
    SubmitSm,
    SubmitSmResponse,
    Unbind,
    UnbindResponse,
)
from loadtest.sinks import stalls


class SmscOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the SMSC behaves."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free one."""
    password: str = ""
    """What every system_id must give; empty: whatever they give is right."""
    answer_delay_s: float = 0.0
    receipts: Literal["none", "late", "early", "twice"] = "late"
    """`early`: before the answer to the submit itself."""
    receipt_delay_s: float = 0.0
    receipt_word: str = "DELIVRD"
    receipt_repeat_s: float = 1.0
    """A receipt answered with an error is sent again so much later."""
    id_form: Literal["dec", "hex", "uuid"] = "dec"
    """How the answer to a submit writes the id."""
    receipt_id_form: Literal["same", "dec", "hex"] = "same"
    first_id: int = 1_000_000
    refuse_prefix: str = ""
    """Destinations that begin so (digits) are refused with `refuse_status`."""
    refuse_suffix: str = ""
    refuse_status: int = CommandStatus.INVALID_DESTINATION
    throttle_every: int = 0
    """Every n-th submit is answered ESME_RTHROTTLED; 0: none."""
    max_rate_per_s: int = 0
    """More in any second are answered ESME_RTHROTTLED; 0: no limit."""
    fail_every: int = 0
    """Every n-th submit is answered `fail_status`; 0: none."""
    fail_status: int = CommandStatus.QUEUE_FULL
    bind_status: int = 0
    deaf: bool = False
    """Connections are accepted and nothing is ever answered."""
    silent: bool = False
    """Binds are accepted and enquire_link answered, submits never."""
    mute_after: int = 0
    """After n submits nothing at all is answered any more; 0: never."""
    close_after: int = 0
    """After n submits each connection ends in the middle of an answer; 0: never."""
    garbage_after: int = 0
    """After n submits each connection talks something else; 0: never."""
    stop_reading_after: int = 0
    """After n submits nothing more is read; 0: never."""


class Part(msgspec.Struct, frozen=True):
    """One submit_sm as it came; a line of the dump."""

    at_ns: int
    """Wall clock, UTC."""
    system_id: str
    source: str
    destination: str
    id: str
    """As answered; empty when it was not taken."""
    status: int
    text: str | None
    """The whole text, on the part that completes it; else None."""
    reference: int | None = None
    total: int = 1
    part: int = 1
    validity: str = ""
    data_coding: int = 0
    connection: int = 0
    sequence: int = 0


class SmscSink:
    """The server. What arrived is in `parts` and `messages` (unless `keep` is off), counts in `counts`."""

    def __init__(
        self,
        options: SmscOptions | None = None,
        *,
        keep: bool = True,
        dump: IO[bytes] | None = None,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self.options = options or SmscOptions()
        self.parts: list[Part] = []
        self.counts: Counter[str] = Counter()
        self.seconds: Counter[int] = Counter()
        """Submits per second of the wall clock."""
        self.links: list[_Link] = []
        self._keep, self._dump, self._ssl = keep, dump, ssl
        self._server: asyncio.Server | None = None
        self._encoder = msgspec.json.Encoder()
        self._pending: dict[tuple[str, str, int], dict[int, bytes]] = {}
        self._backlog: dict[str, list[bytes]] = {}
        self._texts: dict[tuple[int, bytes], str] = {}
        self._recent: deque[float] = deque()
        self._dated = 0, ""
        self._id = self.options.first_id

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Link(self), self.options.host, self.options.port, ssl=self._ssl
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in list(self.links):
            link.transport.abort()
        await asyncio.sleep(0)
        if self._dump is not None:
            self._dump.flush()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def messages(self) -> list[Part]:
        """What handsets would show: each whole message once, on its completing part."""
        return [part for part in self.parts if part.text is not None and part.status == 0]

    def drop(self, *, half: bool = False) -> None:
        """End every connection, in the middle of a unit if `half`."""
        for link in list(self.links):
            link.end(half=half)

    def send(self, pdu: Pdu) -> None:
        """Writes these bytes on every connection."""
        for link in self.links:
            link.transport.write(encode(pdu))

    # What links ask.

    def write_down(self) -> None:
        """Before anything is answered: what a client knows to be taken stands in the dump of a sink that is killed."""
        if self._dump is not None:
            self._dump.flush()

    def take(self, link: "_Link", pdu: SubmitSm) -> tuple[int, str]:
        """Note an arrival; returns (status, id)."""
        at_ns = time.time_ns()
        self.counts["submits"] += 1
        self.seconds[at_ns // 1_000_000_000] += 1
        status = self._status(pdu)
        message_id = ""
        if status == 0:
            self._id += 1
            message_id = self._form(self._id, self.options.id_form)
        if self._keep or self._dump is not None:
            self._note(self._part(link, pdu, at_ns, status, message_id))
        return status, message_id

    def receipts(self, pdu: SubmitSm, message_id: str, number: int) -> list[bytes]:
        """The bodies of the receipts of one taken submit, in their order."""
        if self.options.receipts == "none" or not pdu.registered_delivery & 1:
            return []
        form = self.options.receipt_id_form
        named = message_id if form == "same" else self._form(number, form)
        now = self._date()
        word = self.options.receipt_word
        delivered = "001" if word.startswith("DELIV") else "000"
        text = f"id:{named} sub:001 dlvrd:{delivered} submit date:{now} done date:{now} stat:{word} err:000 text:"
        receipt = b"".join(
            (
                bytes((0, pdu.destination_ton, pdu.destination_npi)),
                pdu.destination.encode("latin-1"),
                b"\0\0\0",
                pdu.source.encode("latin-1"),
                b"\0\x04\0\0\0\0\0\0\0\0",
                bytes((len(text),)),
                text.encode("latin-1"),
            )
        )
        return [receipt] * (2 if self.options.receipts == "twice" else 1)

    @property
    def last_number(self) -> int:
        return self._id

    def deliver(self, system_id: str, receipts: list[bytes], link: "_Link | None" = None) -> None:
        """Send receipts on this link or another of the account's that receives; keep them if there is none."""
        if link is None or not link.receives:
            link = next((one for one in self.links if one.receives and one.system_id == system_id), None)
        if link is None:
            self._backlog.setdefault(system_id, []).extend(receipts)
        else:
            link.deliver(receipts)

    def backlog(self, system_id: str) -> list[bytes]:
        return self._backlog.pop(system_id, [])

    # Inside.

    def _date(self) -> str:
        second = int(time.time())
        if second != self._dated[0]:
            self._dated = second, time.strftime("%y%m%d%H%M", time.gmtime(second))
        return self._dated[1]

    def _status(self, pdu: SubmitSm) -> int:
        options, count = self.options, self.counts["submits"]
        number = pdu.destination
        if options.refuse_prefix and number.startswith(options.refuse_prefix):
            return options.refuse_status
        if options.refuse_suffix and number.endswith(options.refuse_suffix):
            return options.refuse_status
        if options.fail_every and count % options.fail_every == 0:
            return options.fail_status
        if (options.throttle_every and count % options.throttle_every == 0) or self._too_fast():
            self.counts["throttled"] += 1
            return CommandStatus.THROTTLED
        return CommandStatus.OK

    def _too_fast(self) -> bool:
        if not self.options.max_rate_per_s:
            return False
        now = time.monotonic()
        while self._recent and now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if len(self._recent) >= self.options.max_rate_per_s:
            return True
        self._recent.append(now)
        return False

    def _form(self, number: int, form: str) -> str:
        if form == "uuid":
            return str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)))
        return f"{number:X}" if form == "hex" else str(number)

    def _part(self, link: "_Link", pdu: SubmitSm, at_ns: int, status: int, message_id: str) -> Part:
        place, octets = None, pdu.user_data
        if pdu.esm_class & 0x40:
            place, octets = read_header(octets)
        text: str | None
        if place is None or place.total == 1:
            text = self._read(pdu.data_coding, octets)
        else:
            text = self._join(pdu, place, octets) if status == 0 else None
        return Part(
            at_ns=at_ns,
            system_id=link.system_id,
            source=pdu.source,
            destination=pdu.destination,
            id=message_id,
            status=status,
            text=text,
            reference=place.reference if place else None,
            total=place.total if place else 1,
            part=place.part if place else 1,
            validity=pdu.validity,
            data_coding=pdu.data_coding,
            connection=link.number,
            sequence=pdu.sequence,
        )

    def _join(self, pdu: SubmitSm, place: PartOf, octets: bytes) -> str | None:
        key = (pdu.source, pdu.destination, place.reference)
        parts = self._pending.setdefault(key, {})
        parts[place.part] = octets
        if len(parts) < place.total:
            return None
        del self._pending[key]
        return self._read(pdu.data_coding, b"".join(parts[n] for n in sorted(parts)))

    def _read(self, coding: int, octets: bytes) -> str:
        """The text; the same one came a moment ago for somebody else, more often than not."""
        key = (coding, octets)
        if (text := self._texts.get(key)) is None:
            if len(self._texts) > 1_000:
                self._texts.clear()
            text = self._texts[key] = read([octets], "ucs2" if coding == 8 else "gsm")
        return text

    def _note(self, part: Part) -> None:
        if self._keep:
            self.parts.append(part)
        if self._dump is not None:
            self._dump.write(self._encoder.encode(part) + b"\n")


class _Link(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, sink: SmscSink) -> None:
        self.sink = sink
        self.system_id = ""
        self.receives = False
        self.number = 0
        self.transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder()
        self._submits = 0
        self._sequence = 0
        self._unacknowledged: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.sink.counts["connections"] += 1
        self.number = self.sink.counts["connections"]
        self.sink.links.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.sink.links.remove(self)
        self.receives = False
        if self._unacknowledged:
            self.sink.deliver(self.system_id, list(self._unacknowledged.values()))

    def data_received(self, data: bytes) -> None:
        try:
            pdus = self._decoder.feed(data)
        except ProtocolError:
            self.sink.counts["protocol_errors"] += 1
            self.transport.abort()
            return
        if self.sink.options.deaf:
            return
        answers: list[bytes] = []
        early: list[bytes] = []
        late: list[bytes] = []
        for pdu in pdus:
            if isinstance(pdu, SubmitSm):
                answer, receipts = self._on_submit(pdu)
                answers.append(answer)
                (early if self.sink.options.receipts == "early" else late).extend(receipts)
            elif not self._muted:
                self._on_other(pdu)
        if answers:
            self.sink.write_down()
        if answers and not self.sink.options.silent and not self._muted:
            self._answer(answers, early, late)
        if answers:
            self._misbehave()

    @property
    def _muted(self) -> bool:
        return 0 < self.sink.options.mute_after < self._submits

    def deliver(self, receipts: Iterable[bytes]) -> None:
        """Send deliver_sm with these bodies."""
        out = []
        for receipt in receipts:
            self._sequence = self._sequence % 0x7FFFFFFF + 1
            self._unacknowledged[self._sequence] = receipt
            out.append(HEADER.pack(16 + len(receipt), CommandId.DELIVER_SM, 0, self._sequence) + receipt)
        self.sink.counts["receipts"] += len(out)
        if out and not self.transport.is_closing():
            self.transport.write(b"".join(out))

    def end(self, *, half: bool) -> None:
        if half:
            self.transport.write(encode(SubmitSmResponse(sequence=1, message_id="cut"))[:18])
        self.transport.close()

    def _on_submit(self, pdu: SubmitSm) -> tuple[bytes, list[bytes]]:
        self._submits += 1
        status, message_id = self.sink.take(self, pdu)
        answer = encode(SubmitSmResponse(status=status, sequence=pdu.sequence, message_id=message_id))
        receipts = self.sink.receipts(pdu, message_id, self.sink.last_number) if status == 0 else []
        return answer, receipts

    def _answer(self, answers: list[bytes], early: list[bytes], late: list[bytes]) -> None:
        options = self.sink.options

        def write() -> None:
            self.deliver(early)
            if not self.transport.is_closing():
                self.transport.write(b"".join(answers))
            if not late:
                return
            if options.receipt_delay_s:
                self._loop.call_later(options.receipt_delay_s, self.sink.deliver, self.system_id, late, self)
            else:
                self.sink.deliver(self.system_id, late, self)

        if options.answer_delay_s:
            self._loop.call_later(options.answer_delay_s, write)
        else:
            write()

    def _on_other(self, pdu: Pdu) -> None:
        match pdu:
            case Bind():
                self._on_bind(pdu)
            case EnquireLink():
                self.transport.write(encode(EnquireLinkResponse(sequence=pdu.sequence)))
            case Unbind():
                self.sink.counts["unbinds"] += 1
                self.transport.write(encode(UnbindResponse(sequence=pdu.sequence)))
                self.transport.close()
            case DeliverSmResponse():
                self._on_acknowledged(pdu)
            case _:
                self.sink.counts["other"] += 1

    def _on_bind(self, pdu: Bind) -> None:
        options = self.sink.options
        status = options.bind_status
        if options.password and pdu.password != options.password:
            status = CommandStatus.INVALID_PASSWORD
        self.transport.write(
            encode(BindResponse(command=pdu.command, status=status, sequence=pdu.sequence, system_id="smsc"))
        )
        if status:
            return
        self.system_id = pdu.system_id
        self.receives = pdu.command is not CommandId.BIND_TRANSMITTER
        self.sink.counts["binds"] += 1
        if self.receives:
            self.deliver(self.sink.backlog(self.system_id))

    def _on_acknowledged(self, pdu: DeliverSmResponse) -> None:
        receipt = self._unacknowledged.pop(pdu.sequence, None)
        if receipt is None:
            self.sink.counts["other"] += 1
        elif pdu.status == 0:
            self.sink.counts["acknowledged"] += 1
        else:
            self.sink.counts["receipts_refused"] += 1
            self._loop.call_later(
                self.sink.options.receipt_repeat_s, self.sink.deliver, self.system_id, [receipt], self
            )

    def _misbehave(self) -> None:
        options = self.sink.options
        if 0 < options.close_after <= self._submits:
            self.end(half=True)
        if 0 < options.garbage_after <= self._submits:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if 0 < options.stop_reading_after <= self._submits:
            self.transport.pause_reading()


async def _serve(options: SmscOptions, dump: IO[bytes] | None) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    noted = stalls.noted(Path(dump.name)) if dump is not None else contextlib.nullcontext()
    async with SmscSink(options, keep=False, dump=dump) as sink, noted:
        print(msgspec.json.encode({"port": sink.port}).decode(), flush=True)
        await stop.wait()
    counts = {**sink.counts, "seconds": {str(second): n for second, n in sorted(sink.seconds.items())}}
    print(msgspec.json.encode(counts).decode(), flush=True)


def _arguments(arguments: list[str]) -> tuple[SmscOptions, str]:
    """One flag an option: --answer-delay-s 0.1; switches without a value."""
    parser = argparse.ArgumentParser(description="A false SMSC on 127.0.0.1.")
    parser.add_argument("--dump", default="", help="file for one JSON line a submit; stalls stand beside it")
    for field in msgspec.structs.fields(SmscOptions):
        flag = "--" + field.name.replace("_", "-")
        if field.type is bool:
            parser.add_argument(flag, action="store_true", default=field.default)
        else:
            parser.add_argument(flag, default=field.default)
    values = vars(parser.parse_args(arguments))
    dump = values.pop("dump")
    return msgspec.convert(values, SmscOptions, strict=False), dump


def main() -> None:
    import uvloop

    options, path = _arguments(sys.argv[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if path:
            with open(path, "wb", buffering=1 << 20) as dump:
                runner.run(_serve(options, dump))
        else:
            runner.run(_serve(options, None))


if __name__ == "__main__":
    main()
