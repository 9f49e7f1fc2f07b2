"""What relays really do, from the wire to the store: what they have against us fails nobody, and each mail goes to a
relay that can take it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from channels.email.carrier import SmtpCarrier
from gateway.dispatch.carriers import Gate, LaneCarriers
from gateway.dispatch.lane import Lane, LaneRules
from store.engine.database import Database
from store.outbox.ceilings import Ceiling
from store.outbox.records import Batch
from store.tables import delivery
from tests.channels.email.relay import MAIL, settings
from tests.gateway.dispatch.lanes import running, until, until_async
from tests.peers.relay import CLOSE, scripted
from tests.store.makers import Made, a_campaign, rows_of, tick, words_of

pytestmark = pytest.mark.timeout(60)

OURS = [
    b"553 5.7.1 Sender address rejected: not owned by user gateway\r\n",
    b"550 5.1.8 Sender address rejected: Domain not found\r\n",
    b"504 5.5.2 Helo command rejected: need fully-qualified hostname\r\n",
    b"554 5.7.1 Client host rejected: Access denied\r\n",
    b"554 5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org\r\n",
    b"550 5.7.25 the sending IP has no PTR record\r\n",
    b"550 5.7.23 SPF validation failed\r\n",
    b"554 5.7.1 Relay access denied\r\n",
    b"530 5.7.0 Must issue a STARTTLS command first\r\n",
    b"550 5.7.60 Client does not have permissions to send as this sender\r\n",
    # Words that nobody has thought of, for everybody alike.
    b"550 5.7.1 Administrative prohibition\r\n",
    b"550 no\r\n",
    b"554 5.7.0 Policy says so\r\n",
]


@pytest.fixture
def engine() -> str:
    return "sqlite"


@contextlib.asynccontextmanager
async def lane_over(database: Database, *ports: int) -> AsyncIterator[list[SmtpCarrier]]:
    """A lane of e-mail over these relays, in this order, all of them connected."""
    carriers = [SmtpCarrier(f"relay-{n}", settings(port, command_timeout_s=3.0)) for n, port in enumerate(ports)]

    async def kept(_: object) -> None:
        return

    async def prepare(_: Batch) -> dict[str, object]:
        return {"nl": MAIL}

    async def keep_ticking() -> None:
        while True:
            await tick(database)
            await asyncio.sleep(0.05)

    gates = [Gate(c, (Ceiling(f"email:{c.name}", 10_000, 1.0, 0.05),)) for c in carriers]
    lane = Lane(
        channel=Channel.EMAIL,
        mode=carriers[0].mode,
        database=database,
        carriers=LaneCarriers(gates, most_messages=1000),
        rules=LaneRules(4, 15_000, (50,), 100, 3, 50),
        generation="gen",
        node="test",
        prepare=prepare,  # type: ignore[arg-type]
        room_on_disk=lambda: True,
    )
    tasks = [asyncio.create_task(carrier.run(kept)) for carrier in carriers]
    tasks.append(asyncio.create_task(keep_ticking()))
    try:
        await until(lambda: all(carrier.room for carrier in carriers))
        async with running(lane):
            yield carriers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def accepted(database: Database, made: Made) -> bool:
    return set(await words_of(database, made)) == {"accepted"}


def mailboxes(made: Made) -> list[str]:
    return sorted(person.addresses["email"] for person in made.town.people)


@pytest.mark.parametrize("reply", OURS)
@pytest.mark.parametrize("verb", ["RCPT", "DATA", "BODY"])
async def test_a_relay_that_refuses_everybody_fails_nobody_beside_one_that_takes_them(
    database: Database, verb: str, reply: bytes
) -> None:
    made = await a_campaign(database, 8, channels=("email",))
    async with scripted(**{verb: [reply]}) as first, scripted() as second, lane_over(database, first.port, second.port):
        await until_async(lambda: accepted(database, made), 20)

    assert sorted(second.took) == mailboxes(made)
    assert first.took == []


async def test_an_address_with_other_letters_goes_by_the_relay_that_takes_them(database: Database) -> None:
    made = await a_campaign(database, 6, channels=("email",))
    await rename(database, made, 2, "élise@example.org")
    async with (
        scripted(offering=("SIZE",)) as first,
        scripted(offering=("SIZE", "8BITMIME", "SMTPUTF8")) as second,
        lane_over(database, first.port, second.port) as carriers,
    ):
        await until_async(lambda: accepted(database, made), 20)
        assert [carrier.limits.chooses_by_address for carrier in carriers] == [True, False]

    assert second.took == ["élise@example.org"]
    assert len(first.took) == 5


async def test_a_mail_that_is_too_big_for_one_relay_goes_by_another(database: Database) -> None:
    made = await a_campaign(database, 4, channels=("email",))
    async with (
        scripted(offering=("SIZE 500",)) as small,
        scripted(offering=("SIZE 1000000",)) as large,
        lane_over(database, small.port, large.port),
    ):
        await until_async(lambda: accepted(database, made), 20)

    assert sorted(large.took) == mailboxes(made)
    assert small.recipients == []


async def test_an_address_that_no_relay_can_write_fails_with_a_reason(database: Database) -> None:
    made = await a_campaign(database, 2, channels=("email",))
    await rename(database, made, 0, "élise@example.org")
    async with scripted(offering=("SIZE",)) as only, lane_over(database, only.port):
        await until_async(lambda: words(database, made, "failed", "accepted"), 20)

    assert (await rows_of(database, made))[0].code == "unfit"


async def test_a_relay_that_puts_many_off_and_is_well_again_loses_nobody(database: Database) -> None:
    made = await a_campaign(database, 8, channels=("email",))
    busy = b"450 4.7.1 Too many attempts\r\n"
    well = b"250 2.1.5 ok\r\n"
    async with (
        scripted(RCPT=[*[busy] * 12, well]) as first,
        scripted() as second,
        lane_over(database, first.port, second.port),
    ):
        await until_async(lambda: accepted(database, made), 30)

    assert sorted(first.took + second.took) == mailboxes(made)


async def test_a_relay_that_hangs_up_after_the_dot_leaves_those_in_doubt_and_takes_the_rest(database: Database) -> None:
    made = await a_campaign(database, 4, channels=("email",), crash_policy="report")
    async with scripted(BODY=[CLOSE, b"250 2.0.0 ok\r\n"]) as only, lane_over(database, only.port):
        await until_async(lambda: counted(database, made, unknown=1, accepted=3), 20)


async def words(database: Database, made: Made, *wanted: str) -> bool:
    return await words_of(database, made) == list(wanted)


async def counted(database: Database, made: Made, **wanted: int) -> bool:
    found = await words_of(database, made)
    return all(found.count(word) == n for word, n in wanted.items())


async def rename(database: Database, made: Made, place: int, mailbox: str) -> None:
    """Before anything leaves: the frozen row of one delivery."""
    change = sa.update(delivery).where(delivery.c.id == made.ids["email"][place]).values(address=mailbox)
    await database.write(lambda tx: tx.run(change))
