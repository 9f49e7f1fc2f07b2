"""The expander: from frozen audiences to rows. One campaign that cannot be expanded stops no other, and a store that
is away ends nothing."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway import failed_work_rests
from gateway.dispatch import expander
from gateway.dispatch.expander import Expander
from store.campaigns import reading as campaigns
from store.engine.database import Database, open_database
from store.engine.schema import migrate
from store.errors import StoreUnavailable
from store.tables import audience, contact
from tests.gateway.dispatch.lanes import until
from tests.gateway.populated_store import House
from tests.peers.postgres import controlled_postgres, new_database

pytestmark = pytest.mark.timeout(120)

SMS, EMAIL = Channel.SMS, Channel.EMAIL


@pytest.fixture
async def house(database: Database) -> House:
    return await a_house(database)


async def a_house(database: Database) -> House:
    house = House(database)
    await house.zone("A")
    await house.account("officer")
    return house


async def launched(house: House, name: str, people: list[int], **changes: object) -> int:
    made = house.audience({SMS: people, EMAIL: people})
    [number] = await house.launch(1, house.campaign("A", 1, made, name, **changes))
    return number


def an_expander(database: Database) -> Expander:
    return Expander(database, {c: 500 for c in Channel}, lambda _: None)


@contextlib.asynccontextmanager
async def running(expander: Expander) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(expander.run())
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def rows(database: Database, campaign_id: int) -> int:
    async with database.read() as conn:
        return sum(s.deliveries for s in await campaigns.sums(conn, campaign_id))


async def until_made(database: Database, campaign_id: int, wanted: int) -> None:
    async with asyncio.timeout(30):
        while await rows(database, campaign_id) < wanted:  # noqa: ASYNC110 - another task's work, in the store
            await asyncio.sleep(0.02)


async def spoil(database: Database, campaign_id: int, how: str) -> None:
    """Nothing that the gateway writes; what a broken disk, or a hand in the database, could leave."""
    if how == "an audience that is none":
        await database.write(
            lambda tx: tx.run(sa.update(audience).where(audience.c.campaign_id == campaign_id).values(blob=b"broken"))
        )
    elif how == "no audience":
        await database.write(lambda tx: tx.run(sa.delete(audience).where(audience.c.campaign_id == campaign_id)))
    elif how == "a longer expansion":
        await database.write(
            lambda tx: tx.run(
                sa.text("UPDATE expansion SET size = size + 5 WHERE campaign_id = :c"), {"c": campaign_id}
            )
        )
    else:
        await database.write(lambda tx: tx.run(sa.delete(contact).where(contact.c.member_id == 1)))


@pytest.mark.parametrize(
    "how", ["an audience that is none", "no audience", "a longer expansion", "a contact that is gone"]
)
async def test_a_campaign_that_cannot_be_expanded_stops_no_other_and_is_tried_again_with_a_pause(
    house: House, database: Database, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(failed_work_rests, "FIRST_S", 3600.0)
    monkeypatch.setattr(failed_work_rests, "MOST_S", 3600.0)
    people = await house.people("A", 6)
    broken = await launched(house, "broken", people[:3])
    sound = [await launched(house, f"sound{n}", people[3:]) for n in range(3)]
    await spoil(database, broken, how)

    with caplog.at_level(logging.ERROR):
        async with running(an_expander(database)):
            for number in sound:
                await until_made(database, number, 6)
            later = await launched(house, "later", people[3:])
            await until_made(database, later, 6)

    told = [r for r in caplog.records if getattr(r, "action", "") == "expand-failed"]
    assert {getattr(r, "subject", None) for r in told} == {broken}
    assert len(told) <= 2, "it rests: once for each channel at most"


async def test_many_broken_campaigns_of_the_highest_priority_do_not_stand_before_the_others(
    house: House, database: Database
) -> None:
    people = await house.people("A", 3)
    for n in range(70):
        number = await launched(house, f"broken{n}", people)
        await spoil(database, number, "no audience")
    sound = await launched(house, "sound", people, priority=2)

    async with running(an_expander(database)):
        await until_made(database, sound, 6)


@pytest.mark.parametrize("where", [(campaigns, "audience_blob"), (expander, "expand")], ids=["read", "written"])
async def test_a_campaign_about_which_the_store_has_no_answer_stops_no_other(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]
) -> None:
    people = await house.people("A", 3)
    silent, sound = await launched(house, "silent", people), await launched(house, "sound", people)
    answered = getattr(*where)

    async def asked(conn: object, number: int, *rest: Any, **more: Any) -> Any:
        if number == silent:
            raise StoreUnavailable("no answer in time")
        return await answered(conn, number, *rest, **more)

    monkeypatch.setattr(*where, asked)

    assert await an_expander(database).step()

    assert (await rows(database, silent), await rows(database, sound)) == (0, 6)


async def test_a_campaign_that_is_mended_is_expanded(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_work_rests, "FIRST_S", 0.05)
    people = await house.people("A", 3)
    number = await launched(house, "c", people)
    blob = house.audience({SMS: people, EMAIL: people}).encode()
    await spoil(database, number, "an audience that is none")
    expander = an_expander(database)
    assert await expander.step() is False

    await database.write(lambda tx: tx.run(sa.update(audience).values(blob=blob)))

    async with running(expander):
        await until_made(database, number, 6)


async def test_below_the_watermark_of_the_disk_no_rows_are_made(house: House, database: Database) -> None:
    people = await house.people("A", 3)
    number = await launched(house, "c", people)
    room = False
    expander = Expander(database, {c: 500 for c in Channel}, lambda _: None, room_on_disk=lambda: room)

    assert await expander.step() is False
    assert await rows(database, number) == 0

    room = True
    assert await expander.step() is True
    assert await rows(database, number) == 6


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_dozen_long_readers_end_no_expander(
    store_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("store.engine.database._POOL_S", 0.05)
    async with open_database(store_url) as database:
        house = await a_house(database)
        people = await house.people("A", 3)
        async with contextlib.AsyncExitStack() as expanding:
            async with contextlib.AsyncExitStack() as reading:
                for _ in range(12):
                    await reading.enter_async_context(database.read())
                number = await launched(house, "c", people)
                await expanding.enter_async_context(running(an_expander(database)))
                await until(lambda: any(getattr(r, "action", "") == "expand-failed" for r in caplog.records))
            await until_made(database, number, 6)


@pytest.mark.peer
async def test_an_expander_survives_a_restart_of_its_database() -> None:
    with contextlib.ExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, controlled_postgres())
        url = await new_database(server.url, "expander")
        await migrate(url)
        async with open_database(url) as database:
            house = await a_house(database)
            people = await house.people("A", 3)
            async with running(an_expander(database)):
                before = await launched(house, "before", people)
                await until_made(database, before, 6)
                await asyncio.to_thread(server.break_off)
                await asyncio.to_thread(server.start)
                after = await launched(house, "after", people)
                await until_made(database, after, 6)
