"""`python -m loadtest.bench` as its user sees it: rows by name, a file of figures, nothing left behind at Ctrl-C."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadtest.bench import kannel, sms
from loadtest.bench.__main__ import measured
from loadtest.bench.figures import Failed, Figure, PeerMissing, Section
from loadtest.bench.ground import BenchGround
from loadtest.bench.rows import ROWS, BenchRow
from loadtest.stage import RunTerms, Stage


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "loadtest.bench", *arguments]


def settings(tmp_path: Path, **more: str) -> dict[str, Any]:
    """Its temporary folders lie where the test can look into them."""
    return {"env": os.environ | {"TMPDIR": str(tmp_path)} | more, "text": True}


def processes_in(folder: Path) -> Iterator[str]:
    """Command lines that name the folder."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in said and "pytest" not in said.split(str(folder))[0]:
            yield said


def test_an_unknown_row_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--only", "sms,fax"), capture_output=True, timeout=60, check=False, **settings(tmp_path)
    )
    assert done.returncode == 2
    assert "no such row: fax" in done.stderr
    assert all(name in done.stderr for name in ROWS)


@pytest.mark.parametrize("delay", ["-1", "31", "nan", "soon"])
def test_a_delay_of_receipts_that_no_run_would_wait_for_is_refused(tmp_path: Path, delay: str) -> None:
    arguments = command("--only", "sms", f"--receipt-delay-s={delay}")
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=False, **settings(tmp_path))
    assert done.returncode == 2
    assert "--receipt-delay-s" in done.stderr


def test_the_delay_of_receipts_is_the_sinks_and_told_with_the_figures() -> None:
    assert sms.terms(0.25).smsc_flags == (("--receipt-delay-s", "0.25"),)
    assert sms.receipts_come(0.25) == "receipts 0.25 s after their answers, which is in the time"
    assert sms.receipts_come(0.0) == "receipts at once"


@pytest.mark.slow
def test_a_row_comes_with_its_figures_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = command("--only", "cap", "--quick", "--json", str(file))
    done = subprocess.run(arguments, capture_output=True, timeout=110, check=False, **settings(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "capvalidator" in done.stdout
    figures = json.loads(file.read_text())
    assert figures["quick"] is True
    (row,) = figures["rows"]
    assert row["name"] == "cap"
    assert all(line["value"] > 0 for line in row["lines"])
    assert [path for path in tmp_path.iterdir() if path != file] == []


@pytest.mark.slow
def test_ctrl_c_ends_what_was_started_and_leaves_no_folder(tmp_path: Path) -> None:
    bench = subprocess.Popen(
        command("--only", "voice", "--quick"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings(tmp_path)
    )
    try:
        deadline = time.monotonic() + 60
        while not any("gateway serve" in line for line in processes_in(tmp_path)):
            assert time.monotonic() < deadline, "the gateway comes up"
            assert bench.poll() is None, bench.communicate()
            time.sleep(0.1)
        bench.send_signal(signal.SIGINT)
        _, said = bench.communicate(timeout=60)
    finally:
        bench.kill()
        bench.wait()
    assert bench.returncode == 2
    assert "stopped" in said
    assert list(processes_in(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


async def section(tmp_path: Path, measure: Callable[[BenchGround], Awaitable[list[Figure]]]) -> Section:
    async with aiohttp.ClientSession() as session:
        return await measured("email", BenchRow("e-mail", measure, 0.2), BenchGround(tmp_path, session, quick=True))


async def test_a_row_whose_peer_is_not_there_is_a_line_that_says_so(tmp_path: Path) -> None:
    async def measure(_: BenchGround) -> list[Figure]:
        raise PeerMissing("Postfix is not installed")

    found = await section(tmp_path, measure)
    assert [line.skipped for line in found.lines] == ["Postfix is not installed"]
    assert not found.failed


async def test_a_row_that_breaks_off_says_why_and_one_that_hangs_is_broken_off(tmp_path: Path) -> None:
    async def broken(_: BenchGround) -> list[Figure]:
        raise Failed("40 mails, but the sink has 39")

    async def hanging(_: BenchGround) -> list[Figure]:
        await asyncio.Event().wait()
        return []

    assert (await section(tmp_path, broken)).failed == "40 mails, but the sink has 39"
    assert "more than 0" in (await section(tmp_path, hanging)).failed


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("receipts", [False, True])
async def test_kannel_brings_every_message_to_the_sink_once(tmp_path: Path, receipts: bool) -> None:
    if not shutil.which("bearerbox", path="/usr/sbin:/usr/bin"):
        pytest.skip("Kannel is not installed: 'make bench' installs it")
    stage = Stage(tmp_path, RunTerms())
    async with stage.open():
        dump = stage.smsc_dumps[0]
        sink = await stage.sink("smsc", "smsc-0", "--dump", str(dump))
        async with kannel.running(stage, sink.port) as peer:
            sent = await peer.send(200, receipts=receipts)
        run = sms.read_run(dump, kannel.MARK, 200, sent.done_s, sent.cpu_s)
    assert run.messages == 200
    assert 0 < run.lives_per_s <= run.submits_per_s
