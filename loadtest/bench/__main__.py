"""The bench: run the rows asked for, print one table, write one file.

    python -m loadtest.bench [--only sms,email] [--quick] [--json FILE]

Exit code 0 when every row was measured or skipped with a reason, 1 when one broke off, 2 when it was stopped.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import uvloop
from rich.console import Console

from loadtest.bench.figures import Failed, Figure, PeerMissing, Section
from loadtest.bench.ground import BenchGround
from loadtest.bench.report import show
from loadtest.bench.rows import ROWS, BenchRow
from loadtest.door import DoorRefused
from loadtest.machine import Others, described
from loadtest.stage import StageFailed

_BROKEN = (Failed, StageFailed, DoorRefused, OSError, TimeoutError, aiohttp.ClientError)
"""What may happen to a row; anything else is a fault of the bench itself and told with its traceback."""
_WIDTH = 132
_MOST_DELAY_S = 30.0
"""Beside what a run takes, far within the patience with it."""


def main(arguments: list[str] | None = None) -> int:
    return uvloop.run(_interruptible(_arguments(arguments)))


async def _interruptible(options: argparse.Namespace) -> int:
    """Ctrl-C and SIGTERM cancel the run, which ends its processes on the way out."""
    loop = asyncio.get_running_loop()
    run = asyncio.ensure_future(_run(options))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.cancel)
    try:
        return await run
    except asyncio.CancelledError:
        Console(stderr=True).print("\nbench: stopped")
        return 2


async def _run(options: argparse.Namespace) -> int:
    out, err = _console(), Console(stderr=True)
    started_s = time.monotonic()
    sections: list[Section] = []
    async with _folder() as folder, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        ground = BenchGround(folder, session, options.quick, options.receipt_delay_s)
        for name in options.only:
            err.print(f"bench: {name} ...", highlight=False)
            sections.append(await measured(name, ROWS[name], ground))
    took_s = time.monotonic() - started_s
    heading = f"{'A quick look, not a measurement: ' if options.quick else ''}{described()}, {took_s:.0f} s in all"
    show(out, heading, sections)
    if options.json:
        document = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": described(),
            "quick": options.quick,
            "receipt_delay_s": options.receipt_delay_s,
            "took_s": took_s,
            "rows": sections,
        }
        await asyncio.to_thread(options.json.write_bytes, msgspec.json.format(msgspec.json.encode(document)))
    return 1 if any(section.failed for section in sections) else 0


def _console() -> Console:
    """Wide enough for the table where nobody says how wide it may be."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


async def measured(name: str, row: BenchRow, ground: BenchGround) -> Section:
    """What a row found, or why it did not."""
    started_s, others, failed = time.monotonic(), Others(), ""
    lines: list[Figure] = []
    try:
        async with asyncio.timeout(row.at_most_s):
            lines = await row.measure(ground)
    except PeerMissing as exc:
        lines = [Figure(what="all of it", skipped=str(exc))]
    except _BROKEN as exc:
        failed = str(exc) or f"something did not answer, or it took more than {row.at_most_s:.0f} s"
    except Exception as exc:
        # The other rows are worth having all the same.
        traceback.print_exc()
        failed = f"{type(exc).__name__}: {exc}"
    took_s = time.monotonic() - started_s
    return Section(
        name=name, title=row.title, lines=tuple(lines), took_s=took_s, others_cores=others.cores(), failed=failed
    )


@contextlib.asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    try:
        yield made
    finally:
        await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description="The gateway beside its peers.")
    parser.add_argument("--only", type=_names, default=list(ROWS), metavar="ROW,ROW", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--receipt-delay-s", type=_seconds, default=0.0, metavar="SECONDS",
        help=f"row sms: how long after its answer each receipt comes, 0 to {_MOST_DELAY_S:g}; by default at once",
    )  # fmt: skip
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= _MOST_DELAY_S:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {_MOST_DELAY_S:g}")
    return seconds


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
