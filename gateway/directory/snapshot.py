"""One zone's register in memory, at one revision: immutable columns, members in the order of their ids.

Built from plain rows (`store.directory` gives them), brought up to date by `renewal.py`; knows no SQL. About 106 MB a
million members with two contacts each. A member's number here is the place of the member in the columns ("row").
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import shapely

from channels.contract import Channel
from gateway.directory.columns import Int64, UInt8, find, table
from gateway.directory.contacts import BestContacts, best_of
from gateway.directory.geocode_systems import REFNIS
from gateway.directory.merged_municipalities import current, renumbered
from gateway.directory.opt_outs import Bits, bits_of
from gateway.directory.point_in_area import Grid, Int32, Mask, ShapeRefused, grid, territory
from store.register.reading import NOWHERE, MemberRows, PlaceRows, RegisterRows


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """From each of some sets (networks, groups) to its members' rows, as compressed sparse rows."""

    offset: Int64
    member: Int32

    def of(self, sets: Int64) -> Int32:
        """The rows of the members of some sets; a member of two of them comes twice."""
        starts, lengths = self.offset[sets], self.offset[sets + 1] - self.offset[sets]
        shift = starts - (np.cumsum(lengths) - lengths)
        return self.member[np.repeat(shift, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)]

    def mask(self, sets: Int64, size: int) -> Mask:
        """Which of `size` rows belong to at least one of the sets."""
        found = np.zeros(size, np.bool_)
        found[self.of(sets)] = True
        return found

    def without(self, sets: Int64, rows: Int64) -> "Links":
        """The links without these pairs of set and row."""
        size = int(max(self.member.max(initial=0), rows.max(initial=0))) + 1
        lengths = np.diff(self.offset)
        pairs = np.repeat(np.arange(lengths.size), lengths) * size + self.member
        places, linked = find(pairs, sets * size + rows)
        stays = np.ones(self.member.size, np.bool_)
        stays[places[linked]] = False
        kept = np.bincount(pairs[stays] // size, minlength=lengths.size)
        return Links(np.concatenate(([0], np.cumsum(kept))), self.member[stays])


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    id: Int64
    code: tuple[str, ...]
    members: Links
    by_code: Mapping[str, int]
    territories: shapely.STRtree
    """Of the networks that have one; `placed` says which."""
    placed: Int64
    """Networks with a territory, in the order of the tree."""
    has_territory: Mask
    by_geocode: Mapping[tuple[str, str], Int64]
    has_system: Mapping[str, Mask]
    """Which networks name at least one code of a system."""


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    id: Int64
    members: Links
    by_code: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Leavers:
    """Members who do not want what reaches them through one of their networks, in the order of rows and networks."""

    row: Int64
    network_id: Int64
    wishes: Bits


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    zone_id: int
    code: str
    convention: int
    """2: may reach its networks and groups only."""
    revision: int
    member_id: Int64
    language: UInt8
    """Index into `languages`."""
    languages: tuple[str, ...]
    refnis: Int32
    """Current edition; 0 unknown."""
    postcode: Int32
    opt_outs: Bits
    """Of the members themselves; those of addresses are in `best`, those of networks in `leavers`."""
    has_position: Mask
    grid: Grid
    networks: Networks
    groups: Groups
    best: Mapping[Channel, BestContacts]
    leavers: Leavers

    def __len__(self) -> int:
        return len(self.member_id)

    def rows_of(self, member_ids: npt.ArrayLike) -> Int64:
        """Rows of the members with these ids; ids that the register no longer has are left out."""
        found, known = find(self.member_id, np.asarray(member_ids, dtype=np.int64))
        return found[known]


def build(rows: RegisterRows) -> Snapshot:
    """The snapshot of one zone's rows; CPU-bound (about 2 s for a million members with two contacts each)."""
    people = people_of(rows.members)
    networks, groups = networks_of(rows.places), groups_of(rows.places)
    placed = np.flatnonzero(people.lon_e7 != NOWHERE)
    return Snapshot(
        zone_id=rows.zone.id,
        code=rows.zone.code,
        convention=rows.zone.convention,
        revision=rows.zone.register_rev,
        member_id=people.id,
        language=people.language,
        languages=people.languages,
        refnis=people.refnis,
        postcode=people.postcode,
        opt_outs=people.opt_outs,
        has_position=people.lon_e7 != NOWHERE,
        grid=grid(placed.astype(np.int32), people.lon_e7[placed], people.lat_e7[placed]),
        networks=replace(networks, members=links(table(rows.members.memberships, 2), networks.id, people.id)),
        groups=replace(groups, members=links(table(rows.members.group_members, 2), groups.id, people.id)),
        best=best_of(rows.members, people.id),
        leavers=leavers_of(rows.members, people.id),
    )


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Columns of members in the order of their ids."""

    id: Int64
    language: UInt8
    """Index into `languages`."""
    languages: tuple[str, ...]
    """The first is the empty one: unknown."""
    lon_e7: Int32
    """NOWHERE for those without a position."""
    lat_e7: Int32
    refnis: Int32
    postcode: Int32
    opt_outs: Bits


def people_of(rows: MemberRows) -> People:
    columns = table(rows.members, 6)
    # 255 languages are more than a zone speaks; what lies beyond is treated as unknown.
    language = np.where(columns[:, 1] < 255, columns[:, 1] + 1, 0)
    ids = columns[:, 0].copy()
    return People(
        id=ids,
        language=language.astype(np.uint8),
        languages=("", *rows.languages[:255]),
        lon_e7=columns[:, 2].astype(np.int32),
        lat_e7=columns[:, 3].astype(np.int32),
        refnis=_renumber(columns[:, 4].astype(np.int32)),
        postcode=columns[:, 5].astype(np.int32),
        opt_outs=_opt_outs(rows, ids),
    )


def _opt_outs(rows: MemberRows, member_id: Int64) -> Bits:
    pairs = table(rows.member_opt_outs, 2)
    members, known = find(member_id, pairs[:, 0])
    found = np.zeros(member_id.size, np.uint16)
    np.bitwise_or.at(found, members[known], bits_of(rows.wishes)[pairs[known, 1]])
    return found


def leavers_of(rows: MemberRows, member_id: Int64) -> Leavers:
    triples = table(rows.network_opt_outs, 3)
    members, known = find(member_id, triples[:, 1])
    members, triples = members[known], triples[known]
    order = np.lexsort((triples[:, 0], members))
    bits = bits_of(rows.wishes)[triples[order, 2]]
    return Leavers(members[order], triples[order, 0], bits)


def _renumber(refnis: Int32) -> Int32:
    for old, new in renumbered().items():
        refnis[refnis == old] = new
    return refnis


def links(pairs: Int64, set_id: Int64, member_id: Int64) -> Links:
    """Pairs (set, member) as links; pairs with a removed member are left out."""
    sets, has_set = find(set_id, pairs[:, 0])
    members, has_member = find(member_id, pairs[:, 1])
    known = has_set & has_member
    sets, members = sets[known], members[known]
    order = np.lexsort((members, sets))
    offset = np.concatenate(([0], np.cumsum(np.bincount(sets, minlength=set_id.size))))
    return Links(offset.astype(np.int64), members[order].astype(np.int32))


def networks_of(places: PlaceRows) -> Networks:
    """The networks of a zone, without their members."""
    found = sorted(places.networks)
    ids = np.array([row[0] for row in found], dtype=np.int64)
    codes = tuple(row[1] for row in found)
    shapes = {place: shape for place, row in enumerate(found) if (shape := _territory(row[2])) is not None}
    has_territory = np.zeros(ids.size, np.bool_)
    has_territory[list(shapes)] = True
    place_of = {int(network): place for place, network in enumerate(ids)}
    by_geocode: dict[tuple[str, str], set[int]] = {}
    for network, system, value in places.network_codes:
        value = current(value) if system == REFNIS and value.isdigit() else value
        by_geocode.setdefault((system, value), set()).add(place_of[network])
    has_system = {system: np.zeros(ids.size, np.bool_) for system, _ in by_geocode}
    for (system, _), named in by_geocode.items():
        has_system[system][list(named)] = True
    return Networks(
        id=ids,
        code=codes,
        members=_nobody(ids.size),
        by_code={code: place for place, code in enumerate(codes)},
        territories=shapely.STRtree(list(shapes.values())),
        placed=np.array(list(shapes), dtype=np.int64),
        has_territory=has_territory,
        by_geocode={key: np.array(sorted(named), dtype=np.int64) for key, named in by_geocode.items()},
        has_system=has_system,
    )


def _territory(text: str | None) -> Any:
    """The register refuses territories that are no area; one that got in otherwise counts as none."""
    if not text:
        return None
    try:
        return territory(msgspec.json.decode(text, type=list[list[tuple[float, float]]]))
    except (msgspec.MsgspecError, ShapeRefused):
        return None


def groups_of(places: PlaceRows) -> Groups:
    """The groups of a zone, without their members."""
    found = sorted(places.groups)
    ids = np.array([row[0] for row in found], dtype=np.int64)
    return Groups(ids, _nobody(ids.size), {row[1]: place for place, row in enumerate(found)})


def _nobody(sets: int) -> Links:
    return Links(np.zeros(sets + 1, np.int64), np.empty(0, np.int32))
