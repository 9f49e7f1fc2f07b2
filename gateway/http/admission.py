"""Who comes in at the door: a program with its key, or a person with the cookie of a session; never both at once."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.access.keys import Stranger
from gateway.access.rights import Caller, SessionFacts
from gateway.errors import Refusal
from gateway.http.context import HttpContext
from gateway.http.cookies import token_in
from gateway.http.cross_site import SAFE, require_own_page
from gateway.http.route import Route

CHALLENGE = 'Session realm="tocsin"'


async def caller_of(request: web.Request, context: HttpContext, route: Route, address: str) -> Caller:
    """Raises Refusal: 401 for no or a bad key or session, and for one that is locked; 429 after too many bad keys; 400
    for both at once; 403 for a page of another site, and where the route takes a person, factors, or a fresh one."""
    authorization = authorization_of(request)
    token = token_in(request, context.services.sign_in.parts.site)
    if authorization is not None and token is not None:
        raise Refusal(400, "two-credentials", "A request comes with one key or one session, and not with two.")
    if token is None:
        caller = await context.keyring.caller(authorization, address)
        if not route.takes_keys:
            raise Refusal(403, "person-only", "Only a person who has signed in does this: no key will do.")
        return caller
    return await _of_session(request, context, route, token)


async def _of_session(request: web.Request, context: HttpContext, route: Route, token: str) -> Caller:
    parts = context.services.sign_in.parts
    if request.method not in SAFE:
        require_own_page(request, parts.site, of_browser=True)
    caller = await parts.book.caller(token) if parts.rules.enabled and parts.site.is_open else None
    if caller is None or caller.session is None:
        raise Stranger("no-session", "This session has ended: sign in again.", CHALLENGE)
    _require_open(route, caller.session)
    if caller.break_glass_use_id is not None and not _is_open_to_codes(route):
        raise Refusal(403, "person-only", "Only a person who has signed in does this: no key will do.")
    if route.step_up and not caller.session.enrol_only:
        _require_fresh(caller.session, parts.rules.fresh_min, parts.database.clock.now_ms())
    return caller


def _require_open(route: Route, session: SessionFacts) -> None:
    if session.locked and not route.while_locked:
        raise Stranger("session-locked", "This session is locked: show a factor to go on.", CHALLENGE)
    if session.enrol_only and not (route.while_enrolling or route.while_locked):
        raise Refusal(403, "enrol-only", "Set up a passkey, or a password and an app for codes, before anything else.")


def _is_open_to_codes(route: Route) -> bool:
    """Whether whoever opened a zone by its paper code may come in here: where the rights of the code's account decide,
    to look, and where the route says so. Nobody sets up ways in for that account, or changes it."""
    if route.by_code or route.is_public:
        return True
    acts = route.right not in ("account", "session") or (route.right == "account" and route.method == "GET")
    return acts and not (route.person_only or route.step_up)


def _require_fresh(session: SessionFacts, fresh_min: int, now_ms: int) -> None:
    if now_ms - session.factor_ms > fresh_min * 60_000:
        raise Refusal(403, "step-up", "This needs a factor that was shown just now.", members={"fresh_min": fresh_min})


def authorization_of(request: web.Request) -> str | None:
    """The Authorization header of a request; None where it has none."""
    given = request.headers.getall("Authorization", [])
    return ", ".join(given) if given else None


def shows_something(request: web.Request, context: HttpContext) -> bool:
    """Whether somebody shows a key or a session, good or not."""
    return authorization_of(request) is not None or token_in(request, context.services.sign_in.parts.site) is not None


def still_of(request: web.Request, context: HttpContext) -> Callable[[], Awaitable[Caller | None]]:
    """Asks whether whoever opened a stream may still come in, and with which rights; nobody need be there."""
    authorization, parts = authorization_of(request), context.services.sign_in.parts
    token = None if authorization is not None else token_in(request, parts.site)
    if token is not None:
        return lambda: parts.book.still(token)
    return lambda: context.keyring.still(authorization or "")
