"""What must happen although nobody asks: leases that ended, batches that are due, campaigns that end, receipts that
wait for their record, reports that can be sealed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gateway.bell import Bell
from gateway.failed_work_rests import Setbacks
from store.campaigns import campaign_steps, cancelling
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.errors import StoreUnavailable
from store.outbox import inbox, recovery
from store.outbox.overview import CarrierView, seen

log = logging.getLogger(__name__)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

INBOX_LIFE_MS = 72 * 3600 * 1000
"""A receipt that has matched nothing for this long stays in the inbox as an orphan and is no longer tried."""


@dataclass(frozen=True, slots=True)
class Chore:
    """`run` is called again and again; it returns True when it should be called again at once."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[bool]]
    bell: Bell | None = None
    """Rung when there may be something to do before its time."""
    rests: float = 0.0
    """Before it is called again at once it rests this many times as long as it took: what can wait leaves a process
    that is busy with alerts to them."""


@dataclass(slots=True)
class Housekeeping:
    chores: tuple[Chore, ...]

    async def run(self) -> None:
        """Runs every chore until cancelled. A chore that fails is logged and tried again: one of them must not stop
        the others."""
        async with asyncio.TaskGroup() as tasks:
            for chore in self.chores:
                tasks.create_task(self._repeat(chore), name=f"chore-{chore.name}")

    async def _repeat(self, chore: Chore) -> None:
        loop = asyncio.get_running_loop()
        while True:
            again, began_s = False, loop.time()
            try:
                again = await chore.run()
            except StoreUnavailable:
                log.warning("store cannot write", extra={"action": "chore-failed", "chore": chore.name})
            except Exception:
                log.exception("chore failed", extra={"action": "chore-failed", "chore": chore.name})
                await asyncio.sleep(1.0)
            if again:
                await asyncio.sleep(chore.rests * (loop.time() - began_s))
            else:
                await _pause(chore)


async def _pause(chore: Chore) -> None:
    if chore.bell is None:
        await asyncio.sleep(chore.every_s)
    else:
        await chore.bell.heard(chore.every_s)


class _Work(Protocol[T_co]):
    async def __call__(self, tx: Transaction, *, left_alone: set[int]) -> T_co: ...


async def _the_others_go_on(database: Database, work: _Work[T], setbacks: Setbacks, turn: Turn = Turn.USUAL) -> T:
    """Those that the work could not do, as the log has said, rest before they are tried again."""
    resting = set(setbacks.resting())
    left_alone = set(resting)
    result = await database.write(lambda tx: work(tx, left_alone=left_alone), turn=turn)
    for subject in left_alone - resting:
        setbacks.rest(subject)
    return result


def store_chores(
    database: Database,
    boot_id: str,
    node_name: Callable[[], str],
    ring_all: Callable[[], None],
    carriers: Callable[[], Sequence[CarrierView]] = tuple,
) -> tuple[Chore, ...]:
    """The chores that only move rows. `node_name` and `carriers`: how they are now, for the sign of life."""
    broken_batches, broken_clocks, broken_waits, broken_ends = Setbacks(), Setbacks(), Setbacks(), Setbacks()

    async def leases() -> bool:
        taken_back = await _the_others_go_on(database, recovery.recover, broken_batches)
        for r in taken_back:
            level = logging.ERROR if r.quarantined is not None else logging.WARNING
            log.log(level, "lease ended", extra={"action": "lease-ended", "batch": r.batch_id, "unknown": r.unknown})
        if taken_back:
            ring_all()
        return len(taken_back) == 20

    async def clock() -> bool:
        if await _the_others_go_on(database, campaign_steps.tick, broken_clocks):
            ring_all()
        return False

    async def waiting() -> bool:
        if await _the_others_go_on(database, cancelling.release_waiting, broken_waits):
            ring_all()
        return False

    async def ended() -> bool:
        return bool(await _the_others_go_on(database, campaign_steps.close_ended, broken_ends, turn=Turn.LAST))

    async def orphans() -> bool:
        since_ms = database.clock.now_ms() - INBOX_LIFE_MS
        return await database.write(lambda tx: inbox.try_due(tx, since_ms=since_ms), turn=Turn.LAST)

    async def alive() -> bool:
        await database.write(lambda tx: seen(tx, boot_id, node_name(), carriers()), turn=Turn.LAST)
        return False

    return (
        Chore("leases", 0.5, leases),
        Chore("clock", 0.25, clock),
        Chore("waiting", 0.25, waiting),
        Chore("ended", 0.25, ended),
        Chore("inbox", 5.0, orphans, rests=4.0),
        Chore("alive", 5.0, alive),
    )
