"""A store that is a copy: what it calls unfinished may have been sent, or cancelled, since. Nothing of it goes out
until somebody decides; what is launched from then on does."""

from store import meta
from store.audit_line import SERVER
from store.campaigns import campaign_steps
from store.outbox import holds, recovery
from store.states import DeliveryEvent
from tests.store import makers as make


async def sent_to(database):
    found = []
    while (held := await make.claim(database)) is not None:
        await make.advance(database, held)
        await make.give_back(database, held, make.accepted(make.ids_of(held)))
        found += make.ids_of(held)
    return found


async def restored(database):
    """As `tocsin new-generation` and the start of a server do."""
    await database.write(meta.renew_generation)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)


async def test_nothing_of_a_copy_is_sent_until_somebody_says_so_and_what_is_launched_then_is(database):
    half_sent = await make.a_campaign(database, 100, batch_size=10)
    for _ in range(3):
        await make.sent(database)
    await make.must_claim(database)
    await restored(database)

    assert await sent_to(database) == []
    fresh = await make.a_campaign(database, 3)
    assert await sent_to(database) == list(fresh.ids["sms"])

    assert await database.write(lambda tx: holds.lift(tx, "campaign", str(half_sent.id)))
    assert sorted(await sent_to(database)) == list(half_sent.ids["sms"][30:])


async def test_what_is_scheduled_in_a_copy_starts_and_sends_nothing(database):
    await make.a_campaign(database, 3, state="scheduled", starts_in_ms=0)
    await restored(database)
    await make.tick(database)

    assert await sent_to(database) == []


async def test_what_a_copy_has_not_made_rows_of_yet_is_held_as_well(database):
    made = await make.a_campaign(database, 3, expand=False)
    await restored(database)
    await make.expand_all(database, made)

    assert await sent_to(database) == []


async def test_only_what_is_not_over_is_held_once_each_with_its_reason(database):
    over = await make.a_campaign(database, 1)
    await make.sent(database, answer=lambda ids: make.happened(ids, DeliveryEvent.REFUSED))
    await make.tick(database)
    running = await make.a_campaign(database, 1)
    await restored(database)
    await restored(database)

    async with database.read() as conn:
        standing = await holds.standing(conn)
    assert [(hold.scope, hold.subject) for hold in standing] == [("campaign", str(running.id))]
    assert standing[0].reason.startswith("restored copy")
    assert str(over.id) not in {hold.subject for hold in standing}


# ---- known by a mark of its own ------------------------------------------------------------------------------------


async def the_hold(database):
    async with database.read() as conn:
        [standing] = await holds.standing(conn)
    return standing


async def test_a_hold_that_stood_there_before_the_backup_is_the_restores_as_well(database):
    made = await make.a_campaign(database, 3)
    await database.write(lambda tx: holds.place(tx, "campaign", str(made.id), "wrong street", "ada"))
    mine = await the_hold(database)
    await restored(database)
    both = await the_hold(database)
    await restored(database)

    assert (mine.of_restore, both.of_restore) == (False, True)
    assert (both.public_id, both.reason, both.by, both.at_ms) == (mine.public_id, "wrong street", "ada", mine.at_ms)
    assert (both.revision, both.changed_by) == (2, "tocsin new-generation")
    assert await the_hold(database) == both, "a second restore has nothing to add"
    for seen in (mine, both):
        assert not await database.write(lambda tx, seen=seen: holds.lift_seen(tx, seen, SERVER))
        assert not await database.write(lambda tx, seen=seen: holds.give_reason(tx, seen, "over", "ada"))
    assert await sent_to(database) == []
    assert await database.write(lambda tx: campaign_steps.retire(tx, made.id))


async def test_what_no_restore_holds_is_not_retired_whatever_the_reason_of_its_hold_says(database):
    made = await make.a_campaign(database, 3)
    await database.write(lambda tx: holds.place(tx, "campaign", str(made.id), meta.RESTORED, "mallory"))

    assert not (await the_hold(database)).of_restore
    assert not await database.write(lambda tx: campaign_steps.retire(tx, made.id))
    assert await database.write(lambda tx: holds.lift(tx, "campaign", str(made.id)))
    assert sorted(await sent_to(database)) == list(made.ids["sms"])
