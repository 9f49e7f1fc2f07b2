"""What `make run` shows: the demonstration ends well, its curl lines work as printed, and Ctrl-C leaves nothing."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.world import ROOT, Process, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "demo", "--folder", str(folder), "--port", str(free_port()), *more]


@contextlib.asynccontextmanager
async def running(folder: Path, log: Path) -> AsyncIterator[Process]:
    with log.open("wb") as file:
        handle = await asyncio.create_subprocess_exec(
            *command(folder), cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
            env=os.environ | {"COLUMNS": "100"},
        )  # fmt: skip
    process = Process("demo", handle, log)
    try:
        yield process
    finally:
        await process.end(signal.SIGINT)


async def test_the_demonstration_posts_its_alert_prints_the_report_and_ends_well(tmp_path: Path) -> None:
    handle = await asyncio.create_subprocess_exec(
        *command(tmp_path / "demo", "--once"), cwd=ROOT, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"COLUMNS": "100"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(150):
            said, _ = await handle.communicate()
    finally:
        await Process("demo", handle, tmp_path).end(signal.SIGINT)

    text = said.decode()
    assert handle.returncode == 0, text
    assert "The register: 2 zones, 3 networks, 300 members" in text
    assert re.search(r"POST /cap/v1/alerts answered 202: alert [0-9a-f]{20}", text)
    assert text.count("Persons:") == 2, "a report a zone"
    assert "Traceback" not in text


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_line_that_is_printed_works_as_printed_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    async with running(tmp_path / "demo", tmp_path / "said.txt") as demo:
        await until(lambda: "Ctrl-C stops it" in demo.said() or not demo.running, 150)
        text = demo.said()
        commands = ("curl ", f"{sys.executable} -m gateway ")
        lines = [line.strip() for line in text.splitlines() if line.strip().startswith(commands)]
        assert len(lines) == 8, text

        said = dict(zip(("who", "rows", "report", "watch", "feed", "again", "try", "status"),
                        [await shell(line) for line in lines], strict=True))  # fmt: skip

        assert json.loads(said["who"])["account"] == "cic-demo"
        assert len(json.loads(said["rows"])["deliveries"]) == 3
        assert json.loads(said["report"])["sums_close"]
        assert "event: progress" in said["watch"]
        assert said["feed"].startswith("<?xml")
        posted = json.loads(said["again"])
        assert posted["id"] in text, "the same bytes again are the same alert"
        assert json.loads(said["try"])["action"] == "launch"
        assert "server:" in said["status"]
        children = descendants(demo.pid)
        assert len(children) >= 4, "three sinks and a server"
        demo.handle.send_signal(signal.SIGINT)
        async with asyncio.timeout(40):
            assert await demo.handle.wait() == 0
    assert "Traceback" not in demo.said()
    assert {pid for pid in children if alive(pid)} == set()


async def shell(line: str) -> str:
    """As somebody types it; a stream is watched for some seconds only."""
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", line if " -sN " not in line else f"timeout 3 {line}", cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return said.decode()


def descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
