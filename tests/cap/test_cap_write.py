"""What is written is read back as it was, in the same bytes each time, in the spelling of the standard."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings

from cap import (
    Alert,
    Area,
    Category,
    Certainty,
    Circle,
    Info,
    MsgType,
    Scope,
    Severity,
    Status,
    Urgency,
    check,
    read,
    write,
)
from tests.cap.documents import BASE
from tests.cap.strategies import ALERTS, MOMENTS


@settings(max_examples=200, deadline=None)
@given(ALERTS)
def test_what_is_written_is_read_back_as_it_was(alert):
    reading = read(write(alert))

    assert reading.accepted, reading.problems
    assert reading.alert == alert


@settings(deadline=None)
@given(MOMENTS)
def test_a_time_keeps_its_offset_on_the_way_through_a_document(sent):
    alert = read(write(Alert("i", "s", sent, Status.TEST, MsgType.ALERT, Scope.PUBLIC))).alert

    assert alert.sent == sent
    assert alert.sent.utcoffset() == sent.utcoffset()


def test_the_same_alert_is_always_the_same_bytes():
    alert = read(BASE.encode()).alert

    assert write(alert) == write(read(write(alert)).alert)
    assert write(alert).startswith(b"<?xml version='1.0' encoding='UTF-8'?>\n<alert xmlns=\"urn:oasis")


def test_utc_is_written_minus_zero():
    alert = Alert("i", "s", datetime(2026, 5, 11, 19, 40, tzinfo=UTC), Status.TEST, MsgType.ALERT, Scope.PUBLIC)

    assert b"<sent>2026-05-11T19:40:00-00:00</sent>" in write(alert)


def test_small_numbers_are_written_without_an_exponent():
    area = Area("a", circles=(Circle(1e-7, -1e-20, 1e22),))
    info = Info((Category.MET,), "e", Urgency.PAST, Severity.MINOR, Certainty.LIKELY, areas=(area,))
    sent = datetime(2026, 1, 1, tzinfo=UTC)

    document = write(Alert("i", "s", sent, Status.TEST, MsgType.ALERT, Scope.PUBLIC, infos=(info,)))

    assert b"<circle>0.0000001,-0.00000000000000000001 10000000000000000000000</circle>" in document


@pytest.mark.parametrize(
    "change",
    [
        {"sent": datetime(2026, 1, 1)},  # noqa: DTZ001 - the fault that is meant
        {"sent": datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)},
        {"sent": datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=30)))},
        {"addresses": ('a"b',)},
        {"incidents": (" ",)},
        {"note": "\x07"},
    ],
)
def test_what_cap_cannot_say_is_not_written(change):
    fields = {"identifier": "i", "sender": "s", "sent": datetime(2026, 1, 1, tzinfo=UTC), **change}

    with pytest.raises(ValueError, match=r"."):
        write(Alert(status=Status.TEST, msg_type=MsgType.ALERT, scope=Scope.PUBLIC, **fields))


def test_a_composed_alert_is_held_to_the_same_rules():
    sent = datetime(2026, 1, 1, tzinfo=UTC)

    problems = check(Alert("i", "s", sent, Status.ACTUAL, MsgType.CANCEL, Scope.PRIVATE))

    assert [problem.rule for problem in problems] == ["A-REFS-REQ", "A-SCOPE-ADDR"]
