"""What follows a composed message: an Update and a Cancel by the same functions as an alert's, without any document."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
import sqlalchemy as sa

from channels.contract import Channel, Mode
from gateway.access.keys import as_caller
from gateway.access.rights import Action, Caller
from gateway.campaigns.announcement import Announcement
from gateway.campaigns.answers import MessageRequest, MessageText
from gateway.campaigns.cancels import Preparer
from gateway.campaigns.message_desk import MessageDesk
from gateway.campaigns.planning import Planner
from gateway.campaigns.zones import ZonePlanning, launch_of
from gateway.directory.cache import SnapshotCache
from gateway.directory.targets import Targets
from gateway.dispatch.expander import Expander
from gateway.errors import Refusal
from gateway.kinds import Kind
from gateway.texts.content import read_content
from gateway.texts.wording import Mark, OwnWords, Wording
from store.access import accounts
from store.campaigns import reading as campaigns
from store.campaigns import threads
from store.campaigns.launching import launch
from store.engine.database import Database
from store.errors import StaleThread
from store.tables import alert, delivery, zone
from tests.gateway.populated_store import House
from tests.store import makers as make
from tests.store.broken_line import lost_answer

EVERYONE = Targets(whole_zone=True)
HOUR_MS = 3_600_000


class Desk:
    """A coordinator of two zones and their people; what is composed is for the first zone."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.house = House(database)

    async def open(self) -> "Desk":
        for code in ("5301", "5302"):
            await self.house.zone(code)
            await self.house.people(code, 3)
        await self.database.write(lambda tx: tx.run(sa.update(zone).values(convention=1)))
        account_id = await self.house.account("coordinator", ("launch", "5301"), ("launch", "5302"))
        async with self.database.read() as conn:
            row = await accounts.find_account(conn, account_id)
        assert row is not None
        self.caller: Caller = as_caller(row)
        return self

    def planner(self) -> Planner:
        """With the register as it is now."""
        rates = dict.fromkeys(Channel, 100.0)
        return Planner(SnapshotCache(self.database.read), frozenset(Channel), lambda mode: rates, 1)

    async def compose(self) -> campaigns.Campaign:
        """A message by SMS to everyone of 5301, launched and with its rows made."""
        request = MessageRequest(
            zone="5301", kind=Kind.ALERT, title="Inbraken in uw buurt", targets=EVERYONE,
            texts=(MessageText("nl", sms="Sluit ramen en deuren."),), channels=(Channel.SMS,), terms_confirmed=True,
        )  # fmt: skip
        desk = MessageDesk(self.database, self.planner(), lambda: True, lambda: None)
        answer = await desk.launch(self.caller, request)
        await self.expand()
        return await self.campaign(answer.campaign)

    async def expand(self) -> None:
        expander = Expander(self.database, dict.fromkeys(Channel, 500), lambda channel: None)
        while await expander.step():
            pass

    async def campaign(self, public_id: str) -> campaigns.Campaign:
        async with self.database.read() as conn:
            found = await campaigns.by_public_id(conn, public_id)
        assert found is not None
        return found

    async def said(self, about: campaigns.Campaign, purpose: str, wording: Wording, **changes: object) -> Announcement:
        now_ms = self.database.clock.now_ms()
        async with self.database.read() as conn:
            seen = await threads.seen(conn, [about.thread_id])
        value = Announcement(
            purpose=purpose, title="", wording=wording, kind=None, mode=Mode.LIVE, starts_ms=now_ms,
            expires_ms=now_ms + HOUR_MS, zones=frozenset({about.zone_code}), threads=seen,
        )  # fmt: skip
        return replace(value, **changes)  # type: ignore[arg-type]

    async def launch(self, said: Announcement, *, refused: int = 0) -> list[campaigns.Campaign]:
        outcome = await ZonePlanning(self.database, self.planner()).plan(self.caller, said, Action.LAUNCH)
        assert len(outcome.refusals) == refused
        decision = launch_of(self.caller, said, outcome)
        await self.database.write(lambda tx: launch(tx, decision))
        return [await self.campaign(c.public_id) for c in decision.campaigns]

    async def texts(self, of: campaigns.Campaign) -> dict[tuple[str, str], str]:
        async with self.database.read() as conn:
            found = await campaigns.texts(conn, of.id)
        return {(t.channel, t.language): read_content(t.content).text for t in found}  # type: ignore[union-attr]

    async def addresses(self, of: campaigns.Campaign) -> list[str]:
        statement = sa.select(delivery.c.address).where(delivery.c.id.between(of.id << 24, (of.id + 1 << 24) - 1))
        async with self.database.read() as conn:
            return sorted(row.address for row in (await conn.execute(statement)).all())

    async def alerts(self) -> int:
        async with self.database.read() as conn:
            return int((await conn.execute(sa.select(sa.func.count()).select_from(alert))).scalar_one())


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await Desk(database).open()


def words(text: str) -> Wording:
    return Wording(words=(OwnWords(language="nl", sms=text),))


async def update(desk: Desk, about: campaigns.Campaign) -> Announcement:
    return await desk.said(
        about, "update", words("De daders zijn gevat."), kind=Kind.ALERT, channels=(Channel.SMS,), title="Gevat"
    )


async def cancel(desk: Desk, about: campaigns.Campaign) -> Announcement:
    return await desk.said(about, "cancel", Wording(marks=(Mark.CANCELLED,)))


async def test_an_update_of_a_composed_message_takes_its_place_for_all_it_was_for(desk: Desk) -> None:
    first = await desk.compose()

    [second] = await desk.launch(await update(desk, first))
    await desk.expand()

    assert (second.purpose, second.title, second.zone_code) == ("update", "Gevat", "5301")
    assert second.thread_id == first.thread_id
    assert (await desk.campaign(first.public_id)).state == "superseded"
    assert await desk.texts(second) == {("sms", "nl"): "De daders zijn gevat."}
    assert await desk.addresses(second) == await desk.addresses(first) == [f"+3247500000{n}" for n in (1, 2, 3)]
    assert await desk.alerts() == 0


async def test_an_update_names_people_too_who_were_not_meant_before(desk: Desk) -> None:
    first = await desk.compose()
    await desk.house.people("5301", 1)

    [second] = await desk.launch(replace(await update(desk, first), targets=EVERYONE))
    await desk.expand()

    assert len(await desk.addresses(first)) == 3
    assert len(await desk.addresses(second)) == 4, "nobody of the other zone, where the same account may launch, too"


async def test_a_cancel_of_a_composed_message_goes_to_who_has_it_by_its_title_and_channel(desk: Desk) -> None:
    first = await desk.compose()
    held = await make.must_claim(desk.database)
    await make.advance(desk.database, held, 2)
    await make.give_back(desk.database, held, make.accepted(make.ids_of(held)[:2]))

    [end] = await desk.launch(await cancel(desk, first))
    assert await Preparer(desk.database).run()
    await desk.expand()

    assert (end.purpose, end.kind, end.title) == ("cancel", "alert", "Inbraken in uw buurt")
    assert end.thread_id == first.thread_id
    assert (await desk.campaign(first.public_id)).state == "cancelled"
    assert await desk.texts(end) == {("sms", "nl"): "Ingetrokken: Inbraken in uw buurt."}
    assert await desk.addresses(end) == [row.address for row in held.rows[:2]]
    assert await desk.alerts() == 0


async def test_a_cancel_says_its_own_words_where_it_has_any_and_its_note_else(desk: Desk) -> None:
    for wording, told in (
        (words("Vals alarm, excuses."), "Vals alarm, excuses."),
        (Wording(marks=(Mark.CANCELLED,), note="Vals alarm"), "Ingetrokken: Vals alarm."),
    ):
        first = await desk.compose()
        [end] = await desk.launch(await desk.said(first, "cancel", wording))
        assert await desk.texts(end) == {("sms", "nl"): told}


async def test_the_cancel_after_an_update_goes_to_who_has_either_by_the_later_name(desk: Desk) -> None:
    first = await desk.compose()
    await make.sent(desk.database)
    [second] = await desk.launch(await update(desk, first))

    [end] = await desk.launch(await cancel(desk, second))
    await Preparer(desk.database).run()
    await desk.expand()

    assert await desk.texts(end) == {("sms", "nl"): "Ingetrokken: Gevat."}
    assert await desk.addresses(end) == await desk.addresses(first)


async def test_a_cancel_that_cannot_be_told_ends_the_thread_all_the_same(desk: Desk) -> None:
    first = await desk.compose()
    too_long = await desk.said(first, "cancel", words("Vals alarm. " * 200))

    assert await desk.launch(too_long, refused=1) == []

    assert (await desk.campaign(first.public_id)).state == "cancelled"
    with pytest.raises(StaleThread):
        await desk.launch(await update(desk, first))


@pytest.mark.parametrize("late", [update, cancel])
async def test_what_was_planned_before_a_cancel_and_comes_after_it_launches_nothing(desk: Desk, late) -> None:
    first = await desk.compose()
    said = await late(desk, first)
    await desk.launch(await cancel(desk, first))

    for again in (said, await late(desk, first)):
        with pytest.raises(StaleThread):
            await desk.launch(again)

    async with desk.database.read() as conn:
        assert [c.purpose for c in await campaigns.of_thread(conn, first.thread_id)] == ["message", "cancel"]


@pytest.mark.parametrize("second", [update, cancel])
async def test_of_two_follow_ups_at_once_one_is_launched_also_when_the_message_is_over(desk: Desk, second) -> None:
    """Nobody is sending any more: only the thread can tell the two of one another."""
    first = await desk.compose()
    await make.sent(desk.database)
    await make.tick(desk.database)
    assert (await desk.campaign(first.public_id)).state == "completed"
    both = [await cancel(desk, first), await second(desk, first)]

    results = await asyncio.gather(*map(desk.launch, both), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["StaleThread", "list"]
    async with desk.database.read() as conn:
        assert len(await campaigns.of_thread(conn, first.thread_id)) == 2


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)])
@pytest.mark.parametrize("key", ["", "mine"])
async def test_a_message_whose_commits_answer_was_lost_is_answered_as_launched_and_launched_once(
    desk: Desk, engine: str, key: str
) -> None:
    request = MessageRequest(
        zone="5301", kind=Kind.ALERT, title="Inbraken", targets=EVERYONE,
        texts=(MessageText("nl", sms="Sluit ramen en deuren."),), channels=(Channel.SMS,), terms_confirmed=True,
    )  # fmt: skip
    woken: list[bool] = []
    messages = MessageDesk(desk.database, desk.planner(), lambda: True, lambda: woken.append(True))

    async with lost_answer(desk.database):
        answer = await messages.launch(desk.caller, request, key)

    assert answer.created
    assert woken
    assert (await desk.campaign(answer.campaign)).state == "running"
    async with desk.database.read() as conn:
        assert len(await campaigns.recent(conn, None, before_id=None, most=9)) == 1


async def test_the_same_key_with_the_same_words_is_one_campaign_and_with_other_words_is_refused(desk: Desk) -> None:
    request = MessageRequest(
        zone="5301", kind=Kind.ALERT, title="Inbraken", targets=EVERYONE,
        texts=(MessageText("nl", sms="Dinsdag."),), channels=(Channel.SMS,), terms_confirmed=True,
    )  # fmt: skip
    other = msgspec.structs.replace(request, texts=(MessageText("nl", sms="Donderdag."),))
    messages = MessageDesk(desk.database, desk.planner(), lambda: True, lambda: None)

    first = await messages.launch(desk.caller, request, "reunion-1")
    again = await messages.launch(desk.caller, request, "reunion-1")
    with pytest.raises(Refusal) as refused:
        await messages.launch(desk.caller, other, "reunion-1")

    assert (first.created, again.created, again.campaign) == (True, False, first.campaign)
    assert (refused.value.status, refused.value.code) == (422, "key-used")
    assert refused.value.members == {"campaign": first.campaign}
    async with desk.database.read() as conn:
        assert len(await campaigns.recent(conn, None, before_id=None, most=9)) == 1
