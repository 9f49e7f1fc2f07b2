"""Each request's id, its one line in the log, its place in the metrics, and the headers that every answer has."""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware
from aiohttp.web_request import BaseRequest

from gateway.access.rights import Caller
from gateway.http.cached import FOREVER
from gateway.http.client_address import FORWARDED_FOR, Network, client_address
from gateway.http.metrics import Metrics
from gateway.http.problems import REQUEST_ID, Handler
from gateway.http.sse import SSE

log = logging.getLogger(__name__)

CALLER = web.RequestKey("caller", Caller)
CLIENT = web.RequestKey("client", str)
"""The address of the client, found once a request; also behind a trusted proxy. Limits by address are about it."""
FACE = web.RequestKey("face", str)
_BELIEVED_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_HSTS = "max-age=31536000"
"""A year. Not for subdomains: whose they are is not known here."""
_GONE = 499
"""For the log and the metrics: the peer left before its answer (the word of nginx)."""


def keep_journal(metrics: Metrics, trusted: Sequence[Network]) -> Middleware:
    """`trusted`: the proxies before the door."""

    @web.middleware
    async def journal(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[CLIENT] = client_address(request.remote or "", request.headers.getall(FORWARDED_FOR, ()), trusted)
        id_of(request)
        began_s = time.perf_counter()
        response: web.StreamResponse | None = None
        try:
            response = await handler(request)
            return response
        finally:
            _write(request, response, time.perf_counter() - began_s, metrics)

    return journal


def id_of(request: BaseRequest) -> str:
    """The id of a request: the client's own where that is harmless, else one by chance. The same at every call."""
    if REQUEST_ID not in request:
        given = request.headers.get("X-Request-Id", "")
        request[REQUEST_ID] = given if _BELIEVED_ID.fullmatch(given) else secrets.token_hex(8)
    return request[REQUEST_ID]


def route_of(request: web.Request) -> str:
    """The route as it stands in the table: never what a stranger typed."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _write(request: web.Request, response: web.StreamResponse | None, took_s: float, metrics: Metrics) -> None:
    status = response.status if response is not None else _GONE
    stream = response is not None and response.content_type == SSE
    route = route_of(request)
    if not stream:
        metrics.answered(request.method, route, status, took_s)
    caller = request.get(CALLER)
    log.info(
        "%s %s %d",
        request.method,
        route,
        status,
        extra={
            "action": "request",
            "request": request[REQUEST_ID],
            "method": request.method[:16],
            "route": route,
            "status": status,
            "ms": round(took_s * 1000, 1),
            "account": caller.code if caller is not None else "",
            "peer": request[CLIENT],
            "bytes_in": request.content_length or 0,
        },
    )


def dresser(public_url: str) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What is called before an answer's head is written: also for streams and for what the router refuses."""
    is_https = public_url.lower().startswith("https://")

    async def dress(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.pop("Server", None)
        headers["X-Content-Type-Options"] = "nosniff"
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        headers["Referrer-Policy"] = "no-referrer"
        headers["X-Request-Id"] = request.get(REQUEST_ID, "")
        if is_https:
            # Also where a proxy has taken the TLS off; over plain HTTP browsers pass it over (RFC 6797, 8.1).
            headers["Strict-Transport-Security"] = _HSTS
        # What is named by what it holds is the same for everybody, on either face.
        lasting = request.get(FACE) == "outer" or headers.get("Cache-Control") == FOREVER
        if not lasting or response.status >= 400:
            headers["Cache-Control"] = "no-store"

    return dress
