"""Everything that may happen to the outbox, in any order: the sums close after each step, and nobody is told what is
not so. What was found to fail is told in the fewest steps that fail."""

import asyncio
import itertools
import random
import shutil
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from store.engine.database import open_database
from tests.peers.postgres import new_database
from tests.store.outbox_machine import HandClock, World

_numbers = itertools.count(1)
_HAPPENINGS = (
    "claim", "advance", "settle", "let_go", "give_back", "kill", "wake", "receive", "keep_house", "stop", "hold",
)  # fmt: skip


@pytest.fixture
def fresh_url(engine, home, tmp_path):
    """Makes the address of another migrated, empty store each time it is called."""

    def make() -> str:
        n = next(_numbers)
        if engine == "sqlite":
            shutil.copy(home, tmp_path / f"{n}.db")
            return f"sqlite+aiosqlite:///{tmp_path}/{n}.db"
        return asyncio.run(new_database(home, f"machine{n}", template="migrated"))

    return make


def _machine(fresh_url):
    class Outbox(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.stack = AsyncExitStack()
            self.world = self.runner.run(self._begin(fresh_url()))

        async def _begin(self, url: str) -> World:
            database = await self.stack.enter_async_context(open_database(url, clock=HandClock()))
            world = World(database, random.Random(0))
            await world.begin()
            return world

        def _happen(self, name: str, chance: random.Random) -> None:
            self.world.random = chance
            self.runner.run(getattr(self.world, name)())

        @invariant()
        def nobody_is_told_what_is_not_so(self) -> None:
            self.runner.run(self.world.check())

        def teardown(self) -> None:
            self.runner.run(self.stack.aclose())
            self.runner.close()

    for name in _HAPPENINGS:

        def step(self, chance, name=name):
            self._happen(name, chance)

        step.__name__ = name
        needs_worker = precondition(lambda self: self.world.workers)
        made = rule(chance=st.randoms(use_true_random=False))(step)
        setattr(Outbox, name, needs_worker(made) if name in ("advance", "settle", "let_go", "give_back") else made)
    return Outbox


def _play(fresh_url, stories: int, steps: int) -> None:
    run_state_machine_as_test(
        _machine(fresh_url),
        settings=settings(
            max_examples=stories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens_the_sums_close_and_nobody_is_told_what_is_not_so(fresh_url, engine):
    _play(fresh_url, 8 if engine == "sqlite" else 3, 40)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_long_stories(fresh_url, engine):
    _play(fresh_url, 120 if engine == "sqlite" else 30, 120)
