"""An Update does not overtake its own thread: nobody is handed the new text while the old one is in hand to them."""

import pytest
import sqlalchemy as sa

from gateway.campaigns.cancels import Preparer
from store.campaigns import campaign_steps, cancelling
from store.outbox import cancel_waits, recovery
from store.states import BatchState, DeliveryEvent
from store.tables import contact, meta
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close

PEOPLE = 6


async def an_update(database, old, **options):
    """Of `old`, to the same people, as it is launched and expanded."""
    return await make.a_campaign(
        database, old.town, purpose="update", replaces=(old.id,), ends=((old.id, "superseded"),), **options
    )


async def an_alert_in_hand(database, handed_over, **options):
    old = await make.a_campaign(database, PEOPLE, **options)
    held = await make.must_claim(database)
    await make.advance(database, held, handed_over)
    return old, held


async def told(database):
    """Whatever may be claimed now is sent."""
    found = []
    while (held := await make.claim(database)) is not None:
        await make.advance(database, held)
        await make.give_back(database, held, make.accepted(make.ids_of(held)))
        found += make.ids_of(held)
    return found


async def release(database):
    return await database.write(cancelling.release_waiting)


async def assert_sound(database, *all_made):
    async with database.read() as conn:
        for made in all_made:
            await assert_sums_close(conn, made.id)
            await assert_no_one_is_forgotten(conn, made.id)


async def test_who_has_the_old_text_in_hand_gets_the_new_one_when_its_answer_has_come(database):
    old, held = await an_alert_in_hand(database, 3)
    new = await an_update(database, old)

    assert await told(database) == list(new.ids["sms"][3:]), "nobody else waits"

    await make.settle(database, held, make.accepted(old.ids["sms"][:1]))
    assert await release(database) == 1
    assert await told(database) == [new.ids["sms"][0]]
    await make.give_back(
        database,
        held,
        [*make.happened(old.ids["sms"][1:2], DeliveryEvent.REFUSED), *make.accepted(old.ids["sms"][2:3])],
    )
    assert await release(database) == 1
    assert await told(database) == list(new.ids["sms"][1:3]), "who did not get the old text gets the new one"
    await make.tick(database)
    await assert_sound(database, old, new)


async def test_when_the_worker_of_the_old_text_died_its_wait_has_ended(database):
    old, _ = await an_alert_in_hand(database, 2)
    new = await an_update(database, old)
    assert await told(database) == list(new.ids["sms"][2:])
    await database.write(recovery.end_all_leases)
    assert await release(database) == 0
    await database.write(recovery.recover)
    while await database.write(campaign_steps.close_ended):
        pass

    assert await release(database) == 1

    assert await told(database) == list(new.ids["sms"][:2])
    assert await make.words_of(database, old) == ["unknown"] * 2 + ["cancelled"] * 4
    await assert_sound(database, old, new)


async def test_another_version_of_a_contact_with_the_same_address_waits_too(database):
    """The register was loaded again between the alert and its Update."""
    old, held = await an_alert_in_hand(database, 1)
    first, *others = old.town.people

    async def new_version(tx):
        row = await tx.first(sa.select(contact).where(contact.c.id == first.contacts["sms"]))
        again = {"member_id": row.member_id, "address_id": row.address_id, "type": row.type, "value": row.value}
        added = await tx.conn.execute(sa.insert(contact).values(again | {"from_ms": 1}).returning(contact.c.id))
        return added.scalar_one()

    later = make.Person(first.member_id, {"sms": await database.write(new_version)}, first.addresses)
    town = make.Town(old.town.zone_id, old.town.account_id, (later, *others))
    new = await an_update(database, make.Made(old.id, old.public_id, town, old.ids, old.entries))

    assert await told(database) == list(new.ids["sms"][1:])
    await make.give_back(database, held, make.accepted(old.ids["sms"][:1]))
    await release(database)
    assert await told(database) == list(new.ids["sms"][:1])


async def test_batches_of_an_update_do_not_mix_who_waits_with_who_may_go(database):
    old = await make.a_campaign(database, PEOPLE, batch_size=2)
    held = [await make.must_claim(database) for _ in range(2)]
    await make.advance(database, held[1])

    new = await an_update(database, old, batch_size=4)

    base = new.id << 24
    assert [(b.first - base, b.last - base, b.state, b.waits) for b in await make.batches_of(database, new)] == [
        (0, 1, BatchState.READY, 0), (2, 3, BatchState.WAITING, 1), (4, 5, BatchState.READY, 0),
    ]  # fmt: skip
    await assert_sound(database, new)


@pytest.mark.parametrize("purpose", ["alert", "message"])
async def test_what_replaces_nothing_waits_for_nobody(database, purpose):
    await an_alert_in_hand(database, 3)

    new = await make.a_campaign(database, 2, purpose=purpose)

    assert [b.waits for b in await make.batches_of(database, new)] == [0]


async def test_an_update_that_is_cancelled_while_some_of_it_waits_tells_them_of_the_old_text_only(database):
    old, held = await an_alert_in_hand(database, 2)
    update = await an_update(database, old)
    cancel = await make.a_campaign(
        database, old.town, purpose="cancel", state="preparing", replaces=(old.id, update.id),
        ends=((update.id, "cancelled"),), reserved_millieuro=0,
    )  # fmt: skip
    while await database.write(campaign_steps.close_ended):
        pass

    async with database.read() as conn:
        found = [h for made in (old, update) for h in await cancelling.holders(conn, made.id, after=0)]

    assert [h.delivery_id for h in found] == list(old.ids["sms"][:2])
    assert all(h.in_hand for h in found)
    assert await make.words_of(database, update) == ["cancelled"] * PEOPLE
    assert held.rows
    assert cancel.id


@pytest.mark.parametrize("what", ["a note that cannot be read", "a statement that fails"])
async def test_a_cancel_that_cannot_be_let_go_keeps_no_other_waiting(database, monkeypatch, caplog, what):
    broken, sound = [await a_cancel_whose_original_has_settled(database) for _ in range(2)]
    if what == "a note that cannot be read":
        spoiled = sa.update(meta).where(meta.c.key == f"awaited:{broken.id}").values(value="[")
        await database.write(lambda tx: tx.run(spoiled))
    else:
        in_hand = cancel_waits.in_hand

        async def asked(tx, campaign_id, channel):
            if campaign_id == broken.id:
                await tx.run(sa.text("SELECT * FROM no_such_table"))
            return await in_hand(tx, campaign_id, channel)

        monkeypatch.setattr(cancel_waits, "in_hand", asked)
    left_alone = set()

    assert await database.write(lambda tx: cancelling.release_waiting(tx, left_alone=left_alone)) == 1

    assert await told(database) == list(sound.ids["sms"])
    assert left_alone == {broken.id}
    assert [r.subject for r in caplog.records if getattr(r, "action", "") == "release-failed"] == [broken.id]
    await assert_sound(database, broken, sound)


async def a_cancel_whose_original_has_settled(database):
    old, held = await an_alert_in_hand(database, PEOPLE)
    cancel = await make.a_campaign(
        database,
        old.town,
        purpose="cancel",
        state="preparing",
        replaces=(old.id,),
        ends=((old.id, "cancelled"),),
        reserved_millieuro=0,
        expand=False,
    )
    await Preparer(database).run()
    await make.expand_all(database, cancel)
    await make.give_back(database, held, make.accepted(old.ids["sms"]))
    return cancel
