"""An `alert` element -> an `Alert`, as much of it as can be read. Judges nothing but single texts.

What cannot be read is noted as a `BuildFault` and replaced by an empty value, so that the rules can still look at the
rest. Such a draft may lack fields that the model promises; `cap.read` never hands it out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from math import nan
from typing import Any, NamedTuple

from lxml import etree

from cap import shapes, text_values
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
from cap.names import CAP_12, VALUE, VALUE_NAME
from cap.text_values import Unreadable


class BuildFault(NamedTuple):
    """A text that could not be read, and where."""

    element: etree._Element
    reason: Unreadable


class Field(NamedTuple):
    """Where the content of a child element goes, and how it is read: as it is, by `lex`, or as an element."""

    name: str
    lex: Callable[[str], Any] | None = None
    blank: Any = None  # in place of what `lex` cannot read
    nested: Callable[[etree._Element, list[BuildFault]], Any] | None = None
    many: bool = False
    may_be_empty: bool = False  # and is then as if it were not there, which is told


def draft(root: etree._Element) -> tuple[Alert, list[BuildFault]]:
    """The alert under a root element, and every text in it that could not be read."""
    faults: list[BuildFault] = []
    return _alert(root, faults), faults


def attributes_of(element: str) -> dict[str, str]:
    """The model's name for each child of an element, by the names of CAP."""
    fields = {"alert": _ALERT, "info": _INFO, "area": _AREA, "resource": _RESOURCE}[element]
    return {tag.rpartition("}")[2]: field.name for tag, field in fields.items()}


def heading(root: etree._Element) -> tuple[str, str, datetime | None, Status | None]:
    """(identifier, sender, sent, status) of a root element, as far as they can be read, and nothing further."""
    found = _fields(root, _HEADING, _NO_ALERT, [])
    return found["identifier"], found["sender"], found["sent"], found["status"]


def _alert(element: etree._Element, faults: list[BuildFault]) -> Alert:
    return Alert(**_fields(element, _ALERT, _NO_ALERT, faults))


def _info(element: etree._Element, faults: list[BuildFault]) -> Info:
    return Info(**_fields(element, _INFO, _NO_INFO, faults))


def _resource(element: etree._Element, faults: list[BuildFault]) -> Resource:
    return Resource(**_fields(element, _RESOURCE, _NO_RESOURCE, faults))


def _area(element: etree._Element, faults: list[BuildFault]) -> Area:
    return Area(**_fields(element, _AREA, _NO_AREA, faults))


def _pair(element: etree._Element, faults: list[BuildFault]) -> ValuePair:
    name = value = ""
    for child in element:
        if child.tag == VALUE_NAME:
            name = child.text or ""
        elif child.tag == VALUE:
            value = child.text or ""
    return ValuePair(name, value)


def _fields(
    element: etree._Element, known: dict[str, Field], required: dict[str, Any], faults: list[BuildFault]
) -> dict[str, Any]:
    """The model's arguments. Children that are unknown or one too many are the schema's to refuse.

    Each of several children has a place, if only a blank one, so that paths count the same here and in the document.
    """
    fields = dict(required)
    lists: dict[str, list[Any]] = {}
    for child in element:
        field = known.get(child.tag)
        if field is None:
            continue
        name, lex, blank, nested, many, may_be_empty = field
        if nested is not None:
            value = nested(child, faults)
            if may_be_empty and not len(child) and _is_empty(child.text):
                faults.append(BuildFault(child, Unreadable("G-EMPTY", "it is empty", "")))
        else:
            value = child.text or ""
            if may_be_empty and _is_empty(value):
                faults.append(BuildFault(child, Unreadable("G-EMPTY", "it is empty", "")))
                if not many:
                    continue
                value = blank
            elif lex is not None:
                try:
                    value = lex(value)
                except Unreadable as reason:
                    faults.append(BuildFault(child, reason))
                    value = blank
        if many:
            lists.setdefault(name, []).append(value)
        else:
            fields[name] = value
    for name, values in lists.items():
        fields[name] = tuple(values)
    return fields


def _is_empty(text: str | None) -> bool:
    return not text or text.isspace()


def _words(values: type[StrEnum]) -> Callable[[str], StrEnum | None]:
    """A closed list; a word that is not in it is None, and the schema's to refuse."""
    words: dict[str, StrEnum] = {str(value): value for value in values}
    return words.get


def _named(**fields: Field) -> dict[str, Field]:
    return {f"{{{CAP_12}}}{name}": field for name, field in fields.items()}


_AREA = _named(
    areaDesc=Field("description"),
    polygon=Field("polygons", shapes.ring, (), many=True, may_be_empty=True),
    circle=Field("circles", shapes.circle, Circle(0.0, 0.0, 0.0), many=True, may_be_empty=True),
    geocode=Field("geocodes", nested=_pair, many=True, may_be_empty=True),
    altitude=Field("altitude", text_values.height, nan, may_be_empty=True),
    ceiling=Field("ceiling", text_values.height, nan, may_be_empty=True),
)
_NO_AREA = {"description": ""}

_RESOURCE = _named(
    resourceDesc=Field("description"),
    mimeType=Field("mime_type", text_values.trimmed),
    size=Field("size", text_values.size, may_be_empty=True),
    uri=Field("uri", text_values.trimmed),
    derefUri=Field("deref_uri", text_values.trimmed),
    digest=Field("digest", text_values.trimmed),
)
_NO_RESOURCE = {"description": "", "mime_type": ""}

_INFO = _named(
    language=Field("language", text_values.trimmed),
    category=Field("categories", _words(Category), many=True),
    event=Field("event"),
    responseType=Field("response_types", _words(ResponseType), many=True, may_be_empty=True),
    urgency=Field("urgency", _words(Urgency)),
    severity=Field("severity", _words(Severity)),
    certainty=Field("certainty", _words(Certainty)),
    audience=Field("audience"),
    eventCode=Field("event_codes", nested=_pair, many=True, may_be_empty=True),
    effective=Field("effective", text_values.moment, may_be_empty=True),
    onset=Field("onset", text_values.moment, may_be_empty=True),
    expires=Field("expires", text_values.moment, may_be_empty=True),
    senderName=Field("sender_name"),
    headline=Field("headline"),
    description=Field("description"),
    instruction=Field("instruction"),
    web=Field("web", text_values.trimmed),
    contact=Field("contact"),
    parameter=Field("parameters", nested=_pair, many=True, may_be_empty=True),
    resource=Field("resources", nested=_resource, many=True, may_be_empty=True),
    area=Field("areas", nested=_area, many=True, may_be_empty=True),
)
_NO_INFO = {"categories": (), "event": "", "urgency": None, "severity": None, "certainty": None}

_ALERT = _named(
    identifier=Field("identifier"),
    sender=Field("sender"),
    sent=Field("sent", text_values.moment),
    status=Field("status", _words(Status)),
    msgType=Field("msg_type", _words(MsgType)),
    source=Field("source"),
    scope=Field("scope", _words(Scope)),
    restriction=Field("restriction"),
    addresses=Field("addresses", text_values.addresses, ()),
    code=Field("codes", many=True),
    note=Field("note"),
    references=Field("references", text_values.references, ()),
    incidents=Field("incidents", text_values.incidents, ()),
    info=Field("infos", nested=_info, many=True),
)
_HEADING = {name: field for name, field in _ALERT.items() if field.name in ("identifier", "sender", "sent", "status")}
_NO_ALERT = {"identifier": "", "sender": "", "sent": None, "status": None, "msg_type": None, "scope": None}
