"""Many watchers of progress, at a door that tells them things: what they note of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from loadtest.watching import Plan, SeenEvent, Watchers


def event(revision: int, accepted: int, *, queued: int = 5) -> bytes:
    channel = {"channel": "sms", "queued": queued, "accepted": accepted, "delivered": 0, "failed": 0, "unknown": 0}
    data = msgspec.json.encode({"revision": revision, "channels": [channel]})
    return b"id: %d\nevent: progress\ndata: %s\n\n" % (revision, data)


@dataclass
class Door:
    """Answers each request with these events, in chunks, and then keeps the stream open or ends it."""

    events: Sequence[bytes]
    status: int = 200
    stays: bool = True
    requests: list[str] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % self.status)
            for each in (b"retry: 2000\n\n", *self.events):
                writer.write(b"%x\r\n%s\r\n" % (len(each), each))
            await writer.drain()
            if self.stays:
                await reader.read()
        finally:
            writer.close()


async def seen(
    door: Door, *, watchers: int = 3, campaigns: tuple[str, ...] = ("a",), seconds: float = 0.5
) -> SeenEvent:
    async with door.open():
        plan = Plan(f"http://127.0.0.1:{door.port}", "secret", campaigns, watchers, seconds, "")
        async with asyncio.timeout(20):
            return await Watchers(plan).run()


async def test_each_watcher_is_shown_each_snapshot_and_each_is_noted_once() -> None:
    found = await seen(Door([event(1, 0), event(2, 7)]))

    assert (found.open_at_end, found.never, found.went_back, found.refused) == (3, 0, 0, {})
    assert found.snapshots == 6
    assert [(shown.revision, shown.sent, shown.watchers) for shown in found.shown] == [(1, 0, 3), (2, 7, 3)]
    assert all(shown.first_s <= shown.last_s for shown in found.shown)


async def test_watchers_are_dealt_out_to_the_campaigns() -> None:
    door = Door([event(1, 0)])

    found = await seen(door, watchers=4, campaigns=("a", "b"))

    paths = sorted(request.split(" ")[1] for request in door.requests)
    assert paths == ["/api/v1/campaigns/a/progress"] * 2 + ["/api/v1/campaigns/b/progress"] * 2
    assert [(shown.campaign, shown.watchers) for shown in found.shown] == [(0, 2), (1, 2)]


async def test_a_revision_that_goes_back_is_seen() -> None:
    assert (await seen(Door([event(5, 5), event(4, 6)]), watchers=1)).went_back == 1


async def test_a_count_that_goes_back_under_a_newer_revision_is_seen() -> None:
    assert (await seen(Door([event(5, 5), event(6, 4)]), watchers=1)).went_back == 1


async def test_a_door_that_refuses_and_one_that_shows_nothing_are_told() -> None:
    refused = await seen(Door([], status=503))
    empty = await seen(Door([]))

    assert refused.refused == {"answered 503": 3}
    assert (refused.never, refused.open_at_end) == (3, 0)
    assert (empty.never, empty.open_at_end) == (3, 3)


async def test_a_stream_that_ends_is_taken_up_again_with_what_was_seen() -> None:
    door = Door([event(3, 1)], stays=False)

    found = await seen(door, watchers=1, seconds=1.6)

    assert found.reconnected == 1
    assert "Last-Event-ID" not in door.requests[0]
    assert "Last-Event-ID: 3" in door.requests[1]
