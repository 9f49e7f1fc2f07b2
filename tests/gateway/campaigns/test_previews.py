"""A preview tells the truth: the money, when the messages leave, in which language people are told."""

from collections.abc import Mapping, Sequence

import msgspec
import pytest
import sqlalchemy as sa

from channels.contract import Channel, Mode
from channels.sms.smpp.carrier import SmppCarrier
from channels.sms.smpp.settings import SmppSettings
from gateway.access.keys import as_caller
from gateway.access.rights import Caller
from gateway.campaigns.answers import MessageRequest, MessageText, ZonePreview
from gateway.campaigns.message_desk import MessageDesk
from gateway.campaigns.planning import Planner
from gateway.campaigns.what_carriers_take import Outlets
from gateway.directory.cache import SnapshotCache
from gateway.directory.targets import Targets
from gateway.errors import Refusal
from gateway.http.wording import spoken
from gateway.kinds import Kind
from gateway.texts.language import choose
from store.access import accounts
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.money import ledger
from store.outbox import holds
from store.register.reading import addressees
from store.tables import member, zone
from tests.gateway.populated_store import House

EVERYONE = Targets(whole_zone=True)
TEN_CALLS_A_SECOND = {Channel.SMS: 500.0, Channel.VOICE: 10.0}


class Coordinator:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.house = House(database)
        self.outlets = Outlets()
        self.open_rates: dict[Mode, Mapping[Channel, float]] = {
            Mode.LIVE: TEN_CALLS_A_SECOND,
            Mode.SIMULATION: {Channel.SMS: 50.0},
        }

    async def open(self) -> "Coordinator":
        await self.house.zone("5301")
        await self.house.people("5301", 3)
        await self.database.write(lambda tx: tx.run(sa.update(zone).values(convention=1)))
        self.account_id = await self.house.account("coordinator", ("launch", "5301"))
        async with self.database.read() as conn:
            row = await accounts.find_account(conn, self.account_id)
        assert row is not None
        self.caller: Caller = as_caller(row)
        return self

    @property
    def desk(self) -> MessageDesk:
        snapshots = SnapshotCache(self.database.read)
        planner = Planner(snapshots, frozenset(Channel), self.open_rates.__getitem__, 1, self.outlets)
        return MessageDesk(self.database, planner, lambda: True, lambda: None)

    async def policy(self, text: str) -> None:
        await self.database.write(lambda tx: tx.run(sa.update(zone).values(policy=text)))

    async def preview(self, **changes: object) -> ZonePreview:
        return await self.desk.preview(self.caller, request(**changes))

    async def has(self, millieuro: int) -> None:
        zone_id = self.house.zones["5301"]
        await self.database.write(lambda tx: ledger.add_lot(tx, zone_id, millieuro, None, "order"))


def request(**changes: object) -> MessageRequest:
    made = MessageRequest(
        zone="5301", kind=Kind.PREVENTIVE, title="Inbraken", targets=EVERYONE, channels=(Channel.SMS,),
        texts=(MessageText("nl", sms="Sluit ramen en deuren.", voice="Sluit ramen en deuren."),), terms_confirmed=True,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
async def coordinator(database: Database) -> Coordinator:
    return await Coordinator(database).open()


# ---- holds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["all", "zone", "channel"])
async def test_who_sends_into_a_hold_is_told_that_it_waits(coordinator: Coordinator, scope: str) -> None:
    subject = {"all": "", "zone": str(coordinator.house.zones["5301"]), "channel": "sms"}[scope]
    await coordinator.database.write(lambda tx: holds.place(tx, scope, subject, "test", "operator"))
    await coordinator.database.write(lambda tx: holds.place(tx, "channel", "voice", "not asked for", "operator"))

    dry = await coordinator.preview(kind=Kind.ALERT)
    launched = (await coordinator.desk.launch(coordinator.caller, request(kind=Kind.ALERT))).preview

    assert launched is not None
    for preview in (dry, launched):
        told = [(reason.cause, reason.level) for reason in preview.problems if reason.rule == "HELD"]
        assert told == [(scope, "warning")]


# ---- by a paper code -----------------------------------------------------------------------------------------------


async def test_what_is_launched_by_a_paper_code_names_its_use(coordinator: Coordinator) -> None:
    by_code = msgspec.structs.replace(coordinator.caller, break_glass_use_id=7)
    usual = await coordinator.desk.launch(coordinator.caller, request(kind=Kind.ALERT))
    opened = await coordinator.desk.launch(by_code, request(kind=Kind.ALERT))

    async with coordinator.database.read() as conn:
        found = [await campaigns.by_public_id(conn, answer.campaign) for answer in (usual, opened)]
    assert [one.break_glass_use_id for one in found if one is not None] == [None, 7]


# ---- money ---------------------------------------------------------------------------------------------------


async def test_a_dry_run_is_refused_for_money_as_the_launch_would_be_with_all_that_it_is_made_of(
    coordinator: Coordinator,
) -> None:
    await coordinator.has(100)

    with pytest.raises(Refusal) as dry:
        await coordinator.preview()
    with pytest.raises(Refusal) as launched:
        await coordinator.desk.launch(coordinator.caller, request())

    for refusal in (dry.value, launched.value):
        assert (refusal.status, refusal.code) == (402, "credit-exhausted")
        members = spoken(refusal.members)
        figures = {name: members[f"{name}_millieuro"] for name in ("balance", "needed", "shortfall")}
        assert figures == {"balance": 100, "needed": 165, "shortfall": 65}
        preview = members["preview"]
        assert (preview["included"], preview["price_millieuro"], preview["shortfall_millieuro"]) == (3, 165, 65)
        assert preview["texts"][0]["text"] == "Sluit ramen en deuren."
    assert dry.value.title == launched.value.title


async def test_what_the_balance_covers_to_the_millieuro_is_not_refused(coordinator: Coordinator) -> None:
    await coordinator.has(165)

    preview = await coordinator.preview()

    assert (preview.balance_millieuro, preview.shortfall_millieuro) == (165, 0)
    assert (await coordinator.desk.launch(coordinator.caller, request())).created


@pytest.mark.parametrize("changes", [{"kind": Kind.ALERT}, {"simulation": True}])
async def test_an_alert_and_a_simulation_need_no_balance_and_say_what_there_is(
    coordinator: Coordinator, changes: dict[str, object]
) -> None:
    preview = await coordinator.preview(**changes)

    assert (preview.price_millieuro, preview.balance_millieuro, preview.shortfall_millieuro) == (165, 0, 0)


async def test_a_price_of_nothing_is_said(coordinator: Coordinator) -> None:
    mail = (MessageText("nl", subject="Nieuws", email="Buurtfeest."),)

    said = spoken(await coordinator.preview(kind=Kind.NEWS, channels=(Channel.EMAIL,), texts=mail))

    assert (said["price_millieuro"], said["price_eur"], said["balance_millieuro"]) == (0, "0.000", 0)
    assert spoken(ZonePreview("5301", refusal="no"))["included"] == 0


# ---- time ----------------------------------------------------------------------------------------------------


async def test_calls_are_timed_by_the_starts_that_are_allowed_and_all_that_waits_before_them(
    coordinator: Coordinator,
) -> None:
    """3 calls at 10 starts a second; then the same behind 3 of the same kind and behind 3 of an alert, not behind
    news."""
    calls: dict[str, object] = {"channels": (Channel.VOICE,)}
    await coordinator.has(10_000)
    assert [c.eta_s for c in (await coordinator.preview(**calls)).channels] == [0.3]

    for kind in (Kind.PREVENTIVE, Kind.ALERT):
        await coordinator.desk.launch(coordinator.caller, request(kind=kind, **calls))

    [behind] = (await coordinator.preview(**calls)).channels
    [alert] = (await coordinator.preview(kind=Kind.ALERT, **calls)).channels
    assert (behind.eta_s, behind.first_s) == (0.9, None)
    assert (alert.eta_s, alert.first_s) == (0.6, 0.2)


async def test_long_sms_wait_by_their_segments(coordinator: Coordinator) -> None:
    await coordinator.has(10_000)
    two = (MessageText("nl", sms="a" * 200),)
    await coordinator.desk.launch(coordinator.caller, request(texts=two))
    coordinator.open_rates[Mode.LIVE] = {Channel.SMS: 1.0}

    assert [c.eta_s for c in (await coordinator.preview()).channels] == [6.0 + 3.0]


async def test_a_simulation_waits_in_its_own_lanes(coordinator: Coordinator) -> None:
    await coordinator.has(10_000)
    await coordinator.desk.launch(coordinator.caller, request())

    assert [c.eta_s for c in (await coordinator.preview(simulation=True)).channels] == [round(3 / 50, 1)]


async def test_where_no_carrier_is_open_no_time_is_promised_and_that_is_told(coordinator: Coordinator) -> None:
    coordinator.open_rates[Mode.LIVE] = {Channel.SMS: 500.0}
    await coordinator.has(10_000)

    preview = await coordinator.preview(channels=(Channel.SMS, Channel.VOICE))

    etas = {c.channel: c.eta_s for c in preview.channels}
    assert etas == {"sms": 0.0, "voice": None}
    assert [(p.rule, p.level, p.value) for p in preview.problems if p.rule == "CARRIER-CLOSED"] == [
        ("CARRIER-CLOSED", "warning", "voice")
    ]


# ---- language ------------------------------------------------------------------------------------------------


async def test_who_reads_a_language_without_a_text_is_told_in_the_zones_own(coordinator: Coordinator) -> None:
    await coordinator.policy('{"default_language": "fr"}')
    await coordinator.database.write(lambda tx: tx.run(sa.update(member).values(language="de")))
    await coordinator.has(10_000)

    preview = await coordinator.preview(texts=(MessageText("nl", sms="Sluit."), MessageText("fr", sms="Fermez.")))

    assert [(r.language, r.text, r.persons) for r in preview.readers] == [("de", "fr", 3)]


@pytest.mark.parametrize(("wanted", "told"), [("de", "de"), ("en", "fr"), ("", "fr"), ("nl-BE", "nl")])
def test_the_order_is_own_language_then_the_zones_then_the_others(wanted: str, told: str) -> None:
    assert choose(wanted, ["nl", "fr", "de"], default="fr", fallback=("nl", "de")) == told


def test_without_the_zones_own_the_fallback_decides() -> None:
    assert choose("it", ["en", "nl"], default="fr", fallback=("nl", "en")) == "nl"


# ---- what carriers can take ------------------------------------------------------------------------------------------

EURO = "De prijs is 10 €, en dat blijft zo: bel de wijkagent als iemand aan uw deur meer vraagt dan dat."
ACCENT = "Élève disparu à Visé, vu près de l'école. Appelez le 101 si vous le voyez, ne l'approchez pas."


def outlets(database: Database, *smscs: SmppSettings) -> Outlets:
    async def addresses_of(contact_ids: Sequence[int]) -> list[str]:
        async with database.read() as conn:
            return [found.address for found in (await addressees(conn, contact_ids)).values()]

    carriers = {Channel.SMS: [SmppCarrier(f"smsc-{n}", s) for n, s in enumerate(smscs)]}
    return Outlets(carriers, frozenset(s.default_alphabet for s in smscs), addresses_of)


def smsc(**more: object) -> SmppSettings:
    return SmppSettings(host="127.0.0.1", system_id="plp", source_address="PLP", **more)  # type: ignore[arg-type]


def said(text: str) -> dict[str, object]:
    return {"texts": (MessageText("nl", sms=text),)}


async def test_a_text_that_no_smsc_has_the_letters_of_is_shown_and_priced_in_letters_that_it_has(
    coordinator: Coordinator,
) -> None:
    coordinator.outlets = outlets(coordinator.database, smsc(default_alphabet="latin1"))
    await coordinator.has(10_000)

    preview = await coordinator.preview(**said(EURO))

    assert preview.texts[0].text == EURO.replace("€", "EUR")
    assert (preview.texts[0].units, preview.price_millieuro) == (1, 3 * 55)
    assert "SMS-LETTERS" in {problem.rule for problem in preview.problems}


@pytest.mark.parametrize("mode", ["typographic", "exact"])
async def test_where_the_zone_keeps_its_letters_it_is_shown_and_priced_as_ucs2(
    coordinator: Coordinator, mode: str
) -> None:
    coordinator.outlets = outlets(coordinator.database, smsc(default_alphabet="latin1"))
    await coordinator.has(10_000)
    await coordinator.policy(f'{{"sms_mode":"{mode}"}}')

    preview = await coordinator.preview(**said(EURO))

    assert (preview.texts[0].text, preview.texts[0].encoding, preview.texts[0].units) == (EURO, "ucs2", 2)
    assert preview.price_millieuro == 2 * 3 * 55
    launched = await coordinator.desk.launch(coordinator.caller, request(**said(EURO)))
    assert launched.preview is not None
    assert launched.preview.texts[0].units == 2


@pytest.mark.parametrize(
    ("text", "smscs"),
    [
        (EURO, [smsc(default_alphabet="gsm")]),
        (EURO, [smsc(default_alphabet="latin1"), smsc(default_alphabet="gsm")]),
        (ACCENT, [smsc(default_alphabet="latin1")]),
        ("Kort: 10 €", [smsc(default_alphabet="ascii")]),
    ],
)
async def test_what_some_smsc_can_write_is_left_as_it_is(
    coordinator: Coordinator, text: str, smscs: list[SmppSettings]
) -> None:
    coordinator.outlets = outlets(coordinator.database, *smscs)
    await coordinator.has(10_000)

    preview = await coordinator.preview(**said(text))

    assert preview.texts[0].text == text
    assert "SMS-LETTERS" not in {problem.rule for problem in preview.problems}


async def test_numbers_that_no_contract_covers_are_told_before_they_fail(coordinator: Coordinator) -> None:
    coordinator.outlets = outlets(coordinator.database, smsc(countries=("+31",)), smsc(countries=("+33", "+352")))
    await coordinator.has(10_000)

    told = {problem.rule: problem.text for problem in (await coordinator.preview()).problems}

    assert told["CARRIER-NONE"] == "3 addresses of sms are taken by no carrier: these messages will fail."


async def test_numbers_that_one_contract_covers_are_no_matter(coordinator: Coordinator) -> None:
    coordinator.outlets = outlets(coordinator.database, smsc(countries=("+31",)), smsc(countries=("+32",)))
    await coordinator.has(10_000)

    assert "CARRIER-NONE" not in {problem.rule for problem in (await coordinator.preview()).problems}
