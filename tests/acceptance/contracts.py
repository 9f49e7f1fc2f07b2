"""Whether arrivals at a sink kept a carrier's contract, second by sliding second.

The gateway answers for the instants at which bytes leave; a sink on a shared machine reads them when it gets the
processor. A stall of the sink's by up to `JITTER_S` pushes units together, so what it read in one second left within
1 + JITTER_S: that is the bound for every second. Nothing that breaks a contract (two nodes with a ceiling each, slots
given twice, a burst after a pause) stays below it. Without stalls the strict bound holds in every second (seen on a
quiet machine); on one whose every core is wanted twice it must still hold in most.
"""

from bisect import bisect_left
from collections.abc import Iterable

TOLERANCE = 1.01
"""Invariant 4."""
JITTER_S = 0.05
STRICT_SHARE = 0.9


def require_contract(arrived_ms: Iterable[int], per_s: float) -> None:
    at_ms = sorted(arrived_ms)
    counts = [bisect_left(at_ms, at + 1000) - n for n, at in enumerate(at_ms)]
    assert max(counts) <= TOLERANCE * per_s * (1 + JITTER_S)
    strict = sum(count <= TOLERANCE * per_s for count in counts) / len(counts)
    assert strict >= STRICT_SHARE, f"{strict:.1%} of the seconds are within the contract; the worst has {max(counts)}"


def rate_per_s(arrived_ms: Iterable[int]) -> float:
    at_ms = sorted(arrived_ms)
    return (len(at_ms) - 1) * 1000 / (at_ms[-1] - at_ms[0])
