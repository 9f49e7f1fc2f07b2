"""What begins, what is over, and by which path it is told: from facts, rows and the time alone."""

import msgspec
import pytest

from gateway.operations.alarms import (
    RULES,
    UNSEEN_MS,
    AlarmKind,
    AlarmState,
    Observation,
    judge,
    next_path,
    reaches_nobody,
    told,
)

MINUTE = 60_000
PATHS = ("email", "sms", "webhook")
SLOW = AlarmKind.CARRIER_DOWN
"""Rises in a minute and falls in two."""


class Watch:
    """The rows, as a store would keep them between two looks."""

    def __init__(self):
        self.known = {}
        self.now_ms = 1_000_000

    def look(self, bad, *, kind=SLOW, after=0, complete=(), value="v"):
        self.now_ms += after
        observed = [] if bad == "unseen" else [Observation(kind, "sms first", bad, value)]
        judged = judge(observed, self.known, complete, self.now_ms)
        for one in judged.changed:
            self.known[one.key] = one
            if one.state == AlarmState.OVER:
                del self.known[one.key]
        return [a.state for a in judged.raised], [a.key for a in judged.ended]


def test_what_is_bad_for_long_enough_is_raised_once():
    watch = Watch()
    assert watch.look(bad=True) == ([], [])
    assert watch.look(bad=True, after=MINUTE - 1) == ([], [])
    assert watch.look(bad=True, after=1) == (["standing"], [])
    assert watch.look(bad=True, after=10 * MINUTE) == ([], [])


def test_what_comes_and_goes_calls_nobody():
    watch = Watch()
    for _ in range(10):
        watch.look(bad=True)
        assert watch.look(bad=False, after=MINUTE // 2) == ([], [])
    assert watch.known == {}


def test_what_is_well_for_a_moment_is_not_over_and_not_raised_again():
    watch = Watch()
    watch.look(bad=True)
    watch.look(bad=True, after=MINUTE)
    for _ in range(5):
        assert watch.look(bad=False, after=MINUTE) == ([], [])
        assert watch.look(bad=True, after=MINUTE) == ([], [])
    watch.look(bad=False)
    assert watch.look(bad=False, after=2 * MINUTE) == ([], ["carrier-down/sms first"])
    assert watch.known == {}


def test_between_bad_and_well_what_stands_stands():
    watch = Watch()
    assert watch.look(bad=None, kind=AlarmKind.DISK_LOW) == ([], [])
    assert watch.look(bad=True, kind=AlarmKind.DISK_LOW) == (["standing"], [])
    assert watch.look(bad=None, kind=AlarmKind.DISK_LOW, after=60 * MINUTE) == ([], [])
    assert len(watch.known) == 1


def test_what_was_looked_for_and_not_found_is_well():
    watch = Watch()
    watch.look(bad=True)
    watch.look(bad=True, after=MINUTE)
    watch.look("unseen", complete={SLOW})
    assert watch.look("unseen", complete={SLOW}, after=2 * MINUTE) == ([], ["carrier-down/sms first"])


def test_what_nobody_looks_at_any_more_is_over_after_a_while():
    watch = Watch()
    watch.look(bad=True)
    watch.look(bad=True, after=MINUTE)
    assert watch.look("unseen", after=UNSEEN_MS) == ([], [])
    assert watch.look("unseen", after=1) == ([], ["carrier-down/sms first"])


def test_a_restart_repeats_nothing_and_figures_that_move_write_once_a_minute():
    watch = Watch()
    watch.look(bad=True, kind=AlarmKind.DISK_LOW, value="12 MiB")
    writes = 0
    for second in range(120):
        watch.now_ms += 1_000
        found = [Observation(AlarmKind.DISK_LOW, "sms first", bad=True, value=f"{second}")]
        judged = judge(found, dict(watch.known), (), watch.now_ms)
        assert judged.raised == ()
        writes += len(judged.changed)
        watch.known |= {one.key: one for one in judged.changed}
    assert writes == 2


def test_every_kind_has_its_rules():
    assert RULES.keys() == set(AlarmKind)


# ---- by which path -------------------------------------------------------------------------------------------------


@pytest.fixture
def alarm():
    watch = Watch()
    watch.look(bad=True, kind=AlarmKind.DISK_LOW)
    [one] = watch.known.values()
    return msgspec.structs.replace(one, raised_ms=0)


def by(alarm, path, at_ms):
    return told(alarm, path, at_ms, campaign_id=7, call_id=None)


def test_paths_are_taken_in_turn_until_one_has_taken_it(alarm):
    assert next_path(alarm, PATHS, (), 1_000, 0) == "email"
    mailed = by(alarm, "email", 0)
    assert next_path(mailed, PATHS, (), 1_000, 999) is None
    assert next_path(mailed, PATHS, (), 1_000, 1_000) == "sms"
    texted = by(mailed, "sms", 1_000)
    assert next_path(texted, PATHS, (), 1_000, 2_000) == "webhook"
    assert next_path(by(texted, "webhook", 2_000), PATHS, (), 1_000, 9_000) is None
    heard = msgspec.structs.replace(mailed, confirmed_ms=500)
    assert next_path(heard, PATHS, (), 1_000, 9_000) is None


def test_a_path_that_is_known_to_fail_comes_last_and_comes(alarm):
    assert next_path(alarm, PATHS, {"email"}, 1_000, 0) == "sms"
    assert next_path(alarm, PATHS, {"email", "sms"}, 1_000, 0) == "webhook"
    assert next_path(alarm, PATHS, set(PATHS), 1_000, 0) == "email"
    assert next_path(by(by(alarm, "sms", 0), "webhook", 0), PATHS, {"email"}, 1_000, 1_000) == "email"
    assert next_path(alarm, (), (), 1_000, 0) is None


def test_what_every_path_was_tried_for_and_none_has_taken_reaches_nobody(alarm):
    tried = by(by(alarm, "email", 0), "sms", 1_000)
    assert not reaches_nobody(tried, PATHS, 1_000, 9_000)
    assert reaches_nobody(tried, PATHS[:2], 1_000, 2_000)
    assert not reaches_nobody(tried, PATHS[:2], 1_000, 1_999), "the last one has its time, too"
    assert not reaches_nobody(msgspec.structs.replace(tried, confirmed_ms=5), PATHS[:2], 1_000, 9_000)
    assert not reaches_nobody(msgspec.structs.replace(tried, state="over"), PATHS[:2], 1_000, 9_000)
    assert not reaches_nobody(alarm, (), 1_000, 9_000)
