"""A CAP message as JSON, in the element names and texts of its XML, and back. Judges nothing: `cap.read` does.

What may stand more than once is a list, even if it stands once; everything else is an object or a string, with times
and shapes written as in XML. An alert read from one form and from the other is the same alert.
"""

from __future__ import annotations

import json
from typing import Any, Final

from lxml import etree

from cap.model import Alert
from cap.names import CAP_12, REPEATED
from cap.write import write

MEDIA_TYPE: Final = "application/json"

_PAIR = ("valueName", "value")
# The children of each element that has any, in the order of section 3.2.
_CHILDREN: dict[str, tuple[str, ...]] = {
    "alert": (
        "identifier", "sender", "sent", "status", "msgType", "source", "scope", "restriction", "addresses", "code",
        "note", "references", "incidents", "info",
    ),
    "info": (
        "language", "category", "event", "responseType", "urgency", "severity", "certainty", "audience", "eventCode",
        "effective", "onset", "expires", "senderName", "headline", "description", "instruction", "web", "contact",
        "parameter", "resource", "area",
    ),
    "resource": ("resourceDesc", "mimeType", "size", "uri", "derefUri", "digest"),
    "area": ("areaDesc", "polygon", "circle", "geocode", "altitude", "ceiling"),
    "eventCode": _PAIR,
    "parameter": _PAIR,
    "geocode": _PAIR,
}  # fmt: skip
_NAMESPACES: Any = {None: CAP_12}  # the default namespace, for which the stubs have no type


def to_json(alert: Alert) -> bytes:
    """The message as one JSON object, always the same bytes. Raises ValueError for what CAP cannot say."""
    return json.dumps(_object(etree.fromstring(write(alert))), ensure_ascii=False, indent=1).encode() + b"\n"


def from_json(text: bytes) -> bytes:
    """The XML document that a JSON object stands for, for `cap.read` to judge.

    Raises ValueError for JSON of another shape: an unknown name, a list or object where none may be.
    """
    try:
        value = json.loads(text)
    except (UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"this is not JSON: {exc}") from exc
    root = etree.Element(_tag("alert"), nsmap=_NAMESPACES)
    _fill(root, "alert", value, "$")
    etree.indent(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _object(element: etree._Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        name = etree.QName(child).localname
        value: Any = _object(child) if len(child) else child.text or ""
        if name in REPEATED:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _fill(element: etree._Element, name: str, value: object, path: str) -> None:
    """Put a JSON value into an element. `path` is where it stands, for the refusal."""
    children = _CHILDREN.get(name)
    if children is None:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{path} is a text")
        element.text = value if isinstance(value, str) else str(value)
        return
    if not isinstance(value, dict):
        raise ValueError(f"{path} is an object")
    if unknown := sorted(set(value) - set(children)):
        raise ValueError(f"{path} has no {unknown[0]!r}")
    for child in children:
        if child in value:
            for number, item in enumerate(_items(child, value[child], path)):
                at = f"{path}.{child}[{number}]" if child in REPEATED else f"{path}.{child}"
                _fill(etree.SubElement(element, _tag(child)), child, item, at)


def _items(name: str, value: object, path: str) -> list[object]:
    if name not in REPEATED:
        return [value]
    if not isinstance(value, list):
        raise ValueError(f"{path}.{name} is a list")
    return value


def _tag(name: str) -> str:
    return f"{{{CAP_12}}}{name}"
