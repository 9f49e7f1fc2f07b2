"""Everything that goes wrong -> one form of answer, application/problem+json (RFC 9457), in one middleware."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.access.keys import Stranger
from gateway.errors import Later, Reason, Refusal
from gateway.http.languages import ENGLISH, tongue_of
from gateway.http.wording import spoken
from store.errors import Conflict, store_is_away

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HelpFor = Callable[[web.Request, str], msgspec.Raw | None]
"""The help lines for whoever made a request, in a language; None where none are set."""
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
    help_lines: msgspec.Raw | None = None,
) -> web.Response:
    """`help_lines`: whom to ask, encoded before: nothing is looked up when something goes wrong."""
    body = spoken(members or {}) | {
        "type": f"urn:tocsin:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "problems": [fields_of(reason) for reason in reasons],
        "request_id": request_id,
    }
    if help_lines is not None:
        body["help"] = help_lines
    response = web.Response(body=msgspec.json.encode(body), status=status, content_type=MEDIA_TYPE)
    response.headers["Content-Language"] = "en"
    if status in _CLOSING:
        response.force_close()
    if status in _WAITS:
        response.headers["Retry-After"] = str(_RETRY_S)
    return response


def answer_problems(help_for: HelpFor) -> Middleware:
    """The middleware that answers whatever goes wrong, with whom to ask."""

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request.get(REQUEST_ID, "")
        try:
            return await handler(request)
        except Exception as exc:
            if isinstance(exc, ConnectionError) and _has_left(request):
                raise  # there is nobody to answer
            try:
                return _told(request, exc, request_id, help_for)
            except Exception:
                log.exception("wording failed", extra={"action": "wording-failed", "request": request_id})
                title, lines = "The gateway made a mistake.", help_for(request, ENGLISH)
                return problem(500, "internal-error", title, request_id=request_id, help_lines=lines)

    return answered


def _told(request: web.Request, exc: Exception, request_id: str, help_for: HelpFor) -> web.Response:
    if isinstance(exc, Refusal):
        return _refused(request, exc, request_id, help_for)
    if isinstance(exc, web.HTTPException):
        return _by_aiohttp(request, exc, request_id, help_for)
    if isinstance(exc, Conflict):
        return _refused(request, Refusal(409, "conflict", "Somebody else was first."), request_id, help_for)
    return _refused(request, _failure(exc, request_id), request_id, help_for)


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _failure(exc: Exception, request_id: str) -> Refusal:
    if store_is_away(exc):
        log.warning("store away", extra={"action": "store-away", "request": request_id, "error": str(exc)})
        return Refusal(503, "store-unavailable", "The store cannot be reached or written now.")
    log.exception("request failed", exc_info=exc, extra={"action": "request-failed", "request": request_id})
    return Refusal(500, "internal-error", "The gateway made a mistake.")


def _refused(request: web.Request, refusal: Refusal, request_id: str, help_for: HelpFor) -> web.Response:
    tongue = tongue_of(request)
    title, reasons = tongue.title(refusal.code, refusal.title), tongue.reasons(refusal.reasons)
    detail = tongue.english(refusal.detail)
    lines = help_for(request, tongue.language)
    response = problem(refusal.status, refusal.code, title, reasons, detail, request_id, refusal.members, lines)
    tongue.label(response, also="Accept")
    if isinstance(refusal, Stranger):
        response.headers["WWW-Authenticate"] = refusal.challenge
    if isinstance(refusal, Later):
        response.headers["Retry-After"] = str(int(refusal.retry_after_s) + 1)
    return response


def _by_aiohttp(request: web.Request, exc: web.HTTPException, request_id: str, help_for: HelpFor) -> web.Response:
    """What the router and the body reader raise. Nothing of ours raises these."""
    allowed = ", ".join(sorted(exc.allowed_methods | {"OPTIONS"})) if isinstance(exc, web.HTTPMethodNotAllowed) else ""
    if allowed and request.method == "OPTIONS":
        return web.Response(status=204, headers={"Allow": allowed})
    phrase = HTTPStatus(exc.status).phrase
    code, tongue = phrase.lower().replace(" ", "-"), tongue_of(request)
    title, lines = tongue.title(code, f"{phrase}."), help_for(request, tongue.language)
    response = problem(exc.status, code, title, request_id=request_id, help_lines=lines)
    tongue.label(response)
    if allowed:
        response.headers["Allow"] = allowed
    return response
