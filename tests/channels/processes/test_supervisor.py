"""A carriers' process that dies, stands still or talks nonsense is a carrier that died: nobody is told what is not so,
nobody has a message twice, and nobody else feels it."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from channels.begun import begun_bytes
from channels.contract import Accepted, CarrierState, InDoubt, NotSent, Outcome, Outgoing, Permission
from channels.processes import frames
from channels.processes import supervisor as process_module
from channels.processes.frames import MOST_BYTES
from channels.processes.supervisor import SILENT_S, CarriersProcess
from channels.slots import MISSED
from gateway.operations.logs import JsonLines
from loadtest.sinks.smsc import SmscOptions, SmscSink
from tests.channels.conformance import Bench, Inbox, noted, now, outcomes, running, under, until
from tests.channels.email.test_smtp_conformance import relay
from tests.channels.test_smpp_conformance import SmppBench

GUARD_S = 0.5


@asynccontextmanager
async def living(bench: Bench) -> AsyncIterator[CarriersProcess]:
    """A process with the carrier of the bench, which is put in its place."""
    process = CarriersProcess("tocsin-test", begun_bytes(10_000), lambda: time.time_ns() // 1_000_000)
    here = bench.carrier
    bench.carrier = process.add(here.name, here.channel, here.mode, bench.settings, GUARD_S)
    task = asyncio.create_task(process.run())
    try:
        await until(lambda: process.is_ready)
        yield process
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(params=["sms", "email"])
def a_town(request: pytest.FixtureRequest) -> Callable[..., contextlib.AbstractAsyncContextManager[Bench]]:
    """A bench of each kind; a `silent` peer takes and never answers."""

    @asynccontextmanager
    async def town(*, silent: bool = False) -> AsyncIterator[Bench]:
        if request.param == "email":
            async with relay(silent=silent) as bench:
                yield bench
        else:
            async with SmscSink(SmscOptions(silent=silent, receipt_repeat_s=0.05)) as sink:
                yield SmppBench(sink)

    return town


def messages(bench: Bench, process: CarriersProcess, due: list[float]) -> list[Outgoing]:
    return noted(process.begun, [bench.message(number, due=[at]) for number, at in enumerate(due)])


class Heard(dict[int, Outcome]):
    def __call__(self, index: int, outcome: Outcome) -> None:
        assert index not in self, "exactly one outcome a message"
        self[index] = outcome


def _all_heard(heard: Heard, names: list[str]) -> bool:
    return len(heard) == len(names)


async def test_what_had_begun_is_in_doubt_and_the_rest_is_not_sent(a_town) -> None:
    async with a_town(silent=True) as bench, living(bench) as process, running(bench.carrier):
        heard = Heard()
        group = messages(bench, process, [now()] * 3 + [now() + 30] * 20)
        bench.carrier.send(group, heard)
        await until(lambda: len(bench.arrivals()) == 3)

        os.kill(process.view().pid, signal.SIGKILL)
        await until(lambda: len(heard) == 23)

        assert all(isinstance(heard[index], InDoubt) for index in range(3))
        assert all(isinstance(heard[index], NotSent) and not heard[index].missed for index in range(3, 23))
        assert bench.carrier.slots.held == 0


async def test_a_carrier_whose_process_died_is_down_and_then_another_process_goes_on(a_town) -> None:
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        os.kill(process.view().pid, signal.SIGKILL)
        await until(lambda: bench.carrier.status().state is CarrierState.DOWN)
        assert bench.carrier.room == 0

        await until(lambda: bench.carrier.room > 0)
        answered = await outcomes(bench.carrier, messages(bench, process, [now()] * 5))

        assert all(isinstance(outcome, Accepted) for _, outcome in answered)
        assert len(bench.arrivals()) == 5
        assert process.view().lives == 2


async def test_a_permission_is_told_until_all_that_was_handed_over_with_it_is_answered(a_town) -> None:
    """However many of its messages share it: what is kept of those that are over would grow with every message."""
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        many, few, alone = Permission(now() + 60), Permission(now() + 60), Permission(now() + 60)
        group = messages(bench, process, [now()] * 20 + [now() + 30])
        shared = [*under(many, group[:15]), *under(few, group[15:20])]

        withdraw = bench.carrier.send(under(alone, group[20:]), Heard())
        await outcomes(bench.carrier, shared)
        assert process.permissions_told == 1
        withdraw()

        assert process.permissions_told == 0


async def test_killed_at_any_moment_nobody_is_lost_and_nobody_has_it_twice(a_town) -> None:
    """What is told as not sent is handed over again, as a lane does; what is in doubt is not."""
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        accepted, doubted = set[str](), set[str]()
        left = {f"{number}": number for number in range(300)}
        kills = 0
        while left:
            await until(lambda: bench.carrier.room > 0)
            names = list(left)[:60]
            start = now()
            group = noted(
                process.begun,
                [bench.message(left[name], due=[start + 0.004 * n]) for n, name in enumerate(names)],
            )  # fmt: skip
            heard = Heard()
            bench.carrier.send(group, heard)
            if kills < 4:
                await asyncio.sleep(0.03 + 0.05 * kills)
                os.kill(process.view().pid, signal.SIGKILL)
                kills += 1
            await until(partial(_all_heard, heard, names))
            for index, name in enumerate(names):
                if isinstance(heard[index], Accepted):
                    accepted.add(name)
                    del left[name]
                elif isinstance(heard[index], InDoubt):
                    doubted.add(name)
                    del left[name]

        seen = [address for address, _ in bench.arrivals()]
        known = {bench.message(int(name), due=[0.0]).address for name in accepted}
        open_ = {bench.message(int(name), due=[0.0]).address for name in doubted}
        assert len(seen) == len(set(seen)), "nobody has it twice"
        assert known <= set(seen), "nobody is told as reached who was not"
        assert set(seen) <= known | open_, "whoever has it was told, or is in doubt"


async def test_a_process_that_stands_still_is_a_carrier_down_within_a_second_and_is_ended_before_it_can_go_on(
    a_town,
) -> None:
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        heard = Heard()
        bench.carrier.send(messages(bench, process, [now() + 1.0] * 10), heard)
        pid = process.view().pid
        await asyncio.sleep(0.1)

        os.kill(pid, signal.SIGSTOP)
        stopped_s = now()
        await until(lambda: bench.carrier.status().state is CarrierState.DOWN)
        assert now() - stopped_s < SILENT_S + 0.5
        await until(lambda: len(heard) == 10)

        assert all(isinstance(outcome, NotSent) for outcome in heard.values())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.2)
        assert bench.arrivals() == []


async def test_one_that_stood_still_for_a_moment_goes_on_and_nothing_leaves_after_its_permission(a_town) -> None:
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        ends = now() + 0.5
        group = under(Permission(ends), messages(bench, process, [now() + 0.4 + 0.01 * n for n in range(20)]))
        answering = asyncio.create_task(outcomes(bench.carrier, group))
        await asyncio.sleep(0.2)

        os.kill(process.view().pid, signal.SIGSTOP)
        await asyncio.sleep(0.6)
        os.kill(process.view().pid, signal.SIGCONT)
        answered = await answering

        assert bench.arrivals() == []
        assert all(isinstance(outcome, NotSent) and outcome.withdrawn for _, outcome in answered)
        assert process.view().lives == 1
        after = await outcomes(bench.carrier, messages(bench, process, [now()]))
        assert isinstance(after[0][1], Accepted)


async def test_one_that_was_silent_and_is_heard_again_is_as_it_was(a_town) -> None:
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        os.kill(process.view().pid, signal.SIGSTOP)
        await until(lambda: bench.carrier.status().state is CarrierState.DOWN)
        assert bench.carrier.slots.room == 0

        os.kill(process.view().pid, signal.SIGCONT)
        await until(lambda: bench.carrier.status().state is CarrierState.UP and bench.carrier.slots.room > 0)
        answered = await outcomes(bench.carrier, messages(bench, process, [now()] * 5))

        assert all(isinstance(outcome, Accepted) for _, outcome in answered)
        assert process.view().lives == 1


async def test_what_was_stopped_too_long_for_its_slot_has_missed_it(a_town) -> None:
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        answering = asyncio.create_task(outcomes(bench.carrier, messages(bench, process, [now() + 0.1] * 5)))
        await asyncio.sleep(0.03)

        os.kill(process.view().pid, signal.SIGSTOP)
        await asyncio.sleep(GUARD_S + 0.3)
        os.kill(process.view().pid, signal.SIGCONT)

        assert [outcome for _, outcome in await answering] == [MISSED] * 5
        assert bench.arrivals() == []


async def test_told_alone_to_end_it_ends_in_order_and_another_takes_its_place(a_town) -> None:
    async with a_town() as bench, living(bench) as process, running(bench.carrier):
        heard = Heard()
        bench.carrier.send(messages(bench, process, [now()] * 10 + [now() + 30] * 3), heard)
        await until(lambda: len(bench.arrivals()) == 10)

        os.kill(process.view().pid, signal.SIGTERM)
        await until(lambda: len(heard) == 13)
        await until(lambda: process.view().lives == 2 and bench.carrier.room > 0)
        answered = await outcomes(bench.carrier, messages(bench, process, [now()]))

        assert all(isinstance(heard[index], Accepted) for index in range(10))
        assert all(isinstance(heard[index], NotSent) and heard[index].withdrawn for index in range(10, 13))
        assert isinstance(answered[0][1], Accepted)


async def test_receipts_that_a_dead_process_had_not_acknowledged_come_again() -> None:
    inbox, gate = Inbox(), asyncio.Event()

    async def slowly(receipts) -> None:
        await gate.wait()
        await inbox(receipts)

    async with SmscSink(SmscOptions(receipt_repeat_s=0.05)) as sink:
        bench = SmppBench(sink)
        async with living(bench) as process, running(bench.carrier, slowly):
            await outcomes(bench.carrier, messages(bench, process, [now()] * 3))
            await asyncio.sleep(0.2)

            os.kill(process.view().pid, signal.SIGKILL)
            gate.set()

            await until(lambda: process.view().lives == 2 and bench.carrier.room > 0)
            await until(lambda: len({receipt.ref for receipt in inbox.kept}) == 3)


async def test_the_death_of_the_parent_is_the_end_of_the_child_and_nothing_more_leaves(tmp_path: Path) -> None:
    async with relay(silent=False) as bench:
        program = f"""
import asyncio, time
from channels.begun import begun_bytes
from channels.contract import Channel, Mode
from channels.processes.supervisor import CarriersProcess
from channels.email.settings import SmtpSettings, Tls
from tests.channels.conformance import Inbox, now, until
from tests.channels.email.test_smtp_conformance import relay
async def main():
    process = CarriersProcess("tocsin-test", begun_bytes(1000), lambda: time.time_ns() // 1_000_000)
    settings = SmtpSettings(host="127.0.0.1", port={bench.settings.port}, tls=Tls.NONE, ehlo_name="g.invalid")
    carrier = process.add("relay", Channel.EMAIL, Mode.LIVE, settings, 0.5)
    tasks = [asyncio.create_task(process.run()), asyncio.create_task(carrier.run(Inbox()))]
    await until(lambda: carrier.room > 0)
    async with relay(silent=False) as other:
        group = [other.message(n, due=[now() + 0.5 + 0.002 * n]) for n in range(500)]
        carrier.send(group, lambda index, outcome: None)
        print(process.view().pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=os.getcwd()
        )
        assert parent.stdout is not None
        child = int(await parent.stdout.readline())
        await until(lambda: len(bench.arrivals()) > 5)

        parent.kill()
        await parent.wait()
        await until(lambda: not Path(f"/proc/{child}").exists() or "Z" in state_of(child), 2.0)
        left = len(bench.arrivals())
        await asyncio.sleep(0.5)

        assert left < 500
        assert len(bench.arrivals()) == left


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


HOSTILE = {
    "nonsense": b"\xff" * 5000,
    "a frame without end": (MOST_BYTES + 1).to_bytes(4, "little"),
    "no frame of ours": (2).to_bytes(4, "little") + b"\x91\x63",
    "a carrier that it has not": (3).to_bytes(4, "little") + b"\x92\x06\x63",
    "an outcome of nothing": (25).to_bytes(4, "little")
    + b"\x95\x03\x91\x93\x63\x00\x81\xa4type\xa8accepted\x91\x01\x91\x00\x00",
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE)
async def test_what_no_carriers_process_says_ends_it_and_harms_nobody(said: bytes, monkeypatch, caplog) -> None:
    true_start = process_module._start

    def hostile(name: str, socket_fd: int, begun_fd: int, locks: tuple[int, ...]):
        program = f"import os, sys, time\nos.write({socket_fd}, bytes.fromhex('{said.hex()}'))\ntime.sleep(60)\n"
        monkeypatch.setattr(process_module, "_start", true_start)
        import subprocess

        return subprocess.Popen([sys.executable, "-c", program], pass_fds=(socket_fd, begun_fd))

    monkeypatch.setattr(process_module, "_start", hostile)
    async with relay(silent=False) as bench, living(bench) as process, running(bench.carrier):
        answered = await outcomes(bench.carrier, messages(bench, process, [now()]))

        assert process.view().lives == 2, "the true one came after it"
        assert isinstance(answered[0][1], Accepted)
    ended = [record for record in caplog.records if getattr(record, "action", "") == "carriers-process-ended"]
    assert len(ended) == 1
    assert "no carriers' process" in ended[0].why


async def test_neither_its_arguments_nor_its_environment_hold_a_secret_and_ps_shows_its_name(monkeypatch) -> None:
    monkeypatch.setenv("SMSC_PASSWORD", "geheim-1")
    async with SmscSink(SmscOptions(password="geheim-2")) as sink:
        bench = SmppBench(sink, password="geheim-2")
        async with living(bench) as process, running(bench.carrier):
            shown = Path(f"/proc/{process.view().pid}")
            words = (shown / "cmdline").read_bytes() + (shown / "environ").read_bytes()
            assert (shown / "comm").read_text().strip() == "tocsin-test"
            assert b"geheim" not in words


async def test_its_log_is_ours(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with SmscSink(SmscOptions()) as sink:
        bench = SmppBench(sink)
        async with living(bench), running(bench.carrier):
            await until(lambda: [r for r in caplog.records if getattr(r, "action", "") == "smpp.bind_up"])

    [first, *_] = [r for r in caplog.records if getattr(r, "action", "") == "smpp.bind_up"]
    assert (first.carrier, first.carriers_process) == ("smsc", "tocsin-test")
    assert first.name == "channels.sms.smpp.carrier"


async def test_a_process_that_cannot_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    true_start = process_module._start
    tries = 0

    def start(*given):
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(11, "Resource temporarily unavailable")
        return true_start(*given)

    monkeypatch.setattr(process_module, "_start", start)
    async with relay(silent=False) as bench, living(bench) as process, running(bench.carrier):
        answered = await outcomes(bench.carrier, messages(bench, process, [now()]))
        assert isinstance(answered[0][1], Accepted)


async def test_what_it_raises_is_in_our_log() -> None:
    process = CarriersProcess("tocsin-test", begun_bytes(10), lambda: 0)
    heard: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(JsonLines().format(record))

    logger = logging.getLogger("channels.test")
    logger.addHandler(Keeping())
    process.take(
        frames.Logged("channels.test", 40, "no", 5.0, {"action": "x", "msg": "y"}, "Traceback ...\nKeyError: 1")
    )

    assert '"exception":"Traceback ...\\nKeyError: 1"' in heard[0]
    assert '"carriers_process":"tocsin-test"' in heard[0]
    assert '"message":"no"' in heard[0]


async def test_settings_that_make_no_carrier_are_refused_before_anything_runs() -> None:
    async with relay(silent=False) as bench:
        process = CarriersProcess("tocsin-test", begun_bytes(10), lambda: 0)
        from channels.catalogue import WrongChannel
        from channels.contract import Channel, Mode

        with pytest.raises(WrongChannel):
            process.add("relay", Channel.SMS, Mode.LIVE, bench.settings, GUARD_S)
