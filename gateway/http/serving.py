"""The door on its hinges: the application made of the gateway's parts, and an HTTP server that does not trust peers."""

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from gateway.access.allowance import Allowance
from gateway.access.keys import Keyring, keys_of
from gateway.feed.changes import FeedChanges
from gateway.feed.current import CurrentFeed
from gateway.feed.formats import Making
from gateway.http.api_document import ApiDocument
from gateway.http.context import HttpContext
from gateway.http.door import application, written_document
from gateway.http.metrics import Metrics
from gateway.http.problems import problem
from gateway.http.progress import ProgressWatch
from gateway.http.services import Services
from gateway.http.topics import look
from gateway.http.visitors import Visitors, room

log = logging.getLogger(__name__)

_IDLE_S = 75.0
"""A connection that has been answered is kept open for its next request so long. The head of a request, once it has
begun, and the first one of a connection have `server.head_timeout_s`."""
_MOST_HEADERS = 64
_MOST_LINE = 8190
_SHUTDOWN_S = 5.0
_BURST_S = 10
"""An account may make the requests of so many seconds at once."""


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
        visitors=Visitors(room(services.server.max_connections), services.server.max_connections_per_address),
        allowance=Allowance(services.limits.requests_per_account, _BURST_S * services.limits.requests_per_account),
        reports=asyncio.Semaphore(2),
    )


def runner_of(context: HttpContext, faces: frozenset[str] = frozenset({"inner", "outer"})) -> web.AppRunner:
    app = application(context, faces)
    return _Runner(app, context.services.server.head_timeout_s, context.visitors)


class _Runner(web.AppRunner):
    """Sites listen with our own handler of connections."""

    __slots__ = ("_head_timeout_s", "_visitors")

    def __init__(self, app: web.Application, head_timeout_s: float, visitors: Visitors) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
        self._head_timeout_s = head_timeout_s
        self._visitors = visitors

    @property
    def server(self) -> Any:
        made = super().server
        if made is None:
            return None
        loop = asyncio.get_running_loop()
        return lambda: _Connection(made, self._head_timeout_s, self._visitors, loop=loop)


class _Connection(web.RequestHandler):
    __slots__ = ("_head_timeout_s", "_head_timer", "_visitors")

    def __init__(
        self, manager: web.Server, head_timeout_s: float, visitors: Visitors, *, loop: asyncio.AbstractEventLoop
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
        self._head_timeout_s = head_timeout_s
        self._visitors = visitors
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if self._visitors.enter(self, str(peer[0]) if peer else "", self._loop.time()):
            self._time_the_head()
        else:
            self.force_close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.waits:
            self._stop_timing()
        elif self._head_timer is None:
            self._time_the_head()  # its first octets; those that follow give it no more time

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timing()
        self._visitors.leave(self)
        super().connection_lost(exc)

    @property
    def waits(self) -> bool:
        """For a whole head: none is being answered, none stands in the queue."""
        return self._waiter is not None and not self._waiter.done()

    def send_away(self) -> None:
        self.force_close()

    def _time_the_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_timeout_s, self._give_up)

    def _stop_timing(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.waits:
            log.info("no request head in time", extra={"action": "head-too-slow", "peer": str(self.peername or "")})
            self.force_close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP never reaches the application; it is answered in the same form, and tells no version."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer has been sent")
        if isinstance(exc, ConnectionError | asyncio.IncompleteReadError | web.RequestPayloadError):
            # Whoever hangs up in the middle of a request has made no mistake of ours.
            log.info("the client hung up", extra={"action": "client-gone", "peer": request.remote or ""})
            response = problem(400, "broken-body", "The request could not be read to its end.")
        elif status >= 500:
            log.error("connection failed", extra={"action": "connection-failed"}, exc_info=exc)
            response = problem(500, "internal-error", "The gateway made a mistake.")
        else:
            log.info("not HTTP", extra={"action": "bad-request", "peer": request.remote or "", "status": status})
            response = problem(status, "bad-request", "This is not a request that can be read.")
        response.headers["Server"] = ""
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.force_close()
        return response
