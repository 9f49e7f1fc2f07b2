"""An `alert` element -> an `Alert`, as much of it as can be read. Judges nothing but single texts.

What cannot be read is noted as a `Fault` and replaced by an empty value, so that the rules can still look at the
rest. Such a draft may lack fields that the model promises; `cap.read` never hands it out.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from lxml import etree

from cap import geometry, lexical
from cap.lexical import Unreadable
from cap.model import (
    Alert,
    Area,
    Category,
    Certainty,
    Circle,
    Info,
    MsgType,
    Resource,
    ResponseType,
    Scope,
    Severity,
    Status,
    Urgency,
    ValuePair,
)
from cap.names import CAP_12


class Fault(NamedTuple):
    """A text that could not be read, and where."""

    element: etree._Element
    reason: Unreadable


Read = Callable[[etree._Element, list[Fault]], Any]


class Field(NamedTuple):
    """Where the content of a child element goes."""

    name: str
    read: Read
    many: bool = False


def draft(root: etree._Element) -> tuple[Alert, list[Fault]]:
    """The alert under a root element, and every text in it that could not be read."""
    faults: list[Fault] = []
    return _alert(root, faults), faults


def _alert(element: etree._Element, faults: list[Fault]) -> Alert:
    return Alert(**_fields(element, _ALERT, _NO_ALERT, faults))


def _info(element: etree._Element, faults: list[Fault]) -> Info:
    return Info(**_fields(element, _INFO, _NO_INFO, faults))


def _resource(element: etree._Element, faults: list[Fault]) -> Resource:
    return Resource(**_fields(element, _RESOURCE, _NO_RESOURCE, faults))


def _area(element: etree._Element, faults: list[Fault]) -> Area:
    return Area(**_fields(element, _AREA, _NO_AREA, faults))


def _pair(element: etree._Element, faults: list[Fault]) -> ValuePair:
    return ValuePair(**_fields(element, _PAIR, _NO_PAIR, faults))


def _fields(
    element: etree._Element, known: dict[str, Field], required: dict[str, Any], faults: list[Fault]
) -> dict[str, Any]:
    """The model's arguments. Unknown and repeated children are the schema's to refuse; the first one counts here."""
    fields = dict(required)
    lists: dict[str, list[Any]] = {}
    for child in element:
        field = known.get(child.tag)
        if field is None:
            continue
        name, read, many = field
        if many:
            lists.setdefault(name, []).append(read(child, faults))
        elif not fields.get(name):
            fields[name] = read(child, faults)
    for name, values in lists.items():
        fields[name] = tuple(values)
    return fields


def _text(element: etree._Element, faults: list[Fault]) -> str:
    return element.text or ""


def _lexed(lex: Callable[[str], Any], blank: Any) -> Read:
    """A reader of one text; where the text is unreadable the value is `blank`."""

    def read(element: etree._Element, faults: list[Fault]) -> Any:
        try:
            return lex(element.text or "")
        except Unreadable as reason:
            faults.append(Fault(element, reason))
            return blank

    return read


def _one_of(values: type[StrEnum]) -> Read:
    """A reader of a closed list; a word that is not in it is None, and the schema's to refuse."""
    words: dict[str, StrEnum] = {str(value): value for value in values}
    return lambda element, faults: words.get(element.text or "")


def _named(**fields: Field) -> dict[str, Field]:
    return {f"{{{CAP_12}}}{name}": field for name, field in fields.items()}


_moment = _lexed(lexical.moment, None)
_trimmed = _lexed(lexical.trimmed, "")

_PAIR = _named(valueName=Field("name", _text), value=Field("value", _text))
_NO_PAIR = {"name": "", "value": ""}

_AREA = _named(
    areaDesc=Field("description", _text),
    polygon=Field("polygons", _lexed(geometry.ring, ()), many=True),
    circle=Field("circles", _lexed(geometry.circle, Circle(0.0, 0.0, 0.0)), many=True),
    geocode=Field("geocodes", _pair, many=True),
    altitude=Field("altitude", _lexed(lexical.height, None)),
    ceiling=Field("ceiling", _lexed(lexical.height, None)),
)
_NO_AREA = {"description": ""}

_RESOURCE = _named(
    resourceDesc=Field("description", _text),
    mimeType=Field("mime_type", _trimmed),
    size=Field("size", _lexed(lexical.size, None)),
    uri=Field("uri", _trimmed),
    derefUri=Field("deref_uri", _trimmed),
    digest=Field("digest", _trimmed),
)
_NO_RESOURCE = {"description": "", "mime_type": ""}

_INFO = _named(
    language=Field("language", _trimmed),
    category=Field("categories", _one_of(Category), many=True),
    event=Field("event", _text),
    responseType=Field("response_types", _one_of(ResponseType), many=True),
    urgency=Field("urgency", _one_of(Urgency)),
    severity=Field("severity", _one_of(Severity)),
    certainty=Field("certainty", _one_of(Certainty)),
    audience=Field("audience", _text),
    eventCode=Field("event_codes", _pair, many=True),
    effective=Field("effective", _moment),
    onset=Field("onset", _moment),
    expires=Field("expires", _moment),
    senderName=Field("sender_name", _text),
    headline=Field("headline", _text),
    description=Field("description", _text),
    instruction=Field("instruction", _text),
    web=Field("web", _trimmed),
    contact=Field("contact", _text),
    parameter=Field("parameters", _pair, many=True),
    resource=Field("resources", _resource, many=True),
    area=Field("areas", _area, many=True),
)
_NO_INFO = {"categories": (), "event": "", "urgency": None, "severity": None, "certainty": None}

_ALERT = _named(
    identifier=Field("identifier", _text),
    sender=Field("sender", _text),
    sent=Field("sent", _moment),
    status=Field("status", _one_of(Status)),
    msgType=Field("msg_type", _one_of(MsgType)),
    source=Field("source", _text),
    scope=Field("scope", _one_of(Scope)),
    restriction=Field("restriction", _text),
    addresses=Field("addresses", _lexed(lexical.addresses, ())),
    code=Field("codes", _text, many=True),
    note=Field("note", _text),
    references=Field("references", _lexed(lexical.references, ())),
    incidents=Field("incidents", _lexed(lexical.incidents, ())),
    info=Field("infos", _info, many=True),
)
_NO_ALERT = {"identifier": "", "sender": "", "sent": None, "status": None, "msg_type": None, "scope": None}
