"""One stream for several topics: the state of each, again with every change, and resumed by what was shown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from channels.contract import Channel
from gateway.access.keys import Keyring, keys_of
from gateway.http.serving import make_context, runner_of
from store.access import accounts
from store.engine.database import Database
from store.outbox import holds
from store.states import DeliveryEvent
from tests.gateway.http.doorway import Doorway, doorway, events
from tests.gateway.populated_store import bearer

PATH = "/api/v1/events"


async def a_campaign(door: Doorway, zone: str = "A", name: str = "c1", n: int = 4) -> int:
    people = await door.house.people(zone, n)
    audience = door.house.audience({Channel.SMS: people})
    [number] = await door.house.launch(1, door.house.campaign(zone, 1, audience, name))
    await door.house.expand(number, audience)
    return number


@contextlib.asynccontextmanager
async def opened(
    door: Doorway, topics: str, key: str = "a", seen: str | None = None
) -> AsyncIterator[tuple[aiohttp.ClientResponse, AsyncIterator[dict[str, Any]]]]:
    headers = bearer(key) | ({"Last-Event-ID": seen} if seen is not None else {})
    async with door.session.get(door.url + PATH, params={"topics": topics}, headers=headers) as response:
        yield response, events(response)


async def following(stream: AsyncIterator[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(5):
        return [await anext(stream) for _ in range(n)]


@contextlib.asynccontextmanager
async def another_node(door: Doorway) -> AsyncIterator[Doorway]:
    """A second door over the same store, which says that it lives ten times a second."""
    runner = runner_of(replace(make_context(door.door.services), heartbeat_s=0.1))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield replace(door, url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def test_each_topic_is_told_at_once_and_again_when_it_changes(door: Doorway):
    first, second = await a_campaign(door, name="c1"), await a_campaign(door, name="c2")
    async with opened(door, "campaign:c1,campaigns,campaign:c2") as (response, stream):
        told = await following(stream, 3)
        await door.house.settle(second, (0, DeliveryEvent.ACCEPTED))
        [change] = await following(stream, 1)
        await a_campaign(door, name="c3")
        [launched] = await following(stream, 1)

    assert response.headers["Content-Type"] == "text/event-stream"
    assert {(one["event"], one["data"]["topic"]) for one in told} == {
        ("campaign", "campaign:c1"), ("campaign", "campaign:c2"), ("list", "campaigns"),
    }  # fmt: skip
    assert (change["data"]["topic"], change["data"]["state"]["channels"][0]["accepted"]) == ("campaign:c2", 1)
    assert launched["data"] == {"topic": "campaigns", "state": {"href": "/api/v1/campaigns"}}
    assert first != second


async def test_a_hold_that_is_placed_is_told_to_who_operates(door: Doorway):
    async with opened(door, "holds") as (_, stream):
        [first] = await following(stream, 1)
        await door.house.database.write(lambda tx: holds.place(tx, "channel", "sms", "wrong sender", "op"))
        [again] = await following(stream, 1)

    assert first["data"] == again["data"] == {"topic": "holds", "state": {"href": "/api/v1/holds"}}
    assert first["id"] != again["id"]


async def test_who_comes_back_is_sent_what_differs_and_nothing_else(door: Doorway):
    await a_campaign(door, name="c1")
    second = await a_campaign(door, name="c2")
    topics = "campaign:c1,campaign:c2,campaigns"
    async with opened(door, topics) as (_, stream):
        seen = (await following(stream, 3))[-1]["id"]
    await door.house.settle(second, (0, DeliveryEvent.ACCEPTED))

    async with opened(door, topics, seen=seen) as (_, stream):
        [changed] = await following(stream, 1)
        await a_campaign(door, name="c3")
        [after] = await following(stream, 1)

    assert changed["data"]["topic"] == "campaign:c2"
    assert after["data"]["topic"] == "campaigns"


async def test_another_node_goes_on_where_the_first_one_stood(door: Doorway):
    await a_campaign(door, name="c1")
    async with opened(door, "campaign:c1,campaigns") as (_, stream):
        seen = (await following(stream, 2))[-1]["id"]

    async with another_node(door) as other, opened(other, "campaign:c1,campaigns", seen=seen) as (_, stream):
        said = await following(stream, 2)

    assert said == [{"comment": True}, {"comment": True}]


@pytest.mark.parametrize("seen", ["", "x" * 7_000, "campaign:c1=9e9", "campaign:c1=1.running,,=", "campaigns=0."])
async def test_an_id_that_is_none_of_ours_is_a_first_look(door: Doorway, seen: str):
    await a_campaign(door, name="c1")
    async with opened(door, "campaign:c1", seen=seen) as (response, stream):
        [told] = await following(stream, 1)

    assert response.status == 200
    assert told["data"]["topic"] == "campaign:c1"


@pytest.mark.parametrize(
    ("topics", "status"),
    [
        ("", 400),
        ("weather", 400),
        ("campaign:", 400),
        ("campaign:c1,", 400),
        (",".join(f"campaign:c{n}" for n in range(21)), 400),
        ("campaign:c1," * 400, 400),
        ("campaign:nothing", 404),
        ("campaign:of-b", 404),
        ("campaigns,campaign:of-b", 404),
    ],
)
async def test_a_topic_that_is_none_or_not_to_be_seen_opens_no_stream(door: Doorway, topics: str, status: int):
    await a_campaign(door, name="c1")
    await a_campaign(door, "B", "of-b")

    answer = await door.get(PATH, "a", params={"topics": topics}, headers={"Accept-Language": "fr"})

    assert answer.status == status
    assert answer.headers["Content-Language"].startswith("fr")
    assert door.door.progress_watch.watchers == 0


async def test_twenty_topics_are_one_stream_of_their_account_and_one_poller_each(door: Doorway):
    for n in range(20):
        await a_campaign(door, name=f"c{n}", n=1)
    topics = ",".join(f"campaign:c{n}" for n in range(20))

    async with opened(door, topics) as (_, one), opened(door, topics) as (_, two):
        told = await following(one, 20) + await following(two, 20)
        watchers = door.door.progress_watch.watchers

    assert len({each["data"]["topic"] for each in told}) == 20
    assert watchers == 2


async def test_an_account_that_may_read_nowhere_cannot_watch_the_list(door: Doorway):
    assert (await door.get(PATH, "none", params={"topics": "campaigns"})).status == 403
    assert (await door.get(PATH, "none", params={"topics": "holds"})).status == 403


# ---- what ends a stream --------------------------------------------------------------------------------------------


@pytest.fixture
async def forgetful(database: Database) -> AsyncIterator[Doorway]:
    """A door that believes a key for a twentieth of a second, and looks at its streams as often."""
    async with doorway(database, keyring=Keyring(keys_of(database), life_s=0.05), heartbeat_s=0.05) as opened:
        yield opened


async def with_rights(door: Doorway, *rights: tuple[str, str | None]) -> None:
    """Of account `a` these are all from now on."""
    await door.house.account("a", *rights)


async def ended(stream: AsyncIterator[dict[str, Any]]) -> None:
    """Returns when the stream has come to its end, whatever is told until then."""
    async with asyncio.timeout(5):
        async for _ in stream:
            pass


@pytest.mark.parametrize("topics", ["campaign:c1", "campaigns", "holds"])
@pytest.mark.parametrize("by", ["the key is revoked", "the account is disabled"])
async def test_a_stream_ends_with_its_key_and_with_its_account(forgetful: Doorway, topics: str, by: str):
    await a_campaign(forgetful)
    async with opened(forgetful, topics) as (_, stream):
        await following(stream, 1)
        if by == "the key is revoked":
            await forgetful.house.database.write(lambda tx: accounts.revoke_key(tx, "a"))
        else:
            await forgetful.house.database.write(lambda tx: accounts.set_disabled(tx, "a", True))
        await ended(stream)

    assert (await forgetful.get(PATH, "a", params={"topics": topics})).status == 401


@pytest.mark.parametrize(
    ("topics", "left", "status"),
    [
        ("campaigns", [("operate", "A")], 403),
        ("holds", [("read", "A")], 403),
        ("campaign:c1", [("operate", "A")], 404),
        ("campaign:c1", [("read", "B")], 404),
        ("holds,campaign:c1", [("operate", "A")], 404),
    ],
)
async def test_a_stream_ends_with_the_right_to_one_of_its_topics(
    forgetful: Doorway, topics: str, left: list[tuple[str, str]], status: int
):
    await a_campaign(forgetful)
    async with opened(forgetful, topics) as (_, stream):
        await following(stream, 1)
        await with_rights(forgetful, *left)
        await ended(stream)

    assert (await forgetful.get(PATH, "a", params={"topics": topics})).status == status


async def test_who_sees_more_zones_than_before_opens_the_lists_anew(forgetful: Doorway):
    async with opened(forgetful, "campaigns") as (_, stream):
        await following(stream, 1)
        await with_rights(forgetful, ("read", "A"), ("read", "B"))
        await ended(stream)

    async with opened(forgetful, "campaigns") as (_, stream):
        [before] = [one for one in await following(stream, 1) if "id" in one]
        await a_campaign(forgetful, "B", "of-b")
        async with asyncio.timeout(5):
            after = await anext(one async for one in stream if "id" in one)

    assert before["id"] != after["id"]


async def test_a_stream_goes_on_when_rights_that_it_does_not_need_are_taken(forgetful: Doorway):
    number = await a_campaign(forgetful)
    async with opened(forgetful, "campaign:c1") as (_, stream):
        await following(stream, 1)
        await with_rights(forgetful, ("read", "A"))
        await following(stream, 5)  # of its comments: its key is looked up again meanwhile
        await forgetful.house.settle(number, (0, DeliveryEvent.ACCEPTED))
        async with asyncio.timeout(5):
            news = await anext(one async for one in stream if "id" in one)

    assert news["data"]["state"]["channels"][0]["accepted"] == 1


async def test_of_holds_only_those_of_ones_own_zones_and_of_all_are_told(door: Doorway):
    async def hold(scope: str, subject: str) -> None:
        await door.house.database.write(lambda tx: holds.place(tx, scope, subject, "wrong sender", "op"))

    async with opened(door, "holds", "a") as (_, of_a), opened(door, "holds", "b") as (_, of_b):
        first = [(await following(stream, 1))[0]["id"] for stream in (of_a, of_b)]
        await hold("zone", str(door.house.zones["B"]))
        [told_b] = await following(of_b, 1)
        async with opened(door, "holds", "a") as (_, anew):
            [still] = await following(anew, 1)
        await hold("channel", "sms")
        [told_a], [again_b] = await following(of_a, 1), await following(of_b, 1)

    assert first[0] == first[1] == still["id"]
    assert len({first[0], told_a["id"], told_b["id"], again_b["id"]}) == 4
