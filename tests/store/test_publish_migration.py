"""Who was meant to publish before it was a right goes on publishing; nobody else begins to."""

import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine

from store.engine.database import open_database
from store.tables import account_right
from tests.store.test_money_migration import moved

_BEFORE, _AFTER = "0016", "0017"
_RIGHTS = [
    # account, zone, network, action, kind, channel
    (1, 1, None, "submit", "*", "*"),
    (1, 1, None, "read", "*", "*"),
    (1, None, None, "submit", "alert", "*"),
    (1, 1, 1, "submit", "preventive", "*"),
    (1, 1, None, "submit", "news", "email"),
    (2, 1, None, "submit", "*", "*"),
]


async def test_only_dispatch_centres_with_whole_zones_and_every_channel_publish(empty_url: str) -> None:
    await moved(empty_url, lambda config: command.upgrade(config, _BEFORE))
    engine = create_async_engine(empty_url)
    async with engine.begin() as conn:
        await conn.execute(
            sa.text("INSERT INTO zone (id, code, name, convention, policy) VALUES (1, 'z', '', 1, '{}')")
        )
        await conn.execute(sa.text("INSERT INTO network (id, zone_id, code, name) VALUES (1, 1, 'n', '')"))
        for id_, type_ in ((1, "cic"), (2, "officer")):
            values = {"id": id_, "code": f"a{id_}", "type": type_}
            await conn.execute(
                sa.text("INSERT INTO account (id, code, name, type) VALUES (:id, :code, '', :type)"), values
            )
        names = ("account_id", "zone_id", "network_id", "action", "kind", "channel")
        for right in _RIGHTS:
            insert = f"INSERT INTO account_right ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})"
            await conn.execute(sa.text(insert), dict(zip(names, right, strict=True)))
    await engine.dispose()

    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))

    columns = [account_right.c[n] for n in ("account_id", "zone_id", "network_id", "kind", "channel", "mode")]
    async with open_database(empty_url) as database, database.read() as conn:
        rows = await conn.execute(sa.select(*columns).where(account_right.c.action == "publish"))
        found = {tuple(row) for row in rows}
    assert found == {(1, 1, None, "*", "*", "*"), (1, None, None, "alert", "*", "*")}


async def test_the_way_back_leaves_the_rights_of_before(empty_url: str) -> None:
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))
    await moved(empty_url, lambda config: command.downgrade(config, _BEFORE))
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))
