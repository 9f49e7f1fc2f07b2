"""Campaigns of before keep their zone, thread and account; back before notices, those go with all that is theirs."""

import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine

from store.engine.database import open_database
from store.notices import telling
from store.notices.telling import NewDelivery, NewNotice
from store.outbox.records import NewText
from store.tables import batch, campaign, campaign_text, carrier_ref, delivery, notice, progress
from tests.store import makers as make
from tests.store.test_money_migration import moved

BEFORE = "0029"
OWN = {"batch": batch, "campaign": campaign, "delivery": delivery, "carrier_ref": carrier_ref, "progress": progress}


async def a_notice(tx):
    new = NewNotice(
        public_id="n1", subject="reset", mode="live", priority=1, life_ms=make.HOUR_MS, horizon_ms=make.HOUR_MS,
        texts=(NewText("sms", "nl", "{}", 1, 0),), deliveries=(NewDelivery("sms", "+32470000001", "nl"),),
    )  # fmt: skip
    place = await telling.claim(tx, "reset", None, 1)
    return await telling.file(tx, place.id, new, 0)


async def counted(conn):
    tables = [*OWN.values(), campaign_text]
    return {t.name: (await conn.execute(sa.text(f"SELECT count(*) FROM {t.name}"))).scalar() for t in tables}


async def test_back_and_forth_a_campaign_of_a_zone_stays_whole_and_a_notice_goes(empty_url: str) -> None:
    await moved(empty_url, lambda config: command.upgrade(config, "head"))
    async with open_database(empty_url) as database:
        made = await make.a_campaign(database, 3)
        await make.sent(database)
        async with database.read() as conn:
            before = await counted(conn)
        await database.write(a_notice)
        await make.sent(database)
        async with database.read() as conn:
            assert all(n > before[name] for name, n in (await counted(conn)).items())

    await moved(empty_url, lambda config: command.downgrade(config, BEFORE))
    engine = create_async_engine(empty_url)
    async with engine.begin() as conn:
        assert await counted(conn) == before
    await engine.dispose()

    await moved(empty_url, lambda config: command.upgrade(config, "head"))
    async with open_database(empty_url) as database:
        async with database.read() as conn:
            row = (await conn.execute(sa.select(campaign))).one()
            assert (row.zone_id, row.account_id, row.thread_id is None) == (made.town.zone_id, 1, False)
            assert (await conn.execute(sa.select(notice))).all() == []
        assert await make.words_of(database, made) == ["accepted"] * 3
        assert await database.write(a_notice) > made.id
