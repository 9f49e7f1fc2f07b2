"""The Atom feed is complete, escaped, within its size, and holds nothing that is not public."""

from datetime import UTC, datetime, timedelta

import pytest
from lxml import etree

from cap import FeedEntry, atom, read
from cap.feed import active, bounded
from cap.signing import Standing, sign, verify
from cap.trust import Trust
from tests.cap.certificates import NOW as SIGNED_AT
from tests.cap.certificates import certificate, ec_key
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
    assert texts(tree, "//a:entry/a:link/@href") == [URL, URL]
    assert texts(tree, "//a:entry/a:link[@rel='alternate']/@type") == ["application/cap+xml"], "and one without"


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
    assert texts(tree, "//a:entry/a:link/@href") == [URL, URL]


@pytest.mark.parametrize(("language", "title"), [("nl-be", "Man van 71"), ("de", "Un homme de 71 ans, parti à pied")])
def test_the_language_asked_for_is_shown_where_there_is_one(language, title):
    dutch = INFO.replace("fr-BE", "nl-BE").replace("Un homme de 71 ans, parti à pied", "Man van 71")

    tree = feed(entry(inserted(dutch, before="</alert>"), language=language))

    assert texts(tree, "//a:entry/a:title/text()") == [title]


def test_a_cancel_without_info_is_an_entry_too():
    document = changed((INFO, f"<references>{TRIPLE}</references>"), ("<msgType>Alert", "<msgType>Cancel"))

    tree = feed(entry(document))

    assert texts(tree, "//a:entry/a:title/text()") == ["Cancelled: cic-042.2026:16"]
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


# ---- whole alerts, size, what is in force --------------------------------------------------------------------

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"


def contents(tree):
    return [etree.tostring(content[0]) for content in texts(tree, "//a:entry/a:content")]


def test_a_full_feed_carries_the_whole_alert_in_each_entry():
    tree = feed(entry(document=GOOD), full=True)

    assert texts(tree, "//a:entry/a:content/@type") == ["application/cap+xml"]
    assert [read(content).alert for content in contents(tree)] == [read(GOOD).alert]
    assert texts(feed(entry()), "//a:content") == []


def test_a_signature_holds_inside_a_full_feed():
    key = ec_key()
    mine = certificate(key)
    signed = sign(GOOD, key, mine)

    (content,) = contents(feed(FeedEntry(read(signed).alert, URL, NOW, document=signed), full=True))

    assert verify(content, Trust((mine,)), SIGNED_AT).standing is Standing.VERIFIED


def test_files_enclosed_in_an_alert_stay_out_of_the_feed():
    big = inserted(f"<derefUri>{'YWJj' * 10_000}</derefUri>", before="</resource>")

    (content,) = contents(feed(FeedEntry(read(big).alert, URL, NOW, document=big), full=True))

    assert b"derefUri" not in content
    assert len(content) < 3_000
    assert read(content).accepted


def test_a_feed_holds_as_many_of_the_newest_as_fit():
    entries = [entry(element("headline", f"n{number}")) for number in range(50)]

    body = bounded(
        entries, lambda some: atom(some, feed_id="urn:x", title="T", self_url=URL, updated=NOW, author="A"), 9_000
    )

    titles = texts(etree.fromstring(body), "//a:entry/a:title/text()")
    assert 5_000 < len(body) <= 9_000
    assert titles == [f"n{number}" for number in range(len(titles))]


def test_a_feed_that_nothing_fits_into_is_empty_and_not_endless():
    assert bounded([entry()], lambda some: b"x" * (10 + len(some)), 5) == b"x" * 10


@pytest.mark.parametrize(
    ("document", "minutes", "there"),
    [
        (GOOD, -1, True),
        (GOOD, 0, False),
        (changed(("<expires>2026-05-12T06:00:00+02:00</expires>", "")), 0, True),
        (element("status", "Exercise"), -1, False),
        (
            changed(("<msgType>Alert", "<msgType>Cancel"), ("  <info>", f"<references>{TRIPLE}</references><info>")),
            -1,
            False,
        ),
        (
            changed(("<msgType>Alert", "<msgType>Update"), ("  <info>", f"<references>{TRIPLE}</references><info>")),
            -1,
            True,
        ),
    ],
)
def test_a_map_shows_what_is_in_force(document, minutes, there):
    expiry = datetime(2026, 5, 12, 4, tzinfo=UTC)

    assert bool(active([entry(document)], expiry + timedelta(minutes=minutes))) is there


def test_of_an_alert_only_the_texts_in_force_are_shown():
    later = INFO.replace("2026-05-12T06", "2026-05-12T09").replace("fr-BE", "nl-BE")

    (left,) = active([entry(inserted(later, before="</alert>"))], datetime(2026, 5, 12, 5, tzinfo=UTC))

    assert [info.language for info in left.alert.infos] == ["nl-BE"]


def test_one_giant_is_left_out_alone():
    giant = entry(element("headline", "g" * 20_000))
    small = [entry(element("headline", f"n{number}")) for number in range(5)]

    body = bounded(
        [small[0], giant, *small[1:]],
        lambda some: atom(some, feed_id="urn:x", title="T", self_url=URL, updated=NOW, author="A"),
        12_000,
    )

    assert texts(etree.fromstring(body), "//a:entry/a:title/text()") == [f"n{number}" for number in range(5)]


def test_an_entry_too_large_is_linked_and_not_enclosed():
    tree = feed(entry(document=GOOD, whole=False), entry(document=GOOD), full=True)

    assert [len(e) for e in ([c for c in e if c.tag.endswith("content")] for e in texts(tree, "//a:entry"))] == [0, 1]


def test_a_feed_says_what_it_leaves_out():
    assert texts(feed(entry(), remark="2 of 3"), "/a:feed/a:subtitle/text()") == ["2 of 3"]
    assert texts(feed(entry()), "/a:feed/a:subtitle") == []


def test_a_language_is_had_in_any_of_its_countries_but_best_in_the_one_asked_for():
    dutch = INFO.replace("fr-BE", "nl-NL").replace("Un homme de 71 ans, parti à pied", "Man van 71")
    both = inserted(dutch + dutch.replace("nl-NL", "nl-BE").replace("van 71", "van 71 jaar"), before="</alert>")

    titles = [texts(feed(entry(both, language=wanted)), "//a:entry/a:title/text()")[0] for wanted in ("nl", "nl-BE")]

    assert titles == ["Man van 71", "Man van 71 jaar"]


def test_a_wordy_alert_is_cut_short():
    [summary] = texts(feed(entry(element("description", "woord " * 1000))), "//a:entry/a:summary/text()")

    assert len(summary) <= 2_000
    assert summary.endswith("…")


# ---- what a reader sees of it -------------------------------------------------------------------------------------

XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def test_an_entry_says_its_language_and_where_it_holds():
    tree = feed(entry())

    (element_,) = texts(tree, "//a:entry")
    places = [etree.QName(child).localname for child in element_ if "georss" in child.tag]
    assert element_.get(XML_LANG) == "fr-BE"
    assert places == ["polygon", "polygon"]


@pytest.mark.parametrize(
    ("document", "summary"),
    [
        (element("description", ""), "Appelez le 101 si vous le voyez."),
        (
            element("instruction", " ", element("description", "").decode()),
            "Personne disparue: Le bois et ses abords",
        ),
        (changed((INFO, "")), "Alert cic-042.2026:17"),
        (changed((INFO, "<note>Nothing more</note>")), "Nothing more"),
    ],
)
def test_an_entry_always_has_a_summary(document, summary):
    assert texts(feed(entry(document)), "//a:entry/a:summary/text()") == [summary]


def a_cancel(info=""):
    return changed((INFO, f"<references>{TRIPLE}</references>{info}"), ("<msgType>Alert", "<msgType>Cancel"))


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("", "Annulé: Un homme de 71 ans, parti à pied"),
        ("nl", "Geannuleerd: Man van 71"),
        ("de", "Annulé: Un homme de 71 ans, parti à pied"),
    ],
)
def test_a_cancel_is_called_by_what_it_ends_in_the_language_asked_for(language, title):
    dutch = INFO.replace("fr-BE", "nl-BE").replace("Un homme de 71 ans, parti à pied", "Man van 71")
    ends = read(inserted(dutch, before="</alert>")).alert

    tree = feed(entry(a_cancel(), ends=ends, language=language))

    assert texts(tree, "//a:entry/a:title/text()") == [title]


def test_a_cancel_of_what_is_not_known_is_called_by_its_own_headline():
    own = INFO.replace("Un homme de 71 ans, parti à pied", "Retrouvé")

    assert texts(feed(entry(a_cancel(own))), "//a:entry/a:title/text()") == ["Annulé: Retrouvé"]
    assert texts(
        feed(entry(a_cancel(own.replace("Retrouvé", "ANNULÉ: tout va bien")))), "//a:entry/a:title/text()"
    ) == ["ANNULÉ: tout va bien"]


def test_instants_keep_their_fractions():
    tree = feed(entry(updated=NOW + timedelta(milliseconds=5, microseconds=1)))

    assert texts(tree, "//a:entry/a:updated/text()") == ["2026-05-11T22:00:00.005001Z"]
