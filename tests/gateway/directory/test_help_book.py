"""The book of help: of the platform and of zones, as they change, also while the store is away."""

import msgspec
import sqlalchemy as sa

from gateway.directory.help_book import HelpBook
from gateway.help_lines import HelpLine
from gateway.settings import HelpSettings
from store.engine.database import Database
from store.tables import zone
from tests.gateway.populated_store import House

PLATFORM = HelpSettings(
    alerts=HelpLine(name="Centre de Crise National", phone="02 506 47 11"),
    technical=HelpLine(name="Helpdesk", phone="02 610 61 07", mail="bealert@telenetgroup.be"),
)
OWN = '{"help": {"technical": {"name": "PZ", "phone": "069 00 00 00"}}}'


async def policy(database: Database, code: str, text: str) -> None:
    await database.write(lambda tx: tx.run(sa.update(zone).where(zone.c.code == code).values(policy=text)))


async def test_the_lines_of_text_are_those_of_the_zone_before_those_of_the_platform(database: Database) -> None:
    house = House(database)
    ours, theirs = await house.zone("5301"), await house.zone("5302")
    await policy(database, "5301", OWN)
    book = HelpBook(database, PLATFORM)
    await book.refresh()

    assert book.help_lines("fr", ours) == (
        "Soutien et prise en charge d'une alerte: Centre de Crise National, 02 506 47 11, 24/7",
        "Questions techniques ou administratives: PZ, 069 00 00 00, 24/7",
    )
    assert book.help_lines("nl", theirs) == book.help_lines("nl") != book.help_lines("nl", ours)
    assert book.whom_to_ask(ours) == "PZ, 069 00 00 00, 24/7"
    assert book.whom_to_ask(None) == "Helpdesk, 02 610 61 07, bealert@telenetgroup.be, 24/7"


async def test_what_a_zone_changes_is_taken_up_and_a_policy_that_cannot_be_read_hides_nothing(
    database: Database,
) -> None:
    number = await House(database).zone("5301")
    book = HelpBook(database, PLATFORM)
    await book.refresh()
    before = book.encoded("nl", number)

    await policy(database, "5301", OWN)
    await book.refresh()
    changed = book.encoded("nl", number)
    await policy(database, "5301", '{"help": {"technical": "call us"}}')
    await book.refresh()

    assert before == book.encoded("nl") == book.encoded("nl", number) != changed
    assert "069 00 00 00" in bytes(changed or b"").decode()


async def test_what_stands_in_a_problem_is_encoded_before_and_the_same_object_each_time(database: Database) -> None:
    book = HelpBook(database, PLATFORM)

    lines = msgspec.json.decode(book.encoded("de") or b"")

    assert [(one["purpose"], one["phone"]) for one in lines] == [
        ("alerts", "02 506 47 11"),
        ("technical", "02 610 61 07"),
    ]
    assert lines[0]["title"] == "Hilfe bei einer Alarmierung"
    assert book.encoded("de") is book.encoded("de")


async def test_where_nothing_is_set_there_is_nothing(database: Database) -> None:
    book = HelpBook(database, HelpSettings())
    await book.refresh()

    assert (book.encoded("nl"), book.help_lines("nl"), book.contacts("nl"), book.whom_to_ask(1)) == (None, (), (), "")


async def test_every_line_of_several_zones_is_shown_with_its_zone_before_those_of_the_platform(
    database: Database,
) -> None:
    house = House(database)
    numbers = {code: await house.zone(code) for code in ("B", "A", "C")}
    for code in numbers:
        await policy(database, code, OWN)
    book = HelpBook(database, PLATFORM)
    await book.refresh()

    of_two = book.contacts("nl", frozenset({numbers["A"], numbers["B"]}))

    assert [one.zone for one in of_two] == ["A", "B", "", ""]
    assert [one.zone for one in book.contacts("nl", None)] == ["A", "B", "C", "", ""]
    assert [one.zone for one in book.contacts("nl")] == ["", ""]
