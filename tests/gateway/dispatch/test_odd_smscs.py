"""What SMSCs really do, from the wire to the store: each receipt settles the right row, or waits where it is seen."""

import asyncio
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from channels.sms.smpp.carrier import SmppCarrier
from channels.sms.smpp.settings import SmppSettings
from gateway.dispatch.receipts import ReceiptDesk
from store.engine.database import Database
from store.tables import receipt_inbox
from tests.gateway.dispatch.lanes import Carrier, a_lane, running, ticking, until, until_async
from tests.peers.smsc import OddSmsc, a_part, for_the_whole, mixed_case, one_for_all_parts, receipt, refuses
from tests.store.makers import Made, Town, a_campaign, a_town, look_again, words_of

pytestmark = pytest.mark.timeout(60)

LONG = "Verdacht voertuig gezien in de Dorpstraat. " * 8
SHORT = "Water in de Dorpstraat"


@pytest.fixture
def engine() -> str:
    return "sqlite"


@dataclass
class Odd:
    database: Database
    smsc: OddSmsc

    async def sent_to(self, people: "int | Town", text: str = SHORT, *, alphabet: str = "gsm") -> Made:
        """A campaign, told to this SMSC by a real account, until all of it has been taken."""
        made = await a_campaign(self.database, people)
        return await self.told(made, text, alphabet)

    async def told(self, made: Made, text: str = SHORT, alphabet: str = "gsm") -> Made:
        settings = SmppSettings(
            host="127.0.0.1", port=self.smsc.port, system_id="plp", source_address="PLP", binds=1,
            reconnect_first_s=0.05, drain_timeout_s=1.0, default_alphabet=alphabet,  # type: ignore[arg-type]
        )  # fmt: skip
        carrier = SmppCarrier("sms-a", settings)
        desk = ReceiptDesk(self.database, "gen")
        task = asyncio.create_task(carrier.run(desk))
        try:
            await until(lambda: carrier.room > 0)
            async with ticking(self.database), running(a_lane(self.database, carrier, text=text)):
                await until_async(lambda: self._taken(made), 20)
                await asyncio.sleep(0.2)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return made

    async def _taken(self, made: Made) -> bool:
        return not {"queued", "retry"} & set(await words_of(self.database, made))

    async def waiting(self) -> int:
        async with self.database.read() as conn:
            rows = await conn.execute(sa.select(receipt_inbox).where(receipt_inbox.c.matched_ms.is_(None)))
            return len(rows.all())

    async def look_again(self) -> None:
        await look_again(self.database)


def national_without_zero(number: str) -> str:
    return number.removeprefix("32")


# ---- settled ------------------------------------------------------------------------------------------------------

HEADER = bytes.fromhex("050003840101")
NO_DATES = "id:{id} sub:001 dlvrd:001 stat:{stat} err:000 text:"


@pytest.mark.parametrize(
    ("smsc", "text"),
    [
        pytest.param(OddSmsc(receipts=a_part()), LONG, id="control: a receipt a part"),
        pytest.param(OddSmsc(ids=one_for_all_parts, receipts=for_the_whole()), LONG, id="one id, one receipt"),
        pytest.param(OddSmsc(ids=one_for_all_parts, receipts=a_part()), LONG, id="one id, a receipt a part"),
        pytest.param(OddSmsc(receipts=a_part(esm_class=0x44, before=HEADER)), SHORT, id="a user data header"),
        pytest.param(OddSmsc(receipts=a_part(before=b"\0")), SHORT, id="a zero octet before the text"),
        pytest.param(OddSmsc(receipts=a_part(before=b" \r\n")), SHORT, id="blanks before the text"),
        pytest.param(
            OddSmsc(receipts=a_part(in_payload=True, short_message=b" ")), SHORT, id="a blank beside a payload"
        ),
        pytest.param(OddSmsc(receipts=a_part(coding=8)), SHORT, id="UCS-2"),
        pytest.param(OddSmsc(receipts=a_part(coding=8, before=b"\xfe\xff")), SHORT, id="UCS-2 with a mark"),
        pytest.param(OddSmsc(receipts=a_part(esm_class=0)), SHORT, id="without its flag"),
        pytest.param(OddSmsc(receipts=a_part(esm_class=0, form=NO_DATES)), SHORT, id="without flag and dates"),
        pytest.param(OddSmsc(ids=mixed_case, receipts=a_part(write_id=str.upper)), SHORT, id="capitals"),
        pytest.param(OddSmsc(receipts=a_part(number=national_without_zero, ton=2)), SHORT, id="a national number"),
        pytest.param(OddSmsc(receipts=a_part(number=national_without_zero)), SHORT, id="a number misread"),
        pytest.param(OddSmsc(receipts=a_part(number=lambda _: "Info")), SHORT, id="no number"),
        pytest.param(OddSmsc(receipts=lambda parts: [receipt(parts[0])] * 2), SHORT, id="twice"),
        pytest.param(OddSmsc(receipts=a_part(), receipts_first=True), SHORT, id="before the answer"),
    ],
)
async def test_who_has_it_is_shown_to_have_it(database: Database, smsc: OddSmsc, text: str) -> None:
    async with smsc:
        odd = Odd(database, smsc)
        made = await odd.sent_to(8, text)
        await odd.look_again()

    assert await words_of(database, made) == ["delivered"] * 8
    assert await odd.waiting() == 0
    assert set(smsc.acknowledged) == {0}


async def test_an_smsc_that_begins_to_count_again_swallows_nobody(database: Database) -> None:
    town = await a_town(database, 8)
    smsc = OddSmsc(receipts=a_part(), receipts_first=True)
    async with smsc:
        odd = Odd(database, smsc)
        first = await odd.sent_to(town)
        smsc.begins_to_count_again()
        second = await odd.sent_to(town)
        await odd.look_again()

    assert await words_of(database, first) == ["delivered"] * 8
    assert await words_of(database, second) == ["delivered"] * 8


# ---- never delivered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stat", "word"),
    [
        ("DELIVERY_FAILED", "failed"), ("DELIVERY FAILED", "failed"), ("DeliveryFailed", "failed"),
        ("DeliveryImpossible", "failed"), ("DELIVERY_TIMEOUT", "expired"), ("DeliveredToNetwork", "accepted"),
        ("UNDELIV", "failed"), ("BUFFRED", "accepted"), ("", "accepted"),
    ],
)  # fmt: skip
async def test_a_word_that_begins_like_delivered_shows_nobody_as_reached(
    database: Database, stat: str, word: str
) -> None:
    async with OddSmsc(receipts=a_part(stat=stat)) as smsc:
        made = await Odd(database, smsc).sent_to(8)

    assert await words_of(database, made) == [word] * 8


async def test_a_receipt_that_names_no_id_waits_where_it_is_seen(database: Database) -> None:
    async with OddSmsc(receipts=a_part(form="stat:{stat}")) as smsc:
        odd = Odd(database, smsc)
        made = await odd.sent_to(3)
        await odd.look_again()

    assert await words_of(database, made) == ["accepted"] * 3
    assert await odd.waiting() == 3


# ---- what an SMSC has against us ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0x0A, 0x48, 0x03, 0x15, 0x43, 0x62, 0x0B, 0x65, 0x45, 0x408, 0x1234])
@pytest.mark.parametrize("people", [1, 8])
async def test_an_smsc_that_refuses_everybody_fails_nobody_beside_one_that_takes_them(
    database: Database, status: int, people: int
) -> None:
    made = await a_campaign(database, people)
    healthy = Carrier("two")
    async with OddSmsc(answer=refuses(status)) as smsc:
        settings = SmppSettings(host="127.0.0.1", port=smsc.port, system_id="plp", source_address="PLP", binds=1)
        first = SmppCarrier("one", settings)
        task = asyncio.create_task(first.run(ReceiptDesk(database, "gen")))
        try:
            await until(lambda: first.room > 0)
            async with ticking(database), running(a_lane(database, first, healthy)):
                await until_async(lambda: all_accepted(database, made), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    assert sorted(healthy.addresses) == sorted(p.addresses["sms"] for p in made.town.people)


@pytest.mark.parametrize("status", [0x0A, 0x48, 0x03])
async def test_what_is_surely_about_us_rests_the_account_after_one_person(database: Database, status: int) -> None:
    await a_campaign(database, 1)
    async with OddSmsc(answer=refuses(status)) as smsc:
        settings = SmppSettings(host="127.0.0.1", port=smsc.port, system_id="plp", source_address="PLP", binds=1)
        account = SmppCarrier("one", settings)
        task = asyncio.create_task(account.run(ReceiptDesk(database, "gen")))
        try:
            await until(lambda: account.room > 0)
            async with running(a_lane(database, account)):
                await until(lambda: "refuses us" in account.status().detail)
            assert account.room == 0
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_an_account_that_is_mended_is_used_again_and_everybody_has_it_once(database: Database) -> None:
    smsc = OddSmsc(answer=refuses(0x0A))
    made = await a_campaign(database, 20)
    async with smsc:
        odd = Odd(database, smsc)
        telling = asyncio.create_task(odd.told(made))
        await until(lambda: smsc.submits)
        await asyncio.sleep(0.5)
        smsc.answer = refuses(0)
        await asyncio.wait_for(telling, 30)

    assert sorted(smsc.numbers) == sorted(p.addresses["sms"] for p in made.town.people)


async def all_accepted(database: Database, made: Made) -> bool:
    return set(await words_of(database, made)) == {"accepted"}


# ---- alphabets ----------------------------------------------------------------------------------------------------

EURO = "De prijs is 10 €, en dat blijft zo: bel de wijkagent als iemand aan uw deur meer vraagt dan dat."


@pytest.mark.parametrize("alphabet", ["latin1", "ascii"])
async def test_a_sign_that_the_alphabet_of_the_smsc_lacks_fails_nobody(database: Database, alphabet: str) -> None:
    """99 letters and a euro sign, which UCS-2 would need two segments for."""
    async with OddSmsc(receipts=a_part()) as smsc:
        made = await Odd(database, smsc).sent_to(6, EURO, alphabet=alphabet)

    assert await words_of(database, made) == ["delivered"] * 6
    assert {submit.short_message.decode("latin-1") for submit in smsc.submits} == {EURO.replace("€", "EUR")}


async def test_an_smsc_that_has_the_sign_is_used_where_there_is_one(database: Database) -> None:
    made = await a_campaign(database, 6)
    right = Carrier("gsm")
    async with OddSmsc() as smsc:
        settings = SmppSettings(
            host="127.0.0.1", port=smsc.port, system_id="plp", source_address="PLP", default_alphabet="latin1"
        )
        first = SmppCarrier("one", settings)
        task = asyncio.create_task(first.run(ReceiptDesk(database, "gen")))
        try:
            await until(lambda: first.room > 0)
            async with ticking(database), running(a_lane(database, first, right, text=EURO)):
                await until_async(lambda: all_accepted(database, made), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    assert (len(right.handed), smsc.submits) == (6, [])
