"""The free broadcast: what is in the feed, for whom, and how seldom it has to be sent."""

import asyncio
import base64
import hashlib
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from lxml import etree

import cap
from cap.signing import Standing, verify
from cap.trust import Trust
from cap.write import moment
from gateway.feed import current
from gateway.feed.current import CurrentFeed
from gateway.feed.formats import FeedFormat, Making
from gateway.feed.publishing import Publisher
from gateway.feed.signing_key import FeedKey
from gateway.settings import ServerSettings
from store import feed
from store.campaigns import alerts
from store.clock import Clock
from store.engine.database import Database, open_database
from tests.cap.certificates import certificate, ec_key
from tests.gateway.http.doorway import Doorway, doorway
from tests.gateway.populated_store import an_alert

ATOM = "{http://www.w3.org/2005/Atom}"


FEEDS = ("/cap/feed.atom", "/cap/feed.atom?full=1", "/cap/feed.rss", "/cap/active.geojson")
CAP = "urn:oasis:names:tc:emergency:cap:1.2"


def a_document(
    name: str, scope: str = "Public", headline: str = "Fire", *, status: str = "Actual", more: str = "",
    expires: datetime | None = None, area: str = "<polygon>51,3 51,4 52,4 51,3</polygon>", resource: str = "",
    description: str = "Close the windows.",
) -> bytes:  # fmt: skip
    limits = {"Restricted": "<restriction>PLP only</restriction>", "Private": "<addresses>plp:X</addresses>"}
    until = f"<expires>{moment(expires)}</expires>" if expires else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="{CAP}"><identifier>id-{name}</identifier><sender>cic@example.org</sender>
<sent>2026-01-02T03:04:05+01:00</sent><status>{status}</status><msgType>Alert</msgType><scope>{scope}</scope>
{limits.get(scope, "")}
<info><language>nl-BE</language><category>Fire</category><event>Fire</event><urgency>Immediate</urgency>
<severity>Severe</severity><certainty>Observed</certainty>{until}<headline>{headline}</headline>
<description>{description}</description>{resource}<area><areaDesc>Here</areaDesc>{area}</area></info>{more}
</alert>""".encode()


FRENCH = """<info><language>fr-BE</language><category>Fire</category><event>Feu</event><urgency>Immediate</urgency>
<severity>Severe</severity><certainty>Observed</certainty><headline>Feu</headline>
<area><areaDesc>Ici</areaDesc><polygon>51,3 51,4 52,4 51,3</polygon></area></info>"""


async def publish(
    door: Doorway, name: str, *, life_ms: int | None = 3_600_000, document: bytes = b"", key: FeedKey | None = None,
    **changes: object,
) -> bytes:  # fmt: skip
    """Accept an alert as public, and publish it; the bytes that were received."""
    database = door.house.database
    document = document or a_document(name, **changes)  # type: ignore[arg-type]
    until_ms = None if life_ms is None else database.clock.now_ms() + life_ms
    await door.house.launch(1, alert=an_alert(1, name, document), publish=True, publish_until_ms=until_ms)
    await Publisher(database, key.sign if key else None).run()
    return document


def a_key() -> FeedKey:
    key, now = ec_key(), datetime.now(UTC)
    mine = certificate(key, "feed.example", start=now - timedelta(days=1), end=now + timedelta(days=1))
    return FeedKey(mine, key)


def trusted(document: bytes, key: FeedKey) -> Standing:
    return verify(document, Trust((key.certificate,)), datetime.now(UTC)).standing


def entries(body: bytes) -> list[tuple[str, str]]:
    """(title, link) of each."""
    feed = etree.fromstring(body)
    return [
        (entry.findtext(f"{ATOM}title") or "", entry.find(f"{ATOM}link").get("href"))  # type: ignore[union-attr,misc]
        for entry in feed.iter(f"{ATOM}entry")
    ]


async def refreshed(door: Doorway, **given: object):  # type: ignore[no-untyped-def]
    look_again(door)
    return await door.get("/cap/feed.atom", **given)


def look_again(door: Doorway) -> None:
    """The store is looked at once a second; a test does not wait for it."""
    door.door.current_feed._again_s = 0.0


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


ENCLOSED = b"<script>alert(1)</script>"
FILE = f"""<resource><resourceDesc>A page</resourceDesc><mimeType>{{}}</mimeType>
<derefUri>{base64.b64encode(ENCLOSED).decode()}</derefUri></resource>"""
SUM = hashlib.sha256(ENCLOSED).hexdigest()


async def test_a_file_that_came_enclosed_is_served_with_its_alert_and_runs_in_no_browser(database: Database):
    settings = ServerSettings(port=0, public_url="https://alerts.example")
    async with doorway(database, server=settings) as door:
        for name, mime in (("page", "text/html"), ("image", "image/png")):
            await door.house.launch(
                1, alert=an_alert(1, name, a_document(name, resource=FILE.format(mime))), publish=True
            )
        hidden = a_document("hidden", "Restricted", resource=FILE.format("image/png"))
        await door.house.launch(1, alert=an_alert(1, "hidden", hidden))
        await Publisher(database, None, settings.public_url).run()

        page = await door.get(f"/cap/alerts/page/files/{SUM}")
        image = await door.get(f"/cap/alerts/image/files/{SUM}")
        others = [
            (await door.get(path)).status
            for path in (f"/cap/alerts/hidden/files/{SUM}", f"/cap/alerts/page/files/{'0' * 64}",
                         f"/cap/alerts/nothing/files/{SUM}", "/cap/alerts/page/files/..%2f", "/cap/alerts/page/files/")
        ]  # fmt: skip
        again = await door.get(f"/cap/alerts/page/files/{SUM}", headers={"If-None-Match": page.headers["ETag"]})
        document = cap.read((await door.get("/cap/alerts/page.xml")).body).alert

    assert (page.body, image.body) == (ENCLOSED, ENCLOSED)
    assert (page.headers["Content-Type"], image.headers["Content-Type"]) == ("application/octet-stream", "image/png")
    assert page.headers["Content-Disposition"].startswith("attachment")
    for answer in (page, image):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert "immutable" in answer.headers["Cache-Control"]
    assert others == [404] * 5
    assert (again.status, again.body) == (304, b"")
    assert document is not None
    [resource] = document.infos[0].resources
    assert (resource.uri, resource.deref_uri) == (f"https://alerts.example/cap/alerts/page/files/{SUM}", "")


async def test_without_a_public_address_an_enclosed_file_is_described_and_not_linked(door: Doorway):
    await publish(door, "page", resource=FILE.format("image/png"))

    alert = cap.read((await door.get("/cap/alerts/page.xml")).body).alert

    assert alert is not None
    [resource] = alert.infos[0].resources
    assert (resource.uri, resource.deref_uri, resource.description) == ("", "", "A page")


def watched(database: Database, monkeypatch: pytest.MonkeyPatch) -> tuple[CurrentFeed, list[str]]:
    """A broadcast that looks at every request, and what it asked of the store and made."""
    done: list[str] = []

    def counted(name, of):  # type: ignore[no-untyped-def]
        def call(*given, **named):  # type: ignore[no-untyped-def]
            done.append(name)
            return of(*given, **named)

        return call

    for name in ("revision", "state", "documents"):
        monkeypatch.setattr(current.feed, name, counted(name, getattr(feed, name)))
    monkeypatch.setattr(current, "make", counted("make", current.make))
    return CurrentFeed(database, Making("t", "a", "s@example.org"), life_s=60), done


async def test_a_thousand_readers_cost_one_look_at_the_store_and_one_feed(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
):
    await publish(door, "p1")
    made, done = watched(door.house.database, monkeypatch)

    feeds = await asyncio.gather(*(made.feed(FeedFormat.ATOM, "http://x") for _ in range(1000)))

    assert done == ["state", "revision", "documents", "make"]  # `state` tells its revision, too
    assert len({made_.etag for made_, _ in feeds}) == 1


async def test_while_nothing_changes_a_look_is_one_read_of_the_revision(door: Doorway, monkeypatch: pytest.MonkeyPatch):
    await publish(door, "p1")
    made, done = watched(door.house.database, monkeypatch)
    made.life_s = 0
    await made.feed(FeedFormat.ATOM, "http://x")
    done.clear()

    for _ in range(20):
        await made.feed(FeedFormat.ATOM, "http://x")
    assert done == ["revision"] * 20

    done.clear()
    await publish(door, "p2")
    await made.feed(FeedFormat.ATOM, "http://x")
    assert done.count("make") == done.count("state") == done.count("documents") == 1


async def test_a_feed_too_large_drops_its_oldest_entries_and_says_so(database: Database):
    async with doorway(database) as door:
        for n in range(8):
            await publish(door, f"p{n}", headline=f"Alert {n}")
        door.door.current_feed.making = replace(door.door.current_feed.making, most_bytes=2500)

        bodies = {path: (await door.get(path)).body for path in FEEDS}

    assert all(len(body) <= 2500 for body in bodies.values())
    titles = [title for title, _ in entries(bodies["/cap/feed.atom"])]
    assert titles[0] == "Alert 7"
    assert 0 < len(titles) < 8
    for body in bodies.values():
        assert b"of 8 alerts in force are left out: they do not fit." in body


async def test_one_giant_does_not_empty_the_feeds(door: Doorway):
    points = " ".join(f"{50 + n % 1000 / 1e6:.6f},{4 + n // 1000 / 1e6:.6f}" for n in range(40_000))
    await publish(door, "small", headline="Small")
    giant = a_document("giant", headline="Giant", area=f"<polygon>{points} 50.000000,4.000000</polygon>")
    assert len(giant) > 600_000
    await publish(door, "giant", document=giant)

    shown = {path: (await door.get(path)).body for path in FEEDS}

    assert all(b"Small" in body and len(body) <= 900_000 for body in shown.values())
    assert [title for title, _ in entries(shown["/cap/feed.atom?full=1"])] == ["Giant", "Small"]
    assert shown["/cap/feed.atom?full=1"].count(b"<areaDesc>") == 1, "what is too large is linked, not enclosed"


# ---- every form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FEEDS)
async def test_every_feed_is_for_caches(door: Doorway, path: str):
    await publish(door, "p1")
    first = await door.get(path)
    head = await door.ask("HEAD", path)
    tag = first.headers["ETag"]

    again = await door.get(path, headers={"If-None-Match": tag})
    look_again(door)
    later = await door.get(path)

    assert first.status == head.status == 200
    assert tag.startswith('"')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert later.body == first.body
    for answer in (first, head, again):
        assert answer.headers["Cache-Control"] == "public, max-age=5"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Last-Modified" in answer.headers
    assert head.body == b""
    assert head.headers["ETag"] == tag
    assert head.headers["Content-Length"] == str(len(first.body))


@pytest.mark.parametrize("path", FEEDS)
async def test_two_nodes_and_two_lives_make_the_same_bytes(database: Database, path: str):
    settings = ServerSettings(port=0, public_url="https://alerts.example")
    async with doorway(database, server=settings) as door:
        await publish(door, "p1")
        first = await door.get(path)
        made = CurrentFeed(database, door.door.current_feed.making)
        form = {"full": FeedFormat.FULL, "atom": FeedFormat.ATOM, ".rss": FeedFormat.RSS, "json": FeedFormat.GEOJSON}
        kind = "full" if "full" in path else path[-4:]
        found, _ = await made.feed(form[kind], "https://alerts.example")

    assert (found.body, f'"{found.etag}"') == (first.body, first.headers["ETag"])


@pytest.mark.parametrize("path", FEEDS)
@pytest.mark.parametrize(
    "changes",
    [{"scope": "Restricted"}, {"scope": "Private"}, {"status": "Exercise"}, {"status": "Test"}, {"status": "System"},
     {"status": "Draft"}],
    ids=lambda c: next(iter(c.values())),
)  # fmt: skip
async def test_nothing_but_actual_and_public_alerts_is_ever_seen(door: Doorway, path: str, changes: dict[str, str]):
    """Even if something before it said that it was to be published."""
    await publish(door, "hidden", **changes)
    await publish(door, "shown")

    body = (await door.get(path)).body

    assert b"/cap/alerts/shown.xml" in body
    assert b"hidden" not in body
    assert (await door.get("/cap/alerts/hidden.xml")).status == 404
    async with door.house.database.read() as conn:
        assert await feed.revision(conn) == 1


@pytest.mark.parametrize("path", FEEDS)
async def test_an_alert_that_expires_leaves_by_the_clock_alone(tmp_path, store_url: str, path: str):
    """Nothing is written when an alert expires; the feed and its tag change all the same."""
    ahead_ms = 0

    def wall_ns() -> int:
        return time.time_ns()

    clock = Clock(time.time_ns, lambda: time.monotonic_ns() + ahead_ms * 1_000_000)
    async with open_database(store_url, clock=clock) as database, doorway(database) as door:
        expires = datetime.fromtimestamp(clock.now_ms() // 1000 + 60, UTC)
        await publish(door, "short", expires=expires, life_ms=int(expires.timestamp() * 1000) - clock.now_ms())
        await publish(door, "long")
        before = await door.get(path)
        async with database.read() as conn:
            revision = await feed.revision(conn)
        ahead_ms = 61_000

        after = await door.get(path, headers={"If-None-Match": before.headers["ETag"]})

        async with database.read() as conn:
            assert await feed.revision(conn) == revision
    assert b"short" in before.body
    assert after.status == 200
    assert b"/cap/alerts/short.xml" not in after.body
    assert b"/cap/alerts/long.xml" in after.body
    assert after.headers["Last-Modified"] == format_datetime(expires, usegmt=True) or (
        parsedate_to_datetime(after.headers["Last-Modified"]) == expires - timedelta(seconds=1)
    )


async def test_the_map_shows_only_texts_in_force_and_no_cancel(door: Doorway):
    past = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    await publish(door, "half", expires=past, more=FRENCH)
    await publish(door, "p1")

    body = (await door.get("/cap/active.geojson")).json

    assert [(f["properties"]["identifier"], f["properties"]["areaDesc"]) for f in body["features"]] == [
        ("id-p1", "Here"), ("id-half", "Ici"),
    ]  # fmt: skip
    assert body["features"][0]["geometry"]["type"] == "Polygon"
    assert body["features"][0]["properties"]["url"].endswith("/cap/alerts/p1.xml")


async def test_a_reader_chooses_a_language_and_gets_the_first_where_there_is_none(door: Doorway):
    await publish(door, "two", more=FRENCH)
    await publish(door, "one", headline="Brand")

    french = await door.get("/cap/feed.atom?lang=fr")
    rss = await door.get("/cap/feed.rss?lang=fr")
    shown = (await door.get("/cap/active.geojson?lang=fr")).json
    first = await door.get("/cap/feed.atom")

    assert [title for title, _ in entries(french.body)] == ["Brand", "Feu"]
    assert [title for title, _ in entries(first.body)] == ["Brand", "Fire"]
    assert b"<language>fr</language>" in rss.body
    assert [f["properties"]["event"] for f in shown["features"]] == ["Fire", "Feu"]
    assert len({answer.headers["ETag"] for answer in (french, first)}) == 2


@pytest.mark.parametrize("query", ["?lang=xx", "?lang=nl&lang=fr", "?nocache=1", "?full=2"])
async def test_only_as_many_feeds_are_made_as_there_are_languages(door: Doorway, query: str):
    assert (await door.get(f"/cap/feed.atom{query}")).status == 400


async def test_a_whole_alert_in_the_feed_is_the_published_one(door: Doorway):
    key = a_key()
    await publish(door, "p1", key=key)

    body = (await door.get("/cap/feed.atom?full=1")).body

    [content] = etree.fromstring(body).iter(f"{ATOM}content")
    assert trusted(etree.tostring(content[0]), key) is Standing.VERIFIED


# ---- what was published, for ever ----------------------------------------------------------------------------------


async def test_an_alert_is_signed_with_the_feeds_key_once_and_its_bytes_never_change(door: Doorway):
    old, new = a_key(), a_key()
    received = await publish(door, "p1", key=old)
    first = await door.get("/cap/alerts/p1.xml")
    # The key is changed, the server starts again, the alert is over.
    await publish(door, "p2", key=new)
    door.door.current_feed._view = None
    again = await door.get("/cap/alerts/p1.xml")

    assert first.body == again.body
    assert first.headers["ETag"] == again.headers["ETag"] == f'"{hashlib.sha256(first.body).hexdigest()[:32]}"'
    assert first.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert trusted(first.body, old) is Standing.VERIFIED
    assert trusted((await door.get("/cap/alerts/p2.xml")).body, new) is Standing.VERIFIED
    assert cap.read(first.body).alert == cap.read(received).alert


async def test_without_a_key_an_alert_is_published_byte_for_byte(door: Doorway):
    received = await publish(door, "p1")

    assert (await door.get("/cap/alerts/p1.xml")).body == received


async def test_the_senders_own_signature_is_passed_on_untouched(door: Doorway):
    sender, ours = a_key(), a_key()
    signed = sender.sign(a_document("p1"))

    await publish(door, "p1", document=signed, key=ours)

    served = (await door.get("/cap/alerts/p1.xml")).body
    assert served == signed
    assert trusted(served, sender) is Standing.VERIFIED


@pytest.mark.parametrize("by_sender", [False, True], ids=["unsigned", "signed by its sender"])
async def test_an_enclosed_file_is_left_out_and_the_alert_signed_anew(door: Doorway, by_sender: bool):
    sender, ours = a_key(), a_key()
    resource = (
        "<resource><resourceDesc>Photo</resourceDesc><mimeType>image/png</mimeType>"
        f"<derefUri>{'YWJj' * 1000}</derefUri></resource>"
    )
    received = a_document("p1", resource=resource)
    received = sender.sign(received) if by_sender else received

    await publish(door, "p1", document=received, key=ours)

    served = (await door.get("/cap/alerts/p1.xml")).body
    assert b"derefUri" not in served
    assert b"<resourceDesc>Photo</resourceDesc>" in served
    assert trusted(served, ours) is Standing.VERIFIED
    async with door.house.database.read() as conn:
        filed = await alerts.by_public_id(conn, "p1")
    assert filed is not None
    assert filed.document == received, "the original is kept"


async def test_an_alert_that_cannot_be_published_does_not_keep_the_others_back(door: Doorway):
    await publish(door, "broken", document=b"<alert/>")
    await publish(door, "p1")

    assert len(entries((await door.get("/cap/feed.atom")).body)) == 1
    assert (await door.get("/cap/alerts/broken.xml")).status == 404


async def test_a_document_in_force_costs_no_read_of_the_store(door: Doorway, monkeypatch: pytest.MonkeyPatch):
    await publish(door, "p1")
    await door.get("/cap/feed.atom")

    def refuse(*_: object) -> None:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(current.feed, "published", refuse)
    assert (await door.get("/cap/alerts/p1.xml")).status == 200


# ---- signs of life -------------------------------------------------------------------------------------------------


async def test_the_heartbeat_is_a_signed_message_to_nobody_that_names_what_is_in_force(database: Database):
    key = a_key()
    async with doorway(database, sign=key.sign) as door:
        await publish(door, "p1", key=key)
        await publish(door, "p2", key=key)
        answer = await door.get("/cap/heartbeat.xml")
        again = await door.get("/cap/heartbeat.xml", headers={"If-None-Match": answer.headers["ETag"]})
        feeds = [(await door.get(path)).body for path in FEEDS]

    reading = cap.read(answer.body)
    assert reading.accepted
    assert reading.alert is not None
    assert (reading.alert.status, reading.alert.scope, reading.alert.infos) == (cap.Status.SYSTEM, cap.Scope.PUBLIC, ())
    assert [r.identifier for r in reading.alert.references] == ["id-p2", "id-p1"]
    assert (reading.alert.note or "").startswith("heartbeat: 2 alerts in force")
    assert abs((datetime.now(UTC) - reading.alert.sent).total_seconds()) < 30
    assert trusted(answer.body, key) is Standing.VERIFIED
    assert again.status == 304
    assert answer.headers["Cache-Control"] == "public, max-age=15"
    assert not any(b"heartbeat" in body for body in feeds), "readers take every link for an alert"


async def test_a_heartbeat_is_as_old_as_the_last_look_at_the_store(door: Doorway):
    """A reader that believes it must find out when the gateway itself has gone blind; the feed still stands."""
    await publish(door, "p1")
    first = await door.get("/cap/heartbeat.xml")
    blinded = door.door.current_feed

    def away() -> object:
        raise ConnectionRefusedError("no store")

    blinded.database = type("Away", (), {"read": staticmethod(away), "clock": blinded.database.clock})()
    blinded._again_s = 0.0
    blind = await door.get("/cap/heartbeat.xml")
    atom = await door.get("/cap/feed.atom")

    assert (blind.status, blind.body) == (200, first.body)
    assert (atom.status, len(entries(atom.body))) == (200, 1)


# ---- readers that mean no good -------------------------------------------------------------------------------------


async def test_a_reader_that_does_not_read_a_long_document_is_cut_off(database: Database):
    async with doorway(database, listener_write_s=0.3) as door:
        for n in range(8):
            await publish(door, f"p{n}", description="x" * 95_000)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", door.port))
            deaf.sendall(b"GET /cap/feed.atom?full=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(10):
                # It is counted when it has ended, and otherwise would not end.
                while not answered(door, "/cap/feed.atom"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        whole = await door.get("/cap/feed.atom?full=1")

    assert len(whole.body) == int(whole.headers["Content-Length"]) > 700_000
    assert len(list(etree.fromstring(whole.body).iter(f"{{{CAP}}}alert"))) == 8


def answered(door: Doorway, route: str) -> float:
    labels = {"method": "GET", "route": route, "status": "200"}
    return door.door.metrics.registry.get_sample_value("tocsin_http_request_seconds_count", labels) or 0
