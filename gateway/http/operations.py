"""The handlers about the machine and the caller: index, whoami, health, readiness, metrics."""

import asyncio

from aiohttp import web

from gateway.access.rights import Action, Caller, Right
from gateway.errors import Refusal
from gateway.http.bodies import Query
from gateway.http.context import HttpContext
from gateway.http.metrics import CONTENT_TYPE
from gateway.http.services import HealthCheck
from gateway.http.wording import answer
from store.register import reading as directory

_READY_S = 3.0

_LINKS = {
    "alerts": "/cap/v1/alerts",
    "validate": "/cap/v1/validate",
    "feed": "/cap/feed.atom",
    "rss": "/cap/feed.rss",
    "map": "/cap/active.geojson",
    "stream": "/cap/stream",
    "heartbeat": "/cap/heartbeat.xml",
    "campaigns": "/api/v1/campaigns",
    "whoami": "/api/v1/whoami",
    "health": "/healthz",
    "ready": "/readyz",
    "metrics": "/metrics",
}
_DOES = {
    Action.SUBMIT: "May post CAP alerts for",
    Action.LAUNCH: "May launch messages in",
    Action.READ: "May see campaigns, deliveries and reports of",
    Action.STOP: "May stop campaigns of",
    Action.PUBLISH: "May publish alerts for",
    Action.OPERATE: "May see how the machine is for",
}


async def index(request: web.Request, _context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /"""
    Query(request)
    return answer({"service": "tocsin", "links": _LINKS})


async def health(request: web.Request, _context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /healthz: the process answers. Nothing else is asked, so that a supervisor does not restart a store."""
    Query(request)
    return answer({"status": "ok"})


async def ready(request: web.Request, context: HttpContext, _caller: Caller) -> web.StreamResponse:
    """GET /readyz: 200 when every vital check is well, else 503."""
    Query(request)
    try:
        async with asyncio.timeout(_READY_S):
            checks = list(await context.services.readiness())
    except TimeoutError:
        checks = [HealthCheck("answer", False, f"The checks took longer than {_READY_S:g} s.")]
    well = all(check.well for check in checks if check.vital)
    headers = {} if well else {"Retry-After": "5"}
    return answer({"ready": well, "checks": checks}, 200 if well else 503, headers)


async def metrics(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /metrics: of the whole machine, for who may see it for every zone."""
    Query(request)
    if caller.zone_ids(Action.OPERATE) is not None:
        raise Refusal(403, "no-right", "The machine serves every zone: this needs the right to operate in all of them.")
    async with asyncio.timeout(_READY_S):
        measures = await context.services.measures()
    return web.Response(body=context.metrics.text(measures), headers={"Content-Type": CONTENT_TYPE})


async def whoami(request: web.Request, context: HttpContext, caller: Caller) -> web.StreamResponse:
    """GET /api/v1/whoami: the account behind the key and its rights, in words."""
    Query(request)
    async with context.services.database.read() as conn:
        zones = {z.id: z.code for z in await directory.zones(conn)}
        mine = [z for z in zones if any(r.zone_id in (None, z) for r in caller.rights)]
        networks = {n.id: n.code for n in await directory.networks(conn, mine)}
    return answer(
        {
            "account": caller.code,
            "name": caller.name,
            "type": caller.type,
            "senders": caller.senders,
            "rights": [
                {
                    "action": right.action,
                    "zone": _code(zones, right.zone_id),
                    "network": _code(networks, right.network_id),
                    "kind": right.kind,
                    "channel": right.channel,
                    "mode": right.mode,
                    "text": _sentence(right, zones, networks),
                }
                for right in caller.rights
            ],
        }
    )


def _code(codes: dict[int, str], wanted: int | None) -> str | None:
    return None if wanted is None else codes.get(wanted, "?")


def _sentence(right: Right, zones: dict[int, str], networks: dict[int, str]) -> str:
    does = _DOES.get(Action(right.action), right.action) if right.action in set(Action) else f"May {right.action} in"
    where = "every zone" if right.zone_id is None else f"zone {_code(zones, right.zone_id)}"
    if right.network_id is not None:
        where = f"network {_code(networks, right.network_id)} of {where}"
    kind = "any kind" if right.kind == "*" else right.kind
    channel = "any channel" if right.channel == "*" else right.channel
    mode = "" if right.mode == "*" else f", {right.mode} only"
    return f"{does} {where}: {kind}, {channel}{mode}."
