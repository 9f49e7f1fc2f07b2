"""Alerts -> an RSS 2.0 feed in the form that the WMO's composer writes and its importer reads. No store, no clock.

The importer wants of an item a guid and a link that ends in .xml; the guid is the alert's identifier there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from html import escape
from typing import Any, Final

from lxml import etree

from cap.feed import FeedEntry, absolute, document_url, shown, summary_of, title_of
from cap.georss import GEORSS, add_shapes
from cap.model import Alert, Info
from cap.names import ATOM
from cap.visible_text import harmless

MEDIA_TYPE: Final = "application/rss+xml"
_NAMESPACES: Any = {"atom": ATOM, "georss": GEORSS}  # a dict of a kind that the stubs do not know


def rss(
    entries: Sequence[FeedEntry],
    *,
    title: str,
    description: str,
    self_url: str,
    updated: datetime,
    language: str = "",
) -> bytes:
    """The feed document, entries in the order given; `updated` is aware. `language` is said where there is one.

    Raises ValueError for an alert that is not Public, a link that is not absolute or does not end in .xml, a naive
    time, or text that XML cannot hold.
    """
    root = etree.Element("rss", {"version": "2.0"}, nsmap=_NAMESPACES)
    channel = etree.SubElement(root, "channel")
    _text(channel, title=title, link=absolute(self_url), description=description)
    etree.SubElement(channel, f"{{{ATOM}}}link", {"rel": "self", "type": MEDIA_TYPE, "href": self_url})
    if language:
        _text(channel, language=language)
    _text(channel, lastBuildDate=_rfc2822(updated), pubDate=_rfc2822(updated))
    for entry in entries:
        _item(channel, entry)
    etree.indent(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _item(channel: etree._Element, entry: FeedEntry) -> None:
    alert, info = entry.alert, shown(entry)
    item = etree.SubElement(channel, "item")
    # Readers take both for HTML: what is written as plain text must be shown as it was written.
    _text(item, title=escape(title_of(entry), quote=False), link=document_url(entry.url))
    _text(item, description=escape(summary_of(entry), quote=False))
    if "@" in alert.sender:  # RSS wants an address there, and a name behind it
        told = info or (_first(entry.ends) if entry.ends is not None else None)
        name = " ".join((told.sender_name if told else "").split()) or alert.sender
        _text(item, author=f"{alert.sender} ({name})")
    for category in info.categories if info else ():
        _text(item, category=str(category))
    etree.SubElement(item, "guid", {"isPermaLink": "false"}).text = alert.identifier
    _text(item, pubDate=_rfc2822(alert.sent))
    if info is not None:
        add_shapes(item, alert.areas_of(info))


def _first(alert: Alert) -> Info | None:
    return next(iter(alert.infos), None)


def _text(parent: etree._Element, **texts: str) -> None:
    for name, text in texts.items():
        etree.SubElement(parent, name).text = harmless(text)


def _rfc2822(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"a time without an offset: {value.isoformat()}")
    return format_datetime(value)
