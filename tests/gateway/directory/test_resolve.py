"""Who is concerned and who is reached, against a plain reading of the rules in sets and loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.contract import Channel
from gateway.directory.audience import CHANNELS, decode
from gateway.directory.problem import TargetFault, TargetSeverity
from gateway.directory.reasons import ExclusionReason
from gateway.directory.resolve import Readers, ResolveRequest, resolve
from gateway.directory.targets import CircleTarget, GeocodeTarget, PolygonTarget, Targets
from gateway.directory.zone_policy import AreaMode
from gateway.kinds import KINDS, Kind
from store.register.reading import ContactType
from tests.gateway.directory.town import Net, Person, Town, contact_id, degrees, ring

LON, LAT = 43_000_000, 508_000_000
STEP = 100_000  # a lattice of some kilometre, so that boundaries are hit often
MOBILE, LANDLINE, EMAIL = ContactType
SMS, MAIL, VOICE = Channel.SMS, Channel.EMAIL, Channel.VOICE
USES = {SMS: [MOBILE], MAIL: [EMAIL], VOICE: [MOBILE, LANDLINE]}


def _at(x, y):
    return LON + x * STEP, LAT + y * STEP


def _box(x, y, width, height):
    return _at(x, y), _at(x + width, y), _at(x + width, y + height), _at(x, y + height)


def _area(name, box):
    return PolygonTarget(name, ring(box))


def _ask(targets, **more):
    defaults = {"kind": Kind.ALERT, "channels": (SMS,), "languages": ("nl",), "area_mode": AreaMode.MEMBERS}
    return ResolveRequest(targets=targets, **(defaults | more))


def _mobile(id_, address=None, **more):
    return Person(id_, contacts=((MOBILE, address or 1000 + id_),), **more)


def _reached(resolution, channel=SMS):
    return resolution.audience.deliveries[channel].member_id.tolist()


def _faults(resolution):
    return [(problem.fault, problem.severity) for problem in resolution.problems]


# ---- the oracle ---------------------------------------------------------------------------------------------

_place = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda p: _at(*p))
_box_ = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.integers(1, 3)).map(lambda b: _box(*b))
_kinds = st.frozensets(st.sampled_from(Kind), max_size=2)
_wish = st.tuples(st.sampled_from([*Kind, "*", "spam"]), st.sampled_from([*Channel, "*", "pigeon"]))
_left = st.frozensets(st.tuples(st.integers(900, 902), _wish), max_size=3)
_contact = st.tuples(st.sampled_from(ContactType), st.integers(1, 9)).map(
    lambda c: (c[0], c[1] + 100 * (c[0] is EMAIL))  # a telephone number is no mailbox
)


@st.composite
def towns(draw):
    ids = draw(st.lists(st.integers(1, 40), unique=True, max_size=10))
    some = st.frozensets(st.sampled_from(ids), max_size=5) if ids else st.just(frozenset())
    people = tuple(
        Person(
            id_,
            draw(st.none() | _place),
            draw(st.sampled_from(["nl", "fr", "de", "xx", ""])),
            draw(st.sampled_from([0, 11001, 62063])),
            draw(st.sampled_from([0, 7500])),
            draw(_kinds),
            tuple(draw(st.lists(_contact, max_size=4))),
            draw(st.frozensets(_wish, max_size=1)),
            draw(_left),
        )
        for id_ in ids
    )
    codes = st.frozensets(st.sampled_from([("REFNIS", "62063"), ("POSTCODE", "7500"), ("POLICEZONE", "9999")]))
    nets = tuple(
        Net(900 + n, f"N{n}", draw(some), draw(st.just(()) | _box_), draw(codes))
        for n in range(draw(st.integers(0, 3)))
    )
    groups = {"G1": draw(some), "G2": draw(some)}
    addresses = st.integers(1, 9) | st.integers(101, 109)
    silent = draw(st.frozensets(st.tuples(addresses, _wish), max_size=4))
    return Town(people, nets, groups, draw(st.sampled_from([1, 2])), silent=silent)


@st.composite
def requests(draw):
    codes = st.sampled_from(
        [("REFNIS", "62063"), ("POSTCODE", "7500"), ("POLICEZONE", "9999"), ("POLICEZONE", "5301"), ("PLP", "N0")]
    )
    targets = Targets(
        polygons=tuple(_area("a", box) for box in draw(st.lists(_box_, max_size=2))),
        geocodes=tuple(GeocodeTarget("c", *code) for code in draw(st.lists(codes, max_size=2))),
        networks=tuple(draw(st.lists(st.sampled_from(["N0", "N1", "unknown"]), max_size=2))),
        groups=tuple(draw(st.lists(st.sampled_from(["G1", "G2"]), max_size=1))),
        whole_zone=draw(st.integers(0, 9)) == 0,
    )
    return _ask(
        targets,
        kind=draw(st.sampled_from(Kind)),
        channels=tuple(draw(st.sets(st.sampled_from(CHANNELS), min_size=1))),
        languages=draw(st.sampled_from([("nl",), ("fr-BE", "de"), ("en", "nl", "fr")])),
        area_mode=draw(st.sampled_from(AreaMode)),
        also_members=tuple(draw(st.sets(st.integers(1, 45), max_size=3))),
        only_networks=draw(st.none() | st.frozensets(st.sampled_from([900, 901, 902]), max_size=2)),
        unavailable=draw(st.frozensets(st.sampled_from(CHANNELS), max_size=1)),
    )


def _bounds(corners):
    xs, ys = [c[0] for c in corners], [c[1] for c in corners]
    return min(xs), min(ys), max(xs), max(ys)


def _holds(box, point):
    west, south, east, north = _bounds(box)
    return point is not None and west <= point[0] <= east and south <= point[1] <= north


def _overlap(one, other):
    a, b = _bounds(one), _bounds(other)
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _corners(target):
    return [(round(lon * 1e7), round(lat * 1e7)) for lat, lon in target.points]


def _concerned(town, request):
    """Ids, read from the rules of design section 2 without a thought for speed."""
    everyone = {p.id: p for p in town.people}
    nets = [n for n in town.nets if request.only_networks is None or n.id in request.only_networks]
    in_nets = set().union(*(n.members for n in nets)) if nets else set()
    in_groups = set().union(*town.groups.values())
    restricted = request.only_networks is not None
    by_area = in_nets if restricted or town.convention == 2 else set(everyone)
    by_group = in_nets if restricted else set(everyone)
    by_thread = in_nets if restricted else (in_nets | in_groups if town.convention == 2 else set(everyone))
    groups_mode = request.area_mode is AreaMode.GROUPS
    found = {i for i in request.also_members if i in everyone} & by_thread

    def place(net_fits, net_silent, own, own_unknown):
        met = set().union(*(n.members for n in nets if net_fits(n)))
        if groups_mode:
            silent = set().union(*(n.members for n in nets if net_silent(n)))
            return met | {i for i in silent if own(everyone[i])}
        return {i for i in by_area if own(everyone[i])} | {i for i in met if own_unknown(everyone[i])}

    for target in request.targets.polygons:
        box = _corners(target)
        found |= place(
            lambda n, box=box: bool(n.territory) and _overlap(box, n.territory),
            lambda n: not n.territory,
            lambda p, box=box: _holds(box, p.position),
            lambda p: p.position is None,
        )
    for code in request.targets.geocodes:
        if code.system == "POLICEZONE" and code.value == town.code:
            found |= by_thread
        elif code.system == "POLICEZONE":
            found |= set().union(*(n.members for n in nets if (code.system, code.value) in n.codes))
        elif code.system == "PLP":
            found |= set().union(*(n.members for n in nets if n.code == code.value))
        else:
            column = code.system.lower()
            found |= place(
                lambda n, code=code: (code.system, code.value) in n.codes,
                lambda n, code=code: all(system != code.system for system, _ in n.codes),
                lambda p, column=column, code=code: getattr(p, column) == int(code.value),
                lambda p, column=column: getattr(p, column) == 0,
            )
    for name in request.targets.networks:
        found |= set().union(*(n.members for n in nets if n.code == name))
    for name in request.targets.groups:
        found |= town.groups[name] & by_group
    return found | (by_thread if request.targets.whole_zone else set())


def _usable(person, channel):
    """(contact, address), the preferred first."""
    ranked = [(contact_id(person, rank), *contact) for rank, contact in enumerate(person.contacts)]
    return [(contact, address) for type_ in USES[channel] for contact, own, address in ranked if own is type_]


def _counts(wishes, kind, channel):
    """Whether any opt-out of some is one from this message: never from an alert."""
    return KINDS[kind].opt_outs_count and any(said in (kind, "*") and by in (channel, "*") for said, by in wishes)


def _without_left(town, kind, channel):
    """As if nobody were a member of a network whose messages they do not want."""
    left = {(net, p.id) for p in town.people for net, wish in p.left if _counts([wish], kind, channel)}
    nets = tuple(replace(n, members=frozenset(m for m in n.members if (n.id, m) not in left)) for n in town.nets)
    return replace(town, nets=nets)


def _way(town, person, kind, channel):
    """The contact that is used, or why there is none."""
    usable = _usable(person, channel)
    willing = [
        (contact, address)
        for contact, address in usable
        if not _counts([wish for said, wish in town.silent if said == address], kind, channel)
    ]
    if willing:
        return willing[0]
    return ExclusionReason.ADDRESS_OPTED_OUT if usable else ExclusionReason.NO_CONTACT


def _fate(town, request, taken):
    """(channel, member) -> what becomes of it."""
    people = {p.id: p for p in town.people}
    fate, used = {}, set()
    stays = {channel: _concerned(_without_left(town, request.kind, channel), request) for channel in request.channels}
    for id_ in sorted(_concerned(town, request)):
        own = people[id_].wishes | {(kind, "*") for kind in people[id_].opt_outs}
        for channel in request.channels:
            way = _way(town, people[id_], request.kind, channel)
            if _counts(own, request.kind, channel):
                fate[channel, id_] = ExclusionReason.OPTED_OUT
            elif id_ not in stays[channel]:
                fate[channel, id_] = ExclusionReason.NETWORK_OPTED_OUT
            elif channel in request.unavailable:
                fate[channel, id_] = ExclusionReason.NO_CHANNEL
            elif isinstance(way, ExclusionReason):
                fate[channel, id_] = way
            elif way[1] in taken.get(channel, ()):
                fate[channel, id_] = ExclusionReason.OTHER_ZONE
            elif (channel, way[1]) in used:
                fate[channel, id_] = ExclusionReason.SAME_ADDRESS
            else:
                used.add((channel, way[1]))
                fate[channel, id_] = way
    return fate


REACHED = (ExclusionReason.SAME_ADDRESS, ExclusionReason.OTHER_ZONE)
TOLD_FIRST = (
    ExclusionReason.OPTED_OUT,
    ExclusionReason.NETWORK_OPTED_OUT,
    ExclusionReason.ADDRESS_OPTED_OUT,
    ExclusionReason.NO_CONTACT,
    ExclusionReason.NO_CHANNEL,
)


def _excluded(fate):
    """Of everyone who gets nothing, the first reason of this order that any of their channels has."""
    why = {}
    for (_, member), what in fate.items():
        why.setdefault(member, []).append(what)
    return {
        member: min(some, key=TOLD_FIRST.index)
        for member, some in why.items()
        if all(isinstance(one, ExclusionReason) and one not in REACHED for one in some)
    }


def _told(audience):
    told = {}
    for channel, d in audience.deliveries.items():
        for member, contact, address in zip(d.member_id, d.contact_id, d.address_id, strict=True):
            told[channel, int(member)] = (int(contact), int(address))
    for part in (audience.covered, audience.skipped):
        for member, channel, reason in zip(part.member_id, part.channel, part.reason, strict=True):
            assert (CHANNELS[channel], int(member)) not in told
            told[CHANNELS[channel], int(member)] = ExclusionReason(reason)
    return told


@settings(max_examples=250, deadline=None)
@given(towns(), requests(), st.dictionaries(st.sampled_from(CHANNELS), st.frozensets(st.integers(1, 109), max_size=4)))
def test_the_resolver_says_of_everyone_what_a_plain_reading_of_the_rules_says(town, request, taken):
    resolution = resolve(town.snapshot(), request, taken)

    expected = _fate(town, request, taken)
    assert _told(resolution.audience) == expected
    assert resolution.audience.resolved == len({member for _, member in expected})
    included = {m for (_, m), f in expected.items() if not isinstance(f, ExclusionReason) or f in REACHED}
    assert resolution.audience.members.tolist() == sorted(included)
    excluded = resolution.audience.excluded
    told = {int(m): ExclusionReason(why) for m, why in zip(excluded.member_id, excluded.reason, strict=True)}
    assert told == _excluded(expected)


@settings(max_examples=60, deadline=None)
@given(towns(), requests())
def test_the_sums_close_before_and_after_freezing(town, request):
    resolution = resolve(town.snapshot(), request)

    for counts in (resolution.counts.persons, decode(resolution.audience.encode()).counts()):
        assert counts.persons_close()
        assert counts.contacts_close()
    assert sum(resolution.counts.matched_by.values()) == counts.resolved
    assert sum(resolution.counts.languages.values()) == sum(counts.deliveries.values())
    assert sum(line.persons for line in resolution.counts.readers) == counts.included


@settings(max_examples=60, deadline=None)
@given(towns(), requests())
def test_no_address_gets_two_deliveries_on_a_channel(town, request):
    audience = resolve(town.snapshot(), request).audience

    for deliveries in audience.deliveries.values():
        assert len(set(deliveries.address_id.tolist())) == len(deliveries)


@settings(max_examples=60, deadline=None)
@given(towns(), requests())
def test_a_type_2_zone_reaches_members_of_its_networks_and_groups_only_by_every_door(town, request):
    resolution = resolve(town.with_convention(2).snapshot(), request)

    reachable = set().union(*(n.members for n in town.nets), *town.groups.values())
    assert set(resolution.audience.members.tolist()) <= reachable


@settings(max_examples=60, deadline=None)
@given(towns(), requests())
def test_a_coordinator_reaches_members_of_their_own_networks_only_by_every_door(town, request):
    mine = frozenset({900})
    own = set().union(*(n.members for n in town.nets if n.id in mine))
    asked = ResolveRequest(
        **{name: getattr(request, name) for name in request.__struct_fields__} | {"only_networks": mine}
    )

    assert set(resolve(town.snapshot(), asked).audience.members.tolist()) <= own


# ---- single rules, by name ----------------------------------------------------------------------------------

HERE = _box(0, 0, 2, 2)


def test_an_area_in_members_mode_reaches_whoever_lives_in_it_or_on_its_edge():
    town = Town((_mobile(1, position=_at(1, 1)), _mobile(2, position=_at(2, 2)), _mobile(3, position=_at(3, 3))))

    resolution = resolve(town.snapshot(), _ask(Targets(polygons=(_area("here", HERE),))))

    assert _reached(resolution) == [1, 2]
    assert resolution.counts.matched_by == {"position": 2}


def test_an_area_in_groups_mode_reaches_the_whole_network_that_it_touches():
    net = Net(900, "N", frozenset({1, 2}), _box(2, 2, 2, 2))
    town = Town((_mobile(1, position=_at(9, 9)), _mobile(2), _mobile(3, position=_at(1, 1))), (net,))

    asked = _ask(Targets(polygons=(_area("here", HERE),)), area_mode=AreaMode.GROUPS)

    assert _reached(resolve(town.snapshot(), asked)) == [1, 2]


def test_a_member_without_a_position_comes_in_through_the_network_and_is_told_apart():
    net = Net(900, "N", frozenset({1, 2}), _box(1, 1, 3, 3))
    town = Town((_mobile(1), _mobile(2, position=_at(4, 4)), _mobile(3, position=_at(1, 1))), (net,))

    resolution = resolve(town.snapshot(), _ask(Targets(polygons=(_area("here", HERE),))))

    assert _reached(resolution) == [1, 3]
    assert resolution.counts.matched_by == {"position": 1, "unplaced": 1}


def test_whoever_no_area_can_be_compared_with_is_reported():
    net = Net(900, "N", frozenset({1}))
    town = Town((_mobile(1), _mobile(2, position=_at(1, 1))), (net,))

    resolution = resolve(town.snapshot(), _ask(Targets(polygons=(_area("here", HERE),))))

    assert resolution.counts.unplaced == 1
    assert (TargetFault.WITHOUT_TERRITORY, TargetSeverity.WARNING) in _faults(resolution)


def test_a_network_without_a_territory_has_its_members_asked_one_by_one():
    net = Net(900, "N", frozenset({1, 2}))
    town = Town((_mobile(1, position=_at(1, 1)), _mobile(2, position=_at(9, 9))), (net,))

    asked = _ask(Targets(polygons=(_area("here", HERE),)), area_mode=AreaMode.GROUPS)

    assert _reached(resolve(town.snapshot(), asked)) == [1]


def test_a_circle_reaches_whoever_lives_within_it():
    lat, lon = degrees(_at(1, 1))
    town = Town((_mobile(1, position=_at(1, 1)), _mobile(2, position=_at(3, 1))))

    asked = _ask(Targets(circles=(CircleTarget("round", lat, lon, 1.0),)))

    assert _reached(resolve(town.snapshot(), asked)) == [1]


def test_targets_are_a_union_and_count_everyone_once():
    net = Net(900, "N", frozenset({1}), HERE)
    town = Town((_mobile(1, position=_at(1, 1), refnis=62063), _mobile(2)), (net,), {"G": frozenset({1, 2})})
    targets = Targets(
        polygons=(_area("here", HERE),),
        geocodes=(GeocodeTarget("Liège", "NIS", "62063"),),
        networks=("N",),
        groups=("G",),
        whole_zone=True,
    )

    resolution = resolve(town.snapshot(), _ask(targets))

    assert _reached(resolution) == [1, 2]
    assert resolution.counts.matched_by == {"position": 1, "group": 1}


def test_a_code_in_members_mode_goes_by_the_members_own_and_by_the_network_only_where_that_is_not_known():
    net = Net(900, "N", frozenset({1, 2}), codes=frozenset({("REFNIS", "62063")}))
    town = Town((_mobile(1, refnis=11001), _mobile(2), _mobile(3, refnis=62063)), (net,))

    resolution = resolve(town.snapshot(), _ask(Targets(geocodes=(GeocodeTarget("Liège", "INS", "62063"),))))

    assert _reached(resolution) == [2, 3]
    assert resolution.counts.matched_by == {"code": 1, "unplaced": 1}


def test_a_code_in_groups_mode_reaches_the_networks_that_name_it():
    named = Net(900, "N", frozenset({1, 2}), codes=frozenset({("REFNIS", "62063")}))
    silent = Net(901, "M", frozenset({3, 4}))
    town = Town((_mobile(1, refnis=11001), _mobile(2), _mobile(3, refnis=62063), _mobile(4)), (named, silent))

    asked = _ask(Targets(geocodes=(GeocodeTarget("Liège", "INS", "62063"),)), area_mode=AreaMode.GROUPS)

    assert _reached(resolve(town.snapshot(), asked)) == [1, 2, 3]


def test_an_old_municipality_code_reaches_the_merged_municipality_and_says_so():
    town = Town((_mobile(1, refnis=46030), _mobile(2, refnis=46013)))

    resolution = resolve(town.snapshot(), _ask(Targets(geocodes=(GeocodeTarget("Kruibeke", "NIS5", "46013"),))))

    assert _reached(resolution) == [1, 2]
    assert _faults(resolution) == [(TargetFault.MERGED_CODE, TargetSeverity.WARNING)]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("unwanted", Kind)
def test_only_an_opt_out_of_the_very_kind_counts_and_never_against_an_alert(kind, unwanted):
    town = Town((_mobile(1, opt_outs=frozenset({unwanted})),))

    resolution = resolve(town.snapshot(), _ask(Targets(whole_zone=True), kind=kind))

    withheld = kind is unwanted and kind is not Kind.ALERT
    assert _reached(resolution) == ([] if withheld else [1])
    assert resolution.counts.persons.excluded == ({"opted_out": 1} if withheld else {})


EVERYONE = Targets(whole_zone=True)


def _excluded_of(town, **more):
    return resolve(town.snapshot(), _ask(EVERYONE, **more)).counts.persons.excluded


@pytest.mark.parametrize("wish", [("alert", "*"), ("*", "*"), ("news", "*"), ("alert", "sms")])
def test_no_opt_out_of_anybody_withholds_an_alert(wish):
    person = _mobile(1, wishes=frozenset({wish}), left=frozenset({(900, wish)}))
    town = Town((person,), (Net(900, "N0", frozenset({1})),), silent=frozenset({(1001, wish)}))

    assert _reached(resolve(town.snapshot(), _ask(Targets(networks=("N0",))))) == [1]


def test_an_opt_out_on_one_channel_leaves_the_others():
    person = Person(1, contacts=((MOBILE, 5), (EMAIL, 105)), wishes=frozenset({("news", "sms")}))

    resolution = resolve(Town((person,)).snapshot(), _ask(EVERYONE, kind=Kind.NEWS, channels=(SMS, MAIL)))

    assert (_reached(resolution, SMS), _reached(resolution, MAIL)) == ([], [1])
    assert resolution.counts.persons.skipped == {"opted_out": 1}


def test_a_silent_address_is_so_for_everyone_who_has_it_and_only_for_the_kind_it_named():
    town = Town((_mobile(1, 77), _mobile(2, 77), _mobile(3)), silent=frozenset({(77, ("news", "*"))}))

    assert _excluded_of(town, kind=Kind.NEWS) == {"address_opted_out": 2}
    assert _excluded_of(town, kind=Kind.INFO) == {}


def test_who_has_another_address_is_reached_there():
    person = Person(1, contacts=((MOBILE, 5), (MOBILE, 6), (LANDLINE, 7)))
    town = Town((person,), silent=frozenset({(5, ("news", "*")), (6, ("news", "voice"))}))

    audience = resolve(town.snapshot(), _ask(EVERYONE, kind=Kind.NEWS, channels=(SMS, VOICE))).audience

    assert audience.deliveries[SMS].address_id.tolist() == [6]
    assert audience.deliveries[VOICE].address_id.tolist() == [7]


def test_two_who_fall_back_on_one_address_get_one_message_there():
    people = [Person(n, contacts=((MOBILE, n), (MOBILE, 9))) for n in (1, 2)]
    town = Town((*people, _mobile(3, 9)), silent=frozenset({(n, ("*", "*")) for n in (1, 2)}))

    audience = resolve(town.snapshot(), _ask(EVERYONE, kind=Kind.NEWS)).audience

    assert _told(audience) == {
        (SMS, 1): (contact_id(people[0], 1), 9),
        (SMS, 2): ExclusionReason.SAME_ADDRESS,
        (SMS, 3): ExclusionReason.SAME_ADDRESS,
    }


def test_who_left_a_network_gets_its_news_through_another_one_or_from_the_zone_only():
    nets = tuple(Net(900 + n, f"N{n}", frozenset({1, 2})) for n in range(2))
    town = Town((_mobile(1, left=frozenset({(900, ("news", "*"))})), _mobile(2)), nets)

    def reached(targets, **more):
        return _reached(resolve(town.snapshot(), _ask(targets, **{"kind": Kind.NEWS} | more)))

    assert reached(Targets(networks=("N0",))) == [2]
    assert reached(Targets(networks=("N0",)), kind=Kind.INFO) == [1, 2]
    assert reached(Targets(networks=("N0", "N1"))) == [1, 2]
    assert reached(EVERYONE) == [1, 2]
    assert reached(EVERYONE, only_networks=frozenset({900})) == [2]
    left = resolve(town.snapshot(), _ask(Targets(networks=("N0",)), kind=Kind.NEWS))
    assert left.counts.persons.excluded == {"network_opted_out": 1}


def test_a_household_is_reached_once_and_the_other_is_covered():
    town = Town((_mobile(5, 77), _mobile(3, 77)))

    audience = resolve(town.snapshot(), _ask(Targets(whole_zone=True))).audience

    assert audience.deliveries[SMS].member_id.tolist() == [3]
    assert audience.covered.member_id.tolist() == [5]
    assert audience.counts().covered == {"same_address": 1}
    assert audience.counts().included == 2


def test_an_address_reached_in_another_zone_is_covered_here():
    town = Town((_mobile(1, 77), _mobile(2, 78)))

    resolution = resolve(town.snapshot(), _ask(Targets(whole_zone=True)), {SMS: np.array([77])})

    assert _reached(resolution) == [2]
    assert resolution.counts.persons.covered == {"other_zone": 1}
    assert resolution.counts.persons.included == 2


def test_the_addresses_of_one_zone_are_what_is_taken_in_the_next():
    first = resolve(Town((_mobile(1, 77),)).snapshot(), _ask(Targets(whole_zone=True)))

    second = resolve(
        Town((_mobile(9, 77),)).snapshot(),
        _ask(Targets(whole_zone=True)),
        {SMS: first.audience.addresses(SMS)},
    )

    assert _reached(second) == []
    assert second.refusal is None


def test_voice_calls_the_mobile_and_the_landline_only_where_there_is_none():
    both = Person(1, contacts=((LANDLINE, 11), (MOBILE, 12)))
    home = Person(2, contacts=((EMAIL, 113), (LANDLINE, 14)))

    audience = resolve(Town((both, home)).snapshot(), _ask(Targets(whole_zone=True), channels=(VOICE, SMS))).audience

    assert audience.deliveries[VOICE].address_id.tolist() == [12, 14]
    assert audience.deliveries[SMS].address_id.tolist() == [12]
    assert audience.counts().skipped == {"no_contact": 1}


def test_the_first_address_in_the_members_own_order_is_used():
    town = Town((Person(1, contacts=((MOBILE, 22), (MOBILE, 21))),))

    assert resolve(town.snapshot(), _ask(Targets(whole_zone=True))).audience.addresses(SMS).tolist() == [22]


def test_a_channel_that_may_not_be_used_is_counted_for_everyone():
    town = Town((_mobile(1),))

    resolution = resolve(
        town.snapshot(), _ask(Targets(whole_zone=True), channels=(SMS, VOICE), unavailable=frozenset({VOICE}))
    )

    assert _reached(resolution) == [1]
    assert resolution.counts.persons.skipped == {"no_channel": 1}


@pytest.mark.parametrize(
    ("own", "available", "sent"),
    [
        ("fr", ("nl", "fr"), "fr"),
        ("fr", ("nl", "fr-BE"), "fr-BE"),
        ("de", ("en", "fr", "nl"), "fr"),
        ("de", ("en", "nl"), "nl"),
        ("de", ("en", "fr"), "fr"),
        ("xx", ("it", "pt"), "it"),
        ("", ("nl", "fr"), "fr"),
    ],
)
def test_a_member_is_addressed_in_their_own_language_or_the_next_of_the_chain(own, available, sent):
    town = Town((_mobile(1, language=own),))

    resolution = resolve(town.snapshot(), _ask(Targets(whole_zone=True), languages=available, default_language="fr"))

    assert resolution.counts.languages == {sent: 1}
    assert resolution.counts.readers == (Readers(own, sent, 1),)


def test_persons_are_counted_once_by_the_language_they_read_however_many_messages_they_get():
    both = ((ContactType.MOBILE, 1), (ContactType.EMAIL, 2))
    town = Town(
        (
            Person(1, language="fr", contacts=both),
            Person(2, language="fr-BE", contacts=((ContactType.EMAIL, 2),)),  # covered by the first
            _mobile(3, language="de"),
            Person(4, language="de"),  # nobody can reach them
        )
    )

    resolution = resolve(town.snapshot(), _ask(Targets(whole_zone=True), languages=("fr", "nl"), channels=(SMS, MAIL)))

    assert resolution.counts.readers == (Readers("fr", "fr", 2), Readers("de", "nl", 1))


def test_an_update_reaches_the_thread_and_whoever_joined_since():
    town = Town((_mobile(1, position=_at(9, 9)), _mobile(2, position=_at(1, 1))))

    asked = _ask(Targets(polygons=(_area("here", HERE),)), also_members=(1, 8))
    resolution = resolve(town.snapshot(), asked)

    assert _reached(resolution) == [1, 2]
    assert resolution.counts.matched_by == {"position": 1, "thread": 1}
    assert resolution.counts.thread_gone == 1


def test_an_update_without_areas_still_reaches_its_thread():
    resolution = resolve(Town((_mobile(1),)).snapshot(), _ask(Targets(), also_members=np.array([1])))

    assert resolution.refusal is None
    assert _reached(resolution) == [1]


# ---- type 2 and rights, door by door ------------------------------------------------------------------------

_DOORS = {
    "polygon": Targets(polygons=(_area("here", HERE),)),
    "circle": Targets(circles=(CircleTarget("here", *degrees(_at(1, 1)), 50.0),)),
    "municipality": Targets(geocodes=(GeocodeTarget("Liège", "REFNIS", "62063"),)),
    "postcode": Targets(geocodes=(GeocodeTarget("Tournai", "POSTCODE", "7500"),)),
    "own police zone": Targets(geocodes=(GeocodeTarget("zone", "POLICEZONE", "5301"),)),
    "whole zone": Targets(whole_zone=True),
    "thread": Targets(),
}


@pytest.mark.parametrize("door", _DOORS)
def test_a_type_2_zone_does_not_reach_whoever_is_in_no_network(door):
    where = {"position": _at(1, 1), "refnis": 62063, "postcode": 7500}
    net = Net(900, "N", frozenset({2}), HERE)
    town = Town((_mobile(1, **where), _mobile(2, **where)), (net,))
    asked = _ask(_DOORS[door], also_members=(1, 2) if door == "thread" else ())

    public, police = resolve(town.snapshot(), asked), resolve(town.with_convention(2).snapshot(), asked)

    assert _reached(public) == [1, 2]
    assert _reached(police) == [2]
    assert police.counts.beyond_rights == 1


def test_a_type_2_zone_reaches_a_group_although_its_members_are_in_no_network():
    town = Town((_mobile(1),), groups={"G": frozenset({1})}, convention=2)

    assert _reached(resolve(town.snapshot(), _ask(Targets(groups=("G",))))) == [1]


def test_a_network_beyond_the_accounts_rights_is_an_error_whatever_else_is_asked_for():
    town = Town((_mobile(1), _mobile(2)), (Net(900, "A", frozenset({1})), Net(901, "B", frozenset({2}))))

    resolution = resolve(town.snapshot(), _ask(Targets(networks=("A", "B")), only_networks=frozenset({900})))

    assert resolution.refusal is not None
    assert _faults(resolution) == [(TargetFault.BEYOND_RIGHTS, TargetSeverity.ERROR)]
    assert _reached(resolution) == [1]


def test_a_policy_without_the_whole_zone_refuses_it_by_flag_and_by_code():
    town = Town((_mobile(1),))

    for door in ("whole zone", "own police zone"):
        resolution = resolve(town.snapshot(), _ask(_DOORS[door], allow_whole_zone=False))

        assert resolution.refusal is not None
        assert _faults(resolution) == [(TargetFault.WHOLE_ZONE, TargetSeverity.ERROR)]


# ---- what is wrong with targets -----------------------------------------------------------------------------


def test_nobody_concerned_is_a_refusal_that_names_the_areas():
    town = Town((_mobile(1, position=_at(9, 9)),))
    targets = Targets(polygons=(_area("Empty field", HERE),), geocodes=(GeocodeTarget("Mons", "NIS", "53053"),))

    resolution = resolve(town.snapshot(), _ask(targets))

    assert resolution.refusal is not None
    assert resolution.refusal.areas == ("Empty field", "Mons")
    assert "Empty field" in resolution.refusal.text
    assert resolution.unmatched == ("Empty field", "Mons")


def test_an_area_that_matched_nobody_is_named_although_others_did():
    town = Town((_mobile(1, position=_at(1, 1)),))
    targets = Targets(polygons=(_area("here", HERE), _area("away", _box(8, 8, 1, 1))))

    resolution = resolve(town.snapshot(), _ask(targets))

    assert resolution.refusal is None
    assert resolution.unmatched == ("away",)


_UNKNOWN = [
    (Targets(geocodes=(GeocodeTarget("a", "EMMA_ID", "BE003"),)), TargetFault.UNKNOWN_SYSTEM),
    (Targets(geocodes=(GeocodeTarget("a", "REFNIS", "6206"),)), TargetFault.BAD_CODE),
    (Targets(geocodes=(GeocodeTarget("a", "PLP", "nowhere"),)), TargetFault.UNKNOWN_NETWORK),
    (Targets(networks=("nowhere",)), TargetFault.UNKNOWN_NETWORK),
    (Targets(groups=("nobody",)), TargetFault.UNKNOWN_GROUP),
    (Targets(empty_areas=("Somewhere",)), TargetFault.EMPTY_AREA),
    (Targets(bad_addresses=("mail:x",)), TargetFault.BAD_ADDRESS),
]


@pytest.mark.parametrize(("targets", "fault"), _UNKNOWN)
def test_what_is_not_understood_is_an_error_when_it_is_all_that_was_asked_for(targets, fault):
    resolution = resolve(Town((_mobile(1),)).snapshot(), _ask(targets))

    assert _faults(resolution) == [(fault, TargetSeverity.ERROR)]
    assert resolution.refusal is not None


@pytest.mark.parametrize(("targets", "fault"), _UNKNOWN)
def test_what_is_not_understood_is_a_warning_beside_what_is(targets, fault):
    also = {name: getattr(targets, name) for name in targets.__struct_fields__} | {"whole_zone": True}

    resolution = resolve(Town((_mobile(1),)).snapshot(), _ask(Targets(**also)))

    assert _faults(resolution) == [(fault, TargetSeverity.WARNING)]
    assert resolution.refusal is None
    assert _reached(resolution) == [1]


def test_a_ring_on_a_line_is_read_as_the_line_and_stops_nothing_beside_it():
    line = PolygonTarget("Rue Droite", ring((_at(0, 0), _at(1, 1), _at(2, 2))))

    resolution = resolve(Town((_mobile(1),)).snapshot(), _ask(Targets(polygons=(line,), whole_zone=True)))

    assert resolution.refusal is None
    assert _reached(resolution) == [1]
    assert (TargetFault.FLAT_SHAPE, TargetSeverity.WARNING) in _faults(resolution)


def test_a_ring_on_a_line_alone_means_the_networks_that_it_meets():
    town = Town((_mobile(1), _mobile(2)), (Net(1, "A", frozenset({1}), _box(0, 0, 3, 3)), Net(2, "B", frozenset({2}))))
    line = PolygonTarget("Rue Droite", ring((_at(1, 1), _at(2, 2), _at(3, 3))))

    resolution = resolve(town.snapshot(), _ask(Targets(polygons=(line,)), area_mode=AreaMode.GROUPS))

    assert _reached(resolution) == [1]


@pytest.mark.parametrize(
    "bad",
    [
        Targets(circles=(CircleTarget("Half the world", 50.8, 4.3, 2_500.0),)),
        Targets(circles=(CircleTarget("Nowhere", 91.0, 4.3, 1.0),)),
        Targets(polygons=(PolygonTarget("Swapped", ((4.3, 50.8), (4.4, 50.9), (4.4, 50.8), (4.3, 50.8))),)),
        Targets(polygons=(PolygonTarget("Open", ((50.8, 4.3), (50.9, 4.4), (50.8, 4.4), (50.8, 4.31))),)),
    ],
)
def test_a_shape_that_cannot_be_read_is_left_out_beside_others_and_an_error_alone(bad):
    town = Town((_mobile(1, position=_at(1, 1)),))
    name = (*bad.circles, *bad.polygons)[0].area
    good = _area("Good", _box(0, 0, 3, 3))
    beside = resolve(town.snapshot(), _ask(Targets(polygons=(good, *bad.polygons), circles=bad.circles)))
    alone = resolve(town.snapshot(), _ask(bad))

    assert _reached(beside) == [1]
    assert [(p.fault, p.severity, p.subject) for p in beside.problems] == [
        (TargetFault.BAD_SHAPE, TargetSeverity.WARNING, name)
    ]
    assert alone.refusal is not None
    assert name in alone.refusal.text


def test_a_network_that_an_area_only_borders_on_is_told_by_name_and_reached_where_the_zone_says_so():
    town = Town(
        (_mobile(1), _mobile(2), _mobile(3)),
        (
            Net(1, "A", frozenset({1}), _box(0, 0, 3, 3)),
            Net(2, "B", frozenset({2}), _box(3, 0, 3, 3)),
            Net(3, "C", frozenset({3}), _box(9, 9, 1, 1)),
        ),
    )
    drawn = Targets(polygons=(_area("A's own", _box(0, 0, 3, 3)),))

    reached = resolve(town.snapshot(), _ask(drawn, area_mode=AreaMode.GROUPS))
    spared = resolve(town.snapshot(), _ask(drawn, area_mode=AreaMode.GROUPS, touching_counts=False))

    assert _reached(reached) == [1, 2]
    assert [(p.fault, p.subject, p.text) for p in reached.problems] == [
        (TargetFault.ONLY_BORDERS, "B", "It also reaches B, which only borders on it."),
    ]
    assert _reached(spared) == [1]
    assert [p.text for p in spared.problems] == ["B only borders on it and is not reached by it."]


def test_everyone_excluded_is_not_a_refusal_but_is_said():
    town = Town((_mobile(1, opt_outs=frozenset({Kind.NEWS})),))

    resolution = resolve(town.snapshot(), _ask(Targets(whole_zone=True), kind=Kind.NEWS))

    assert resolution.refusal is None
    assert _faults(resolution) == [(TargetFault.UNREACHABLE, TargetSeverity.WARNING)]


def test_a_text_in_no_language_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="language"):
        resolve(Town().snapshot(), _ask(Targets(whole_zone=True), languages=()))
