"""Hypothesis strategies for alerts that obey every rule, with everything in them that CAP can say."""

from datetime import UTC, datetime, timedelta, timezone

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
)
from cap.text_values import is_blank

NAMES = st.text(st.sampled_from("abcZ09.-:@_/é"), min_size=1, max_size=20)
# Everything that XML 1.0 can hold, with markup, quotes, line ends and spaces in front.
PLAIN = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
TEXTS = st.text(st.sampled_from("<>&'\"\r\n\t ]") | PLAIN, max_size=30)
WORDS = TEXTS.filter(lambda text: not is_blank(text))
MOMENTS = st.builds(
    lambda moment, minutes: moment.replace(tzinfo=timezone(timedelta(minutes=minutes)), microsecond=0),
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)),  # noqa: DTZ001 - the offset is drawn apart
    st.integers(-14 * 60, 14 * 60),
)
ITEMS = st.text(st.sampled_from("ab: \t\n+é"), min_size=1, max_size=12).filter(str.strip)
PAIRS = st.builds(ValuePair, WORDS, TEXTS)
CODES = st.builds(ValuePair, WORDS, WORDS)
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
    geocodes=tuples(CODES),
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
