"""Turns: how much is worked on at once, and how much of it for one account, so that none stands before all others.

Alerts share theirs (`Shared`). Work that nobody's safety waits for, dry runs and messages that are no alerts, has few
of its own (`Turns`), so that threads and processors are left for alerts.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from gateway.errors import Refusal

WAIT_S = 20.0
"""Longer waits nobody: the work is refused."""


@dataclass(slots=True)
class Shared:
    """Turns that everybody waits for in the order of coming, of which one account never has all: behind a thousand
    alerts of one account the first of another has its turn at once."""

    at_once: int = 4
    per_account: int = 3
    _free: asyncio.Semaphore = field(init=False)
    _own: dict[int, asyncio.Semaphore] = field(default_factory=dict)
    _of: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.at_once)

    @contextlib.asynccontextmanager
    async def of(self, account_id: int) -> AsyncIterator[None]:
        own = self._own.setdefault(account_id, asyncio.Semaphore(self.per_account))
        self._of[account_id] += 1
        try:
            async with own, self._free:
                yield
        finally:
            self._of[account_id] -= 1
            if not self._of[account_id]:
                del self._of[account_id], self._own[account_id]


@dataclass(slots=True)
class Turns:
    at_once: int = 2
    """Worked on at the same time; less than there are threads."""
    per_account: int = 8
    """Of one account, worked on or waiting."""
    wait_s: float = WAIT_S
    _of: Counter[int] = field(default_factory=Counter)
    _free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.at_once)

    @contextlib.asynccontextmanager
    async def of(self, account_id: int) -> AsyncIterator[None]:
        """One turn of this account's. Raises Refusal: 429 when too many of its own wait, 503 when others do."""
        if self._of[account_id] >= self.per_account:
            title = f"{self.per_account} requests of this account are being worked on (limits.at_once_per_account)."
            raise Refusal(429, "too-many-at-once", title, detail="Send this again when one of them is answered.")
        self._of[account_id] += 1
        try:
            await self._wait()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._of[account_id] -= 1
            if not self._of[account_id]:
                del self._of[account_id]

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self.wait_s):
                await self._free.acquire()
        except TimeoutError as exc:
            raise Refusal(503, "too-busy", "Too many others are being worked on; try again.") from exc
