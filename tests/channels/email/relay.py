"""Makers for the tests of the SMTP carrier, and a relay that answers by script."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from channels.contract import Outgoing
from channels.email.carrier import SmtpCarrier
from channels.email.letter import Letter, PreparedMail, Sender, prepare
from channels.email.settings import SmtpSettings, Tls

SENDER = Sender(
    name="PLP Dorp",
    address="no-reply@example.be",
    message_id_domain="example.be",
    bounce_domain="bounces.example.be",
    bounce_key=b"key",
)
LETTER = Letter(
    subject="Inbraak — Kerkstraat",
    paragraphs=("Er is ingebroken.", ".punt"),
    language="nl",
    date_ms=0,
    greeting="Beste {name},",
    closing="Kenmerk {reference}",
)
MAIL = prepare(LETTER, SENDER)
CLOSE = b"\0close"
SILENCE = b""


def settings(port: int, **changed: object) -> SmtpSettings:
    """Impatient ones, for one relay on this machine."""
    given: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": Tls.NONE,
        "ehlo_name": "gateway.invalid",
        "connections": 1,
        "connect_timeout_s": 3.0,
        "command_timeout_s": 0.4,
        "answer_timeout_s": 0.4,
        "drain_timeout_s": 0.4,
        "misconfigured_pause_s": 30.0,
    }
    return SmtpSettings(**(given | changed))  # type: ignore[arg-type]


def relay(port: int, **changed: object) -> SmtpCarrier:
    return SmtpCarrier("relay", settings(port, **changed))


def now() -> float:
    return asyncio.get_running_loop().time()


def mails(count: int, *, address: str = "p{}@example.be", mail: PreparedMail = MAIL) -> list[Outgoing]:
    return [
        Outgoing(f"c1.{number}", address.format(number), f"Persoon {number}", mail, (now(),)) for number in range(count)
    ]


class ScriptedRelay:
    """Answers each verb with the next of its replies, the last one for ever; BODY is the end of a message.

    A reply is bytes, or pieces of bytes sent apart; `CLOSE` hangs up and `SILENCE` says nothing.
    """

    def __init__(self, script: Mapping[str, Sequence[bytes | tuple[bytes, ...]]], *, pipelining: bool) -> None:
        offers = b"250-relay.invalid\r\n250-PIPELINING\r\n250 SIZE\r\n" if pipelining else b"250 relay.invalid\r\n"
        usual: dict[str, Sequence[bytes | tuple[bytes, ...]]] = {
            "GREETING": [b"220 relay.invalid\r\n"],
            "EHLO": [offers],
            "MAIL": [b"250 2.1.0 ok\r\n"],
            "RCPT": [b"250 2.1.5 ok\r\n"],
            "DATA": [b"354 go on\r\n"],
            "BODY": [b"250 2.0.0 queued as 7\r\n"],
            "QUIT": [b"221 bye\r\n", CLOSE],
        }
        self._script = {verb: list(replies) for verb, replies in (usual | dict(script)).items()}
        self.said: list[str] = []
        """Verbs in the order in which they came, over all connections."""
        self.bodies: list[bytes] = []
        self.connections = 0
        self.port = 0

    def _next(self, verb: str) -> bytes | tuple[bytes, ...]:
        replies = self._script.get(verb, [b"250 2.0.0 ok\r\n"])
        return replies.pop(0) if len(replies) > 1 else replies[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._answer("GREETING", writer):
            return
        while line := await reader.readline():
            verb = line[:4].decode().strip().upper()
            self.said.append(verb)
            last = self._next(verb)
            if not await self._send(last, writer):
                return
            if verb == "DATA" and last[:3] == b"354":
                body = await self._body(reader)
                self.bodies.append(body)
                self.said.append("BODY")
                if not await self._answer("BODY", writer):
                    return

    async def _body(self, reader: asyncio.StreamReader) -> bytes:
        lines = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line)
        return b"".join(lines)

    async def _answer(self, verb: str, writer: asyncio.StreamWriter) -> bool:
        return await self._send(self._next(verb), writer)

    async def _send(self, reply: bytes | tuple[bytes, ...], writer: asyncio.StreamWriter) -> bool:
        for piece in (reply,) if isinstance(reply, bytes) else reply:
            if piece == CLOSE:
                return False
            writer.write(piece)
            await writer.drain()
            if isinstance(reply, tuple):
                await asyncio.sleep(0.01)
        return True


@asynccontextmanager
async def scripted(
    *, pipelining: bool = True, **script: Sequence[bytes | tuple[bytes, ...]]
) -> AsyncIterator[ScriptedRelay]:
    server = ScriptedRelay(script, pipelining=pipelining)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
