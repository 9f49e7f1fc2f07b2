"""The public stream: every change once, in order, from where a listener was; bounded in every direction."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.errors import Refusal
from gateway.feed import changes
from gateway.feed.changes import FeedChanges
from gateway.feed.current import CurrentFeed
from gateway.feed.formats import Making
from gateway.feed.publishing import Publisher
from gateway.settings import AlertSettings
from store import feed
from store.campaigns import alerts
from store.engine.database import Database, open_database
from tests.gateway.http.doorway import Doorway, doorway, events
from tests.gateway.http.test_feed_door import FRENCH, a_document, publish
from tests.gateway.populated_store import an_alert, bearer
from tests.peers.postgres import new_database

PATH = "/cap/stream"


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Doorway]:
    async with doorway(database) as opened:
        quick(opened)
        yield opened


def quick(door: Doorway) -> None:
    """A test does not wait a second for each look."""
    door.door.current_feed.life_s = 0.0
    door.door.feed_changes.poll_s = 0.02


def listen(door: Doorway, seen: object = None, path: str = PATH):  # type: ignore[no-untyped-def]
    headers = {} if seen is None else {"Last-Event-ID": str(seen)}
    return door.session.get(door.url + path, headers=headers)


async def first_of(door: Doorway, n: int, seen: object = None, path: str = PATH) -> list[dict[str, Any]]:
    async with asyncio.timeout(10), listen(door, seen, path) as response:
        stream = events(response)
        return [await anext(stream) for _ in range(n)]


async def until(condition: Any, timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the state is the door's own, and rings no bell
            await asyncio.sleep(0.02)


async def test_a_listener_hears_of_each_alert_as_it_is_published(door: Doorway):
    await publish(door, "before")
    async with asyncio.timeout(10), listen(door) as response:
        stream = events(response)
        opened = await anext(stream)
        await publish(door, "one", headline="One", more=FRENCH)
        one = await anext(stream)
        await publish(door, "two", headline="Two")
        two = await anext(stream)

    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert (opened["event"], opened["id"], opened["data"]) == ("open", "1", {"revision": 1, "missed": False})
    assert [(e["event"], e["id"], e["data"]["url"]) for e in (one, two)] == [
        ("alert", "2", "/cap/alerts/one.xml"), ("alert", "3", "/cap/alerts/two.xml"),
    ]  # fmt: skip
    assert [i["headline"] for i in one["data"]["info"]] == ["One", "Feu"]
    assert (one["data"]["msgType"], one["data"]["identifier"]) == ("Alert", "id-one")
    assert "document" not in one["data"]


async def test_a_full_stream_has_the_document_itself(door: Doorway):
    received = await publish(door, "one")

    _, one = await first_of(door, 2, seen=0, path=f"{PATH}?full=1")

    assert one["data"]["document"].encode() == received == (await door.get(one["data"]["url"])).body


async def test_who_comes_back_is_told_all_that_was_missed_and_nothing_twice(door: Doorway):
    for n in range(6):
        await publish(door, f"p{n}")

    told = await first_of(door, 5, seen=2)

    assert [e["event"] for e in told] == ["open", "alert", "alert", "alert", "alert"]
    assert told[0]["data"] == {"revision": 6, "missed": False}
    assert [int(e["id"]) for e in told] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("seen", [1, 99])
async def test_who_was_away_for_too_long_is_told_to_read_the_feed(door: Doorway, seen: int):
    """Also one who saw more than there is: the store was restored from before."""
    door.door.feed_changes.most_events = 3
    for n in range(6):
        await publish(door, f"p{n}")

    async with asyncio.timeout(10), listen(door, seen) as response:
        stream = events(response)
        opened = await anext(stream)
        await publish(door, "next")
        after = await anext(stream)

    assert (opened["id"], opened["data"]) == ("6", {"revision": 6, "missed": True})
    assert after["id"] == "7"


async def test_an_alert_that_is_replaced_ends_behind_what_takes_its_place(door: Doorway):
    await publish(door, "old")
    async with door.house.database.read() as conn:
        old = await alerts.by_public_id(conn, "old")
    assert old is not None
    async with asyncio.timeout(10), listen(door) as response:
        stream = events(response)
        await anext(stream)
        update = a_document("new").replace(b"<msgType>Alert", b"<msgType>Update").replace(
            b"<scope>Public</scope>",
            b"<scope>Public</scope><references>cic@example.org,id-old,2026-01-02T03:04:05+01:00</references>",
        )  # fmt: skip
        new = an_alert(1, "new", update, msg_type="Update", thread_id=old.thread_id)
        await door.house.launch(1, alert=new, publish=True, publish_until_ms=1 << 50)
        await door.house.database.write(lambda tx: alerts.set_state(tx, old.id, "superseded"))
        await Publisher(door.house.database, None).run()
        came, ended = await anext(stream), await anext(stream)

    assert (came["event"], came["data"]["msgType"], came["data"]["url"]) == ("alert", "Update", "/cap/alerts/new.xml")
    assert came["data"]["references"] == ["cic@example.org,id-old,2026-01-02T03:04:05+01:00"]
    assert (ended["event"], ended["data"]["url"]) == ("ended", "/cap/alerts/old.xml")


@pytest.fixture
async def shared_url(engine: str, home: str, tmp_path: Path) -> str:
    """A migrated store on each engine, for two who share it."""
    if engine == "sqlite":
        shutil.copy(home, tmp_path / "two.db")
        return f"sqlite+aiosqlite:///{tmp_path}/two.db"
    return await new_database(home, "feedstream", template="migrated")


async def test_what_another_node_published_is_heard_here(shared_url: str):
    async with open_database(shared_url) as here, open_database(shared_url) as there, doorway(here) as door:
        quick(door)
        async with asyncio.timeout(20), listen(door) as response:
            stream = events(response)
            await anext(stream)
            until_ms = here.clock.now_ms() + 3_600_000
            await door.house.launch(1, alert=an_alert(1, "x", a_document("x")), publish=True, publish_until_ms=until_ms)
            await Publisher(there, None).run()
            told = await anext(stream)
        atom = await door.get("/cap/feed.atom")

    assert told["data"]["url"] == "/cap/alerts/x.xml"
    assert b"/cap/alerts/x.xml" in atom.body


# ---- signs of life -------------------------------------------------------------------------------------------------


async def test_a_quiet_stream_gives_signs_of_life(database: Database):
    async with doorway(database, heartbeat_s=0.05) as door:
        quick(door)
        await publish(door, "p1")
        told = await first_of(door, 6)

    names = [e.get("event", "comment") for e in told]
    assert names[0] == "open"
    assert "comment" in names
    assert "heartbeat" in names
    beat = next(e for e in told if e.get("event") == "heartbeat")
    assert "id" not in beat, "it is no change: who comes back goes on from the last one"
    assert (beat["data"]["revision"], beat["data"]["in_force"]) == (1, 1)
    assert beat["data"]["at"].endswith("Z")
    assert beat["data"]["url"] == "/cap/heartbeat.xml"


# ---- bounds --------------------------------------------------------------------------------------------------------


async def test_one_address_may_not_hold_every_stream(database: Database):
    settings = AlertSettings(max_feed_watchers_per_address=2)
    async with doorway(database, feed=settings) as door:
        quick(door)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                response = await stack.enter_async_context(listen(door))
                assert (await anext(events(response)))["event"] == "open"
            third = await door.get(PATH)
        await until(lambda: door.door.feed_changes.listeners == 0)
        [again] = await first_of(door, 1)

    assert (third.status, third.json["code"]) == (429, "too-many-watchers")
    assert again["event"] == "open"


async def test_the_public_is_bounded_and_takes_nothing_from_coordinators(database: Database):
    settings = AlertSettings(max_feed_watchers=1, max_feed_watchers_per_address=0)
    async with doorway(database, feed=settings) as door:
        quick(door)
        async with listen(door) as response:
            await anext(events(response))
            second = await door.get(PATH)
            # Progress has its own bound: whether there is such a campaign is the only question.
            progress = await door.session.get(f"{door.url}/api/v1/campaigns/c1/progress", headers=bearer("a"))

    assert (second.status, second.json["code"]) == (503, "too-many-watchers")
    assert "Retry-After" in second.headers
    assert progress.status == 404


async def test_a_listener_that_does_not_read_is_cut_off_and_the_others_hear_on(database: Database):
    async with doorway(database, listener_write_s=0.3) as door:
        quick(door)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", door.port))
        deaf.sendall(b"GET /cap/stream?full=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: door.door.feed_changes.listeners == 1)
        async with asyncio.timeout(30), listen(door) as response:
            stream = events(response)
            await anext(stream)
            for n in range(80):
                await publish(door, f"p{n}", description="x" * 90_000)
            heard = [await anext(stream) for _ in range(80)]
            await until(lambda: door.door.feed_changes.listeners == 1, 10)
        deaf.close()

    assert [int(e["id"]) for e in heard] == list(range(1, 81))


async def test_what_is_kept_for_those_who_come_back_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch, door: Doorway
):
    monkeypatch.setattr(changes, "MOST_KEPT_BYTES", 5_000)
    for n in range(20):
        await publish(door, f"p{n}", description="x" * 1_000)
    await first_of(door, 1)

    kept = door.door.feed_changes

    assert kept._bytes == sum(len(e.full) for e in kept._events) <= 5_000
    assert (kept.floor + len(kept._events), kept.last) == (20, 20)
    assert kept.after(kept.floor - 1) is None
    assert [e.id for e in kept.after(kept.floor) or ()] == list(range(kept.floor + 1, 21))


async def test_coming_and_going_costs_the_store_nothing(door: Doorway, monkeypatch: pytest.MonkeyPatch):
    for n in range(5):
        await publish(door, f"p{n}")
    read: list[int] = []
    of_store = feed.changes

    async def counted(conn, after, upto):  # type: ignore[no-untyped-def]
        read.append(after)
        return await of_store(conn, after, upto)

    monkeypatch.setattr(changes.feed, "changes", counted)

    for _ in range(10):
        await first_of(door, 6, seen=0)

    assert read == [0]


async def test_a_stream_outlives_a_store_that_is_away_for_a_while(database: Database):
    current_feed = CurrentFeed(database, Making("t", "a", "s@example.org"), life_s=0.0)
    held = FeedChanges(current_feed, 10, 10, poll_s=0.02)
    reading, away = database.read, False

    def read():  # type: ignore[no-untyped-def]
        if away:
            raise ConnectionRefusedError("no store")
        return reading()

    database.read = read  # type: ignore[method-assign]
    async with held.listen("1"):
        away = True
        await asyncio.sleep(0.1)
        assert not held.over
        away = False
        await database.write(lambda tx: feed.publish(tx, []))
        assert not held.over
    await held.close()
    assert held.over


async def test_the_streams_end_when_the_server_stops(database: Database):
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        async with doorway(database) as door:
            quick(door)
            response = await session.get(door.url + PATH)
            stream = events(response)
            assert (await anext(stream))["event"] == "open"
        rest = [event async for event in stream]
    assert rest == []


async def test_a_head_of_the_stream_opens_none(door: Doorway):
    answer = await door.ask("HEAD", PATH)

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert door.door.feed_changes.listeners == 0


async def test_an_ipv6_client_is_one_however_many_addresses_it_has(database: Database):
    held = FeedChanges(CurrentFeed(database, Making("t", "a", "s@example.org")), 10, 1)

    async with contextlib.AsyncExitStack() as others:
        for address in ("2001:db8:1:2::1", "2001:db8:1:3::1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"):
            await others.enter_async_context(held.listen(address))
        with pytest.raises(Refusal, match="as many streams"):
            await others.enter_async_context(held.listen("2001:db8:1:2:ffff::9"))
    await held.close()
