"""One zone's register in memory, at one revision: immutable columns, members in the order of their ids.

Built from plain rows (`store.directory` gives them); knows no SQL. About 105 MB a million members with two
contacts each. A member's number here is the place of the member in the columns ("row").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import shapely

from channels.contract import Channel
from gateway.directory.audience import CHANNELS
from gateway.directory.columns import Int64, UInt8
from gateway.directory.geography import Grid, Int32, Mask, ShapeRefused, grid, territory
from gateway.directory.municipalities import current, renumbered
from gateway.directory.systems import REFNIS
from gateway.kinds import Kind
from store.directory import NOWHERE, ContactType, RegisterRows

KIND_BITS = {kind: 1 << place for place, kind in enumerate(Kind)}
"""The bit of each kind in a member's opt-outs."""

_WAYS: dict[Channel, tuple[ContactType, ...]] = {
    Channel.SMS: (ContactType.MOBILE,),
    Channel.EMAIL: (ContactType.EMAIL,),
    Channel.VOICE: (ContactType.MOBILE, ContactType.LANDLINE),
}
"""Which contacts a channel can use, the preferred type first."""


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """From each of some sets (networks, groups) to its members' rows, as compressed sparse rows."""

    offset: Int64
    member: Int32

    def of(self, sets: Int64) -> Int32:
        """Rows of the members of some sets; a member of two of them comes twice."""
        starts, lengths = self.offset[sets], self.offset[sets + 1] - self.offset[sets]
        shift = starts - (np.cumsum(lengths) - lengths)
        return self.member[np.repeat(shift, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)]

    def mask(self, sets: Int64, size: int) -> Mask:
        """Which of `size` rows belong to at least one of the sets."""
        found = np.zeros(size, np.bool_)
        found[self.of(sets)] = True
        return found


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
class Best:
    """The one contact of each member for a channel; 0 where there is none."""

    contact_id: Int64
    address_id: Int64
    dense: Int32
    """The address numbered from 0 among those of this channel; -1 where there is none."""
    addresses: int


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
    opt_outs: UInt8
    has_position: Mask
    grid: Grid
    networks: Networks
    groups: Groups
    best: Mapping[Channel, Best]

    def __len__(self) -> int:
        return len(self.member_id)

    def rows_of(self, member_ids: npt.ArrayLike) -> Int64:
        """Rows of the members with these ids; ids that the register no longer has are left out."""
        found, known = _find(self.member_id, np.asarray(member_ids, dtype=np.int64))
        return found[known]


def build(rows: RegisterRows) -> Snapshot:
    """The snapshot of one zone's rows; CPU-bound (about 1.5 s for a million members with two contacts each)."""
    table = _table(rows.members, 7)
    languages, language = _coded(table, rows.languages)
    opt_outs = np.array([_opt_out_bits(text) for text in rows.opt_outs] or [0], dtype=np.uint8)
    member_id, lon, lat, refnis, postcode = (table[:, i] for i in (0, 2, 3, 4, 5))
    has_position = lon != NOWHERE
    placed = np.flatnonzero(has_position)
    return Snapshot(
        zone_id=rows.zone.id,
        code=rows.zone.code,
        convention=rows.zone.convention,
        revision=rows.zone.register_rev,
        member_id=member_id.copy(),
        language=language,
        languages=languages,
        refnis=_renumber(refnis.astype(np.int32)),
        postcode=postcode.astype(np.int32),
        opt_outs=opt_outs[table[:, 6]],
        has_position=has_position,
        grid=grid(placed.astype(np.int32), lon[placed].astype(np.int32), lat[placed].astype(np.int32)),
        networks=_networks(rows, member_id),
        groups=_groups(rows, member_id),
        best=_best(_table(rows.contacts, 5), member_id),
    )


def _table(chunks: Iterable[Sequence[int]], width: int) -> Int64:
    """Rows of integers, one after another in chunks, as one table in the order of their first column."""
    parts = [np.asarray(chunk, dtype=np.int64) for chunk in chunks]
    table = np.concatenate([np.empty(0, np.int64), *parts]).reshape(-1, width)
    return table[np.argsort(table[:, 0], kind="stable")]


def _coded(table: Int64, names: Sequence[str]) -> tuple[tuple[str, ...], UInt8]:
    # 255 languages are more than a zone speaks; what lies beyond is treated as unknown.
    tags = ("", *names[:255])
    codes = np.where(table[:, 1] < 255, table[:, 1] + 1, 0)
    return tags, codes.astype(np.uint8)


def _opt_out_bits(text: str) -> int:
    """The mask of a list of kinds; a word that is no kind of this version is no opt-out from one that is."""
    kinds = set(text.split())
    return sum(bit for kind, bit in KIND_BITS.items() if kind.value in kinds)


def _renumber(refnis: Int32) -> Int32:
    for old, new in renumbered().items():
        refnis[refnis == old] = new
    return refnis


def _find(ascending: Int64, wanted: Int64) -> tuple[Int64, Mask]:
    """Where each wanted value stands in an ascending column, and whether it is there at all."""
    if not ascending.size:
        return np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.bool_)
    places = np.minimum(np.searchsorted(ascending, wanted), ascending.size - 1)
    return places, ascending[places] == wanted


def _links(pairs: Int64, set_id: Int64, member_id: Int64) -> Links:
    """Pairs (set, member) as links; pairs with a removed member are left out."""
    sets, has_set = _find(set_id, pairs[:, 0])
    members, has_member = _find(member_id, pairs[:, 1])
    known = has_set & has_member
    sets, members = sets[known], members[known]
    order = np.lexsort((members, sets))
    offset = np.concatenate(([0], np.cumsum(np.bincount(sets, minlength=set_id.size))))
    return Links(offset.astype(np.int64), members[order].astype(np.int32))


def _networks(rows: RegisterRows, member_id: Int64) -> Networks:
    found = sorted(rows.networks)
    ids = np.array([row[0] for row in found], dtype=np.int64)
    codes = tuple(row[1] for row in found)
    shapes = {place: shape for place, row in enumerate(found) if (shape := _territory(row[2])) is not None}
    has_territory = np.zeros(ids.size, np.bool_)
    has_territory[list(shapes)] = True
    place_of = {int(network): place for place, network in enumerate(ids)}
    by_geocode: dict[tuple[str, str], set[int]] = {}
    for network, system, value in rows.network_codes:
        value = current(value) if system == REFNIS and value.isdigit() else value
        by_geocode.setdefault((system, value), set()).add(place_of[network])
    has_system = {system: np.zeros(ids.size, np.bool_) for system, _ in by_geocode}
    for (system, _), places in by_geocode.items():
        has_system[system][list(places)] = True
    return Networks(
        id=ids,
        code=codes,
        members=_links(_table(rows.memberships, 2), ids, member_id),
        by_code={code: place for place, code in enumerate(codes)},
        territories=shapely.STRtree(list(shapes.values())),
        placed=np.array(list(shapes), dtype=np.int64),
        has_territory=has_territory,
        by_geocode={key: np.array(sorted(places), dtype=np.int64) for key, places in by_geocode.items()},
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


def _groups(rows: RegisterRows, member_id: Int64) -> Groups:
    found = sorted(rows.groups)
    ids = np.array([row[0] for row in found], dtype=np.int64)
    links = _links(_table(rows.group_members, 2), ids, member_id)
    return Groups(ids, links, {row[1]: place for place, row in enumerate(found)})


def _best(contacts: Int64, member_id: Int64) -> dict[Channel, Best]:
    rows, known = _find(member_id, contacts[:, 0])
    rows, contacts = rows[known], contacts[known]
    return {channel: _best_of(rows, contacts, _WAYS[channel], member_id.size) for channel in CHANNELS}


def _best_of(rows: Int64, contacts: Int64, ways: tuple[ContactType, ...], size: int) -> Best:
    contact, address, kind, rank = contacts.T[1:]
    preference = np.full(max(ContactType) + 1, len(ways))
    preference[list(ways)] = np.arange(len(ways))
    usable = np.flatnonzero(preference[kind] < len(ways))
    order = np.lexsort((contact[usable], rank[usable], preference[kind[usable]], rows[usable]))
    usable = usable[order]
    owners, first = np.unique(rows[usable], return_index=True)
    chosen = usable[first]
    contact_id, address_id = np.zeros(size, np.int64), np.zeros(size, np.int64)
    contact_id[owners], address_id[owners] = contact[chosen], address[chosen]
    dense = np.full(size, -1, np.int32)
    values, dense[owners] = np.unique(address[chosen], return_inverse=True)
    return Best(contact_id, address_id, dense, len(values))
