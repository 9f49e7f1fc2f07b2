"""The door on its hinges: the application made of the gateway's parts, and an HTTP server that does not trust peers."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from aiohttp import StreamReader, web
from aiohttp.web_request import BaseRequest

from gateway.access.allowance import Allowance
from gateway.access.keys import Keyring, keys_of
from gateway.feed.changes import FeedChanges
from gateway.feed.current import CurrentFeed
from gateway.feed.formats import Making
from gateway.http.access_log import CLIENT, id_of
from gateway.http.api_document import ApiDocument
from gateway.http.client_address import Network, is_trusted_peer, networks
from gateway.http.console_files import load_console
from gateway.http.context import HttpContext
from gateway.http.door import application, written_document
from gateway.http.expectations import not_met
from gateway.http.languages import ENGLISH
from gateway.http.loaded_assets import load_assets
from gateway.http.metrics import Metrics
from gateway.http.problems import problem
from gateway.http.progress import ProgressWatch
from gateway.http.services import Services
from gateway.http.topics import look
from gateway.http.visitors import Visitor, Visitors, room

log = logging.getLogger(__name__)

_IDLE_S = 75.0
"""A connection that has been answered is kept open for its next request so long. The head of a request, once it has
begun, and the first one of a connection have `server.head_timeout_s`."""
_MOST_HEADERS = 64
_MOST_LINE = 8190
_SHUTDOWN_S = 5.0
_BURST_S = 10
"""An account may make the requests of so many seconds at once."""
_GOODBYE_S = 10.0
"""A TLS connection that has ended waits so long for what was written to be taken, and for the client's goodbye."""


def make_runner(services: Services) -> web.AppRunner:
    """Sites are the caller's to start. After the sites have stopped, `cleanup` lets the watchers go."""
    return runner_of(make_context(services))


def make_context(services: Services) -> HttpContext:
    database, feed = services.database, services.feed
    making = Making(feed.feed_title, feed.feed_author, feed.answer_sender, services.sign)
    current_feed = CurrentFeed(database, making)
    return HttpContext(
        services=services,
        keyring=Keyring(keys_of(database)),
        progress_watch=ProgressWatch(
            lambda topic: look(database, topic),
            services.server.max_watchers,
            services.server.max_watchers_per_account,
        ),
        current_feed=current_feed,
        feed_changes=FeedChanges(current_feed, feed.max_feed_watchers, feed.max_feed_watchers_per_address),
        metrics=Metrics(),
        api_document=ApiDocument(written_document),
        assets=load_assets(services.server.assets),
        console=load_console(),
        visitors=Visitors(room(services.server.max_connections), services.server.max_connections_per_address),
        allowance=Allowance(services.limits.requests_per_account, _BURST_S * services.limits.requests_per_account),
        trusted_proxies=networks(services.server.trusted_proxies),
        reports=asyncio.Semaphore(2),
    )


def runner_of(context: HttpContext, faces: frozenset[str] = frozenset({"inner", "outer"})) -> web.AppRunner:
    app = application(context, faces)
    services = context.services
    entrance = _Entrance(
        context.visitors, context.trusted_proxies, services.server.head_timeout_s, services.help.book.encoded
    )
    return _Runner(app, entrance, services.handshake_context)


@dataclass(frozen=True, slots=True)
class _Entrance:
    """Who is let in, and how long they may take to say what they want."""

    visitors: Visitors
    trusted: tuple[Network, ...]
    head_timeout_s: float
    help_lines: Callable[[str], msgspec.Raw | None]
    """Whom to ask, in a language."""

    def enter(self, visitor: Visitor, peer: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        return self.visitors.enter(visitor, peer, now_s, is_proxy=is_trusted_peer(peer, self.trusted))


class _Runner(web.AppRunner):
    """Sites listen with our own handler of connections; where there is a context for handshakes, behind TLS."""

    __slots__ = ("_entrance", "_greetings", "_handshake_context")

    def __init__(
        self, app: web.Application, entrance: _Entrance, handshake_context: Callable[[], ssl.SSLContext] | None
    ) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
        self._entrance = entrance
        self._handshake_context = handshake_context
        self._greetings: set[_Greeting] = set()

    @property
    def server(self) -> Any:
        made = super().server
        if made is None:
            return None
        loop, handshake_context = asyncio.get_running_loop(), self._handshake_context
        if handshake_context is None:
            return lambda: _Connection(made, self._entrance, loop=loop)

        def connection(greeting: _Greeting) -> _Connection:
            return _Connection(made, self._entrance, greeting, loop=loop)

        return lambda: _Greeting(self._entrance, handshake_context, connection, self._greetings)

    async def shutdown(self) -> None:
        for greeting in list(self._greetings):
            greeting.send_away()
        await super().shutdown()


class _Greeting(asyncio.Protocol):
    """A connection before and in its TLS handshake: a visitor like others from its first instant, who waits. asyncio
    tells a protocol of a connection when the handshake is over: until then nobody would have counted it."""

    waits = True

    def __init__(
        self,
        entrance: _Entrance,
        handshake_context: Callable[[], ssl.SSLContext],
        connection: "Callable[[_Greeting], _Connection]",
        among: "set[_Greeting]",
    ) -> None:
        self._entrance = entrance
        self._handshake_context = handshake_context
        self._connection = connection
        self._among = among
        self._taken: socket.socket | None = None
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket goes over to a transport that speaks TLS, before an octet was read from it."""
        peer = _peer_of(transport)
        if self._entrance.enter(self, peer):
            try:
                self._taken = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            except OSError as exc:
                self._entrance.visitors.leave(self)
                _tell_failed(peer, exc)
            else:
                self._among.add(self)
                self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._taken, peer))
                self._handshake.add_done_callback(self._over)
        cast(asyncio.Transport, transport).abort()

    def send_away(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()

    async def _shake_hands(self, taken: socket.socket, peer: str) -> None:
        self._taken = None  # it is the transport's to close
        taken.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._connection(self),
                taken,
                ssl=self._handshake_context(),
                ssl_handshake_timeout=self._entrance.head_timeout_s,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError as exc:  # also what is no TLS, and a handshake that takes too long
            _tell_failed(peer, exc)

    def _over(self, _: asyncio.Task[None]) -> None:
        self._among.discard(self)
        self._entrance.visitors.leave(self)
        if self._taken is not None:
            self._taken.close()  # sent away before its handshake had begun


def _tell_failed(peer: str, exc: OSError) -> None:
    why = getattr(exc, "reason", None) or str(exc) or type(exc).__name__
    log.info("no TLS handshake", extra={"action": "handshake-failed", "peer": peer, "why": why})


def _peer_of(transport: asyncio.BaseTransport) -> str:
    """Its address; empty where it has gone already."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if name else ""


class _Connection(web.RequestHandler):
    __slots__ = ("_body", "_entrance", "_greeting", "_head_timer")

    def __init__(
        self,
        manager: web.Server,
        entrance: _Entrance,
        greeting: _Greeting | None = None,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=_IDLE_S,
            access_log=None,  # type: ignore[arg-type]  # its own code takes this for "none"
            max_line_size=_MOST_LINE,
            max_headers=_MOST_HEADERS,
            max_field_size=_MOST_LINE,
            lingering_time=2.0,
            # A compressed body is refused: what is counted is what came over the wire.
            auto_decompress=False,
        )
        self._entrance = entrance
        self._greeting = greeting
        self._head_timer: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None
        """Of the request that came last, until it is answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._greeting is not None:
            self._entrance.visitors.leave(self._greeting)  # its place is this one's now
        if self._entrance.enter(self, _peer_of(transport)):
            self._time_the_head()
        else:
            self.send_away()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]
        if not self.waits:
            self._stop_timing()
        elif self._head_timer is None:
            self._time_the_head()  # its first octets; those that follow give it no more time

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio asks whether the transport stays open
        """Whoever says no more in the middle of a body is told that it was cut, and may read that."""
        body, transport = self._body, self.transport
        # A connection behind TLS cannot be closed by halves.
        if body is None or body.is_eof() or transport is None or transport.get_extra_info("sslcontext"):
            return None
        body.set_exception(web.RequestPayloadError("the client said no more"))
        body.feed_eof()
        self.close()  # after the answer
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timing()
        self._entrance.visitors.leave(self)
        super().connection_lost(exc)

    @property
    def waits(self) -> bool:
        """For a whole head: none is being answered, none stands in the queue."""
        return self._waiter is not None and not self._waiter.done()

    def send_away(self) -> None:
        if self._greeting is not None and self.transport is not None:
            self.transport.abort()  # TLS says goodbye, and who is sent away need not answer that
        self.force_close()

    def _time_the_head(self) -> None:
        self._head_timer = self._loop.call_later(self._entrance.head_timeout_s, self._give_up)

    def _stop_timing(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.waits:
            log.info("no request head in time", extra={"action": "head-too-slow", "peer": str(self.peername or "")})
            self.send_away()

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPExpectationFailed):
            # The router's own answer where there is no such path: no middleware has seen it.
            resp = not_met(id_of(request), self._entrance.help_lines(ENGLISH))
            extra = {"action": "bad-request", "request": id_of(request), "peer": request.remote or "", "status": 417}
            log.info("an expectation", extra=extra)
        if not self._messages:
            self._body = None  # what comes of it now is not read
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP never reaches the application; it is answered in the same form, and tells no version."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer has been sent")
        name, lines = id_of(request), self._entrance.help_lines(ENGLISH)
        if isinstance(exc, ConnectionError | asyncio.IncompleteReadError | web.RequestPayloadError):
            # Whoever hangs up in the middle of a request has made no mistake of ours.
            client = request.get(CLIENT, request.remote or "")
            log.info("the client hung up", extra={"action": "client-gone", "peer": client, "request": name})
            title = "The request could not be read to its end."
            response = problem(400, "broken-body", title, request_id=name, help_lines=lines)
        elif status >= 500:
            log.error("connection failed", extra={"action": "connection-failed", "request": name}, exc_info=exc)
            title = "The gateway made a mistake."
            response = problem(500, "internal-error", title, request_id=name, help_lines=lines)
        else:
            peer = request.remote or ""
            extra = {"action": "bad-request", "request": name, "peer": peer, "status": status}
            log.info("not HTTP", extra=extra)
            title = "This is not a request that can be read."
            response = problem(status, "bad-request", title, request_id=name, help_lines=lines)
        response.headers["X-Request-Id"] = name
        response.headers["Server"] = ""
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.force_close()
        return response
