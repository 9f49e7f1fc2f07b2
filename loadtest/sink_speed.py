"""How fast the sinks themselves are: clients that do nothing but write, so that no figure of the gateway is the sink's.

    python -m loadtest.sink_speed --smsc PORT --smtp PORT --seconds 2

prints `{"smsc_per_s": ..., "smtp_per_s": ...}`: segments answered, their receipts acknowledged, and mails answered.
The bytes are made beforehand; the client costs less than any gateway would.
"""

import argparse
import asyncio
import json
import struct
import time
from collections.abc import Callable
from typing import cast

from channels.sms.smpp.codec import HEADER, encode
from channels.sms.smpp.pdu import Bind, CommandId, SubmitSm

_WINDOW, _BINDS = 200, 2
_CONNECTIONS = 16
_RESPONSE = 0x80000000
_SEQUENCE = struct.Struct(">I")


class _SmppFlood(asyncio.Protocol):
    """Keeps a window full."""

    def __init__(self) -> None:
        self.answered = 0
        self._bound = False
        self._buffer = b""
        self._next = 1
        text = b"NR00000000 Wegenwerken. De werken beginnen maandag."
        self._submit = encode(
            SubmitSm(
                sequence=0, source="TOCSIN", source_ton=5, destination="32470000000", destination_ton=1,
                destination_npi=1, registered_delivery=1, short_message=text,
            )
        )  # fmt: skip
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(encode(Bind(sequence=1, system_id="limit")))

    def data_received(self, data: bytes) -> None:
        buffer, at, out, freed = self._buffer + data, 0, [], 0
        while len(buffer) - at >= 16:
            length, command, _, sequence = HEADER.unpack_from(buffer, at)
            if len(buffer) - at < length:
                break
            at += length
            if command == CommandId.SUBMIT_SM | _RESPONSE:
                freed += 1
            elif command == CommandId.DELIVER_SM:
                out.append(HEADER.pack(17, CommandId.DELIVER_SM | _RESPONSE, 0, sequence) + b"\0")
            elif not self._bound:
                self._bound, freed = True, _WINDOW
                self.answered -= _WINDOW
        self._buffer = buffer[at:]
        self.answered += freed
        for _ in range(freed):
            self._next += 1
            out.append(self._submit[:12] + _SEQUENCE.pack(self._next) + self._submit[16:])
        if out:
            self._transport.write(b"".join(out))


class _SmtpFlood(asyncio.Protocol):
    """One mail after the other, pipelined to the DATA."""

    _ENVELOPE = b"MAIL FROM:<bounce+g.1.1.0000000000000000@bounces.example>\r\nRCPT TO:<m1@example.org>\r\nDATA\r\n"
    _BODY = b"From: Tocsin <no-reply@alerts.example>\r\nSubject: NR00000000 limit\r\n\r\n" + b"x" * 70 + b"\r\n" * 20

    def __init__(self) -> None:
        self.answered = -1
        self._buffer = b""
        self._said_hello = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"220"):
                self._transport.write(b"EHLO limit.invalid\r\n")
            elif line.startswith(b"354"):
                self._transport.write(self._BODY + b".\r\n")
            elif line.startswith(b"250 ") and (not self._said_hello or b"queued" in line):
                self._said_hello = True
                self.answered += 1
                self._transport.write(self._ENVELOPE)


_Flood = _SmppFlood | _SmtpFlood


def _given(flood: _Flood) -> Callable[[], _Flood]:
    return lambda: flood


async def _rate(make: type[_SmppFlood] | type[_SmtpFlood], port: int, connections: int, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    links: list[tuple[asyncio.Transport, _Flood]] = []
    for _ in range(connections):
        flood = make()
        transport, _ = await loop.create_connection(_given(flood), "127.0.0.1", port)
        links.append((transport, flood))
    await asyncio.sleep(0.3)
    before, started_s = sum(flood.answered for _, flood in links), time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (sum(flood.answered for _, flood in links) - before) / (time.perf_counter() - started_s)
    for transport, _ in links:
        transport.abort()
    return rate


async def measure(smsc: int, smtp: int, seconds: float) -> dict[str, float]:
    return {
        "smsc_per_s": await _rate(_SmppFlood, smsc, _BINDS, seconds),
        "smtp_per_s": await _rate(_SmtpFlood, smtp, _CONNECTIONS, seconds),
    }


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m loadtest.sink_speed", description="How fast the sinks are.")
    parser.add_argument("--smsc", type=int, required=True, metavar="PORT")
    parser.add_argument("--smtp", type=int, required=True, metavar="PORT")
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    print(json.dumps(uvloop.run(measure(options.smsc, options.smtp, min(options.seconds, 30.0)))))


if __name__ == "__main__":
    main()
