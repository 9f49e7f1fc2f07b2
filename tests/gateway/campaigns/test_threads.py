"""Alerts of one thread, or of several, through their desk: what ends, who is told, and who comes too late."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from gateway.access.keys import as_caller
from gateway.access.rights import Action, Caller, Right
from gateway.campaigns.alert_desk import AlertDesk
from gateway.campaigns.announcement import Announcement
from gateway.campaigns.answers import AlertAnswer
from gateway.campaigns.cancels import Preparer
from gateway.campaigns.parked import Parked
from gateway.campaigns.zones import ZoneOutcomes, ZonePlanning
from gateway.errors import Refusal
from gateway.feed.publishing import Publisher
from store import feed
from store.access import accounts
from store.campaigns import alerts
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.tables import account
from tests.gateway.campaigns.test_follow_ups import HOUR_MS, Desk
from tests.store import makers as make

SENDER = "dispatch@zone-a.example"
NOW = datetime.now(UTC).replace(microsecond=0)


def instant(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "-00:00")


def document(
    name: str, headline: str = "", *, msg_type: str = "Alert", about: tuple[bytes, ...] = (), sent: float = -9,
    expires: float = 60, language: str = "nl-BE", zone: str = "5301",
) -> bytes:  # fmt: skip
    """An alert to everyone of a police zone; a Cancel without a headline has no info at all."""
    named = " ".join(triple(document) for document in about)
    references = f"<references>{named}</references>" if about else ""
    info = f"""
  <info>
    <language>{language}</language><category>Safety</category><event>Test</event>
    <urgency>Immediate</urgency><severity>Severe</severity><certainty>Observed</certainty>
    <expires>{instant(expires)}</expires><headline>{headline}</headline>
    <parameter><valueName>tocsin:kind</valueName><value>alert</value></parameter>
    <parameter><valueName>tocsin:channels</valueName><value>sms</value></parameter>
    <area><areaDesc>Zone</areaDesc><geocode><valueName>POLICEZONE</valueName><value>{zone}</value></geocode></area>
  </info>"""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>{name}</identifier><sender>{SENDER}</sender><sent>{instant(sent)}</sent>
  <status>Actual</status><msgType>{msg_type}</msgType><scope>Public</scope>
  {references}{info if headline else ""}
</alert>
""".encode()


def triple(of: bytes) -> str:
    text = of.decode()
    parts = (text.partition(f"<{tag}>")[2].partition("<")[0] for tag in ("sender", "identifier", "sent"))
    return ",".join(parts)


class Together(ZonePlanning):
    """Two who have planned wait for one another: both have decided on the same state. Later plans wait for nobody."""

    __slots__ = ("_both", "_left")

    def __init__(self, planning: ZonePlanning) -> None:
        super().__init__(planning.database, planning.planner)
        object.__setattr__(self, "_both", asyncio.Barrier(2))
        object.__setattr__(self, "_left", [1, 1])

    async def plan(
        self, caller: Caller, said: Announcement, action: Action = Action.SUBMIT, *, dry: bool = False
    ) -> ZoneOutcomes:
        outcome = await super().plan(caller, said, action, dry=dry)
        if self._left:
            self._left.pop()
            await self._both.wait()
        return outcome


class Centre(Desk):
    """A dispatch centre of both zones."""

    async def open(self) -> "Centre":
        await super().open()
        account_id = await self.house.account("centre", ("submit", "5301"), ("submit", "5302"), type_="cic")
        senders = sa.update(account).where(account.c.id == account_id).values(senders=f'["{SENDER}"]')
        await self.database.write(lambda tx: tx.run(senders))
        async with self.database.read() as conn:
            row = await accounts.find_account(conn, account_id)
        assert row is not None
        self.caller = as_caller(row)
        self.desk = AlertDesk(self.database, self.planning(), lambda: True, lambda: None)
        return self

    def planning(self) -> ZonePlanning:
        return ZonePlanning(self.database, self.planner())

    async def post(self, *documents: bytes) -> list[AlertAnswer]:
        answers = [await self.desk.submit(self.caller, each) for each in documents]
        await self.expand()
        return answers

    async def post_at_once(self, *documents: bytes) -> list[AlertAnswer | Refusal]:
        """Both are decided on before either is launched."""
        desk = AlertDesk(self.database, Together(self.planning()), lambda: True, lambda: None)
        return await asyncio.gather(*(desk.submit(self.caller, each) for each in documents), return_exceptions=True)  # type: ignore[return-value]

    async def launched(self, answer: AlertAnswer) -> campaigns.Campaign:
        [public_id] = [z.campaign for z in answer.zones if z.campaign]
        return await self.campaign(public_id)

    async def states(self, *names: str) -> list[str]:
        async with self.database.read() as conn:
            found = [await alerts.by_key(conn, SENDER, name) for name in names]
        return [f.state for f in found if f is not None]


@pytest.fixture
async def centre(database: Database) -> Centre:
    return await Centre(database).open()


# ---- who comes too late ------------------------------------------------------------------------------------------


async def test_of_two_cancels_at_once_of_what_is_over_already_the_second_hears_that_it_is_cancelled(
    centre: Centre,
) -> None:
    over = document("over", "Oud nieuws", sent=-90, expires=-30)
    assert [a.state for a in await centre.post(over)] == ["expired"]
    first, second = [document(name, msg_type="Cancel", about=(over,), sent=-1) for name in ("c1", "c2")]

    results = await centre.post_at_once(first, second)

    [done] = [r for r in results if isinstance(r, AlertAnswer)]
    [refused] = [r for r in results if isinstance(r, Refusal)]
    assert done.state == "cancelled"
    assert (refused.status, refused.code, [r.rule for r in refused.reasons]) == (409, "thread-ended", ["C-TERMINAL"])
    with pytest.raises(Refusal) as later:
        await centre.post(document("c3", msg_type="Cancel", about=(over,), sent=-1))
    assert (later.value.code, later.value.title) == (refused.code, refused.title)


async def test_an_update_and_a_cancel_at_once_leave_the_thread_cancelled_and_nobody_sending(centre: Centre) -> None:
    alert = document("a", "Brand")
    await centre.post(alert)
    update = document("u", "Brand breidt uit", msg_type="Update", about=(alert,), sent=-2)
    cancel = document("c", "Brand geblust", msg_type="Cancel", about=(alert,), sent=-1)

    updated, cancelled = await centre.post_at_once(update, cancel)

    assert isinstance(cancelled, AlertAnswer)
    assert cancelled.state == "cancelled"
    assert isinstance(updated, AlertAnswer) or updated.code == "thread-ended"
    async with centre.database.read() as conn:
        filed = await alerts.by_key(conn, SENDER, "a")
        assert filed is not None
        going_on = {c.purpose for c in await campaigns.of_thread(conn, filed.thread_id) if c.state == "running"}
        assert {a.state for a in await alerts.thread(conn, filed.thread_id)} <= {"superseded", "cancelled"}
    assert going_on == set()


# ---- several threads ---------------------------------------------------------------------------------------------


async def test_a_cancel_of_two_alerts_ends_both_and_tells_all_who_have_either_what_is_over(centre: Centre) -> None:
    fire, flood = document("fire", "Brand"), document("flood", "Inondation", language="fr-BE")
    one, other = [await centre.launched(answer) for answer in await centre.post(fire, flood)]
    for _ in range(2):
        await make.sent(centre.database)

    [answer] = await centre.post(document("end", msg_type="Cancel", about=(fire, flood), sent=-1))
    await Preparer(centre.database).run()
    await centre.expand()

    end = await centre.launched(answer)
    assert await centre.states("fire", "flood", "end") == ["cancelled"] * 3
    assert [(await centre.campaign(c.public_id)).state for c in (one, other)] == ["cancelled"] * 2
    assert [(await centre.campaign(c.public_id)).thread_id for c in (one, other)] == [end.thread_id] * 2
    assert await centre.addresses(end) == await centre.addresses(one), "each address once"
    assert await centre.texts(end) == {
        ("sms", "nl"): "Ingetrokken: Brand. Inondation.",
        ("sms", "fr"): "Annulé: Brand. Inondation.",
    }
    assert ("C-THREADS", "information") in {(w.rule, w.level) for w in answer.warnings}


async def test_an_update_of_two_alerts_is_one_thread_from_then_on(centre: Centre) -> None:
    here, there = document("here", "Brand"), document("there", "Rook", zone="5302")
    one, other = [await centre.launched(answer) for answer in await centre.post(here, there)]

    await centre.post(document("both", "Rook in twee zones", msg_type="Update", about=(there, here), sent=-2))
    await centre.post(document("end", msg_type="Cancel", about=(there,), sent=-1))

    assert await centre.states("here", "there", "both", "end") == ["superseded", "superseded", "cancelled", "cancelled"]
    async with centre.database.read() as conn:
        thread = await campaigns.of_thread(conn, one.thread_id)
    assert {c.zone_code for c in thread} == {"5301", "5302"}
    assert other.id in {c.id for c in thread}
    assert {c.state for c in thread if c.purpose != "cancel"} <= {"superseded", "cancelled"}


async def test_a_cancel_of_two_alerts_of_which_one_was_cancelled_meanwhile_still_ends_the_other(
    centre: Centre,
) -> None:
    fire, flood = document("fire", "Brand"), document("flood", "Water")
    await centre.post(fire, flood)
    both = document("both", msg_type="Cancel", about=(fire, flood), sent=-1)
    one = document("one", msg_type="Cancel", about=(fire,), sent=-1)

    results = await centre.post_at_once(both, one)

    assert await centre.states("fire", "flood") == ["cancelled"] * 2
    assert isinstance(results[0], AlertAnswer)
    assert isinstance(results[1], AlertAnswer) or results[1].code == "thread-ended"


# ---- whose account no longer has one of the zones ----------------------------------------------------------------


async def lesser(centre: Centre) -> Caller:
    """Another account of the same sender, that acts in 5302 only."""
    account_id = await centre.house.account("lesser", ("submit", "5302"), ("read", "5302"), type_="cic")
    senders = sa.update(account).where(account.c.id == account_id).values(senders=f'["{SENDER}"]')
    await centre.database.write(lambda tx: tx.run(senders))
    async with centre.database.read() as conn:
        row = await accounts.find_account(conn, account_id)
    assert row is not None
    return as_caller(row)


@pytest.mark.parametrize("msg_type", ["Cancel", "Update"])
@pytest.mark.parametrize("completed", [False, True])
async def test_who_has_no_right_in_a_zone_that_was_told_does_not_end_its_thread(
    centre: Centre, msg_type: str, completed: bool
) -> None:
    """A zone that goes on sending, or whose people hear nothing of the end, is not shown as cancelled."""
    first = document("first", "Water", sent=-9)
    answers = await centre.post(first)
    if completed:
        await make.sent(centre.database)
        await make.tick(centre.database)
    before = [(await centre.campaign(z.campaign)).state for z in answers[0].zones if z.campaign]
    assert before == ["completed" if completed else "running"]
    caller = await lesser(centre)
    later = document("later", "Water stijgt", msg_type=msg_type, about=(first,), sent=-5)

    with pytest.raises(Refusal) as refused:
        await centre.desk.submit(caller, later)

    assert (refused.value.status, refused.value.code) == (403, "not-your-alert")
    assert "5301" in refused.value.title
    assert await centre.states("first") == ["active"]
    assert [(await centre.campaign(z.campaign)).state for z in answers[0].zones if z.campaign] == before
    assert (await centre.desk.submit(centre.caller, later)).created, "who acts in all of them may"


async def test_what_waited_is_refused_too_when_its_account_has_no_right_in_a_zone_that_was_told(centre: Centre) -> None:
    first = document("first", "Water", sent=-9)
    caller = await lesser(centre)
    await centre.desk.submit(caller, document("later", "", msg_type="Cancel", about=(first,), sent=-5))
    await centre.post(first)

    assert await Parked(centre.database, centre.desk, HOUR_MS).run()

    assert await centre.states("first", "later") == ["active", "failed"]


# ---- what comes too late -------------------------------------------------------------------------------------------


async def test_an_update_that_has_expired_when_it_arrives_ends_what_it_updates_and_is_told_to_nobody(
    centre: Centre,
) -> None:
    first = document("first", "Water", sent=-30)
    [posted] = await centre.post(first)
    late = document("late", "Water zakt", msg_type="Update", about=(first,), sent=-20, expires=-10)

    [answer] = await centre.post(late)

    assert (answer.state, answer.zones) == ("expired", ())
    assert answer.note == "It had expired when it arrived: kept and sent to nobody. What it updates has ended."
    assert (await centre.launched(posted)).state == "superseded"
    assert await centre.states("first", "late") == ["superseded", "expired"]
    assert await make.claim(centre.database) is None, "nothing of the old text leaves any more"


async def test_what_an_update_takes_the_place_of_leaves_the_feed_though_the_update_came_too_late(
    centre: Centre,
) -> None:
    rights = (*centre.caller.rights, Right("publish", None, None, "*", "*"))
    centre.caller = msgspec.structs.replace(centre.caller, rights=rights)
    publisher = Publisher(centre.database, None)
    first = document("first", "Water", sent=-30)
    await centre.post(first)
    await publisher.run()
    assert await in_force(centre) == ["first"]

    await centre.post(document("late", "Water zakt", msg_type="Update", about=(first,), sent=-20, expires=-10))
    await publisher.run()

    assert await in_force(centre) == []


async def in_force(centre: Centre) -> list[str]:
    """Identifiers."""
    async with centre.database.read() as conn:
        state = await feed.state(conn, centre.database.clock.now_ms())
        found = [await alerts.by_public_id(conn, line.public_id) for line in state.lines]
    return sorted(each.identifier for each in found if each is not None)


async def test_an_update_that_comes_too_late_ends_nothing_that_its_account_may_not_end(centre: Centre) -> None:
    first = document("first", "Water", sent=-30)
    [posted] = await centre.post(first)
    late = document("late", "Water zakt", msg_type="Update", about=(first,), sent=-20, expires=-10)

    with pytest.raises(Refusal) as refused:
        await centre.desk.submit(await lesser(centre), late)

    assert refused.value.status == 403
    assert (await centre.launched(posted)).state == "running"


@pytest.mark.parametrize("expires", [-5, -60])
async def test_a_cancel_is_refused_for_none_of_its_times(centre: Centre, expires: float) -> None:
    """It expires with its own sending, as some services write it, or before it."""
    first = document("first", "Water", sent=-30)
    [posted] = await centre.post(first)

    [answer] = await centre.post(
        document("over", "Voorbij", msg_type="Cancel", about=(first,), sent=-5, expires=expires)
    )

    assert answer.state == "cancelled"
    assert (await centre.launched(posted)).state == "cancelled"
    assert [z.refusal for z in answer.zones] == [""]


# ---- what says no kind, or nothing ---------------------------------------------------------------------------------

KIND = b"<parameter><valueName>tocsin:kind</valueName><value>alert</value></parameter>"


async def test_an_update_that_says_no_kind_goes_out_as_what_it_updates(centre: Centre) -> None:
    first = document("first", "Water", sent=-30)
    [posted] = await centre.post(first)
    update = document("update", "Water zakt", msg_type="Update", about=(first,), sent=-20).replace(KIND, b"")

    [answer] = await centre.post(update)

    [zone] = answer.zones
    assert (await centre.launched(posted)).state == "superseded"
    assert (await centre.launched(answer)).kind == "alert"
    assert zone.refusal == ""


async def test_an_update_without_any_text_ends_what_it_updates_and_is_told_to_nobody(centre: Centre) -> None:
    first = document("first", "Water", sent=-30)
    [posted] = await centre.post(first)

    [answer] = await centre.post(document("update", msg_type="Update", about=(first,), sent=-20))

    assert (answer.state, answer.zones) == ("logged", ())
    assert answer.note == "It says nothing: kept and sent to nobody. What it updates has ended."
    assert (await centre.launched(posted)).state == "superseded"
    assert await centre.states("first", "update") == ["superseded", "logged"]
    assert await make.claim(centre.database) is None, "nothing of the old text leaves any more"


async def test_an_update_of_what_only_stands_in_the_feed_says_no_kind_either(centre: Centre) -> None:
    """No campaign knows the kind: the document that it updates does."""
    rights = (*centre.caller.rights, Right("publish", None, None, "*", "*"))
    centre.caller = msgspec.structs.replace(centre.caller, rights=rights)
    first = document("first", "Water", sent=-30, zone="9999")
    await centre.post(first)
    update = document("update", "Water zakt", msg_type="Update", about=(first,), sent=-20, zone="9999")

    [answer] = await centre.post(update.replace(KIND, b""))

    assert (answer.state, answer.note) == ("active", "Published; nobody was told.")
    assert await centre.states("first", "update") == ["superseded", "active"]
