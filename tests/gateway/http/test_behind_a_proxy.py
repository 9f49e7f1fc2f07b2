"""Behind a trusted proxy every limit, and the log, is about the client; from anybody else the header is worth nothing.

The proxy is this test: it writes what a proxy writes, from the address that a proxy has.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from gateway.settings import AlertSettings, ServerSettings
from store.engine.database import Database
from tests.gateway.http.doorway import Doorway, doorway

WRONG = {"Authorization": "Bearer tocsin_a_0123456789abcdef0123456789abcdef"}
CAMPAIGNS = "/api/v1/campaigns"


def server(*trusted: str, **more: int) -> ServerSettings:
    return ServerSettings(host="127.0.0.1", port=0, trusted_proxies=trusted, **more)  # type: ignore[arg-type]


@pytest.fixture
async def proxied(database: Database) -> AsyncIterator[Doorway]:
    async with doorway(database, server=server("127.0.0.1")) as door:
        yield door


@pytest.fixture
async def direct(database: Database) -> AsyncIterator[Doorway]:
    async with doorway(database, server=server("10.1.0.7")) as door:
        yield door


async def guess(door: Doorway, *forwarded_for: str) -> int:
    headers = [*WRONG.items(), *(("X-Forwarded-For", value) for value in forwarded_for)]
    async with door.session.get(door.url + CAMPAIGNS, headers=headers) as answer:
        return answer.status


async def test_who_guesses_keys_is_slowed_down_and_their_neighbours_behind_the_proxy_are_not(proxied: Doorway):
    guesses = [await guess(proxied, f"198.51.100.{n}, 203.0.113.9") for n in range(21)]

    assert guesses == [401] * 20 + [429]
    assert await guess(proxied, "203.0.113.9, 203.0.113.10") == 401
    assert await guess(proxied, "203.0.113.10", "203.0.113.9") == 429, "the last header is the nearest"


async def test_from_a_peer_that_is_no_proxy_the_header_gains_nothing(direct: Doorway):
    assert [await guess(direct, f"198.51.100.{n}") for n in range(21)] == [401] * 20 + [429]


async def test_streams_are_counted_by_client(database: Database):
    feed = AlertSettings(max_feed_watchers_per_address=1)
    async with doorway(database, server=server("127.0.0.1"), feed=feed) as door, contextlib.AsyncExitStack() as stack:
        answers = []
        for client in ("203.0.113.9", "203.0.113.10", "203.0.113.9"):
            asked = door.session.get(door.url + "/cap/stream", headers={"X-Forwarded-For": f"192.0.2.1, {client}"})
            answers.append((await stack.enter_async_context(asked)).status)

    assert answers == [200, 200, 429]


async def test_the_log_names_the_client(proxied: Doorway, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    await proxied.get("/nowhere", headers={"X-Forwarded-For": "203.0.113.9:50123"})

    assert [r.peer for r in caplog.records if getattr(r, "action", "") == "request"] == ["203.0.113.9"]


@pytest.mark.parametrize(("trusted", "inside"), [("127.0.0.1", 8), ("10.1.0.7", 3)])
async def test_the_connections_of_a_proxy_are_not_those_of_one_stranger(database: Database, trusted: str, inside: int):
    async with doorway(database, server=server(trusted, max_connections_per_address=3)) as door:
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(8)]
        head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        held[-1][1].write(head)  # what came after the others is answered after they were let in
        async with asyncio.timeout(10):
            assert (await held[-1][0].readline()).startswith(b"HTTP/1.1 200")
        assert door.door.visitors.inside == inside
        for _, writer in held:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize(
    ("public_url", "told"),
    [("https://alerts.example", "max-age=31536000"), ("http://alerts.example", None), ("", None)],
)
async def test_browsers_are_told_to_come_back_by_https_where_that_is_how_the_gateway_is_reached(
    database: Database, public_url: str, told: str | None
):
    async with doorway(database, server=ServerSettings(port=0, public_url=public_url)) as door:
        answers = [await door.get(path) for path in ("/healthz", "/nowhere", "/cap/feed.atom")]

    assert [answer.headers.get("Strict-Transport-Security") for answer in answers] == [told] * 3
