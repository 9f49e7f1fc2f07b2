"""Nobody is judged by time during which this process did not run, nor before what he said has been read."""

import asyncio
import signal
import socket
import sys
import time

import pytest

from channels.standstill import BEAT_S, Deadline, RunningClock, after_reading
from loadtest.sinks.smsc import SmscOptions, SmscSink
from loadtest.sinks.smtp import Options, SmtpSink
from tests.channels.conformance import until
from tests.channels.loops import on_both_loops
from tests.channels.sender import PATIENCE_S

loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


class Sender:
    """`tests.channels.sender`, which can be made to stand still."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def of(cls, *arguments: object) -> "Sender":
        command = (sys.executable, "-m", "tests.channels.sender", *map(str, arguments))
        sender = cls(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))
        assert await sender.line() == "up"
        return sender

    async def line(self) -> str:
        async with asyncio.timeout(30):
            return (await self.process.stdout.readline()).decode().strip()

    async def stands_still(self) -> None:
        """For longer than it is ready to wait for any answer."""
        self.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3 * PATIENCE_S)
        self.process.send_signal(signal.SIGCONT)

    async def tells(self, count: int) -> tuple[list[str], str]:
        """The outcomes, and how it stands with its peer."""
        told = [(await self.line()).partition(" ")[0] for _ in range(count)]
        state = await self.line()
        async with asyncio.timeout(10):
            assert await self.process.wait() == 0
        return told, state


@loops
async def test_answers_that_came_during_a_standstill_are_heard_and_the_bind_lives(loop: str) -> None:
    async with SmscSink(SmscOptions(answer_delay_s=0.3, receipts="none")) as smsc:
        sender = await Sender.of("smpp", smsc.port, 50, loop)
        await until(lambda: len(smsc.parts) == 50)
        await sender.stands_still()
        told, state = await sender.tells(50)

        assert told == ["Accepted"] * 50
        assert state == "connected"
        assert smsc.counts["binds"] == 1
        assert len(smsc.parts) == 50


@loops
async def test_replies_that_came_during_a_standstill_are_heard_and_the_connections_live(loop: str) -> None:
    async with SmtpSink(Options(reply_delay_s=0.3)) as sink:
        sender = await Sender.of("smtp", sink.port, 8, loop)
        await until(lambda: len(sink.messages) == 8)
        connected = sink.connected
        await sender.stands_still()
        told, state = await sender.tells(8)

        assert told == ["Accepted"] * 8
        assert state == "connected"
        assert sink.connected == connected
        assert len(sink.messages) == 8


@loops
async def test_a_standstill_before_the_text_costs_nothing_either(loop: str) -> None:
    async with SmtpSink(Options(reply_delay_s=0.3)) as sink:
        sender = await Sender.of("smtp", sink.port, 8, loop)
        await asyncio.sleep(0.15)
        await sender.stands_still()
        told, state = await sender.tells(8)

        assert told == ["Accepted"] * 8
        assert state == "connected"
        assert len(sink.messages) == 8


@loops
async def test_a_peer_that_stays_silent_is_judged_by_the_time_we_ran(loop: str) -> None:
    async with SmscSink(SmscOptions(silent=True)) as smsc:
        sender = await Sender.of("smpp", smsc.port, 5, loop)
        await until(lambda: len(smsc.parts) == 5)
        await sender.stands_still()
        resumed = time.monotonic()
        told, _ = await sender.tells(5)

        assert told == ["InDoubt"] * 5
        assert time.monotonic() - resumed > PATIENCE_S / 3, "what it had waited before counts, the standstill does not"


@on_both_loops
async def test_the_clock_leaves_out_what_a_blocked_loop_lost() -> None:
    clock = RunningClock()
    with clock.beating():
        began, before = asyncio.get_running_loop().time(), clock.time()
        await asyncio.sleep(BEAT_S * 1.5)
        time.sleep(1.0)  # noqa: ASYNC251 - the standstill
        await asyncio.sleep(0)
        ran = clock.time() - before

        assert asyncio.get_running_loop().time() - began > 1.3
        assert ran < 0.9
        assert clock.lost_s > 0.5


@on_both_loops
async def test_a_clock_that_does_not_beat_is_the_loops() -> None:
    clock = RunningClock()

    assert clock.time() == pytest.approx(asyncio.get_running_loop().time(), abs=0.01)
    assert clock.lost_s == 0


@on_both_loops
async def test_a_judgment_waits_until_all_that_came_has_been_read() -> None:
    ours, theirs = socket.socketpair()
    heard, judged = bytearray(), asyncio.Event()
    at_judgment = 0

    class Ear(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            heard.extend(data)

    transport, _ = await asyncio.get_running_loop().create_connection(Ear, sock=ours)
    theirs.setblocking(False)
    sent = theirs.send(b"x" * 1_000_000)

    def judge() -> None:
        nonlocal at_judgment
        at_judgment = len(heard)
        judged.set()

    after_reading(judge, transport)
    await asyncio.wait_for(judged.wait(), 5)

    assert sent > 0
    assert at_judgment == sent
    transport.close()
    theirs.close()
    await asyncio.sleep(0)


@on_both_loops
async def test_a_deadline_that_is_moved_on_does_not_ring_and_one_that_is_reached_rings_once() -> None:
    clock, rings = RunningClock(), []
    deadline = Deadline(clock, lambda: rings.append(clock.time()))
    began = clock.time()
    for _ in range(5):
        deadline.set(0.1)
        await asyncio.sleep(0.03)

    await until(lambda: rings)
    await asyncio.sleep(0.15)

    assert len(rings) == 1
    assert rings[0] - began > 0.2


@on_both_loops
async def test_a_deadline_may_be_moved_nearer_and_cleared() -> None:
    clock, rings = RunningClock(), []
    deadline = Deadline(clock, lambda: rings.append("rung"))
    deadline.set(60)
    deadline.set(0.02)
    await until(lambda: rings)
    deadline.set(0.02)
    deadline.clear()
    await asyncio.sleep(0.1)

    assert rings == ["rung"]


@on_both_loops
async def test_a_time_limit_by_the_clock_ends_what_takes_too_long_and_nothing_else() -> None:
    clock = RunningClock()
    async with clock.timeout(60):
        await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        async with clock.timeout(0.02):
            await asyncio.Event().wait()
