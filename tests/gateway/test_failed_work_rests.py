"""Setbacks: who fails rests, longer each time, and nobody else does."""

import pytest

from gateway import failed_work_rests
from gateway.failed_work_rests import Setbacks
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
    monkeypatch.setattr(failed_work_rests, "FIRST_S", 0.0)
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


# ---- a store that has no answer -----------------------------------------------------------------------------------


class Store:
    """Has no answer about these subjects; a page of what is due is as long as this."""

    def __init__(self, *broken: int, page: int = 3) -> None:
        self.broken, self.page = set(broken), page
        self.due = [1, 2, 3, 4, 5, 6, 7]

    async def find(self, without: list[int]) -> list[int]:
        return [subject for subject in self.due if subject not in without][: self.page]

    async def work(self, subject: int) -> int:
        if subject in self.broken:
            raise StoreUnavailable("no answer in time")
        self.due.remove(subject)
        return subject


async def a_round(known: Setbacks, store: Store) -> list[int]:
    return await known.each(await known.due(store.find), "x", store.work)


async def test_who_alone_gets_no_answer_rests_quietly_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    known = Setbacks()

    assert await a_round(known, Store(1)) == [2, 3]

    assert known.resting() == [1]
    assert [r.levelname for r in caplog.records] == ["WARNING"]


async def test_when_nobody_gets_an_answer_it_is_the_store_and_nobody_rests() -> None:
    known = Setbacks()
    with pytest.raises(StoreUnavailable):
        await a_round(known, Store(1, 2, 3, 4, 5, 6, 7))

    assert known.resting() == []


async def test_after_a_store_was_away_everybody_is_tried_at_once() -> None:
    known, store = Setbacks(), Store(1, 2, 3, 4, 5, 6, 7, page=10)
    with pytest.raises(StoreUnavailable):
        await a_round(known, store)
    store.broken.clear()

    assert await a_round(known, store) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_page_full_of_those_without_an_answer_does_not_stand_before_the_others_for_ever() -> None:
    known, store = Setbacks(), Store(1, 2, 3, 4, 5, 6)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await a_round(known, store)

    assert await a_round(known, store) == [7]


async def test_the_pause_after_no_answer_stays_short() -> None:
    known = Setbacks()

    pauses = [known.rest(1, failed_work_rests.AWAY_MOST_S) for _ in range(6)]

    assert pauses == [1, 2, 4, 8, 10, 10]
