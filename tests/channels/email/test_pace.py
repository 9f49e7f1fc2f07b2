"""The arithmetic of pace."""

from hypothesis import given
from hypothesis import strategies as st

from channels.email.pace import MOST_PER_CONNECTION, AnswerTime, Patience, SecondWindow


@given(st.integers(1, 300), st.lists(st.floats(0, 0.3), min_size=1, max_size=1500))
def test_no_second_sees_more_than_the_contract_allows(rate: int, gaps: list[float]) -> None:
    window, now_s, starts = SecondWindow(rate), 0.0, []
    for gap in gaps:
        now_s += gap
        now_s += window.wait_s(now_s)
        window.started(now_s)
        starts.append(now_s)

    allowed = max(1, int(rate * 1.01))  # design section 7.4
    for first, one_too_many in zip(starts, starts[allowed:], strict=False):
        assert one_too_many - first >= 1 - 1e-6


def test_what_was_held_up_leaves_evenly_and_not_in_a_heap() -> None:
    window, starts, now_s = SecondWindow(2500), [], 10.0
    while len(starts) < 1000:
        now_s += window.wait_s(now_s)
        window.started(now_s)
        starts.append(now_s)

    in_a_tenth = [sum(at <= other < at + 0.1 for other in starts[index:]) for index, at in enumerate(starts[:500])]
    assert max(in_a_tenth) <= 270


@given(st.one_of(st.integers(1, 5000), st.floats(0.01, 1)))
def test_an_even_pace_at_the_contract_never_waits(rate: float) -> None:
    window = SecondWindow(rate)

    for number in range(50):
        at_s = number / rate
        assert window.wait_s(at_s) <= 1e-6
        window.started(at_s)


def test_patience_doubles_up_to_its_limit_and_comes_back_with_an_acceptance() -> None:
    patience = Patience(longest_s=5)

    assert [patience.pause_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    patience.accepted()
    assert patience.pause_s() == 1


def test_only_an_unbroken_row_of_deferrals_counts() -> None:
    patience = Patience(longest_s=5)

    assert not any(patience.deferred() for _ in range(9))
    patience.refused()
    assert not any(patience.deferred() for _ in range(9))
    assert patience.deferred()


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_a_connection_always_takes_up_one_and_never_more_than_its_share(took_s: list[float]) -> None:
    times = AnswerTime()
    assert times.per_connection() == MOST_PER_CONNECTION

    for each in took_s:
        times.answered(each)
        assert 1 <= times.per_connection() <= MOST_PER_CONNECTION
