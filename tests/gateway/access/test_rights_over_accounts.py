"""Who raises whom: whatever is given, nobody can do afterwards what neither he nor who gave it could before."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Channel, Mode
from gateway.access import rights_over_accounts as rights_over
from gateway.access.rights import Action, Caller
from gateway.kinds import Kind
from store.access.accounts import RightRow

ZONES, NETWORKS = (1, 2), (10, 20)
A_RIGHT = st.builds(
    RightRow,
    action=st.sampled_from([str(Action.LAUNCH), str(Action.READ), str(Action.ADMINISTER)]),
    zone_id=st.sampled_from([None, *ZONES]),
    network_id=st.sampled_from([None, *NETWORKS]),
    kind=st.sampled_from(["*", "alert", "news"]),
    channel=st.sampled_from(["*", "sms", "email"]),
    mode=st.sampled_from(["*", "live", "simulation"]),
)
SEVERAL = st.lists(A_RIGHT, max_size=5)
ACTS = list(itertools.product((Action.LAUNCH, Action.READ, Action.ADMINISTER), ZONES, Kind, Channel, Mode))


def who(rights: list[RightRow], account_id: int = 7, type_: str = "administrator") -> Caller:
    return Caller(account_id, "a", "A", type_, (), (), tuple(map(rights_over.right_of, rights)))


def reaches(rights: list[RightRow]) -> dict[object, set[int]]:
    """What the rights reach: networks by act; the whole zone is both networks and all others."""
    caller = who(rights)
    found: dict[object, set[int]] = {}
    for act in ACTS:
        networks = caller.reach(*act)
        found[act] = {*NETWORKS, 99} if networks is None else set(networks)
    return found


@given(SEVERAL, SEVERAL, SEVERAL)
def test_nobody_can_do_afterwards_what_neither_could_before(
    giver: list[RightRow], before: list[RightRow], given_: list[RightRow]
):
    refused = rights_over.not_given(who(giver), given_)
    allowed = [right for right in given_ if right not in refused]

    after, own, had = reaches(before + allowed), reaches(giver), reaches(before)

    for act in ACTS:
        assert after[act] <= had[act] | own[act], act


@given(SEVERAL, SEVERAL)
def test_what_is_given_lies_in_zones_of_which_the_giver_administers_the_whole(
    giver: list[RightRow], given_: list[RightRow]
):
    refused = rights_over.not_given(who(giver), given_)
    zones = rights_over.zones_of(who(giver))

    for right in given_:
        if right not in refused:
            assert zones is None or right.zone_id in zones


@given(SEVERAL, SEVERAL, st.sampled_from([None, 7, 8]))
def test_who_lets_an_account_in_can_do_all_that_it_can(
    manager: list[RightRow], rights: list[RightRow], invited_by: int | None
):
    """By a key, an invitation or a mail address he could come in as it."""
    if not rights_over.answers_for(who(manager), rights, invited_by):
        return

    own, others = reaches(manager), reaches(rights)

    assert rights_over.manages(who(manager), rights, invited_by)
    for act in ACTS:
        assert others[act] <= own[act], act


@given(SEVERAL, SEVERAL, st.sampled_from([None, 7, 8]))
def test_who_manages_an_account_sees_it_and_sees_to_every_zone_of_it(
    manager: list[RightRow], rights: list[RightRow], invited_by: int | None
):
    if not rights_over.manages(who(manager), rights, invited_by):
        return

    zones = rights_over.zones_of(who(manager))

    assert rights_over.sees(who(manager), rights, invited_by)
    assert zones is None or {right.zone_id for right in rights} <= zones


@given(SEVERAL.filter(lambda rights: all(right.action != Action.ADMINISTER for right in rights)), SEVERAL)
def test_without_the_right_to_administer_nobody_is_seen_managed_or_raised(own: list[RightRow], rights: list[RightRow]):
    assert not rights_over.sees(who(own), rights, invited_by=7)
    assert rights_over.not_given(who(own), rights) == rights


def test_an_operator_is_made_by_who_administers_every_zone():
    every, one = RightRow("administer", None, None), RightRow("administer", 1, None)

    assert rights_over.may_make(who([every]), "operator")
    assert not rights_over.may_make(who([one]), "operator")
    assert rights_over.may_make(who([one]), "administrator")
    assert not rights_over.may_make(who([one], type_="auditor"), "officer")
    assert rights_over.may_make(who([one], type_="auditor"), "auditor")
