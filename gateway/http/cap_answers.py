"""Answers in CAP's own words, for senders that ask for them: an Ack or an Error message instead of JSON.

`Accept: application/cap+xml`. Only a verdict on a message that can be named is an Error message; a stranger, a busy
store and a document without a triple are told of in the usual form.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp import web

import cap
from cap.answer import ack, error, heading, note
from gateway.campaigns.answers import AlertAnswer
from gateway.errors import Reason, Refusal
from gateway.http.bodies import CAP_MEDIA_TYPE
from gateway.http.door import Door

_VERDICTS = frozenset({400, 402, 403, 409, 422})


def wanted(request: web.Request) -> bool:
    """Whether the caller names the type; `*/*` is no wish for it."""
    ranges = (part.partition(";") for part in request.headers.get("Accept", "").split(","))
    return any(
        name.strip().lower() == CAP_MEDIA_TYPE and "q=0" not in settings.replace(" ", "").lower().split(";")
        for name, _, settings in ranges
    )


def accepted(document: bytes, filed: AlertAnswer, door: Door) -> cap.Alert | None:
    """An Ack, the same one each time: it is dated by the receipt."""
    found = heading(document)
    if found is None:
        return None
    return ack(found, _notes(filed), sender=door.services.feed.answer_sender, at=_instant(filed.received_ms))


def refused(document: bytes, refusal: Refusal, door: Door) -> cap.Alert | None:
    """An Error, where the refusal is a verdict on the message."""
    found = heading(document) if refusal.status in _VERDICTS else None
    if found is None:
        return None
    notes = [note(refusal.code, refusal.title), *_lines(refusal.reasons)]
    at = _instant(door.services.database.clock.now_ms())
    return error(found, notes, sender=door.services.feed.answer_sender, at=at)


def response(message: cap.Alert, status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=cap.write(message), status=status, headers=headers, content_type=CAP_MEDIA_TYPE)


def _notes(filed: AlertAnswer) -> list[str]:
    said = [filed.note] if filed.note else []
    said += [note("ZONE", f"{zone.zone}: {zone.refusal}") for zone in filed.zones if zone.refusal]
    return [*said, *_lines(filed.problems)]


def _lines(reasons: Iterable[Reason]) -> list[str]:
    return [note(reason.rule, reason.text, reason.path) for reason in reasons]


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
