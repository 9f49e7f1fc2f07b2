"""What the rows stand on: one register that is loaded once, and a real gateway process on a fresh copy of it."""

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from loadtest.bench.figures import Failed
from loadtest.documents import new_mark
from loadtest.door import GatewayDoor
from loadtest.population import zone_code
from loadtest.stage import ChildProcess, RunTerms, Stage, end

PER_NETWORK = 300
ZONE = zone_code(0)
_READY_S = 60.0
_LOOK_S = 0.1


@dataclass(slots=True)
class GatewayProcess:
    """A server process under measurement."""

    child: ChildProcess
    stage: Stage
    operator: GatewayDoor
    officer: GatewayDoor
    draw: random.Random

    async def launch(self, channels: list[str], targets: dict[str, Any] | None = None) -> tuple[str, str, int]:
        """A message of kind news to the zone, or to `targets`: (public id, the mark in its words, units)."""
        mark = new_mark(self.draw)
        answer = await self.officer.launch(ZONE, f"{mark} Wegenwerken", channels, targets or {"whole_zone": True})
        return answer["campaign"], mark, sum(int(c["units"]) for c in answer["preview"]["channels"])

    async def until(self, campaign: str, channel: str, states: tuple[str, ...], timeout_s: float) -> dict[str, Any]:
        """The channel's counters once all its deliveries are in these states. Raises Failed."""
        deadline = time.monotonic() + timeout_s
        counts: dict[str, Any] = {}
        while time.monotonic() < deadline:
            page = await self.operator.get(f"/api/v1/campaigns/{campaign}")
            counts = next(c for c in page["progress"]["channels"] if c["channel"] == channel)
            if counts["total"] and sum(counts[state] for state in states) == counts["total"]:
                return counts
            await asyncio.sleep(_LOOK_S)
        raise Failed(f"after {timeout_s:.0f} s the {channel} campaign stands at {counts}")


@dataclass(slots=True)
class BenchGround:
    folder: Path
    session: aiohttp.ClientSession
    quick: bool
    receipt_delay_s: float = 0.0
    """How long after its answer the SMSC of the SMS row sends each receipt."""
    draw: random.Random = field(default_factory=lambda: random.Random(11))
    _stage: Stage | None = None

    @property
    def members(self) -> int:
        return 3_000 if self.quick else 60_000

    @contextlib.asynccontextmanager
    async def stage(self, terms: RunTerms) -> AsyncIterator[Stage]:
        """A fresh copy of the register, both sinks and no gateway yet. Everything of it ends on the way out."""
        stage = await self._loaded()
        stage.terms = terms
        await asyncio.to_thread(_copy, self.folder / "register", self.folder)
        async with stage.open():
            await stage.sinks()
            yield stage
        stage.children.clear()

    @contextlib.asynccontextmanager
    async def gateway(self, stage: Stage) -> AsyncIterator[GatewayProcess]:
        """A server that is ready, all its carriers up."""
        stage.write_settings()
        child = await stage.server()
        try:
            gateway = GatewayProcess(
                child, stage, self._door(stage, "operator"), self._door(stage, f"officer-{ZONE}"), self.draw
            )
            if not await gateway.operator.until_ready(_READY_S):
                raise Failed(f"the gateway did not come up: see {stage.folder}/gateway.log")
            yield gateway
        finally:
            await end(child)

    def _door(self, stage: Stage, account: str) -> GatewayDoor:
        return GatewayDoor(self.session, stage.url, stage.token(account))

    def cic(self, stage: Stage) -> GatewayDoor:
        return self._door(stage, "cic-demo")

    async def _loaded(self) -> Stage:
        """One zone; loaded with the gateway's own command at the first call."""
        if self._stage is None:
            stage = Stage(self.folder, RunTerms(), zones=1)
            async with stage.open():
                stage.write_settings()
                await stage.populate(self.members, self.members // PER_NETWORK)
            stage.children.clear()
            await asyncio.to_thread(_copy, self.folder, self.folder / "register")
            self._stage = stage
        return self._stage


def _copy(source: Path, target: Path) -> None:
    """The store's file and nothing that an earlier run left beside it."""
    target.mkdir(exist_ok=True)
    for beside in target.glob("tocsin.db*"):
        beside.unlink()
    for file in source.glob("tocsin.db*"):
        shutil.copy(file, target / file.name)
