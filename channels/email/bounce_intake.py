"""The door by which bounces come in: an SMTP or LMTP server for the domain of our return paths.

It says 250 only once the receipt is committed, and knows no store: the sink does. Whoever cannot prove one of
our references is turned away before he has sent a byte of content.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Annotated, cast

import msgspec
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from channels.contract import Receipt, ReceiptSink, ReceiptsRefused
from channels.email.bounces import read_bounce
from channels.email.settings import Dialect
from channels.email.verp import reference_of

log = logging.getLogger(__name__)

_NAME = "bounces"
_PROVEN, _TRIED = "tocsin_proven", "tocsin_tried"
"""What is remembered of a conversation, on aiosmtpd's session."""
LONGEST_LINE = 100_000
"""Octets; what a careless server may put into a report."""
STRANGER_S = 20.0
"""So long somebody may stay who has not named a return path of ours. Relays know theirs before they connect."""
_MOST_STRANGE_PATHS = 20
"""Return paths that are none of ours, in one conversation: then it is over."""


class BounceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to listen and what to believe."""

    domain: str
    """The domain of the return paths (`Sender.bounce_domain`)."""
    key: bytes
    """The key of the return paths (`Sender.bounce_key`): the secret itself."""
    carrier: str
    """The name under which receipts are told."""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 2424
    dialect: Dialect = Dialect.SMTP
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1024, le=64_000_000)] = 1_000_000
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    """Where there is no room, the stranger that came first gives way to a newcomer."""
    idle_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    session_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 600.0
    commit_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30.0

    def __repr__(self) -> str:
        return f"BounceSettings({self.domain!r}, {self.host!r}, {self.port}, {self.dialect.value})"


class BounceIntake:
    """`port` is the one that was bound, once `listening` is set."""

    def __init__(self, settings: BounceSettings, sink: ReceiptSink, now_ms: Callable[[], int] | None = None) -> None:
        self.port = settings.port
        self.listening = asyncio.Event()
        self._settings = settings
        self._handler = _Handler(settings, sink, now_ms or _utc_ms)
        self._doors: dict[_Door, None] = {}
        """In the order of their coming."""
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. Raises OSError when the address cannot be bound."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._door, self._settings.host, self._settings.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.listening.set()

    def close(self) -> None:
        """Hang up on everybody; nothing where it does not listen."""
        self.listening.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
        for door in list(self._doors):
            door.hang_up()

    async def run(self) -> None:
        """Serve until cancelled; a bounce that was not answered by then is sent again by its relay.
        Raises OSError when the address cannot be bound."""
        if self._server is None:
            await self.open()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.close()

    def _door(self) -> asyncio.Protocol:
        if len(self._doors) >= self._settings.max_connections and not self._make_room():
            return _Full()
        conversation = (_Lmtp if self._settings.dialect is Dialect.LMTP else _Smtp)(
            self._handler,
            data_size_limit=self._settings.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname=_NAME,
            ident="ready",
            timeout=self._settings.idle_timeout_s,
        )
        return _Door(conversation, self._doors, self._settings.session_timeout_s)

    def _make_room(self) -> bool:
        stranger = next((door for door in self._doors if door.is_strange), None)
        if stranger is not None:
            self._doors.pop(stranger)
            stranger.hang_up()
        return stranger is not None


class _Smtp(SMTP):
    # A refusal for a long line would be final, and the bounce lost for the sake of RFC 5321 4.5.3.1.6.
    line_length_limit = LONGEST_LINE


class _Lmtp(LMTP):
    line_length_limit = LONGEST_LINE


class _Full(asyncio.Protocol):
    """One too many: told to come back (RFC 5321 3.8), so that its bounce is kept where it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"421 4.3.2 too many connections\r\n")
        transport.close()


class _Door(asyncio.Protocol):
    """Counts a conversation and bounds its length; the conversation itself is aiosmtpd's."""

    def __init__(self, conversation: SMTP, doors: "dict[_Door, None]", session_timeout_s: float) -> None:
        self._conversation = conversation
        self._doors = doors
        self._session_timeout_s = session_timeout_s
        self._transport: asyncio.BaseTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._doors[self] = None
        self._transport = transport
        stranger_s = min(STRANGER_S, self._session_timeout_s)
        self._timer = asyncio.get_running_loop().call_later(stranger_s, self._look)
        self._conversation.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._conversation.data_received(data)

    def eof_received(self) -> bool | None:
        return self._conversation.eof_received()

    def pause_writing(self) -> None:
        self._conversation.pause_writing()

    def resume_writing(self) -> None:
        self._conversation.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._doors.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        self._conversation.connection_lost(exc)

    @property
    def is_strange(self) -> bool:
        """Whether it has named no return path of ours yet."""
        session = self._conversation.session
        return session is None or not getattr(session, _PROVEN, False)

    def _look(self) -> None:
        left_s = self._session_timeout_s - STRANGER_S
        if self.is_strange or left_s <= 0:
            self.hang_up()
        else:
            self._timer = asyncio.get_running_loop().call_later(left_s, self.hang_up)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Handler:
    """aiosmtpd's hooks. Whatever goes wrong on our side is a 451: the relay keeps the bounce."""

    def __init__(self, settings: BounceSettings, sink: ReceiptSink, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._sink = sink
        self._now_ms = now_ms

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient at a time"  # LMTP owes an answer for each
        if reference_of(address, self._settings.domain, self._settings.key) is None:
            return self._strange(server, session)
        setattr(session, _PROVEN, True)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    def _strange(self, server: SMTP, session: Session) -> str:
        """Nobody tries thousands of them in one conversation."""
        tried = getattr(session, _TRIED, 0) + 1
        setattr(session, _TRIED, tried)
        if tried >= _MOST_STRANGE_PATHS and server.transport is not None:
            asyncio.get_running_loop().call_soon(server.transport.close)
            return "421 4.7.0 too many return paths that are not ours"
        return "550 5.1.1 not a return path of ours"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reference = reference_of(envelope.rcpt_tos[0], self._settings.domain, self._settings.key)
        content = envelope.content
        if reference is None or not isinstance(content, bytes):
            return "550 5.1.1 not a return path of ours"
        told = await asyncio.to_thread(
            read_bounce,
            content,
            reference=reference,
            carrier=self._settings.carrier,
            arrived_ms=self._now_ms(),
        )
        if not isinstance(told, Receipt):
            log.info("a mail to a return path was ignored: %s", told.reason, extra={"action": "bounce"})
            return "250 2.0.0 ignored"
        try:
            async with asyncio.timeout(self._settings.commit_timeout_s):
                await self._sink([told])
        except (ReceiptsRefused, TimeoutError):
            return "451 4.3.0 cannot be kept now, try later"
        return "250 2.0.0 kept"

    async def handle_exception(self, error: Exception) -> str:
        log.error("a bounce could not be handled", exc_info=error, extra={"action": "bounce"})
        return "451 4.3.0 try later"


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
