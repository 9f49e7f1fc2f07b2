"""The lines of the table: what fails a run, what is only told."""

import pytest

from loadtest import verdict


def test_a_missed_floor_and_a_broken_ceiling_fail_the_run() -> None:
    assert not verdict.holds([verdict.at_least("SMS/s", 499.9, 500)])
    assert not verdict.holds([verdict.at_most("calls in 60 s", 601, 600)])
    assert verdict.holds([verdict.at_least("SMS/s", 500, 500), verdict.at_most("calls in 60 s", 600, 600)])


def test_one_missed_promise_among_many_that_hold_fails_the_run() -> None:
    held = [verdict.at_most("unaccounted", 0, 0)] * 20

    assert not verdict.holds([*held, verdict.at_most("unaccounted", 1, 0), *held])


def test_speeds_may_be_told_only_and_accounts_never() -> None:
    slow, lost = verdict.at_least("SMS/s", 1, 500, speed=True), verdict.at_most("unaccounted", 1, 0)

    assert verdict.mark(slow) == "MISSED"
    assert verdict.mark(slow, floors=False) == "below"
    assert verdict.holds([slow], floors=False)
    assert verdict.mark(lost, floors=False) == "MISSED"
    assert not verdict.holds([slow, lost], floors=False)


@pytest.mark.parametrize(
    ("measured", "surely", "mark"), [(606, 600, "ok"), (625, 606, "not judged"), (625, 607, "MISSED")]
)
def test_only_what_is_sure_breaks_a_ceiling_and_what_is_not_is_told_as_not_judged(
    measured: float, surely: float, mark: str
) -> None:
    line = verdict.at_most_surely("SMS in a second", measured, surely, 606, "the sink stood still")

    assert verdict.mark(line, floors=False) == mark
    assert verdict.holds([line]) is (mark != "MISSED")
    assert ("the sink stood still" in line.measured) is (mark == "not judged")


def test_what_is_told_and_what_is_a_goal_never_fails_a_run() -> None:
    lines = [verdict.told("CPU", 99.0, "%"), verdict.goal_at_most("p99", 5_000, 500, "ms")]

    assert [verdict.mark(line) for line in lines] == ["", ""]
    assert verdict.holds(lines)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (verdict.goal_at_most("p99", 499, 500, "ms"), "goal <= 500 ms: reached"),
        (verdict.goal_at_most("p99", 1_000, 500, "ms"), "goal <= 500 ms: 2x away"),
        (verdict.goal_at_least("calls", 150, 600), "goal >= 600: 4x away"),
        (verdict.goal_at_least("calls", 600, 600), "goal >= 600: reached"),
        (verdict.goal_at_least("calls", 0, 600), "goal >= 600: 0 is not near"),
    ],
)
def test_a_goal_is_told_with_its_distance(line: verdict.VerdictLine, words: str) -> None:
    assert line.wanted == words


def test_percentiles_are_times_that_somebody_had() -> None:
    found = verdict.times("post", [1.0, 2.0, 3.0, 100.0], 1)

    assert (found.requests, found.failed, found.p50_ms, found.p99_ms, found.worst_ms) == (4, 1, 3.0, 100.0, 100.0)
    assert verdict.times("nothing", [], 0).p99_ms == 0.0


def test_only_requests_that_ended_within_the_time_count_and_the_last_line_is_all_of_them() -> None:
    requests = [
        (9.9, "post", 1.0, True),
        (10.0, "post", 2.0, True),
        (11.0, "look", 4.0, False),
        (20.0, "post", 8, True),
    ]

    lines = verdict.by_name(requests, 10.0, 20.0)

    assert [(line.name, line.requests, line.failed) for line in lines] == [
        ("look", 1, 1),
        ("post", 1, 0),
        ("all requests", 2, 1),
    ]
