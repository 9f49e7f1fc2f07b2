"""The account of a campaign: every person in one outcome with a reason, every sum counted twice, every cent."""

import contextlib
import csv
import io
import itertools

import msgspec
import pytest
import sqlalchemy as sa
from rich.console import Console

from channels.contract import Channel
from gateway.failed_work_rests import Setbacks
from gateway.reports import sealing
from gateway.reports.addenda import amend_due
from gateway.reports.reading import draw_up, parsed, report_of, written
from gateway.reports.report import Addendum, Report
from gateway.reports.sealing import seal_due
from gateway.reports.tabular import csv_of
from gateway.reports.terminal import print_report
from store.access import break_glass
from store.access.break_glass import BreakGlassUse
from store.audit_line import Actor
from store.campaigns import campaign_steps
from store.engine.database import Database
from store.engine.turns import Turn
from store.errors import StoreUnavailable
from store.states import DeliveryEvent
from store.tables import audience as audience_table
from store.tables import campaign, delivery, entry, progress
from tests.gateway.populated_store import House, an_alert
from tests.store.bookkeeping import booked

_SPENT = sa.select(sa.func.sum(entry.c.amount_millieuro)).where(entry.c.account == "spent")
SMS, EMAIL, VOICE = Channel.SMS, Channel.EMAIL, Channel.VOICE


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    await house.zone("A")
    await house.zone("B")
    await house.account("cic")
    return house


def outcomes(report: Report) -> dict[str, dict[str, int]]:
    return {line.outcome: {c.reason: c.persons for c in line.reasons} for line in report.persons.outcomes}


def broken(report: Report) -> list[str]:
    return [equation.name for equation in report.equations if not equation.holds]


async def test_every_person_is_in_one_outcome_with_a_reason_and_all_sums_close(house: House, database: Database):
    people = await house.people("A", 12)
    audience = house.audience({SMS: people[:10], EMAIL: people[:3]}, excluded=people[10:])
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(number, *((seq, DeliveryEvent.ACCEPTED) for seq in (0, 1, 2, 3, 4)))
    await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED), (1, DeliveryEvent.RECEIPT_DELIVERED))
    await house.settle(number, (2, DeliveryEvent.RECEIPT_FAILED), (5, DeliveryEvent.REFUSED), code="1024")
    await house.settle(number, (6, DeliveryEvent.IN_DOUBT), (7, DeliveryEvent.EXPIRE), (8, DeliveryEvent.CANCEL))
    await house.settle(number, (10, DeliveryEvent.ACCEPTED), (11, DeliveryEvent.REFUSED), (12, DeliveryEvent.ACCEPTED))
    await house.settle(number, (12, DeliveryEvent.RECEIPT_DELIVERED), (10, DeliveryEvent.RECEIPT_DELIVERED))

    report = await draw_up(database, number)

    assert broken(report) == []
    assert report.sums_close
    assert outcomes(report) == {
        "reached": {"sms+email": 1, "sms": 1, "email": 1},
        "accepted": {"taken: sms": 2},
        "in_doubt": {"unknown": 1},
        "not_reached": {"sms: 1024": 1},
        "expired": {"expired": 1},
        "cancelled": {"cancelled": 1},
        "pending": {"queued": 1},
    }
    assert (report.persons.resolved, report.persons.included) == (12, 10)
    assert [(c.reason, c.persons) for c in report.persons.excluded] == [("opted_out", 2)]
    assert report.contacts.candidates == 24
    assert report.contacts.deliveries == {"sms": 10, "email": 3}


async def test_accepted_is_never_called_delivered(house: House, database: Database):
    people = await house.people("A", 3)
    audience = house.audience({SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.ACCEPTED), (2, DeliveryEvent.ACCEPTED))

    report = await draw_up(database, number)

    assert report.persons.of("reached") == 0
    assert outcomes(report) == {"accepted": {"taken: sms": 3}}
    assert report.channels[0].delivered_share == 0


async def test_who_was_handed_over_and_nobody_confirms_is_a_class_of_its_own(house: House, database: Database):
    """A mail that was taken, beside an SMS of which nothing is known, is neither in doubt nor delivered."""
    people = await house.people("A", 3)
    audience = house.audience({SMS: people, EMAIL: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(
        number,
        *((n, DeliveryEvent.IN_DOUBT) for n in range(3)),
        (3, DeliveryEvent.ACCEPTED),
        (4, DeliveryEvent.RECEIPT_DELIVERED),
    )

    report = await draw_up(database, number)

    assert outcomes(report) == {
        "reached": {"email": 1},
        "accepted": {"taken: email": 1},
        "in_doubt": {"unknown": 1},
    }
    [handed_over] = [o for o in report.persons.outcomes if o.outcome == "accepted"]
    assert handed_over.reasons[0].text == "A carrier of email took it; no receipt says that it arrived."


@pytest.mark.parametrize(("kind", "first"), [("alert", "in_doubt"), ("news", "reached")])
async def test_whoever_may_not_have_an_alert_stands_first(house: House, database: Database, kind: str, first: str):
    people = await house.people("A", 3)
    audience = house.audience({SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1", kind=kind))
    await house.expand(number, audience)
    await house.settle(
        number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.IN_DOUBT), (0, DeliveryEvent.RECEIPT_DELIVERED)
    )
    await database.write(lambda tx: tx.run(sa.update(campaign).values(state="completed", ended_ms=tx.now_ms)))

    report = await draw_up(database, number)

    assert report.persons.outcomes[0].outcome == first
    shown = Console(width=200, record=True, file=io.StringIO())
    print_report(report, shown)
    told = f"1 may not have the alert, and it is not sent to them again: GET /api/v1/campaigns/{report.campaign.id}/"
    assert (told in shown.export_text()) == (kind == "alert")


async def test_the_report_as_a_table_has_the_same_figures(house: House, database: Database):
    people = await house.people("A", 3)
    audience = house.audience({SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(
        number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.IN_DOUBT), (2, DeliveryEvent.RECEIPT_DELIVERED)
    )

    report = await draw_up(database, number)
    rows = list(csv.DictReader(io.StringIO(csv_of(report))))

    persons = {row["name"]: int(row["count"]) for row in rows if row["section"] == "persons" and not row["reason"]}
    assert persons == {"resolved": 3, "included": 3, "reached": 1, "accepted": 1, "in_doubt": 1}
    assert all(row["count"].lstrip("-").isdigit() for row in rows)


async def test_a_report_stands_from_the_first_second_before_any_row_is_made(house: House, database: Database):
    people = await house.people("A", 5)
    audience = house.audience({SMS: people, EMAIL: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))

    first = await draw_up(database, number)
    await house.expand(number, audience, {SMS: 2, EMAIL: 0})
    second = await draw_up(database, number)

    assert first.sums_close
    assert outcomes(first) == {"pending": {"queued": 5}}
    assert broken(second) == []
    assert [line.not_expanded for line in second.channels] == [3, 5]
    assert second.channels[0].states["queued"] == 5


async def test_who_is_covered_shares_the_fate_of_the_delivery_that_covers_them(house: House, database: Database):
    people = await house.people("A", 4)
    audience = house.audience({SMS: people[:2]}, covered=[(people[2], SMS, people[0]), (people[3], SMS, people[1])])
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.REFUSED))
    await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED))

    report = await draw_up(database, number)

    assert outcomes(report) == {"reached": {"sms": 2}, "not_reached": {"sms: no code": 2}}
    assert report.sums_close


async def test_who_is_covered_by_another_zone_is_looked_up_there(house: House, database: Database):
    one, two, three = await house.people("A", 3)
    first = house.audience({SMS: [one, two]})
    second = house.audience({SMS: [three]}, covered_elsewhere=[(one, SMS), (two, SMS)])
    a, b = await house.launch(
        1, house.campaign("A", 1, first, "ca"), house.campaign("B", 1, second, "cb"), alert=an_alert(1, "alert-1")
    )
    await house.expand(a, first)
    await house.expand(b, second)
    await house.settle(a, (0, DeliveryEvent.RECEIPT_DELIVERED), (1, DeliveryEvent.REFUSED))

    report = await draw_up(database, b)

    assert outcomes(report) == {
        "reached": {"sms": 1},
        "not_reached": {"sms: no code": 1},
        "pending": {"queued": 1},
    }
    assert report.sums_close
    assert report.alert is not None
    assert report.alert.identifier == "id-alert-1"


async def test_a_person_failed_on_one_channel_and_waiting_on_another_is_pending(house: House, database: Database):
    people = await house.people("A", 1)
    audience = house.audience({SMS: people, VOICE: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(number, (0, DeliveryEvent.REFUSED))

    assert outcomes(await draw_up(database, number)) == {"pending": {"queued": 1}}


TAMPERINGS = {
    "a counter that lies": (sa.update(progress).values(delivered=7), {"sms delivered"}),
    "a row that is gone": (sa.delete(delivery).where(delivery.c.id % 2 == 1), {"sms rows", "sms ids", "sms states"}),
    "a row of somebody else": (sa.update(delivery).values(member_id=delivery.c.member_id + 1), {"sms ids"}),
    "a charge that was never reserved": (sa.update(delivery).values(charged=1, price_millieuro=999), {"reserved"}),
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_sum_that_does_not_close_is_named(house: House, database: Database, what: str):
    people = await house.people("A", 4)
    audience = house.audience({SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    assert (await draw_up(database, number)).sums_close
    statement, expected = TAMPERINGS[what]
    await database.write(lambda tx: tx.run(statement))

    report = await draw_up(database, number)

    assert not report.sums_close
    assert expected <= set(broken(report))


async def test_money_is_charged_once_a_delivery_and_settled_when_sealed(house: House, database: Database):
    people = await house.people("A", 4)
    audience = house.audience({SMS: people, EMAIL: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(
        number,
        (0, DeliveryEvent.IN_DOUBT),
        (1, DeliveryEvent.ACCEPTED),
        (2, DeliveryEvent.REFUSED),
        (4, DeliveryEvent.ACCEPTED),
    )
    await house.settle(number, (0, DeliveryEvent.RESEND))
    await house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.RECEIPT_DELIVERED))

    money = (await draw_up(database, number)).money

    assert (money.reserved_millieuro, money.charged_millieuro, money.settled_millieuro) == (220, 110, None)
    assert money.resent_deliveries == 1


async def ended(house: House, database: Database) -> int:
    people = await house.people("A", 3)
    audience = house.audience({SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    await house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.ACCEPTED), (2, DeliveryEvent.REFUSED))
    await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED), (1, DeliveryEvent.RECEIPT_FAILED))
    await database.write(lambda tx: campaign_steps.stop(tx, number, None))
    await database.write(campaign_steps.close_ended)
    await database.write(campaign_steps.tick)
    return number


async def test_a_campaign_with_nothing_left_open_is_sealed_once_and_its_ledger_settled(
    house: House, database: Database
):
    number = await ended(house, database)
    live = await report_of(database, number)

    assert await seal_due(database) == 1
    assert await seal_due(database) == 0
    sealed = await report_of(database, number)

    assert sealed.campaign.sealed is not None
    assert sealed.campaign.ended is not None
    assert sealed.persons == live.persons
    assert sealed.deliveries == live.deliveries
    assert sealed.equations == live.equations
    assert (sealed.money.settled_millieuro, sealed.money.returned_millieuro) == (110, 55)
    # The third was refused: its money went back when the campaign was stopped.
    assert await booked(database) == [("reserve", 165), ("release", 55), ("settle", 110)]


async def test_a_running_campaign_and_one_with_open_evidence_are_not_sealed(house: House, database: Database):
    people = await house.people("A", 2)
    audience = house.audience({SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await house.expand(number, audience)
    assert await seal_due(database) == 0
    await house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.ACCEPTED))
    await database.write(lambda tx: tx.run(sa.update(campaign).values(state="completed", ended_ms=tx.now_ms)))

    assert await seal_due(database) == 0

    await database.write(lambda tx: tx.run(sa.update(campaign).values(horizon_ms=0)))
    assert await seal_due(database) == 1
    assert outcomes(await report_of(database, number)) == {"accepted": {"taken: sms": 2}}


async def test_a_receipt_after_the_seal_changes_no_word_of_it_and_is_told_beside_it(house: House, database: Database):
    number = await ended(house, database)
    await seal_due(database)
    async with database.read() as conn:
        kept = (await conn.execute(sa.select(campaign.c.report))).scalar_one()

    await house.settle(number, (1, DeliveryEvent.RECEIPT_DELIVERED))
    report = await report_of(database, number)

    assert msgspec.structs.replace(report, since_sealing=()) == parsed(kept)
    moved = {(m.counter, m.sealed, m.now) for m in report.since_sealing}
    assert moved == {("delivered", 1, 2), ("failed", 2, 1)}


async def spent(database: Database) -> int:
    async with database.read() as conn:
        return int((await conn.execute(_SPENT)).scalar_one())


def changed(addendum: Addendum) -> set[tuple[str, str, str, int, int]]:
    return {(c.section, c.channel, c.name, c.before, c.after) for c in addendum.changes}


async def sealed_in_doubt(house: House, database: Database) -> int:
    """Three SMS: one delivered, two in doubt until the horizon, and so not paid for."""
    people = await house.people("A", 3)
    audience = house.audience({SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1", horizon_ms=0))
    await house.expand(number, audience)
    await house.settle(number, (0, DeliveryEvent.ACCEPTED), (1, DeliveryEvent.IN_DOUBT), (2, DeliveryEvent.IN_DOUBT))
    await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED))
    await database.write(lambda tx: tx.run(sa.update(campaign).values(state="completed", ended_ms=tx.now_ms - 1)))
    assert await seal_due(database) == 1
    return number


async def test_a_late_receipt_becomes_an_addendum_with_what_it_changed_and_an_entry_of_its_own_in_the_ledger(
    house: House, database: Database
):
    number = await sealed_in_doubt(house, database)
    assert await amend_due(database) == 0
    before, sealed = await booked(database), await report_of(database, number)

    await house.settle(number, (1, DeliveryEvent.RECEIPT_DELIVERED))
    assert await amend_due(database) == 1
    report = await report_of(database, number)

    assert msgspec.structs.replace(report, addenda=(), since_sealing=()) == sealed
    [addendum] = report.addenda
    assert changed(addendum) == {
        ("persons", "", "reached", 1, 2),
        ("persons", "", "in_doubt", 2, 1),
        ("deliveries", "sms", "delivered", 1, 2),
        ("deliveries", "sms", "unknown", 2, 1),
        ("money", "", "charged_millieuro", 55, 110),
    }
    assert (addendum.number, addendum.signed, addendum.sums_close) == (1, False, True)
    assert (addendum.entry_millieuro, addendum.settled_millieuro) == (55, 110)
    assert await booked(database) == [*before, ("recall", 55), ("addendum", 55)]
    assert (await campaign_row(database)).settled_millieuro == 110


async def campaign_row(database: Database):  # type: ignore[no-untyped-def]
    async with database.read() as conn:
        return (await conn.execute(sa.select(campaign))).one()


async def test_each_addendum_goes_on_from_the_one_before_and_none_is_made_for_nothing(house: House, database: Database):
    number = await sealed_in_doubt(house, database)
    await house.settle(number, (1, DeliveryEvent.RECEIPT_FAILED))
    await amend_due(database)
    assert await amend_due(database) == 0
    await house.settle(number, (1, DeliveryEvent.RECEIPT_DELIVERED), (2, DeliveryEvent.RECEIPT_DELIVERED))
    await amend_due(database)
    await house.settle(number, (2, DeliveryEvent.RECEIPT_DELIVERED))  # the same once more

    assert await amend_due(database) == 0
    first, second = (await report_of(database, number)).addenda

    assert ("deliveries", "sms", "failed", 0, 1) in changed(first)
    assert changed(second) == {
        ("persons", "", "reached", 1, 3),
        ("persons", "", "in_doubt", 1, 0),
        ("persons", "", "not_reached", 1, 0),
        ("deliveries", "sms", "delivered", 1, 3),
        ("deliveries", "sms", "unknown", 1, 0),
        ("deliveries", "sms", "failed", 1, 0),
        ("money", "", "charged_millieuro", 110, 165),
    }
    assert (first.number, second.number) == (1, 2)
    row = await campaign_row(database)
    assert row.settled_millieuro == row.reserved_millieuro == 165
    assert await spent(database) == 165


async def test_what_was_charged_above_the_reservation_is_not_the_zones_to_pay(house: House, database: Database):
    number = await sealed_in_doubt(house, database)
    await database.write(lambda tx: tx.run(sa.update(delivery).values(price_millieuro=999)))
    await house.settle(number, (1, DeliveryEvent.RECEIPT_DELIVERED))

    await amend_due(database)
    [addendum] = (await report_of(database, number)).addenda

    assert (addendum.settled_millieuro, addendum.sums_close) == (165, False)
    assert await spent(database) == 165


async def test_a_receipt_while_an_addendum_is_drawn_up_puts_it_off(house: House, database: Database):
    number = await sealed_in_doubt(house, database)
    await house.settle(number, (1, DeliveryEvent.RECEIPT_DELIVERED))
    turns = itertools.count()
    write = database.write

    async def late(work, *, turn: Turn = Turn.USUAL):  # type: ignore[no-untyped-def]
        if turn is Turn.LAST and next(turns) == 0:
            await house.settle(number, (2, DeliveryEvent.RECEIPT_DELIVERED))
        return await write(work, turn=turn)

    database.write = late  # type: ignore[method-assign]

    assert await amend_due(database) == 0
    assert await amend_due(database) == 1
    [addendum] = (await report_of(database, number)).addenda
    assert ("deliveries", "sms", "delivered", 1, 3) in changed(addendum)


async def test_a_receipt_between_the_drawing_and_the_seal_puts_the_seal_off(house: House, database: Database):
    number = await ended(house, database)
    turns = itertools.count()
    write = database.write

    async def late(work, *, turn: Turn = Turn.USUAL):  # type: ignore[no-untyped-def]
        if turn is Turn.LAST and next(turns) == 0:
            await house.settle(number, (1, DeliveryEvent.RECEIPT_DELIVERED))
        return await write(work, turn=turn)

    database.write = late  # type: ignore[method-assign]

    assert await seal_due(database) == 0
    assert await seal_due(database) == 1
    assert outcomes(await report_of(database, number)) == {"reached": {"sms": 2}, "not_reached": {"sms: no code": 1}}


async def several_ended(house: House, database: Database, n: int) -> list[int]:
    people = await house.people("A", 1)
    audience = house.audience({SMS: people})
    numbers = []
    for name in range(n):
        [number] = await house.launch(1, house.campaign("A", 1, audience, f"c{name}"))
        await house.expand(number, audience)
        await house.settle(number, (0, DeliveryEvent.IN_DOUBT))
        await house.settle(number, (0, DeliveryEvent.RECEIPT_FAILED))
        numbers.append(number)
    await database.write(lambda tx: tx.run(sa.update(campaign).values(state="completed", ended_ms=tx.now_ms)))
    return numbers


async def break_audience(database: Database, *numbers: int) -> None:
    broken = sa.update(audience_table).where(audience_table.c.campaign_id.in_(numbers)).values(blob=b"broken")
    await database.write(lambda tx: tx.run(broken))


async def is_sealed(database: Database, number: int) -> bool:
    async with database.read() as conn:
        return (await conn.execute(sa.select(campaign.c.sealed_ms).where(campaign.c.id == number))).scalar() is not None


async def test_campaigns_that_cannot_be_sealed_stop_no_other_and_rest_before_they_are_tried_again(
    house: House, database: Database, caplog: pytest.LogCaptureFixture
):
    *broken, sound = await several_ended(house, database, 12)  # more than one look takes
    await break_audience(database, *broken)
    setbacks = Setbacks()

    for _ in range(2):
        await seal_due(database, setbacks)

    assert await is_sealed(database, sound)
    told = [r.subject for r in caplog.records if getattr(r, "action", "") == "seal-failed"]  # type: ignore[attr-defined]
    assert sorted(told) == broken, "each once: it rests"


async def test_reports_that_cannot_be_amended_stop_no_other(
    house: House, database: Database, caplog: pytest.LogCaptureFixture
):
    *broken, sound = await several_ended(house, database, 12)
    setbacks = Setbacks()
    while await seal_due(database, setbacks):
        pass
    for number in (*broken, sound):
        await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED))
    await break_audience(database, *broken)

    made = [await amend_due(database, setbacks) for _ in range(2)]

    assert sum(made) == 1
    assert len((await report_of(database, sound)).addenda) == 1
    told = [r.subject for r in caplog.records if getattr(r, "action", "") == "addendum-failed"]  # type: ignore[attr-defined]
    assert sorted(told) == broken


async def test_a_store_that_is_away_is_no_fault_of_the_campaign_that_was_to_be_sealed(house: House, database: Database):
    [number] = await several_ended(house, database, 1)
    setbacks, write = Setbacks(), database.write

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    database.write = away  # type: ignore[method-assign,assignment]
    with pytest.raises(StoreUnavailable):
        await seal_due(database, setbacks)
    database.write = write  # type: ignore[method-assign]

    assert setbacks.resting() == []
    assert await seal_due(database, setbacks) == 1
    assert await is_sealed(database, number)


async def test_a_campaign_about_which_the_store_has_no_answer_stops_no_other(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
):
    *silent, sound = await several_ended(house, database, 12)  # more than one look takes
    answered = sealing.draw_up

    async def draw_up(asked: Database, number: int) -> Report:
        if number in silent:
            raise StoreUnavailable("no answer in time")
        return await answered(asked, number)

    monkeypatch.setattr(sealing, "draw_up", draw_up)
    setbacks = Setbacks()

    with contextlib.suppress(StoreUnavailable):
        await seal_due(database, setbacks)
    await seal_due(database, setbacks)

    assert await is_sealed(database, sound)


async def test_a_report_survives_being_written_and_read(house: House, database: Database):
    number = await ended(house, database)
    report = await draw_up(database, number)

    assert parsed(written(report)) == report


async def test_a_campaign_whose_audience_is_still_gathered_has_an_empty_account(house: House, database: Database):
    nobody = house.audience({SMS: []})
    [number] = await house.launch(1, house.campaign("A", 1, nobody, "c1", state="preparing"))

    report = await draw_up(database, number)

    assert (report.persons.resolved, report.channels, report.sums_close) == (0, (), True)


async def test_an_unknown_campaign_has_no_report(house: House, database: Database):
    with pytest.raises(LookupError):
        await report_of(database, 99)


async def test_what_a_paper_code_launched_says_so_and_no_sealed_word_holds_a_name(house: House, database: Database):
    people = await house.people("A", 1)
    code = "c" * 64
    await database.write(lambda tx: break_glass.issue(tx, "A", code, Actor(via="cli", login="ada")))
    used = await database.write(
        lambda tx: break_glass.use(tx, "A", code, "", name="A. Peeters", reason="storm", mode="live", by=Actor())
    )
    assert isinstance(used, BreakGlassUse)
    audience = house.audience({SMS: people})
    new = house.campaign("A", used.account_id, audience, "c1", break_glass_use_id=used.number)
    [number] = await house.launch(used.account_id, new)
    await house.expand(number, audience)
    live = await report_of(database, number)
    await house.settle(number, (0, DeliveryEvent.ACCEPTED))
    await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED))
    await database.write(lambda tx: campaign_steps.stop(tx, number, None))
    await database.write(campaign_steps.close_ended)
    await database.write(campaign_steps.tick)
    assert await seal_due(database) == 1

    sealed = await report_of(database, number)
    async with database.read() as conn:
        kept = (await conn.execute(sa.select(campaign.c.report).where(campaign.c.id == number))).scalar_one()

    for report in (live, sealed):
        assert report.campaign.account == "break-glass-A-live"
        assert report.campaign.break_glass is not None
        said = report.campaign.break_glass
        assert (said.id, said.name, said.reason) == (used.public_id, "A. Peeters", "storm")
    assert used.public_id in kept
    assert "Peeters" not in kept
    assert "storm" not in kept
    stream = io.StringIO()
    print_report(sealed, Console(file=stream, width=160))
    assert "BREAK-GLASS" in stream.getvalue()
