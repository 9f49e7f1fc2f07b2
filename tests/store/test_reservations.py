"""What ends gives back at once what it can no longer be charged, and pays all the same what turns out to be owed."""

import pytest

from store.campaigns import addenda, campaign_steps, launching
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch
from store.errors import CreditExhausted
from store.money import ledger, reservations
from store.outbox import recovery, settling
from store.outbox.records import NewText, Settlement
from store.outbox.resending import Resending
from store.states import DeliveryEvent
from tests.store import makers as make
from tests.store.asked import asked
from tests.store.bookkeeping import accounts, assert_books_close, at, balance, booked
from tests.store.invariants import assert_sums_close

PRICE = 55
LOT = 10_000
DAY_MS = 86_400_000
NEWS = {"kind": "news", "priority": 3, "must_cover": True}


async def a_town(database, people=100, until_ms=None):
    town = await make.a_town(database, people)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, LOT, until_ms, "lot"))
    return town


async def stop(database, made):
    assert await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))


async def close(database, made):
    """What housekeeping does with a campaign that has ended."""
    while await database.write(campaign_steps.close_ended):
        pass
    await make.tick(database)


async def charged(database, made):
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        return sum(c.charged_millieuro for c in await campaigns.counts(conn, made.id))


async def seal(database, made):
    amount = await charged(database, made)
    assert await database.write(lambda tx: campaign_steps.seal(tx, made.id, "{}", amount))
    return amount


# ---- what is free at once ----------------------------------------------------------------------------------------


async def test_a_stop_frees_in_its_own_transaction_what_was_never_sent(database):
    town = await a_town(database)
    made = await make.a_campaign(database, town, batch_size=10, **NEWS)
    await make.sent(database)

    await stop(database, made)

    assert await balance(database, town.zone_id) == LOT - 10 * PRICE
    await assert_books_close(database, town.zone_id)


async def test_a_campaign_that_has_not_begun_gives_all_of_it_back(database):
    town = await a_town(database)
    made = await make.a_campaign(database, town, state="scheduled", starts_in_ms=make.HOUR_MS, expand=False)

    await stop(database, made)

    assert await balance(database, town.zone_id) == LOT


async def test_what_is_in_hand_stays_reserved_until_its_answer(database):
    town = await a_town(database)
    made = await make.a_campaign(database, town, batch_size=10)
    held = await make.must_claim(database)
    await make.advance(database, held, 4)

    await stop(database, made)
    assert await balance(database, town.zone_id) == LOT - 4 * PRICE

    await make.give_back(database, held, make.accepted(make.ids_of(held)[:1]) + [
        Settlement(i, DeliveryEvent.REFUSED, "c1") for i in make.ids_of(held)[1:4]
    ])  # fmt: skip
    await close(database, made)
    assert await balance(database, town.zone_id) == LOT - PRICE
    await assert_books_close(database, town.zone_id)


async def test_what_is_in_doubt_or_waits_for_another_attempt_stays_reserved_until_it_is_closed(database):
    town = await a_town(database, 10)
    made = await make.a_campaign(database, town, batch_size=5)
    held, other = await make.must_claim(database), await make.must_claim(database)
    await make.advance(database, held)
    await make.advance(database, other)
    events = [
        DeliveryEvent.IN_DOUBT,
        DeliveryEvent.DEFERRED,
        DeliveryEvent.DEFERRED,
        DeliveryEvent.ACCEPTED,
        DeliveryEvent.REFUSED,
    ]
    await make.give_back(
        database, held, [Settlement(i, e, "c1") for i, e in zip(make.ids_of(held), events, strict=True)],
        resending=Resending(make.HOUR_MS, 3), retry_in_ms=make.HOUR_MS,
    )  # fmt: skip

    await stop(database, made)
    assert await balance(database, town.zone_id) == LOT - (1 + 2 + 1 + 5) * PRICE

    # Though another batch is still in hand, what waited for another attempt is closed, and its money free.
    await close(database, made)
    assert await balance(database, town.zone_id) == LOT - (1 + 1 + 5) * PRICE

    await make.give_back(database, other, make.accepted(make.ids_of(other)[:2]))
    await close(database, made)
    assert await balance(database, town.zone_id) == LOT - (1 + 1 + 2) * PRICE
    await assert_books_close(database, town.zone_id)


async def test_a_channel_that_costs_nothing_keeps_nothing_back(database):
    town = await a_town(database, 10)
    texts = (NewText("sms", "nl", "{}", 1, PRICE), NewText("email", "nl", "{}", 1, 0))
    made = await make.a_campaign(
        database, town, channels=("sms", "email"), texts=texts, reserved_millieuro=10 * PRICE, **NEWS
    )
    await make.sent(database, "email")

    await stop(database, made)

    assert await balance(database, town.zone_id) == LOT


async def test_the_dearest_text_of_a_channel_is_kept_for_each_that_may_be_charged(database):
    town = await a_town(database, 10)
    texts = (NewText("sms", "nl", "{}", 1, PRICE), NewText("sms", "fr", "{}", 3, 3 * PRICE))
    made = await make.a_campaign(database, town, texts=texts, reserved_millieuro=10 * 3 * PRICE)
    await make.sent(database, answer=lambda ids: make.happened(ids[:2], DeliveryEvent.IN_DOUBT), resending=make.PATIENT)

    await stop(database, made)

    assert await balance(database, town.zone_id) == LOT - 2 * 3 * PRICE


async def test_an_expiry_frees_as_a_stop_does(database):
    town = await a_town(database)
    now = await make.now_ms(database)
    await make.a_campaign(database, town, batch_size=10)
    await make.sent(database)

    await at(database, now + 2 * make.HOUR_MS, campaign_steps.tick)

    assert await balance(database, town.zone_id) == LOT - 10 * PRICE


@pytest.mark.parametrize("state", ["cancelled", "superseded"])
async def test_a_cancel_and_an_update_free_as_a_stop_does(database, state):
    town = await a_town(database)
    made = await make.a_campaign(database, town, batch_size=10)
    await make.sent(database)

    await database.write(lambda tx: launching.end_campaigns(tx, [(made.id, state)]))

    assert await balance(database, town.zone_id) == LOT - 10 * PRICE
    await assert_books_close(database, town.zone_id)


async def test_an_update_that_must_be_covered_is_paid_with_what_it_frees(database):
    town = await a_town(database)
    old = await make.a_campaign(database, town, reserved_millieuro=LOT, batch_size=10, **NEWS)
    await make.sent(database)
    free = LOT - 10 * PRICE
    now = await make.now_ms(database)

    def update(needed):
        new = make.a_new_campaign(town, now, reserved_millieuro=needed, replaces=(old.id,), purpose="update", **NEWS)
        return Launch(account_id=town.account_id, alert=None, campaigns=(new,), ends=((old.id, "superseded"),))

    with pytest.raises(CreditExhausted) as refused:
        await database.write(lambda tx: launching.launch(tx, update(free + 1)))
    assert refused.value.balance_millieuro == free
    async with database.read() as conn:
        now = database.clock.now_ms()
        assert await reservations.freeable_millieuro(conn, [old.id], now) == free
        assert (await campaigns.by_id(conn, old.id)).state == "running"

    await database.write(lambda tx: launching.launch(tx, update(free)))
    assert await balance(database, town.zone_id) == 0
    await assert_books_close(database, town.zone_id)


async def test_what_is_freed_of_a_lot_that_has_ended_helps_no_successor(database):
    now = await make.now_ms(database)
    town = await a_town(database, 10, until_ms=now + DAY_MS)
    old = await make.a_campaign(database, town)

    async with database.read() as conn:
        assert await reservations.freeable_millieuro(conn, [old.id], now) == 10 * PRICE
        assert await reservations.freeable_millieuro(conn, [old.id], now + DAY_MS) == 0


async def test_ending_it_again_frees_nothing_twice(database):
    town = await a_town(database)
    made = await make.a_campaign(database, town, batch_size=10)
    await stop(database, made)
    before = await booked(database, made.id)

    await database.write(lambda tx: launching.end_campaigns(tx, [(made.id, "cancelled")]))
    await close(database, made)

    assert await booked(database, made.id) == before == [("reserve", 100 * PRICE), ("release", 100 * PRICE)]


async def test_what_a_stop_does_does_not_grow_with_the_audience(database):
    statements: list[int] = []

    async def stopped(people, batch_size):
        town = await a_town(database, people)
        made = await make.a_campaign(database, town, batch_size=batch_size)

        async def work(tx):
            with asked() as seen:
                await campaign_steps.stop(tx, made.id, None)
            assert seen
            assert not any("delivery" in statement for statement, _ in seen)
            statements.append(len(seen))

        await database.write(work)

    await stopped(4, 2)
    await stopped(200, 2)

    assert statements[0] == statements[1]


# ---- what is owed all the same -----------------------------------------------------------------------------------


async def freed_too_early(database, town):
    """A campaign of ten that was stopped before it sent, and what a carrier says of two of them all the same."""
    made = await make.a_campaign(database, town, people=10)
    await stop(database, made)
    await close(database, made)
    await database.write(
        lambda tx: settling.apply(tx, make.happened(made.ids["sms"][:2], DeliveryEvent.RECEIPT_DELIVERED))
    )
    return made


async def test_a_receipt_of_what_was_freed_is_paid_of_the_lot_that_it_went_back_to(database):
    town = await a_town(database, 10)
    made = await freed_too_early(database, town)

    assert await seal(database, made) == 2 * PRICE

    whole = 10 * PRICE
    assert await booked(database, made.id) == [
        ("reserve", whole), ("release", whole), ("recall", 2 * PRICE), ("settle", 2 * PRICE),
    ]  # fmt: skip
    assert await balance(database, town.zone_id) == LOT - 2 * PRICE
    await assert_books_close(database, town.zone_id)


async def test_it_is_paid_of_that_lot_even_after_its_end(database):
    now = await make.now_ms(database)
    town = await a_town(database, 10, until_ms=now + DAY_MS)
    made = await freed_too_early(database, town)
    await at(database, now + DAY_MS, ledger.expire_lots)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, 700, None, "next"))

    await at(database, now + 2 * DAY_MS, lambda tx: campaign_steps.seal(tx, made.id, "{}", 2 * PRICE))

    found = await accounts(database, town.zone_id)
    assert found["lot"] == {"operator": -LOT, "spent": 2 * PRICE, "expired": LOT - 2 * PRICE}
    assert found["next"] == {"operator": -700, "lot": 700}


async def test_when_others_have_reserved_it_meanwhile_another_lot_pays_and_then_a_loan(database):
    town = await make.a_town(database, 10)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, 10 * PRICE, 2**45, "lot"))
    made = await freed_too_early(database, town)
    await make.a_campaign(database, town, people=10)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, PRICE, None, "other"))

    await seal(database, made)

    found = await accounts(database, town.zone_id)
    assert found["other"] == {"operator": -PRICE, "spent": PRICE}
    assert found[""] == {"operator": -PRICE, "spent": PRICE}
    assert await balance(database, town.zone_id) == -PRICE
    await assert_books_close(database, town.zone_id)


async def test_an_addendum_is_money_of_the_lot_that_was_reserved_even_after_its_end(database):
    now = await make.now_ms(database)
    town = await a_town(database, 3, until_ms=now + DAY_MS)
    made = await make.a_campaign(database, town)
    await make.sent(database, answer=lambda ids: make.happened(ids, DeliveryEvent.IN_DOUBT), resending=make.PATIENT)
    await stop(database, made)
    await close(database, made)
    await seal(database, made)
    await at(database, now + DAY_MS, ledger.expire_lots)
    await database.write(lambda tx: ledger.add_lot(tx, town.zone_id, 700, None, "next"))

    await at(database, now + 2 * DAY_MS, lambda tx: addenda.add(tx, made.id, 1, "{}", PRICE))
    await at(database, now + 3 * DAY_MS, lambda tx: addenda.add(tx, made.id, 2, "{}", 3 * PRICE))

    found = await accounts(database, town.zone_id)
    assert found["lot"] == {"operator": -LOT, "spent": 3 * PRICE, "expired": LOT - 3 * PRICE}
    assert found["next"] == {"operator": -700, "lot": 700}
    assert [what for what, _ in await booked(database, made.id)].count("addendum") == 2
    await assert_books_close(database, town.zone_id)


async def test_no_addendum_goes_beyond_the_first_reservation_or_takes_back_what_was_paid(database):
    town = await a_town(database, 2)
    made = await make.a_campaign(database, town)
    await make.sent(database)
    await make.tick(database)
    await seal(database, made)

    for amount in (2 * PRICE + 1, PRICE):
        with pytest.raises(ValueError, match="campaign"):
            await database.write(lambda tx, a=amount: addenda.add(tx, made.id, 1, "{}", a))

    assert await balance(database, town.zone_id) == LOT - 2 * PRICE


async def test_what_was_charged_above_the_reservation_is_not_settled(database):
    town = await a_town(database, 2)
    made = await make.a_campaign(database, town)
    await make.sent(database)
    await make.tick(database)

    await database.write(lambda tx: campaign_steps.seal(tx, made.id, "{}", 1_000))

    assert await balance(database, town.zone_id) == LOT - 2 * PRICE
    async with database.read() as conn:
        assert (await campaigns.by_id(conn, made.id)).settled_millieuro == 2 * PRICE


async def test_a_batch_whose_worker_died_stays_reserved_as_what_is_in_doubt(database):
    town = await a_town(database, 10)
    made = await make.a_campaign(database, town)
    held = await make.must_claim(database)
    await make.advance(database, held, 3, lease_ms=-1)
    await stop(database, made)
    assert await balance(database, town.zone_id) == LOT - 3 * PRICE

    await database.write(recovery.recover)
    await close(database, made)

    assert await balance(database, town.zone_id) == LOT - 3 * PRICE
    assert await charged(database, made) == 0
    await assert_books_close(database, town.zone_id)
