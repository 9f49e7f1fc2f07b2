"""Alerts -> a thin Atom feed: one entry each, with a link to the whole message. Knows no store and no clock.

After the practice of CAP feeds: the entry's link is absolute, ends in .xml and has the type application/cap+xml,
because importers skip the others. Only Public alerts are published, whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from lxml import etree

from cap.model import DEFAULT_LANGUAGE, Alert, Info, Scope
from cap.names import ATOM
from cap.write import moment

MEDIA_TYPE = "application/cap+xml"
_NAMESPACES: Any = {None: ATOM}  # the default namespace, for which the stubs have no type


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One published alert: `url` is where its exact bytes are, `updated` when it was published (aware).

    `language` chooses the text to show, where the alert has it; otherwise its first.
    """

    alert: Alert
    url: str
    updated: datetime
    language: str = ""


def atom(
    entries: Sequence[FeedEntry], *, feed_id: str, title: str, self_url: str, updated: datetime, author: str
) -> bytes:
    """The feed document, entries in the order given.

    Raises ValueError for an alert that is not Public, a link that is not absolute or does not end in .xml, a naive
    time, or text that XML cannot hold.
    """
    feed = etree.Element(f"{{{ATOM}}}feed", nsmap=_NAMESPACES)
    _text(feed, "id", feed_id)
    _text(feed, "title", title)
    _text(feed, "updated", _rfc3339(updated))
    _text(_element(feed, "author"), "name", author)
    _element(feed, "link", rel="self", type="application/atom+xml", href=_absolute(self_url))
    for entry in entries:
        _entry(feed, entry)
    etree.indent(feed)
    return etree.tostring(feed, encoding="UTF-8", xml_declaration=True) + b"\n"


def entry_id(alert: Alert) -> str:
    """A permanent URN for the message, made of the triple that names it."""
    triple = f"{alert.sender},{alert.identifier},{moment(alert.sent)}"
    return uuid5(NAMESPACE_URL, triple).urn


def _entry(feed: etree._Element, entry: FeedEntry) -> None:
    alert = entry.alert
    if alert.scope is not Scope.PUBLIC:
        raise ValueError(f"{alert.identifier} is {alert.scope}; only Public alerts are published")
    info = _shown(alert, entry.language)
    element = _element(feed, "entry")
    _text(element, "id", entry_id(alert))
    _text(element, "title", _title(alert, info))
    _text(element, "updated", _rfc3339(entry.updated))
    _text(element, "published", _rfc3339(alert.sent))
    _text(_element(element, "author"), "name", (info.sender_name if info else "") or alert.sender)
    _element(element, "link", rel="alternate", type=MEDIA_TYPE, href=_document_url(entry.url))
    for category in info.categories if info else ():
        _element(element, "category", term=str(category))
    summary = (info.description or info.instruction) if info else alert.note
    if summary:
        _text(element, "summary", summary)


def _shown(alert: Alert, language: str) -> Info | None:
    for info in alert.infos:
        if language and (info.language or DEFAULT_LANGUAGE).lower() == language.lower():
            return info
    return alert.infos[0] if alert.infos else None


def _title(alert: Alert, info: Info | None) -> str:
    return (info.headline or info.event) if info else f"{alert.msg_type} {alert.identifier}"


def _element(parent: etree._Element, name: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)


def _text(parent: etree._Element, name: str, text: str) -> None:
    _element(parent, name).text = text


def _rfc3339(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"a time without an offset: {value.isoformat()}")
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _absolute(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"not an absolute http or https address: {url!r}")
    return url


def _document_url(url: str) -> str:
    if not urlsplit(_absolute(url)).path.endswith(".xml"):
        raise ValueError(f"importers skip a link that does not end in .xml: {url!r}")
    return url
