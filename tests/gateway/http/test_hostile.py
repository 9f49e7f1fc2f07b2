"""Requests that mean harm: too large, too slow, too deep, too many, or no HTTP at all. None costs more than itself."""

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator

import pytest

from gateway.settings import ServerSettings
from store.engine.database import Database
from tests.gateway.http.doorway import CAP, Doorway, doorway
from tests.gateway.populated_store import SECRET

AUTH = f"Authorization: Bearer tocsin_a_{SECRET}\r\n".encode()


async def raw(door: Doorway, octets: bytes, *, timeout_s: float = 8.0) -> bytes:
    """What comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        writer.write(octets)
        async with asyncio.timeout(timeout_s):
            return await reader.read()
    finally:
        writer.close()


def post(path: bytes, headers: bytes, body: bytes = b"") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + AUTH + headers + b"\r\n" + body


async def test_a_body_that_says_it_is_too_large_is_413_before_it_is_read(door: Doorway):
    began = time.monotonic()
    answer = await raw(door, post(b"/cap/v1/alerts", b"Content-Type: text/xml\r\nContent-Length: 999999999\r\n"))

    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"too-large"' in answer
    assert time.monotonic() - began < 5


async def test_a_body_that_does_not_say_how_large_it_is_is_413_when_it_grows_too_large(door: Doorway):
    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(50):
            yield b"x" * 10_000

    answer = await door.post("/cap/v1/alerts", "a", data=endless(), headers=CAP)

    assert (answer.status, answer.json["code"]) == (413, "too-large")
    assert door.desk.documents == []


async def test_the_largest_allowed_body_is_taken_and_one_byte_more_is_not(door: Doorway):
    largest = await door.post("/cap/v1/alerts", "a", data=b"x" * 100_000, headers=CAP)
    larger = await door.post("/cap/v1/alerts", "a", data=b"x" * 100_001, headers=CAP)

    assert (largest.status, larger.status) == (202, 413)


async def test_a_slow_body_is_408_and_its_connection_is_closed(door: Doorway):
    began = time.monotonic()
    answer = await raw(door, post(b"/cap/v1/alerts", b"Content-Type: text/xml\r\nContent-Length: 100\r\n", b"<al"))

    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"too-slow"' in answer
    assert 1.5 < time.monotonic() - began < 6


@pytest.fixture
async def impatient(database: Database) -> AsyncIterator[Doorway]:
    server = ServerSettings(host="127.0.0.1", port=0, head_timeout_s=0.5, body_timeout_s=5.0)
    async with doorway(database, server=server) as opened:
        yield opened


HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"y" * 200 + b"\r\n\r\n"


async def _trickle(writer: asyncio.StreamWriter, octets: bytes, every_s: float) -> None:
    with contextlib.suppress(ConnectionError):
        for octet in octets:
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(every_s)


@pytest.mark.parametrize("before", [b"", HEAD], ids=["a new connection", "one that has been answered"])
async def test_a_head_that_comes_octet_by_octet_is_cut_off(impatient: Doorway, before: bytes):
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
        if before:
            writer.write(before)
            assert (await reader.readuntil(b'"ok"}')).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.7)  # between two requests it may rest
        began = time.monotonic()
        slowly = asyncio.create_task(_trickle(writer, HEAD, 0.02))  # 4 s and more for all of it
        with contextlib.suppress(ConnectionResetError):  # where an octet was on its way when it was cut off
            assert await reader.read() == b""
        took_s = time.monotonic() - began
        slowly.cancel()
        await asyncio.wait([slowly])
        writer.close()

    assert 0.4 < took_s < 4.0


async def test_a_connection_that_says_nothing_is_cut_off(impatient: Doorway):
    began = time.monotonic()

    assert await raw(impatient, b"") == b""
    assert 0.4 < time.monotonic() - began < 2.5


async def test_a_head_in_two_parts_and_a_body_that_takes_longer_are_taken(impatient: Doorway):
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
        head = post(b"/cap/v1/alerts", b"Content-Type: text/xml\r\nContent-Length: 8\r\n")
        writer.write(head[:30])
        await asyncio.sleep(0.1)
        writer.write(head[30:] + b"<al")
        await asyncio.sleep(0.8)
        writer.write(b"ert/>")
        answer = await reader.readuntil(b"\r\n")
        writer.close()

    assert answer == b"HTTP/1.1 202 Accepted\r\n"


async def test_an_empty_body_is_400(door: Doorway):
    answer = await door.post("/cap/v1/alerts", "a", data=b"", headers=CAP)

    assert (answer.status, answer.json["code"]) == (400, "empty-body")


async def test_a_body_whose_sender_leaves_half_way_reaches_nobody(door: Doorway):
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(post(b"/cap/v1/alerts", b"Content-Type: text/xml\r\nContent-Length: 100\r\n", b"<alert"))
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert (await door.get("/healthz")).status == 200
    assert door.desk.documents == []


@pytest.mark.parametrize("begun", [b"Content-Length: 9\r\n\r\n<al", b"Transfer-Encoding: chunked\r\n\r\n6\r\n<al"])
async def test_who_says_no_more_in_the_middle_of_a_body_is_told_that_it_was_cut(door: Doorway, begun: bytes):
    head = b"POST /cap/v1/alerts HTTP/1.1\r\nHost: x\r\n" + AUTH + b"Content-Type: text/xml\r\n"
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(head + begun)
        writer.write_eof()
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":"broken-body"' in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert door.desk.documents == []


@pytest.mark.parametrize(
    ("path", "key"), [("/cap/v1/alerts", "a"), ("/cap/v1/alerts", None), ("/healthz", None), ("/no/such/path", None)]
)
async def test_what_is_expected_of_the_door_and_is_not_known_is_417_without_the_clients_words(
    door: Doorway, path: str, key: str | None
):
    headers = {"Expect": "<b>something</b>", "Accept-Language": "nl"} | CAP

    answer = await door.post(path, key, data=b"<alert/>", headers=headers)

    assert (answer.status, answer.json["code"]) == (417, "expectation-failed")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == answer.json["request_id"] != ""
    assert b"something" not in answer.body
    assert door.desk.documents == []


async def test_who_waits_to_be_told_to_go_on_is_told(door: Doorway):
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(
            post(b"/cap/v1/alerts", b"Content-Type: text/xml\r\nExpect: 100-Continue\r\nContent-Length: 8\r\n")
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"<alert/>")
        answer = await reader.readuntil(b"\r\n")
        writer.close()

    assert answer == b"HTTP/1.1 202 Accepted\r\n"


async def test_who_waits_with_a_body_that_is_too_large_is_not_told_to_go_on(door: Doorway):
    headers = b"Content-Type: text/xml\r\nExpect: 100-continue\r\nContent-Length: 999999999\r\n"

    answer = await raw(door, post(b"/cap/v1/alerts", headers))

    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_small_body_that_unpacks_to_a_large_one_is_not_unpacked(door: Doorway):
    bomb = gzip.compress(b"x" * 50_000_000)
    length = b"Content-Length: %d\r\n" % len(bomb)
    headers = b"Content-Type: text/xml\r\nContent-Encoding: gzip\r\nConnection: close\r\n" + length

    answer = await raw(door, post(b"/cap/v1/alerts", headers, bomb))

    assert answer.startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(1000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["headers", "long header", "long line", "TLS", "two lengths", "negative length"],
)
async def test_what_is_no_request_is_400_in_the_same_form_and_tells_no_version(door: Doorway, octets: bytes):
    answer = await raw(door, octets)

    assert answer.split(b" ")[1] == b"400"
    assert b"application/problem+json" in answer
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    assert b'"request_id":""' not in answer
    assert (await door.get("/healthz")).status == 200


async def test_a_second_request_hidden_behind_a_refused_body_is_not_answered(door: Doorway):
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    headers = b"Content-Type: text/xml\r\nContent-Length: 999999999\r\n"

    answer = await raw(door, post(b"/cap/v1/alerts", headers, hidden))

    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid-json"),
        (b"", "empty-body"),
        (b"\xff\xfe", "invalid-json"),
        (b"[" * 100_000, "invalid-request"),
        (b'{"zone":' * 10_000, "invalid-request"),
        (b'{"targets":' + b"[" * 90_000, "invalid-request"),
        (b'"zone"', "invalid-request"),
        (b"null", "invalid-request"),
        (b'{"zone":"A","unknown":' + b"[" * 50_000 + b"]" * 49_000 + b"}", "invalid-request"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:12]),
)
async def test_broken_and_deep_json_is_400(door: Doorway, body: bytes, code: str):
    answer = await door.post("/api/v1/campaigns", "a", data=body, headers={"Content-Type": "application/json"})

    assert (answer.status, answer.json["code"]) == (400, code)
    assert door.desk.requests == []


async def test_two_keys_at_once_are_no_key(door: Doorway):
    answer = await raw(door, b"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + AUTH + AUTH + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_claimed_host_is_not_believed(door: Doorway):
    answer = await raw(door, b"GET /cap/feed.atom HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"evil.example" not in answer
