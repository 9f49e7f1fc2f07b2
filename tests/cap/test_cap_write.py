"""What is written is read back as it was, in the same bytes each time, in the spelling of the standard."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cap import (
    Alert,
    Area,
    Category,
    Certainty,
    Circle,
    Info,
    MsgType,
    Reference,
    Resource,
    ResponseType,
    Scope,
    Severity,
    Status,
    Urgency,
    ValuePair,
    check,
    read,
    write,
)
from tests.cap.documents import BASE

NAMES = st.text(st.sampled_from("abcZ09.-:@_/é"), min_size=1, max_size=20)
# Everything that XML 1.0 can hold, with markup, quotes, line ends and spaces in front.
PLAIN = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
TEXTS = st.text(st.sampled_from("<>&'\"\r\n\t ]") | PLAIN, max_size=30)
WORDS = TEXTS.filter(str.strip)
MOMENTS = st.builds(
    lambda moment, minutes: moment.replace(tzinfo=timezone(timedelta(minutes=minutes)), microsecond=0),
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)),  # noqa: DTZ001 - the offset is drawn apart
    st.integers(-14 * 60, 14 * 60),
)
ITEMS = st.text(st.sampled_from("ab: \t\n+é"), min_size=1, max_size=12).filter(str.strip)
PAIRS = st.builds(ValuePair, WORDS, TEXTS)
LATS = st.floats(-90, 90)
LONS = st.floats(-180, 180)
RINGS = st.lists(st.tuples(LATS, LONS), min_size=3, max_size=6).map(lambda points: (*points, points[0]))


def tuples(values, size=2):
    return st.lists(values, max_size=size).map(tuple)


AREAS = st.builds(
    Area,
    description=WORDS,
    polygons=tuples(RINGS),
    circles=tuples(st.builds(Circle, LATS, LONS, st.floats(0, 1e300))),
    geocodes=tuples(PAIRS),
    altitude=st.floats(-1e6, 0),
    ceiling=st.none() | st.floats(0, 1e6),
)
RESOURCES = st.builds(
    Resource,
    description=TEXTS,
    mime_type=st.sampled_from(["image/png", "text/plain;charset=utf-8"]),
    size=st.none() | st.integers(0, 10**12),
    uri=st.sampled_from(["", "https://a.example/b?c&d"]),
    deref_uri=st.sampled_from(["", "YWJj"]),
    digest=st.sampled_from(["", "a9993e364706816aba3e25717850c26c9cd0d89d"]),
)
INFOS = st.builds(
    Info,
    categories=st.lists(st.sampled_from(Category), min_size=1, max_size=3).map(tuple),
    event=WORDS,
    urgency=st.sampled_from(Urgency),
    severity=st.sampled_from(Severity),
    certainty=st.sampled_from(Certainty),
    language=st.sampled_from(["", "nl-BE", "de"]),
    response_types=tuples(st.sampled_from(ResponseType)),
    audience=TEXTS,
    event_codes=tuples(PAIRS),
    effective=st.none() | MOMENTS,
    onset=st.none(),
    expires=st.just(datetime(2100, 1, 2, tzinfo=UTC)),
    sender_name=TEXTS,
    headline=TEXTS,
    description=TEXTS,
    instruction=TEXTS,
    web=st.sampled_from(["", "https://a.example/b?c&d"]),
    contact=TEXTS,
    parameters=tuples(PAIRS),
    resources=tuples(RESOURCES),
    areas=tuples(AREAS),
)
ALERTS = st.builds(
    Alert,
    identifier=NAMES,
    sender=NAMES,
    sent=MOMENTS,
    status=st.sampled_from(Status),
    msg_type=st.sampled_from(MsgType),
    scope=st.sampled_from(Scope),
    source=TEXTS,
    restriction=WORDS,
    addresses=st.lists(ITEMS, min_size=1, max_size=3).map(tuple),
    codes=tuples(TEXTS),
    note=TEXTS,
    references=st.lists(
        st.builds(Reference, NAMES, NAMES, st.just(datetime(1999, 1, 1, tzinfo=UTC))), min_size=1, max_size=2
    ).map(tuple),
    incidents=tuples(ITEMS),
    infos=st.lists(INFOS, min_size=1, max_size=1).map(tuple),
)


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
