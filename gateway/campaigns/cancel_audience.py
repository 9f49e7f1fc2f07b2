"""Who is owed a Cancel, as columns: gathered page by page, one row a channel and address, and the audience of them.

Pure. The work is in proportion to the people: off the event loop, please.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels.contract import Channel
from gateway.directory.audience import CHANNELS, Audience, Covered, Deliveries, Excluded, SkippedChannel
from gateway.directory.columns import Int64, UInt8
from gateway.directory.reasons import ExclusionReason as Why
from gateway.directory.zone_policy import ZonePolicy
from gateway.texts.language import choose
from store.campaigns.cancelling import HolderColumns

OwedGroup = tuple[str, str]
"""Channel, and the language in which the message was read."""
_Table = npt.NDArray[np.int64]
"""Five lines: the group's number, member, contact, (address << 1) | in hand, whether something is known to have
reached the address."""


@dataclass(frozen=True, slots=True)
class OwedPerson:
    channel: str
    language: str
    member_id: int
    contact_id: int
    address_id: int
    in_hand: bool


@dataclass(frozen=True, slots=True, eq=False)
class Owed:
    """Aligned columns: channel by channel, in each those first who may be told at once, then those who are known to
    have something of the thread, and then by member."""

    groups: tuple[OwedGroup, ...]
    group: Int64
    """Index into `groups`."""
    member_id: Int64
    contact_id: Int64
    address_id: Int64
    in_hand: npt.NDArray[np.bool_]
    """A worker has some message of the thread for this address: told at once they could hear of the end first."""
    known: npt.NDArray[np.bool_]
    """Some message of the thread may have reached the address already, whatever becomes of those in hand."""

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, place: int) -> OwedPerson:
        return OwedPerson(
            *self.groups[int(self.group[place])],
            int(self.member_id[place]),
            int(self.contact_id[place]),
            int(self.address_id[place]),
            bool(self.in_hand[place]),
        )


class HolderGathering:
    """Pages of holders, campaign by campaign of a thread, becoming one row a channel and address."""

    def __init__(self) -> None:
        self._groups: dict[OwedGroup, int] = {}
        self._found = np.empty((5, 0), np.int64)
        self._pages: list[_Table] = []

    def take(self, page: Iterable[HolderColumns]) -> None:
        for part in page:
            number = self._groups.setdefault((part.channel, part.language), len(self._groups))
            columns = np.fromstring(part.numbers, np.int64, sep=",").reshape(-1, 3).T
            self._pages.append(np.vstack((np.full(columns.shape[1], number), columns, 1 - (columns[2] & 1))))

    def merge(self) -> None:
        """After each campaign, so that a long thread takes no more memory than two of its campaigns. Whoever has one
        of its messages in hand waits, also where they are known to have another; of several contacts the first one
        counts, and one that is known to have something before one that may yet get it."""
        every = np.hstack((self._found, *self._pages))
        self._pages.clear()
        group, _, _, address, known = every
        who = (address >> 1) * len(CHANNELS) + self._channels()[group]
        order = np.lexsort((1 - known, who))
        first = np.flatnonzero(np.diff(who[order], prepend=-1))
        self._found = every[:, order[first]]
        if len(first):
            self._found[3] |= np.bitwise_or.reduceat(address[order] & 1, first)

    def owed(self) -> Owed:
        group, member_id, contact_id, address, known = self._found
        in_hand = address & 1
        order = np.lexsort((contact_id, member_id, 1 - known, in_hand, self._channels()[group]))
        return Owed(
            tuple(self._groups),
            group[order],
            member_id[order],
            contact_id[order],
            address[order] >> 1,
            in_hand[order] == 1,
            known[order] == 1,
        )

    def _channels(self) -> Int64:
        """The number of each group's channel."""
        return np.array([CHANNELS.index(Channel(channel)) for channel, _ in self._groups], np.int64)


# ---- the audience --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    audience: Audience
    tally: Mapping[OwedGroup, int]
    """Deliveries by channel and language of the text."""
    waits_from: Mapping[str, int]
    """The first sequence number, per channel, of those to whom some message of the thread is still in hand."""
    spares_from: Mapping[str, int]
    """The first one, per channel, of those among them who have nothing if what is in hand does not reach them."""


def draw_up(owed: Owed, texts: Mapping[str, Sequence[str]], policy: ZonePolicy) -> Drawn:
    """`texts`: the languages that there are, by channel. On a channel without any nobody is told: there the
    rights of the author end. Raises KeyError where people have it and there is no text at all."""
    if owed.groups and not texts:
        raise KeyError("no texts")
    languages = tuple(dict.fromkeys(language for channel in texts.values() for language in channel))
    deliveries: dict[Channel, Deliveries] = {}
    tally: dict[OwedGroup, int] = {}
    waits_from: dict[str, int] = {}
    spares_from: dict[str, int] = {}
    seq = 0
    for channel in CHANNELS:
        mine = np.flatnonzero(_of_channel(owed, channel)[owed.group])
        if not len(mine) or channel not in texts:
            continue
        number = _text_of(owed, channel, languages, texts[channel], policy)[owed.group[mine]]
        deliveries[channel] = Deliveries(owed.contact_id[mine], owed.member_id[mine], owed.address_id[mine], number)
        counted = np.bincount(number, minlength=len(languages))
        tally |= {(str(channel), languages[n]): int(counted[n]) for n in np.flatnonzero(counted)}
        waiting = int(owed.in_hand[mine].sum())
        if waiting:
            waits_from[str(channel)] = seq + len(mine) - waiting
            spares_from[str(channel)] = seq + len(mine) - int((~owed.known[mine]).sum())
        seq += len(mine)
    return Drawn(_audience(languages, deliveries), tally, waits_from, spares_from)


def _of_channel(owed: Owed, channel: Channel) -> npt.NDArray[np.bool_]:
    return np.array([of == channel for of, _ in owed.groups], np.bool_)


def _text_of(
    owed: Owed, channel: Channel, languages: Sequence[str], available: Sequence[str], policy: ZonePolicy
) -> UInt8:
    """For each group the number of the language in which those of this channel are told."""
    chosen = [
        choose(read, available, default=policy.default_language, fallback=policy.language_fallback)
        if of == channel
        else languages[0]
        for of, read in owed.groups
    ]
    return np.array([languages.index(language) for language in chosen], np.uint8)


def _audience(languages: tuple[str, ...], deliveries: dict[Channel, Deliveries]) -> Audience:
    members = _distinct([found.member_id for found in deliveries.values()])
    skipped = [(_without(members, found.member_id), CHANNELS.index(c)) for c, found in deliveries.items()]
    missing = np.concatenate([ids for ids, _ in skipped]) if skipped else np.empty(0, np.int64)
    numbers = np.repeat(np.array([n for _, n in skipped], np.uint8), [len(ids) for ids, _ in skipped])
    ids, small = np.empty(0, np.int64), np.empty(0, np.uint8)
    return Audience(
        resolved=len(members),
        languages=languages,
        channels=tuple(deliveries),
        deliveries=deliveries,
        excluded=Excluded(ids, small),
        covered=Covered(ids, small, ids, ids, small),
        skipped=SkippedChannel(missing, numbers, np.full(len(missing), int(Why.NOT_TOLD), np.uint8)),
    )


def _distinct(columns: Sequence[Int64]) -> Int64:
    every = np.sort(np.concatenate(columns), kind="stable") if columns else np.empty(0, np.int64)
    return every[np.diff(every, prepend=-1) > 0]


def _without(members: Int64, reached: Int64) -> Int64:
    """Those of the members, ascending, who are not among the reached."""
    missing = np.ones(len(members), np.bool_)
    missing[np.searchsorted(members, reached)] = False
    return members[missing]
