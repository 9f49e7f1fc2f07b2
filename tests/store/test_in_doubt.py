"""Messages of which nobody has said what became of them: what the house knows is heard before anybody is sent to again,
each waits for itself, and who may have it is never told as not reached."""

import pytest
import sqlalchemy as sa

from store.campaigns import campaign_steps
from store.outbox import inbox, recovery
from store.outbox.inbox import ReceiptReport
from store.outbox.records import Settlement
from store.outbox.resending import Resending
from store.states import BatchState, DeliveryEvent
from store.tables import carrier_ref, delivery, doubt, node, receipt_inbox
from tests.store import makers as make
from tests.store.invariants import assert_sums_close

SMS = Resending(wait_ms=5_000, most_attempts=3)


def later(database, seconds):
    database.clock._offset_ns += int(seconds * 1e9)


async def receive(database, *reports):
    return await database.write(lambda tx: inbox.record(tx, reports))


async def given_back(database, made, *settlements, resending=SMS, **options):
    held = await make.must_claim(database, resending=resending, **options)
    await make.advance(database, held)
    await make.give_back(database, held, settlements, resending=resending)
    return held


async def in_doubt(database, town=1, refs=(), **options):
    made = await make.a_campaign(database, town, **options)
    await given_back(database, made, *(Settlement(i, DeliveryEvent.IN_DOUBT, "c1", refs) for i in made.ids["sms"]))
    return made


async def claimed_again(database, seconds=5.5):
    """The rows that a worker gets after the wait."""
    later(database, seconds)
    await make.tick(database)
    held = await make.claim(database, resending=SMS)
    return make.ids_of(held) if held else []


async def assert_words(database, made, *words):
    assert await make.words_of(database, made) == list(words)
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)


@pytest.fixture
def engine(request):
    """The clock is moved by hand, which only the store in a file lets anybody do."""
    return "sqlite"


# ---- the inbox is heard first ----------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "word"), [("delivered", "delivered"), ("failed", "failed"), ("pending", "accepted")])
async def test_what_a_receipt_in_the_house_answers_is_not_sent_again(database, state, word):
    made = await in_doubt(database)
    later(database, 1)
    address = made.town.people[0].addresses["sms"]
    await receive(database, ReceiptReport("c1", "4711", state, 0, destination=address, code="x", text="y"))

    assert await claimed_again(database) == []

    await assert_words(database, made, word)


async def test_a_receipt_that_follows_one_of_progress_finds_its_message(database):
    made = await in_doubt(database)
    address = made.town.people[0].addresses["sms"]
    await receive(database, ReceiptReport("c1", "4711", "pending", 0, destination=address))
    assert await claimed_again(database) == []

    await receive(database, ReceiptReport("c1", "4711", "delivered", 0, destination=address))

    await assert_words(database, made, "delivered")


async def test_of_a_dead_worker_s_message_the_receipt_of_any_carrier_tells(database):
    made = await make.a_campaign(database, 1)
    held = await make.must_claim(database, resending=SMS)
    await make.advance(database, held)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)
    address = made.town.people[0].addresses["sms"]
    await receive(database, ReceiptReport("c7", "1", "delivered", 0, destination=address))

    assert await claimed_again(database) == []

    await assert_words(database, made, "delivered")


async def test_a_long_sms_is_not_sent_again_when_every_part_has_its_receipt(database):
    whole, half = await in_doubt(database, units=2), await in_doubt(database, units=2)
    for made, parts in ((whole, 2), (half, 1)):
        address = made.town.people[0].addresses["sms"]
        for part in range(parts):
            await receive(database, ReceiptReport("c1", f"{made.id}.{part}", "delivered", 0, destination=address))

    again = [*await claimed_again(database), *await claimed_again(database, 0)]

    assert again == list(half.ids["sms"])
    await assert_words(database, whole, "delivered")


async def test_two_messages_to_one_number_are_both_told_by_two_receipts(database):
    town = await make.a_town(database, 1)
    first, second = await in_doubt(database, town), await in_doubt(database, town)
    address = town.people[0].addresses["sms"]
    await receive(database, *(ReceiptReport("c1", ref, "delivered", 0, destination=address) for ref in "ab"))

    assert await claimed_again(database) == []

    await assert_words(database, first, "delivered")
    await assert_words(database, second, "delivered")


async def test_one_receipt_for_two_messages_is_no_answer_for_either(database):
    town = await make.a_town(database, 1)
    first, second = await in_doubt(database, town), await in_doubt(database, town)
    await receive(database, ReceiptReport("c1", "a", "delivered", 0, destination=town.people[0].addresses["sms"]))

    again = [*await claimed_again(database), *await claimed_again(database, 0)]

    assert sorted(again) == sorted([*first.ids["sms"], *second.ids["sms"]])


async def test_a_receipt_older_than_the_sending_is_another_s(database):
    town = await make.a_town(database, 1)
    await receive(database, ReceiptReport("c1", "old", "delivered", 0, destination=town.people[0].addresses["sms"]))
    later(database, 1)
    made = await in_doubt(database, town)

    assert await claimed_again(database) == list(made.ids["sms"])


async def test_while_another_message_to_the_number_is_in_hand_nobody_is_guessed_and_nobody_sent_to_again(database):
    """The receipt may be that of the one in hand, whose record is not made yet."""
    town = await make.a_town(database, 1)
    made = await in_doubt(database, town)
    other = await make.a_campaign(database, town, kind="news", priority=3)
    busy = await make.must_claim(database, resending=SMS)
    await make.advance(database, busy)
    await receive(database, ReceiptReport("c1", "its-own", "delivered", 0, destination=town.people[0].addresses["sms"]))

    assert await claimed_again(database) == []
    await assert_words(database, made, "unknown")
    await make.give_back(database, busy, [Settlement(other.ids["sms"][0], DeliveryEvent.ACCEPTED, "c1", ("its-own",))])

    await assert_words(database, other, "delivered")
    assert await claimed_again(database) == [] or await make.words_of(database, made) == ["retry"]


async def test_the_inbox_keeps_what_it_has_told(database):
    made = await in_doubt(database)
    address = made.town.people[0].addresses["sms"]
    await receive(database, ReceiptReport("c1", "4711", "delivered", 0, destination=address))
    await claimed_again(database)

    async with database.read() as conn:
        kept = (await conn.execute(sa.select(receipt_inbox.c.matched_ms))).scalars().all()
        filed = (await conn.execute(sa.select(carrier_ref.c.ref))).scalars().all()
    assert kept[0] is not None
    assert filed == ["4711"]


# ---- which one is meant ----------------------------------------------------------------------------------


def number(made):
    return made.town.people[0].addresses["sms"]


def told(made, ref, state="delivered", carrier="c1", **more):
    return ReceiptReport(carrier, ref, state, 0, destination=number(made), **more)


async def twice_in_doubt(database, *, carriers=("c1", "c1"), units=1, between=()):
    made = await make.a_campaign(database, 1, units=units)
    for n, carrier in enumerate(carriers):
        await given_back(database, made, Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, carrier))
        later(database, 1)
        if n == 0:
            await receive(database, *(told(made, ref) for ref in between))
            later(database, 5)
            await make.tick(database)
    return made


@pytest.mark.parametrize("second", ["delivered", "failed", "pending"])
async def test_after_a_fail_over_each_carrier_s_receipt_tells_of_its_own_copy(database, second):
    made = await twice_in_doubt(database, carriers=("c1", "c2"))

    await receive(database, told(made, "x"), told(made, "y", second, "c2"))

    assert await claimed_again(database) == []
    await assert_words(database, made, "delivered")


async def test_two_messages_to_one_number_by_two_carriers_have_each_their_receipt(database):
    town = await make.a_town(database, 1)
    made = []
    for carrier in ("c1", "c2"):
        made.append(await make.a_campaign(database, town))
        await given_back(database, made[-1], Settlement(made[-1].ids["sms"][0], DeliveryEvent.IN_DOUBT, carrier))
    await receive(database, told(made[0], "x"), told(made[1], "y", "failed", "c2"))

    assert [*await claimed_again(database), *await claimed_again(database, 0)] == []

    await assert_words(database, made[0], "delivered")
    await assert_words(database, made[1], "failed")


@pytest.mark.parametrize(("first", "second"), [("delivered", "delivered"), ("delivered", "failed")])
async def test_what_one_receipt_cannot_mean_is_left_for_the_next(database, first, second):
    """The first came before the second message left."""
    town = await make.a_town(database, 1)
    made = []
    for ref, state in (("x", first), ("y", second)):
        made.append(await in_doubt(database, town, crash_policy="report"))
        later(database, 1)
        await receive(database, told(made[-1], ref, state))
        later(database, 1)
    later(database, 61)

    await make.look_again(database)

    await assert_words(database, made[0], first)
    await assert_words(database, made[1], second)


async def test_what_a_page_of_the_inbox_means_depends_on_what_stands_on_the_next(database):
    """Two ids for one part: one of them is a stray."""
    made = await in_doubt(database, crash_policy="report")
    await receive(database, told(made, "x"), told(made, "y"))
    later(database, 61)

    await make.look_again(database, most=1)

    await assert_words(database, made, "unknown")


async def test_a_stray_of_one_carrier_does_not_hide_what_another_s_receipt_means(database):
    made = await twice_in_doubt(database, carriers=("c1", "c2"))
    await receive(database, told(made, "x", "failed"), told(made, "stray", "failed"), told(made, "y", carrier="c2"))

    assert await claimed_again(database) == []

    await assert_words(database, made, "delivered")


async def test_of_copies_of_one_message_any_receipt_tells(database):
    made = await twice_in_doubt(database)
    await receive(database, told(made, "x"))

    assert await claimed_again(database) == []

    await assert_words(database, made, "delivered")


async def test_a_failure_that_was_taken_for_the_first_copy_s_and_is_the_second_one_s_leaves_the_first_in_doubt(
    database,
):
    made = await in_doubt(database)
    later(database, 6)
    await make.tick(database)
    second = await make.must_claim(database, resending=SMS)
    await make.advance(database, second)
    await die(database)
    # One of the two has failed: whose receipt it is nobody can say, and it does not matter yet.
    await receive(database, told(made, "x", "failed"))
    later(database, 70)
    await make.look_again(database)
    assert await doubts_of(database) == ["taken", "open"]

    await make.settle(database, second, [Settlement(made.ids["sms"][0], DeliveryEvent.ACCEPTED, "c1", ("x",))])
    assert await doubts_of(database) == ["open", "taken"]
    await receive(database, told(made, "x", "failed"))
    await assert_words(database, made, "unknown")

    await receive(database, told(made, "y"))
    later(database, 70)
    await make.look_again(database)
    await assert_words(database, made, "delivered")


async def doubts_of(database):
    """What is known of each attempt in doubt, in their order."""
    async with database.read() as conn:
        rows = await conn.execute(sa.select(doubt.c.state).order_by(doubt.c.delivery_id, doubt.c.round))
        return [("open", "lost", "taken")[state] for state in rows.scalars()]


@pytest.mark.parametrize("states", [("pending", "pending"), ("delivered", "pending")])
async def test_a_long_sms_each_part_of_which_is_with_the_carrier_is_accepted(database, states):
    made = await in_doubt(database, units=2)
    await receive(database, *(told(made, f"p{n}", state) for n, state in enumerate(states)))

    assert await claimed_again(database) == []

    await assert_words(database, made, "accepted")
    await receive(database, *(told(made, f"p{n}") for n in range(2)))
    await assert_words(database, made, "delivered")


async def test_the_missing_part_of_a_long_sms_makes_it_whole(database):
    made = await in_doubt(database, units=2, refs=("k",))
    await receive(database, told(made, "k"), told(made, "p", "pending"))

    assert await claimed_again(database) == []

    await assert_words(database, made, "accepted")


@pytest.mark.parametrize("early", [True, False])
async def test_a_half_of_each_of_two_copies_is_no_whole(database, early):
    made = await twice_in_doubt(database, units=2, between=("x",) if early else ())
    await receive(database, *(told(made, ref) for ref in ("x", "y")[early:]))

    await claimed_again(database)

    assert await make.words_of(database, made) != ["delivered"]


async def test_two_copies_of_a_long_sms_whose_parts_cannot_be_told_apart_have_arrived_when_all_parts_have(database):
    made = await twice_in_doubt(database, units=2)
    await receive(database, *(told(made, ref, "delivered" if ref in "ab" else "pending") for ref in "abcd"))

    assert await claimed_again(database) == []
    await assert_words(database, made, "accepted")
    await receive(database, told(made, "c"))
    await assert_words(database, made, "accepted")
    await receive(database, told(made, "d"))

    await assert_words(database, made, "delivered")


async def test_a_part_that_was_held_back_for_good_is_nobody_s(database):
    made = await make.a_campaign(database, 1, units=2)
    await given_back(database, made, Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, "c1", ("k",), "cut"))
    await receive(database, told(made, "k"), told(made, "stray"))

    await claimed_again(database)

    assert await make.words_of(database, made) != ["delivered"]


async def test_a_worker_that_was_thought_dead_tells_what_it_held_back(database):
    made = await make.a_campaign(database, 1, units=2)
    old = await make.must_claim(database, resending=SMS)
    await make.advance(database, old)
    await die(database)
    await make.settle(database, old, [Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, "c1", ("k",), "cut")])
    await receive(database, told(made, "k"), told(made, "stray"))

    await claimed_again(database)

    assert await make.words_of(database, made) != ["delivered"]


async def test_a_receipt_whose_id_is_on_file_is_no_other_message_s(database):
    town = await make.a_town(database, 1)
    first = await in_doubt(database, town, crash_policy="report")
    (i,) = first.ids["sms"]
    await receive(database, told(first, "a", "pending"))
    await receive(database, told(first, "a", "pending", answers=i, attempt=1))
    second = await in_doubt(database, town)

    assert await claimed_again(database) == list(second.ids["sms"])
    await assert_words(database, first, "accepted")


async def die(database):
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)


async def a_call_and_an_sms(database, event):
    """To one mobile; the call is in hand."""
    made = await make.a_campaign(database, 1, channels=("sms", "voice"))
    call = delivery.c.id == made.ids["voice"][0]
    await database.write(lambda tx: tx.run(sa.update(delivery).where(call).values(address=number(made))))
    await make.advance(database, await make.must_claim(database, "voice", resending=SMS))
    await given_back(database, made, Settlement(made.ids["sms"][0], event, "c1"))
    return made


async def test_an_sms_receipt_tells_nothing_of_a_lost_call(database):
    made = await a_call_and_an_sms(database, DeliveryEvent.ACCEPTED)
    await die(database)
    later(database, 1)
    await receive(database, told(made, "stray"))

    later(database, 5.5)
    await make.claim(database, "voice", resending=SMS)

    assert (await make.words_of(database, made))[1] != "delivered"


@pytest.mark.parametrize("rings", [True, False])
async def test_a_call_does_not_hide_whose_an_sms_receipt_is(database, rings):
    made = await a_call_and_an_sms(database, DeliveryEvent.IN_DOUBT)
    if not rings:
        await die(database)
    later(database, 1)
    await receive(database, told(made, "r"))

    await claimed_again(database)

    assert (await make.words_of(database, made))[0] == "delivered"


@pytest.mark.parametrize(("mode", "word"), [("simulation", "retry"), ("live", "delivered")])
async def test_no_receipt_of_a_simulation_answers_for_a_live_message(database, mode, word):
    made = await make.a_campaign(database, 1)
    await make.advance(database, await make.must_claim(database, resending=SMS))
    await die(database)
    later(database, 1)
    await receive(database, told(made, "s", carrier="one", mode=mode))

    await claimed_again(database)

    await assert_words(database, made, word)


async def test_a_simulated_message_in_hand_does_not_hide_whose_a_live_receipt_is(database):
    town = await make.a_town(database, 1)
    made = await in_doubt(database, town)
    await make.a_campaign(database, town, mode="simulation")
    await make.advance(database, await make.must_claim(database, mode="simulation"))
    await receive(database, told(made, "x"))

    assert await claimed_again(database) == []

    await assert_words(database, made, "delivered")


# ---- late answers ----------------------------------------------------------------------------------------


async def test_an_answer_that_comes_late_is_an_acceptance(database):
    made = await in_doubt(database)
    (i,) = made.ids["sms"]

    await receive(database, ReceiptReport("c1", "4711", "pending", 0, answers=i, attempt=1))

    await assert_words(database, made, "accepted")
    assert await claimed_again(database) == []
    await receive(database, ReceiptReport("c1", "4711", "delivered", 0))
    await assert_words(database, made, "delivered")


async def test_a_late_answer_for_one_part_says_nothing_of_the_other(database):
    made = await in_doubt(database, units=2)
    (i,) = made.ids["sms"]

    await receive(database, ReceiptReport("c1", "a", "pending", 0, answers=i, attempt=1))
    await assert_words(database, made, "unknown")
    await receive(database, ReceiptReport("c1", "b", "pending", 0, answers=i, attempt=1))

    await assert_words(database, made, "accepted")


async def test_the_receipt_that_came_before_the_late_answer_is_found_by_it(database):
    made = await in_doubt(database)
    (i,) = made.ids["sms"]
    await receive(database, ReceiptReport("c1", "4711", "delivered", 0))
    await assert_words(database, made, "unknown")

    await receive(database, ReceiptReport("c1", "4711", "pending", 0, answers=i, attempt=1))

    await assert_words(database, made, "delivered")


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("names_the_number", [True, False])
async def test_a_late_answer_that_overtakes_the_record_of_its_doubt_counts_the_same(database, units, names_the_number):
    made = await make.a_campaign(database, 1, units=units)
    (i,) = made.ids["sms"]
    held = await make.must_claim(database, resending=SMS)
    await make.advance(database, held)
    destination = number(made) if names_the_number else None
    for n in range(units):
        await receive(
            database, ReceiptReport("c1", f"p{n}", "pending", 0, destination=destination, answers=i, attempt=1)
        )

    await make.give_back(database, held, [Settlement(i, DeliveryEvent.IN_DOUBT, "c1")], resending=SMS)

    assert await claimed_again(database) == []
    await assert_words(database, made, "accepted")


async def test_a_late_answer_is_no_other_attempt_s(database):
    """It names its own, which is not in doubt."""
    made = await in_doubt(database)
    await receive(database, told(made, "x", "pending", answers=made.ids["sms"][0], attempt=7))

    assert await claimed_again(database) == list(made.ids["sms"])


async def test_a_late_answer_to_nobody_waits_in_the_inbox(database):
    made = await in_doubt(database)

    await receive(database, ReceiptReport("c1", "4711", "pending", 0, answers=made.ids["sms"][0], attempt=7))

    await assert_words(database, made, "unknown")


# ---- each waits for itself -------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["resend", "report"])
async def test_what_is_in_doubt_does_not_wait_for_what_was_put_off(database, policy):
    made = await make.a_campaign(database, 2, crash_policy=policy)
    a, b = made.ids["sms"]

    await given_back(
        database,
        made,
        Settlement(a, DeliveryEvent.DEFERRED, "c1", wait_ms=300_000),
        Settlement(b, DeliveryEvent.IN_DOUBT, "c1"),
    )

    (row,) = await make.batches_of(database, made)
    wait_ms = row.due_ms - await make.now_ms(database)
    assert 0 < wait_ms <= (5_000 if policy == "resend" else 300_000)
    assert (wait_ms > 5_000) == (policy == "report")


async def test_what_was_put_off_does_not_wait_for_what_is_in_doubt(database):
    made = await make.a_campaign(database, 2)
    a, b = made.ids["sms"]
    slow = Resending(wait_ms=300_000, most_attempts=3)

    await given_back(
        database, made, Settlement(a, DeliveryEvent.DEFERRED, "c1", wait_ms=2_000), Settlement(b,
        DeliveryEvent.IN_DOUBT, "c1"),
        resending=slow,
    )  # fmt: skip

    (row,) = await make.batches_of(database, made)
    assert row.due_ms - await make.now_ms(database) <= 2_000
    later(database, 2.5)
    await make.tick(database)
    assert make.ids_of(await make.must_claim(database, resending=slow)) == [a]


# ---- who may have it is never told as not reached --------------------------------------------------------


async def attempted(database, made, *events, carrier="c1", refs=()):
    for event in events:
        held = await make.must_claim(database)
        await make.advance(database, held)
        await make.give_back(database, held, [Settlement(made.ids["sms"][0], event, carrier, refs, code="x")])
        await make.tick(database)


@pytest.mark.parametrize("event", [DeliveryEvent.REFUSED, DeliveryEvent.EXHAUSTED])
async def test_who_may_have_an_earlier_copy_is_in_doubt_whatever_becomes_of_the_next(database, event):
    made = await make.a_campaign(database, 1)
    await attempted(database, made, DeliveryEvent.IN_DOUBT, event)

    await assert_words(database, made, "unknown")
    assert await make.claim(database) is None, "what a carrier has refused is not sent a third time"


@pytest.mark.parametrize("end", ["stop", "expire"])
async def test_who_may_have_it_is_in_doubt_when_the_campaign_ends_before_the_next_copy(database, end):
    made = await make.a_campaign(database, 2)
    held = await make.must_claim(database)
    await make.advance(database, held, 1)
    await make.give_back(database, held, [Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, "c1")])
    again = await make.must_claim(database)  # the first one is to be sent again
    await make.give_back(database, again)

    if end == "stop":
        await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))
    else:
        later(database, 3601)
        await make.tick(database)
    while await database.write(campaign_steps.close_ended):
        pass

    await assert_words(database, made, "unknown", "cancelled" if end == "stop" else "expired")


async def test_the_failure_of_the_second_copy_is_not_that_of_the_first(database):
    made = await make.a_campaign(database, 1)
    await attempted(database, made, DeliveryEvent.IN_DOUBT)
    await attempted(database, made, DeliveryEvent.ACCEPTED, refs=("second",))

    await receive(database, ReceiptReport("c1", "second", "failed", 0))
    await assert_words(database, made, "unknown")
    later(database, 61)
    address = made.town.people[0].addresses["sms"]
    await receive(database, ReceiptReport("c1", "first", "delivered", 0, destination=address))
    later(database, 61)
    await make.look_again(database)

    await assert_words(database, made, "delivered")


async def test_when_every_copy_is_known_to_have_failed_the_message_has(database):
    made = await make.a_campaign(database, 1)
    await attempted(database, made, DeliveryEvent.IN_DOUBT)
    await attempted(database, made, DeliveryEvent.REFUSED)
    address = made.town.people[0].addresses["sms"]

    await receive(database, ReceiptReport("c1", "first", "failed", 0, destination=address))
    later(database, 61)
    await make.look_again(database)

    await assert_words(database, made, "failed")


async def test_a_failure_of_an_earlier_copy_does_not_close_one_in_hand(database):
    made = await make.a_campaign(database, 1, units=2)
    (i,) = made.ids["sms"]
    await attempted(database, made, DeliveryEvent.IN_DOUBT, refs=("p1",))
    again = await make.must_claim(database)
    await make.advance(database, again)

    await receive(database, ReceiptReport("c1", "p1", "failed", 0))
    await make.give_back(database, again, [Settlement(i, DeliveryEvent.ACCEPTED, "c2", ("q1", "q2"))])

    await assert_words(database, made, "accepted")
    await receive(database, *(ReceiptReport("c2", ref, "failed", 0) for ref in ("q1", "q2")))
    await assert_words(database, made, "failed")


@pytest.mark.parametrize(("event", "word"), [(DeliveryEvent.REFUSED, "failed"), (DeliveryEvent.ACCEPTED, "accepted")])
async def test_a_late_refusal_of_a_lost_lease_does_not_decide_over_the_next_copy(database, event, word):
    made = await make.a_campaign(database, 1)
    (i,) = made.ids["sms"]
    old = await make.must_claim(database, node="old")
    await make.advance(database, old)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)
    new = await make.must_claim(database, node="new")
    await make.advance(database, new)

    for _ in range(2):  # told twice: the first commit's answer was lost
        await make.settle(database, old, [Settlement(i, DeliveryEvent.REFUSED, "c1", code="11")])
    await assert_words(database, made, "retry")
    await make.give_back(database, new, [Settlement(i, event, "c2", code="12")])

    await assert_words(database, made, word)


async def test_an_old_bounce_decides_nothing_about_a_newer_copy(database):
    """Our own reference came back with it: it names the attempt."""
    made = await make.a_campaign(database, 1)
    (i,) = made.ids["sms"]
    await attempted(database, made, DeliveryEvent.IN_DOUBT, DeliveryEvent.ACCEPTED)

    await receive(database, ReceiptReport("c1", "g.1.1", "failed", 0, delivery_id=i, attempt=1))
    await assert_words(database, made, "accepted")
    await receive(database, ReceiptReport("c1", "g.1.2", "failed", 0, delivery_id=i, attempt=2))

    await assert_words(database, made, "failed")


async def test_a_bounce_that_overtakes_the_record_of_its_sending_counts(database):
    made = await make.a_campaign(database, 1)
    (i,) = made.ids["sms"]
    held = await make.must_claim(database)
    await make.advance(database, held)

    await receive(database, ReceiptReport("c1", "g.1.1", "failed", 0, delivery_id=i, attempt=1))
    await make.give_back(database, held, [Settlement(i, DeliveryEvent.ACCEPTED, "c1")])

    await assert_words(database, made, "failed")


async def test_a_doubt_that_is_answered_is_kept_as_answered(database):
    made = await in_doubt(database)
    (i,) = made.ids["sms"]
    await receive(database, ReceiptReport("c1", "4711", "pending", 0, answers=i, attempt=1))

    async with database.read() as conn:
        rows = (await conn.execute(sa.select(doubt.c.delivery_id, doubt.c.round, doubt.c.state))).all()
    assert [tuple(row) for row in rows] == [(i, 1, 2)]
    (row,) = await make.rows_of(database, made)
    assert (row.doubted, row.attempts) == (0, 1)


async def test_a_batch_with_nothing_but_doubt_comes_back_for_urgent_kinds_only(database):
    urgent = await in_doubt(database)
    other = await in_doubt(database, crash_policy="report")

    assert (await make.batches_of(database, urgent))[0].state == BatchState.WAITING
    assert (await make.batches_of(database, other))[0].state == BatchState.DONE


# ---- between the copies ----------------------------------------------------------------------------------


def one_doubt(made, carrier="c1", **more):
    return Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, carrier, **more)


async def turn(database, *settlements, channel="sms"):
    held = await make.must_claim(database, channel, resending=SMS)
    await make.advance(database, held)
    await make.give_back(database, held, settlements, resending=SMS)


async def passes(database, seconds):
    later(database, seconds)
    await make.tick(database)


async def again(database):
    held = await make.claim(database, resending=SMS)
    return make.ids_of(held) if held else []


@pytest.mark.parametrize("event", [DeliveryEvent.NOT_SENT, DeliveryEvent.DEFERRED])
async def test_a_second_copy_that_did_not_leave_hears_the_inbox_again(database, event):
    made = await make.a_campaign(database, 1)
    await turn(database, one_doubt(made))
    await passes(database, 5.5)
    await turn(database, Settlement(made.ids["sms"][0], event, "c1", wait_ms=1000))
    await passes(database, 1)
    await receive(database, ReceiptReport("c1", "r", "delivered", 0, destination=number(made)))
    await passes(database, 5)
    assert await again(database) == []


@pytest.mark.parametrize("late", [DeliveryEvent.NOT_SENT, DeliveryEvent.DEFERRED])
async def test_a_late_word_on_the_first_copy_does_not_send_a_fourth(database, late):
    made = await make.a_campaign(database, 1)
    old = await make.must_claim(database, resending=SMS)
    await make.advance(database, old)
    await die(database)
    for _ in range(2):
        await passes(database, 5.5)
        await turn(database, one_doubt(made))
    await make.settle(database, old, [Settlement(made.ids["sms"][0], late, "c1")])
    await make.tick(database)
    assert await again(database) == []


# ---- a clock that was stepped back -----------------------------------------------------------------------


async def back(database):
    """The clock steps back ten minutes while the server is down."""

    async def seen(tx):
        await tx.run(sa.insert(node).values(boot_id="x", name="n", started_ms=1, seen_ms=tx.now_ms))

    await database.write(seen)
    database.clock._offset_ns -= 600 * 10**9
    await database.write(recovery.forget_the_future)
    await die(database)


@pytest.mark.parametrize("died", [True, False])
async def test_a_receipt_of_after_the_step_finds_a_doubt_of_before(database, died):
    made = await make.a_campaign(database, 1)
    held = await make.must_claim(database, resending=SMS)
    await make.advance(database, held)
    if not died:
        await make.give_back(database, held, [one_doubt(made)], resending=SMS)
    await back(database)
    await passes(database, 1)
    await receive(database, ReceiptReport("c1", "r", "delivered", 0, destination=number(made)))
    await passes(database, 5.5)
    assert await again(database) == []


async def test_a_receipt_of_before_the_step_is_not_that_of_a_message_of_after(database):
    town = await make.a_town(database, 1)
    await receive(database, ReceiptReport("c1", "old", "delivered", 0, destination=town.people[0].addresses["sms"]))
    await back(database)
    await passes(database, 10)
    made = await make.a_campaign(database, town)
    await turn(database, one_doubt(made))
    await passes(database, 5.5)
    await again(database)
    assert await make.words_of(database, made) != ["delivered"]
