"""After a stop, and after a lease has ended, no byte of the text leaves to a relay that takes its time over DATA."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from channels.contract import Channel
from channels.email.carrier import SmtpCarrier
from gateway.dispatch.carriers import Gate, LaneCarriers
from gateway.dispatch.lane import Lane, LaneRules
from store.campaigns import campaign_steps, launching
from store.engine.database import Database
from store.outbox import holds, recovery
from store.outbox.ceilings import Ceiling
from store.outbox.records import Batch
from store.states import BatchState
from tests.channels.email.relay import MAIL, settings
from tests.gateway.dispatch.lanes import running, until, until_async
from tests.store.makers import Made, a_campaign, batches_of, tick, words_of


@pytest.fixture
def engine() -> str:
    return "sqlite"


class SlowRelay:
    """Says 354 when it is told to, and notes each text of which a first line comes by when its DATA came."""

    def __init__(self) -> None:
        self.data: list[float] = []
        self.texts: list[float] = []
        self.dots = 0
        self.go = asyncio.Event()
        self.waiting = 0
        self.talks: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._serve(reader, writer))
        self.talks.add(talk)
        talk.add_done_callback(self.talks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        writer.write(b"220 slow\r\n")
        while line := (await reader.readline()).strip():
            if line[:4].upper() == b"EHLO":
                writer.write(b"250-slow\r\n250 PIPELINING\r\n")
            elif line.upper() == b"DATA":
                asked = loop.time()
                self.data.append(asked)
                self.waiting += 1
                await self.go.wait()
                self.waiting -= 1
                writer.write(b"354 go on\r\n")
                first = await reader.readline()
                if first:
                    self.texts.append(asked)
                while first and first.strip() != b".":
                    first = await reader.readline()
                self.dots += first.strip() == b"."
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 ok\r\n")


@contextlib.asynccontextmanager
async def sending(database: Database, relay: SlowRelay, lease_ms: int = 15_000) -> AsyncIterator[SmtpCarrier]:
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    carrier = SmtpCarrier(
        "relay",
        settings(server.sockets[0].getsockname()[1], connections=8, command_timeout_s=60.0, answer_timeout_s=60.0),
    )

    async def nothing(receipts: object) -> None:
        return

    async def prepare(batch: Batch) -> dict[str, object]:
        return {"nl": MAIL}

    run = asyncio.create_task(carrier.run(nothing))
    lane = Lane(
        Channel.EMAIL, carrier.mode, database, LaneCarriers([Gate(carrier, (Ceiling("e", 1000, 1.0, 0.02),))], 1000),
        LaneRules(4, lease_ms, (50,), 3, 3, 50), "gen", "n", prepare, lambda: True,  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        async with running(lane):
            yield carrier
            relay.go.set()
    finally:
        run.cancel()
        server.close()
        for talk in relay.talks:
            talk.cancel()
        await asyncio.gather(run, *relay.talks, return_exceptions=True)
        await asyncio.sleep(0.05)  # the transports close in the loop's next turns


async def stopped(database: Database, made: Made) -> None:
    await database.write(lambda tx: campaign_steps.stop(tx, made.id, None))


async def superseded(database: Database, made: Made) -> None:
    await database.write(lambda tx: launching.end_campaigns(tx, [(made.id, "superseded")]))


async def held(database: Database, made: Made) -> None:
    await database.write(lambda tx: holds.place(tx, "campaign", str(made.id), "wait", "an operator"))


async def held_with_its_carrier(database: Database, made: Made) -> None:
    await database.write(lambda tx: holds.place(tx, "carrier", "relay", "slow", "an operator"))


async def lost(database: Database, made: Made) -> None:
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)


@pytest.mark.parametrize("end", [stopped, superseded, held, held_with_its_carrier])
async def test_no_byte_of_the_text_leaves_later_than_two_seconds_after_the_end(database: Database, end) -> None:  # type: ignore[no-untyped-def]
    relay = SlowRelay()
    made = await a_campaign(database, 50, channels=("email",))
    async with sending(database, relay):
        await until(lambda: len(relay.data) >= 8, 20)
        await end(database, made)
        await asyncio.sleep(2.0)
        relay.go.set()
        await until(lambda: not relay.waiting)
        await asyncio.sleep(0.5)
    assert relay.texts == []


async def test_no_byte_leaves_when_the_lease_has_gone_to_another(database: Database) -> None:
    relay = SlowRelay()
    made = await a_campaign(database, 8, channels=("email",), crash_policy="report")
    async with sending(database, relay, lease_ms=3_000):
        await until(lambda: len(relay.data) >= 8, 20)
        await lost(database, made)
        taken = asyncio.get_running_loop().time()
        await asyncio.sleep(2.0)
        relay.go.set()
        await asyncio.sleep(0.5)
    # Known not sent after all, they may go under a lease of their own.
    assert [asked for asked in relay.texts if asked < taken] == []


async def test_a_relay_that_is_slow_gets_the_text_while_the_campaign_runs(database: Database) -> None:
    """The permission is renewed for as long as the fence would give it."""
    relay = SlowRelay()
    made = await a_campaign(database, 8, channels=("email",))
    async with sending(database, relay):
        await until(lambda: len(relay.data) >= 8, 20)
        await asyncio.sleep(4.0)
        relay.go.set()
        await until_async(lambda: _all(database, made, "accepted"), 20)
    assert len(relay.texts) == relay.dots == 8


async def test_what_was_broken_off_is_known_not_sent_and_goes_when_it_may(database: Database) -> None:
    relay = SlowRelay()
    made = await a_campaign(database, 8, channels=("email",))
    async with sending(database, relay):
        await until(lambda: len(relay.data) >= 8, 20)
        await held(database, made)
        await until_async(lambda: _given_back(database, made), 10)
        assert set(await words_of(database, made)) <= {"queued", "retry"}
        relay.go.set()
        await database.write(lambda tx: holds.lift(tx, "campaign", str(made.id)))
        await tick(database)
        await until_async(lambda: _all(database, made, "accepted"), 20)
    assert relay.dots == 8


async def _given_back(database: Database, made: Made) -> bool:
    return all(b.state != BatchState.LEASED for b in await batches_of(database, made))


async def _all(database: Database, made: Made, word: str) -> bool:
    return set(await words_of(database, made)) == {word}
