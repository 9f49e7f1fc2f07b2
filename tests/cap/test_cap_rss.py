"""The RSS feed is one that the WMO's importer takes: an id and a link ending in .xml for every item."""

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape

import pytest
from lxml import etree

from cap import FeedEntry, read
from cap.rss import rss
from tests.cap.documents import BASE, INFO, TRIPLE, changed, element

GOOD = BASE.encode()
NOW = datetime(2026, 5, 11, 22, 0, tzinfo=UTC)
URL = "https://alerts.example/cap/alerts/a1.xml"


def feed(*entries, **changes):
    fields = {"title": "T", "description": "D", "self_url": "https://alerts.example/cap/feed.rss", "updated": NOW}
    return etree.fromstring(rss(entries, **{**fields, **changes}))


def entry(document=GOOD, **changes):
    return FeedEntry(**{"alert": read(document).alert, "url": URL, "updated": NOW, **changes})


def imported(tree):
    """(id, link) of every item that the importer goes on with: `id` is the guid, as feed readers have it."""
    found = []
    for item in tree.iterfind("channel/item"):
        guid, link = item.findtext("guid"), item.findtext("link")
        if guid and link and link.endswith(".xml"):
            found.append((guid, link))
    return found


def test_every_item_is_imported_by_its_identifier_and_link():
    assert imported(feed(entry(), entry(element("identifier", "x-2"), url=URL.replace("a1", "a2")))) == [
        ("cic-042.2026:17", URL),
        ("x-2", URL.replace("a1", "a2")),
    ]


def test_a_channel_says_what_rss_wants():
    channel = feed().find("channel")

    assert [channel.findtext(name) for name in ("title", "link", "description")] == [
        "T",
        "https://alerts.example/cap/feed.rss",
        "D",
    ]
    assert parsedate_to_datetime(channel.findtext("pubDate")) == NOW
    assert feed().get("version") == "2.0"
    assert channel.find("item") is None


def test_an_item_says_what_happens_and_when_it_was_sent():
    item = feed(entry()).find("channel/item")

    assert item.findtext("title") == "Un homme de 71 ans, parti à pied"
    assert item.findtext("description") == "Veste rouge, canne."
    assert item.findtext("author") == "dispatch@zone-a.example (Zone A)"
    assert [category.text for category in item.iterfind("category")] == ["Safety", "Rescue"]
    assert item.find("guid").get("isPermaLink") == "false"
    assert parsedate_to_datetime(item.findtext("pubDate")) == read(GOOD).alert.sent


def test_an_author_that_is_no_mail_address_is_left_out():
    assert feed(entry(element("sender", "zone-a"))).find("channel/item/author") is None


def test_a_cancel_without_info_is_an_item_too():
    document = changed((INFO, f"<references>{TRIPLE}</references>"), ("<msgType>Alert", "<msgType>Cancel"))

    assert feed(entry(document)).findtext("channel/item/title") == "Cancelled: cic-042.2026:16"


@pytest.mark.parametrize(
    "fault",
    [
        {"url": "/cap/alerts/a1.xml"},
        {"url": "https://alerts.example/a1"},
        {"document": changed(("<scope>Public</scope>", "<scope>Private</scope><addresses>a</addresses>"))},
    ],
)
def test_what_importers_skip_or_nobody_may_see_is_not_published(fault):
    with pytest.raises(ValueError, match=r"."):
        feed(entry(**fault))


def test_a_time_without_an_offset_is_no_time_of_a_feed():
    with pytest.raises(ValueError, match="offset"):
        feed(updated=datetime(2026, 5, 11))  # noqa: DTZ001 - the fault that is meant


def test_a_language_is_said_where_there_is_one():
    assert feed().find("channel/language") is None
    assert feed(language="nl").findtext("channel/language") == "nl"


def test_signs_of_html_in_a_text_are_shown_and_not_obeyed():
    """Readers take titles and descriptions for HTML: whoever unescapes twice has the words as they were written."""
    words = "Keep away from block <A2> & park in <B1>. <script>"
    alert = entry().alert
    info = replace(alert.infos[0], headline=words, description=words)

    item = feed(entry(alert=replace(alert, infos=(info,)))).find("channel/item")

    for name in ("title", "description"):
        assert words in unescape(item.findtext(name))
        assert "<" not in item.findtext(name)
