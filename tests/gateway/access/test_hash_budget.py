"""Hashing takes no more than its share of a core in any ten seconds, whatever it costs and whenever it is wanted."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.access.hash_budget import HashBudget

EDGE_S = 1e-6
COSTS = st.lists(st.floats(0.001, 0.4), min_size=1, max_size=60)
PAUSES = st.lists(st.floats(0, 4), min_size=60, max_size=60)


def worked(costs: list[float], pauses: list[float]) -> list[tuple[float, float]]:
    """(begin, cost) of each hash, each begun as soon as it may be after a pause."""
    budget, now_s, done = HashBudget(), 100.0, []
    for cost_s, pause_s in zip(costs, pauses, strict=False):
        now_s += pause_s
        while (wait_s := budget.wait_s(now_s)) > 0:
            now_s += wait_s
        done.append((now_s, cost_s))
        now_s += cost_s
        budget.spend(now_s, cost_s)
    return done


@given(st.floats(0.001, 0.4), st.integers(1, 100))
def test_hashes_of_one_cost_take_a_twentieth_of_a_core_and_no_more(cost_s: float, number: int):
    done = worked([max(cost_s, 0.001)] * number, [0.0] * number)

    # The first is of a cost that nobody knows yet.
    for begin, _ in done[1:]:
        within = sum(cost for at, cost in done if begin - 10 + EDGE_S < at + cost <= begin) + cost_s
        assert within <= 0.5 + EDGE_S


@given(COSTS, PAUSES)
def test_of_unlike_hashes_none_exceeds_the_share_by_more_than_itself(costs: list[float], pauses: list[float]):
    done = worked(costs, pauses)

    for begin, _ in done:
        assert sum(cost for at, cost in done if begin - 10 + EDGE_S < at + cost <= begin) <= 0.5 + max(costs)


@given(st.floats(0.6, 30))
def test_a_hash_that_is_more_than_the_share_rests_until_it_is_the_share(cost_s: float):
    (first, _), (second, _) = worked([cost_s, cost_s], [0.0, 0.0])

    assert second - (first + cost_s) >= cost_s / 0.05 - 1e-6


@given(COSTS, PAUSES)
def test_nothing_waits_for_ever(costs: list[float], pauses: list[float]):
    done = worked(costs, pauses)
    longest_s = max(10.0, max(costs) / 0.05)

    for (before, cost_s), (begin, _), pause_s in zip(done, done[1:], pauses[1:], strict=False):
        assert begin - (before + cost_s) - pause_s <= longest_s + 1e-6
