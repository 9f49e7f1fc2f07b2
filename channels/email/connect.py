"""From settings to a session that may send: TCP, TLS, EHLO and AUTH by aiosmtplib, then its transport is ours.

aiosmtplib does what is done once a connection; its one-command-at-a-time protocol is too slow for the rest.
"""

import asyncio
import socket
import ssl
from typing import cast

import aiosmtplib
import msgspec

from channels.email.envelope import Offers
from channels.email.settings import SmtpSettings, Tls
from channels.email.smtp import SmtpOwner, SmtpSession
from channels.standstill import RunningClock


class Unreachable(msgspec.Struct, frozen=True):
    """No session; `reason` names no secret."""

    reason: str
    misconfigured: bool = False
    """True when trying again is no use (and may lock an account) until a person has changed something."""


class Connector:
    """Opens sessions to one relay; the authorities to believe are read once."""

    def __init__(self, settings: SmtpSettings, clock: RunningClock | None = None) -> None:
        self._settings = settings
        self._clock = clock or RunningClock()
        self._context: ssl.SSLContext | None = None

    async def open(self, owner: SmtpOwner) -> SmtpSession | Unreachable:
        """Connect, within `connect_timeout_s` in all. Raises nothing but CancelledError."""
        client: aiosmtplib.SMTP | None = None
        session: SmtpSession | None = None
        try:
            async with self._clock.timeout(self._settings.connect_timeout_s):
                client = _client(self._settings, await self._tls())
                refused = await _dialogue(client, self._settings)
            session = _taken_over(client, self._settings, owner, self._clock) if refused is None else None
            return refused or cast(SmtpSession, session)
        except TimeoutError:
            return Unreachable("no connection within the time allowed")
        except aiosmtplib.SMTPResponseException as refusal:
            return Unreachable(f"the relay refused the session ({refusal.code})")
        except ssl.SSLError as error:
            return Unreachable(f"TLS failed: {error.reason or type(error).__name__}")
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Unreachable(f"no session: {type(error.__cause__ or error).__name__}")
        finally:
            if session is None and client is not None:
                client.close()

    async def _tls(self) -> ssl.SSLContext | None:
        if self._context is None and self._settings.tls is not Tls.NONE:
            self._context = await asyncio.to_thread(_tls_context, self._settings)
        return self._context


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.tls is not Tls.VERIFY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _client(settings: SmtpSettings, context: ssl.SSLContext | None) -> aiosmtplib.SMTP:
    encrypted = settings.tls is not Tls.NONE
    start_tls = None if settings.tls is Tls.OPPORTUNISTIC else encrypted
    return aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        local_hostname=settings.ehlo_name or socket.gethostname(),
        timeout=None,  # ours is over the whole of it, and knows when we stood still
        use_tls=encrypted and settings.implicit_tls,
        start_tls=False if settings.implicit_tls else start_tls,
        tls_context=context,
    )


async def _dialogue(client: aiosmtplib.SMTP, settings: SmtpSettings) -> Unreachable | None:
    await client.connect()
    if client.is_ehlo_or_helo_needed:  # after STARTTLS all that was offered before is void (RFC 3207 4.2)
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()
    if not settings.username:
        return None
    if settings.tls is not Tls.NONE and client.get_transport_info("sslcontext") is None:
        return Unreachable("the relay offers no TLS, and a password is not sent in the clear", misconfigured=True)
    try:
        await client.login(settings.username, settings.password)
    except aiosmtplib.SMTPAuthenticationError as refusal:
        return Unreachable(f"AUTH was refused ({refusal.code})", misconfigured=refusal.code >= 500)
    except aiosmtplib.SMTPServerDisconnected:
        raise
    except aiosmtplib.SMTPException:
        return Unreachable("the relay offers no AUTH that we know", misconfigured=True)
    return None


def _taken_over(client: aiosmtplib.SMTP, settings: SmtpSettings, owner: SmtpOwner, clock: RunningClock) -> SmtpSession:
    transport = cast(asyncio.Transport, client.transport)
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    session = SmtpSession(
        transport,
        _offers(client),
        owner,
        command_timeout_s=settings.command_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
        clock=clock,
    )
    transport.set_protocol(session)
    return session


def _offers(client: aiosmtplib.SMTP) -> Offers:
    return Offers(
        pipelining=client.supports_extension("PIPELINING"),
        eight_bit=client.supports_extension("8BITMIME"),
        smtputf8=client.supports_extension("SMTPUTF8"),
        dsn=client.supports_extension("DSN"),
        size=client.supports_extension("SIZE"),
        most_octets=_number(client.esmtp_extensions.get("size", "")),
    )


def _number(text: str) -> int:
    """0 for what is none: a relay may say SIZE and no limit."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
