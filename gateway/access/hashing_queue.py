"""The one place where passwords are hashed: one thread of the lowest priority, a short queue, a share of a core.

A flood of sign-ins must never take the cores from sending: whoever finds the queue full, or waits in it too long, is
told to come back.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.access.hash_budget import HashBudget
from gateway.errors import Later

T = TypeVar("T")
MOST_WAITING = 20
LONGEST_WAIT_S = 30.0
_LOOKS_EVERY_S = 0.25
"""Whether messages still leave."""
_LOWEST = 19


def _begin_thread() -> None:
    with contextlib.suppress(OSError, AttributeError):
        # Linux gives each thread its own; elsewhere it is the budget alone that holds.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


@dataclass(slots=True)
class HashingQueue:
    is_busy: Callable[[], bool]
    """Whether messages leave just now: the budget holds then. At other times one thread is limit enough."""
    budget: HashBudget = field(default_factory=HashBudget)
    most_waiting: int = MOST_WAITING
    longest_wait_s: float = LONGEST_WAIT_S
    waiting: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    """Told to come back, since the start."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "hashing", _begin_thread), init=False, repr=False
    )

    async def run(self, work: Callable[[], T]) -> T:
        """What the work returns. Raises Later where the queue is full or does not move, and what the work raises."""
        if self.waiting >= self.most_waiting:
            raise self._later()
        self.waiting += 1
        try:
            async with asyncio.timeout(self.longest_wait_s):
                await self._turn.acquire()
        except TimeoutError as exc:
            raise self._later() from exc
        finally:
            self.waiting -= 1
        try:
            await self._until_allowed()
            return await self._done(work)
        finally:
            self._turn.release()

    async def _until_allowed(self) -> None:
        until_s = time.monotonic() + self.longest_wait_s
        while self.is_busy() and (wait_s := self.budget.wait_s(time.monotonic())) > 0:
            if time.monotonic() + min(wait_s, _LOOKS_EVERY_S) > until_s:
                raise self._later()
            await asyncio.sleep(min(wait_s, _LOOKS_EVERY_S))

    async def _done(self, work: Callable[[], T]) -> T:
        def timed() -> T:
            began_s = time.thread_time()
            try:
                return work()
            finally:
                self.budget.spend(time.monotonic(), time.thread_time() - began_s)

        return await asyncio.get_running_loop().run_in_executor(self._thread, timed)

    def _later(self) -> Later:
        self.refused += 1
        wait_s = max(5.0, self.budget.wait_s(time.monotonic()) * self.waiting)
        return Later("sign-in-busy", "Too many people sign in with a password just now.", min(wait_s, 120.0))
