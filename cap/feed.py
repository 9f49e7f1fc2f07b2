"""Alerts -> an Atom feed: one entry each, with a link to the whole message. Knows no store and no clock.

After the practice of CAP feeds: the entry's link is absolute, ends in .xml and has the type application/cap+xml,
because importers skip the others. Only Public alerts are published, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from lxml import etree

from cap import safe_xml
from cap.forward import forwarded, has_contents
from cap.georss import GEORSS, add_shapes
from cap.limits import KEPT
from cap.model import DEFAULT_LANGUAGE, Alert, Info, MsgType, Scope, Status
from cap.names import ATOM
from cap.text_values import is_blank
from cap.visible_text import harmless
from cap.write import moment, write

MEDIA_TYPE = "application/cap+xml"
MOST_BYTES = 900_000  # what readers of CAP feeds are told to expect at most
MOST_SUMMARY = 2_000  # a wordy alert must not push the others out of the feed: all of it is behind the link
_END = b"</feed>"
_MARGIN = 200  # bytes for what a feed says about what it leaves out
_NAMESPACES: Any = {None: ATOM, "georss": GEORSS}  # the default namespace, for which the stubs have no type
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_CANCELLED = {"nl": "Geannuleerd", "fr": "Annulé", "de": "Aufgehoben", "en": "Cancelled"}
"""Before the headline of what a Cancel ends, in the language of that headline."""


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One published alert: `url` is where its exact bytes are, `updated` when it was published (aware).

    `language` chooses the text to show, where the alert has it ("nl" also has "nl-BE"); otherwise its first.
    `document` is the alert as it is published, for feeds that carry whole alerts; without it the alert is written
    anew. `whole`: whether it may be carried there, or is too large for that. `ends` is the alert that a Cancel ends,
    where it is known: its headline tells a reader what is over.
    """

    alert: Alert
    url: str
    updated: datetime
    language: str = ""
    document: bytes = b""
    whole: bool = True
    ends: Alert | None = None


def atom(
    entries: Sequence[FeedEntry],
    *,
    feed_id: str,
    title: str,
    self_url: str,
    updated: datetime,
    author: str,
    full: bool = False,
    remark: str = "",
    written: Callable[[FeedEntry], bytes] | None = None,
) -> bytes:
    """The feed document, entries in the order given; `full` puts the whole alert into each, without enclosed files.

    `remark` is for the reader of the feed: what it leaves out. `written` gives what `entry_xml` gives, for whoever
    keeps that: an alert in force stands in hundreds of feeds.

    Raises ValueError for an alert that is not Public, a link that is not absolute or does not end in .xml, a naive
    time, or text that XML cannot hold.
    """
    feed = etree.Element(f"{{{ATOM}}}feed", nsmap=_NAMESPACES)
    _text(feed, "id", feed_id)
    _text(feed, "title", title)
    if remark:
        _text(feed, "subtitle", remark)
    _text(feed, "updated", _rfc3339(updated))
    _text(_element(feed, "author"), "name", author)
    _element(feed, "link", rel="self", type="application/atom+xml", href=absolute(self_url))
    etree.indent(feed)
    head, end, _ = etree.tostring(feed, encoding="UTF-8", xml_declaration=True).rpartition(_END)
    pieces = (entry_xml(entry, full=full) if written is None else written(entry) for entry in entries)
    return b"".join((head, *pieces, end, b"\n"))


def entry_xml(entry: FeedEntry, *, full: bool = False) -> bytes:
    """The lines of one entry as they stand in a feed of ours. Raises as `atom`."""
    feed = etree.Element(f"{{{ATOM}}}feed", nsmap=_NAMESPACES)
    element = _entry(feed, entry)
    etree.indent(feed)
    if full and entry.whole:  # after the indentation: a signed alert is not touched
        _element(element, "content", type=MEDIA_TYPE).append(_whole(entry))
    text = etree.tostring(feed, encoding="UTF-8")
    return text[text.index(b">") + 2 : text.rindex(_END)]


def bounded(
    entries: Sequence[FeedEntry], make: Callable[[Sequence[FeedEntry]], bytes], most: int = MOST_BYTES
) -> bytes:
    """What `make` makes of as many of the entries as fit into `most` bytes, the first before the later ones.

    Whatever is too large to fit beside what stands before it is left out alone: one giant does not empty a map.
    """
    body = make(entries)
    if len(body) <= most:
        return body
    empty = len(make(()))
    left = most - empty - _MARGIN
    fitting: list[FeedEntry] = []
    for entry in entries:
        size = len(make((entry,))) - empty
        if size <= left:
            fitting.append(entry)
            left -= size
    body = make(fitting)
    while len(body) > most and fitting:
        fitting.pop()
        body = make(fitting)
    return body


def active(entries: Iterable[FeedEntry], at: datetime) -> list[FeedEntry]:
    """The entries with a text in force `at` that (aware) time, and only those texts: what a map shows.

    An info without a time of expiry is in force until its entry leaves the list; a Cancel never is.
    """
    found = []
    for entry in entries:
        infos = tuple(info for info in entry.alert.infos if info.expires is None or info.expires > at)
        if infos and entry.alert.msg_type in (MsgType.ALERT, MsgType.UPDATE) and entry.alert.status is Status.ACTUAL:
            found.append(replace(entry, alert=replace(entry.alert, infos=infos)))
    return found


def entry_id(alert: Alert) -> str:
    """A permanent URN for the message, made of the triple that names it."""
    triple = f"{alert.sender},{alert.identifier},{moment(alert.sent)}"
    return uuid5(NAMESPACE_URL, triple).urn


def _entry(feed: etree._Element, entry: FeedEntry) -> etree._Element:
    alert = entry.alert
    info = shown(entry)
    element = _element(feed, "entry")
    if info is not None:
        element.set(_LANG, info.language or DEFAULT_LANGUAGE)
    _text(element, "id", entry_id(alert))
    _text(element, "title", title_of(entry))
    _text(element, "updated", _rfc3339(entry.updated))
    _text(element, "published", _rfc3339(alert.sent))
    _text(_element(element, "author"), "name", (info.sender_name if info else "") or alert.sender)
    _element(element, "link", rel="alternate", type=MEDIA_TYPE, href=document_url(entry.url))
    # Readers of feeds at large (feedparser, and with it the WMO's importer) take no link for that of the entry that has
    # such a type; RFC 4287 4.1.2 allows one without.
    _element(element, "link", rel="alternate", href=entry.url)
    for category in info.categories if info else ():
        _element(element, "category", term=str(category))
    _text(element, "summary", summary_of(entry))
    if info is not None:
        add_shapes(element, alert.areas_of(info))
    return element


def _whole(entry: FeedEntry) -> etree._Element:
    """The alert as it is published, unless there are files in it: those are for whoever follows the link."""
    if has_contents(entry.alert):
        return etree.fromstring(write(forwarded(entry.alert)))
    root = safe_xml.tree(entry.document or write(entry.alert), KEPT)
    if isinstance(root, safe_xml.UnreadableDocument):
        raise ValueError(f"{entry.alert.identifier} is not fit to be published: {root.why}")
    return root


def shown(entry: FeedEntry) -> Info | None:
    """The info in the entry's language, or the first. Raises ValueError for an alert that is not Public."""
    alert = entry.alert
    if alert.scope is not Scope.PUBLIC:
        raise ValueError(f"{alert.identifier} is {alert.scope}; only Public alerts are published")
    return _in_language(alert, entry.language)


def _in_language(alert: Alert, language: str) -> Info | None:
    wanted = language.lower()
    for fits in (_is, _is_kind_of) if wanted else ():
        for info in alert.infos:
            if fits((info.language or DEFAULT_LANGUAGE).lower(), wanted):
                return info
    return alert.infos[0] if alert.infos else None


def _is(language: str, wanted: str) -> bool:
    return language == wanted


def _is_kind_of(language: str, wanted: str) -> bool:
    return language.partition("-")[0] == wanted.partition("-")[0]


def title_of(entry: FeedEntry) -> str:
    """One line for a list. A Cancel is called by what it ends, where that is known."""
    alert, info = entry.alert, shown(entry)
    if alert.msg_type is MsgType.CANCEL:
        return _cancelled(entry, info)
    return _headline(info) if info else f"{alert.msg_type} {alert.identifier}"


def _cancelled(entry: FeedEntry, info: Info | None) -> str:
    language = entry.language or (info.language if info else "")
    over = _in_language(entry.ends, language) if entry.ends is not None else None
    told = over or info
    word = _CANCELLED.get((told.language if told else language).lower().partition("-")[0], _CANCELLED["en"])
    if told is None:
        names = ", ".join(reference.identifier for reference in entry.alert.references[:3])
        return f"{word}: {names or entry.alert.identifier}"
    headline = _headline(told)
    return headline if headline.lower().startswith(word.lower()) else f"{word}: {headline}"


def _headline(info: Info) -> str:
    return next((text for text in (info.headline, info.event) if not is_blank(text)), info.event)


def summary_of(entry: FeedEntry) -> str:
    """What there is to say beside the title, in `MOST_SUMMARY` characters at most; never blank."""
    alert, info = entry.alert, shown(entry)
    texts = (info.description, info.instruction, _event_and_place(alert, info)) if info else (alert.note,)
    text = next((text for text in texts if not is_blank(text)), title_of(entry))
    return text if len(text) <= MOST_SUMMARY else f"{text[: MOST_SUMMARY - 1].rstrip()}…"


def _event_and_place(alert: Alert, info: Info) -> str:
    places = dict.fromkeys(area.description for area in alert.areas_of(info)[:20] if not is_blank(area.description))
    return ": ".join(text for text in (info.event, ", ".join(places)) if not is_blank(text))


def _element(parent: etree._Element, name: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)


def _text(parent: etree._Element, name: str, text: str) -> None:
    _element(parent, name).text = harmless(text)


def _rfc3339(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"a time without an offset: {value.isoformat()}")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def absolute(url: str) -> str:
    """The same address. Raises ValueError unless it is absolute, of http or https."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"not an absolute http or https address: {url!r}")
    return url


def document_url(url: str) -> str:
    """The same address. Raises ValueError unless it is absolute and ends in .xml."""
    if not urlsplit(absolute(url)).path.endswith(".xml"):
        raise ValueError(f"importers skip a link that does not end in .xml: {url!r}")
    return url
