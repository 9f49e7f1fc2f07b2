"""THE TABLE: every route with its method, its right and its face. What is not in it does not exist.

`right` is an Action (or several: any of them), "account" (any good key) or "public". `face` is "outer" for the free
broadcast, which anybody may cache, and "inner" for the rest: two listeners may each show one face only.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, cast

from aiohttp import web

from gateway.access.rights import Action, Caller
from gateway.errors import Refusal
from gateway.http import access_log, alerts, campaigns, feed, operations, refused, unsubscribe
from gateway.http.context import NOBODY, Handle, HttpContext
from gateway.http.problems import answer_problems
from gateway.http.visitors import Visitor

Face = Literal["inner", "outer"]
RouteRight = Action | tuple[Action, ...] | Literal["public", "account"]
DOOR = web.AppKey("door", HttpContext)


@dataclass(frozen=True, slots=True)
class Route:
    method: Literal["GET", "POST"]
    """GET answers HEAD too."""
    path: str
    handler: Handle
    right: RouteRight
    face: Face = "inner"


_ID = r"{id:[A-Za-z0-9_-]{1,64}}"
_ALERT = f"/cap/v1/alerts/{_ID}"
_CAMPAIGN = f"/api/v1/campaigns/{_ID}"
_UNSUBSCRIBE = "/unsubscribe/{token:[a-z0-9.-]{1,120}}"
_SEES_ALERTS = (Action.SUBMIT, Action.READ)

TABLE = (
    Route("GET", "/", operations.index, "public"),
    Route("GET", "/healthz", operations.health, "public"),
    Route("GET", "/readyz", operations.ready, "public"),
    Route("GET", "/metrics", operations.metrics, Action.OPERATE),
    Route("POST", "/cap/v1/alerts", alerts.submit, Action.SUBMIT),
    Route("GET", "/cap/v1/alerts", alerts.find, _SEES_ALERTS),
    Route("GET", _ALERT, alerts.read, _SEES_ALERTS),
    Route("GET", f"{_ALERT}/document", alerts.document, _SEES_ALERTS),
    Route("GET", "/cap/v1/refused", refused.listing, _SEES_ALERTS),
    Route("GET", f"/cap/v1/refused/{_ID}", refused.read, _SEES_ALERTS),
    Route("GET", f"/cap/v1/refused/{_ID}/document", refused.document, _SEES_ALERTS),
    Route("POST", "/cap/v1/validate", alerts.validate, Action.SUBMIT),
    Route("GET", "/cap/feed.atom", feed.atom, "public", "outer"),
    Route("GET", "/cap/feed.rss", feed.rss, "public", "outer"),
    Route("GET", "/cap/active.geojson", feed.geojson, "public", "outer"),
    Route("GET", "/cap/heartbeat.xml", feed.heartbeat, "public", "outer"),
    Route("GET", "/cap/stream", feed.stream, "public", "outer"),
    Route("GET", f"/cap/alerts/{_ID}.xml", feed.alert, "public", "outer"),
    Route("GET", f"/cap/alerts/{_ID}/files/{{sha256:[0-9a-f]{{64}}}}", feed.file, "public", "outer"),
    Route("GET", _UNSUBSCRIBE, unsubscribe.look, "public", "outer"),
    Route("POST", _UNSUBSCRIBE, unsubscribe.leave, "public", "outer"),
    Route("GET", "/api/v1/whoami", operations.whoami, "account"),
    Route("GET", "/api/v1/campaigns", campaigns.listing, Action.READ),
    Route("POST", "/api/v1/campaigns", campaigns.launch, Action.LAUNCH),
    Route("GET", _CAMPAIGN, campaigns.read, Action.READ),
    Route("GET", f"{_CAMPAIGN}/progress", campaigns.progress, Action.READ),
    Route("GET", f"{_CAMPAIGN}/deliveries", campaigns.deliveries, Action.READ),
    Route("GET", f"{_CAMPAIGN}/report", campaigns.report, Action.READ),
    Route("POST", f"{_CAMPAIGN}/stop", campaigns.stop, Action.STOP),
)


def application(context: HttpContext, faces: frozenset[str] = frozenset({"inner", "outer"})) -> web.Application:
    """The routes of these faces; those of the other one are 404 here."""
    app = web.Application(
        middlewares=[access_log.keep_journal(context.metrics), answer_problems],
        client_max_size=context.services.server.max_document_bytes,
    )
    app[DOOR] = context
    for route in TABLE:
        if route.face in faces:
            guarded = _guarded(route, context)
            app.router.add_route(route.method, route.path, guarded)
            if route.method == "GET":
                app.router.add_route("HEAD", route.path, guarded)
    app.on_response_prepare.append(access_log.dress)
    app.on_shutdown.append(_let_watchers_go)
    return app


async def _let_watchers_go(app: web.Application) -> None:
    app[DOOR].progress_watch.close()
    await app[DOOR].feed_changes.close()


def _guarded(route: Route, context: HttpContext) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def guarded(request: web.Request) -> web.StreamResponse:
        request[access_log.FACE] = route.face
        caller = NOBODY if route.right == "public" else await _admitted(request, context, route.right)
        return await route.handler(request, context, caller)

    return guarded


async def _admitted(request: web.Request, context: HttpContext, right: RouteRight) -> Caller:
    """Raises Refusal: 401 for no or a bad key, 429 after too many of them, 403 for a key without the right."""
    given = request.headers.getall("Authorization", [])
    caller = await context.keyring.caller(", ".join(given) if given else None, request.remote or "")
    request[access_log.CALLER] = caller
    context.visitors.vouch(cast(Visitor, request.protocol))
    if right == "account":
        return caller
    wanted = (right,) if isinstance(right, str) else right
    if not any(_holds(caller, Action(action)) for action in wanted):
        words = " or ".join(wanted)
        raise Refusal(403, "no-right", f"This account has no right to {words} in any zone.")
    return caller


def _holds(caller: Caller, action: Action) -> bool:
    zones = caller.zone_ids(action)
    return zones is None or bool(zones)
