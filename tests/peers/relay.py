"""Relays that misbehave as real ones do: a real SMTP server on 127.0.0.1 that answers by script.

A next case is a line: `scripted(RCPT=[b"553 5.7.1 Sender rejected\\r\\n"])`, `scripted(offering=("SMTPUTF8",))`,
`scripted(BODY=[CLOSE, b"250 ok\\r\\n"])`. The last reply of a verb holds for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

CLOSE = b"\0close"
"""Hangs up."""
SILENCE = b""


class ScriptedRelay:
    """Answers each verb with the next of its replies, the last one for ever; BODY is the end of a message.

    A reply is bytes, or pieces of bytes sent apart; `CLOSE` hangs up and `SILENCE` says nothing.
    """

    def __init__(
        self, script: Mapping[str, Sequence[bytes | tuple[bytes, ...]]], *, offering: Sequence[str] = ()
    ) -> None:
        lines = ["relay.invalid", *offering]
        offers = "".join(f"250{' ' if n == len(lines) else '-'}{line}\r\n" for n, line in enumerate(lines, 1)).encode()
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
        self.recipients: list[str] = []
        """To whom a mail was offered."""
        self.took: list[str] = []
        """For whom a body was taken."""
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
        is_meant = False
        while line := await reader.readline():
            verb = line[:4].decode().strip().upper()
            self.said.append(verb)
            if verb == "RCPT":
                self.recipients.append(line.decode("utf-8", "replace").partition("<")[2].partition(">")[0])
            last = self._next(verb)
            if verb == "RCPT":
                is_meant = (last if isinstance(last, bytes) else b"".join(last)).startswith(b"2")
            if not await self._send(last, writer):
                return
            if verb == "DATA" and last[:3] == b"354":
                body = await self._body(reader)
                self.bodies.append(body)
                self.said.append("BODY")
                answer = self._next("BODY")
                if is_meant and (answer if isinstance(answer, bytes) else b"".join(answer)).startswith(b"2"):
                    self.took.append(self.recipients[-1])
                if not await self._send(answer, writer):
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
    *,
    pipelining: bool = True,
    offering: Sequence[str] = ("SIZE",),
    **script: Sequence[bytes | tuple[bytes, ...]],
) -> AsyncIterator[ScriptedRelay]:
    """`offering`: the extensions of its EHLO, besides PIPELINING; without it none is offered at all."""
    server = ScriptedRelay(script, offering=("PIPELINING", *offering) if pipelining else ())
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
