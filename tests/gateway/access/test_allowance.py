"""An account's requests: so many a second, a burst at once, nobody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.allowance import Allowance


def test_a_burst_may_be_made_at_once_and_then_so_many_a_second():
    allowance = Allowance(per_s=10, burst=3)

    assert [allowance.take(1, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert allowance.take(1, 0.0) == pytest.approx(0.1)
    assert allowance.take(1, 0.1) == 0.0
    assert allowance.take(1, 0.1) > 0.0


def test_one_account_takes_nothing_from_another():
    allowance = Allowance(per_s=1, burst=1)

    assert (allowance.take(1, 0.0), allowance.take(2, 0.0)) == (0.0, 0.0)
    assert allowance.take(1, 0.0) > 0


def test_without_a_limit_everything_is_allowed():
    allowance = Allowance(per_s=0, burst=1)

    assert {allowance.take(1, 0.0) for _ in range(1_000)} == {0.0}


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(0.5, 50), st.integers(1, 20))
def test_whatever_the_order_no_more_is_taken_than_the_burst_and_what_grew_since(
    steps: list[float], per_s: float, burst: int
):
    allowance, now_s, taken = Allowance(per_s, burst), 0.0, 0
    for step in steps:
        now_s += step
        wait_s = allowance.take(7, now_s)
        taken += wait_s == 0
        if wait_s:
            assert allowance.take(7, now_s + wait_s * 1.0001) == 0
            now_s += wait_s * 1.0001
            taken += 1
    assert taken <= burst + now_s * per_s + 1e-6


def test_the_memory_is_bounded():
    allowance = Allowance(per_s=1, burst=1, accounts=10)
    for account in range(1_000):
        allowance.take(account, 0.0)

    assert len(allowance._left) == 10
