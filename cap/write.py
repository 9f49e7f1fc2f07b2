"""An `Alert` -> its XML bytes, always the same ones. Judges nothing: `cap.rules.check` does, before.

UTC is written -00:00, as section 3.3.2 wants; other offsets as they came. Empty fields are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from lxml import etree

from cap.model import Alert, Area, Info, Resource, Ring, ValuePair
from cap.names import CAP_12

_SPACES = " \t\r\n"
_NAMESPACES: Any = {None: CAP_12}  # the default namespace, for which the stubs have no type


def write(alert: Alert) -> bytes:
    """The document, in UTF-8; `read(write(alert)).alert == alert` for every alert that obeys the rules.

    Raises ValueError for what XML or CAP cannot say: control characters, a naive or fractional time, an item of a
    list with a double quote in it.
    """
    root = etree.Element(f"{{{CAP_12}}}alert", nsmap=_NAMESPACES)
    _add(root, identifier=alert.identifier, sender=alert.sender, sent=moment(alert.sent))
    _add(root, status=alert.status, msgType=alert.msg_type)
    _add_if(root, source=alert.source)
    _add(root, scope=alert.scope)
    _add_if(root, restriction=alert.restriction, addresses=_items(alert.addresses))
    for code in alert.codes:
        _add(root, code=code)
    _add_if(root, note=alert.note, references=_references(alert), incidents=_items(alert.incidents))
    for info in alert.infos:
        _info(root, info)
    etree.indent(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def moment(value: datetime) -> str:
    """An aware datetime as CAP writes it (3.3.2). Raises ValueError if it is naive or finer than a second."""
    offset = value.utcoffset()
    if offset is None or value.microsecond or offset % timedelta(minutes=1):
        raise ValueError(f"CAP has whole seconds and an offset in whole minutes, not {value.isoformat()}")
    text = value.isoformat()
    return text if offset else f"{text[:19]}-00:00"


def _info(root: etree._Element, info: Info) -> None:
    element = _element(root, "info")
    _add_if(element, language=info.language)
    for category in info.categories:
        _add(element, category=category)
    _add(element, event=info.event)
    for response_type in info.response_types:
        _add(element, responseType=response_type)
    _add(element, urgency=info.urgency, severity=info.severity, certainty=info.certainty)
    _add_if(element, audience=info.audience)
    _pairs(element, "eventCode", info.event_codes)
    _add_if(element, effective=_optional(info.effective), onset=_optional(info.onset), expires=_optional(info.expires))
    _add_if(element, senderName=info.sender_name, headline=info.headline, description=info.description)
    _add_if(element, instruction=info.instruction, web=info.web, contact=info.contact)
    _pairs(element, "parameter", info.parameters)
    for resource in info.resources:
        _resource(element, resource)
    for area in info.areas:
        _area(element, area)


def _resource(info: etree._Element, resource: Resource) -> None:
    element = _element(info, "resource")
    _add(element, resourceDesc=resource.description, mimeType=resource.mime_type)
    _add_if(element, size="" if resource.size is None else str(resource.size), uri=resource.uri)
    _add_if(element, derefUri=resource.deref_uri, digest=resource.digest)


def _area(info: etree._Element, area: Area) -> None:
    element = _element(info, "area")
    _add(element, areaDesc=area.description)
    for ring in area.polygons:
        _add(element, polygon=_ring(ring))
    for circle in area.circles:
        _add(element, circle=f"{_number(circle.lat)},{_number(circle.lon)} {_number(circle.radius_km)}")
    _pairs(element, "geocode", area.geocodes)
    _add_if(element, altitude=_height(area.altitude), ceiling=_height(area.ceiling))


def _pairs(parent: etree._Element, name: str, pairs: Iterable[ValuePair]) -> None:
    for pair in pairs:
        _add(_element(parent, name), valueName=pair.name, value=pair.value)


def _element(parent: etree._Element, name: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{CAP_12}}}{name}")


def _add(parent: etree._Element, **texts: str) -> None:
    for name, text in texts.items():
        _element(parent, name).text = str(text)


def _add_if(parent: etree._Element, **texts: str) -> None:
    _add(parent, **{name: text for name, text in texts.items() if text})


def _optional(value: datetime | None) -> str:
    return "" if value is None else moment(value)


def _height(value: float | None) -> str:
    return "" if value is None else _number(value)


def _number(value: float) -> str:
    """The shortest plain decimal that reads back as the same number; never an exponent."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def _ring(ring: Ring) -> str:
    return " ".join(f"{_number(lat)},{_number(lon)}" for lat, lon in ring)


def _references(alert: Alert) -> str:
    return " ".join(f"{item.sender},{item.identifier},{moment(item.sent)}" for item in alert.references)


def _items(items: Iterable[str]) -> str:
    return " ".join(_item(item) for item in items)


def _item(item: str) -> str:
    if '"' in item or not item.strip(_SPACES):
        raise ValueError(f"an item of a list is not empty and has no double quote: {item!r}")
    return f'"{item}"' if any(space in item for space in _SPACES) else item
