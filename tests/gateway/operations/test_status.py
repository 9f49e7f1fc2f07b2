"""`tocsin status`: what somebody who was just woken needs, with the exact command that mends it."""

from datetime import datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.operations.status import status_lines
from gateway.operations.status_line import StatusLine
from store.access import break_glass
from store.audit_line import Actor
from store.engine.database import Database
from store.outbox import holds
from store.outbox.overview import CarrierView
from store.states import BatchState
from store.tables import batch, campaign, node
from tests.gateway.populated_store import House


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    await house.zone("A")
    await house.zone("5301")
    await house.account("cic")
    return house


async def told(house: House, now_ms: int | None = None, **given: object) -> list[StatusLine]:
    now_ms = house.database.clock.now_ms() if now_ms is None else now_ms
    return await status_lines(house.database, now_ms, 0, **given)  # type: ignore[arg-type]


async def seen(house: House, name: str, started_ms: int, seen_ms: int, *carriers: CarrierView) -> None:
    row = {"boot_id": name, "name": name, "started_ms": started_ms, "seen_ms": seen_ms}
    row["carriers"] = msgspec.json.encode(carriers).decode()
    await house.database.write(lambda tx: tx.run(sa.insert(node).values(row)))


async def a_campaign(house: House, name: str, **changes: object) -> int:
    people = await house.people("A", 3)
    audience = house.audience({Channel.SMS: people})
    [number] = await house.launch(1, house.campaign("A", 1, audience, name, **changes))
    await house.expand(number, audience)
    return number


@pytest.mark.parametrize(("silent_s", "well"), [(0, True), (6, True), (9, False), (14, False)])
async def test_a_server_is_shown_with_its_last_sign_of_life_and_marked_when_one_is_overdue(
    house: House, silent_s: int, well: bool
) -> None:
    await seen(house, "alpha", 0, 600_000)

    server = (await told(house, 600_000 + silent_s * 1000))[0]

    assert f"alpha, started 10 min ago, last sign of life {silent_s} s ago" in server.text
    assert (server.well, "OVERDUE" in server.text) == (well, not well)


async def test_a_store_without_a_server_says_how_long_there_has_been_none(house: House) -> None:
    assert (await told(house))[0].text == "NO SERVER is running on this store: nothing leaves"
    await seen(house, "alpha", 0, 600_000)

    line = (await told(house, 600_000 + 40_000))[0]

    assert not line.well
    assert "last sign of life 40 s ago" in line.text


async def test_what_is_kept_is_told_with_when_it_goes(house: House) -> None:
    await a_campaign(house, "c1")
    assert not [line for line in await told(house) if line.text.startswith("kept")]
    sealed_ms = house.database.clock.now_ms()
    await house.database.write(lambda tx: tx.run(sa.update(campaign).values(sealed_ms=sealed_ms)))

    (line,) = [line for line in await told(house, sealed_ms + 5 * 86_400_000) if line.text.startswith("kept")]

    assert line.text == "kept: 3 deliveries of 1 sealed campaigns; the first go in 395 days, 400 days after their seal"


async def test_of_two_servers_the_dead_one_is_marked_beside_the_other(house: House) -> None:
    await seen(house, "alpha", 0, 600_000)
    await seen(house, "beta", 0, 609_000)

    beta, alpha = (await told(house, 610_000))[:2]

    assert beta.well
    assert "beta" in beta.text
    assert not alpha.well
    assert "alpha" in alpha.text


@pytest.mark.parametrize(
    ("scope", "outer", "command"),
    [
        ("all", "", "tocsin resume all -c '/etc/to csin.toml'"),
        ("channel", "sms", "tocsin resume channel sms -c '/etc/to csin.toml'"),
        ("carrier", "first", "tocsin resume carrier first -c '/etc/to csin.toml'"),
        ("zone", "5301", "tocsin resume zone 5301 -c '/etc/to csin.toml'"),
        ("campaign", "c1", "tocsin resume campaign c1 -c '/etc/to csin.toml'"),
    ],
)
async def test_a_hold_is_shown_by_the_name_it_was_given_with_the_command_that_lifts_it(
    house: House, scope: str, outer: str, command: str
) -> None:
    number = await a_campaign(house, "c1")
    inner = {"zone": str(house.zones["5301"]), "campaign": str(number)}.get(scope, outer)
    await house.database.write(lambda tx: holds.place(tx, scope, inner, "storm", "ops"))

    [line] = [line for line in await told(house, config=Path("/etc/to csin.toml")) if "HOLD" in line.text]

    assert not line.well
    assert f"HOLD on {scope} {outer}".rstrip() + " since 0 s by ops: storm" in line.text
    assert line.text.endswith(f"to lift it: {command}")


async def test_without_a_file_of_settings_the_command_names_none(house: House) -> None:
    await house.database.write(lambda tx: holds.place(tx, "all", "", "", "ops"))

    [line] = [line for line in await told(house) if "HOLD" in line.text]

    assert line.text.endswith(", no reason given; to lift it: tocsin resume all")


async def test_what_runs_and_what_is_new_is_shown_first_with_what_is_left_to_send(house: House) -> None:
    await a_campaign(house, "older", title="The older one")
    await a_campaign(house, "over", state="stopped")
    await a_campaign(house, "newer")

    lines = [line.text.split() for line in await told(house) if line.text.startswith("  ")]

    assert [words[0] for words in lines] == ["newer", "older", "over"]
    assert [" ".join(words).partition(" to send")[0][-1] for words in lines] == ["3", "3", "0"]


@pytest.mark.parametrize(
    ("age_s", "well", "words"),
    [(5, True, "its audience is being gathered"), (90, False, "ITS AUDIENCE IS NOT DRAWN UP")],
)
async def test_a_cancel_that_nobody_is_told_of_is_marked_once_gathering_takes_too_long(
    house: House, age_s: int, well: bool, words: str
) -> None:
    await a_campaign(house, "over", state="preparing", purpose="cancel")

    [line] = [line for line in await told(house, house.database.clock.now_ms() + age_s * 1000) if "over" in line.text]

    assert (line.well, words in line.text) == (well, True), line.text


async def test_of_many_campaigns_a_few_are_shown_and_the_rest_is_counted(house: House) -> None:
    for number in range(7):
        await a_campaign(house, f"c{number}")

    lines = [line.text for line in await told(house) if line.text.startswith("  ")]

    assert len(lines) == 6
    assert lines[-1].strip() == "and 2 more"


async def stuck(house: House, now_ms: int | None = None) -> str:
    [line] = [line for line in await told(house, now_ms) if line.text.startswith("sms live")]
    assert not line.well
    return line.text.partition("NOTHING IS TAKEN UP: ")[2]


async def test_a_channel_that_stands_still_says_why(house: House) -> None:
    await a_campaign(house, "c1")
    now_ms = house.database.clock.now_ms()
    assert await stuck(house) == "no server is running"

    await seen(house, "alpha", now_ms, now_ms)
    assert (await stuck(house, now_ms)).startswith("no carrier of this channel takes anything: the lines on carriers")

    await house.database.write(lambda tx: holds.place(tx, "zone", str(house.zones["5301"]), "", "ops"))
    assert (await stuck(house, now_ms)).startswith("its zones or campaigns are held, or no carrier")

    await seen(house, "beta", now_ms, now_ms, CarrierView("first", "sms", "live", "up", ""))
    await house.database.write(lambda tx: holds.place(tx, "carrier", "first", "", "ops"))
    assert await stuck(house, now_ms) == "its carriers are held"

    await house.database.write(lambda tx: holds.place(tx, "channel", "sms", "", "ops"))
    assert await stuck(house, now_ms) == "it is held"

    await house.database.write(lambda tx: tx.run(sa.update(batch).values(state=int(BatchState.LEASED), due_ms=1 << 60)))
    assert [line.well for line in await told(house, now_ms) if line.text.startswith("sms live")] == [True]


@pytest.mark.parametrize(
    ("at", "told_of"),
    [
        ("2026-11-26", ""),
        ("2028-06-01", "the price list runs out on 2028-07-21"),
        ("2028-07-21", "THE PRICE LIST HAS RUN OUT on 2028-07-21"),
    ],
)
async def test_a_price_list_that_runs_out_is_told_before_it_does(house: House, at: str, told_of: str) -> None:
    now_ms = int(datetime.fromisoformat(f"{at}T12:00:00+02:00").timestamp() * 1000)

    lines = [line for line in await told(house, now_ms) if line.text.startswith("prices")]

    assert len(lines) == bool(told_of)
    assert all(told_of in line.text and not line.well for line in lines)


async def test_a_used_paper_code_is_told_until_another_is_issued(house: House) -> None:
    async def issue() -> None:
        by = Actor(via="cli", login="ada")
        await house.database.write(lambda tx: break_glass.issue(tx, "5301", "c" * 64, by))

    await issue()
    good = await told(house)
    await house.database.write(
        lambda tx: break_glass.use(tx, "5301", "c" * 64, "", name="A", reason="x", mode="live", by=Actor())
    )
    used = await told(house)
    await issue()
    again = await told(house)

    [line] = [line for line in used if "break-glass" in line.text]
    assert line.text == "zone 5301: its break-glass code was USED 0 s ago, and no other is issued"
    assert not line.well
    assert not any("break-glass" in line.text for line in (*good, *again))
