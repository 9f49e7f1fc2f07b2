"""Which contact of a member a channel uses, and which one instead where an address does not want a kind of message.

Pure columns over members' rows; knows no kind but by the bits of `wishes`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from channels.contract import Channel
from gateway.directory.audience import CHANNELS
from gateway.directory.columns import Int64, find, table
from gateway.directory.opt_outs import FREE_KINDS, WISH_BITS, Bits, bits_of
from gateway.directory.point_in_area import Int32, Mask
from gateway.kinds import Kind
from store.register.reading import ContactType, MemberRows

Column = TypeVar("Column", bound=npt.NDArray[Any])

_WAYS: dict[Channel, tuple[ContactType, ...]] = {
    Channel.SMS: (ContactType.MOBILE,),
    Channel.EMAIL: (ContactType.EMAIL,),
    Channel.VOICE: (ContactType.MOBILE, ContactType.LANDLINE),
}
"""Which contacts a channel can use, the preferred type first."""


@dataclass(frozen=True, slots=True, eq=False)
class Detour:
    """Members whose contact of choice is at an address that does not want one kind of message: what they have instead,
    0 where all their addresses say so."""

    row: Int64
    """Ascending."""
    contact_id: Int64
    address_id: Int64
    dense: Int32

    def __len__(self) -> int:
        return len(self.row)


NO_DETOUR = Detour(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class BestContacts:
    """The one contact of each member for a channel; 0 where there is none."""

    contact_id: Int64
    address_id: Int64
    dense: Int32
    """The address numbered from 0 among those of this channel; -1 where there is none."""
    addresses: int
    detours: Mapping[Kind, Detour]
    """Few, as few addresses say anything: for everyone else the columns above hold."""

    def columns(self) -> Iterator[tuple[Int64, Int32]]:
        """The columns of addresses and of their numbers."""
        yield self.address_id, self.dense
        for detour in self.detours.values():
            yield detour.address_id, detour.dense


@dataclass(frozen=True, slots=True, eq=False)
class ChannelContacts:
    """The contacts of a channel for one kind of message; asked for ascending rows."""

    best: BestContacts
    detour: Detour

    def contact_id(self, rows: Int64) -> Int64:
        return self._of(rows, self.best.contact_id, self.detour.contact_id)

    def address_id(self, rows: Int64) -> Int64:
        return self._of(rows, self.best.address_id, self.detour.address_id)

    def dense(self, rows: Int64) -> Int32:
        return self._of(rows, self.best.dense, self.detour.dense)

    def silenced(self, rows: Int64) -> Mask:
        """Who has addresses for this channel, none of which wants this kind of message."""
        places, here = find(rows, self.detour.row[self.detour.dense < 0])
        found = np.zeros(rows.size, np.bool_)
        found[places[here]] = True
        return found

    def _of(self, rows: Int64, column: Column, instead: Column) -> Column:
        places, here = find(rows, self.detour.row)
        found = column[rows]
        found[places[here]] = instead[here]
        return found  # type: ignore[return-value]


def way(best: BestContacts, kind: Kind) -> ChannelContacts:
    """Only kinds that nobody has to receive have detours (invariant 5)."""
    return ChannelContacts(best, best.detours.get(kind, NO_DETOUR))


def best_of(rows: MemberRows, member_id: Int64) -> dict[Channel, BestContacts]:
    """The contact of choice of each member, for each channel."""
    contacts = table(rows.contacts, 5)
    owners, known = find(member_id, contacts[:, 0])
    owners, contacts = owners[known], contacts[known]
    unwanted = _unwanted(rows, contacts[:, 2])
    return {channel: _best_of(owners, contacts, unwanted, channel, member_id.size) for channel in CHANNELS}


def _unwanted(rows: MemberRows, address_id: Int64) -> Bits:
    """What each contact's address does not want."""
    found = np.zeros(address_id.size, np.uint16)
    pairs = table(rows.address_opt_outs, 2)
    if pairs.size:
        addresses, first = np.unique(pairs[:, 0], return_index=True)
        bits = np.bitwise_or.reduceat(bits_of(rows.wishes)[pairs[:, 1]], first)
        places, known = find(addresses, address_id)
        found[known] = bits[places[known]]
    return found


def _best_of(rows: Int64, contacts: Int64, unwanted: Bits, channel: Channel, size: int) -> BestContacts:
    contact, address, kind, rank = contacts.T[1:]
    ways = _WAYS[channel]
    preference = np.full(max(ContactType) + 1, len(ways))
    preference[list(ways)] = np.arange(len(ways))
    usable = np.flatnonzero(preference[kind] < len(ways))
    order = np.lexsort((contact[usable], rank[usable], preference[kind[usable]], rows[usable]))
    usable = usable[order]
    owners, first = np.unique(rows[usable], return_index=True)
    chosen = usable[first]
    contact_id, address_id = np.zeros(size, np.int64), np.zeros(size, np.int64)
    contact_id[owners], address_id[owners] = contact[chosen], address[chosen]
    detours: dict[Kind, Detour] = {}
    for free in FREE_KINDS:
        wanted = (unwanted[usable] & WISH_BITS[free, channel]) == 0
        if not wanted[first].all():
            instead = usable[wanted]
            turned = owners[~wanted[first]]
            detours[free] = _detour(turned, rows[instead], contact[instead], address[instead])
    return numbered(contact_id, address_id, detours)


def _detour(turned: Int64, rows: Int64, contact: Int64, address: Int64) -> Detour:
    """The first contact of each member who is turned away, of contacts in order of members and preference."""
    owners, first = np.unique(rows, return_index=True)
    places, has = find(owners, turned)
    chosen = first[places[has]]
    contact_id, address_id = np.zeros(turned.size, np.int64), np.zeros(turned.size, np.int64)
    contact_id[has], address_id[has] = contact[chosen], address[chosen]
    return Detour(turned, contact_id, address_id, np.full(turned.size, -1, np.int32))


def numbered(contact_id: Int64, address_id: Int64, detours: Mapping[Kind, Detour]) -> BestContacts:
    """The contacts with their addresses numbered from 0, in their order."""
    values, numbers = _numbered(address_id, contact_id != 0, detours)
    made: dict[Kind, Detour] = {}
    for kind, detour in detours.items():
        dense = np.full(len(detour), -1, np.int32)
        has = detour.contact_id != 0
        dense[has] = np.searchsorted(values, detour.address_id[has])
        made[kind] = replace(detour, dense=dense)
    return BestContacts(contact_id, address_id, numbers, values.size, made)


def _numbered(address_id: Int64, has: Mask, detours: Mapping[Kind, Detour]) -> tuple[Int64, Int32]:
    others = [detour.address_id[detour.contact_id != 0] for detour in detours.values()]
    dense = np.full(address_id.size, -1, np.int32)
    values, places = np.unique(np.concatenate([address_id[has], *others]), return_inverse=True)
    dense[has] = places[: np.count_nonzero(has)]
    return values, dense
