"""What the API's document says of an answer, held against every answer that a test is given over HTTP."""

import re
from collections.abc import Mapping

import msgspec

from gateway.http.openapi import PROBLEM, ProblemDetails, headers_sent, statuses_refused
from gateway.http.route import Events, Media, Route
from gateway.http.routes import TABLE
from gateway.http.wording import spoken_type

_PART = re.compile(r"\{\w+(?::((?:[^{}]|\{[^{}]*\})*))?\}")


def _pattern(path: str) -> re.Pattern[str]:
    pieces, at = [], 0
    for part in _PART.finditer(path):
        pieces += [re.escape(path[at : part.start()]), f"(?:{part[1] or '[^/]+'})"]
        at = part.end()
    return re.compile("".join([*pieces, re.escape(path[at:])]))


_ROUTES = [(_pattern(route.path), route) for route in TABLE]


def route_of(method: str, path: str) -> Route | None:
    """The route that answers, for a path without its query."""
    wanted = "GET" if method == "HEAD" else method
    return next((route for pattern, route in _ROUTES if route.method == wanted and pattern.fullmatch(path)), None)


def hold(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
    """Raises AssertionError where the answer is none that its route declares. `body` is None where it was not read."""
    route = route_of(method, path)
    if route is None:
        return
    said = f"{method} {route.template} answered {status}"
    media_type = headers.get("Content-Type", "").partition(";")[0]
    if media_type == PROBLEM:
        if status == 404 and body and b'"not-found"' in body:
            return  # a listener that does not show this face
        assert status in statuses_refused(route), f"{said}, which is not among its refusals"
        if method != "HEAD" and body is not None:
            msgspec.json.decode(body, type=ProblemDetails)
        return
    forms = route.forms(status)
    assert forms, f"{said}, which it does not declare"
    sent = dict(headers_sent(route, status))
    missing = [name for name, told in sent.items() if told.get("required") and name not in headers]
    assert not missing, f"{said} without {missing}"
    if method == "HEAD" or body is None:
        return
    types = [name for form in forms if isinstance(form, Media) for name in form.types]
    if any(isinstance(form, Events) for form in forms):
        assert media_type == "text/event-stream", f"{said} as {media_type}"
    elif media_type not in types and "*/*" not in types and body:
        structs = [form for form in forms if not isinstance(form, Media | Events)]
        assert media_type == "application/json", f"{said} as {media_type}"
        assert any(_is(body, form) for form in structs), f"{said}: {body[:500]!r}"


def _is(body: bytes, form: type[msgspec.Struct]) -> bool:
    try:
        msgspec.json.decode(body, type=spoken_type(form))
    except msgspec.ValidationError:
        return False
    return True
