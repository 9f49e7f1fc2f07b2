"""A Cancel of a thread: each who may have something of it, and nobody before what is in hand to the same address."""

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.campaigns.cancels import Preparer
from gateway.dispatch.expander import Expander
from store.campaigns import cancelling
from store.engine.database import Database
from store.outbox import cancel_waits, settling
from store.outbox.records import Settlement
from store.states import DeliveryEvent, DeliveryState
from store.tables import contact, delivery
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close
from tests.store.makers import Made, Person, Town


async def an_update(database: Database, old: Made, town: Town | None = None) -> Made:
    return await make.a_campaign(
        database, town or old.town, purpose="update", replaces=(old.id,), ends=((old.id, "superseded"),)
    )


async def a_cancel(database: Database, old: Made, update: Made) -> Made:
    """Of both: drawn up, and made into rows."""
    cancel = await make.a_campaign(
        database, old.town, purpose="cancel", state="preparing", replaces=(old.id, update.id),
        ends=((update.id, "cancelled"),), reserved_millieuro=0, expand=False,
    )  # fmt: skip
    assert await Preparer(database).run()
    expander = Expander(database, dict.fromkeys(Channel, 500), lambda channel: None)
    while await expander.step():
        pass
    return cancel


async def words_of(database: Database, made: Made) -> dict[int, str]:
    """By member."""
    statement = sa.select(delivery.c.member_id, delivery.c.state).where(
        delivery.c.id.between(made.id << 24, (made.id + 1 << 24) - 1)
    )
    async with database.read() as conn:
        return {row.member_id: DeliveryState(row.state).word for row in (await conn.execute(statement)).all()}


async def told(database: Database) -> list[int]:
    """The members of what may be claimed now."""
    held = await make.claim(database)
    if held is None:
        return []
    async with database.read() as conn:
        rows = await conn.execute(sa.select(delivery.c.member_id).where(delivery.c.id.in_(make.ids_of(held))))
        return sorted(row.member_id for row in rows.all())


async def share(database: Database, person: Person, other: Person) -> None:
    """Both are reached at the address of the second."""

    async def work(tx):  # type: ignore[no-untyped-def]
        row = await tx.first(sa.select(contact).where(contact.c.id == other.contacts["sms"]))
        mine = sa.update(contact).where(contact.c.id == person.contacts["sms"])
        await tx.run(mine.values(address_id=row.address_id, value=row.value))

    await database.write(work)


async def assert_sound(database: Database, *all_made: Made) -> None:
    async with database.read() as conn:
        for made in all_made:
            await assert_sums_close(conn, made.id)
            await assert_no_one_is_forgotten(conn, made.id)


@pytest.mark.parametrize("answer", [DeliveryEvent.ACCEPTED, DeliveryEvent.REFUSED, DeliveryEvent.NOT_SENT])
async def test_a_cancel_does_not_overtake_an_update_that_is_in_hand_to_who_has_the_alert(
    database: Database, answer: DeliveryEvent
) -> None:
    old = await make.a_campaign(database, 3)
    await make.sent(database)
    update = await an_update(database, old)
    held = await make.must_claim(database)
    await make.advance(database, held, 2)
    a, b, c = (person.member_id for person in old.town.people)

    cancel = await a_cancel(database, old, update)

    assert await told(database) == [c], "nothing is in hand to the third"
    assert await database.write(cancelling.release_waiting) == 0
    await make.give_back(database, held, make.happened(update.ids["sms"][:2], answer))
    assert await database.write(cancelling.release_waiting) == 1
    assert await told(database) == [a, b], "whatever became of the Update, they have the alert"
    assert set((await words_of(database, cancel)).values()) == {"queued"}
    await assert_sound(database, old, update, cancel)


async def test_who_had_only_what_was_in_hand_is_spared_beside_who_has_the_alert(database: Database) -> None:
    """One joined since the alert: the Update is in hand to them, and nothing else."""
    town = await make.a_town(database, 2)
    joined, has_it = town.people
    old = await make.a_campaign(database, Town(town.zone_id, town.account_id, (has_it,)))
    await make.sent(database)
    update = await an_update(database, old, town)
    held = await make.must_claim(database)
    await make.advance(database, held)
    cancel = await a_cancel(database, old, update)
    assert await told(database) == []

    await make.give_back(database, held, make.happened(update.ids["sms"], DeliveryEvent.REFUSED))
    await database.write(cancelling.release_waiting)

    assert await words_of(database, cancel) == {joined.member_id: "not_needed", has_it.member_id: "queued"}
    assert await told(database) == [has_it.member_id]
    assert await database.write(lambda tx: cancel_waits.spares_of(tx, cancel.id)) is None, "nobody waits any more"
    await assert_sound(database, old, update, cancel)


async def test_a_cancel_waits_for_the_update_in_hand_to_another_member_at_the_same_address(database: Database) -> None:
    town = await make.a_town(database, 2)
    one, other = town.people
    await share(database, other, one)
    old = await make.a_campaign(database, Town(town.zone_id, town.account_id, (one,)))
    await make.sent(database)
    update = await an_update(database, old, Town(town.zone_id, town.account_id, (other,)))
    held = await make.must_claim(database)
    await make.advance(database, held)
    cancel = await a_cancel(database, old, update)

    assert await told(database) == []
    await make.give_back(database, held, make.happened(update.ids["sms"], DeliveryEvent.NOT_SENT))
    await database.write(cancelling.release_waiting)

    assert await told(database) == [one.member_id], "who has the alert"
    await assert_sound(database, old, cancel)


async def test_who_had_a_part_when_the_cancel_was_drawn_up_is_not_spared(database: Database) -> None:
    """The alert had failed behind its first part, and arrives after all; the Update in hand is refused."""
    old = await make.a_campaign(database, 1, units=2)
    await make.sent(database, answer=lambda ids: [Settlement(i, DeliveryEvent.REFUSED, "c1", ("part-1",)) for i in ids])
    update = await an_update(database, old)
    held = await make.must_claim(database)
    await make.advance(database, held)
    cancel = await a_cancel(database, old, update)

    await database.write(lambda tx: settling.apply(tx, make.happened(old.ids["sms"], DeliveryEvent.RECEIPT_DELIVERED)))
    await make.give_back(database, held, make.happened(update.ids["sms"], DeliveryEvent.REFUSED))
    await database.write(cancelling.release_waiting)

    assert await make.words_of(database, old) == ["delivered"]
    assert list((await words_of(database, cancel)).values()) == ["queued"]
