"""A small right never grows: whoever ends, tells, publishes or reads by an alert has the right to just that."""

import contextlib
import random
from collections import Counter
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from gateway.access.rights import Action, Caller, Right
from gateway.campaigns.alert_desk import ENDED_ONLY
from gateway.campaigns.cancels import Preparer
from gateway.campaigns.publication import Publication
from gateway.directory.territory import Territory, write_territory
from gateway.errors import Refusal
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.states import CampaignState
from store.tables import alert, feed_entry, zone
from tests.gateway.campaigns.test_threads import SENDER, Centre, instant, triple
from tests.store import makers as make

POLICEZONE = "<geocode><valueName>POLICEZONE</valueName><value>5301</value></geocode>"
HERE = ((50.40, 3.80), (50.40, 3.90), (50.50, 3.90), (50.50, 3.80), (50.40, 3.80))
BORDER = ((50.48, 3.80), (50.48, 3.90), (50.53, 3.90), (50.53, 3.80), (50.48, 3.80))
"""Three kilometres beyond it."""
ELSEWHERE = ((51.20, 4.40), (51.20, 4.50), (51.30, 4.50), (51.30, 4.40), (51.20, 4.40))
COUNTRY = ((49.5, 2.5), (49.5, 6.4), (51.5, 6.4), (51.5, 2.5), (49.5, 2.5))


def area(*places: str) -> str:
    return "".join(f"<area><areaDesc>Area {n}</areaDesc>{place}</area>" for n, place in enumerate(places))


def ring(points: Sequence[tuple[float, float]]) -> str:
    return f"<polygon>{' '.join(f'{lat},{lon}' for lat, lon in points)}</polygon>"


def document(
    name: str, headline: str = "Water", *, kind: str = "alert", channels: str = "sms email", msg_type: str = "Alert",
    about: bytes = b"", scope: str = "Public", status: str = "Actual", areas: str = area(POLICEZONE), sent: float = -9,
) -> bytes:  # fmt: skip
    references = f"<references>{triple(about)}</references>" if about else ""
    restriction = "<restriction>Police</restriction>" if scope == "Restricted" else ""
    named = f"<parameter><valueName>tocsin:kind</valueName><value>{kind}</value></parameter>" if kind else ""
    info = f"""
  <info>
    <language>nl-BE</language><category>Safety</category><event>Test</event>
    <urgency>Immediate</urgency><severity>Severe</severity><certainty>Observed</certainty>
    <expires>{instant(60)}</expires><headline>{headline}</headline>{named}
    <parameter><valueName>tocsin:channels</valueName><value>{channels}</value></parameter>
    {areas}
  </info>"""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>{name}</identifier><sender>{SENDER}</sender><sent>{instant(sent)}</sent>
  <status>{status}</status><msgType>{msg_type}</msgType><scope>{scope}</scope>{restriction}
  {references}{info if headline else ""}
</alert>
""".encode()


class Town(Centre):
    """Zone 5301 whose dispatch centre may do everything, and others of the same sender with smaller rights."""

    async def open(self) -> "Town":
        await super().open()
        every = ("submit", "launch", "stop", "read", "publish")
        self.caller = self.who(*every, account_id=self.caller.account_id)
        policy = '{"news_channels":["sms","email"],"info_channels":["sms","email"]}'
        await self.database.write(lambda tx: tx.run(sa.update(zone).values(policy=policy)))
        self.newsman = self.who("submit", "launch", "stop", "read", kind="news", channel="email", account_id=0)
        self.newsman = await self.filed("newsman", self.newsman)
        return self

    def who(self, *actions: str, account_id: int, network: int | None = None, kind: str = "*", channel: str = "*",
            mode: str = "*", zone: str = "5301") -> Caller:  # fmt: skip
        rights = tuple(Right(action, self.house.zones[zone], network, kind, channel, mode) for action in actions)
        return Caller(account_id, "c", "C", "cic", (SENDER,), (), rights)

    async def filed(self, code: str, caller: Caller) -> Caller:
        """With an account of its own in the store."""
        account_id = await self.house.account(code)
        return Caller(account_id, code, code, "officer", (SENDER,), (), caller.rights)

    async def arrive(self, *channels: str) -> None:
        """What was launched has been accepted by its carriers."""
        for channel in channels:
            await make.sent(self.database, channel)

    async def in_feed(self) -> list[str]:
        statement = sa.select(alert.c.identifier).join(feed_entry, feed_entry.c.alert_id == alert.c.id)
        async with self.database.read() as conn:
            return sorted(row.identifier for row in (await conn.execute(statement)).all())

    async def prepared(self, campaign: campaigns.Campaign) -> dict[str, int]:
        """Deliveries by channel, once it has its audience."""
        await Preparer(self.database).run()
        await self.expand()
        async with self.database.read() as conn:
            return {c.channel: c.total for c in await campaigns.counts(conn, campaign.id)}

    async def territory(self, *rings: Sequence[tuple[float, float]], codes: tuple[tuple[str, str], ...] = ()) -> None:
        value = write_territory(Territory(tuple(map(tuple, rings)), codes))
        statement = sa.update(zone).where(zone.c.code == "5301").values(territory=value)
        await self.database.write(lambda tx: tx.run(statement))
        self.desk.publication = Publication(self.database)


@pytest.fixture
async def town(database: Database) -> Town:
    return await Town(database).open()


# ---- ending ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("msg_type", ["Cancel", "Update"])
@pytest.mark.parametrize("kind", ["", "news", "alert"])
async def test_an_account_for_news_by_mail_ends_no_urgent_alert_and_says_nothing_in_its_place(
    town: Town, msg_type: str, kind: str
) -> None:
    first = document("first")
    [answer] = await town.post(first)
    later = document("later", "KOOP NU", kind=kind or "news", msg_type=msg_type, about=first, sent=-5)

    with pytest.raises(Refusal) as refused:
        await town.desk.submit(town.newsman, later)

    assert (refused.value.status, refused.value.code) == (403, "not-your-alert")
    assert (await town.launched(answer)).state == "running"
    assert await town.in_feed() == ["first"]


async def test_an_account_of_one_network_does_not_cancel_what_another_account_sent(town: Town) -> None:
    first = document("first")
    [answer] = await town.post(first)
    caller = await town.filed("centre-only", town.who("submit", "stop", account_id=0, network=12))

    with pytest.raises(Refusal) as refused:
        await town.desk.submit(caller, document("later", "", msg_type="Cancel", about=first, sent=-5))

    assert refused.value.status == 403
    assert (await town.launched(answer)).state == "running"


@pytest.mark.parametrize("dimension", [{"channel": "sms"}, {"mode": "simulation"}, {"kind": "preventive"}])
async def test_to_end_what_was_sent_takes_a_right_in_every_dimension_of_it(
    town: Town, dimension: dict[str, str]
) -> None:
    first = document("first")
    await town.post(first)
    caller = await town.filed("partly", town.who("submit", "stop", account_id=0, **dimension))  # type: ignore[arg-type]

    with pytest.raises(Refusal) as refused:
        await town.desk.submit(caller, document("later", "", msg_type="Cancel", about=first, sent=-5))

    assert refused.value.status == 403


async def test_who_may_stop_but_not_send_ends_it_and_is_told_that_nobody_was_informed(town: Town) -> None:
    first = document("first")
    [answer] = await town.post(first)
    rights = (*town.who("stop", account_id=0).rights, *town.newsman.rights)
    caller = await town.filed("duty", Caller(0, "", "", "", (SENDER,), (), rights))
    later = document("later", "", msg_type="Cancel", about=first, sent=-5)

    shown = await town.desk.validate(caller, later)
    done = await town.desk.submit(caller, later)

    assert done.state == "cancelled"
    assert done.note == ENDED_ONLY
    assert [(z.zone, z.campaign, "nobody is told" in z.refusal) for z in done.zones] == [("5301", None, True)]
    assert "A-RIGHT" in {r.rule for r in done.warnings}
    assert "nobody is told" in shown.zones[0].refusal
    assert (await town.launched(answer)).state == "cancelled"
    assert await town.in_feed() == ["first"], "the words of who may not publish are not published"
    async with town.database.read() as conn:
        states = (await conn.execute(sa.select(alert.c.state).where(alert.c.identifier == "first"))).scalar_one()
    assert states == "cancelled"


async def test_a_cancel_that_names_a_kind_beyond_the_rights_is_told_to_nobody(town: Town) -> None:
    """Or a newsletter that is taken back would be said with the voice of an urgent alert."""
    news = document("news", kind="news", channels="email", scope="Restricted")
    await town.desk.submit(town.newsman, news)
    await town.expand()
    await town.arrive("email")
    loud = document("loud", "EVACUEER", kind="alert", channels="email", msg_type="Cancel", about=news, sent=-5,
                    scope="Restricted")  # fmt: skip

    done = await town.desk.submit(town.newsman, loud)

    assert (done.note, [z.campaign for z in done.zones]) == (ENDED_ONLY, [None])


async def test_who_may_send_by_mail_only_tells_the_end_by_mail_and_hears_who_is_not_told(town: Town) -> None:
    first = document("first")
    await town.post(first)
    await town.arrive("sms", "email")
    rights = (*town.who("stop", account_id=0).rights, *town.who("submit", account_id=0, channel="email").rights)
    caller = await town.filed("mailer", Caller(0, "", "", "", (SENDER,), (), rights))

    done = await town.desk.submit(caller, document("later", "", msg_type="Cancel", about=first, sent=-5))

    [public_id] = [z.campaign for z in done.zones if z.campaign]
    told = await town.prepared(await town.campaign(public_id))
    assert set(told) == {"email"}
    assert ["who has it by sms is not told" in r.text for r in done.warnings if r.rule == "A-RIGHT"] == [True]


async def test_what_stands_in_the_feed_alone_is_ended_by_who_posted_it_or_may_publish(town: Town) -> None:
    lone = document("lone", areas=area(ring(ELSEWHERE)))
    [answer] = await town.post(lone)
    assert (answer.zones, await town.in_feed()) == ((), ["lone"])
    cancel = document("cancel", "", msg_type="Cancel", about=lone, sent=-5)

    with pytest.raises(Refusal) as refused:
        await town.desk.submit(town.newsman, cancel)

    assert refused.value.status == 403
    assert (await town.desk.submit(town.caller, cancel)).state == "cancelled"


# ---- sending and publishing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [area(ring(ELSEWHERE)), area(POLICEZONE), area(ring(ELSEWHERE), POLICEZONE)])
async def test_who_may_send_only_news_publishes_no_alert_anywhere(town: Town, places: str) -> None:
    with pytest.raises(Refusal) as refused:
        await town.desk.submit(town.newsman, document("evil", "NUCLEAIR INCIDENT", areas=places))

    assert refused.value.status == 403
    assert {"A-RIGHT", "P-RIGHT"} <= {r.rule for r in refused.value.reasons}
    assert await town.in_feed() == []


async def test_an_account_of_one_network_publishes_nothing(town: Town) -> None:
    caller = await town.filed("centre-only", town.who("submit", "publish", account_id=0, network=12))

    with pytest.raises(Refusal):
        await town.desk.submit(caller, document("evil", areas=area(ring(ELSEWHERE))))

    assert await town.in_feed() == []


async def test_who_may_send_and_not_publish_tells_people_and_hears_that_it_is_not_public(town: Town) -> None:
    caller = await town.filed("officer", town.who("submit", account_id=0))

    answer = await town.desk.submit(caller, document("quiet"))

    assert (await town.launched(answer)).state == "running"
    assert "P-RIGHT" in {r.rule for r in answer.warnings}
    assert await town.in_feed() == []


@pytest.mark.parametrize(
    ("places", "published"),
    [
        (area(ring(HERE)), True),
        (area(ring(BORDER)), True),
        (area(ring(ELSEWHERE)), False),
        (area(ring(HERE), ring(ELSEWHERE)), False),
        (area(ring(COUNTRY)), False),
        (area("<circle>50.45,3.85 2</circle>"), True),
        (area("<circle>50.45,3.85 100</circle>"), False),
        (area("<geocode><valueName>NIS</valueName><value>57027</value></geocode>"), True),
        (area("<geocode><valueName>REFNIS</valueName><value>11002</value></geocode>"), False),
        (area("<geocode><valueName>POSTCODE</valueName><value>2000</value></geocode>"), False),
        (area("<geocode><valueName>POLICEZONE</valueName><value>5302</value></geocode>"), False),
        (area(POLICEZONE), True),
        (area(ring(HERE), "<geocode><valueName>EMMA_ID</valueName><value>NL001</value></geocode>"), False),
        (area(ring(HERE), ""), False),
    ],
)
async def test_what_is_published_lies_in_the_territory_of_the_zone(town: Town, places: str, published: bool) -> None:
    await town.territory(HERE, codes=(("REFNIS", "57027"),))
    posted = document("posted", areas=places)

    try:
        answer = await town.desk.submit(town.caller, posted)
    except Refusal as refused:
        said = {r.rule for r in refused.reasons}
    else:
        said = {r.rule for r in answer.warnings}

    assert await town.in_feed() == (["posted"] if published else [])
    assert ("P-AREA" in said) == (not published)


async def test_without_a_territory_nothing_is_compared_and_that_is_told(town: Town) -> None:
    shown = await town.desk.validate(town.caller, document("anywhere", areas=area(ring(ELSEWHERE))))
    [answer] = await town.post(document("anywhere", areas=area(ring(ELSEWHERE))))

    assert [r.level for r in shown.problems if r.rule == "P-UNCHECKED"] == ["information"]
    assert "P-UNCHECKED" in {r.rule for r in answer.warnings}
    assert await town.in_feed() == ["anywhere"]


async def test_an_exercise_never_ends_what_is_actual(town: Town) -> None:
    first = document("first")
    [answer] = await town.post(first)

    for msg_type in ("Cancel", "Update"):
        with pytest.raises(Refusal) as refused:
            await town.desk.submit(
                town.caller, document(f"drill-{msg_type}", msg_type=msg_type, about=first, status="Exercise", sent=-5)
            )
        assert refused.value.code == "status-differs"

    assert (await town.launched(answer)).state == "running"


async def test_who_may_only_try_reaches_nobody(town: Town) -> None:
    caller = await town.filed("integrator", town.who("submit", "publish", account_id=0, mode="simulation"))

    tried = await town.desk.submit(caller, document("drill", status="Exercise"))
    with pytest.raises(Refusal) as refused:
        await town.desk.submit(caller, document("real"))

    assert (await town.launched(tried)).mode == "simulation"
    assert refused.value.status == 403


# ---- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rights", [{"kind": "news"}, {"channel": "email"}, {"mode": "simulation"}, {"network": 12}])
async def test_a_reader_with_less_than_the_whole_reads_nothing_restricted(
    town: Town, rights: dict[str, str | int]
) -> None:
    [answer] = await town.post(document("secret", scope="Restricted"))
    reader = await town.filed("reader", town.who("read", account_id=0, **rights))  # type: ignore[arg-type]

    for look in (town.desk.read, town.desk.document):
        with pytest.raises(Refusal) as refused:
            await look(reader, answer.id)
        assert refused.value.status == 404
    with pytest.raises(Refusal):
        await town.desk.find(reader, SENDER, "secret")

    whole = await town.filed("whole", town.who("read", account_id=0))
    assert (await town.desk.read(whole, answer.id)).zones != ()


async def test_under_a_foreign_sender_nobody_learns_which_identifiers_are_used(town: Town) -> None:
    await town.post(document("used"))
    stranger = Caller(99, "s", "S", "cic", ("other@zone-b.example",), (), town.caller.rights)

    heard = []
    for name in ("used", "free"):
        with pytest.raises(Refusal) as refused:
            await town.desk.submit(stranger, document(name))
        heard.append((refused.value.status, refused.value.code, refused.value.reasons))

    assert heard[0] == heard[1]


# ---- whatever somebody does with whatever rights -----------------------------------------------------------------


def some_rights(chance: random.Random) -> list[dict[str, str | None]]:
    """Mostly wide ones, so that something comes of them, and never all of them."""
    return [
        {
            "action": chance.choice(["submit", "submit", "stop", "publish", "launch"]),
            "network": "12" if chance.random() < 0.2 else None,
            "kind": chance.choice(["*", "*", "alert", "news"]),
            "channel": chance.choice(["*", "*", "*", "email", "sms"]),
            "mode": chance.choice(["*", "*", "live", "simulation"]),
        }
        for _ in range(chance.randint(1, 4))
    ]


def some_act(chance: random.Random) -> tuple[str, str, str, str, int]:
    return (
        chance.choice(["Alert", "Update", "Cancel", "Cancel"]), chance.choice(["", "alert", "news"]),
        chance.choice(["sms", "email", "sms email"]), chance.choice(["Actual", "Actual", "Exercise"]),
        chance.randrange(2),
    )  # fmt: skip


async def test_nothing_follows_from_an_act_that_its_rights_do_not_give(town: Town) -> None:
    """Random rights, random acts, upon what others sent: each campaign launched, each ended and each alert published is
    looked up in the table of rights by hand."""
    numbers = iter(range(10**6))
    happened: Counter[str] = Counter()
    targets = []
    for kind in ("alert", "news"):
        name = f"target-{next(numbers)}"
        original = document(name, kind=kind)
        await town.post(original)
        targets.append((kind, original))
    zone_id = town.house.zones["5301"]

    def gives(right: dict[str, str | None], action: str, kind: str, channel: str, mode: str) -> bool:
        held = (right["action"], right["kind"], right["channel"], right["mode"])
        return all(own in ("*", wanted) for own, wanted in zip(held, (action, kind, channel, mode), strict=True))

    def whole(rights: list[dict[str, str | None]], action: str, kind: str, channel: str, mode: str) -> bool:
        return any(r["network"] is None and gives(r, action, kind, channel, mode) for r in rights)

    async def once(rights: list[dict[str, str | None]], act: tuple[str, str, str, str, int]) -> None:
        msg_type, kind, channels, status, newest = act
        about_kind, about = targets[newest]
        held = tuple(
            Right(r["action"], zone_id, r["network"] and int(r["network"]), r["kind"], r["channel"], r["mode"])  # type: ignore[arg-type]
            for r in rights
        )
        caller = Caller(town.newsman.account_id, "r", "R", "cic", (SENDER,), (), held)
        if not caller.may_in(Action.SUBMIT, zone_id):
            return
        name = f"act-{next(numbers)}"
        posted = document(
            name, kind=kind or ("" if msg_type == "Cancel" else "news"), channels=channels, msg_type=msg_type,
            about=b"" if msg_type == "Alert" else about, status=status, sent=-5 + next(numbers) % 240 / 60,
        )  # fmt: skip
        async with town.database.read() as conn:
            before = {c.id: c for c in await campaigns.recent(conn, [zone_id], before_id=None, most=1000)}
        with contextlib.suppress(Refusal):
            await town.desk.submit(caller, posted)
        async with town.database.read() as conn:
            after = {c.id: c for c in await campaigns.recent(conn, [zone_id], before_id=None, most=1000)}
        going = {CampaignState.RUNNING, CampaignState.SCHEDULED, CampaignState.PREPARING}
        done = Counter(
            launched=sum(c.id not in before for c in after.values()),
            ended=sum(c.state not in going and before[c.id].state in going for c in after.values() if c.id in before),
            published=int(name in await town.in_feed()),
        )
        happened.update(done)
        for c in after.values():
            if c.id not in before:
                for channel in c.uses:
                    assert any(gives(r, "submit", c.kind, channel, c.mode) for r in rights), (rights, act)
                    if c.purpose == "cancel":
                        assert whole(rights, "submit", c.kind, channel, c.mode), (rights, act)
            elif before[c.id].state in going and c.state not in going:
                for channel in c.uses:
                    may = [whole(rights, action, c.kind, channel, c.mode) for action in ("stop", "submit")]
                    assert any(may), (rights, act, "ended")
        if done["published"]:
            kinds = {kind} if kind else {about_kind}
            assert any(
                r["action"] == "publish" and r["network"] is None and r["channel"] == "*"
                and r["kind"] in ("*", *kinds) and r["mode"] in ("*", "live")
                for r in rights
            ), (rights, act)  # fmt: skip
        if after != before:
            for place, (of, _) in enumerate(targets):
                fresh = document(f"target-{next(numbers)}", kind=of)
                await town.post(fresh)
                targets[place] = (of, fresh)

    for seed in range(250):
        chance = random.Random(seed)
        await once(some_rights(chance), some_act(chance))
    assert min(happened["launched"], happened["ended"], happened["published"]) >= 5, happened
