"""Receipts: whose they are, and what they mean. Never a guess that could show as delivered what is not."""

import pytest
import sqlalchemy as sa

from store.outbox import recovery
from store.outbox.inbox import ReceiptReport, Recorded, record, try_due
from store.outbox.records import Settlement
from store.outbox.settling import apply
from store.states import DeliveryEvent
from store.tables import receipt_inbox
from tests.store import makers as make
from tests.store.invariants import assert_sums_close


async def receive(database, *reports) -> Recorded:
    return await database.write(lambda tx: record(tx, reports))


async def look_again(database, *, settled_ms=-1):
    return await make.look_again(database, settled_ms=settled_ms)


async def inbox(database):
    async with database.read() as conn:
        rows = await conn.execute(sa.select(receipt_inbox).order_by(receipt_inbox.c.id))
        return [(r.carrier, r.ref, r.state, r.matched_ms is not None) for r in rows.all()]


async def in_hand(database, n=1, **options):
    made = await make.a_campaign(database, n, **options)
    held = await make.must_claim(database)
    await make.advance(database, held)
    return made, held


async def sent(database, *refs, n=1, event=DeliveryEvent.ACCEPTED, **options):
    """A campaign whose first delivery has these references on carrier `c1`."""
    made, held = await in_hand(database, n, **options)
    await make.settle(database, held, [Settlement(made.ids["sms"][0], event, "c1", refs)])
    return made


async def assert_words(database, made, *words):
    assert await make.words_of(database, made) == list(words)
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)


@pytest.mark.parametrize(
    ("state", "word"),
    [("delivered", "delivered"), ("failed", "failed"), ("expired", "expired"), ("pending", "accepted")],
)
async def test_a_receipt_finds_its_message_by_reference(database, state, word):
    made = await sent(database, "r1")

    assert await receive(database, ReceiptReport("c1", "r1", state, 1, code="042", text="why")) == Recorded(1, 0)

    await assert_words(database, made, word)
    assert await inbox(database) == []
    (row,) = await make.rows_of(database, made)
    assert (row.code, row.text) == ((None, None) if state == "pending" else ("042", "why"))


@pytest.mark.parametrize(("carrier", "words"), [("c1", ("delivered", "accepted")), ("c2", ("accepted", "delivered"))])
async def test_another_carriers_equal_id_is_another_message(database, carrier, words):
    made, held = await in_hand(database, 2)
    a, b = made.ids["sms"]
    await make.settle(
        database,
        held,
        [Settlement(a, DeliveryEvent.ACCEPTED, "c1", ("7",)), Settlement(b, DeliveryEvent.ACCEPTED, "c2", ("7",))],
    )

    await receive(database, ReceiptReport(carrier, "7", "delivered", 1))

    await assert_words(database, made, *words)


async def test_a_receipt_that_overtakes_the_record_of_its_sending_waits_for_it(database):
    made, held = await in_hand(database)

    assert await receive(database, ReceiptReport("c1", "r1", "delivered", 1)) == Recorded(0, 1)
    assert await make.words_of(database, made) == ["queued"]
    await make.settle(database, held, [Settlement(made.ids["sms"][0], DeliveryEvent.ACCEPTED, "c1", ("r1",))])

    await assert_words(database, made, "delivered")
    assert await inbox(database) == [("c1", "r1", "delivered", True)]
    (row,) = await make.rows_of(database, made)
    assert row.sent_ms is not None


async def test_an_early_receipt_never_goes_to_an_older_message_to_the_same_address(database):
    """The older one is in doubt, the newer one was taken and delivered before its record was made."""
    town = await make.a_town(database, 1)
    old = await make.a_campaign(database, town)
    held = await make.must_claim(database)
    await make.advance(database, held)
    await make.give_back(database, held, make.happened(old.ids["sms"], DeliveryEvent.IN_DOUBT), resending=make.PATIENT)
    new = await make.a_campaign(database, town)
    held = await make.must_claim(database)
    await make.advance(database, held)
    destination = town.people[0].addresses["sms"]

    await receive(database, ReceiptReport("c1", "r-new", "delivered", 1, destination=destination))
    await look_again(database, settled_ms=60_000)
    await make.settle(database, held, [Settlement(new.ids["sms"][0], DeliveryEvent.ACCEPTED, "c1", ("r-new",))])

    await assert_words(database, old, "unknown")
    await assert_words(database, new, "delivered")


async def test_a_receipt_that_comes_twice_changes_nothing_the_second_time(database):
    made = await sent(database, "r1")
    report = ReceiptReport("c1", "r1", "delivered", 1)

    await receive(database, report, report)
    before = await make.rows_of(database, made)
    assert await receive(database, report) == Recorded(1, 0)

    assert await make.rows_of(database, made) == before
    await assert_words(database, made, "delivered")


async def test_a_receipt_nobody_knows_is_kept_once(database):
    unknown = ReceiptReport("c1", "who", "delivered", 1, raw="id:who " + "x" * 2000, text="y" * 500)

    assert await receive(database, unknown, unknown) == Recorded(0, 2)
    assert await receive(database, unknown) == Recorded(0, 1)

    assert await inbox(database) == [("c1", "who", "delivered", False)]


async def test_another_reading_of_the_id_is_believed_only_when_the_destination_agrees(database):
    made = await sent(database, "255")
    address = made.town.people[0].addresses["sms"]

    await receive(database, ReceiptReport("c1", "ff", "delivered", 1, readings=lambda _: ("255",)))
    await receive(
        database, ReceiptReport("c1", "FF", "delivered", 1, readings=lambda _: ("255",), destination="+32470999999")
    )
    await assert_words(database, made, "accepted")

    await receive(
        database, ReceiptReport("c1", "0xff", "delivered", 1, readings=lambda _: ("255",), destination=address)
    )
    await assert_words(database, made, "delivered")


async def test_the_id_itself_is_believed_before_another_reading_of_it(database):
    first, other = await sent(database, "16"), await sent(database, "10")

    await receive(database, ReceiptReport("c1", "16", "delivered", 1, readings=lambda _: ("10",)))

    await assert_words(database, first, "delivered")
    await assert_words(database, other, "accepted")


async def test_an_id_with_the_number_of_another_member_is_another_message(database):
    made = await sent(database, "1")
    somebody = (await make.a_town(database, 1)).people[0].addresses["sms"]

    assert await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination=somebody)) == Recorded(0, 1)

    await assert_words(database, made, "accepted")
    assert await inbox(database) == [("c1", "1", "delivered", False)]


@pytest.mark.parametrize("misread", ["+470000001", "+320470000001", "+32470000000"])
async def test_an_id_with_a_number_that_is_nobodys_is_believed(database, misread):
    made = await sent(database, "1")

    assert await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination=misread)) == Recorded(1, 0)

    await assert_words(database, made, "delivered")


async def test_an_id_that_two_messages_bear_with_a_number_that_is_nobodys_waits(database):
    old, new = await sent(database, "1"), await sent(database, "1")

    await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination="+470000001"))

    await assert_words(database, old, "accepted")
    await assert_words(database, new, "accepted")
    assert await inbox(database) == [("c1", "1", "delivered", False)]


async def test_a_reading_of_an_id_is_believed_for_its_number_alone(database):
    made = await sent(database, "10")

    await receive(
        database, ReceiptReport("c1", "A", "delivered", 1, destination="+470000001", readings=lambda _: ["10"])
    )

    await assert_words(database, made, "accepted")


@pytest.mark.parametrize("reported", ["SAR-0F-1EEDF843", "sar-0f-1eedf843", "Sar-0F-1eedf843"])
async def test_ids_are_equal_without_case(database, reported):
    made = await sent(database, "SAR-0f-1eedf843")
    number = made.town.people[0].addresses["sms"]

    await receive(database, ReceiptReport("c1", reported, "delivered", 1, destination=number))

    await assert_words(database, made, "delivered")


async def test_ids_that_differ_by_case_alone_are_told_apart(database):
    small, capital = await sent(database, "aB1"), await sent(database, "Ab1")

    await receive(database, ReceiptReport("c1", "Ab1", "delivered", 1))

    await assert_words(database, small, "accepted")
    await assert_words(database, capital, "delivered")


# ---- one id for all parts ----------------------------------------------------------------------------------------


async def test_one_id_for_all_parts_and_one_receipt_for_the_whole(database):
    made = await sent(database, "7", "7", "7")

    await receive(database, ReceiptReport("c1", "7", "delivered", 1))

    await assert_words(database, made, "delivered")


@pytest.mark.parametrize("at_once", [True, False])
async def test_one_id_for_all_parts_and_a_receipt_a_part(database, at_once):
    made = await sent(database, "7", "7", "7")
    three = [ReceiptReport("c1", "7", "delivered", n) for n in range(3)]

    for some in [three] if at_once else [[one] for one in three]:
        await receive(database, *some)

    await assert_words(database, made, "delivered")
    assert await inbox(database) == []


async def test_of_parts_with_one_id_the_worst_is_believed(database):
    made = await sent(database, "7", "7")

    await receive(database, ReceiptReport("c1", "7", "delivered", 1), ReceiptReport("c1", "7", "failed", 2))

    await assert_words(database, made, "failed")


async def test_parts_with_one_id_of_which_one_was_lost_are_not_delivered_by_the_others(database):
    made = await sent(database, "7", "7")
    await receive(database, ReceiptReport("c1", "7", "failed", 1))

    await receive(database, ReceiptReport("c1", "7", "delivered", 2))

    await assert_words(database, made, "failed")


# ---- ids that begin again ----------------------------------------------------------------------------------------


async def test_a_receipt_that_overtakes_its_record_is_not_swallowed_by_an_old_message_with_its_id(database):
    """An SMSC that counts from 1 again, and the same person."""
    town = await make.a_town(database, 1)
    old = await sent(database, "1", n=town)
    await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination=town.people[0].addresses["sms"]))
    new, held = await in_hand(database, town)

    await receive(database, ReceiptReport("c1", "1", "delivered", 2, destination=town.people[0].addresses["sms"]))
    assert await inbox(database) == [("c1", "1", "delivered", False)]
    await make.settle(database, held, [Settlement(new.ids["sms"][0], DeliveryEvent.ACCEPTED, "c1", ("1",))])

    await assert_words(database, old, "delivered")
    await assert_words(database, new, "delivered")


async def test_a_repetition_that_waits_is_never_about_an_attempt_in_doubt(database):
    """The receipt of an old message comes again while a new one to the same person is in hand, and then in doubt."""
    town = await make.a_town(database, 1)
    number = town.people[0].addresses["sms"]
    old = await sent(database, "1", n=town)
    await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination=number))
    new, held = await in_hand(database, town)

    assert await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination=number)) == Recorded(0, 1)
    await make.settle(database, held, [Settlement(new.ids["sms"][0], DeliveryEvent.IN_DOUBT, "c1")])
    await look_again(database)

    await assert_words(database, old, "delivered")
    await assert_words(database, new, "unknown")


async def test_a_receipt_without_a_number_may_be_about_whatever_is_in_hand(database):
    """The SMSC counts from 1 again, for somebody else, and its receipts name nobody."""
    old = await sent(database, "1")
    await receive(database, ReceiptReport("c1", "1", "delivered", 1))
    new, held = await in_hand(database)

    await receive(database, ReceiptReport("c1", "1", "delivered", 2))
    await make.settle(database, held, [Settlement(new.ids["sms"][0], DeliveryEvent.ACCEPTED, "c1", ("1",))])

    await assert_words(database, old, "delivered")
    await assert_words(database, new, "delivered")


async def test_a_receipt_that_comes_twice_is_known_while_nothing_is_in_hand(database):
    made = await sent(database, "1")
    number = made.town.people[0].addresses["sms"]
    for _ in range(2):
        assert await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination=number)) == Recorded(1, 0)


async def test_a_receipt_without_an_id_is_kept_and_is_nobodys(database):
    made = await sent(database, event=DeliveryEvent.IN_DOUBT)
    number = made.town.people[0].addresses["sms"]

    await receive(database, ReceiptReport("c1", "", "delivered", 1, destination=number, raw="what it said"))
    await look_again(database)

    await assert_words(database, made, "unknown")
    assert await inbox(database) == [("c1", "", "delivered", False)]


async def test_of_two_messages_with_one_id_the_destination_decides(database):
    """A carrier that begins its numbers again."""
    old = await sent(database, "1")
    new = await sent(database, "1")

    await receive(database, ReceiptReport("c1", "1", "delivered", 1, destination=old.town.people[0].addresses["sms"]))

    await assert_words(database, old, "delivered")
    await assert_words(database, new, "accepted")


async def test_of_two_messages_with_one_id_and_nothing_else_the_outstanding_and_newest_is_meant(database):
    old = await sent(database, "1")
    await receive(database, ReceiptReport("c1", "1", "delivered", 1))
    new = await sent(database, "1")

    await receive(database, ReceiptReport("c1", "1", "failed", 1))

    await assert_words(database, old, "delivered")
    await assert_words(database, new, "failed")


# ---- by destination --------------------------------------------------------------------------------------


async def in_doubt(database, town, *, carrier="c1", event=DeliveryEvent.IN_DOUBT, units=1):
    made = await make.a_campaign(database, town, crash_policy="report", units=units)
    held = await make.must_claim(database)
    await make.advance(database, held)
    await make.give_back(database, held, [Settlement(i, event, carrier) for i in made.ids["sms"]])
    return made


async def test_when_exactly_one_in_doubt_fits_the_destination_the_receipt_is_its_own(database):
    town = await make.a_town(database, 2)
    made = await in_doubt(database, town)
    report = ReceiptReport("c1", "lost-id", "delivered", 1, destination=town.people[0].addresses["sms"])

    assert await receive(database, report) == Recorded(0, 1)
    assert await look_again(database, settled_ms=60_000) == 0, "not before others can have claimed it"
    assert await look_again(database) == 1

    await assert_words(database, made, "delivered", "unknown")
    assert await inbox(database) == [("c1", "lost-id", "delivered", True)]
    assert await look_again(database) == 0


async def test_what_a_dead_worker_had_in_hand_is_found_whatever_the_carrier(database):
    town = await make.a_town(database, 1)
    made = await in_doubt(database, town, carrier="", event=DeliveryEvent.LOST)

    await receive(database, ReceiptReport("c9", "x", "delivered", 1, destination=town.people[0].addresses["sms"]))
    await look_again(database)

    await assert_words(database, made, "delivered")


async def test_a_late_answer_that_overtook_the_record_of_its_doubt_is_heard_before_the_next_copy(database):
    made = await make.a_campaign(database, 1, units=2)
    (i,) = made.ids["sms"]
    held = await make.must_claim(database)
    await make.advance(database, held)
    for ref in "ab":
        assert await receive(database, ReceiptReport("c1", ref, "pending", 1, answers=i, attempt=1)) == Recorded(0, 1)
    await make.give_back(database, held, [Settlement(i, DeliveryEvent.IN_DOUBT, "c1")])
    await make.tick(database)

    again = await make.claim(database)

    assert again is None or again.rows == ()
    await assert_words(database, made, "accepted")


async def test_a_late_answer_that_overtook_the_record_of_its_doubt_is_found_in_the_inbox(database):
    made = await make.a_campaign(database, 1, crash_policy="report")
    (i,) = made.ids["sms"]
    held = await make.must_claim(database)
    await make.advance(database, held)
    await receive(
        database, ReceiptReport("c1", "a", "pending", 1, answers=i, attempt=1), ReceiptReport("c1", "a", "delivered", 1)
    )
    await make.give_back(database, held, [Settlement(i, DeliveryEvent.IN_DOUBT, "c1")])

    await look_again(database, settled_ms=60_000)

    await assert_words(database, made, "delivered")


async def test_what_a_worker_held_back_for_good_is_nobody_s(database):
    """It was thought dead, and tells so when its lease is lost."""
    town = await make.a_town(database, 1)
    made = await make.a_campaign(database, town, units=2, crash_policy="report")
    held = await make.must_claim(database)
    await make.advance(database, held)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)
    await make.settle(database, held, [Settlement(made.ids["sms"][0], DeliveryEvent.IN_DOUBT, "c1", ("k",), "cut")])

    for ref in ("k", "stray"):
        await receive(database, ReceiptReport("c1", ref, "delivered", 1, destination=town.people[0].addresses["sms"]))
    await look_again(database)

    await assert_words(database, made, "unknown")


async def test_a_simulated_carrier_s_receipt_is_about_no_live_message(database):
    town = await make.a_town(database, 1)
    made = await in_doubt(database, town, carrier="", event=DeliveryEvent.LOST)
    report = ReceiptReport("c1", "x", "delivered", 1, destination=town.people[0].addresses["sms"], mode="simulation")

    await receive(database, report)

    assert await look_again(database) == 0
    await assert_words(database, made, "unknown")


async def test_when_two_in_doubt_fit_nobody_is_guessed(database):
    town = await make.a_town(database, 1)
    first, second = await in_doubt(database, town), await in_doubt(database, town)

    await receive(database, ReceiptReport("c1", "x", "delivered", 1, destination=town.people[0].addresses["sms"]))

    assert await look_again(database) == 0
    await assert_words(database, first, "unknown")
    await assert_words(database, second, "unknown")


async def test_the_receipt_of_a_first_attempt_never_goes_to_another_message_in_doubt(database):
    """An alert in hand at a crash had arrived, is sent again and delivered; a newsletter to the same person, in hand
    at the next crash, had not left. The receipt of the alert's first attempt names nobody but that person."""
    town = await make.a_town(database, 1)
    alarm = await in_doubt(database, town, carrier="", event=DeliveryEvent.LOST)
    await receive(database, ReceiptReport("c1", "first", "delivered", 1, destination=town.people[0].addresses["sms"]))
    again = [Settlement(alarm.ids["sms"][0], event, "c1", refs) for event, refs in
             ((DeliveryEvent.RESEND, ()), (DeliveryEvent.ACCEPTED, ("second",)))]  # fmt: skip
    await database.write(lambda tx: apply(tx, again, round_=2))
    await receive(database, ReceiptReport("c1", "second", "delivered", 1))
    news = await in_doubt(database, town, carrier="", event=DeliveryEvent.LOST)

    async def a_minute_ago(tx):
        await tx.run(sa.update(receipt_inbox).values(received_ms=tx.now_ms - 60_000))

    await database.write(a_minute_ago)
    assert await look_again(database, settled_ms=60_000) == 0

    await assert_words(database, alarm, "delivered")
    await assert_words(database, news, "unknown")


@pytest.mark.parametrize(
    "report",
    [
        ReceiptReport("c2", "x", "delivered", 1, destination="HERE"),
        ReceiptReport("c1", "x", "delivered", 1),
        ReceiptReport("c1", "x", "delivered", 1, destination="+32470000000"),
        ReceiptReport("c1", "x", "pending", 1, destination="HERE"),
    ],
    ids=["another carrier", "no destination", "another destination", "not final"],
)
async def test_what_does_not_fit_stays_in_the_inbox(database, report):
    town = await make.a_town(database, 1)
    made = await in_doubt(database, town)
    if report.destination == "HERE":
        report = ReceiptReport(report.carrier, "x", report.state, 1, destination=town.people[0].addresses["sms"])

    await receive(database, report)
    await look_again(database)

    await assert_words(database, made, "unknown")
    assert [matched for *_, matched in await inbox(database)] == [False]


async def test_a_receipt_from_before_the_sending_is_another_messages(database):
    town = await make.a_town(database, 1)
    await receive(database, ReceiptReport("c1", "old", "delivered", 1, destination=town.people[0].addresses["sms"]))

    async def a_day_ago(tx):
        await tx.run(sa.update(receipt_inbox).values(received_ms=tx.now_ms - 24 * make.HOUR_MS))

    await database.write(a_day_ago)
    made = await in_doubt(database, town)

    assert await look_again(database, settled_ms=60_000) == 0
    await assert_words(database, made, "unknown")


async def test_one_part_of_a_long_sms_in_doubt_says_nothing_of_the_others(database):
    town = await make.a_town(database, 2)
    made = await in_doubt(database, town, units=2)
    for n, state in enumerate(("delivered", "failed")):
        await receive(database, ReceiptReport("c1", f"x{n}", state, 1, destination=town.people[n].addresses["sms"]))

    await look_again(database)

    await assert_words(database, made, "unknown", "failed")


async def test_the_inbox_is_gone_through_in_pages(database):
    for n in range(5):
        await receive(database, ReceiptReport("c1", f"r{n}", "delivered", 1))

    await database.write(lambda tx: tx.run(sa.update(receipt_inbox).values(due_ms=0)))

    pages = 1
    while await database.write(lambda tx: try_due(tx, since_ms=-1, most=2)):
        pages += 1

    assert pages == 3


async def test_what_waits_is_found_without_a_walk_past_all_that_has_ever_waited(database):
    if not database.sqlite:
        pytest.skip("PostgreSQL chooses by what the table holds")
    page = "matched_ms IS NULL AND due_ms <= 5 AND received_ms > 1 ORDER BY due_ms, id LIMIT 100"

    async with database.read() as conn:
        plan = (await conn.execute(sa.text(f"EXPLAIN QUERY PLAN SELECT * FROM receipt_inbox WHERE {page}"))).all()

    assert "ix_receipt_inbox_due" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


async def test_a_reading_of_the_id_that_becomes_known_later_is_found_in_the_inbox(database):
    made, held = await in_hand(database)
    address = made.town.people[0].addresses["sms"]
    await receive(database, ReceiptReport("c1", "ff", "delivered", 1, readings=lambda _: ("255",), destination=address))
    await make.settle(database, held, [Settlement(made.ids["sms"][0], DeliveryEvent.ACCEPTED, "c1", ("255",))])
    await assert_words(database, made, "accepted")

    assert await look_again(database, settled_ms=60_000) == 1
    await assert_words(database, made, "delivered")


# ---- our own reference -----------------------------------------------------------------------------------


async def test_a_peer_that_echoes_our_reference_needs_no_look_up(database):
    made, held = await in_hand(database, 2)
    a, b = made.ids["sms"]

    found = await receive(
        database,
        ReceiptReport("mail", "v.1", "delivered", 1, delivery_id=a),
        ReceiptReport("mail", "v.2", "failed", 1, delivery_id=b),
    )

    assert found == Recorded(2, 0)
    await assert_words(database, made, "delivered", "failed")
    assert held.rows


async def test_an_echoed_reference_to_nobody_waits_in_the_inbox_and_is_not_dropped(database):
    assert await receive(database, ReceiptReport("mail", "v.404", "failed", 1, delivery_id=404)) == Recorded(0, 1)

    assert await inbox(database) == [("mail", "v.404", "failed", False)]


# ---- parts -----------------------------------------------------------------------------------------------


async def test_a_long_sms_is_delivered_only_when_all_its_parts_are(database):
    made = await sent(database, "a", "b", "c", units=3)

    for ref in "ac":
        await receive(database, ReceiptReport("c1", ref, "delivered", 1))
        await assert_words(database, made, "accepted")
    await receive(database, ReceiptReport("c1", "c", "delivered", 1))
    await assert_words(database, made, "accepted")
    await receive(database, ReceiptReport("c1", "b", "delivered", 1))

    await assert_words(database, made, "delivered")


async def test_all_parts_in_one_go_are_one_delivery(database):
    made = await sent(database, "a", "b", units=2)

    await receive(database, *(ReceiptReport("c1", ref, "delivered", 1) for ref in "ab"))

    await assert_words(database, made, "delivered")


@pytest.mark.parametrize(("state", "word"), [("failed", "failed"), ("expired", "expired")])
async def test_one_lost_part_is_a_lost_message(database, state, word):
    made = await sent(database, "a", "b", units=2)

    await receive(
        database, ReceiptReport("c1", "b", state, 1, code="lost"), ReceiptReport("c1", "a", "delivered", 1, code="fine")
    )

    await assert_words(database, made, word)
    (row,) = await make.rows_of(database, made)
    assert row.code == "lost", "the reason of the part that was lost"


async def test_a_part_that_failed_and_then_arrived_after_all_completes_the_message(database):
    made = await sent(database, "a", "b", units=2)
    await receive(database, ReceiptReport("c1", "a", "delivered", 1), ReceiptReport("c1", "b", "failed", 1))
    await assert_words(database, made, "failed")

    await receive(database, ReceiptReport("c1", "b", "delivered", 1))

    await assert_words(database, made, "delivered")


async def test_delivered_is_not_taken_back_by_a_later_failure_even_of_a_part(database):
    made = await sent(database, "a", "b", units=2)
    await receive(database, *(ReceiptReport("c1", ref, "delivered", 1) for ref in "ab"))

    await receive(database, ReceiptReport("c1", "a", "failed", 1), ReceiptReport("c1", "b", "expired", 1))

    await assert_words(database, made, "delivered")


async def test_failed_and_delivered_in_one_breath_is_delivered(database):
    made = await sent(database, "a")

    await receive(database, ReceiptReport("c1", "a", "failed", 1), ReceiptReport("c1", "a", "delivered", 2))

    await assert_words(database, made, "delivered")


async def test_half_a_message_that_arrived_is_not_a_message(database):
    """The carrier took one part and never answered for the other."""
    made = await sent(database, "a", units=2, event=DeliveryEvent.IN_DOUBT)

    await receive(database, ReceiptReport("c1", "a", "delivered", 1))

    await assert_words(database, made, "unknown")


async def sent_twice(database):
    """One message, in doubt as "first" and then accepted as "second"."""
    made = await make.a_campaign(database, 1)
    (i,) = made.ids["sms"]
    for ref, event in (("first", DeliveryEvent.IN_DOUBT), ("second", DeliveryEvent.ACCEPTED)):
        held = await make.must_claim(database)
        await make.advance(database, held)
        await make.give_back(database, held, [Settlement(i, event, "c1", (ref,))])
        await make.tick(database)
    return made


async def test_a_message_failed_only_when_every_attempt_did(database):
    made = await sent_twice(database)

    await receive(database, ReceiptReport("c1", "second", "failed", 1))
    await assert_words(database, made, "accepted")
    await receive(database, ReceiptReport("c1", "first", "delivered", 1))

    await assert_words(database, made, "delivered")


async def test_when_the_last_open_attempt_fails_the_message_has_failed(database):
    made = await sent_twice(database)

    await receive(database, ReceiptReport("c1", "first", "expired", 1), ReceiptReport("c1", "second", "failed", 1))

    await assert_words(database, made, "failed")


async def test_a_receipt_for_a_cancelled_message_is_a_fact_and_is_charged(database):
    made = await sent(database, "r1", n=2)
    await database.write(lambda tx: apply(tx, make.happened(made.ids["sms"], DeliveryEvent.CANCEL)))
    await receive(database, ReceiptReport("mail", "x", "delivered", 1, delivery_id=made.ids["sms"][1]))

    await assert_words(database, made, "accepted", "delivered")
    assert [row.charged for row in await make.rows_of(database, made)] == [1, 1]


async def test_five_hundred_receipts_are_one_transaction(database):
    made, held = await in_hand(database, 500)
    await make.settle(database, held, make.accepted(made.ids["sms"], parts=2))
    reports = [
        ReceiptReport("c1", f"c1-{i}-{part}", "delivered" if n % 5 else "failed", 1)
        for n, i in enumerate(made.ids["sms"])
        for part in (1, 2)
    ]

    assert await receive(database, *reports) == Recorded(1000, 0)

    words = await make.words_of(database, made)
    assert (words.count("delivered"), words.count("failed")) == (400, 100)
