"""What the sinks' dumps say arrived: units by the clock, messages by whom they were for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.simulated.carrier import Arrival
from loadtest import arrivals
from loadtest.arrivals import Arrivals
from loadtest.sinks import stalls
from loadtest.sinks.smsc import Part
from loadtest.sinks.stalls import Stall

S = 1_000_000_000
NR = "NR0000CAFE"


def dumped(path: Path, lines: Sequence[Any], tail: str = "") -> Path:
    text = "".join(msgspec.json.encode(line).decode() + "\n" for line in lines)
    path.write_text(text + tail, encoding="utf-8")
    return path


def part(text: str | None, to: str = "32470000001", *, at_s: float = 1.0, status: int = 0) -> Part:
    return Part(
        at_ns=int(at_s * S), system_id="smsc-0", source="TOCSIN", destination=to, id="1", status=status, text=text
    )


def mail(token: str, rcpt: str, *, at_s: float = 1.0) -> dict[str, Any]:
    return {"arrived_ns": int(at_s * S), "rcpt": rcpt, "token": token, "answered": True, "subject": "x"}


def test_an_sms_counts_as_units_when_submitted_and_as_a_message_when_whole(tmp_path: Path) -> None:
    dump = dumped(tmp_path / "smsc.jsonl", [part(None, at_s=1), part(f"{NR} lang verhaal", at_s=2)])

    found = arrivals.sms(dump)

    assert len(found.units_s) == 2
    assert found.by_address == {(NR, "+32470000001"): 1}
    assert found.of(NR).tolist() == [2.0]


def test_a_refused_submit_is_a_unit_on_the_wire_and_no_message(tmp_path: Path) -> None:
    found = arrivals.sms(dumped(tmp_path / "smsc.jsonl", [part(f"{NR} x", status=0x58)]))

    assert len(found.units_s) == 1
    assert not found.by_address
    assert found.strange == 0


def test_an_sms_without_a_mark_is_strange(tmp_path: Path) -> None:
    assert arrivals.sms(dumped(tmp_path / "smsc.jsonl", [part("who am I")])).strange == 1


def test_a_mail_counts_for_its_delivery_and_the_mailbox_it_went_to(tmp_path: Path) -> None:
    lines = [mail("g1.7000001.1", "an@example.org"), mail("g1.7000001.2", "an@example.org"), mail("", "bo@example.org")]

    found = arrivals.email(dumped(tmp_path / "smtp.jsonl", lines))

    assert found.by_delivery == {(0x7000001, "an@example.org"): 2}
    assert found.strange == 1
    assert len(found.of(7)) == 2


def test_a_call_counts_from_the_trunks_own_account(tmp_path: Path) -> None:
    call = Arrival("trunk", "g1.7000000.1", "+32470000001", 0, "heard", 1.0, 1_500)

    found = arrivals.voice(dumped(tmp_path / "voice.jsonl", [call]))

    assert found.by_delivery == {(0x7000000, "+32470000001"): 1}
    assert found.units_s.tolist() == [1.5]


def test_a_line_that_is_being_written_is_left_and_several_dumps_are_one_account(tmp_path: Path) -> None:
    first = dumped(tmp_path / "a.jsonl", [part(f"{NR} x", at_s=2)], tail='{"at_ns": 3')
    second = dumped(tmp_path / "b.jsonl", [part(f"{NR} x", "32470000002", at_s=1)])

    found = arrivals.sms(first, second, tmp_path / "never-made.jsonl")

    assert found.units_s.tolist() == [1.0, 2.0]
    assert found.of(NR).tolist() == [1.0, 2.0]


def test_a_text_is_known_by_its_head_up_to_the_mark() -> None:
    assert arrivals.head_of(f"Geannuleerd: {NR} wegenwerken") == f"Geannuleerd: {NR}"
    assert arrivals.mark_of(f"Geannuleerd: {NR} wegenwerken") == NR
    assert arrivals.head_of("nothing of ours") == arrivals.mark_of("nothing of ours") == ""


# ---- by the clock ----------------------------------------------------------------------------------------------


def at(*instants_s: float) -> Arrivals:
    return Arrivals(np.sort(np.asarray(instants_s)))


def test_the_most_in_a_window_is_found_wherever_it_begins() -> None:
    assert at(0.0, 0.9, 1.0, 1.1, 1.85, 5.0).most_in(1.0) == 4
    assert at().most_in(1.0) == 0


def test_units_a_whole_window_apart_are_not_in_the_same_one() -> None:
    assert at(0.0, 1.0, 2.0).most_in(1.0) == 1


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.integers(1, 50))
def test_the_most_in_a_window_is_what_counting_by_hand_finds(ticks: list[int], window: int) -> None:
    by_hand = max(sum(start <= tick < start + window for tick in ticks) for start in ticks)

    assert at(*map(float, ticks)).most_in(float(window)) == by_hand


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 80)), max_size=40), st.integers(1, 60))
def test_what_surely_came_in_a_window_is_what_counting_by_hand_finds(ticks: list[tuple[int, int]], window: int) -> None:
    """Each unit may have come at any tick from its earliest to the one at which it was read."""
    spans = sorted(((read - waited, read) for read, waited in ticks), key=lambda span: span[1])
    found = Arrivals(
        np.asarray([float(read) for _, read in spans]), earliest_s=np.asarray([float(came) for came, _ in spans])
    )

    by_hand = [sum(start <= came and read < start + window for came, read in spans) for start, _ in spans]
    assert found.surely_in(float(window)) == max(by_hand, default=0)
    assert found.surely_in(float(window)) <= found.most_in(float(window))


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(1, 50))
def test_a_sink_that_never_stood_still_is_sure_of_all_that_it_counts(ticks: list[int], window: int) -> None:
    found = at(*map(float, ticks))

    assert found.surely_in(float(window)) == found.most_in(float(window))
    assert found.stood_still_s() == 0.0


def test_units_wait_only_for_the_sink_whose_dump_they_stand_in(tmp_path: Path) -> None:
    stood = dumped(tmp_path / "a.jsonl", [part("x", at_s=1.0), part("x", at_s=5.0)])
    stalls.beside(stood).write_bytes(msgspec.json.encode(Stall(4 * S, 5 * S)) + b'\n{"from_ns":')
    awake = dumped(tmp_path / "b.jsonl", [part("x", at_s=4.5)])

    found = arrivals.sms(stood, awake)

    assert found.units_s.tolist() == [1.0, 4.5, 5.0]
    assert found.earliest_s.tolist() == [1.0, 4.5, 4.0]


def test_seconds_and_spans_are_counted_from_the_instant_that_is_asked_for() -> None:
    found = at(10.0, 10.5, 11.2, 12.9)

    assert found.between(10.0, 12.0) == 3
    assert found.per_second(10.0, 13.0) == [2, 1, 1]


def test_the_longest_silence_counts_from_the_first_instant_to_the_last() -> None:
    assert at(11.0, 12.0).longest_gap_s(10.0, 15.0) == pytest.approx(3.0)
    assert at().longest_gap_s(10.0, 15.0) == pytest.approx(5.0)


def test_the_dump_of_the_sink_is_read_as_the_sink_writes_it(tmp_path: Path) -> None:
    """The fields that are read here stand in what `loadtest.sinks.smtp_mail` writes."""
    from io import StringIO

    from loadtest.sinks.smtp_mail import Dump, Mail

    out = StringIO()
    dump = Dump(out, bodies=False)
    dump.keep(
        Mail(S, "bounce+g1.7000001.1.0123456789abcdef@b.example", "an@example.org", "", b"Subject: x\r\n\r\n", True)
    )
    dump.flush()
    (tmp_path / "smtp.jsonl").write_text(out.getvalue(), encoding="utf-8")

    assert json.loads(out.getvalue())["token"] == "g1.7000001.1"
    assert arrivals.email(tmp_path / "smtp.jsonl").by_delivery == {(0x7000001, "an@example.org"): 1}
