"""A snapshot that was brought up to date is the one that a read of the whole register would have given."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.directory.renewal import renewed
from gateway.directory.snapshot import Leavers, Snapshot
from gateway.kinds import Kind
from store.register.reading import ContactType
from tests.gateway.directory.town import Net, Person, Town, changes_between

IDS = st.integers(1, 9)
SPOTS = st.none() | st.tuples(st.integers(33_000_000, 33_000_009), st.integers(506_000_000, 506_000_009))
CONTACTS = st.lists(
    st.tuples(st.sampled_from(ContactType), st.integers(1, 5)), max_size=3, unique_by=lambda contact: contact
).map(tuple)
WISHES = st.tuples(st.sampled_from(["alert", "news", "info", "spam", "*"]), st.sampled_from(["sms", "voice", "*"]))


def people() -> st.SearchStrategy[tuple[Person, ...]]:
    someone = st.builds(
        Person,
        id=IDS,
        position=SPOTS,
        language=st.sampled_from(["nl", "fr", "de", ""]),
        refnis=st.sampled_from([0, 57081, 55010]),
        postcode=st.sampled_from([0, 7500]),
        opt_outs=st.frozensets(st.sampled_from(Kind), max_size=2),
        contacts=CONTACTS,
        wishes=st.frozensets(WISHES, max_size=2),
        left=st.frozensets(st.tuples(st.integers(20, 24), WISHES), max_size=2),
    )
    return st.lists(someone, max_size=7, unique_by=lambda person: person.id).map(tuple)


def towns() -> st.SearchStrategy[Town]:
    corner = st.tuples(st.integers(0, 9), st.integers(0, 9))
    net = st.builds(
        Net,
        id=st.integers(20, 24),
        code=st.just(""),
        members=st.frozensets(IDS, max_size=6),
        territory=st.sampled_from([(), ((0, 0), (0, 9), (9, 9)), ((1, 1), (1, 5), (5, 5))]) | st.tuples(corner),
        codes=st.frozensets(st.sampled_from([("REFNIS", "57081"), ("POSTCODE", "7500")]), max_size=2),
    )
    nets = st.lists(net, max_size=4, unique_by=lambda one: one.id).map(
        lambda some: tuple(replace(one, code=f"N{one.id}") for one in some)
    )
    groups = st.dictionaries(st.sampled_from("ABC"), st.frozensets(IDS, max_size=6), max_size=3)
    silent = st.frozensets(st.tuples(st.integers(1, 5), WISHES), max_size=3)
    return st.builds(Town, people(), nets, groups, st.sampled_from([1, 2]), silent=silent)


def seen(snapshot: Snapshot) -> dict[str, Any]:
    """All that a resolver can see of a snapshot: the numbers of languages and of addresses are its own."""
    return {
        "zone": (snapshot.zone_id, snapshot.code, snapshot.convention, snapshot.revision, len(snapshot)),
        "members": [
            (int(i), snapshot.languages[language], *map(int, others))
            for i, language, *others in zip(
                snapshot.member_id, snapshot.language, snapshot.refnis, snapshot.postcode, snapshot.opt_outs,
                snapshot.has_position, strict=True,
            )
        ],
        "grid": sorted(zip(*(map(int, column) for column in (
            snapshot.grid.cell, snapshot.grid.lon_e7, snapshot.grid.lat_e7, snapshot.grid.row)), strict=True)),
        "ascending cells": bool((np.diff(snapshot.grid.cell) >= 0).all()),
        "networks": (snapshot.networks.code, dict(snapshot.networks.by_code), links_of(snapshot.networks)),
        "placed": (snapshot.networks.placed.tolist(), snapshot.networks.has_territory.tolist()),
        "geocodes": {code: places.tolist() for code, places in snapshot.networks.by_geocode.items()},
        "systems": {system: mask.tolist() for system, mask in snapshot.networks.has_system.items()},
        "groups": (dict(snapshot.groups.by_code), links_of(snapshot.groups)),
        "best": {
            channel: [
                (int(contact), int(address), bool(dense >= 0))
                for contact, address, dense in zip(best.contact_id, best.address_id, best.dense, strict=True)
            ]
            for channel, best in snapshot.best.items()
        },
        "detours": {
            (channel, kind): list(zip(*(column.tolist() for column in (
                detour.row, detour.contact_id, detour.address_id, detour.dense >= 0)), strict=True))
            for channel, best in snapshot.best.items()
            for kind, detour in best.detours.items()
        },
        "leavers": said_of(snapshot.leavers),
    }  # fmt: skip


def said_of(leavers: Leavers) -> dict[tuple[int, int], int]:
    """Opt-outs of one member and network together: they may be told in any number of rows."""
    said: dict[tuple[int, int], int] = {}
    for row, network, bits in zip(leavers.row, leavers.network_id, leavers.wishes, strict=True):
        said[int(row), int(network)] = said.get((int(row), int(network)), 0) | int(bits)
    return said


def links_of(sets: Any) -> dict[int, list[int]]:
    return {int(i): sets.members.of(np.array([n])).tolist() for n, i in enumerate(sets.id)}


def require_sound_addresses(snapshot: Snapshot) -> None:
    """One number for one address, below the bound: what tells two members of one telephone apart from two of two."""
    for best in snapshot.best.values():
        pairs: set[tuple[int, int]] = set()
        for address_id, dense in best.columns():
            has = dense >= 0
            pairs |= set(zip(address_id[has].tolist(), dense[has].tolist(), strict=True))
            assert (address_id[~has] == 0).all()
        assert len(pairs) == len({address for address, _ in pairs}) == len({number for _, number in pairs})
        assert max((number for _, number in pairs), default=-1) < best.addresses


@settings(max_examples=400, deadline=None)
@given(st.lists(towns(), min_size=2, max_size=5))
def test_whatever_changes_the_snapshot_is_that_of_the_whole_register(lives: list[Town]) -> None:
    lives = [replace(town, revision=number) for number, town in enumerate(lives, 1)]
    snapshot = lives[0].snapshot()
    for before, after in itertools.pairwise(lives):
        snapshot = renewed(snapshot, changes_between(before, after))

        assert seen(snapshot) == seen(after.snapshot())
        require_sound_addresses(snapshot)


def test_numbers_of_addresses_do_not_grow_for_ever() -> None:
    def life(number: int) -> Town:
        return Town((Person(1, contacts=((ContactType.MOBILE, number),)),), revision=number)

    snapshot = life(1).snapshot()
    for number in range(2, 2_500):
        snapshot = renewed(snapshot, changes_between(life(number - 1), life(number)))

    assert max(best.addresses for best in snapshot.best.values()) < 1_100
    require_sound_addresses(snapshot)


def test_what_did_not_change_of_a_zone_is_not_made_again() -> None:
    before = Town((Person(1), Person(2)), (Net(20, "N", frozenset({1}), ((0, 0), (0, 9), (9, 9))),))
    after = replace(before, people=(Person(1), Person(2, language="fr")), revision=2)
    old = before.snapshot()

    assert renewed(old, changes_between(before, after)).networks.territories is old.networks.territories
