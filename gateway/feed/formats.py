"""What is in force -> the bytes of each feed. The same state, the same bytes. No I/O; time is an argument."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import cap
from cap import FeedEntry
from cap import feed as cap_feed
from cap import rss as cap_rss
from cap.edition import Sign
from cap.geojson import MEDIA_TYPE as GEOJSON
from cap.geojson import to_geojson
from gateway.feed.until_expiry import View

_LINKED_BYTES = 100_000
"""Alerts above this are linked and not enclosed, also where whole ones are asked for: "100 KB ideal" is for a whole
feed (notes on CAP feeds)."""


MOST_WRITTEN_BYTES = 30_000_000
"""Of entries that are kept as they were written, in all languages and forms."""


class FeedFormat(StrEnum):
    ATOM = "atom"
    FULL = "full"
    """Atom with the whole alert in each entry."""
    RSS = "rss"
    GEOJSON = "geojson"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Feed:
    body: bytes
    etag: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Making:
    """What the feeds say of themselves."""

    title: str
    author: str
    sender: str
    """Of the heartbeat."""
    sign: Sign | None = None
    most_bytes: int = cap_feed.MOST_BYTES


class WrittenEntries:
    """The entries of Atom feeds as they were written: an alert in force stands in each feed that is made of a change,
    and writing it anew each time took most of a core with 500 of them. One feed is made at a time."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, bool], bytes] = {}
        self._bytes = 0

    def of(self, entry: FeedEntry, *, full: bool) -> bytes:
        """An address names one alert for ever; the Cancel of one is told with what it ends from the first time on."""
        key = (entry.url, entry.language, full)
        found = self._kept.get(key)
        if found is None:
            found = cap_feed.entry_xml(entry, full=full)
            if self._bytes + len(found) > MOST_WRITTEN_BYTES:
                self._kept.clear()
                self._bytes = 0
            self._kept[key] = found
            self._bytes += len(found)
        return found


def make(
    making: Making,
    view: View,
    form: FeedFormat,
    base_url: str,
    language: str,
    looked_ms: int,
    written: WrittenEntries | None = None,
) -> Feed:
    """The bytes of a feed. `looked_ms` is when the store was last heard of: only the heartbeat tells it."""
    page = _Page(making, view, form, base_url, language, looked_ms, written or WrittenEntries())
    body, media_type = _BY_FORM[form](page)
    return Feed(body, hashlib.sha256(body).hexdigest()[:32], media_type)


@dataclass(frozen=True, slots=True)
class _Page:
    making: Making
    view: View
    form: FeedFormat
    base_url: str
    language: str
    looked_ms: int
    written: WrittenEntries

    @property
    def entries(self) -> list[FeedEntry]:
        return [
            FeedEntry(
                item.alert,
                f"{self.base_url}/cap/alerts/{item.public_id}.xml",
                # Several may be published in one millisecond: no two entries bear the same instant.
                _instant(item.published_ms, fine=True) + timedelta(microseconds=item.id % 1000),
                self.language,
                item.document,
                whole=len(item.document) <= _LINKED_BYTES,
                ends=item.ends,
            )
            for item in self.view.items
            if item.alert is not None
        ]

    def url(self, path: str, *, full: bool = False) -> str:
        query = "&".join(["full=1"] * full + [f"lang={self.language}"] * bool(self.language))
        return f"{self.base_url}{path}" + (f"?{query}" if query else "")

    @property
    def updated(self) -> datetime:
        return _instant(self.view.changed_ms)

    def bounded(self, entries: Sequence[FeedEntry], make_of: Callable[[Sequence[FeedEntry], str], bytes]) -> bytes:
        """With a word on how many are left out, where some are."""
        more = self.view.in_force - len(self.view.items)

        def made(some: Sequence[FeedEntry]) -> bytes:
            out = more + len(entries) - len(some)
            remark = f"{out} of {more + len(entries)} alerts in force are left out: they do not fit." if out else ""
            return make_of(some, remark)

        return cap_feed.bounded(entries, made, self.making.most_bytes)


def _atom(page: _Page) -> tuple[bytes, str]:
    full = page.form is FeedFormat.FULL

    def made(entries: Sequence[FeedEntry], remark: str) -> bytes:
        return cap.atom(
            entries,
            feed_id=page.url("/cap/feed.atom"),
            title=page.making.title,
            self_url=page.url("/cap/feed.atom", full=full),
            updated=page.updated,
            author=page.making.author,
            full=full,
            remark=remark,
            written=lambda entry: page.written.of(entry, full=full),
        )

    return page.bounded(page.entries, made), "application/atom+xml"


def _rss(page: _Page) -> tuple[bytes, str]:
    def made(entries: Sequence[FeedEntry], remark: str) -> bytes:
        return cap_rss.rss(
            entries,
            title=page.making.title,
            description=f"{page.making.title}. {remark}" if remark else page.making.title,
            self_url=page.url("/cap/feed.rss"),
            updated=page.updated,
            language=page.language,
        )

    return page.bounded(page.entries, made), cap_rss.MEDIA_TYPE


def _geojson(page: _Page) -> tuple[bytes, str]:
    in_force = cap_feed.active(page.entries, _instant(page.view.at_ms, fine=True))
    if page.language:
        in_force = [_in_one_language(entry) for entry in in_force]

    def made(entries: Sequence[FeedEntry], remark: str) -> bytes:
        return to_geojson([e.alert for e in entries], [e.url for e in entries], remark, shapes_apart=True)

    return page.bounded(in_force, made), GEOJSON


def _in_one_language(entry: FeedEntry) -> FeedEntry:
    info = cap_feed.shown(entry)
    return entry if info is None else replace(entry, alert=replace(entry.alert, infos=(info,)))


def _heartbeat(page: _Page) -> tuple[bytes, str]:
    """A CAP message that reaches nobody (status System): what is in force, and when that was known to be so. Signed,
    it is more than any feed can say: that no alert was kept from the reader on the way. No feed links to it: there are
    readers that take every link for an alert."""
    sent = _instant(page.looked_ms)
    alert = cap.Alert(
        identifier=f"heartbeat-{int(sent.timestamp())}-{page.view.revision}",
        sender=page.making.sender,
        sent=sent,
        status=cap.Status.SYSTEM,
        msg_type=cap.MsgType.ALERT,
        scope=cap.Scope.PUBLIC,
        note=f"heartbeat: {_counted(page.view.in_force, 'alert')} in force, "
        f"{_counted(page.view.revision, 'change')} so far",
        references=tuple(item.alert.reference for item in page.view.items if item.alert is not None),
    )
    document = cap.write(alert)
    return page.making.sign(document) if page.making.sign else document, cap_feed.MEDIA_TYPE


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


_BY_FORM: dict[FeedFormat, Callable[[_Page], tuple[bytes, str]]] = {
    FeedFormat.ATOM: _atom,
    FeedFormat.FULL: _atom,
    FeedFormat.RSS: _rss,
    FeedFormat.GEOJSON: _geojson,
    FeedFormat.HEARTBEAT: _heartbeat,
}


def _instant(at_ms: int, *, fine: bool = False) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000 if fine else at_ms // 1000, UTC)
