"""Everything that goes wrong -> one form of answer, application/problem+json (RFC 9457), in one middleware."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from gateway.access.keys import Stranger
from gateway.errors import Later, Reason, Refusal
from gateway.http.languages import tongue_of
from gateway.http.wording import spoken
from store.errors import Conflict, store_is_away

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MEDIA_TYPE = "application/problem+json"
REQUEST_ID = web.RequestKey("request_id", str)
_RETRY_S = 5
_WAITS = frozenset({429, 503})
"""After these it is worth while to try again."""
_CLOSING = frozenset({408, 413, 429})
"""After these the rest of the connection is not worth reading."""


def fields_of(reason: Reason) -> dict[str, Any]:
    """The fields of a problem's reasons, all of them; a pointer only where the body was JSON, choices where there are
    some."""
    found = msgspec.structs.asdict(reason)
    for name in ("pointer", "choices"):
        if not found[name]:
            del found[name]
    return found


def problem(
    status: int,
    code: str,
    title: str,
    reasons: Sequence[Reason] = (),
    detail: str = "",
    request_id: str = "",
    members: Mapping[str, object] | None = None,
) -> web.Response:
    body = spoken(members or {}) | {
        "type": f"urn:tocsin:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "problems": [fields_of(reason) for reason in reasons],
        "request_id": request_id,
    }
    response = web.Response(body=msgspec.json.encode(body), status=status, content_type=MEDIA_TYPE)
    response.headers["Content-Language"] = "en"
    if status in _CLOSING:
        response.force_close()
    if status in _WAITS:
        response.headers["Retry-After"] = str(_RETRY_S)
    return response


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id = request.get(REQUEST_ID, "")
    try:
        return await handler(request)
    except Exception as exc:
        if isinstance(exc, ConnectionError) and _has_left(request):
            raise  # there is nobody to answer
        try:
            return _told(request, exc, request_id)
        except Exception:
            log.exception("wording failed", extra={"action": "wording-failed", "request": request_id})
            return problem(500, "internal-error", "The gateway made a mistake.", request_id=request_id)


def _told(request: web.Request, exc: Exception, request_id: str) -> web.Response:
    if isinstance(exc, Refusal):
        return _refused(request, exc, request_id)
    if isinstance(exc, web.HTTPException):
        return _by_aiohttp(request, exc, request_id)
    if isinstance(exc, Conflict):
        return _refused(request, Refusal(409, "conflict", "Somebody else was first."), request_id)
    return _failed(request, exc, request_id)


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _failed(request: web.Request, exc: Exception, request_id: str) -> web.Response:
    if store_is_away(exc):
        log.warning("store away", extra={"action": "store-away", "request": request_id, "error": str(exc)})
        title = "The store cannot be reached or written now."
        return _refused(request, Refusal(503, "store-unavailable", title), request_id)
    log.exception("request failed", exc_info=exc, extra={"action": "request-failed", "request": request_id})
    return _refused(request, Refusal(500, "internal-error", "The gateway made a mistake."), request_id)


def _refused(request: web.Request, refusal: Refusal, request_id: str) -> web.Response:
    tongue = tongue_of(request)
    title, reasons = tongue.title(refusal.code, refusal.title), tongue.reasons(refusal.reasons)
    detail = tongue.english(refusal.detail)
    response = problem(refusal.status, refusal.code, title, reasons, detail, request_id, refusal.members)
    tongue.label(response, also="Accept")
    if isinstance(refusal, Stranger):
        response.headers["WWW-Authenticate"] = refusal.challenge
    if isinstance(refusal, Later):
        response.headers["Retry-After"] = str(int(refusal.retry_after_s) + 1)
    return response


def _by_aiohttp(request: web.Request, exc: web.HTTPException, request_id: str) -> web.Response:
    """What the router and the body reader raise. Nothing of ours raises these."""
    allowed = ", ".join(sorted(exc.allowed_methods | {"OPTIONS"})) if isinstance(exc, web.HTTPMethodNotAllowed) else ""
    if allowed and request.method == "OPTIONS":
        return web.Response(status=204, headers={"Allow": allowed})
    phrase = HTTPStatus(exc.status).phrase
    code, tongue = phrase.lower().replace(" ", "-"), tongue_of(request)
    response = problem(exc.status, code, tongue.title(code, f"{phrase}."), request_id=request_id)
    tongue.label(response)
    if allowed:
        response.headers["Allow"] = allowed
    return response
