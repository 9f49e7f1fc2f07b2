"""A small zone as plain values, and as the snapshot that the resolver sees."""

from dataclasses import dataclass, field, replace

import msgspec

from gateway.directory.snapshot import Snapshot, build
from gateway.kinds import Kind
from store.register.reading import NOWHERE, ContactType, MemberRows, PlaceRows, RegisterChanges, RegisterRows, ZoneRow

Corner = tuple[int, int]  # (lon_e7, lat_e7)
Wish = tuple[str, str]  # (kind, channel) not wanted, "*" for all


@dataclass(frozen=True)
class Person:
    id: int
    position: Corner | None = None
    language: str = "nl"
    refnis: int = 0
    postcode: int = 0
    opt_outs: frozenset[Kind] = frozenset()
    """On every channel."""
    contacts: tuple[tuple[ContactType, int], ...] = ()
    """(type, address id) in the member's own order."""
    wishes: frozenset[Wish] = frozenset()
    left: frozenset[tuple[int, Wish]] = frozenset()
    """(network id, wish)."""


@dataclass(frozen=True)
class Net:
    id: int
    code: str
    members: frozenset[int] = frozenset()
    territory: tuple[Corner, ...] = ()
    """An open ring of corners; none: no territory."""
    codes: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Town:
    people: tuple[Person, ...] = ()
    nets: tuple[Net, ...] = ()
    groups: dict[str, frozenset[int]] = field(default_factory=dict)
    convention: int = 1
    code: str = "5301"
    revision: int = 1
    silent: frozenset[tuple[int, Wish]] = frozenset()
    """(address id, wish): whoever's it is."""

    def with_convention(self, convention: int) -> "Town":
        return replace(self, convention=convention)

    def snapshot(self) -> Snapshot:
        return build(rows_of(self))


def degrees(corner: Corner) -> tuple[float, float]:
    """(lat, lon) as a document would have it."""
    return corner[1] / 1e7, corner[0] / 1e7


def ring(corners: tuple[Corner, ...]) -> tuple[tuple[float, float], ...]:
    """A closed ring in degrees."""
    return tuple(degrees(corner) for corner in (*corners, corners[0]))


def contact_id(person: Person, rank: int) -> int:
    """Later ids for earlier ranks: the order is the rank's, not the id's."""
    return person.id * 100 + 50 - rank


GROUP_IDS = 500


def rows_of(town: Town) -> RegisterRows:
    everyone = frozenset(person.id for person in town.people)
    return RegisterRows(_zone(town), _members(town, everyone), _places(town))


def changes_between(before: Town, after: Town) -> RegisterChanges:
    """What `store.directory.read_changes` would tell of the way from one to the other."""
    past, present = _told(before), _told(after)
    changed = {id_ for id_ in past.keys() | present.keys() if past.get(id_) != present.get(id_)}
    places = None if _places(before) == _places(after) else _places(after)
    return RegisterChanges(
        _zone(after), ",".join(map(str, sorted(changed))), _members(after, frozenset(changed)), places
    )


def _told(town: Town) -> dict[int, object]:
    """All that the register has of each person."""
    return {
        person.id: (
            person,
            {net.id for net in town.nets if person.id in net.members},
            {code for code, some in town.groups.items() if person.id in some},
            {said for said in town.silent if said[0] in {address for _, address in person.contacts}},
        )
        for person in town.people
    }


def _zone(town: Town) -> ZoneRow:
    return ZoneRow(1, town.code, "Zone", town.convention, "{}", town.revision)


def _members(town: Town, which: frozenset[int]) -> MemberRows:
    people = [person for person in town.people if person.id in which]
    languages = sorted({person.language for person in people})
    wishes = sorted(
        {wish for some in (_wishes(person) for person in people) for wish in some}
        | {wish for person in people for _, wish in person.left}
        | {wish for _, wish in town.silent}
    )
    numbers = {wish: number for number, wish in enumerate(wishes)}
    members = [
        (
            person.id,
            languages.index(person.language),
            *(person.position or (NOWHERE, NOWHERE)),
            person.refnis,
            person.postcode,
        )
        for person in people
    ]
    contacts = [
        (person.id, contact_id(person, rank), address, int(kind), rank)
        for person in people
        for rank, (kind, address) in enumerate(person.contacts)
    ]
    group_ids = _group_ids(town)
    return MemberRows(
        languages=languages,
        members=_flat(members),
        contacts=_flat(contacts),
        memberships=_flat([(net.id, member) for net in town.nets for member in sorted(net.members & which)]),
        group_members=_flat(
            [(group_ids[code], member) for code, some in town.groups.items() for member in sorted(some & which)]
        ),
        wishes=wishes,
        member_opt_outs=_flat([(person.id, numbers[wish]) for person in people for wish in _wishes(person)]),
        network_opt_outs=_flat([(net, person.id, numbers[wish]) for person in people for net, wish in person.left]),
        address_opt_outs=_flat([(address, numbers[wish]) for address, wish in town.silent]),
    )


def _places(town: Town) -> PlaceRows:
    return PlaceRows(
        networks=[(net.id, net.code, _territory(net)) for net in town.nets],
        network_codes=[(net.id, system, value) for net in town.nets for system, value in sorted(net.codes)],
        groups=[(group_id, code) for code, group_id in _group_ids(town).items()],
    )


def _group_ids(town: Town) -> dict[str, int]:
    return {code: GROUP_IDS + sum(map(ord, code)) for code in sorted(town.groups)}


def _wishes(person: Person) -> frozenset[Wish]:
    return person.wishes | {(kind.value, "*") for kind in person.opt_outs}


def _territory(net: Net) -> str | None:
    return msgspec.json.encode([ring(net.territory)]).decode() if net.territory else None


def _flat(rows: list[tuple[int, ...]]) -> str:
    return ",".join(str(value) for row in rows for value in row)
