"""Put a gateway under load, in processes of its own, and judge it by what its sinks saw.

    python -m loadtest.run --scenario a --seconds 60 --json figures.json --svg rates.svg

Exit code 0 when every promise held, 1 when one did not, 2 when the run itself failed. Everything is on 127.0.0.1;
Ctrl-C ends all that was started.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest import verdict
from loadtest.door import DoorRefused
from loadtest.ground import Ground
from loadtest.machine import described
from loadtest.outcome import RunOutcome, Scenario, Sheet
from loadtest.picture import draw
from loadtest.scenarios.catalogue import SCENARIOS
from loadtest.stage import StageFailed

_AT_MOST_S = 3600.0
"""Beside its seconds, the longest that any run may take."""
_WHOLE = 0.95
"""What is more than this of a core is one: the kernel's own work takes the rest."""
_WIDTH = 140
"""Columns where nobody says how many there are: in a log."""
_MOST_SECONDS, _MOST_SIZE = 7_200, 2_000_000
_CLIENT_TIMEOUT = aiohttp.ClientTimeout(total=300)


def main(arguments: list[str] | None = None) -> int:
    return asyncio.run(_interruptible(_arguments(arguments)))


async def _interruptible(options: argparse.Namespace) -> int:
    """Ctrl-C and SIGTERM cancel the run, which ends its processes on the way out; a second one ends them at once."""
    loop = asyncio.get_running_loop()
    async with _folder(options.folder) as folder, aiohttp.ClientSession(timeout=_CLIENT_TIMEOUT) as session:
        ground = Ground(folder, session, _tell, options.processes, tuple(options.lanes.split()))
        run = asyncio.ensure_future(_run(options, ground))
        asked = False

        def stop() -> None:
            nonlocal asked
            if asked:
                ground.kill()
            else:
                asked = True
                run.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            return await run
        except asyncio.CancelledError:
            Console(stderr=True).print("\nloadtest: stopped")
            return 2
        except (StageFailed, DoorRefused, aiohttp.ClientError, TimeoutError) as exc:
            _tell_failure(exc, await asyncio.to_thread(ground.last_words))
            return 2


def _tell(words: str) -> None:
    """Beside the table: its lines come one by one while a run lasts."""
    Console(stderr=True).print(f"loadtest: {words}", highlight=False, markup=False, soft_wrap=True)


def _tell_failure(exc: Exception, last_words: dict[str, str]) -> None:
    """The run itself failed; its folder is about to go, so what its processes said last is told here."""
    err = Console(stderr=True)
    err.print(f"[red]loadtest:[/red] {escape(str(exc) or type(exc).__name__)}", highlight=False)
    for name, words in last_words.items():
        err.print(f"--- the end of {name}.log\n{words}", highlight=False, markup=False)


async def _run(options: argparse.Namespace, ground: Ground) -> int:
    scenario = SCENARIOS[options.scenario]
    seconds = options.seconds or scenario.seconds
    out = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    lasting = f", {seconds} s" if seconds else ""
    out.print(f"Scenario ({scenario.name}): {scenario.title}{lasting}, on {described()}", highlight=False)
    async with asyncio.timeout(seconds + _AT_MOST_S):
        outcome = await scenario.run(ground, seconds, options.size)
    floors = options.floors == "judged" and not options.lanes
    _show(out, scenario, outcome, floors=floors)
    await asyncio.to_thread(_keep, options, scenario, seconds, outcome)
    return 0 if verdict.holds(outcome.lines, floors=floors) else 1


@contextlib.asynccontextmanager
async def _folder(wanted: Path | None) -> AsyncIterator[Path]:
    """A temporary one that is removed, unless one was named."""
    if wanted is not None:
        yield wanted
        return
    made = Path(tempfile.mkdtemp(prefix="tocsin-load-"))
    try:
        yield made
    finally:
        await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)


def _show(out: Console, scenario: Scenario, outcome: RunOutcome, *, floors: bool) -> None:
    table = Table(title=f"({scenario.name}) {scenario.title}", title_justify="left")
    for column in ("", "measured", "promised", ""):
        table.add_column(column, justify="left" if not column else "right")
    for line in outcome.lines:
        mark = verdict.mark(line, floors=floors)
        table.add_row(line.what, line.measured, line.wanted, f"[red]{mark}[/red]" if mark == "MISSED" else mark)
    out.print(table)
    if any(line.speed and line.holds is False for line in outcome.lines):
        of = "a whole core" if outcome.given > _WHOLE else f"{100 * outcome.given:.0f} % of a core"
        out.print(f"Speeds were missed on a machine that had {of} for the gateway.", highlight=False)
    for sheet in outcome.sheets:
        out.print(_sheet_table(sheet))
    if outcome.times:
        out.print(_times_table(outcome))
    for example in outcome.findings.examples:
        out.print(f"  {example}", highlight=False, markup=False)


def _sheet_table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left")
    for n, column in enumerate(sheet.columns):
        table.add_column(column, justify="right" if n else "left")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def _times_table(outcome: RunOutcome) -> Table:
    table = Table(title="requests, milliseconds as the clients saw them", title_justify="left")
    for column in ("request", "count", "failed", "p50", "p99", "worst"):
        table.add_column(column, justify="left" if column == "request" else "right")
    for t in outcome.times:
        table.add_row(t.name, f"{t.requests:,}", str(t.failed), f"{t.p50_ms}", f"{t.p99_ms}", f"{t.worst_ms}")
    return table


def _keep(options: argparse.Namespace, scenario: Scenario, seconds: int, outcome: RunOutcome) -> None:
    if options.json:
        document = {
            "scenario": scenario.name,
            "title": scenario.title,
            "seconds": seconds,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": described(),
            "floors": options.floors,
            "holds": verdict.holds(outcome.lines, floors=options.floors == "judged"),
            "lines": outcome.lines,
            "sheets": outcome.sheets,
            "times": outcome.times,
            "facts": outcome.facts,
            "findings": outcome.findings,
            "curves": outcome.curves,
        }
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    if options.svg:
        drawing = outcome.drawing or draw(f"({scenario.name}) {scenario.title}", outcome.curves)
        options.svg.write_text(drawing, encoding="utf-8")


def _arguments(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m loadtest.run", description="The gateway under load.")
    sizes = "; ".join(f"{s.name}: {s.size}" for s in SCENARIOS.values())
    letters = "; ".join(f"{s.name}: {s.title}" for s in SCENARIOS.values())
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="a", help=letters)
    parser.add_argument("--seconds", type=int, default=0, help="how long it is measured; by default the scenario's")
    parser.add_argument("--size", type=int, default=0, help=f"{sizes}; by default the scenario's")
    parser.add_argument(
        "--floors",
        choices=("judged", "told"),
        default="judged",
        help="told: what depends on the machine's speed is shown and does not fail the run; ceilings and accounts do",
    )
    parser.add_argument(
        "--processes", type=int, choices=(0, 1), default=0, help="1: the gateway has its carriers in its own process"
    )
    parser.add_argument(
        "--lanes", default="", help="a: only these ('sms email'), without anybody at the door; what is promised is told"
    )
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--svg", type=Path, help="write a picture of the rates over time there")
    parser.add_argument("--folder", type=Path, help="keep settings, logs, dumps and store there")
    options = parser.parse_args(arguments)
    if not 0 <= options.seconds <= _MOST_SECONDS or not 0 <= options.size <= _MOST_SIZE:
        parser.error(f"at most {_MOST_SECONDS:,} seconds and {_MOST_SIZE:,} members")
    return options


if __name__ == "__main__":
    sys.exit(main())
