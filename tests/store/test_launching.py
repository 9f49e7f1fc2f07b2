"""Launch is one transaction, all or nothing; the rows follow in chunks, whatever interrupts them."""

import asyncio
import json

import msgspec
import pytest
import sqlalchemy as sa

from store import feed
from store.campaigns import alerts, campaign_steps, cancelling
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch, ZoneRefusal, end_campaigns, launch
from store.errors import Conflict, CreditExhausted, StaleThread
from store.money import ledger
from store.outbox.expansion import expand, pending_expansions
from store.states import BatchState
from store.tables import (
    alert,
    alert_zone,
    audience,
    audit,
    batch,
    booking,
    campaign,
    campaign_text,
    delivery,
    entry,
    expansion,
    feed_entry,
    progress,
)
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close

_WRITTEN = (
    alert, alert_zone, audience, audit, batch, campaign, campaign_text, delivery, expansion, feed_entry, booking,
    entry, progress,
)  # fmt: skip


async def rows_written(database) -> dict[str, int]:
    async with database.read() as conn:
        return {t.name: (await conn.execute(sa.select(sa.func.count()).select_from(t))).scalar_one() for t in _WRITTEN}


async def balance(database, zone_id) -> int:
    async with database.read() as conn:
        return await ledger.balance_millieuro(conn, zone_id, await make.now_ms(database))


async def state_of(database, campaign_id):
    async with database.read() as conn:
        found = await campaigns.by_id(conn, campaign_id)
    return found


async def a_decision(database, *, towns=None, **changes):
    towns = towns or [await make.a_town(database, 3)]
    now = await make.now_ms(database)
    account_id = towns[0].account_id
    values = {
        "account_id": account_id,
        "alert": make.an_alert(account_id),
        "campaigns": tuple(make.a_new_campaign(town, now) for town in towns),
    }
    return Launch(**values | changes)


# ---- launch ----------------------------------------------------------------------------------------------


async def test_one_alert_for_two_zones_is_one_alert_and_two_campaigns(database):
    towns = [await make.a_town(database, 3), await make.a_town(database, 4)]
    refused = await make.a_zone(database)
    decision = await a_decision(
        database, towns=towns, publish=True, publish_until_ms=123, refusals=(ZoneRefusal(refused, "nobody there"),)
    )

    launched = await database.write(lambda tx: launch(tx, decision))

    assert await rows_written(database) == {
        "alert": 1, "alert_zone": 3, "audience": 2, "audit": 2, "batch": 0, "campaign": 2, "campaign_text": 2,
        "delivery": 0, "expansion": 2, "feed_entry": 1, "booking": 2, "entry": 4,
        "progress": 2,
    }  # fmt: skip
    async with database.read() as conn:
        found = await alerts.by_public_id(conn, decision.alert.public_id)
        assert found is not None
        assert (found.id, found.thread_id, found.document) == (launched.alert_id, launched.alert_id, b"<alert/>")
        answers = await alerts.zones(conn, found.id)
        assert sorted((a.campaign or "", a.refusal) for a in answers) == sorted(
            [(c.public_id, "") for c in decision.campaigns] + [("", "nobody there")]
        )
        assert [c.id for c in await campaigns.of_alert(conn, found.id)] == list(launched.campaign_ids)
        assert [i.public_id for i in await feed.pending(conn)] == [found.public_id]
        # A line a zone, each with what is that zone's business alone.
        lines = (await conn.execute(sa.select(audit).order_by(audit.c.id))).all()
        assert {(line.action, line.subject, line.account_id) for line in lines} == {
            ("launch", found.public_id, decision.account_id)
        }
        assert [(line.zone_id, json.loads(line.detail)) for line in lines] == [
            (c.zone_id, {"campaigns": [c.public_id]}) for c in decision.campaigns
        ]
        for campaign_id in launched.campaign_ids:
            await assert_sums_close(conn, campaign_id)


async def test_the_reservation_is_taken_from_the_zones_balance(database):
    made = await make.a_campaign(database, 10, price_millieuro=55, expand=False)

    assert await balance(database, made.town.zone_id) == -550


@pytest.mark.parametrize("fault", ["second campaign", "text", "zone", "thread", "credit"])
async def test_a_launch_that_fails_in_the_middle_leaves_nothing(database, fault):
    towns = [await make.a_town(database, 3), await make.a_town(database, 3)]
    running = await make.a_campaign(database, 3)
    before = await rows_written(database)
    decision = await a_decision(database, towns=towns, publish=True, ends=((running.id, "superseded"),))
    first, second = decision.campaigns
    change = msgspec.structs.replace
    broken = {
        "second campaign": change(decision, campaigns=(first, change(second, public_id=first.public_id))),
        "text": change(decision, campaigns=(first, change(second, texts=second.texts * 2))),
        "zone": change(decision, refusals=(ZoneRefusal(first.zone_id, "twice"),)),
        "thread": change(decision, alert_ends=((999_999, "superseded"),)),
        "credit": change(decision, campaigns=(first, change(second, must_cover=True))),
    }[fault]

    with pytest.raises((Conflict, StaleThread, CreditExhausted)):
        await database.write(lambda tx: launch(tx, broken))

    assert await rows_written(database) == before
    still = await state_of(database, running.id)
    assert (still.state, still.epoch) == ("running", 0)


async def test_the_same_alert_twice_is_a_conflict_and_sends_nothing(database):
    decision = await a_decision(database)
    await database.write(lambda tx: launch(tx, decision))
    before = await rows_written(database)
    again = msgspec.structs.replace(
        decision,
        alert=msgspec.structs.replace(decision.alert, public_id="another"),
        campaigns=tuple(msgspec.structs.replace(c, public_id="another") for c in decision.campaigns),
    )

    with pytest.raises(Conflict):
        await database.write(lambda tx: launch(tx, again))

    assert await rows_written(database) == before


async def test_the_same_identifier_of_another_sender_is_another_alert(database):
    town = await make.a_town(database, 1)
    first = make.an_alert(town.account_id, identifier="same", sender="a@police.example")
    second = make.an_alert(town.account_id, identifier="same", sender="b@police.example")

    for new in (first, second):
        decision = await a_decision(database, towns=[town], alert=new)
        await database.write(lambda tx, d=decision: launch(tx, d))

    assert (await rows_written(database))["alert"] == 2


async def test_one_decision_under_the_callers_own_key_is_one_campaign(database):
    town = await make.a_town(database, 1)
    await make.a_campaign(database, town, request_key="mine")

    with pytest.raises(Conflict):
        await make.a_campaign(database, town, request_key="mine")
    assert await make.a_campaign(database, town, request_key="other")
    async with database.read() as conn:
        assert await campaigns.by_request_key(conn, town.account_id, "mine") is not None


async def test_an_update_ends_what_it_replaces_at_the_same_instant(database):
    town = await make.a_town(database, 3)
    first_alert = make.an_alert(town.account_id)
    old = await make.a_campaign(database, town, alert=first_alert)
    async with database.read() as conn:
        old_alert = await alerts.by_public_id(conn, first_alert.public_id)
    update = make.an_alert(
        town.account_id, thread_id=old_alert.thread_id, msg_type="Update", references=(("a", "b", 1), ("a", "b", 2))
    )
    new = make.a_new_campaign(town, await make.now_ms(database), purpose="update", replaces=(old.id,))
    decision = Launch(
        account_id=town.account_id, alert=update, campaigns=(new,), ends=((old.id, "superseded"),),
        alert_ends=((old_alert.id, "superseded"),),
    )  # fmt: skip

    await database.write(lambda tx: launch(tx, decision))

    ended = await state_of(database, old.id)
    assert (ended.state, ended.epoch) == ("superseded", 1)
    async with database.read() as conn:
        assert [a.state for a in await alerts.thread(conn, old_alert.thread_id)] == ["superseded", "active"]
        successor = (await campaigns.of_thread(conn, old_alert.thread_id))[-1]
        assert await campaigns.replaced_by(conn, successor.id) == [old.id]
    late = msgspec.structs.replace(decision, alert=make.an_alert(town.account_id), campaigns=())
    with pytest.raises(StaleThread):
        await database.write(lambda tx: launch(tx, late))


async def test_what_has_ended_is_not_ended_twice(database):
    made = await make.a_campaign(database, 3)
    await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))

    await database.write(lambda tx: end_campaigns(tx, [(made.id, "cancelled")]))

    found = await state_of(database, made.id)
    assert (found.state, found.epoch) == ("stopped", 1)


async def test_a_campaign_that_must_be_covered_is_launched_only_within_the_balance(database):
    town = await make.a_town(database, 10)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, 1000, None, "lot"))

    await make.a_campaign(database, town, must_cover=True)
    with pytest.raises(CreditExhausted) as refused:
        await make.a_campaign(database, town, must_cover=True)
    urgent = await make.a_campaign(database, town, must_cover=False)

    assert (refused.value.balance_millieuro, refused.value.needed_millieuro) == (450, 550)
    assert await balance(database, town.zone_id) == 1000 - 2 * 550
    assert urgent.id


async def test_two_campaigns_at_once_cannot_both_spend_the_last_of_the_balance(database):
    town = await make.a_town(database, 10)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, 600, None, "lot"))

    results = await asyncio.gather(
        *(make.a_campaign(database, town, must_cover=True, expand=False) for _ in range(12)), return_exceptions=True
    )

    assert sum(1 for r in results if isinstance(r, CreditExhausted)) == 11
    assert await balance(database, town.zone_id) == 50


async def test_an_expired_lot_covers_nothing(database):
    town = await make.a_town(database, 1)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, 600, 1, "old"))

    with pytest.raises(CreditExhausted):
        await make.a_campaign(database, town, must_cover=True)


# ---- expansion -------------------------------------------------------------------------------------------


async def expand_part(database, made, start, end, batch_size=4, channel="sms"):
    part = made.entries[channel][start:end]
    return await database.write(lambda tx: expand(tx, made.id, channel, part, batch_size=batch_size))


async def pending(database):
    return [(e.campaign_id, e.channel, e.expanded_upto) for e in await database.write(pending_expansions)]


async def test_rows_and_batches_are_made_in_chunks_while_the_first_are_sent(database):
    made = await make.a_campaign(database, 10, expand=False)
    assert await pending(database) == [(made.id, "sms", 0)]

    assert await expand_part(database, made, 0, 6) == 6

    assert await pending(database) == [(made.id, "sms", 6)]
    held = await make.must_claim(database)
    assert make.ids_of(held) == list(made.ids["sms"][:4])
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)

    assert await expand_part(database, made, 6, 10) == 10
    assert await pending(database) == []
    assert [(b.first, b.last) for b in await make.batches_of(database, made)] == [
        (made.ids["sms"][a], made.ids["sms"][b]) for a, b in ((0, 3), (4, 5), (6, 9))
    ]
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)


async def test_a_chunk_that_comes_twice_is_made_once(database):
    made = await make.a_campaign(database, 10, expand=False)
    await expand_part(database, made, 0, 6)

    assert await expand_part(database, made, 0, 6) == 6
    assert await expand_part(database, made, 3, 10) == 10
    assert await expand_part(database, made, 0, 10) == 10

    assert [row.id for row in await make.rows_of(database, made)] == list(made.ids["sms"])
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)


async def test_a_crash_in_the_middle_of_a_chunk_leaves_it_to_be_made_again(database):
    made = await make.a_campaign(database, 10, expand=False)
    await expand_part(database, made, 0, 4)

    class Killed(Exception):
        pass

    async def crashing(tx):
        await expand(tx, made.id, "sms", made.entries["sms"][4:8], batch_size=4)
        raise Killed

    with pytest.raises(Killed):
        await database.write(crashing)

    assert await pending(database) == [(made.id, "sms", 4)]
    await expand_part(database, made, 4, 10)
    assert [row.id for row in await make.rows_of(database, made)] == list(made.ids["sms"])
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)


async def test_two_nodes_that_expand_the_same_chunk_make_it_once(database):
    made = await make.a_campaign(database, 10, expand=False)

    await asyncio.gather(*(expand_part(database, made, 0, 10) for _ in range(4)))

    assert len(await make.rows_of(database, made)) == 10
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)


async def test_a_chunk_that_would_leave_a_gap_is_a_bug(database):
    made = await make.a_campaign(database, 10, expand=False)

    with pytest.raises(AssertionError):
        await expand_part(database, made, 3, 6)
    assert await pending(database) == [(made.id, "sms", 0)]


async def test_every_row_carries_the_contact_version_the_units_and_the_price_of_its_text(database):
    made = await make.a_campaign(database, 3, channels=("sms", "email"), units=2, price_millieuro=110)

    rows = await make.rows_of(database, made)

    people = made.town.people
    assert [(r.channel, r.member_id, r.contact_id, r.address) for r in rows] == [
        (c, p.member_id, p.contacts[c], p.addresses[c]) for c in ("sms", "email") for p in people
    ]
    assert {(r.units, r.price_millieuro, r.state, r.attempts, r.charged) for r in rows} == {(2, 110, 0, 0, 0)}


async def test_no_batch_mixes_channels(database):
    made = await make.a_campaign(database, 5, channels=("sms", "voice", "email"), batch_size=3)

    ranges = {b.channel: [] for b in await make.batches_of(database, made)}
    for b in await make.batches_of(database, made):
        ranges[b.channel].append((b.first, b.last))
    for channel, found in ranges.items():
        assert (found[0][0], found[-1][1]) == (made.ids[channel][0], made.ids[channel][-1])


@pytest.mark.parametrize(
    ("state", "word"), [("stopped", "cancelled"), ("cancelled", "cancelled"), ("superseded", "cancelled")]
)
async def test_rows_of_a_campaign_that_has_ended_are_made_in_their_final_state(database, state, word):
    made = await make.a_campaign(database, 10, expand=False)
    await expand_part(database, made, 0, 4)
    await database.write(lambda tx: end_campaigns(tx, [(made.id, state)]))

    await expand_part(database, made, 4, 10)
    while await database.write(campaign_steps.close_ended):
        pass
    await make.tick(database)

    assert await make.words_of(database, made) == [word] * 10
    assert await make.claim(database) is None
    assert (await state_of(database, made.id)).ended_ms is not None
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)


async def test_rows_of_a_campaign_that_has_expired_are_made_expired(database):
    made = await make.a_campaign(database, 4, expand=False, lasts_ms=-1)
    await make.tick(database)

    await expand_part(database, made, 0, 4)

    assert await make.words_of(database, made) == ["expired"] * 4
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)


async def test_a_campaign_with_an_unexpanded_audience_is_not_complete(database):
    made = await make.a_campaign(database, 4, expand=False)
    await expand_part(database, made, 0, 2)
    await make.sent(database)
    await make.tick(database)

    assert (await state_of(database, made.id)).state == "running"


async def test_an_expansion_of_nothing_known_makes_nothing(database):
    made = await make.a_campaign(database, 1)

    assert await database.write(lambda tx: expand(tx, 404, "sms", made.entries["sms"], batch_size=4)) == 0


async def test_the_most_urgent_is_expanded_first_then_the_one_that_is_least_far(database):
    news = await make.a_campaign(database, 10, expand=False, priority=2)
    further = await make.a_campaign(database, 10, expand=False, priority=0)
    urgent = await make.a_campaign(database, 10, expand=False, priority=0)
    await expand_part(database, further, 0, 5)

    assert [c for c, _, _ in await pending(database)] == [urgent.id, further.id, news.id]


async def test_a_scheduled_campaign_has_its_batches_waiting_for_its_hour(database):
    made = await make.a_campaign(database, 6, batch_size=3, state="scheduled", starts_in_ms=make.HOUR_MS)

    rows = await make.batches_of(database, made)

    start = (await state_of(database, made.id)).starts_ms
    assert [(b.state, b.due_ms, b.waits) for b in rows] == [(BatchState.WAITING, start, 0)] * 2


async def test_a_running_campaign_waits_for_no_hour(database):
    """It started by a clock that was stepped back since: its start has become an instant to come."""
    made = await make.a_campaign(database, 6, state="running", starts_in_ms=make.HOUR_MS)

    assert [row.state for row in await make.batches_of(database, made)] == [BatchState.READY]


async def test_no_batch_stands_across_the_border_between_what_may_go_and_what_waits(database):
    made = await make.a_campaign(database, 10, state="preparing", reserved_millieuro=0)
    await database.write(
        lambda tx: cancelling.file_prepared(
            tx, made.id, b"blob", [("sms", 10)], waits_from={"sms": 6}, counts="{}", reserved_millieuro=550
        )
    )
    await expand_part(database, made, 0, 10)

    rows = await make.batches_of(database, made)

    first = made.ids["sms"][0]
    assert [(b.first - first, b.last - first, b.state, b.waits) for b in rows] == [
        (0, 3, BatchState.READY, 0), (4, 5, BatchState.READY, 0), (6, 9, BatchState.WAITING, 1),
    ]  # fmt: skip
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)
