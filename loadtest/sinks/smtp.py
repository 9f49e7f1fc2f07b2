"""A fast SMTP server that keeps or dumps what it gets, misbehaves on demand and sends bounces back.

    python -m loadtest.sinks.smtp --port 0 --dump mails.jsonl

prints one line `{"port": N}` and serves on 127.0.0.1 until SIGTERM or SIGINT. It offers PIPELINING, 8BITMIME,
SMTPUTF8, DSN and SIZE. Knows nothing of campaigns: `token` is the reference in the return path.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, cast

import aiosmtplib
import msgspec

from loadtest.sinks import stalls
from loadtest.sinks.smtp_mail import Dump, Mail, failure_report

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 10485760", "ENHANCEDSTATUSCODES")

_BOUNCERS = 8
_MOST_BOUNCES_WAITING = 100_000


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the sink behaves. `every` counts messages over all connections; 0 is never."""

    port: int = 0
    reply_delay_s: float = 0.0
    extensions: tuple[str, ...] = EXTENSIONS
    refuse: tuple[tuple[str, str], ...] = ()
    """(regular expression of a recipient, reply): `(".*@full\\.", "452 4.2.2 mailbox full")`."""
    close_after_dot_every: int = 0
    """Take the message and close without a word."""
    busy_every: int = 0
    """421 to RCPT, and close."""
    silent_every: int = 0
    """Take the message and never answer."""
    throttle_per_s: int = 0
    """More transactions in one second than this: 451 4.7.0 to MAIL."""
    bounce_to: tuple[str, int] | None = None
    bounce_share: float = 0.0
    """Share of messages, 0 to 1, that come back as a failure (RFC 3464) to their return path."""
    seed: int = 1


class SmtpSink:
    """`async with SmtpSink(options) as sink`: a server on 127.0.0.1 whose mails are in `sink.messages`, or go to
    `keep` one by one."""

    def __init__(self, options: Options | None = None, keep: Callable[[Mail], None] | None = None) -> None:
        self.options = options or Options()
        self.messages: list[Mail] = []
        self.connections: set[_Connection] = set()
        self.connected = 0
        """Connections so far."""
        self.commands: list[str] = []
        """Verbs other than those of a transaction, as they came: EHLO, RSET, NOOP, QUIT."""
        self.refusals = [(re.compile(pattern), reply.encode()) for pattern, reply in self.options.refuse]
        self._keep = keep or self.messages.append
        self._begun = 0
        self._second = (0, 0)
        self._random = random.Random(self.options.seed)
        self._bounces: asyncio.Queue[Mail] = asyncio.Queue(_MOST_BOUNCES_WAITING)
        self._stack = contextlib.AsyncExitStack()
        self.port = 0

    async def __aenter__(self) -> "SmtpSink":
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.options.port)
        self.port = server.sockets[0].getsockname()[1]
        self._stack.callback(self._close, server)
        if self.options.bounce_to is not None:
            await self._stack.enter_async_context(_running(self._send_bounces() for _ in range(_BOUNCERS)))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _close(self, server: asyncio.Server) -> None:
        server.close()
        for connection in list(self.connections):
            connection.abort()

    def begin(self) -> int:
        """The number of the transaction that begins, from 1."""
        self._begun += 1
        return self._begun

    def is_over_pace(self) -> bool:
        if not self.options.throttle_per_s:
            return False
        second, count = int(time.monotonic()), 1
        if second == self._second[0]:
            count += self._second[1]
        self._second = (second, count)
        return count > self.options.throttle_per_s

    def take(self, mail: Mail) -> None:
        self._keep(mail)
        if self.options.bounce_to is not None and self._random.random() < self.options.bounce_share:
            with contextlib.suppress(asyncio.QueueFull):
                self._bounces.put_nowait(mail)

    async def bounced(self) -> None:
        """Waits until every bounce so far has been sent."""
        await self._bounces.join()

    async def _send_bounces(self) -> None:
        host, port = self.options.bounce_to or ("127.0.0.1", 0)
        while True:
            mail = await self._bounces.get()
            try:
                await _bounce(mail, host, port)
            finally:
                self._bounces.task_done()


@contextlib.asynccontextmanager
async def _running(works: Iterable[Any]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _bounce(mail: Mail, host: str, port: int) -> None:
    """One RFC 3464 report, tried again for some seconds while the intake says 4xx or is away."""
    for attempt in range(5):
        try:
            client = aiosmtplib.SMTP(hostname=host, port=port, start_tls=False, local_hostname="sink.invalid")
            async with client:
                await client.sendmail("", [mail.mail_from], failure_report(mail))
            return
        except aiosmtplib.SMTPException:
            await asyncio.sleep(0.1 * 2**attempt)


class _Connection(asyncio.Protocol):
    """One client. Replies to one packet leave in one write."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink
        self._options = sink.options
        self._buffer = b""
        self._replies: list[bytes] = []
        self._is_body = False
        self._number = 0
        self._mail_from: str | None = None
        self._rcpt: list[str] = []
        self._parameters = ""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sink.connections.add(self)
        self._sink.connected += 1
        self._write(b"220 sink.invalid ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.connections.discard(self)
        self._transport = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._transport is not None and (self._body() if self._is_body else self._line()):
            pass
        if self._replies:
            replies, self._replies = b"".join(self._replies), []
            if self._options.reply_delay_s:
                loop = asyncio.get_running_loop()
                loop.call_later(self._options.reply_delay_s, self._write, replies)
            else:
                self._write(replies)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _line(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._mail(line)
        elif verb == b"RCPT":
            self._recipient(line)
        elif verb == b"DATA":
            self._data()
        else:
            self._other(verb)
        return True

    def _mail(self, line: bytes) -> None:
        if self._mail_from is not None:
            self._replies.append(b"503 5.5.1 nested MAIL\r\n")
            return
        self._rcpt = []  # also where it is refused: a client that pipelines has sent RCPT and DATA already
        if self._sink.is_over_pace():
            self._replies.append(b"451 4.7.0 slow down\r\n")
            return
        self._mail_from, self._parameters = _path(line)
        self._number = self._sink.begin()
        self._replies.append(b"250 2.1.0 ok\r\n")

    def _recipient(self, line: bytes) -> None:
        if self._mail_from is None:
            self._replies.append(b"503 5.5.1 need MAIL\r\n")
            return
        address, parameters = _path(line)
        for pattern, reply in self._sink.refusals:
            if pattern.fullmatch(address):
                self._replies.append(reply + b"\r\n")
                return
        if self._is_nth(self._options.busy_every):
            self._replies.append(b"421 4.3.2 going down\r\n")
            self._write(b"".join(self._replies))
            self._hang_up()
            return
        self._rcpt.append(address)
        self._parameters += parameters
        self._replies.append(b"250 2.1.5 ok\r\n")

    def _data(self) -> None:
        if not self._rcpt:
            self._replies.append(b"554 5.5.1 no valid recipients\r\n")
            return
        self._is_body = True
        self._replies.append(b"354 go on\r\n")

    def _body(self) -> bool:
        if self._buffer.startswith(b".\r\n"):
            stuffed, self._buffer = b"", self._buffer[3:]
        else:
            end = self._buffer.find(b"\r\n.\r\n")
            if end < 0:
                return False
            stuffed, self._buffer = self._buffer[: end + 2], self._buffer[end + 5 :]
        self._is_body = False
        self._taken(stuffed)
        return True

    def _taken(self, stuffed: bytes) -> None:
        closes = self._is_nth(self._options.close_after_dot_every)
        answers = not closes and not self._is_nth(self._options.silent_every)
        raw = stuffed[1:] if stuffed.startswith(b"..") else stuffed
        raw, now_ns = raw.replace(b"\r\n..", b"\r\n."), time.time_ns()
        for rcpt in self._rcpt:
            self._sink.take(Mail(now_ns, self._mail_from or "", rcpt, self._parameters, raw, answers))
        self._mail_from = None
        if answers:
            self._replies.append(b"250 2.0.0 ok: queued as %d\r\n" % self._number)
        if closes:
            self._hang_up()

    def _other(self, verb: bytes) -> None:
        self._sink.commands.append(verb.decode("ascii", "replace"))
        if verb in (b"EHLO", b"HELO"):
            names = ("sink.invalid", *(self._options.extensions if verb == b"EHLO" else ()))
            lines = [f"250-{name}\r\n" for name in names[:-1]] + [f"250 {names[-1]}\r\n"]
            self._replies.append("".join(lines).encode())
        elif verb in (b"RSET", b"NOOP"):
            self._mail_from = None
            self._replies.append(b"250 2.0.0 ok\r\n")
        elif verb == b"QUIT":
            self._write(b"".join([*self._replies, b"221 2.0.0 bye\r\n"]))
            self._hang_up()
        else:
            self._replies.append(b"502 5.5.2 unknown\r\n")

    def _is_nth(self, every: int) -> bool:
        return every > 0 and self._number % every == 0

    def _hang_up(self) -> None:
        self._replies = []
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def _path(line: bytes) -> tuple[str, str]:
    path, _, parameters = line.decode("utf-8", "replace").partition(">")
    return path.partition("<")[2], parameters


def _rule(text: str) -> tuple[str, str]:
    pattern, _, reply = text.rpartition("=")
    return pattern, reply


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.sinks.smtp", description="A fast SMTP sink.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--reply-delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("--refuse", action="append", type=_rule, default=[], metavar="REGEX=REPLY")
    parser.add_argument("--close-after-dot-every", type=int, default=0, metavar="N")
    parser.add_argument("--busy-every", type=int, default=0, metavar="N")
    parser.add_argument("--silent-every", type=int, default=0, metavar="N")
    parser.add_argument("--throttle", type=int, default=0, metavar="PER_SECOND")
    parser.add_argument("--bounce-to", metavar="HOST:PORT")
    parser.add_argument("--bounce-share", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dump", metavar="FILE")
    parser.add_argument("--bodies", action="store_true")
    return parser.parse_args()


def _options(arguments: argparse.Namespace) -> Options:
    host, _, port = (arguments.bounce_to or "").rpartition(":")
    return Options(
        port=arguments.port,
        reply_delay_s=arguments.reply_delay,
        extensions=EXTENSIONS[1:] if arguments.no_pipelining else EXTENSIONS,
        refuse=tuple(arguments.refuse),
        close_after_dot_every=arguments.close_after_dot_every,
        busy_every=arguments.busy_every,
        silent_every=arguments.silent_every,
        throttle_per_s=arguments.throttle,
        bounce_to=(host, int(port)) if host else None,
        bounce_share=arguments.bounce_share,
        seed=arguments.seed,
    )


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        keep: Callable[[Mail], None] = _forget
        if arguments.dump:
            path = Path(arguments.dump)
            file = stack.enter_context(await asyncio.to_thread(path.open, "w", encoding="utf-8"))
            dump = Dump(file, bodies=arguments.bodies)
            stack.callback(dump.flush)
            await stack.enter_async_context(_running([dump.flush_often()]))
            await stack.enter_async_context(stalls.noted(path))
            keep = dump.keep
        sink = await stack.enter_async_context(SmtpSink(_options(arguments), keep))
        print(json.dumps({"port": sink.port}), flush=True)
        await stop.wait()


def _forget(mail: Mail) -> None:
    """Without a dump nothing is kept: a long run must not fill the memory."""


def main() -> None:
    import uvloop

    uvloop.run(_serve(_arguments()))


if __name__ == "__main__":
    main()
