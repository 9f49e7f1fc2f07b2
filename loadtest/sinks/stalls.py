"""When a sink stood still: what it stamps afterwards in one instant had come at any time since.

A sink writes each of its stalls into a file beside its dump. Knows nothing of what is sent, nor of what is allowed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import numpy.typing as npt

Stamps = npt.NDArray[np.int64]
"""Nanoseconds of the wall clock, UTC, ascending."""

_BEAT_S = 0.005
_STALL_NS = 10_000_000
"""One hundredth of the second in which ceilings count: what comes in a shorter time is within their slack of 1 %."""


class Stall(msgspec.Struct, frozen=True):
    """What was read between these instants, wall clock UTC, may have come as early as the first of them."""

    from_ns: int
    to_ns: int


class Pulse:
    """Told each beat, says which stall has ended. Between two beats the loop looks at its sockets at least once: what
    waited during a gap has been read by the beat after the gap."""

    def __init__(self, now_ns: int) -> None:
        self._last_ns = now_ns
        self._since_ns: int | None = None

    def beat(self, now_ns: int) -> Stall | None:
        ended = None if self._since_ns is None else Stall(self._since_ns, now_ns)
        self._since_ns = self._last_ns if now_ns - self._last_ns > _STALL_NS else None
        self._last_ns = now_ns
        return ended


def beside(dump: Path) -> Path:
    return dump.with_suffix(".stalls")


@contextlib.asynccontextmanager
async def noted(dump: Path) -> AsyncIterator[None]:
    """Write down every stall of this loop, each as soon as it is over: a sink may be killed."""
    with await asyncio.to_thread(beside(dump).open, "wb") as out:
        task = asyncio.create_task(_watch(out), name="stalls")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def _watch(out: IO[bytes]) -> None:
    pulse = Pulse(time.time_ns())

    def beat() -> None:
        if stall := pulse.beat(time.time_ns()):
            out.write(msgspec.json.encode(stall) + b"\n")
            out.flush()

    try:
        while True:
            await asyncio.sleep(_BEAT_S)
            beat()
    finally:  # a stall that has just begun or ended is over: nothing is read any more
        beat()
        beat()


def read(dump: Path) -> list[Stall]:
    """Those of the sink that wrote this dump, in their order; none where it noted none."""
    path = beside(dump)
    if not path.exists():
        return []
    decoder = msgspec.json.Decoder(Stall)
    return [decoder.decode(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def earliest(read_ns: Stamps, stalls: Sequence[Stall]) -> Stamps:
    """For each stamp of one sink, when that unit may have come at the earliest: the stamp itself outside stalls."""
    if not stalls:
        return read_ns.copy()
    from_ns = np.asarray([stall.from_ns for stall in stalls], dtype=np.int64)
    to_ns = np.asarray([stall.to_ns for stall in stalls], dtype=np.int64)
    # Stalls that follow one another overlap; the first that reaches a stamp began first.
    first = np.minimum(np.searchsorted(to_ns, read_ns), len(stalls) - 1)
    inside = (from_ns[first] <= read_ns) & (read_ns <= to_ns[first])
    return np.where(inside, from_ns[first], read_ns)
