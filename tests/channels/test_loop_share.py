"""One peer's share of the event loop: a slice at a time, a part for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.loop_share import LoopShare


def test_who_was_quiet_is_heeded_at_once_and_saves_up_one_slice_only():
    share = LoopShare(part=0.2, slice_s=0.005)

    assert share.wait_s(now=100.0) == 0
    share.spend(0.0051, now=100.0)
    assert share.wait_s(now=100.0) > 0


@given(st.lists(st.tuples(st.floats(0.0001, 0.02), st.floats(0, 0.1)), min_size=50, max_size=200))
def test_whatever_a_peer_does_it_has_its_part_of_the_time_and_no_more(turns):
    """Each turn takes so long, and may come later than it could."""
    share = LoopShare(part=0.2, slice_s=0.005)
    now = taken = 0.0
    for cost, later in turns:
        now += share.wait_s(now) + later
        now += cost
        share.spend(cost, now)
        taken += cost

    last = turns[-1][0]
    assert taken - last <= 0.2 * now + 0.005 + 1e-9


@pytest.mark.parametrize("part", [0.1, 0.5])
def test_a_peer_that_always_asks_has_all_of_its_part(part):
    share = LoopShare(part=part, slice_s=0.005)
    now = taken = 0.0
    while now < 10:
        now += share.wait_s(now) + 0.004
        share.spend(0.004, now)
        taken += 0.004

    assert taken / now == pytest.approx(part, rel=0.05)
