"""Waits are counted by their length, and nothing of them is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.engine.database import Database
from store.engine.wait_times import BOUNDS_S, WaitTimes
from tests.store.test_database import put


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_each_bound_has_all_that_took_no_longer(took: list[float]) -> None:
    times = WaitTimes()
    for one in took:
        times.note(one)
    assert [bound for bound, _ in times.within()] == [*BOUNDS_S, float("inf")]
    for bound, count in times.within():
        assert count == sum(one <= bound for one in took)


@pytest.mark.parametrize("writes", [1, 5])
async def test_a_store_counts_its_writes_once_they_are_durable(database: Database, writes: int) -> None:
    before, commits = dict(database.write_times.within()), database.commits
    for n in range(writes):
        await database.write(put(f"key {n}"))
    assert dict(database.write_times.within())[float("inf")] - before[float("inf")] == writes
    assert database.commits - commits == writes


async def test_what_fails_is_not_counted(database: Database) -> None:
    async def fails(_tx: object) -> None:
        raise ValueError

    before = dict(database.write_times.within())
    with pytest.raises(ValueError):
        await database.write(fails)
    assert dict(database.write_times.within()) == before
