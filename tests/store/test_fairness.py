"""Whose turn it is between zones, and between the campaigns of one."""

import pytest
import sqlalchemy as sa

from store.campaigns import campaign_steps, launching
from store.errors import AudienceTooLarge
from store.outbox import batches, holds, recovery
from store.states import BatchState
from store.tables import campaign
from tests.store import makers as make


async def order(database, names, most=40):
    """The campaigns in the order in which their batches are claimed and sent."""
    claimed = []
    while (held := await make.claim(database)) is not None and len(claimed) < most:
        claimed.append(names[held.campaign_id])
        await make.advance(database, held)
        await make.give_back(database, held, make.accepted(make.ids_of(held)))
    return claimed


async def test_two_zones_share_the_lane_batch_by_batch(database):
    first = await make.a_campaign(database, 40, batch_size=10)
    second = await make.a_campaign(database, 40, batch_size=10)

    assert await order(database, {first.id: "a", second.id: "b"}) == list("abababab")


async def test_the_first_of_a_campaign_go_before_what_others_have_begun(database):
    big = await make.a_campaign(database, 50, batch_size=10)
    await make.sent(database)
    small = await make.a_campaign(database, 5)

    assert await order(database, {big.id: "big", small.id: "small"}) == ["small", *["big"] * 4]


async def test_first_batches_are_found_although_no_permit_is_free(database):
    big = await make.a_campaign(database, 30, batch_size=10)
    held = await make.must_claim(database)
    assert (held.is_first, held.others_begin) == (True, 0)
    beginning = [await make.a_campaign(database, 3) for _ in range(3)]

    async def first(tx):
        return await batches.claim(tx, "sms", "live", "n1", make.LEASE_MS, make.AT_ONCE, first=True)

    claimed = [await database.write(first) for _ in range(4)]

    assert [c and (c.campaign_id, c.others_begin) for c in claimed] == [
        *((made.id, 2 - n) for n, made in enumerate(beginning)),
        None,
    ]
    assert big.id not in {c.campaign_id for c in claimed if c}


async def test_who_began_and_sent_nothing_keeps_the_turn(database):
    made = await make.a_campaign(database, 5)
    await make.give_back(database, await make.must_claim(database))

    assert (await make.must_claim(database)).is_first
    assert made.ids


async def test_the_zones_of_more_weight_get_more_turns(database):
    light = await make.a_campaign(database, 60, batch_size=10)
    heavy = await make.a_campaign(database, 60, batch_size=10, weight=3)

    turns = await order(database, {light.id: "l", heavy.id: "h"})

    assert turns[:8].count("h") >= 5


# ---- a stop gives the place back -------------------------------------------------------------------------


@pytest.mark.parametrize("expanded", [True, False])
@pytest.mark.parametrize("end", ["stop", "expire", "update"])
async def test_what_a_zone_has_behind_a_campaign_that_has_ended_moves_up(database, end, expanded):
    a, b = await make.a_town(database, 1000), await make.a_town(database, 90)
    wrong = await make.a_campaign(database, a, batch_size=10, expand=expanded, lasts_ms=make.HOUR_MS // 2)
    if expanded:
        await make.sent(database)
    right = await make.a_campaign(database, a, people=40, batch_size=10)

    if end == "stop":
        await database.write(lambda tx: campaign_steps.stop(tx, wrong.id, None))
    elif end == "update":
        await database.write(lambda tx: launching.end_campaigns(tx, [(wrong.id, "superseded")]))
    else:

        async def over(tx):
            await tx.run(sa.update(campaign).where(campaign.c.id == wrong.id).values(expires_ms=1))

        await database.write(over)
        await make.tick(database)
    other = await make.a_campaign(database, b, batch_size=10)

    turns = await order(database, {right.id: "right", other.id: "other"})
    assert turns[:9].count("right") >= 3, turns


async def test_a_stop_moves_nobody_before_the_present(database):
    a, b = await make.a_town(database, 400), await make.a_town(database, 400)
    other = await make.a_campaign(database, b, batch_size=10)
    for _ in range(20):
        await make.sent(database)
    wrong = await make.a_campaign(database, a, batch_size=100)
    right = await make.a_campaign(database, a, people=100, batch_size=10)

    await database.write(lambda tx: campaign_steps.stop(tx, wrong.id, None))

    turns = await order(database, {right.id: "right", other.id: "other"}, most=16)
    assert turns.count("other") >= 7, turns


async def test_a_scheduled_campaign_begins_where_its_zone_is_not_where_it_was(database):
    a, b = await make.a_town(database, 1000), await make.a_town(database, 90)
    wrong = await make.a_campaign(database, a, batch_size=100)
    later = await make.a_campaign(database, a, people=40, batch_size=10, state="scheduled", starts_in_ms=-1)
    await database.write(lambda tx: campaign_steps.stop(tx, wrong.id, None))
    other = await make.a_campaign(database, b, batch_size=10)

    await make.tick(database)
    await make.tick(database)

    turns = await order(database, {later.id: "later", other.id: "other"})
    assert turns[:8].count("later") == 4, turns


# ---- a Cancel waits for nobody of its own zone -----------------------------------------------------------


async def test_a_cancel_goes_before_all_that_its_zone_has_waiting(database):
    a = await make.a_town(database, 1000)
    small = await make.a_campaign(database, a, people=5)
    await make.sent(database)
    big = await make.a_campaign(database, a, batch_size=100)
    cancel = await make.a_campaign(
        database, a, people=50, batch_size=10, purpose="cancel", replaces=(small.id,), ends=((small.id, "cancelled"),)
    )

    turns = await order(database, {cancel.id: "cancel", big.id: "big"})

    assert turns.index("cancel") <= 1, "the first of another campaign may have its turn"
    assert sorted(turns[:6]) == ["big", *["cancel"] * 5]


async def test_a_cancel_takes_no_more_than_its_zone_s_share_from_others(database):
    a, b = await make.a_town(database, 100), await make.a_town(database, 100)
    old = await make.a_campaign(database, a, people=5)
    await make.sent(database)
    other = await make.a_campaign(database, b, batch_size=10)
    cancel = await make.a_campaign(
        database, a, batch_size=10, purpose="cancel", replaces=(old.id,), ends=((old.id, "cancelled"),)
    )

    turns = await order(database, {cancel.id: "cancel", other.id: "other"}, most=10)

    assert turns.count("other") == 5


# ---- how many a campaign can number ----------------------------------------------------------------------


async def test_more_deliveries_than_a_campaign_can_number_are_refused_and_nothing_is_kept(database):
    town = await make.a_town(database, 1)
    sizes = (("sms", 1 << 23), ("email", (1 << 23) + 1))

    with pytest.raises(AudienceTooLarge):
        await make.a_campaign(database, town, expand=False, sizes=sizes, reserved_millieuro=0)

    made = await make.a_campaign(database, town, expand=False, sizes=(("sms", 1 << 24),), reserved_millieuro=0)
    assert made.id


# ---- turns and holds -------------------------------------------------------------------------------------


async def turns(database, names):
    return "".join(await order(database, names, most=200))


async def test_the_first_of_a_zone_s_second_campaign_do_not_move_the_clock(database):
    a = await make.a_town(database, 300)
    big = await make.a_campaign(database, a, batch_size=10)
    small = await make.a_campaign(database, a, people=20, batch_size=10)
    await make.sent(database)
    await make.sent(database)  # the first of each
    other = await make.a_campaign(database, 60, batch_size=10)
    got = await turns(database, {big.id: "A", small.id: "a", other.id: "b"})
    assert got[:12].count("b") >= 5, got


async def test_a_cancel_waits_for_nobody_of_its_zone_whatever_that_has_begun(database):
    a = await make.a_town(database, 300)
    big = await make.a_campaign(database, a, batch_size=10)
    small = await make.a_campaign(database, a, people=40, batch_size=10)
    await make.sent(database)
    await make.sent(database)
    cancel = await make.a_campaign(
        database, a, people=40, batch_size=10, purpose="cancel", replaces=(small.id,), ends=((small.id, "cancelled"),)
    )
    assert (await turns(database, {big.id: "A", cancel.id: "c"}))[:4] == "cccc"


async def test_what_was_held_does_not_go_before_everyone(database):
    held = await make.a_campaign(database, 100, batch_size=10)
    await make.sent(database)
    await database.write(lambda tx: holds.place(tx, "campaign", str(held.id), "x", "y"))
    other = await make.a_campaign(database, 200, batch_size=10)
    for _ in range(10):
        await make.sent(database)
    await database.write(lambda tx: holds.lift(tx, "campaign", str(held.id)))
    got = await turns(database, {held.id: "a", other.id: "b"})
    assert "b" in got[:4], got


async def test_nobody_waits_behind_what_is_held(database):
    a = await make.a_town(database, 100)
    held = await make.a_campaign(database, a, batch_size=10)
    await make.sent(database)
    await database.write(lambda tx: holds.place(tx, "campaign", str(held.id), "x", "y"))
    right = await make.a_campaign(database, a, people=40, batch_size=10)
    other = await make.a_campaign(database, 100, batch_size=10)
    got = await turns(database, {right.id: "a", other.id: "b"})
    assert got[:8].count("a") >= 3, got


async def test_the_turn_survives_a_worker_that_dies_before_its_first_message(database):
    await make.a_campaign(database, 5)
    await make.must_claim(database)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)
    assert (await make.must_claim(database)).is_first


async def test_an_update_has_its_turn_although_its_first_person_waits(database):
    town = await make.a_town(database, 5)
    old = await make.a_campaign(database, town)
    await make.advance(database, await make.must_claim(database), 1)
    new = await make.a_campaign(database, town, purpose="update", replaces=(old.id,), ends=((old.id, "superseded"),))
    assert (0, BatchState.READY) in [(b.turn, b.state) for b in await make.batches_of(database, new)]
