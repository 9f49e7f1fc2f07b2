"""Answers in CAP's own words, for senders that ask for them: an Ack or an Error message instead of JSON.

`Accept: application/cap+xml`. Only a verdict on a message that can be named is an Error message; a stranger, a busy
store and a document without a triple are told of in the usual form.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp import web

import cap
from cap.answer import Heading, ack, error, heading, note
from gateway.campaigns.answers import AlertAnswer
from gateway.campaigns.refused import VERDICTS
from gateway.campaigns.request_body import open_body
from gateway.errors import Reason, Refusal
from gateway.http.bodies import CAP_MEDIA_TYPE
from gateway.http.context import HttpContext
from gateway.http.languages import Tongue


def wanted(request: web.Request) -> bool:
    """Whether a caller asks for answers in CAP, by its name; `*/*` is no wish for them."""
    ranges = (part.partition(";") for part in request.headers.get("Accept", "").split(","))
    return any(
        name.strip().lower() == CAP_MEDIA_TYPE and "q=0" not in settings.replace(" ", "").lower().split(";")
        for name, _, settings in ranges
    )


def name_of(body: bytes) -> Heading | None:
    """What names the message in a body, in an envelope or by itself; None where nothing does."""
    try:
        return heading(open_body(body).document)
    except Refusal:
        return None


def accepted(named: Heading, filed: AlertAnswer, context: HttpContext, tongue: Tongue) -> cap.Alert:
    """An Ack, in one language the same one each time: it is dated by the receipt."""
    sender = context.services.feed.answer_sender
    return ack(named, _notes(filed, tongue), sender=sender, at=_instant(filed.received_ms))


def refused(named: Heading, refusal: Refusal, context: HttpContext, tongue: Tongue) -> cap.Alert:
    """An Error: the refusal must be a verdict on the message."""
    notes = [note(refusal.code, tongue.title(refusal.code, refusal.title)), *_lines(refusal.reasons, tongue)]
    at = _instant(context.services.database.clock.now_ms())
    return error(named, notes, sender=context.services.feed.answer_sender, at=at)


def is_verdict(refusal: Refusal) -> bool:
    """Whether a refusal is about the message, and not about the machine or the caller's patience."""
    return refusal.status in VERDICTS


def response(message: cap.Alert, status: int, tongue: Tongue, headers: dict[str, str] | None = None) -> web.Response:
    made = web.Response(body=cap.write(message), status=status, headers=headers, content_type=CAP_MEDIA_TYPE)
    tongue.label(made, also="Accept")
    return made


def _notes(filed: AlertAnswer, tongue: Tongue) -> list[str]:
    told = {reason.text for reason in filed.warnings}
    said = [tongue.english(filed.note)] if filed.note and filed.note not in told else []
    refusals = [Reason("ZONE", f"{zone.zone}: {zone.refusal}") for zone in filed.zones if zone.refusal]
    return [*said, *_lines((*refusals, *filed.warnings), tongue)]


def _lines(reasons: Iterable[Reason], tongue: Tongue) -> list[str]:
    return [note(reason.rule, reason.text, reason.path) for reason in tongue.reasons(reasons)]


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
