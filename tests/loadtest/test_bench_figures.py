"""What a bench says of its figures: ratios, goals, percentiles, and that nothing is left out silently."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadtest.bench.figures import Claim, Figure, Section, number, percentiles, ratio
from loadtest.bench.report import show


def test_a_goal_is_met_from_its_value_on() -> None:
    assert Claim("x Kannel", 3.0, 3.0).holds
    assert Claim("x Kannel", 2.99, 3.0).holds is False
    assert Claim("ms p99", 15.0, 15.0, at_most=True).holds
    assert Claim("ms p99", 15.1, 15.0, at_most=True).holds is False


def test_a_claim_without_a_goal_is_only_told() -> None:
    claim = Claim("x SQLite", 0.9)
    assert claim.holds is None
    assert str(claim) == "0.90 x SQLite"


def test_a_ratio_to_a_peer_that_is_not_there_is_no_ratio() -> None:
    assert ratio(10.0, Figure(what="Kannel", skipped="Kannel is not installed"), "x Kannel", 3.0) == ()
    (claim,) = ratio(10.0, Figure(what="Kannel", value=4.0), "x Kannel", 3.0)
    assert (claim.value, claim.holds) == (2.5, False)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_times_that_somebody_had(took: list[float]) -> None:
    p50, p99 = percentiles(took)
    assert p50 in took
    assert p99 in took
    assert sum(t <= p50 for t in took) * 2 >= len(took)
    assert sum(t <= p99 for t in took) >= 0.99 * len(took)


def test_figures_have_three_that_count() -> None:
    assert [number(v) for v in (121_616.4, 134.6, 16.31, 3.456, 0.123, 0.0771, 600.0)] == [
        "121,616", "135", "16.3", "3.46", "0.12", "0.0771", "600",
    ]  # fmt: skip


def shown(*sections: Section) -> str:
    out = io.StringIO()
    show(Console(file=out, width=160), "a machine", sections)
    return out.getvalue()


def test_the_table_shows_what_was_skipped_and_why() -> None:
    reason = "Kannel is not installed: as root, 'make bench' installs it from Debian"
    text = shown(Section(name="sms", title="SMS", lines=(Figure(what="Kannel with receipts", skipped=reason),)))
    row = next(line for line in text.splitlines() if "Kannel with receipts" in line)
    assert "skipped" in row
    assert reason in row


def test_the_table_shows_what_broke_off_and_what_others_used() -> None:
    text = shown(Section(name="sms", title="SMS", lines=(), took_s=12, others_cores=0.5, failed="[smsc] did not start"))
    assert "broke off" in text
    assert "[smsc] did not start" in text
    assert "12 s; other work took 0.50 cores" in text


def test_the_peers_settings_are_printed() -> None:
    line = Figure(what="smtp-source", value=20_000, unit="mails/s", settings="-d -s 16 -N, 100 mails")
    assert "smtp-source: -d -s 16 -N, 100 mails." in shown(Section(name="email", title="e-mail", lines=(line,)))
