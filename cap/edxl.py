"""EDXL-DE 1.0 and 2.0 envelopes -> the alerts inside, each as a document of its own. Reads no alert and routes none.

What the envelope says about addressees and areas is the distributor's business, not the alerts'.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from lxml import etree

from cap import safe_xml
from cap.limits import Limits
from cap.locate import source_line
from cap.versions import version_of

NAMESPACES = {
    "urn:oasis:names:tc:emergency:EDXL:DE:1.0": "1.0",
    "urn:oasis:names:tc:emergency:EDXL:DE:2.0": "2.0",
}
# An envelope is only taken apart, so it may hold more than one alert may; each alert is read within its own limits.
LIMITS = Limits(max_elements=50_000, max_infos=2_000, max_areas=5_000, max_points=150_000)
# 1.0, the drafts of 2.0 and 2.0 as published differ in the case of letters, and so do senders: none counts.
_ROOTS = frozenset({"edxldistribution"})
_CARRIER = "embeddedxmlcontent"
LINE = 2  # behind the XML declaration


@dataclass(frozen=True, slots=True)
class Enclosed:
    """One alert: its document in UTF-8, and the line of the envelope (from 1) on which it began.

    The alert is on `LINE` of its own document, and every line of it follows as in the envelope.
    """

    document: bytes
    line: int | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who distributed what; texts as sent, "" where absent. `version` is that of EDXL-DE.

    `count` is the number of alerts inside: that of `alerts`, which is empty where they are more than were asked for.
    """

    version: str
    identifier: str
    sender: str
    sent: str
    status: str
    kind: str
    alerts: tuple[Enclosed, ...]
    count: int


def is_envelope(root: etree._Element) -> bool:
    """Whether a document element is that of EDXL-DE."""
    name = etree.QName(root)
    return name.namespace in NAMESPACES and name.localname.lower() in _ROOTS


def unwrap(document: bytes, limits: Limits = LIMITS, most: int = 1_000) -> Envelope | None:
    """What an envelope holds, in its order; None for anything else. Raises nothing for any bytes.

    An alert leaves behind what the envelope declared and it does not use, so its bytes are the same in whatever
    envelope it comes and a signature over it still verifies. Alerts that are only linked or encoded are not followed,
    and none inside another is looked for. Where there are more than `most` none is taken out.
    """
    root = safe_xml.tree(document, limits)
    if isinstance(root, safe_xml.UnreadableDocument) or not is_envelope(root):
        return None
    namespace = str(etree.QName(root).namespace)
    found = list(_carried(root, namespace))
    return Envelope(
        version=NAMESPACES[namespace],
        identifier=_text(root, namespace, "distributionID"),
        sender=_text(root, namespace, "senderID"),
        sent=_text(root, namespace, "dateTimeSent"),
        status=_text(root, namespace, "distributionStatus"),
        kind=_text(root, namespace, "distributionType") or _text(root, namespace, "distributionKind"),
        alerts=tuple(map(_enclosed, found)) if len(found) <= most else (),
        count=len(found),
    )


def _carried(root: etree._Element, namespace: str) -> Iterator[etree._Element]:
    """The alerts that carriers hold. Not those inside of alerts: a nest of 250 would be taken out 250 times over."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if not _is(element, namespace, _CARRIER):
            waiting.extend(reversed(element))
            continue
        for child in element:
            if version_of(child):
                yield child
            else:
                waiting.append(child)


def _enclosed(alert: etree._Element) -> Enclosed:
    # A copy takes along only the namespaces that are used in it: all of them, for each alert, can be a gigabyte.
    alone = deepcopy(alert)
    alone.tail = None
    return Enclosed(etree.tostring(alone, encoding="UTF-8", xml_declaration=True), source_line(alert))


def _text(root: etree._Element, namespace: str, name: str) -> str:
    found = (child.text or "" for child in root if _is(child, namespace, name.lower()))
    return next(found, "").strip()


def _is(element: etree._Element, namespace: str, name: str) -> bool:
    """`name` in small letters."""
    space, _, local = element.tag.rpartition("}")
    return space == f"{{{namespace}" and local.lower() == name
