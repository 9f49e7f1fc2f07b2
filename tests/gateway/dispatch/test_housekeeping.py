"""Housekeeping: each chore again and again, none at the others' expense."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway import failed_work_rests
from gateway.dispatch.housekeeping import Chore, Housekeeping, store_chores
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.money import reservations
from tests.gateway.dispatch.lanes import until
from tests.store import makers as make

pytestmark = pytest.mark.timeout(20)


@dataclass
class Work:
    """Takes so long, and always leaves something to be done."""

    takes_s: float = 0.0
    fails: bool = False
    calls: int = 0
    at_work_s: float = 0.0

    async def __call__(self) -> bool:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.calls += 1
        if self.fails:
            raise ValueError("broken")
        await asyncio.sleep(self.takes_s)
        self.at_work_s += loop.time() - began_s
        return True


@contextlib.asynccontextmanager
async def kept(*chores: Chore) -> AsyncIterator[None]:
    task = asyncio.create_task(Housekeeping(chores).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_chore_with_more_to_do_is_called_again_at_once() -> None:
    work = Work()

    async with kept(Chore("one", 3600.0, work)):
        await until(lambda: work.calls >= 100)


async def test_a_chore_that_rests_has_its_share_of_the_time_and_no_more() -> None:
    work = Work(takes_s=0.02)
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    async with kept(Chore("one", 3600.0, work, rests=4.0)):
        await until(lambda: work.calls >= 6)
        passed_s = loop.time() - began_s

    assert work.at_work_s <= passed_s / 4


async def test_a_chore_that_fails_stops_no_other() -> None:
    broken, sound = Work(fails=True), Work()

    async with kept(Chore("broken", 0.01, broken), Chore("sound", 3600.0, sound)):
        await until(lambda: broken.calls >= 1 and sound.calls >= 10)


async def test_a_campaign_that_cannot_be_ended_rests_between_two_tries_and_the_others_end(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await make.a_campaign(database, 1, lasts_ms=-1)
    release = reservations.release

    async def released(tx: Transaction, zone_id: int, campaign_id: int, kept_millieuro: int = 0) -> None:
        if campaign_id == broken.id:
            raise ValueError("cannot be worked on")
        await release(tx, zone_id, campaign_id, kept_millieuro)

    monkeypatch.setattr(reservations, "release", released)
    monkeypatch.setattr(failed_work_rests, "FIRST_S", 3600.0)
    monkeypatch.setattr(failed_work_rests, "MOST_S", 3600.0)
    [clock] = [c for c in store_chores(database, "boot", lambda: "node", lambda: None) if c.name == "clock"]
    await clock.run()
    other = await make.a_campaign(database, 1, lasts_ms=-1)
    await clock.run()

    async with database.read() as conn:
        found = [await campaigns.by_id(conn, made.id) for made in (broken, other)]
    assert [each.state for each in found if each] == ["running", "expired"]
    assert len([r for r in caplog.records if getattr(r, "action", "") == "end-failed"]) == 1
