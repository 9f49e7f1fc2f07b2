"""A small zone as plain values, and as the snapshot that the resolver sees."""

from dataclasses import dataclass, field, replace

import msgspec

from gateway.directory.snapshot import Snapshot, build
from gateway.kinds import Kind
from store.directory import NOWHERE, ContactType, RegisterRows, ZoneRow

Corner = tuple[int, int]  # (lon_e7, lat_e7)


@dataclass(frozen=True)
class Person:
    id: int
    position: Corner | None = None
    language: str = "nl"
    refnis: int = 0
    postcode: int = 0
    opt_outs: frozenset[Kind] = frozenset()
    contacts: tuple[tuple[ContactType, int], ...] = ()
    """(type, address id) in the member's own order."""


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


def rows_of(town: Town) -> RegisterRows:
    languages = sorted({person.language for person in town.people})
    opt_outs = sorted({_text(person) for person in town.people})
    members = [
        (
            person.id,
            languages.index(person.language),
            *(person.position or (NOWHERE, NOWHERE)),
            person.refnis,
            person.postcode,
            opt_outs.index(_text(person)),
        )
        for person in town.people
    ]
    contacts = [
        (person.id, contact_id(person, rank), address, int(kind), rank)
        for person in town.people
        for rank, (kind, address) in enumerate(person.contacts)
    ]
    group_ids = {code: 500 + place for place, code in enumerate(sorted(town.groups))}
    return RegisterRows(
        zone=ZoneRow(1, town.code, "Zone", town.convention, "{}", town.revision),
        languages=languages,
        opt_outs=opt_outs,
        members=[_flat(members)],
        contacts=[_flat(contacts)],
        networks=[(net.id, net.code, _territory(net)) for net in town.nets],
        network_codes=[(net.id, system, value) for net in town.nets for system, value in sorted(net.codes)],
        memberships=[_flat([(net.id, member) for net in town.nets for member in sorted(net.members)])],
        groups=[(group_id, code) for code, group_id in group_ids.items()],
        group_members=[
            _flat([(group_ids[code], member) for code, some in town.groups.items() for member in sorted(some)])
        ],
    )


def _text(person: Person) -> str:
    return " ".join(sorted(kind.value for kind in person.opt_outs))


def _territory(net: Net) -> str | None:
    return msgspec.json.encode([ring(net.territory)]).decode() if net.territory else None


def _flat(rows: list[tuple[int, ...]]) -> list[int]:
    return [value for row in rows for value in row]
