"""Bad input, a second server, a stop under load, names that break rendering, a full disk: a real process each time."""

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from store.states import BatchState
from tests.acceptance.expected import expect
from tests.acceptance.world import Client, Server, World, alert, opened, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

EVIL = "\x00\x1b[31m\r\nBcc: everybody@example.org\r\n\r\n.\r\n\u202e\ud83d"
ALERTS = "/cap/v1/alerts"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=100)
        yield made


def document(world: World) -> bytes:
    return alert({code: world.ring(code) for code in ("PLP-5301-1", "PLP-5301-2")})


async def told_once(world: World, client: Client, posted: bytes) -> None:
    """An alert still does what it should."""
    campaign = (await client.launch_alert(posted))["5301"]
    await client.until_sent(campaign)
    await everybody_once(world)


async def everybody_once(world: World) -> None:
    should = expect(world.seed, ["PLP-5301-1", "PLP-5301-2"])["5301"]
    assert sorted(got.address for got in world.sms()) == sorted(should.addresses("sms"))
    assert sorted(got.address for got in await world.settled_mails()) == sorted(should.addresses("email"))


# ---- at the door ---------------------------------------------------------------------------------------------------


async def test_bad_input_of_every_sort_is_answered_for_what_it_is_and_the_server_stays_well(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    server, client = await world.up(
        world.ways_out() | {"server": {"body_timeout_s": 1.0, "max_document_bytes": 50_000}}
    )
    good, token = document(world), world.token("cic-demo")
    entity = b'<!DOCTYPE alert [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    head = b'<?xml version="1.0" encoding="UTF-8"?>'
    bombs = b"".join(b'<!ENTITY a%d "%s">' % (n + 1, b"&a%d;" % n * 10) for n in range(9))

    for status, body in [
        (413, good + b" " * 50_000),
        (400, b""),
        (400, b"\x00\xff" * 500),
        (400, b"<alert"),
        (400, good.replace(head, head + entity).replace(b"Inbraak", b"&x;")),
        (400, good.replace(head, head + b"<!DOCTYPE a [<!ENTITY a0 'ha'>%s]>" % bombs).replace(b"Inbraak", b"&a9;")),
        (422, good.replace(b"<msgType>Alert</msgType>", b"<msgType>Alarm</msgType>")),
        (422, good.replace(b"urn:oasis:names:tc:emergency:cap:1.2", b"urn:nobody")),
        (403, good.replace(b"cic@police.example", b"somebody@else.example")),
    ]:
        got, answer = await client.submit(body)
        assert got == status, answer
        assert answer["title"], "told in words"
        assert "root:" not in str(answer)
    for wrong, status in [(token[:-1] + "x", 401), ("", 401), (world.token("auditor"), 403)]:
        assert await spoken(server, request(good, wrong), "post") == status
    await slow_and_broken(server, request(good, token))

    assert (await client.get("/healthz"))[0] == 200
    assert world.segments() == []
    await told_once(world, client, good)


def request(body: bytes, token: str, length: int | None = None) -> bytes:
    return (
        f"POST {ALERTS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/cap+xml\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    ).encode() + body


async def slow_and_broken(server: Server, whole: bytes) -> None:
    assert await spoken(server, whole[:-40], "never finished") == 408
    assert await spoken(server, b"\x16\x03\x01\x02\x00" + b"\x00" * 300, "TLS") == 400
    assert await spoken(server, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", "long line") == 400
    assert (
        await spoken(server, whole.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"), "2")
        == 400
    )
    # Many that connect and say nothing do not keep others out.
    where = urlsplit(server.url)
    idle = [await asyncio.open_connection(where.hostname, where.port) for _ in range(200)]
    assert await spoken(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "beside them") == 200
    for _, writer in idle:
        writer.close()


async def spoken(server: Server, octets: bytes, what: str) -> int:
    """The status that these bytes are answered with."""
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(octets)
        async with asyncio.timeout(15):
            with contextlib.suppress(ConnectionError):
                said = await reader.readline()
    finally:
        writer.close()
    assert said.startswith(b"HTTP/1."), f"{what}: {said!r}"
    return int(said.split()[1])


# ---- the process ---------------------------------------------------------------------------------------------------


async def test_a_second_server_on_the_same_store_is_refused_in_words_and_the_first_goes_on(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()

    code, said = await world.tocsin("serve", "--config", str(world.folder / "tocsin.toml"))

    assert code != 0
    assert "another server is running" in said
    assert "Traceback" not in said
    await told_once(world, client, document(world))


async def test_a_stop_under_load_leaves_nothing_leased_and_the_next_start_sends_the_rest_once(world: World) -> None:
    await world.smsc("first", answer_delay_s=0.2)
    await world.smtp()
    tables = world.ways_out(rate_per_s=30, mail_per_s=30)
    server, client = await world.up(tables)
    campaign = (await client.launch_alert(document(world)))["5301"]
    await until(lambda: len(world.segments()) >= 15)

    code = await server.end(signal.SIGTERM)

    assert code == 0
    assert "Traceback" not in server.said()
    before = len(world.segments())
    states = rows(world, "SELECT state, count(*) FROM batch GROUP BY state")
    assert BatchState.LEASED not in {state for state, _ in states}
    assert rows(world, "SELECT count(*) FROM delivery WHERE state NOT IN (0, 1, 3, 4)") == [(0,)], "none in doubt"
    again = await world.serve(world.folder / "tocsin.toml")
    client = world.client(again)
    await client.until_sent(campaign)
    assert before < len(world.segments())
    await everybody_once(world)
    assert (await client.report(campaign))["sums_close"]


def rows(world: World, statement: str, *values: object) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(world.folder / "tocsin.db", timeout=10)) as store, store:
        return store.execute(statement, values).fetchall()


async def test_names_that_would_break_rendering_stop_nobody_and_are_no_way_into_a_mail(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    _, client = await world.up()
    everyone = rows(world, "SELECT id FROM member ORDER BY id")
    for number, (member,) in enumerate(everyone[:30]):
        # The register refuses such names: this is what a broken import, or a hand in the database, could leave.
        evil = (EVIL * (1 + number % 3 * 200)).encode("utf-8", "surrogatepass")[: 40 + number * 200]
        rows(world, "UPDATE member SET name = CAST(? AS TEXT) WHERE id = ?", evil, member)

    campaign = (await client.launch_alert(document(world)))["5301"]

    await client.until_sent(campaign)
    await everybody_once(world)
    mails = await world.settled_mails()
    assert all("Bcc" not in got.body.partition("\n")[0] for got in mails)
    assert {got.address for got in mails}.isdisjoint({"everybody@example.org"})
    status, page = await client.get(f"/api/v1/campaigns/{campaign}/deliveries")
    assert status == 200
    assert page["deliveries"]


async def test_a_full_disk_takes_nothing_on_and_every_door_says_so(world: World) -> None:
    await world.smsc("first")
    await world.smtp()
    enough = world.settings(world.ways_out())
    await world.load(enough)
    full = world.settings(world.ways_out() | {"store": {"min_free_mib": 100_000_000}}, "full")
    server = await world.serve(full)
    client = world.client(server)
    coordinator = world.client(server, "coordinator-PLP-5301-1")

    status, body = await client.get("/readyz")
    refused, answer = await client.submit(document(world))
    composed, _ = await coordinator.post(
        "/api/v1/campaigns",
        {
            "zone": "5301",
            "kind": "info",
            "title": "x",
            "texts": [{"language": "nl", "email": "Hallo.", "subject": "x"}],
            "targets": {"networks": ["PLP-5301-1"]},
            "channels": ["email"],
            "terms_confirmed": True,
        },
    )
    code, said = await world.tocsin("status", "--config", str(full))

    assert (status, body["ready"]) == (503, False)
    assert [check["well"] for check in body["checks"] if check["name"] == "disk"] == [False]
    assert (refused, composed) == (503, 503)
    assert "disk" in answer["title"].lower()
    assert code == 1
    assert "THE DISK IS FULL" in said
    # With room again, the same bytes are accepted: nothing was burnt.
    assert await server.end() == 0
    client = world.client(await world.serve(enough))
    await world.until_ready(client)
    await told_once(world, client, document(world))
