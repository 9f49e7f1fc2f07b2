"""Columns of integers: out of the register's text, looked up in, and as compact bytes.

Pure. Packed, each is kept in the narrowest width that holds its range: ids of one campaign lie close together, so
8 bytes a value become 1 to 4 before any compression.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]


def table(text: str, width: int) -> Int64:
    """Rows of integers (`store.directory`) as a table in the order of their first column."""
    values = np.fromstring(text, np.int64, sep=",") if text else np.empty(0, np.int64)
    rows = values.reshape(-1, width)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def find(ascending: Int64, wanted: Int64) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """Where each wanted value stands in an ascending column, and whether it is there at all."""
    if not ascending.size:
        return np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.bool_)
    places = np.minimum(np.searchsorted(ascending, wanted), ascending.size - 1)
    return places, ascending[places] == wanted


class ColumnBroken(ValueError):
    """The bytes are not those of the column that their description promises."""


class ColumnCoding(msgspec.Struct, frozen=True, array_like=True):
    """How one column is written: `value = base + running sum or plain offset`."""

    length: int
    base: int
    width: int
    """Bytes of an offset: 1, 2, 4 or 8."""
    steps: bool
    """Ascending values are written as steps from the one before."""

    @property
    def octets(self) -> int:
        return self.length * self.width


def pack(values: npt.NDArray[Any]) -> tuple[ColumnCoding, bytes]:
    """A one-dimensional column of integers; any order, ascending ones are smallest."""
    if not values.size:
        return ColumnCoding(0, 0, 1, False), b""
    wide = values.astype(np.int64, copy=False)
    steps = np.diff(wide, prepend=wide[:1])
    ascending = bool(steps.min() >= 0)
    base = int(wide[0] if ascending else wide.min())
    offsets = steps if ascending else wide - base
    width = _width(int(offsets.max()))
    return ColumnCoding(wide.size, base, width, ascending), offsets.astype(f"<u{width}").tobytes()


def unpack(column: ColumnCoding, data: memoryview) -> Int64:
    """The values that `pack` made into bytes. Raises ColumnBroken."""
    if column.width not in (1, 2, 4, 8) or column.length < 0 or len(data) != column.octets:
        raise ColumnBroken("a column has not the length that its description gives")
    offsets = np.frombuffer(data, dtype=f"<u{column.width}").astype(np.int64)
    return (np.cumsum(offsets) if column.steps else offsets) + column.base


def _width(largest: int) -> int:
    for width in (1, 2, 4):
        if largest < 1 << 8 * width:
            return width
    return 8
