"""The Atom feed is thin, complete, escaped, and holds nothing that is not public."""

from datetime import UTC, datetime

import pytest
from lxml import etree

from cap import FeedEntry, atom, read
from tests.cap.documents import BASE, INFO, TRIPLE, changed, element, inserted

ATOM = {"a": "http://www.w3.org/2005/Atom"}
GOOD = BASE.encode()
NOW = datetime(2026, 5, 11, 22, 0, tzinfo=UTC)
URL = "https://alerts.example/cap/alerts/a1.xml"


def feed(*entries, **changes):
    fields = {"feed_id": "urn:x:feed", "title": "T", "self_url": "https://alerts.example/cap/feed.atom"}
    return etree.fromstring(atom(entries, **{**fields, "updated": NOW, "author": "Zones", **changes}))


def entry(document=GOOD, **changes):
    return FeedEntry(**{"alert": read(document).alert, "url": URL, "updated": NOW, **changes})


def texts(tree, path):
    return tree.xpath(path, namespaces=ATOM)


def test_a_feed_without_alerts_is_still_a_feed():
    tree = feed()

    assert texts(tree, "/a:feed/a:id/text()") == ["urn:x:feed"]
    assert texts(tree, "/a:feed/a:updated/text()") == ["2026-05-11T22:00:00Z"]
    assert texts(tree, "/a:feed/a:author/a:name/text()") == ["Zones"]
    assert texts(tree, "/a:feed/a:link[@rel='self']/@href") == ["https://alerts.example/cap/feed.atom"]
    assert texts(tree, "//a:entry") == []


def test_an_entry_says_what_happens_and_links_the_whole_message():
    tree = feed(entry())

    assert texts(tree, "//a:entry/a:title/text()") == ["Un homme de 71 ans, parti à pied"]
    assert texts(tree, "//a:entry/a:author/a:name/text()") == ["Zone A"]
    assert texts(tree, "//a:entry/a:summary/text()") == ["Veste rouge, canne."]
    assert texts(tree, "//a:entry/a:published/text()") == ["2026-05-11T19:40:00Z"]
    assert texts(tree, "//a:entry/a:category/@term") == ["Safety", "Rescue"]
    assert texts(tree, "//a:entry/a:link/@href") == [URL]
    assert texts(tree, "//a:entry/a:link/@type") == ["application/cap+xml"]


def test_an_entry_is_named_by_the_triple_for_ever():
    same = feed(entry(), entry(url="https://other.example/b.xml"))
    later = feed(entry(element("sent", "2026-05-11T21:40:01+02:00")))

    first, second = texts(same, "//a:entry/a:id/text()")
    assert first == second
    assert first.startswith("urn:uuid:")
    assert texts(later, "//a:entry/a:id/text()") != [first]


def test_text_from_an_alert_cannot_become_markup():
    tree = feed(entry(element("headline", "&lt;/title&gt;&lt;link href=&quot;x&quot;/&gt; &amp;amp;")), title="a<b>&c")

    assert texts(tree, "/a:feed/a:title/text()") == ["a<b>&c"]
    assert texts(tree, "//a:entry/a:title/text()") == ['</title><link href="x"/> &amp;']
    assert len(texts(tree, "//a:entry/a:link")) == 1


@pytest.mark.parametrize(("language", "title"), [("nl-be", "Man van 71"), ("de", "Un homme de 71 ans, parti à pied")])
def test_the_language_asked_for_is_shown_where_there_is_one(language, title):
    dutch = INFO.replace("fr-BE", "nl-BE").replace("Un homme de 71 ans, parti à pied", "Man van 71")

    tree = feed(entry(inserted(dutch, before="</alert>"), language=language))

    assert texts(tree, "//a:entry/a:title/text()") == [title]


def test_a_cancel_without_info_is_an_entry_too():
    document = changed((INFO, f"<references>{TRIPLE}</references>"), ("<msgType>Alert", "<msgType>Cancel"))

    tree = feed(entry(document))

    assert texts(tree, "//a:entry/a:title/text()") == ["Cancel cic-042.2026:17"]
    assert texts(tree, "//a:entry/a:author/a:name/text()") == ["dispatch@zone-a.example"]


@pytest.mark.parametrize(
    "fault",
    [
        {"url": "/cap/alerts/a1.xml"},
        {"url": "ftp://alerts.example/a1.xml"},
        {"url": "https://alerts.example/a1"},
        {"updated": datetime(2026, 5, 11)},  # noqa: DTZ001 - the fault that is meant
        {"document": changed(("<scope>Public</scope>", "<scope>Private</scope><addresses>a</addresses>"))},
    ],
)
def test_what_importers_skip_or_nobody_may_see_is_not_published(fault):
    with pytest.raises(ValueError, match=r"."):
        feed(entry(**fault))
