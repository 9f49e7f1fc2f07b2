"""Who waits for a hash, who is told to come back, and a process that hashes, dies, and mixes up no two outcomes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from gateway.access.hash_jobs import CheckPassword, HashJob, HashOutcome, HashPassword
from gateway.access.hashing_process import HashingDied, HashingProcess
from gateway.access.hashing_queue import HashingQueue
from gateway.access.passwords import hash_of
from gateway.errors import Later

PASSWORD = "kaars gitaar vijver tram"
JOB = CheckPassword("", PASSWORD)


@dataclass
class SlowHasher:
    """Does a job when it is let."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    order: list[HashJob] = field(default_factory=list)
    at_once: int = 0
    most: int = 0
    fails: bool = False

    async def do(self, job: HashJob) -> HashOutcome:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.order.append(job)
        try:
            await self.gate.wait()
            if self.fails:
                raise HashingDied
            return HashOutcome(1, 0.06, right=True)
        finally:
            self.at_once -= 1

    async def close(self) -> None:
        self.gate.set()


async def test_one_works_at_a_time_and_the_rest_wait_in_turn():
    hasher = SlowHasher()
    queue = HashingQueue(lambda: False, hasher)
    jobs = [CheckPassword("", str(n)) for n in range(10)]
    asked = [asyncio.ensure_future(queue.run(job)) for job in jobs]
    await asyncio.sleep(0)
    hasher.gate.set()

    assert {outcome.right for outcome in await asyncio.gather(*asked)} == {True}
    assert (hasher.order, hasher.most, queue.done, queue.waiting) == (jobs, 1, 10, 0)


async def test_a_full_queue_refuses_and_goes_on_afterwards():
    hasher = SlowHasher()
    queue = HashingQueue(lambda: False, hasher, most_waiting=2)
    first = asyncio.ensure_future(queue.run(JOB))
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(queue.run(JOB)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Later) as refused:
        await queue.run(JOB)
    hasher.gate.set()

    await asyncio.gather(first, *waiting)
    assert refused.value.retry_after_s >= 5
    assert (await queue.run(JOB)).right
    assert queue.refused == 1


async def test_work_that_fails_or_is_given_up_leaves_the_queue_free():
    hasher = SlowHasher(fails=True)
    queue = HashingQueue(lambda: True, hasher)
    given_up = asyncio.ensure_future(queue.run(JOB))
    await asyncio.sleep(0)
    given_up.cancel()
    hasher.gate.set()

    for _ in range(3):
        with pytest.raises(Later):
            await queue.run(JOB)
    assert (queue.waiting, queue.refused) == (0, 3)


async def test_whoever_waits_too_long_is_told_to_come_back():
    busy = HashingQueue(lambda: True, SlowHasher(), longest_wait_s=0.01)
    busy.budget.spend(asyncio.get_running_loop().time(), 0.5)
    standing = HashingQueue(lambda: False, SlowHasher(), longest_wait_s=0.01)
    first = asyncio.ensure_future(standing.run(JOB))
    await asyncio.sleep(0)

    for queue in (busy, standing):
        with pytest.raises(Later):
            await queue.run(JOB)
    first.cancel()


async def test_while_nothing_leaves_the_budget_stops_nobody():
    hasher = SlowHasher()
    hasher.gate.set()
    queue = HashingQueue(lambda: False, hasher, longest_wait_s=0.01)
    queue.budget.spend(asyncio.get_running_loop().time(), 5.0)

    assert (await queue.run(JOB)).right


# ---- the process ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def process() -> AsyncIterator[HashingProcess]:
    made = HashingProcess()
    yield made
    await made.close()


async def test_the_process_hashes_and_checks_and_tells_what_it_took(process: HashingProcess):
    made = await process.do(HashPassword(PASSWORD, ()))
    weak = await process.do(HashPassword("Dorpsplein Dorpsplein", ("Dorpsplein",)))
    right = await process.do(CheckPassword(made.hash, PASSWORD))
    wrong = await process.do(CheckPassword(made.hash, "another phrase"))
    nobody = await process.do(CheckPassword("", PASSWORD))

    assert made.hash.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert (weak.hash, right.right, wrong.right, nobody.right) == ("", True, False, False)
    assert min(one.cost_s for one in (made, right, wrong, nobody)) > 0
    assert process.lives == 1


async def test_the_process_has_the_lowest_priority_and_a_session_of_its_own(process: HashingProcess):
    await process.do(JOB)
    assert process._process is not None
    number = process._process.pid

    assert os.getpriority(os.PRIO_PROCESS, number) == 19
    assert os.getsid(number) == number != os.getsid(0)


async def test_a_process_that_was_killed_is_made_anew(process: HashingProcess):
    hash_ = hash_of(PASSWORD)
    await process.do(JOB)
    assert process._process is not None
    process._process.kill()

    assert (await process.do(CheckPassword(hash_, PASSWORD))).right
    assert process.lives == 2


async def test_who_leaves_in_the_middle_leaves_no_outcome_for_the_next(process: HashingProcess):
    """The answer to a right password must not be taken for that to a wrong one."""
    hash_ = hash_of(PASSWORD)
    await process.do(JOB)
    for _ in range(3):
        left = asyncio.ensure_future(process.do(CheckPassword(hash_, PASSWORD)))
        await asyncio.sleep(0.005)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)

        assert not (await process.do(CheckPassword(hash_, "wrong"))).right


@pytest.mark.parametrize("says", ['{"number":99,"cost_s":0.1,"right":true}', "no outcome", ""])
async def test_what_is_not_the_outcome_of_the_job_is_none(says: str):
    other = HashingProcess((sys.executable, "-c", f"import sys\nfor _ in sys.stdin: print({says!r}, flush=True)"))

    with pytest.raises(HashingDied):
        await other.do(JOB)
    await other.close()


async def test_a_process_that_says_nothing_is_not_waited_for_without_end():
    other = HashingProcess((sys.executable, "-c", "import time\ntime.sleep(60)"), longest_s=0.05)

    with pytest.raises(TimeoutError):
        await other.do(JOB)
    assert other._process is None


async def test_at_the_end_of_the_server_none_is_made_anew(process: HashingProcess):
    await process.do(JOB)
    under_way = asyncio.ensure_future(process.do(JOB))
    await asyncio.sleep(0.005)
    await process.close()

    for asked in (under_way, process.do(JOB)):
        with pytest.raises(HashingDied):
            await asked
    assert (process.lives, process._process) == (1, None)
