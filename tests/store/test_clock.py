"""The store's time: anchored to the monotonic clock, or following the one that all nodes share."""

import pytest

from store.clock import Clock


class Machine:
    """Two clocks that a test turns."""

    def __init__(self) -> None:
        self.wall_ns = 1_000_000_000_000
        self.monotonic_ns = 5_000_000_000

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_ns, lambda: self.monotonic_ns)


def test_a_step_of_the_wall_clock_moves_nothing():
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns -= 3_600_000_000_000
    machine.monotonic_ns += 2_000_000

    assert clock.now_us() == 1_000_002_000


@pytest.mark.parametrize(("apart_us", "followed"), [(5_000_000, True), (-5_000_000, True), (900_000, False)])
def test_a_clock_that_all_nodes_share_is_followed_to_a_second(apart_us, followed):
    machine = Machine()
    clock = machine.clock()

    clock.follow(1_000_000_000 + apart_us)

    machine.monotonic_ns += 2_000_000
    assert clock.now_us() == 1_000_002_000 + apart_us * followed
