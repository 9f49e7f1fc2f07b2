"""CAP 1.0 and 1.1 -> the tree of a 1.2 document, for senders that were allowed to send them. Judges nothing.

What the older versions say in other words is said in those of 1.2; what they leave out and 1.2 wants is filled in
only where it adds no meaning. A missing scope is not filled in: who may read an alert is never guessed.
"""

from __future__ import annotations

import re

from lxml import etree

from cap.names import CAP_10, CAP_11, CAP_12

VERSIONS = {CAP_10: "1.0", CAP_11: "1.1", CAP_12: "1.2"}

_TIMES = ("sent", "effective", "onset", "expires")
_PAIRS = ("eventCode", "parameter", "geocode")
_TIME = re.compile(r"(.{19})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", re.DOTALL)


def version_of(root: etree._Element) -> str | None:
    """The version of an alert element; None for anything else."""
    name = etree.QName(root)
    return VERSIONS.get(name.namespace or "") if name.localname == "alert" else None


def modernise(root: etree._Element) -> None:
    """Turn a tree of CAP 1.0 or 1.1 into one of 1.2, in place. Lines stay; what is new has none."""
    old = etree.QName(root).namespace
    for element in list(root.iter(f"{{{old}}}*")):
        element.tag = _name(etree.QName(element).localname)
    for name in _TIMES:
        for element in root.iter(_name(name)):
            element.text = _time(element.text or "")
    _add_types(root)
    if old == CAP_10:
        _without_10(root)


def _without_10(root: etree._Element) -> None:
    """What only 1.0 has: a password, pairs in one text, a certainty of its own, an info without a category."""
    for password in list(root.iterchildren(_name("password"))):
        root.remove(password)
    for certainty in root.iter(_name("certainty")):
        if certainty.text == "Very Likely":  # 3.2.2 certainty: counts as Likely
            certainty.text = "Likely"
    for name in _PAIRS:
        for element in root.iter(_name(name)):
            _split(element)
    for info in root.iterchildren(_name("info")):
        if info.find(_name("category")) is None:
            category = etree.Element(_name("category"))
            category.text = "Other"
            language = info.find(_name("language"))
            info.insert(0 if language is None else 1, category)


def _split(element: etree._Element) -> None:
    name, equals, value = (element.text or "").partition("=")
    if not equals or len(element):
        return
    element.text = None
    etree.SubElement(element, _name("valueName")).text = name.strip()
    etree.SubElement(element, _name("value")).text = value.strip()


def _add_types(root: etree._Element) -> None:
    """Files without a type are bytes (RFC 2046 4.5.1): 1.2 wants one to be named."""
    for resource in root.iter(_name("resource")):
        description = resource.find(_name("resourceDesc"))
        if description is not None and resource.find(_name("mimeType")) is None:
            mime_type = etree.Element(_name("mimeType"))
            mime_type.text = "application/octet-stream"
            description.addnext(mime_type)


def _time(text: str) -> str:
    """Older versions have any xs:dateTime: a letter for UTC, parts of a second. Without an offset it stays refused."""
    form = _TIME.fullmatch(text.strip())
    if form is None:
        return text
    return form[1] + ("-00:00" if form[2] == "Z" else form[2])


def _name(name: str) -> str:
    return f"{{{CAP_12}}}{name}"
