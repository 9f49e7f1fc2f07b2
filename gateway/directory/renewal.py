"""A snapshot brought up to date with what has changed of its zone's register: what `build` would make of all rows,
for a copy of the columns instead of a read of the zone. Pure and CPU-bound: call it in a thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from channels.contract import Channel
from gateway.directory.columns import Int64, UInt8, find, table
from gateway.directory.contacts import NO_DETOUR, BestContacts, Detour, best_of, numbered
from gateway.directory.opt_outs import FREE_KINDS
from gateway.directory.point_in_area import Int32, grid
from gateway.directory.snapshot import (
    Leavers,
    Links,
    People,
    Snapshot,
    groups_of,
    leavers_of,
    links,
    networks_of,
    people_of,
)
from store.register.reading import NOWHERE, RegisterChanges

Column = TypeVar("Column", bound=npt.NDArray[Any])


def renewed(snapshot: Snapshot, changes: RegisterChanges) -> Snapshot:
    """The snapshot at the revision of the changes, which were read since its own."""
    people = people_of(changes.members)
    languages, language = _languages(snapshot.languages, people)
    order = _order(snapshot.member_id, table(changes.changed, 1)[:, 0], people.id)
    member_id = order.merged(snapshot.member_id, people.id)
    placed = np.flatnonzero(people.lon_e7 != NOWHERE)
    positions = grid(order.joined[placed], people.lon_e7[placed], people.lat_e7[placed])
    networks, groups = snapshot.networks, snapshot.groups
    if changes.places is not None:
        networks, groups = networks_of(changes.places), groups_of(changes.places)
    in_networks = _relinked(
        snapshot.networks.members,
        find(networks.id, snapshot.networks.id),
        order,
        links(table(changes.members.memberships, 2), networks.id, member_id),
    )
    in_groups = _relinked(
        snapshot.groups.members,
        find(groups.id, snapshot.groups.id),
        order,
        links(table(changes.members.group_members, 2), groups.id, member_id),
    )
    return Snapshot(
        zone_id=changes.zone.id,
        code=changes.zone.code,
        convention=changes.zone.convention,
        revision=changes.zone.register_rev,
        member_id=member_id,
        language=order.merged(snapshot.language, language),
        languages=languages,
        refnis=order.merged(snapshot.refnis, people.refnis),
        postcode=order.merged(snapshot.postcode, people.postcode),
        opt_outs=order.merged(snapshot.opt_outs, people.opt_outs),
        has_position=order.merged(snapshot.has_position, people.lon_e7 != NOWHERE),
        grid=snapshot.grid.renewed(order.row_now, positions),
        networks=replace(networks, members=in_networks),
        groups=replace(groups, members=in_groups),
        best=_best(snapshot.best, order, best_of(changes.members, people.id)),
        leavers=_leavers(snapshot.leavers, order, leavers_of(changes.members, people.id)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """Where the rows of a snapshot and of its changes stand in the new one."""

    source: Int64
    """Of each new row: its place in the old rows followed by the changed ones."""
    row_now: Int32
    """Of each old row: its new place; -1 for those changed or gone."""
    joined: Int32
    """Of each changed row: its new place."""

    def merged(self, old: Column, changed: Column) -> Column:
        return np.concatenate([old, changed])[self.source]  # type: ignore[return-value]


def _order(old_id: Int64, changed_id: Int64, joined_id: Int64) -> _Order:
    """`changed_id`: everyone of whom anything changed; `joined_id`: those of them who are there now. All ascending."""
    stays = np.ones(old_id.size, np.bool_)
    places, known = find(old_id, changed_id)
    stays[places[known]] = False
    staying = np.flatnonzero(stays)
    before = np.searchsorted(old_id[staying], joined_id)
    source = np.insert(staying, before, old_id.size + np.arange(joined_id.size))
    joined = (before + np.arange(joined_id.size)).astype(np.int32)
    row_now = np.full(old_id.size, -1, np.int32)
    from_old = np.flatnonzero(source < old_id.size)
    row_now[source[from_old]] = from_old
    return _Order(source, row_now, joined)


def _languages(known: tuple[str, ...], people: People) -> tuple[tuple[str, ...], UInt8]:
    """The languages with those that came in, and the changed members' places in them."""
    names = (*known, *(name for name in people.languages if name not in known))[:256]
    place = {name: number for number, name in enumerate(names)}
    codes = np.array([place.get(name, 0) for name in people.languages], np.uint8)
    return names, codes[people.language]


def _relinked(old: Links, sets_now: tuple[Int64, npt.NDArray[np.bool_]], order: _Order, joined: Links) -> Links:
    """`sets_now`: for each old set its new number, and whether there is one."""
    number, there = sets_now
    sets = np.repeat(np.arange(number.size), np.diff(old.offset))
    member = order.row_now[old.member]
    stay = (member >= 0) & there[sets]
    # Both numberings keep the order, so what stays is still sorted by set and then by member.
    staying = _Pairs(number[sets[stay]], member[stay])
    arriving = _Pairs(np.repeat(np.arange(joined.offset.size - 1), np.diff(joined.offset)), joined.member)
    size = order.source.size
    place = np.searchsorted(staying.keys(size), arriving.keys(size))
    all_sets = np.insert(staying.set, place, arriving.set)
    offset = np.concatenate(([0], np.cumsum(np.bincount(all_sets, minlength=joined.offset.size - 1))))
    return Links(offset.astype(np.int64), np.insert(staying.member, place, arriving.member).astype(np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    set: Int64
    member: Int32

    def keys(self, members: int) -> Int64:
        """One number a pair, in the order of set and member."""
        return self.set * members + self.member


def _leavers(old: Leavers, order: _Order, changed: Leavers) -> Leavers:
    now = order.row_now[old.row]
    stay = now >= 0
    row = np.concatenate([now[stay], order.joined[changed.row]]).astype(np.int64)
    network_id = np.concatenate([old.network_id[stay], changed.network_id])
    wishes = np.concatenate([old.wishes[stay], changed.wishes])
    by_row = np.lexsort((network_id, row))
    return Leavers(row[by_row], network_id[by_row], wishes[by_row])


def _best(
    old: Mapping[Channel, BestContacts], order: _Order, changed: Mapping[Channel, BestContacts]
) -> dict[Channel, BestContacts]:
    return {channel: _best_of(best, order, changed[channel]) for channel, best in old.items()}


def _best_of(old: BestContacts, order: _Order, changed: BestContacts) -> BestContacts:
    contact_id = order.merged(old.contact_id, changed.contact_id)
    address_id = order.merged(old.address_id, changed.address_id)
    numbers, addresses = _numbers(old, changed)
    none = NO_DETOUR
    turned = {
        kind: _detour(old.detours.get(kind, none), order, changed.detours.get(kind, none), numbers)
        for kind in FREE_KINDS
    }
    detours = {kind: detour for kind, detour in turned.items() if len(detour)}
    if addresses > 2 * address_id.size + 1000:
        # From 0 again, once more numbers are given than there are members: many changes have come since.
        return numbered(contact_id, address_id, detours)
    return BestContacts(contact_id, address_id, order.merged(old.dense, numbers[changed.dense]), addresses, detours)


def _numbers(old: BestContacts, changed: BestContacts) -> tuple[Int32, int]:
    """For each number of an address among the changes the one it has now: its old one if it had one, else a new one;
    the last is that of no address. And how many numbers are given."""
    wanted = np.zeros(changed.addresses, np.int64)
    for address_id, dense in changed.columns():
        wanted[dense[dense >= 0]] = address_id[dense >= 0]
    number = np.full(wanted.size + 1, -1, np.int32)
    for address_id, dense in old.columns():
        place, known = find(wanted, address_id)
        known &= dense >= 0
        number[place[known]] = dense[known]
    new = np.flatnonzero(number[:-1] < 0)
    number[new] = old.addresses + np.arange(new.size)
    return number, old.addresses + new.size


def _detour(old: Detour, order: _Order, changed: Detour, numbers: Int32) -> Detour:
    now = order.row_now[old.row]
    stay = now >= 0
    row = np.concatenate([now[stay], order.joined[changed.row]]).astype(np.int64)
    by_row = np.argsort(row)
    return Detour(
        row[by_row],
        np.concatenate([old.contact_id[stay], changed.contact_id])[by_row],
        np.concatenate([old.address_id[stay], changed.address_id])[by_row],
        np.concatenate([old.dense[stay], numbers[changed.dense]])[by_row],
    )
