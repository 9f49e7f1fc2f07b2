"""The report on a terminal says the same as the report."""

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from channels.contract import Channel
from gateway.reports.reading import draw_up
from gateway.reports.report import Addendum, ReportChange
from gateway.reports.terminal import euro, print_report
from store.engine.database import Database
from store.states import DeliveryEvent
from tests.gateway.populated_store import House


async def the_text(house: House, number: int) -> str:
    stream = io.StringIO()
    print_report(await draw_up(house.database, number), Console(file=stream, width=160))
    return stream.getvalue()


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    await house.zone("A")
    await house.account("cic")
    return house


async def test_the_printed_report_names_outcomes_reasons_money_and_whether_sums_close(house: House):
    people = await house.people("A", 3)
    audience = house.audience({Channel.SMS: people[:2]}, excluded=people[2:])
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1", title="Fire [bold]now[/bold]"))
    await house.expand(number, audience)
    await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED), (1, DeliveryEvent.REFUSED), code="552")

    text = await the_text(house, number)

    assert "Fire [bold]now[/bold]" in text
    assert "3 resolved, 2 included" in text
    assert "sms: 552" in text
    assert "0.110 EUR" in text
    assert "sums close" in text
    assert "SIMULATION" not in text


async def test_the_report_of_a_simulation_cannot_be_taken_for_a_live_one(house: House):
    people = await house.people("A", 1)
    audience = house.audience({Channel.SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1", mode="simulation"))

    assert "SIMULATION: nothing was sent" in await the_text(house, number)


async def test_a_report_that_counts_nobody_yet_says_why(house: House):
    nobody = house.audience({})
    [gathered, other] = await house.launch(
        1, house.campaign("A", 1, nobody, "over", state="preparing"), house.campaign("A", 1, nobody, "c1")
    )

    assert "preparing, live; its audience is not known: nobody is counted" in await the_text(house, gathered)
    assert "not known" not in await the_text(house, other)


async def test_an_addendum_is_printed_with_its_date_its_figures_and_that_nobody_signed_it(house: House):
    people = await house.people("A", 1)
    [number] = await house.launch(1, house.campaign("A", 1, house.audience({Channel.SMS: people}), "c1"))
    addendum = Addendum(
        number=1,
        made="2026-11-23T10:00:00.000Z",
        revision=3,
        changes=(ReportChange("deliveries", "sms", "not_needed", 4, 5),),
        entry_millieuro=55,
        settled_millieuro=110,
        sums_close=True,
    )
    report = msgspec.structs.replace(await draw_up(house.database, number), addenda=(addendum,))
    stream = io.StringIO()

    print_report(report, Console(file=stream, width=160))

    assert "Addenda by late receipts, not signed" in stream.getvalue()
    [line] = [line for line in stream.getvalue().splitlines() if "not needed" in line]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells == ["1", "2026-11-23T10:00:00.000Z", "deliveries sms not needed", "4", "5"]
    assert "charged to the ledger: 0.055 EUR" in stream.getvalue()


@given(st.integers(-(10**12), 10**12))
def test_euros_are_the_millieuro_exactly(millieuro: int):
    whole, _, unit = euro(millieuro).partition(" ")
    assert unit == "EUR"
    assert int(whole.replace(".", "")) == millieuro
