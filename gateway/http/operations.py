"""The handlers about the machine and the caller: index, whoami, health, readiness, metrics."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from gateway.access.hashing_queue import MOST_WAITING
from gateway.access.rights import Action, Caller, Right, everywhere
from gateway.access.sign_in_parts import CODES_A_DAY, LINKS_AN_HOUR, PASSWORDS_A_DAY, SignInParts
from gateway.errors import Refusal
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.cached import CacheHead, answer_cached
from gateway.http.courses import NotedCourse, shown_all
from gateway.http.events import MOST_TOPICS
from gateway.http.metrics import CONTENT_TYPE
from gateway.http.pages import MOST
from gateway.http.services import HealthCheck, Measure
from gateway.settings import LimitSettings
from store.register import reading as directory

_READY_S = 3.0

_LINKS = {
    "help": "/api/v1/help",
    "alerts": "/cap/v1/alerts",
    "validate": "/cap/v1/validate",
    "feed": "/cap/feed.atom",
    "rss": "/cap/feed.rss",
    "map": "/cap/active.geojson",
    "stream": "/cap/stream",
    "heartbeat": "/cap/heartbeat.xml",
    "campaigns": "/api/v1/campaigns",
    "holds": "/api/v1/holds",
    "accounts": "/api/v1/accounts",
    "invitations": "/api/v1/invitations",
    "me": "/api/v1/me",
    "approvals": "/api/v1/approvals",
    "alarms": "/api/v1/alarms",
    "notices": "/api/v1/notices",
    "whoami": "/api/v1/whoami",
    "limits": "/api/v1/limits",
    "session": "/api/v1/sessions/current",
    "audit": "/api/v1/audit",
    "openapi": "/api/v1/openapi.json",
    "docs": "/api/docs",
    "health": "/healthz",
    "ready": "/readyz",
    "metrics": "/metrics",
}
_DOES: Mapping[str, str] = {
    Action.SUBMIT: "May post CAP alerts for",
    Action.LAUNCH: "May launch messages in",
    Action.READ: "May see campaigns, deliveries and reports of",
    Action.ADMINISTER: "May keep the accounts of",
    Action.STOP: "May stop campaigns of",
    Action.PUBLISH: "May publish alerts for",
    Action.AUDIT: "May read who did what in",
    Action.ADMINISTER: "May see to the accounts of",
}


class ServiceIndex(msgspec.Struct, frozen=True):
    """Where everything is."""

    service: str
    links: dict[str, str]


class Alive(msgspec.Struct, frozen=True):
    status: str


class Readiness(msgspec.Struct, frozen=True):
    ready: bool
    """Every vital check is well."""
    checks: tuple[HealthCheck, ...]


class GrantedRight(msgspec.Struct, frozen=True):
    """What an account may do where. `*` is every kind, channel or mode."""

    action: str
    zone: str | None
    """null: every zone."""
    network: str | None
    """null: the whole zone."""
    kind: str
    channel: str
    mode: str
    text: str
    """The right as a sentence."""


class Whoami(msgspec.Struct, frozen=True):
    """The account behind a key."""

    account: str
    name: str
    type: str
    senders: tuple[str, ...]
    """CAP sender values under which it may post."""
    rights: tuple[GrantedRight, ...]
    courses: tuple[NotedCourse, ...]
    """That it has followed, the latest first."""


class AddressLimits(msgspec.Struct, frozen=True):
    """What one client address may do, an IPv6 network of 64 bits counting as one. Each node counts for itself; 0 is no
    limit."""

    connections: int
    """Open at once by those who have shown no key."""
    feed_streams: int
    """Public streams open at once."""
    failed_keys_per_minute: int
    failed_sign_ins_per_hour: int
    """A passkey that is right passes all the same."""


class AccountLimits(msgspec.Struct, frozen=True):
    """What one account may do. Each node counts for itself; 0 is no limit."""

    requests_per_s: int
    requests_at_once: int
    """What was not used of the requests a second, at most."""
    streams: int
    """Open at once."""
    topics_per_stream: int
    dry_runs_at_once: int
    """And messages that are no alerts, worked on or waiting."""
    page: int
    """The most of a list in one answer."""


class SignInLimits(msgspec.Struct, frozen=True):
    """What one account may try, on all nodes together. What succeeds is not counted, and passkeys are not."""

    passwords_per_day: int
    codes_per_day: int
    resets_per_hour: int
    waiting: int
    """Passwords of all accounts that wait on this node; one more is refused with 429."""


class RequestLimits(msgspec.Struct, frozen=True):
    """What one request may hold."""

    body_bytes: int
    body_s: float
    """From the head of a request to the end of its body."""
    head_s: float
    """From the first octet of a head to its end."""
    contents: LimitSettings
    """Of a CAP document and of a composed message."""


class PublishedLimits(msgspec.Struct, frozen=True):
    """Every limit that a client may meet; what is beyond one is refused with 413, 422 or 429."""

    address: AddressLimits
    account: AccountLimits
    sign_in: SignInLimits
    request: RequestLimits


async def limits(asked: Asked[NoQuery, None]) -> Answer:
    """As the settings of this server say."""
    services = asked.context.services
    server, feed, most = services.server, services.feed, services.limits
    return Answer(
        PublishedLimits(
            AddressLimits(
                connections=server.max_connections_per_address,
                feed_streams=feed.max_feed_watchers_per_address,
                failed_keys_per_minute=asked.context.keyring.failures.most,
                failed_sign_ins_per_hour=services.sign_in.parts.tries.most,
            ),
            AccountLimits(
                requests_per_s=most.requests_per_account,
                requests_at_once=int(asked.context.allowance.burst),
                streams=server.max_watchers_per_account,
                topics_per_stream=MOST_TOPICS,
                dry_runs_at_once=most.at_once_per_account,
                page=MOST,
            ),
            SignInLimits(PASSWORDS_A_DAY, CODES_A_DAY, LINKS_AN_HOUR, MOST_WAITING),
            RequestLimits(server.max_document_bytes, server.body_timeout_s, server.head_timeout_s, most),
        )
    )


async def index(_asked: Asked[NoQuery, None]) -> Answer:
    """Links to everything else."""
    return Answer(ServiceIndex("tocsin", _LINKS))


async def health(_asked: Asked[NoQuery, None]) -> Answer:
    """The process answers. Nothing else is asked, so that a supervisor does not restart a store."""
    return Answer(Alive("ok"))


async def ready(asked: Asked[NoQuery, None]) -> Answer:
    """200 when every vital check is well, else 503."""
    try:
        async with asyncio.timeout(_READY_S):
            checks = tuple(await asked.context.services.readiness())
    except TimeoutError:
        checks = (HealthCheck("answer", False, f"The checks took longer than {_READY_S:g} s."),)
    well = all(check.well for check in checks if check.vital)
    return Answer(Readiness(well, checks), 200 if well else 503, {} if well else {"Retry-After": "5"})


async def api_document(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """OpenAPI 3.1: every route, parameter, body, answer and error."""
    body, etag = await asked.context.api_document.read()
    return await answer_cached(asked, body, CacheHead(etag, "application/json", None, "no-cache"))


async def metrics(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Of the whole machine, for who may see it for every zone."""
    require_machine(asked.caller)
    async with asyncio.timeout(_READY_S):
        measures = [*await asked.context.services.measures(), *_signing_in(asked.context.services.sign_in.parts)]
    return web.Response(body=asked.context.metrics.text(measures), headers={"Content-Type": CONTENT_TYPE})


def _signing_in(parts: SignInParts) -> Iterator[Measure]:
    text = "Sign-ins that were refused, whatever was wrong."
    yield Measure("tocsin_sign_in_failures", text, "counter", parts.failed.total)
    text = "Sign-ins with a password that were told to come back, because too many were tried."
    yield Measure("tocsin_sign_in_put_off", text, "counter", parts.hashing.refused)
    text = "Passwords that wait to be hashed."
    yield Measure("tocsin_sign_in_waiting", text, "gauge", parts.hashing.waiting)


def require_machine(caller: Caller) -> None:
    """Raises Refusal 403 for who may not operate in every zone."""
    if caller.zone_ids(Action.OPERATE) is not None:
        title = "The machine serves every zone: this needs the right to operate in all of them."
        raise Refusal(403, "no-right", title, (everywhere(Action.OPERATE),))


async def whoami(asked: Asked[NoQuery, None]) -> Answer:
    """The account and its rights, in words."""
    caller = asked.caller
    words = await words_of_rights(asked, caller.rights)
    courses = shown_all(await asked.context.services.courses.own(caller), caller.code)
    told = words.of(caller.rights)
    return Answer(Whoami(caller.code, caller.name, caller.type, caller.senders, told, courses))


@dataclass(frozen=True, slots=True)
class RightWords:
    """Codes of the places where rights are, and sentences of the rights."""

    zones: dict[int, str]
    networks: dict[int, str]

    def of(self, rights: Iterable[Right]) -> tuple[GrantedRight, ...]:
        return tuple(
            GrantedRight(
                action=right.action,
                zone=_code(self.zones, right.zone_id),
                network=_code(self.networks, right.network_id),
                kind=right.kind,
                channel=right.channel,
                mode=right.mode,
                text=_sentence(right, self.zones, self.networks),
            )
            for right in rights
        )


async def words_of_rights(asked: Asked[Any, Any], rights: Iterable[Right]) -> RightWords:
    """The words for these rights."""
    named = {right.zone_id for right in rights}
    async with asked.context.services.database.read() as conn:
        zones = {z.id: z.code for z in await directory.zones(conn)}
        theirs = [zone_id for zone_id in zones if None in named or zone_id in named]
        return RightWords(zones, {n.id: n.code for n in await directory.networks(conn, theirs)})


def _code(codes: dict[int, str], wanted: int | None) -> str | None:
    return None if wanted is None else codes.get(wanted, "?")


def _operates(right: Right) -> str:
    """What is held is held for everybody of a zone, so that a narrower right shows and holds nothing."""
    holds = "see, place and lift holds in" if right.is_whole else "see holds in"
    return f"May see the figures of the machine, and {holds}" if right.zone_id is None else f"May {holds}"


def _sentence(right: Right, zones: dict[int, str], networks: dict[int, str]) -> str:
    does = _operates(right) if right.action == Action.OPERATE else _DOES.get(right.action, f"May {right.action} in")
    where = "every zone" if right.zone_id is None else f"zone {_code(zones, right.zone_id)}"
    if right.network_id is not None:
        where = f"network {_code(networks, right.network_id)} of {where}"
    kind = "any kind" if right.kind == "*" else right.kind
    channel = "any channel" if right.channel == "*" else right.channel
    mode = "" if right.mode == "*" else f", {right.mode} only"
    return f"{does} {where}: {kind}, {channel}{mode}."
