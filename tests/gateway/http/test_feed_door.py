"""The free broadcast: what is in the feed, for whom, and how seldom it has to be sent."""

import asyncio
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from lxml import etree

import cap
from gateway.http import broadcast
from gateway.http.broadcast import Broadcast
from gateway.settings import ServerSettings
from store.database import Database
from tests.gateway.house import an_alert
from tests.gateway.http.doorway import Doorway, doorway

ATOM = "{http://www.w3.org/2005/Atom}"


def a_document(name: str, scope: str = "Public", headline: str = "Fire") -> bytes:
    restriction = "<restriction>PLP only</restriction>" if scope == "Restricted" else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>id-{name}</identifier><sender>cic@example.org</sender>
<sent>2026-01-02T03:04:05+01:00</sent><status>Actual</status><msgType>Alert</msgType><scope>{scope}</scope>{restriction}
<info><language>nl-BE</language><category>Fire</category><event>Fire</event><urgency>Immediate</urgency>
<severity>Severe</severity><certainty>Observed</certainty><headline>{headline}</headline>
<description>Close the windows.</description></info></alert>""".encode()


async def publish(door: Doorway, name: str, *, life_ms: int | None = 3_600_000, **changes: str) -> bytes:
    document = a_document(name, **changes)
    until_ms = None if life_ms is None else door.house.database.clock.now_ms() + life_ms
    await door.house.launch(1, alert=an_alert(1, name, document), publish=True, publish_until_ms=until_ms)
    return document


def entries(body: bytes) -> list[tuple[str, str]]:
    """(title, link) of each."""
    feed = etree.fromstring(body)
    return [
        (entry.findtext(f"{ATOM}title") or "", entry.find(f"{ATOM}link").get("href"))  # type: ignore[union-attr,misc]
        for entry in feed.iter(f"{ATOM}entry")
    ]


async def refreshed(door: Doorway, **given: object):  # type: ignore[no-untyped-def]
    door.door.broadcast._feeds.clear()
    return await door.get("/cap/feed.atom", **given)


async def test_the_feed_links_to_the_exact_bytes_of_every_public_alert(door: Doorway):
    documents = {await publish(door, "p1", headline="One"), await publish(door, "p2", headline="Two")}

    answer = await door.get("/cap/feed.atom")
    listed = entries(answer.body)
    served = [await door.get(link.removeprefix(door.url)) for _, link in listed]

    assert answer.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    assert [title for title, _ in listed] == ["Two", "One"]
    assert {a.body for a in served} == documents
    assert {a.headers["Content-Type"] for a in served} == {"application/cap+xml"}
    assert all("immutable" in a.headers["Cache-Control"] for a in served)
    assert cap.read(served[0].body).accepted


async def test_an_alert_that_was_never_published_is_not_served(door: Doorway):
    await door.house.launch(1, alert=an_alert(1, "hidden", a_document("hidden", "Restricted")))

    assert (await door.get("/cap/alerts/hidden.xml")).status == 404
    assert (await door.get("/cap/alerts/nothing.xml")).status == 404
    assert entries((await door.get("/cap/feed.atom")).body) == []


async def test_a_document_that_is_not_public_never_enters_the_feed_whoever_published_it(door: Doorway):
    await publish(door, "private", scope="Restricted")
    await publish(door, "public")

    assert len(entries((await door.get("/cap/feed.atom")).body)) == 1


async def test_an_expired_alert_leaves_the_feed_and_can_still_be_read(door: Doorway):
    await publish(door, "p1", life_ms=-1000)
    await publish(door, "p2")

    assert len(entries((await door.get("/cap/feed.atom")).body)) == 1
    assert (await door.get("/cap/alerts/p1.xml")).status == 200


async def test_a_feed_that_has_not_changed_is_304(door: Doorway):
    await publish(door, "p1")
    first = await door.get("/cap/feed.atom")
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]

    by_tag = await refreshed(door, headers={"If-None-Match": f'"other", {tag}'})
    weak = await refreshed(door, headers={"If-None-Match": f"W/{tag}"})
    by_time = await door.get("/cap/feed.atom", headers={"If-Modified-Since": modified})
    other = await door.get("/cap/feed.atom", headers={"If-None-Match": '"other"', "If-Modified-Since": modified})

    assert (by_tag.status, weak.status, by_time.status, other.status) == (304, 304, 304, 200)
    assert by_tag.body == b""
    assert by_tag.headers["ETag"] == tag


async def test_a_feed_that_has_changed_is_sent_again(door: Doorway):
    await publish(door, "p1")
    first = await door.get("/cap/feed.atom")
    await publish(door, "p2")

    since = format_datetime(parsedate_to_datetime(first.headers["Last-Modified"]), usegmt=True)
    by_tag = await refreshed(door, headers={"If-None-Match": first.headers["ETag"]})
    assert by_tag.status == 200
    assert len(entries(by_tag.body)) == 2

    await asyncio.sleep(1.1)
    await publish(door, "p3")
    assert (await refreshed(door, headers={"If-Modified-Since": since})).status == 200


async def test_the_bytes_of_an_alert_have_a_strong_tag(door: Doorway):
    await publish(door, "p1")
    first = await door.get("/cap/alerts/p1.xml")

    again = await door.get("/cap/alerts/p1.xml", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["ETag"].startswith('"')
    assert (again.status, again.body) == (304, b"")


async def test_the_feed_speaks_of_the_configured_address(database: Database):
    settings = ServerSettings(port=0, public_url="https://alerts.example/")
    async with doorway(database, server=settings) as door:
        await publish(door, "p1")
        [(_, link)] = entries((await door.get("/cap/feed.atom")).body)

    assert link == "https://alerts.example/cap/alerts/p1.xml"


async def test_a_thousand_readers_a_second_cost_one_reading_of_the_store(door: Doorway):
    await publish(door, "p1")
    reads = 0
    read = door.house.database.read

    def counted():  # type: ignore[no-untyped-def]
        nonlocal reads
        reads += 1
        return read()

    made = Broadcast(door.house.database, "t", "a", life_s=60)
    made.database.read = counted  # type: ignore[method-assign]
    feeds = await asyncio.gather(*(made.feed("http://x") for _ in range(1000)))

    assert reads == 1
    assert len({feed.etag for feed in feeds}) == 1


async def test_a_feed_too_large_drops_its_oldest_entries(door: Doorway, monkeypatch: pytest.MonkeyPatch):
    for n in range(8):
        await publish(door, f"p{n}", headline=f"Alert {n}")
    monkeypatch.setattr(broadcast, "MOST_BYTES", 3000)

    answer = await door.get("/cap/feed.atom")

    assert len(answer.body) <= 3000
    titles = [title for title, _ in entries(answer.body)]
    assert titles[0] == "Alert 7"
    assert 0 < len(titles) < 8
