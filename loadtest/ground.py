"""Where trials take place: one folder, one client session, what is told of a long run while it lasts, and the end of
every process when it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from loadtest.stage import RunTerms, Stage, kill
from loadtest.trial import Trial

_STILL_S = 15.0
_SHOWN = 3_000
"""Characters of a log."""


@dataclass(slots=True)
class Ground:
    folder: Path
    session: aiohttp.ClientSession
    tell: Callable[[str], None]
    """Shows one line to whoever waits for a run that takes minutes."""
    processes: int = 0
    """`server.processes` of every gateway."""
    lanes: tuple[str, ...] = ()
    """Channels that scenario (a) floods alone, without anybody at the door; empty: all, and everybody."""
    stages: list[Stage] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    """What the sinks can take, measured once, before the first trial's run."""

    @contextlib.asynccontextmanager
    async def trial(self, terms: RunTerms, *, name: str = "", zones: int = 2) -> AsyncIterator[Trial]:
        """A gateway, its register and its sinks, all new. Whoever leaves ends them; `name` is a folder of its own."""
        stage = Stage(self.folder / name, terms, zones, self.processes)
        self.stages.append(stage)
        async with stage.open():
            trial = Trial(stage, self.session, limits=self.limits)
            yield trial
            self.limits = trial.limits

    @contextlib.asynccontextmanager
    async def telling(self, what: str, every_s: float = _STILL_S) -> AsyncIterator[None]:
        """That this has begun, how long it has lasted as long as it does, and how long it took."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        async def still() -> None:
            while True:
                await asyncio.sleep(every_s)
                self.tell(f"{what}: {loop.time() - began_s:,.0f} s so far")

        self.tell(f"{what} ...")
        task = asyncio.create_task(still(), name="telling")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
        self.tell(f"{what}: took {loop.time() - began_s:,.1f} s")

    def last_words(self) -> dict[str, str]:
        """The end of the logs of the last stage's processes that were not well when they ended."""
        found = {}
        for child in self.stages[-1].children.values() if self.stages else ():
            log = self.stages[-1].folder / f"{child.name}.log"
            if child.process.returncode and log.exists():
                found[child.name] = log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:]
        return found

    def kill(self) -> None:
        """Every process at once: for whoever asks a second time."""
        for stage in self.stages:
            for child in stage.children.values():
                kill(child)
