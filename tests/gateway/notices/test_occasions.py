"""Whoever launched a message hears how it ended, in the transaction of its seal, if they want to."""

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.chores import record_chores
from gateway.notices.occasions import euros
from gateway.notices.telling import no_help
from gateway.reports.sealing import seal_due
from gateway.settings import Settings
from store.campaigns import campaign_steps
from store.notices import reading as notices
from store.states import DeliveryEvent
from store.tables import account, campaign
from tests.gateway.populated_store import House


@pytest.fixture
async def house(database):
    made = House(database)
    await made.zone("A")
    await made.people("A", 3)
    return made


async def ended(house, **changes):
    """A campaign of three: one reached, one handed over, one not reached; over, and not sealed."""
    officer = await house.account("officer", ("launch", "A"))
    audience = house.audience({Channel.SMS: house.members})
    [number] = await house.launch(officer, house.campaign("A", officer, audience, "c1", **changes))
    await house.expand(number, audience)
    await house.settle(number, *((n, DeliveryEvent.ACCEPTED) for n in range(3)))
    await house.settle(number, (0, DeliveryEvent.RECEIPT_DELIVERED), (2, DeliveryEvent.RECEIPT_FAILED))
    await house.database.write(lambda tx: campaign_steps.stop(tx, number, None))
    await house.database.write(campaign_steps.close_ended)
    await house.database.write(campaign_steps.tick)
    await house.database.write(lambda tx: tx.run(sa.update(campaign).values(horizon_ms=0)))
    return number


async def enrolled(house, **values):
    await house.database.write(lambda tx: tx.run(sa.update(account).values(values)))


async def sealed(house):
    [seal] = [chore for chore in record_chores(house.database, Settings(), no_help) if chore.name == "seal"]
    return await seal.run()


async def told(house):
    async with house.database.read() as conn:
        found = await notices.page(conn, before=None, most=10)
        return [await notices.words(conn, one.campaign_id) for one in found], [
            d.address for one in found for d in await notices.states(conn, one.campaign_id)
        ]


async def test_who_has_a_mailbox_hears_how_many_were_not_reached(house):
    await ended(house)
    await enrolled(house, email="officer@example.org", language="fr")
    assert await sealed(house)
    assert not await sealed(house)
    [words], addresses = await told(house)
    [text] = words.texts
    assert addresses == ["officer@example.org"]
    assert text.language == "fr"
    assert "Terminé, 1 non atteints : Title of c1" in text.content
    assert "Atteints ou remis : 2. Non atteints : 1." in text.content


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({}, {}),
        ({}, {"email": "officer@example.org", "tell_ended": 0}),
        ({}, {"email": "officer@example.org", "disabled_ms": 1}),
        ({"mode": "simulation"}, {"email": "officer@example.org"}),
    ],
)
async def test_who_has_none_or_wants_none_or_only_tried_hears_nothing(house, changes, values):
    await ended(house, **changes)
    if values:
        await enrolled(house, **values)
    assert await sealed(house)
    assert await told(house) == ([], [])


async def test_a_seal_that_is_not_kept_has_told_nobody(house):
    await ended(house)
    await enrolled(house, email="officer@example.org")

    async def fails(tx, campaign_id, report):
        raise RuntimeError("the writer died")

    assert await seal_due(house.database, sealed=fails) == 0
    assert await told(house) == ([], [])
    async with house.database.read() as conn:
        assert (await conn.execute(sa.select(campaign.c.sealed_ms))).scalar() is None
    assert await sealed(house)
    assert len((await told(house))[1]) == 1


@pytest.mark.parametrize(
    ("millieuro", "text"), [(12_500, "12,50 EUR"), (5, "0,00 EUR"), (-1_230, "-1,23 EUR"), (1_000_000, "1000,00 EUR")]
)
def test_money_is_written_as_people_write_it(millieuro, text):
    assert euros(millieuro) == text
