"""`tocsin load`: into which store, from which file, and how far it is: a bar on a terminal, else a line now and then.

What a line of the file means and how it is written is gateway/directory/seed.py's.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gateway.directory.seed import LoadReport
from gateway.directory.seed_lines import SeedReader
from store import audit
from store.audit_line import Actor
from store.engine import schema
from store.engine.database import Database, open_database
from store.engine.location import file_of
from store.engine.storable_text import readable
from store.engine.transaction import Transaction

EVERY_S = 10.0
"""Between two lines where there is no terminal."""


@dataclass(slots=True)
class LoadProgress:
    """A context manager; `tell` is called as often as one likes."""

    console: Console
    read_bytes: Callable[[], int]
    """How much of the file has been read."""
    total_bytes: int | None
    """None: not known, as of standard input."""
    now_s: Callable[[], float] = time.monotonic
    _bar: Progress | None = None
    _said_s: float = field(default=0.0)
    _began_s: float = field(default=0.0)

    def __enter__(self) -> "LoadProgress":
        self._began_s = self._said_s = self.now_s()
        if self.console.is_terminal:
            known = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) if self.total_bytes else ()
            text = TextColumn("{task.description}")
            self._bar = Progress(text, *known, TimeElapsedColumn(), console=self.console, transient=True)
            self._bar.add_task("loading", total=self.total_bytes)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, lines: int) -> None:
        """`lines`: how many are in the store so far."""
        now_s = self.now_s()
        text = f"{lines:,} lines, {lines / max(now_s - self._began_s, 0.001):,.0f} a second"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=text, completed=self.read_bytes())
        elif now_s - self._said_s >= EVERY_S:
            self._said_s = now_s
            share = f", {100 * self.read_bytes() / self.total_bytes:.0f} % of the file" if self.total_bytes else ""
            self.console.print(f"{text}{share}", highlight=False, soft_wrap=True)


@contextlib.asynccontextmanager
async def store(url: str, check_only: bool) -> AsyncIterator[Database]:
    """The store to load into, its tables made where it is a file. To check against, where there is none yet: an empty
    one that leaves no trace. Raises StoreError."""
    with tempfile.TemporaryDirectory() as folder:
        if check_only and await schema.current(url) is None:
            url = f"sqlite+aiosqlite:///{folder}/empty.db"
            await schema.migrate(url)
        elif not check_only and file_of(url):
            await schema.migrate(url)
        await schema.require_newest(url)
        async with open_database(url) as database:
            yield database


@contextlib.contextmanager
def lines_of(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    with file.open("rb") as stream:
        yield stream


def progress_of(file: Path, lines: IO[bytes], console: Console) -> LoadProgress:
    if str(file) == "-":
        return LoadProgress(console, lambda: 0, None)
    return LoadProgress(console, lines.tell, file.stat().st_size)


def tell(report: LoadReport | SeedReader, out: Console, err: Console) -> None:
    """What became of a file, or that it is sound."""
    for remark in report.remarks:
        text = f"[yellow]line {remark.line}: {escape(remark.path)}:[/yellow] {escape(remark.text)}"
        err.print(text, highlight=False, soft_wrap=True)
    if report.unusable_count:
        err.print(f"[yellow]{report.unusable_count} contacts cannot be used and are left out:[/yellow]")
        for unusable in report.unusable:
            text = f"  line {unusable.line}: {unusable.path}: {unusable.reason} [{unusable.who}: {unusable.value!r}]"
            err.print(escape(text), highlight=False, soft_wrap=True)
        if report.unusable_count > len(report.unusable):
            err.print(f"  and {report.unusable_count - len(report.unusable)} more")
    if isinstance(report, SeedReader):
        out.print("The file is sound.")
        return
    for kind, tally in report.tallies.items():
        erased = f", {tally.erased} left out: they were erased" if tally.erased else ""
        text = f"{kind}: {tally.new} new, {tally.changed} changed, {tally.unchanged} unchanged{erased}"
        out.print(text, highlight=False)


async def note_begin(tx: Transaction, file: Path, by: Actor) -> None:
    """A line of the audit before anything is changed: a load that breaks off has one, too."""
    await audit.note(tx, "load-begin", "register", by, apart=_named(file))


async def note(tx: Transaction, file: Path, report: LoadReport, by: Actor) -> None:
    """Lines of the audit: what came of a file, and which zones have other people in their register since."""
    counts = {kind: [t.new, t.changed, t.unchanged] for kind, t in report.tallies.items()}
    await audit.note(tx, "load", "register", by, detail={"lines": report.lines, **counts}, apart=_named(file))
    for zone_id, tally in sorted(report.members.items()):
        if tally.new or tally.changed:
            detail = {"member": [tally.new, tally.changed, tally.unchanged]}
            await audit.note(tx, "load", f"zone {zone_id}", by, zone_id=zone_id, detail=detail, apart=_named(file))


def _named(file: Path) -> dict[str, str]:
    return {"file": "standard input" if str(file) == "-" else readable(file.name)}
