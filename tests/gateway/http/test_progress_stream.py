"""Progress by server-sent events: the revision is the id, one poller serves all, and who leaves costs nothing more."""

import asyncio
import time
from typing import Any

import pytest

from channels.contract import Channel
from gateway.access.keys import Keyring, keys_of
from gateway.http.progress import Frame, ProgressWatch
from gateway.http.topics import campaign as snapshot
from gateway.reports.sealing import seal_due
from store.access import accounts
from store.campaigns import campaign_steps
from store.engine.database import Database
from store.states import DeliveryEvent
from tests.gateway.http.doorway import Doorway, doorway, events
from tests.gateway.populated_store import bearer

PATH = "/api/v1/campaigns/c1/progress"


async def a_campaign(door: Doorway, n: int = 4, name: str = "c1") -> int:
    people = await door.house.people("A", n)
    audience = door.house.audience({Channel.SMS: people})
    [number] = await door.house.launch(1, door.house.campaign("A", 1, audience, name))
    await door.house.expand(number, audience)
    return number


async def seal(door: Doorway, number: int) -> None:
    database = door.house.database
    await database.write(lambda tx: campaign_steps.stop(tx, number, None))
    await database.write(campaign_steps.close_ended)
    await database.write(campaign_steps.tick)
    assert await seal_due(database) == 1


def watch(door: Doorway, seen: str | None = None):  # type: ignore[no-untyped-def]
    headers = bearer("a") | ({"Last-Event-ID": seen} if seen is not None else {})
    return door.session.get(door.url + PATH, headers=headers)


async def count_reads(door: Doorway) -> list[float]:
    """When the store was read for a watched campaign, from now on."""
    reads: list[float] = []
    read = door.door.progress_watch.read

    async def counted(campaign_id: int) -> Frame:
        reads.append(time.monotonic())
        return await read(campaign_id)

    door.door.progress_watch.read = counted
    return reads


async def until(condition: Any, timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the state is the door's own, and rings no bell
            await asyncio.sleep(0.02)


async def test_a_watcher_sees_a_snapshot_each_revision_and_an_end_when_sealed(door: Doorway):
    number = await a_campaign(door)
    async with asyncio.timeout(15), watch(door) as response:
        stream = events(response)
        first = await anext(stream)
        await door.house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.ACCEPTED))
        second = await anext(stream)
        await door.house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED), (1, DeliveryEvent.RECEIPT_FAILED))
        third = await anext(stream)
        await seal(door, number)
        rest = [event async for event in stream]

    assert response.headers["Content-Type"] == "text/event-stream"
    assert first["event"] == "progress"
    assert (first["data"]["open"], first["data"]["deliveries"]) == (4, 4)
    assert second["data"]["channels"][0]["accepted"] == 2
    assert (third["data"]["channels"][0]["delivered"], third["data"]["channels"][0]["failed"]) == (1, 1)
    ids = [int(e["id"]) for e in (first, second, third, *rest)]
    assert ids == sorted(ids)
    assert [int(e["id"]) for e in (first, second, third)] == [e["data"]["revision"] for e in (first, second, third)]
    assert rest[-1]["event"] == "end"
    assert rest[-1]["data"]["sealed"] is True


async def test_a_watcher_of_a_sealed_campaign_is_told_its_end_at_once(door: Doorway):
    number = await a_campaign(door)
    await seal(door, number)

    async with asyncio.timeout(5), watch(door) as response:
        told = [event["event"] async for event in events(response)]

    assert told == ["progress", "end"]


async def test_who_comes_back_with_the_revision_that_still_holds_is_sent_nothing_again(door: Doorway):
    number = await a_campaign(door)
    await door.house.settle(number, (0, DeliveryEvent.ACCEPTED))
    async with asyncio.timeout(5), watch(door) as response:
        seen = await anext(events(response))

    async with asyncio.timeout(5), watch(door, seen["id"]) as response:
        stream = events(response)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await anext(stream)
    async with asyncio.timeout(5), watch(door, seen["id"]) as response:
        stream = events(response)
        await door.house.settle(number, (1, DeliveryEvent.ACCEPTED))
        news = await anext(stream)

    assert int(news["id"]) > int(seen["id"])


@pytest.mark.parametrize("seen", ["", "abc", "-1", "9" * 400, "1; DROP TABLE", "0x10", "٣", "1"])
async def test_a_last_event_id_that_is_not_the_latest_gets_a_whole_snapshot(door: Doorway, seen: str):
    number = await a_campaign(door)
    for seq in range(3):
        await door.house.settle(number, (seq, DeliveryEvent.ACCEPTED))

    async with asyncio.timeout(5), watch(door, seen) as response:
        first = await anext(events(response))

    assert first["data"]["channels"][0]["accepted"] == 3


async def test_a_change_of_state_without_a_new_revision_is_shown(door: Doorway):
    number = await a_campaign(door)
    async with asyncio.timeout(5), watch(door) as response:
        stream = events(response)
        first = await anext(stream)
        await door.house.database.write(lambda tx: campaign_steps.stop(tx, number, None))
        second = await anext(stream)
    async with asyncio.timeout(5), watch(door, first["id"]) as response:
        again = await anext(events(response))

    assert (first["id"], first["data"]["state"]) == (second["id"], "running")
    assert second["data"]["state"] == again["data"]["state"] == "stopped"


async def test_two_hundred_watchers_of_one_campaign_share_one_poller(door: Doorway):
    number = await a_campaign(door)
    reads = await count_reads(door)
    told: list[int] = []
    ready = asyncio.Semaphore(0)

    async def one() -> None:
        async with watch(door) as response:
            stream = events(response)
            await anext(stream)
            ready.release()
            told.append((await anext(stream))["data"]["channels"][0]["accepted"])

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for _ in range(200):
            tasks.create_task(one())
        for _ in range(200):
            await ready.acquire()
        assert door.door.progress_watch.watchers == 200
        began, before = time.monotonic(), len(reads)
        await asyncio.sleep(1.0)
        took, polled = time.monotonic() - began, len(reads) - before
        await door.house.settle(number, (0, DeliveryEvent.ACCEPTED))

    assert told == [1] * 200
    assert polled <= 4 * took + 1
    await until(lambda: door.door.progress_watch.watchers == 0)


async def test_a_watcher_who_leaves_is_noticed_and_the_last_one_takes_the_poller_along(door: Doorway):
    await a_campaign(door)
    reads = await count_reads(door)
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = "".join(f"{k}: {v}\r\n" for k, v in bearer("a").items())
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    await until(lambda: reads)

    writer.transport.abort()

    await until(lambda: door.door.progress_watch.watchers == 0)
    before = len(reads)
    await asyncio.sleep(0.6)
    assert len(reads) == before
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("watch-")]
    assert (await door.get("/healthz")).status == 200


async def test_a_silent_campaign_has_a_heartbeat(database: Database):
    async with doorway(database, heartbeat_s=0.2) as door:
        await a_campaign(door)
        async with asyncio.timeout(5), watch(door) as response:
            stream = events(response)
            got = [await anext(stream) for _ in range(4)]

    assert [bool(event.get("comment")) for event in got] == [False, True, True, True]


async def test_a_stream_ends_after_its_life_so_that_the_key_is_looked_at_again(database: Database):
    async with doorway(database, stream_life_s=0.3, heartbeat_s=0.1) as door:
        await a_campaign(door)
        async with asyncio.timeout(5), watch(door) as response:
            got = [event async for event in events(response) if "event" in event]

    assert [event["event"] for event in got] == ["progress"]


@pytest.mark.parametrize(
    ("taken", "status"), [("key", 401), ("account", 401), ("every right", 403), ("the right to the zone", 404)]
)
async def test_a_stream_ends_with_its_key_its_account_and_its_rights(database: Database, taken: str, status: int):
    async with doorway(database, keyring=Keyring(keys_of(database), life_s=0.05), heartbeat_s=0.05) as door:
        await a_campaign(door)
        async with asyncio.timeout(5), watch(door) as response:
            stream = events(response)
            await anext(stream)
            if taken == "key":
                await door.house.database.write(lambda tx: accounts.revoke_key(tx, "a"))
            elif taken == "account":
                await door.house.database.write(lambda tx: accounts.set_disabled(tx, "a", True))
            else:
                await door.house.account("a", *([] if taken == "every right" else [("read", "B")]))
            rest = [event async for event in stream if "event" in event]

        assert rest == []  # an `end` would say that the campaign is over
        assert (await door.get(PATH, "a")).status == status


async def test_there_are_only_so_many_watchers(database: Database):
    async with doorway(database) as door:
        await a_campaign(door)
        door.door.progress_watch.most = 1
        async with asyncio.timeout(5), watch(door) as first:
            await anext(events(first))
            second = await door.get(PATH, "a")
        await until(lambda: door.door.progress_watch.watchers == 0)
        async with asyncio.timeout(5), watch(door) as third:
            assert await anext(events(third))

    assert (second.status, second.json["code"]) == (503, "too-many-watchers")


async def test_a_stopping_server_lets_its_watchers_go(database: Database):
    async with doorway(database) as door:
        await a_campaign(door)
        async with asyncio.timeout(5), watch(door) as response:
            stream = events(response)
            await anext(stream)
            door.door.progress_watch.close()
            assert [event async for event in stream] == []


async def test_a_store_that_is_away_for_a_moment_ends_no_stream():
    turns = 0

    async def read(campaign_id: int) -> Frame:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise TimeoutError
        return Frame(turns, "running", b"{}", last=False, quiet=True)

    progress_watch = ProgressWatch(read, 10, poll_s=0.01)
    async with asyncio.timeout(5), progress_watch.watch(1, 7) as watched:
        await watched.changed.wait()
        assert watched.latest is not None


async def test_a_poller_that_breaks_ends_its_streams_and_the_next_watcher_starts_another(
    caplog: pytest.LogCaptureFixture,
):
    broken = True

    async def read(campaign_id: int) -> Frame:
        if broken:
            raise ZeroDivisionError
        return Frame(1, "running", b"{}", last=False, quiet=True)

    progress_watch = ProgressWatch(read, 10, poll_s=0.01)
    async with asyncio.timeout(5), progress_watch.watch(1, 7) as watched:
        await watched.changed.wait()
        assert watched.over
        broken = False
        async with progress_watch.watch(1, 7) as again:
            await again.changed.wait()
            assert again.latest is not None
    assert "watching failed" in caplog.text


async def test_many_watched_campaigns_are_each_looked_at_less_often():
    reads = 0

    async def read(campaign_id: int) -> Frame:
        nonlocal reads
        reads += 1
        return Frame(1, "running", b"{}", last=False, quiet=True)

    progress_watch = ProgressWatch(read, 1000, poll_s=0.01)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        leave = asyncio.Event()

        async def one(campaign_id: int) -> None:
            async with progress_watch.watch(campaign_id, 7):
                await leave.wait()

        for campaign_id in range(200):
            tasks.create_task(one(campaign_id))
        await asyncio.sleep(0.1)
        before = reads
        await asyncio.sleep(1.0)
        per_second = reads - before
        leave.set()

    assert per_second <= 220


async def test_the_snapshot_of_a_campaign_that_is_not_there_is_an_error(database: Database):
    with pytest.raises(LookupError):
        await snapshot(database, 99)
