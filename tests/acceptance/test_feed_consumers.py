"""Programs that others wrote read every feed of a real gateway, and find each of its alerts, however odd.

The alerts come in by the door, as a sender posts them; the readers are those of newsrooms (feedparser), of CAP
(capparser), of maps (RFC 7946 as types) and of Home Assistant (its GeoRSS and GeoJSON clients). Home Assistant shows
only what has a place: what has none is no loss of the feed.
"""

import asyncio
import hashlib
import html
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import capparser
import feedparser
import pytest
import pytest_asyncio
from aio_geojson_generic_client.feed import GenericFeed
from aio_georss_client.feed import GeoRssFeed
from aio_georss_client.feed_entry import FeedEntry
from aio_georss_client.xml_parser.feed_item import FeedItem
from capvalidator import check_schema
from geojson_pydantic import FeatureCollection

import cap
from tests.acceptance.world import SENDER, Client, moment, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

BRUSSELS = (50.85, 4.35)
SQUARE = "<polygon>51.0,4.0 51.0,4.1 51.1,4.1 51.1,4.0 51.0,4.0</polygon>"
SIREN = b"RIFF\x00\x00\x00\x00WAVE" + bytes(range(256))


@dataclass(frozen=True, slots=True)
class Odd:
    """An alert, and what a reader is to find of it."""

    name: str
    headline: str = "Wind"
    description: str = ""
    area: str = f"<area><areaDesc>Test area</areaDesc>{SQUARE}</area>"
    placed: bool = True
    """Whether it says where in degrees."""
    msg_type: str = "Alert"
    references: tuple[str, ...] = ()
    more: str = ""
    """Elements of the text before its area."""
    texts: str = ""
    """Further texts."""
    title: str = ""
    """What a reader of feeds sees, where it is not the headline."""
    sent: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(seconds=30))

    def document(self, expires: datetime, others: dict[str, "Odd"]) -> bytes:
        named = " ".join(f"{SENDER},{name},{moment(others[name].sent)}" for name in self.references)
        references = f"<references>{named}</references>" if named else ""
        headline = f"<headline>{escape(self.headline)}</headline>" if self.headline else ""
        description = f"<description>{escape(self.description)}</description>" if self.description else ""
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>{self.name}</identifier><sender>{SENDER}</sender>
<sent>{moment(self.sent)}</sent><status>Actual</status><msgType>{self.msg_type}</msgType><scope>Public</scope>
{references}<info><language>en-GB</language><category>Met</category><event>Storm</event><urgency>Expected</urgency>
<severity>Severe</severity><certainty>Likely</certainty><expires>{moment(expires)}</expires>{headline}{description}
{self.more}{self.area}</info>{self.texts}</alert>""".encode()


def area(inside: str, description: str = "Test area") -> str:
    return f"<area><areaDesc>{description}</areaDesc>{inside}</area>"


def french(headline: str, where: str = "") -> str:
    return f"""<info><language>fr-BE</language><category>Met</category><event>Tempête</event><urgency>Expected</urgency>
<severity>Severe</severity><certainty>Likely</certainty><headline>{headline}</headline>{where}</info>"""


ENCLOSED = f"""<resource><resourceDesc>The siren</resourceDesc><mimeType>audio/wav</mimeType><size>{len(SIREN)}</size>
<derefUri>{b64encode(SIREN).decode()}</derefUri><digest>{hashlib.sha1(SIREN).hexdigest()}</digest></resource>"""

FIJI = "<polygon>-16,179 -16,-179 -18,-179 -18,179 -16,179</polygon>"

ODD = (
    Odd("brackets", "Evacuate zone <North>", "Keep away from block <A2> & park in <B1>."),
    Odd("entities", "Salt &amp; &lt;b&gt; as written", "5 < 6 && 7 > 6 ]]> \"quoted\" 'too'"),
    Odd("emoji", "🌪️ Wervelstorm ⚠️ – Œuvre", "Näht sich: שלום مرحبا 你好 👩‍👩‍👧‍👦"),
    Odd("long", "A very long headline " * 12 + "ends", "Close the windows and wait. " * 3_000),
    Odd("lines", "First line", "One.\n\nTwo,\tthree.\n  Four."),
    Odd("point", area=area("<circle>51.0,4.0 0</circle>")),
    Odd("circle", area=area("<circle>51.0,4.0 2.5</circle>")),
    Odd("fiji", area=area(FIJI)),
    Odd("fiji-circle", area=area("<circle>-17,179.9 50</circle>")),
    Odd("pole", area=area("<circle>89.9,0 100</circle>")),
    Odd("here-1", "First on one place"),
    Odd("here-2", "Second on one place"),
    Odd("twins-1", "The very same words"),
    Odd("twins-2", "The very same words"),
    Odd("languages", "Storm", texts=french("Tempête", area(SQUARE, "Zone"))),
    Odd("text-without-area", "Storm", texts=french("Tempête sans zone")),
    Odd("nowhere", area="", placed=False),
    Odd("codes-only", area=area("<geocode><valueName>NIS5</valueName><value>53014</value></geocode>"), placed=False),
    Odd("one-bad", area=area("<polygon>51,4 51,4</polygon>" + SQUARE)),
    Odd("islands", area=area(SQUARE + "<polygon>50,5 50,5.1 50.1,5.1 50,5</polygon>") + area(SQUARE, "Again")),
    Odd("hole", area=area("<polygon>51,4 51,4.1 51.1,4.1 51.1,4 51,4</polygon><circle>51.05,4.05 0.5</circle>")),
    Odd("no-headline", "", title="Storm"),
    Odd("enclosed", "Listen", more=ENCLOSED),
    Odd("clear", "All clear", more="<web>https://example.org/?a=1&amp;b=&lt;2&gt;</web>"),
    Odd("urn:oid:2.49.0.1.56.0.2026.11.27", "An identifier with colons"),
    Odd("ended", "Ends soon"),
    Odd("replaced", "Old words"),
    Odd("update", "New words", msg_type="Update", references=("replaced",)),
    Odd("cancel", "Over", msg_type="Cancel", references=("ended",), title="Cancelled: Ends soon"),
)  # fmt: skip
GONE = {"ended", "replaced"}
SHOWN = {odd.name: odd for odd in ODD if odd.name not in GONE}
PLACED = {name for name, odd in SHOWN.items() if odd.placed}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with opened(tmp_path_factory.mktemp("consumers")) as world:
        world.people(members=20)
        await world.smsc("first")
        await world.smtp()
        # The address is that of the server, which is known when it listens: readers follow links by their path.
        _, client = await world.up(world.ways_out() | {"server": {"public_url": "https://alerts.example"}})
        expires = datetime.now(UTC) + timedelta(hours=2)
        by_name = {odd.name: odd for odd in ODD}
        for odd in ODD:
            status, answer = await client.submit(odd.document(expires, by_name))
            assert status == 202, (odd.name, answer)
        async with asyncio.timeout(10):
            while not any(b"<msgType>Cancel" in d for d in await client.published()):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        yield client


async def body_of(gateway: Client, path: str) -> bytes:
    status, body = await gateway.raw(path)
    assert status == 200
    return body


def address(gateway: Client, path: str) -> str:
    return str(gateway.session._build_url(path))  # type: ignore[attr-defined]


async def identifiers(gateway: Client, links: list[str]) -> list[str]:
    """Of the documents behind these links, which are valid by OASIS's schema."""
    found = []
    for link in links:
        document = await body_of(gateway, urlsplit(link).path)
        alert = cap.read(document).alert
        assert alert is not None
        check_schema(document)
        found.append(alert.identifier)
    return found


def shown(text: str, path: str) -> str:
    """What a reader shows, on one line: RSS writes HTML, Atom says that it is plain text."""
    return " ".join((html.unescape(text) if "rss" in path else text).split())


@pytest.mark.parametrize("path", ["/cap/feed.atom", "/cap/feed.atom?full=1", "/cap/feed.rss"])
async def test_a_newsroom_finds_each_alert_with_all_its_words(gateway: Client, path: str) -> None:
    feed = feedparser.parse(await body_of(gateway, path), sanitize_html=False)

    assert not feed.bozo, feed.get("bozo_exception")
    found = dict(zip(await identifiers(gateway, [entry.link for entry in feed.entries]), feed.entries, strict=True))
    assert set(found) == set(SHOWN)
    assert len({entry.id for entry in feed.entries}) == len(SHOWN)
    for name, entry in found.items():
        odd = SHOWN[name]
        assert shown(entry.title, path) == " ".join((odd.title or odd.headline).split()), name
        assert entry.summary.strip(), name
        if odd.description:
            assert " ".join(odd.description.split())[:150] in shown(entry.summary, path), name
        assert ("where" in entry) == odd.placed, name


async def test_the_times_of_an_atom_feed_tell_its_entries_apart(gateway: Client) -> None:
    feed = feedparser.parse(await body_of(gateway, "/cap/feed.atom"))

    updated = [entry.updated for entry in feed.entries]
    assert len(set(updated)) == len(SHOWN)
    assert updated == sorted(updated, reverse=True)


async def test_a_french_reader_has_french_where_there_is_any(gateway: Client) -> None:
    feed = feedparser.parse(await body_of(gateway, "/cap/feed.atom?lang=fr"))

    titles = [entry.title for entry in feed.entries]
    assert {"Tempête", "Tempête sans zone"} <= set(titles)
    assert {entry.title_detail.language for entry in feed.entries} == {"fr-BE", "en-GB"}
    assert len(titles) == len(SHOWN)


async def test_a_reader_of_cap_reads_each_document_that_is_linked(gateway: Client) -> None:
    feed = feedparser.parse(await body_of(gateway, "/cap/feed.rss"))
    documents = [await body_of(gateway, urlsplit(entry.link).path) for entry in feed.entries]

    alerts = [capparser.parse(stringXML=document.decode()) for document in documents]

    assert {str(alert.identifier[0]) for alert in alerts} == set(SHOWN)
    for alert in alerts:
        [info, *_] = alert.info[0]
        assert (info.headline[0] or "") == SHOWN[alert.identifier[0]].headline


async def test_a_map_finds_each_alert_once_an_area(gateway: Client) -> None:
    body = await body_of(gateway, "/cap/active.geojson")
    again = await body_of(gateway, "/cap/active.geojson")
    collection = FeatureCollection.model_validate_json(body)

    ids = [feature.id for feature in collection.features]
    assert None not in ids
    assert len(set(ids)) == len(ids)
    assert ids == [feature["id"] for feature in json.loads(again)["features"]]
    shown = {str((feature.properties or {})["identifier"]) for feature in collection.features}
    placed = {str((f.properties or {})["identifier"]) for f in collection.features if f.geometry is not None}
    assert shown == set(SHOWN) - {"cancel"}, "an alert that is over has no place on a map"
    assert placed == PLACED - {"cancel"}
    for feature in collection.features:
        told = feature.properties or {}
        assert told["title"]
        assert await identifiers(gateway, [told["url"]]) == [told["identifier"]]


async def test_the_geojson_client_of_home_assistant_finds_each_alert_that_has_a_place(gateway: Client) -> None:
    feed = GenericFeed(gateway.session, BRUSSELS, address(gateway, "/cap/active.geojson"))

    status, entries = await feed.update()

    assert status == "OK"
    assert entries is not None
    assert {entry.properties["identifier"] for entry in entries} == PLACED - {"cancel"}
    assert len({entry.external_id for entry in entries}) == len(entries)
    for entry in entries:
        odd = SHOWN[entry.properties["identifier"]]
        assert entry.title in {odd.title or odd.headline, "Tempête", "Tempête sans zone"}
        assert entry.distance_to_home < 20_100


class Entry(FeedEntry):
    attribution = None


class AnyFeed(GeoRssFeed[Entry]):
    def _new_entry(
        self, home_coordinates: tuple[float, float], rss_entry: FeedItem, global_data: dict[str, Any]
    ) -> Entry:
        return Entry(home_coordinates, rss_entry)


@pytest.mark.parametrize("path", ["/cap/feed.atom", "/cap/feed.rss"])
async def test_the_georss_client_of_home_assistant_finds_each_alert_that_has_a_place(
    gateway: Client, path: str
) -> None:
    feed = AnyFeed(gateway.session, BRUSSELS, address(gateway, path))

    status, entries = await feed.update()

    assert status == "OK"
    assert entries is not None
    by_id = {entry.external_id: entry for entry in entries}
    titles = sorted(shown(entry.title or "", path) for entry in by_id.values())
    assert titles == sorted(" ".join((SHOWN[n].title or SHOWN[n].headline).split()) for n in PLACED)
    assert all(entry.distance_to_home < 20_100 for entry in entries)
    assert all(entry.published for entry in entries)


async def test_a_file_that_came_enclosed_has_an_address_of_ours(gateway: Client) -> None:
    feed = feedparser.parse(await body_of(gateway, "/cap/feed.rss"))
    [link] = [entry.link for entry in feed.entries if entry.title == "Listen"]
    alert = cap.read(await body_of(gateway, urlsplit(link).path)).alert
    assert alert is not None
    [resource] = alert.infos[0].resources

    async with gateway.session.get(urlsplit(resource.uri).path) as answer:
        told = SimpleNamespace(body=await answer.read(), headers=answer.headers, status=answer.status)
    place, _, _ = urlsplit(resource.uri).path.rpartition("/")
    other, _ = await gateway.raw(f"{place}/{'0' * 64}")

    assert resource.uri.startswith("https://alerts.example/cap/alerts/")
    assert not resource.deref_uri
    assert (told.status, told.body) == (200, SIREN)
    assert told.headers["Content-Type"] == "audio/wav"
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in told.headers["Content-Security-Policy"]
    assert "immutable" in told.headers["Cache-Control"]
    assert other == 404


async def test_the_heartbeat_counts_and_names_them(gateway: Client) -> None:
    beat = cap.read(await body_of(gateway, "/cap/heartbeat.xml"))

    assert beat.accepted
    assert beat.alert is not None
    assert {reference.identifier for reference in beat.alert.references} == set(SHOWN)
    assert f"{len(SHOWN)} alerts in force" in (beat.alert.note or "")
