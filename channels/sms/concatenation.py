"""The user data header that makes several parts one long SMS, and the reference that keeps two of them apart.

3GPP TS 23.040, 9.2.3.24.1, 8-bit reference. Knows octets and numbers of people only as keys.
"""

import zlib
from typing import NamedTuple

_HEADER = b"\x05\x00\x03"  # length of the header, concatenation, length of what follows
REFERENCES = 256
_COUNTERS = 1 << 20


class PartOf(NamedTuple):
    """Where a part stands in its long SMS; `part` counts from 1."""

    reference: int
    total: int
    part: int


def header(reference: int, total: int, part: int) -> bytes:
    """The six octets in front of part `part` (from 1) of `total`."""
    return _HEADER + bytes((reference, total, part))


def read_header(user_data: bytes) -> tuple[PartOf | None, bytes]:
    """Take user data apart whose header flag is set: (place, rest).

    Reads 16-bit references too, in any order of elements. The place is None where the header holds no valid
    concatenation. Never raises.
    """
    if not user_data:
        return None, b""
    end = 1 + user_data[0]
    elements, rest = user_data[1:end], user_data[end:]
    at = 0
    while at + 2 <= len(elements):
        kind, length = elements[at], elements[at + 1]
        value = elements[at + 2 : at + 2 + length]
        if len(value) == length and (kind, length) in ((0x00, 3), (0x08, 4)):
            place = PartOf(int.from_bytes(value[:-2], "big"), value[-2], value[-1])
            return (place if 1 <= place.part <= place.total else None), rest
        at += 2 + length
    return None, rest


def rolling_reference(carrier: str, destination: str, ordinal: int) -> int:
    """The reference of a destination's `ordinal`-th long SMS on a carrier.

    Any 256 consecutive ordinals of one (carrier, destination) give 256 different references; destinations
    start at different ones.
    """
    return (_spread(carrier, destination) + ordinal) % REFERENCES


class References:
    """The ordinals behind `rolling_reference`, in a fixed megabyte whatever the number of destinations.

    Destinations may share a counter, which only skips references. So no two long SMS to one number share a
    reference unless at least 256 long SMS were given one in between.
    """

    def __init__(self, carrier: str, *, start: int = 0) -> None:
        """`start` (0..255) should differ between processes, lest a restart repeat the last references."""
        self._carrier = carrier
        self._next = bytearray(bytes([start % REFERENCES]) * _COUNTERS)

    def take(self, destination: str) -> int:
        """The next reference for this destination, 0..255."""
        counter = zlib.crc32(destination.encode()) % _COUNTERS
        ordinal = self._next[counter]
        self._next[counter] = (ordinal + 1) % REFERENCES
        return rolling_reference(self._carrier, destination, ordinal)


def _spread(carrier: str, destination: str) -> int:
    return zlib.crc32(f"{carrier}\0{destination}".encode())
