"""The handlers of CAP alerts: post, try, look up."""

import asyncio
from typing import Annotated

import msgspec
from aiohttp import web

from cap.answer import Heading
from gateway.campaigns.alert_desk import BIG_BYTES
from gateway.campaigns.answers import AlertAnswer, ZoneResult
from gateway.errors import Refusal
from gateway.http import cap_answers
from gateway.http.asking import Answer, Asked, CapDocument, NoQuery
from gateway.http.bodies import CAP_MEDIA_TYPE, EDXL_MEDIA_TYPE
from gateway.http.languages import Tongue


class AlertZone(ZoneResult, frozen=True, omit_defaults=True):
    """What became of an alert in one zone."""

    href: str = ""
    """Of its campaign."""


class AlertResource(AlertAnswer, frozen=True, omit_defaults=True):
    """An alert as it was filed. `created` is false for the same bytes again."""

    zones: tuple[AlertZone, ...] = ()
    href: str = ""


class FindAlert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sender: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    identifier: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class DocumentForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    envelope: bool = False
    """The EDXL-DE envelope that it came in."""


async def submit(asked: Asked[NoQuery, CapDocument]) -> Answer | web.StreamResponse:
    """202 once it is durable, 200 for the same bytes again; both with its Location."""
    document, tongue, context = asked.body, asked.tongue(), asked.context
    in_cap = cap_answers.wanted(asked.request)
    try:
        filed = await context.services.alerts.submit(asked.caller, document)
    except Refusal as refusal:
        named = await _name(document) if in_cap and cap_answers.is_verdict(refusal) else None
        if named is None:
            raise
        rejection = cap_answers.refused(named, refusal, context, tongue)
        return cap_answers.response(rejection, refusal.status, tongue)
    status, headers = 202 if filed.created else 200, {"Location": _location(filed)}
    named = await _name(document) if in_cap else None
    if named is None:
        return _resource(filed, tongue, status, headers)
    return cap_answers.response(cap_answers.accepted(named, filed, context, tongue), status, tongue, headers)


async def validate(asked: Asked[NoQuery, CapDocument]) -> Answer:
    """What a posting would do, to the word and the cent."""
    return Answer(await asked.context.services.alerts.validate(asked.caller, asked.body), tongue=asked.tongue())


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """What became of it, zone by zone."""
    return _resource(await asked.context.services.alerts.read(asked.caller, asked.id), asked.tongue())


async def find(asked: Asked[FindAlert, None]) -> Answer:
    """By the sender and identifier that it bears."""
    query = asked.query
    found = await asked.context.services.alerts.find(asked.caller, query.sender, query.identifier)
    return _resource(found, asked.tongue())


async def document(asked: Asked[DocumentForm, None]) -> web.StreamResponse:
    """Byte for byte as it was received."""
    desk = asked.context.services.alerts
    if asked.query.envelope:
        return web.Response(body=await desk.envelope(asked.caller, asked.id), content_type=EDXL_MEDIA_TYPE)
    return web.Response(body=await desk.document(asked.caller, asked.id), content_type=CAP_MEDIA_TYPE)


async def _name(document: bytes) -> Heading | None:
    """Off the loop where it is large: it is parsed once more."""
    if len(document) > BIG_BYTES:
        return await asyncio.to_thread(cap_answers.name_of, document)
    return cap_answers.name_of(document)


def _location(filed: AlertAnswer) -> str:
    return f"/cap/v1/alerts/{filed.id}"


def _resource(filed: AlertAnswer, tongue: Tongue, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    fields = msgspec.structs.asdict(filed) | {"zones": tuple(map(_zone, filed.zones)), "href": _location(filed)}
    return Answer(AlertResource(**fields), status, headers or {}, tongue, varies_by="Accept")


def _zone(found: ZoneResult) -> AlertZone:
    href = f"/api/v1/campaigns/{found.campaign}" if found.campaign else ""
    return AlertZone(**msgspec.structs.asdict(found), href=href)
