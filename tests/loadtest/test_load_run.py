"""The load test itself, for real: a gateway, its sinks, Locust's users, one short run; and its end by Ctrl-C.

What the machine is worth is not judged here, only that everybody is accounted for and nothing is left behind.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def load_run(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """In a session of its own, with its temporary files under `folder`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.run", *arguments,
        cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)}, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.communicate()


def processes_of(folder: Path) -> set[str]:
    """Command lines of whatever the run has started: all of it has the run's environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ, command = ((entry / name).read_bytes() for name in ("environ", "cmdline"))
            except OSError:
                continue
            if f"TMPDIR={folder}".encode() in environ.split(b"\0"):
                found.add(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def left_behind(folder: Path) -> list[Path]:
    return list(folder.glob("tocsin-load-*"))


def line_of(figures: dict[str, Any], what: str) -> dict[str, Any]:
    (found,) = [line for line in figures["lines"] if line["what"] == what]
    return dict(found)


@pytest.mark.slow
async def test_a_short_run_of_all_lanes_accounts_for_everybody(tmp_path: Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "rates.svg"
    arguments = ("--scenario", "a", "--seconds", "10", "--size", "2000", "--floors", "told")
    async with asyncio.timeout(110):
        async with load_run(tmp_path, *arguments, "--json", str(figures), "--svg", str(picture)) as process:
            said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()[-6000:]
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert found["findings"]["deliveries"] > 2_000
    assert line_of(found, "unaccounted")["measured"] == "0"
    states = found["findings"]["states"]
    assert states["sms delivered"] > 0
    assert states["email accepted"] > 0
    assert any(states.get(f"voice {state}", 0) for state in ("delivered", "accepted", "failed"))
    asked = {times["name"] for times in found["times"] if times["requests"]}
    assert {"post: Alert", "feed: 304", "alert of the feed: 304", "stream: first snapshot"} <= asked
    assert ElementTree.fromstring(picture.read_text(encoding="utf-8")).tag.endswith("svg")
    assert not left_behind(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGTERM, "gateway load"), (signal.SIGINT, "locustfile")],
    ids=["while the register is loaded", "in the middle of the run"],
)
async def test_a_run_that_is_interrupted_leaves_no_process_and_no_folder(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    async with asyncio.timeout(100):
        async with load_run(tmp_path, "--scenario", "a", "--seconds", "15", "--size", "5000") as process:
            while not any(moment in command for command in processes_of(tmp_path)):
                assert process.returncode is None, (await process.communicate())[0].decode()
                await asyncio.sleep(0.1)
            process.send_signal(number)
            said, _ = await process.communicate()

    assert process.returncode == 2
    assert b"stopped" in said
    assert processes_of(tmp_path) == set()
    assert not left_behind(tmp_path)
