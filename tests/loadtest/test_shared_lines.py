"""Floors, ceilings and growth, given runs that keep and runs that break them."""

import dataclasses
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from loadtest import verdict
from loadtest.arrivals import Arrivals, Instants
from loadtest.picture import Curve, Growth, draw, draw_growth
from loadtest.scenarios import growth, shared_lines
from loadtest.scenarios.catalogue import SCENARIOS
from loadtest.scenarios.watchers import lag_s
from loadtest.stage import RunTerms


def evenly(per_s: float, seconds: float) -> Arrivals:
    return Arrivals(np.arange(0.0, seconds, 1 / per_s))


def arrived(sms: float = 600, email: float = 3000, calls: float = 9.95, seconds: float = 120) -> dict[str, Arrivals]:
    return {"sms": evenly(sms, seconds), "email": evenly(email, seconds), "voice": evenly(calls, seconds)}


def missed(lines: list[verdict.VerdictLine]) -> list[str]:
    return [line.what for line in lines if verdict.mark(line) == "MISSED"]


def test_the_promise_of_the_service_is_kept_at_its_floors() -> None:
    assert missed(shared_lines.floors(arrived(sms=500, email=2500, calls=9.95), 0.0, 120.0)) == []


@pytest.mark.parametrize(
    ("slow", "line"),
    [
        ({"sms": 499.0}, "SMS segments/s at the sink"),
        ({"email": 2499.0}, "e-mails/s at the sink, each addressed"),
        ({"calls": 9.8}, "call starts used of 600/min"),
    ],
)
def test_each_floor_is_missed_by_itself(slow: dict[str, float], line: str) -> None:
    assert missed(shared_lines.floors(arrived(**slow), 0.0, 120.0)) == [line]


def test_what_arrived_outside_the_measured_time_keeps_no_floor() -> None:
    assert missed(shared_lines.floors(arrived(seconds=60), 60.0, 120.0)) != []


def test_contracts_that_are_kept_break_no_ceiling() -> None:
    assert missed(shared_lines.ceilings(RunTerms(), arrived())) == []


@pytest.mark.parametrize(
    ("fast", "line"),
    [
        ({"calls": 10.1}, "most call starts in any 60 s"),
        ({"sms": 620.0}, "most SMS segments in any second"),
        ({"email": 3100.0}, "most e-mails in any second"),
    ],
)
def test_each_ceiling_is_broken_by_itself(fast: dict[str, float], line: str) -> None:
    assert missed(shared_lines.ceilings(RunTerms(), arrived(**fast))) == [line]


def test_a_burst_of_one_second_breaks_a_ceiling_that_the_average_keeps() -> None:
    calm = arrived(sms=100)
    calm["sms"].units_s = np.sort(np.concatenate((calm["sms"].units_s, np.linspace(50.0, 50.9, 520))))

    assert missed(shared_lines.ceilings(RunTerms(), calm)) == ["most SMS segments in any second"]


def read_late(sent_s: Instants, stalls: list[tuple[float, float]]) -> dict[str, Arrivals]:
    """SMS that came at these instants, as a sink has them that stood still from one instant to the other."""
    read_s, earliest_s = sent_s.copy(), sent_s.copy()
    for from_s, to_s in stalls:
        waited = (from_s <= sent_s) & (sent_s < to_s)
        read_s[waited], earliest_s[waited] = to_s, from_s
    return arrived() | {"sms": Arrivals(read_s, earliest_s=earliest_s)}


STOOD = [(50.0, 50.04), (80.0, 80.4)]


def test_a_contract_that_is_kept_is_not_broken_by_a_sink_that_stood_still() -> None:
    (_, sms, _) = shared_lines.ceilings(RunTerms(), read_late(np.arange(0.0, 120.0, 1 / 600), STOOD))

    assert re.fullmatch("840, for sure 60[01]: the sink stood still for up to 400 ms", sms.measured)
    assert verdict.mark(sms) == "not judged"


@pytest.mark.parametrize("per_s", [608, 625, 1200])
def test_a_contract_that_is_broken_all_along_is_broken_whenever_the_sink_stood_still(per_s: int) -> None:
    lines = shared_lines.ceilings(RunTerms(), read_late(np.arange(0.0, 120.0, 1 / per_s), STOOD))

    assert missed(lines) == ["most SMS segments in any second"]


@pytest.mark.parametrize("start_s", [20.0, 49.9, 50.01, 79.9, 80.1, 80.39])
def test_a_burst_is_broken_also_where_the_sink_slept_through_it(start_s: float) -> None:
    """700 in half a second: however they are laid on the time that the sink slept, some second has them all."""
    burst = np.concatenate((np.arange(0.0, 120.0, 1 / 100), np.linspace(start_s, start_s + 0.5, 700)))

    assert missed(shared_lines.ceilings(RunTerms(), read_late(np.sort(burst), STOOD))) == [
        "most SMS segments in any second"
    ]


def test_broken_ceilings_fail_also_where_speeds_are_only_told() -> None:
    assert not verdict.holds(shared_lines.ceilings(RunTerms(), arrived(calls=10.5)), floors=False)


def test_two_carriers_have_two_contracts() -> None:
    assert missed(shared_lines.ceilings(RunTerms(smscs=2, smtps=2), arrived(sms=1200, email=6000))) == []


# ---- growth ----------------------------------------------------------------------------------------------------


def step(members: int, *, power: float = 1.0, mib_each: float = 0.0005) -> growth.GrowthStep:
    share = (members / 1_000) ** power
    return growth.GrowthStep(
        members=members, messages=members, load_s=share, answered_s=share, first_s=0.1, expanded_s=share,
        last_s=share, cpu_s=share, before_mib=100.0, most_mib=150.0 + members * mib_each,
    )  # fmt: skip


def test_what_grows_in_proportion_is_linear_and_what_grows_with_the_square_is_missed() -> None:
    even, square = (
        [ratio for a, b in pairwise(steps) for ratio in [growth.ratio(growth.COSTS[2], a, b)]]
        for steps in ([step(1_000), step(10_000)], [step(1_000, power=2), step(10_000, power=2)])
    )

    assert even == [pytest.approx(1.0)]
    assert square == [pytest.approx(10.0)]


def test_every_cost_that_grows_faster_than_the_messages_is_a_missed_line() -> None:
    steps = [step(n, power=1.3) for n in (1_000, 10_000, 100_000)]

    lines = growth.grown(steps)

    assert len(missed(lines)) == 2 * len(growth.COSTS)
    assert missed(growth.grown([step(n) for n in (1_000, 10_000, 100_000)])) == []


def test_memory_that_grows_faster_than_the_messages_is_a_missed_line() -> None:
    steps = [step(1_000), step(10_000), step(100_000)]
    steps[2] = dataclasses.replace(steps[2], most_mib=steps[2].most_mib * 3)

    assert len(missed(growth.grown(steps))) == 1


def test_what_takes_no_time_at_all_is_not_judged_by_its_noise() -> None:
    quick, slower = step(1_000), step(10_000)
    quick, slower = (dataclasses.replace(s, answered_s=t) for s, t in ((quick, 0.002), (slower, 0.2)))

    assert growth.ratio(growth.COSTS[0], quick, slower) < 1


# ---- watchers, pictures ----------------------------------------------------------------------------------------


def test_the_lag_of_a_snapshot_is_the_age_of_what_it_does_not_tell_yet() -> None:
    sent_s = np.asarray([10.0, 11.0, 12.0])

    assert lag_s(3, 20.0, sent_s) == 0.0
    assert lag_s(1, 12.5, sent_s) == pytest.approx(1.5)
    assert lag_s(0, 9.0, sent_s) == 0.0


def test_pictures_are_documents_that_a_browser_reads() -> None:
    curves = [Curve("SMS < 5 & more", (1.0, 2.0), limit=3.0), Curve("nothing", ())]
    for picture in (
        draw("(a) <all>", curves),
        draw_growth("(f)", [1_000, 10_000], [Growth("s", (0.1, 2.0)), Growth("same", (1.0, 1.0))]),
        draw_growth("(f) one size", [1_000], [Growth("s", (0.1,))]),
    ):
        assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_every_scenario_has_its_letter_and_says_what_its_size_is() -> None:
    assert sorted(SCENARIOS) == list("abcdefg")
    assert all(s.name == letter and s.title and s.size for letter, s in SCENARIOS.items())


def test_what_the_gateway_counted_is_told_as_the_bounds_that_hold_half_and_nearly_all() -> None:
    first = {f'tocsin_loop_calls_total{{within_s="{bound}"}}': 10.0 for bound in ("0.001", "0.05", "inf")}
    last = {
        'tocsin_loop_calls_total{within_s="0.001"}': 70.0,
        'tocsin_loop_calls_total{within_s="0.05"}': 109.0,
        'tocsin_loop_calls_total{within_s="inf"}': 110.0,
    }
    assert shared_lines._quantiles(first, last, "tocsin_loop_calls_total") == "<= 1 ms, <= 50 ms"
    last['tocsin_loop_calls_total{within_s="inf"}'] = 120.0
    assert shared_lines._quantiles(first, last, "tocsin_loop_calls_total") == "<= 1 ms, more than 5 s"
