"""Receipts are durable before the peer is told so. One that cannot be recorded is kept, and spoils no other."""

import pytest
import sqlalchemy as sa

from channels.contract import Receipt, ReceiptsRefused, ReceiptState
from gateway.dispatch.receipts import ReceiptDesk
from store.engine.database import Database, open_database
from store.engine.transaction import AnyRow
from store.errors import StoreUnavailable
from store.outbox.records import Settlement
from store.states import DeliveryEvent
from store.tables import delivery, receipt_inbox
from tests.store import makers as make


def delivered(ref: str, raw: str = "", **more: object) -> Receipt:
    return Receipt("c1", ref, ReceiptState.DELIVERED, 0, raw=raw, **more)  # type: ignore[arg-type]


async def two_accepted(database: Database) -> make.Made:
    made = await make.a_campaign(database, 2)
    held = await make.must_claim(database)
    await make.advance(database, held)
    first, second = make.ids_of(held)
    await make.settle(
        database,
        held,
        [
            Settlement(first, DeliveryEvent.ACCEPTED, "c1", ("r1",)),
            Settlement(second, DeliveryEvent.ACCEPTED, "c1", ("r2",)),
        ],
    )
    return made


async def inbox(database: Database) -> list[AnyRow]:
    async with database.read() as conn:
        return list((await conn.execute(sa.select(receipt_inbox).order_by(receipt_inbox.c.id))).all())


@pytest.mark.parametrize(
    ("raw", "kept"), [("stat:DELIVRD text:\0", "stat:DELIVRD text:\u2400"), ("text:\ud83d", "text:\ufffd")]
)
async def test_a_text_that_no_engine_can_keep_is_kept_readable_and_refuses_no_other_receipt(
    database: Database, raw: str, kept: str
) -> None:
    made = await two_accepted(database)
    desk = ReceiptDesk(database, "gen")

    await desk([delivered("r1", "id:r1 stat:DELIVRD"), delivered("foreign", raw), delivered("r2", raw)])

    assert await make.words_of(database, made) == ["delivered", "delivered"]
    assert [(row.ref, row.raw) for row in await inbox(database)] == [("foreign", kept)]
    assert (desk.matched, desk.waiting) == (2, 1)


async def test_what_a_simulated_carrier_says_is_kept_as_that(database: Database) -> None:
    desk = ReceiptDesk(database, "gen", simulated=frozenset({"c2"}))

    await desk([delivered("r1"), Receipt("c2", "r2", ReceiptState.DELIVERED, 0)])

    assert {row.ref: row.mode for row in await inbox(database)} == {"r1": "live", "r2": "simulation"}


async def test_a_reference_with_a_nul_is_found_again_by_its_receipt(database: Database) -> None:
    made = await make.a_campaign(database, 1)
    held = await make.must_claim(database)
    await make.advance(database, held)
    await make.settle(database, held, [Settlement(make.ids_of(held)[0], DeliveryEvent.ACCEPTED, "c1", ("r\0",))])

    await ReceiptDesk(database, "gen")([delivered("r\0")])

    assert await make.words_of(database, made) == ["delivered"]


async def test_an_answer_with_a_nul_settles_its_message(database: Database) -> None:
    made = await make.a_campaign(database, 1)
    held = await make.must_claim(database)
    await make.advance(database, held)
    said = Settlement(make.ids_of(held)[0], DeliveryEvent.REFUSED, "c1", code="5\0", text="no\0 such \ud83d")

    await make.give_back(database, held, [said])

    assert await make.words_of(database, made) == ["failed"]
    async with database.read() as conn:
        row = (await conn.execute(sa.select(delivery.c.code, delivery.c.text))).one()
    assert tuple(row) == ("5\u2400", "no\u2400 such \ufffd")


@pytest.mark.parametrize(
    "bad",
    [
        delivered("gen.ffffffffffffffff.1", "beyond every id", echoed=True),
        Receipt("c1", "foreign", ReceiptState.DELIVERED, 2**70, raw="beyond every instant"),
    ],
    ids=["id", "instant"],
)
async def test_a_receipt_that_cannot_be_recorded_is_set_aside_and_refuses_no_other(
    database: Database, bad: Receipt
) -> None:
    made = await two_accepted(database)
    desk = ReceiptDesk(database, "gen")

    await desk([delivered("r1"), bad, delivered("r2")])
    await desk([bad])

    assert await make.words_of(database, made) == ["delivered", "delivered"]
    assert {row.raw for row in await inbox(database)} == {bad.raw}


async def test_when_the_store_is_away_the_peer_is_asked_to_repeat_all_of_them(store_url: str) -> None:
    async with open_database(store_url) as database:
        desk = ReceiptDesk(database, "gen")

        async def away(*_: object, **__: object) -> None:
            raise StoreUnavailable("away")

        database.write = away  # type: ignore[method-assign,assignment]
        with pytest.raises(ReceiptsRefused):
            await desk([delivered("r1"), delivered("r2")])
