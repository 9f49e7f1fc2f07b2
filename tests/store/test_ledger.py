"""Lots, loans and ends: what a zone may spend at any instant, and where every cent of a lot is."""

import asyncio

import pytest
import sqlalchemy as sa

from store.campaigns import campaign_steps
from store.errors import Conflict, CreditExhausted
from store.money import bookings, ledger, lots, recount
from store.money.bookings import LedgerAccount, LedgerEntry, What
from store.states import DeliveryEvent
from store.tables import booking, entry
from tests.store import makers as make
from tests.store.bookkeeping import accounts, assert_books_close, at, balance, booked

DAY_MS = 86_400_000


async def a_lot(database, zone_id, amount, until_ms=None, name="lot"):
    await database.write(lambda tx: ledger.add_lot(tx, zone_id, amount, until_ms, name))


async def spent(database, town, reserved, charged):
    """A campaign of one message that has reserved and paid so much."""
    made = await make.a_campaign(database, town, reserved_millieuro=reserved)
    await make.sent(database)
    await make.tick(database)
    assert await database.write(lambda tx: campaign_steps.seal(tx, made.id, "{}", charged))
    return made


# ---- lots ------------------------------------------------------------------------------------------------


async def test_what_was_spent_of_a_lot_that_has_ended_is_not_taken_from_the_next_one(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    await a_lot(database, town.zone_id, 100_000, now + DAY_MS, "2026")
    await spent(database, town, 80_000, 80_000)
    assert await balance(database, town.zone_id) == 20_000

    assert await balance(database, town.zone_id, at_ms=now + DAY_MS) == 0

    await a_lot(database, town.zone_id, 100_000, now + 2 * DAY_MS, "2027")
    assert await balance(database, town.zone_id, at_ms=now + DAY_MS) == 100_000
    assert (await accounts(database, town.zone_id))["2026"]["spent"] == 80_000


async def test_lots_are_used_up_in_the_order_in_which_they_end(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    for name, until_ms in (("never", None), ("late", now + 2 * DAY_MS), ("soon", now + DAY_MS)):
        await a_lot(database, town.zone_id, 1_000, until_ms, name)

    await make.a_campaign(database, town, reserved_millieuro=2_500)

    found = await accounts(database, town.zone_id)
    assert {name: of.get("lot", 0) for name, of in found.items()} == {"soon": 0, "late": 0, "never": 500}


async def test_what_is_settled_is_of_the_lots_that_were_reserved_and_the_rest_goes_back_to_them(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    await a_lot(database, town.zone_id, 1_000, now + DAY_MS, "soon")
    await a_lot(database, town.zone_id, 1_000, now + 2 * DAY_MS, "late")
    await a_lot(database, town.zone_id, 1_000, None, "never")

    await spent(database, town, 2_500, 1_200)

    assert await accounts(database, town.zone_id) == {
        "soon": {"operator": -1_000, "spent": 1_000},
        "late": {"operator": -1_000, "spent": 200, "lot": 800},
        "never": {"operator": -1_000, "lot": 1_000},
    }
    await assert_books_close(database, town.zone_id)


async def test_what_a_lot_gets_back_after_its_end_is_expired_with_it(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    await a_lot(database, town.zone_id, 1_000, now + DAY_MS)
    made = await make.a_campaign(database, town, reserved_millieuro=600)
    await make.sent(database)
    await make.tick(database)

    await at(database, now + DAY_MS, lambda tx: campaign_steps.seal(tx, made.id, "{}", 55))

    found = (await accounts(database, town.zone_id))["lot"]
    assert found == {"operator": -1_000, "spent": 55, "expired": 545, "lot": 400}
    assert await balance(database, town.zone_id, at_ms=now + DAY_MS) == 0


async def test_the_end_of_a_lot_is_booked_once_and_balances_do_not_wait_for_it(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    await a_lot(database, town.zone_id, 1_000, now + DAY_MS)
    await a_lot(database, town.zone_id, 70, None, "never")
    await make.a_campaign(database, town, reserved_millieuro=300)
    before = await balance(database, town.zone_id, at_ms=now + DAY_MS)

    assert await database.write(ledger.expire_lots) == 0
    assert await at(database, now + DAY_MS, ledger.expire_lots) == 1
    assert await at(database, now + DAY_MS, ledger.expire_lots) == 0

    assert before == await balance(database, town.zone_id, at_ms=now + DAY_MS) == 70
    found = await accounts(database, town.zone_id)
    assert found["lot"] == {"operator": -1_000, "reserved": 300, "expired": 700}
    await assert_books_close(database, town.zone_id)


async def test_two_nodes_that_book_the_same_ends_book_them_once(database):
    towns = [await make.a_town(database, 0) for _ in range(3)]
    now = await make.now_ms(database)
    for town in towns:
        await a_lot(database, town.zone_id, 1_000, now + 1)

    await asyncio.gather(*(at(database, now + DAY_MS, ledger.expire_lots) for _ in range(4)))

    assert [what for what, _ in await booked(database)].count("expire") == 3
    await assert_books_close(database, *(town.zone_id for town in towns))


async def test_a_campaign_that_was_launched_before_the_end_of_its_lot_is_paid_of_it(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    await a_lot(database, town.zone_id, 1_000, now + DAY_MS, "2026")
    made = await make.a_campaign(database, town, reserved_millieuro=1_000)
    await make.sent(database)
    await make.tick(database)
    await at(database, now + DAY_MS, ledger.expire_lots)
    await a_lot(database, town.zone_id, 5_000, None, "2027")

    await at(database, now + 2 * DAY_MS, lambda tx: campaign_steps.seal(tx, made.id, "{}", 900))

    assert await accounts(database, town.zone_id) == {
        "2026": {"operator": -1_000, "spent": 900, "expired": 100},
        "2027": {"operator": -5_000, "lot": 5_000},
    }


async def test_a_lot_of_nothing_is_refused(database):
    zone_id = await make.a_zone(database)

    for amount in (0, -1):
        with pytest.raises(ValueError, match="a lot of"):
            await a_lot(database, zone_id, amount)


async def test_a_lot_that_is_filed_by_two_at_once_is_filed_once(database):
    zone_id = await make.a_zone(database)

    new = await asyncio.gather(
        *(database.write(lambda tx: lots.put_lot(tx, zone_id, "order 1", 500, None)) for _ in range(6))
    )

    assert sorted(new) == [False] * 5 + [True]
    assert await balance(database, zone_id) == 500
    with pytest.raises(Conflict):
        await database.write(lambda tx: lots.put_lot(tx, zone_id, "order 1", 501, None))


# ---- loans -----------------------------------------------------------------------------------------------


async def test_an_urgent_campaign_goes_beyond_the_balance_and_the_next_lot_takes_the_debt_over(database):
    town = await make.a_town(database, 1)
    await a_lot(database, town.zone_id, 100, None, "first")

    await spent(database, town, 300, 300)
    assert await balance(database, town.zone_id) == -200
    assert (await accounts(database, town.zone_id))[""] == {"operator": -200, "spent": 200}

    await a_lot(database, town.zone_id, 500, None, "second")
    assert await balance(database, town.zone_id) == 300
    assert await accounts(database, town.zone_id) == {
        "first": {"operator": -100, "spent": 100},
        "second": {"operator": -500, "spent": 200, "lot": 300},
    }
    await assert_books_close(database, town.zone_id)


async def test_a_debt_is_carried_over_lots_until_it_is_covered(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    await spent(database, town, 300, 300)

    await a_lot(database, town.zone_id, 120, now + DAY_MS, "small")
    assert await balance(database, town.zone_id) == -180
    await at(database, now + DAY_MS, ledger.expire_lots)
    assert await balance(database, town.zone_id, at_ms=now + DAY_MS) == -180

    await a_lot(database, town.zone_id, 1_000, None, "large")
    assert await balance(database, town.zone_id, at_ms=now + DAY_MS) == 820
    await assert_books_close(database, town.zone_id)


async def test_what_was_lent_and_is_not_needed_is_no_debt(database):
    town = await make.a_town(database, 1)
    await a_lot(database, town.zone_id, 100)

    await spent(database, town, 300, 55)

    assert await balance(database, town.zone_id) == 45
    assert "" not in await accounts(database, town.zone_id)


async def test_what_another_campaign_gives_back_covers_the_debt_before_its_lot_ends(database):
    town = await make.a_town(database, 1)
    now = await make.now_ms(database)
    await a_lot(database, town.zone_id, 1_000, now + DAY_MS, "2026")
    first = await make.a_campaign(database, town, reserved_millieuro=1_000)
    await make.sent(database)
    await make.tick(database)
    await make.a_campaign(database, town, reserved_millieuro=400)
    assert await balance(database, town.zone_id) == -400

    await database.write(lambda tx: campaign_steps.seal(tx, first.id, "{}", 55))

    assert await balance(database, town.zone_id) == 545
    assert await accounts(database, town.zone_id) == {
        "2026": {"operator": -1_000, "spent": 55, "reserved": 400, "lot": 545}
    }
    assert await balance(database, town.zone_id, at_ms=now + DAY_MS) == 0


async def test_what_is_spent_is_covered_before_what_is_only_reserved(database):
    town = await make.a_town(database, 1)
    await make.a_campaign(database, town, reserved_millieuro=100, priority=3)
    await spent(database, town, 100, 100)

    await a_lot(database, town.zone_id, 100)

    assert await accounts(database, town.zone_id) == {
        "lot": {"operator": -100, "spent": 100},
        "": {"operator": -100, "reserved": 100},
    }


async def test_a_zone_in_debt_launches_nothing_that_must_be_covered(database):
    town = await make.a_town(database, 1)
    await make.a_campaign(database, town, reserved_millieuro=10)

    with pytest.raises(CreditExhausted) as refused:
        await make.a_campaign(database, town, reserved_millieuro=1, must_cover=True)

    assert (refused.value.balance_millieuro, refused.value.needed_millieuro) == (-10, 1)


async def test_a_simulation_costs_nothing(database):
    town = await make.a_town(database, 3)
    await a_lot(database, town.zone_id, 100)

    made = await make.a_campaign(database, town, mode="simulation", reserved_millieuro=0, price_millieuro=0)
    await make.sent(database, mode="simulation", answer=lambda ids: make.happened(ids, DeliveryEvent.REFUSED))
    await make.tick(database)
    await database.write(lambda tx: campaign_steps.seal(tx, made.id, "{}", 0))

    assert await booked(database) == [("lot", 100)]


# ---- bookings --------------------------------------------------------------------------------------------


async def test_a_booking_that_does_not_sum_to_nothing_is_not_written(database):
    town = await make.a_town(database, 0)
    await a_lot(database, town.zone_id, 100)

    for entries in (
        [],
        [LedgerEntry(LedgerAccount.SPENT, None, 5)],
        [LedgerEntry(LedgerAccount.SPENT, None, 5), LedgerEntry(LedgerAccount.OPERATOR, None, -4)],
    ):
        with pytest.raises(ValueError, match="sum to nothing"):
            await database.write(lambda tx, e=entries: bookings.book(tx, town.zone_id, What.SETTLE, e))

    assert await booked(database) == [("lot", 100)]


async def test_an_account_that_gave_what_it_had_not_is_found_and_stops_nobody(database):
    town = await make.a_town(database, 1)
    spoilt = bookings.move(LedgerAccount.RESERVED, LedgerAccount.SPENT, None, 100)
    await database.write(lambda tx: bookings.book(tx, town.zone_id, What.SETTLE, spoilt))

    made = await make.a_campaign(database, town)
    assert await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))

    async with database.read() as conn:
        assert "reserved below nothing" in {d.of for d in await recount.differences(conn, town.zone_id)}


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (sa.update(entry).where(entry.c.account == "spent").values(amount_millieuro=56), "booking"),
        (sa.update(entry).where(entry.c.account == "lot").values(balance_millieuro=7), "balance of lot"),
        (sa.delete(entry).where(entry.c.account == "spent"), "settled"),
        (sa.update(booking).where(booking.c.what == "reserve").values(what="cover"), "reserved"),
        (sa.text("UPDATE lot SET amount_millieuro = 9"), "lot"),
    ],
)
async def test_the_recount_finds_what_does_not_close(database, fault, found):
    town = await make.a_town(database, 1)
    await a_lot(database, town.zone_id, 100)
    await spent(database, town, 55, 55)
    await assert_books_close(database, town.zone_id)

    await database.write(lambda tx: tx.run(fault))

    async with database.read() as conn:
        assert found in {d.of for d in await recount.differences(conn, town.zone_id)}


# ---- at once ---------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
async def test_launches_in_the_same_zones_in_any_order_end_and_lose_no_cent(database):
    towns = [await make.a_town(database, 2) for _ in range(3)]
    for town in towns:
        await a_lot(database, town.zone_id, 500)
    now = await make.now_ms(database)

    async def launch(turn):
        order = towns[turn % 3 :] + towns[: turn % 3]
        new = tuple(make.a_new_campaign(town, now) for town in (order if turn % 2 else order[::-1]))
        await database.write(lambda tx: make.launching.launch(tx, make.Launch(account_id=1, alert=None, campaigns=new)))

    await asyncio.gather(*(launch(turn) for turn in range(12)))

    assert [await balance(database, town.zone_id) for town in towns] == [500 - 12 * 110] * 3
    await assert_books_close(database, *(town.zone_id for town in towns))
