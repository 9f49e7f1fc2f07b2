"""The frozen audience of a campaign, as `resolve` found it: a value over columns, and its compact blob.

Pure values over numpy columns. Knows no name and no address: ids only, so the blob is small and says little
by itself. Within a channel deliveries are in the order of member ids, and so are the rows made of them.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from channels.contract import Channel
from gateway.directory.columns import ColumnBroken, ColumnCoding, Int64, UInt8, pack, unpack
from gateway.directory.reasons import ExclusionReason

CHANNELS = (Channel.SMS, Channel.EMAIL, Channel.VOICE)
"""The order of channels everywhere in an audience; a channel's number is its place here."""

_MAGIC = b"TAUD"
_VERSION = 1
_PREFIX = struct.Struct("<4sHI")  # magic, version, length of the head
_MOST_OCTETS = 1 << 31


class AudienceUnreadable(ValueError):
    """The blob is not an audience, is damaged, or is of a version that this program does not know."""


@dataclass(frozen=True, slots=True, eq=False)
class Deliveries:
    """One channel's messages, aligned columns, ascending member ids, one row an address."""

    contact_id: Int64
    member_id: Int64
    address_id: Int64
    language: UInt8
    """Index into `Audience.languages`."""

    def __len__(self) -> int:
        return len(self.contact_id)


@dataclass(frozen=True, slots=True, eq=False)
class Excluded:
    """Persons of the union who get nothing at all."""

    member_id: Int64
    reason: UInt8

    def __len__(self) -> int:
        return len(self.member_id)


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """A person's address on a channel, reached by another delivery of this campaign or of another zone's."""

    member_id: Int64
    channel: UInt8
    contact_id: Int64
    address_id: Int64
    """The delivery with this address is what reaches them."""
    reason: UInt8

    def __len__(self) -> int:
        return len(self.member_id)


@dataclass(frozen=True, slots=True, eq=False)
class SkippedChannel:
    """A person and a channel that was asked for and has no address, with the reason."""

    member_id: Int64
    channel: UInt8
    reason: UInt8

    def __len__(self) -> int:
        return len(self.member_id)


class AudienceCounts(msgspec.Struct, frozen=True):
    """An audience in numbers, counted from its columns; `resolved` alone is what the resolver stated."""

    resolved: int
    included: int
    excluded: dict[str, int]
    channels: int
    deliveries: dict[str, int]
    covered: dict[str, int]
    skipped: dict[str, int]

    @property
    def candidates(self) -> int:
        """How many pairs there are of a resolved person and a channel asked for."""
        return self.resolved * self.channels

    def persons_close(self) -> bool:
        """Whether resolved = included + excluded (invariant 2)."""
        return self.resolved == self.included + sum(self.excluded.values())

    def contacts_close(self) -> bool:
        """Whether candidates = deliveries + covered + skipped (invariant 2)."""
        parts = (self.deliveries, self.covered, self.skipped)
        return self.candidates == sum(sum(part.values()) for part in parts)


@dataclass(frozen=True, eq=False)
class Audience:
    """Frozen at the launch and never changed; `channels` are those asked for, in the order of CHANNELS."""

    resolved: int
    """Persons that the union of targets selected."""
    languages: tuple[str, ...]
    channels: tuple[Channel, ...]
    deliveries: dict[Channel, Deliveries]
    excluded: Excluded
    covered: Covered
    skipped: SkippedChannel

    @cached_property
    def members(self) -> Int64:
        """Ids of the included persons, ascending: what an Update of this thread passes on as its audience."""
        reached = [d.member_id for d in self.deliveries.values()]
        # Ascending runs: a stable sort merges them, several times quicker than np.unique hashes them.
        every = np.sort(np.concatenate([*reached, self.covered.member_id]), kind="stable")
        return every[np.diff(every, prepend=-1) > 0]

    def counts(self) -> AudienceCounts:
        """The audience in numbers, recounted from the columns (about 0.1 s for a million persons)."""
        return AudienceCounts(
            resolved=self.resolved,
            included=len(self.members),
            excluded=_by_reason(self.excluded.reason),
            channels=len(self.channels),
            deliveries={channel.value: len(self.deliveries[channel]) for channel in self.channels},
            covered=_by_reason(self.covered.reason),
            skipped=_by_reason(self.skipped.reason),
        )

    def addresses(self, channel: Channel) -> Int64:
        """Address ids that this campaign reaches on a channel: `taken` for the next zone of the alert."""
        found = self.deliveries.get(channel)
        return np.empty(0, np.int64) if found is None else found.address_id

    def encode(self) -> bytes:
        """The blob of the `audience` table; equal audiences give equal bytes."""
        described: list[ColumnCoding] = []
        octets: list[bytes] = []
        for values in self._columns():
            column, data = pack(values)
            described.append(column)
            octets.append(data)
        head = msgspec.msgpack.encode(
            _Head(self.resolved, self.languages, [CHANNELS.index(c) for c in self.channels], tuple(described))
        )
        body = zlib.compress(b"".join(octets), 1)
        return _PREFIX.pack(_MAGIC, _VERSION, len(head)) + head + body

    def _columns(self) -> Iterator[Int64 | UInt8]:
        for channel in self.channels:
            found = self.deliveries[channel]
            yield from (found.contact_id, found.member_id, found.address_id, found.language)
        yield from (self.excluded.member_id, self.excluded.reason)
        covered = self.covered
        yield from (
            covered.member_id,
            covered.channel,
            covered.contact_id,
            covered.address_id,
            covered.reason,
        )
        yield from (self.skipped.member_id, self.skipped.channel, self.skipped.reason)


class _Head(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    resolved: int
    languages: tuple[str, ...]
    channels: list[int]
    columns: tuple[ColumnCoding, ...]


def decode(blob: bytes) -> Audience:
    """The audience of a blob. Raises AudienceUnreadable."""
    try:
        magic, version, length = _PREFIX.unpack_from(blob)
    except struct.error as exc:
        raise AudienceUnreadable("too short to be an audience") from exc
    if magic != _MAGIC:
        raise AudienceUnreadable("not an audience")
    if version != _VERSION:
        raise AudienceUnreadable(f"an audience of version {version}; this program reads version {_VERSION}")
    try:
        head = msgspec.msgpack.decode(blob[_PREFIX.size : _PREFIX.size + length], type=_Head)
        columns = _columns(head, blob[_PREFIX.size + length :])
        return _assembled(head, columns)
    except (msgspec.MsgspecError, zlib.error, ColumnBroken, IndexError) as exc:
        raise AudienceUnreadable(f"a damaged audience: {exc}") from exc


def _columns(head: _Head, body: bytes) -> Iterator[Int64]:
    octets = sum(column.octets for column in head.columns)
    if not 0 <= octets <= _MOST_OCTETS or len(head.columns) != 4 * len(head.channels) + 10:
        raise ColumnBroken("the head describes other columns than an audience has")
    inflater = zlib.decompressobj()
    data = memoryview(inflater.decompress(body, octets + 1))
    if len(data) != octets or not inflater.eof or inflater.unused_data:
        raise ColumnBroken("the body has not the length that the head gives")
    at = 0
    for column in head.columns:
        yield unpack(column, data[at : at + column.octets])
        at += column.octets


def _assembled(head: _Head, columns: Iterator[Int64]) -> Audience:
    def small() -> UInt8:
        return next(columns).astype(np.uint8)

    channels = tuple(CHANNELS[number] for number in head.channels)
    deliveries = {channel: Deliveries(next(columns), next(columns), next(columns), small()) for channel in channels}
    excluded = Excluded(next(columns), small())
    covered = Covered(next(columns), small(), next(columns), next(columns), small())
    skipped = SkippedChannel(next(columns), small(), small())
    return Audience(head.resolved, head.languages, channels, deliveries, excluded, covered, skipped)


def _by_reason(reasons: UInt8) -> dict[str, int]:
    tally = np.bincount(reasons, minlength=max(ExclusionReason) + 1)
    return {reason.word: int(tally[reason]) for reason in ExclusionReason if tally[reason]}
