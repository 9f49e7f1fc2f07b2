"""A store of before doubts were rows: who is in doubt in it stays so, and what comes in for them is heard."""

import asyncio

import sqlalchemy as sa
from alembic import command

from store.engine.database import open_database
from store.outbox import inbox
from store.outbox.inbox import ReceiptReport
from store.outbox.records import Settlement
from store.outbox.resending import Resending
from store.states import DeliveryEvent
from store.tables import doubt
from tests.store import makers as make
from tests.store.test_money_migration import moved

SHORT = Resending(wait_ms=300, most_attempts=3)


def one_doubt(made):
    return Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, "c1")


def number(made):
    return made.town.people[0].addresses["sms"]


async def receive(database, *reports):
    await database.write(lambda tx: inbox.record(tx, reports))


async def migrated_again(url):
    await moved(url, lambda config: command.downgrade(config, "0010"))
    await moved(url, lambda config: command.upgrade(config, "head"))


async def test_a_receipt_that_came_before_the_time_out_is_heard(store_url):
    async with open_database(store_url) as database:
        made = await make.a_campaign(database, 1)
        held = await make.must_claim(database, resending=SHORT)
        await make.advance(database, held)
        await asyncio.sleep(0.02)
        await receive(database, ReceiptReport("c1", "r", "delivered", 0, destination=number(made)))
        await asyncio.sleep(0.02)
        await make.give_back(database, held, [one_doubt(made)], resending=SHORT)
    await migrated_again(store_url)
    async with open_database(store_url) as database:
        await asyncio.sleep(0.35)
        await make.tick(database)
        held = await make.claim(database, resending=SHORT)
        assert held is None or held.rows == ()


async def test_one_that_is_about_to_be_sent_again_keeps_its_attempt(store_url):
    async with open_database(store_url) as database:
        made = await make.a_campaign(database, 1)
        await make.sent(database, answer=lambda ids: [one_doubt(made)])
        await make.tick(database)
        await make.give_back(database, await make.must_claim(database))  # RESEND; not handed over
    await migrated_again(store_url)
    async with open_database(store_url) as database, database.read() as conn:
        assert [tuple(r) for r in await conn.execute(sa.select(doubt.c.round, doubt.c.attempt))] == [(1, 1)]
