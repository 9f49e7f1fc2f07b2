"""Slots on this machine's clock: the same instant on every node, however long its transactions take. Pure."""

import pytest

from gateway.dispatch.carriers import Timebase
from gateway.dispatch.sending import MOST_HORIZON_MS

S = 1_000_000


def test_an_instant_is_the_same_however_long_answers_take() -> None:
    quick, slow = Timebase(), Timebase()
    for n in range(10):
        began_us = n * S
        for base, answer_s in ((quick, 0.001), (slow, 0.080)):
            # The store is 100 s ahead of this machine; its clock takes half a millisecond to be read.
            base.learn(began_us, began_us / 1e6 - 100 + 0.0005)
            base.answered(began_us, began_us / 1e6 - 100 + answer_s, began_us / 1e6 - 100)

    assert quick.loop_time(42 * S) == pytest.approx(slow.loop_time(42 * S), abs=1e-6)
    assert slow.loop_time(42 * S) == pytest.approx(42 - 100 + 0.0005, abs=1e-6)


def test_the_quickest_reading_is_believed_and_none_makes_an_instant_early() -> None:
    base = Timebase()
    for late_s in (0.3, 0.002, 0.05):
        base.learn(7 * S, 7 + late_s)

    assert base.loop_time(7 * S) == pytest.approx(7.002)


def test_slots_begin_when_the_answer_is_there_and_one_hiccup_moves_nothing() -> None:
    base = Timebase()
    base.learn(0, 0.0)
    for answer_s in (0.02, 0.02, 0.9, 0.02, 0.02):
        base.answered(0, answer_s, 0.0)

    assert base.head_start_us == 20_000


def test_answers_that_stay_slow_are_waited_for_within_reason() -> None:
    base = Timebase()
    base.learn(0, 0.0)
    for _ in range(8):
        base.answered(0, 0.4, 0.0)
    assert base.head_start_us == 400_000

    for _ in range(8):
        base.answered(0, 60.0, 0.0)
    assert base.head_start_us == 1_000_000


def test_a_window_is_asked_for_sooner_where_answers_have_taken_longer_to_come() -> None:
    base = Timebase()
    base.learn(0, 0.0)
    quick_s = base.lead_s(500.0)
    for _ in range(8):
        base.answered(0, 0.05, asked_s=-0.05)

    assert 0 < quick_s < 0.1
    assert base.lead_s(500.0) > 2 * 0.1, "the wait for the transaction counts, too"

    for _ in range(8):
        base.answered(0, 60.0, asked_s=0.0)
    assert base.lead_s(500.0) < MOST_HORIZON_MS / 1000 - 0.1, "something must be left to ask for"


def test_a_lane_with_few_slots_a_second_asks_two_of_them_ahead() -> None:
    assert Timebase().lead_s(10.0) == 0.2
    assert Timebase().lead_s(0.5) == 0.2, "and no longer than that, however few"
