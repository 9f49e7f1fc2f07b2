"""Rights: what a set of them gives, in every dimension, and never more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Channel, Mode
from gateway.access.rights import NOTHING, Action, Caller, Right
from gateway.kinds import Kind

ZONES, NETWORKS = (1, 2), (11, 12)
a_right = st.builds(
    Right,
    action=st.sampled_from(list(Action)).map(str),
    zone_id=st.sampled_from([None, *ZONES]),
    network_id=st.sampled_from([None, *NETWORKS]),
    kind=st.sampled_from(["*", *Kind]).map(str),
    channel=st.sampled_from(["*", *Channel]).map(str),
    mode=st.sampled_from(["*", *Mode]).map(str),
)
some_rights = st.lists(a_right, max_size=6).map(tuple)
an_act = st.tuples(
    st.sampled_from(list(Action)), st.sampled_from(ZONES), st.sampled_from(list(Kind)), st.sampled_from(list(Channel)),
    st.sampled_from(list(Mode)),
)  # fmt: skip


def caller(*rights: Right) -> Caller:
    return Caller(account_id=7, code="c", name="C", type="officer", senders=(), kind_rules=(), rights=rights)


def gives(right: Right, act: tuple[str, ...]) -> bool:
    """By the words of the table: a star, or nothing, is everything."""
    held = (right.action, right.zone_id or "*", right.kind, right.channel, right.mode)
    return all(own in ("*", wanted) for own, wanted in zip(held, act, strict=True))


@given(some_rights, an_act)
def test_what_is_reached_is_the_union_of_the_rights_that_give_it(rights, act):
    giving = [right for right in rights if gives(right, act)]

    reached = caller(*rights).reach(*act)

    if any(right.network_id is None for right in giving):
        assert reached is None
    else:
        assert reached == {right.network_id for right in giving}


@given(some_rights, some_rights, an_act)
def test_fewer_rights_never_reach_more(some, more, act):
    few, many = caller(*some).reach(*act), caller(*some, *more).reach(*act)

    assert many is None or (few is not None and few <= many)


@given(some_rights, an_act, st.sets(st.sampled_from(list(Channel))), st.sampled_from([7, 8]))
def test_an_act_upon_several_channels_needs_each_of_them(rights, act, channels, decided_by):
    action, zone, kind, _, mode = act
    who = caller(*rights)

    may = who.may(action, zone, kind, channels, mode, decided_by=decided_by)

    each = [who.reach(action, zone, kind, channel, mode) for channel in channels]
    whole = all(networks is None for networks in each)
    own = decided_by == 7 and all(networks != NOTHING for networks in each)
    assert may == (bool(channels) and (whole or own))


@given(some_rights, an_act)
def test_a_zone_is_somebodys_business_where_anything_is_reached_in_it(rights, act):
    action, zone, *_ = act
    who = caller(*rights)

    if who.reach(*act) != NOTHING:
        assert who.may_in(action, zone)
        assert Channel(act[3]) in who.channels(action, zone, act[2], act[4])


@pytest.mark.parametrize(
    ("held", "zones", "only"),
    [
        ((), frozenset(), None),
        ((1, 1), frozenset({1}), 1),
        ((1, 2), frozenset({1, 2}), None),
        ((1, None), None, None),
    ],
)
def test_whose_zone_somebody_is_of(held, zones, only):
    found = caller(*(Right("read", zone, None, "news", "email") for zone in held))

    assert (found.zones, found.only_zone) == (zones, only)
