"""How late the event loop is: what holds it holds every alert, answer and slot."""

import asyncio
from dataclasses import dataclass, field

from store.engine.wait_times import WaitTimes

EVERY_S = 0.05


@dataclass(slots=True)
class LoopLag:
    """Asks to be called in 50 ms, again and again, and counts how much later it is called."""

    times: WaitTimes = field(default_factory=WaitTimes)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self.times.note(max(loop.time() - due_s, 0.0))
