"""Where handing over ends and begins: a silent answer holds back nobody, the first message of any zone leaves at once,
and no fault of the store or of a campaign is charged to a person."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
import sqlalchemy.exc

from channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Outgoing
from gateway.dispatch.lane import Lane
from store.campaigns import campaign_steps
from store.engine.database import Database
from store.engine.turns import Turn
from store.errors import StoreUnavailable
from store.outbox import inbox, recovery
from store.outbox.inbox import ReceiptReport
from store.states import DeliveryEvent, DeliveryState
from store.tables import delivery
from tests.gateway.dispatch.lanes import Carrier, a_lane, running, until, until_async
from tests.store.makers import a_campaign, batches_of, happened, rows_of, sent, tick, words_of

SILENT_S = 6.0
"""In life 30 s (SMPP) or 300 s (SMTP)."""


@pytest.fixture
def engine() -> str:
    return "sqlite"


@contextlib.asynccontextmanager
async def house_kept(database: Database) -> AsyncIterator[None]:
    async def keep() -> None:
        while True:
            with contextlib.suppress(sqlalchemy.exc.TimeoutError):
                await tick(database)
                await database.write(recovery.recover)
                await database.write(campaign_steps.close_ended)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def silent(message: Outgoing) -> Outcome:
    await asyncio.sleep(SILENT_S)
    return InDoubt("no answer")


# ---- a silent answer holds back nobody -------------------------------------------------------------------


async def test_after_a_stop_less_urgent_kinds_go_on_though_answers_are_missing(database: Database) -> None:
    urgent = await a_campaign(database, 400)
    mute, good = Carrier("mute", silent, window=5), Carrier("good")
    async with house_kept(database), running(a_lane(database, mute, good, rate_per_s=100)):
        await until(lambda: len(good.handed) >= 20)
        await database.write(lambda tx: campaign_steps.stop(tx, urgent.id, None))
        news = await a_campaign(database, 20, kind="news", priority=3, crash_policy="report")
        wanted = {p.addresses["sms"] for p in news.town.people}
        await until(lambda: wanted & set(good.addresses), SILENT_S / 2)


async def test_what_was_put_off_is_tried_again_in_time_though_another_of_its_batch_is_silent(
    database: Database,
) -> None:
    made = await a_campaign(database, 2)
    mute = made.town.people[1].addresses["sms"]
    tries: list[float] = []

    async def answer(message: Outgoing) -> Outcome:
        if message.address == mute:
            return await silent(message)
        tries.append(time.monotonic())
        return Deferred("x", "queue full") if len(tries) == 1 else Accepted((message.reference,))

    lane = a_lane(database, Carrier(answer=answer), retry_delays_ms=(200,), resend_wait_ms=60_000)
    async with house_kept(database), running(lane):
        await until(lambda: len(tries) == 2, SILENT_S / 2)


async def test_what_was_not_sent_goes_on_when_the_carrier_is_back_though_one_answer_is_missing(
    database: Database,
) -> None:
    made = await a_campaign(database, 300)
    odd = made.town.people[0].addresses["sms"]

    async def answer(message: Outgoing) -> Outcome:
        return await silent(message) if message.address == odd else Accepted((message.reference,))

    carrier = Carrier(answer=answer)
    async with house_kept(database), running(a_lane(database, carrier, rate_per_s=100, resend_wait_ms=60_000)):
        await until(lambda: len(carrier.handed) >= 30)
        carrier.up = False
        await asyncio.sleep(1.5)
        handed = len(carrier.handed)
        carrier.up = True
        await until(lambda: len(carrier.handed) > handed, SILENT_S / 2)


async def test_a_message_in_doubt_is_sent_again_in_time_though_another_is_silent(database: Database) -> None:
    made = await a_campaign(database, 3)
    mute, doubted = (p.addresses["sms"] for p in made.town.people[:2])

    async def answer(message: Outgoing) -> Outcome:
        if message.address == mute:
            return await silent(message)
        if message.address == doubted and carrier.addresses.count(doubted) == 1:
            return InDoubt("the connection was lost")
        return Accepted((message.reference,))

    carrier = Carrier(answer=answer)
    async with house_kept(database), running(a_lane(database, carrier, resend_wait_ms=300)):
        await until(lambda: carrier.addresses.count(doubted) == 2, SILENT_S / 2)
    assert carrier.addresses.count(mute) == 1


# ---- the first message of any zone -----------------------------------------------------------------------


async def first_of_each(database: Database, lane: Lane, carrier: Carrier, zones: int, people: int) -> list[float]:
    """Seconds from its launch to the first message of each of the zones, which begin together."""
    wanted: list[set[str]] = []
    began: list[float] = []
    for _ in range(zones):
        made = await a_campaign(database, people)
        lane.bell.ring()  # as whoever makes the rows does
        began.append(asyncio.get_running_loop().time())
        wanted.append({p.addresses["sms"] for p in made.town.people})

    def firsts() -> list[float]:
        return [next((at for at, m in carrier.handed if m.address in those), 0.0) for those in wanted]

    await until(lambda: all(firsts()), 30)
    return [at - launched for at, launched in zip(firsts(), began, strict=True)]


@pytest.mark.parametrize("rate", [50, 100, 500])
async def test_an_alert_of_another_zone_begins_within_two_seconds(database: Database, rate: int) -> None:
    await a_campaign(database, 4000)
    carrier = Carrier()
    lane = a_lane(database, carrier, rate_per_s=rate)
    async with house_kept(database), running(lane):
        await until(lambda: len(carrier.handed) >= 20)
        took = await first_of_each(database, lane, carrier, 1, 30)
    assert max(took) < 2.0


async def test_zones_that_begin_together_all_begin_within_two_seconds(database: Database) -> None:
    """Thirty zones, a contract of 60 a second, and a zone that has begun before them."""
    await a_campaign(database, 2000)
    carrier = Carrier()
    lane = a_lane(database, carrier, rate_per_s=60)
    async with house_kept(database), running(lane):
        await until(lambda: len(carrier.handed) >= 20)
        took = await first_of_each(database, lane, carrier, 30, 20)
    assert max(took) < 2.0


# ---- nobody pays for what is not theirs ------------------------------------------------------------------


@pytest.mark.parametrize("fault", [TimeoutError("no connection"), StoreUnavailable("away"), ValueError("no such text")])
async def test_words_that_cannot_be_read_for_some_seconds_cost_nobody_the_message(
    database: Database, fault: Exception
) -> None:
    made = await a_campaign(database, 20)
    lane = a_lane(database, Carrier())
    prepare, began = lane.prepare, time.monotonic()

    async def failing(batch):  # type: ignore[no-untyped-def]
        if time.monotonic() - began < 4:
            raise fault
        return await prepare(batch)

    lane.prepare = failing
    async with house_kept(database), running(lane):
        await until_async(lambda: _all(database, made, "accepted"), 20)


async def test_one_campaign_whose_words_cannot_be_made_ready_stops_no_other(database: Database) -> None:
    broken = await a_campaign(database, 5)
    lane = a_lane(database, Carrier())
    prepare = lane.prepare

    async def failing(batch):  # type: ignore[no-untyped-def]
        if batch.campaign_id == broken.id:
            raise LookupError("its text is not there")
        return await prepare(batch)

    lane.prepare = failing
    async with house_kept(database), running(lane):
        other = await a_campaign(database, 20)
        await until_async(lambda: _all(database, other, "accepted"), 10)
        await asyncio.sleep(1.0)
    assert "failed" not in await words_of(database, broken)


async def test_a_pool_that_has_no_connection_ends_no_lane(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await a_campaign(database, 50)
    carrier = Carrier()
    lane = a_lane(database, carrier, rate_per_s=50, lease_ms=2000)

    async def away(self: Database, work: object, *, turn: Turn = Turn.USUAL) -> None:
        raise sqlalchemy.exc.TimeoutError("QueuePool limit of size 8 overflow 4 reached")

    async with house_kept(database), running(lane):
        await until(lambda: len(carrier.handed) >= 5)
        with monkeypatch.context() as patched:
            patched.setattr(Database, "write", away)
            await asyncio.sleep(4)
        await until_async(lambda: _all(database, made, "accepted"), 20)
    assert len(set(carrier.addresses)) == 50


async def test_a_campaign_that_expires_in_a_window_says_nothing_against_its_carrier(database: Database) -> None:
    await a_campaign(database, 1000, kind="news", priority=3, crash_policy="report", lasts_ms=1500)

    async def answer(message: Outgoing) -> Outcome:
        if message.expires_ms is not None and message.expires_ms <= database.clock.now_ms():
            return NotSent("expired before it could leave")
        return Accepted((message.reference,))

    lane = a_lane(database, Carrier(answer=answer), rate_per_s=300)
    async with house_kept(database), running(lane):
        for _ in range(250):
            await asyncio.sleep(0.01)
            assert lane.carriers.gates[0].breaker.closed(asyncio.get_running_loop().time())


async def test_a_row_that_kills_whoever_hands_it_over_costs_itself_only(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.dispatch.sending import Sending

    made = await a_campaign(database, 40)
    poison = made.ids["sms"][23]
    outgoing = Sending._outgoing

    def breaking(self, row, instants, permission):  # type: ignore[no-untyped-def]
        if row.id == poison:
            raise ValueError("this one kills")
        return outgoing(self, row, instants, permission)

    monkeypatch.setattr(Sending, "_outgoing", breaking)
    carrier = Carrier()
    async with house_kept(database), running(a_lane(database, carrier)):
        await until_async(lambda: _words(database, made, {"accepted": 39, "failed": 1}), 30)
    assert {row.code for row in await rows_of(database, made) if row.id == poison} == {"quarantined"}
    assert len(carrier.addresses) == len(set(carrier.addresses)) == 39


async def _all(database: Database, made, word: str) -> bool:  # type: ignore[no-untyped-def]
    return set(await words_of(database, made)) == {word}


async def _words(database: Database, made, wanted: dict[str, int]) -> bool:  # type: ignore[no-untyped-def]
    words = await words_of(database, made)
    return {word: words.count(word) for word in set(words)} == wanted


async def test_nothing_stays_leased_when_the_lane_has_stopped_in_mid_split(database: Database) -> None:
    made = await a_campaign(database, 30)
    mute = made.town.people[3].addresses["sms"]

    async def answer(message: Outgoing) -> Outcome:
        if message.address == mute:
            await asyncio.sleep(1)
            return InDoubt("no answer")
        return Deferred("x", "later")

    async with house_kept(database), running(a_lane(database, Carrier(answer=answer), retry_delays_ms=(200,))):
        await until_async(lambda: _split(database, made))
    assert 1 not in {b.state for b in await batches_of(database, made)}
    assert DeliveryState.QUEUED not in {row.state for row in await rows_of(database, made)}


async def _split(database: Database, made) -> bool:  # type: ignore[no-untyped-def]
    return len(await batches_of(database, made)) > 1


async def test_a_row_without_words_puts_nobody_in_doubt(database: Database) -> None:
    made = await a_campaign(database, 8)
    bad = made.ids["sms"][6]
    await database.write(lambda tx: tx.run(sa.update(delivery).where(delivery.c.id == bad).values(language="xx")))

    async def slow(message: Outgoing) -> Outcome:
        await asyncio.sleep(1.0)
        return Accepted((f"id-{message.reference}",))

    one = Carrier(answer=slow)
    lane = a_lane(database, one, rate_per_s=8)
    async with running(lane):
        for _ in range(50):
            await asyncio.sleep(0.1)
            await tick(database)
            lane.bell.ring()
    assert len(one.addresses) == len(set(one.addresses))


async def test_a_receipt_that_comes_between_the_claim_and_the_slot_is_heard(database: Database) -> None:
    made = await a_campaign(database, 30)
    last = made.town.people[29].addresses["sms"]
    await sent(database, answer=lambda ids: happened(ids, DeliveryEvent.IN_DOUBT, "one"))
    await tick(database)
    one = Carrier()
    async with running(a_lane(database, one, rate_per_s=10, resend_wait_ms=0)):
        await asyncio.sleep(0.5)
        report = ReceiptReport("one", "r", "delivered", 0, destination=last)
        await database.write(lambda tx: inbox.record(tx, [report]))
        await asyncio.sleep(3.5)
    assert last not in one.addresses
