"""The free broadcast of a whole gateway: what is public is published once, signed, in every form, and nothing else is.

A real server in a process of its own, on its own store; killed and started again with another key.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate
from lxml import etree

import cap
from cap.signing import Standing, verify
from cap.trust import Trust
from tests.acceptance.world import Client, Server, World, alert, opened, reference
from tests.cap.certificates import certificate, ec_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FEEDS = ("/cap/feed.atom", "/cap/feed.atom?full=1", "/cap/feed.rss", "/cap/active.geojson")
WHERE = "PLP-5301-1"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=20)
        await made.smsc("first")
        await made.smtp()
        yield made


def a_key(folder: Path, name: str) -> tuple[dict[str, Any], Certificate]:
    """Settings with a feed key of this name, and its certificate."""
    key, now = ec_key(), datetime.now(UTC)
    mine = certificate(key, f"{name}.example", start=now - timedelta(days=1), end=now + timedelta(days=1))
    (folder / f"{name}.crt").write_bytes(mine.public_bytes(Encoding.PEM))
    (folder / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    alerts = {"feed_certificate": str(folder / f"{name}.crt"), "feed_key": f"file:{folder / f'{name}.pem'}"}
    return {"alerts": alerts | {"park_s": 600.0}}, mine


def standing(document: bytes, of: Certificate) -> Standing:
    return verify(document, Trust((of,)), datetime.now(UTC)).standing


async def read(client: Client, path: str) -> tuple[bytes, str]:
    """Body and tag. A feed that a cache may hold for 5 s is a second old at most."""
    async with client.session.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.read(), response.headers["ETag"]


async def names(client: Client) -> list[list[str]]:
    """The identifiers that each feed shows."""
    atom, full, rss, shown = [(await read(client, path))[0] for path in FEEDS]
    documents = [cap.read(d).alert for d in await client.published()]
    whole = etree.fromstring(full).iterfind(".//{urn:oasis:names:tc:emergency:cap:1.2}identifier")
    assert len(etree.fromstring(atom).findall("{*}entry")) == len(documents)
    return [
        [a.identifier for a in documents if a is not None],
        [str(element.text) for element in whole],
        [str(element.text) for element in etree.fromstring(rss).iterfind(".//guid")],
        sorted({f["properties"]["identifier"] for f in json.loads(shown)["features"]}),
    ]


async def until_shown(client: Client, *wanted: str, on_map: tuple[str, ...] | None = None) -> None:
    """Until each feed shows these; the map in the order of their names."""
    shown: list[list[str]] = []
    expected = [list(wanted)] * 3 + [sorted(wanted if on_map is None else on_map)]
    try:
        async with asyncio.timeout(10):
            while True:
                shown = await names(client)
                if shown == expected:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"the feeds show {shown}") from None


async def test_what_is_public_is_published_once_for_all_in_every_form_and_leaves_when_it_is_over(world: World) -> None:
    old_settings, old = a_key(world.folder, "old")
    server, client = await world.up(world.ways_out() | old_settings)
    ring = world.ring(WHERE)

    # An alert, signed by the gateway when it is published.
    first = alert({"here": ring}, identifier="first")
    await client.launch_alert(first)
    await until_shown(client, "first")
    [published] = await client.published()
    assert standing(published, old) is Standing.VERIFIED
    assert cap.read(published).alert == cap.read(first).alert

    # One that expires in a moment: it leaves by the clock.
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
    await client.launch_alert(alert({"here": ring}, identifier="short", expires=expires))
    await until_shown(client, "short", "first")
    tags = {path: (await read(client, path))[1] for path in FEEDS}
    async with asyncio.timeout(20):
        while datetime.now(UTC) < expires:  # noqa: ASYNC110 - it is the clock that is waited for
            await asyncio.sleep(0.2)
    await until_shown(client, "first")
    later = {path: (await read(client, path))[1] for path in FEEDS}
    assert all(later[path] != tag for path, tag in tags.items())

    # The server is killed; it comes back with another key. What was published stays as it was.
    await server.kill()
    new_settings, new = a_key(world.folder, "new")
    _, client = await world.up(world.ways_out() | new_settings)
    assert await client.published() == [published]

    # An Update takes its place, under the new key; a Cancel ends both, and is no area of a map.
    update = alert({"here": ring}, identifier="update", msg_type="Update", references=reference(first))
    await client.launch_alert(update)
    await until_shown(client, "update")
    assert standing((await client.published())[0], new) is Standing.VERIFIED
    cancel = alert({"here": ring}, identifier="cancel", msg_type="Cancel", references=reference(update))
    assert (await client.submit(cancel))[0] == 202
    await until_shown(client, "cancel", on_map=())

    # The heartbeat names it.
    beat = cap.read((await read(client, "/cap/heartbeat.xml"))[0])
    assert beat.accepted
    assert beat.alert is not None
    assert [r.identifier for r in beat.alert.references] == ["cancel"]


async def test_nothing_else_is_ever_published(world: World) -> None:
    """Exercise, Test and System messages, what is Restricted or Private, what is refused and what is parked."""
    _, client = await world.up(world.ways_out())
    ring = world.ring(WHERE)
    public = "<scope>Public</scope>"
    hidden = {
        "exercise": (202, alert({"here": ring}, identifier="exercise", status="Exercise", note="drill")),
        "test": (202, alert({"here": ring}, identifier="test", status="Test")),
        "system": (202, alert({"here": ring}, identifier="system", status="System")),
        "draft": (202, alert({"here": ring}, identifier="draft", status="Draft")),
        "private": (202, alert({"here": ring}, identifier="private", addresses=f"plp:{WHERE}")),
        "restricted": (
            202,
            alert({"here": ring}, identifier="restricted").replace(
                public.encode(), b"<scope>Restricted</scope><restriction>members</restriction>"
            ),
        ),
        "refused": (422, alert({"here": ring}, identifier="refused", kind="nonsense")),
        "invalid": (422, alert({"here": "50,4 50,5"}, identifier="invalid")),
        "parked": (
            202,
            alert(
                {"here": ring}, identifier="parked", msg_type="Update",
                references="cic@police.example,not-here,2026-01-02T03:04:05-00:00",
            ),
        ),
    }  # fmt: skip
    locations = {}
    for name, (status, document) in hidden.items():
        answered, body = await client.submit(document)
        assert answered == status, (name, body)
        locations[name] = body.get("location", "")
    await client.launch_alert(alert({"here": ring}, identifier="shown"))
    await until_shown(client, "shown")

    await asyncio.sleep(1.5)  # longer than the publisher waits between two looks

    assert await names(client) == [["shown"]] * 4
    for path in FEEDS:
        body = (await read(client, path))[0]
        assert not any(name.encode() in body for name in hidden), path
    for name, location in locations.items():
        status, _ = await client.raw(f"/cap/alerts/{location.rpartition('/')[2]}.xml")
        assert status == 404, name


async def test_the_stream_has_every_alert_once_over_a_restart_and_the_original_stays_readable(world: World) -> None:
    settings, _ = a_key(world.folder, "feed")
    server, client = await world.up(world.ways_out() | settings)
    ring = world.ring(WHERE)
    enclosed = alert({"here": ring}, identifier="one").replace(
        b"<area>",
        b"<resource><resourceDesc>Photo</resourceDesc><mimeType>image/png</mimeType><derefUri>YWJj</derefUri></resource>"
        b"<area>",
    )

    async with asyncio.timeout(30), stream(server, None) as events:
        opened_ = await anext(events)
        status, answered = await client.submit(enclosed)
        one = await anext(events)
    await server.kill()
    server, client = await world.up(world.ways_out() | settings)
    await client.launch_alert(alert({"here": ring}, identifier="two"))
    async with asyncio.timeout(30), stream(server, one["id"]) as events:
        again, two = await anext(events), await anext(events)

    assert status == 202
    assert (opened_["event"], opened_["id"]) == ("open", "0")
    assert (one["event"], one["id"], one["data"]["identifier"]) == ("alert", "1", "one")
    assert (again["event"], again["data"]["missed"]) == ("open", False)
    assert (two["event"], two["id"], two["data"]["identifier"]) == ("alert", "2", "two")
    _, published = await client.raw(one["data"]["url"])
    _, original = await client.raw(f"{answered['location']}/document")
    assert b"derefUri" not in published
    assert original == enclosed
    stranger = world.client(server, "")
    assert (await stranger.raw(f"{answered['location']}/document"))[0] == 401
    assert (await stranger.raw(one["data"]["url"]))[1] == published


@contextlib.asynccontextmanager
async def stream(server: Server, seen: str | None) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    headers = {} if seen is None else {"Last-Event-ID": seen}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{server.url}/cap/stream", headers=headers) as response,
    ):
        yield changes(response)


async def changes(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Events without comments and heartbeats."""
    fields: dict[str, Any] = {}
    async for raw in response.content:
        name, _, value = raw.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = json.loads(value) if name == "data" else value
        elif fields.get("event") in ("open", "alert", "ended"):
            yield fields
            fields = {}
        else:
            fields = {}
