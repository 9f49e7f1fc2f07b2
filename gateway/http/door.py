"""The door: from a request to its route's handler and back. Rights are asked here and nowhere else, before any work;
then the query and the body are decoded by the handler's types, and the answer is encoded by the route's."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, cast

import msgspec
from aiohttp import web

from gateway.access.keys import Stranger
from gateway.access.rights import Action, Caller, nowhere
from gateway.errors import Later, Refusal
from gateway.http import access_log, on_behalf, openapi
from gateway.http.admission import caller_of, shows_something
from gateway.http.asking import Answer, Asked, CapDocument
from gateway.http.bodies import read_body, read_json, require_type
from gateway.http.context import NOBODY, HttpContext
from gateway.http.expectations import require_met, tell_to_go_on
from gateway.http.languages import codes
from gateway.http.problems import HelpFor, answer_problems
from gateway.http.query import query_of
from gateway.http.route import Route, RouteRight
from gateway.http.routes import TABLE
from gateway.http.visitors import Visitor
from gateway.http.wording import encoded

DOOR = web.AppKey("door", HttpContext)


def application(context: HttpContext, faces: frozenset[str] = frozenset({"inner", "outer"})) -> web.Application:
    """The routes of these faces; those of the other one are 404 here."""
    app = web.Application(
        middlewares=[
            access_log.keep_journal(context.metrics, context.trusted_proxies),
            answer_problems(_help_of(context)),
        ],
        client_max_size=context.services.server.max_document_bytes,
    )
    app[DOOR] = context
    for route in TABLE:
        if route.face in faces:
            guarded = _guarded(route, context)
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                app.router.add_route(method, route.path, guarded, expect_handler=tell_to_go_on)
    app.on_response_prepare.append(access_log.dresser(context.services.server.public_url))
    app.on_shutdown.append(_let_watchers_go)
    return app


def written_document() -> bytes:
    """The API's document, for people and programs: the same bytes of the same table."""
    made = openapi.document(TABLE, version("tocsin"), codes())
    return msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"


def _help_of(context: HttpContext) -> HelpFor:
    book = context.services.help.book

    def help_for(request: web.Request, language: str) -> msgspec.Raw | None:
        caller = request.get(access_log.CALLER)
        return book.encoded(language, None if caller is None else caller.only_zone)

    return help_for


async def _let_watchers_go(app: web.Application) -> None:
    app[DOOR].progress_watch.close()
    await app[DOOR].feed_changes.close()
    await app[DOOR].services.sign_in.parts.close()


def _guarded(route: Route, context: HttpContext) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    query_type, body_type = route.query, route.body

    async def guarded(request: web.Request) -> web.StreamResponse:
        request[access_log.FACE] = route.face
        require_met(request)
        if route.right != "public":
            caller = await _admitted(request, context, route, route.right)
        else:
            caller = await _recognised(request, context, route) if route.recognises else NOBODY
        query = query_of(request.query.items(), query_type)
        body = None if body_type is None else await _body(request, context, body_type)
        answer = await route.handler(Asked(request, context, caller, query, body))
        return said(route, answer) if isinstance(answer, Answer) else answer

    return guarded


async def _admitted(request: web.Request, context: HttpContext, route: Route, right: RouteRight) -> Caller:
    """Raises Refusal: 401 for no or a bad key or session, 429 after too many, 403 for one without the right."""
    client = request[access_log.CLIENT]
    known = await caller_of(request, context, route, client)
    caller = msgspec.structs.replace(known, via="http", address=client)
    request[access_log.CALLER] = caller
    context.visitors.vouch(cast(Visitor, request.protocol))
    wait_s = context.allowance.take(caller.account_id, asyncio.get_running_loop().time())
    if wait_s:
        limit = context.services.limits.requests_per_account
        detail = f"Of one account {limit} a second are answered (limits.requests_per_account)."
        raise Later("too-many-requests", "This account makes more requests than it may.", wait_s, detail)
    caller = await on_behalf.acting(request, caller, context.services.database, is_taken=route.on_behalf)
    request[access_log.CALLER] = caller
    if right in ("public", "account", "session"):
        return caller
    wanted = (right,) if isinstance(right, str) else right
    if not any(_holds(caller, Action(action)) for action in wanted):
        words = " or ".join(wanted)
        title = f"This account has no right to {words} in any zone."
        raise Refusal(403, "no-right", title, (nowhere(*wanted),))
    return caller


async def _recognised(request: web.Request, context: HttpContext, route: Route) -> Caller:
    """Who shows a good key or session; anybody else is a stranger, whose failed attempt counts. Raises Refusal 429."""
    if not shows_something(request, context):
        return NOBODY
    try:
        return await _admitted(request, context, route, "account")
    except Stranger:
        return NOBODY


def _holds(caller: Caller, action: Action) -> bool:
    zones = caller.zone_ids(action)
    return zones is None or bool(zones)


async def _body(request: web.Request, context: HttpContext, wanted: type[Any]) -> Any:
    server = context.services.server
    if wanted is not CapDocument:
        return await read_json(request, wanted, server.max_document_bytes, server.body_timeout_s)
    require_type(request)
    return await read_body(request, server.max_document_bytes, server.body_timeout_s)


def said(route: Route, answer: Answer) -> web.Response:
    """The answer on the wire. Raises TypeError where the route does not declare it: the API's document must not lie."""
    if type(answer.value) not in route.forms(answer.status):
        told = f"{route.method} {route.template} does not declare {type(answer.value).__name__} for {answer.status}"
        raise TypeError(told)
    value = answer.value if answer.tongue is None else answer.tongue.answer(answer.value)
    response = web.Response(
        body=encoded(value), status=answer.status, headers=answer.headers, content_type="application/json"
    )
    if answer.tongue is not None:
        answer.tongue.label(response, also=answer.varies_by)
    return response
