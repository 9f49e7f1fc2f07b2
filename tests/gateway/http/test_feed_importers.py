"""Programs that others wrote read what is published: the steps of the WMO composer's importer with its own parsing
code, and plain readers of feeds and of CAP.

`feedparser`, `capparser`, `cap-composer`, `xmltodict` and `pytz` are not needed for anything else: where one is not
installed, its tests say so and are skipped. Of the composer only the two modules that read CAP are loaded; the rest of
it is a web application.
"""

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from capvalidator import check_schema, validate_cap_message

import cap
from tests.gateway.http.doorway import Doorway
from tests.gateway.http.test_feed_door import FRENCH, a_key, publish

TheirReading = Callable[..., dict[str, Any]]


@pytest.fixture
def feedparser() -> ModuleType:
    return pytest.importorskip("feedparser", reason="feedparser, the importers' reader of feeds, is not installed")


@pytest.fixture
def capparser() -> ModuleType:
    return pytest.importorskip("capparser", reason="capparser, a reader of CAP, is not installed")


@pytest.fixture
def cap_xml_to_alert_data() -> Iterator[TheirReading]:
    """The function with which the composer reads the alerts that it imports."""
    for name in ("xmltodict", "pytz"):
        pytest.importorskip(name, reason=f"{name}, which the WMO composer reads CAP with, is not installed")
    found = importlib.util.find_spec("capcomposer") if "capcomposer" not in sys.modules else None
    if found is None or found.origin is None:
        pytest.skip("cap-composer, the WMO's composer and importer, is not installed")
    # Its packages start a web application when they are imported: empty ones stand in for them.
    home = Path(found.origin).parent
    for name, place in (("capcomposer", home), ("capcomposer.capeditor", home / "capeditor")):
        package = ModuleType(name)
        package.__path__ = [str(place)]
        sys.modules[name] = package
    try:
        yield importlib.import_module("capcomposer.capeditor.caputils").cap_xml_to_alert_data
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "capcomposer"]:
            del sys.modules[name]


async def imported(
    door: Doorway, feedparser: ModuleType, read: TheirReading, path: str, *, strict: bool
) -> dict[str, dict[str, Any]]:
    """What the composer's `fetch_and_process_feed` takes over from a feed, by identifier: entries with an id and a link
    that ends in .xml, whose document its validator lets pass."""
    body = (await door.get(path)).body
    feed = await asyncio.to_thread(feedparser.parse, body)
    assert not feed.bozo, feed.get("bozo_exception")
    found: dict[str, dict[str, Any]] = {}
    for entry in feed.entries:
        if not entry.id or not entry.link or not entry.link.endswith(".xml"):
            continue
        document = (await door.get(entry.link.removeprefix(door.url))).body
        if validate_cap_message(document, strict=strict).passed:
            data = read(document, validate=False)
            found[data["identifier"]] = data
    return found


@pytest.mark.parametrize("path", ["/cap/feed.rss", "/cap/feed.atom", "/cap/feed.atom?full=1"])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
async def test_the_wmo_importer_takes_over_every_alert_as_it_was_meant(
    door: Doorway, feedparser: ModuleType, cap_xml_to_alert_data: TheirReading, path: str, signed: bool
):
    """Also where it asks for a valid signature: it drops white space before it looks."""
    key = a_key() if signed else None
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    await publish(door, "p1", key=key, headline="Één &lt; twee", expires=expires, more=FRENCH)
    await publish(door, "p2", key=key, area="<circle>51,3.5 2</circle>")

    found = await imported(door, feedparser, cap_xml_to_alert_data, path, strict=signed)

    assert set(found) == {"id-p1", "id-p2"}
    first, second = found["id-p1"]["info"]
    assert (first["headline"], second["headline"]) == ("Één < twee", "Feu")
    assert datetime.fromisoformat(first["expires"]) == expires
    assert first["area"][0]["geometry"] == {
        "type": "Polygon", "coordinates": [[[3.0, 51.0], [4.0, 51.0], [4.0, 52.0], [3.0, 51.0]]],
    }  # fmt: skip
    assert found["id-p2"]["info"][0]["area"][0]["circle"] == ["51,3.5 2"]


async def test_a_strict_importer_takes_nothing_that_is_not_signed(
    door: Doorway, feedparser: ModuleType, cap_xml_to_alert_data: TheirReading
):
    await publish(door, "p1")

    assert await imported(door, feedparser, cap_xml_to_alert_data, "/cap/feed.rss", strict=True) == {}


async def test_the_items_of_both_feeds_are_told_apart_and_dated(door: Doorway, feedparser: ModuleType):
    await publish(door, "p1", headline="One")
    await publish(door, "p2", headline="Two")

    read = {path: feedparser.parse((await door.get(path)).body) for path in ("/cap/feed.rss", "/cap/feed.atom")}

    assert {path: feed.version for path, feed in read.items()} == {"/cap/feed.rss": "rss20", "/cap/feed.atom": "atom10"}
    for feed in read.values():
        assert feed.feed.title == "Tocsin public alerts"
        assert [entry.title for entry in feed.entries] == ["Two", "One"]
        assert len({entry.id for entry in feed.entries}) == 2
        assert all(entry.published_parsed[:6] == (2026, 1, 2, 2, 4, 5) for entry in feed.entries)
    assert [entry.id for entry in read["/cap/feed.rss"].entries] == ["id-p2", "id-p1"]


async def test_a_plain_reader_of_cap_reads_an_unsigned_document(door: Doorway, capparser: ModuleType):
    """It knows no signatures and falls over them, whoever's they are (capparser 2.0.4)."""
    await publish(door, "p1", headline="One", more=FRENCH)

    alert = capparser.parse(stringXML=(await door.get("/cap/alerts/p1.xml")).body.decode())

    assert (alert.getIdentifier(), alert.getSender()) == ("id-p1", "cic@example.org")
    infos = alert.info[0]
    assert [info.headline[0] for info in infos] == ["One", "Feu"]
    assert infos[0].area[0][0].polygon[0] == "51,3 51,4 52,4 51,3"


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
async def test_the_wmos_validator_lets_every_document_pass(door: Doorway, signed: bool):
    await publish(door, "p1", key=a_key() if signed else None)

    document = (await door.get("/cap/alerts/p1.xml")).body

    assert check_schema(document).passed
    assert validate_cap_message(document, strict=signed).passed
    assert cap.read(document).accepted
