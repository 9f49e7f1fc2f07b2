"""An existing ledger is told again as double entry: what was spent of a lot stays spent of that lot."""

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.ext.asyncio import create_async_engine

from store.engine.database import open_database
from store.engine.schema import _config
from store.money import ledger
from tests.store.bookkeeping import accounts, assert_books_close, balance

_BEFORE, _AFTER = "0011", "0012"
_CAMPAIGN = (
    "INSERT INTO campaign (id, public_id, zone_id, account_id, purpose, title, kind, mode, state, priority,"
    " crash_policy, created_ms, starts_ms, expires_ms, horizon_ms, ended_ms, sealed_ms, targets,"
    " reserved_millieuro, settled_millieuro)"
    " VALUES (:id, :public_id, :zone_id, 1, 'alert', 'Water', 'alert', 'live', 'completed', 0,"
    " 'resend', 1, 1, 1, 1, 1, :sealed_ms, '{}', :reserved, :settled)"
)
_LINE = (
    "INSERT INTO ledger (zone_id, campaign_id, entry, amount_millieuro, at_ms, valid_until_ms, note)"
    " VALUES (:zone_id, :campaign_id, :entry, :amount, :at_ms, :valid_until_ms, :note)"
)
WEST, EAST = 1, 2
_LEDGER = [
    (WEST, None, "lot", 100_000, 1_000, 2_000, "2026"),
    (WEST, 1, "reserve", -80_000, 1_000, None, ""),
    (EAST, 3, "reserve", -165, 1_100, None, ""),
    (WEST, 1, "release", 80_000, 1_500, None, ""),
    (WEST, 1, "settle", -75_000, 1_500, None, ""),
    (WEST, 2, "reserve", -50_000, 2_500, None, ""),
    (WEST, None, "lot", 100_000, 3_000, 10_000, "2027"),
    (WEST, 1, "addendum", -3_000, 3_500, None, "addendum 1"),
    (EAST, 3, "release", 165, 3_600, None, ""),
    (EAST, 3, "settle", -110, 3_600, None, ""),
]


async def moved(url: str, where) -> None:
    """To a revision, up or down."""

    def work(connection: sa.Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        where(config)

    engine = create_async_engine(url)
    async with engine.begin() as conn:
        await conn.run_sync(work)
    await engine.dispose()


async def old_store(url: str, lines) -> None:
    await moved(url, lambda config: command.upgrade(config, _BEFORE))
    engine = create_async_engine(url)
    async with engine.begin() as conn:
        for zone_id in (WEST, EAST):
            values = {"id": zone_id, "code": f"z{zone_id}"}
            await conn.execute(sa.text("INSERT INTO zone (id, code, name, convention, policy)"
                                       " VALUES (:id, :code, '', 1, '{}')"), values)  # fmt: skip
        await conn.execute(sa.text("INSERT INTO account (id, code, name, type) VALUES (1, 'a', '', 'cic')"))
        for number, zone_id, sealed_ms, reserved, settled in (
            (1, WEST, 1_500, 80_000, 78_000), (2, WEST, None, 50_000, 0), (3, EAST, 3_600, 165, 110),
        ):  # fmt: skip
            await conn.execute(sa.text(_CAMPAIGN), {
                "id": number, "public_id": f"c{number}", "zone_id": zone_id, "sealed_ms": sealed_ms,
                "reserved": reserved, "settled": settled,
            })  # fmt: skip
        names = ("zone_id", "campaign_id", "entry", "amount", "at_ms", "valid_until_ms", "note")
        for line in lines:
            await conn.execute(sa.text(_LINE), dict(zip(names, line, strict=True)))
    await engine.dispose()


@pytest.fixture
async def told_again(empty_url: str) -> str:
    await old_store(empty_url, _LEDGER)
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))
    return empty_url


_WEST = {
    # What of 2026 was not spent is gone with it, and its late receipts were paid of it all the same.
    "2026": {"operator": -100_000, "spent": 78_000, "lot": 22_000},
    # What was reserved between the lots is carried by the second.
    "2027": {"operator": -100_000, "reserved": 50_000, "lot": 50_000},
}


async def test_reservations_and_settlements_find_their_lots_in_order_of_expiry(told_again):
    async with open_database(told_again) as database:
        assert await accounts(database, WEST) == _WEST
        assert [await balance(database, WEST, at_ms=at) for at in (1_999, 4_000, 10_000)] == [72_000, 50_000, 0]


async def test_what_a_zone_without_lots_has_spent_is_its_debt(told_again):
    async with open_database(told_again) as database:
        assert await accounts(database, EAST) == {"": {"operator": -110, "spent": 110}}
        assert await balance(database, EAST) == -110


async def test_the_books_of_an_old_store_close(told_again):
    async with open_database(told_again) as database:
        await assert_books_close(database, WEST, EAST)


async def test_the_books_of_an_old_store_are_gone_on_with(told_again):
    async with open_database(told_again) as database:
        await database.write(lambda tx: ledger.add_lot(tx, EAST, 1_000, None, "first"))

        assert await accounts(database, EAST) == {"first": {"operator": -1_000, "spent": 110, "lot": 890}}
        await assert_books_close(database, WEST, EAST)


async def test_money_survives_the_way_back(told_again):
    await moved(told_again, lambda config: command.downgrade(config, _BEFORE))
    await moved(told_again, lambda config: command.upgrade(config, _AFTER))

    async with open_database(told_again) as database:
        assert await accounts(database, WEST) == _WEST
        assert await accounts(database, EAST) == {"": {"operator": -110, "spent": 110}}
        await assert_books_close(database, WEST, EAST)


async def test_a_long_ledger_is_told_again_in_pages(empty_url):
    lot = (WEST, None, "lot", 10_000_000, 1, None, "one")
    booked = [(WEST, 2, "reserve", -10, n, None, "") for n in range(2, 1_502)]
    await old_store(empty_url, [lot, *booked])
    await moved(empty_url, lambda config: command.upgrade(config, _AFTER))

    async with open_database(empty_url) as database:
        assert await accounts(database, WEST) == {
            "one": {"operator": -10_000_000, "reserved": 15_000, "lot": 9_985_000}
        }
