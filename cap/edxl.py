"""EDXL-DE 1.0 and 2.0 envelopes -> the alerts inside, each as a document of its own. Reads no alert and routes none.

What the envelope says about addressees and areas is the distributor's business, not the alerts'.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from cap import parse
from cap.limits import Limits
from cap.locate import source_line
from cap.versions import version_of

NAMESPACES = {
    "urn:oasis:names:tc:emergency:EDXL:DE:1.0": "1.0",
    "urn:oasis:names:tc:emergency:EDXL:DE:2.0": "2.0",
}
# An envelope is only taken apart, so it may hold more than one alert may; each alert is read within its own limits.
LIMITS = Limits(max_elements=50_000, max_infos=2_000, max_areas=5_000, max_points=150_000)
_ROOTS = frozenset({"edxldistribution"})  # 1.0 and 2.0 differ in the case of the first letters, and so do senders
_CARRIER = "embeddedXMLContent"


@dataclass(frozen=True, slots=True)
class Enclosed:
    """One alert: its document in UTF-8, and the line of the envelope (from 1) on which it began."""

    document: bytes
    line: int | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who distributed what; texts as sent, "" where absent. `version` is that of EDXL-DE."""

    version: str
    identifier: str
    sender: str
    sent: str
    status: str
    kind: str
    alerts: tuple[Enclosed, ...]


def is_envelope(root: etree._Element) -> bool:
    """Whether a document element is that of EDXL-DE."""
    name = etree.QName(root)
    return name.namespace in NAMESPACES and name.localname.lower() in _ROOTS


def unwrap(document: bytes, limits: Limits = LIMITS) -> Envelope | None:
    """What an envelope holds, in its order; None for anything else. Raises nothing for any bytes.

    An alert keeps the namespaces that the envelope declared around it, so a signature over it still verifies with
    exclusive canonical XML, and not always with inclusive. Alerts that are only linked or encoded are not followed.
    """
    root = parse.tree(document, limits)
    if isinstance(root, parse.Refused) or not is_envelope(root):
        return None
    namespace = str(etree.QName(root).namespace)
    return Envelope(
        version=NAMESPACES[namespace],
        identifier=_text(root, namespace, "distributionID"),
        sender=_text(root, namespace, "senderID"),
        sent=_text(root, namespace, "dateTimeSent"),
        status=_text(root, namespace, "distributionStatus"),
        kind=_text(root, namespace, "distributionType") or _text(root, namespace, "distributionKind"),
        alerts=tuple(
            Enclosed(etree.tostring(alert, encoding="UTF-8", xml_declaration=True, with_tail=False), source_line(alert))
            for carrier in root.iter(f"{{{namespace}}}{_CARRIER}")
            for alert in carrier
            if version_of(alert)
        ),
    )


def _text(root: etree._Element, namespace: str, name: str) -> str:
    return (root.findtext(f"{{{namespace}}}{name}") or "").strip()
