"""What became of each person, from the states of deliveries: columns in, counts out. Pure, over numpy columns.

The rule (design section 7): delivered on any channel is reached; else what a carrier took is accepted: handed over, and
nobody confirms that it arrived (mail has no receipts; those of SMS may be missing), which is never called delivered;
else what is unknown is in doubt; else something still open is pending; else a failure is not reached; else expired,
cancelled, not needed. Who is covered shares the fate of the delivery that covers them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channels.contract import Channel
from gateway.directory.audience import CHANNELS, Audience
from gateway.directory.columns import Int64, UInt8
from store.states import DeliveryState as S

NO_ROW = 15
"""In a column of states: not a row yet, so still queued."""
_NOT_FOUND = 14
"""Covered by a delivery whose record was not found."""


@dataclass(frozen=True, slots=True, eq=False)
class Fates:
    """One channel's deliveries in the order of the audience."""

    states: UInt8
    codes: Int64
    """Index into `names` for the failed; 0 for no code."""
    names: Sequence[str]
    """[0] is the empty code."""


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """Another zone's campaign of the same alert."""

    audience: Audience
    fates: Mapping[Channel, Fates]


_RULES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("reached", (S.DELIVERED,)),
    ("accepted", (S.ACCEPTED,)),
    ("in_doubt", (S.UNKNOWN, _NOT_FOUND)),
    ("pending", (S.QUEUED, S.RETRY, NO_ROW)),
    ("not_reached", (S.FAILED,)),
    ("expired", (S.EXPIRED,)),
    ("cancelled", (S.CANCELLED,)),
    ("not_needed", (S.NOT_NEEDED,)),
)


def persons(
    audience: Audience,
    fates: Mapping[Channel, Fates],
    elsewhere: Sequence[Elsewhere],
    cancelled_by: str,
    doubted_by: str = "unknown",
) -> dict[str, dict[str, int]]:
    """How many persons there are of each outcome and reason. `cancelled_by`: the word of what called the campaign off;
    `doubted_by`: of why what is in doubt is so."""
    members = audience.members
    tally = _Persons(members)
    for channel, own, states, codes in _fates_by_person(audience, fates, elsewhere):
        tally.add(channel, own, states, codes, fates[channel].names)
    return tally.outcomes(cancelled_by, doubted_by)


def _fates_by_person(
    audience: Audience, fates: Mapping[Channel, Fates], elsewhere: Sequence[Elsewhere]
) -> Iterator[tuple[Channel, Int64, UInt8, Int64]]:
    """(channel, member ids, state, code) of every delivery and of everyone covered by one."""
    for channel in audience.channels:
        found = fates[channel]
        yield channel, audience.deliveries[channel].member_id, found.states, found.codes
        covered = audience.covered
        here = covered.channel == CHANNELS.index(channel)
        if not here.any():
            continue
        wanted = covered.address_id[here]
        states, codes = _at(audience, found, channel, wanted)
        for other in elsewhere:
            missing = states == _NOT_FOUND
            if channel in other.fates and missing.any():
                states[missing], _ = _at(other.audience, other.fates[channel], channel, wanted[missing])
        yield channel, covered.member_id[here], states, codes


def _at(audience: Audience, fates: Fates, channel: Channel, addresses: Int64) -> tuple[UInt8, Int64]:
    """State and code of the deliveries to these addresses."""
    states = np.full(len(addresses), _NOT_FOUND, np.uint8)
    codes = np.zeros(len(addresses), np.int64)
    known = audience.deliveries[channel].address_id
    if not len(known):
        return states, codes
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known, addresses, sorter=order), len(known) - 1)
    row = order[place]
    same = known[row] == addresses
    states[same] = fates.states[row[same]]
    codes[same] = fates.codes[row[same]]
    return states, codes


class _Persons:
    """Columns over the included persons."""

    def __init__(self, members: Int64) -> None:
        self.members = members
        self.bits: NDArray[np.uint16] = np.zeros(len(members), np.uint16)
        self.delivered_by: UInt8 = np.zeros(len(members), np.uint8)
        self.taken_by: UInt8 = np.zeros(len(members), np.uint8)
        self.failure: Int64 = np.zeros(len(members), np.int64)
        self.failures: list[str] = [""]

    def add(self, channel: Channel, own: Int64, states: UInt8, codes: Int64, names: Sequence[str]) -> None:
        at = np.searchsorted(self.members, own)
        np.bitwise_or.at(self.bits, at, (1 << states.astype(np.uint16)).astype(np.uint16))
        np.bitwise_or.at(self.delivered_by, at[states == S.DELIVERED], np.uint8(1 << CHANNELS.index(channel)))
        np.bitwise_or.at(self.taken_by, at[states == S.ACCEPTED], np.uint8(1 << CHANNELS.index(channel)))
        failed = (states == S.FAILED) & (self.failure[at] == 0)
        # The first channel that failed gives the reason; place 0 stays for "none".
        self.failure[at[failed]] = codes[failed] + len(self.failures)
        self.failures += [f"{channel.value}: {name or 'no code'}" for name in names]

    def outcomes(self, cancelled_by: str, doubted_by: str) -> dict[str, dict[str, int]]:
        left = np.ones(len(self.members), np.bool_)
        found: dict[str, dict[str, int]] = {}
        for outcome, states in _RULES:
            mask = sum(1 << int(state) for state in states)
            these = left & ((self.bits & mask) != 0)
            if these.any():
                found[outcome] = self._reasons(outcome, these, cancelled_by, doubted_by)
            left &= ~these
        return found

    def _reasons(self, outcome: str, these: NDArray[np.bool_], cancelled_by: str, doubted_by: str) -> dict[str, int]:
        if outcome == "reached":
            return _tally(self.delivered_by[these], [_channel_words(bits) for bits in range(8)])
        if outcome == "accepted":
            return _tally(self.taken_by[these], [f"taken: {_channel_words(bits)}" for bits in range(8)])
        if outcome == "not_reached":
            return _tally(self.failure[these], self.failures)
        bits = self.bits[these]
        if outcome == "in_doubt":
            return _first(bits, ((S.UNKNOWN, doubted_by), (_NOT_FOUND, "other_zone")))
        if outcome == "pending":
            return _first(bits, ((S.RETRY, "retry"), (S.QUEUED, "queued"), (NO_ROW, "queued")))
        return {cancelled_by if outcome == "cancelled" else outcome: len(bits)}


def _channel_words(bits: int) -> str:
    return "+".join(channel.value for n, channel in enumerate(CHANNELS) if bits >> n & 1)


def _tally(places: NDArray[np.integer], words: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, n in enumerate(np.bincount(places.astype(np.int64), minlength=1).tolist()):
        if n:
            found[words[place]] = found.get(words[place], 0) + n
    return found


def _first(bits: NDArray[np.uint16], order: Sequence[tuple[int, str]]) -> dict[str, int]:
    """Each person once, under the first of these states that they have."""
    found: dict[str, int] = {}
    left = np.ones(len(bits), np.bool_)
    for state, word in order:
        these = left & ((bits >> int(state)) & 1).astype(np.bool_)
        n = int(these.sum())
        if n:
            found[word] = found.get(word, 0) + n
        left &= ~these
    return found
