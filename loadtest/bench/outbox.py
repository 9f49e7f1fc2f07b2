"""Whole lives of deliveries through the store's steps, without a network: SQLite beside a loop written by hand on the
same tables, and PostgreSQL with one and two workers."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loadtest.bench import postgres
from loadtest.bench.figures import Claim, Failed, Figure, PeerMissing, ratio
from loadtest.bench.ground import BenchGround
from loadtest.bench.processes import answer, asked, start
from loadtest.bench.queue import BATCH, delivered, fill
from loadtest.stage import RunTerms, Stage
from store.engine.database import open_database

TITLE = "outbox: claim, fence, settle, receipt; outcomes made up, no network"
_LEAD_S = 2.5
"""Until every worker has opened its store."""
_MODULE = "loadtest.bench.outbox_steps"


async def measure(ground: BenchGround) -> list[Figure]:
    deliveries = 5_000 if ground.quick else 60_000
    folder = ground.folder / "outbox"
    folder.mkdir(exist_ok=True)
    stage = Stage(folder, RunTerms())
    async with stage.open():
        await fill(_url(folder / "filled.db"), deliveries)
        hand = _rated("a loop by hand", await _by_hand(stage), deliveries)
        ours = _rated("SQLite", await _sqlite(stage), deliveries)
        servers = await _postgres(stage, deliveries)
    return _lines(ours, hand, servers, deliveries)


def _lines(ours: Figure, hand: Figure, servers: Sequence[Figure], deliveries: int) -> list[Figure]:
    assert ours.value is not None
    settings = f"{deliveries:,} deliveries, batches of {BATCH}, every step a commit, WAL, synchronous=FULL"
    lines = [
        Figure(
            what="store on SQLite",
            value=ours.value,
            unit="lives/s",
            claims=ratio(ours.value, hand, "x the loop by hand", 0.6),
            settings=f"{settings}; 4 batches under way; {ours.settings}",
        ),
        Figure(
            what="sqlite3 by hand",
            value=hand.value,
            unit="lives/s",
            settings=f"{settings}; the same tables, executemany, one thing after the other; {hand.settings}",
        ),
    ]
    for server in servers:
        goal = 2.0 if server.what.endswith("2 workers") else None
        claims = (Claim("x SQLite", server.value / ours.value, goal),) if server.value else ()
        lines.append(
            Figure(
                what=server.what, value=server.value, unit="lives/s", claims=claims, settings=server.settings,
                skipped=server.skipped,
            )
        )  # fmt: skip
    return lines


def _rated(what: str, workers: Sequence[dict[str, float]], deliveries: int, settings: str = "") -> Figure:
    """Raises Failed when lives are missing."""
    lives = sum(int(worker["lives"]) for worker in workers)
    if lives != deliveries:
        raise Failed(f"{what}: {lives} lives of {deliveries}")
    took_s = max(w["end_s"] for w in workers) - min(w["start_s"] for w in workers)
    cpu_us = sum(w["cpu_us"] * w["lives"] for w in workers) / lives
    told = f"{cpu_us:.0f} us of CPU each"
    return Figure(what=what, value=lives / took_s, unit="lives/s", settings=f"{settings}, {told}" if settings else told)


def _url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


async def _copy(stage: Stage, name: str) -> Path:
    file = stage.folder / name
    await asyncio.to_thread(shutil.copy, stage.folder / "filled.db", file)
    return file


async def _by_hand(stage: Stage) -> list[dict[str, float]]:
    file = await _copy(stage, "hand.db")
    said = await asked(stage, "byhand", sys.executable, "-m", "loadtest.bench.outbox_byhand", "--file", str(file))
    await _verify(_url(file), int(said["lives"]))
    return [said]


async def _sqlite(stage: Stage) -> list[dict[str, float]]:
    file = await _copy(stage, "ours.db")
    said = await asked(stage, "lives", sys.executable, "-m", _MODULE, "--store", _url(file))
    await _verify(_url(file), int(said["lives"]))
    return [said]


async def _verify(url: str, lives: int) -> None:
    """Raises Failed when the counters of the store say otherwise."""
    async with open_database(url) as database:
        counted = await delivered(database)
    if counted != lives:
        raise Failed(f"{lives} lives, but the store counts {counted}")


async def _postgres(stage: Stage, deliveries: int) -> list[Figure]:
    names = {1: "store on PostgreSQL, 1 worker", 2: "store on PostgreSQL, 2 workers"}
    try:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(postgres.running(stage))
            await fill(await postgres.new_database(server, "filled"), deliveries)
            lines = []
            for workers, what in names.items():
                url = await postgres.new_database(server, f"w{workers}", template="filled")
                said = await _workers(stage, url, workers)
                await _verify(url, deliveries)
                settings = f"{postgres.SETTINGS}; {workers} process(es) with 4 batches under way each"
                lines.append(_rated(what, said, deliveries, settings))
            return lines
    except PeerMissing as exc:
        return [Figure(what=what, skipped=str(exc)) for what in names.values()]


async def _workers(stage: Stage, url: str, workers: int) -> list[dict[str, float]]:
    at_s = time.time() + _LEAD_S
    children = [
        await start(
            stage, f"lives-{n}", sys.executable, "-m", _MODULE, "--store", url, "--node", f"n{n}", "--at", str(at_s),
            piped=True,
        )
        for n in range(workers)
    ]  # fmt: skip
    return [await answer(child, stage.folder / f"{child.name}.log", 120.0) for child in children]
