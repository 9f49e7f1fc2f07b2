"""Setbacks: who fails rests, longer each time, and nobody else does."""

import pytest

from gateway import setbacks
from gateway.setbacks import Setbacks
from store.errors import StoreUnavailable


async def failing() -> None:
    raise ValueError("broken")


async def working() -> str:
    return "done"


async def test_who_fails_rests_and_whoever_does_not_goes_on() -> None:
    known = Setbacks()

    assert await known.attempt(1, "x", failing) is None
    assert await known.attempt(2, "x", working) == "done"

    assert known.resting() == [1]


async def test_the_pause_doubles_up_to_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    known = Setbacks()

    for _ in range(9):
        await known.attempt(1, "x", failing)

    assert [r.again_s for r in caplog.records] == [1, 2, 4, 8, 16, 32, 60, 60, 60]  # type: ignore[attr-defined]


async def test_a_pause_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setbacks, "FIRST_S", 0.0)
    known = Setbacks()
    await known.attempt(1, "x", failing)

    assert known.resting() == []


async def test_a_store_that_is_away_is_nobodys_setback() -> None:
    async def away() -> None:
        raise StoreUnavailable("away")

    known = Setbacks()
    with pytest.raises(StoreUnavailable):
        await known.attempt(1, "x", away)

    assert known.resting() == []
