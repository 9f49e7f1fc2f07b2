"""Slots and rests: never early, never faster than the contract after a stall, and rests that double."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.sms.smpp.pacing import Pacer, Rest


def leave(pacer: Pacer, slots: list[float], stalls: dict[int, float], step: float = 0.001) -> list[float]:
    """The instants at which a loop that wakes every `step` seconds, and stalls before some, writes these slots."""
    now, written = 0.0, []
    for index, slot in enumerate(slots):
        now += stalls.get(index, 0.0)
        while pacer.instant(slot) > now:
            now += step
        pacer.left(slot, now)
        written.append(now)
    return written


@given(
    st.lists(st.floats(0, 0.02), min_size=1, max_size=200),
    st.dictionaries(st.integers(0, 199), st.floats(0, 2), max_size=3),
)
def test_no_segment_leaves_before_its_slot(gaps: list[float], stalls: dict[int, float]) -> None:
    slots = [sum(gaps[: index + 1]) for index in range(len(gaps))]

    written = leave(Pacer(500), slots, stalls)

    assert all(at >= slot for at, slot in zip(written, slots, strict=True))


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 1_400), st.floats(0, 1.5), max_size=4))
def test_no_second_sees_more_than_a_hundredth_above_the_contract(stalls: dict[int, float]) -> None:
    rate = 500
    slots = [index / rate for index in range(1_500)]

    written = leave(Pacer(500), slots, stalls)

    busiest = max(sum(start <= at < start + 1 for at in written) for start in written[::10])
    assert busiest <= rate * 1.01 + 1


def test_slots_that_nobody_used_make_up_for_a_stall() -> None:
    before = [index / 500 for index in range(500)]
    after = [2.0 + index / 500 for index in range(500)]

    written = leave(Pacer(500), before + after, {499: 0.8})

    assert written[499] - before[499] > 0.7
    assert max(at - slot for at, slot in zip(written[500:], after, strict=True)) < 0.01


def test_timers_that_fire_late_do_not_slow_the_account() -> None:
    slots = [index / 500 for index in range(1_500)]

    written = leave(Pacer(500), slots, {}, step=0.0009)

    assert written[-1] - slots[-1] < 0.01


def test_slots_of_the_past_that_are_all_due_leave_at_once() -> None:
    pacer = Pacer(500)

    assert leave(pacer, [0.0] * 100, {}) == [0.0] * 100


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), max_size=300), st.dictionaries(st.integers(0, 900), st.floats(0, 1.0), max_size=3))
def test_segments_without_slots_keep_to_the_contract_together_with_those_that_have_them(
    extras: list[float], stalls: dict[int, float]
) -> None:
    rate, pacer, now = 200, Pacer(200), 0.0
    slots = sorted([(index / rate, True) for index in range(600)] + [(extra, False) for extra in extras])
    written = []
    for index, (slot, paid) in enumerate(slots):
        now += stalls.get(index, 0.0)
        while (at := pacer.instant(slot) if paid else pacer.gap(slot)) > now:
            now += 0.001
        pacer.left(slot, now) if paid else pacer.filled(now)
        written.append(now)
        assert at >= slot

    busiest = max(sum(start <= other < start + 1 for other in written) for start in written[::10])
    assert busiest <= rate * 1.01 + 2


def test_a_rest_doubles_while_the_peer_keeps_asking_and_is_bounded() -> None:
    rest = Rest(0.5, 8.0)
    now, pauses = 100.0, []

    for _ in range(6):
        pauses.append(rest.throttled(now, written=now))
        now = rest.until + 0.1

    assert pauses == [0.5, 1, 2, 4, 8, 8]


def test_a_window_full_of_complaints_is_one_complaint() -> None:
    rest = Rest(0.5, 8.0)

    first = rest.throttled(100.0, written=99.9)
    others = [rest.throttled(100.1, written=99.9) for _ in range(50)]
    late = rest.throttled(101.0, written=99.95)

    assert first == 0.5
    assert others == pytest.approx([0.4] * 50)
    assert (late, rest.until) == (0.0, 100.5)


def test_after_a_calm_time_the_next_rest_is_short_again() -> None:
    rest = Rest(0.5, 8.0)
    for _ in range(4):
        rest.throttled(rest.until + 1 if rest.until > 0 else 100.0, written=1e9)

    assert rest.throttled(rest.until + 10.1, written=1e9) == 0.5
