"""What takes a second person: every step by which somebody may do more to people than before, and no step back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.dangerous import (
    ApprovalAct,
    EnableAccount,
    MakeKey,
    OpenAccount,
    ResetFactors,
    SetRights,
    act_of,
    added,
    digest_of,
    is_dangerous,
    judge,
    read_act,
    written,
)
from gateway.access.rights import NOTHING, Action, Caller, Right

ZONES, NETWORKS = (1, 2), {1: (11, 12), 2: (21,)}
DANGEROUS = ("submit", "launch", "publish", "administer", "operate")
KINDS, CHANNELS, MODES = ("alert", "news"), ("sms", "email", "feed"), ("live", "simulation")


@st.composite
def rights(draw: st.DrawFn) -> Right:
    zone_id = draw(st.sampled_from((None, *ZONES)))
    networks = NETWORKS.get(zone_id or 0, ())
    return Right(
        draw(st.sampled_from([str(action) for action in Action])),
        zone_id,
        draw(st.sampled_from((None, *networks))),
        draw(st.sampled_from(("*", *KINDS))),
        draw(st.sampled_from(("*", *CHANNELS))),
        draw(st.sampled_from(("*", *MODES))),
    )


SOME = st.frozensets(rights(), max_size=6)


def caller(held: frozenset[Right]) -> Caller:
    return Caller(1, "x", "X", "officer", (), (), tuple(held))


def points(held: frozenset[Right]) -> set[tuple[object, ...]]:
    """All that may be done to somebody live, or by which others are ruled, as `Caller.reach` answers it."""
    found: set[tuple[object, ...]] = set()
    for action in DANGEROUS:
        modes = MODES if action in ("administer", "operate") else ("live",)
        for zone in ZONES:
            for kind in (*KINDS, "preventive"):
                for channel in (*CHANNELS, "voice"):
                    for mode in modes:
                        reach = caller(held).reach(Action(action), zone, kind, channel, mode)
                        networks = (None, *NETWORKS[zone]) if reach is None else reach or NOTHING
                        found |= {(action, zone, network, kind, channel, mode) for network in networks}
    return found


@given(SOME, SOME)
def test_nobody_may_do_more_without_a_second_person(before: frozenset[Right], after: frozenset[Right]) -> None:
    if points(after) - points(before):
        assert added(before, after)


@given(SOME, SOME)
def test_what_is_asked_for_is_dangerous_and_new(before: frozenset[Right], after: frozenset[Right]) -> None:
    new = added(before, after)

    assert new <= after - before
    assert all(is_dangerous(right) for right in new)
    assert {right.action for right in new} <= set(DANGEROUS)


@given(SOME, st.data())
def test_taking_away_is_nobodys_second_thought(before: frozenset[Right], data: st.DataObject) -> None:
    left = data.draw(st.frozensets(st.sampled_from(sorted(before, key=repr)))) if before else before

    assert added(before, left) == frozenset()


@given(SOME, SOME, SOME)
def test_who_has_more_is_given_less_and_who_is_given_more_is_given_more(
    before: frozenset[Right], after: frozenset[Right], more: frozenset[Right]
) -> None:
    assert added(before | more, after) <= added(before, after)
    assert added(before, after) <= added(before, after | more)


@given(SOME)
def test_a_narrower_right_is_had_with_the_wider_one(held: frozenset[Right]) -> None:
    narrower = frozenset(
        Right(r.action, r.zone_id or 1, r.network_id or NETWORKS[r.zone_id or 1][0], "alert", "sms", "live")
        for r in held
        if (r.kind, r.channel, r.mode) == ("*", "*", "*")
    )

    assert added(held, narrower) == frozenset()


@pytest.mark.parametrize("action", [str(action) for action in Action])
def test_which_rights_are_dangerous(action: str) -> None:
    live, simulated = Right(action, 1, None, "*", "*"), Right(action, 1, None, "*", "*", "simulation")

    assert is_dangerous(live) == (action in DANGEROUS)
    assert is_dangerous(simulated) == (action in ("administer", "operate"))


# ---- changes -------------------------------------------------------------------------------------------------------

LAUNCH, READ = Right("launch", 1, None, "*", "*"), Right("read", 1, None, "*", "*")
ELSEWHERE, EVERYWHERE = Right("launch", 2, None, "*", "*"), Right("operate", None, None, "*", "*")
HELD = {"sends": frozenset({LAUNCH, READ}), "reads": frozenset({READ}), "bare": frozenset()}
KEY = ("0" * 12, "a" * 64)


@pytest.mark.parametrize(
    ("changes", "zones"),
    [
        ([OpenAccount("new", "New", "officer", (READ,))], set()),
        ([OpenAccount("new", "New", "officer", (READ, LAUNCH))], {1}),
        ([OpenAccount("new", "New", "operator", (EVERYWHERE,))], None),
        ([SetRights("reads", (READ, ELSEWHERE))], {2}),
        ([SetRights("sends", (LAUNCH,))], set()),
        ([SetRights("sends", ())], set()),
        ([MakeKey("sends", *KEY)], {1}),
        ([MakeKey("reads", *KEY)], set()),
        ([MakeKey("sends", *KEY, simulates_only=True)], set()),
        ([EnableAccount("sends")], {1}),
        ([EnableAccount("reads")], set()),
        ([SetRights("reads", (READ, ELSEWHERE)), MakeKey("sends", *KEY)], {1, 2}),
        # What an act takes away first it gives anew.
        ([SetRights("sends", ()), SetRights("sends", (LAUNCH,))], {1}),
        ([OpenAccount("new", "New", "officer", (LAUNCH,)), MakeKey("new", *KEY)], {1}),
        ([], set()),
    ],
)
def test_where_an_act_is_dangerous(changes: list[object], zones: set[int] | None) -> None:
    danger = judge(changes, HELD)  # type: ignore[arg-type]

    assert danger.zones == zones
    assert danger.is_any == (zones != set())
    assert not danger.takes_two
    assert danger.zone_id == (min(zones) if zones is not None and len(zones) == 1 else None)


@pytest.mark.parametrize(("account", "zones"), [("sends", {1}), ("reads", {1}), ("bare", None)])
def test_a_persons_factors_are_reset_by_two_whatever_rights_there_are(account: str, zones: set[int] | None) -> None:
    danger = judge([ResetFactors(account), SetRights("sends", ())], HELD)

    assert (danger.zones, danger.takes_two) == (zones, True)


# ---- the digest ----------------------------------------------------------------------------------------------------

CHANGES = [OpenAccount("new", "Zoë", "officer", (READ,)), SetRights("sends", (LAUNCH,)), MakeKey("sends", *KEY)]


def test_the_digest_is_of_all_that_is_done_and_of_nothing_else() -> None:
    act = act_of(CHANGES, HELD)
    text = written(act)

    assert read_act(text) == act
    assert written(act_of(CHANGES, dict(reversed(HELD.items())))) == text
    others = [
        act_of(CHANGES[:2], HELD),
        act_of(CHANGES[::-1], HELD),
        act_of(CHANGES, HELD | {"reads": frozenset()}),
        act_of([*CHANGES[:2], MakeKey("sends", KEY[0], "b" * 64)], HELD),
        act_of([*CHANGES[:2], MakeKey("sends", *KEY, expires_ms=1)], HELD),
        ApprovalAct((), {}),
    ]
    assert len({digest_of(written(one)) for one in (act, *others)}) == 1 + len(others)


@given(SOME)
def test_an_act_is_written_in_one_form_whatever_the_order_of_rights(held: frozenset[Right]) -> None:
    one, other = (act_of([], {"a": frozenset(order)}) for order in (sorted(held, key=repr), sorted(held, key=hash)))

    assert written(one) == written(other)
    assert read_act(written(one)) == one
