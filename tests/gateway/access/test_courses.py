"""When a course still counts, by the days of Europe/Brussels; and whose courses are whose to note."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Mode
from gateway.access.courses import CourseRequest, is_recent, refusal_to_note, sees, takes_course, unsound
from gateway.access.rights import Action, Caller, Right
from gateway.directory.zone_policy import day_of
from gateway.kinds import Kind
from store.access.courses import TaughtAccount

DAYS = st.dates(date(1990, 1, 1), date(2090, 1, 1))
TODAY = date(2026, 3, 1)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def account(*zones: int | None, type_: str = "officer", number: int = 1, narrowed: bool = False) -> Caller:
    kind = "news" if narrowed else "*"
    rights = tuple(Right(Action.ADMINISTER, zone, None, kind, "*") for zone in zones)
    return Caller(account_id=number, code="", name="", type=type_, senders=(), kind_rules=(), rights=rights)


# ---- days ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2026-01-10T22:59:59.999+00:00", "2026-01-10"),
        ("2026-01-10T23:00:00+00:00", "2026-01-11"),
        ("2026-07-10T21:59:59.999+00:00", "2026-07-10"),
        ("2026-07-10T22:00:00+00:00", "2026-07-11"),
        ("2026-03-28T23:00:00+00:00", "2026-03-29"),
        ("2026-03-29T21:59:59.999+00:00", "2026-03-29"),
        ("2026-10-24T22:00:00+00:00", "2026-10-25"),
        ("2026-10-25T22:59:59.999+00:00", "2026-10-25"),
    ],
)
def test_a_day_begins_at_midnight_in_brussels_in_winter_in_summer_and_where_the_clock_is_moved(instant: str, day: str):
    assert day_of(at(instant)).isoformat() == day


@given(last=DAYS, within=st.integers(1, 3650))
def test_a_course_counts_from_its_day_to_the_last_millisecond_of_the_nth_day_after_it(last: date, within: int):
    ends = last + timedelta(days=within + 1)
    midnight = datetime(ends.year, ends.month, ends.day, tzinfo=ZoneInfo("Europe/Brussels")).astimezone(UTC)
    over_ms = int(midnight.timestamp()) * 1000

    assert is_recent(last, day_of(over_ms - 1), within)
    assert not is_recent(last, day_of(over_ms), within)


@given(last=DAYS, today=DAYS, within=st.integers(1, 3650))
def test_it_counts_for_longer_where_more_days_are_given_and_never_before_its_day(last: date, today: date, within: int):
    if is_recent(last, today, within):
        assert is_recent(last, today, within + 1)
        assert last <= today <= last + timedelta(days=within)
    assert not is_recent(last, last - timedelta(days=1), within)
    assert not is_recent(None, today, within)


# ---- who needs one -------------------------------------------------------------------------------------------------


def test_only_a_live_alert_of_a_person_may_take_a_course():
    live = [kind for kind in Kind if takes_course(account(1), kind, Mode.LIVE)]

    assert live == [Kind.ALERT]
    assert not any(takes_course(account(1), kind, Mode.SIMULATION) for kind in Kind)
    assert not takes_course(account(1, type_="cic"), Kind.ALERT, Mode.LIVE)


# ---- who notes them ------------------------------------------------------------------------------------------------


def taught(*zones: int | None) -> TaughtAccount:
    return TaughtAccount(7, "elise", frozenset(zones))


@pytest.mark.parametrize(
    ("administers", "has_rights_in", "sees_it", "notes_it"),
    [
        ((1,), (1,), True, True),
        ((1, 2), (1, 2), True, True),
        ((1,), (1, 2), True, False),
        ((1,), (2,), False, False),
        ((1,), (None,), False, False),
        ((1,), (1, None), True, False),
        ((1,), (), False, False),
        ((None,), (1, None), True, True),
        ((None,), (), True, True),
        ((), (1,), False, False),
    ],
)
def test_courses_are_seen_in_a_zone_of_the_account_and_noted_by_who_administers_all_of_them(
    administers: tuple[int | None, ...], has_rights_in: tuple[int | None, ...], sees_it: bool, notes_it: bool
):
    caller, elise = account(*administers), taught(*has_rights_in)

    assert sees(caller, elise) == sees_it
    assert (sees(caller, elise) and refusal_to_note(caller, elise) is None) == notes_it


def test_a_right_that_is_narrowed_keeps_no_accounts():
    assert not sees(account(1, narrowed=True), taught(1))


def test_nobody_notes_their_own_nor_for_whom_they_act():
    own = refusal_to_note(account(None, number=7), taught(1))
    acting = Caller(
        account_id=1, code="", name="", type="operator", senders=(), kind_rules=(), rights=account(None).rights,
        behalf_id=7,
    )  # fmt: skip
    behalf = refusal_to_note(acting, taught(1))

    assert [reason.cause for reason in (own, behalf) if reason is not None] == ["own", "own"]


@pytest.mark.parametrize(
    ("name", "day", "cause"),
    [
        ("BIN", "2026-03-02", "day"),
        ("BIN", "1989-12-31", "day"),
        ("B\u202eIN", "2026-03-01", "name"),
        ("BIN\n", "2026-03-01", "name"),
        (" ", "2026-03-01", "name"),
    ],
)
def test_a_course_to_come_or_without_a_name_that_can_be_seen_is_none(name: str, day: str, cause: str):
    fault = unsound(CourseRequest(name, date.fromisoformat(day)), TODAY)

    assert fault is not None
    assert fault.cause == cause
    assert unsound(CourseRequest("Élan, deel 1", TODAY), TODAY) is None
