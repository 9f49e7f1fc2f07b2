"""A Cancel: its fence falls before anybody of its audience is looked at, and whom it goes to is gathered afterwards."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import _AT_ONCE
from gateway.campaigns.answers import GatheringAnswer
from gateway.campaigns.cancels import Preparer
from gateway.directory.audience import Audience, decode
from gateway.directory.zone_policy import ZonePolicy
from gateway.reports.reading import draw_up
from store.audit_reading import WantedLines, latest
from store.campaigns import campaign_steps
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.errors import StoreUnavailable
from store.tables import campaign_text, contact
from tests.gateway.campaigns.crowd import SENDER, a_crowd_alerted, a_desk, a_document, an_author
from tests.gateway.populated_store import House
from tests.store.asked import asked

pytestmark = pytest.mark.timeout(120)

SIZE, SENT, IN_HAND = 3_000, 1_500, 500
HELD = 250
"""Those of one batch of 500 that its worker has handed over."""


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    await house.zone("A")
    return house


@pytest.fixture
async def author(house: House) -> Caller:
    return await an_author(house)


async def alerted(house: House, author: Caller) -> int:
    return await a_crowd_alerted(house, "A", author, SIZE, sent=SENT, in_hand=IN_HAND)


async def cancelled(database: Database, author: Caller, identifier: str = "over") -> int:
    """The Cancel's campaign."""
    answer = await a_desk(database).submit(author, a_document(identifier, "Cancel"))
    async with database.read() as conn:
        found = await campaigns.by_public_id(conn, answer.zones[0].campaign or "")
    assert found is not None
    return found.id


async def audience_of(database: Database, campaign_id: int) -> Audience:
    async with database.read() as conn:
        blob = await campaigns.audience_blob(conn, campaign_id)
    assert blob is not None
    return decode(blob)


async def state_of(database: Database, campaign_id: int) -> str:
    async with database.read() as conn:
        found = await campaigns.by_id(conn, campaign_id)
    assert found is not None
    return found.state


async def test_the_audit_tells_who_cancelled_from_where_and_what_that_ended(
    house: House, author: Caller, database: Database
) -> None:
    original = await alerted(house, author)
    by = msgspec.structs.replace(author, via="http", address="192.0.2.7")

    answer = await a_desk(database).submit(by, a_document("over", "Cancel"))

    async with database.read() as conn:
        [line] = await latest(conn, 1, WantedLines(action="launch"))
        ended = await campaigns.by_id(conn, original)
    assert ended is not None
    assert (line.account, line.behalf, line.via, line.zone) == (author.code, "", "http", "A")
    assert (line.subject, line.apart) == (answer.id, {"address": "192.0.2.7"})
    assert line.detail == {"campaigns": [answer.zones[0].campaign], "ended": [ended.public_id]}


# ---- the fence -----------------------------------------------------------------------------------------------------


async def test_the_original_has_ended_and_nobody_of_the_audience_was_read_when_a_cancel_is_answered(
    house: House, author: Caller, database: Database
) -> None:
    original = await alerted(house, author)
    with asked() as seen:
        answer = await a_desk(database).submit(author, a_document("over", "Cancel"))
    read = [statement for statement, _ in seen]

    assert await state_of(database, original) == "cancelled"
    assert answer.state == "cancelled"
    assert answer.zones[0].gathering == GatheringAnswer(may_have_it=SENT, open=SIZE - SENT)
    assert [s for s in read if "FROM delivery" in s or "audience.blob" in s or "JOIN delivery" in s] == []


async def test_a_cancel_waits_for_no_alert_that_is_being_planned(
    house: House, author: Caller, database: Database
) -> None:
    await alerted(house, author)
    desk = a_desk(database)

    async with contextlib.AsyncExitStack() as others, asyncio.timeout(20):
        for other in range(_AT_ONCE):
            await others.enter_async_context(desk._turns.of(author.account_id + other % 2))
        answer = await desk.submit(author, a_document("over", "Cancel"))

    assert answer.state == "cancelled"


async def test_a_dry_run_of_a_cancel_shows_whom_it_would_reach_at_this_moment(
    house: House, author: Caller, database: Database
) -> None:
    original = await alerted(house, author)

    preview = await a_desk(database).validate(author, a_document("over", "Cancel"))

    [zone] = preview.zones
    assert (zone.resolved, zone.included, zone.price_millieuro) == (SENT + HELD, SENT + HELD, preview.price_millieuro)
    assert [(c.channel, c.deliveries) for c in zone.channels] == [("sms", SENT + HELD)]
    assert sum(text.deliveries for text in zone.texts) == SENT + HELD
    assert await state_of(database, original) == "running", "nothing is done"


async def test_what_is_told_of_a_cancel_says_that_its_audience_is_being_gathered(
    house: House, author: Caller, database: Database
) -> None:
    await alerted(house, author)
    cancel = await cancelled(database, author)

    before = await draw_up(database, cancel)
    await Preparer(database).run()
    after = await draw_up(database, cancel)

    assert (before.campaign.state, before.campaign.audience_known, before.persons.included) == ("preparing", False, 0)
    assert (after.campaign.state, after.campaign.audience_known) == ("running", True)
    assert after.persons.included == SENT + HELD
    answer = await a_desk(database).find(author, SENDER, "over")
    assert answer.zones[0].gathering is None


# ---- whom it goes to -----------------------------------------------------------------------------------------------


async def test_a_cancel_goes_first_to_those_who_have_it_and_those_in_hand_wait(
    house: House, author: Caller, database: Database
) -> None:
    await alerted(house, author)
    cancel = await cancelled(database, author)

    assert await Preparer(database).run()

    audience = await audience_of(database, cancel)
    reached = audience.deliveries[Channel.SMS]
    assert reached.member_id.tolist() == [*range(1, SENT + 1), *range(SENT + 1, SENT + HELD + 1)]
    assert (reached.contact_id == reached.address_id).all()
    counts = audience.counts()
    assert (counts.persons_close(), counts.contacts_close()) == (True, True)
    async with database.read() as conn:
        [frozen] = (await conn.execute(sa.text(f"SELECT * FROM expansion WHERE campaign_id = {cancel}"))).all()
        found = await campaigns.by_id(conn, cancel)
        prices = {t.language: t.price_millieuro for t in await campaigns.texts(conn, cancel)}
    assert (frozen.size, frozen.waits_from) == (SENT + HELD, SENT)
    assert found is not None
    languages = [audience.languages[n] for n in reached.language]
    assert found.reserved_millieuro == sum(prices[language] for language in languages)
    assert not await Preparer(database).run(), "once"


async def test_everybody_is_told_in_the_language_in_which_they_read_it_where_there_is_a_text(
    house: House, author: Caller, database: Database
) -> None:
    await alerted(house, author)
    cancel = await cancelled(database, author)
    async with database.read() as conn:
        texts = {t.language for t in await campaigns.texts(conn, cancel)}

    await Preparer(database).run()

    audience = await audience_of(database, cancel)
    reached = audience.deliveries[Channel.SMS]
    for member, number in zip(reached.member_id.tolist(), reached.language.tolist(), strict=True):
        wanted = ("fr" if member % 3 == 0 else "nl", *ZonePolicy().language_fallback)
        assert audience.languages[number] == next(each for each in wanted if each in texts), member


async def test_an_address_that_stands_in_the_register_twice_is_told_once(
    house: House, author: Caller, database: Database
) -> None:
    """Contacts 1 and 2 are known to have it, 3 shares the address of somebody in hand."""
    await alerted(house, author)
    for same, of in ((2, 1), (3, SENT + 1)):
        await database.write(
            lambda tx, s=same, a=of: tx.run(sa.update(contact).where(contact.c.id == s).values(address_id=a))  # type: ignore[misc]
        )
    cancel = await cancelled(database, author)

    await Preparer(database).run()

    reached = (await audience_of(database, cancel)).deliveries[Channel.SMS]
    assert len(set(reached.address_id.tolist())) == len(reached) == SENT + HELD - 2
    assert SENT + 1 not in reached.member_id, "the contact that is known to have it counts"
    assert {1, 3} < set(reached.member_id.tolist())
    assert 3 in reached.member_id[SENT - 2 :], "who waits for the copy that is in hand to the same address"


# ---- many ------------------------------------------------------------------------------------------------------------


class Watch:
    """The longest turn of the loop in CPU time, which another process on the machine does not lengthen."""

    longest_s = 0.0

    async def look(self) -> None:
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.thread_time() - before_s)


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    watch = Watch()
    # As in a process that serves: a look at every object that the other tests have left takes 150 ms.
    gc.collect()
    gc.freeze()
    looking = asyncio.create_task(watch.look())
    yield watch
    looking.cancel()
    gc.unfreeze()


async def test_gathering_tens_of_thousands_holds_the_event_loop_for_a_blink(
    house: House, author: Caller, database: Database, watch: Watch
) -> None:
    many = 30_000
    await a_crowd_alerted(house, "A", author, many, sent=many, in_hand=0)
    desk = a_desk(database)
    await desk.validate(author, a_document("look", "Cancel"))  # what is read and compiled once
    # What other tests have left in this process is not gone through by a collection in the middle of a callback.
    gc.collect()
    gc.freeze()
    watch.longest_s = 0.0

    await desk.validate(author, a_document("look", "Cancel"))
    to_be_shown_s = watch.longest_s
    cancel = await cancelled(database, author)
    watch.longest_s = 0.0
    await Preparer(database).run()
    to_be_sent_s = watch.longest_s

    assert len((await audience_of(database, cancel)).deliveries[Channel.SMS]) == many
    gc.unfreeze()
    assert max(to_be_shown_s, to_be_sent_s) < 0.02


# ---- one that cannot be drawn up -------------------------------------------------------------------------------------


async def break_texts(database: Database, campaign_id: int) -> None:
    mine = sa.delete(campaign_text).where(campaign_text.c.campaign_id == campaign_id)
    await database.write(lambda tx: tx.run(mine))


async def test_a_cancel_that_cannot_be_drawn_up_is_logged_and_keeps_no_other_waiting(
    house: House, author: Caller, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await alerted(house, author)
    broken = await cancelled(database, author)
    await break_texts(database, broken)
    sound = await house.launch(
        author.account_id,
        house.campaign("A", author.account_id, house.audience({}), "sound", state="preparing", purpose="cancel"),
    )
    preparer = Preparer(database)

    worked = await preparer.run()

    assert worked
    assert await state_of(database, sound[0]) == "running"
    assert await state_of(database, broken) == "preparing"
    [line] = [r for r in caplog.records if getattr(r, "action", "") == "prepare-failed"]
    assert (line.levelname, line.campaign) == ("ERROR", broken)  # type: ignore[attr-defined]
    assert not await preparer.run(), "it rests"
    assert len([r for r in caplog.records if getattr(r, "action", "") == "prepare-failed"]) == 1


async def test_a_store_that_is_away_is_no_fault_of_the_campaign(
    house: House, author: Caller, database: Database
) -> None:
    await alerted(house, author)
    cancel = await cancelled(database, author)
    preparer = Preparer(database)
    write = database.write

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    database.write = away  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreUnavailable):
        await preparer.run()
    database.write = write  # type: ignore[method-assign]

    assert await preparer.run(), "at once: nothing rests"
    assert await state_of(database, cancel) == "running"


@pytest.mark.parametrize("hand", [Preparer.run, Preparer.run_small])
async def test_a_cancel_about_which_the_store_has_no_answer_keeps_no_other_waiting(
    house: House,
    author: Caller,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    hand: Callable[[Preparer], Awaitable[bool]],
) -> None:
    await alerted(house, author)
    silent = await cancelled(database, author)
    [sound] = await house.launch(
        author.account_id,
        house.campaign("A", author.account_id, house.audience({}), "sound", state="preparing", purpose="cancel"),
    )

    def silent_about_it(ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(conn: object, number: int) -> Any:
            if number == silent:
                raise StoreUnavailable("no answer in time")
            return await ask(conn, number)

        return asked

    for ask in (campaigns.replaced_by, campaigns.replaced_counts):
        monkeypatch.setattr(campaigns, ask.__name__, silent_about_it(ask))

    assert await hand(Preparer(database))

    assert (await state_of(database, sound), await state_of(database, silent)) == ("running", "preparing")


async def test_a_small_cancel_is_prepared_while_a_large_one_is_at_work(
    house: House, author: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alerted(house, author)
    monkeypatch.setattr("gateway.campaigns.cancels.SMALL", SIZE - 1)
    large = await cancelled(database, author)
    [small] = await house.launch(
        author.account_id,
        house.campaign("A", author.account_id, house.audience({}), "small", state="preparing", purpose="cancel"),
    )

    assert await Preparer(database).run_small()

    assert (await state_of(database, small), await state_of(database, large)) == ("running", "preparing")


async def test_a_cancel_that_is_stopped_before_it_has_an_audience_tells_nobody(
    house: House, author: Caller, database: Database
) -> None:
    await alerted(house, author)
    cancel = await cancelled(database, author)
    await database.write(lambda tx: campaign_steps.stop(tx, cancel, author.account_id))

    assert not await Preparer(database).run()

    report = await draw_up(database, cancel)
    assert (report.campaign.state, report.campaign.audience_known, report.sums_close) == ("stopped", False, True)
