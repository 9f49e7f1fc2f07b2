"""A sink knows when it stood still, and who reads its dump does not take a backlog for a burst."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.sms.smpp.codec import encode
from channels.sms.smpp.pdu import Bind, SubmitSm
from loadtest import arrivals
from loadtest.sinks import stalls
from loadtest.sinks.stalls import Pulse, Stall
from loadtest.stage import ChildProcess, RunTerms, Stage

MS = 1_000_000
S = 1_000 * MS


def stalls_of(*beats_ms: int) -> list[Stall]:
    pulse = Pulse(0)
    return [stall for at_ms in beats_ms if (stall := pulse.beat(at_ms * MS))]


def test_a_loop_that_turns_has_no_stall() -> None:
    assert stalls_of(5, 10, 16, 22, 32) == []


def test_a_stall_lasts_until_all_that_waited_has_been_read() -> None:
    assert stalls_of(5, 205, 211, 216) == [Stall(5 * MS, 211 * MS)]


def test_stalls_that_follow_one_another_overlap() -> None:
    assert stalls_of(5, 105, 155, 160) == [Stall(5 * MS, 155 * MS), Stall(105 * MS, 160 * MS)]


def test_what_is_read_in_overlapping_stalls_may_have_come_at_the_beginning_of_the_first() -> None:
    stamps = np.asarray([4, 5, 100, 150, 155, 158, 160, 161]) * MS

    found = stalls.earliest(stamps, stalls_of(5, 105, 155, 160))

    assert (found // MS).tolist() == [4, 5, 5, 5, 5, 105, 105, 161]


@given(st.lists(st.integers(1, 60), min_size=2, max_size=40), st.lists(st.integers(0, 2_000), max_size=40))
def test_no_stamp_is_held_for_later_than_it_is_nor_for_earlier_than_the_gap_before_it(
    gaps_ms: list[int], stamps_ms: list[int]
) -> None:
    beats_ms = np.cumsum(gaps_ms).tolist()
    stamps = np.asarray(sorted(stamps_ms), dtype=np.int64) * MS

    found = stalls.earliest(stamps, stalls_of(*beats_ms))

    for stamp, came in zip((stamps // MS).tolist(), (found // MS).tolist(), strict=True):
        before = [beat for beat in [0, *beats_ms] if beat < stamp]
        assert came == stamp or came in before[-2:]


# ---- a real one --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def smsc(folder: Path) -> AsyncIterator[tuple[ChildProcess, asyncio.StreamWriter]]:
    """A sink in a process of its own, and a client that is bound to it."""
    stage = Stage(folder, RunTerms())
    async with stage.open():
        sink = await stage.sink("smsc", "smsc-0", "--dump", str(stage.smsc_dumps[0]), "--receipts", "none")
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(encode(Bind(sequence=1, system_id="client")))
        await reader.read(16)
        swallow = asyncio.create_task(reader.read(-1))
        yield sink, writer
        writer.close()
        await swallow


def submits(count: int) -> bytes:
    one = SubmitSm(sequence=2, source="TOCSIN", destination="32470000000", short_message=b"NR00000000 x")
    return encode(one) * count


def lines(dump: Path) -> int:
    return dump.read_bytes().count(b"\n") if dump.exists() else 0


async def written(sink: ChildProcess, dump: Path, count: int) -> None:
    while lines(dump) < count:
        assert sink.process.returncode is None
        await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_steady_stream_stays_steady_for_who_counts_though_the_sink_was_stopped_in_between(
    tmp_path: Path,
) -> None:
    async with asyncio.timeout(60), smsc(tmp_path) as (sink, writer):
        for turn in range(60):
            if turn == 20:
                os.kill(sink.pid, signal.SIGSTOP)
            if turn == 40:
                os.kill(sink.pid, signal.SIGCONT)
            writer.write(submits(5))
            await asyncio.sleep(0.01)  # never less: at most 5 in any 10 ms
        await written(sink, tmp_path / "smsc-0.jsonl", 300)

    found = arrivals.sms(tmp_path / "smsc-0.jsonl")
    assert found.stood_still_s() > 0.19
    assert found.most_in(0.1) > 65, "the sink read what came in a fifth of a second at once"
    assert found.surely_in(0.1) <= 65


@pytest.mark.slow
async def test_a_burst_is_a_burst_for_who_counts_though_the_sink_was_stopped_meanwhile(tmp_path: Path) -> None:
    async with asyncio.timeout(60), smsc(tmp_path) as (sink, writer):
        os.kill(sink.pid, signal.SIGSTOP)
        writer.write(submits(300))
        await asyncio.sleep(0.1)
        os.kill(sink.pid, signal.SIGCONT)
        await written(sink, tmp_path / "smsc-0.jsonl", 300)  # and the sink is ended at once

    found = arrivals.sms(tmp_path / "smsc-0.jsonl")
    assert found.stood_still_s() > 0.09
    assert found.surely_in(5.0) == 300
