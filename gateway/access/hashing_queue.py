"""The one place where passwords are hashed: one at a time, by a process of lowest priority, within a share of a core.

A flood of sign-ins must never take the cores from sending: whoever finds the queue full, or waits in it too long, is
told to come back.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.access.hash_budget import HashBudget
from gateway.access.hash_jobs import HashJob, HashOutcome
from gateway.access.hashing_process import HashingDied, HashingProcess
from gateway.errors import Later

log = logging.getLogger(__name__)

MOST_WAITING = 20
LONGEST_WAIT_S = 30.0
_LOOKS_EVERY_S = 0.25
"""Whether messages still leave."""


class Hasher(Protocol):
    async def do(self, job: HashJob) -> HashOutcome: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class HashingQueue:
    is_busy: Callable[[], bool]
    """Whether messages leave just now: the budget holds then. At other times one at a time is limit enough."""
    hasher: Hasher = field(default_factory=HashingProcess)
    budget: HashBudget = field(default_factory=HashBudget)
    most_waiting: int = MOST_WAITING
    longest_wait_s: float = LONGEST_WAIT_S
    waiting: int = field(default=0, init=False)
    done: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    """Told to come back, since the start."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    async def run(self, job: HashJob) -> HashOutcome:
        """What comes of the job. Raises Later where the queue is full or does not move, or nothing can be hashed."""
        self.require_room()
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
            outcome = await self._outcome(job)
            self.budget.spend(time.monotonic(), outcome.cost_s)
            self.done += 1
            return outcome
        finally:
            self._turn.release()

    def require_room(self) -> None:
        """Before anything else is done for whoever could not be served. Raises Later."""
        if self.waiting >= self.most_waiting:
            raise self._later()

    async def close(self) -> None:
        await self.hasher.close()

    async def _outcome(self, job: HashJob) -> HashOutcome:
        try:
            return await self.hasher.do(job)
        except (HashingDied, TimeoutError, OSError) as exc:
            log.exception("nothing can be hashed", extra={"action": "hashing-failed"})
            raise self._later() from exc

    async def _until_allowed(self) -> None:
        until_s = time.monotonic() + self.longest_wait_s
        while self.is_busy() and (wait_s := self.budget.wait_s(time.monotonic())) > 0:
            if time.monotonic() + min(wait_s, _LOOKS_EVERY_S) > until_s:
                raise self._later()
            await asyncio.sleep(min(wait_s, _LOOKS_EVERY_S))

    def _later(self) -> Later:
        self.refused += 1
        wait_s = max(5.0, self.budget.wait_s(time.monotonic()) * self.waiting)
        return Later("sign-in-busy", "Too many people sign in with a password just now.", min(wait_s, 120.0))
