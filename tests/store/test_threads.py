"""Threads: where everything stands, what of two decisions on one state holds, and two threads that become one."""

import asyncio

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

from store.campaigns import alerts, threads
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch, launch
from store.engine import schema
from store.engine.revision import MIGRATIONS
from store.errors import StaleThread
from store.outbox.records import ThreadSeen
from store.tables import alert, campaign, thread
from tests.store import makers as make
from tests.store.test_feed import migrated_to


async def launched(database, decision):
    return await database.write(lambda tx: launch(tx, decision))


async def an_alert(database, town, **changes):
    """An alert with a campaign: (alert's id, campaign's id, thread's id)."""
    new = make.an_alert(town.account_id)
    made = await make.a_campaign(database, town, alert=new, expand=False, **changes)
    async with database.read() as conn:
        filed = await alerts.by_public_id(conn, new.public_id)
    return filed.id, made.id, filed.thread_id


async def seen(database, *thread_ids):
    async with database.read() as conn:
        return await threads.seen(conn, thread_ids)


async def thread_rows(database):
    async with database.read() as conn:
        return [(row.id, row.state) for row in (await conn.execute(sa.select(thread).order_by(thread.c.id))).all()]


async def placed(database):
    """table -> the thread of each of its rows, in order."""
    async with database.read() as conn:
        return {
            t.name: [row.thread_id for row in (await conn.execute(sa.select(t.c.thread_id).order_by(t.c.id))).all()]
            for t in (alert, campaign)
        }


async def follow_up(database, town, seen, *, msg_type="Update", alert_ends=(), replaces=(), **changes):
    """A decision on these threads as they were seen. `replaces`: campaigns that end."""
    ended = "cancelled" if msg_type == "Cancel" else "superseded"
    new = make.a_new_campaign(
        town, await make.now_ms(database), purpose=msg_type.lower(), replaces=tuple(replaces), **changes
    )
    return Launch(
        account_id=town.account_id,
        alert=make.an_alert(
            town.account_id, msg_type=msg_type, state="cancelled" if ended == "cancelled" else "active"
        ),
        campaigns=(new,),
        ends=tuple((c, ended) for c in replaces),
        alert_ends=tuple((a, ended) for a in alert_ends),
        threads=tuple(seen),
    )


# ---- where everything stands -------------------------------------------------------------------------------------


async def test_an_alert_and_its_campaigns_begin_a_thread_and_a_composed_message_has_one_of_its_own(database):
    town = await make.a_town(database, 1)
    composed = await make.a_campaign(database, town, expand=False)
    alert_id, campaign_id, thread_id = await an_alert(database, town)

    async with database.read() as conn:
        assert [a.id for a in await alerts.thread(conn, thread_id)] == [alert_id]
        assert [c.id for c in await campaigns.of_thread(conn, thread_id)] == [campaign_id]
        own = (await campaigns.by_id(conn, composed.id)).thread_id
        assert [c.id for c in await campaigns.of_thread(conn, own)] == [composed.id]
        assert own != thread_id


async def test_two_composed_messages_have_nothing_to_do_with_one_another(database):
    town = await make.a_town(database, 1)
    for _ in range(2):
        await make.a_campaign(database, town, expand=False)

    first, second = (await placed(database))["campaign"]
    assert first != second


async def test_what_replaces_a_composed_message_stands_in_its_thread(database):
    town = await make.a_town(database, 1)
    old = await make.a_campaign(database, town, expand=False)

    await make.a_campaign(database, town, expand=False, purpose="update", replaces=(old.id,))

    first, second = (await placed(database))["campaign"]
    assert first == second


# ---- two decisions on one state ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["Update", "Cancel"])
@pytest.mark.parametrize("second", ["Update", "Cancel"])
async def test_of_two_decisions_on_one_state_of_a_thread_one_holds_and_the_other_is_made_anew(database, first, second):
    """Nothing in the thread is active: no alert's state would tell the second that it comes too late."""
    town = await make.a_town(database, 1)
    _, campaign_id, thread_id = await an_alert(database, town)
    as_it_was = await seen(database, thread_id)
    decisions = [
        await follow_up(database, town, as_it_was, msg_type=word, replaces=[campaign_id]) for word in (first, second)
    ]

    results = await asyncio.gather(*(launched(database, d) for d in decisions), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["Launched", "StaleThread"]
    async with database.read() as conn:
        assert len(await campaigns.of_thread(conn, thread_id)) == 2
        assert len(await alerts.thread(conn, thread_id)) == 2


async def test_nothing_follows_a_cancel_whatever_its_decision_had_seen(database):
    town = await make.a_town(database, 1)
    old = await make.a_campaign(database, town, expand=False)
    [thread_id] = (await placed(database))["campaign"]
    cancel = make.a_new_campaign(town, await make.now_ms(database), purpose="cancel", replaces=(old.id,))
    await launched(database, Launch(account_id=town.account_id, alert=None, campaigns=(cancel,)))
    assert await thread_rows(database) == [(thread_id, "cancelled")]

    again = msgspec.structs.replace(cancel, public_id="again")
    unseen = Launch(account_id=town.account_id, alert=None, campaigns=(again,))
    for late in (
        unseen,
        msgspec.structs.replace(unseen, threads=await seen(database, thread_id)),
        await follow_up(database, town, [ThreadSeen(thread_id)]),
        Launch(
            account_id=town.account_id,
            alert=make.an_alert(town.account_id, thread_id=thread_id, msg_type="Cancel", state="cancelled"),
            campaigns=(),
        ),
    ):
        with pytest.raises(StaleThread):
            await launched(database, late)
    assert len((await placed(database))["campaign"]) == 2


async def test_what_is_only_filed_in_a_thread_takes_no_decision_away_and_is_kept_after_its_end(database):
    """A latecomer stands beside what it is about, and changes nothing."""
    town = await make.a_town(database, 1)
    _, campaign_id, thread_id = await an_alert(database, town)
    as_it_was = await seen(database, thread_id)
    latecomers = [
        Launch(account_id=town.account_id, alert=make.an_alert(town.account_id, state="logged"), campaigns=(),
               threads=as_it_was)
        for _ in range(2)
    ]  # fmt: skip

    await launched(database, latecomers[0])
    await launched(database, await follow_up(database, town, as_it_was, msg_type="Cancel", replaces=[campaign_id]))
    await launched(database, latecomers[1])

    assert (await placed(database))["alert"] == [thread_id] * 4


# ---- two threads that become one ---------------------------------------------------------------------------------


async def test_two_threads_become_the_older_one_with_all_that_stood_in_either(database):
    town = await make.a_town(database, 1)
    one, other, bystander = [await an_alert(database, town) for _ in range(3)]
    await make.a_campaign(database, town, expand=False, purpose="update", replaces=(other[1],))
    both = await seen(database, other[2], one[2])
    update = await follow_up(database, town, both, alert_ends=[one[0], other[0]], replaces=[one[1]])

    made = await launched(database, update)

    assert await placed(database) == {
        "alert": [one[2], one[2], bystander[2], one[2]],
        "campaign": [one[2], one[2], bystander[2], one[2], one[2]],
    }
    assert await thread_rows(database) == [(one[2], "open"), (bystander[2], "open")]
    async with database.read() as conn:
        ended = {a.id: a.state for a in await alerts.thread(conn, one[2])}
    assert ended == {one[0]: "superseded", other[0]: "superseded", made.alert_id: "active"}


async def test_who_decided_on_a_thread_that_is_part_of_another_now_decides_again(database):
    """Its number is never that of another thread: a decision could stand in the wrong one."""
    town = await make.a_town(database, 1)
    one, other = [await an_alert(database, town) for _ in range(2)]
    before = await seen(database, other[2])
    await launched(database, await follow_up(database, town, await seen(database, one[2], other[2])))
    newcomer = await an_alert(database, town)

    assert newcomer[2] not in (one[2], other[2])
    with pytest.raises(StaleThread):
        await launched(database, await follow_up(database, town, before))
    with pytest.raises(StaleThread):
        await launched(
            database,
            Launch(account_id=town.account_id, alert=make.an_alert(town.account_id), campaigns=(), threads=before),
        )


async def test_a_thread_that_was_cancelled_meanwhile_is_not_woken_by_joining_another(database):
    town = await make.a_town(database, 1)
    one, other = [await an_alert(database, town) for _ in range(2)]
    both = await seen(database, one[2], other[2])
    await launched(
        database,
        await follow_up(database, town, await seen(database, other[2]), msg_type="Cancel", replaces=[other[1]]),
    )

    with pytest.raises(StaleThread):
        await launched(database, await follow_up(database, town, both))

    assert await thread_rows(database) == [(one[2], "open"), (other[2], "cancelled")]


async def test_messages_that_name_two_threads_in_either_order_do_not_stand_in_each_others_way(database):
    town = await make.a_town(database, 1)
    for _ in range(5):
        one, other = [await an_alert(database, town) for _ in range(2)]
        there = await seen(database, one[2], other[2])
        decisions = [
            await follow_up(database, town, order, replaces=[made[1]])
            for order, made in ((there, one), (there[::-1], other))
        ]

        async with asyncio.timeout(10):
            results = await asyncio.gather(*(launched(database, d) for d in decisions), return_exceptions=True)

        assert sorted(type(result).__name__ for result in results) == ["Launched", "StaleThread"]


async def test_an_alert_that_waited_leaves_no_thread_behind(database):
    town = await make.a_town(database, 1)
    waiting = make.an_alert(town.account_id, msg_type="Update", state="parked", references=(("s", "first", 1),))
    filed = await launched(database, Launch(account_id=town.account_id, alert=waiting, campaigns=()))
    _, _, thread_id = await an_alert(database, town)
    come = await seen(database, thread_id)

    async def work(tx):
        assert await alerts.remove_parked(tx, filed.alert_id)
        again = msgspec.structs.replace(waiting, state="active")
        return await launch(tx, Launch(account_id=town.account_id, alert=again, campaigns=(), threads=come))

    await database.write(work)

    assert (await placed(database))["alert"] == [thread_id] * 2
    assert [row[0] for row in await thread_rows(database)] == [thread_id]


# ---- what was there before threads were --------------------------------------------------------------------------

_ALERTS = (
    # (id, thread, state)
    (3, 3, "superseded"),
    (5, 3, "active"),
    (6, None, "parked"),
    (7, 7, "cancelled"),
    (8, 7, "cancelled"),
    (9, 9, "expired"),
)
_CAMPAIGNS = ((1, 3), (2, 5), (3, None), (4, 7), (5, None))
"""(id, alert)."""


async def an_old_store(url):
    await migrated_to(url, "0012")
    engine = create_async_engine(url)
    async with engine.begin() as conn:
        await conn.execute(sa.text("INSERT INTO account (id, code, name, type) VALUES (1, 'a', 'A', 'cic')"))
        await conn.execute(
            sa.text("INSERT INTO zone (id, code, name, convention, policy) VALUES (1, 'z', 'Z', 1, '{}')")
        )
        for number, thread_id, state in _ALERTS:
            await conn.execute(
                sa.text(
                    "INSERT INTO alert (id, public_id, sender, identifier, sent_ms, status, msg_type, scope, document,"
                    " sha256, account_id, received_ms, thread_id, state) VALUES (:n, :name, 's', :name, 1, 'Actual',"
                    " 'Alert', 'Public', :document, '', 1, 1, :thread, :state)"
                ),
                {"n": number, "name": f"a{number}", "document": b"bytes", "thread": thread_id, "state": state},
            )
        for number, alert_id in _CAMPAIGNS:
            await conn.execute(
                sa.text(
                    "INSERT INTO campaign (id, public_id, zone_id, alert_id, account_id, purpose, title, kind, mode,"
                    " state, priority, crash_policy, created_ms, starts_ms, expires_ms, horizon_ms, targets)"
                    " VALUES (:n, :name, 1, :alert, 1, 'alert', 't', 'alert', 'live', 'running', 0, 'resend',"
                    " 1, 1, 1, 1, '{}')"
                ),
                {"n": number, "name": f"c{number}", "alert": alert_id},
            )
        await conn.execute(sa.text("INSERT INTO alert_zone (alert_id, zone_id, campaign_id) VALUES (3, 1, 1)"))
        await conn.execute(sa.text("INSERT INTO feed_entry (alert_id, published_ms) VALUES (3, 1)"))
    await engine.dispose()


async def ask(url, *statements):
    engine = create_async_engine(url)
    async with engine.connect() as conn:
        found = [[tuple(row) for row in (await conn.execute(sa.text(s))).all()] for s in statements]
        if engine.dialect.name == "sqlite":
            assert (await conn.execute(sa.text("PRAGMA foreign_key_check"))).all() == []
    await engine.dispose()
    return found


_WHERE = ("SELECT id, thread_id FROM alert ORDER BY id", "SELECT id, thread_id FROM campaign ORDER BY id")


async def test_what_was_kept_before_gets_its_threads_and_the_next_one_is_new(empty_url):
    await an_old_store(empty_url)

    await schema.migrate(empty_url)

    of_alerts, of_campaigns, rows = await ask(empty_url, *_WHERE, "SELECT id, state FROM thread ORDER BY id")
    assert of_alerts == [(3, 3), (5, 3), (6, 6), (7, 7), (8, 7), (9, 9)]
    assert of_campaigns == [(1, 3), (2, 3), (3, 12), (4, 7), (5, 14)]
    assert rows == [(3, "open"), (6, "open"), (7, "cancelled"), (9, "open"), (12, "open"), (14, "open")]
    engine = create_async_engine(empty_url)
    async with engine.begin() as conn:
        assert (await conn.execute(sa.insert(thread).returning(thread.c.id))).scalar_one() > 14
    await engine.dispose()


async def test_a_store_without_anything_in_it_gets_threads_too(empty_url):
    await migrated_to(empty_url, "0012")

    await schema.migrate(empty_url)

    assert await ask(empty_url, "SELECT count(*) FROM thread") == [[(0,)]]


async def test_going_back_alerts_name_the_first_of_their_thread_again(empty_url):
    await an_old_store(empty_url)
    await migrated_to(empty_url, "0013")
    before = await ask(empty_url, "SELECT id, thread_id FROM alert ORDER BY id")

    await migrated_back_to(empty_url, "0012")

    assert await ask(empty_url, "SELECT id, thread_id FROM alert ORDER BY id") == before
    await schema.migrate(empty_url)
    assert await ask(empty_url, "SELECT id, thread_id FROM alert ORDER BY id") == before


async def migrated_back_to(url, revision):
    def downgrade(connection):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    engine = create_async_engine(url)
    async with engine.connect() as conn:
        await conn.run_sync(downgrade)
        await conn.commit()
    await engine.dispose()
