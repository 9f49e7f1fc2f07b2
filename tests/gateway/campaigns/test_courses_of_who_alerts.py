"""A zone may want a course of who alerts: of a person, for a live alert, by whichever way it is launched."""

from datetime import date, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.access.keys import as_caller
from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import AlertDesk
from gateway.campaigns.answers import MessageRequest, MessageText
from gateway.campaigns.message_desk import MessageDesk
from gateway.campaigns.planning import Planner
from gateway.campaigns.zones import ZonePlanning
from gateway.directory.cache import SnapshotCache
from gateway.directory.targets import Targets
from gateway.directory.zone_policy import day_of
from gateway.errors import Refusal
from gateway.http.languages import Tongue
from gateway.kinds import Kind
from store.access import accounts, courses
from store.engine.database import Database
from store.tables import account, campaign, zone
from tests.gateway.campaigns.crowd import a_document, an_author
from tests.gateway.populated_store import House

WITHIN = 30
ASK = "Helpdesk, 02 610 61 07, 24/7"


class Zone:
    """One that wants a course of the last 30 days, and who has every right to alert there."""

    def __init__(self, database: Database) -> None:
        self.database, self.house = database, House(database)
        planner = Planner(
            SnapshotCache(database.read), frozenset(Channel), lambda mode: dict.fromkeys(Channel, 100.0), 1,
            whom_to_ask=lambda zone_id: ASK,
        )  # fmt: skip
        self.messages = MessageDesk(database, planner, lambda: True, lambda: None)
        self.alerts = AlertDesk(database, ZonePlanning(database, planner), lambda: True, lambda: None)

    async def open(self) -> "Zone":
        await self.house.zone("5301")
        await self.house.people("5301", 3)
        await self.wants(WITHIN)
        self.officer = await self.caller(await self.house.account("officer", ("launch", "5301"), ("stop", "5301")))
        return self

    async def wants(self, days: int) -> None:
        policy = f'{{"course_within_days": {days}}}' if days else "{}"
        await self.database.write(lambda tx: tx.run(sa.update(zone).values(policy=policy, convention=1)))

    async def caller(self, account_id: int) -> Caller:
        async with self.database.read() as conn:
            row = await accounts.find_account(conn, account_id)
        assert row is not None
        return as_caller(row)

    async def learnt(self, caller: Caller, days_ago: int) -> None:
        taught = courses.TaughtAccount(caller.account_id, caller.code, frozenset())
        day = (self.today - timedelta(days=days_ago)).isoformat()
        await self.database.write(lambda tx: courses.note(tx, taught, "BIN", day))

    @property
    def today(self) -> date:
        return day_of(self.database.clock.now_ms())

    async def campaigns(self) -> int:
        async with self.database.read() as conn:
            return int((await conn.execute(sa.select(sa.func.count()).select_from(campaign))).scalar_one())


@pytest.fixture
async def place(database: Database) -> Zone:
    return await Zone(database).open()


def message(**changes: object) -> MessageRequest:
    made = MessageRequest(
        zone="5301", kind=Kind.ALERT, title="Inbraken", targets=Targets(whole_zone=True), channels=(Channel.SMS,),
        texts=(MessageText("nl", sms="Sluit ramen en deuren."),), terms_confirmed=True,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


async def test_a_live_alert_of_who_has_no_course_is_refused_before_anything_and_says_what_is_missing_and_whom_to_ask(
    place: Zone,
) -> None:
    for ask in (place.messages.preview, place.messages.launch):
        with pytest.raises(Refusal) as refused:
            await ask(place.officer, message())  # type: ignore[operator]
        assert (refused.value.status, refused.value.code) == (403, "course-missing")
        [reason] = refused.value.reasons
        assert reason.text == "5301: a live alert there takes a course of the last 30 days, and this account has none."
        assert ASK in reason.remedy
        for language in ("nl", "fr", "de"):
            told = Tongue(language).reason(reason)
            assert "30" in told.text
            assert ASK in told.remedy
            assert told.text != reason.text

    assert await place.campaigns() == 0


@pytest.mark.parametrize(("days_ago", "may"), [(0, True), (WITHIN, True), (WITHIN + 1, False)])
async def test_a_course_opens_live_alerts_to_the_last_day_on_which_it_counts(
    place: Zone, days_ago: int, may: bool
) -> None:
    await place.learnt(place.officer, 400)
    await place.learnt(place.officer, days_ago)

    if may:
        assert (await place.messages.launch(place.officer, message())).created
    else:
        with pytest.raises(Refusal) as refused:
            await place.messages.launch(place.officer, message())
        last = (place.today - timedelta(days=days_ago)).isoformat()
        assert f"the last of {last}" in refused.value.reasons[0].text
        assert last in Tongue("fr").reason(refused.value.reasons[0]).text
    assert await place.campaigns() == int(may)


async def test_of_another_person_a_course_opens_nothing(place: Zone) -> None:
    other = await place.caller(await place.house.account("other", ("launch", "5301")))
    await place.learnt(other, 1)

    with pytest.raises(Refusal, match="lacks the course"):
        await place.messages.launch(place.officer, message())


@pytest.mark.parametrize(
    "open_", [{"simulation": True}, {"kind": Kind.PREVENTIVE}, {"kind": Kind.NEWS, "channels": ()}]
)
async def test_simulations_and_what_is_no_alert_are_always_open(place: Zone, open_: dict[str, object]) -> None:
    request = message(**open_)
    if request.kind is not Kind.ALERT:
        mail = (MessageText("nl", sms="Sluit alles.", subject="Sluit alles", email="Sluit alles."),)
        request = msgspec.structs.replace(request, texts=mail, channels=(Channel.EMAIL,))

    assert (await place.messages.launch(place.officer, request)).created


async def test_a_zone_that_has_decided_nothing_asks_for_none(place: Zone) -> None:
    await place.wants(0)

    assert (await place.messages.launch(place.officer, message())).created


async def test_a_stop_takes_none(place: Zone) -> None:
    await place.learnt(place.officer, 1)
    launched = await place.messages.launch(place.officer, message())
    await place.wants(1)
    await place.database.write(lambda tx: tx.run(sa.text("DELETE FROM course")))

    assert await place.messages.stop(place.officer, launched.campaign)


def cap_alert() -> bytes:
    """For everyone of the zone."""
    here = b"<valueName>POLICEZONE</valueName><value>5301</value>"
    return a_document("id-1").replace(b"<valueName>NIS5</valueName><value>55085</value>", here)


async def person_with_cap(place: Zone, type_: str) -> Caller:
    author = await an_author(place.house, "author")
    await place.database.write(
        lambda tx: tx.run(sa.update(account).where(account.c.id == author.account_id).values(type=type_))
    )
    # Whoever may publish is not refused where nobody is told.
    await place.database.write(lambda tx: tx.run(sa.text("DELETE FROM account_right WHERE action = 'publish'")))
    return await place.caller(author.account_id)


@pytest.mark.parametrize("type_", ["officer", "coordinator", "administrator", "operator"])
async def test_by_a_cap_alert_a_person_does_not_come_round_it(place: Zone, type_: str) -> None:
    author = await person_with_cap(place, type_)

    with pytest.raises(Refusal) as refused:
        await place.alerts.submit(author, cap_alert())

    assert refused.value.status == 403
    assert "COURSE" in {reason.rule for reason in refused.value.reasons}
    assert await place.campaigns() == 0
    await place.learnt(author, 1)
    assert (await place.alerts.submit(author, cap_alert())).zones[0].campaign


async def test_a_dispatch_centres_system_follows_no_course(place: Zone) -> None:
    author = await person_with_cap(place, "cic")

    assert (await place.alerts.submit(author, cap_alert())).zones[0].campaign
    assert await place.campaigns() == 1
